//! The recurrence of an LSTM.

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
        let (gates, h0) = (op.operand_tensor(0), op.operand_tensor(2));
        let (r, c0) = (op.operand_tensor(1), op.operand_tensor(3));
        if gates.rank() != 3 || h0.rank() != 2 || r.rank() != 2 || c0 != h0 {
            return Err(OpError::new(
                "expected gates [T, B, 4 H], r [4 H, H], h0 and c0 [B, H]",
            ));
        }
        let hidden = h0.dims[1];
        let four = hidden.times(Dim::Known(4));
        let fits = gates.dims[2].compatible(four)
            && r.dims[0].compatible(four)
            && r.dims[1].compatible(hidden)
            && gates.dims[1].compatible(h0.dims[0]);
        if !fits {
            return Err(OpError::new(format!(
                "gates `{gates}`, r `{r}` and h0 `{h0}` do not fit"
            )));
        }
        let y = Type::tensor(gates.elem, [gates.dims[0], h0.dims[0], hidden]);
        let state = op.operand_type(2);
        Ok(vec![y, state, state])
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
        let (gates, r) = (v[0].to_f64s(), v[1].to_f64s());
        let (steps, batch) = (v[0].shape()[0], v[0].shape()[1]);
        let hidden = v[2].shape()[1];
        let (mut h, mut c) = (v[2].to_f64s(), v[3].to_f64s());
        let peephole = Lstm::peephole(op).then(|| v[4].to_f64s());
        let weight =
            |gate: usize, j: usize| peephole.as_ref().map_or(0.0, |p| p[gate * hidden + j]);
        let clip = Lstm::clip(op);
        let clipped = |x: f64| if clip > 0.0 { x.clamp(-clip, clip) } else { x };
        let mut y = vec![0.0; steps * batch * hidden];
        for step in 0..steps {
            let t = if Lstm::reverse(op) {
                steps - 1 - step
            } else {
                step
            };
            let last = h.clone();
            for b in 0..batch {
                for j in 0..hidden {
                    let gate = |g: usize| {
                        let row = &r[(g * hidden + j) * hidden..][..hidden];
                        let h = &last[b * hidden..][..hidden];
                        let sum: f64 = row.iter().zip(h).map(|(r, h)| r * h).sum();
                        gates[(t * batch + b) * 4 * hidden + g * hidden + j] + sum
                    };
                    let at = b * hidden + j;
                    let old = c[at];
                    let i = sigmoid(clipped(gate(0) + weight(0, j) * old));
                    let f = sigmoid(clipped(gate(2) + weight(2, j) * old));
                    c[at] = f * old + i * libm::tanh(clipped(gate(3)));
                    let o = sigmoid(clipped(gate(1) + weight(1, j) * c[at]));
                    h[at] = o * libm::tanh(c[at]);
                }
            }
            y[t * batch * hidden..][..batch * hidden].copy_from_slice(&h);
        }
        let (elem, state) = (v[0].elem(), [batch, hidden]);
        Ok(vec![
            Tensor::from_f64s(elem, [steps, batch, hidden], y),
            Tensor::from_f64s(elem, state, h),
            Tensor::from_f64s(elem, state, c),
        ])
    }
    fn cost(&self, op: OpView<'_>) -> Cost {
        let hidden = op.operand_dims(2)[1].known().unwrap_or(1) as f64;
        Cost::of(op, op.result_elements(0) * 8.0 * hidden)
    }
}
