//! Inputs that decide shapes: a lowering that asks for the value of one is remembered, so that the
//! model can be lowered for a value that is at hand, and so that messages can name the input.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use lepid_ir::core::{Module, Value};

/// The inputs of the model, and those among them whose value has been asked for.
#[derive(Default)]
pub(super) struct Statics {
    inputs: BTreeMap<Value, String>,
    /// Lowerings ask while they hold what the module lends them.
    wanted: RefCell<BTreeSet<String>>,
}

/// Ops that only move or combine small numbers: behind them an input still decides a shape. What
/// reduces or looks up data is left out, for the data are no parameters.
const TRANSPARENT: &[&str] = &[
    "nn.relu",
    "tensor.add",
    "tensor.and",
    "tensor.broadcast",
    "tensor.cast",
    "tensor.ceil",
    "tensor.compare",
    "tensor.concat",
    "tensor.div",
    "tensor.floor",
    "tensor.gather",
    "tensor.max",
    "tensor.min",
    "tensor.mul",
    "tensor.neg",
    "tensor.not",
    "tensor.or",
    "tensor.reshape",
    "tensor.select",
    "tensor.slice",
    "tensor.sub",
    "tensor.transpose",
];

/// More elements than this are data.
const MOST_ELEMENTS: u64 = 4096;

/// Ops that one search looks at, for any module.
const MOST_OPS: usize = 256;

impl Statics {
    /// Names an argument.
    pub(super) fn add_input(&mut self, value: Value, name: &str) {
        self.inputs.insert(value, name.to_string());
    }

    /// Remembers that the value should be known, and gives the inputs that it is computed from.
    pub(super) fn want(&self, module: &Module, value: Value) -> Vec<String> {
        let mut names = Vec::new();
        let mut seen = BTreeSet::new();
        let mut open = vec![value];
        while let Some(value) = open.pop() {
            if seen.len() == MOST_OPS || !seen.insert(value) {
                continue;
            }
            match (self.inputs.get(&value), module.defining_op(value)) {
                (Some(name), _) if is_small(module, value) => names.push(name.clone()),
                (None, Some(op)) if TRANSPARENT.contains(&module.op_name(op)) => {
                    open.extend(module.operands(op));
                }
                _ => {}
            }
        }
        self.wanted.borrow_mut().extend(names.iter().cloned());
        names
    }

    /// What has been asked for.
    pub(super) fn wanted(self) -> BTreeSet<String> {
        self.wanted.into_inner()
    }
}

/// Whether an input is small enough for a parameter, as far as its type tells.
fn is_small(module: &Module, value: Value) -> bool {
    let Some(ty) = module.value_type(value).as_tensor() else {
        return false;
    };
    match ty.element_count() {
        Some(count) => count <= MOST_ELEMENTS,
        None => ty.rank() <= 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transparent_ops_are_sorted_and_exist() {
        assert!(TRANSPARENT.is_sorted());
        let registry = lepid_ir::dialects::registry();
        for name in TRANSPARENT {
            assert!(registry.get(name).is_some(), "{name}");
        }
    }
}
