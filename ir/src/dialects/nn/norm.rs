//! Normalisations.

use crate::core::{
    Builder, Cost, Dim, EvalCx, Op, OpDef, OpInfo, OpResult, OpView, Tensor, TensorType, Type,
    Value,
};
use crate::dialects::tensor::{self as t, build, shapes};
use crate::op;

use super::expand::{affine, along, can_reshape, choose, expanded, with, zip};
use super::rules::{
    at_most, choice, ensure, has_dims, meet, one, operand_types, same_elem, shape_of, split_at,
    tensor_types,
};

/// Ties norms to the function that gives the type of the result, and to the one that computes its
/// values from those of the operands, and the one that expands the op.
macro_rules! norms {
    ($($ty:ident: $flops:literal, $result:ident, $values:ident, $expand:ident;)*) => {$(
        impl OpDef for $ty {
            fn info(&self) -> &'static OpInfo {
                &$ty::INFO
            }
            fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
                one($result(op, &operand_types(op))?)
            }
            fn eval(&self, op: OpView<'_>, x: &[Tensor], _: &mut EvalCx<'_>) -> OpResult<Vec<Tensor>> {
                let shape = shape_of(&$result(op, &tensor_types(x))?)?;
                if shape.contains(&0) {
                    return Ok(vec![x[0].clone()]);
                }
                let values: Vec<Vec<f64>> = x.iter().map(Tensor::to_f64s).collect();
                let values = $values(op, &shape, values);
                Ok(vec![Tensor::from_f64s(x[0].elem(), shape, values)])
            }
            fn decompose(&self, b: &mut Builder<'_>, op: Op) -> OpResult<Option<Vec<Value>>> {
                match $expand(b, op)? {
                    Some(y) => expanded(b, op, y),
                    None => Ok(None),
                }
            }
            fn cost(&self, op: OpView<'_>) -> Cost {
                Cost::per_element(op, $flops)
            }
        }
    )*};
}

norms! {
    BatchNorm: 4, batch_norm_type, batch_norm_values, expand_batch_norm;
    LayerNorm: 7, layer_norm_type, layer_norm_values, expand_layer_norm;
    RmsNorm: 4, rms_norm_type, rms_norm_values, expand_rms_norm;
    InstanceNorm: 7, instance_norm_type, instance_norm_values, expand_instance_norm;
    GroupNorm: 7, group_norm_type, group_norm_values, expand_group_norm;
    Lrn: 6, lrn_type, lrn_values, expand_lrn;
    LpNorm: 4, lp_norm_type, lp_norm_values, expand_lp_norm;
}

op! {
    /// Batch normalisation: `(x - mean) / √(variance + epsilon) · scale + bias`, all four vectors
    /// along `axis`.
    "nn.batch_norm" => BatchNorm {
        operands: [x: FLOAT_TENSOR, scale: FLOAT_TENSOR, bias: FLOAT_TENSOR, mean: FLOAT_TENSOR, variance: FLOAT_TENSOR],
        attributes: [epsilon: Float = 1e-5, axis: Int = 1],
        results: [y],
        traits: [Pure],
    }
}

fn batch_norm_type(op: OpView<'_>, x: &[TensorType]) -> OpResult<TensorType> {
    same_elem(op)?;
    let axis = shapes::axis("axis", BatchNorm::axis(op), x[0].rank())?;
    let mut y = x[0].clone();
    for (vector, info) in x.iter().zip(op.info().operands).skip(1) {
        has_dims(vector, &[y.dims[axis]], info.name)?;
        y.dims[axis] = meet(y.dims[axis], vector.dims[0], info.name)?;
    }
    Ok(y)
}

op! {
    /// Layer normalisation: `(x - mean) / √(variance + epsilon) · scale + bias`, with mean and
    /// (biased) variance over `axis` and all later axes, whose extents `scale` and `bias` have.
    "nn.layer_norm" => LayerNorm {
        operands: [x: FLOAT_TENSOR, scale: FLOAT_TENSOR; bias: FLOAT_TENSOR],
        attributes: [axis: Int, epsilon: Float = 1e-5],
        results: [y],
        traits: [Pure],
    }
}

fn layer_norm_type(op: OpView<'_>, x: &[TensorType]) -> OpResult<TensorType> {
    at_most(op, x.len(), 1)?;
    trailing_type(op, x, LayerNorm::axis(op))
}

