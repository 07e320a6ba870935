//! The `adapt` dialect: computing less where less is enough.
//!
//! A policy turns cheap features into a small integer that selects one of the variants that the
//! compiler prepared. [`Decide`] asks a policy of the library in [`policies`], for each sample of a
//! batch; [`Cascade`] is a network in stages, each of which some samples leave. Its meaning is that
//! of each sample alone. [`Gate`] and [`Join`] say the same without regions, one after the other in
//! a block, so that every pass sees all stages. [`Switch`] runs the variant that a number selects,
//! and [`Anytime`] refines a result while there is time.

mod anytime;
mod cascade;
mod decide;
mod gate;
pub mod policies;
mod switch;

pub use anytime::{Anytime, Elapsed};
pub use cascade::{Cascade, Emit, Fallback, Leave, Mode, Stage, stages};
pub use decide::Decide;
pub use gate::{Gate, GateParts, Join};
pub use switch::Switch;

use crate::core::{Block, OpDef, OpError, OpResult, OpView, Registry, Value};

const OPS: &[&dyn OpDef] = &[
    &Decide, &Cascade, &Leave, &Emit, &Gate, &Join, &Switch, &Anytime, &Elapsed,
];

/// What a block of an op yields.
fn yielded(op: OpView<'_>, block: Block) -> OpResult<Vec<Value>> {
    let end = op.module.terminator(block);
    match end.filter(|&end| op.module.op_name(end) == "core.yield") {
        Some(end) => Ok(op.module.operands(end).to_vec()),
        None => Err(OpError::new("a region must end in `core.yield`")),
    }
}

pub fn register(ops: &mut Registry) {
    ops.add(OPS);
}
