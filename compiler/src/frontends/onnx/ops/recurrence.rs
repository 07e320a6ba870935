//! Layers that hand a state from call to call.

use lepid_ir::core::{Attr, Dim, Elem, OpResult, Value};
use lepid_ir::dialects::nn;
use lepid_ir::dialects::tensor::{self, build};

use super::attention::{join_heads, repeat_heads, split_into};
use super::{Row, row};
use crate::frontends::onnx::cx::{Cx, invalid, unsupported};

type Values = OpResult<Vec<Value>>;

pub(super) const ROWS: &[Row] = &[
    row("CausalConvWithState", 27, causal_conv),
    row("LinearAttention", 27, linear_attention),
    row("com.microsoft::CausalConvWithState", 1, causal_conv),
    row("com.microsoft::LinearAttention", 1, linear_attention),
];

/// What of the operators is not read: attributes that must keep their defaults.
fn only_defaults(cx: &Cx<'_, '_, '_, '_>, names: &[(&str, i64)]) -> OpResult<()> {
    for &(name, default) in names {
        let given = cx.int(name, default)?;
        if given != default {
            return Err(unsupported(format!("`{name}` of {given} is not supported")));
        }
    }
    Ok(())
}

/// A convolution of each channel with the positions before it; those before the first are the
/// state. The new state is the last positions.
fn causal_conv(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    only_defaults(
        cx,
        &[
            ("ndim", 1),
            ("channels_last", 0),
            ("state_window", 0),
            ("state_length", 0),
            ("state_update_capacity", 0),
            ("input_channels", 0),
            ("input_channel_offset", 0),
        ],
    )?;
    let (x, w) = (cx.input(0)?, cx.input(1)?);
    let [Dim::Known(channels), _, Dim::Known(taps @ 1..)] = cx.dims(w)?[..] else {
        return Err(invalid("the weight must have three known extents"));
    };
    if cx.rank(x)? != 3 {
        return Err(invalid("the input must have three axes"));
    }
    let dilation = cx.int("dilation", 1)?;
    let reach = (taps as i64 - 1).checked_mul(dilation);
    let Some(reach) = reach.filter(|n| dilation >= 1 && *n <= 1 << 32) else {
        return Err(invalid(format!("attribute `dilation` is {dilation}")));
    };
    let all = match cx.optional(3) {
        Some(state) => build::concat(cx.b, &[state, x], 2)?,
        None => build::pad(cx.b, x, 0.0, &[0, 0, reach], &[0, 0, 0])?,
    };
    // The sum of half floats and its activation round once.
    let elem = cx.elem(x)?;
    let wide = if elem == Elem::F64 { elem } else { Elem::F32 };
    let mut operands = vec![cx.cast(all, wide)?, cx.cast(w, wide)?];
    if let Some(bias) = cx.optional(2) {
        operands.push(cx.cast(bias, wide)?);
    }
    let attrs = [
        ("stride", [1i64][..].into()),
        ("dilation", [dilation][..].into()),
        ("pad", [0i64, 0][..].into()),
        ("groups", Attr::Int(channels as i64)),
    ];
    let y = cx.op(&nn::Conv, &operands, &attrs)?;
    let y = match cx.string("activation", "none")?.as_str() {
        "none" => y,
        "silu" | "swish" => cx.op(&nn::Silu, &[y], &[])?,
        other => return Err(invalid(format!("attribute `activation` is `{other}`"))),
    };
    let y = cx.cast(y, elem)?;
    let y = match cx.dims(x)?[2] {
        Dim::Unknown => y,
        length => {
            let dims = cx.dims(y)?;
            cx.reshape(y, &[dims[0], dims[1], length])?
        }
    };
    Ok(vec![y, last_positions(cx, all, reach)?])
}

/// The last positions along axis 2.
fn last_positions(cx: &mut Cx<'_, '_, '_, '_>, x: Value, count: i64) -> OpResult<Value> {
    if let Some(length) = cx.dims(x)?[2].known() {
        return build::slice_axis(cx.b, x, 2, length as i64 - count, length as i64);
    }
    let length = build::dim(cx.b, x, 2)?;
    let first = build::with_scalar(cx.b, &tensor::Sub, length, count as f64)?;
    let places = build::iota(cx.b, &[Dim::Known(count as u64)], 0, Elem::I64)?;
    let places = cx.binary(&tensor::Add, places, first)?;
    build::gather(cx.b, x, places, 2)
}

