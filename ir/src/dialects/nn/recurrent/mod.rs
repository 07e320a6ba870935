//! Recurrent networks over the first axis (time).

mod activation;
mod eval;
mod expand;

use crate::core::{
    Attr, Builder, Cost, Dim, Elem, EvalCx, Op, OpDef, OpError, OpInfo, OpResult, OpView, Tensor,
    TensorType, Type, Value,
};
use crate::op;

use self::activation::Activation;
use super::rules::{choice, ensure, has_dims, meet, operand_types};

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
        eval::lstm(op, x)
    }
    fn decompose(&self, b: &mut Builder<'_>, op: Op) -> OpResult<Option<Vec<Value>>> {
        expand::lstm(b, op)
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
        eval::gru(op, x)
    }
    fn decompose(&self, b: &mut Builder<'_>, op: Op) -> OpResult<Option<Vec<Value>>> {
        expand::gru(b, op)
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
    lstm_activations(op, &cell)?;
    check_clip(Lstm::clip(op))?;
    Ok(vec![cell.all(), cell.last(), cell.last()])
}

fn gru_types(op: OpView<'_>, x: &[TensorType]) -> OpResult<Vec<TensorType>> {
    super::rules::at_most(op, op.operands().len(), 1)?;
    let cell = Cell::new(x, 3, Gru::direction(op))?;
    if let Some(lengths) = x.get(5) {
        cell.check_lengths(lengths)?;
    }
    gru_activations(op, &cell)?;
    check_clip(Gru::clip(op))?;
    Ok(vec![cell.all(), cell.last()])
}

fn lstm_activations(op: OpView<'_>, cell: &Cell) -> OpResult<Vec<Activation>> {
    let names = Lstm::activations(op);
    activation::list(3 * cell.count(), &names, &Lstm::alpha(op), &Lstm::beta(op))
}

fn gru_activations(op: OpView<'_>, cell: &Cell) -> OpResult<Vec<Activation>> {
    let names = Gru::activations(op);
    activation::list(2 * cell.count(), &names, &Gru::alpha(op), &Gru::beta(op))
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
        hidden = meet(hidden, state[2], "hidden extents of `r` and `h0`")?;
        let batch = meet(x[0].dims[1], state[1], "batches of `x` and `h0`")?;
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

    /// The number of directions.
    fn count(&self) -> usize {
        self.directions.known().unwrap_or(1) as usize
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
