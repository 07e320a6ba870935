//! Arithmetic that does nothing, and chains of constants.

use lepid_ir::core::{Builder, Module, Num, Op, OpDef, OpResult, Value};
use lepid_ir::dialects::nn;
use lepid_ir::dialects::tensor::{self as t, build};

use crate::core::rewrite::{Pattern, Rewrite, defined_by, fuse_locs, has_one_use, rebuild};
use crate::transform::matching::{
    along_axis, build_uniform, build_vector, dims, is_constant, is_precise, is_uniform,
    tensor_type, under, uniform, uniform_float, with_uniform,
};

pub(super) const PATTERNS: &[Pattern] = &[
    Pattern {
        name: "constant-right",
        op: "*",
        apply: constant_right,
    },
    Pattern {
        name: "add-zero",
        op: "tensor.add",
        apply: |b, op| neutral(b, op, 0.0),
    },
    Pattern {
        name: "sub-zero",
        op: "tensor.sub",
        apply: |b, op| neutral(b, op, 0.0),
    },
    Pattern {
        name: "mul-one",
        op: "tensor.mul",
        apply: |b, op| neutral(b, op, 1.0),
    },
    Pattern {
        name: "div-one",
        op: "tensor.div",
        apply: |b, op| neutral(b, op, 1.0),
    },
    Pattern {
        name: "pow-one",
        op: "tensor.pow",
        apply: |b, op| neutral(b, op, 1.0),
    },
    Pattern {
        name: "pow-two",
        op: "tensor.pow",
        apply: pow_two,
    },
    Pattern {
        name: "pow-half",
        op: "tensor.pow",
        apply: pow_half,
    },
    Pattern {
        name: "div-constant",
        op: "tensor.div",
        apply: div_constant,
    },
    Pattern {
        name: "sub-constant",
        op: "tensor.sub",
        apply: sub_constant,
    },
    Pattern {
        name: "add-add",
        op: "tensor.add",
        apply: |b, op| chain(b, op, &t::Add, |x, y| x + y),
    },
    Pattern {
        name: "mul-mul",
        op: "tensor.mul",
        apply: |b, op| chain(b, op, &t::Mul, |x, y| x * y),
    },
    Pattern {
        name: "add-add-channels",
        op: "tensor.add",
        apply: |b, op| channels(b, op, &t::Add),
    },
    Pattern {
        name: "mul-mul-channels",
        op: "tensor.mul",
        apply: |b, op| channels(b, op, &t::Mul),
    },
    Pattern {
        name: "scale-of-affine",
        op: "tensor.mul",
        apply: scale_of_affine,
    },
    Pattern {
        name: "neg-neg",
        op: "tensor.neg",
        apply: |b, op| twice(b, op, &t::Neg),
    },
    Pattern {
        name: "not-not",
        op: "tensor.not",
        apply: |b, op| twice(b, op, &t::Not),
    },
    Pattern {
        name: "abs-abs",
        op: "tensor.abs",
        apply: |b, op| again(b, op, &t::Abs),
    },
    Pattern {
        name: "relu-relu",
        op: "nn.relu",
        apply: |b, op| again(b, op, &nn::Relu),
    },
    Pattern {
        name: "max-itself",
        op: "tensor.max",
        apply: itself,
    },
    Pattern {
        name: "min-itself",
        op: "tensor.min",
        apply: itself,
    },
    Pattern {
        name: "and-itself",
        op: "tensor.and",
        apply: itself,
    },
    Pattern {
        name: "or-itself",
        op: "tensor.or",
        apply: itself,
    },
    Pattern {
        name: "select-decided",
        op: "tensor.select",
        apply: select_decided,
    },
];

/// A value in place of the op's only result, if that does not lose what is known of the shape.
fn instead(b: &Builder<'_>, op: Op, value: Value) -> Rewrite {
    let same = b.value_type(value) == b.value_type(b.module.results(op)[0]);
    Ok(same.then(|| vec![value]))
}

