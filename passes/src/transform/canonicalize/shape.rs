//! Shape ops that do nothing, and chains of them that are one.

use std::collections::BTreeSet;

use lepid_ir::core::{Builder, Dim, Elem, Op, Trait, Value};
use lepid_ir::dialects::core::constant;
use lepid_ir::dialects::tensor::{self as t, build};

use crate::core::rewrite::{Pattern, Rewrite, defined_by, fuse_locs, rebuild};
use crate::transform::matching::{dims, is_precise, tensor_type, under};

pub(crate) const PATTERNS: &[Pattern] = &[
    Pattern {
        name: "reshape-nothing",
        op: "tensor.reshape",
        apply: reshape_nothing,
    },
    Pattern {
        name: "reshape-twice",
        op: "tensor.reshape",
        apply: reshape_twice,
    },
    Pattern {
        name: "reshape-constant",
        op: "tensor.reshape",
        apply: reshape_constant,
    },
    Pattern {
        name: "transpose-nothing",
        op: "tensor.transpose",
        apply: transpose_nothing,
    },
    Pattern {
        name: "transpose-twice",
        op: "tensor.transpose",
        apply: transpose_twice,
    },
    Pattern {
        name: "transpose-units",
        op: "tensor.transpose",
        apply: transpose_units,
    },
    Pattern {
        name: "transpose-broadcast",
        op: "tensor.transpose",
        apply: transpose_broadcast,
    },
    Pattern {
        name: "broadcast-nothing",
        op: "tensor.broadcast",
        apply: broadcast_nothing,
    },
    Pattern {
        name: "repeat-later",
        op: "*",
        apply: repeat_later,
    },
    Pattern {
        name: "broadcast-twice",
        op: "tensor.broadcast",
        apply: broadcast_twice,
    },
    Pattern {
        name: "slice-nothing",
        op: "tensor.slice",
        apply: slice_nothing,
    },
    Pattern {
        name: "pad-nothing",
        op: "tensor.pad",
        apply: pad_nothing,
    },
    Pattern {
        name: "concat-one",
        op: "tensor.concat",
        apply: concat_one,
    },
    Pattern {
        name: "concat-empty",
        op: "tensor.concat",
        apply: concat_empty,
    },
    Pattern {
        name: "cast-nothing",
        op: "tensor.cast",
        apply: cast_nothing,
    },
    Pattern {
        name: "cast-twice",
        op: "tensor.cast",
        apply: cast_twice,
    },
];

/// The only operand, if the op leaves it as it is.
fn operand(b: &Builder<'_>, op: Op) -> Value {
    b.module.operands(op)[0]
}

fn result(b: &Builder<'_>, op: Op) -> Value {
    b.module.results(op)[0]
}

fn same_type(b: &Builder<'_>, op: Op) -> bool {
    b.value_type(operand(b, op)) == b.value_type(result(b, op))
}

fn reshape_nothing(b: &mut Builder<'_>, op: Op) -> Rewrite {
    let x = operand(b, op);
    // One unknown extent follows from the others unless there are no elements at all.
    let types = dims(b.module, x);
    let unknown = types.iter().filter(|d| **d == Dim::Unknown).count();
    let zero = types.contains(&Dim::Known(0));
    let same = same_type(b, op) && (unknown == 0 || (unknown == 1 && !zero));
    Ok(same.then(|| vec![x]))
}

fn reshape_twice(b: &mut Builder<'_>, op: Op) -> Rewrite {
    let Some(inner) = defined_by(b.module, operand(b, op), &t::Reshape) else {
        return Ok(None);
    };
    let shape = dims(b.module, result(b, op)).to_vec();
    if shape.iter().filter(|d| **d == Dim::Unknown).count() > 1 {
        return Ok(None);
    }
    fuse_locs(b, &[inner, op]);
    let x = operand(b, inner);
    Ok(Some(vec![build::reshape(b, x, &shape)?]))
}

/// The data need not be moved, whatever its size.
fn reshape_constant(b: &mut Builder<'_>, op: Op) -> Rewrite {
    let Some(tensor) = b.module.constant_value(operand(b, op)) else {
        return Ok(None);
    };
    let Some(shape) = tensor_type(b.module, result(b, op)).known_dims() else {
        return Ok(None);
    };
    let tensor = tensor.reshaped(shape);
    Ok(Some(vec![constant(b, tensor)?]))
}

pub(crate) fn perm_of(b: &Builder<'_>, op: Op) -> Vec<usize> {
    let perm = t::Transpose::perm(b.view(op));
    perm.into_iter().map(|a| a as usize).collect()
}

fn transpose_nothing(b: &mut Builder<'_>, op: Op) -> Rewrite {
    let nothing = perm_of(b, op).is_sorted();
    Ok(nothing.then(|| vec![operand(b, op)]))
}