op! {
    /// Root-mean-square normalisation: `x / √(mean(x²) + epsilon) · scale`, with the mean over
    /// `axis` and all later axes, whose extents `scale` has.
    "nn.rms_norm" => RmsNorm {
        operands: [x: FLOAT_TENSOR, scale: FLOAT_TENSOR],
        attributes: [axis: Int, epsilon: Float = 1e-5],
        results: [y],
        traits: [Pure],
    }
}

fn rms_norm_type(op: OpView<'_>, x: &[TensorType]) -> OpResult<TensorType> {
    trailing_type(op, x, RmsNorm::axis(op))
}

/// All operands but the first have the extents of `x` from `first` on.
fn trailing_type(op: OpView<'_>, x: &[TensorType], first: i64) -> OpResult<TensorType> {
    same_elem(op)?;
    let first = shapes::axis("axis", first, x[0].rank())?;
    for (i, vector) in x.iter().enumerate().skip(1) {
        let name = if i == 1 { "scale" } else { "bias" };
        has_dims(vector, &x[0].dims[first..], name)?;
    }
    Ok(x[0].clone())
}

op! {
    /// Instance normalisation: `(x - mean) / √(variance + epsilon) · scale[c] + bias[c]`, with
    /// mean and (biased) variance over all axes after batch and channel (axes 0 and 1).
    "nn.instance_norm" => InstanceNorm {
        operands: [x: FLOAT_TENSOR, scale: FLOAT_TENSOR, bias: FLOAT_TENSOR],
        attributes: [epsilon: Float = 1e-5],
        results: [y],
        traits: [Pure],
    }
}

fn instance_norm_type(op: OpView<'_>, x: &[TensorType]) -> OpResult<TensorType> {
    channel_type(op, x)
}

op! {
    /// Group normalisation: `(x - mean) / √(variance + epsilon) · scale[c] + bias[c]`, with mean
    /// and (biased) variance over the channels of one of `groups` groups (axis 1) and all later
    /// axes.
    "nn.group_norm" => GroupNorm {
        operands: [x: FLOAT_TENSOR, scale: FLOAT_TENSOR, bias: FLOAT_TENSOR],
        attributes: [groups: Int, epsilon: Float = 1e-5],
        results: [y],
        traits: [Pure],
    }
}

fn group_norm_type(op: OpView<'_>, x: &[TensorType]) -> OpResult<TensorType> {
    let y = channel_type(op, x)?;
    let groups = GroupNorm::groups(op);
    ensure!(groups >= 1, "`groups` must be at least 1, found {groups}");
    if let Dim::Known(channels) = y.dims[1] {
        ensure!(
            channels % groups as u64 == 0,
            "{channels} channels do not split into {groups} groups"
        );
    }
    Ok(y)
}

/// All operands but the first are vectors along axis 1 of the first.
fn channel_type(op: OpView<'_>, x: &[TensorType]) -> OpResult<TensorType> {
    same_elem(op)?;
    ensure!(
        x[0].rank() >= 2,
        "expected batch and channel axes, found rank {}",
        x[0].rank()
    );
    let mut y = x[0].clone();
    for (vector, name) in x[1..].iter().zip(["scale", "bias"]) {
        has_dims(vector, &[y.dims[1]], name)?;
        y.dims[1] = meet(y.dims[1], vector.dims[0], name)?;
    }
    Ok(y)
}

op! {
    /// Local response normalisation: `x / (bias + alpha / size · Σ x²)^beta`, with the sum over
    /// `size` channels around each: `⌊(size - 1) / 2⌋` before it, the rest after it.
    "nn.lrn" => Lrn {
        operands: [x: FLOAT_TENSOR],
        attributes: [size: Int, alpha: Float = 0.0001, beta: Float = 0.75, bias: Float = 1.0, layout: Str = "nchw"],
        results: [y],
        traits: [Pure],
    }
}

fn lrn_type(op: OpView<'_>, x: &[TensorType]) -> OpResult<TensorType> {
    choice("layout", Lrn::layout(op), &["nchw", "nhwc"])?;
    ensure!(
        x[0].rank() >= 2,
        "expected batch and channel axes, found rank {}",
        x[0].rank()
    );
    let size = Lrn::size(op);
    ensure!(
        (1..=1 << 24).contains(&size),
        "`size` must be at least 1 and at most 2^24, found {size}"
    );
    Ok(x[0].clone())
}

