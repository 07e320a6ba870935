//! Normalisations spelled out in primitive ops become the named ones.
//!
//! `(x - mean(x)) / sqrt(mean((x - mean(x))²) + ε)` over the last axes is a layer norm with scale
//! 1; products with and sums of constants along these axes after it are its scale and bias.

use lepid_ir::core::{Attr, Builder, Dim, Module, Num, Op, OpResult, Tensor, Value};
use lepid_ir::dialects::core::constant;
use lepid_ir::dialects::nn;
use lepid_ir::dialects::tensor::{self as t, build};

use crate::core::rewrite::{Pattern, Rewrite, defined_by, fuse_locs, has_one_use, rebuild};
use crate::transform::matching::{
    before_broadcast, dims, is_constant, is_uniform, tensor_type, under, uniform, uniform_float,
};

pub(super) const PATTERNS: &[Pattern] = &[
    Pattern {
        name: "norm-div",
        op: "tensor.div",
        apply: norm_div,
    },
    Pattern {
        name: "norm-mul",
        op: "tensor.mul",
        apply: norm_mul,
    },
    Pattern {
        name: "norm-scale",
        op: "tensor.mul",
        apply: norm_scale,
    },
    Pattern {
        name: "norm-bias",
        op: "tensor.add",
        apply: norm_bias,
    },
];

fn norm_div(b: &mut Builder<'_>, op: Op) -> Rewrite {
    let (above, below) = (b.module.operands(op)[0], b.module.operands(op)[1]);
    let root = before_units(b.module, below);
    match under(b.module, root, &t::Sqrt) {
        Some(sum) => norm(b, op, above, sum),
        None => Ok(None),
    }
}

/// With a reciprocal square root, or a reciprocal of a square root.
fn norm_mul(b: &mut Builder<'_>, op: Op) -> Rewrite {
    let operands = b.module.operands(op);
    for (x, factor) in [(operands[0], operands[1]), (operands[1], operands[0])] {
        let factor = before_units(b.module, factor);
        let reciprocal = || {
            let div = defined_by(b.module, factor, &t::Div)?;
            let &[one, root] = b.module.operands(div) else {
                return None;
            };
            is_uniform(b.module, one, 1.0).then_some(())?;
            under(b.module, before_units(b.module, root), &t::Sqrt)
        };
        let sum = under(b.module, factor, &t::Rsqrt).or_else(reciprocal);
        if let Some(sum) = sum
            && let Some(values) = norm(b, op, x, sum)?
        {
            return Ok(Some(values));
        }
    }
    Ok(None)
}

/// What repeats or gains axes of extent 1 has the same numbers.
fn before_units(module: &Module, mut value: Value) -> Value {
    loop {
        let next = before_broadcast(module, value);
        let next = match defined_by(module, next, &t::Reshape) {
            Some(op) => module.operands(op)[0],
            None => next,
        };
        if next == value {
            return value;
        }
        value = next;
    }
}

/// `x / sqrt(sum)` where the sum is a mean of squares and a small number.
fn norm(b: &mut Builder<'_>, op: Op, x: Value, sum: Value) -> Rewrite {
    let module = &*b.module;
    let found = || {
        let add = defined_by(module, sum, &t::Add)?;
        let &[mean, epsilon] = module.operands(add) else {
            return None;
        };
        let epsilon = uniform_float(module, epsilon)?;
        let (square, axis) = mean_over_last(module, mean)?;
        (is_square_of(module, square, x)).then_some((axis, epsilon))
    };
    let Some((axis, epsilon)) = found() else {
        return Ok(None);
    };
    let shape = dims(module, x)[axis..].to_vec();
    if shape.iter().any(|d| d.known().is_none())
        || dims(module, module.results(op)[0]) != dims(module, x)
    {
        return Ok(None);
    }
    let attrs = [
        ("axis", Attr::Int(axis as i64)),
        ("epsilon", Attr::Float(epsilon)),
    ];
    let centred = centred(module, x, axis);
    let ones = ones(b, x, &shape)?;
    let value = match centred {
        Some(x) => b.one(&nn::LayerNorm, &[x, ones], &attrs)?,
        None => b.one(&nn::RmsNorm, &[x, ones], &attrs)?,
    };
    Ok(Some(vec![value]))
}

fn ones(b: &mut Builder<'_>, like: Value, shape: &[Dim]) -> OpResult<Value> {
    let elem = tensor_type(b.module, like).elem;
    let one = constant(b, Tensor::scalar(elem, Num::Float(1.0)))?;
    build::broadcast_to(b, one, shape)
}

