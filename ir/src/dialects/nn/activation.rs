//! Activations: functions of one element at a time.

use crate::core::{
    Builder, Cost, Elem, EvalCx, Num, Op, OpDef, OpInfo, OpResult, OpView, Tensor, Type, Value,
};
use crate::dialects::tensor::{self as t, build};
use crate::op;

use super::expand::{affine, choose, exp_minus_one, expanded, with, with_num, zip};
use super::rules::{ensure, int_range, meet, one, operand_types, same_elem};

/// Ties ops of one float operand to their function of `f64` and to the function that expands them:
/// `Op: flops, |view| function, expand;`.
macro_rules! pointwise {
    ($($ty:ident: $flops:literal, $function:expr, $expand:path;)*) => {$(
        impl OpDef for $ty {
            fn info(&self) -> &'static OpInfo {
                &$ty::INFO
            }
            fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
                Ok(vec![op.operand_type(0)])
            }
            fn eval(&self, op: OpView<'_>, x: &[Tensor], _: &mut EvalCx<'_>) -> OpResult<Vec<Tensor>> {
                let function = $function;
                Ok(vec![x[0].map(function(op))])
            }
            fn decompose(&self, b: &mut Builder<'_>, op: Op) -> OpResult<Option<Vec<Value>>> {
                let x = b.view(op).operand(0);
                let y = $expand(b, op, x)?;
                Ok(Some(vec![y]))
            }
            fn cost(&self, op: OpView<'_>) -> Cost {
                Cost::per_element(op, $flops)
            }
        }
    )*};
}

op! {
    /// Rectified linear unit: `max(x, 0)`.
    "nn.relu" => Relu {
        operands: [x: NUM_TENSOR],
        results: [y],
        traits: [Pure, Elementwise],
    }
}

impl OpDef for Relu {
    fn info(&self) -> &'static OpInfo {
        &Relu::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        Ok(vec![op.operand_type(0)])
    }
    fn eval(&self, _: OpView<'_>, x: &[Tensor], _: &mut EvalCx<'_>) -> OpResult<Vec<Tensor>> {
        Ok(vec![clamp(&x[0], 0.0, f64::INFINITY)])
    }
    fn decompose(&self, b: &mut Builder<'_>, op: Op) -> OpResult<Option<Vec<Value>>> {
        let x = b.view(op).operand(0);
        Ok(Some(vec![build::with_scalar(b, &t::Max, x, 0.0)?]))
    }
    fn cost(&self, op: OpView<'_>) -> Cost {
        Cost::per_element(op, 1)
    }
}

op! {
    /// Limits: `min(max(x, min), max)`; NaN stays NaN. Limits of integers are rounded inwards.
    "nn.clip" => Clip {
        operands: [x: NUM_TENSOR],
        attributes: [min: Float = f64::NEG_INFINITY, max: Float = f64::INFINITY],
        results: [y],
        traits: [Pure, Elementwise],
    }
}

impl OpDef for Clip {
    fn info(&self) -> &'static OpInfo {
        &Clip::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        ensure!(
            !Clip::min(op).is_nan() && !Clip::max(op).is_nan(),
            "the limits must be numbers"
        );
        Ok(vec![op.operand_type(0)])
    }
    fn eval(&self, op: OpView<'_>, x: &[Tensor], _: &mut EvalCx<'_>) -> OpResult<Vec<Tensor>> {
        Ok(vec![clamp(&x[0], Clip::min(op), Clip::max(op))])
    }
    fn decompose(&self, b: &mut Builder<'_>, op: Op) -> OpResult<Option<Vec<Value>>> {
        let view = b.view(op);
        let (x, min, max) = (view.operand(0), Clip::min(view), Clip::max(view));
        Ok(Some(vec![clip(b, x, min, max)?]))
    }
    fn cost(&self, op: OpView<'_>) -> Cost {
        Cost::per_element(op, 2)
    }
}

/// `min(max(x, low), high)`; NaN stays NaN.
fn clamp(x: &Tensor, low: f64, high: f64) -> Tensor {
    if x.elem().is_float() {
        return x.map(|x| {
            let x = if x < low { low } else { x };
            if x > high { high } else { x }
        });
    }
    let (low, high) = int_limits(x.elem(), low, high);
    let nums = x.nums().into_iter().map(Num::as_i128);
    let nums = nums.map(|x| Num::Int(x.max(low).min(high)));
    Tensor::from_nums(x.elem(), x.shape().iter().copied(), nums)
}

