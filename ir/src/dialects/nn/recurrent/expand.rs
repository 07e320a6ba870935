//! Recurrent networks as `tensor.while` over time: each turn gathers the inputs of one time,
//! computes the states, and writes them into the result.

use crate::core::{Builder, Dim, Elem, Op, OpResult, OpView, Type, Value};
use crate::dialects::core::Yield;
use crate::dialects::tensor::{self as t, build};

use super::super::activation::clip;
use super::super::expand::{along, with_dims, zip};
use super::super::rules::operand_types;
use super::{Cell, Gru, Lstm, activation, gru_activations, lstm_activations};

pub(super) fn lstm(b: &mut Builder<'_>, op: Op) -> OpResult<Option<Vec<Value>>> {
    let view = b.view(op);
    let types = operand_types(view);
    let cell = Cell::new(&types, 4, Lstm::direction(view))?;
    let activations = lstm_activations(view, &cell)?;
    let (peephole, lengths) = Lstm::optional_operands(&types)?;
    let forget = Lstm::input_forget(view);
    let limit = Lstm::clip(view);
    let operands = view.operands().to_vec();
    let Some(layer) = Layer::new(view, lengths, Lstm::direction(view)) else {
        return Ok(None);
    };
    let hidden = layer.hidden;
    let mut parts = [Vec::new(), Vec::new(), Vec::new()];
    for direction in 0..cell.count() {
        let [f, g, h] = activation::of_direction(&activations, direction);
        let [bias, bias_r] = layer.biases(b, direction, 4)?;
        let bias = zip(b, &t::Add, bias, bias_r)?;
        let inputs = layer.project(b, direction, 4, bias)?;
        let r = part(b, operands[2], direction)?;
        let peepholes = match peephole {
            Some(i) => {
                let all = part(b, operands[i], direction)?;
                let of_gate = |gate: i64| (gate * hidden, (gate + 1) * hidden);
                let mut list = Vec::new();
                for (start, stop) in [0, 1, 2].map(of_gate) {
                    list.push(build::slice_axis(b, all, 0, start, stop)?);
                }
                Some(list)
            }
            None => None,
        };
        let initial = [
            part(b, operands[4], direction)?,
            part(b, operands[5], direction)?,
        ];
        let turn = |b: &mut Builder<'_>, input: Value, states: &[Value]| {
            let (state, cell) = (states[0], states[1]);
            let gates = times_transposed(b, state, r)?;
            let gates = zip(b, &t::Add, input, gates)?;
            let gate = |b: &mut Builder<'_>, i: i64, seen: Value| -> OpResult<Value> {
                let gate = build::slice_axis(b, gates, 1, i * hidden, (i + 1) * hidden)?;
                let gate = match (&peepholes, i) {
                    (Some(list), 0..3) => {
                        let peep = along(b, &t::Mul, seen, list[i as usize], 1)?;
                        zip(b, &t::Add, gate, peep)?
                    }
                    _ => gate,
                };
                limited(b, gate, limit)
            };
            let i = gate(b, 0, cell)?;
            let i = f.build(b, i)?;
            let keep = match forget {
                true => one_minus(b, i)?,
                false => {
                    let keep = gate(b, 2, cell)?;
                    f.build(b, keep)?
                }
            };
            let new = gate(b, 3, cell)?;
            let new = g.build(b, new)?;
            let kept = zip(b, &t::Mul, keep, cell)?;
            let added = zip(b, &t::Mul, i, new)?;
            let next = zip(b, &t::Add, kept, added)?;
            let o = gate(b, 1, next)?;
            let o = f.build(b, o)?;
            let shown = h.build(b, next)?;
            Ok(vec![zip(b, &t::Mul, o, shown)?, next])
        };
        let results = layer.run(b, direction, inputs, &initial, turn)?;
        for (part, value) in parts.iter_mut().zip(results) {
            part.push(value);
        }
    }
    layer.join(b, op, &parts)
}

