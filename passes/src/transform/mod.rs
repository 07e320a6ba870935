//! The passes, one file each.

pub mod canonicalize;
pub mod cse;
pub mod dead_ops;
pub mod expand;
pub mod flatten_cascades;
pub mod fold;
pub mod fold_batch_norm;
pub mod fold_shuffles;
pub mod fuse_epilogues;
pub mod fuse_nests;
pub mod gates;
pub mod inline;
pub mod joins;
pub mod layout;
pub mod lower;
mod matching;
pub mod memory_plan;
pub mod raise_exits;
pub mod refine;
pub mod states;

use crate::core::{PassDef, PassRegistry};

/// Every pass of this folder, sorted by name.
const PASSES: &[&PassDef] = &[
    &lower::adapt_to_tensor::PASS,
    &canonicalize::PASS,
    &cse::PASS,
    &dead_ops::PASS,
    &expand::PASS,
    &flatten_cascades::PASS,
    &fold::PASS,
    &fold_batch_norm::PASS,
    &fold_shuffles::PASS,
    &fuse_epilogues::PASS,
    &fuse_nests::PASS,
    &inline::PASS,
    &layout::PASS,
    &lower::nn_to_kernel::PASS,
    &memory_plan::PASS,
    &raise_exits::PASS,
    &refine::PASS,
];

/// Adds the passes of this folder.
pub(crate) fn register(passes: &mut PassRegistry) {
    passes.add(PASSES);
}
