//! Attention over a cache of keys and values, whose heads serve several heads of queries.

use lepid_ir::core::{Dim, Elem, OpResult, Value};
use lepid_ir::dialects::nn;
use lepid_ir::dialects::tensor::{self, build, extents::Entry};

use super::super::attention::{RotaryPairs, join_heads, repeat_heads, split_into};
use super::super::patch::picked;
use super::super::{Row, one, row};
use super::attention::{Heads, scale};
use crate::frontends::onnx::cx::{Cx, invalid, unsupported};

type Values = OpResult<Vec<Value>>;

pub(in super::super) const ROWS: &[Row] = &[
    row("com.microsoft::GroupQueryAttention", 1, grouped),
    row("com.microsoft::RotaryEmbedding", 1, rotary_embedding),
];

/// What of the operator is not read.
fn check(cx: &Cx<'_, '_, '_, '_>) -> OpResult<()> {
    let quantised = ["k_quant_type", "v_quant_type"]
        .iter()
        .map(|name| cx.string(name, "NONE"))
        .collect::<OpResult<Vec<String>>>()?;
    let refused = [
        (quantised.iter().any(|q| q != "NONE"), "a quantised cache"),
        (
            cx.flag("sliding_window_cache")?,
            "a cache of the window alone",
        ),
        (cx.int("qk_output", 0)? != 0, "the output of the scores"),
    ];
    match refused.iter().find(|(found, _)| *found) {
        None => Ok(()),
        Some((_, what)) => Err(unsupported(format!("{what} is not supported"))),
    }
}

fn grouped(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    check(cx)?;
    let Heads { mut q, mut k, v } = given_heads(cx)?;
    if let (Some(of_q), Some(of_k)) = (cx.optional(14), cx.optional(15)) {
        q = normed(cx, q, of_q, "q_norm_epsilon")?;
        k = normed(cx, k, of_k, "k_norm_epsilon")?;
    }
    let past = past_lengths(cx, q)?;
    let positions = positions(cx, q, past)?;
    if cx.flag("do_rotary")? {
        let angles = [cx.input(7)?, cx.input(8)?];
        let at = cx
            .optional(9)
            .map_or(Ok(positions), |p| cx.cast(p, Elem::I64))?;
        let interleaved = cx.flag("rotary_interleaved")?;
        q = turned(cx, q, at, angles, interleaved)?;
        k = turned(cx, k, at, angles, interleaved)?;
    }
    let (k, v) = cached(cx, Heads { q, k, v }, past)?;
    let count = cx.dims(q)?[1];
    let heads = Heads {
        q,
        k: repeat_heads(cx, k, count)?,
        v: repeat_heads(cx, v, count)?,
    };
    let y = attend(cx, heads, positions)?;
    Ok(vec![join_heads(cx, y)?, k, v])
}

/// Queries, keys and values: apart, or one after another in the features of the queries.
fn given_heads(cx: &mut Cx<'_, '_, '_, '_>) -> OpResult<Heads> {
    let heads = cx.required("num_heads", cx.opt_int("num_heads")?)?;
    let shared = cx.required("kv_num_heads", cx.opt_int("kv_num_heads")?)?;
    let query = cx.input(0)?;
    if let (Some(key), Some(value)) = (cx.optional(1), cx.optional(2)) {
        return Ok(Heads {
            q: split_into(cx, query, heads)?,
            k: split_into(cx, key, shared)?,
            v: split_into(cx, value, shared)?,
        });
    }
    let all = shared.checked_mul(2).and_then(|n| n.checked_add(heads));
    let (Some(all), true) = (all, heads > 0 && shared > 0) else {
        return Err(invalid("the numbers of heads are out of range"));
    };
    let packed = split_into(cx, query, all)?;
    let mut part = |from: i64, to: i64| build::slice_axis(cx.b, packed, 1, from, to);
    Ok(Heads {
        q: part(0, heads)?,
        k: part(heads, heads + shared)?,
        v: part(heads + shared, all)?,
    })
}

/// The features of each head over the root of the mean of their squares.
fn normed(cx: &mut Cx<'_, '_, '_, '_>, x: Value, scale: Value, own: &str) -> OpResult<Value> {
    let shared = cx.float("qk_norm_epsilon", 1e-6)?;
    let epsilon = cx.opt_float(own)?.unwrap_or(shared);
    let attrs = [("axis", 3.into()), ("epsilon", epsilon.into())];
    cx.op(&nn::RmsNorm, &[x, scale], &attrs)
}

