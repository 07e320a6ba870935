//! Products and tables of weights of few bits.

use lepid_ir::core::{Dim, Elem, OpResult, Tensor, Value};
use lepid_ir::dialects::tensor::{self, build};

use super::super::matmul::product;
use super::super::quant::{Blocks, centred, dynamically_quantized, for_blocks, quantized};
use super::super::{Row, one, row};
use crate::frontends::onnx::cx::{Cx, invalid, normal_axis, unsupported};

type Values = OpResult<Vec<Value>>;

pub(in super::super) const ROWS: &[Row] = &[
    row(
        "com.microsoft::DynamicQuantizeMatMul",
        1,
        dynamic_quantize_matmul,
    ),
    row(
        "com.microsoft::GatherBlockQuantized",
        1,
        gather_block_quantized,
    ),
    row("com.microsoft::MatMulBnb4", 1, matmul_of_codes),
    row(
        "com.microsoft::MatMulIntegerToFloat",
        1,
        matmul_integer_to_float,
    ),
    row("com.microsoft::MatMulNBits", 1, matmul_n_bits),
    row("com.microsoft::QGemm", 1, q_gemm),
];

/// The product of quantised factors as floats.
pub(super) fn scaled_product(
    cx: &mut Cx<'_, '_, '_, '_>,
    [x, y]: [Value; 2],
    [x_scale, y_scale]: [Value; 2],
    [x_zero, y_zero]: [Option<Value>; 2],
) -> OpResult<Value> {
    let x = centred(cx, x, x_zero, 2)?;
    let y = centred(cx, y, y_zero, 1)?;
    let sum = product(cx, x, y)?;
    let x_scale = single(cx, x_scale)?;
    let y_scale = single(cx, y_scale)?;
    let scale = cx.binary(&tensor::Mul, x_scale, y_scale)?;
    let sum = cx.cast(sum, cx.elem(scale)?)?;
    cx.binary(&tensor::Mul, sum, scale)
}

/// A vector of one element as a scalar.
fn single(cx: &mut Cx<'_, '_, '_, '_>, x: Value) -> OpResult<Value> {
    match cx.dims(x)?[..] {
        [Dim::Known(1)] => cx.reshape(x, &[]),
        _ => Ok(x),
    }
}

fn plus_optional(cx: &mut Cx<'_, '_, '_, '_>, y: Value, bias: usize) -> Values {
    one(match cx.optional(bias) {
        Some(bias) => cx.binary(&tensor::Add, y, bias)?,
        None => y,
    })
}

fn matmul_integer_to_float(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let factors = [cx.input(0)?, cx.input(1)?];
    let scales = [cx.input(2)?, cx.input(3)?];
    let zeros = [cx.optional(4), cx.optional(5)];
    let y = scaled_product(cx, factors, scales, zeros)?;
    plus_optional(cx, y, 6)
}

fn dynamic_quantize_matmul(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let x = cx.input(0)?;
    let [x, x_scale, x_zero] = dynamically_quantized(cx, x)?;
    let factors = [x, cx.input(1)?];
    let scales = [x_scale, cx.input(2)?];
    let zeros = [Some(x_zero), cx.optional(3)];
    let y = scaled_product(cx, factors, scales, zeros)?;
    plus_optional(cx, y, 4)
}

/// The addend counts in steps of the product's scale. Without an output scale the result is float.
fn q_gemm(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let [mut x, x_scale, x_zero] = [cx.input(0)?, cx.input(1)?, cx.input(2)?];
    let [mut y, y_scale, y_zero] = [cx.input(3)?, cx.input(4)?, cx.input(5)?];
    if cx.flag("transA")? {
        x = cx.transpose(x, &[1, 0])?;
    }
    if cx.flag("transB")? {
        y = cx.transpose(y, &[1, 0])?;
    }
    let to = cx.elem(x)?;
    let x = centred(cx, x, Some(x_zero), 2)?;
    let y = centred(cx, y, Some(y_zero), 1)?;
    let mut sum = product(cx, x, y)?;
    if let Some(addend) = cx.optional(6) {
        let addend = cx.cast(addend, Elem::I32)?;
        sum = cx.binary(&tensor::Add, sum, addend)?;
    }
    let (x_scale, y_scale) = (single(cx, x_scale)?, single(cx, y_scale)?);
    let scale = cx.binary(&tensor::Mul, x_scale, y_scale)?;
    let alpha = cx.float("alpha", 1.0)?;
    let scale = build::with_scalar(cx.b, &tensor::Mul, scale, alpha)?;
    let sum = cx.cast(sum, cx.elem(scale)?)?;
    let value = cx.binary(&tensor::Mul, sum, scale)?;
    match cx.optional(7) {
        Some(scale) => one(quantized(cx, value, scale, cx.optional(8), to)?),
        None => one(value),
    }
}

