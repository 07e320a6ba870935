//! Finding elements: how many there are is known only from their values.

use crate::core::{Cost, Dim, Elem, EvalCx, OpDef, OpInfo, OpResult, OpView, Tensor, Type};
use crate::dialects::tensor::shapes;
use crate::op;

op! {
    /// The coordinates of the elements of `x` that are not zero, in row-major order: row `i` holds
    /// those along axis `i`. A NaN is not zero; a scalar has no coordinates, but a place.
    "tensor.non_zero" => NonZero {
        operands: [x: TENSOR],
        results: [places],
        traits: [Pure],
    }
}

impl OpDef for NonZero {
    fn info(&self) -> &'static OpInfo {
        &NonZero::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        let rank = op.operand_tensor(0).rank();
        shapes::one(Elem::I64, [Dim::Known(rank as u64), Dim::Unknown])
    }
    fn eval(&self, _: OpView<'_>, x: &[Tensor], _: &mut EvalCx<'_>) -> OpResult<Vec<Tensor>> {
        Ok(vec![coordinates(&x[0])])
    }
    fn cost(&self, op: OpView<'_>) -> Cost {
        Cost::of(op, op.operand_elements(0))
    }
}

fn coordinates(x: &Tensor) -> Tensor {
    let nums = x.nums().into_iter().enumerate();
    let found: Vec<usize> = nums
        .filter(|(_, num)| num.as_f64() != 0.0)
        .map(|(place, _)| place)
        .collect();
    let mut rows = Vec::with_capacity(x.rank() * found.len());
    let mut stride = x.len();
    for &extent in x.shape() {
        // Without an element there is no place to divide.
        stride /= extent.max(1);
        rows.extend(found.iter().map(|place| (place / stride % extent) as i64));
    }
    Tensor::from_vec(Elem::I64, [x.rank(), found.len()], rows)
}

pub(super) const OPS: &[&dyn OpDef] = &[&NonZero];
