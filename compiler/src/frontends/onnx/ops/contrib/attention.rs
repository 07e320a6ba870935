//! Attention of as many heads of keys as of queries, with what its inputs are projected from.

use lepid_ir::core::{Attr, Dim, Elem, OpResult, Value};
use lepid_ir::dialects::nn;
use lepid_ir::dialects::tensor::{self, build};

use super::super::attention::{join_heads, split_into};
use super::super::matmul::product;
use super::super::{Row, row};
use super::low_bits::scaled_product;
use crate::frontends::onnx::cx::{Cx, invalid, unsupported};

type Values = OpResult<Vec<Value>>;

pub(in super::super) const ROWS: &[Row] = &[
    row("com.microsoft::Attention", 1, attention),
    row("com.microsoft::MultiHeadAttention", 1, multi_head_attention),
    row("com.microsoft::QAttention", 1, q_attention),
];

/// Queries, keys and values: batch, head, position, feature.
#[derive(Copy, Clone)]
pub(super) struct Heads {
    pub(super) q: Value,
    pub(super) k: Value,
    pub(super) v: Value,
}

/// The projections of one input, whose weights stand side by side.
fn attention(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let (x, weights) = (cx.input(0)?, cx.input(1)?);
    let mut projected = product(cx, x, weights)?;
    if let Some(bias) = cx.optional(2) {
        projected = cx.binary(&tensor::Add, projected, bias)?;
    }
    let inputs = Inputs {
        mask: cx.optional(3),
        past: cx.optional(4),
        bias: cx.optional(5),
    };
    self_attention(cx, projected, inputs)
}

/// As `Attention`, with quantised input and weights.
fn q_attention(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let factors = [cx.input(0)?, cx.input(1)?];
    let scales = [cx.input(3)?, cx.input(4)?];
    let zeros = [cx.optional(6), cx.optional(7)];
    let projected = scaled_product(cx, factors, scales, zeros)?;
    let bias = cx.input(2)?;
    let projected = cx.binary(&tensor::Add, projected, bias)?;
    let inputs = Inputs {
        mask: cx.optional(5),
        past: cx.optional(8),
        bias: None,
    };
    self_attention(cx, projected, inputs)
}

/// Where what may be left out is.
struct Inputs {
    mask: Option<Value>,
    past: Option<Value>,
    bias: Option<Value>,
}

fn self_attention(cx: &mut Cx<'_, '_, '_, '_>, projected: Value, inputs: Inputs) -> Values {
    if cx.flag("do_rotary")? || cx.flag("past_present_share_buffer")? {
        return Err(unsupported(
            "rotary positions and shared buffers are not supported here",
        ));
    }
    let number = heads_of(cx)?;
    let mut parts = Vec::new();
    let mut at = 0;
    for size in part_sizes(cx, projected)? {
        let part = build::slice_axis(cx.b, projected, 2, at, at + size)?;
        parts.push(split_into(cx, part, number)?);
        at += size;
    }
    let (mut k, mut v) = (parts[1], parts[2]);
    if let Some(past) = inputs.past {
        let mut halves = Vec::new();
        for i in 0..2 {
            let half = build::slice_axis(cx.b, past, 0, i, i + 1)?;
            halves.push(build::squeeze(cx.b, half, &[0])?);
        }
        k = build::concat(cx.b, &[halves[0], k], 2)?;
        v = build::concat(cx.b, &[halves[1], v], 2)?;
    }
    let heads = Heads { q: parts[0], k, v };
    let mut masks = Vec::new();
    if let Some(mask) = inputs.mask {
        masks.push(key_mask(cx, mask, heads)?);
    }
    if let Some(bias) = inputs.bias {
        masks.push(cx.lift_rank(bias, 4)?);
    }
    let mut values = vec![attend(cx, heads, &masks)?];
    if cx.wants(1) {
        let k = build::unsqueeze(cx.b, k, &[0])?;
        let v = build::unsqueeze(cx.b, v, &[0])?;
        values.push(build::concat(cx.b, &[k, v], 0)?);
    }
    Ok(values)
}

fn heads_of(cx: &Cx<'_, '_, '_, '_>) -> OpResult<i64> {
    cx.required("num_heads", cx.opt_int("num_heads")?)
}

/// How many features queries, keys and values have.
fn part_sizes(cx: &Cx<'_, '_, '_, '_>, projected: Value) -> OpResult<[i64; 3]> {
    let dims = cx.dims(projected)?;
    let [_, _, Dim::Known(all)] = dims[..] else {
        return Err(invalid(
            "the input must have three axes, and the weights a known extent",
        ));
    };
    let stated = cx.ints("qkv_hidden_sizes")?.filter(|s| !s.is_empty());
    let sizes = match stated.as_deref() {
        Some(&[q, k, v]) => [q, k, v],
        Some(_) => return Err(invalid("attribute `qkv_hidden_sizes` needs three entries")),
        None => [all as i64 / 3; 3],
    };
    let total = sizes.iter().try_fold(0i64, |sum, &n| sum.checked_add(n));
    match total == Some(all as i64) && sizes.iter().all(|&n| n > 0) {
        true => Ok(sizes),
        false => Err(invalid(format!(
            "{all} features do not split into queries, keys and values"
        ))),
    }
}

