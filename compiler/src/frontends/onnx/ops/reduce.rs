//! Folds over axes.

use lepid_ir::core::{Elem, OpResult, Value};
use lepid_ir::dialects::tensor::build;
use lepid_ir::dialects::{nn, tensor};

use super::{Row, one, row};
use crate::frontends::onnx::cx::{Cx, invalid, normal_axis};

type Values = OpResult<Vec<Value>>;

pub(super) const ROWS: &[Row] = &[
    row("CumProd", 26, |cx| scan(cx, "prod")),
    row("CumSum", 11, |cx| scan(cx, "sum")),
    row("ReduceL1", 1, |cx| {
        reduce(cx, 18, |cx, x, axes| {
            let x = cx.op(&tensor::Abs, &[x], &[])?;
            build::reduce_keep(cx.b, x, "sum", axes)
        })
    }),
    row("ReduceL2", 1, |cx| {
        reduce(cx, 18, |cx, x, axes| {
            let sum = sum_square(cx, x, axes)?;
            root(cx, sum)
        })
    }),
    row("ReduceLogSum", 1, |cx| {
        reduce(cx, 18, |cx, x, axes| {
            let sum = build::reduce_keep(cx.b, x, "sum", axes)?;
            cx.op(&tensor::Log, &[sum], &[])
        })
    }),
    row("ReduceLogSumExp", 1, |cx| reduce(cx, 18, log_sum_exp)),
    row("ReduceMax", 1, |cx| {
        reduce(cx, 18, |cx, x, axes| extreme(cx, x, axes, "max", "any"))
    }),
    row("ReduceMean", 1, |cx| reduce(cx, 18, mean)),
    row("ReduceMin", 1, |cx| {
        reduce(cx, 18, |cx, x, axes| extreme(cx, x, axes, "min", "all"))
    }),
    row("ReduceProd", 1, |cx| {
        reduce(cx, 18, |cx, x, axes| {
            build::reduce_keep(cx.b, x, "prod", axes)
        })
    }),
    row("ReduceSum", 1, |cx| {
        reduce(cx, 13, |cx, x, axes| {
            build::reduce_keep(cx.b, x, "sum", axes)
        })
    }),
    row("ReduceSumSquare", 1, |cx| reduce(cx, 18, sum_square)),
];

/// Folds the axes of a value and keeps them with extent 1.
type Fold = fn(&mut Cx<'_, '_, '_, '_>, Value, &[usize]) -> OpResult<Value>;

/// The axes are an attribute before `input_since`, and an input from then on.
fn reduce(cx: &mut Cx<'_, '_, '_, '_>, input_since: i64, fold: Fold) -> Values {
    let x = cx.input(0)?;
    let rank = cx.rank(x)?;
    let given = match cx.opset < input_since {
        true => cx.ints("axes")?,
        false => cx.constant_ints(1, "the axes")?,
    };
    let axes: Vec<usize> = match given {
        Some(axes) if !axes.is_empty() => {
            let axes: OpResult<Vec<usize>> = axes.iter().map(|&a| normal_axis(a, rank)).collect();
            let mut axes = axes?;
            axes.sort_unstable();
            axes
        }
        _ if cx.flag("noop_with_empty_axes")? => Vec::new(),
        _ => (0..rank).collect(),
    };
    if axes.windows(2).any(|w| w[0] == w[1]) {
        return Err(invalid("an axis is named twice"));
    }
    let folded = fold(cx, x, &axes)?;
    one(match cx.int("keepdims", 1)? != 0 {
        true => folded,
        false => build::squeeze(cx.b, folded, &axes)?,
    })
}

fn sum_square(cx: &mut Cx<'_, '_, '_, '_>, x: Value, axes: &[usize]) -> OpResult<Value> {
    let square = cx.op(&tensor::Mul, &[x, x], &[])?;
    build::reduce_keep(cx.b, square, "sum", axes)
}

/// The square root; of an integer, rounded towards zero.
fn root(cx: &mut Cx<'_, '_, '_, '_>, x: Value) -> OpResult<Value> {
    let elem = cx.elem(x)?;
    let work = if elem.is_float() { elem } else { Elem::F64 };
    let x = cx.cast(x, work)?;
    let y = cx.op(&tensor::Sqrt, &[x], &[])?;
    cx.cast(y, elem)
}

/// The greatest element is taken out first, so that no exponential overflows.
fn log_sum_exp(cx: &mut Cx<'_, '_, '_, '_>, x: Value, axes: &[usize]) -> OpResult<Value> {
    let elem = cx.elem(x)?;
    let work = if elem.is_float() { elem } else { Elem::F64 };
    let x = cx.cast(x, work)?;
    let top = build::reduce_keep(cx.b, x, "max", axes)?;
    let infinite = cx.op(&tensor::IsInf, &[top], &[])?;
    let zero = cx.number(work, 0.0)?;
    let top = cx.select(infinite, zero, top)?;
    let below = cx.binary(&tensor::Sub, x, top)?;
    let power = cx.op(&tensor::Exp, &[below], &[])?;
    let sum = build::reduce_keep(cx.b, power, "sum", axes)?;
    let log = cx.op(&tensor::Log, &[sum], &[])?;
    let y = cx.binary(&tensor::Add, log, top)?;
    cx.cast(y, elem)
}

fn mean(cx: &mut Cx<'_, '_, '_, '_>, x: Value, axes: &[usize]) -> OpResult<Value> {
    if axes.is_empty() {
        return Ok(x);
    }
    if cx.elem(x)?.is_float() {
        let axes = build::ints(axes.iter().copied());
        return cx.op(&nn::Mean, &[x], &[("axes", axes), ("keep", true.into())]);
    }
    build::mean_keep(cx.b, x, axes)
}

fn extreme(
    cx: &mut Cx<'_, '_, '_, '_>,
    x: Value,
    axes: &[usize],
    of_numbers: &str,
    of_truths: &str,
) -> OpResult<Value> {
    let kind = match cx.elem(x)? {
        Elem::Bool => of_truths,
        _ => of_numbers,
    };
    build::reduce_keep(cx.b, x, kind, axes)
}

fn scan(cx: &mut Cx<'_, '_, '_, '_>, kind: &str) -> Values {
    let x = cx.input(0)?;
    let axis = cx.constant_ints(1, "the axis")?;
    let axis = cx.required("axis", axis.and_then(|a| a.first().copied()))?;
    let axis = normal_axis(axis, cx.rank(x)?)?;
    let attrs = [
        ("kind", kind.into()),
        ("axis", (axis as i64).into()),
        ("exclusive", cx.flag("exclusive")?.into()),
        ("reverse", cx.flag("reverse")?.into()),
    ];
    one(cx.op(&tensor::Scan, &[x], &attrs)?)
}