/// How many tokens of each batch the cache held before: all of them, without the new ones.
fn past_lengths(cx: &mut Cx<'_, '_, '_, '_>, q: Value) -> OpResult<Value> {
    let last = cx.input(5)?;
    let last = cx.cast(last, Elem::I64)?;
    let last = cx.reshape(last, &[cx.dims(q)?[0]])?;
    let queries = match cx.optional(16) {
        // The rest of the queries is padding.
        Some(given) => cx.cast(given, Elem::I64)?,
        None => build::dim(cx.b, q, 2)?,
    };
    let one = cx.number(Elem::I64, 1.0)?;
    let total = cx.binary(&tensor::Add, last, one)?;
    let before = cx.binary(&tensor::Sub, total, queries)?;
    // A prompt that is shorter than the longest of its batch has nothing before it.
    let zero = cx.number(Elem::I64, 0.0)?;
    cx.binary(&tensor::Max, before, zero)
}

/// The place of each query in its batch.
fn positions(cx: &mut Cx<'_, '_, '_, '_>, q: Value, past: Value) -> OpResult<Value> {
    let places = cx.places(q, 2)?;
    let past = build::unsqueeze(cx.b, past, &[1])?;
    cx.binary(&tensor::Add, past, places)
}

/// The cache with the new keys and values in it.
fn cached(cx: &mut Cx<'_, '_, '_, '_>, heads: Heads, past: Value) -> OpResult<(Value, Value)> {
    let (Some(past_k), Some(past_v)) = (cx.optional(3), cx.optional(4)) else {
        return Ok((heads.k, heads.v));
    };
    let [_, _, room, _] = cx.dims(past_k)?[..] else {
        return Err(invalid("the cache must have four axes"));
    };
    if room == Dim::Known(0) {
        return Ok((heads.k, heads.v));
    }
    let total = cx.input(6)?;
    let total = cx.reshape(total, &[])?;
    let total = cx.cast(total, Elem::I64)?;
    let entry = cx.entries(total).and_then(|e| e.first().copied());
    let both = tensor::shapes::plus(room, cx.dims(heads.k)?[2]);
    // One batch has as many keys as the longest, so that nothing is left between old and new.
    let gapless = cx.optional(16).is_none()
        && cx.dims(heads.q)?[0] == Dim::Known(1)
        && both != Dim::Unknown
        && entry.is_some_and(|e| e == Entry::from(both));
    if gapless {
        let k = build::concat(cx.b, &[past_k, heads.k], 2)?;
        let v = build::concat(cx.b, &[past_v, heads.v], 2)?;
        return Ok((k, v));
    }
    let places = match (room, entry) {
        (Dim::Known(room), Some(Entry::Number(n))) => {
            let extent = Dim::Known(room.max(n.max(0) as u64));
            build::iota(cx.b, &[extent], 0, Elem::I64)?
        }
        _ => {
            let room = build::dim(cx.b, past_k, 2)?;
            let limit = cx.binary(&tensor::Max, room, total)?;
            let zero = cx.number(Elem::I64, 0.0)?;
            let one = cx.number(Elem::I64, 1.0)?;
            cx.op(&tensor::DynIota, &[zero, limit, one], &[])?
        }
    };
    // Old keys come from the cache, new ones from behind it.
    let past = build::unsqueeze(cx.b, past, &[1])?;
    let room = build::dim(cx.b, past_k, 2)?;
    let jump = cx.binary(&tensor::Sub, room, past)?;
    let behind = cx.binary(&tensor::Add, places, jump)?;
    let old = cx.compare("lt", places, past)?;
    let source = cx.select(old, places, behind)?;
    let mut merged = Vec::new();
    for (past, new) in [(past_k, heads.k), (past_v, heads.v)] {
        let all = build::concat(cx.b, &[past, new], 2)?;
        merged.push(picked(cx, all, 2, source)?);
    }
    Ok((merged[0], merged[1]))
}

/// The weighted values; a query sees the keys up to its own, within the window.
fn attend(cx: &mut Cx<'_, '_, '_, '_>, heads: Heads, positions: Value) -> OpResult<Value> {
    let elem = cx.elem(heads.q)?;
    let k = cx.transpose(heads.k, &[0, 1, 3, 2])?;
    let mut scores = cx.op(&nn::MatMul, &[heads.q, k], &[])?;
    let scale = scale(cx, heads.q)?;
    scores = build::with_scalar(cx.b, &tensor::Mul, scores, scale)?;
    let softcap = cx.float("softcap", 0.0)?;
    if softcap > 0.0 {
        let narrow = build::with_scalar(cx.b, &tensor::Div, scores, softcap)?;
        let bent = cx.op(&tensor::Tanh, &[narrow], &[])?;
        scores = build::with_scalar(cx.b, &tensor::Mul, bent, softcap)?;
    }
    if let Some(bias) = cx.optional(10) {
        scores = cx.binary(&tensor::Add, scores, bias)?;
    }
    let seen = seen(cx, heads.k, positions)?;
    let never = cx.number(elem, f64::NEG_INFINITY)?;
    scores = cx.select(seen, scores, never)?;
    let weights = weights(cx, scores)?;
    cx.op(&nn::MatMul, &[weights, heads.v], &[])
}

