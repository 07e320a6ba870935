//! Ops that move elements without computing on them: reshape, transpose, broadcast, reverse,
//! slice, pad, concat, and iota, which makes elements from nothing.
//!
//! A named extent in a `shape` attribute is one that the function knows already: from an argument
//! or an earlier value. So every static shape, symbolic or not, needs no operand.

use crate::core::{
    Cost, Dim, Elem, EvalCx, OpDef, OpError, OpInfo, OpResult, OpView, Tensor, Type,
};
use crate::dialects::tensor::{extents, kernel, shapes};
use crate::op;

op! {
    /// The elements of `x` in row-major order under another shape of as many elements. At most one
    /// extent of `shape` may be `?`: it follows from the others.
    "tensor.reshape" => Reshape {
        operands: [x: TENSOR],
        attributes: [shape: Dims],
        results: [y],
        traits: [Pure],
    }
}

impl OpDef for Reshape {
    fn info(&self) -> &'static OpInfo {
        &Reshape::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        let x = op.operand_tensor(0);
        shapes::one(x.elem, reshaped_dims(&x.dims, &Reshape::shape(op))?)
    }
    fn eval(&self, op: OpView<'_>, x: &[Tensor], cx: &mut EvalCx<'_>) -> OpResult<Vec<Tensor>> {
        // The inferred extents, since an empty tensor does not say what an open one is.
        let dims = extents::resolve(op, x, cx, &op.result_tensor(0).dims);
        Ok(vec![kernel::reshape(&x[0], &dims)?])
    }
}

/// The extents after a reshape, with an unknown one worked out where that is possible.
pub(super) fn reshaped_dims(from: &[Dim], to: &[Dim]) -> OpResult<Vec<Dim>> {
    let mut to = to.to_vec();
    let disagree = || {
        OpError::new(format!(
            "shapes {} and {} do not have as many elements",
            shapes::list(from),
            shapes::list(&to)
        ))
    };
    let unknown = to.iter().filter(|d| **d == Dim::Unknown).count();
    if unknown > 1 {
        return Err(OpError::new("at most one extent of `shape` may be unknown"));
    }
    // Equal names on both sides cancel; what remains is numbers and names.
    let mut left: Vec<Dim> = Vec::new();
    let mut right: Vec<Dim> = to
        .iter()
        .copied()
        .filter(|d| matches!(d, Dim::Sym(_)))
        .collect();
    for &d in from.iter().filter(|d| d.known().is_none()) {
        match right.iter().position(|r| *r == d) {
            Some(i) => drop(right.remove(i)),
            None => left.push(d),
        }
    }
    let product = |dims: &[Dim]| {
        let mut known = dims.iter().filter_map(|d| d.known());
        known.try_fold(1u64, u64::checked_mul)
    };
    let (Some(n), Some(m)) = (product(from), product(&to)) else {
        return Err(OpError::new("the number of elements is out of range"));
    };
    let all_named = from.iter().chain(&to).all(|d| *d != Dim::Unknown);
    let solved = match (left.as_slice(), right.as_slice(), unknown) {
        ([], [], 0) if all_named && n != m => return Err(disagree()),
        // A name may stand for zero, so a remainder says nothing where one was cancelled.
        ([], [], 1) if m != 0 && n % m == 0 => Dim::Known(n / m),
        ([], [], 1) if from.iter().all(|d| d.known().is_some()) => return Err(disagree()),
        ([d], [], 1) if n == m && n != 0 => *d,
        _ => Dim::Unknown,
    };
    if let Some(d) = to.iter_mut().find(|d| **d == Dim::Unknown) {
        *d = solved;
    }
    Ok(to)
}

op! {
    /// `y[i0, i1, …] = x` with the axes in the order `perm`: axis `k` of the result is axis
    /// `perm[k]` of `x`.
    "tensor.transpose" => Transpose {
        operands: [x: TENSOR],
        attributes: [perm: Ints],
        results: [y],
        traits: [Pure],
    }
}

impl OpDef for Transpose {
    fn info(&self) -> &'static OpInfo {
        &Transpose::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        let x = op.operand_tensor(0);
        let given = Transpose::perm(op);
        shapes::length("perm", given.len(), x.rank())?;
        let perm = shapes::axes("perm", &given, x.rank())?;
        shapes::one(x.elem, perm.into_iter().map(|a| x.dims[a]))
    }
    fn eval(&self, op: OpView<'_>, x: &[Tensor], _: &mut EvalCx<'_>) -> OpResult<Vec<Tensor>> {
        let perm = shapes::axes("perm", &Transpose::perm(op), x[0].rank())?;
        Ok(vec![kernel::transpose(&x[0], &perm)])
    }
}

