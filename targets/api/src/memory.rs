//! What a function would take of memory, told before any of it is taken.

use lepid_ir::core::{Diagnostic, Diagnostics, Limits, Module, Op, TensorType, Trait, Value};
use lepid_ir::dialects::core::Func;

/// Places that are told at most.
const MOST_TOLD: usize = 8;

/// Refuses values that alone are larger than a model may be: a pass or a target might evaluate
/// one of them. [`compile`](crate::compile()) asks this before its first pass.
///
/// # Errors
///
/// `E0705` at each such value, but at most eight.
pub fn check_values(module: &Module, limits: Limits) -> Result<(), Diagnostics> {
    let mut errors = Vec::new();
    for op in module.walk() {
        // A constant is there already, in a file that is mapped.
        if module.def(op).info().has(Trait::Constant) {
            continue;
        }
        let regions = module.regions(op).iter();
        let blocks = regions.flat_map(|&region| module.region_blocks(region));
        let args = blocks.flat_map(|&block| module.block_args(block));
        let mut values = module.results(op).iter().chain(args);
        if let Some(&large) = values.find(|&&v| bytes(module, v) > limits.memory) {
            errors.push(too_large(module, op, large, limits));
        }
        if errors.len() == MOST_TOLD {
            break;
        }
    }
    match errors.is_empty() {
        true => Ok(()),
        false => Err(errors),
    }
}

fn too_large(module: &Module, op: Op, value: Value, limits: Limits) -> Diagnostic {
    let ty = module.value_type(value);
    let most = limits.memory;
    let what = match module.op_name(op) {
        "core.func" => "an input".to_string(),
        name => format!("a value of `{name}`"),
    };
    let message = format!("{what} is `{ty}`, but a model may take {most} bytes of memory");
    Limits::MEMORY.exceeded(message).at(module.loc(op).clone())
}

/// Refuses a function whose inputs, outputs and inner values together are too large. Without a
/// memory plan all inner values are there at a time.
pub(crate) fn check_total(module: &Module, func: Op, limits: Limits) -> Result<(), Diagnostics> {
    let view = module.view(func);
    let sum = |values: &[Value]| {
        let bytes = values.iter().map(|&v| bytes(module, v));
        bytes.fold(0, u64::saturating_add)
    };
    let inner = match u64::try_from(Func::arena_bytes(view)) {
        Ok(planned @ 1..) => planned,
        Ok(0) | Err(_) => {
            let ops = module.walk_inside(func).into_iter();
            let computed = ops.filter(|&op| !module.def(op).info().has(Trait::Constant));
            let each = computed.map(|op| sum(module.results(op)));
            each.fold(0, u64::saturating_add)
        }
    };
    let outside = sum(Func::args(view)).saturating_add(sum(Func::returned(view)));
    let total = inner.saturating_add(outside);
    if total <= limits.memory {
        return Ok(());
    }
    let message = format!(
        "the model takes {total} bytes of memory, but may take {}",
        limits.memory
    );
    let error = Limits::MEMORY.exceeded(message);
    Err(vec![error.at(module.loc(func).clone())])
}

/// The bytes of a value; 0 where its extents are not known.
fn bytes(module: &Module, value: Value) -> u64 {
    module.value_type(value).as_tensor().map_or(0, tensor_bytes)
}

/// The bytes of a tensor of that type; 0 where its extents are not known, the largest number
/// where there is no number for them. An extent of 0 counts as 1, since strides and sizes of parts
/// are computed for empty tensors, too.
pub(crate) fn tensor_bytes(ty: &TensorType) -> u64 {
    let extents: Option<Vec<u64>> = ty.dims.iter().map(|dim| dim.known()).collect();
    match extents {
        None => 0,
        Some(extents) => extents
            .into_iter()
            .fold(ty.elem.bytes() as u64, |n, d| n.saturating_mul(d.max(1))),
    }
}

impl crate::Signature {
    /// The bytes of all inputs whose extents are known.
    pub fn input_bytes(&self) -> u64 {
        let types = self.inputs.iter().filter_map(|port| port.ty.as_tensor());
        types.map(tensor_bytes).fold(0, u64::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use lepid_ir::core::{Code, Elem};

    use super::*;

    fn checked(text: &str, memory: u64) -> Vec<Code> {
        let registry = lepid_ir::dialects::registry();
        let (module, found) = lepid_ir::text::parse(text, "m.lir", &registry, None);
        assert!(found.is_empty(), "{found:?}");
        let limits = Limits {
            memory,
            ..Limits::default()
        };
        let func = module.funcs().next().unwrap();
        let checked = check_values(&module, limits);
        let checked = checked.and_then(|()| check_total(&module, func, limits));
        checked
            .err()
            .unwrap_or_default()
            .iter()
            .map(|d| d.code)
            .collect()
    }

    const TWICE: &str = "func @f(%x: tensor<100xf32>) -> (tensor<100xf32>) {
  %y = tensor.neg(%x) : tensor<100xf32>
  %z = tensor.neg(%y) : tensor<100xf32>
  return %z
}";

    #[test]
    fn all_values_count() {
        assert_eq!(checked(TWICE, 1600), []);
        assert_eq!(checked(TWICE, 1599), [Code::LIMIT]);
        // The input, and each of the two results.
        assert_eq!(checked(TWICE, 399), [Code::LIMIT; 3]);
    }

    #[test]
    fn products_of_extents_do_not_overflow() {
        let bytes = |dims: &[u64]| {
            tensor_bytes(&TensorType::new(Elem::F64, dims.iter().map(|&d| d.into())))
        };
        assert_eq!(bytes(&[1 << 40, 1 << 40]), u64::MAX);
        assert_eq!(bytes(&[1 << 40, 1 << 40, 0]), u64::MAX);
        assert_eq!(bytes(&[0, 3]), 24);
        assert_eq!(bytes(&[2, 3]), 48);
    }
}
