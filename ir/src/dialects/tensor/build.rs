//! Helpers that build tensor ops, for front ends, decompositions and passes.

use crate::core::{
    Attr, Builder, Dim, Elem, Num, OpDef, OpError, OpResult, Tensor, TensorType, Value,
};
use crate::dialects::core::constant;
use crate::dialects::tensor::{
    Broadcast, Cast, Compare, Concat, Contract, DimOf, Div, DynBroadcast, Gather, Iota, Pad,
    Reduce, Reshape, Select, Slice, Transpose, shape::END, shapes,
};

/// The tensor type of a value. Panics on another type.
pub fn tensor_type(b: &Builder<'_>, x: Value) -> &'static TensorType {
    match b.value_type(x).as_tensor() {
        Some(ty) => ty,
        None => crate::bug!("a helper for tensors is used on {}", b.value_type(x)),
    }
}

/// The extents of a tensor.
pub fn dims(b: &Builder<'_>, x: Value) -> Vec<Dim> {
    tensor_type(b, x).dims.clone()
}

pub fn rank(b: &Builder<'_>, x: Value) -> usize {
    tensor_type(b, x).rank()
}

pub fn elem(b: &Builder<'_>, x: Value) -> Elem {
    tensor_type(b, x).elem
}

/// A list attribute of indices.
pub fn ints(values: impl IntoIterator<Item = usize>) -> Attr {
    Attr::List(values.into_iter().map(|n| Attr::Int(n as i64)).collect())
}

/// A constant of rank 0; floats round, integers truncate.
pub fn scalar(b: &mut Builder<'_>, elem: Elem, value: f64) -> OpResult<Value> {
    constant(b, Tensor::scalar(elem, Num::Float(value)))
}

/// `value` in the shape and element type of `x`.
pub fn splat_like(b: &mut Builder<'_>, x: Value, value: f64) -> OpResult<Value> {
    let value = scalar(b, elem(b, x), value)?;
    broadcast_like(b, value, x)
}

/// `x` in the shape of `like`, to which it must broadcast as in numpy.
pub fn broadcast_like(b: &mut Builder<'_>, x: Value, like: Value) -> OpResult<Value> {
    let to = dims(b, like);
    if dims(b, x) == to && !to.contains(&Dim::Unknown) {
        return Ok(x);
    }
    if !to.contains(&Dim::Unknown) && statically_reaches(&dims(b, x), &to) {
        return broadcast_to(b, x, &to);
    }
    let shape = shape_vector(b, like)?;
    b.one(&DynBroadcast, &[x, shape], &[])
}

/// Whether every extent of `from` is 1 or surely that of `to`, aligned at the last axis.
fn statically_reaches(from: &[Dim], to: &[Dim]) -> bool {
    let Some(offset) = to.len().checked_sub(from.len()) else {
        return false;
    };
    from.iter()
        .zip(&to[offset..])
        .all(|(&f, &t)| f == Dim::Known(1) || (f == t && f != Dim::Unknown))
}

/// `x` repeated to `dims`, aligned at the last axis; extents of `dims` are known or named.
pub fn broadcast_to(b: &mut Builder<'_>, x: Value, dims: &[Dim]) -> OpResult<Value> {
    let from = self::dims(b, x);
    if from == dims {
        return Ok(x);
    }
    let Some(offset) = dims.len().checked_sub(from.len()) else {
        return Err(OpError::new(format!(
            "shape {} cannot be broadcast to {}",
            shapes::list(&from),
            shapes::list(dims)
        )));
    };
    let attrs = [
        ("shape", Attr::dims(dims.iter().copied())),
        ("axes", ints(offset..dims.len())),
    ];
    b.one(&Broadcast, &[x], &attrs)
}

/// `x` repeated to `dims`; axis `i` of `x` becomes axis `axes[i]` (increasing).
pub fn broadcast_axes(
    b: &mut Builder<'_>,
    x: Value,
    dims: &[Dim],
    axes: &[usize],
) -> OpResult<Value> {
    let attrs = [
        ("shape", Attr::dims(dims.iter().copied())),
        ("axes", ints(axes.iter().copied())),
    ];
    b.one(&Broadcast, &[x], &attrs)
}

/// Both values in the shape of their numpy broadcast, and that shape.
pub fn numpy_broadcast(
    b: &mut Builder<'_>,
    x: Value,
    y: Value,
) -> OpResult<(Value, Value, Vec<Dim>)> {
    let (from_x, from_y) = (dims(b, x), dims(b, y));
    let to = shapes::broadcast_dims(&from_x, &from_y)?;
    if from_x == from_y && !to.contains(&Dim::Unknown) {
        return Ok((x, y, to));
    }
    let known = !to.contains(&Dim::Unknown);
    let mut reach =
        |value: Value, from: &[Dim], other: Value| match known && statically_reaches(from, &to) {
            true => broadcast_to(b, value, &to),
            false => {
                let shape = shape_vector(b, other)?;
                b.one(&DynBroadcast, &[value, shape], &[])
            }
        };
    Ok((reach(x, &from_x, y)?, reach(y, &from_y, x)?, to))
}

/// An elementwise op on one operand.
pub fn unary(b: &mut Builder<'_>, def: &'static dyn OpDef, x: Value) -> OpResult<Value> {
    b.one(def, &[x], &[])
}

/// An elementwise op on two operands, broadcast as in numpy.
pub fn binary(b: &mut Builder<'_>, def: &'static dyn OpDef, x: Value, y: Value) -> OpResult<Value> {
    let (x, y, _) = numpy_broadcast(b, x, y)?;
    b.one(def, &[x, y], &[])
}

/// An elementwise op on `x` and a constant of its element type.
pub fn with_scalar(
    b: &mut Builder<'_>,
    def: &'static dyn OpDef,
    x: Value,
    y: f64,
) -> OpResult<Value> {
    let y = splat_like(b, x, y)?;
    b.one(def, &[x, y], &[])
}

/// Compares with numpy broadcasting; `direction` is eq, ne, lt, le, gt or ge.
pub fn compare(b: &mut Builder<'_>, direction: &str, x: Value, y: Value) -> OpResult<Value> {
    let (x, y, _) = numpy_broadcast(b, x, y)?;
    b.one(&Compare, &[x, y], &[("direction", direction.into())])
}

/// `x` where `condition` holds and `y` elsewhere, all three broadcast as in numpy.
pub fn select(b: &mut Builder<'_>, condition: Value, x: Value, y: Value) -> OpResult<Value> {
    let (x, y, _) = numpy_broadcast(b, x, y)?;
    let (condition, x, _) = numpy_broadcast(b, condition, x)?;
    let (condition, y, _) = numpy_broadcast(b, condition, y)?;
    b.one(&Select, &[condition, x, y], &[])
}

/// The elements as `to`; nothing if they are.
pub fn cast(b: &mut Builder<'_>, x: Value, to: Elem) -> OpResult<Value> {
    match elem(b, x) == to {
        true => Ok(x),
        false => b.one(&Cast, &[x], &[("to", to.into())]),
    }
}

/// Another shape of as many elements; nothing if it is the same.
pub fn reshape(b: &mut Builder<'_>, x: Value, to: &[Dim]) -> OpResult<Value> {
    match dims(b, x) == to {
        true => Ok(x),
        false => b.one(&Reshape, &[x], &[("shape", Attr::dims(to.iter().copied()))]),
    }
}

/// New axes of extent 1 at these places of the result (increasing).
pub fn unsqueeze(b: &mut Builder<'_>, x: Value, axes: &[usize]) -> OpResult<Value> {
    let mut to = dims(b, x);
    for &axis in axes {
        if axis > to.len() {
            return Err(OpError::new(format!("there is no place for axis {axis}")));
        }
        to.insert(axis, Dim::Known(1));
    }
    // A broadcast, unlike a reshape, may carry any number of unknown extents.
    let kept: Vec<usize> = (0..to.len()).filter(|a| !axes.contains(a)).collect();
    match to.iter().filter(|d| **d == Dim::Unknown).count() > 1 {
        true => broadcast_axes(b, x, &to, &kept),
        false => reshape(b, x, &to),
    }
}

/// Drops axes of extent 1.
pub fn squeeze(b: &mut Builder<'_>, x: Value, axes: &[usize]) -> OpResult<Value> {
    let from = dims(b, x);
    for &axis in axes {
        match from.get(axis) {
            Some(d) if d.compatible(Dim::Known(1)) => {}
            _ => {
                return Err(OpError::new(format!(
                    "axis {axis} cannot be dropped: it is not 1"
                )));
            }
        }
    }
    let kept: Vec<Dim> = (0..from.len())
        .filter(|a| !axes.contains(a))
        .map(|a| from[a])
        .collect();
    match kept.iter().filter(|d| **d == Dim::Unknown).count() > 1 {
        // A fold of one element is that element.
        true if elem(b, x) == Elem::Bool => reduce(b, x, "any", axes),
        true => reduce(b, x, "max", axes),
        false => reshape(b, x, &kept),
    }
}

/// Axis `k` of the result is axis `perm[k]` of `x`; nothing if that is the order already.
pub fn transpose(b: &mut Builder<'_>, x: Value, perm: &[usize]) -> OpResult<Value> {
    match perm.len() == rank(b, x) && perm.is_sorted() {
        true => Ok(x),
        false => b.one(&Transpose, &[x], &[("perm", ints(perm.iter().copied()))]),
    }
}

/// The elements from `start` up to `stop` along one axis; [`END`] is the end.
pub fn slice_axis(
    b: &mut Builder<'_>,
    x: Value,
    axis: usize,
    start: i64,
    stop: i64,
) -> OpResult<Value> {
    let rank = rank(b, x);
    shapes::axis("axis", axis as i64, rank)?;
    let mut starts = vec![0; rank];
    let mut stops = vec![END; rank];
    (starts[axis], stops[axis]) = (start, stop);
    slice(b, x, &starts, &stops, &vec![1; rank])
}

/// The elements from `start` up to `stop` in steps of `step`, one entry per axis.
pub fn slice(
    b: &mut Builder<'_>,
    x: Value,
    start: &[i64],
    stop: &[i64],
    step: &[i64],
) -> OpResult<Value> {
    let attrs = [
        ("start", start.into()),
        ("stop", stop.into()),
        ("step", step.into()),
    ];
    b.one(&Slice, &[x], &attrs)
}

/// `value` around `x`: `low` before and `high` after it, one entry per axis.
pub fn pad(
    b: &mut Builder<'_>,
    x: Value,
    value: f64,
    low: &[i64],
    high: &[i64],
) -> OpResult<Value> {
    if low.iter().chain(high).all(|n| *n == 0) {
        return Ok(x);
    }
    let value = scalar(b, elem(b, x), value)?;
    b.one(
        &Pad,
        &[x, value],
        &[("low", low.into()), ("high", high.into())],
    )
}

/// The values one after another along an axis.
pub fn concat(b: &mut Builder<'_>, values: &[Value], axis: usize) -> OpResult<Value> {
    match values {
        [one] => Ok(*one),
        _ => b.one(&Concat, values, &[("axis", (axis as i64).into())]),
    }
}

/// Folds axes and drops them; `kind` is sum, prod, max, min, any or all.
pub fn reduce(b: &mut Builder<'_>, x: Value, kind: &str, axes: &[usize]) -> OpResult<Value> {
    let attrs = [("kind", kind.into()), ("axes", ints(axes.iter().copied()))];
    b.one(&Reduce, &[x], &attrs)
}

/// Folds axes and keeps them with extent 1.
pub fn reduce_keep(b: &mut Builder<'_>, x: Value, kind: &str, axes: &[usize]) -> OpResult<Value> {
    let folded = reduce(b, x, kind, axes)?;
    let mut axes = axes.to_vec();
    axes.sort_unstable();
    unsqueeze(b, folded, &axes)
}

/// The mean over axes, which are dropped.
pub fn mean(b: &mut Builder<'_>, x: Value, axes: &[usize]) -> OpResult<Value> {
    let sum = reduce(b, x, "sum", axes)?;
    let count = count(b, x, axes)?;
    binary(b, &Div, sum, count)
}

/// The mean over axes, which are kept with extent 1.
pub fn mean_keep(b: &mut Builder<'_>, x: Value, axes: &[usize]) -> OpResult<Value> {
    let sum = reduce_keep(b, x, "sum", axes)?;
    let count = count(b, x, axes)?;
    binary(b, &Div, sum, count)
}

/// The number of elements over axes, as a scalar of the element type of `x`.
pub fn count(b: &mut Builder<'_>, x: Value, axes: &[usize]) -> OpResult<Value> {
    let ty = tensor_type(b, x);
    let mut known = 1.0;
    let mut total: Option<Value> = None;
    for &axis in axes {
        shapes::axis("axis", axis as i64, ty.rank())?;
        if let Some(n) = ty.dims[axis].known() {
            known *= n as f64;
            continue;
        }
        let extent = dim(b, x, axis)?;
        let extent = cast(b, extent, ty.elem)?;
        total = Some(match total {
            Some(total) => b.one(&super::Mul, &[total, extent], &[])?,
            None => extent,
        });
    }
    let known = scalar(b, ty.elem, known)?;
    match total {
        Some(total) => b.one(&super::Mul, &[total, known], &[]),
        None => Ok(known),
    }
}

/// The extent of an axis as a scalar i64: a constant if it is known.
pub fn dim(b: &mut Builder<'_>, x: Value, axis: usize) -> OpResult<Value> {
    match dims(b, x).get(axis) {
        Some(Dim::Known(n)) => constant(b, Tensor::from_i64s([*n as i64]).reshaped([])),
        _ => b.one(&DimOf, &[x], &[("axis", (axis as i64).into())]),
    }
}

/// The shape as a vector of i64: a constant if it is known.
pub fn shape_vector(b: &mut Builder<'_>, x: Value) -> OpResult<Value> {
    let dims = dims(b, x);
    let known: Option<Vec<i64>> = dims.iter().map(|d| Some(d.known()? as i64)).collect();
    if let Some(known) = known {
        return constant(b, Tensor::from_i64s(known));
    }
    let mut entries = Vec::with_capacity(dims.len());
    for axis in 0..dims.len() {
        let extent = dim(b, x, axis)?;
        entries.push(reshape(b, extent, &[Dim::Known(1)])?);
    }
    concat(b, &entries, 0)
}

/// 0, 1, 2, … along an axis of a tensor of that shape.
pub fn iota(b: &mut Builder<'_>, dims: &[Dim], axis: usize, to: Elem) -> OpResult<Value> {
    let attrs = [
        ("shape", Attr::dims(dims.iter().copied())),
        ("axis", (axis as i64).into()),
        ("to", to.into()),
    ];
    b.one(&Iota, &[], &attrs)
}

/// Slices of `x` along an axis at `indices`.
pub fn gather(b: &mut Builder<'_>, x: Value, indices: Value, axis: usize) -> OpResult<Value> {
    b.one(&Gather, &[x, indices], &[("axis", (axis as i64).into())])
}

/// The axes of [`contract`]: pairs of an axis of `x` and one of `y`.
#[derive(Copy, Clone, Default, Debug)]
pub struct Pairs<'a> {
    pub batch: &'a [(usize, usize)],
    pub contract: &'a [(usize, usize)],
    /// The element type of the sums, if it is not that of the operands.
    pub to: Option<Elem>,
}

/// Sums products over paired axes; the result is `[batch…, free of x…, free of y…]`.
pub fn contract(b: &mut Builder<'_>, x: Value, y: Value, pairs: Pairs<'_>) -> OpResult<Value> {
    let of_x = |p: &[(usize, usize)]| ints(p.iter().map(|p| p.0));
    let of_y = |p: &[(usize, usize)]| ints(p.iter().map(|p| p.1));
    let attrs = [
        ("batch_x", of_x(pairs.batch)),
        ("batch_y", of_y(pairs.batch)),
        ("contract_x", of_x(pairs.contract)),
        ("contract_y", of_y(pairs.contract)),
        ("to", pairs.to.map_or(Attr::Absent, Attr::Elem)),
    ];
    b.one(&Contract, &[x, y], &attrs)
}
