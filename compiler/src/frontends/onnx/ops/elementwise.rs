//! Operators that work element by element: arithmetic, comparison, logic, activations, casts.

use lepid_ir::core::{Attr, Elem, OpDef, OpResult, Value};
use lepid_ir::dialects::tensor::build;
use lepid_ir::dialects::{nn, tensor};

use super::{Row, one, row};
use crate::frontends::onnx::cx::{Cx, invalid, normal_axis};
use crate::frontends::onnx::weights::elem_type;

type Values = OpResult<Vec<Value>>;

/// An operator that is one op with one operand.
macro_rules! unary {
    ($name:literal, $since:literal, $def:expr) => {
        row($name, $since, |cx| {
            let x = cx.input(0)?;
            one(cx.op(&$def, &[x], &[])?)
        })
    };
}

/// An operator that is one op with two operands, broadcast to one shape.
macro_rules! binary {
    ($name:literal, $since:literal, $def:expr) => {
        row($name, $since, |cx| {
            let (x, y) = pair(cx)?;
            one(cx.binary(&$def, x, y)?)
        })
    };
}

/// An operator that folds any number of inputs with an op of two.
macro_rules! variadic {
    ($name:literal, $since:literal, $def:expr) => {
        row($name, $since, |cx| one(variadic(cx, &$def)?))
    };
}

macro_rules! compare {
    ($name:literal, $since:literal, $direction:literal) => {
        row($name, $since, |cx| {
            let (x, y) = pair(cx)?;
            one(cx.compare($direction, x, y)?)
        })
    };
}

/// An activation with float attributes of the same names and their defaults.
macro_rules! activation {
    ($name:literal, $since:literal, $def:expr, [$($attr:literal = $default:expr),*]) => {
        row($name, $since, |cx| {
            let x = cx.input(0)?;
            let attrs = [$(($attr, Attr::from(cx.float($attr, $default)?))),*];
            one(cx.op(&$def, &[x], &attrs)?)
        })
    };
}

pub(super) const ROWS: &[Row] = &[
    unary!("Abs", 1, tensor::Abs),
    unary!("Acos", 7, tensor::Acos),
    unary!("Acosh", 9, tensor::Acosh),
    binary!("Add", 1, tensor::Add),
    binary!("And", 1, tensor::And),
    unary!("Asin", 7, tensor::Asin),
    unary!("Asinh", 9, tensor::Asinh),
    unary!("Atan", 7, tensor::Atan),
    unary!("Atanh", 9, tensor::Atanh),
    row("BitCast", 26, bit_cast),
    row("BitShift", 11, bit_shift),
    binary!("BitwiseAnd", 18, tensor::And),
    unary!("BitwiseNot", 18, tensor::BitNot),
    binary!("BitwiseOr", 18, tensor::Or),
    binary!("BitwiseXor", 18, tensor::Xor),
    row("Cast", 6, cast),
    row("CastLike", 15, cast_like),
    unary!("Ceil", 1, tensor::Ceil),
    activation!("Celu", 12, nn::Celu, ["alpha" = 1.0]),
    row("Clip", 1, clip),
    unary!("Cos", 7, tensor::Cos),
    unary!("Cosh", 9, tensor::Cosh),
    binary!("Div", 1, tensor::Div),
    activation!("Elu", 1, nn::Elu, ["alpha" = 1.0]),
    compare!("Equal", 1, "eq"),
    unary!("Erf", 9, tensor::Erf),
    unary!("Exp", 1, tensor::Exp),
    unary!("Floor", 1, tensor::Floor),
    row("Gelu", 20, gelu),
    compare!("Greater", 1, "gt"),
    compare!("GreaterOrEqual", 12, "ge"),
    activation!(
        "HardSigmoid",
        6,
        nn::HardSigmoid,
        ["alpha" = 0.2, "beta" = 0.5]
    ),
    unary!("HardSwish", 14, nn::HardSwish),
    row("IsInf", 10, is_inf),
    unary!("IsNaN", 9, tensor::IsNan),
    activation!("LeakyRelu", 1, nn::LeakyRelu, ["alpha" = 0.01]),
    compare!("Less", 1, "lt"),
    compare!("LessOrEqual", 12, "le"),
    unary!("Log", 1, tensor::Log),
    variadic!("Max", 1, tensor::Max),
    row("Mean", 1, mean),
    variadic!("Min", 1, tensor::Min),
    unary!("Mish", 18, nn::Mish),
    row("Mod", 10, modulo),
    binary!("Mul", 1, tensor::Mul),
    unary!("Neg", 1, tensor::Neg),
    unary!("Not", 1, tensor::Not),
    binary!("Or", 1, tensor::Or),
    row("PRelu", 1, prelu),
    row("Pow", 1, pow),
    row("Reciprocal", 1, reciprocal),
    unary!("Relu", 1, nn::Relu),
    unary!("Round", 11, tensor::Round),
    activation!(
        "Selu",
        6,
        nn::Selu,
        ["alpha" = 1.673_263_2, "gamma" = 1.050_701]
    ),
    row("Shrink", 9, shrink),
    unary!("Sigmoid", 1, nn::Sigmoid),
    unary!("Sign", 9, tensor::Sign),
    unary!("Sin", 7, tensor::Sin),
    unary!("Sinh", 9, tensor::Sinh),
    unary!("Softplus", 1, nn::Softplus),
    unary!("Softsign", 1, nn::Softsign),
    unary!("Sqrt", 1, tensor::Sqrt),
    binary!("Sub", 1, tensor::Sub),
    variadic!("Sum", 1, tensor::Add),
    row("Swish", 24, swish),
    unary!("Tan", 7, tensor::Tan),
    unary!("Tanh", 1, tensor::Tanh),
    activation!("ThresholdedRelu", 10, nn::ThresholdedRelu, ["alpha" = 1.0]),
    row("Where", 9, select),
    binary!("Xor", 1, tensor::Xor),
];

