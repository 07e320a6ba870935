//! The passes, one file each.

pub mod cse;
pub mod dead_ops;
pub mod fold;
pub mod fuse_epilogues;
pub mod fuse_nests;
pub mod lower;
pub mod memory_plan;

use crate::core::{PassDef, PassRegistry};

/// Every pass of this crate, sorted by name.
const PASSES: &[&PassDef] = &[
    &cse::PASS,
    &dead_ops::PASS,
    &fold::PASS,
    &fuse_epilogues::PASS,
    &fuse_nests::PASS,
    &memory_plan::PASS,
    &lower::nn_to_kernel::PASS,
];

/// Adds the passes of this crate.
pub fn register(passes: &mut PassRegistry) {
    passes.add(PASSES);
}

/// A registry of the passes of this crate.
pub fn registry() -> PassRegistry {
    let mut passes = PassRegistry::default();
    register(&mut passes);
    passes
}
