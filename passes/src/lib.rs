//! Passes of Lepid: the pass manager and the transforms.
//!
//! What it is: passes as tables ([`core::PassDef`]), pipelines as text ([`core::Pipeline`]), the
//! manager that runs them, one file per pass in [`transform`], equality saturation in [`eqsat`], and
//! in [`batch`] whether the samples of a batch keep apart; [`stages`] makes cascades of functions with
//! several exits, [`anytime`] makes LSTMs that get better while there is time. What it may not know of: targets, front ends, the driver; what a pass needs to know of
//! a target comes in as a hook of [`core::PassEnv`]. Arrows inside the crate: [`core`] knows none of the others.
//!
//! Begin with [`core::PassDef`], then `transform/dead_ops.rs`.

pub mod anytime;
pub mod batch;
pub mod core;
pub mod eqsat;
pub mod stages;
pub mod transform;

use crate::core::PassRegistry;

/// Adds the passes of this crate.
pub fn register(passes: &mut PassRegistry) {
    transform::register(passes);
    passes.add(&[&eqsat::PASS]);
}

/// A registry of the passes of this crate.
pub fn registry() -> PassRegistry {
    let mut passes = PassRegistry::default();
    register(&mut passes);
    passes
}
