//! Normalisations of sums.

use lepid_ir::core::{Elem, OpResult, Value};
use lepid_ir::dialects::tensor::build;
use lepid_ir::dialects::{nn, tensor};

use super::super::{Row, one, row};
use super::fused::{channels_first, channels_last};
use crate::frontends::onnx::cx::{Cx, invalid, unsupported};

type Values = OpResult<Vec<Value>>;

pub(in super::super) const ROWS: &[Row] = &[
    // ONNX Runtime has this one in the default domain.
    row("SimplifiedLayerNormalization", 1, simplified_layer_norm),
    row(
        "com.microsoft::EmbedLayerNormalization",
        1,
        embed_layer_norm,
    ),
    row("com.microsoft::GroupNorm", 1, |cx| {
        let x = cx.input(0)?;
        one(group_norm(cx, x)?)
    }),
    row("com.microsoft::SkipGroupNorm", 1, skip_group_norm),
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

fn last_axis(cx: &Cx<'_, '_, '_, '_>, x: Value) -> OpResult<usize> {
    let rank = cx.rank(x)?;
    rank.checked_sub(1)
        .ok_or_else(|| invalid("a scalar has no features"))
}

/// Layer normalisation of `x + skip + bias`; the fourth output is that sum.
fn skip_layer_norm(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let sum = sum(cx, 4)?;
    let mut operands = vec![sum, cx.input(2)?];
    operands.extend(cx.optional(3));
    let attrs = attrs(cx, last_axis(cx, sum)?, 1e-12)?;
    let y = cx.op(&nn::LayerNorm, &operands, &attrs)?;
    // The second and third are for training.
    Ok(vec![y, y, y, sum])
}

fn skip_simplified_layer_norm(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let sum = sum(cx, 3)?;
    let scale = cx.input(2)?;
    let attrs = attrs(cx, last_axis(cx, sum)?, 1e-12)?;
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

/// Group normalisation, with the channels last unless told otherwise, then SiLU where it is asked
/// for.
fn group_norm(cx: &mut Cx<'_, '_, '_, '_>, x: Value) -> OpResult<Value> {
    let groups = cx.required("groups", cx.opt_int("groups")?)?;
    let last = cx.int("channels_last", 1)? != 0;
    let x = if last { channels_first(cx, x)? } else { x };
    let elem = cx.elem(x)?;
    let scale = cx.cast(cx.input(1)?, elem)?;
    let bias = cx.cast(cx.input(2)?, elem)?;
    let attrs = [
        ("groups", groups.into()),
        ("epsilon", cx.float("epsilon", 1e-5)?.into()),
    ];
    let y = cx.op(&nn::GroupNorm, &[x, scale, bias], &attrs)?;
    let y = match cx.int("activation", 0)? {
        0 => y,
        1 => cx.op(&nn::Silu, &[y], &[])?,
        other => return Err(invalid(format!("attribute `activation` is {other}"))),
    };
    match last {
        true => channels_last(cx, y),
        false => Ok(y),
    }
}

/// Of `x + skip + bias`, and that sum. A skip of two axes has one number for each channel.
fn skip_group_norm(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let (x, mut skip) = (cx.input(0)?, cx.input(3)?);
    let last = cx.int("channels_last", 1)? != 0;
    let spatial = if last { [1, 2] } else { [2, 3] };
    if cx.rank(skip)? == 2 {
        skip = build::unsqueeze(cx.b, skip, &spatial)?;
    }
    let mut sum = cx.binary(&tensor::Add, x, skip)?;
    if let Some(bias) = cx.optional(4) {
        let bias = if last {
            bias
        } else {
            build::unsqueeze(cx.b, bias, &[1, 2])?
        };
        sum = cx.binary(&tensor::Add, sum, bias)?;
    }
    Ok(vec![group_norm(cx, sum)?, sum])
}
