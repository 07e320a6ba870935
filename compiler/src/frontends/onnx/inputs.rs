//! The types of a graph's inputs: from the file, from the user's overrides.

use std::collections::BTreeSet;

use lepid_ir::core::{
    Code, Diagnostic, Diagnostics, Dim, Elem, Loc, OpError, OpResult, Symbol, Tensor, Type,
};

use super::proto::tensor_shape_proto::dimension::Value as ExtentProto;
use super::proto::{TensorShapeProto, ValueInfoProto, type_proto};
use super::weights::elem_type;
use super::{Constant, ImportOptions};

/// The inputs that take values at run time, with their types; and the others with their values.
#[allow(
    clippy::type_complexity,
    reason = "two lists, one for each kind of input"
)]
pub(super) fn types(
    inputs: &[&ValueInfoProto],
    options: &ImportOptions,
    found: &mut Diagnostics,
) -> (Vec<(String, Type)>, Vec<(String, Tensor)>) {
    let mut naming = Naming::new(inputs);
    let (mut out, mut constants) = (Vec::new(), Vec::new());
    for input in inputs {
        match input_type(input, options, &mut naming) {
            Ok(ty) => match options.constants.get(&input.name) {
                None => out.push((input.name.clone(), ty)),
                Some(value) => match constant(value, ty) {
                    Ok(value) => constants.push((input.name.clone(), value)),
                    Err(given) => found.push(Diagnostic::error(
                        Code::INPUT,
                        Loc::Name(Symbol::new(&input.name)),
                        format!("input `{}` is `{ty}`, but `{given}` is given", input.name),
                    )),
                },
            },
            Err(mut error) => {
                error.message = format!("input `{}`: {}", input.name, error.message);
                found.push(error.at(Loc::Name(Symbol::new(&input.name))));
            }
        }
    }
    let names: Vec<&str> = inputs.iter().map(|i| i.name.as_str()).collect();
    let given = options.shapes.keys().chain(options.constants.keys());
    let unknown_shapes = given.filter(|n| !names.contains(&n.as_str()));
    for name in unknown_shapes {
        found.push(unknown("input", name, &names));
    }
    let symbols: Vec<&str> = naming.named.iter().map(String::as_str).collect();
    let unknown_dims = options.dims.keys().filter(|n| !naming.named.contains(*n));
    for name in unknown_dims {
        found.push(unknown("dimension", name, &symbols));
    }
    found.extend(
        options
            .dims
            .iter()
            .filter_map(|(name, &n)| contradiction(name, n, inputs, options)),
    );
    (out, constants)
}

/// The error for a number of an extent that stands in no input any more, as the shapes given for them
/// say another.
fn contradiction(
    name: &str,
    number: u64,
    inputs: &[&ValueInfoProto],
    options: &ImportOptions,
) -> Option<Diagnostic> {
    let mut other = None;
    for input in inputs {
        let extents = shape_of(input).map_or(&[][..], |s| &s.dim);
        let is_it = |value: &Option<ExtentProto>| matches!(value, Some(ExtentProto::DimParam(n)) if n == name);
        let axes = extents.iter().enumerate();
        for (axis, _) in axes.filter(|(_, extent)| is_it(&extent.value)) {
            match options.shapes.get(&input.name)?.get(axis) {
                Some(Dim::Known(n)) if *n != number => other = Some((*n, &input.name)),
                _ => return None,
            }
        }
    }
    let (other, input) = other?;
    let message = format!("`{name}` is {number}, but {other} in the shape given for `{input}`");
    Some(Diagnostic::error(Code::INPUT, Loc::Unknown, message))
}

/// The value of an input of that type, or the type that it has instead.
fn constant(given: &Constant, input: Type) -> Result<Tensor, Type> {
    let value = match (given, input.as_tensor()) {
        (Constant::Numbers(numbers), Some(ty)) => numbers.cast(ty.elem),
        (Constant::Numbers(value) | Constant::Tensor(value), _) => value.clone(),
    };
    match fits(value.ty(), input) {
        true => Ok(value),
        false => Err(value.ty()),
    }
}

/// Whether a constant may stand for an input.
fn fits(value: Type, input: Type) -> bool {
    match (value.as_tensor(), input.as_tensor()) {
        (Some(a), Some(b)) => {
            let agree = a.dims.iter().zip(&b.dims).all(|(a, b)| a.compatible(*b));
            a.elem == b.elem && a.rank() == b.rank() && agree
        }
        _ => false,
    }
}

