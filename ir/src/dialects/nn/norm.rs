//! Normalisations.

use crate::core::{Cost, Dim, OpDef, OpInfo, OpResult, OpView, TensorType, Type};
use crate::op;

use super::rules::{at_most, axis, choice, ensure, has_dims, join, one, operand_types, same_elem};
use super::window::Layout;

/// Ties norms to their type function, which gives the type of the result.
macro_rules! norms {
    ($($ty:ident: $flops:literal, $result:ident;)*) => {$(
        impl OpDef for $ty {
            fn info(&self) -> &'static OpInfo {
                &$ty::INFO
            }
            fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
                one($result(op, &operand_types(op))?)
            }
            fn cost(&self, op: OpView<'_>) -> Cost {
                Cost::per_element(op, $flops)
            }
        }
    )*};
}

norms! {
    BatchNorm: 4, batch_norm_type;
    LayerNorm: 7, layer_norm_type;
    RmsNorm: 4, rms_norm_type;
    InstanceNorm: 7, instance_norm_type;
    GroupNorm: 7, group_norm_type;
    Lrn: 6, lrn_type;
    LpNorm: 4, lp_norm_type;
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
    same_elem(op, x)?;
    let axis = axis(BatchNorm::axis(op), x[0].rank())?;
    let mut y = x[0].clone();
    for (vector, info) in x.iter().zip(op.info().operands).skip(1) {
        has_dims(vector, &[y.dims[axis]], info.name)?;
        y.dims[axis] = join(y.dims[axis], vector.dims[0], info.name)?;
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
    at_most(op, 1)?;
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
    same_elem(op, x)?;
    let first = axis(first, x[0].rank())?;
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
    same_elem(op, x)?;
    ensure!(
        x[0].rank() >= 2,
        "expected batch and channel axes, found rank {}",
        x[0].rank()
    );
    let mut y = x[0].clone();
    for (vector, name) in x[1..].iter().zip(["scale", "bias"]) {
        has_dims(vector, &[y.dims[1]], name)?;
        y.dims[1] = join(y.dims[1], vector.dims[0], name)?;
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
    Layout::new(Lrn::layout(op), x[0].rank().max(3))?;
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
    axis(LpNorm::axis(op), x[0].rank())?;
    choice("p", &LpNorm::p(op).to_string(), &["1", "2"])?;
    Ok(x[0].clone())
}