/// Limits of an integer element, rounded inwards.
fn int_limits(elem: Elem, low: f64, high: f64) -> (i128, i128) {
    let (least, greatest) = int_range(elem);
    let low = (low.ceil() as i128).clamp(least, greatest);
    (low, (high.floor() as i128).clamp(least, greatest))
}

/// `min(max(x, low), high)` in `tensor` ops.
pub(super) fn clip(b: &mut Builder<'_>, x: Value, low: f64, high: f64) -> OpResult<Value> {
    let elem = build::elem(b, x);
    let limits = match elem.is_float() {
        true => [
            (low > f64::NEG_INFINITY).then_some(Num::Float(low)),
            (high < f64::INFINITY).then_some(Num::Float(high)),
        ],
        false => {
            let (least, greatest) = int_range(elem);
            let (low, high) = int_limits(elem, low, high);
            [
                (low > least).then_some(Num::Int(low)),
                (high < greatest).then_some(Num::Int(high)),
            ]
        }
    };
    let x = match limits[0] {
        Some(low) => with_num(b, &t::Max, x, low)?,
        None => x,
    };
    match limits[1] {
        Some(high) => with_num(b, &t::Min, x, high),
        None => Ok(x),
    }
}

op! {
    /// `x` where `x >= 0`, else `alpha · x`.
    "nn.leaky_relu" => LeakyRelu {
        operands: [x: FLOAT_TENSOR],
        attributes: [alpha: Float = 0.01],
        results: [y],
        traits: [Pure, Elementwise],
    }
}

op! {
    /// `x` where `x >= 0`, else `slope · x`; an extent of `slope` may be 1 and then repeats.
    "nn.prelu" => Prelu {
        operands: [x: FLOAT_TENSOR, slope: FLOAT_TENSOR],
        results: [y],
        traits: [Pure],
    }
}

impl OpDef for Prelu {
    fn info(&self) -> &'static OpInfo {
        &Prelu::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        let x = operand_types(op);
        same_elem(op)?;
        ensure!(
            x[0].rank() == x[1].rank(),
            "`slope` must have the rank {} of `x`, found {}",
            x[0].rank(),
            x[1].rank()
        );
        let mut y = x[0].clone();
        for (dim, &slope) in y.dims.iter_mut().zip(&x[1].dims) {
            if slope.known() != Some(1) {
                let joined = meet(*dim, slope, "extents of `x` and `slope`")?;
                // An open extent of `slope` may turn out to be 1.
                if slope.known().is_some() {
                    *dim = joined;
                }
            }
        }
        one(y)
    }
    fn eval(&self, op: OpView<'_>, x: &[Tensor], _: &mut EvalCx<'_>) -> OpResult<Vec<Tensor>> {
        let (shape, repeats) = (x[0].shape(), x[1].shape());
        let fits = shape.len() == repeats.len()
            && shape.iter().zip(repeats).all(|(&n, &r)| r == 1 || r == n);
        ensure!(fits, "the slope of `{}` does not fit its input", op.name());
        let slope = x[1].to_f64s();
        let mut index = vec![0usize; shape.len()];
        let values: Vec<f64> = x[0]
            .to_f64s()
            .into_iter()
            .map(|v| {
                let at = index
                    .iter()
                    .zip(repeats)
                    .fold(0, |at, (&i, &n)| at * n + i.min(n - 1));
                for (i, &n) in index.iter_mut().zip(shape).rev() {
                    *i += 1;
                    if *i < n {
                        break;
                    }
                    *i = 0;
                }
                if v < 0.0 { v * slope[at] } else { v }
            })
            .collect();
        Ok(vec![Tensor::from_f64s(
            x[0].elem(),
            shape.iter().copied(),
            values,
        )])
    }
    fn decompose(&self, b: &mut Builder<'_>, op: Op) -> OpResult<Option<Vec<Value>>> {
        let view = b.view(op);
        let (x, slope) = (view.operand(0), view.operand(1));
        let below = with(b, &t::Mul, x, slope)?;
        let y = choose(b, (x, "lt", 0.0), below, x)?;
        expanded(b, op, y)
    }
    fn cost(&self, op: OpView<'_>) -> Cost {
        Cost::per_element(op, 2)
    }
}