op! {
    /// `x` repeated to `shape`: axis `i` of `x` becomes axis `axes[i]` of the result (increasing);
    /// its extent is 1 or that of the result.
    "tensor.broadcast" => Broadcast {
        operands: [x: TENSOR],
        attributes: [shape: Dims, axes: Ints],
        results: [y],
        traits: [Pure],
    }
}

impl OpDef for Broadcast {
    fn info(&self) -> &'static OpInfo {
        &Broadcast::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        let x = op.operand_tensor(0);
        let mut shape = Broadcast::shape(op);
        let axes = Broadcast::result_axes(op)?;
        for (axis, dim) in shape.iter_mut().enumerate() {
            let from = axes.iter().position(|a| *a == axis).map(|i| x.dims[i]);
            *dim = match (from, *dim) {
                (None | Some(Dim::Known(1)), Dim::Unknown) => {
                    return Err(OpError::new(format!(
                        "extent {axis} of `shape` must be known or named, since it is not that of `x`"
                    )));
                }
                (None | Some(Dim::Known(1)), d) => d,
                (Some(d @ Dim::Known(_)), to) => shapes::meet(d, to)?,
                (Some(d), Dim::Unknown) => d,
                (Some(_), to) => to,
            };
        }
        shapes::one(x.elem, shape)
    }
    fn eval(&self, op: OpView<'_>, x: &[Tensor], cx: &mut EvalCx<'_>) -> OpResult<Vec<Tensor>> {
        let axes = Broadcast::result_axes(op)?;
        let mut dims = extents::resolve(op, x, cx, &Broadcast::shape(op));
        for (i, &a) in axes.iter().enumerate() {
            dims[a] = dims[a].or(Some(x[0].shape()[i]));
        }
        let shape = extents::all(&dims)?;
        Ok(vec![kernel::broadcast(&x[0], &shape, &axes)?])
    }
}

impl Broadcast {
    fn result_axes(op: OpView<'_>) -> OpResult<Vec<usize>> {
        let given = Broadcast::axes(op);
        shapes::length("axes", given.len(), op.operand_tensor(0).rank())?;
        let axes = shapes::axes("axes", &given, Broadcast::shape(op).len())?;
        match axes.is_sorted() {
            true => Ok(axes),
            false => Err(OpError::new("`axes` must increase")),
        }
    }
}

op! {
    /// `x` with the order of the elements reversed along `axes`.
    "tensor.reverse" => Reverse {
        operands: [x: TENSOR],
        attributes: [axes: Ints],
        results: [y],
        traits: [Pure],
    }
}

impl OpDef for Reverse {
    fn info(&self) -> &'static OpInfo {
        &Reverse::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        shapes::axes("axes", &Reverse::axes(op), op.operand_tensor(0).rank())?;
        Ok(vec![op.operand_type(0)])
    }
    fn eval(&self, op: OpView<'_>, x: &[Tensor], _: &mut EvalCx<'_>) -> OpResult<Vec<Tensor>> {
        let axes = shapes::axes("axes", &Reverse::axes(op), x[0].rank())?;
        Ok(vec![kernel::reverse(&x[0], &axes)])
    }
}

op! {
    /// The elements at `start`, `start + step`, … below `stop` along each axis. `start`, `stop` and
    /// `step` have one entry per axis; a `stop` past the end, such as the greatest integer, is the
    /// end.
    "tensor.slice" => Slice {
        operands: [x: TENSOR],
        attributes: [start: Ints, stop: Ints, step: Ints],
        results: [y],
        traits: [Pure],
    }
}

/// A `stop` that means the end of an axis.
pub const END: i64 = i64::MAX;

impl OpDef for Slice {
    fn info(&self) -> &'static OpInfo {
        &Slice::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        let x = op.operand_tensor(0);
        let rank = x.rank();
        let start = shapes::counts("start", &Slice::start(op), rank, 0)?;
        let stop = shapes::counts("stop", &Slice::stop(op), rank, 0)?;
        let step = shapes::counts("step", &Slice::step(op), rank, 1)?;
        let dims = (0..rank).map(|i| match x.dims[i] {
            Dim::Known(n) => {
                let stop = stop[i].min(n);
                Dim::Known(stop.saturating_sub(start[i]).div_ceil(step[i]))
            }
            d if start[i] == 0 && step[i] == 1 && stop[i] == END as u64 => d,
            _ if stop[i] <= start[i] => Dim::Known(0),
            _ => Dim::Unknown,
        });
        shapes::one(x.elem, dims)
    }
    fn eval(&self, op: OpView<'_>, x: &[Tensor], _: &mut EvalCx<'_>) -> OpResult<Vec<Tensor>> {
        let axes = x[0].shape().iter().enumerate().map(|(i, &n)| {
            let (start, stop) = (Slice::start(op)[i] as usize, Slice::stop(op)[i] as usize);
            let step = Slice::step(op)[i] as usize;
            kernel::Run {
                start: start.min(n),
                step: isize::try_from(step).unwrap_or(isize::MAX),
                count: stop.min(n).saturating_sub(start).div_ceil(step),
            }
        });
        let axes: Vec<kernel::Run> = axes.collect();
        Ok(vec![kernel::slice(&x[0], &axes)])
    }
}

