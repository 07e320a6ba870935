//! One element as another: `tensor.cast` and `tensor.bitcast` on register values.

use std::mem::offset_of;

use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Value, types};
use lepid_ir::core::{Elem, Num};

use crate::codegen::function::Gen;
use crate::codegen::scalar::{number, register, round};
use crate::support::Support;

/// The same number as another element. Floats to integers truncate, saturate, and NaN gives 0.
pub(crate) fn convert(g: &mut Gen<'_>, x: Value, from: Elem, to: Elem) -> Value {
    if from == to {
        return x;
    }
    let (source, target) = (register(from), register(to));
    let value = match (from.is_float(), to.is_float()) {
        (true, true) => match (source, target) {
            (types::F64, types::F32) if to == Elem::F16 => {
                // Straight from f64: rounding twice would differ.
                let bits = g.support(offset_of!(Support, f64_to_f16), &[x], &[types::I32])[0];
                return g.support(offset_of!(Support, f16_to_f32), &[bits], &[types::F32])[0];
            }
            (types::F64, types::F32) if to == Elem::BF16 => {
                let bits = g.support(offset_of!(Support, f64_to_bf16), &[x], &[types::I32])[0];
                let bits = g.b.ins().ishl_imm_u(bits, 16);
                return g.b.ins().bitcast(types::F32, MemFlagsData::new(), bits);
            }
            (types::F64, types::F32) => g.b.ins().fdemote(types::F32, x),
            (types::F32, types::F64) => g.b.ins().fpromote(types::F64, x),
            _ => x,
        },
        (true, false) if to == Elem::Bool => {
            let zero = number(g, from, Num::Float(0.0));
            return g.b.ins().fcmp(FloatCC::NotEqual, x, zero);
        }
        (true, false) => return float_to_int(g, x, to),
        (false, true) => {
            let wide = widen(g, x, from);
            let float = match from == Elem::U64 {
                true => g.b.ins().fcvt_from_uint(types::F64, wide),
                false => g.b.ins().fcvt_from_sint(types::F64, wide),
            };
            match target {
                types::F64 => return float,
                // One rounding: straight to f32 where the integer may not fit f64's digits.
                _ if to == Elem::F32 => match from == Elem::U64 {
                    true => g.b.ins().fcvt_from_uint(types::F32, wide),
                    false => g.b.ins().fcvt_from_sint(types::F32, wide),
                },
                _ => return convert(g, float, Elem::F64, to),
            }
        }
        (false, false) if to == Elem::Bool => {
            let zero = g.b.ins().iconst(source, 0);
            return g.b.ins().icmp(IntCC::NotEqual, x, zero);
        }
        (false, false) => {
            let wide = widen(g, x, from);
            match target {
                types::I64 => wide,
                _ => g.b.ins().ireduce(target, wide),
            }
        }
    };
    round(g, value, to)
}

/// An integer in 64 bits, by the sign of its element.
fn widen(g: &mut Gen<'_>, x: Value, from: Elem) -> Value {
    match (register(from), from.is_signed_int()) {
        (types::I64, _) => x,
        (_, true) => g.b.ins().sextend(types::I64, x),
        (_, false) => g.b.ins().uextend(types::I64, x),
    }
}

fn float_to_int(g: &mut Gen<'_>, x: Value, to: Elem) -> Value {
    let bits = to.bits();
    if bits == 64 {
        return match to.is_signed_int() {
            true => g.b.ins().fcvt_to_sint_sat(types::I64, x),
            false => g.b.ins().fcvt_to_uint_sat(types::I64, x),
        };
    }
    let wide = g.b.ins().fcvt_to_sint_sat(types::I64, x);
    let (low, high) = match to.is_signed_int() {
        true => (-(1i64 << (bits - 1)), (1i64 << (bits - 1)) - 1),
        false => (0, (1i64 << bits) - 1),
    };
    let (low, high) = (g.int(low), g.int(high));
    let clamped = g.max(wide, low);
    let clamped = g.min(clamped, high);
    g.b.ins().ireduce(register(to), clamped)
}

pub(crate) fn bitcast(g: &mut Gen<'_>, x: Value, from: Elem, to: Elem) -> Value {
    // 16-bit floats live in f32 registers, so their bits are fetched first.
    let bits = match from {
        Elem::F16 => {
            let bits = g.support(offset_of!(Support, f32_to_f16), &[x], &[types::I32])[0];
            g.b.ins().ireduce(types::I16, bits)
        }
        Elem::BF16 => {
            let bits = g.support(offset_of!(Support, f32_to_bf16), &[x], &[types::I32])[0];
            g.b.ins().ireduce(types::I16, bits)
        }
        Elem::F32 => g.b.ins().bitcast(types::I32, MemFlagsData::new(), x),
        Elem::F64 => g.b.ins().bitcast(types::I64, MemFlagsData::new(), x),
        _ => x,
    };
    match to {
        Elem::F16 => {
            let bits = g.b.ins().uextend(types::I32, bits);
            g.support(offset_of!(Support, f16_to_f32), &[bits], &[types::F32])[0]
        }
        Elem::BF16 => {
            let bits = g.b.ins().uextend(types::I32, bits);
            let bits = g.b.ins().ishl_imm_u(bits, 16);
            g.b.ins().bitcast(types::F32, MemFlagsData::new(), bits)
        }
        Elem::F32 => g.b.ins().bitcast(types::F32, MemFlagsData::new(), bits),
        Elem::F64 => g.b.ins().bitcast(types::F64, MemFlagsData::new(), bits),
        // Four and two bits are extended to eight by the sign of what they are now.
        _ => round(g, bits, to),
    }
}
