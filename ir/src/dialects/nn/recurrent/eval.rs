//! The reference evaluation of recurrent networks, one time and sample after another.

use std::ops::Range;

use crate::core::{Dim, Elem, OpResult, OpView, Tensor, TensorType};

use super::super::product::{Extents, product};
use super::super::rules::{shape_of, tensor_types};
use super::{
    Cell, Gru, Lstm, activation, gru_activations, gru_types, lstm_activations, lstm_types,
};

pub(super) fn lstm(op: OpView<'_>, x: &[Tensor]) -> OpResult<Vec<Tensor>> {
    let types = tensor_types(x);
    let results = lstm_types(op, &types)?;
    if let Some(empty) = without_states(&results)? {
        return Ok(empty);
    }
    let cell = Cell::new(&types, 4, Lstm::direction(op))?;
    let (peephole, lengths) = Lstm::optional_operands(&types)?;
    let activations = lstm_activations(op, &cell)?;
    let run = Run::new(x, &results, lengths, Lstm::direction(op), Lstm::clip(op))?;
    let hidden = run.hidden;
    let (mut all, mut last) = run.states(&x[4]);
    let mut cells = x[5].to_f64s();
    let peephole = peephole.map(|i| x[i].to_f64s());
    for direction in 0..run.directions {
        let [f, g, h] = activation::of_direction(&activations, direction);
        let bias = run.bias(direction, 4, true);
        let inputs = run.project_inputs(direction, 4, &bias);
        for time in run.times(direction) {
            let base = direction * run.batch * hidden;
            let state = &last[base..][..run.batch * hidden];
            let gates = run.project_state(direction, 0..4 * hidden, state);
            for sample in run.active(time) {
                for unit in 0..hidden {
                    let at = base + sample * hidden + unit;
                    let gate = |gate: usize| {
                        inputs[((time * run.batch + sample) * 4 + gate) * hidden + unit]
                            + gates[(sample * 4 + gate) * hidden + unit]
                    };
                    let peep = |gate: usize, cell: f64| match &peephole {
                        Some(p) => p[(direction * 3 + gate) * hidden + unit] * cell,
                        None => 0.0,
                    };
                    let i = f.of(run.limit(gate(0) + peep(0, cells[at])));
                    let forget = match Lstm::input_forget(op) {
                        true => 1.0 - i,
                        false => f.of(run.limit(gate(2) + peep(2, cells[at]))),
                    };
                    let cell = forget * cells[at] + i * g.of(run.limit(gate(3)));
                    let o = f.of(run.limit(gate(1) + peep(1, cell)));
                    cells[at] = cell;
                    last[at] = o * h.of(cell);
                    all[run.place(time, direction, sample) + unit] = last[at];
                }
            }
        }
    }
    run.finish(&results, [all, last, cells])
}

pub(super) fn gru(op: OpView<'_>, x: &[Tensor]) -> OpResult<Vec<Tensor>> {
    let types = tensor_types(x);
    let results = gru_types(op, &types)?;
    if let Some(empty) = without_states(&results)? {
        return Ok(empty);
    }
    let cell = Cell::new(&types, 3, Gru::direction(op))?;
    let activations = gru_activations(op, &cell)?;
    let lengths = x.get(5).map(|_| 5);
    let run = Run::new(x, &results, lengths, Gru::direction(op), Gru::clip(op))?;
    let hidden = run.hidden;
    let after = Gru::linear_before_reset(op);
    let (mut all, mut last) = run.states(&x[4]);
    for direction in 0..run.directions {
        let [f, g] = activation::of_direction(&activations, direction);
        let bias = run.bias(direction, 3, false);
        let inputs = run.project_inputs(direction, 3, &bias[..3 * hidden]);
        let bias = &bias[3 * hidden..];
        for time in run.times(direction) {
            let base = direction * run.batch * hidden;
            let state = last[base..][..run.batch * hidden].to_vec();
            let input = |sample: usize, gate: usize, unit: usize| {
                inputs[((time * run.batch + sample) * 3 + gate) * hidden + unit]
            };
            let gates = run.project_state(direction, 0..2 * hidden, &state);
            let gate = |sample: usize, gate: usize, unit: usize| {
                let from_state = gates[(sample * 2 + gate) * hidden + unit];
                let sum = input(sample, gate, unit) + from_state + bias[gate * hidden + unit];
                f.of(run.limit(sum))
            };
            let places = || (0..run.batch).flat_map(|s| (0..hidden).map(move |u| (s, u)));
            let reset: Vec<f64> = places().map(|(s, u)| gate(s, 1, u)).collect();
            let seen: Vec<f64> = match after {
                true => state.clone(),
                false => state.iter().zip(&reset).map(|(h, r)| h * r).collect(),
            };
            let candidates = run.project_state(direction, 2 * hidden..3 * hidden, &seen);
            for sample in run.active(time) {
                for unit in 0..hidden {
                    let at = sample * hidden + unit;
                    let from_state = candidates[at] + bias[2 * hidden + unit];
                    let from_state = if after {
                        reset[at] * from_state
                    } else {
                        from_state
                    };
                    let n = g.of(run.limit(input(sample, 2, unit) + from_state));
                    let z = gate(sample, 0, unit);
                    last[base + at] = (1.0 - z) * n + z * state[at];
                    all[run.place(time, direction, sample) + unit] = last[base + at];
                }
            }
        }
    }
    run.finish(&results, [all, last])
}

