//! Losses, which models in training carry.

use lepid_ir::core::{Attr, Elem, OpResult, Value};
use lepid_ir::dialects::tensor::build;
use lepid_ir::dialects::{nn, tensor};

use super::{Row, row};
use crate::frontends::onnx::cx::{Cx, invalid};

type Values = OpResult<Vec<Value>>;

pub(super) const ROWS: &[Row] = &[
    row("NegativeLogLikelihoodLoss", 12, negative_log_likelihood),
    row("SoftmaxCrossEntropyLoss", 12, softmax_cross_entropy),
];

fn negative_log_likelihood(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let x = cx.input(0)?;
    Ok(vec![loss(cx, x)?])
}

fn softmax_cross_entropy(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let x = cx.input(0)?;
    let log = cx.op(&nn::LogSoftmax, &[x], &[("axis", Attr::Int(1))])?;
    Ok(vec![loss(cx, log)?, log])
}

/// `-weight[target] · x[target]` along axis 1, reduced as the node says.
fn loss(cx: &mut Cx<'_, '_, '_, '_>, x: Value) -> OpResult<Value> {
    let (target, elem) = (cx.input(1)?, cx.elem(x)?);
    if cx.rank(x)? < 2 {
        return Err(invalid("rank 2 at least is needed"));
    }
    let target = cx.cast(target, Elem::I64)?;
    let places = build::unsqueeze(cx.b, target, &[1])?;
    let picked = cx.op(
        &tensor::GatherElements,
        &[x, places],
        &[("axis", Attr::Int(1))],
    )?;
    let picked = build::squeeze(cx.b, picked, &[1])?;
    let mut weight = match cx.optional(2) {
        Some(weight) => build::gather(cx.b, weight, target, 0)?,
        None => cx.splat(picked, 1.0)?,
    };
    if let Some(ignored) = cx.opt_int("ignore_index")? {
        let ignored = cx.number(Elem::I64, ignored as f64)?;
        let ignored = cx.compare("eq", target, ignored)?;
        let zero = cx.number(elem, 0.0)?;
        weight = cx.select(ignored, zero, weight)?;
    }
    let scaled = cx.binary(&tensor::Mul, picked, weight)?;
    let each = cx.op(&tensor::Neg, &[scaled], &[])?;
    let axes: Vec<usize> = (0..cx.rank(each)?).collect();
    match cx.string("reduction", "mean")?.as_str() {
        "none" => Ok(each),
        "sum" => build::reduce(cx.b, each, "sum", &axes),
        "mean" => {
            let sum = build::reduce(cx.b, each, "sum", &axes)?;
            let total = build::reduce(cx.b, weight, "sum", &axes)?;
            cx.binary(&tensor::Div, sum, total)
        }
        other => Err(invalid(format!("attribute `reduction` is `{other}`"))),
    }
}