/// The constant operand of a commutative op is its second, so that patterns need not look twice.
fn constant_right(b: &mut Builder<'_>, op: Op) -> Rewrite {
    let commutative = b.view(op).info().has(lepid_ir::core::Trait::Commutative);
    let &[x, y] = b.module.operands(op) else {
        return Ok(None);
    };
    if !commutative || !is_constant(b.module, x) || is_constant(b.module, y) {
        return Ok(None);
    }
    Ok(Some(rebuild(b, op, &[y, x])?))
}

fn neutral(b: &mut Builder<'_>, op: Op, number: f64) -> Rewrite {
    let (x, y) = (b.module.operands(op)[0], b.module.operands(op)[1]);
    match is_uniform(b.module, y, number) {
        true => instead(b, op, x),
        false => Ok(None),
    }
}

fn pow_two(b: &mut Builder<'_>, op: Op) -> Rewrite {
    let (x, y) = (b.module.operands(op)[0], b.module.operands(op)[1]);
    match is_uniform(b.module, y, 2.0) {
        true => Ok(Some(vec![b.one(&t::Mul, &[x, x], &[])?])),
        false => Ok(None),
    }
}

fn pow_half(b: &mut Builder<'_>, op: Op) -> Rewrite {
    let (x, y) = (b.module.operands(op)[0], b.module.operands(op)[1]);
    match uniform_float(b.module, y) {
        Some(0.5) => Ok(Some(vec![b.one(&t::Sqrt, &[x], &[])?])),
        _ => Ok(None),
    }
}

/// `x / c` → `x · (1 / c)`.
fn div_constant(b: &mut Builder<'_>, op: Op) -> Rewrite {
    let (x, y) = (b.module.operands(op)[0], b.module.operands(op)[1]);
    match uniform_float(b.module, y) {
        Some(c) if is_good_factor(1.0 / c) && !is_constant(b.module, x) => {
            let y = build_uniform(b, Num::Float(1.0 / c), y)?;
            Ok(Some(vec![b.one(&t::Mul, &[x, y], &[])?]))
        }
        _ => Ok(None),
    }
}

/// Neither the factor nor its reciprocal is rounded to zero or infinity in any element type.
fn is_good_factor(c: f64) -> bool {
    (1e-4..=1e4).contains(&c.abs())
}

/// `x - c` → `x + (-c)`.
fn sub_constant(b: &mut Builder<'_>, op: Op) -> Rewrite {
    let (x, y) = (b.module.operands(op)[0], b.module.operands(op)[1]);
    match uniform_float(b.module, y) {
        Some(c) => {
            let y = build_uniform(b, Num::Float(-c), y)?;
            Ok(Some(vec![b.one(&t::Add, &[x, y], &[])?]))
        }
        None => Ok(None),
    }
}

/// `(x ∘ c) ∘ d` → `x ∘ (c ∘ d)` for floats.
fn chain(
    b: &mut Builder<'_>,
    op: Op,
    def: &'static dyn OpDef,
    join: fn(f64, f64) -> f64,
) -> Rewrite {
    let Some((x, Num::Float(d))) = with_uniform(b.module, op) else {
        return Ok(None);
    };
    let Some(inner) = defined_by(b.module, x, def) else {
        return Ok(None);
    };
    let Some((x, Num::Float(c))) = with_uniform(b.module, inner) else {
        return Ok(None);
    };
    let both = join(c, d);
    let lossless = def.info().name != "tensor.mul" || is_good_factor(both);
    if is_constant(b.module, x) || !lossless {
        return Ok(None);
    }
    fuse_locs(b, &[inner, op]);
    let both = build_uniform(b, Num::Float(both), b.module.results(op)[0])?;
    Ok(Some(vec![b.one(def, &[x, both], &[])?]))
}

/// [`chain`] with constants per channel: the result is computed on vectors, not on their copies.
fn channels(b: &mut Builder<'_>, op: Op, def: &'static dyn OpDef) -> Rewrite {
    let (x, d) = (b.module.operands(op)[0], b.module.operands(op)[1]);
    let Some(inner) = defined_by(b.module, x, def).filter(|_| has_one_use(b.module, x)) else {
        return Ok(None);
    };
    let (x, c) = (b.module.operands(inner)[0], b.module.operands(inner)[1]);
    let Some(axis) = common_axis(b.module, c, d).filter(|_| !is_constant(b.module, x)) else {
        return Ok(None);
    };
    fuse_locs(b, &[inner, op]);
    let both = combine(b, def, (c, d), axis)?;
    Ok(Some(vec![b.one(def, &[x, both], &[])?]))
}

