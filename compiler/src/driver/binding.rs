//! Extents that a model leaves open, and the numbers that users give for them.

use std::collections::BTreeMap;

use lepid_ir::core::{
    Code, Diagnostic, Diagnostics, Dim, Loc, Module, Op, Symbol, Tensor, TensorType, Type,
};
use lepid_ir::dialects::core::Func;
use lepid_passes::core::rewrite;
use lepid_target_api::{Batch, Port, Signature};

/// What is said about extents beside the model: by users, or by the inputs of a run.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Bindings {
    /// Shapes of inputs by name.
    pub shapes: BTreeMap<String, Vec<Dim>>,
    /// Numbers by the names of extents.
    pub dims: BTreeMap<String, u64>,
    /// The extent that is the number of samples, which stays open.
    pub batch: Option<Batch>,
}

impl Bindings {
    pub fn is_empty(&self) -> bool {
        self.shapes.is_empty() && self.dims.is_empty() && self.batch.is_none()
    }

    /// The extents as passes want them.
    pub fn symbols(&self) -> BTreeMap<Symbol, u64> {
        let dims = self.dims.iter();
        dims.map(|(name, &n)| (Symbol::new(name), n)).collect()
    }
}

/// Reads `4x3x224x224`; `?` and `?N` leave an extent open; nothing is a scalar.
pub fn parse_shape(text: &str) -> Result<Vec<Dim>, String> {
    let full = match text {
        "" => "f32".to_string(),
        _ => format!("{text}xf32"),
    };
    TensorType::parse(&full)
        .map(|ty| ty.dims)
        .map_err(|error| error.message)
}

/// What `--dim N=…` can say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Extent {
    Number(u64),
    /// Any number of samples, of which so many are computed at a time at most.
    Open(u64),
}

/// How many samples are computed at a time at most, if nothing is said.
const SAMPLES: u64 = 8;

/// Reads `4`, `?` or `..16`.
pub fn parse_extent(text: &str) -> Result<Extent, String> {
    let number = |text: &str| {
        let number = text.parse::<u64>();
        number.map_err(|_| format!("`{text}` is not a number"))
    };
    match (text, text.strip_prefix("..")) {
        ("?", _) => Ok(Extent::Open(SAMPLES)),
        (_, Some(most)) => match number(most)? {
            most @ Batch::LEAST..=Batch::GREATEST => Ok(Extent::Open(most)),
            most => Err(format!(
                "{most} samples at a time are not from {} to {}",
                Batch::LEAST,
                Batch::GREATEST
            )),
        },
        _ => number(text).map(Extent::Number).map_err(|error| {
            format!("{error}, and neither `?` nor `..16`, for any number of samples")
        }),
    }
}

/// The numbers that tensors give to the named extents of a signature. Reports every tensor that
/// does not fit.
pub fn bind_to_inputs(
    signature: &Signature,
    given: &BTreeMap<String, Tensor>,
) -> Result<Bindings, Diagnostics> {
    let mut bindings = Bindings::default();
    let mut errors = Vec::new();
    for port in &signature.inputs {
        if let Some(tensor) = given.get(&port.name) {
            errors.extend(bind_one(port, tensor, &mut bindings));
        }
    }
    for name in given.keys() {
        if !signature.inputs.iter().any(|p| p.name == *name) {
            errors.push(unknown_input(signature, name));
        }
    }
    match errors.is_empty() {
        true => Ok(bindings),
        false => Err(errors),
    }
}

/// The error for a name that no input has.
pub(crate) fn unknown_input(signature: &Signature, name: &str) -> Diagnostic {
    let names = || signature.inputs.iter().map(|p| p.name.as_str());
    let all: Vec<String> = names().map(|n| format!("`{n}`")).collect();
    let help = match lepid_ir::core::nearest(name, names()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("the inputs are {}", all.join(", ")),
    };
    let message = format!("the model has no input `{name}`");
    Diagnostic::error(Code::INPUT, Loc::Unknown, message).with_help(help)
}

fn bind_one(port: &Port, tensor: &Tensor, bindings: &mut Bindings) -> Option<Diagnostic> {
    let ty = port.ty.as_tensor()?;
    let error = |reason: String| {
        let message = format!("input `{}` must be `{}`, {reason}", port.name, port.ty);
        Some(Diagnostic::error(Code::INPUT, Loc::Unknown, message))
    };
    let found = tensor.ty();
    if ty.elem != tensor.elem() || ty.rank() != tensor.rank() {
        return error(format!("found `{found}`"));
    }
    let mut open = false;
    for (&dim, &extent) in ty.dims.iter().zip(tensor.shape()) {
        let extent = extent as u64;
        match dim {
            Dim::Known(n) if n != extent => {
                let shape = shape_text(tensor.shape());
                let help = format!("`--input-shape {}={shape}` changes the model", port.name);
                return error(format!("found `{found}`")).map(|d| d.with_help(help));
            }
            Dim::Known(_) => {}
            Dim::Sym(name) => {
                let bound = bindings.dims.entry(name.to_string()).or_insert(extent);
                if *bound != extent {
                    let bound = *bound;
                    return error(format!(
                        "found `{found}`, but `{name}` is {bound} by another extent"
                    ));
                }
            }
            Dim::Unknown => open = true,
        }
    }
    if open {
        let dims = tensor.shape().iter().map(|&d| Dim::Known(d as u64));
        bindings.shapes.insert(port.name.clone(), dims.collect());
    }
    None
}

