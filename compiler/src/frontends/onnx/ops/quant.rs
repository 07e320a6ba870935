//! Quantised operators, in plain arithmetic: a passing optimiser finds them by their shape.

use lepid_ir::core::{Dim, Elem, OpResult, Value};
use lepid_ir::dialects::tensor::build;
use lepid_ir::dialects::{nn, tensor};

use super::conv::conv_attrs;
use super::{Row, one, row};
use crate::frontends::onnx::cx::{Cx, invalid, normal_axis, unsupported};
use crate::frontends::onnx::weights::elem_type;

type Values = OpResult<Vec<Value>>;

pub(super) const ROWS: &[Row] = &[
    row("ConvInteger", 10, conv_integer),
    row("DequantizeLinear", 10, dequantize_linear),
    row("DynamicQuantizeLinear", 11, dynamic_quantize_linear),
    row("MatMulInteger", 10, matmul_integer),
    row("QLinearConv", 10, qlinear_conv),
    row("QLinearMatMul", 10, qlinear_matmul),
    row("QuantizeLinear", 10, quantize_linear),
];

/// The least and the greatest value of an integer type.
fn range(elem: Elem) -> (f64, f64) {
    let bits = elem.bits() as i32;
    match elem.is_signed_int() {
        true => (-(2f64.powi(bits - 1)), 2f64.powi(bits - 1) - 1.0),
        false => (0.0, 2f64.powi(bits) - 1.0),
    }
}

/// A scale or zero point in a shape that broadcasts to `x`: one value, one along the axis, or one
/// for each block of the axis.
fn along(cx: &mut Cx<'_, '_, '_, '_>, parameter: Value, x: Value) -> OpResult<Value> {
    let (dims, own) = (cx.dims(x)?, cx.dims(parameter)?);
    if own.is_empty() || own == [Dim::Known(1)] {
        return cx.reshape(parameter, &[]);
    }
    let axis = normal_axis(cx.int("axis", 1)?, dims.len())?;
    if own.len() == 1 {
        let others: Vec<usize> = (0..dims.len()).filter(|&a| a != axis).collect();
        return build::unsqueeze(cx.b, parameter, &others);
    }
    let block = cx.int("block_size", 0)?;
    let (Ok(block @ 1..), Some(total)) = (u64::try_from(block), dims[axis].known()) else {
        return Err(invalid("a scale of this rank needs blocks on a known axis"));
    };
    for_blocks(cx, parameter, Blocks { axis, block, total })
}

/// How an axis of `total` elements is cut into blocks; the last may be shorter.
pub(super) struct Blocks {
    pub(super) axis: usize,
    pub(super) block: u64,
    pub(super) total: u64,
}

/// One parameter for each block as one for each element.
pub(super) fn for_blocks(
    cx: &mut Cx<'_, '_, '_, '_>,
    parameter: Value,
    blocks: Blocks,
) -> OpResult<Value> {
    let Blocks { axis, block, total } = blocks;
    let mut flat = cx.dims(parameter)?;
    if axis >= flat.len() {
        return Err(invalid(format!(
            "scales of rank {} have no axis {axis} of blocks",
            flat.len()
        )));
    }
    let mut wide = flat.clone();
    wide.insert(axis + 1, Dim::Known(block));
    let axes: Vec<usize> = (0..wide.len()).filter(|&a| a != axis + 1).collect();
    let repeated = build::broadcast_axes(cx.b, parameter, &wide, &axes)?;
    flat[axis] = flat[axis].times(Dim::Known(block));
    let flat = cx.reshape(repeated, &flat)?;
    build::slice_axis(cx.b, flat, axis, 0, total as i64)
}

/// `(x - zero) · scale` in the type of the scale.
pub(super) fn dequantized(
    cx: &mut Cx<'_, '_, '_, '_>,
    x: Value,
    scale: Value,
    zero: Option<Value>,
) -> OpResult<Value> {
    let elem = cx.elem(scale)?;
    let scale = along(cx, scale, x)?;
    let mut wide = cx.cast(x, Elem::I32)?;
    if let Some(zero) = zero {
        let zero = along(cx, zero, x)?;
        let zero = cx.cast(zero, Elem::I32)?;
        wide = cx.binary(&tensor::Sub, wide, zero)?;
    }
    let wide = cx.cast(wide, elem)?;
    cx.binary(&tensor::Mul, wide, scale)
}

