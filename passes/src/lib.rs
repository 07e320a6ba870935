//! Passes of Lepid: the pass manager, the analyses and the transforms.
//!
//! What it is: passes as tables ([`core::PassDef`]), pipelines as text ([`core::Pipeline`]), the
//! manager that runs them, and one file per pass in [`transform`]. What it may not know of:
//! targets, front ends, the driver; what a pass needs to know of a target comes in as a hook of
//! [`core::PassEnv`]. Arrows inside the crate: [`core`] knows none of the others.
//!
//! Begin with [`core::PassDef`], then `transform/dead_ops.rs`.

pub mod core;
pub mod eqsat;
pub mod transform;

pub use transform::registry;
