//! Scaled dot-product attention.

use crate::core::{
    Builder, Cost, Dim, EvalCx, Num, Op, OpDef, OpInfo, OpResult, OpView, Tensor, TensorType, Type,
    Value,
};
use crate::dialects::tensor::{self as t, build};
use crate::op;

use super::expand::{affine, expanded, places, with, with_num};
use super::product::{Extents, product};
use super::rules::{at_most, ensure, meet, one, operand_types, same_elem, shape_of, tensor_types};
use super::softmax::normalise;

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
    fn eval(&self, op: OpView<'_>, x: &[Tensor], _: &mut EvalCx<'_>) -> OpResult<Vec<Tensor>> {
        let shape = shape_of(&attention_type(op, &tensor_types(x))?)?;
        if shape.contains(&0) {
            return Ok(vec![Tensor::zeros(x[0].elem(), &shape)]);
        }
        let (queries, features) = (x[0].shape()[2], x[0].shape()[3]);
        let (keys, outputs) = (x[1].shape()[2], x[2].shape()[3]);
        let scale = Attention::scale(op).unwrap_or(1.0 / (features as f64).sqrt());
        let last_seen = |query: usize| match Attention::causal(op) {
            true => query.saturating_add(Attention::offset(op) as usize),
            false => usize::MAX,
        };
        let values: Vec<Vec<f64>> = x.iter().map(Tensor::to_f64s).collect();
        let mut y = Vec::with_capacity(shape.iter().product());
        for head in 0..shape[0] * shape[1] {
            let part = |i: usize, len: usize| &values[i][head * len..][..len];
            let (q, k) = (part(0, queries * features), part(1, keys * features));
            let v = part(2, keys * outputs);
            let extents = Extents {
                rows: queries,
                columns: keys,
                depth: features,
            };
            let mut scores = product(extents, q, &|c, run, out| {
                out.copy_from_slice(&k[c * features..][run]);
            });
            for (query, row) in scores.chunks_mut(keys.max(1)).enumerate() {
                for (key, score) in row.iter_mut().enumerate() {
                    let mask = match x.get(3) {
                        Some(mask) => {
                            let at = [head / shape[1], head % shape[1], query, key];
                            values[3][repeated_index(mask.shape(), at)]
                        }
                        None => 0.0,
                    };
                    *score = match key <= last_seen(query) {
                        true => *score * scale + mask,
                        false => f64::NEG_INFINITY,
                    };
                }
                normalise(row);
            }
            let extents = Extents {
                rows: queries,
                columns: outputs,
                depth: keys,
            };
            y.extend(product(extents, &scores, &|c, run, out| {
                for (out, key) in out.iter_mut().zip(run) {
                    *out = v[key * outputs + c];
                }
            }));
        }
        Ok(vec![Tensor::from_f64s(x[0].elem(), shape, y)])
    }
    fn decompose(&self, b: &mut Builder<'_>, op: Op) -> OpResult<Option<Vec<Value>>> {
        let view = b.view(op);
        let operands = view.operands().to_vec();
        let (scale, features) = (Attention::scale(view), view.operand_dims(0)[3]);
        let causal = Attention::causal(view).then(|| Attention::offset(view));
        let pairs = build::Pairs {
            batch: &[(0, 0), (1, 1)],
            contract: &[(3, 3)],
            to: None,
        };
        let mut scores = build::contract(b, operands[0], operands[1], pairs)?;
        scores = match (scale, features) {
            (Some(scale), _) => affine(b, scores, scale, 0.0)?,
            (None, Dim::Known(n)) => affine(b, scores, 1.0 / (n as f64).sqrt(), 0.0)?,
            (None, _) => {
                let count = build::count(b, operands[0], &[3])?;
                let factor = build::unary(b, &t::Rsqrt, count)?;
                with(b, &t::Mul, scores, factor)?
            }
        };
        if let Some(&mask) = operands.get(3) {
            scores = with(b, &t::Add, scores, mask)?;
        }
        if let Some(offset) = causal {
            scores = hide_later(b, scores, offset)?;
        }
        let weights = b.one(&super::Softmax, &[scores], &[("axis", 3.into())])?;
        let pairs = build::Pairs {
            batch: &[(0, 0), (1, 1)],
            contract: &[(3, 2)],
            to: None,
        };
        let y = build::contract(b, weights, operands[2], pairs)?;
        expanded(b, op, y)
    }
    fn cost(&self, op: OpView<'_>) -> Cost {
        let known = |operand: usize, axis: usize| {
            op.operand_dims(operand)[axis].known().unwrap_or(1) as f64
        };
        let scores = op.operand_elements(0) / known(0, 3) * known(1, 2);
        Cost::of(op, scores * (2.0 * known(0, 3) + 2.0 * known(2, 3) + 5.0))
    }
}

pub(crate) fn attention_type(op: OpView<'_>, x: &[TensorType]) -> OpResult<TensorType> {
    at_most(op, x.len(), 1)?;
    same_elem(op)?;
    for ty in x {
        ensure!(
            ty.rank() == 4,
            "operands must have rank 4 (batch, head, position, feature), found {}",
            ty.rank()
        );
    }
    let (q, k, v) = (&x[0].dims, &x[1].dims, &x[2].dims);
    let batch = meet(
        meet(q[0], k[0], "batches of `q` and `k`")?,
        v[0],
        "batches of `q` and `v`",
    )?;
    let heads = meet(
        meet(q[1], k[1], "heads of `q` and `k`")?,
        v[1],
        "heads of `q` and `v`",
    )?;
    let keys = meet(k[2], v[2], "keys of `k` and `v`")?;
    meet(q[3], k[3], "features of `q` and `k`")?;
    if let Some(mask) = x.get(3) {
        for (&m, full) in mask.dims.iter().zip([batch, heads, q[2], keys]) {
            if m.known() != Some(1) {
                meet(full, m, "extents of the scores and of `mask`")?;
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

/// The row-major index of a place in a tensor whose extents of 1 repeat.
fn repeated_index(shape: &[usize], at: [usize; 4]) -> usize {
    let axes = shape.iter().zip(at);
    axes.fold(0, |index, (&n, at)| index * n + at.min(n - 1))
}

/// Replaces the scores of keys that come later than the query by -∞.
fn hide_later(b: &mut Builder<'_>, scores: Value, offset: i64) -> OpResult<Value> {
    let queries = places(b, scores, 2)?;
    let last_seen = with_num(b, &t::Add, queries, Num::Int(offset.into()))?;
    let keys = places(b, scores, 3)?;
    let last_seen = build::unsqueeze(b, last_seen, &[1])?;
    let hidden = build::compare(b, "gt", keys, last_seen)?;
    let hidden = build::broadcast_like(b, hidden, scores)?;
    let least = build::splat_like(b, scores, f64::NEG_INFINITY)?;
    b.one(&t::Select, &[hidden, least, scores], &[])
}
