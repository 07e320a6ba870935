//! Reading and writing at computed indices: gather and scatter.
//!
//! No target traps: an index that is out of range is clamped where it reads, and what it would
//! write is dropped.

use crate::core::{Cost, Dim, EvalCx, OpDef, OpError, OpInfo, OpResult, OpView, Tensor, Type};
use crate::dialects::tensor::binary::BinaryKind;
use crate::dialects::tensor::{lookup, shapes};
use crate::{named_enum, op};

op! {
    /// Takes slices of `x` along `axis` at `indices`:
    /// `y[a.., i.., b..] = x[a.., indices[i..], b..]`. Indices are clamped to the axis.
    "tensor.gather" => Gather {
        operands: [x: TENSOR, indices: INDEX_TENSOR],
        attributes: [axis: Int],
        results: [y],
        traits: [Pure],
    }
}

impl OpDef for Gather {
    fn info(&self) -> &'static OpInfo {
        &Gather::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        let x = op.operand_tensor(0);
        let axis = shapes::axis("axis", Gather::axis(op), x.rank())?;
        let dims = [&x.dims[..axis], op.operand_dims(1), &x.dims[axis + 1..]].concat();
        shapes::one(x.elem, dims)
    }
    fn eval(&self, op: OpView<'_>, x: &[Tensor], _: &mut EvalCx<'_>) -> OpResult<Vec<Tensor>> {
        let axis = shapes::axis("axis", Gather::axis(op), x[0].rank())?;
        Ok(vec![lookup::gather(&x[0], &x[1], axis)?])
    }
    fn cost(&self, op: OpView<'_>) -> Cost {
        read_cost(op)
    }
}

op! {
    /// Takes one element of `x` for each index: the result has the shape of `indices`, and element
    /// `i` reads `x` at `i` with its coordinate along `axis` replaced by `indices[i]`, clamped.
    "tensor.gather_elements" => GatherElements {
        operands: [x: TENSOR, indices: INDEX_TENSOR],
        attributes: [axis: Int],
        results: [y],
        traits: [Pure],
    }
}

impl OpDef for GatherElements {
    fn info(&self) -> &'static OpInfo {
        &GatherElements::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        let x = op.operand_tensor(0);
        let axis = shapes::axis("axis", GatherElements::axis(op), x.rank())?;
        shapes::rank(op, 1, x.rank())?;
        not_larger(op.operand_dims(1), &x.dims, axis)?;
        shapes::one(x.elem, op.operand_dims(1).iter().copied())
    }
    fn eval(&self, op: OpView<'_>, x: &[Tensor], _: &mut EvalCx<'_>) -> OpResult<Vec<Tensor>> {
        let axis = shapes::axis("axis", GatherElements::axis(op), x[0].rank())?;
        Ok(vec![lookup::gather_elements(&x[0], &x[1], axis)?])
    }
    fn cost(&self, op: OpView<'_>) -> Cost {
        read_cost(op)
    }
}

op! {
    /// Takes slices of `x` at coordinates: each vector along the last axis of `indices` names a
    /// place in the axes of `x` after the first `batch`, which both operands share. Clamped.
    "tensor.gather_nd" => GatherNd {
        operands: [x: TENSOR, indices: INDEX_TENSOR],
        attributes: [batch: Int = 0],
        results: [y],
        traits: [Pure],
    }
}

impl OpDef for GatherNd {
    fn info(&self) -> &'static OpInfo {
        &GatherNd::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        let (x, indices) = (op.operand_tensor(0), op.operand_dims(1));
        let Some((last, places)) = indices.split_last() else {
            return Err(OpError::new("`indices` must have an axis of coordinates"));
        };
        let limit = x.rank().min(places.len());
        let batch = match usize::try_from(GatherNd::batch(op)) {
            Ok(batch) if batch <= limit => batch,
            _ => {
                return Err(OpError::new(format!(
                    "`batch` is {}, but must be from 0 to {limit}",
                    GatherNd::batch(op)
                )));
            }
        };
        let depth = coordinates(*last, x.rank() - batch)?;
        let mut dims = shapes::meet_all(&x.dims[..batch], &places[..batch])?;
        dims.extend(&places[batch..]);
        dims.extend(&x.dims[batch + depth..]);
        shapes::one(x.elem, dims)
    }
    fn eval(&self, op: OpView<'_>, x: &[Tensor], _: &mut EvalCx<'_>) -> OpResult<Vec<Tensor>> {
        let batch = GatherNd::batch(op) as usize;
        Ok(vec![lookup::gather_nd(&x[0], &x[1], batch)?])
    }
    fn cost(&self, op: OpView<'_>) -> Cost {
        read_cost(op)
    }
}

named_enum! {
    /// How a scatter combines an update with the element that it meets.
    ScatterKind("kind") {
        Set = "set",
        Add = "add",
        Mul = "mul",
        Max = "max",
        Min = "min",
    }
}

impl ScatterKind {
    /// The op that combines; none for `set`.
    pub fn binary(self) -> Option<BinaryKind> {
        match self {
            ScatterKind::Set => None,
            ScatterKind::Add => Some(BinaryKind::Add),
            ScatterKind::Mul => Some(BinaryKind::Mul),
            ScatterKind::Max => Some(BinaryKind::Max),
            ScatterKind::Min => Some(BinaryKind::Min),
        }
    }

