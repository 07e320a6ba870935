//! Scaled dot-product attention.

use crate::core::{Cost, OpDef, OpInfo, OpResult, OpView, TensorType, Type};
use crate::op;

use super::rules::{at_most, ensure, join, one, operand_types, same_elem};

op! {
    /// `softmax(scale · q · kᵀ + mask) · v` per batch and head; `scale` is `1 / √D` if not given.
    ///
    /// `q` is batch, head, query, D; `k` batch, head, key, D; `v` batch, head, key, E. The mask is
    /// batch, head, query, key; an extent of 1 repeats. With `causal`, query `i` sees the keys
    /// `j <= i + offset` only.
    "nn.attention" => Attention {
        operands: [q: FLOAT_TENSOR, k: FLOAT_TENSOR, v: FLOAT_TENSOR; mask: FLOAT_TENSOR],
        attributes: [scale: OptFloat = crate::core::Attr::Absent, causal: Bool = false, offset: Int = 0],
        results: [y],
        traits: [Pure],
    }
}

impl OpDef for Attention {
    fn info(&self) -> &'static OpInfo {
        &Attention::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        one(attention_type(op, &operand_types(op))?)
    }
    fn cost(&self, op: OpView<'_>) -> Cost {
        let known = |operand: usize, axis: usize| {
            op.operand_dims(operand)[axis].known().unwrap_or(1) as f64
        };
        let scores = op.operand_elements(0) / known(0, 3) * known(1, 2);
        Cost::of(op, scores * (2.0 * known(0, 3) + 2.0 * known(2, 3) + 5.0))
    }
}

fn attention_type(op: OpView<'_>, x: &[TensorType]) -> OpResult<TensorType> {
    at_most(op, 1)?;
    same_elem(op, x)?;
    for ty in x {
        ensure!(
            ty.rank() == 4,
            "operands must have rank 4 (batch, head, position, feature), found {}",
            ty.rank()
        );
    }
    let (q, k, v) = (&x[0].dims, &x[1].dims, &x[2].dims);
    let batch = join(
        join(q[0], k[0], "batches of `q` and `k`")?,
        v[0],
        "batches of `q` and `v`",
    )?;
    let heads = join(
        join(q[1], k[1], "heads of `q` and `k`")?,
        v[1],
        "heads of `q` and `v`",
    )?;
    let keys = join(k[2], v[2], "keys of `k` and `v`")?;
    join(q[3], k[3], "features of `q` and `k`")?;
    if let Some(mask) = x.get(3) {
        for (&m, full) in mask.dims.iter().zip([batch, heads, q[2], keys]) {
            if m.known() != Some(1) {
                join(full, m, "extents of the scores and of `mask`")?;
            }
        }
    }
    let offset = Attention::offset(op);
    ensure!(
        (0..=i64::from(i32::MAX)).contains(&offset),
        "`offset` must not be negative, found {offset}"
    );
    Ok(TensorType::new(x[0].elem, [batch, heads, q[2], v[3]]))
}
