//! Ops whose result shape depends on values. They become the static ops of the same name where
//! their operands are constants.
//!
//! `infer` follows a shape vector back through the arithmetic that made it, so that constants and
//! named extents survive; what it cannot say is `?`.

use crate::core::{
    Cost, Dim, Elem, EvalCx, OpDef, OpError, OpInfo, OpResult, OpView, Tensor, Type,
};
use crate::dialects::tensor::extents::{self, Entry, MAX_RANK};
use crate::dialects::tensor::shape::reshaped_dims;
use crate::dialects::tensor::{kernel, shapes};
use crate::{named_enum, op};

op! {
    /// The extent of `x` along `axis`, as a scalar.
    "tensor.dim" => DimOf {
        operands: [x: TENSOR],
        attributes: [axis: Int],
        results: [extent],
        traits: [Pure],
    }
}

impl OpDef for DimOf {
    fn info(&self) -> &'static OpInfo {
        &DimOf::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        shapes::axis("axis", DimOf::axis(op), op.operand_tensor(0).rank())?;
        Ok(vec![Type::scalar(Elem::I64)])
    }
    fn eval(&self, op: OpView<'_>, x: &[Tensor], _: &mut EvalCx<'_>) -> OpResult<Vec<Tensor>> {
        let axis = shapes::axis("axis", DimOf::axis(op), x[0].rank())?;
        let extent = x[0].shape()[axis] as i64;
        Ok(vec![Tensor::from_vec(Elem::I64, [], vec![extent])])
    }
    fn cost(&self, _: OpView<'_>) -> Cost {
        Cost::default()
    }
}

op! {
    /// The elements of `x` in row-major order under the shape in `shape`, where one entry may be -1:
    /// it follows from the others.
    "tensor.dyn_reshape" => DynReshape {
        operands: [x: TENSOR, shape: I64_TENSOR],
        results: [y],
        traits: [Pure],
    }
}

impl OpDef for DynReshape {
    fn info(&self) -> &'static OpInfo {
        &DynReshape::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        let x = op.operand_tensor(0);
        let dims: Option<Vec<Dim>> = entries(op, 1)?
            .into_iter()
            .map(|e| {
                if e == Entry::Number(-1) {
                    Some(Dim::Unknown)
                } else {
                    e.dim()
                }
            })
            .collect();
        let dims = dims.ok_or_else(|| OpError::new("an extent of `shape` is negative"))?;
        let unknown = dims.iter().filter(|d| **d == Dim::Unknown).count();
        match unknown > 1 {
            true => shapes::one(x.elem, dims),
            false => shapes::one(x.elem, reshaped_dims(&x.dims, &dims)?),
        }
    }
    fn eval(&self, _: OpView<'_>, x: &[Tensor], _: &mut EvalCx<'_>) -> OpResult<Vec<Tensor>> {
        let dims = x[1].to_i64s().into_iter().map(|n| match n {
            -1 => Ok(None),
            n => usize::try_from(n).map(Some),
        });
        let dims: Result<Vec<Option<usize>>, _> = dims.collect();
        let dims = dims.map_err(|_| OpError::new("an extent of `shape` is negative"))?;
        Ok(vec![kernel::reshape(&x[0], &dims)?])
    }
}

op! {
    /// `x` repeated to its numpy broadcast with the shape in `shape`: both are aligned at the last
    /// axis, and where either extent is 1 the other holds.
    "tensor.dyn_broadcast" => DynBroadcast {
        operands: [x: TENSOR, shape: I64_TENSOR],
        results: [y],
        traits: [Pure],
    }
}

impl OpDef for DynBroadcast {
    fn info(&self) -> &'static OpInfo {
        &DynBroadcast::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        let x = op.operand_tensor(0);
        let dims: Option<Vec<Dim>> = entries(op, 1)?.into_iter().map(Entry::dim).collect();
        let dims = dims.ok_or_else(|| OpError::new("an extent of `shape` is negative"))?;
        shapes::one(x.elem, shapes::broadcast_dims(&x.dims, &dims)?)
    }
    fn eval(&self, _: OpView<'_>, x: &[Tensor], _: &mut EvalCx<'_>) -> OpResult<Vec<Tensor>> {
        let dims: Result<Vec<u64>, _> = x[1].to_i64s().into_iter().map(u64::try_from).collect();
        let dims = dims.map_err(|_| OpError::new("an extent of `shape` is negative"))?;
        let dims: Vec<Dim> = dims.into_iter().map(Dim::Known).collect();
        let own: Vec<Dim> = x[0].shape().iter().map(|&n| Dim::Known(n as u64)).collect();
        let all = shapes::broadcast_dims(&own, &dims)?;
        let all: Vec<usize> = all
            .iter()
            .filter_map(|d| Some(d.known()? as usize))
            .collect();
        let axes: Vec<usize> = (all.len() - x[0].rank()..all.len()).collect();
        Ok(vec![kernel::broadcast(&x[0], &all, &axes)?])
    }
}

