//! Convolutions and linear layers with a fused epilogue.

use crate::core::{
    Cost, Dim, EvalCx, OpDef, OpError, OpInfo, OpResult, OpView, Tensor, TensorType, Type, Value,
};
use crate::dialects::{nn, tensor};
use crate::op;

/// An activation of `x` with the bounds `low` and `high`.
pub type Activation = fn(x: f64, low: f64, high: f64) -> f64;

/// The activations that an epilogue can apply, by the name in the `act` attribute.
pub const ACTIVATIONS: &[(&str, Activation)] = &[
    ("none", |x, _, _| x),
    ("relu", |x, _, _| if x < 0.0 { 0.0 } else { x }),
    ("clip", |x, low, high| {
        if x < low {
            low
        } else if x > high {
            high
        } else {
            x
        }
    }),
    ("gelu", |x, _, _| {
        0.5 * x * (1.0 + libm::erf(x * std::f64::consts::FRAC_1_SQRT_2))
    }),
    ("gelu_tanh", |x, _, _| gelu_tanh(x)),
    ("silu", |x, _, _| x * sigmoid(x)),
    ("sigmoid", |x, _, _| sigmoid(x)),
    ("tanh", |x, _, _| libm::tanh(x)),
    ("hard_swish", |x, _, _| x * (x / 6.0 + 0.5).clamp(0.0, 1.0)),
];

pub(super) fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-x))
}

fn gelu_tanh(x: f64) -> f64 {
    let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
    0.5 * x * (1.0 + libm::tanh(inner))
}

op! {
    /// `act(conv(x, w) + bias + residual)` on channels-last `x` of rank 4; `bias` and `residual`
    /// stand in `extras` as far as the attributes of their names say so. `w` is
    /// [O, I / groups, h, w]. With `gather`, an integer vector `channels` stands between bias and
    /// residual, and channel `i` of the convolution is channel `channels[i]` of `x`. `algorithm`
    /// says how a target computes it, and changes no more than how it rounds; Winograd's are for
    /// windows of 3 x 3 at stride, dilation and groups 1.
    "kernel.conv" => Conv {
        operands: [x: FLOAT_TENSOR, w: FLOAT_TENSOR; extras: NUM_TENSOR],
        attributes: [stride: Ints, dilation: Ints, pad: Ints, groups: Int = 1, layout: Str = "nhwc", algorithm: Str = "direct", bias: Bool = false, gather: Bool = false, residual: Bool = false, act: Str = "none", low: Float = f64::NEG_INFINITY, high: Float = f64::INFINITY],
        results: [y],
        traits: [Pure],
    }
}

op! {
    /// `act(x · w + bias + residual)`: `x` is [..., K], `w` [K, N], the result [..., N]; `extras`
    /// as in `kernel.conv`. With `quantised` above 0 a target keeps `w` as integers of eight bits,
    /// with one scale for each column of so many rows, and rounds otherwise. `algorithm` is as in
    /// `kernel.conv`; Strassen's is for an even number of rows and even extents of `w`.
    "kernel.linear" => Linear {
        operands: [x: FLOAT_TENSOR, w: FLOAT_TENSOR; extras: FLOAT_TENSOR],
        attributes: [quantised: Int = 0, algorithm: Str = "direct", bias: Bool = false, residual: Bool = false, act: Str = "none", low: Float = f64::NEG_INFINITY, high: Float = f64::INFINITY],
        results: [y],
        traits: [Pure],
    }
}

macro_rules! fused_op {
    ($ty:ident, $of:expr, $result:path, $verify:path) => {
        impl OpDef for $ty {
            fn info(&self) -> &'static OpInfo {
                &$ty::INFO
            }
            fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
                let mut types = nn::rules::operand_types(op);
                if let Some((at, _)) = channels(op) {
                    types[0] = gathered_type(&types[0], &types[at])?;
                }
                types.truncate(2 + usize::from($ty::bias(op)));
                nn::rules::one($result(op, &types)?)
            }
            fn verify(&self, op: OpView<'_>) -> OpResult<()> {
                $verify(op)
            }
            fn eval(
                &self,
                op: OpView<'_>,
                operands: &[Tensor],
                cx: &mut EvalCx<'_>,
            ) -> OpResult<Vec<Tensor>> {
                let mut plain = operands[..2 + usize::from($ty::bias(op))].to_vec();
                if let Some((at, _)) = channels(op) {
                    let last = plain[0].shape().len() - 1;
                    plain[0] = tensor::lookup::gather(&plain[0], &operands[at], last)?;
                }
                let y = $of.eval(op, &plain, cx)?;
                epilogue(op, &y[0], operands)
            }
            fn cost(&self, op: OpView<'_>) -> Cost {
                Cost::of(op, $of.cost(op).flops)
            }
        }
    };
}
fused_op!(Conv, nn::Conv, nn::conv::conv_type, verify_conv);
fused_op!(Linear, nn::Linear, nn::linear::linear_type, verify_linear);

/// Whether each channel of a `kernel.conv` has a window and an output of its own.
pub fn is_depthwise(op: OpView<'_>) -> bool {
    let groups = Conv::groups(op);
    let all = Dim::Known(groups as u64);
    groups > 1
        && !Conv::gather(op)
        && op.operand_dims(0).last() == Some(&all)
        && op.operand_dims(1)[0] == all
}

/// How a `kernel.conv` may be computed: directly, or as Winograd's F(2 x 2, 3 x 3) or
/// F(4 x 4, 3 x 3).
pub const ALGORITHMS: &[&str] = &["direct", "winograd_f2", "winograd_f4"];

