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
    let pairs = Func::state_pairs(view).into_iter();
    pairs
        .map(|(input, output)| {
            let (past, present) = (Func::args(view)[input], Func::returned(view)[output]);
            State {
                input,
                output,
                update: match chain(module, func, past, present) {
                    Ok(values) => Update::InPlace(values),
                    Err(reason) => Update::Apart(reason),
                },
            }
        })
        .collect()
}

/// The values from the old state to the new one that can lie in one memory, or why they cannot.
fn chain(module: &Module, func: Op, past: Value, present: Value) -> Result<Vec<Value>, String> {
    let block = Func::block(module.view(func));
    let end = viewed(module, present);
    let mut chain = vec![end];
    let mut scatters = Vec::new();
    let mut at = end;
    while at != past {
        let scatter = module.defining_op(at).filter(|&op| {
            SCATTERS.contains(&module.op_name(op)) && module.op_block(op) == Some(block)
        });
        let Some(scatter) = scatter else {
            return Err(match module.defining_op(at) {
                Some(op) if at == end => {
                    format!(
                        "it is computed by `{}`, not by a scatter",
                        module.op_name(op)
                    )
                }
                Some(op) => format!("a scatter writes into what `{}` gives", module.op_name(op)),
                None => "it becomes another argument, or changed rows of one".to_string(),
            });
        };
        at = viewed(module, module.operands(scatter)[0]);
        chain.push(at);
        scatters.push(scatter);
    }
    chain.reverse();
    scatters.reverse();
    let order: Vec<Op> = module.ops_in(block).collect();
    for (&target, &scatter) in chain.iter().zip(&scatters) {
        check_reads(module, (block, &order), target, scatter)?;
    }
    Ok(chain)
}

/// Whether nothing reads `target` once `scatter` writes into it.
fn check_reads(
    module: &Module,
    (block, order): (Block, &[Op]),
    target: Value,
    scatter: Op,
) -> Result<(), String> {
    let place = |op: Op| order.iter().position(|&o| o == op);
    let written = place(scatter);
    let mut views = vec![target];
    let mut next = 0;
    while let Some(&value) = views.get(next) {
        next += 1;
        for reader in module.uses(value) {
            if reader.operand == 0 && is_view(module, reader.op) {
                views.push(module.results(reader.op)[0]);
                continue;
            }
            if reader.op == scatter {
                match reader.operand {
                    0 => continue,
                    _ => return Err("its update is read from it".to_string()),
                }
            }
            let outer = outermost(module, block, reader.op);
            if outer.and_then(place) > written {
                return Err(match module.terminator(block) == Some(reader.op) {
                    true => "what it was before is a result, too".to_string(),
                    false => {
                        let name = module.op_name(reader.op);
                        format!("what it was before is read after the update, by `{name}`")
                    }
                });
            }
        }
    }
    Ok(())
}

/// The op of the block that `op` is, or stands in.
fn outermost(module: &Module, block: Block, op: Op) -> Option<Op> {
    let mut at = op;
    while module.op_block(at) != Some(block) {
        at = module.parent_op(at)?;
    }
    Some(at)
}
