//! Products of matrices.

use crate::core::{Cost, Dim, OpDef, OpInfo, OpResult, OpView, TensorType, Type};
use crate::op;

use super::rules::{at_most, ensure, has_dims, join, one, operand_types, same_elem};

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
    fn cost(&self, op: OpView<'_>) -> Cost {
        let depth = op.operand_dims(1)[0].known().unwrap_or(1);
        Cost::per_element(op, depth.saturating_mul(2))
    }
}

fn linear_type(op: OpView<'_>, x: &[TensorType]) -> OpResult<TensorType> {
    at_most(op, 1)?;
    same_elem(op, x)?;
    ensure!(x[0].rank() >= 1, "`x` must have an axis");
    ensure!(
        x[1].rank() == 2,
        "`w` must have rank 2, found {}",
        x[1].rank()
    );
    let mut dims = x[0].dims.clone();
    let last = dims.len() - 1;
    join(dims[last], x[1].dims[0], "inner extents of `x` and `w`")?;
    dims[last] = x[1].dims[1];
    if let Some(bias) = x.get(2) {
        has_dims(bias, &x[1].dims[1..], "bias")?;
        dims[last] = join(dims[last], bias.dims[0], "bias")?;
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
    same_elem(op, x)?;
    for (ty, info) in x.iter().zip(op.info().operands) {
        ensure!(
            ty.rank() >= 2,
            "`{}` must have rank 2 or more, found {}",
            info.name,
            ty.rank()
        );
    }
    let (rows, columns) = (x[0].rank() - 2, x[1].rank() - 2);
    join(x[0].dims[rows + 1], x[1].dims[columns], "inner extents")?;
    let mut dims = broadcast(&x[0].dims[..rows], &x[1].dims[..columns])?;
    dims.push(x[0].dims[rows]);
    dims.push(x[1].dims[columns + 1]);
    Ok(TensorType::new(x[0].elem, dims))
}

/// Extents of two operands that broadcast against each other, aligned at the end.
pub(super) fn broadcast(a: &[Dim], b: &[Dim]) -> OpResult<Vec<Dim>> {
    let rank = a.len().max(b.len());
    let at = |dims: &[Dim], i: usize| match (i + dims.len()).checked_sub(rank) {
        Some(i) => dims[i],
        None => Dim::Known(1),
    };
    let pairs = (0..rank).map(|i| (at(a, i), at(b, i)));
    pairs
        .map(|pair| match pair {
            (Dim::Known(1), d) | (d, Dim::Known(1)) => Ok(d),
            (Dim::Known(n), d) | (d, Dim::Known(n)) => join(Dim::Known(n), d, "batch extents"),
            (a, b) if a == b => Ok(a),
            // Either may turn out to be 1.
            _ => Ok(Dim::Unknown),
        })
        .collect()
}
