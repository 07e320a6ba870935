//! Softmax and its logarithm.

use crate::core::{Cost, OpDef, OpInfo, OpResult, OpView, Type};
use crate::op;

use super::rules::axis;

op! {
    /// `exp(x) / Σ exp(x)`, with the sum along `axis`.
    "nn.softmax" => Softmax {
        operands: [x: FLOAT_TENSOR],
        attributes: [axis: Int],
        results: [y],
        traits: [Pure],
    }
}

impl OpDef for Softmax {
    fn info(&self) -> &'static OpInfo {
        &Softmax::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        axis(Softmax::axis(op), op.operand_tensor(0).rank())?;
        Ok(vec![op.operand_type(0)])
    }
    fn cost(&self, op: OpView<'_>) -> Cost {
        Cost::per_element(op, 5)
    }
}

op! {
    /// `x - log Σ exp(x)`, with the sum along `axis`.
    "nn.log_softmax" => LogSoftmax {
        operands: [x: FLOAT_TENSOR],
        attributes: [axis: Int],
        results: [y],
        traits: [Pure],
    }
}

impl OpDef for LogSoftmax {
    fn info(&self) -> &'static OpInfo {
        &LogSoftmax::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        axis(LogSoftmax::axis(op), op.operand_tensor(0).rank())?;
        Ok(vec![op.operand_type(0)])
    }
    fn cost(&self, op: OpView<'_>) -> Cost {
        Cost::per_element(op, 5)
    }
}