op! {
    /// The elements from `start` in steps of `step` up to but without `stop`, along each of `axes`,
    /// as numpy slices: negative places count from the end, all are clamped, steps may be negative.
    "tensor.dyn_slice" => DynSlice {
        operands: [x: TENSOR, start: I64_TENSOR, stop: I64_TENSOR, step: I64_TENSOR],
        attributes: [axes: Ints],
        results: [y],
        traits: [Pure],
    }
}

impl OpDef for DynSlice {
    fn info(&self) -> &'static OpInfo {
        &DynSlice::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        let x = op.operand_tensor(0);
        let axes = shapes::axes("axes", &DynSlice::axes(op), x.rank())?;
        let [start, stop, step] = [entries(op, 1)?, entries(op, 2)?, entries(op, 3)?];
        for (name, list) in [("start", &start), ("stop", &stop), ("step", &step)] {
            shapes::length(name, list.len(), axes.len())?;
        }
        let mut dims = x.dims.clone();
        for (i, &axis) in axes.iter().enumerate() {
            dims[axis] = match (dims[axis], start[i], stop[i], step[i]) {
                (_, _, _, Entry::Number(0)) => return Err(zero_step()),
                (d, Entry::Number(0), Entry::Number(i64::MAX), Entry::Number(1)) => d,
                (d, Entry::Number(0), stop, Entry::Number(1)) if Entry::from(d) == stop => d,
                (Dim::Known(n), Entry::Number(start), Entry::Number(stop), Entry::Number(step)) => {
                    let n = usize::try_from(n).unwrap_or(usize::MAX);
                    Dim::Known(slice_run(n, start, stop, step)?.count as u64)
                }
                _ => Dim::Unknown,
            };
        }
        shapes::one(x.elem, dims)
    }
    fn eval(&self, op: OpView<'_>, x: &[Tensor], _: &mut EvalCx<'_>) -> OpResult<Vec<Tensor>> {
        let axes = shapes::axes("axes", &DynSlice::axes(op), x[0].rank())?;
        let [start, stop, step] = [x[1].to_i64s(), x[2].to_i64s(), x[3].to_i64s()];
        for (name, list) in [("start", &start), ("stop", &stop), ("step", &step)] {
            shapes::length(name, list.len(), axes.len())?;
        }
        let whole = |&n: &usize| kernel::Run {
            start: 0,
            step: 1,
            count: n,
        };
        let mut runs: Vec<kernel::Run> = x[0].shape().iter().map(whole).collect();
        for (i, &axis) in axes.iter().enumerate() {
            runs[axis] = slice_run(x[0].shape()[axis], start[i], stop[i], step[i])?;
        }
        Ok(vec![kernel::slice(&x[0], &runs)])
    }
}

/// The places that a numpy slice takes on an axis of `n`.
pub fn slice_run(n: usize, start: i64, stop: i64, step: i64) -> OpResult<kernel::Run> {
    let n = n as i128;
    let place = |p: i64, low: i128, high: i128| {
        let p = i128::from(p);
        (if p < 0 { p + n } else { p }).clamp(low, high)
    };
    let (start, stop) = match step {
        0 => return Err(zero_step()),
        1.. => (place(start, 0, n), place(stop, 0, n)),
        _ if n == 0 => (0, 0),
        _ => (place(start, -1, n - 1), place(stop, -1, n - 1)),
    };
    let size = i128::from(step.unsigned_abs());
    let span = if step > 0 { stop - start } else { start - stop };
    let count = if span > 0 {
        (span + size - 1) / size
    } else {
        0
    };
    Ok(kernel::Run {
        start: start.max(0) as usize,
        step: step as isize,
        count: count as usize,
    })
}

fn zero_step() -> OpError {
    OpError::new("an entry of `step` is 0")
}

named_enum! {
    /// What `tensor.dyn_pad` puts around the elements.
    PadMode("mode") {
        /// The operand `value`.
        Constant = "constant",
        /// The mirror image, without repeating the element at the border.
        Reflect = "reflect",
        /// The element at the border.
        Edge = "edge",
        /// The elements from the other end.
        Wrap = "wrap",
    }
}