/// `round(x / scale) + zero`, limited to the range of `to`.
pub(super) fn quantized(
    cx: &mut Cx<'_, '_, '_, '_>,
    x: Value,
    scale: Value,
    zero: Option<Value>,
    to: Elem,
) -> OpResult<Value> {
    // Sums of the rounded quotient and the zero point are exact in 32 bits.
    let scale = along(cx, scale, x)?;
    let (x, scale) = (cx.cast(x, Elem::F32)?, cx.cast(scale, Elem::F32)?);
    let quotient = cx.binary(&tensor::Div, x, scale)?;
    let mut y = cx.op(&tensor::Round, &[quotient], &[])?;
    if let Some(zero) = zero {
        let zero = along(cx, zero, y)?;
        let zero = cx.cast(zero, Elem::F32)?;
        y = cx.binary(&tensor::Add, y, zero)?;
    }
    let (min, max) = range(to);
    let attrs = [("min", min.into()), ("max", max.into())];
    let y = cx.op(&nn::Clip, &[y], &attrs)?;
    cx.cast(y, to)
}

fn quantize_linear(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let (x, scale, zero) = (cx.input(0)?, cx.input(1)?, cx.optional(2));
    let to = match (zero, cx.int("output_dtype", 0)?) {
        (Some(zero), _) => cx.elem(zero)?,
        (None, 0) => Elem::U8,
        (None, to) => elem_type(to as i32)?,
    };
    if !to.is_int() || to.bits() > 16 {
        return Err(unsupported(format!(
            "quantising to `{to}` is not supported"
        )));
    }
    one(quantized(cx, x, scale, zero, to)?)
}

fn dequantize_linear(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let (x, scale, zero) = (cx.input(0)?, cx.input(1)?, cx.optional(2));
    let y = dequantized(cx, x, scale, zero)?;
    one(match cx.int("output_dtype", 0)? {
        0 => y,
        to => cx.cast(y, elem_type(to as i32)?)?,
    })
}

fn dynamic_quantize_linear(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let x = cx.input(0)?;
    Ok(dynamically_quantized(cx, x)?.to_vec())
}

/// The numbers in eight bits, their scale and their zero point. The scale covers the range of `x`
/// and 0; the zero point is where 0 falls.
pub(super) fn dynamically_quantized(cx: &mut Cx<'_, '_, '_, '_>, x: Value) -> OpResult<[Value; 3]> {
    let axes: Vec<usize> = (0..cx.rank(x)?).collect();
    let zero = cx.number(Elem::F32, 0.0)?;
    let top = build::reduce(cx.b, x, "max", &axes)?;
    let top = cx.binary(&tensor::Max, top, zero)?;
    let bottom = build::reduce(cx.b, x, "min", &axes)?;
    let bottom = cx.binary(&tensor::Min, bottom, zero)?;
    let span = cx.binary(&tensor::Sub, top, bottom)?;
    let steps = cx.number(Elem::F32, 255.0)?;
    let scale = cx.binary(&tensor::Div, span, steps)?;
    let offset = cx.binary(&tensor::Div, bottom, scale)?;
    let offset = cx.op(&tensor::Neg, &[offset], &[])?;
    let offset = cx.op(&tensor::Round, &[offset], &[])?;
    let attrs = [("min", 0.0.into()), ("max", 255.0.into())];
    let offset = cx.op(&nn::Clip, &[offset], &attrs)?;
    let offset = cx.cast(offset, Elem::U8)?;
    let y = quantized(cx, x, scale, Some(offset), Elem::U8)?;
    Ok([y, scale, offset])
}