op! {
    /// Logistic function: `1 / (1 + exp(-x))`.
    "nn.sigmoid" => Sigmoid {
        operands: [x: FLOAT_TENSOR],
        results: [y],
        traits: [Pure, Elementwise],
    }
}

op! {
    /// Sigmoid linear unit: `x · sigmoid(x)`.
    "nn.silu" => Silu {
        operands: [x: FLOAT_TENSOR],
        results: [y],
        traits: [Pure, Elementwise],
    }
}

op! {
    /// Gaussian error linear unit: `x / 2 · (1 + erf(x / √2))`; with `approximate = "tanh"`
    /// `x / 2 · (1 + tanh(√(2 / π) · (x + 0.044715 · x³)))`.
    "nn.gelu" => Gelu {
        operands: [x: FLOAT_TENSOR],
        attributes: [approximate: Str = "none"],
        results: [y],
        traits: [Pure, Elementwise],
    }
}

op! {
    /// `min(max(alpha · x + beta, 0), 1)`.
    "nn.hard_sigmoid" => HardSigmoid {
        operands: [x: FLOAT_TENSOR],
        attributes: [alpha: Float = 0.2, beta: Float = 0.5],
        results: [y],
        traits: [Pure, Elementwise],
    }
}

op! {
    /// `x · min(max(x / 6 + 1 / 2, 0), 1)`.
    "nn.hard_swish" => HardSwish {
        operands: [x: FLOAT_TENSOR],
        results: [y],
        traits: [Pure, Elementwise],
    }
}

op! {
    /// `x` where `x >= 0`, else `alpha · (exp(x) - 1)`.
    "nn.elu" => Elu {
        operands: [x: FLOAT_TENSOR],
        attributes: [alpha: Float = 1.0],
        results: [y],
        traits: [Pure, Elementwise],
    }
}

op! {
    /// `gamma · x` where `x >= 0`, else `gamma · alpha · (exp(x) - 1)`.
    "nn.selu" => Selu {
        operands: [x: FLOAT_TENSOR],
        attributes: [alpha: Float = 1.6732631921768188, gamma: Float = 1.0507010221481323],
        results: [y],
        traits: [Pure, Elementwise],
    }
}

op! {
    /// `x` where `x >= 0`, else `alpha · (exp(x / alpha) - 1)`; `alpha` is not 0.
    "nn.celu" => Celu {
        operands: [x: FLOAT_TENSOR],
        attributes: [alpha: Float = 1.0],
        results: [y],
        traits: [Pure, Elementwise],
    }
}

op! {
    /// `log(1 + exp(x))`.
    "nn.softplus" => Softplus {
        operands: [x: FLOAT_TENSOR],
        results: [y],
        traits: [Pure, Elementwise],
    }
}

op! {
    /// `x / (1 + |x|)`.
    "nn.softsign" => Softsign {
        operands: [x: FLOAT_TENSOR],
        results: [y],
        traits: [Pure, Elementwise],
    }
}

op! {
    /// `x · tanh(log(1 + exp(x)))`.
    "nn.mish" => Mish {
        operands: [x: FLOAT_TENSOR],
        results: [y],
        traits: [Pure, Elementwise],
    }
}

op! {
    /// `x` where `x > alpha`, else 0.
    "nn.thresholded_relu" => ThresholdedRelu {
        operands: [x: FLOAT_TENSOR],
        attributes: [alpha: Float = 1.0],
        results: [y],
        traits: [Pure, Elementwise],
    }
}

