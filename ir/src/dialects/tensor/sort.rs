//! Sorting along an axis.

use crate::core::{
    Cost, Dim, Elem, EvalCx, OpDef, OpError, OpInfo, OpResult, OpView, Tensor, Type,
};
use crate::dialects::tensor::{lookup, shapes};
use crate::op;

op! {
    /// The elements along `axis` in order, and the indices that they come from. Equals keep their
    /// order; NaN counts as the greatest.
    "tensor.sort" => Sort {
        operands: [x: TENSOR],
        attributes: [axis: Int, descending: Bool = false],
        results: [values, indices],
        traits: [Pure],
    }
}

impl OpDef for Sort {
    fn info(&self) -> &'static OpInfo {
        &Sort::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        let x = op.operand_tensor(0);
        shapes::axis("axis", Sort::axis(op), x.rank())?;
        Ok(vec![op.operand_type(0), x.with_elem(Elem::I64).into()])
    }
    fn eval(&self, op: OpView<'_>, x: &[Tensor], _: &mut EvalCx<'_>) -> OpResult<Vec<Tensor>> {
        let axis = shapes::axis("axis", Sort::axis(op), x[0].rank())?;
        let count = x[0].shape()[axis];
        lookup::sort(&x[0], axis, count, Sort::descending(op))
    }
    fn cost(&self, op: OpView<'_>) -> Cost {
        sort_cost(op)
    }
}

op! {
    /// The `k` greatest elements along `axis` (the smallest without `largest`) in order, and the
    /// indices that they come from. Of equals the lower index comes first; NaN counts as the
    /// greatest.
    "tensor.top_k" => TopK {
        operands: [x: TENSOR],
        attributes: [k: Int, axis: Int, largest: Bool = true],
        results: [values, indices],
        traits: [Pure],
    }
}

impl OpDef for TopK {
    fn info(&self) -> &'static OpInfo {
        &TopK::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        let mut x = op.operand_tensor(0).clone();
        let axis = shapes::axis("axis", TopK::axis(op), x.rank())?;
        let n = x.dims[axis].known().unwrap_or(u64::MAX);
        let k = match u64::try_from(TopK::k(op)) {
            Ok(k) if k <= n => k,
            _ => {
                return Err(OpError::new(format!(
                    "`k` is {}, but the axis has the extent {}",
                    TopK::k(op),
                    x.dims[axis]
                )));
            }
        };
        x.dims[axis] = Dim::Known(k);
        let indices = x.with_elem(Elem::I64);
        Ok(vec![x.into(), indices.into()])
    }
    fn eval(&self, op: OpView<'_>, x: &[Tensor], _: &mut EvalCx<'_>) -> OpResult<Vec<Tensor>> {
        let axis = shapes::axis("axis", TopK::axis(op), x[0].rank())?;
        lookup::sort(&x[0], axis, TopK::k(op) as usize, TopK::largest(op))
    }
    fn cost(&self, op: OpView<'_>) -> Cost {
        sort_cost(op)
    }
}

fn sort_cost(op: OpView<'_>) -> Cost {
    let n = op.operand_elements(0);
    Cost::of(op, n * n.max(2.0).log2())
}

pub(super) const OPS: &[&dyn OpDef] = &[&Sort, &TopK];
