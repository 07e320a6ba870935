//! Softmax and its logarithm.

use crate::core::{
    Builder, Cost, EvalCx, Op, OpDef, OpInfo, OpResult, OpView, Tensor, Type, Value,
};
use crate::dialects::tensor::{self as t, build, shapes};
use crate::op;

use super::expand::{expanded, with};
use super::rules::split_at;

op! {
    /// `exp(x) / Σ exp(x)`, with the sum along `axis`.
    "nn.softmax" => Softmax {
        operands: [x: FLOAT_TENSOR],
        attributes: [axis: Int],
        results: [y],
        traits: [Pure],
    }
}

impl OpDef for Softmax {
    fn info(&self) -> &'static OpInfo {
        &Softmax::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        shapes::axis("axis", Softmax::axis(op), op.operand_tensor(0).rank())?;
        Ok(vec![op.operand_type(0)])
    }
    fn eval(&self, op: OpView<'_>, x: &[Tensor], _: &mut EvalCx<'_>) -> OpResult<Vec<Tensor>> {
        let finish = |x: f64, sum: f64| libm::exp(x) / sum;
        Ok(vec![along(&x[0], Softmax::axis(op) as usize, finish)])
    }
    fn decompose(&self, b: &mut Builder<'_>, op: Op) -> OpResult<Option<Vec<Value>>> {
        let axis = Softmax::axis(b.view(op)) as usize;
        let (_, power) = exponentials(b, op, axis)?;
        let sum = build::reduce_keep(b, power, "sum", &[axis])?;
        let y = with(b, &t::Div, power, sum)?;
        expanded(b, op, y)
    }
    fn cost(&self, op: OpView<'_>) -> Cost {
        Cost::per_element(op, 5)
    }
}

op! {
    /// `x - log Σ exp(x)`, with the sum along `axis`.
    "nn.log_softmax" => LogSoftmax {
        operands: [x: FLOAT_TENSOR],
        attributes: [axis: Int],
        results: [y],
        traits: [Pure],
    }
}

impl OpDef for LogSoftmax {
    fn info(&self) -> &'static OpInfo {
        &LogSoftmax::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        shapes::axis("axis", LogSoftmax::axis(op), op.operand_tensor(0).rank())?;
        Ok(vec![op.operand_type(0)])
    }
    fn eval(&self, op: OpView<'_>, x: &[Tensor], _: &mut EvalCx<'_>) -> OpResult<Vec<Tensor>> {
        let finish = |x: f64, sum: f64| x - libm::log(sum);
        Ok(vec![along(&x[0], LogSoftmax::axis(op) as usize, finish)])
    }
    fn decompose(&self, b: &mut Builder<'_>, op: Op) -> OpResult<Option<Vec<Value>>> {
        let axis = LogSoftmax::axis(b.view(op)) as usize;
        let (shifted, power) = exponentials(b, op, axis)?;
        let sum = build::reduce_keep(b, power, "sum", &[axis])?;
        let log = build::unary(b, &t::Log, sum)?;
        let y = with(b, &t::Sub, shifted, log)?;
        expanded(b, op, y)
    }
    fn cost(&self, op: OpView<'_>) -> Cost {
        Cost::per_element(op, 5)
    }
}

/// Replaces each element by a function of its distance to the greatest along the axis and of the
/// sum of exponentials of these distances.
fn along(x: &Tensor, axis: usize, finish: impl Fn(f64, f64) -> f64) -> Tensor {
    if x.is_empty() {
        return x.clone();
    }
    let (outer, extent, inner) = split_at(x.shape(), axis);
    let mut y = x.to_f64s();
    for (start, i) in (0..outer).flat_map(|o| (0..inner).map(move |i| (o * extent * inner, i))) {
        let places = (0..extent).map(|e| start + e * inner + i);
        let greatest = places
            .clone()
            .map(|p| y[p])
            .fold(
                f64::NEG_INFINITY,
                |a, x| {
                    if x > a || x.is_nan() { x } else { a }
                },
            );
        let sum: f64 = places.clone().map(|p| libm::exp(y[p] - greatest)).sum();
        places.for_each(|p| y[p] = finish(y[p] - greatest, sum));
    }
    Tensor::from_f64s(x.elem(), x.shape().iter().copied(), y)
}

/// The softmax of one row.
pub(super) fn normalise(row: &mut [f64]) {
    let greatest =
        row.iter().copied().fold(
            f64::NEG_INFINITY,
            |a, x| {
                if x > a || x.is_nan() { x } else { a }
            },
        );
    row.iter_mut().for_each(|x| *x = libm::exp(*x - greatest));
    let sum: f64 = row.iter().sum();
    row.iter_mut().for_each(|x| *x /= sum);
}

/// The operand's distance to its greatest along the axis, and the exponential of that.
fn exponentials(b: &mut Builder<'_>, op: Op, axis: usize) -> OpResult<(Value, Value)> {
    let x = b.view(op).operand(0);
    let greatest = build::reduce_keep(b, x, "max", &[axis])?;
    let shifted = with(b, &t::Sub, x, greatest)?;
    Ok((shifted, build::unary(b, &t::Exp, shifted)?))
}
