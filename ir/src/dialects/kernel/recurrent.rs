//! Recurrences over the first axis (time): one direction of a layer, with the inputs' part of the
//! gates computed before.

use crate::core::{Cost, Dim, EvalCx, OpDef, OpError, OpInfo, OpResult, OpView, Tensor, Type};
use crate::op;

use super::layers::sigmoid;

op! {
    /// The recurrence of one direction of an LSTM (ONNX LSTM, gates in the order i, o, f, c):
    /// `gates` [T, B, 4 H] are `x · Wᵀ` with both biases, `r` is [4 H, H], `h0` and `c0` [B, H];
    /// with `peephole` its weights [3 H] (i, o, f) stand in `extras`. Gives `y` [T, B, H], the last
    /// `h` and `c`. With `reverse` it runs from the last step to the first. `clip` 0 is none.
    "kernel.lstm" => Lstm {
        operands: [gates: FLOAT_TENSOR, r: FLOAT_TENSOR, h0: FLOAT_TENSOR, c0: FLOAT_TENSOR; extras: FLOAT_TENSOR],
        attributes: [reverse: Bool = false, peephole: Bool = false, clip: Float = 0.0],
        results: [y, h, c],
        traits: [Pure],
    }
}

impl OpDef for Lstm {
    fn info(&self) -> &'static OpInfo {
        &Lstm::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        let y = all_states(op, 4)?;
        let state = op.operand_type(2);
        match op.operand_type(3) == state {
            true => Ok(vec![y, state, state]),
            false => Err(OpError::new("`c0` must have the type of `h0`")),
        }
    }
    fn verify(&self, op: OpView<'_>) -> OpResult<()> {
        match op.operands().len() == 4 + usize::from(Lstm::peephole(op)) {
            true => Ok(()),
            false => Err(OpError::new(
                "`peephole` asks for its weights as last operand",
            )),
        }
    }
    fn eval(&self, op: OpView<'_>, v: &[Tensor], _: &mut EvalCx<'_>) -> OpResult<Vec<Tensor>> {
        let run = Run::new(v, Lstm::clip(op));
        let hidden = run.hidden;
        let mut c = v[3].to_f64s();
        let peephole = Lstm::peephole(op).then(|| v[4].to_f64s());
        let weight =
            |gate: usize, j: usize| peephole.as_ref().map_or(0.0, |p| p[gate * hidden + j]);
        let [y, h] = run.steps(Lstm::reverse(op), |t, last, h| {
            for (b, j) in run.units() {
                let at = b * hidden + j;
                let gate = |g: usize| run.input(t, b, g, j) + run.product(g, j, last, b);
                let old = c[at];
                let i = sigmoid(run.clipped(gate(0) + weight(0, j) * old));
                let f = sigmoid(run.clipped(gate(2) + weight(2, j) * old));
                c[at] = f * old + i * libm::tanh(run.clipped(gate(3)));
                let o = sigmoid(run.clipped(gate(1) + weight(1, j) * c[at]));
                h[at] = o * libm::tanh(c[at]);
            }
        });
        let c = Tensor::from_f64s(v[0].elem(), [run.batch, hidden], c);
        Ok(vec![y, h, c])
    }
    fn cost(&self, op: OpView<'_>) -> Cost {
        cost(op, 4)
    }
}

op! {
    /// The recurrence of one direction of a GRU (ONNX GRU, gates in the order z, r, h): `gates`
    /// [T, B, 3 H] are `x · Wᵀ` with all biases outside the reset, `r` is [3 H, H], `h0` [B, H].
    /// The candidate multiplies its weights with the state that `r` has reset; or, with
    /// `linear_before_reset`, `r` resets the product with the bias of H numbers in `extras`.
    /// Gives `y` [T, B, H] and the last `h`; `reverse` and `clip` as in `kernel.lstm`.
    "kernel.gru" => Gru {
        operands: [gates: FLOAT_TENSOR, r: FLOAT_TENSOR, h0: FLOAT_TENSOR; extras: FLOAT_TENSOR],
        attributes: [reverse: Bool = false, linear_before_reset: Bool = false, clip: Float = 0.0],
        results: [y, h],
        traits: [Pure],
    }
}