pointwise! {
    Celu: 5, |op: OpView<'_>| {
        let alpha = Celu::alpha(op);
        move |x: f64| if x < 0.0 { alpha * libm::expm1(x / alpha) } else { x }
    }, expand_celu;
    Elu: 4, |op: OpView<'_>| {
        let alpha = Elu::alpha(op);
        move |x: f64| if x < 0.0 { alpha * libm::expm1(x) } else { x }
    }, expand_elu;
    HardSigmoid: 4, |op: OpView<'_>| {
        let (alpha, beta) = (HardSigmoid::alpha(op), HardSigmoid::beta(op));
        move |x: f64| (alpha * x + beta).clamp(0.0, 1.0)
    }, expand_hard_sigmoid;
    HardSwish: 5, |_: OpView<'_>| |x: f64| x * (x / 6.0 + 0.5).clamp(0.0, 1.0), expand_hard_swish;
    LeakyRelu: 2, |op: OpView<'_>| {
        let alpha = LeakyRelu::alpha(op);
        move |x: f64| if x < 0.0 { alpha * x } else { x }
    }, expand_leaky_relu;
    Mish: 9, |_: OpView<'_>| |x: f64| x * libm::tanh(softplus(x)), expand_mish;
    Selu: 5, |op: OpView<'_>| {
        let (alpha, gamma) = (Selu::alpha(op), Selu::gamma(op));
        move |x: f64| gamma * if x < 0.0 { alpha * libm::expm1(x) } else { x }
    }, expand_selu;
    Sigmoid: 4, |_: OpView<'_>| sigmoid, expand_sigmoid;
    Silu: 5, |_: OpView<'_>| |x: f64| x * sigmoid(x), expand_silu;
    Softplus: 4, |_: OpView<'_>| softplus, expand_softplus;
    Softsign: 3, |_: OpView<'_>| |x: f64| x / (1.0 + x.abs()), expand_softsign;
    ThresholdedRelu: 1, |op: OpView<'_>| {
        let alpha = ThresholdedRelu::alpha(op);
        move |x: f64| if x <= alpha { 0.0 } else { x }
    }, expand_thresholded_relu;
}

fn expand_celu(b: &mut Builder<'_>, op: Op, x: Value) -> OpResult<Value> {
    let alpha = Celu::alpha(b.view(op));
    // Divided, not multiplied by the rounded inverse; an `alpha` below 0 makes the quotient positive.
    let ratio = build::with_scalar(b, &t::Div, x, alpha)?;
    let ratio = if alpha < 0.0 {
        ratio
    } else {
        build::with_scalar(b, &t::Min, ratio, 0.0)?
    };
    let power = build::unary(b, &t::Exp, ratio)?;
    let below = build::with_scalar(b, &t::Sub, power, 1.0)?;
    let below = affine(b, below, alpha, 0.0)?;
    choose(b, (x, "lt", 0.0), below, x)
}

fn expand_elu(b: &mut Builder<'_>, op: Op, x: Value) -> OpResult<Value> {
    let alpha = Elu::alpha(b.view(op));
    build_elu(b, x, alpha)
}

pub(super) fn build_elu(b: &mut Builder<'_>, x: Value, alpha: f64) -> OpResult<Value> {
    let below = exp_minus_one(b, x)?;
    let below = affine(b, below, alpha, 0.0)?;
    choose(b, (x, "lt", 0.0), below, x)
}

fn expand_hard_sigmoid(b: &mut Builder<'_>, op: Op, x: Value) -> OpResult<Value> {
    let (alpha, beta) = (
        HardSigmoid::alpha(b.view(op)),
        HardSigmoid::beta(b.view(op)),
    );
    let line = affine(b, x, alpha, beta)?;
    clip(b, line, 0.0, 1.0)
}

fn expand_hard_swish(b: &mut Builder<'_>, _: Op, x: Value) -> OpResult<Value> {
    let attrs = [("alpha", (1.0 / 6.0).into()), ("beta", 0.5.into())];
    let gate = b.one(&HardSigmoid, &[x], &attrs)?;
    zip(b, &t::Mul, x, gate)
}

fn expand_leaky_relu(b: &mut Builder<'_>, op: Op, x: Value) -> OpResult<Value> {
    let below = affine(b, x, LeakyRelu::alpha(b.view(op)), 0.0)?;
    choose(b, (x, "lt", 0.0), below, x)
}

fn expand_mish(b: &mut Builder<'_>, _: Op, x: Value) -> OpResult<Value> {
    let soft = b.one(&Softplus, &[x], &[])?;
    let gate = build::unary(b, &t::Tanh, soft)?;
    zip(b, &t::Mul, x, gate)
}

