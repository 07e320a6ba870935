//! Operators that the standard took over, as it has them now.

use lepid_ir::core::{OpResult, Value};
use lepid_ir::dialects::tensor::build;

use super::super::found::{Order, unique_along};
use super::super::{Row, lookup, one, row};
use crate::frontends::onnx::cx::{Cx, invalid, normal_axis};

type Values = OpResult<Vec<Value>>;

pub(in super::super) const ROWS: &[Row] = &[
    row("com.microsoft::DequantizeLinear", 1, |cx| {
        standard(cx, "DequantizeLinear")
    }),
    row("com.microsoft::ExpandDims", 1, expand_dims),
    row("com.microsoft::GatherND", 1, |cx| standard(cx, "GatherND")),
    row("com.microsoft::GridSample", 1, |cx| {
        standard(cx, "GridSample")
    }),
    row("com.microsoft::Pad", 1, |cx| standard(cx, "Pad")),
    row("com.microsoft::QuantizeLinear", 1, |cx| {
        standard(cx, "QuantizeLinear")
    }),
    row("com.microsoft::Range", 1, range),
    row("com.microsoft::Trilu", 1, |cx| standard(cx, "Trilu")),
    row("com.microsoft::Unique", 1, unique),
];

/// The version of the standard that has all that this domain relies on.
const OPSET: i64 = 16;

/// As the operator of the standard.
pub(super) fn standard(cx: &mut Cx<'_, '_, '_, '_>, name: &'static str) -> Values {
    let Some(row) = lookup("", name) else {
        lepid_ir::bug!("there is no operator `{name}`");
    };
    cx.opset = OPSET;
    (row.lower)(cx)
}

fn expand_dims(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let x = cx.input(0)?;
    let axis = cx.constant_ints(1, "the axis")?;
    let axis = cx.required("axis", axis.and_then(|a| a.first().copied()))?;
    let axis = normal_axis(axis, cx.rank(x)? + 1)?;
    one(build::unsqueeze(cx.b, x, &[axis])?)
}

/// The step may be left out.
fn range(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let (start, limit) = (cx.input(0)?, cx.input(1)?);
    let step = match cx.optional(2) {
        Some(step) => step,
        None => cx.number(cx.elem(start)?, 1.0)?,
    };
    let inputs = [Some(start), Some(limit), Some(step)];
    let mut whole = Cx {
        b: &mut *cx.b,
        node: cx.node,
        opset: cx.opset,
        inputs: &inputs,
        scope: cx.scope,
        importer: &mut *cx.importer,
    };
    standard(&mut whole, "Range")
}

/// The distinct elements of a vector as they first occur, which of them each element is, and how
/// often each occurs.
fn unique(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let x = cx.input(0)?;
    if cx.rank(x)? != 1 {
        return Err(invalid("the input must be a vector"));
    }
    let [values, _, inverse, counts] = unique_along(cx, x, 0, Order::Occurrence)?[..] else {
        lepid_ir::bug!("four values were expected");
    };
    Ok(vec![values, inverse, counts])
}
