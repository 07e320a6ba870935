//! Activations, products and convolutions with what comes before or after them.

use lepid_ir::core::{Attr, Dim, OpDef, OpResult, Value};
use lepid_ir::dialects::nn;
use lepid_ir::dialects::tensor::{self, build};

use super::super::conv::conv_attrs;
use super::super::matmul::product;
use super::super::{Row, one, row};
use super::standard::standard;
use crate::frontends::onnx::cx::{Cx, invalid, unsupported};

type Values = OpResult<Vec<Value>>;

pub(in super::super) const ROWS: &[Row] = &[
    row("com.microsoft::BiasAdd", 1, bias_add),
    row("com.microsoft::BiasGelu", 1, |cx| gelu(cx, "none")),
    row("com.microsoft::BiasSoftmax", 1, bias_softmax),
    row("com.microsoft::BiasSplitGelu", 1, bias_split_gelu),
    row("com.microsoft::FastGelu", 1, |cx| gelu(cx, "tanh")),
    row("com.microsoft::FusedConv", 1, fused_conv),
    row("com.microsoft::FusedGemm", 1, fused_gemm),
    row("com.microsoft::FusedMatMul", 1, fused_matmul),
    row("com.microsoft::Gelu", 1, |cx| gelu(cx, "none")),
    row("com.microsoft::GemmFastGelu", 1, gemm_fast_gelu),
    row("com.microsoft::Irfft", 1, irfft),
    row("com.microsoft::NhwcConv", 1, nhwc_conv),
    row("com.microsoft::QuickGelu", 1, quick_gelu),
    row("com.microsoft::Rfft", 1, rfft),
    row("com.microsoft::TransposeMatMul", 1, fused_matmul),
];

/// `x + bias + skip`.
fn bias_add(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let (x, bias, skip) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    let sum = cx.binary(&tensor::Add, x, bias)?;
    one(cx.binary(&tensor::Add, sum, skip)?)
}

/// Of `x`, or of `x + bias`.
fn gelu(cx: &mut Cx<'_, '_, '_, '_>, approximate: &str) -> Values {
    let mut x = cx.input(0)?;
    if let Some(bias) = cx.optional(1) {
        x = cx.binary(&tensor::Add, x, bias)?;
    }
    one(gelu_of(cx, x, approximate)?)
}

fn gelu_of(cx: &mut Cx<'_, '_, '_, '_>, x: Value, approximate: &str) -> OpResult<Value> {
    cx.op(&nn::Gelu, &[x], &[("approximate", approximate.into())])
}

fn gemm_fast_gelu(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let mut y = product(cx, cx.input(0)?, cx.input(1)?)?;
    if let Some(bias) = cx.optional(2) {
        y = cx.binary(&tensor::Add, y, bias)?;
    }
    one(gelu_of(cx, y, "tanh")?)
}

/// `x · sigmoid(alpha · x)`.
fn quick_gelu(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let x = cx.input(0)?;
    let alpha = cx.float("alpha", 1.702)?;
    let alpha = cx.number(cx.elem(x)?, alpha)?;
    let scaled = cx.binary(&tensor::Mul, x, alpha)?;
    let gate = cx.op(&nn::Sigmoid, &[scaled], &[])?;
    one(cx.op(&tensor::Mul, &[x, gate], &[])?)
}

/// The first half of `x + bias` times the GELU of the second.
fn bias_split_gelu(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let (x, bias) = (cx.input(0)?, cx.input(1)?);
    let sum = cx.binary(&tensor::Add, x, bias)?;
    let last = cx.rank(sum)?.saturating_sub(1);
    let features = cx.dims(sum)?.last().and_then(|d| d.known());
    let Some(features) = features.filter(|n| n % 2 == 0) else {
        return Err(invalid("the features must be a known, even number"));
    };
    let half = (features / 2) as i64;
    let left = build::slice_axis(cx.b, sum, last, 0, half)?;
    let right = build::slice_axis(cx.b, sum, last, half, 2 * half)?;
    let gate = gelu_of(cx, right, "none")?;
    one(cx.op(&tensor::Mul, &[left, gate], &[])?)
}

