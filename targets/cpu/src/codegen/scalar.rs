//! Index-wise ops on one element, or on four `f32` at once.
//!
//! 16-bit floats are computed in `f32` and rounded after each op, as the interpreter rounds.
//! Sub-byte integers are held in bytes and narrowed after each op. A truth value is 0 or 1 in one
//! byte, or a mask in each of four lanes.

use std::mem::offset_of;

use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Type, Value, types};
use lepid_ir::core::{Elem, Num, OpView, Tensor, Trait};
use lepid_ir::dialects::{nn, tensor};
use lepid_ukernels::{Table, Unary};

use crate::codegen::convert::{bitcast, convert};
use crate::codegen::function::Gen;
use crate::support::{Support, function_number};

/// How many elements a value holds.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Lanes {
    One,
    Four,
}

/// The register type of one element.
pub(crate) fn register(elem: Elem) -> Type {
    match elem {
        Elem::F64 => types::F64,
        Elem::F32 | Elem::F16 | Elem::BF16 => types::F32,
        Elem::I64 | Elem::U64 => types::I64,
        Elem::I32 | Elem::U32 => types::I32,
        Elem::I16 | Elem::U16 => types::I16,
        Elem::I8 | Elem::U8 | Elem::I4 | Elem::U4 | Elem::I2 | Elem::U2 | Elem::Bool => types::I8,
    }
}

/// Loads one element into its register form.
pub(crate) fn load(g: &mut Gen<'_>, elem: Elem, address: Value) -> Value {
    match elem {
        Elem::F16 => {
            let bits = g.load(types::I16, address, 0);
            let bits = g.b.ins().uextend(types::I32, bits);
            g.support(offset_of!(Support, f16_to_f32), &[bits], &[types::F32])[0]
        }
        Elem::BF16 => {
            let bits = g.load(types::I16, address, 0);
            let bits = g.b.ins().uextend(types::I32, bits);
            let bits = g.b.ins().ishl_imm_u(bits, 16);
            g.b.ins().bitcast(types::F32, MemFlagsData::new(), bits)
        }
        _ => g.load(register(elem), address, 0),
    }
}

/// Stores one element from its register form.
pub(crate) fn store(g: &mut Gen<'_>, elem: Elem, value: Value, address: Value) {
    match elem {
        Elem::F16 => {
            let bits = g.support(offset_of!(Support, f32_to_f16), &[value], &[types::I32])[0];
            let bits = g.b.ins().ireduce(types::I16, bits);
            g.store(bits, address, 0);
        }
        Elem::BF16 => {
            let bits = g.support(offset_of!(Support, f32_to_bf16), &[value], &[types::I32])[0];
            let bits = g.b.ins().ireduce(types::I16, bits);
            g.store(bits, address, 0);
        }
        _ => g.store(value, address, 0),
    }
}

/// Loads four `f32` side by side, or four times the same.
pub(crate) fn load_four(g: &mut Gen<'_>, address: Value, adjacent: bool) -> Value {
    let flags = MemFlagsData::new().with_notrap();
    match adjacent {
        true => g.b.ins().load(types::F32X4, flags, address, 0),
        false => {
            let x = g.b.ins().load(types::F32, flags, address, 0);
            g.b.ins().splat(types::F32X4, x)
        }
    }
}

/// Stores four `f32` side by side.
pub(crate) fn store_four(g: &mut Gen<'_>, value: Value, address: Value) {
    let flags = MemFlagsData::new().with_notrap();
    g.b.ins().store(flags, value, address, 0);
}

/// Whether an op of a nest reads all operands at the index of its result.
pub(crate) fn is_pointwise(view: OpView<'_>) -> bool {
    view.info().has(Trait::Elementwise)
}