op! {
    /// `x / ‖x‖` along `axis`, with the sum of absolute values (`p = 1`) or the Euclidean length
    /// (`p = 2`); 0 where the norm is 0.
    "nn.lp_norm" => LpNorm {
        operands: [x: FLOAT_TENSOR],
        attributes: [axis: Int, p: Int = 2],
        results: [y],
        traits: [Pure],
    }
}

fn lp_norm_type(op: OpView<'_>, x: &[TensorType]) -> OpResult<TensorType> {
    shapes::axis("axis", LpNorm::axis(op), x[0].rank())?;
    choice("p", &LpNorm::p(op).to_string(), &["1", "2"])?;
    Ok(x[0].clone())
}

fn batch_norm_values(op: OpView<'_>, shape: &[usize], x: Vec<Vec<f64>>) -> Vec<f64> {
    let (_, channels, inner) = split_at(shape, BatchNorm::axis(op) as usize);
    let epsilon = BatchNorm::epsilon(op);
    let [x, scale, bias, mean, variance] = &x[..] else {
        crate::bug!("`{}` has five operands", op.name());
    };
    let value = |(i, x): (usize, &f64)| {
        let c = i / inner % channels;
        (x - mean[c]) / (variance[c] + epsilon).sqrt() * scale[c] + bias[c]
    };
    x.iter().enumerate().map(value).collect()
}

fn layer_norm_values(op: OpView<'_>, shape: &[usize], mut x: Vec<Vec<f64>>) -> Vec<f64> {
    let run: usize = shape[LayerNorm::axis(op) as usize..].iter().product();
    let mut y = std::mem::take(&mut x[0]);
    for row in y.chunks_mut(run.max(1)) {
        normalise(row, LayerNorm::epsilon(op));
        for (i, y) in row.iter_mut().enumerate() {
            *y = *y * x[1][i] + x.get(2).map_or(0.0, |bias| bias[i]);
        }
    }
    y
}

fn rms_norm_values(op: OpView<'_>, shape: &[usize], mut x: Vec<Vec<f64>>) -> Vec<f64> {
    let run: usize = shape[RmsNorm::axis(op) as usize..].iter().product();
    let mut y = std::mem::take(&mut x[0]);
    for row in y.chunks_mut(run.max(1)) {
        let square = row.iter().map(|x| x * x).sum::<f64>() / row.len() as f64;
        let factor = 1.0 / (square + RmsNorm::epsilon(op)).sqrt();
        for (y, scale) in row.iter_mut().zip(&x[1]) {
            *y = *y * factor * scale;
        }
    }
    y
}

fn instance_norm_values(op: OpView<'_>, shape: &[usize], x: Vec<Vec<f64>>) -> Vec<f64> {
    channel_values(shape, x, shape[1], InstanceNorm::epsilon(op))
}

fn group_norm_values(op: OpView<'_>, shape: &[usize], x: Vec<Vec<f64>>) -> Vec<f64> {
    channel_values(
        shape,
        x,
        GroupNorm::groups(op) as usize,
        GroupNorm::epsilon(op),
    )
}

/// Normalises each of `groups` parts of each sample, then scales and shifts by channel.
fn channel_values(shape: &[usize], mut x: Vec<Vec<f64>>, groups: usize, epsilon: f64) -> Vec<f64> {
    let (_, channels, inner) = split_at(shape, 1);
    let mut y = std::mem::take(&mut x[0]);
    let run = channels * inner / groups.max(1);
    y.chunks_mut(run.max(1))
        .for_each(|part| normalise(part, epsilon));
    for (i, y) in y.iter_mut().enumerate() {
        let c = i / inner % channels;
        *y = *y * x[1][c] + x[2][c];
    }
    y
}

/// Brings mean and variance to 0 and 1.
fn normalise(row: &mut [f64], epsilon: f64) {
    let count = row.len() as f64;
    let mean = row.iter().sum::<f64>() / count;
    let variance = row.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / count;
    let factor = 1.0 / (variance + epsilon).sqrt();
    row.iter_mut().for_each(|x| *x = (*x - mean) * factor);
}