/// Which keys a query sees: batch, 1, query, key.
fn seen(cx: &mut Cx<'_, '_, '_, '_>, k: Value, positions: Value) -> OpResult<Value> {
    let keys = cx.places(k, 2)?;
    let own = build::unsqueeze(cx.b, positions, &[1, 3])?;
    if cx.int("causal", 1)? == 0 {
        // All that there are: up to the last query.
        let last = build::reduce_keep(cx.b, own, "max", &[2])?;
        return cx.compare("le", keys, last);
    }
    let seen = cx.compare("le", keys, own)?;
    match cx.int("local_window_size", -1)? {
        ..=0 => Ok(seen),
        window => {
            let first = build::with_scalar(cx.b, &tensor::Sub, own, window as f64)?;
            let near = cx.compare("gt", keys, first)?;
            cx.binary(&tensor::And, seen, near)
        }
    }
}

/// Softmax over keys, with one more score that takes a part and gives nothing if there is a sink.
fn weights(cx: &mut Cx<'_, '_, '_, '_>, scores: Value) -> OpResult<Value> {
    let attrs = [("axis", 3.into())];
    let dims = cx.dims(scores)?;
    let column = [dims[0], dims[1], dims[2], Dim::Known(1)];
    let sink = match cx.optional(11) {
        Some(sink) => build::unsqueeze(cx.b, sink, &[1, 2])?,
        None if cx.flag("smooth_softmax")? => cx.number(cx.elem(scores)?, 0.0)?,
        None => return cx.op(&nn::Softmax, &[scores], &attrs),
    };
    let first = build::slice_axis(cx.b, scores, 3, 0, 1)?;
    let sink = match column.contains(&Dim::Unknown) {
        true => build::broadcast_like(cx.b, sink, first)?,
        false => build::broadcast_to(cx.b, sink, &column)?,
    };
    let all = build::concat(cx.b, &[sink, scores], 3)?;
    let all = cx.op(&nn::Softmax, &[all], &attrs)?;
    let weights = build::slice_axis(cx.b, all, 3, 1, tensor::END)?;
    match dims.contains(&Dim::Unknown) {
        true => Ok(weights),
        false => cx.reshape(weights, &dims),
    }
}

/// Queries or keys turned by the angles of their positions.
fn turned(
    cx: &mut Cx<'_, '_, '_, '_>,
    x: Value,
    positions: Value,
    angles: [Value; 2],
    interleaved: bool,
) -> OpResult<Value> {
    let Some(half) = cx.dims(angles[0])?.get(1).and_then(|d| d.known()) else {
        return Err(unsupported("the number of angles is open"));
    };
    let [mut cos, mut sin] = angles;
    for table in [&mut cos, &mut sin] {
        let rows = build::gather(cx.b, *table, positions, 0)?;
        *table = build::unsqueeze(cx.b, rows, &[1])?;
    }
    let pairs = RotaryPairs {
        features: half.saturating_mul(2),
        interleaved,
    };
    pairs.turned(cx, x, [cos, sin])
}

/// Of batch, position, features, or of batch, head, position, feature.
fn rotary_embedding(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    if cx.flag("is_packed_batching")? {
        return Err(unsupported("packed batches are not supported"));
    }
    let (x, given) = (cx.input(0)?, cx.input(1)?);
    let angles = [cx.input(2)?, cx.input(3)?];
    let flat = cx.rank(x)? == 3;
    let x = match flat {
        true => {
            let heads = number_of_heads(cx, x, angles[0])?;
            split_into(cx, x, heads)?
        }
        false => x,
    };
    let given = cx.cast(given, Elem::I64)?;
    let positions = match cx.rank(given)? {
        // The place of the first.
        1 => {
            let first = cx.reshape(given, &[Dim::Known(1), Dim::Known(1)])?;
            let places = cx.places(x, 2)?;
            cx.binary(&tensor::Add, first, places)?
        }
        _ => given,
    };
    let interleaved = cx.flag("interleaved")?;
    let y = turned(cx, x, positions, angles, interleaved)?;
    one(if flat { join_heads(cx, y)? } else { y })
}

/// As stated, or as many as have twice the features of the angles.
fn number_of_heads(cx: &Cx<'_, '_, '_, '_>, x: Value, angles: Value) -> OpResult<i64> {
    match cx.int("num_heads", 0)? {
        0 => {}
        heads => return Ok(heads),
    }
    match (cx.dims(x)?[2], cx.dims(angles)?.get(1)) {
        (Dim::Known(features), Some(Dim::Known(half @ 1..))) => Ok((features / (2 * half)) as i64),
        _ => Err(unsupported("the number of features is open")),
    }
}