/// Softmax of `x + bias` over the axes from `axis` on, as if they were one.
fn bias_softmax(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let (x, bias) = (cx.input(0)?, cx.input(1)?);
    let sum = cx.binary(&tensor::Add, x, bias)?;
    let dims = cx.dims(sum)?;
    let axis = cx.axis(1, dims.len())?;
    let flat = merged_from(&dims, axis);
    let sum = cx.reshape(sum, &flat)?;
    let y = cx.op(&nn::Softmax, &[sum], &[("axis", (axis as i64).into())])?;
    one(cx.reshape(y, &dims)?)
}

/// The axes from one on as one.
pub(super) fn merged_from(dims: &[Dim], axis: usize) -> Vec<Dim> {
    let tail = dims[axis..].iter().copied().fold(Dim::Known(1), Dim::times);
    dims[..axis].iter().copied().chain([tail]).collect()
}

/// The transposed factors, then `alpha` times their product.
fn fused_matmul(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let mut factors = [cx.input(0)?, cx.input(1)?];
    let flags = [("transA", "transBatchA"), ("transB", "transBatchB")];
    for (factor, (last, batch)) in factors.iter_mut().zip(flags) {
        let rank = cx.rank(*factor)?;
        let mut perm: Vec<usize> = (0..rank).collect();
        // The first axis moves behind those of the batch.
        if cx.flag(batch)? && rank >= 3 {
            perm[..rank - 1].rotate_left(1);
        }
        if cx.flag(last)? && rank >= 2 {
            perm.swap(rank - 1, rank - 2);
        }
        *factor = cx.transpose(*factor, &perm)?;
    }
    let product = product(cx, factors[0], factors[1])?;
    let alpha = cx.float("alpha", 1.0)?;
    if alpha == 1.0 {
        return one(product);
    }
    let alpha = cx.number(cx.elem(product)?, alpha)?;
    one(cx.binary(&tensor::Mul, product, alpha)?)
}

/// An activation by its name, with parameters in the order of the standard.
fn activation(
    cx: &mut Cx<'_, '_, '_, '_>,
    x: Value,
    name: &str,
    parameters: &[f64],
) -> OpResult<Value> {
    let parameter = |i: usize, default: f64| parameters.get(i).copied().unwrap_or(default);
    let (def, attrs): (&'static dyn OpDef, Vec<(&str, Attr)>) = match name {
        "" => return Ok(x),
        "Relu" => (&nn::Relu, vec![]),
        "Sigmoid" => (&nn::Sigmoid, vec![]),
        "Tanh" => (&tensor::Tanh, vec![]),
        "Softplus" => (&nn::Softplus, vec![]),
        "Softsign" => (&nn::Softsign, vec![]),
        "HardSwish" => (&nn::HardSwish, vec![]),
        "Elu" => (&nn::Elu, vec![("alpha", parameter(0, 1.0).into())]),
        "LeakyRelu" => (&nn::LeakyRelu, vec![("alpha", parameter(0, 0.01).into())]),
        "ThresholdedRelu" => (
            &nn::ThresholdedRelu,
            vec![("alpha", parameter(0, 1.0).into())],
        ),
        "Clip" => (
            &nn::Clip,
            vec![
                ("min", parameter(0, f64::NEG_INFINITY).into()),
                ("max", parameter(1, f64::INFINITY).into()),
            ],
        ),
        "HardSigmoid" => (
            &nn::HardSigmoid,
            vec![
                ("alpha", parameter(0, 0.2).into()),
                ("beta", parameter(1, 0.5).into()),
            ],
        ),
        other => {
            return Err(unsupported(format!(
                "activation `{other}` is not supported"
            )));
        }
    };
    cx.op(def, &[x], &attrs)
}

/// `activation(conv(x, w) + bias + z)`.
fn fused_conv(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let (x, w) = (cx.input(0)?, cx.input(1)?);
    let attrs = conv_attrs(cx, x, w)?;
    let mut operands = vec![x, w];
    operands.extend(cx.optional(2));
    let mut y = cx.op(&nn::Conv, &operands, &attrs)?;
    if let Some(z) = cx.optional(3) {
        y = cx.binary(&tensor::Add, y, z)?;
    }
    let name = cx.string("activation", "")?;
    let parameters = cx.floats("activation_params")?.unwrap_or_default();
    one(activation(cx, y, &name, &parameters)?)
}