/// Ops with code of their own, and whether it exists for four `f32` or masks at once, too.
const OPS: &[(&str, bool)] = &[
    ("nn.clip", true),
    ("nn.leaky_relu", true),
    ("nn.relu", true),
    ("tensor.abs", true),
    ("tensor.add", true),
    ("tensor.and", false),
    ("tensor.bit_not", false),
    ("tensor.bitcast", false),
    ("tensor.cast", false),
    ("tensor.ceil", true),
    ("tensor.compare", true),
    ("tensor.div", true),
    ("tensor.floor", true),
    ("tensor.is_inf", false),
    ("tensor.is_nan", true),
    ("tensor.max", true),
    ("tensor.min", true),
    ("tensor.mul", true),
    ("tensor.neg", true),
    ("tensor.not", false),
    ("tensor.or", false),
    ("tensor.pow", true),
    ("tensor.round", true),
    ("tensor.rsqrt", true),
    ("tensor.select", true),
    ("tensor.shl", false),
    ("tensor.shr", false),
    ("tensor.sign", false),
    ("tensor.sqrt", true),
    ("tensor.sub", true),
    ("tensor.xor", false),
];

/// Whether [`apply`] knows an op: by instructions, or by a function of one element.
pub(crate) fn serves(name: &str) -> bool {
    own_code(name).is_some() || unary_kernel(name).is_some() || library_function(name).is_some()
}

fn own_code(name: &str) -> Option<bool> {
    let found = OPS.iter().find(|(op, _)| *op == name);
    found.map(|&(_, vector)| vector)
}

/// Whether the code for four lanes exists. Operands are `f32` or masks.
pub(crate) fn has_vector_form(view: OpView<'_>) -> bool {
    let name = view.name();
    let float = |elem: Option<Elem>| elem == Some(Elem::F32);
    let lanes = match name {
        "tensor.select" => float(view.operand_type(1).elem()),
        "tensor.is_nan" | "tensor.compare" => float(view.operand_type(0).elem()),
        _ => float(view.result_type(0).elem()),
    };
    lanes && (own_code(name) == Some(true) || unary_kernel(name).is_some())
}

/// A constant that is the same everywhere.
pub(crate) fn constant(g: &mut Gen<'_>, tensor: &Tensor, lanes: Lanes) -> Value {
    let value = number(g, tensor.elem(), tensor.num(0));
    spread(g, value, lanes)
}

pub(super) fn spread(g: &mut Gen<'_>, value: Value, lanes: Lanes) -> Value {
    match lanes {
        Lanes::One => value,
        Lanes::Four => g.b.ins().splat(types::F32X4, value),
    }
}

pub(super) fn number(g: &mut Gen<'_>, elem: Elem, num: Num) -> Value {
    match register(elem) {
        types::F64 => g.b.ins().f64const(num.as_f64()),
        types::F32 => g.b.ins().f32const(num.as_f64() as f32),
        ty => {
            let bits = num.as_i128() as i64;
            let masked = match ty.bits() {
                64 => bits,
                n => bits & ((1i64 << n) - 1),
            };
            g.b.ins().iconst(ty, masked)
        }
    }
}

fn float(g: &mut Gen<'_>, value: f64, elem: Elem, lanes: Lanes) -> Value {
    let value = number(g, elem, Num::Float(value));
    spread(g, value, lanes)
}

/// An `i64` index as an element.
pub(crate) fn from_index(g: &mut Gen<'_>, index: Value, elem: Elem) -> Value {
    convert(g, index, Elem::I64, elem)
}

/// The four-lane and one-lane microkernels of a function of `f32`.
fn unary_kernel(name: &str) -> Option<(usize, usize)> {
    let function = match name {
        "tensor.exp" => Unary::Exp,
        "tensor.log" => Unary::Log,
        "tensor.tanh" => Unary::Tanh,
        "tensor.erf" => Unary::Erf,
        "tensor.sin" => Unary::Sin,
        "tensor.cos" => Unary::Cos,
        "tensor.tan" => Unary::Tan,
        "tensor.asin" => Unary::Asin,
        "tensor.acos" => Unary::Acos,
        "tensor.atan" => Unary::Atan,
        "tensor.sinh" => Unary::Sinh,
        "tensor.cosh" => Unary::Cosh,
        "tensor.asinh" => Unary::Asinh,
        "tensor.acosh" => Unary::Acosh,
        "tensor.atanh" => Unary::Atanh,
        "nn.sigmoid" => Unary::Sigmoid,
        "nn.silu" => Unary::Silu,
        "nn.gelu" => Unary::Gelu,
        _ => return None,
    };
    Some(unary_entries(function))
}

