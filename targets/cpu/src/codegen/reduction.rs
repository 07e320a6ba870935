//! The steps of `tensor.reduce` on register values.

use cranelift_codegen::ir::{InstBuilder, Value};
use lepid_ir::core::{Elem, Num};

use crate::codegen::function::Gen;
use crate::codegen::scalar::{Lanes, number, spread};

/// A reduction, as `tensor.reduce` names it.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Reduction {
    Sum,
    Prod,
    Max,
    Min,
    Any,
    All,
}

impl Reduction {
    pub(crate) fn from_name(name: &str) -> Option<Reduction> {
        Some(match name {
            "sum" => Reduction::Sum,
            "prod" => Reduction::Prod,
            "max" => Reduction::Max,
            "min" => Reduction::Min,
            "any" => Reduction::Any,
            "all" => Reduction::All,
            _ => return None,
        })
    }
}

/// The value that changes nothing.
pub(crate) fn neutral(g: &mut Gen<'_>, kind: Reduction, ty: Elem, lanes: Lanes) -> Value {
    let bits = ty.bits();
    let (least, greatest) = match (ty.is_float(), ty.is_signed_int()) {
        (true, _) => (Num::Float(f64::NEG_INFINITY), Num::Float(f64::INFINITY)),
        (_, true) => (
            Num::Int(-(1i128 << (bits - 1))),
            Num::Int((1i128 << (bits - 1)) - 1),
        ),
        _ => (Num::Int(0), Num::Int((1i128 << bits) - 1)),
    };
    let num = match kind {
        Reduction::Sum | Reduction::Any => Num::Int(0),
        Reduction::Prod | Reduction::All => Num::Int(1),
        Reduction::Max => least,
        Reduction::Min => greatest,
    };
    let value = number(g, ty, num);
    spread(g, value, lanes)
}

/// One more step of a reduction. Sums and products of integers keep more bits than the element has;
/// who stores them rounds.
pub(crate) fn combine(g: &mut Gen<'_>, kind: Reduction, ty: Elem, sum: Value, x: Value) -> Value {
    let signed = ty.is_signed_int();
    match (kind, ty.is_float()) {
        (Reduction::Sum, true) => g.b.ins().fadd(sum, x),
        (Reduction::Sum, false) => g.b.ins().iadd(sum, x),
        (Reduction::Prod, true) => g.b.ins().fmul(sum, x),
        (Reduction::Prod, false) => g.b.ins().imul(sum, x),
        (Reduction::Max, true) => g.b.ins().fmax(sum, x),
        (Reduction::Min, true) => g.b.ins().fmin(sum, x),
        (Reduction::Max, false) if signed => g.b.ins().smax(sum, x),
        (Reduction::Max, false) => g.b.ins().umax(sum, x),
        (Reduction::Min, false) if signed => g.b.ins().smin(sum, x),
        (Reduction::Min, false) => g.b.ins().umin(sum, x),
        (Reduction::Any, _) => g.b.ins().bor(sum, x),
        (Reduction::All, _) => g.b.ins().band(sum, x),
    }
}
