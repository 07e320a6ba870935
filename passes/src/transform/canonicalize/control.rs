//! Branches that are decided.

use lepid_ir::core::{Builder, Num, Op, Value};
use lepid_ir::dialects::tensor as t;

use crate::core::rewrite::{Pattern, Rewrite};
use crate::transform::matching::uniform;

pub(super) const PATTERNS: &[Pattern] = &[Pattern {
    name: "if-decided",
    op: "tensor.if",
    apply: if_decided,
}];

/// The ops of the region that is taken come in place of the `tensor.if`.
fn if_decided(b: &mut Builder<'_>, op: Op) -> Rewrite {
    let view = b.view(op);
    let Some(holds) = uniform(b.module, t::If::condition(view)) else {
        return Ok(None);
    };
    let region = view.regions()[usize::from(holds == Num::Int(0))];
    let block = b.module.region_blocks(region)[0];
    let ops: Vec<Op> = b.module.ops_in(block).collect();
    let Some((&end, rest)) = ops.split_last() else {
        return Ok(None);
    };
    for &inner in rest {
        b.module.move_before(inner, op);
    }
    let yielded: Vec<Value> = b.module.operands(end).to_vec();
    Ok(Some(yielded))
}