/// The number of the C library's function of an op.
fn library_function(name: &str) -> Option<u32> {
    let (_, short) = name.split_once('.')?;
    function_number(short)
}

/// Where the four-lane and the one-lane form of a function stand in the kernel table.
fn unary_entries(function: Unary) -> (usize, usize) {
    let at = function as usize * size_of::<usize>();
    (
        offset_of!(Table, unary_x4) + at,
        offset_of!(Table, unary_x1) + at,
    )
}

/// Applies an op to register values.
pub(crate) fn apply(g: &mut Gen<'_>, view: OpView<'_>, args: &[Value], lanes: Lanes) -> Value {
    let elem = |i: usize| match view.operand_type(i).elem() {
        Some(elem) => elem,
        None => lepid_ir::bug!("an operand is not a tensor"),
    };
    let name = view.name();
    match name {
        "tensor.select" => return select(g, elem(1), args, lanes),
        "tensor.compare" => {
            return compare(g, elem(0), tensor::Compare::direction(view), args, lanes);
        }
        "tensor.cast" => return convert(g, args[0], elem(0), tensor::Cast::to(view)),
        "tensor.bitcast" => return bitcast(g, args[0], elem(0), tensor::Bitcast::to(view)),
        _ => {}
    }
    let ty = elem(0);
    let value = match ty {
        _ if ty.is_float() => float_op(g, view, ty, args, lanes),
        _ => int_op(g, view, ty, args),
    };
    let result = view.result_type(0).elem();
    match result {
        Some(result) => round(g, value, result),
        None => value,
    }
}

/// Brings a register value back to what its element can hold.
pub(crate) fn round(g: &mut Gen<'_>, value: Value, elem: Elem) -> Value {
    match elem {
        Elem::F16 => {
            let bits = g.support(offset_of!(Support, f32_to_f16), &[value], &[types::I32])[0];
            g.support(offset_of!(Support, f16_to_f32), &[bits], &[types::F32])[0]
        }
        Elem::BF16 => {
            let bits = g.support(offset_of!(Support, f32_to_bf16), &[value], &[types::I32])[0];
            let bits = g.b.ins().ishl_imm_u(bits, 16);
            g.b.ins().bitcast(types::F32, MemFlagsData::new(), bits)
        }
        Elem::U4 => g.b.ins().band_imm_s(value, 0xf),
        Elem::U2 => g.b.ins().band_imm_s(value, 0x3),
        Elem::I4 | Elem::I2 => {
            let unused = 8 - i64::from(elem.bits());
            let up = g.b.ins().ishl_imm_u(value, unused);
            g.b.ins().sshr_imm_u(up, unused)
        }
        _ => value,
    }
}

