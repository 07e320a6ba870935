//! Recurrent networks.

use lepid_ir::core::{Attr, Dim, OpResult, Tensor, Value};
use lepid_ir::dialects::tensor::build;
use lepid_ir::dialects::{nn, tensor};

use super::{Row, row};
use crate::frontends::onnx::cx::{Cx, invalid, unsupported};

type Values = OpResult<Vec<Value>>;

pub(super) const ROWS: &[Row] = &[row("GRU", 7, gru), row("LSTM", 7, lstm), row("RNN", 7, rnn)];

/// The operands that all cells have, with what is left out put in.
struct Cell {
    /// Whether the batch is the first axis of inputs and outputs.
    batch_first: bool,
    directions: u64,
    hidden: u64,
    /// `x`, `w`, `r`, the bias.
    operands: Vec<Value>,
    lengths: Option<Value>,
}

impl Cell {
    fn new(cx: &mut Cx<'_, '_, '_, '_>, gates: u64) -> OpResult<Cell> {
        let batch_first = cx.int("layout", 0)? != 0;
        let (mut x, w, r) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
        for (name, value) in [("X", x), ("W", w), ("R", r)] {
            let rank = cx.rank(value)?;
            if rank != 3 {
                let message = format!("input `{name}` needs rank 3, found {rank}");
                return Err(invalid(message));
            }
        }
        if batch_first {
            x = cx.transpose(x, &[1, 0, 2])?;
        }
        let dims = cx.dims(r)?;
        let [Dim::Known(directions), _, Dim::Known(hidden)] = dims[..] else {
            return Err(unsupported(
                "the extents of the recurrent weights must be known",
            ));
        };
        let bias = match cx.optional(3) {
            Some(bias) => bias,
            None => {
                let width = hidden.saturating_mul(2 * gates);
                let zero = cx.number(cx.elem(x)?, 0.0)?;
                let dims = [Dim::Known(directions), Dim::Known(width)];
                build::broadcast_to(cx.b, zero, &dims)?
            }
        };
        Ok(Cell {
            batch_first,
            directions,
            hidden,
            operands: vec![x, w, r, bias],
            lengths: cx.optional(4),
        })
    }

    /// An initial state; zeros if it is left out.
    fn state(&self, cx: &mut Cx<'_, '_, '_, '_>, input: usize) -> OpResult<Value> {
        if let Some(state) = cx.optional(input) {
            return match self.batch_first {
                true => cx.transpose(state, &[1, 0, 2]),
                false => Ok(state),
            };
        }
        let x = self.operands[0];
        let zero = cx.number(cx.elem(x)?, 0.0)?;
        let batch = cx.dims(x)?[1];
        let (directions, hidden) = (Dim::Known(self.directions), Dim::Known(self.hidden));
        if batch != Dim::Unknown {
            return build::broadcast_to(cx.b, zero, &[directions, batch, hidden]);
        }
        let batch = build::dim(cx.b, x, 1)?;
        let batch = cx.reshape(batch, &[Dim::Known(1)])?;
        let directions = cx.constant(Tensor::from_i64s([self.directions as i64]))?;
        let hidden = cx.constant(Tensor::from_i64s([self.hidden as i64]))?;
        let shape = build::concat(cx.b, &[directions, batch, hidden], 0)?;
        cx.op(&tensor::DynBroadcast, &[zero, shape], &[])
    }

    /// The outputs in the order of axes that the node wants.
    fn outputs(&self, cx: &mut Cx<'_, '_, '_, '_>, values: Vec<Value>) -> Values {
        if !self.batch_first {
            return Ok(values);
        }
        let mut out = Vec::with_capacity(values.len());
        for (i, value) in values.into_iter().enumerate() {
            let perm: &[usize] = if i == 0 { &[2, 0, 1, 3] } else { &[1, 0, 2] };
            out.push(cx.transpose(value, perm)?);
        }
        Ok(out)
    }
}

/// The attributes that all cells have.
fn cell_attrs(cx: &Cx<'_, '_, '_, '_>) -> OpResult<Vec<(&'static str, Attr)>> {
    let mut attrs = vec![(
        "direction",
        Attr::from(cx.string("direction", "forward")?.as_str()),
    )];
    if let Some(clip) = cx.opt_float("clip")? {
        attrs.push(("clip", clip.into()));
    }
    let Some(given) = cx.strings("activations")? else {
        return Ok(attrs);
    };
    let mut alphas = cx
        .floats("activation_alpha")?
        .unwrap_or_default()
        .into_iter();
    let mut betas = cx
        .floats("activation_beta")?
        .unwrap_or_default()
        .into_iter();
    let (mut names, mut alpha, mut beta) = (Vec::new(), Vec::new(), Vec::new());
    for activation in &given {
        let known = Activation::find(activation)?;
        names.push(Attr::from(known.ours));
        // The lists of the node hold entries for those activations alone that have a parameter.
        let take = |list: &mut std::vec::IntoIter<f64>, default: Option<f64>| match default {
            Some(default) => list.next().unwrap_or(default),
            None => 0.0,
        };
        alpha.push(Attr::from(take(&mut alphas, known.alpha)));
        beta.push(Attr::from(take(&mut betas, known.beta)));
    }
    attrs.push(("activations", Attr::List(names)));
    attrs.push(("alpha", Attr::List(alpha)));
    attrs.push(("beta", Attr::List(beta)));
    Ok(attrs)
}

