//! Normalisations and softmax.

use lepid_ir::core::{Dim, OpResult, Value};
use lepid_ir::dialects::tensor::build;
use lepid_ir::dialects::{nn, tensor};

use super::{Row, one, row};
use crate::frontends::onnx::cx::{Cx, invalid, normal_axis, unsupported};

type Values = OpResult<Vec<Value>>;

pub(super) const ROWS: &[Row] = &[
    row("BatchNormalization", 6, batch_norm),
    row("GroupNormalization", 18, group_norm),
    row("InstanceNormalization", 6, instance_norm),
    row("LRN", 1, lrn),
    row("LayerNormalization", 17, layer_norm),
    row("LogSoftmax", 1, |cx| {
        along_axis(cx, |cx, x, axis| {
            cx.op(&nn::LogSoftmax, &[x], &[("axis", (axis as i64).into())])
        })
    }),
    row("LpNormalization", 1, lp_norm),
    row("MeanVarianceNormalization", 9, mean_variance_norm),
    row("RMSNormalization", 23, rms_norm),
    row("Softmax", 1, |cx| {
        along_axis(cx, |cx, x, axis| {
            cx.op(&nn::Softmax, &[x], &[("axis", (axis as i64).into())])
        })
    }),
];

/// An operator along one axis. Before opset 13 it works on all axes from that one on, as if they
/// were one.
pub(super) fn along_axis(
    cx: &mut Cx<'_, '_, '_, '_>,
    build_op: fn(&mut Cx<'_, '_, '_, '_>, Value, usize) -> OpResult<Value>,
) -> Values {
    let x = cx.input(0)?;
    let dims = cx.dims(x)?;
    if cx.opset >= 13 {
        let axis = cx.axis(-1, dims.len())?;
        return one(build_op(cx, x, axis)?);
    }
    let axis = cx.axis(1, dims.len())?;
    // Axes of extent 1 do not matter.
    let wide: Vec<usize> = (axis..dims.len())
        .filter(|&a| dims[a] != Dim::Known(1))
        .collect();
    if let [] | [_] = wide[..] {
        let axis = wide.first().copied().unwrap_or(axis);
        return one(build_op(cx, x, axis)?);
    }
    let tail = dims[axis..].iter().fold(Dim::Known(1), |a, &b| a.times(b));
    let flat: Vec<Dim> = dims[..axis].iter().copied().chain([tail]).collect();
    let x = cx.reshape(x, &flat)?;
    let y = build_op(cx, x, axis)?;
    one(cx.reshape(y, &dims)?)
}

fn batch_norm(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let x = cx.input(0)?;
    let elem = cx.elem(x)?;
    let mut operands = vec![x];
    for i in 1..5 {
        let parameter = cx.input(i)?;
        operands.push(cx.cast(parameter, elem)?);
    }
    let training = match cx.opset < 7 {
        true => cx.int("is_test", 0)? == 0,
        false => cx.flag("training_mode")?,
    };
    if training || cx.outputs() > 1 {
        return Err(
            unsupported("the node is in training mode").help("export the model for inference")
        );
    }
    let epsilon = cx.float("epsilon", 1e-5)?;
    if cx.opset < 9 && cx.int("spatial", 1)? == 0 {
        return batch_norm_per_element(cx, &operands, epsilon);
    }
    one(cx.op(&nn::BatchNorm, &operands, &[("epsilon", epsilon.into())])?)
}

/// With `spatial = 0` each element of a sample has its own parameters.
fn batch_norm_per_element(cx: &mut Cx<'_, '_, '_, '_>, operands: &[Value], epsilon: f64) -> Values {
    let [x, scale, bias, mean, variance] = operands else {
        return Err(invalid("five inputs are needed"));
    };
    let epsilon = cx.number(cx.elem(*x)?, epsilon)?;
    let variance = cx.binary(&tensor::Add, *variance, epsilon)?;
    let deviation = cx.op(&tensor::Sqrt, &[variance], &[])?;
    let centred = cx.binary(&tensor::Sub, *x, *mean)?;
    let normal = cx.binary(&tensor::Div, centred, deviation)?;
    let scaled = cx.binary(&tensor::Mul, normal, *scale)?;
    one(cx.binary(&tensor::Add, scaled, *bias)?)
}

fn instance_norm(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let operands = [cx.input(0)?, cx.input(1)?, cx.input(2)?];
    let epsilon = cx.float("epsilon", 1e-5)?;
    one(cx.op(&nn::InstanceNorm, &operands, &[("epsilon", epsilon.into())])?)
}