/// What a step does with the state `S`, which maps a key to a value.
#[derive(Copy, Clone, PartialEq)]
struct Rule {
    /// Multiplies `S` by `exp(decay)` first.
    gated: bool,
    /// Adds `beta · k ⊗ (v - Sᵀ k)` instead of `k ⊗ v`.
    delta: bool,
}

impl Rule {
    fn parse(name: &str) -> OpResult<Rule> {
        let (gated, delta) = match name {
            "linear" => (false, false),
            "gated" => (true, false),
            "delta" => (false, true),
            "gated_delta" => (true, true),
            other => return Err(invalid(format!("attribute `update_rule` is `{other}`"))),
        };
        Ok(Rule { gated, delta })
    }
}

/// What the steps read: batch, head, position, feature.
struct Sequences {
    q: Value,
    k: Value,
    v: Value,
    decay: Option<Value>,
    beta: Option<Value>,
    scale: f64,
}

/// `S = exp(decay) · S + beta · k ⊗ (v - Sᵀ k)` and `y = scale · Sᵀ q`, token after token.
fn linear_attention(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let rule = Rule::parse(&cx.string("update_rule", "gated_delta")?)?;
    only_defaults(cx, &[("state_window", 0)])?;
    let sequences = sequences(cx, rule)?;
    let state = match cx.optional(3) {
        Some(state) => state,
        None => zero_state(cx, &sequences)?,
    };
    let elem = cx.elem(state)?;
    let wide = if elem == Elem::F64 { elem } else { Elem::F32 };
    let start = cx.cast(state, wide)?;
    let [y, state] = steps(cx, &sequences, start)?;
    let y = cx.cast(y, cx.elem(sequences.q)?)?;
    Ok(vec![join_heads(cx, y)?, cx.cast(state, elem)?])
}

fn sequences(cx: &mut Cx<'_, '_, '_, '_>, rule: Rule) -> OpResult<Sequences> {
    let heads = cx.required("q_num_heads", cx.opt_int("q_num_heads")?)?;
    let shared = cx.required("kv_num_heads", cx.opt_int("kv_num_heads")?)?;
    let (q, k, v) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    let q = split_into(cx, q, heads)?;
    let mut k = split_into(cx, k, shared)?;
    let v = split_into(cx, v, shared)?;
    if heads < shared {
        k = repeat_heads(cx, k, cx.dims(v)?[1])?;
    }
    let optional = |cx: &mut Cx<'_, '_, '_, '_>, at: usize, used: bool, what: &str| {
        match (used, cx.optional(at)) {
            (false, _) => Ok(None),
            (true, None) => Err(invalid(format!("the rule needs `{what}`"))),
            // One for each feature of each head, for each head, or for all.
            (true, Some(x)) if cx.dims(x)?.last() == Some(&Dim::Known(1)) => {
                split_into(cx, x, 1).map(Some)
            }
            (true, Some(x)) => split_into(cx, x, shared).map(Some),
        }
    };
    let decay = optional(cx, 4, rule.gated, "decay")?;
    let beta = optional(cx, 5, rule.delta, "beta")?;
    let scale = match (cx.float("scale", 0.0)?, cx.dims(q)?[3].known()) {
        (scale, _) if scale != 0.0 => scale,
        (_, Some(features)) => 1.0 / (features as f64).sqrt(),
        (_, None) => return Err(unsupported("the number of features is open")),
    };
    Ok(Sequences {
        q,
        k,
        v,
        decay,
        beta,
        scale,
    })
}

/// Batch, head, key feature, value feature.
fn zero_state(cx: &mut Cx<'_, '_, '_, '_>, s: &Sequences) -> OpResult<Value> {
    let (k, v) = (cx.dims(s.k)?, cx.dims(s.v)?);
    let elem = cx.elem(s.q)?;
    let zero = cx.number(elem, 0.0)?;
    build::broadcast_to(cx.b, zero, &[v[0], v[1], k[3], v[3]])
}

