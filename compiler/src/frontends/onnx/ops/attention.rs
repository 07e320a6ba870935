//! Attention and rotary positions.

use lepid_ir::core::{Attr, Dim, Elem, OpResult, Value};
use lepid_ir::dialects::tensor::build;
use lepid_ir::dialects::{nn, tensor};

use super::{Row, one, row};
use crate::frontends::onnx::cx::{Cx, invalid, unsupported};
use crate::frontends::onnx::weights::elem_type;

type Values = OpResult<Vec<Value>>;

pub(super) const ROWS: &[Row] = &[
    row("Attention", 23, attention),
    row("RotaryEmbedding", 23, rotary_embedding),
];

/// Splits batch, position, features into batch, head, position, feature; nothing if it has a head
/// axis already.
fn split_heads(cx: &mut Cx<'_, '_, '_, '_>, x: Value, heads: &str) -> OpResult<Value> {
    match cx.rank(x)? {
        4 => Ok(x),
        _ => {
            let heads = cx.required(heads, cx.opt_int(heads)?)?;
            split_into(cx, x, heads)
        }
    }
}

/// Batch, position, features as batch, head, position, feature.
pub(super) fn split_into(cx: &mut Cx<'_, '_, '_, '_>, x: Value, heads: i64) -> OpResult<Value> {
    let [batch, positions, features] = cx.dims(x)?[..] else {
        return Err(invalid(format!(
            "rank 3 is needed to split heads, found {}",
            cx.rank(x)?
        )));
    };
    let heads = u64::try_from(heads).ok().filter(|&h| h > 0);
    let (Some(heads), Some(features)) = (heads, features.known()) else {
        return Err(invalid("the features do not fit the heads"));
    };
    if features % heads != 0 {
        return Err(invalid(format!(
            "{features} features do not split into {heads} heads"
        )));
    }
    let split = [
        batch,
        positions,
        Dim::Known(heads),
        Dim::Known(features / heads),
    ];
    let x = cx.reshape(x, &split)?;
    cx.transpose(x, &[0, 2, 1, 3])
}

pub(super) fn join_heads(cx: &mut Cx<'_, '_, '_, '_>, x: Value) -> OpResult<Value> {
    let x = cx.transpose(x, &[0, 2, 1, 3])?;
    let dims = cx.dims(x)?;
    cx.reshape(x, &[dims[0], dims[1], dims[2].times(dims[3])])
}

/// Each head of keys or values repeated for the heads of queries that share it.
pub(super) fn repeat_heads(cx: &mut Cx<'_, '_, '_, '_>, x: Value, heads: Dim) -> OpResult<Value> {
    let dims = cx.dims(x)?;
    let (Some(own), Some(all)) = (dims[1].known(), heads.known()) else {
        return Ok(x);
    };
    if own == all {
        return Ok(x);
    }
    if own == 0 || all % own != 0 {
        return Err(invalid(format!(
            "{all} heads of queries do not share {own} heads of keys"
        )));
    }
    let wide = [dims[0], dims[1], Dim::Known(all / own), dims[2], dims[3]];
    let x = build::broadcast_axes(cx.b, x, &wide, &[0, 1, 3, 4])?;
    cx.reshape(x, &[dims[0], heads, dims[2], dims[3]])
}

/// The parts of a node.
struct Parts {
    q: Value,
    k: Value,
    v: Value,
    /// What is added to the scores, broadcast to them.
    mask: Option<Value>,
    /// How many keys came before the first query.
    past: Dim,
    causal: bool,
    scale: f64,
}

