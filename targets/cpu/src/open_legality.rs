//! What the target takes of ops whose extents are known only at run time.

use lepid_ir::core::{Elem, OpView};
use lepid_ir::dialects::nn;
use lepid_passes::transform::lower::nn_to_kernel::is_constant_expression;
use lepid_passes::transform::memory_plan::is_open;
use lepid_target_api::Legality;

use crate::codegen::open::OpenTask;

/// `None`: as for known extents.
pub(crate) fn legality(op: OpView<'_>) -> Option<Legality> {
    let name = op.name();
    let known = |i: usize| !is_open(op.module, op.operand(i));
    match name {
        "tensor.dim" | "tensor.dyn_reshape" | "tensor.reshape" => Some(Legality::Native),
        _ if OpenTask::serves(name) => Some(Legality::Native),
        "kernel.linear" if known(1) => Some(Legality::Native),
        "kernel.matmul" if known(1) && op.operand_tensor(0).rank() == 2 => Some(Legality::Native),
        _ if name.starts_with("kernel.") => Some(Legality::Unsupported(
            "its extents must be known before it runs".into(),
        )),
        "nn.linear" | "nn.matmul" => Some(match is_plain_product(op) {
            true => Legality::Native,
            false => Legality::Expand,
        }),
        "nn.softmax" | "nn.log_softmax" | "nn.lrn" => rows(op, op.operand_tensor(0).rank() - 1),
        "nn.layer_norm" | "nn.rms_norm" => rows(op, nn::LayerNorm::axis(op) as usize),
        "nn.attention" | "nn.max_pool" | "nn.avg_pool" | "nn.conv" | "nn.lstm" | "nn.gru" => {
            Some(Legality::Expand)
        }
        _ => None,
    }
}

/// Whether the right side of a product is a matrix of weights.
fn is_plain_product(op: OpView<'_>) -> bool {
    let operands = op.operands().iter();
    operands
        .map(|&v| op.module.value_type(v).elem())
        .all(|elem| elem == Some(Elem::F32))
        && op.operand_tensor(1).rank() == 2
        && is_constant_expression(op.module, op.operand(1))
}

/// A kernel of whole rows needs to know how long they are, not how many.
fn rows(op: OpView<'_>, axis: usize) -> Option<Legality> {
    let inner = op.operand_dims(0).get(axis..).unwrap_or_default();
    match inner.iter().all(|d| d.known().is_some()) {
        true => None,
        false => Some(Legality::Expand),
    }
}