/// The outputs of all positions and the last state.
fn steps(cx: &mut Cx<'_, '_, '_, '_>, s: &Sequences, start: Value) -> OpResult<[Value; 2]> {
    let wide = cx.elem(start)?;
    let (q, v) = (cx.dims(s.q)?, cx.dims(s.v)?);
    let heads = match (q[1].known(), v[1].known()) {
        (Some(a), Some(b)) => Dim::Known(a.max(b)),
        _ => return Err(unsupported("the number of heads is open")),
    };
    let zero = cx.number(wide, 0.0)?;
    let outputs = build::broadcast_to(cx.b, zero, &[q[0], heads, q[2], v[3]])?;
    let limit = build::dim(cx.b, s.q, 2)?;
    let places = cx.places(s.q, 2)?;
    let places = build::unsqueeze(cx.b, places, &[1])?;
    let first = cx.number(Elem::I64, 0.0)?;
    let state_dims = cx.dims(start)?;
    let output_dims = cx.dims(outputs)?;
    let done = cx.repeat(
        &[first, outputs, start],
        |cx, args| cx.compare("lt", args[0], limit),
        |cx, args| {
            let [turn, outputs, state] = [args[0], args[1], args[2]];
            let (y, state) = s.step(cx, turn, state)?;
            // The row of this turn takes its output.
            let here = cx.compare("eq", places, turn)?;
            let outputs = cx.select(here, y, outputs)?;
            let next = build::with_scalar(cx.b, &tensor::Add, turn, 1.0)?;
            Ok(vec![
                next,
                cx.reshape(outputs, &output_dims)?,
                cx.reshape(state, &state_dims)?,
            ])
        },
    )?;
    Ok([done[1], done[2]])
}

impl Sequences {
    /// The output of a position, batch, head, 1, feature, and the state after it.
    fn step(
        &self,
        cx: &mut Cx<'_, '_, '_, '_>,
        turn: Value,
        state: Value,
    ) -> OpResult<(Value, Value)> {
        let wide = cx.elem(state)?;
        let at = |cx: &mut Cx<'_, '_, '_, '_>, x: Value| -> OpResult<Value> {
            let x = build::gather(cx.b, x, turn, 2)?;
            cx.cast(x, wide)
        };
        let (q, k, v) = (at(cx, self.q)?, at(cx, self.k)?, at(cx, self.v)?);
        let key = build::unsqueeze(cx.b, k, &[3])?;
        let mut state = state;
        if let Some(decay) = self.decay {
            let decay = at(cx, decay)?;
            let factor = cx.op(&tensor::Exp, &[decay], &[])?;
            let factor = build::unsqueeze(cx.b, factor, &[3])?;
            state = cx.binary(&tensor::Mul, state, factor)?;
        }
        let mut value = v;
        if let Some(beta) = self.beta {
            let known = cx.binary(&tensor::Mul, state, key)?;
            let known = build::reduce(cx.b, known, "sum", &[2])?;
            let missing = cx.binary(&tensor::Sub, v, known)?;
            let beta = at(cx, beta)?;
            value = cx.binary(&tensor::Mul, missing, beta)?;
        }
        let value = build::unsqueeze(cx.b, value, &[2])?;
        let outer = cx.binary(&tensor::Mul, key, value)?;
        let state = cx.binary(&tensor::Add, state, outer)?;
        let heads = cx.dims(self.q)?[1];
        let read = match heads.known() > cx.dims(state)?[1].known() {
            true => repeat_heads(cx, state, heads)?,
            false => state,
        };
        let own = cx.dims(read)?[1];
        let row = build::unsqueeze(cx.b, q, &[2])?;
        let row = repeat_heads(cx, row, own)?;
        let y = cx.op(&nn::MatMul, &[row, read], &[])?;
        Ok((
            build::with_scalar(cx.b, &tensor::Mul, y, self.scale)?,
            state,
        ))
    }
}