fn float_op(g: &mut Gen<'_>, view: OpView<'_>, ty: Elem, x: &[Value], lanes: Lanes) -> Value {
    let name = view.name();
    match name {
        "tensor.add" => g.b.ins().fadd(x[0], x[1]),
        "tensor.sub" => g.b.ins().fsub(x[0], x[1]),
        "tensor.mul" => g.b.ins().fmul(x[0], x[1]),
        "tensor.div" => g.b.ins().fdiv(x[0], x[1]),
        "tensor.max" => g.b.ins().fmax(x[0], x[1]),
        "tensor.min" => g.b.ins().fmin(x[0], x[1]),
        "tensor.neg" => g.b.ins().fneg(x[0]),
        "tensor.abs" => g.b.ins().fabs(x[0]),
        "tensor.sqrt" => g.b.ins().sqrt(x[0]),
        "tensor.rsqrt" => {
            let root = g.b.ins().sqrt(x[0]);
            let one = float(g, 1.0, ty, lanes);
            g.b.ins().fdiv(one, root)
        }
        "tensor.floor" if g.abilities.rounding => g.b.ins().floor(x[0]),
        "tensor.ceil" if g.abilities.rounding => g.b.ins().ceil(x[0]),
        "tensor.round" if g.abilities.rounding => g.b.ins().nearest(x[0]),
        "tensor.floor" | "tensor.ceil" | "tensor.round" => to_integer(g, name, ty, x[0], lanes),
        "tensor.sign" => {
            let (zero, one, minus) = (
                float(g, 0.0, ty, lanes),
                float(g, 1.0, ty, lanes),
                float(g, -1.0, ty, lanes),
            );
            let up = pick(g, FloatCC::GreaterThan, x[0], zero, one, x[0], lanes);
            pick(g, FloatCC::LessThan, x[0], zero, minus, up, lanes)
        }
        "tensor.is_nan" => match lanes {
            Lanes::One => g.b.ins().fcmp(FloatCC::Unordered, x[0], x[0]),
            Lanes::Four => g.b.ins().fcmp(FloatCC::Unordered, x[0], x[0]),
        },
        "tensor.is_inf" => {
            let mut found = g.b.ins().iconst(types::I8, 0);
            for (wanted, value) in [
                (tensor::IsInf::positive(view), f64::INFINITY),
                (tensor::IsInf::negative(view), f64::NEG_INFINITY),
            ] {
                if wanted {
                    let value = float(g, value, ty, lanes);
                    let is = g.b.ins().fcmp(FloatCC::Equal, x[0], value);
                    found = g.b.ins().bor(found, is);
                }
            }
            found
        }
        "nn.relu" => {
            let zero = float(g, 0.0, ty, lanes);
            pick(g, FloatCC::LessThan, x[0], zero, zero, x[0], lanes)
        }
        "nn.leaky_relu" => {
            let zero = float(g, 0.0, ty, lanes);
            let alpha = float(g, nn::LeakyRelu::alpha(view), ty, lanes);
            let scaled = g.b.ins().fmul(x[0], alpha);
            pick(g, FloatCC::LessThan, x[0], zero, scaled, x[0], lanes)
        }
        "nn.clip" => {
            let low = float(g, nn::Clip::min(view), ty, lanes);
            let high = float(g, nn::Clip::max(view), ty, lanes);
            let raised = pick(g, FloatCC::LessThan, x[0], low, low, x[0], lanes);
            pick(g, FloatCC::GreaterThan, raised, high, high, raised, lanes)
        }
        _ => function(g, view, ty, x, lanes),
    }
}

/// Rounds to an integer without an instruction for it. Adding and subtracting a number whose
/// neighbours are one apart rounds to the nearest, ties to even; what is that large is an integer.
fn to_integer(g: &mut Gen<'_>, name: &str, ty: Elem, x: Value, lanes: Lanes) -> Value {
    let spaced = match register(ty) {
        types::F64 => 1.0 / f64::EPSILON,
        _ => 1.0 / f64::from(f32::EPSILON),
    };
    let spaced = float(g, spaced, ty, lanes);
    let one = float(g, 1.0, ty, lanes);
    let minus_zero = float(g, -0.0, ty, lanes);
    let sign = g.b.ins().band(x, minus_zero);
    let size = g.b.ins().fabs(x);
    let raised = g.b.ins().fadd(size, spaced);
    let nearest = g.b.ins().fsub(raised, spaced);
    let nearest = g.b.ins().bor(nearest, sign);
    let rounded = match name {
        "tensor.floor" => {
            let below = g.b.ins().fsub(nearest, one);
            pick(g, FloatCC::GreaterThan, nearest, x, below, nearest, lanes)
        }
        "tensor.ceil" => {
            let above = g.b.ins().fadd(nearest, one);
            pick(g, FloatCC::LessThan, nearest, x, above, nearest, lanes)
        }
        _ => nearest,
    };
    // A zero has the sign of what it was rounded from.
    let rounded = g.b.ins().bor(rounded, sign);
    pick(g, FloatCC::LessThan, size, spaced, rounded, x, lanes)
}