pub(super) fn gru(b: &mut Builder<'_>, op: Op) -> OpResult<Option<Vec<Value>>> {
    let view = b.view(op);
    let types = operand_types(view);
    let cell = Cell::new(&types, 3, Gru::direction(view))?;
    let activations = gru_activations(view, &cell)?;
    let after = Gru::linear_before_reset(view);
    let limit = Gru::clip(view);
    let operands = view.operands().to_vec();
    let lengths = operands.get(5).map(|_| 5);
    let Some(layer) = Layer::new(view, lengths, Gru::direction(view)) else {
        return Ok(None);
    };
    let hidden = layer.hidden;
    let mut parts = [Vec::new(), Vec::new()];
    for direction in 0..cell.count() {
        let [f, g] = activation::of_direction(&activations, direction);
        let [bias, bias_r] = layer.biases(b, direction, 3)?;
        let inputs = layer.project(b, direction, 3, bias)?;
        let r = part(b, operands[2], direction)?;
        let r_gates = build::slice_axis(b, r, 0, 0, 2 * hidden)?;
        let r_new = build::slice_axis(b, r, 0, 2 * hidden, 3 * hidden)?;
        let bias_gates = build::slice_axis(b, bias_r, 0, 0, 2 * hidden)?;
        let bias_new = build::slice_axis(b, bias_r, 0, 2 * hidden, 3 * hidden)?;
        let initial = [part(b, operands[4], direction)?];
        let turn = |b: &mut Builder<'_>, input: Value, states: &[Value]| {
            let state = states[0];
            let gates = times_transposed(b, state, r_gates)?;
            let gates = along(b, &t::Add, gates, bias_gates, 1)?;
            let of_input = build::slice_axis(b, input, 1, 0, 2 * hidden)?;
            let gates = zip(b, &t::Add, of_input, gates)?;
            let gates = limited(b, gates, limit)?;
            let gates = f.build(b, gates)?;
            let z = build::slice_axis(b, gates, 1, 0, hidden)?;
            let reset = build::slice_axis(b, gates, 1, hidden, 2 * hidden)?;
            let seen = if after {
                state
            } else {
                zip(b, &t::Mul, reset, state)?
            };
            let new = times_transposed(b, seen, r_new)?;
            let new = along(b, &t::Add, new, bias_new, 1)?;
            let new = if after {
                zip(b, &t::Mul, reset, new)?
            } else {
                new
            };
            let of_input = build::slice_axis(b, input, 1, 2 * hidden, 3 * hidden)?;
            let new = zip(b, &t::Add, of_input, new)?;
            let new = limited(b, new, limit)?;
            let new = g.build(b, new)?;
            let rest = one_minus(b, z)?;
            let new = zip(b, &t::Mul, rest, new)?;
            let kept = zip(b, &t::Mul, z, state)?;
            Ok(vec![zip(b, &t::Add, new, kept)?])
        };
        let results = layer.run(b, direction, inputs, &initial, turn)?;
        for (part, value) in parts.iter_mut().zip(results) {
            part.push(value);
        }
    }
    layer.join(b, op, &parts)
}

/// What both networks share.
struct Layer {
    x: Value,
    w: Value,
    bias: Value,
    lengths: Option<Value>,
    /// The extents of `y`: time, direction, batch, hidden.
    all: Vec<Dim>,
    hidden: i64,
    reverse_first: bool,
}

impl Layer {
    /// `None` if the number of hidden units is open: the gates could not be told apart.
    fn new(op: OpView<'_>, lengths: Option<usize>, direction: &str) -> Option<Layer> {
        let all = op.result_tensor(0).dims.clone();
        Some(Layer {
            x: op.operand(0),
            w: op.operand(1),
            bias: op.operand(3),
            lengths: lengths.map(|i| op.operand(i)),
            hidden: i64::try_from(all[3].known()?).ok()?,
            all,
            reverse_first: direction == "reverse",
        })
    }

    /// The biases of `w` and `r`.
    fn biases(&self, b: &mut Builder<'_>, direction: usize, gates: i64) -> OpResult<[Value; 2]> {
        let half = gates * self.hidden;
        let both = part(b, self.bias, direction)?;
        let of_w = build::slice_axis(b, both, 0, 0, half)?;
        Ok([of_w, build::slice_axis(b, both, 0, half, 2 * half)?])
    }

    /// `x · wᵀ + bias` for all times: time, batch, gates.
    fn project(
        &self,
        b: &mut Builder<'_>,
        direction: usize,
        gates: i64,
        bias: Value,
    ) -> OpResult<Value> {
        let w = part(b, self.w, direction)?;
        let features = build::dims(b, self.x)[2];
        let w = with_dims(b, w, &[Dim::Known((gates * self.hidden) as u64), features])?;
        let pairs = build::Pairs {
            contract: &[(2, 1)],
            ..Default::default()
        };
        let inputs = build::contract(b, self.x, w, pairs)?;
        along(b, &t::Add, inputs, bias, 2)
    }