    fn of(name: &str, op: OpView<'_>) -> OpResult<ScatterKind> {
        let kind = ScatterKind::parse(name)?;
        let elem = op.operand_tensor(0).elem;
        match kind.binary().is_some() && elem == crate::core::Elem::Bool {
            true => Err(OpError::new(format!(
                "kind \"{name}\" is not for elements of `{elem}`"
            ))),
            false => Ok(kind),
        }
    }
}

op! {
    /// `x` with one element changed for each update: element `i` of `updates` is combined by `kind`
    /// (set, add, mul, max, min) into `x` at `i` with its coordinate along `axis` replaced by
    /// `indices[i]`. In row-major order; indices out of range change nothing.
    "tensor.scatter_elements" => ScatterElements {
        operands: [x: TENSOR, indices: INDEX_TENSOR, updates: TENSOR],
        attributes: [axis: Int, kind: Str = "set"],
        results: [y],
        traits: [Pure],
    }
}

impl OpDef for ScatterElements {
    fn info(&self) -> &'static OpInfo {
        &ScatterElements::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        let (x, updates) = (op.operand_tensor(0), op.operand_tensor(2));
        ScatterKind::of(ScatterElements::kind(op), op)?;
        same_elem_as_updates(op)?;
        let axis = shapes::axis("axis", ScatterElements::axis(op), x.rank())?;
        shapes::rank(op, 1, x.rank())?;
        let dims = shapes::meet_all(op.operand_dims(1), &updates.dims)?;
        not_larger(&dims, &x.dims, axis)?;
        Ok(vec![op.operand_type(0)])
    }
    fn eval(&self, op: OpView<'_>, x: &[Tensor], _: &mut EvalCx<'_>) -> OpResult<Vec<Tensor>> {
        let axis = shapes::axis("axis", ScatterElements::axis(op), x[0].rank())?;
        let kind = ScatterKind::of(ScatterElements::kind(op), op)?;
        Ok(vec![lookup::scatter_elements(x, axis, kind)?])
    }
    fn cost(&self, op: OpView<'_>) -> Cost {
        Cost::of(op, op.operand_elements(2))
    }
}

op! {
    /// `x` with slices changed: each vector along the last axis of `indices` names a place in the
    /// first axes of `x`, where the slice of `updates` is combined by `kind` (set, add, mul, max,
    /// min). In row-major order; places out of range change nothing.
    "tensor.scatter_nd" => ScatterNd {
        operands: [x: TENSOR, indices: INDEX_TENSOR, updates: TENSOR],
        attributes: [kind: Str = "set"],
        results: [y],
        traits: [Pure],
    }
}

impl OpDef for ScatterNd {
    fn info(&self) -> &'static OpInfo {
        &ScatterNd::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        let x = op.operand_tensor(0);
        ScatterKind::of(ScatterNd::kind(op), op)?;
        same_elem_as_updates(op)?;
        let Some((last, places)) = op.operand_dims(1).split_last() else {
            return Err(OpError::new("`indices` must have an axis of coordinates"));
        };
        let depth = coordinates(*last, x.rank())?;
        let expected = [places, &x.dims[depth..]].concat();
        shapes::meet_all(&expected, op.operand_dims(2))?;
        Ok(vec![op.operand_type(0)])
    }
    fn eval(&self, op: OpView<'_>, x: &[Tensor], _: &mut EvalCx<'_>) -> OpResult<Vec<Tensor>> {
        let kind = ScatterKind::of(ScatterNd::kind(op), op)?;
        Ok(vec![lookup::scatter_nd(x, kind)?])
    }
    fn cost(&self, op: OpView<'_>) -> Cost {
        Cost::of(op, op.operand_elements(2))
    }
}

/// What is read is what is taken, not the whole of `x`.
fn read_cost(op: OpView<'_>) -> Cost {
    Cost {
        flops: 0.0,
        bytes: 2.0 * op.result_bytes(),
    }
}

/// The length of a coordinate vector.
fn coordinates(last: Dim, rank: usize) -> OpResult<usize> {
    match last {
        Dim::Known(n) if n <= rank as u64 => Ok(n as usize),
        other => Err(OpError::new(format!(
            "the last extent of `indices` is {other}, but must be a number up to {rank}"
        ))),
    }
}

/// Indices may cover a part of `x` in each axis but the indexed one, where they may repeat.
fn not_larger(indices: &[Dim], x: &[Dim], axis: usize) -> OpResult<()> {
    let larger = |i: usize| match (indices[i], x[i]) {
        (Dim::Known(a), Dim::Known(b)) => i != axis && a > b,
        _ => false,
    };
    match (0..x.len()).find(|&i| larger(i)) {
        None => Ok(()),
        Some(i) => Err(OpError::new(format!(
            "extent {i} of `indices` is {}, more than the {} of `x`",
            indices[i], x[i]
        ))),
    }
}

fn same_elem_as_updates(op: OpView<'_>) -> OpResult<()> {
    let (x, updates) = (op.operand_tensor(0).elem, op.operand_tensor(2).elem);
    match x == updates {
        true => Ok(()),
        false => Err(OpError::new(format!(
            "`updates` must have the element type `{x}` of `x`, found `{updates}`"
        ))),
    }
}

pub(super) const OPS: &[&dyn OpDef] = &[
    &Gather,
    &GatherElements,
    &GatherNd,
    &ScatterElements,
    &ScatterNd,
];