/// Whether Winograd's algorithms compute a `kernel.conv` with such a window.
pub fn suits_winograd(op: OpView<'_>) -> bool {
    let ones = |list: Vec<i64>| list == [1, 1];
    let three = Dim::Known(3);
    op.operand_dims(1)[2..] == [three, three]
        && ones(Conv::stride(op))
        && ones(Conv::dilation(op))
        && Conv::groups(op) == 1
        && channels(op).is_none()
}

/// How a `kernel.linear` may be computed: directly, or with one level of Strassen's quadrants.
pub const LINEAR_ALGORITHMS: &[&str] = &["direct", "strassen"];

/// Rows of a `kernel.linear`, if they are known: the product of all extents of `x` but the last.
pub fn linear_rows(op: OpView<'_>) -> Option<u64> {
    let (_, rows) = op.operand_dims(0).split_last()?;
    rows.iter().try_fold(1, |n, d| Some(n * d.known()?))
}

fn verify_algorithm(algorithm: &str, all: &[&str]) -> OpResult<()> {
    match all.contains(&algorithm) {
        true => Ok(()),
        false => Err(OpError::new(format!("unknown algorithm \"{algorithm}\""))
            .help(format!("it is {}", all.join(", ")))),
    }
}

fn verify_conv(op: OpView<'_>) -> OpResult<()> {
    let algorithm = Conv::algorithm(op);
    verify_algorithm(algorithm, ALGORITHMS)?;
    if algorithm != "direct" && !suits_winograd(op) {
        return Err(OpError::new(format!(
            "\"{algorithm}\" is for windows of 3 x 3 at stride, dilation and groups 1, with no \
             gathered channels"
        )));
    }
    verify_epilogue(op)
}

/// Where the parts of an epilogue stand among the operands.
#[derive(Copy, Clone, Debug)]
pub struct Extras {
    pub bias: Option<Value>,
    /// The channels of `x` that a convolution reads, in its order.
    pub channels: Option<Value>,
    pub residual: Option<Value>,
}

/// Where the channels to gather stand among the operands of a `kernel.conv`, and the operand.
fn channels(op: OpView<'_>) -> Option<(usize, Value)> {
    if op.name() != Conv::INFO.name || !Conv::gather(op) {
        return None;
    }
    let at = 2 + usize::from(Conv::bias(op));
    op.operands().get(at).map(|&value| (at, value))
}

/// The operands of a `kernel.conv` or `kernel.linear` behind its weights.
pub fn extras(op: OpView<'_>) -> Extras {
    let last = op.operands().last().copied();
    Extras {
        bias: Conv::bias(op).then(|| op.operand(2)),
        channels: channels(op).map(|(_, value)| value),
        residual: last.filter(|_| Conv::residual(op)),
    }
}

/// What a convolution of gathered channels sees in place of `x`.
fn gathered_type(x: &TensorType, channels: &TensorType) -> OpResult<TensorType> {
    if !channels.elem.is_int() || channels.rank() != 1 {
        return Err(OpError::new(format!(
            "`channels` must be a vector of integers, found `{channels}`"
        )));
    }
    let mut dims = x.dims.to_vec();
    if let Some(last) = dims.last_mut() {
        *last = channels.dims[0];
    }
    Ok(TensorType::new(x.elem, dims))
}

fn verify_linear(op: OpView<'_>) -> OpResult<()> {
    let algorithm = Linear::algorithm(op);
    verify_algorithm(algorithm, LINEAR_ALGORITHMS)?;
    let even = |n: Option<u64>| n.is_some_and(|n| n.is_multiple_of(2));
    let weights = op.operand_dims(1).iter();
    if algorithm != "direct" && !(even(linear_rows(op)) && weights.map(|d| d.known()).all(even)) {
        return Err(OpError::new(format!(
            "\"{algorithm}\" is for an even number of rows and weights of even extents"
        )));
    }
    match Linear::quantised(op) {
        0 => verify_epilogue(op),
        1.. if algorithm == "direct" => verify_epilogue(op),
        1.. => Err(OpError::new(format!(
            "\"{algorithm}\" is for weights that are not `quantised`"
        ))),
        _ => Err(OpError::new("`quantised` must be 0 or more")),
    }
}

fn verify_epilogue(op: OpView<'_>) -> OpResult<()> {
    let flags = [
        Conv::bias(op),
        op.name() == Conv::INFO.name && Conv::gather(op),
        Conv::residual(op),
    ];
    let expected = 2 + flags.into_iter().filter(|&set| set).count();
    if op.operands().len() != expected {
        return Err(OpError::new(format!(
            "`bias`, `gather` and `residual` ask for {expected} operands, found {}",
            op.operands().len()
        )));
    }
    if let Some(residual) = extras(op).residual
        && op.module.value_type(residual) != op.result_type(0)
    {
        return Err(OpError::new(
            "the residual must have the type of the result",
        ));
    }
    match ACTIVATIONS.iter().any(|(name, _)| *name == Conv::act(op)) {
        true => Ok(()),
        false => Err(OpError::new(format!(
            "unknown activation \"{}\"",
            Conv::act(op)
        ))),
    }
}

fn epilogue(op: OpView<'_>, y: &Tensor, operands: &[Tensor]) -> OpResult<Vec<Tensor>> {
    let residual = Conv::residual(op).then(|| operands[operands.len() - 1].to_f64s());
    let (low, high) = (Conv::low(op), Conv::high(op));
    let Some((_, act)) = ACTIVATIONS.iter().find(|(name, _)| *name == Conv::act(op)) else {
        crate::bug!("unknown activation passed the verifier");
    };
    let values = y.to_f64s().into_iter().enumerate().map(|(i, y)| {
        let sum = residual.as_ref().map_or(y, |r| y + r[i]);
        act(sum, low, high)
    });
    Ok(vec![Tensor::from_f64s(
        y.elem(),
        y.shape().iter().copied(),
        values,
    )])
}
