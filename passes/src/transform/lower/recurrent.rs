//! Recurrent layers as kernels: per direction one product for the inputs of all steps, and the
//! recurrence.

use lepid_ir::core::{Builder, Dim, Elem, Num, Op, OpResult, OpView, Tensor, Value};
use lepid_ir::dialects::core::constant;
use lepid_ir::dialects::tensor::build;
use lepid_ir::dialects::{kernel, nn, tensor};

use super::nn_to_kernel::{dims_of, is_constant_expression};

/// Whether an `nn.lstm` or `nn.gru` is what `kernel.lstm` or `kernel.gru` computes.
pub fn has_kernel(op: OpView<'_>) -> bool {
    let usual = match op.name() {
        "nn.lstm" => {
            let activations = nn::Lstm::activations(op);
            let mut each = activations.chunks(3);
            each.all(|a| a == ["sigmoid", "tanh", "tanh"]) && !nn::Lstm::input_forget(op)
        }
        "nn.gru" => {
            let activations = nn::Gru::activations(op);
            activations.chunks(2).all(|a| a == ["sigmoid", "tanh"])
        }
        _ => false,
    };
    // Lengths are integers.
    let elem = |v: &Value| op.module.value_type(*v).elem();
    usual
        && op.operands().iter().all(|v| elem(v) == Some(Elem::F32))
        && op.operand_dims(0)[0] != Dim::Known(0)
        && is_constant_expression(op.module, op.operand(1))
        && is_constant_expression(op.module, op.operand(2))
}

pub(super) fn lstm(b: &mut Builder<'_>, op: Op) -> OpResult<Option<Vec<Value>>> {
    let view = b.view(op);
    let Some(layer) = Layer::of(view, 4) else {
        return Ok(None);
    };
    let operands = view.operands().to_vec();
    let clip = nn::Lstm::clip(view).unwrap_or(0.0);
    let peephole = operands.get(6).copied();
    let mut cells = Vec::new();
    for direction in layer.directions() {
        let [w, r] = [1, 2].map(|i| direction.of(b, operands[i]));
        let [of_input, of_state] = layer.biases(b, direction, operands[3])?;
        let bias = b.one(&tensor::Add, &[of_input, of_state], &[])?;
        let gates = projected(b, operands[0], w?, bias)?;
        let states = [4, 5].map(|i| direction.of(b, operands[i]));
        let [h0, c0] = states;
        let mut inputs = vec![gates, r?, h0?, c0?];
        if let Some(weights) = peephole {
            inputs.push(direction.of(b, weights)?);
        }
        let attrs = [
            ("reverse", direction.reverse.into()),
            ("peephole", peephole.is_some().into()),
            ("clip", clip.into()),
        ];
        cells.push(b.create(&kernel::Lstm, &inputs, &attrs)?);
    }
    layer.joined(b, &cells).map(Some)
}

pub(super) fn gru(b: &mut Builder<'_>, op: Op) -> OpResult<Option<Vec<Value>>> {
    let view = b.view(op);
    let Some(layer) = Layer::of(view, 3) else {
        return Ok(None);
    };
    let operands = view.operands().to_vec();
    let clip = nn::Gru::clip(view).unwrap_or(0.0);
    let linear_before_reset = nn::Gru::linear_before_reset(view);
    let hidden = layer.hidden as i64;
    let mut cells = Vec::new();
    for direction in layer.directions() {
        let [w, r] = [1, 2].map(|i| direction.of(b, operands[i]));
        let [of_input, mut of_state] = layer.biases(b, direction, operands[3])?;
        let mut inside = None;
        if linear_before_reset {
            // The candidate's bias belongs to the product that is reset.
            inside = Some(build::slice_axis(b, of_state, 0, 2 * hidden, 3 * hidden)?);
            let others = build::slice_axis(b, of_state, 0, 0, 2 * hidden)?;
            let zero = constant(b, Tensor::scalar(Elem::F32, Num::Int(0)))?;
            let zeros = build::broadcast_to(b, zero, &[Dim::Known(layer.hidden)])?;
            of_state = build::concat(b, &[others, zeros], 0)?;
        }
        let bias = b.one(&tensor::Add, &[of_input, of_state], &[])?;
        let gates = projected(b, operands[0], w?, bias)?;
        let h0 = direction.of(b, operands[4])?;
        let inputs: Vec<Value> = [gates, r?, h0].into_iter().chain(inside).collect();
        let attrs = [
            ("reverse", direction.reverse.into()),
            ("linear_before_reset", linear_before_reset.into()),
            ("clip", clip.into()),
        ];
        cells.push(b.create(&kernel::Gru, &inputs, &attrs)?);
    }
    layer.joined(b, &cells).map(Some)
}