op! {
    /// `x` with `low` elements of `value` before it and `high` after it along each axis.
    "tensor.pad" => Pad {
        operands: [x: TENSOR, value: TENSOR],
        attributes: [low: Ints, high: Ints],
        results: [y],
        traits: [Pure],
    }
}

impl OpDef for Pad {
    fn info(&self) -> &'static OpInfo {
        &Pad::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        let elem = shapes::same_elem(op, 0..2)?;
        shapes::rank(op, 1, 0)?;
        let x = op.operand_tensor(0);
        let low = shapes::counts("low", &Pad::low(op), x.rank(), 0)?;
        let high = shapes::counts("high", &Pad::high(op), x.rank(), 0)?;
        let dims = x.dims.iter().zip(low.iter().zip(&high));
        let dims = dims.map(|(&d, (&low, &high))| {
            shapes::plus(shapes::plus(d, Dim::Known(low)), Dim::Known(high))
        });
        shapes::one(elem, dims)
    }
    fn eval(&self, op: OpView<'_>, x: &[Tensor], _: &mut EvalCx<'_>) -> OpResult<Vec<Tensor>> {
        let padded = kernel::pad(&x[0], &x[1], &Pad::low(op), &Pad::high(op))?;
        Ok(vec![padded])
    }
}

op! {
    /// The operands one after another along `axis`.
    "tensor.concat" => Concat {
        operands: [first: TENSOR; rest: TENSOR],
        attributes: [axis: Int],
        results: [y],
        traits: [Pure],
    }
}

impl OpDef for Concat {
    fn info(&self) -> &'static OpInfo {
        &Concat::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        let count = op.operands().len();
        let elem = shapes::same_elem(op, 0..count)?;
        let mut dims = op.operand_dims(0).to_vec();
        let axis = shapes::axis("axis", Concat::axis(op), dims.len())?;
        for i in 1..count {
            let mut other = op.operand_dims(i).to_vec();
            let total = match other.get(axis) {
                Some(&extent) => shapes::plus(dims[axis], extent),
                None => Dim::Unknown,
            };
            if let Some(extent) = other.get_mut(axis) {
                *extent = Dim::Unknown;
            }
            dims[axis] = Dim::Unknown;
            dims = shapes::meet_all(&dims, &other)?;
            dims[axis] = total;
        }
        shapes::one(elem, dims)
    }
    fn eval(&self, op: OpView<'_>, x: &[Tensor], _: &mut EvalCx<'_>) -> OpResult<Vec<Tensor>> {
        let axis = shapes::axis("axis", Concat::axis(op), x[0].rank())?;
        Ok(vec![kernel::concat(x, axis)?])
    }
}

op! {
    /// The index of each element along `axis`: 0, 1, 2, … in a tensor of `shape`.
    "tensor.iota" => Iota {
        operands: [],
        attributes: [shape: Dims, axis: Int, to: ElemType],
        results: [y],
        traits: [Pure],
    }
}

impl OpDef for Iota {
    fn info(&self) -> &'static OpInfo {
        &Iota::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        let shape = Iota::shape(op);
        shapes::axis("axis", Iota::axis(op), shape.len())?;
        if shape.contains(&Dim::Unknown) {
            return Err(OpError::new("extents of `shape` must be known or named"));
        }
        match Iota::to(op) {
            Elem::Bool => Err(OpError::new("`to` must be a type of numbers")),
            elem => shapes::one(elem, shape),
        }
    }
    fn eval(&self, op: OpView<'_>, x: &[Tensor], cx: &mut EvalCx<'_>) -> OpResult<Vec<Tensor>> {
        let shape = extents::all(&extents::resolve(op, x, cx, &Iota::shape(op)))?;
        let axis = shapes::axis("axis", Iota::axis(op), shape.len())?;
        Ok(vec![kernel::iota(Iota::to(op), &shape, axis)?])
    }
    fn cost(&self, op: OpView<'_>) -> Cost {
        Cost::per_element(op, 1)
    }
}

pub(super) const OPS: &[&dyn OpDef] = &[
    &Broadcast, &Concat, &Iota, &Pad, &Reshape, &Reverse, &Slice, &Transpose,
];