impl OpDef for Gru {
    fn info(&self) -> &'static OpInfo {
        &Gru::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        Ok(vec![all_states(op, 3)?, op.operand_type(2)])
    }
    fn verify(&self, op: OpView<'_>) -> OpResult<()> {
        let hidden = op.operand_dims(2)[1];
        match (Gru::linear_before_reset(op), op.operands().len()) {
            (true, 4) if op.operand_dims(3) == [hidden] => Ok(()),
            (false, 3) => Ok(()),
            _ => Err(OpError::new(
                "`linear_before_reset` asks for the bias [H] of the candidate as last operand",
            )),
        }
    }
    fn eval(&self, op: OpView<'_>, v: &[Tensor], _: &mut EvalCx<'_>) -> OpResult<Vec<Tensor>> {
        let run = Run::new(v, Gru::clip(op));
        let hidden = run.hidden;
        let bias = v.get(3).map(Tensor::to_f64s);
        let steps = run.steps(Gru::reverse(op), |t, last, h| {
            let gate = |g: usize, b: usize, j: usize| {
                let sum = run.input(t, b, g, j) + run.product(g, j, last, b);
                sigmoid(run.clipped(sum))
            };
            let reset: Vec<f64> = run.units().map(|(b, j)| gate(1, b, j)).collect();
            let seen: Vec<f64> = reset.iter().zip(last).map(|(r, h)| r * h).collect();
            for (b, j) in run.units() {
                let at = b * hidden + j;
                let from_state = match &bias {
                    Some(bias) => reset[at] * (run.product(2, j, last, b) + bias[j]),
                    None => run.product(2, j, &seen, b),
                };
                let n = libm::tanh(run.clipped(run.input(t, b, 2, j) + from_state));
                let z = gate(0, b, j);
                h[at] = (1.0 - z) * n + z * last[at];
            }
        });
        Ok(steps.into())
    }
    fn cost(&self, op: OpView<'_>) -> Cost {
        cost(op, 3)
    }
}

/// The type of all states, [T, B, H], of a cell of so many gates.
fn all_states(op: OpView<'_>, count: u64) -> OpResult<Type> {
    let (gates, r, h0) = (
        op.operand_tensor(0),
        op.operand_tensor(1),
        op.operand_tensor(2),
    );
    if gates.rank() != 3 || r.rank() != 2 || h0.rank() != 2 {
        return Err(OpError::new(format!(
            "expected gates [T, B, {count} H], r [{count} H, H] and h0 [B, H]"
        )));
    }
    let hidden = h0.dims[1];
    let all = hidden.times(Dim::Known(count));
    let fits = gates.dims[2].compatible(all)
        && r.dims[0].compatible(all)
        && r.dims[1].compatible(hidden)
        && gates.dims[1].compatible(h0.dims[0]);
    match fits {
        true => Ok(Type::tensor(
            gates.elem,
            [gates.dims[0], h0.dims[0], hidden],
        )),
        false => Err(OpError::new(format!(
            "gates `{gates}`, r `{r}` and h0 `{h0}` do not fit"
        ))),
    }
}

/// Two flops for each recurrent weight, time and sample.
fn cost(op: OpView<'_>, gates: u64) -> Cost {
    let hidden = op.operand_dims(2)[1].known().unwrap_or(1) as f64;
    Cost::of(op, op.result_elements(0) * 2.0 * gates as f64 * hidden)
}

/// The operands of a recurrence.
struct Run {
    batch: usize,
    hidden: usize,
    clip: f64,
    gates: Tensor,
    inputs: Vec<f64>,
    r: Vec<f64>,
    h0: Vec<f64>,
}

impl Run {
    fn new(v: &[Tensor], clip: f64) -> Run {
        Run {
            batch: v[0].shape()[1],
            hidden: v[2].shape()[1],
            clip,
            gates: v[0].clone(),
            inputs: v[0].to_f64s(),
            r: v[1].to_f64s(),
            h0: v[2].to_f64s(),
        }
    }

    /// All states and the last one; `step` makes the next state from a time and the last state.
    fn steps(&self, reverse: bool, mut step: impl FnMut(usize, &[f64], &mut [f64])) -> [Tensor; 2] {
        let steps = self.gates.shape()[0];
        let state = self.batch * self.hidden;
        let mut h = self.h0.clone();
        let mut y = vec![0.0; steps * state];
        for i in 0..steps {
            let t = if reverse { steps - 1 - i } else { i };
            let last = h.clone();
            step(t, &last, &mut h);
            y[t * state..][..state].copy_from_slice(&h);
        }
        let elem = self.gates.elem();
        [
            Tensor::from_f64s(elem, [steps, self.batch, self.hidden], y),
            Tensor::from_f64s(elem, [self.batch, self.hidden], h),
        ]
    }

    /// Each hidden unit of each sample.
    fn units(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let (batch, hidden) = (self.batch, self.hidden);
        (0..batch).flat_map(move |b| (0..hidden).map(move |j| (b, j)))
    }

    fn input(&self, t: usize, b: usize, gate: usize, j: usize) -> f64 {
        let width = self.gates.shape()[2];
        self.inputs[(t * self.batch + b) * width + gate * self.hidden + j]
    }

    fn product(&self, gate: usize, j: usize, state: &[f64], b: usize) -> f64 {
        let row = &self.r[(gate * self.hidden + j) * self.hidden..][..self.hidden];
        let state = &state[b * self.hidden..][..self.hidden];
        row.iter().zip(state).map(|(r, h)| r * h).sum()
    }

    fn clipped(&self, x: f64) -> f64 {
        match self.clip > 0.0 {
            true => x.clamp(-self.clip, self.clip),
            false => x,
        }
    }
}
