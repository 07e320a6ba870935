//! Normalisations of sums.

use lepid_ir::core::{Elem, OpResult, Value};
use lepid_ir::dialects::tensor::build;
use lepid_ir::dialects::{nn, tensor};

use super::super::{Row, row};
use crate::frontends::onnx::cx::{Cx, unsupported};

type Values = OpResult<Vec<Value>>;

pub(in super::super) const ROWS: &[Row] = &[
    // ONNX Runtime has this one in the default domain.
    row("SimplifiedLayerNormalization", 1, simplified_layer_norm),
    row(
        "com.microsoft::EmbedLayerNormalization",
        1,
        embed_layer_norm,
    ),
    row("com.microsoft::SkipLayerNormalization", 1, skip_layer_norm),
    row(
        "com.microsoft::SkipSimplifiedLayerNormalization",
        1,
        skip_simplified_layer_norm,
    ),
];

fn attrs(
    cx: &Cx<'_, '_, '_, '_>,
    axis: usize,
    epsilon: f32,
) -> OpResult<[(&'static str, lepid_ir::core::Attr); 2]> {
    let epsilon = cx.float("epsilon", epsilon)?;
    Ok([("axis", (axis as i64).into()), ("epsilon", epsilon.into())])
}

/// `x / √(mean(x²) + epsilon) · scale`, and the factor before the scale.
fn simplified_layer_norm(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let (x, scale) = (cx.input(0)?, cx.input(1)?);
    let axis = cx.axis(-1, cx.rank(x)?)?;
    let attrs = attrs(cx, axis, 1e-5)?;
    let mut values = vec![cx.op(&nn::RmsNorm, &[x, scale], &attrs)?];
    if cx.wants(1) {
        let axes: Vec<usize> = (axis..cx.rank(x)?).collect();
        let square = cx.op(&tensor::Mul, &[x, x], &[])?;
        let mean = build::mean_keep(cx.b, square, &axes)?;
        let epsilon = cx.float("epsilon", 1e-5)?;
        let mean = build::with_scalar(cx.b, &tensor::Add, mean, epsilon)?;
        values.push(cx.op(&tensor::Rsqrt, &[mean], &[])?);
    }
    Ok(values)
}

/// `x + skip + bias`.
fn sum(cx: &mut Cx<'_, '_, '_, '_>, bias: usize) -> OpResult<Value> {
    if cx.wants(1) || cx.wants(2) {
        return Err(unsupported("the outputs for training are not supported"));
    }
    let (x, skip) = (cx.input(0)?, cx.input(1)?);
    let sum = cx.binary(&tensor::Add, x, skip)?;
    match cx.optional(bias) {
        Some(bias) => cx.binary(&tensor::Add, sum, bias),
        None => Ok(sum),
    }
}

/// Layer normalisation of `x + skip + bias`; the fourth output is that sum.
fn skip_layer_norm(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let sum = sum(cx, 4)?;
    let mut operands = vec![sum, cx.input(2)?];
    operands.extend(cx.optional(3));
    let attrs = attrs(cx, cx.rank(sum)? - 1, 1e-12)?;
    let y = cx.op(&nn::LayerNorm, &operands, &attrs)?;
    // The second and third are for training.
    Ok(vec![y, y, y, sum])
}

fn skip_simplified_layer_norm(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let sum = sum(cx, 3)?;
    let scale = cx.input(2)?;
    let attrs = attrs(cx, cx.rank(sum)? - 1, 1e-12)?;
    let y = cx.op(&nn::RmsNorm, &[sum, scale], &attrs)?;
    Ok(vec![y, y, y, sum])
}

/// Layer normalisation of the sum of what words, positions and segments are embedded as; how many
/// words the mask keeps; and the sum.
fn embed_layer_norm(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let ids = cx.input(0)?;
    let (words, places) = (cx.input(2)?, cx.input(3)?);
    let mut sum = build::gather(cx.b, words, ids, 0)?;
    let positions = match cx.optional(8) {
        Some(positions) => positions,
        None => cx.places(ids, 1)?,
    };
    let place = build::gather(cx.b, places, positions, 0)?;
    sum = cx.binary(&tensor::Add, sum, place)?;
    if let (Some(segments), Some(table)) = (cx.optional(1), cx.optional(4)) {
        let segment = build::gather(cx.b, table, segments, 0)?;
        sum = cx.binary(&tensor::Add, sum, segment)?;
    }
    let operands = [sum, cx.input(5)?, cx.input(6)?];
    let attrs = attrs(cx, 2, 1e-12)?;
    let y = cx.op(&nn::LayerNorm, &operands, &attrs)?;
    let kept = match cx.optional(7) {
        Some(mask) => {
            let one = cx.number(cx.elem(mask)?, 1.0)?;
            let kept = cx.compare("eq", mask, one)?;
            cx.cast(kept, Elem::I32)?
        }
        None => {
            let none = cx.splat(ids, 0.0)?;
            cx.cast(none, Elem::I32)?
        }
    };
    let count = build::reduce(cx.b, kept, "sum", &[1])?;
    Ok(vec![y, count, sum])
}