fn transpose_twice(b: &mut Builder<'_>, op: Op) -> Rewrite {
    let Some(inner) = defined_by(b.module, operand(b, op), &t::Transpose) else {
        return Ok(None);
    };
    let first = perm_of(b, inner);
    let both: Vec<usize> = perm_of(b, op).into_iter().map(|a| first[a]).collect();
    fuse_locs(b, &[inner, op]);
    let x = operand(b, inner);
    Ok(Some(vec![build::transpose(b, x, &both)?]))
}

/// Only axes of extent 1 change their place: no element moves.
fn transpose_units(b: &mut Builder<'_>, op: Op) -> Rewrite {
    let from = dims(b.module, operand(b, op));
    let moved = perm_of(b, op)
        .into_iter()
        .filter(|&a| from[a] != Dim::Known(1));
    let shape = dims(b.module, result(b, op)).to_vec();
    if !moved.is_sorted() || shape.iter().filter(|d| **d == Dim::Unknown).count() > 1 {
        return Ok(None);
    }
    let x = operand(b, op);
    Ok(Some(vec![build::reshape(b, x, &shape)?]))
}

/// `transpose(broadcast(x))` → `broadcast(transpose(x))`: fewer elements move.
fn transpose_broadcast(b: &mut Builder<'_>, op: Op) -> Rewrite {
    let Some(inner) = defined_by(b.module, operand(b, op), &t::Broadcast) else {
        return Ok(None);
    };
    let x = operand(b, inner);
    if !is_precise(tensor_type(b.module, result(b, op))) {
        return Ok(None);
    }
    let perm = perm_of(b, op);
    let axes = t::Broadcast::axes(b.view(inner));
    // Where each axis of `x` goes, and in which order they come there.
    let place = |a: i64| perm.iter().position(|&p| p as i64 == a);
    let Some(places) = axes.into_iter().map(place).collect::<Option<Vec<usize>>>() else {
        return Ok(None);
    };
    let mut order: Vec<usize> = (0..places.len()).collect();
    order.sort_by_key(|&i| places[i]);
    let shape = dims(b.module, result(b, op)).to_vec();
    fuse_locs(b, &[inner, op]);
    let x = build::transpose(b, x, &order)?;
    let axes: Vec<usize> = order.iter().map(|&i| places[i]).collect();
    Ok(Some(vec![build::broadcast_axes(b, x, &shape, &axes)?]))
}

fn broadcast_nothing(b: &mut Builder<'_>, op: Op) -> Rewrite {
    // Equal types have one rank, so all axes stay where they are.
    Ok(same_type(b, op).then(|| vec![operand(b, op)]))
}

fn broadcast_twice(b: &mut Builder<'_>, op: Op) -> Rewrite {
    let Some(inner) = defined_by(b.module, operand(b, op), &t::Broadcast) else {
        return Ok(None);
    };
    let outer = t::Broadcast::axes(b.view(op));
    let axes = t::Broadcast::axes(b.view(inner)).into_iter();
    let axes: Vec<usize> = axes.map(|a| outer[a as usize] as usize).collect();
    let shape = dims(b.module, result(b, op)).to_vec();
    let x = operand(b, inner);
    if shape.contains(&Dim::Unknown) {
        return Ok(None);
    }
    fuse_locs(b, &[inner, op]);
    Ok(Some(vec![build::broadcast_axes(b, x, &shape, &axes)?]))
}

/// `f(broadcast(x), broadcast(y))` → `broadcast(f(x, y))` for an elementwise `f`, if all operands
/// repeat along an axis: fewer elements are computed.
fn repeat_later(b: &mut Builder<'_>, op: Op) -> Rewrite {
    let view = b.view(op);
    let (operands, &[result]) = (view.operands().to_vec(), view.results()) else {
        return Ok(None);
    };
    if operands.is_empty() || !view.info().has(Trait::Elementwise) {
        return Ok(None);
    }
    let shape = dims(b.module, result).to_vec();
    let mut varying: BTreeSet<usize> = BTreeSet::new();
    let mut repeated = Vec::new();
    for &value in &operands {
        let Some(broadcast) = defined_by(b.module, value, &t::Broadcast) else {
            return Ok(None);
        };
        let axes = t::Broadcast::axes(b.view(broadcast)).into_iter();
        let axes: Vec<usize> = axes.map(|a| a as usize).collect();
        let x = b.module.operands(broadcast)[0];
        let own = axes.iter().zip(dims(b.module, x));
        varying.extend(own.filter(|(_, d)| **d != Dim::Known(1)).map(|(&a, _)| a));
        repeated.push((x, axes));
    }
    let all_known = shape.iter().all(|d| d.known().is_some());
    let repeats = (0..shape.len()).any(|a| shape[a] != Dim::Known(1) && !varying.contains(&a));
    if !all_known || !repeats {
        return Ok(None);
    }
    let kept: Vec<usize> = varying.into_iter().collect();
    let small: Vec<Dim> = kept.iter().map(|&a| shape[a]).collect();
    let mut parts = Vec::new();
    for (x, axes) in repeated {
        let own: Vec<usize> = (0..kept.len())
            .filter(|&i| {
                let at = axes.iter().position(|&a| a == kept[i]);
                at.is_some_and(|at| dims(b.module, x)[at] != Dim::Known(1))
            })
            .collect();
        let extents: Vec<Dim> = own.iter().map(|&i| small[i]).collect();
        let x = build::reshape(b, x, &extents)?;
        parts.push(build::broadcast_axes(b, x, &small, &own)?);
    }
    let y = rebuild(b, op, &parts)?[0];
    Ok(Some(vec![build::broadcast_axes(b, y, &shape, &kept)?]))
}

