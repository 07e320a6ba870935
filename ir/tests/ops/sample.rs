//! One use of an op: operands, attributes and what they must give.

use std::fmt;

use lepid_ir::core::{
    Attr, Builder, Dim, Elem, Module, Num, Op, OpDef, PrintOptions, Resources, Tensor, TensorType,
    Type, Value, print_module, verify,
};
use lepid_ir::dialects::core::{Func, Return, constant};
use lepid_ir::dialects::registry;
use lepid_ir::{interp, text};

/// A use of an op. Operands and results read `TYPE` or `TYPE = NUMBERS`; an operand without numbers
/// is filled at random, a result without numbers is checked for its type alone. An operand that
/// begins with `const` is a constant of the function, any other an argument.
#[derive(Clone)]
pub(crate) struct Sample {
    pub(crate) def: &'static dyn OpDef,
    pub(crate) operands: &'static [&'static str],
    pub(crate) attrs: Vec<(&'static str, Attr)>,
    pub(crate) results: &'static [&'static str],
    /// How far values may differ from what is expected, relative to 1 or to the value.
    pub(crate) tolerance: f64,
}

/// Rows of samples: `Op(operands) {attribute: value} => results;`.
#[macro_export]
macro_rules! samples {
    ($($def:path [$($operand:literal),*] $({$($attr:ident: $value:expr),* $(,)?})? => $($result:literal),*;)*) => {
        vec![$($crate::sample::Sample {
            def: &$def,
            operands: &[$($operand),*],
            attrs: vec![$($((stringify!($attr), lepid_ir::core::Attr::from($value))),*)?],
            results: &[$($result),*],
            tolerance: 2e-5,
        }),*]
    };
}

/// A list of extents as text: `2 ?N ?`.
pub(crate) fn dims(text: &str) -> Attr {
    let spaced = text.split_whitespace();
    let ty: String = spaced.map(|d| format!("{d}x")).collect();
    Attr::dims(parse(&format!("{ty}f32")).dims)
}

fn parse(text: &str) -> TensorType {
    match TensorType::parse(text) {
        Ok(ty) => ty,
        Err(error) => panic!("type `{text}` of a sample: {}", error.message),
    }
}

/// What a named or unknown extent is when a sample runs.
pub(crate) fn extent(dim: Dim) -> usize {
    match dim {
        Dim::Known(n) => n as usize,
        Dim::Sym(name) if name.as_str() == "N" => 3,
        Dim::Sym(_) => 2,
        Dim::Unknown => 3,
    }
}

/// Numbers between -2 and 2, the same in each run.
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn draw(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn tensor(&mut self, elem: Elem, shape: &[usize]) -> Tensor {
        let count = shape.iter().product();
        let nums: Vec<Num> = (0..count)
            .map(|_| {
                let x = (self.draw() >> 11) as f64 / (1u64 << 53) as f64;
                match elem {
                    Elem::Bool => Num::Int(i128::from(x > 0.5)),
                    _ if elem.is_float() => Num::Float(4.0 * x - 2.0),
                    _ => Num::Int((9.0 * x) as i128 - if elem.is_signed_int() { 4 } else { 0 }),
                }
            })
            .collect();
        Tensor::from_nums(elem, shape.iter().copied(), nums)
    }
}

impl Sample {
    /// Checks inference, evaluation, decomposition and verification.
    pub(crate) fn check(&self) -> Result<(), String> {
        let (inputs, values) = self.inputs();
        let (mut module, func, op) = self.build(&inputs)?;
        let found: Vec<String> = module
            .results(op)
            .iter()
            .map(|&r| type_text(&module, r))
            .collect();
        let expected: Vec<String> = self.results.iter().map(|r| read(r).0.to_string()).collect();
        if found != expected {
            return Err(format!("infers {found:?}"));
        }
        let problems = verify(&module);
        if let Some(problem) = problems.first() {
            return Err(format!("does not verify: {}", problem.message));
        }
        round_trips(&module)?;
        let run = |module: &Module| {
            interp::run(module, func, &values).map_err(|e| format!("does not run: {}", e.message))
        };
        let results = run(&module)?;
        for (i, (stated, result)) in self.results.iter().zip(&results).enumerate() {
            let (ty, expected) = read(stated);
            if let Some(expected) = expected {
                let loose = ty.dims.contains(&Dim::Unknown) && expected.len() == result.len();
                let shape = if loose {
                    result.shape()
                } else {
                    expected.shape()
                };
                let expected = expected.reshaped(shape.iter().copied());
                agree(result, &expected, self.tolerance).map_err(|e| format!("result {i} {e}"))?;
            }
        }
        let mut b = Builder::before(&mut module, op);
        let simpler = self.def.decompose(&mut b, op);
        let Some(simpler) = simpler.map_err(|e| format!("does not decompose: {e}"))? else {
            return Ok(());
        };
        for (&old, &new) in module.results(op).iter().zip(&simpler) {
            let fits = match (
                module.value_type(old).as_tensor(),
                module.value_type(new).as_tensor(),
            ) {
                (Some(a), Some(b)) => a.elem == b.elem && a.rank() == b.rank(),
                _ => false,
            };
            if !fits {
                let (old, new) = (type_text(&module, old), type_text(&module, new));
                return Err(format!("decomposes from `{old}` into `{new}`"));
            }
        }
        module.replace_op(op, &simpler);
        let problems = verify(&module);
        if let Some(problem) = problems.first() {
            return Err(format!(
                "its decomposition does not verify: {}",
                problem.message
            ));
        }
        for (i, (again, result)) in run(&module)?.iter().zip(&results).enumerate() {
            agree(again, result, self.tolerance)
                .map_err(|e| format!("decomposed result {i} {e}"))?;
        }
        Ok(())
    }