/// The results if there are no samples or no hidden units.
fn without_states(types: &[TensorType]) -> OpResult<Option<Vec<Tensor>>> {
    if !types[1].dims.contains(&Dim::Known(0)) {
        return Ok(None);
    }
    let zeros = |ty: &TensorType| Ok(Tensor::zeros(ty.elem, &shape_of(ty)?));
    types.iter().map(zeros).collect::<OpResult<_>>().map(Some)
}

/// The actual operands of a recurrent layer.
struct Run {
    elem: Elem,
    time: usize,
    directions: usize,
    batch: usize,
    input: usize,
    hidden: usize,
    reverse_first: bool,
    clip: f64,
    x: Vec<f64>,
    w: Vec<f64>,
    r: Vec<f64>,
    bias: Vec<f64>,
    lengths: Option<Vec<i64>>,
}

impl Run {
    fn new(
        x: &[Tensor],
        results: &[TensorType],
        lengths: Option<usize>,
        direction: &str,
        clip: Option<f64>,
    ) -> OpResult<Run> {
        let shape = shape_of(&results[0])?;
        Ok(Run {
            elem: x[0].elem(),
            time: shape[0],
            directions: shape[1],
            batch: shape[2],
            input: x[0].shape()[2],
            hidden: shape[3],
            reverse_first: direction == "reverse",
            clip: clip.unwrap_or(f64::INFINITY),
            x: x[0].to_f64s(),
            w: x[1].to_f64s(),
            r: x[2].to_f64s(),
            bias: x[3].to_f64s(),
            lengths: lengths.map(|i| x[i].to_i64s()),
        })
    }

    /// Room for all states, and the first ones.
    fn states(&self, h0: &Tensor) -> (Vec<f64>, Vec<f64>) {
        let count = self.time * self.directions * self.batch * self.hidden;
        (vec![0.0; count], h0.to_f64s())
    }

    /// Where the state of a sample at a time is in the result.
    fn place(&self, time: usize, direction: usize, sample: usize) -> usize {
        ((time * self.directions + direction) * self.batch + sample) * self.hidden
    }

    fn limit(&self, x: f64) -> f64 {
        x.clamp(-self.clip, self.clip)
    }

    /// The times in the order of a direction. A reversed direction starts at the last time; a
    /// sample joins in at its own last time.
    fn times(&self, direction: usize) -> Vec<usize> {
        match direction == 1 || self.reverse_first {
            true => (0..self.time).rev().collect(),
            false => (0..self.time).collect(),
        }
    }

    /// The samples that are as long as `time`.
    fn active(&self, time: usize) -> Vec<usize> {
        let active = |s: &usize| match &self.lengths {
            Some(lengths) => (time as i64) < lengths[*s],
            None => true,
        };
        (0..self.batch).filter(active).collect()
    }

    /// The two biases of a direction, added if `added`.
    fn bias(&self, direction: usize, gates: usize, added: bool) -> Vec<f64> {
        let half = gates * self.hidden;
        let both = &self.bias[direction * 2 * half..][..2 * half];
        match added {
            true => (0..half).map(|i| both[i] + both[half + i]).collect(),
            false => both.to_vec(),
        }
    }

    /// `x · wᵀ + bias` for all times: time, batch, gate, hidden.
    fn project_inputs(&self, direction: usize, gates: usize, bias: &[f64]) -> Vec<f64> {
        let columns = gates * self.hidden;
        let extents = Extents {
            rows: self.time * self.batch,
            columns,
            depth: self.input,
        };
        let w = &self.w[direction * columns * self.input..];
        let mut out = product(extents, &self.x, &|c, run, out| {
            out.copy_from_slice(&w[c * self.input..][run]);
        });
        for row in out.chunks_mut(columns.max(1)) {
            row.iter_mut().zip(bias).for_each(|(y, b)| *y += b);
        }
        out
    }

    /// `state · rᵀ` for some rows of `r`: batch, row.
    fn project_state(&self, direction: usize, rows: Range<usize>, state: &[f64]) -> Vec<f64> {
        let per_direction = self.r.len() / self.directions;
        let r = &self.r[direction * per_direction..][rows.start * self.hidden..];
        let extents = Extents {
            rows: self.batch,
            columns: rows.len(),
            depth: self.hidden,
        };
        product(extents, state, &|c, run, out| {
            out.copy_from_slice(&r[c * self.hidden..][run]);
        })
    }

    fn finish(
        &self,
        types: &[TensorType],
        values: impl IntoIterator<Item = Vec<f64>>,
    ) -> OpResult<Vec<Tensor>> {
        let results = types.iter().zip(values);
        results
            .map(|(ty, values)| Ok(Tensor::from_f64s(self.elem, shape_of(ty)?, values)))
            .collect()
    }
}
