//! The general dot product.

use crate::core::{
    Attr, Cost, Dim, Elem, EvalCx, OpDef, OpError, OpInfo, OpResult, OpView, Tensor, Type,
};
use crate::dialects::tensor::{fold, shapes};
use crate::op;

op! {
    /// Sums products over the contracted axes: `z[batch, i, j] = sum_k x[batch, i, k] y[batch, j, k]`,
    /// where each letter is a list of axes. Axis `batch_x[n]` of `x` goes with axis `batch_y[n]` of
    /// `y`, and `contract_x[n]` with `contract_y[n]`; the other axes stay in their order. With `to`
    /// the products are summed in that element type, which the operands' may then differ from.
    "tensor.contract" => Contract {
        operands: [x: NUM_TENSOR, y: NUM_TENSOR],
        attributes: [batch_x: Ints, batch_y: Ints, contract_x: Ints, contract_y: Ints, to: OptElem = Attr::Absent],
        results: [z],
        traits: [Pure],
    }
}

/// The axes of a contraction, by role, as indices into the operands' axes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ContractAxes {
    pub batch_x: Vec<usize>,
    pub batch_y: Vec<usize>,
    pub contract_x: Vec<usize>,
    pub contract_y: Vec<usize>,
    /// Axes of `x` that stay.
    pub free_x: Vec<usize>,
    /// Axes of `y` that stay.
    pub free_y: Vec<usize>,
}

impl ContractAxes {
    /// Reads and checks the attributes.
    pub fn of(op: OpView<'_>) -> OpResult<ContractAxes> {
        let ranks = [op.operand_tensor(0).rank(), op.operand_tensor(1).rank()];
        let batch_x = shapes::axes("batch_x", &Contract::batch_x(op), ranks[0])?;
        let batch_y = shapes::axes("batch_y", &Contract::batch_y(op), ranks[1])?;
        let contract_x = shapes::axes("contract_x", &Contract::contract_x(op), ranks[0])?;
        let contract_y = shapes::axes("contract_y", &Contract::contract_y(op), ranks[1])?;
        shapes::length("batch_y", batch_y.len(), batch_x.len())?;
        shapes::length("contract_y", contract_y.len(), contract_x.len())?;
        for (batch, contract) in [(&batch_x, &contract_x), (&batch_y, &contract_y)] {
            if let Some(axis) = batch.iter().find(|a| contract.contains(a)) {
                return Err(OpError::new(format!(
                    "axis {axis} is both a batch axis and contracted"
                )));
            }
        }
        let free = |rank: usize, batch: &[usize], contract: &[usize]| {
            (0..rank)
                .filter(|a| !batch.contains(a) && !contract.contains(a))
                .collect()
        };
        Ok(ContractAxes {
            free_x: free(ranks[0], &batch_x, &contract_x),
            free_y: free(ranks[1], &batch_y, &contract_y),
            batch_x,
            batch_y,
            contract_x,
            contract_y,
        })
    }
}

impl OpDef for Contract {
    fn info(&self) -> &'static OpInfo {
        &Contract::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        let (x, y) = (op.operand_tensor(0), op.operand_tensor(1));
        let elem = result_elem(x.elem, y.elem, Contract::to(op))?;
        let axes = ContractAxes::of(op)?;
        let meet = |a: &[usize], b: &[usize]| -> OpResult<Vec<Dim>> {
            let pairs = a.iter().zip(b);
            pairs
                .map(|(&a, &b)| shapes::meet(x.dims[a], y.dims[b]))
                .collect()
        };
        meet(&axes.contract_x, &axes.contract_y)?;
        let mut dims = meet(&axes.batch_x, &axes.batch_y)?;
        dims.extend(axes.free_x.iter().map(|&a| x.dims[a]));
        dims.extend(axes.free_y.iter().map(|&a| y.dims[a]));
        shapes::one(elem, dims)
    }
    fn eval(&self, op: OpView<'_>, x: &[Tensor], _: &mut EvalCx<'_>) -> OpResult<Vec<Tensor>> {
        let elem = result_elem(x[0].elem(), x[1].elem(), Contract::to(op))?;
        let axes = ContractAxes::of(op)?;
        Ok(vec![fold::contract(&x[0], &x[1], &axes, elem)?])
    }
    fn cost(&self, op: OpView<'_>) -> Cost {
        let terms: f64 = Contract::contract_x(op)
            .iter()
            .filter_map(|&a| op.operand_dims(0).get(usize::try_from(a).ok()?)?.known())
            .map(|n| n as f64)
            .product();
        Cost::of(op, 2.0 * op.result_elements(0) * terms)
    }
}

fn result_elem(x: Elem, y: Elem, to: Option<Elem>) -> OpResult<Elem> {
    let floats = [x, y, to.unwrap_or(x)].map(Elem::is_float);
    match to {
        _ if floats[0] != floats[1] => Err(OpError::new(format!(
            "`{x}` and `{y}` cannot be multiplied: both must be floats or both integers"
        ))),
        None if x != y => Err(OpError::new(format!(
            "operands of `{x}` and `{y}` need the attribute `to`"
        ))),
        None => Ok(x),
        Some(Elem::Bool) => Err(OpError::new("`to` must be a type of numbers")),
        Some(to) if floats[2] != floats[0] => Err(OpError::new(format!(
            "products of `{x}` and `{y}` cannot be summed as `{to}`"
        ))),
        Some(to) => Ok(to),
    }
}

pub(super) const OPS: &[&dyn OpDef] = &[&Contract];
