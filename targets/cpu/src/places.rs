//! Where each value lies when the program runs.

use std::collections::HashMap;

use lepid_ir::core::{Module, Op, Value};
use lepid_ir::dialects::core::Func;
use lepid_passes::transform::lower::nn_to_kernel::is_constant_expression;
use lepid_passes::transform::memory_plan::{Storage, direct_outputs, lodged, values};
use lepid_passes::transform::states::{State, states};

use crate::run::byte_count;
use crate::states::StateMeta;
use crate::weights::{Layout, Weights};

/// A place in one of the memories that the context points to.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    /// Bytes into the arena.
    Arena(usize),
    /// Bytes into the weights.
    Weights(usize),
    /// The input of that number.
    Input(usize),
    /// The output of that number.
    Output(usize),
    /// The slot of that number, for a value of unknown extents.
    Slot(usize),
    /// Bytes into the scratch of the thread.
    Scratch(usize),
}

/// The places of a function's values, from its memory plan.
pub(crate) struct Places<'m> {
    module: &'m Module,
    known: HashMap<Value, Place>,
    /// How many slots there are.
    pub(crate) slots: usize,
    /// For each result of the function whether it is computed in its output.
    pub(crate) direct: Vec<Option<Value>>,
}

impl<'m> Places<'m> {
    pub(crate) fn new(module: &'m Module, func: Op) -> Places<'m> {
        let view = module.view(func);
        let mut known = HashMap::new();
        let mut slots = 0;
        for (value, slot) in values(module, func).into_iter().zip(Func::slots(view)) {
            match Storage::of(slot) {
                Storage::Elsewhere => None,
                Storage::Arena(offset) => known.insert(value, Place::Arena(offset as usize)),
                Storage::Slot(number) => {
                    slots = slots.max(number as usize + 1);
                    known.insert(value, Place::Slot(number as usize))
                }
            };
        }
        for (i, &arg) in Func::args(view).iter().enumerate() {
            known.insert(arg, Place::Input(i));
        }
        let direct = direct_outputs(module, func);
        for (i, value) in direct.iter().enumerate() {
            if let Some(value) = value {
                known.insert(*value, Place::Output(i));
            }
        }
        for state in states(module, func) {
            let memory = Place::Output(state.output);
            known.extend(state.changed().iter().map(|&value| (value, memory)));
        }
        Places {
            module,
            known,
            slots,
            direct,
        }
    }

    /// The place of a value; constants get one among the weights.
    pub(crate) fn of(&self, weights: &mut Weights, value: Value) -> Place {
        let root = lodged(self.module, value);
        if is_constant_expression(self.module, root) {
            return Place::Weights(weights.place(self.module, root, Layout::Raw));
        }
        match self.known.get(&root) {
            Some(&place) => place,
            None => lepid_ir::bug!("the memory plan has no place for a value"),
        }
    }
}

/// What is said of results, of those that are no states.
pub(crate) fn ports_of<T: Copy>(module: &Module, func: Op, results: &[T]) -> Vec<T> {
    let pairs = Func::state_pairs(module.view(func));
    let is_state = |i: usize| pairs.iter().any(|&(_, output)| output == i);
    let all = results.iter().enumerate();
    all.filter(|&(i, _)| !is_state(i))
        .map(|(_, &said)| said)
        .collect()
}

/// What a run time needs to know of states.
pub(crate) fn state_metas(module: &Module, func: Op) -> Vec<StateMeta> {
    let args = Func::args(module.view(func));
    let of = |state: &State| StateMeta {
        input: state.input,
        output: state.output,
        bytes: byte_count(module.value_type(args[state.input])).unwrap_or_default(),
        in_place: state.in_place().is_some(),
    };
    states(module, func).iter().map(of).collect()
}