/// A function that is not an instruction: a microkernel for `f32`, the C library's for `f64`.
fn function(g: &mut Gen<'_>, view: OpView<'_>, ty: Elem, x: &[Value], lanes: Lanes) -> Value {
    let name = view.name();
    let tanh_form = name == "nn.gelu" && nn::Gelu::approximate(view) == "tanh";
    let kernel = match name {
        "tensor.pow" => Some((offset_of!(Table, pow_x4), offset_of!(Table, pow_x1))),
        "nn.gelu" if tanh_form => Some(unary_entries(Unary::GeluTanh)),
        _ => unary_kernel(name),
    };
    match (register(ty), kernel, lanes) {
        (types::F32, Some((_, x1)), Lanes::One) => g.kernel(x1, x, &[types::F32])[0],
        (types::F32, Some((x4, _)), Lanes::Four) => g.kernel(x4, x, &[types::F32X4])[0],
        _ => {
            let Some(number) = library_function(name) else {
                lepid_ir::bug!("`{name}` has no code for {ty}");
            };
            let wide: Vec<Value> = x
                .iter()
                .map(|&v| match register(ty) {
                    types::F32 => g.b.ins().fpromote(types::F64, v),
                    _ => v,
                })
                .collect();
            let number = g.b.ins().iconst(types::I32, i64::from(number));
            let second = wide.get(1).copied().unwrap_or(wide[0]);
            let out = g.support(
                offset_of!(Support, function),
                &[number, wide[0], second],
                &[types::F64],
            )[0];
            match register(ty) {
                types::F32 => g.b.ins().fdemote(types::F32, out),
                _ => out,
            }
        }
    }
}

/// `yes` where `x cc y`, else `no`.
fn pick(
    g: &mut Gen<'_>,
    cc: FloatCC,
    x: Value,
    y: Value,
    yes: Value,
    no: Value,
    lanes: Lanes,
) -> Value {
    let mask = g.b.ins().fcmp(cc, x, y);
    match lanes {
        Lanes::One => g.b.ins().select(mask, yes, no),
        Lanes::Four => blend(g, mask, yes, no),
    }
}

fn blend(g: &mut Gen<'_>, mask: Value, yes: Value, no: Value) -> Value {
    let flags = MemFlagsData::new().with_endianness(cranelift_codegen::ir::Endianness::Little);
    let mask = g.b.ins().bitcast(types::F32X4, flags, mask);
    g.b.ins().bitselect(mask, yes, no)
}

fn select(g: &mut Gen<'_>, _ty: Elem, args: &[Value], lanes: Lanes) -> Value {
    match lanes {
        Lanes::One => g.b.ins().select(args[0], args[1], args[2]),
        Lanes::Four => blend(g, args[0], args[1], args[2]),
    }
}

fn compare(g: &mut Gen<'_>, ty: Elem, direction: &str, x: &[Value], _lanes: Lanes) -> Value {
    if ty.is_float() {
        let cc = match direction {
            "eq" => FloatCC::Equal,
            "ne" => FloatCC::NotEqual,
            "lt" => FloatCC::LessThan,
            "le" => FloatCC::LessThanOrEqual,
            "gt" => FloatCC::GreaterThan,
            _ => FloatCC::GreaterThanOrEqual,
        };
        return g.b.ins().fcmp(cc, x[0], x[1]);
    }
    let signed = ty.is_signed_int();
    let cc = match (direction, signed) {
        ("eq", _) => IntCC::Equal,
        ("ne", _) => IntCC::NotEqual,
        ("lt", true) => IntCC::SignedLessThan,
        ("le", true) => IntCC::SignedLessThanOrEqual,
        ("gt", true) => IntCC::SignedGreaterThan,
        (_, true) => IntCC::SignedGreaterThanOrEqual,
        ("lt", false) => IntCC::UnsignedLessThan,
        ("le", false) => IntCC::UnsignedLessThanOrEqual,
        ("gt", false) => IntCC::UnsignedGreaterThan,
        (_, false) => IntCC::UnsignedGreaterThanOrEqual,
    };
    g.b.ins().icmp(cc, x[0], x[1])
}

