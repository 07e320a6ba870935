//! States that stay inside of a program from step to step, and which of them change in place.
//!
//! ```text
//! func @step(%past, %rows, %at) -> (%present) attributes {states = [0, 0]} {
//!   %present = tensor.scatter_nd(%past, %at, %rows)
//!   return %present
//! }
//! ```
//!
//! A state ([`Func::state_pairs`]) has memory of its own, outside of the arena. It is changed **in
//! place** if this holds:
//!
//! - what the function returns for it is its argument, changed by a chain of scatters, of which each
//!   writes into what the one before gave; reshapes do not matter;
//! - each scatter is in the function's own block, so that it runs once in each step;
//! - what a scatter writes into (the old state, or what the scatter before gave) is read by nothing
//!   after it, is no result of the function, and is not what its indices or updates are read from.
//!
//! Then the values of the chain lie in the state's memory, and a scatter has nothing to do but to
//! write what is new. A state that never changes is a chain without a scatter. Every other state is
//! computed **apart**: into a second memory, which takes the place of the first at the end of the
//! step. So two states may also change places.
//!
//! This is the only place that says so: the memory plan, generated code and what `lepid inspect`
//! shows all ask [`states`].

use std::collections::HashMap;

use lepid_ir::core::{Block, Module, Op, Value};
use lepid_ir::dialects::core::Func;

use crate::transform::memory_plan::{is_view, viewed};

/// Ops that change some elements of their first operand.
const SCATTERS: &[&str] = &["tensor.scatter_elements", "tensor.scatter_nd"];

/// A state of a function.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct State {
    /// The number of the argument.
    pub input: usize,
    /// The number of the result.
    pub output: usize,
    pub update: Update,
}

/// How a state changes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Update {
    /// In its own memory, in which these values lie one after the other: the argument first.
    InPlace(Vec<Value>),
    /// In a second memory; the text says why.
    Apart(String),
}

impl State {
    /// The value that the state is at the end of a step, if it changes in place.
    pub fn in_place(&self) -> Option<Value> {
        match &self.update {
            Update::InPlace(chain) => chain.last().copied(),
            Update::Apart(_) => None,
        }
    }

    /// The values that lie in the state's memory beside the argument.
    pub fn changed(&self) -> &[Value] {
        match &self.update {
            Update::InPlace(chain) => &chain[1..],
            Update::Apart(_) => &[],
        }
    }
}

/// The states of a function, in the order of its attribute.
pub fn states(module: &Module, func: Op) -> Vec<State> {
    let view = module.view(func);
    let pairs = Func::state_pairs(view);
    if pairs.is_empty() {
        return Vec::new();
    }
    let body = Body::of(module, func);
    pairs
        .into_iter()
        .map(|(input, output)| {
            let (past, present) = (Func::args(view)[input], Func::returned(view)[output]);
            State {
                input,
                output,
                update: match body.chain(past, present) {
                    Ok(values) => Update::InPlace(values),
                    Err(reason) => Update::Apart(reason),
                },
            }
        })
        .collect()
}

/// Whether an op writes into a state where it lies: then it touches no more than its updates.
pub fn is_in_place(module: &Module, op: Op) -> bool {
    let func = module.parent_op(op);
    let func = func.filter(|&f| module.op_name(f) == Func::INFO.name && is_scatter(module, op));
    let Some(func) = func else {
        return false;
    };
    let view = module.view(func);
    let pairs = Func::state_pairs(view).into_iter();
    let mut past = viewed(module, module.operands(op)[0]);
    while let Some(before) = module.defining_op(past).filter(|&o| is_scatter(module, o)) {
        past = viewed(module, module.operands(before)[0]);
    }
    let mut of_it = pairs.filter(|&(input, _)| Func::args(view)[input] == past);
    of_it.any(|(_, output)| {
        let chain = Body::of(module, func).chain(past, Func::returned(view)[output]);
        chain.is_ok_and(|values| values.contains(&module.results(op)[0]))
    })
}

fn is_scatter(module: &Module, op: Op) -> bool {
    SCATTERS.contains(&module.op_name(op))
}

/// The block of a function, and where each of its ops stands there.
struct Body<'m> {
    module: &'m Module,
    block: Block,
    places: HashMap<Op, usize>,
}

impl<'m> Body<'m> {
    fn of(module: &'m Module, func: Op) -> Body<'m> {
        let block = Func::block(module.view(func));
        let ops = module.ops_in(block).enumerate();
        Body {
            module,
            block,
            places: ops.map(|(i, op)| (op, i)).collect(),
        }
    }

    /// The values from the old state to the new one that can lie in one memory, or why they cannot.
    fn chain(&self, past: Value, present: Value) -> Result<Vec<Value>, String> {
        let module = self.module;
        let end = viewed(module, present);
        let mut chain = vec![end];
        let mut scatters = Vec::new();
        let mut at = end;
        while at != past {
            let op = module.defining_op(at);
            let scatter = op.filter(|&op| is_scatter(module, op) && self.places.contains_key(&op));
            let Some(scatter) = scatter else {
                let name = op.map(|op| module.op_name(op));
                return Err(match name {
                    Some(name) if at == end => {
                        format!("it is computed by `{name}`, not by a scatter")
                    }
                    Some(name) => format!("a scatter writes into what `{name}` gives"),
                    None => "it comes from another argument".to_string(),
                });
            };
            at = viewed(module, module.operands(scatter)[0]);
            chain.push(at);
            scatters.push(scatter);
        }
        chain.reverse();
        scatters.reverse();
        for (&target, &scatter) in chain.iter().zip(&scatters) {
            self.check_reads(target, scatter)?;
        }
        Ok(chain)
    }

    /// Whether nothing reads `target` once `scatter` writes into it.
    fn check_reads(&self, target: Value, scatter: Op) -> Result<(), String> {
        let module = self.module;
        let written = self.places[&scatter];
        let mut views = vec![target];
        let mut next = 0;
        while let Some(&value) = views.get(next) {
            next += 1;
            for reader in module.uses(value) {
                if reader.operand == 0 && is_view(module, reader.op) {
                    views.push(module.results(reader.op)[0]);
                } else if reader.op == scatter {
                    if reader.operand != 0 {
                        return Err("its update is read from it".to_string());
                    }
                } else if module.terminator(self.block) == Some(reader.op) {
                    return Err("what it was before is a result, too".to_string());
                } else if self.place(reader.op) > written {
                    let name = module.op_name(reader.op);
                    let reason = "what it was before is read after the update, by";
                    return Err(format!("{reason} `{name}`"));
                }
            }
        }
        Ok(())
    }

    /// Where an op stands in the block, or the one that it is in.
    fn place(&self, op: Op) -> usize {
        let mut at = op;
        loop {
            match (self.places.get(&at), self.module.parent_op(at)) {
                (Some(&place), _) => return place,
                (None, Some(parent)) => at = parent,
                (None, None) => lepid_ir::bug!("a value is read outside of its function"),
            }
        }
    }
}