/// Several numbers a byte along the last axis, the low bits first; each in a byte of its own.
fn unpacked(cx: &mut Cx<'_, '_, '_, '_>, x: Value, bits: u64) -> OpResult<Value> {
    let share = 8 / bits;
    if share == 1 {
        return Ok(x);
    }
    let mut dims = cx.dims(x)?;
    let rank = dims.len();
    let shifts = (0..share).map(|i| (i * bits) as f64);
    let shifts = cx.constant(Tensor::from_f64s(Elem::U8, [share as usize], shifts))?;
    let mask = cx.number(Elem::U8, ((1u64 << bits) - 1) as f64)?;
    let x = build::unsqueeze(cx.b, x, &[rank])?;
    let parts = cx.binary(&tensor::Shr, x, shifts)?;
    let parts = cx.binary(&tensor::And, parts, mask)?;
    match dims.last_mut() {
        Some(last) => *last = last.times(Dim::Known(share)),
        None => return Err(invalid("packed numbers need an axis")),
    }
    cx.reshape(parts, &dims)
}

fn bits(cx: &Cx<'_, '_, '_, '_>) -> OpResult<u64> {
    match cx.int("bits", 4)? {
        bits @ (2 | 4 | 8) => Ok(bits as u64),
        bits => Err(unsupported(format!(
            "numbers of {bits} bits are not supported"
        ))),
    }
}

fn count(cx: &Cx<'_, '_, '_, '_>, name: &str) -> OpResult<u64> {
    let n = cx.required(name, cx.opt_int(name)?)?;
    u64::try_from(n)
        .ok()
        .filter(|n| (1..=1 << 31).contains(n))
        .ok_or_else(|| invalid(format!("attribute `{name}` is {n}")))
}

/// The product with a matrix whose rows are cut into blocks of a scale and a zero point each.
fn matmul_n_bits(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    if cx.optional(4).is_some() {
        return Err(unsupported("an order of groups is not supported"));
    }
    if cx.int("weight_prepacked", 0)? != 0 {
        return Err(unsupported(
            "weights packed for one device are not supported",
        ));
    }
    let (x, packed, scales) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    let (bits, block) = (bits(cx)?, count(cx, "block_size")?);
    let (columns, depth) = (count(cx, "N")?, count(cx, "K")?);
    let elem = cx.elem(x)?;
    let blocks = depth.div_ceil(block);
    let by_block = [Dim::Known(columns), Dim::Known(blocks)];
    let mut whole = by_block.to_vec();
    whole.push(Dim::Known(block));
    let weight = unpacked(cx, packed, bits)?;
    let weight = cx.reshape(weight, &whole)?;
    let weight = cx.cast(weight, elem)?;
    let zeros = zero_points(cx, bits, by_block)?;
    let scales = cx.cast(scales, elem)?;
    let scales = cx.reshape(scales, &by_block)?;
    let zeros = build::unsqueeze(cx.b, zeros, &[2])?;
    let scales = build::unsqueeze(cx.b, scales, &[2])?;
    let weight = cx.binary(&tensor::Sub, weight, zeros)?;
    let weight = cx.binary(&tensor::Mul, weight, scales)?;
    let weight = cx.reshape(weight, &[Dim::Known(columns), Dim::Known(blocks * block)])?;
    let weight = build::slice_axis(cx.b, weight, 1, 0, depth as i64)?;
    let weight = cx.transpose(weight, &[1, 0])?;
    let y = product(cx, x, weight)?;
    plus_optional(cx, y, 5)
}

/// The zero point of each block: as floats, packed as the weights are, or the middle.
fn zero_points(cx: &mut Cx<'_, '_, '_, '_>, bits: u64, by_block: [Dim; 2]) -> OpResult<Value> {
    let elem = cx.elem(cx.input(0)?)?;
    let Some(zeros) = cx.optional(3) else {
        let middle = cx.number(elem, (1u64 << (bits - 1)) as f64)?;
        return build::broadcast_to(cx.b, middle, &by_block);
    };
    if cx.elem(zeros)? != Elem::U8 {
        let zeros = cx.cast(zeros, elem)?;
        return cx.reshape(zeros, &by_block);
    }
    let [columns, blocks] = by_block;
    let bytes = blocks.map(|n| (n * bits).div_ceil(8));
    let zeros = cx.reshape(zeros, &[columns, bytes])?;
    let zeros = unpacked(cx, zeros, bits)?;
    let end = blocks.known().unwrap_or(0) as i64;
    let zeros = build::slice_axis(cx.b, zeros, 1, 0, end)?;
    cx.cast(zeros, elem)
}

/// What the sixteen codes of NF4 stand for: quantiles of a normal distribution.
const NORMAL_CODES: [f32; 16] = [
    -1.0,
    -0.696_192_8,
    -0.525_073_05,
    -0.394_917_5,
    -0.284_441_38,
    -0.184_773_43,
    -0.091_050_036,
    0.0,
    0.079_580_3,
    0.160_930_2,
    0.246_112_3,
    0.337_915_24,
    0.440_709_83,
    0.562_617,
    0.722_956_84,
    1.0,
];

/// What the lower eight codes of FP4 stand for; the upper eight are their negatives.
const FLOAT_CODES: [f32; 8] = [
    0.0,
    0.005_208_333_5,
    0.666_666_7,
    1.0,
    0.333_333_34,
    0.5,
    0.166_666_67,
    0.25,
];