fn int_op(g: &mut Gen<'_>, view: OpView<'_>, ty: Elem, x: &[Value]) -> Value {
    let signed = ty.is_signed_int();
    let reg = register(ty);
    match view.name() {
        "tensor.add" => g.b.ins().iadd(x[0], x[1]),
        "tensor.sub" => g.b.ins().isub(x[0], x[1]),
        "tensor.mul" => g.b.ins().imul(x[0], x[1]),
        "tensor.div" | "tensor.rem" => divide(g, view.name() == "tensor.rem", signed, reg, x),
        "tensor.max" if signed => g.b.ins().smax(x[0], x[1]),
        "tensor.max" => g.b.ins().umax(x[0], x[1]),
        "tensor.min" if signed => g.b.ins().smin(x[0], x[1]),
        "tensor.min" => g.b.ins().umin(x[0], x[1]),
        "tensor.and" => g.b.ins().band(x[0], x[1]),
        "tensor.or" => g.b.ins().bor(x[0], x[1]),
        "tensor.xor" => g.b.ins().bxor(x[0], x[1]),
        "tensor.not" => g.b.ins().bxor_imm_s(x[0], 1),
        "tensor.bit_not" => g.b.ins().bnot(x[0]),
        "tensor.neg" => g.b.ins().ineg(x[0]),
        "tensor.abs" if signed => g.b.ins().iabs(x[0]),
        "tensor.abs" | "tensor.floor" | "tensor.ceil" | "tensor.round" => x[0],
        "tensor.sign" => {
            let zero = g.b.ins().iconst(reg, 0);
            let one = g.b.ins().iconst(reg, 1);
            let up = g.b.ins().icmp(IntCC::NotEqual, x[0], zero);
            let up = g.b.ins().select(up, one, zero);
            if !signed {
                return up;
            }
            let minus = g.b.ins().ineg(one);
            let down = g.b.ins().icmp(IntCC::SignedLessThan, x[0], zero);
            g.b.ins().select(down, minus, up)
        }
        "nn.relu" if signed => {
            let zero = g.b.ins().iconst(reg, 0);
            g.b.ins().smax(x[0], zero)
        }
        "tensor.shl" | "tensor.shr" => shift(g, view.name() == "tensor.shl", signed, ty, x),
        "tensor.pow" => {
            let wide: Vec<Value> = x.iter().map(|&v| convert(g, v, ty, Elem::I64)).collect();
            let power = match signed {
                true => offset_of!(Support, pow_int),
                false => offset_of!(Support, pow_uint),
            };
            let out = g.support(power, &wide, &[types::I64])[0];
            convert(g, out, Elem::I64, ty)
        }
        name => lepid_ir::bug!("`{name}` has no code for {ty}"),
    }
}

/// Total: division by zero gives 0, and the least number by -1 wraps.
fn divide(g: &mut Gen<'_>, rem: bool, signed: bool, reg: Type, x: &[Value]) -> Value {
    let zero = g.b.ins().iconst(reg, 0);
    let one = g.b.ins().iconst(reg, 1);
    let by_zero = g.b.ins().icmp(IntCC::Equal, x[1], zero);
    let mut by = g.b.ins().select(by_zero, one, x[1]);
    let mut negated = None;
    if signed {
        let minus = g.b.ins().ineg(one);
        let is_minus = g.b.ins().icmp(IntCC::Equal, x[1], minus);
        by = g.b.ins().select(is_minus, one, by);
        negated = Some(is_minus);
    }
    let plain = match (rem, signed) {
        (true, true) => g.b.ins().srem(x[0], by),
        (true, false) => g.b.ins().urem(x[0], by),
        (false, true) => g.b.ins().sdiv(x[0], by),
        (false, false) => g.b.ins().udiv(x[0], by),
    };
    let special = match (rem, negated) {
        (false, Some(is_minus)) => {
            let minus = g.b.ins().ineg(x[0]);
            g.b.ins().select(is_minus, minus, plain)
        }
        _ => plain,
    };
    g.b.ins().select(by_zero, zero, special)
}

/// Shifts by the width or more give what shifting bit by bit would.
fn shift(g: &mut Gen<'_>, left: bool, signed: bool, ty: Elem, x: &[Value]) -> Value {
    let reg = register(ty);
    let width = i64::from(ty.bits());
    let limit = g.b.ins().iconst(reg, width - 1);
    let far = g.b.ins().icmp(IntCC::UnsignedGreaterThan, x[1], limit);
    let zero = g.b.ins().iconst(reg, 0);
    match (left, signed) {
        (true, _) => {
            let near = g.b.ins().ishl(x[0], x[1]);
            g.b.ins().select(far, zero, near)
        }
        (false, false) => {
            let near = g.b.ins().ushr(x[0], x[1]);
            g.b.ins().select(far, zero, near)
        }
        (false, true) => {
            let by = g.b.ins().select(far, limit, x[1]);
            g.b.ins().sshr(x[0], by)
        }
    }
}
