//! Operators on quantised numbers: as on the numbers that they stand for, quantised again.

use lepid_ir::core::{OpDef, OpResult, Value};
use lepid_ir::dialects::nn;
use lepid_ir::dialects::tensor::{self, build};

use super::super::conv::average_pool_of;
use super::super::quant::{dequantized, quantized};
use super::super::{Row, one, row};
use super::fused::{channels_first, channels_last};
use crate::frontends::onnx::cx::{Cx, invalid, normal_axis};

type Values = OpResult<Vec<Value>>;

pub(in super::super) const ROWS: &[Row] = &[
    row("com.microsoft::QLinearAdd", 1, |cx| {
        binary(cx, &tensor::Add)
    }),
    row("com.microsoft::QLinearAveragePool", 1, |cx| {
        pooled(cx, average_pool_of)
    }),
    row("com.microsoft::QLinearConcat", 1, concat),
    row("com.microsoft::QLinearGlobalAveragePool", 1, |cx| {
        pooled(cx, |cx, x| {
            let axes = build::ints(2..cx.rank(x)?);
            cx.op(&nn::Mean, &[x], &[("axes", axes), ("keep", true.into())])
        })
    }),
    row("com.microsoft::QLinearLeakyRelu", 1, |cx| {
        unary(cx, |cx, x| {
            let alpha = cx.float("alpha", 0.01)?;
            cx.op(&nn::LeakyRelu, &[x], &[("alpha", alpha.into())])
        })
    }),
    row("com.microsoft::QLinearMul", 1, |cx| {
        binary(cx, &tensor::Mul)
    }),
    row("com.microsoft::QLinearReduceMean", 1, |cx| {
        unary(cx, reduce_mean)
    }),
    row("com.microsoft::QLinearSigmoid", 1, |cx| {
        unary(cx, |cx, x| cx.op(&nn::Sigmoid, &[x], &[]))
    }),
    row("com.microsoft::QLinearSoftmax", 1, |cx| unary(cx, softmax)),
    row("com.microsoft::QLinearWhere", 1, select),
];

/// Builds a float from a float.
type Unary = fn(&mut Cx<'_, '_, '_, '_>, Value) -> OpResult<Value>;

/// A quantised input at a place, with its scale and zero point after it, as floats.
fn float_input(cx: &mut Cx<'_, '_, '_, '_>, at: usize) -> OpResult<Value> {
    let (x, scale) = (cx.input(at)?, cx.input(at + 1)?);
    dequantized(cx, x, scale, cx.optional(at + 2))
}

/// Floats in the elements of the first input, whose scale and zero point are at a place.
fn output(cx: &mut Cx<'_, '_, '_, '_>, y: Value, at: usize) -> Values {
    let to = cx.elem(cx.input(0)?)?;
    one(quantized(cx, y, cx.input(at)?, cx.optional(at + 1), to)?)
}

fn unary(cx: &mut Cx<'_, '_, '_, '_>, function: Unary) -> Values {
    let x = float_input(cx, 0)?;
    let y = function(cx, x)?;
    output(cx, y, 3)
}

fn binary(cx: &mut Cx<'_, '_, '_, '_>, def: &'static dyn OpDef) -> Values {
    let (x, y) = (float_input(cx, 0)?, float_input(cx, 3)?);
    let z = cx.binary(def, x, y)?;
    output(cx, z, 6)
}

/// A pool over spatial axes, which may stand before the channels.
fn pooled(cx: &mut Cx<'_, '_, '_, '_>, pool: Unary) -> Values {
    let mut x = float_input(cx, 0)?;
    let last = cx.flag("channels_last")?;
    if last {
        x = channels_first(cx, x)?;
    }
    let mut y = pool(cx, x)?;
    if last {
        y = channels_last(cx, y)?;
    }
    output(cx, y, 3)
}

fn concat(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let (scale, zero) = (cx.input(0)?, cx.input(1)?);
    let mut parts = Vec::new();
    for at in (2..cx.inputs.len()).step_by(3) {
        parts.push(float_input(cx, at)?);
    }
    let Some(&first) = parts.first() else {
        return Err(invalid("there is nothing to concatenate"));
    };
    let axis = cx.required("axis", cx.opt_int("axis")?)?;
    let axis = normal_axis(axis, cx.rank(first)?)?;
    let y = build::concat(cx.b, &parts, axis)?;
    let to = cx.elem(zero)?;
    one(quantized(cx, y, scale, Some(zero), to)?)
}

fn select(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let condition = cx.input(0)?;
    let (x, y) = (float_input(cx, 1)?, float_input(cx, 4)?);
    let z = cx.select(condition, x, y)?;
    let to = cx.elem(cx.input(1)?)?;
    one(quantized(cx, z, cx.input(7)?, cx.optional(8), to)?)
}

fn reduce_mean(cx: &mut Cx<'_, '_, '_, '_>, x: Value) -> OpResult<Value> {
    let rank = cx.rank(x)?;
    let axes = cx.ints("axes")?.unwrap_or_default();
    let axes: OpResult<Vec<usize>> = axes.iter().map(|&a| normal_axis(a, rank)).collect();
    let mut axes = axes?;
    if axes.is_empty() {
        axes = (0..rank).collect();
    }
    axes.sort_unstable();
    let keep = cx.int("keepdims", 1)? != 0;
    let axes = build::ints(axes);
    cx.op(&nn::Mean, &[x], &[("axes", axes), ("keep", keep.into())])
}

/// Before version 13 over all axes from `axis` on, as if they were one.
fn softmax(cx: &mut Cx<'_, '_, '_, '_>, x: Value) -> OpResult<Value> {
    let dims = cx.dims(x)?;
    let axis = cx.axis(-1, dims.len())?;
    let attrs = [("axis", (axis as i64).into())];
    if cx.int("opset", 13)? >= 13 {
        return cx.op(&nn::Softmax, &[x], &attrs);
    }
    let flat = super::fused::merged_from(&dims, axis);
    let x = cx.reshape(x, &flat)?;
    let y = cx.op(&nn::Softmax, &[x], &attrs)?;
    cx.reshape(y, &dims)
}