/// The two inputs. Before opset 7, `axis` says where the axes of the second lie in the first.
fn pair(cx: &mut Cx<'_, '_, '_, '_>) -> OpResult<(Value, Value)> {
    let (x, y) = (cx.input(0)?, cx.input(1)?);
    let (Some(axis), true) = (cx.opt_int("axis")?, cx.opset < 7) else {
        return Ok((x, y));
    };
    let (rank, own) = (cx.rank(x)?, cx.rank(y)?);
    let first = normal_axis(axis, rank)?;
    let Some(after) = rank.checked_sub(first + own) else {
        return Err(invalid(format!(
            "axis {axis} leaves too little room for rank {own}"
        )));
    };
    let places: Vec<usize> = (own..own + after).collect();
    Ok((x, build::unsqueeze(cx.b, y, &places)?))
}

fn variadic(cx: &mut Cx<'_, '_, '_, '_>, def: &'static dyn OpDef) -> OpResult<Value> {
    let inputs = cx.all_inputs()?;
    let mut sum = inputs[0];
    for &next in &inputs[1..] {
        sum = cx.binary(def, sum, next)?;
    }
    Ok(sum)
}

fn mean(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let count = cx.all_inputs()?.len();
    let sum = variadic(cx, &tensor::Add)?;
    let scale = cx.splat(sum, count as f64)?;
    one(cx.op(&tensor::Div, &[sum, scale], &[])?)
}

fn bit_shift(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let (x, y) = (cx.input(0)?, cx.input(1)?);
    match cx.string("direction", "")?.as_str() {
        "LEFT" => one(cx.binary(&tensor::Shl, x, y)?),
        "RIGHT" => one(cx.binary(&tensor::Shr, x, y)?),
        other => Err(invalid(format!(
            "attribute `direction` is `{other}`, expected `LEFT` or `RIGHT`"
        ))),
    }
}

fn bit_cast(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let x = cx.input(0)?;
    let to = cx.required("to", cx.opt_int("to")?)?;
    let to = elem_type(to as i32)?;
    // A truth value is stored as a byte that is 0 or 1.
    if cx.elem(x)? == Elem::Bool && to.is_int() && to.bits() == 8 {
        return one(cx.cast(x, to)?);
    }
    one(cx.op(&tensor::Bitcast, &[x], &[("to", to.into())])?)
}

fn cast(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let x = cx.input(0)?;
    let to = cx.required("to", cx.opt_int("to")?)?;
    one(wrapped(cx, x, elem_type(to as i32)?)?)
}

/// Floats that are too great for four or two bits wrap; our own cast limits them.
fn wrapped(cx: &mut Cx<'_, '_, '_, '_>, x: Value, to: Elem) -> OpResult<Value> {
    let narrow = matches!(to.bits(), 2 | 4) && cx.elem(x)?.is_float();
    let x = if narrow { cx.cast(x, Elem::I32)? } else { x };
    cx.cast(x, to)
}

fn cast_like(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let (x, like) = (cx.input(0)?, cx.input(1)?);
    let to = cx.elem(like)?;
    one(wrapped(cx, x, to)?)
}

/// The bounds are attributes before opset 11 and inputs since.
fn clip(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let x = cx.input(0)?;
    if cx.opset < 11 {
        let (min, max) = (cx.float("min", f32::MIN)?, cx.float("max", f32::MAX)?);
        return one(cx.op(&nn::Clip, &[x], &[("min", min.into()), ("max", max.into())])?);
    }
    let bounds = [cx.optional(1), cx.optional(2)];
    let number = |bound: Option<Value>, absent: f64| match bound {
        None => Some(absent),
        Some(value) => cx
            .constant_of(value)
            .filter(|t| t.len() == 1)
            .map(|t| t.num(0).as_f64()),
    };
    let numbers = (
        number(bounds[0], f64::NEG_INFINITY),
        number(bounds[1], f64::INFINITY),
    );
    if let ((Some(min), Some(max)), true) = (numbers, cx.elem(x)?.is_float()) {
        return one(cx.op(&nn::Clip, &[x], &[("min", min.into()), ("max", max.into())])?);
    }
    let mut y = x;
    if let Some(min) = bounds[0] {
        y = cx.binary(&tensor::Max, y, min)?;
    }
    if let Some(max) = bounds[1] {
        y = cx.binary(&tensor::Min, y, max)?;
    }
    one(y)
}

