//! Brings ops into one form: the simplest one that says the same.
//!
//! ```text
//! %1 = tensor.transpose(%0) {perm = [1, 0]}
//! %2 = tensor.transpose(%1) {perm = [1, 0]}          %1 = nn.relu(%0)
//! %3 = tensor.max(%2, %zero)                    →    %2 = nn.linear(%1, %w, %bias)
//! %4 = nn.matmul(%3, %w)
//! %5 = tensor.add(%4, %broadcast_of_bias)
//! ```
//!
//! Small patterns in tables, one table per file: no-ops and chains of shape ops ([`shape`]),
//! arithmetic with constants ([`arith`]), dynamic shapes that turn out to be static ([`dynamic`]),
//! what follows a convolution or a linear layer ([`affine`]), composites spelled out in primitive
//! ops ([`compose`], [`norm`]), what stands around windows ([`window`]), branches that are decided ([`control`]). Tiny constants are folded
//! on the way, since shapes are computed with them.

pub(super) mod affine;
mod arith;
mod compose;
mod control;
mod dynamic;
mod norm;
pub(super) mod shape;
mod window;

use lepid_ir::core::{Builder, Module, Op};

use crate::core::rewrite::{Pattern, Rewrite, apply_patterns};
use crate::core::{PassCx, PassDef, PassResult, Values};
use crate::transform::fold;

pub const PASS: PassDef = PassDef {
    name: "canonicalize",
    summary: "Brings ops into their simplest form with local patterns.",
    values: Values::Within(1e-5),
    options: &[],
    run,
};

const FOLD: &[Pattern] = &[Pattern {
    name: "fold-tiny",
    op: "*",
    apply: fold_tiny,
}];

fn run(module: &mut Module, _: &mut PassCx<'_>) -> PassResult {
    let tables = [
        FOLD,
        shape::PATTERNS,
        dynamic::PATTERNS,
        control::PATTERNS,
        arith::PATTERNS,
        affine::PATTERNS,
        compose::PATTERNS,
        norm::PATTERNS,
        window::PATTERNS,
    ];
    apply_patterns(module, &tables)
}

/// Shapes and what is computed of them are at most this large.
const TINY_BYTES: u64 = 1024;

fn fold_tiny(b: &mut Builder<'_>, op: Op) -> Rewrite {
    match fold::evaluate(b.module, op, TINY_BYTES) {
        Some(tensors) => Ok(Some(fold::constants(b, tensors)?)),
        None => Ok(None),
    }
}
