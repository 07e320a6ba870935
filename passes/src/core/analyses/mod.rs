//! Facts computed from a function and cached until it changes.

mod interference;
mod liveness;

use lepid_ir::core::{Module, Op};

pub use interference::Interference;
pub use liveness::{LiveRange, Liveness};

/// Something that can be computed from a function.
pub trait Analysis: 'static {
    fn compute(module: &Module, func: Op) -> Self;
}