fn fused_gemm(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let y = standard(cx, "Gemm")?;
    let name = cx.string("activation", "")?;
    let mut parameters = Vec::new();
    for parameter in ["activation_alpha", "activation_beta", "activation_gamma"] {
        match cx.opt_float(parameter)? {
            Some(value) => parameters.push(value),
            None => break,
        }
    }
    one(activation(cx, y[0], &name, &parameters)?)
}

/// A convolution whose channels come last; its weight has the axes of the standard.
fn nhwc_conv(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let (x, w) = (cx.input(0)?, cx.input(1)?);
    let x = channels_first(cx, x)?;
    let attrs = conv_attrs(cx, x, w)?;
    let mut operands = vec![x, w];
    operands.extend(cx.optional(2));
    let y = cx.op(&nn::Conv, &operands, &attrs)?;
    one(channels_last(cx, y)?)
}

pub(super) fn channels_first(cx: &mut Cx<'_, '_, '_, '_>, x: Value) -> OpResult<Value> {
    let mut perm: Vec<usize> = (0..cx.rank(x)?).collect();
    if perm.len() > 2 {
        perm[1..].rotate_right(1);
    }
    cx.transpose(x, &perm)
}

pub(super) fn channels_last(cx: &mut Cx<'_, '_, '_, '_>, x: Value) -> OpResult<Value> {
    let mut perm: Vec<usize> = (0..cx.rank(x)?).collect();
    if perm.len() > 2 {
        perm[1..].rotate_left(1);
    }
    cx.transpose(x, &perm)
}

/// Only transforms of the last axis are known to be written.
fn one_signal_axis(cx: &Cx<'_, '_, '_, '_>) -> OpResult<()> {
    let plain = cx.int("signal_ndim", 1)? == 1
        && cx.int("onesided", 1)? == 1
        && cx.int("normalized", 0)? == 0;
    match plain {
        true => Ok(()),
        false => Err(unsupported(
            "only one-sided transforms of one axis without a scale are supported",
        )),
    }
}

/// The first half of the spectrum of real numbers; the last axis of the result holds real and
/// imaginary parts.
fn rfft(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    one_signal_axis(cx)?;
    let x = cx.input(0)?;
    let axis = cx.axis_of_signal(x, 1)?;
    let Some(count) = cx.dims(x)?[axis].known() else {
        return Err(unsupported("the length of the signal is open"));
    };
    let zero = cx.splat(x, 0.0)?;
    let parts = cx.ops(&tensor::Fft, &[x, zero], &[("axis", (axis as i64).into())])?;
    let mut halves = Vec::new();
    for part in parts {
        let half = build::slice_axis(cx.b, part, axis, 0, (count / 2 + 1) as i64)?;
        halves.push(build::unsqueeze(cx.b, half, &[axis + 1])?);
    }
    one(build::concat(cx.b, &halves, axis + 1)?)
}

/// The real numbers whose spectrum is given by its first half.
fn irfft(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    one_signal_axis(cx)?;
    let x = cx.input(0)?;
    let axis = cx.axis_of_signal(x, 2)?;
    let dims = cx.dims(x)?;
    let (Some(half @ 1..), Dim::Known(2)) = (dims[axis].known(), dims[axis + 1]) else {
        return Err(invalid(
            "the spectrum must have a known length and pairs of numbers",
        ));
    };
    let mut parts = Vec::new();
    for part in 0..2 {
        let own = build::slice_axis(cx.b, x, axis + 1, part, part + 1)?;
        let own = build::squeeze(cx.b, own, &[axis + 1])?;
        // The other half mirrors it, with the imaginary part negated.
        let inner = build::slice_axis(cx.b, own, axis, 1, (half.max(2) - 1) as i64)?;
        let mut mirror = cx.op(&tensor::Reverse, &[inner], &[("axes", build::ints([axis]))])?;
        if part == 1 {
            mirror = cx.op(&tensor::Neg, &[mirror], &[])?;
        }
        parts.push(build::concat(cx.b, &[own, mirror], axis)?);
    }
    let attrs = [("axis", (axis as i64).into()), ("inverse", true.into())];
    one(cx.ops(&tensor::Fft, &parts, &attrs)?[0])
}

impl Cx<'_, '_, '_, '_> {
    /// The axis that is that far from the end.
    fn axis_of_signal(&self, x: Value, from_end: usize) -> OpResult<usize> {
        let rank = self.rank(x)?;
        rank.checked_sub(from_end)
            .ok_or_else(|| invalid(format!("rank {rank} is too low")))
    }
}