fn attention(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let [q, k, v] = [cx.input(0)?, cx.input(1)?, cx.input(2)?];
    let flat = cx.rank(q)? == 3;
    let q = split_heads(cx, q, "q_num_heads")?;
    let mut k = split_heads(cx, k, "kv_num_heads")?;
    let mut v = split_heads(cx, v, "kv_num_heads")?;
    let mut past = Dim::Known(0);
    if let (Some(past_k), Some(past_v)) = (cx.optional(4), cx.optional(5)) {
        for value in [past_k, past_v] {
            let rank = cx.rank(value)?;
            if rank != 4 {
                return Err(invalid(format!("a cache needs rank 4, found {rank}")));
            }
        }
        past = cx.dims(past_k)?[2];
        k = build::concat(cx.b, &[past_k, k], 2)?;
        v = build::concat(cx.b, &[past_v, v], 2)?;
    }
    let present = [k, v];
    let heads = cx.dims(q)?[1];
    let (k, v) = (repeat_heads(cx, k, heads)?, repeat_heads(cx, v, heads)?);
    let depth = cx.dims(q)?[3].known();
    let scale = match (cx.opt_float("scale")?, depth) {
        (Some(scale), _) => scale,
        (None, Some(depth)) => 1.0 / (depth as f64).sqrt(),
        (None, None) => return Err(unsupported("the number of features is open")),
    };
    let mask = mask(cx, q, k)?;
    let parts = Parts {
        q,
        k,
        v,
        mask,
        past,
        causal: cx.flag("is_causal")?,
        scale,
    };
    let softcap = cx.float("softcap", 0.0)?;
    let plain = softcap == 0.0 && !cx.wants(3) && cx.opt_int("softmax_precision")?.is_none();
    let (y, scores) = match (plain, parts.past.known()) {
        (true, Some(past)) => (whole(cx, &parts, past)?, None),
        _ => {
            let (y, scores) = by_steps(cx, &parts, softcap)?;
            (y, Some(scores))
        }
    };
    let y = if flat { join_heads(cx, y)? } else { y };
    let mut values = vec![y];
    values.extend(present);
    values.extend(scores);
    Ok(values)
}

/// The mask in four axes, as numbers to add: a truth value that does not hold forbids. Keys that
/// the mask does not reach are forbidden, as are those past the length of their sample.
fn mask(cx: &mut Cx<'_, '_, '_, '_>, q: Value, k: Value) -> OpResult<Option<Value>> {
    let elem = cx.elem(q)?;
    let keys = cx.dims(k)?[2];
    let zero = cx.number(elem, 0.0)?;
    let never = cx.number(elem, f64::NEG_INFINITY)?;
    let mut mask = None;
    if let Some(given) = cx.optional(3) {
        let given = match cx.elem(given)? {
            Elem::Bool => cx.select(given, zero, never)?,
            _ => cx.cast(given, elem)?,
        };
        let rank = cx.rank(given)?;
        let last = cx.dims(given)?.last().copied();
        let given = match (last.and_then(Dim::known), keys.known()) {
            (Some(n), Some(keys)) if n < keys => {
                let low = vec![0; rank];
                let mut high = low.clone();
                high[rank - 1] = (keys - n) as i64;
                build::pad(cx.b, given, f64::NEG_INFINITY, &low, &high)?
            }
            _ => given,
        };
        mask = Some(cx.lift_rank(given, 4)?);
    }
    if let Some(lengths) = cx.optional(6) {
        let lengths = cx.cast(lengths, Elem::I64)?;
        let lengths = build::unsqueeze(cx.b, lengths, &[1, 2, 3])?;
        let places = build::iota(cx.b, &[keys], 0, Elem::I64)?;
        let inside = cx.compare("lt", places, lengths)?;
        let padding = cx.select(inside, zero, never)?;
        mask = Some(match mask {
            Some(mask) => cx.binary(&tensor::Add, mask, padding)?,
            None => padding,
        });
    }
    Ok(mask)
}

/// As the one op that is made for it.
fn whole(cx: &mut Cx<'_, '_, '_, '_>, parts: &Parts, past: u64) -> OpResult<Value> {
    let mut operands = vec![parts.q, parts.k, parts.v];
    operands.extend(parts.mask);
    let attrs = [
        ("scale", parts.scale.into()),
        ("causal", parts.causal.into()),
        (
            "offset",
            Attr::Int(if parts.causal { past as i64 } else { 0 }),
        ),
    ];
    cx.op(&nn::Attention, &operands, &attrs)
}