fn slice_nothing(b: &mut Builder<'_>, op: Op) -> Rewrite {
    let view = b.view(op);
    let whole = |(i, &stop): (usize, &i64)| match view.operand_dims(0)[i] {
        Dim::Known(n) => stop as u64 >= n,
        Dim::Sym(_) | Dim::Unknown => stop == t::END,
    };
    let whole = t::Slice::start(view).iter().all(|&s| s == 0)
        && t::Slice::step(view).iter().all(|&s| s == 1)
        && t::Slice::stop(view).iter().enumerate().all(whole);
    Ok(whole.then(|| vec![operand(b, op)]))
}

fn pad_nothing(b: &mut Builder<'_>, op: Op) -> Rewrite {
    let view = b.view(op);
    let mut sides = t::Pad::low(view).into_iter().chain(t::Pad::high(view));
    Ok(sides.all(|n| n == 0).then(|| vec![operand(b, op)]))
}

fn concat_one(b: &mut Builder<'_>, op: Op) -> Rewrite {
    let operands = b.module.operands(op);
    Ok((operands.len() == 1).then(|| operands.to_vec()))
}

/// Operands without elements add nothing.
fn concat_empty(b: &mut Builder<'_>, op: Op) -> Rewrite {
    let view = b.view(op);
    let axis = t::Concat::axis(view) as usize;
    let empty = |v: &Value| dims(b.module, *v)[axis] == Dim::Known(0);
    let full: Vec<Value> = view
        .operands()
        .iter()
        .copied()
        .filter(|v| !empty(v))
        .collect();
    if full.is_empty() || full.len() == view.operands().len() {
        return Ok(None);
    }
    // An operand without elements may be the one that states the other extents.
    let ty = b.value_type(result(b, op));
    let new = build::concat(b, &full, axis)?;
    if b.value_type(new) == ty {
        return Ok(Some(vec![new]));
    }
    if let Some(new) = b.module.defining_op(new).filter(|_| full.len() > 1) {
        b.module.erase(new);
    }
    Ok(None)
}

fn cast_nothing(b: &mut Builder<'_>, op: Op) -> Rewrite {
    Ok(same_type(b, op).then(|| vec![operand(b, op)]))
}

/// The first of two casts loses nothing.
fn cast_twice(b: &mut Builder<'_>, op: Op) -> Rewrite {
    let Some(x) = under(b.module, operand(b, op), &t::Cast) else {
        return Ok(None);
    };
    let from = tensor_type(b.module, x).elem;
    let through = tensor_type(b.module, operand(b, op)).elem;
    if !holds_all(through, from) {
        return Ok(None);
    }
    let to = t::Cast::to(b.view(op));
    Ok(Some(vec![build::cast(b, x, to)?]))
}

/// Whether each number of `from` is one of `elem`.
fn holds_all(elem: Elem, from: Elem) -> bool {
    /// Bits of an integer, or of the significand, that are held exactly, without the sign.
    fn digits(elem: Elem) -> u32 {
        match elem {
            Elem::F64 => 53,
            Elem::F32 => 24,
            Elem::F16 => 11,
            Elem::BF16 => 8,
            _ if elem.is_signed_int() => elem.bits() - 1,
            _ => elem.bits(),
        }
    }
    match (elem.is_float(), from.is_float()) {
        _ if elem == from => true,
        (true, true) => matches!(
            (elem, from),
            (Elem::F64, _) | (Elem::F32, Elem::F16 | Elem::BF16)
        ),
        (false, true) => false,
        (true, false) => digits(elem) >= digits(from) && elem != Elem::F16,
        (false, false) => {
            let signs = elem.is_signed_int() || !from.is_signed_int();
            elem != Elem::Bool && signs && digits(elem) >= digits(from)
        }
    }
}