/// The gates' share of the inputs, for all steps.
fn projected(b: &mut Builder<'_>, x: Value, w: Value, bias: Value) -> OpResult<Value> {
    let weights = build::transpose(b, w, &[1, 0])?;
    let attrs = [("bias", true.into())];
    b.one(&kernel::Linear, &[x, weights, bias], &attrs)
}

/// The extents of a recurrent layer.
struct Layer {
    gates: u64,
    steps: u64,
    batch: u64,
    hidden: u64,
    /// Whether each direction runs from the last step to the first.
    reverse: &'static [bool],
}

/// One direction of a layer: its place along the first axis of weights and states.
#[derive(Copy, Clone)]
struct Direction {
    index: i64,
    reverse: bool,
}

impl Direction {
    /// Its part of an operand.
    fn of(self, b: &mut Builder<'_>, value: Value) -> OpResult<Value> {
        let dims = dims_of(b.value_type(value)).to_vec();
        let one = build::slice_axis(b, value, 0, self.index, self.index + 1)?;
        build::reshape(b, one, &dims[1..])
    }
}

impl Layer {
    /// `None` for a layer that no kernel computes.
    fn of(op: OpView<'_>, gates: u64) -> Option<Layer> {
        if !has_kernel(op) {
            return None;
        }
        let (x, h0) = (op.operand_dims(0), op.operand_dims(4));
        x[2].known()?;
        Some(Layer {
            gates,
            steps: x[0].known()?,
            batch: x[1].known()?,
            hidden: h0[2].known()?,
            reverse: match nn::Lstm::direction(op) {
                "forward" => &[false],
                "reverse" => &[true],
                _ => &[false, true],
            },
        })
    }

    fn directions(&self) -> impl Iterator<Item = Direction> {
        let each = self.reverse.iter().zip(0..);
        each.map(|(&reverse, index)| Direction { index, reverse })
    }

    /// The biases of the inputs' and of the state's product.
    fn biases(&self, b: &mut Builder<'_>, at: Direction, bias: Value) -> OpResult<[Value; 2]> {
        let both = at.of(b, bias)?;
        let all = (self.gates * self.hidden) as i64;
        Ok([
            build::slice_axis(b, both, 0, 0, all)?,
            build::slice_axis(b, both, 0, all, 2 * all)?,
        ])
    }

    /// The results of the layer: all states, then each kind of last state.
    fn joined(&self, b: &mut Builder<'_>, cells: &[Op]) -> OpResult<Vec<Value>> {
        let count = b.module.results(cells[0]).len();
        (0..count)
            .map(|i| {
                let (shape, axis) = match i {
                    0 => (vec![self.steps, 1, self.batch, self.hidden], 1),
                    _ => (vec![1, self.batch, self.hidden], 0),
                };
                let shape: Vec<Dim> = shape.into_iter().map(Dim::Known).collect();
                let parts = cells.iter().map(|&cell| {
                    let result = b.module.results(cell)[i];
                    build::reshape(b, result, &shape)
                });
                match parts.collect::<OpResult<Vec<Value>>>()?[..] {
                    [one] => Ok(one),
                    ref parts => build::concat(b, parts, axis),
                }
            })
            .collect()
    }
}