/// By its formula, which gives the scores, too.
fn by_steps(cx: &mut Cx<'_, '_, '_, '_>, parts: &Parts, softcap: f64) -> OpResult<(Value, Value)> {
    let elem = cx.elem(parts.q)?;
    let k = cx.transpose(parts.k, &[0, 1, 3, 2])?;
    let product = cx.op(&nn::MatMul, &[parts.q, k], &[])?;
    let scale = cx.number(elem, parts.scale)?;
    let raw = cx.binary(&tensor::Mul, product, scale)?;
    let mut capped = raw;
    if softcap > 0.0 {
        let cap = cx.number(elem, softcap)?;
        let narrow = cx.binary(&tensor::Div, raw, cap)?;
        let bent = cx.op(&tensor::Tanh, &[narrow], &[])?;
        capped = cx.binary(&tensor::Mul, bent, cap)?;
    }
    let mut scores = capped;
    if let Some(mask) = parts.mask {
        scores = cx.binary(&tensor::Add, scores, mask)?;
    }
    if parts.causal {
        scores = hide_future(cx, parts, scores)?;
    }
    let precision = match cx.opt_int("softmax_precision")? {
        Some(precision) => elem_type(precision as i32)?,
        None => elem,
    };
    let wide = cx.cast(scores, precision)?;
    let weights = cx.op(&nn::Softmax, &[wide], &[("axis", Attr::Int(3))])?;
    let weights = cx.cast(weights, elem)?;
    let y = cx.op(&nn::MatMul, &[weights, parts.v], &[])?;
    let shown = match cx.int("qk_matmul_output_mode", 0)? {
        0 => raw,
        1 => capped,
        2 => scores,
        _ => weights,
    };
    Ok((y, shown))
}

/// Scores of keys that come after their query are as low as can be.
fn hide_future(cx: &mut Cx<'_, '_, '_, '_>, parts: &Parts, scores: Value) -> OpResult<Value> {
    let dims = cx.dims(scores)?;
    let matrix = &dims[2..];
    let queries = build::iota(cx.b, matrix, 0, Elem::I64)?;
    let keys = build::iota(cx.b, matrix, 1, Elem::I64)?;
    let past = match parts.past.known() {
        Some(past) => cx.number(Elem::I64, past as f64)?,
        None => {
            let past_key = cx.input(4)?;
            build::dim(cx.b, past_key, 2)?
        }
    };
    let last = cx.binary(&tensor::Add, queries, past)?;
    let seen = cx.compare("le", keys, last)?;
    let elem = cx.elem(scores)?;
    let never = cx.number(elem, f64::NEG_INFINITY)?;
    cx.select(seen, scores, never)
}

/// Turns pairs of features by the angle of their position.
fn rotary_embedding(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let (x, mut cos, mut sin) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    let flat = cx.rank(x)? == 3;
    // Batch, head, position, feature.
    let x = split_heads(cx, x, "num_heads")?;
    let dims = cx.dims(x)?;
    let Some(features) = dims[3].known() else {
        return Err(unsupported("the number of features is open"));
    };
    if let Some(positions) = cx.optional(3) {
        cos = build::gather(cx.b, cos, positions, 0)?;
        sin = build::gather(cx.b, sin, positions, 0)?;
    }
    let turned = match cx.int("rotary_embedding_dim", 0)? {
        0 => features as i64,
        n => n,
    };
    if turned % 2 != 0 || turned as u64 > features {
        return Err(invalid(format!(
            "{turned} of {features} features cannot be turned in pairs"
        )));
    }
    // Batch, 1, position, half of the features.
    let cos = build::unsqueeze(cx.b, cos, &[1])?;
    let sin = build::unsqueeze(cx.b, sin, &[1])?;
    let pairs = RotaryPairs {
        features: turned as u64,
        interleaved: cx.flag("interleaved")?,
    };
    let y = pairs.turned(cx, x, [cos, sin])?;
    one(if flat { join_heads(cx, y)? } else { y })
}

/// Which features are turned in pairs.
pub(super) struct RotaryPairs {
    /// The first of them; the others stay.
    pub(super) features: u64,
    /// Partners are neighbours; otherwise the second half holds those of the first.
    pub(super) interleaved: bool,
}

impl RotaryPairs {
    /// Batch, head, position, feature turned by angles whose last axis has one half of the features.
    pub(super) fn turned(
        &self,
        cx: &mut Cx<'_, '_, '_, '_>,
        x: Value,
        tables: [Value; 2],
    ) -> OpResult<Value> {
        let pairs = Dim::Known(self.features / 2);
        let mut operands = vec![x];
        for table in tables {
            let mut dims = cx.dims(table)?;
            let last = dims.pop();
            operands.push(match last {
                Some(found @ Dim::Known(_)) if found != pairs => {
                    return Err(invalid(format!(
                        "{found} angles do not turn {} features",
                        self.features
                    )));
                }
                Some(Dim::Known(_)) | None => table,
                // The operator says how many there are.
                Some(Dim::Sym(_) | Dim::Unknown) => {
                    dims.push(pairs);
                    cx.reshape(table, &dims)?
                }
            });
        }
        let attrs = [("interleaved", self.interleaved.into())];
        cx.op(&nn::Rotary, &operands, &attrs)
    }
}