fn multi_head_attention(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    if cx.optional(8).is_some() || cx.optional(9).is_some() {
        return Err(unsupported("shared buffers of the past are not supported"));
    }
    let Heads { q, mut k, mut v } = given_heads(cx)?;
    if let (Some(past_k), Some(past_v)) = (cx.optional(6), cx.optional(7)) {
        k = build::concat(cx.b, &[past_k, k], 2)?;
        v = build::concat(cx.b, &[past_v, v], 2)?;
    }
    let heads = Heads { q, k, v };
    let mut masks = Vec::new();
    if let Some(mask) = cx.optional(4) {
        masks.push(key_mask(cx, mask, heads)?);
    }
    if let Some(bias) = cx.optional(5) {
        masks.push(cx.lift_rank(bias, 4)?);
    }
    Ok(vec![attend(cx, heads, &masks)?, k, v])
}

/// Queries, keys and values as they are given: apart, keys and values together, all together, or
/// keys and values with an axis of heads.
fn given_heads(cx: &mut Cx<'_, '_, '_, '_>) -> OpResult<Heads> {
    let number = heads_of(cx)?;
    let query = cx.input(0)?;
    let mut bias = biases(cx)?;
    if cx.rank(query)? == 5 {
        let parts = packed(cx, query, 3)?;
        let mut given = [parts[0], parts[1], parts[2]];
        for (part, bias) in given.iter_mut().zip(&bias) {
            *part = with_bias_of_heads(cx, *part, *bias)?;
        }
        let [q, k, v] = given;
        return Ok(Heads { q, k, v });
    }
    let key = cx.input(1)?;
    let mut project = |cx: &mut Cx<'_, '_, '_, '_>, x: Value, which: usize| {
        let x = match bias[which].take() {
            Some(bias) => cx.binary(&tensor::Add, x, bias)?,
            None => x,
        };
        split_into(cx, x, number)
    };
    let q = project(cx, query, 0)?;
    let (k, v) = match cx.rank(key)? {
        5 => {
            let parts = packed(cx, key, 2)?;
            (
                with_bias_of_heads(cx, parts[0], bias[1])?,
                with_bias_of_heads(cx, parts[1], bias[2])?,
            )
        }
        4 => (key, cx.input(2)?),
        _ => {
            let value = cx.input(2)?;
            (project(cx, key, 1)?, project(cx, value, 2)?)
        }
    };
    Ok(Heads { q, k, v })
}

/// The parts of the bias, one after another: for queries, keys and values.
fn biases(cx: &mut Cx<'_, '_, '_, '_>) -> OpResult<[Option<Value>; 3]> {
    let Some(bias) = cx.optional(3) else {
        return Ok([None; 3]);
    };
    let query = cx.input(0)?;
    let features = match cx.dims(query)?[..] {
        [_, _, features] => features,
        [_, _, heads, _, features] => heads.times(features),
        _ => return Err(invalid("the queries must have three or five axes")),
    };
    let Some(n) = features.known() else {
        return Err(unsupported("the number of features is open"));
    };
    let n = n as i64;
    let mut part = |from: i64, to: i64| build::slice_axis(cx.b, bias, 0, from, to).map(Some);
    Ok([part(0, n)?, part(n, 2 * n)?, part(2 * n, tensor::END)?])
}

/// Batch, position, head, part, feature as one value for each part.
fn packed(cx: &mut Cx<'_, '_, '_, '_>, x: Value, count: i64) -> OpResult<Vec<Value>> {
    if cx.dims(x)?[3] != Dim::Known(count as u64) {
        return Err(invalid(format!("axis 3 must have {count} parts")));
    }
    (0..count)
        .map(|i| {
            let part = build::slice_axis(cx.b, x, 3, i, i + 1)?;
            let part = build::squeeze(cx.b, part, &[3])?;
            cx.transpose(part, &[0, 2, 1, 3])
        })
        .collect()
}

/// Adds a bias whose features are heads after heads.
fn with_bias_of_heads(
    cx: &mut Cx<'_, '_, '_, '_>,
    x: Value,
    bias: Option<Value>,
) -> OpResult<Value> {
    let Some(bias) = bias else {
        return Ok(x);
    };
    let dims = cx.dims(x)?;
    let bias = cx.reshape(bias, &[dims[1], Dim::Known(1), dims[3]])?;
    cx.binary(&tensor::Add, x, bias)
}