fn gelu(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let x = cx.input(0)?;
    let approximate = cx.string("approximate", "none")?;
    one(cx.op(
        &nn::Gelu,
        &[x],
        &[("approximate", approximate.as_str().into())],
    )?)
}

fn is_inf(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let x = cx.input(0)?;
    let positive = cx.int("detect_positive", 1)? != 0;
    let negative = cx.int("detect_negative", 1)? != 0;
    let attrs = [("positive", positive.into()), ("negative", negative.into())];
    one(cx.op(&tensor::IsInf, &[x], &attrs)?)
}

/// The remainder has the sign of the dividend with `fmod`, else that of the divisor.
fn modulo(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let (x, y) = (cx.input(0)?, cx.input(1)?);
    let rest = cx.binary(&tensor::Rem, x, y)?;
    let elem = cx.elem(x)?;
    if cx.flag("fmod")? || elem.is_unsigned_int() {
        return one(rest);
    }
    let zero = cx.number(elem, 0.0)?;
    let negative_rest = cx.compare("lt", rest, zero)?;
    let negative_y = cx.compare("lt", y, zero)?;
    let differ = cx.binary(&tensor::Xor, negative_rest, negative_y)?;
    let nonzero = cx.compare("ne", rest, zero)?;
    let wrong = cx.binary(&tensor::And, differ, nonzero)?;
    let mended = cx.binary(&tensor::Add, rest, y)?;
    one(cx.select(wrong, mended, rest)?)
}

/// The slope is broadcast to `x`, aligned at the last axis.
fn prelu(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let (x, slope) = (cx.input(0)?, cx.input(1)?);
    let rank = cx.rank(x)?;
    let slope = match (cx.opset < 7, cx.rank(slope)?) {
        // One for each channel.
        (true, 1) if rank > 2 => {
            let spatial: Vec<usize> = (1..rank - 1).collect();
            build::unsqueeze(cx.b, slope, &spatial)?
        }
        _ => slope,
    };
    let slope = cx.lift_rank(slope, rank)?;
    let elem = cx.elem(x)?;
    if !elem.is_float() {
        let zero = cx.number(elem, 0.0)?;
        let below = cx.compare("lt", x, zero)?;
        let scaled = cx.binary(&tensor::Mul, x, slope)?;
        return one(cx.select(below, scaled, x)?);
    }
    one(cx.op(&nn::Prelu, &[x, slope], &[])?)
}

/// The exponent may have another type; the result has that of the base.
fn pow(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let (x, y) = pair(cx)?;
    let (base, exponent) = (cx.elem(x)?, cx.elem(y)?);
    let work = match (base.is_float(), exponent.is_float()) {
        (false, true) => exponent,
        _ => base,
    };
    let (x, y) = (cx.cast(x, work)?, cx.cast(y, work)?);
    let power = cx.binary(&tensor::Pow, x, y)?;
    one(cx.cast(power, base)?)
}

fn reciprocal(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let x = cx.input(0)?;
    let numerator = cx.splat(x, 1.0)?;
    one(cx.op(&tensor::Div, &[numerator, x], &[])?)
}

/// `x + bias` below `-lambd`, `x - bias` above `lambd`, 0 between.
fn shrink(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let x = cx.input(0)?;
    let elem = cx.elem(x)?;
    let (bias, limit) = (cx.float("bias", 0.0)?, cx.float("lambd", 0.5)?);
    let mut y = cx.splat(x, 0.0)?;
    for (direction, limit, shift) in [("lt", -limit, bias), ("gt", limit, -bias)] {
        let limit = cx.number(elem, limit)?;
        let shift = cx.number(elem, shift)?;
        let outside = cx.compare(direction, x, limit)?;
        let moved = cx.binary(&tensor::Add, x, shift)?;
        y = cx.select(outside, moved, y)?;
    }
    one(y)
}

fn swish(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let x = cx.input(0)?;
    let alpha = cx.float("alpha", 1.0)?;
    if alpha == 1.0 {
        return one(cx.op(&nn::Silu, &[x], &[])?);
    }
    let scale = cx.number(cx.elem(x)?, alpha)?;
    let scaled = cx.binary(&tensor::Mul, x, scale)?;
    let gate = cx.op(&nn::Sigmoid, &[scaled], &[])?;
    one(cx.op(&tensor::Mul, &[x, gate], &[])?)
}

fn select(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let (cond, x, y) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    one(cx.select(cond, x, y)?)
}