fn expand_selu(b: &mut Builder<'_>, op: Op, x: Value) -> OpResult<Value> {
    let (alpha, gamma) = (Selu::alpha(b.view(op)), Selu::gamma(b.view(op)));
    let elu = build_elu(b, x, alpha)?;
    affine(b, elu, gamma, 0.0)
}

fn expand_sigmoid(b: &mut Builder<'_>, _: Op, x: Value) -> OpResult<Value> {
    let negated = build::unary(b, &t::Neg, x)?;
    let power = build::unary(b, &t::Exp, negated)?;
    let sum = affine(b, power, 1.0, 1.0)?;
    let one = build::splat_like(b, x, 1.0)?;
    zip(b, &t::Div, one, sum)
}

fn expand_silu(b: &mut Builder<'_>, _: Op, x: Value) -> OpResult<Value> {
    let gate = b.one(&Sigmoid, &[x], &[])?;
    zip(b, &t::Mul, x, gate)
}

fn expand_softplus(b: &mut Builder<'_>, _: Op, x: Value) -> OpResult<Value> {
    // Without overflow for large `x`.
    let size = build::unary(b, &t::Abs, x)?;
    let negated = build::unary(b, &t::Neg, size)?;
    let power = build::unary(b, &t::Exp, negated)?;
    let sum = affine(b, power, 1.0, 1.0)?;
    let rest = build::unary(b, &t::Log, sum)?;
    let above = build::with_scalar(b, &t::Max, x, 0.0)?;
    zip(b, &t::Add, above, rest)
}

fn expand_softsign(b: &mut Builder<'_>, _: Op, x: Value) -> OpResult<Value> {
    let size = build::unary(b, &t::Abs, x)?;
    let sum = affine(b, size, 1.0, 1.0)?;
    zip(b, &t::Div, x, sum)
}

fn expand_thresholded_relu(b: &mut Builder<'_>, op: Op, x: Value) -> OpResult<Value> {
    let alpha = ThresholdedRelu::alpha(b.view(op));
    let zero = build::splat_like(b, x, 0.0)?;
    choose(b, (x, "le", alpha), zero, x)
}

impl OpDef for Gelu {
    fn info(&self) -> &'static OpInfo {
        &Gelu::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        super::rules::choice("approximate", Gelu::approximate(op), &["none", "tanh"])?;
        Ok(vec![op.operand_type(0)])
    }
    fn eval(&self, op: OpView<'_>, x: &[Tensor], _: &mut EvalCx<'_>) -> OpResult<Vec<Tensor>> {
        Ok(vec![match Gelu::approximate(op) == "tanh" {
            true => x[0].map(|x| {
                let inner = std::f64::consts::FRAC_2_PI.sqrt() * (x + 0.044715 * x * x * x);
                0.5 * x * (1.0 + libm::tanh(inner))
            }),
            false => x[0].map(|x| 0.5 * x * (1.0 + libm::erf(x * std::f64::consts::FRAC_1_SQRT_2))),
        }])
    }
    fn decompose(&self, b: &mut Builder<'_>, op: Op) -> OpResult<Option<Vec<Value>>> {
        let x = b.view(op).operand(0);
        let tanh = Gelu::approximate(b.view(op)) == "tanh";
        let gate = if tanh {
            let square = zip(b, &t::Mul, x, x)?;
            let factor = affine(b, square, 0.044715, 1.0)?;
            let inner = zip(b, &t::Mul, x, factor)?;
            let inner = affine(b, inner, std::f64::consts::FRAC_2_PI.sqrt(), 0.0)?;
            build::unary(b, &t::Tanh, inner)?
        } else {
            let inner = affine(b, x, std::f64::consts::FRAC_1_SQRT_2, 0.0)?;
            build::unary(b, &t::Erf, inner)?
        };
        let gate = affine(b, gate, 0.5, 0.5)?;
        Ok(Some(vec![zip(b, &t::Mul, x, gate)?]))
    }
    fn cost(&self, op: OpView<'_>) -> Cost {
        Cost::per_element(op, 8)
    }
}

pub(super) fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-x))
}

pub(super) fn softplus(x: f64) -> f64 {
    // Without overflow for large `x`.
    x.max(0.0) + libm::log1p(libm::exp(-x.abs()))
}
