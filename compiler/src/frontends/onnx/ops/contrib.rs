//! Operators of ONNX Runtime's domain, which its optimiser puts into models that it saves.

use lepid_ir::core::{OpResult, Value};
use lepid_ir::dialects::{nn, tensor};

use super::{Row, one, row};
use crate::frontends::onnx::cx::Cx;

type Values = OpResult<Vec<Value>>;

pub(super) const ROWS: &[Row] = &[
    row("com.microsoft::BiasGelu", 1, |cx| gelu(cx, "none")),
    row("com.microsoft::FastGelu", 1, |cx| gelu(cx, "tanh")),
    row("com.microsoft::FusedMatMul", 1, fused_matmul),
    row("com.microsoft::Gelu", 1, |cx| gelu(cx, "none")),
    row("com.microsoft::QuickGelu", 1, quick_gelu),
    row("com.microsoft::SkipLayerNormalization", 1, skip_layer_norm),
];

/// Of `x`, or of `x + bias`.
fn gelu(cx: &mut Cx<'_, '_, '_, '_>, approximate: &str) -> Values {
    let mut x = cx.input(0)?;
    if let Some(bias) = cx.optional(1) {
        x = cx.binary(&tensor::Add, x, bias)?;
    }
    one(cx.op(&nn::Gelu, &[x], &[("approximate", approximate.into())])?)
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

fn fused_matmul(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let mut factors = [cx.input(0)?, cx.input(1)?];
    for (factor, flag) in factors.iter_mut().zip(["transA", "transB"]) {
        let rank = cx.rank(*factor)?;
        if cx.flag(flag)? && rank >= 2 {
            let mut perm: Vec<usize> = (0..rank).collect();
            perm.swap(rank - 1, rank - 2);
            *factor = cx.transpose(*factor, &perm)?;
        }
    }
    let product = super::matmul::product(cx, factors[0], factors[1])?;
    let alpha = cx.float("alpha", 1.0)?;
    if alpha == 1.0 {
        return one(product);
    }
    let alpha = cx.number(cx.elem(product)?, alpha)?;
    one(cx.binary(&tensor::Mul, product, alpha)?)
}

/// Layer normalisation of `x + skip + bias`; the fourth output is that sum.
fn skip_layer_norm(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let (x, skip, scale) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    let mut sum = cx.binary(&tensor::Add, x, skip)?;
    if let Some(bias) = cx.optional(4) {
        sum = cx.binary(&tensor::Add, sum, bias)?;
    }
    let mut operands = vec![sum, scale];
    operands.extend(cx.optional(3));
    let axis = cx.rank(sum)? as i64 - 1;
    let attrs = [
        ("axis", axis.into()),
        ("epsilon", cx.float("epsilon", 1e-12)?.into()),
    ];
    let y = cx.op(&nn::LayerNorm, &operands, &attrs)?;
    // The second and third are for training.
    Ok(match cx.wants(3) && !cx.wants(1) && !cx.wants(2) {
        true => vec![y, y, y, sum],
        false => vec![y],
    })
}
