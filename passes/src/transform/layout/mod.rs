//! Brings images from channels first to channels last.
//!
//! ```text
//! %1 = nn.conv(%0, %w) {layout = "nchw"}         %1 = tensor.transpose(%0) {perm = [0, 2, 3, 1]}
//! %2 = nn.relu(%1)                               %2 = nn.conv(%1, %w) {layout = "nhwc"}
//! %3 = nn.max_pool(%2) {layout = "nchw"}    →    %3 = nn.relu(%2)
//!                                                %4 = nn.max_pool(%3) {layout = "nhwc"}
//!                                                %5 = tensor.transpose(%4) {perm = [0, 3, 1, 2]}
//! ```
//!
//! Each op with a `layout` gets a transpose before and after it ([`convert`]). Then the transposes
//! back to channels first sink through the ops below ([`sink`]) until they meet a transpose to
//! channels last and cancel, so that a network keeps them at its edges only. Where all spatial
//! extents or the channels are 1, a transpose is a reshape. Any number of spatial axes.

mod sink;

use lepid_ir::core::{Builder, Module, Op, OpResult, Value};
use lepid_ir::dialects::tensor::{Transpose, build};

use crate::core::rewrite::{Pattern, Rewrite, apply_patterns, defined_by, rebuild_with};
use crate::core::{PassCx, PassDef, PassResult, Values};
use crate::transform::canonicalize::shape;
use crate::transform::matching::dims;

pub const PASS: PassDef = PassDef {
    name: "layout",
    summary: "Brings images from channels first to channels last.",
    values: Values::Within(1e-5),
    options: &[],
    run,
};

const PATTERNS: &[Pattern] = &[Pattern {
    name: "channels-last",
    op: "*",
    apply: convert,
}];

fn run(module: &mut Module, _: &mut PassCx<'_>) -> PassResult {
    apply_patterns(module, &[shape::PATTERNS, PATTERNS, sink::PATTERNS])
}

/// The axes of a channels-first tensor in the order of channels last.
fn to_last(rank: usize) -> Vec<usize> {
    std::iter::once(0).chain(2..rank).chain([1]).collect()
}

/// The axes of a channels-last tensor in the order of channels first.
fn to_first(rank: usize) -> Vec<usize> {
    [0, rank - 1].into_iter().chain(1..rank - 1).collect()
}

/// Any op with a `layout`, which is always that of its first operand and of its result.
fn convert(b: &mut Builder<'_>, op: Op) -> Rewrite {
    let view = b.view(op);
    let info = view.info();
    let first = info
        .attr_index("layout")
        .is_some_and(|i| view.attrs()[i].as_str() == Some("nchw"));
    if !first || view.operand_tensor(0).rank() < 3 {
        return Ok(None);
    }
    let rank = view.operand_tensor(0).rank();
    let mut operands = view.operands().to_vec();
    operands[0] = build::transpose(b, operands[0], &to_last(rank))?;
    let y = rebuild_with(b, op, &operands, &[("layout", "nhwc".into())])?;
    Ok(Some(vec![build::transpose(b, y[0], &to_first(rank))?]))
}

/// The channels-last tensor that `value` is the channels-first form of.
fn channels_last(b: &Builder<'_>, value: Value) -> Option<Value> {
    let rank = b.value_type(value).as_tensor()?.rank();
    if rank < 3 {
        return None;
    }
    let op = defined_by(b.module, value, &Transpose)?;
    (shape::perm_of(b, op) == to_first(rank)).then(|| b.module.operands(op)[0])
}

/// The channels-first form of a channels-last tensor.
fn back(b: &mut Builder<'_>, value: Value) -> OpResult<Value> {
    let rank = dims(b.module, value).len();
    build::transpose(b, value, &to_first(rank))
}