/// `(x · s + t) · g` → `x · (s · g) + t · g` with constants per channel.
fn scale_of_affine(b: &mut Builder<'_>, op: Op) -> Rewrite {
    let (sum, g) = (b.module.operands(op)[0], b.module.operands(op)[1]);
    let found = || {
        let add = defined_by(b.module, sum, &t::Add)?;
        let (product, shift) = (b.module.operands(add)[0], b.module.operands(add)[1]);
        let mul = defined_by(b.module, product, &t::Mul)?;
        let (x, scale) = (b.module.operands(mul)[0], b.module.operands(mul)[1]);
        let axis = common_axis(b.module, shift, g)?;
        let once = has_one_use(b.module, sum) && has_one_use(b.module, product);
        let same = common_axis(b.module, scale, g) == Some(axis);
        (once && same && !is_constant(b.module, x)).then_some((mul, add, x, scale, shift, axis))
    };
    let Some((mul, add, x, scale, shift, axis)) = found() else {
        return Ok(None);
    };
    fuse_locs(b, &[mul, add, op]);
    let scale = combine(b, &t::Mul, (scale, g), axis)?;
    let shift = combine(b, &t::Mul, (shift, g), axis)?;
    let product = b.one(&t::Mul, &[x, scale], &[])?;
    Ok(Some(vec![b.one(&t::Add, &[product, shift], &[])?]))
}

/// The axis along which both constants lie; not of two uniform ones, which are simpler to combine.
fn common_axis(module: &Module, c: Value, d: Value) -> Option<usize> {
    if !tensor_type(module, c).elem.is_float() || !is_precise(tensor_type(module, c)) {
        return None;
    }
    let uniform = |v| uniform(module, v).is_some();
    if (uniform(c) && uniform(d)) || dims(module, c) != dims(module, d) {
        return None;
    }
    let mut axes = 0..dims(module, c).len();
    axes.find(|&a| along_axis(module, c, a).is_some() && along_axis(module, d, a).is_some())
}

/// `c ∘ d` of two constants along an axis, in their shape.
fn combine(
    b: &mut Builder<'_>,
    def: &'static dyn OpDef,
    (c, d): (Value, Value),
    axis: usize,
) -> OpResult<Value> {
    let shape = dims(b.module, c).to_vec();
    let mut vectors = Vec::new();
    for value in [c, d] {
        if let Some(along) = along_axis(b.module, value, axis) {
            vectors.push(build_vector(b, &along, value, shape[axis])?);
        }
    }
    let both = b.one(def, &vectors, &[])?;
    build::broadcast_axes(b, both, &shape, &[axis])
}

/// The op undoes itself.
fn twice(b: &mut Builder<'_>, op: Op, def: &dyn OpDef) -> Rewrite {
    let x = b.module.operands(op)[0];
    match under(b.module, x, def) {
        Some(x) => instead(b, op, x),
        None => Ok(None),
    }
}

/// The op does nothing the second time.
fn again(b: &mut Builder<'_>, op: Op, def: &dyn OpDef) -> Rewrite {
    let x = b.module.operands(op)[0];
    match under(b.module, x, def) {
        Some(_) => instead(b, op, x),
        None => Ok(None),
    }
}

fn itself(b: &mut Builder<'_>, op: Op) -> Rewrite {
    let (x, y) = (b.module.operands(op)[0], b.module.operands(op)[1]);
    match x == y {
        true => instead(b, op, x),
        false => Ok(None),
    }
}

fn select_decided(b: &mut Builder<'_>, op: Op) -> Rewrite {
    let &[condition, x, y] = b.module.operands(op) else {
        return Ok(None);
    };
    match uniform(b.module, condition) {
        Some(Num::Int(0)) => instead(b, op, y),
        Some(_) => instead(b, op, x),
        None if x == y && tensor_type(b.module, x) == tensor_type(b.module, y) => instead(b, op, x),
        None => Ok(None),
    }
}