op! {
    /// `x` with `pads[axis]` elements before it and `pads[rank + axis]` after it along each axis:
    /// `value`, or as `mode` (constant, reflect, edge, wrap) says. Negative pads cut off.
    "tensor.dyn_pad" => DynPad {
        operands: [x: TENSOR, pads: I64_TENSOR, value: TENSOR],
        attributes: [mode: Str = "constant"],
        results: [y],
        traits: [Pure],
    }
}

impl OpDef for DynPad {
    fn info(&self) -> &'static OpInfo {
        &DynPad::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        let x = op.operand_tensor(0);
        PadMode::parse(DynPad::mode(op))?;
        shapes::rank(op, 2, 0)?;
        if op.operand_tensor(2).elem != x.elem {
            return Err(OpError::new(format!(
                "`value` must have the element type `{}` of `x`",
                x.elem
            )));
        }
        let pads = entries(op, 1)?;
        shapes::length("pads", pads.len(), 2 * x.rank())?;
        let dims = (0..x.rank()).map(|i| padded(x.dims[i], pads[i], pads[x.rank() + i]));
        shapes::one(x.elem, dims.collect::<OpResult<Vec<Dim>>>()?)
    }
    fn eval(&self, op: OpView<'_>, x: &[Tensor], _: &mut EvalCx<'_>) -> OpResult<Vec<Tensor>> {
        let mode = PadMode::parse(DynPad::mode(op))?;
        let (pads, rank) = (x[1].to_i64s(), x[0].rank());
        shapes::length("pads", pads.len(), 2 * rank)?;
        Ok(vec![kernel::pad_mode(
            &x[0],
            &x[2],
            &pads[..rank],
            &pads[rank..],
            mode,
        )?])
    }
}

fn padded(dim: Dim, low: Entry, high: Entry) -> OpResult<Dim> {
    match (dim, low, high) {
        (d, Entry::Number(0), Entry::Number(0)) => Ok(d),
        (Dim::Known(n), Entry::Number(low), Entry::Number(high)) => {
            let n = i128::from(n) + i128::from(low) + i128::from(high);
            match u64::try_from(n) {
                Ok(n) => Ok(Dim::Known(n)),
                Err(_) => Err(OpError::new(format!("padding makes the extent {n}"))),
            }
        }
        _ => Ok(Dim::Unknown),
    }
}

op! {
    /// `start`, `start + delta`, … up to but without `limit`; all three are scalars.
    "tensor.dyn_iota" => DynIota {
        operands: [start: NUM_TENSOR, limit: NUM_TENSOR, delta: NUM_TENSOR],
        results: [y],
        traits: [Pure],
    }
}

impl OpDef for DynIota {
    fn info(&self) -> &'static OpInfo {
        &DynIota::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        let elem = shapes::same_elem(op, 0..3)?;
        for i in 0..3 {
            shapes::rank(op, i, 0)?;
        }
        let constants = [0, 1, 2].map(|i| op.constant_operand(i));
        if let [Some(start), Some(limit), Some(delta)] = constants {
            return shapes::one(
                elem,
                [Dim::Known(kernel::range_count(start, limit, delta)?)],
            );
        }
        let entry =
            |i: usize| extents::trace(op.module, op.operand(i)).and_then(|e| e.first().copied());
        match (entry(0), entry(1), entry(2)) {
            (Some(Entry::Number(0)), Some(Entry::Symbol(name)), Some(Entry::Number(1))) => {
                shapes::one(elem, [Dim::Sym(name)])
            }
            (Some(Entry::Number(0)), Some(Entry::Number(n @ 0..)), Some(Entry::Number(1))) => {
                shapes::one(elem, [Dim::Known(n as u64)])
            }
            _ => shapes::one(elem, [Dim::Unknown]),
        }
    }
    fn eval(&self, _: OpView<'_>, x: &[Tensor], _: &mut EvalCx<'_>) -> OpResult<Vec<Tensor>> {
        Ok(vec![kernel::range(&x[0], &x[1], &x[2])?])
    }
    fn cost(&self, op: OpView<'_>) -> Cost {
        Cost::per_element(op, 1)
    }
}

/// What is known of the entries of an operand that must be a vector of known length.
fn entries(op: OpView<'_>, operand: usize) -> OpResult<Vec<Entry>> {
    shapes::rank(op, operand, 1)?;
    extents::trace(op.module, op.operand(operand)).ok_or_else(|| {
        OpError::new(format!(
            "operand {operand} of `{}` must have a known extent of at most {MAX_RANK}, found {}",
            op.name(),
            op.operand_dims(operand)[0]
        ))
    })
}

pub(super) const OPS: &[&dyn OpDef] = &[
    &DimOf,
    &DynBroadcast,
    &DynIota,
    &DynPad,
    &DynReshape,
    &DynSlice,
];
