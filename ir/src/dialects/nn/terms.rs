//! Products of matrices that are stored as sums of pruned outer products.

use crate::core::{
    Builder, Cost, EvalCx, Op, OpDef, OpInfo, OpResult, OpView, Tensor, TensorType, Type, Value,
};
use crate::dialects::tensor::{self as t, build};
use crate::op;

use super::rules::{ensure, one, operand_types, tensor_types};

op! {
    /// Adds some terms of several products of matrices with one vector:
    /// `sum[g, r] + Σₙ left[step, n, g, r] · Σₖ right[step, n, g, k] · z[columns[step, n, g, k]]`.
    ///
    /// `sum` is matrices, rows; `z` a vector; `left` steps, terms, matrices, rows; `right` and
    /// `columns` steps, terms, matrices, kept columns. `step` is a scalar. In the place of a step or
    /// a column that there is not stands the nearest.
    "nn.add_terms" => AddTerms {
        operands: [sum: FLOAT_TENSOR, z: FLOAT_TENSOR, left: FLOAT_TENSOR, right: FLOAT_TENSOR, columns: INT_TENSOR, step: INT_TENSOR],
        results: [y],
        traits: [Pure],
    }
}

impl OpDef for AddTerms {
    fn info(&self) -> &'static OpInfo {
        &AddTerms::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        let types = operand_types(op);
        check(&types)?;
        one(types[0].clone())
    }
    fn eval(&self, _: OpView<'_>, x: &[Tensor], _: &mut EvalCx<'_>) -> OpResult<Vec<Tensor>> {
        check(&tensor_types(x))?;
        let (shape, keep) = (x[2].shape().to_vec(), x[3].shape()[3]);
        let (steps, terms, matrices, rows) = (shape[0], shape[1], shape[2], shape[3]);
        let [mut sum, z, left, right] = [0, 1, 2, 3].map(|i| x[i].to_f64s());
        let columns = x[4].to_i64s();
        ensure!(steps > 0 && !z.is_empty(), "there are no steps or columns");
        let last = z.len() as i64 - 1;
        let step = x[5].to_i64s()[0].clamp(0, steps as i64 - 1) as usize;
        for n in 0..terms {
            for g in 0..matrices {
                let at = (step * terms + n) * matrices + g;
                let mut product = 0.0;
                for k in at * keep..(at + 1) * keep {
                    product += right[k] * z[columns[k].clamp(0, last) as usize];
                }
                for r in 0..rows {
                    sum[g * rows + r] += left[at * rows + r] * product;
                }
            }
        }
        Ok(vec![Tensor::from_f64s(x[0].elem(), [matrices, rows], sum)])
    }
    fn decompose(&self, b: &mut Builder<'_>, op: Op) -> OpResult<Option<Vec<Value>>> {
        let &[sum, z, left, right, columns, step] = b.view(op).operands() else {
            return Ok(None);
        };
        // A step beyond the last one would read elsewhere than the nearest.
        let steps = build::dim(b, left, 0)?;
        let one = build::scalar(b, crate::core::Elem::I64, 1.0)?;
        let last = build::binary(b, &t::Sub, steps, one)?;
        let step = build::cast(b, step, crate::core::Elem::I64)?;
        let step = build::binary(b, &t::Min, step, last)?;
        let zero = build::scalar(b, crate::core::Elem::I64, 0.0)?;
        let step = build::binary(b, &t::Max, step, zero)?;
        let at = |b: &mut Builder<'_>, table: Value| build::gather(b, table, step, 0);
        let (left, right, columns) = (at(b, left)?, at(b, right)?, at(b, columns)?);
        let columns = build::cast(b, columns, crate::core::Elem::I64)?;
        let read = build::gather(b, z, columns, 0)?;
        let products = build::binary(b, &t::Mul, right, read)?;
        let products = build::reduce(b, products, "sum", &[2])?;
        let products = build::unsqueeze(b, products, &[2])?;
        let spread = build::dims(b, left);
        let products = build::broadcast_to(b, products, &spread)?;
        let more = build::binary(b, &t::Mul, left, products)?;
        let more = build::reduce(b, more, "sum", &[0])?;
        let sum = build::binary(b, &t::Add, sum, more)?;
        Ok(Some(vec![sum]))
    }
    fn cost(&self, op: OpView<'_>) -> Cost {
        // One of the steps.
        let steps = op.operand_dims(2)[0].known().unwrap_or(1).max(1) as f64;
        let terms = (op.operand_elements(2) + op.operand_elements(3)) / steps;
        Cost {
            flops: 2.0 * terms,
            bytes: 8.0 * terms,
        }
    }
}

fn check(types: &[TensorType]) -> OpResult<()> {
    let ranks = [2, 1, 4, 4, 4, 0];
    for (number, (ty, rank)) in types.iter().zip(ranks).enumerate() {
        ensure!(
            ty.rank() == rank,
            "operand {number} must have rank {rank}, found `{ty}`"
        );
    }
    let (sum, left, right, columns) = (&types[0], &types[2], &types[3], &types[4]);
    ensure!(
        types[..4].iter().all(|ty| ty.elem == sum.elem),
        "`sum`, `z`, `left` and `right` must have one element type"
    );
    ensure!(
        left.dims[2..] == sum.dims[..],
        "`left` is `{left}`, but the sums are `{sum}`"
    );
    ensure!(
        right.dims[..3] == left.dims[..3] && columns.dims == right.dims,
        "`left`, `right` and `columns` must be of the same steps, terms and matrices"
    );
    Ok(())
}