/// The operand and the first axis of a mean over all axes from there on.
fn mean_over_last(module: &Module, value: Value) -> Option<(Value, usize)> {
    let op = defined_by(module, before_units(module, value), &nn::Mean)?;
    let view = module.view(op);
    let mut axes = nn::Mean::axes(view);
    axes.sort_unstable();
    let rank = view.operand_tensor(0).rank() as i64;
    let first = *axes.first()?;
    axes.into_iter()
        .eq(first..rank)
        .then_some((view.operand(0), first as usize))
}

fn is_square_of(module: &Module, value: Value, x: Value) -> bool {
    let Some(op) = module.defining_op(value) else {
        return false;
    };
    let operands = module.operands(op);
    match module.op_name(op) {
        "tensor.mul" => operands[0] == x && operands[1] == x,
        "tensor.pow" => operands[0] == x && is_uniform(module, operands[1], 2.0),
        _ => false,
    }
}

/// The `x` of `x - mean(x)`.
fn centred(module: &Module, value: Value, axis: usize) -> Option<Value> {
    let op = defined_by(module, value, &t::Sub)?;
    let &[x, mean] = module.operands(op) else {
        return None;
    };
    (mean_over_last(module, mean)? == (x, axis)).then_some(x)
}

/// A constant that repeats along the axes before `axis`, in the shape of those from there on.
fn trailing_constant(module: &Module, value: Value, axis: usize) -> bool {
    let source = before_broadcast(module, value);
    if uniform(module, value).is_some() {
        return true;
    }
    let (from, to) = (dims(module, source), &dims(module, value)[axis..]);
    let Some(lead) = from.len().checked_sub(to.len()) else {
        return false;
    };
    // Broadcasts from numpy's rules align at the end; others do not have this many equal extents.
    let aligned = match defined_by(module, value, &t::Broadcast) {
        Some(op) => {
            let axes = t::Broadcast::axes(module.view(op));
            let rank = dims(module, value).len();
            axes.iter()
                .rev()
                .zip((0..rank).rev())
                .all(|(&a, b)| a as usize == b)
        }
        None => true,
    };
    let units = from[..lead].iter().all(|d| *d == Dim::Known(1));
    aligned && units && &from[lead..] == to && is_constant(module, source)
}

fn build_trailing(b: &mut Builder<'_>, value: Value, axis: usize) -> OpResult<Value> {
    let shape = dims(b.module, value)[axis..].to_vec();
    match uniform(b.module, value) {
        Some(number) => {
            let elem = tensor_type(b.module, value).elem;
            let scalar = constant(b, Tensor::scalar(elem, number))?;
            build::broadcast_to(b, scalar, &shape)
        }
        None => {
            let source = before_broadcast(b.module, value);
            build::reshape(b, source, &shape)
        }
    }
}

/// The norm that gives `value` and its first normalised axis.
fn norm_op(module: &Module, value: Value) -> Option<(Op, usize)> {
    if !has_one_use(module, value) {
        return None;
    }
    let op = module.defining_op(value)?;
    let view = module.view(op);
    match view.name() {
        "nn.layer_norm" => Some((op, nn::LayerNorm::axis(view) as usize)),
        "nn.rms_norm" => Some((op, nn::RmsNorm::axis(view) as usize)),
        _ => None,
    }
}

fn norm_scale(b: &mut Builder<'_>, op: Op) -> Rewrite {
    let operands = b.module.operands(op).to_vec();
    for (x, scale) in [(operands[0], operands[1]), (operands[1], operands[0])] {
        let Some((norm, axis)) = norm_op(b.module, x) else {
            continue;
        };
        let old = b.module.operands(norm).to_vec();
        let plain = old.len() == 2 && is_uniform(b.module, old[1], 1.0);
        if plain && trailing_constant(b.module, scale, axis) {
            fuse_locs(b, &[norm, op]);
            let scale = build_trailing(b, scale, axis)?;
            return Ok(Some(rebuild(b, norm, &[old[0], scale])?));
        }
    }
    Ok(None)
}

fn norm_bias(b: &mut Builder<'_>, op: Op) -> Rewrite {
    let operands = b.module.operands(op).to_vec();
    for (x, bias) in [(operands[0], operands[1]), (operands[1], operands[0])] {
        let Some((norm, axis)) = norm_op(b.module, x) else {
            continue;
        };
        let old = b.module.operands(norm).to_vec();
        let layer = b.module.op_name(norm) == "nn.layer_norm";
        if layer && old.len() == 2 && trailing_constant(b.module, bias, axis) {
            fuse_locs(b, &[norm, op]);
            let bias = build_trailing(b, bias, axis)?;
            return Ok(Some(rebuild(b, norm, &[old[0], old[1], bias])?));
        }
    }
    Ok(None)
}
