//! Products of matrices.

use crate::core::{
    Builder, Cost, Dim, EvalCx, Num, Op, OpDef, OpInfo, OpResult, OpView, Tensor, TensorType, Type,
    Value,
};
use crate::dialects::core::constant;
use crate::dialects::tensor::{self as t, build, shapes};
use crate::op;

use super::expand::{expanded, with};
use super::product::{Extents, product};
use super::rules::{
    at_most, ensure, has_dims, meet, one, operand_types, same_elem, shape_of, tensor_types,
};

op! {
    /// `x · w + bias`: `w` is input by output, `bias` output; `x` has any number of leading axes.
    "nn.linear" => Linear {
        operands: [x: FLOAT_TENSOR, w: FLOAT_TENSOR; bias: FLOAT_TENSOR],
        results: [y],
        traits: [Pure],
    }
}

impl OpDef for Linear {
    fn info(&self) -> &'static OpInfo {
        &Linear::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        one(linear_type(op, &operand_types(op))?)
    }
    fn eval(&self, op: OpView<'_>, x: &[Tensor], _: &mut EvalCx<'_>) -> OpResult<Vec<Tensor>> {
        let shape = shape_of(&linear_type(op, &tensor_types(x))?)?;
        let (depth, columns) = (x[1].shape()[0], x[1].shape()[1]);
        let rows = x[0].shape()[..x[0].rank() - 1].iter().product();
        let w = x[1].to_f64s();
        let extents = Extents {
            rows,
            columns,
            depth,
        };
        let mut y = product(extents, &x[0].to_f64s(), &|c, run, out| {
            for (out, p) in out.iter_mut().zip(run) {
                *out = w[p * columns + c];
            }
        });
        if let Some(bias) = x.get(2) {
            let bias = bias.to_f64s();
            for row in y.chunks_mut(columns.max(1)) {
                row.iter_mut().zip(&bias).for_each(|(y, b)| *y += b);
            }
        }
        Ok(vec![Tensor::from_f64s(x[0].elem(), shape, y)])
    }
    fn decompose(&self, b: &mut Builder<'_>, op: Op) -> OpResult<Option<Vec<Value>>> {
        let operands = b.view(op).operands().to_vec();
        let last = build::rank(b, operands[0]) - 1;
        let pairs = build::Pairs {
            contract: &[(last, 0)],
            ..Default::default()
        };
        let y = build::contract(b, operands[0], operands[1], pairs)?;
        let y = match operands.get(2) {
            Some(&bias) => with(b, &t::Add, y, bias)?,
            None => y,
        };
        expanded(b, op, y)
    }
    fn cost(&self, op: OpView<'_>) -> Cost {
        let depth = op.operand_dims(1)[0].known().unwrap_or(1);
        Cost::per_element(op, depth.saturating_mul(2))
    }
}

pub(crate) fn linear_type(op: OpView<'_>, x: &[TensorType]) -> OpResult<TensorType> {
    at_most(op, x.len(), 1)?;
    same_elem(op)?;
    ensure!(x[0].rank() >= 1, "`x` must have an axis");
    ensure!(
        x[1].rank() == 2,
        "`w` must have rank 2, found {}",
        x[1].rank()
    );
    let mut dims = x[0].dims.clone();
    let last = dims.len() - 1;
    meet(dims[last], x[1].dims[0], "inner extents of `x` and `w`")?;
    dims[last] = x[1].dims[1];
    if let Some(bias) = x.get(2) {
        has_dims(bias, &x[1].dims[1..], "bias")?;
        dims[last] = meet(dims[last], bias.dims[0], "bias")?;
    }
    Ok(TensorType::new(x[0].elem, dims))
}

op! {
    /// The product of matrices in the last two axes; earlier axes broadcast against each other,
    /// aligned at the end.
    "nn.matmul" => MatMul {
        operands: [x: NUM_TENSOR, y: NUM_TENSOR],
        results: [z],
        traits: [Pure],
    }
}