fn lrn_values(op: OpView<'_>, shape: &[usize], x: Vec<Vec<f64>>) -> Vec<f64> {
    let axis = lrn_axis(op, shape.len());
    let (_, channels, inner) = split_at(shape, axis);
    let (alpha, beta, bias) = (Lrn::alpha(op), Lrn::beta(op), Lrn::bias(op));
    let size = Lrn::size(op) as usize;
    let (before, after) = ((size - 1) / 2, size / 2);
    let x = &x[0];
    let value = |(i, value): (usize, &f64)| {
        let c = i / inner % channels;
        let start = i - c * inner;
        let seen = c.saturating_sub(before)..(c + after + 1).min(channels);
        let squares: f64 = seen.map(|c| x[start + c * inner].powi(2)).sum();
        value / libm::pow(bias + alpha / size as f64 * squares, beta)
    };
    x.iter().enumerate().map(value).collect()
}

/// The channel axis.
fn lrn_axis(op: OpView<'_>, rank: usize) -> usize {
    if Lrn::layout(op) == "nchw" {
        1
    } else {
        rank - 1
    }
}

fn lp_norm_values(op: OpView<'_>, shape: &[usize], x: Vec<Vec<f64>>) -> Vec<f64> {
    let (outer, extent, inner) = split_at(shape, LpNorm::axis(op) as usize);
    let euclidean = LpNorm::p(op) == 2;
    let mut y = x.into_iter().next().unwrap_or_default();
    for (start, i) in (0..outer).flat_map(|o| (0..inner).map(move |i| (o * extent * inner, i))) {
        let places = (0..extent).map(|e| start + e * inner + i);
        let norm = match euclidean {
            true => places.clone().map(|p| y[p] * y[p]).sum::<f64>().sqrt(),
            false => places.clone().map(|p| y[p].abs()).sum::<f64>(),
        };
        places.for_each(|p| y[p] = if norm == 0.0 { 0.0 } else { y[p] / norm });
    }
    y
}

fn expand_batch_norm(b: &mut Builder<'_>, op: Op) -> OpResult<Option<Value>> {
    let view = b.view(op);
    let [x, scale, bias, mean, variance] = std::array::from_fn(|i| view.operand(i));
    let (axis, epsilon) = (BatchNorm::axis(view) as usize, BatchNorm::epsilon(view));
    let variance = affine(b, variance, 1.0, epsilon)?;
    let inverse = build::unary(b, &t::Rsqrt, variance)?;
    let factor = zip(b, &t::Mul, scale, inverse)?;
    let shift = zip(b, &t::Mul, mean, factor)?;
    let shift = zip(b, &t::Sub, bias, shift)?;
    let y = along(b, &t::Mul, x, factor, axis)?;
    Ok(Some(along(b, &t::Add, y, shift, axis)?))
}

fn expand_layer_norm(b: &mut Builder<'_>, op: Op) -> OpResult<Option<Value>> {
    let view = b.view(op);
    let (operands, epsilon) = (view.operands().to_vec(), LayerNorm::epsilon(view));
    let axes: Vec<usize> =
        (LayerNorm::axis(view) as usize..view.operand_tensor(0).rank()).collect();
    let y = build_normalised(b, operands[0], &axes, epsilon)?;
    let y = with(b, &t::Mul, y, operands[1])?;
    Ok(Some(match operands.get(2) {
        Some(&bias) => with(b, &t::Add, y, bias)?,
        None => y,
    }))
}

fn expand_rms_norm(b: &mut Builder<'_>, op: Op) -> OpResult<Option<Value>> {
    let view = b.view(op);
    let (x, scale, epsilon) = (view.operand(0), view.operand(1), RmsNorm::epsilon(view));
    let axes: Vec<usize> = (RmsNorm::axis(view) as usize..view.operand_tensor(0).rank()).collect();
    let y = divided_by_deviation(b, x, &axes, epsilon)?;
    Ok(Some(with(b, &t::Mul, y, scale)?))
}

fn expand_instance_norm(b: &mut Builder<'_>, op: Op) -> OpResult<Option<Value>> {
    let view = b.view(op);
    let [x, scale, bias] = std::array::from_fn(|i| view.operand(i));
    let epsilon = InstanceNorm::epsilon(view);
    let axes: Vec<usize> = (2..view.operand_tensor(0).rank()).collect();
    let y = build_normalised(b, x, &axes, epsilon)?;
    let y = along(b, &t::Mul, y, scale, 1)?;
    Ok(Some(along(b, &t::Add, y, bias, 1)?))
}