/// Scale and bias are given per group before opset 21, and per channel from then on.
fn group_norm(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let x = cx.input(0)?;
    let groups = cx.required("num_groups", cx.opt_int("num_groups")?)?;
    let channels = cx.dims(x)?.get(1).and_then(|d| d.known());
    let mut operands = vec![x];
    for i in 1..3 {
        let parameter = cx.input(i)?;
        operands.push(match (cx.opset < 21, channels, u64::try_from(groups)) {
            (false, _, _) => parameter,
            (true, Some(channels), Ok(groups @ 1..)) if channels % groups == 0 => {
                let pair = [Dim::Known(groups), Dim::Known(channels / groups)];
                let wide = build::broadcast_axes(cx.b, parameter, &pair, &[0])?;
                cx.reshape(wide, &[Dim::Known(channels)])?
            }
            _ => return Err(invalid("the channels do not fit the groups")),
        });
    }
    let attrs = [
        ("groups", groups.into()),
        ("epsilon", cx.float("epsilon", 1e-5)?.into()),
    ];
    one(cx.op(&nn::GroupNorm, &operands, &attrs)?)
}

/// An optional scale or bias in the extents of `x` from `axis` on.
fn fitted(cx: &mut Cx<'_, '_, '_, '_>, parameter: Value, x: Value, axis: usize) -> OpResult<Value> {
    let tail = cx.dims(x)?[axis..].to_vec();
    build::broadcast_to(cx.b, parameter, &tail)
}

fn layer_norm(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let (x, scale) = (cx.input(0)?, cx.input(1)?);
    let axis = cx.axis(-1, cx.rank(x)?)?;
    let epsilon = cx.float("epsilon", 1e-5)?;
    let mut operands = vec![x, fitted(cx, scale, x, axis)?];
    if let Some(bias) = cx.optional(2) {
        operands.push(fitted(cx, bias, x, axis)?);
    }
    let attrs = [("axis", (axis as i64).into()), ("epsilon", epsilon.into())];
    let mut values = vec![cx.op(&nn::LayerNorm, &operands, &attrs)?];
    if cx.outputs() > 1 {
        let axes: Vec<usize> = (axis..cx.rank(x)?).collect();
        let mean = build::mean_keep(cx.b, x, &axes)?;
        let centred = cx.binary(&tensor::Sub, x, mean)?;
        let square = cx.op(&tensor::Mul, &[centred, centred], &[])?;
        let variance = build::mean_keep(cx.b, square, &axes)?;
        let epsilon = cx.number(cx.elem(x)?, epsilon)?;
        let variance = cx.binary(&tensor::Add, variance, epsilon)?;
        values.push(mean);
        values.push(cx.op(&tensor::Rsqrt, &[variance], &[])?);
    }
    Ok(values)
}

fn rms_norm(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let (x, scale) = (cx.input(0)?, cx.input(1)?);
    let axis = cx.axis(-1, cx.rank(x)?)?;
    let scale = fitted(cx, scale, x, axis)?;
    let epsilon = cx.float("epsilon", 1e-5)?;
    let attrs = [("axis", (axis as i64).into()), ("epsilon", epsilon.into())];
    one(cx.op(&nn::RmsNorm, &[x, scale], &attrs)?)
}

fn lp_norm(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let x = cx.input(0)?;
    let axis = cx.axis(-1, cx.rank(x)?)?;
    let attrs = [
        ("axis", (axis as i64).into()),
        ("p", cx.int("p", 2)?.into()),
    ];
    one(cx.op(&nn::LpNorm, &[x], &attrs)?)
}

fn lrn(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let x = cx.input(0)?;
    let attrs = [
        ("size", cx.required("size", cx.opt_int("size")?)?.into()),
        ("alpha", cx.float("alpha", 1e-4)?.into()),
        ("beta", cx.float("beta", 0.75)?.into()),
        ("bias", cx.float("bias", 1.0)?.into()),
    ];
    one(cx.op(&nn::Lrn, &[x], &attrs)?)
}

/// `(x - mean) / (sqrt(mean(x²) - mean²) + 1e-9)`.
fn mean_variance_norm(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let x = cx.input(0)?;
    let rank = cx.rank(x)?;
    let axes = cx.ints("axes")?.unwrap_or_else(|| vec![0, 2, 3]);
    let axes: OpResult<Vec<usize>> = axes.iter().map(|&a| normal_axis(a, rank)).collect();
    let axes = axes?;
    let mean = build::mean_keep(cx.b, x, &axes)?;
    let square = cx.op(&tensor::Mul, &[x, x], &[])?;
    let mean_square = build::mean_keep(cx.b, square, &axes)?;
    let square_mean = cx.op(&tensor::Mul, &[mean, mean], &[])?;
    let variance = cx.op(&tensor::Sub, &[mean_square, square_mean], &[])?;
    let deviation = cx.op(&tensor::Sqrt, &[variance], &[])?;
    let tiny = cx.splat(deviation, 1e-9)?;
    let deviation = cx.op(&tensor::Add, &[deviation, tiny], &[])?;
    let centred = cx.binary(&tensor::Sub, x, mean)?;
    one(cx.binary(&tensor::Div, centred, deviation)?)
}
