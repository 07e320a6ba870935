//! The `adapt` dialect: computing less where less is enough.
//!
//! A policy turns cheap features into a small integer that selects one of the variants that the
//! compiler prepared. [`Decide`] asks a policy of the library in [`policies`], for each sample of a
//! batch; [`Cascade`] is a network in stages, each of which some samples leave. Its meaning is that
//! of each sample alone. [`Gate`] and [`Join`] say the same without regions, one after the other in
//! a block, so that every pass sees all stages.

mod cascade;
mod decide;
mod gate;
pub mod policies;

pub use cascade::{Cascade, Emit, Fallback, Leave, Mode, Stage, stages};
pub use decide::Decide;
pub use gate::{Gate, GateParts, Join};

use crate::core::{OpDef, Registry};

const OPS: &[&dyn OpDef] = &[&Decide, &Cascade, &Leave, &Emit, &Gate, &Join];

pub fn register(ops: &mut Registry) {
    ops.add(OPS);
}