/// The product with a matrix of codes of four bits, the high half of a byte first; each block of
/// codes has its greatest magnitude as the scale.
fn matmul_of_codes(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let (x, packed, scales) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    let block = count(cx, "block_size")?;
    let (columns, depth) = (count(cx, "N")?, count(cx, "K")?);
    let codes: Vec<f32> = match cx.int("quant_type", 1)? {
        0 => {
            let negative = FLOAT_CODES.iter().map(|x| -x);
            FLOAT_CODES.iter().copied().chain(negative).collect()
        }
        1 => NORMAL_CODES.to_vec(),
        other => return Err(invalid(format!("attribute `quant_type` is {other}"))),
    };
    let elem = cx.elem(x)?;
    let table = cx.constant(Tensor::from_vec(Elem::F32, [codes.len()], codes))?;
    let total = columns * depth;
    let blocks = total.div_ceil(block);
    let mask = cx.number(Elem::U8, 15.0)?;
    let shifts = cx.constant(Tensor::from_f64s(Elem::U8, [2], [4.0, 0.0]))?;
    let packed = build::unsqueeze(cx.b, packed, &[1])?;
    let numbers = cx.binary(&tensor::Shr, packed, shifts)?;
    let numbers = cx.binary(&tensor::And, numbers, mask)?;
    let numbers = cx.reshape(numbers, &[Dim::Known(total.next_multiple_of(2))])?;
    let numbers = build::slice_axis(cx.b, numbers, 0, 0, total as i64)?;
    let numbers = cx.cast(numbers, Elem::I64)?;
    let values = build::gather(cx.b, table, numbers, 0)?;
    let values = cx.cast(values, elem)?;
    let scales = cx.reshape(scales, &[Dim::Known(blocks)])?;
    let blocks = Blocks {
        axis: 0,
        block,
        total,
    };
    let scales = for_blocks(cx, scales, blocks)?;
    let weight = cx.binary(&tensor::Mul, values, scales)?;
    let weight = match cx.int("transB", 1)? != 0 {
        true => {
            let weight = cx.reshape(weight, &[Dim::Known(columns), Dim::Known(depth)])?;
            cx.transpose(weight, &[1, 0])?
        }
        false => cx.reshape(weight, &[Dim::Known(depth), Dim::Known(columns)])?,
    };
    one(product(cx, x, weight)?)
}

/// Slices of a table in few bits, as floats. An index that is out of range gives zeros.
fn gather_block_quantized(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let (mut table, indices, scales) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    let mut zeros = cx.optional(3);
    let stored = cx.elem(table)?;
    let mut middle = 0.0;
    if stored == Elem::U8 {
        let bits = bits(cx)?;
        table = unpacked(cx, table, bits)?;
        middle = (1u64 << (bits - 1)) as f64;
        if let Some(packed) = zeros {
            zeros = Some(unpacked(cx, packed, bits)?);
        }
    }
    let dims = cx.dims(table)?;
    let axis = normal_axis(cx.int("quantize_axis", 1)?, dims.len())?;
    let gathered = normal_axis(cx.int("gather_axis", 0)?, dims.len())?;
    let block = cx.int("block_size", 128)?;
    let (Ok(block @ 1..), Some(total)) = (u64::try_from(block), dims[axis].known()) else {
        return Err(invalid("blocks need a size and a known axis"));
    };
    let elem = cx.elem(scales)?;
    let blocks = total.div_ceil(block);
    let for_elements = |cx: &mut Cx<'_, '_, '_, '_>, x: Value| {
        // The last byte of packed zero points may hold more than there are blocks.
        let x = build::slice_axis(cx.b, x, axis, 0, blocks as i64)?;
        for_blocks(cx, x, Blocks { axis, block, total })
    };
    let scales = for_elements(cx, scales)?;
    let table = cx.cast(table, elem)?;
    let zeros = match zeros {
        Some(zeros) => {
            let zeros = for_elements(cx, zeros)?;
            cx.cast(zeros, elem)?
        }
        None => cx.number(elem, middle)?,
    };
    let centred = cx.binary(&tensor::Sub, table, zeros)?;
    let floats = cx.binary(&tensor::Mul, centred, scales)?;
    let indices = cx.cast(indices, Elem::I64)?;
    let extent = build::dim(cx.b, floats, gathered)?;
    let zero = cx.number(Elem::I64, 0.0)?;
    let negative = cx.compare("lt", indices, zero)?;
    let from_end = cx.binary(&tensor::Add, indices, extent)?;
    let indices = cx.select(negative, from_end, indices)?;
    let found = build::gather(cx.b, floats, indices, gathered)?;
    let above = cx.compare("ge", indices, zero)?;
    let below = cx.compare("lt", indices, extent)?;
    let inside = cx.binary(&tensor::And, above, below)?;
    let own = cx.rank(inside)?;
    let after: Vec<usize> = (own..own + dims.len() - 1 - gathered).collect();
    let inside = build::unsqueeze(cx.b, inside, &after)?;
    let nothing = cx.number(elem, 0.0)?;
    one(cx.select(inside, found, nothing)?)
}