impl OpDef for MatMul {
    fn info(&self) -> &'static OpInfo {
        &MatMul::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        one(matmul_type(op, &operand_types(op))?)
    }
    fn eval(&self, op: OpView<'_>, x: &[Tensor], _: &mut EvalCx<'_>) -> OpResult<Vec<Tensor>> {
        let shape = shape_of(&matmul_type(op, &tensor_types(x))?)?;
        if shape.contains(&0) {
            return Ok(vec![Tensor::zeros(x[0].elem(), &shape)]);
        }
        let (rank, depth) = (shape.len(), x[0].shape()[x[0].rank() - 1]);
        let extents = Extents {
            rows: shape[rank - 2],
            columns: shape[rank - 1],
            depth,
        };
        let batches: usize = shape[..rank - 2].iter().product();
        let matrix = |operand: usize, batch: usize| batch_index(x[operand].shape(), &shape, batch);
        if !x[0].elem().is_float() {
            let (left, right) = (x[0].to_i64s(), x[1].to_i64s());
            let all = (0..batches).flat_map(|batch| {
                let left = &left[matrix(0, batch) * extents.rows * depth..];
                int_product(
                    extents,
                    left,
                    &right[matrix(1, batch) * depth * extents.columns..],
                )
            });
            let all = all.map(|n| Num::Int(n.into()));
            return Ok(vec![Tensor::from_nums(x[0].elem(), shape.clone(), all)]);
        }
        let (left, right) = (x[0].to_f64s(), x[1].to_f64s());
        let mut z = Vec::with_capacity(shape.iter().product());
        for batch in 0..batches {
            let left = &left[matrix(0, batch) * extents.rows * depth..];
            let right = &right[matrix(1, batch) * depth * extents.columns..];
            z.extend(product(extents, left, &|c, run, out| {
                for (out, p) in out.iter_mut().zip(run) {
                    *out = right[p * extents.columns + c];
                }
            }));
        }
        Ok(vec![Tensor::from_f64s(x[0].elem(), shape, z)])
    }
    fn decompose(&self, b: &mut Builder<'_>, op: Op) -> OpResult<Option<Vec<Value>>> {
        let (x, y) = (b.view(op).operand(0), b.view(op).operand(1));
        let (x_dims, y_dims) = (build::dims(b, x), build::dims(b, y));
        let (rows, columns) = (x_dims.len() - 2, y_dims.len() - 2);
        let z = if columns == 0 {
            // All leading axes of `x` are rows.
            let pairs = build::Pairs {
                contract: &[(rows + 1, 0)],
                ..Default::default()
            };
            build::contract(b, x, y, pairs)?
        } else {
            let (x, y) = (batches_like(b, x, y)?, batches_like(b, y, x)?);
            let rank = rows.max(columns);
            let batch: Vec<(usize, usize)> = (0..rank).map(|i| (i, i)).collect();
            let contract = [(rank + 1, rank)];
            let pairs = build::Pairs {
                batch: &batch,
                contract: &contract,
                to: None,
            };
            build::contract(b, x, y, pairs)?
        };
        expanded(b, op, z)
    }
    fn cost(&self, op: OpView<'_>) -> Cost {
        let depth = op
            .operand_dims(0)
            .last()
            .and_then(|d| d.known())
            .unwrap_or(1);
        Cost::per_element(op, depth.saturating_mul(2))
    }
}

fn matmul_type(op: OpView<'_>, x: &[TensorType]) -> OpResult<TensorType> {
    same_elem(op)?;
    for (ty, info) in x.iter().zip(op.info().operands) {
        ensure!(
            ty.rank() >= 2,
            "`{}` must have rank 2 or more, found {}",
            info.name,
            ty.rank()
        );
    }
    let (rows, columns) = (x[0].rank() - 2, x[1].rank() - 2);
    meet(x[0].dims[rows + 1], x[1].dims[columns], "inner extents")?;
    let mut dims = shapes::broadcast_dims(&x[0].dims[..rows], &x[1].dims[..columns])?;
    dims.push(x[0].dims[rows]);
    dims.push(x[1].dims[columns + 1]);
    Ok(TensorType::new(x[0].elem, dims))
}

/// Which matrix of an operand a batch of the result reads.
fn batch_index(operand: &[usize], result: &[usize], batch: usize) -> usize {
    let (mut index, mut distance, mut rest) = (0, 1, batch);
    for i in 3..=operand.len() {
        let extent = operand[operand.len() - i];
        let at = rest % result[result.len() - i];
        rest /= result[result.len() - i];
        index += at.min(extent - 1) * distance;
        distance *= extent;
    }
    index
}

/// The product of integers, which wrap.
fn int_product(extents: Extents, left: &[i64], right: &[i64]) -> Vec<i64> {
    let mut out = vec![0i64; extents.rows * extents.columns];
    for (r, out) in out.chunks_mut(extents.columns.max(1)).enumerate() {
        for p in 0..extents.depth {
            let x = left[r * extents.depth + p];
            let row = &right[p * extents.columns..][..extents.columns];
            for (out, y) in out.iter_mut().zip(row) {
                *out = out.wrapping_add(x.wrapping_mul(*y));
            }
        }
    }
    out
}

/// `x` repeated along its batch axes, so that they are those of the product with `other`.
fn batches_like(b: &mut Builder<'_>, x: Value, other: Value) -> OpResult<Value> {
    let (dims, others) = (build::dims(b, x), build::dims(b, other));
    let (own, others) = (&dims[..dims.len() - 2], &others[..others.len() - 2]);
    if own == others && !own.contains(&Dim::Unknown) {
        return Ok(x);
    }
    let mut all = shapes::broadcast_dims(own, others)?;
    all.extend_from_slice(&dims[dims.len() - 2..]);
    let mut pairs = own.iter().rev().zip(all.iter().rev().skip(2));
    if pairs.all(|(&a, &d)| a == d || a == Dim::Known(1)) && !all.contains(&Dim::Unknown) {
        return build::broadcast_to(b, x, &all);
    }
    let shape = build::shape_vector(b, other)?;
    let batch = build::slice_axis(b, shape, 0, 0, others.len() as i64)?;
    let ones = constant(b, Tensor::from_i64s([1, 1]))?;
    let shape = build::concat(b, &[batch, ones], 0)?;
    b.one(&t::DynBroadcast, &[x, shape], &[])
}