/// An activation with the defaults of the parameters that it has.
struct Activation {
    onnx: &'static str,
    ours: &'static str,
    alpha: Option<f64>,
    beta: Option<f64>,
}

const fn activation(
    onnx: &'static str,
    ours: &'static str,
    alpha: Option<f64>,
    beta: Option<f64>,
) -> Activation {
    Activation {
        onnx,
        ours,
        alpha,
        beta,
    }
}

const ACTIVATIONS: &[Activation] = &[
    activation("Affine", "affine", Some(1.0), Some(0.0)),
    activation("Elu", "elu", Some(1.0), None),
    activation("HardSigmoid", "hard_sigmoid", Some(0.2), Some(0.5)),
    activation("LeakyRelu", "leaky_relu", Some(0.01), None),
    activation("Relu", "relu", None, None),
    activation("ScaledTanh", "scaled_tanh", Some(1.0), Some(1.0)),
    activation("Sigmoid", "sigmoid", None, None),
    activation("Softplus", "softplus", None, None),
    activation("Softsign", "softsign", None, None),
    activation("Tanh", "tanh", None, None),
    activation("ThresholdedRelu", "thresholded_relu", Some(1.0), None),
];

impl Activation {
    fn find(name: &str) -> OpResult<&'static Activation> {
        let found = ACTIVATIONS
            .iter()
            .find(|a| a.onnx.eq_ignore_ascii_case(name));
        found.ok_or_else(|| invalid(format!("activation `{name}` is not known")))
    }
}

fn lstm(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let cell = Cell::new(cx, 4)?;
    let mut operands = cell.operands.clone();
    operands.push(cell.state(cx, 5)?);
    operands.push(cell.state(cx, 6)?);
    operands.extend(cx.optional(7));
    operands.extend(cell.lengths);
    let mut attrs = cell_attrs(cx)?;
    attrs.push(("input_forget", cx.flag("input_forget")?.into()));
    let values = cx.ops(&nn::Lstm, &operands, &attrs)?;
    cell.outputs(cx, values)
}

fn gru(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let cell = Cell::new(cx, 3)?;
    let mut operands = cell.operands.clone();
    operands.push(cell.state(cx, 5)?);
    operands.extend(cell.lengths);
    let mut attrs = cell_attrs(cx)?;
    attrs.push((
        "linear_before_reset",
        cx.flag("linear_before_reset")?.into(),
    ));
    let values = cx.ops(&nn::Gru, &operands, &attrs)?;
    cell.outputs(cx, values)
}

/// A GRU whose gates stand still: `z` is always 0 and `r` always 1, for their weights are 0 and
/// their biases infinite. What is left is `h' = f(x · wᵀ + h · rᵀ + bias)`.
fn rnn(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let cell = Cell::new(cx, 1)?;
    let h0 = cell.state(cx, 5)?;
    let [x, w, r, bias] = cell.operands[..] else {
        return Err(invalid("three inputs are needed"));
    };
    if cx.opt_float("clip")?.is_some() {
        return Err(unsupported("attribute `clip` is not supported here"));
    }
    let elem = cx.elem(x)?;
    let still = |cx: &mut Cx<'_, '_, '_, '_>, weights: Value| -> OpResult<Value> {
        let mut dims = cx.dims(weights)?;
        let [_, rows, _] = &mut dims[..] else {
            let rank = dims.len();
            return Err(invalid(format!("weights must have rank 3, found {rank}")));
        };
        *rows = rows.times(Dim::Known(2));
        let zero = cx.number(elem, 0.0)?;
        let zeros = build::broadcast_to(cx.b, zero, &dims)?;
        build::concat(cx.b, &[zeros, weights], 1)
    };
    let (w, r) = (still(cx, w)?, still(cx, r)?);
    let hidden = cell.hidden as i64;
    let own_w = build::slice_axis(cx.b, bias, 1, 0, hidden)?;
    let own_r = build::slice_axis(cx.b, bias, 1, hidden, 2 * hidden)?;
    let gate = [Dim::Known(cell.directions), Dim::Known(cell.hidden)];
    let mut filled = |x: f64| -> OpResult<Value> {
        let x = cx.number(elem, x)?;
        build::broadcast_to(cx.b, x, &gate)
    };
    let (never, always, zero) = (
        filled(f64::NEG_INFINITY)?,
        filled(f64::INFINITY)?,
        filled(0.0)?,
    );
    let bias = build::concat(cx.b, &[never, always, own_w, zero, zero, own_r], 1)?;
    let mut operands = vec![x, w, r, bias, h0];
    operands.extend(cell.lengths);
    let mut attrs = cell_attrs(cx)?;
    for (name, attr) in &mut attrs {
        if let Attr::List(entries) = attr {
            let gate = if *name == "activations" {
                Attr::from("sigmoid")
            } else {
                Attr::Float(0.0)
            };
            *entries = entries
                .iter()
                .flat_map(|own| [gate.clone(), own.clone()])
                .collect();
        }
    }
    let values = cx.ops(&nn::Gru, &operands, &attrs)?;
    cell.outputs(cx, values)
}