fn shape_text(shape: &[usize]) -> String {
    let extents: Vec<String> = shape.iter().map(usize::to_string).collect();
    extents.join("x")
}

/// States the shapes in the arguments of a function; named extents that get a number by that go
/// into `bindings.dims`, for the pass `refine`.
pub(crate) fn state_shapes(
    module: &mut Module,
    func: Op,
    bindings: &mut Bindings,
) -> Result<(), Diagnostics> {
    let signature = Signature::of(module, func);
    let mut errors = Vec::new();
    for (name, shape) in std::mem::take(&mut bindings.shapes) {
        let Some(index) = signature.inputs.iter().position(|p| p.name == name) else {
            errors.push(unknown_input(&signature, &name));
            continue;
        };
        let arg = Func::args(module.view(func))[index];
        let Some(ty) = module.value_type(arg).as_tensor() else {
            continue;
        };
        match merge(ty, &shape, bindings) {
            Ok(dims) => {
                module.set_value_type(arg, Type::tensor(ty.elem, dims));
                let users = module.uses(arg).iter().map(|u| u.op).collect();
                if let Err(error) = rewrite::retype(module, users) {
                    errors.push(error.at(Loc::Unknown));
                }
            }
            Err(reason) => {
                let message = format!("the shape given for input `{name}` does not fit: {reason}");
                errors.push(Diagnostic::error(Code::INPUT, Loc::Unknown, message));
            }
        }
    }
    match errors.is_empty() {
        true => Ok(()),
        false => Err(errors),
    }
}

fn merge(ty: &TensorType, shape: &[Dim], bindings: &mut Bindings) -> Result<Vec<Dim>, String> {
    if ty.rank() != shape.len() {
        return Err(format!(
            "it has {} axes, `{ty}` has {}",
            shape.len(),
            ty.rank()
        ));
    }
    let mut dims = Vec::new();
    for (axis, (&stated, &given)) in ty.dims.iter().zip(shape).enumerate() {
        match (stated, given) {
            (Dim::Sym(name), Dim::Known(n)) => {
                let bound = *bindings.dims.entry(name.to_string()).or_insert(n);
                if bound != n {
                    return Err(format!("`{name}` is {bound} and {n}"));
                }
            }
            (Dim::Known(m), Dim::Known(n)) if m != n => {
                return Err(format!("axis {axis} is {m} in the model, {n} here"));
            }
            _ => {}
        }
        dims.push(match stated {
            Dim::Unknown => given,
            Dim::Known(_) | Dim::Sym(_) => stated,
        });
    }
    Ok(dims)
}

#[cfg(test)]
mod tests {
    use lepid_ir::core::Elem;

    use super::*;

    fn signature() -> Signature {
        let port = |name: &str, dims: Vec<Dim>| Port {
            name: name.into(),
            ty: Type::tensor(Elem::F32, dims),
        };
        let n = Dim::Sym(Symbol::new("N"));
        Signature {
            inputs: vec![port("x", vec![n, Dim::Known(3)]), port("y", vec![n])],
            outputs: Vec::new(),
            batch: None,
            states: Vec::new(),
        }
    }

    fn bind(x: &[usize], y: &[usize]) -> Result<Bindings, String> {
        let tensor = |shape| Tensor::zeros(Elem::F32, shape);
        let given = BTreeMap::from([("x".into(), tensor(x)), ("y".into(), tensor(y))]);
        bind_to_inputs(&signature(), &given).map_err(|e| e[0].message.clone())
    }

    #[test]
    fn inputs_bind_named_extents() {
        assert_eq!(bind(&[4, 3], &[4]).unwrap().dims["N"], 4);
        assert!(bind(&[4, 3], &[5]).unwrap_err().contains("`N` is 4"));
        assert!(bind(&[4, 2], &[4]).unwrap_err().contains("must be"));
        assert!(bind(&[4], &[4]).unwrap_err().contains("found"));
    }

    #[test]
    fn extents_are_read() {
        assert_eq!(parse_extent("4"), Ok(Extent::Number(4)));
        assert_eq!(parse_extent("?"), Ok(Extent::Open(SAMPLES)));
        assert_eq!(parse_extent("..16"), Ok(Extent::Open(16)));
        for text in ["", "..", "..1", "..x", "-1", "?4", "..99999999999"] {
            assert!(parse_extent(text).is_err(), "{text}");
        }
    }

    #[test]
    fn shapes_are_read() {
        let known = |n: &[u64]| n.iter().map(|&n| Dim::Known(n)).collect::<Vec<_>>();
        assert_eq!(parse_shape("4x3x2"), Ok(known(&[4, 3, 2])));
        assert_eq!(parse_shape(""), Ok(Vec::new()));
        assert_eq!(parse_shape("?x2").unwrap()[0], Dim::Unknown);
        assert!(parse_shape("4x-1").is_err());
    }
}