fn unknown(what: &str, name: &str, known: &[&str]) -> Diagnostic {
    let list: Vec<String> = known.iter().map(|k| format!("`{k}`")).collect();
    let help = match list.is_empty() {
        true => format!("the model has no named {what}"),
        false => format!("the model has {}", list.join(", ")),
    };
    Diagnostic::error(
        Code::INPUT,
        Loc::Unknown,
        format!("the model has no {what} `{name}`"),
    )
    .with_help(help)
}

/// The names of dimensions: those of the file, and new ones for extents without a name.
struct Naming {
    named: BTreeSet<String>,
}

impl Naming {
    fn new(inputs: &[&ValueInfoProto]) -> Naming {
        let shapes = inputs.iter().filter_map(|i| shape_of(i));
        let named = shapes.flat_map(|s| &s.dim).filter_map(|d| match &d.value {
            Some(ExtentProto::DimParam(name)) if !name.is_empty() => Some(name.clone()),
            _ => None,
        });
        Naming {
            named: named.collect(),
        }
    }

    /// A name for an axis that the file does not name: `x_0`.
    fn fresh(&mut self, input: &str, axis: usize) -> String {
        let mut name = format!("{input}_{axis}");
        while !self.named.insert(name.clone()) {
            name.push('_');
        }
        name
    }
}

fn shape_of(input: &ValueInfoProto) -> Option<&TensorShapeProto> {
    match input.r#type.as_ref()?.value.as_ref()? {
        type_proto::Value::TensorType(t) => t.shape.as_ref(),
        _ => None,
    }
}

fn input_type(
    input: &ValueInfoProto,
    options: &ImportOptions,
    naming: &mut Naming,
) -> OpResult<Type> {
    let kind = input.r#type.as_ref().and_then(|t| t.value.as_ref());
    let tensor = match kind {
        Some(type_proto::Value::TensorType(tensor)) => tensor,
        Some(other) => {
            return Err(OpError::with_code(
                Code::ONNX_OP,
                format!("is {}, which is not supported", kind_name(other)),
            ));
        }
        None => {
            return Err(OpError::with_code(Code::ONNX_GRAPH, "it has no type"));
        }
    };
    let elem: Elem = elem_type(tensor.elem_type)?;
    let stated = tensor.shape.as_ref();
    let dims = match options.shapes.get(&input.name) {
        Some(given) => {
            if let Some(stated) = stated.filter(|s| s.dim.len() != given.len()) {
                return Err(OpError::with_code(
                    Code::INPUT,
                    format!(
                        "the model takes rank {}, but the given shape has rank {}",
                        stated.dim.len(),
                        given.len()
                    ),
                ));
            }
            given.clone()
        }
        None => {
            let Some(stated) = stated else {
                return Err(
                    OpError::with_code(Code::ONNX_GRAPH, "it has no shape").help(format!(
                        "give one with `--input-shape {}=1x3x224x224`",
                        input.name
                    )),
                );
            };
            let mut dims = Vec::new();
            for (axis, extent) in stated.dim.iter().enumerate() {
                dims.push(match &extent.value {
                    // Some exporters write -1 for an extent that is not fixed.
                    Some(ExtentProto::DimValue(n)) if *n >= 0 => Dim::Known(*n as u64),
                    Some(ExtentProto::DimParam(name)) if !name.is_empty() => symbol(name),
                    _ => symbol(&naming.fresh(&input.name, axis)),
                });
            }
            dims
        }
    };
    let bind = |dim| match dim {
        Dim::Sym(s) => options.dims.get(s.as_str()).map_or(dim, |&n| Dim::Known(n)),
        Dim::Known(_) | Dim::Unknown => dim,
    };
    Ok(Type::tensor(elem, dims.into_iter().map(bind)))
}

fn symbol(name: &str) -> Dim {
    Dim::Sym(Symbol::new(name))
}

fn kind_name(kind: &type_proto::Value) -> &'static str {
    match kind {
        type_proto::Value::TensorType(_) => "a tensor",
        type_proto::Value::SequenceType(_) => "a sequence",
        type_proto::Value::MapType(_) => "a map",
        type_proto::Value::SparseTensorType(_) => "a sparse tensor",
        type_proto::Value::OptionalType(_) => "an optional value",
    }
}