    /// Whether this use has a decomposition.
    pub(crate) fn decomposes(&self) -> bool {
        let Ok((mut module, _, op)) = self.build(&self.inputs().0) else {
            return false;
        };
        let mut b = Builder::before(&mut module, op);
        matches!(self.def.decompose(&mut b, op), Ok(Some(_)))
    }

    /// The operands, and the values of those that are arguments.
    pub(crate) fn inputs(&self) -> (Vec<Input>, Vec<Tensor>) {
        let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
        let mut inputs = Vec::new();
        let mut values = Vec::new();
        for text in self.operands {
            let (ty, value) = read(text.strip_prefix("const ").unwrap_or(text));
            let shape: Vec<usize> = ty.dims.iter().map(|d| extent(*d)).collect();
            let value = value.unwrap_or_else(|| numbers.tensor(ty.elem, &shape));
            inputs.push(match text.starts_with("const ") {
                true => Input::Constant(value),
                false => {
                    values.push(value.clone());
                    Input::Argument(ty.into(), value)
                }
            });
        }
        (inputs, values)
    }

    /// A function that applies the op to its arguments and constants.
    fn build(&self, inputs: &[Input]) -> Result<(Module, Op, Op), String> {
        let mut module = Module::new();
        let func = Func::create(&mut module, "sample", &[], &[]).map_err(|e| e.to_string())?;
        let block = Func::block(module.view(func));
        let mut b = Builder::at_end(&mut module, block);
        let mut args = Vec::new();
        for input in inputs {
            args.push(match input {
                Input::Argument(ty, _) => b.module.add_block_arg(block, *ty),
                Input::Constant(value) => {
                    constant(&mut b, value.clone()).map_err(|e| e.to_string())?
                }
            });
        }
        let op = b
            .create(self.def, &args, &self.attrs)
            .map_err(|e| format!("is refused: {e}"))?;
        let results = b.module.results(op).to_vec();
        Return::build(&mut b, &results, &[]).map_err(|e| e.to_string())?;
        Ok((module, func, op))
    }
}

/// Checks that the text of a module reads back as the same text.
fn round_trips(module: &Module) -> Result<(), String> {
    let options = PrintOptions {
        inline_elements: usize::MAX,
        ..PrintOptions::default()
    };
    let text = print_module(module, &options, &mut Resources::default());
    let (again, diagnostics) = text::parse(&text, "sample.lir", &registry(), None);
    if let Some(problem) = diagnostics.first() {
        return Err(format!("does not parse: {} in\n{text}", problem.message));
    }
    let printed = print_module(&again, &options, &mut Resources::default());
    match printed == text {
        true => Ok(()),
        false => Err(format!("prints as\n{text}but reads as\n{printed}")),
    }
}

/// An operand of the op under test.
pub(crate) enum Input {
    Argument(Type, Tensor),
    Constant(Tensor),
}

fn type_text(module: &Module, value: Value) -> String {
    match module.value_type(value).as_tensor() {
        Some(ty) => ty.to_string(),
        None => module.value_type(value).to_string(),
    }
}

/// Reads `TYPE` or `TYPE = NUMBERS`.
fn read(text: &str) -> (TensorType, Option<Tensor>) {
    let (ty, numbers) = match text.split_once('=') {
        Some((ty, numbers)) => (parse(ty.trim()), Some(numbers)),
        None => (parse(text.trim()), None),
    };
    let value = numbers.map(|numbers| {
        let nums = numbers.split_whitespace().map(|n| match n.parse::<i128>() {
            Ok(n) => Num::Int(n),
            Err(_) => match n.parse::<f64>() {
                Ok(x) => Num::Float(x),
                Err(_) => panic!("`{n}` in the sample `{text}` is not a number"),
            },
        });
        let nums: Vec<Num> = nums.collect();
        // A result of unknown extents is compared by its numbers alone.
        let mut shape: Vec<usize> = ty.dims.iter().map(|d| extent(*d)).collect();
        if ty.dims.contains(&Dim::Unknown) && nums.len() != shape.iter().product::<usize>() {
            shape = vec![nums.len()];
        }
        assert_eq!(nums.len(), shape.iter().product::<usize>(), "{text}");
        Tensor::from_nums(ty.elem, shape, nums)
    });
    (ty, value)
}

fn agree(found: &Tensor, expected: &Tensor, tolerance: f64) -> Result<(), String> {
    if found.elem() != expected.elem() || found.shape() != expected.shape() {
        return Err(format!("is {:?}, expected {:?}", found.ty(), expected.ty()));
    }
    for (i, (x, y)) in found.nums().into_iter().zip(expected.nums()).enumerate() {
        let same = match (x, y) {
            (Num::Int(x), Num::Int(y)) => x == y,
            (x, y) => {
                let (x, y) = (x.as_f64(), y.as_f64());
                x == y
                    || (x.is_nan() && y.is_nan())
                    || (x - y).abs() <= tolerance * y.abs().max(1.0)
            }
        };
        if !same {
            return Err(format!(
                "differs at element {i}: {found:?}, expected {expected:?}"
            ));
        }
    }
    Ok(())
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.def.info().name, self.operands.join(", "))?;
        let attrs: Vec<String> = self
            .attrs
            .iter()
            .map(|(n, a)| format!("{n} = {a}"))
            .collect();
        match attrs.is_empty() {
            true => Ok(()),
            false => write!(f, " {{{}}}", attrs.join(", ")),
        }
    }
}