fn expand_group_norm(b: &mut Builder<'_>, op: Op) -> OpResult<Option<Value>> {
    let view = b.view(op);
    let [x, scale, bias] = std::array::from_fn(|i| view.operand(i));
    let (groups, epsilon) = (GroupNorm::groups(view) as u64, GroupNorm::epsilon(view));
    let dims = view.result_tensor(0).dims.clone();
    let inner = dims[1..].iter().fold(Dim::Known(1), |n, &d| n.times(d));
    let inner = inner.map(|n| n / groups);
    let grouped = [dims[0], Dim::Known(groups), inner];
    if !can_reshape(&grouped) || !can_reshape(&dims) {
        return Ok(None);
    }
    let parts = build::reshape(b, x, &grouped)?;
    let parts = build_normalised(b, parts, &[2], epsilon)?;
    let y = build::reshape(b, parts, &dims)?;
    let y = along(b, &t::Mul, y, scale, 1)?;
    Ok(Some(along(b, &t::Add, y, bias, 1)?))
}

/// `x` with mean and variance over the axes brought to 0 and 1.
fn build_normalised(
    b: &mut Builder<'_>,
    x: Value,
    axes: &[usize],
    epsilon: f64,
) -> OpResult<Value> {
    let mean = build::mean_keep(b, x, axes)?;
    let centred = with(b, &t::Sub, x, mean)?;
    divided_by_deviation(b, centred, axes, epsilon)
}

/// `x / √(mean(x²) + epsilon)`.
fn divided_by_deviation(
    b: &mut Builder<'_>,
    x: Value,
    axes: &[usize],
    epsilon: f64,
) -> OpResult<Value> {
    let square = zip(b, &t::Mul, x, x)?;
    let mean = build::mean_keep(b, square, axes)?;
    let mean = affine(b, mean, 1.0, epsilon)?;
    let factor = build::unary(b, &t::Rsqrt, mean)?;
    with(b, &t::Mul, x, factor)
}

fn expand_lrn(b: &mut Builder<'_>, op: Op) -> OpResult<Option<Value>> {
    let view = b.view(op);
    let x = view.operand(0);
    let (size, bias) = (Lrn::size(view), Lrn::bias(view));
    let (alpha, beta) = (Lrn::alpha(view), Lrn::beta(view));
    let rank = view.operand_tensor(0).rank();
    let axis = lrn_axis(view, rank);
    let square = zip(b, &t::Mul, x, x)?;
    let list = |other: i64, entry: i64| {
        let mut list = vec![other; rank];
        list[axis] = entry;
        crate::core::Attr::from(list)
    };
    let attrs = [
        ("kind", "sum".into()),
        ("size", list(1, size)),
        ("stride", list(1, 1)),
        ("dilation", list(1, 1)),
        ("low", list(0, (size - 1) / 2)),
        ("high", list(0, size / 2)),
    ];
    let sum = b.one(&t::Window, &[square], &attrs)?;
    let sum = affine(b, sum, alpha / size as f64, bias)?;
    let power = build::with_scalar(b, &t::Pow, sum, beta)?;
    Ok(Some(zip(b, &t::Div, x, power)?))
}

fn expand_lp_norm(b: &mut Builder<'_>, op: Op) -> OpResult<Option<Value>> {
    let view = b.view(op);
    let (x, axis) = (view.operand(0), LpNorm::axis(view) as usize);
    let norm = match LpNorm::p(view) == 2 {
        true => {
            let square = zip(b, &t::Mul, x, x)?;
            let sum = build::reduce_keep(b, square, "sum", &[axis])?;
            build::unary(b, &t::Sqrt, sum)?
        }
        false => {
            let size = build::unary(b, &t::Abs, x)?;
            build::reduce_keep(b, size, "sum", &[axis])?
        }
    };
    let norm = build::broadcast_like(b, norm, x)?;
    let quotient = zip(b, &t::Div, x, norm)?;
    let zero = build::splat_like(b, x, 0.0)?;
    Ok(Some(choose(b, (norm, "eq", 0.0), zero, quotient)?))
}
