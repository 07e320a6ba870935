//! One case: a module with inputs, and how operands are written in the tables.

use lepid_ir::core::{
    Attr, Builder, Elem, Module, Num, OpDef, OpResult, Tensor, TensorType, Type, Value,
};
use lepid_ir::dialects::core::{Func, Return, constant};
use lepid_ir::interp::random::Random;

/// A function and the inputs to run it on.
#[derive(Clone)]
pub struct Case {
    /// `nn.conv(1x2x5xf32, const 3x2x3xf32) {…}`, or the name of a graph.
    pub name: String,
    pub module: Module,
    pub inputs: Vec<Tensor>,
    pub scale: Scale,
}

/// What errors are relative to.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Scale {
    /// Each value, or 1 if it is less.
    Element,
    /// The largest value of the output, as sums lose what cancels.
    Output,
}

/// A use of an op in a table.
pub(crate) struct Row {
    pub(crate) def: &'static dyn OpDef,
    pub(crate) operands: Vec<String>,
    pub(crate) attrs: Vec<(&'static str, Attr)>,
}

/// Rows of uses: `Op [operands] {attribute: value};`.
#[macro_export]
#[doc(hidden)]
macro_rules! rows {
    ($($def:path [$($operand:expr),* $(,)?] $({$($attr:ident: $value:expr),* $(,)?})?;)*) => {
        vec![$($crate::case::Row {
            def: &$def,
            operands: vec![$($operand.to_string()),*],
            attrs: vec![$($((stringify!($attr), lepid_ir::core::Attr::from($value))),*)?],
        }),*]
    };
}

impl Row {
    pub(crate) fn case(&self) -> Case {
        let attrs: Vec<String> = self
            .attrs
            .iter()
            .map(|(n, a)| format!("{n} = {a}"))
            .collect();
        let attrs = match attrs.is_empty() {
            true => String::new(),
            false => format!(" {{{}}}", attrs.join(", ")),
        };
        let info = self.def.info();
        let name = format!("{}({}){attrs}", info.name, self.operands.join(", "));
        let scale = match info.has(lepid_ir::core::Trait::Elementwise) {
            true => Scale::Element,
            false => Scale::Output,
        };
        let operands: Vec<&str> = self.operands.iter().map(String::as_str).collect();
        build(&name, scale, &operands, |b, v| {
            let op = b.create(self.def, v, &self.attrs)?;
            Ok(b.module.results(op).to_vec())
        })
    }
}

/// A function that applies `body` to its operands. An operand that begins with `const` is a
/// constant, any other an input. A case that cannot be built is a mistake in a table.
pub(crate) fn build(
    name: &str,
    scale: Scale,
    operands: &[&str],
    body: impl FnOnce(&mut Builder<'_>, &[Value]) -> OpResult<Vec<Value>>,
) -> Case {
    match try_build(name, scale, operands, body) {
        Ok(case) => case,
        Err(error) => panic!("the case `{name}` cannot be built: {error}"),
    }
}

/// The same for a case that may turn out not to be one.
pub(crate) fn try_build(
    name: &str,
    scale: Scale,
    operands: &[&str],
    body: impl FnOnce(&mut Builder<'_>, &[Value]) -> OpResult<Vec<Value>>,
) -> OpResult<Case> {
    let mut random = Random::new(operands.len() as u64 + name.len() as u64);
    let mut module = Module::new();
    let mut inputs = Vec::new();
    let result = (|| {
        let values: Vec<(bool, Tensor)> = operands
            .iter()
            .map(|text| match text.strip_prefix("const ") {
                Some(text) => (true, operand(text, &mut random)),
                None => (false, operand(text, &mut random)),
            })
            .collect();
        let given = values.iter().filter(|(is_constant, _)| !is_constant);
        inputs = given.map(|(_, tensor)| tensor.clone()).collect();
        let types: Vec<Type> = inputs.iter().map(Tensor::ty).collect();
        let func = Func::create(&mut module, "main", &types, &[])?;
        let block = Func::block(module.view(func));
        let mut args = module.block_args(block).to_vec().into_iter();
        let mut b = Builder::at_end(&mut module, block);
        let mut all = Vec::new();
        for (is_constant, tensor) in values {
            let next = if is_constant { None } else { args.next() };
            all.push(match next {
                Some(arg) => arg,
                None => constant(&mut b, tensor)?,
            });
        }
        let results = body(&mut b, &all)?;
        Return::build(&mut b, &results, &[])?;
        OpResult::Ok(())
    })();
    result.map(|()| Case {
        name: name.to_string(),
        module,
        inputs,
        scale,
    })
}

/// Reads `[KIND ]TYPE[ = NUMBERS]`. Kinds of floats: `pos` positive, `unit` in (-1, 1), `wide` with
/// infinities, NaN, zeros and large numbers; of integers: `below5` from 0 to 4.
fn operand(text: &str, random: &mut Random) -> Tensor {
    let (head, numbers) = match text.split_once(" = ") {
        Some((head, numbers)) => (head, Some(numbers)),
        None => (text, None),
    };
    let (kind, ty) = head.split_once(' ').unwrap_or(("", head));
    let ty = match TensorType::parse(ty) {
        Ok(ty) => ty,
        Err(error) => panic!("operand `{text}` of a case: {}", error.message),
    };
    let shape = ty.known_dims().unwrap_or_default();
    let count = shape.iter().product();
    let nums: Vec<Num> = match numbers {
        Some(numbers) => numbers.split_whitespace().map(number).collect(),
        None => (0..count)
            .map(|i| random_number(kind, ty.elem, i, random))
            .collect(),
    };
    Tensor::from_nums(ty.elem, shape, nums)
}

fn number(text: &str) -> Num {
    match (text.parse::<i128>(), text.parse::<f64>()) {
        (Ok(n), _) => Num::Int(n),
        (Err(_), Ok(x)) => Num::Float(x),
        (Err(_), Err(_)) => panic!("`{text}` in a case is not a number"),
    }
}

fn random_number(kind: &str, elem: Elem, index: usize, random: &mut Random) -> Num {
    const SPECIAL: [f64; 9] = [
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
        0.0,
        -0.0,
        1.0,
        -1.0,
        88.0,
        -104.0,
    ];
    if let Some(limit) = kind.strip_prefix("below") {
        let limit: u64 = limit.parse().unwrap_or(1);
        return Num::Int(i128::from(random.below(limit)));
    }
    if elem == Elem::Bool {
        return Num::Int(i128::from(random.below(2)));
    }
    if !elem.is_float() {
        let x = i128::from(random.below(201));
        return Num::Int(if elem.is_signed_int() { x - 100 } else { x });
    }
    Num::Float(match kind {
        "pos" => random.normal().abs() + 0.1,
        "unit" => 1.98 * random.unit() - 0.99,
        "wide" if index.is_multiple_of(3) => SPECIAL[index / 3 % SPECIAL.len()],
        "wide" => 20.0 * random.normal(),
        _ => random.normal(),
    })
}
