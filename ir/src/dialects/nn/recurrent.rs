//! Recurrent networks over the first axis (time).

use crate::core::{
    Attr, Cost, Dim, Elem, EvalCx, OpDef, OpError, OpInfo, OpResult, OpView, Tensor, TensorType,
    Type,
};
use crate::op;

use super::activation::{sigmoid, softplus};
use super::product::{Extents, product};
use super::rules::{choice, ensure, has_dims, join, operand_types, shape_of, tensor_types};

op! {
    /// Long short-term memory: with gates `i, o, f, g` from `x · wᵀ + h · rᵀ + bias`,
    /// `c' = f · c + i · g` and `h' = o · tanh(c')`.
    ///
    /// `x` is time, batch, input; `w` direction, 4 · hidden, input; `r` direction, 4 · hidden,
    /// hidden; both hold the gates in the order i, o, f, g. `bias` is direction, 8 · hidden: that
    /// of `w`, then that of `r`. `h0` and `c0` are direction, batch, hidden. Optional operands, in
    /// this order: the peephole weights (direction, 3 · hidden: i, o, f; floats) and the length of
    /// each sample (batch; integers). Beyond its length a sample's state stays, and its `y` is 0.
    ///
    /// `direction` is `forward`, `reverse` or `bidirectional`. `clip` limits what enters the
    /// activations to `±clip`; with `input_forget`, `f = 1 - i`. `activations` names three
    /// functions per direction (for `i o f`, for `g`, for `c'`), by default `sigmoid`, `tanh`,
    /// `tanh`; also `relu`, `affine`, `leaky_relu`, `thresholded_relu`, `scaled_tanh`,
    /// `hard_sigmoid`, `elu`, `softsign`, `softplus`, whose parameters `alpha` and `beta` list, one
    /// entry per activation. Results: all states `y` (time, direction, batch, hidden), the last
    /// `h` and the last `c`.
    "nn.lstm" => Lstm {
        operands: [x: FLOAT_TENSOR, w: FLOAT_TENSOR, r: FLOAT_TENSOR, bias: FLOAT_TENSOR, h0: FLOAT_TENSOR, c0: FLOAT_TENSOR; optional: NUM_TENSOR],
        attributes: [direction: Str = "forward", clip: OptFloat = Attr::Absent, input_forget: Bool = false, activations: Strs = Attr::List(Vec::new()), alpha: Floats = Attr::List(Vec::new()), beta: Floats = Attr::List(Vec::new())],
        results: [y, h, c],
        traits: [Pure],
    }
}

