//! What the decompositions share: arithmetic on values of one shape, vectors along an axis.

use crate::core::{Builder, Dim, Elem, Num, Op, OpDef, OpResult, Tensor, Value};
use crate::dialects::core::constant;
use crate::dialects::tensor::{self as t, build};

/// What `decompose` gives for an op with one result, whose declared extents it keeps.
pub(super) fn expanded(b: &mut Builder<'_>, op: Op, y: Value) -> OpResult<Option<Vec<Value>>> {
    let dims = b.view(op).result_tensor(0).dims.clone();
    Ok(Some(vec![with_dims(b, y, &dims)?]))
}

/// The value under extents that it is known to have.
pub(super) fn with_dims(b: &mut Builder<'_>, x: Value, dims: &[Dim]) -> OpResult<Value> {
    match can_reshape(dims) {
        true => build::reshape(b, x, dims),
        false => Ok(x),
    }
}

/// Whether a reshape can state these extents.
pub(super) fn can_reshape(dims: &[Dim]) -> bool {
    dims.iter().filter(|d| **d == Dim::Unknown).count() <= 1
}

/// An op on two values of one shape.
pub(super) fn zip(
    b: &mut Builder<'_>,
    def: &'static dyn OpDef,
    x: Value,
    y: Value,
) -> OpResult<Value> {
    b.one(def, &[x, y], &[])
}

/// An op on `x` and a value that broadcasts to it.
pub(super) fn with(
    b: &mut Builder<'_>,
    def: &'static dyn OpDef,
    x: Value,
    y: Value,
) -> OpResult<Value> {
    let y = build::broadcast_like(b, y, x)?;
    b.one(def, &[x, y], &[])
}

/// An op on `x` and a vector along one of its axes.
pub(super) fn along(
    b: &mut Builder<'_>,
    def: &'static dyn OpDef,
    x: Value,
    vector: Value,
    axis: usize,
) -> OpResult<Value> {
    let mut dims = vec![Dim::Known(1); build::rank(b, x) - axis];
    dims[0] = build::dims(b, vector)[0];
    let vector = build::reshape(b, vector, &dims)?;
    with(b, def, x, vector)
}

/// `scale · x + shift`.
pub(super) fn affine(b: &mut Builder<'_>, x: Value, scale: f64, shift: f64) -> OpResult<Value> {
    let x = match scale == 1.0 {
        true => x,
        false => build::with_scalar(b, &t::Mul, x, scale)?,
    };
    match shift == 0.0 {
        true => Ok(x),
        false => build::with_scalar(b, &t::Add, x, shift),
    }
}

/// `yes` where `x` compares to the number, else `no`; all of one shape.
pub(super) fn choose(
    b: &mut Builder<'_>,
    (x, direction, number): (Value, &str, f64),
    yes: Value,
    no: Value,
) -> OpResult<Value> {
    let number = build::splat_like(b, x, number)?;
    let chosen = b.one(
        &t::Compare,
        &[x, number],
        &[("direction", direction.into())],
    )?;
    b.one(&t::Select, &[chosen, yes, no], &[])
}

/// `exp(x) - 1` where `x < 0`; finite elsewhere.
pub(super) fn exp_minus_one(b: &mut Builder<'_>, x: Value) -> OpResult<Value> {
    let below = build::with_scalar(b, &t::Min, x, 0.0)?;
    let power = build::unary(b, &t::Exp, below)?;
    build::with_scalar(b, &t::Sub, power, 1.0)
}

/// An op on `x` and an exact number in its shape.
pub(super) fn with_num(
    b: &mut Builder<'_>,
    def: &'static dyn OpDef,
    x: Value,
    num: Num,
) -> OpResult<Value> {
    let elem = build::elem(b, x);
    let num = constant(b, Tensor::scalar(elem, num))?;
    with(b, def, x, num)
}

/// 0, 1, 2, … up to the extent of an axis of `x`, as a vector.
pub(super) fn places(b: &mut Builder<'_>, x: Value, axis: usize) -> OpResult<Value> {
    let dim = build::dims(b, x)[axis];
    if dim != Dim::Unknown {
        return build::iota(b, &[dim], 0, Elem::I64);
    }
    let extent = build::dim(b, x, axis)?;
    let zero = build::scalar(b, Elem::I64, 0.0)?;
    let one = build::scalar(b, Elem::I64, 1.0)?;
    b.one(&t::DynIota, &[zero, extent, one], &[])
}