    /// The loop over time. `turn` gives the next states from the inputs and the states; the first
    /// state is what `y` collects. Gives `y` (time, batch, hidden) and the last states.
    fn run(
        &self,
        b: &mut Builder<'_>,
        direction: usize,
        inputs: Value,
        initial: &[Value],
        turn: impl Fn(&mut Builder<'_>, Value, &[Value]) -> OpResult<Vec<Value>>,
    ) -> OpResult<Vec<Value>> {
        let reverse = direction == 1 || self.reverse_first;
        let state_dims = [self.all[2], self.all[3]];
        let time = build::dim(b, self.x, 0)?;
        let rows = build::slice_axis(b, inputs, 2, 0, self.hidden)?;
        let zeros = build::splat_like(b, rows, 0.0)?;
        let all = with_dims(b, zeros, &[self.all[0], self.all[2], self.all[3]])?;
        let mut carried = vec![build::scalar(b, Elem::I64, 0.0)?, all];
        for &state in initial {
            carried.push(with_dims(b, state, &state_dims)?);
        }
        let lengths = match self.lengths {
            Some(lengths) => Some(build::cast(b, lengths, Elem::I64)?),
            None => None,
        };
        let types: Vec<Type> = carried.iter().map(|&v| b.value_type(v)).collect();
        let condition = b.region(&types, |b, args| {
            let more = build::compare(b, "lt", args[0], time)?;
            b.create(&Yield, &[more], &[]).map(drop)
        })?;
        let body = b.region(&types, |b, args| {
            let (count, all, states) = (args[0], args[1], &args[2..]);
            let one = build::scalar(b, Elem::I64, 1.0)?;
            let at = match reverse {
                true => {
                    let last = zip(b, &t::Sub, time, one)?;
                    zip(b, &t::Sub, last, count)?
                }
                false => count,
            };
            let input = build::gather(b, inputs, at, 0)?;
            let input_dims = [state_dims[0], build::dims(b, input)[1]];
            let input = with_dims(b, input, &input_dims)?;
            let mut next = turn(b, input, states)?;
            let mut row = next[0];
            if let Some(lengths) = lengths {
                let active = build::compare(b, "lt", at, lengths)?;
                let active = build::unsqueeze(b, active, &[1])?;
                let active = build::broadcast_like(b, active, row)?;
                for (next, &state) in next.iter_mut().zip(states) {
                    *next = b.one(&t::Select, &[active, *next, state], &[])?;
                }
                let zeros = build::splat_like(b, row, 0.0)?;
                row = b.one(&t::Select, &[active, row, zeros], &[])?;
            }
            let row = build::unsqueeze(b, row, &[0])?;
            let place = build::reshape(b, at, &[Dim::Known(1), Dim::Known(1)])?;
            let all = b.one(&t::ScatterNd, &[all, place, row], &[])?;
            let mut yielded = vec![zip(b, &t::Add, count, one)?, all];
            for next in next {
                yielded.push(with_dims(b, next, &state_dims)?);
            }
            b.create(&Yield, &yielded, &[]).map(drop)
        })?;
        let op = b.create_with_regions(&t::While, &carried, &[], &[condition, body])?;
        Ok(b.view(op).results()[1..].to_vec())
    }

    /// The results of all directions side by side.
    fn join(
        &self,
        b: &mut Builder<'_>,
        op: Op,
        parts: &[Vec<Value>],
    ) -> OpResult<Option<Vec<Value>>> {
        let mut results = Vec::new();
        for (i, values) in parts.iter().enumerate() {
            // `y` has time before the direction.
            let axis = usize::from(i == 0);
            let mut sides = Vec::new();
            for &value in values {
                sides.push(build::unsqueeze(b, value, &[axis])?);
            }
            let joined = build::concat(b, &sides, axis)?;
            let dims = b.view(op).result_tensor(i).dims.clone();
            results.push(with_dims(b, joined, &dims)?);
        }
        Ok(Some(results))
    }
}

/// One direction of an operand, without the axis.
fn part(b: &mut Builder<'_>, x: Value, direction: usize) -> OpResult<Value> {
    let part = build::slice_axis(b, x, 0, direction as i64, direction as i64 + 1)?;
    build::squeeze(b, part, &[0])
}

/// `x · wᵀ`.
fn times_transposed(b: &mut Builder<'_>, x: Value, w: Value) -> OpResult<Value> {
    let pairs = build::Pairs {
        contract: &[(1, 1)],
        ..Default::default()
    };
    build::contract(b, x, w, pairs)
}

fn limited(b: &mut Builder<'_>, x: Value, limit: Option<f64>) -> OpResult<Value> {
    match limit {
        Some(limit) => clip(b, x, -limit, limit),
        None => Ok(x),
    }
}

fn one_minus(b: &mut Builder<'_>, x: Value) -> OpResult<Value> {
    let one = build::splat_like(b, x, 1.0)?;
    zip(b, &t::Sub, one, x)
}