/// A factor as 32-bit integers, less its zero point. The zero point of a vector is one for each
/// row on the left and one for each column on the right.
pub(super) fn centred(
    cx: &mut Cx<'_, '_, '_, '_>,
    x: Value,
    zero: Option<Value>,
    axis_from_end: usize,
) -> OpResult<Value> {
    let wide = cx.cast(x, Elem::I32)?;
    let Some(zero) = zero else {
        return Ok(wide);
    };
    let zero = cx.cast(zero, Elem::I32)?;
    let zero = match cx.dims(zero)?.as_slice() {
        [] | [Dim::Known(1)] => cx.reshape(zero, &[])?,
        [_] => {
            let ones: Vec<usize> = (1..axis_from_end).collect();
            build::unsqueeze(cx.b, zero, &ones)?
        }
        _ => zero,
    };
    cx.binary(&tensor::Sub, wide, zero)
}

fn matmul_integer(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let (x, y) = (cx.input(0)?, cx.input(1)?);
    let (x_zero, y_zero) = (cx.optional(2), cx.optional(3));
    let x = centred(cx, x, x_zero, 2)?;
    let y = centred(cx, y, y_zero, 1)?;
    one(super::matmul::product(cx, x, y)?)
}

/// Sums of products of 8-bit numbers are exact in 64-bit floats.
fn conv_integer(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let (x, w) = (cx.input(0)?, cx.input(1)?);
    let rank = cx.rank(w)?;
    let (x_zero, w_zero) = (cx.optional(2), cx.optional(3));
    let x = centred(cx, x, x_zero, 1)?;
    let w = centred(cx, w, w_zero, rank)?;
    let attrs = conv_attrs(cx, x, w)?;
    let (x, w) = (cx.cast(x, Elem::F64)?, cx.cast(w, Elem::F64)?);
    let y = cx.op(&nn::Conv, &[x, w], &attrs)?;
    one(cx.cast(y, Elem::I32)?)
}

fn qlinear_matmul(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let [x, x_scale, x_zero] = [cx.input(0)?, cx.input(1)?, cx.input(2)?];
    let [y, y_scale, y_zero] = [cx.input(3)?, cx.input(4)?, cx.input(5)?];
    let [scale, zero] = [cx.input(6)?, cx.input(7)?];
    let x = centred(cx, x, Some(x_zero), 2)?;
    let y = centred(cx, y, Some(y_zero), 1)?;
    let sum = super::matmul::product(cx, x, y)?;
    let sum = cx.cast(sum, Elem::F32)?;
    let (x_scale, y_scale) = (cx.cast(x_scale, Elem::F32)?, cx.cast(y_scale, Elem::F32)?);
    let factor = cx.binary(&tensor::Mul, x_scale, y_scale)?;
    let value = cx.binary(&tensor::Mul, sum, factor)?;
    let to = cx.elem(zero)?;
    one(quantized(cx, value, scale, Some(zero), to)?)
}

fn qlinear_conv(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let [x, x_scale, x_zero] = [cx.input(0)?, cx.input(1)?, cx.input(2)?];
    let [w, w_scale, w_zero] = [cx.input(3)?, cx.input(4)?, cx.input(5)?];
    let [scale, zero] = [cx.input(6)?, cx.input(7)?];
    let rank = cx.rank(w)?;
    let x = centred(cx, x, Some(x_zero), 1)?;
    let w = centred(cx, w, Some(w_zero), rank)?;
    let attrs = conv_attrs(cx, x, w)?;
    let mut operands = vec![cx.cast(x, Elem::F64)?, cx.cast(w, Elem::F64)?];
    if let Some(bias) = cx.optional(8) {
        operands.push(cx.cast(bias, Elem::F64)?);
    }
    let sum = cx.op(&nn::Conv, &operands, &attrs)?;
    let sum = cx.cast(sum, Elem::F32)?;
    let per_channel = cx
        .dims(w_scale)?
        .first()
        .is_some_and(|d| *d != Dim::Known(1));
    let w_scale = match per_channel {
        true => {
            let spatial: Vec<usize> = (1..rank - 1).collect();
            build::unsqueeze(cx.b, w_scale, &spatial)?
        }
        false => cx.reshape(w_scale, &[])?,
    };
    let factor = cx.binary(&tensor::Mul, x_scale, w_scale)?;
    let value = cx.binary(&tensor::Mul, sum, factor)?;
    let to = cx.elem(zero)?;
    one(quantized(cx, value, scale, Some(zero), to)?)
}