/// What is added to the scores of keys that a mask leaves out. The mask holds the keys to see, for
/// each batch or also for each query; or how many there are in each batch; or where they end, and
/// then where they start.
fn key_mask(cx: &mut Cx<'_, '_, '_, '_>, mask: Value, heads: Heads) -> OpResult<Value> {
    let batch = cx.dims(heads.q)?[0];
    let dims = cx.dims(mask)?;
    let seen = match (dims.as_slice(), batch) {
        ([n], batch) if *n == batch => before(cx, mask, heads.k)?,
        ([Dim::Known(n)], Dim::Known(batch)) if *n == 2 * batch => {
            let ends = build::slice_axis(cx.b, mask, 0, 0, batch as i64)?;
            let starts = build::slice_axis(cx.b, mask, 0, batch as i64, tensor::END)?;
            let seen = before(cx, ends, heads.k)?;
            let early = before(cx, starts, heads.k)?;
            let late = cx.op(&tensor::Not, &[early], &[])?;
            cx.op(&tensor::And, &[seen, late], &[])?
        }
        ([_], _) => return Err(unsupported("masks of packed sequences are not supported")),
        ([_, _], _) => {
            let seen = nonzero(cx, mask)?;
            build::unsqueeze(cx.b, seen, &[1, 2])?
        }
        ([_, _, _], _) => {
            let seen = nonzero(cx, mask)?;
            build::unsqueeze(cx.b, seen, &[1])?
        }
        ([_, _, _, _], _) => {
            let (queries, keys) = (cx.dims(heads.q)?[2], cx.dims(heads.k)?[2]);
            let (Dim::Known(queries), Dim::Known(keys)) = (queries, keys) else {
                return Err(unsupported("a mask of all positions needs fixed extents"));
            };
            let (queries, keys) = (queries as i64, keys as i64);
            let rows = build::slice_axis(cx.b, mask, 2, keys - queries, keys)?;
            let mask = build::slice_axis(cx.b, rows, 3, 0, keys)?;
            nonzero(cx, mask)?
        }
        _ => return Err(invalid("the mask has no or too many axes")),
    };
    let elem = cx.elem(heads.q)?;
    let filter = cx.float("mask_filter_value", -10000.0)?;
    let filter = cx.number(elem, filter)?;
    let zero = cx.number(elem, 0.0)?;
    cx.select(seen, zero, filter)
}

fn nonzero(cx: &mut Cx<'_, '_, '_, '_>, x: Value) -> OpResult<Value> {
    let zero = cx.number(cx.elem(x)?, 0.0)?;
    cx.compare("ne", x, zero)
}

/// Which keys come before a place in their batch: batch, 1, 1, key.
fn before(cx: &mut Cx<'_, '_, '_, '_>, ends: Value, keys: Value) -> OpResult<Value> {
    let ends = cx.cast(ends, Elem::I64)?;
    let ends = build::unsqueeze(cx.b, ends, &[1, 2, 3])?;
    let places = cx.places(keys, 2)?;
    cx.compare("lt", places, ends)
}

/// The weighted values, with the heads joined. Masks are added to the scores.
fn attend(cx: &mut Cx<'_, '_, '_, '_>, heads: Heads, masks: &[Value]) -> OpResult<Value> {
    let Heads { q, k, v } = heads;
    let mut operands = vec![q, k, v];
    let mut attrs: Vec<(&str, Attr)> = vec![("scale", scale(cx, q)?.into())];
    let mut mask: Option<Value> = None;
    let later = match (cx.flag("unidirectional")?, cx.dims(q)?[2], cx.dims(k)?[2]) {
        (false, _, _) => None,
        (true, Dim::Known(queries), Dim::Known(keys)) if queries <= keys => {
            attrs.push(("causal", true.into()));
            attrs.push(("offset", Attr::Int((keys - queries) as i64)));
            None
        }
        (true, _, _) => Some(later_keys(cx, heads)?),
    };
    for &next in masks.iter().chain(&later) {
        mask = Some(match mask {
            Some(mask) => cx.binary(&tensor::Add, mask, next)?,
            None => next,
        });
    }
    operands.extend(mask);
    let y = cx.op(&nn::Attention, &operands, &attrs)?;
    join_heads(cx, y)
}

/// The factor of the scores.
pub(super) fn scale(cx: &Cx<'_, '_, '_, '_>, q: Value) -> OpResult<f64> {
    match (cx.float("scale", 0.0)?, cx.dims(q)?[3].known()) {
        (scale, _) if scale != 0.0 => Ok(scale),
        (_, Some(features)) => Ok(1.0 / (features as f64).sqrt()),
        (_, None) => Err(unsupported("the number of features is open")),
    }
}

/// What is added to the scores of keys that come after their query.
fn later_keys(cx: &mut Cx<'_, '_, '_, '_>, heads: Heads) -> OpResult<Value> {
    let queries = build::dim(cx.b, heads.q, 2)?;
    let keys = build::dim(cx.b, heads.k, 2)?;
    let past = cx.binary(&tensor::Sub, keys, queries)?;
    let places = cx.places(heads.q, 2)?;
    let last = cx.binary(&tensor::Add, places, past)?;
    let last = build::unsqueeze(cx.b, last, &[1])?;
    let keys = cx.places(heads.k, 2)?;
    let seen = cx.compare("le", keys, last)?;
    let elem = cx.elem(heads.q)?;
    let zero = cx.number(elem, 0.0)?;
    let never = cx.number(elem, f64::NEG_INFINITY)?;
    let mask = cx.select(seen, zero, never)?;
    build::unsqueeze(cx.b, mask, &[0, 1])
}
