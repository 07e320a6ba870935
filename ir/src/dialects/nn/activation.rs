//! Activations: functions of one element at a time.

use crate::core::{Cost, EvalCx, Num, OpDef, OpInfo, OpResult, OpView, Tensor, Type};
use crate::op;

use super::rules::{ensure, int_range, join, one, operand_types, same_elem};

/// Ties ops of one float operand to their function: `Op: flops, |view| function of f64;`.
macro_rules! pointwise {
    ($($ty:ident: $flops:literal, $function:expr;)*) => {$(
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
    let (least, greatest) = int_range(x.elem());
    let low = (low.ceil() as i128).clamp(least, greatest);
    let high = (high.floor() as i128).clamp(least, greatest);
    let nums = x.nums().into_iter().map(Num::as_i128);
    let nums = nums.map(|x| Num::Int(x.max(low).min(high)));
    Tensor::from_nums(x.elem(), x.shape().iter().copied(), nums)
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
        same_elem(op, &x)?;
        ensure!(
            x[0].rank() == x[1].rank(),
            "`slope` must have the rank {} of `x`, found {}",
            x[0].rank(),
            x[1].rank()
        );
        let mut y = x[0].clone();
        for (dim, &slope) in y.dims.iter_mut().zip(&x[1].dims) {
            if slope.known() != Some(1) {
                let joined = join(*dim, slope, "extents of `x` and `slope`")?;
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
    LeakyRelu: 2, |op: OpView<'_>| {
        let alpha = LeakyRelu::alpha(op);
        move |x: f64| if x < 0.0 { alpha * x } else { x }
    };
    Sigmoid: 4, |_: OpView<'_>| sigmoid;
    Silu: 5, |_: OpView<'_>| |x: f64| x * sigmoid(x);
    HardSigmoid: 4, |op: OpView<'_>| {
        let (alpha, beta) = (HardSigmoid::alpha(op), HardSigmoid::beta(op));
        move |x: f64| (alpha * x + beta).clamp(0.0, 1.0)
    };
    HardSwish: 5, |_: OpView<'_>| |x: f64| x * (x / 6.0 + 0.5).clamp(0.0, 1.0);
    Elu: 4, |op: OpView<'_>| {
        let alpha = Elu::alpha(op);
        move |x: f64| if x < 0.0 { alpha * x.exp_m1() } else { x }
    };
    Selu: 5, |op: OpView<'_>| {
        let (alpha, gamma) = (Selu::alpha(op), Selu::gamma(op));
        move |x: f64| gamma * if x < 0.0 { alpha * x.exp_m1() } else { x }
    };
    Celu: 5, |op: OpView<'_>| {
        let alpha = Celu::alpha(op);
        move |x: f64| if x < 0.0 { alpha * (x / alpha).exp_m1() } else { x }
    };
    Softplus: 4, |_: OpView<'_>| softplus;
    Softsign: 3, |_: OpView<'_>| |x: f64| x / (1.0 + x.abs());
    Mish: 9, |_: OpView<'_>| |x: f64| x * softplus(x).tanh();
    ThresholdedRelu: 1, |op: OpView<'_>| {
        let alpha = ThresholdedRelu::alpha(op);
        move |x: f64| if x <= alpha { 0.0 } else { x }
    };
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
                0.5 * x * (1.0 + inner.tanh())
            }),
            false => x[0].map(|x| 0.5 * x * (1.0 + libm::erf(x * std::f64::consts::FRAC_1_SQRT_2))),
        }])
    }
    fn cost(&self, op: OpView<'_>) -> Cost {
        Cost::per_element(op, 8)
    }
}

pub(super) fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

pub(super) fn softplus(x: f64) -> f64 {
    // Without overflow for large `x`.
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}