impl OpDef for Lstm {
    fn info(&self) -> &'static OpInfo {
        &Lstm::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        Ok(lstm_types(op, &operand_types(op))?
            .into_iter()
            .map(Type::from)
            .collect())
    }
    fn eval(&self, op: OpView<'_>, x: &[Tensor], _: &mut EvalCx<'_>) -> OpResult<Vec<Tensor>> {
        let types = tensor_types(x);
        let results = lstm_types(op, &types)?;
        let cell = Cell::new(&types, 4, Lstm::direction(op))?;
        let (peephole, lengths) = Lstm::optional_operands(&types)?;
        let names = Lstm::activations(op);
        let activations = Activations::new(3, &cell, names, Lstm::alpha(op), Lstm::beta(op))?;
        let run = Run::new(x, &results, lengths, Lstm::direction(op), Lstm::clip(op))?;
        let hidden = run.hidden;
        let (mut all, mut last) = run.states(&x[4]);
        let mut cells = x[5].to_f64s();
        let peephole = peephole.map(|i| x[i].to_f64s());
        for direction in 0..run.directions {
            let [f, g, h] = activations.of(direction, 3);
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
    fn cost(&self, op: OpView<'_>) -> Cost {
        recurrent_cost(op)
    }
}

op! {
    /// Gated recurrent unit: with gates `z, r` from `x · wᵀ + h · rᵀ + bias` and the candidate
    /// `n = tanh(x · wᵀ + (r · h) · rᵀ + bias)`, `h' = (1 - z) · n + z · h`.
    ///
    /// Operands are as in `nn.lstm`, with 3 · hidden weights in the order z, r, n, a `bias` of
    /// 6 · hidden, and one optional operand: the lengths. With `linear_before_reset` the candidate
    /// is `tanh(x · wᵀ + bias_w + r · (h · rᵀ + bias_r))`. `activations` names two functions per
    /// direction (for `z r`, for `n`), by default `sigmoid`, `tanh`.
    "nn.gru" => Gru {
        operands: [x: FLOAT_TENSOR, w: FLOAT_TENSOR, r: FLOAT_TENSOR, bias: FLOAT_TENSOR, h0: FLOAT_TENSOR; lengths: INT_TENSOR],
        attributes: [direction: Str = "forward", clip: OptFloat = Attr::Absent, linear_before_reset: Bool = false, activations: Strs = Attr::List(Vec::new()), alpha: Floats = Attr::List(Vec::new()), beta: Floats = Attr::List(Vec::new())],
        results: [y, h],
        traits: [Pure],
    }
}

impl OpDef for Gru {
    fn info(&self) -> &'static OpInfo {
        &Gru::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        Ok(gru_types(op, &operand_types(op))?
            .into_iter()
            .map(Type::from)
            .collect())
    }
    fn eval(&self, op: OpView<'_>, x: &[Tensor], _: &mut EvalCx<'_>) -> OpResult<Vec<Tensor>> {
        let types = tensor_types(x);
        let results = gru_types(op, &types)?;
        let cell = Cell::new(&types, 3, Gru::direction(op))?;
        let names = Gru::activations(op);
        let activations = Activations::new(2, &cell, names, Gru::alpha(op), Gru::beta(op))?;
        let lengths = x.get(5).map(|_| 5);
        let run = Run::new(x, &results, lengths, Gru::direction(op), Gru::clip(op))?;
        let hidden = run.hidden;
        let after = Gru::linear_before_reset(op);
        let (mut all, mut last) = run.states(&x[4]);
        for direction in 0..run.directions {
            let [f, g] = activations.of(direction, 2);
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
    fn cost(&self, op: OpView<'_>) -> Cost {
        recurrent_cost(op)
    }
}

/// Two flops for each weight, time and sample.
fn recurrent_cost(op: OpView<'_>) -> Cost {
    let x = op.operand_dims(0);
    let steps = x[0].known().unwrap_or(1) as f64 * x[1].known().unwrap_or(1) as f64;
    Cost::of(
        op,
        2.0 * steps * (op.operand_elements(1) + op.operand_elements(2)),
    )
}

impl Lstm {
    /// The peephole weights and the lengths: which of the optional operands they are.
    pub fn optional_operands(x: &[TensorType]) -> OpResult<(Option<usize>, Option<usize>)> {
        let is_float = |i: usize| x.get(i).map(|t| t.elem.is_float());
        match (is_float(6), is_float(7), x.len()) {
            (None, None, _) => Ok((None, None)),
            (Some(true), None, _) => Ok((Some(6), None)),
            (Some(false), None, _) => Ok((None, Some(6))),
            (Some(true), Some(false), 8) => Ok((Some(6), Some(7))),
            _ => Err(OpError::new(
                "the optional operands must be peephole weights (floats), then lengths (integers)",
            )),
        }
    }
}

fn lstm_types(op: OpView<'_>, x: &[TensorType]) -> OpResult<Vec<TensorType>> {
    let (peephole, lengths) = Lstm::optional_operands(x)?;
    let cell = Cell::new(x, 4, Lstm::direction(op))?;
    cell.check_state(x, 5, "c0")?;
    if let Some(i) = peephole {
        cell.check_elem(x, i)?;
        has_dims(
            &x[i],
            &[cell.directions, cell.hidden.times(Dim::Known(3))],
            "peephole",
        )?;
    }
    if let Some(i) = lengths {
        cell.check_lengths(&x[i])?;
    }
    Activations::new(
        3,
        &cell,
        Lstm::activations(op),
        Lstm::alpha(op),
        Lstm::beta(op),
    )?;
    check_clip(Lstm::clip(op))?;
    Ok(vec![cell.all(), cell.last(), cell.last()])
}

fn gru_types(op: OpView<'_>, x: &[TensorType]) -> OpResult<Vec<TensorType>> {
    super::rules::at_most(op, 1)?;
    let cell = Cell::new(x, 3, Gru::direction(op))?;
    if let Some(lengths) = x.get(5) {
        cell.check_lengths(lengths)?;
    }
    Activations::new(
        2,
        &cell,
        Gru::activations(op),
        Gru::alpha(op),
        Gru::beta(op),
    )?;
    check_clip(Gru::clip(op))?;
    Ok(vec![cell.all(), cell.last()])
}

fn check_clip(clip: Option<f64>) -> OpResult<()> {
    ensure!(
        clip.is_none_or(|c| c > 0.0),
        "`clip` must be greater than 0"
    );
    Ok(())
}

/// The extents of a recurrent layer.
struct Cell {
    elem: Elem,
    time: Dim,
    directions: Dim,
    batch: Dim,
    hidden: Dim,
}

impl Cell {
    fn new(x: &[TensorType], gates: u64, direction: &str) -> OpResult<Cell> {
        choice(
            "direction",
            direction,
            &["forward", "reverse", "bidirectional"],
        )?;
        let directions = Dim::Known(if direction == "bidirectional" { 2 } else { 1 });
        for (i, (name, rank)) in [("x", 3), ("w", 3), ("r", 3), ("bias", 2), ("h0", 3)]
            .iter()
            .enumerate()
        {
            ensure!(
                x[i].rank() == *rank,
                "`{name}` must have rank {rank}, found {}",
                x[i].rank()
            );
        }
        let (mut hidden, state) = (x[2].dims[2], &x[4].dims);
        hidden = join(hidden, state[2], "hidden extents of `r` and `h0`")?;
        let batch = join(x[0].dims[1], state[1], "batches of `x` and `h0`")?;
        let cell = Cell {
            elem: x[0].elem,
            time: x[0].dims[0],
            directions,
            batch,
            hidden,
        };
        let rows = |n: u64| hidden.times(Dim::Known(n));
        has_dims(&x[1], &[directions, rows(gates), x[0].dims[2]], "w")?;
        has_dims(&x[2], &[directions, rows(gates), hidden], "r")?;
        has_dims(&x[3], &[directions, rows(2 * gates)], "bias")?;
        cell.check_state(x, 4, "h0")?;
        for i in 1..4 {
            cell.check_elem(x, i)?;
        }
        Ok(cell)
    }

    fn check_elem(&self, x: &[TensorType], i: usize) -> OpResult<()> {
        ensure!(
            x[i].elem == self.elem,
            "all float operands must have the element of `x`, `{}`, found `{}`",
            self.elem,
            x[i].elem
        );
        Ok(())
    }

    fn check_state(&self, x: &[TensorType], i: usize, name: &str) -> OpResult<()> {
        self.check_elem(x, i)?;
        has_dims(&x[i], &[self.directions, self.batch, self.hidden], name)
    }

    fn check_lengths(&self, lengths: &TensorType) -> OpResult<()> {
        has_dims(lengths, &[self.batch], "lengths")
    }

    fn all(&self) -> TensorType {
        TensorType::new(
            self.elem,
            [self.time, self.directions, self.batch, self.hidden],
        )
    }

    fn last(&self) -> TensorType {
        TensorType::new(self.elem, [self.directions, self.batch, self.hidden])
    }
}

/// One activation with its parameters.
#[derive(Copy, Clone, Debug)]
struct Activation {
    name: &'static str,
    alpha: f64,
    beta: f64,
}

/// The known activations with the defaults of their parameters.
const ACTIVATIONS: &[Activation] = &[
    Activation {
        name: "affine",
        alpha: 1.0,
        beta: 0.0,
    },
    Activation {
        name: "elu",
        alpha: 1.0,
        beta: 0.0,
    },
    Activation {
        name: "hard_sigmoid",
        alpha: 0.2,
        beta: 0.5,
    },
    Activation {
        name: "leaky_relu",
        alpha: 0.01,
        beta: 0.0,
    },
    Activation {
        name: "relu",
        alpha: 0.0,
        beta: 0.0,
    },
    Activation {
        name: "scaled_tanh",
        alpha: 1.0,
        beta: 1.0,
    },
    Activation {
        name: "sigmoid",
        alpha: 0.0,
        beta: 0.0,
    },
    Activation {
        name: "softplus",
        alpha: 0.0,
        beta: 0.0,
    },
    Activation {
        name: "softsign",
        alpha: 0.0,
        beta: 0.0,
    },
    Activation {
        name: "tanh",
        alpha: 0.0,
        beta: 0.0,
    },
    Activation {
        name: "thresholded_relu",
        alpha: 1.0,
        beta: 0.0,
    },
];

/// The activations of all directions, in order.
struct Activations(Vec<Activation>);

impl Activations {
    fn new(
        each: usize,
        cell: &Cell,
        names: Vec<&str>,
        alpha: Vec<f64>,
        beta: Vec<f64>,
    ) -> OpResult<Activations> {
        let count = each * cell.directions.known().unwrap_or(1) as usize;
        let defaults = ["sigmoid", "tanh", "tanh"];
        let names: Vec<&str> = match names.is_empty() {
            true => (0..count).map(|i| defaults[i % each]).collect(),
            false => names,
        };
        let lists = [
            ("activations", names.len()),
            ("alpha", alpha.len()),
            ("beta", beta.len()),
        ];
        for (name, len) in lists {
            ensure!(
                len == count || (name != "activations" && len == 0),
                "`{name}` must have {count} entries, found {len}"
            );
        }
        let known: Vec<&str> = ACTIVATIONS.iter().map(|a| a.name).collect();
        let mut list = Vec::with_capacity(count);
        for (i, name) in names.into_iter().enumerate() {
            choice("activations", name, &known)?;
            for a in ACTIVATIONS.iter().filter(|a| a.name == name) {
                list.push(Activation {
                    alpha: alpha.get(i).copied().unwrap_or(a.alpha),
                    beta: beta.get(i).copied().unwrap_or(a.beta),
                    ..*a
                });
            }
        }
        Ok(Activations(list))
    }
}

impl Activations {
    /// Those of one direction.
    fn of<const EACH: usize>(&self, direction: usize, each: usize) -> [Activation; EACH] {
        std::array::from_fn(|i| self.0[direction * each + i])
    }
}

impl Activation {
    fn of(self, x: f64) -> f64 {
        let (alpha, beta) = (self.alpha, self.beta);
        match self.name {
            "affine" => alpha * x + beta,
            "elu" => {
                if x < 0.0 {
                    alpha * x.exp_m1()
                } else {
                    x
                }
            }
            "hard_sigmoid" => (alpha * x + beta).clamp(0.0, 1.0),
            "leaky_relu" => {
                if x < 0.0 {
                    alpha * x
                } else {
                    x
                }
            }
            "relu" => {
                if x < 0.0 {
                    0.0
                } else {
                    x
                }
            }
            "scaled_tanh" => alpha * (beta * x).tanh(),
            "sigmoid" => sigmoid(x),
            "softplus" => softplus(x),
            "softsign" => x / (1.0 + x.abs()),
            "tanh" => x.tanh(),
            "thresholded_relu" => {
                if x <= alpha {
                    0.0
                } else {
                    x
                }
            }
            other => crate::bug!("activation `{other}` is not in the table"),
        }
    }
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
        x.max(-self.clip).min(self.clip)
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
    fn project_state(
        &self,
        direction: usize,
        rows: std::ops::Range<usize>,
        state: &[f64],
    ) -> Vec<f64> {
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
