//! The `kernel` dialect: what the CPU and the GPU targets generate code for.
//!
//! Ops keep value semantics, so that the interpreter defines them and passes may move them; where
//! a value lies in memory is stated separately by the memory plan (`core.func`). Two kinds:
//! a *nest* is one loop nest over pure index-wise ops, written as those ops in a region; the
//! others are an `nn` op with a fused epilogue `act(y + bias + residual)`, and *strips* are a chain
//! of those in a region.

mod recurrent;

pub use recurrent::{Gru, Lstm};

use crate::core::{
    Block, Cost, Dim, EvalCx, Module, Op, OpDef, OpError, OpInfo, OpResult, OpView, Registry,
    Tensor, TensorType, Type, Value, ValueDef,
};
use crate::dialects::{nn, tensor};
use crate::op;

op! {
    /// One loop nest: computes the values of `body`, whose arguments are `inputs`, element by
    /// element, without storing what is in between. All results have one shape.
    "kernel.nest" => Nest {
        operands: [; inputs: TENSOR],
        results: [; results],
        regions: [body],
        traits: [Pure, Isolated],
    }
}

impl OpDef for Nest {
    fn info(&self) -> &'static OpInfo {
        &Nest::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        Ok(Nest::yielded(op)
            .iter()
            .map(|&v| op.module.value_type(v))
            .collect())
    }
    fn verify(&self, op: OpView<'_>) -> OpResult<()> {
        verify_inputs(op)
    }
    fn eval(
        &self,
        op: OpView<'_>,
        operands: &[Tensor],
        cx: &mut EvalCx<'_>,
    ) -> OpResult<Vec<Tensor>> {
        cx.blocks.run_block(Nest::block(op), operands.to_vec())
    }
    fn cost(&self, op: OpView<'_>) -> Cost {
        cost_inside(op)
    }
}

impl Nest {
    pub fn block(op: OpView<'_>) -> Block {
        body(op)
    }

    /// The values of the body that become the results.
    pub fn yielded(op: OpView<'_>) -> &[Value] {
        yielded(op)
    }
}

op! {
    /// A chain of convolutions, computed in strips of `rows` output rows so that no value between
    /// them is stored whole. Each op of `body`, whose arguments are `inputs`, is a direct
    /// `kernel.conv` whose `x` is the result of the op before; the last one's is the result.
    "kernel.strips" => Strips {
        operands: [; inputs: TENSOR],
        attributes: [rows: Int],
        results: [y],
        regions: [body],
        traits: [Pure, Isolated],
    }
}

impl OpDef for Strips {
    fn info(&self) -> &'static OpInfo {
        &Strips::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        match yielded(op) {
            &[y] => Ok(vec![op.module.value_type(y)]),
            _ => Err(OpError::new("the body must yield one value")),
        }
    }
    fn verify(&self, op: OpView<'_>) -> OpResult<()> {
        verify_inputs(op)?;
        let module = op.module;
        let convs: Vec<Op> = Strips::convs(op).collect();
        let direct = |&conv: &Op| {
            module.op_name(conv) == Conv::INFO.name
                && Conv::algorithm(module.view(conv)) == "direct"
        };
        if convs.is_empty() || !convs.iter().all(direct) {
            return Err(OpError::new(
                "the body must be one or more `kernel.conv` of the algorithm \"direct\"",
            ));
        }
        // Read as `x` by the next one, and by nothing else.
        let mut readers = convs[1..]
            .iter()
            .copied()
            .chain(module.terminator(body(op)));
        if Strips::rows(op) < 1 {
            return Err(OpError::new("`rows` must be at least 1"));
        }
        let chained = convs.iter().all(|&conv| {
            let reader = readers.next();
            matches!(module.uses(module.results(conv)[0]), &[u] if Some(u.op) == reader && u.operand == 0)
        });
        match chained {
            true => Ok(()),
            false => Err(OpError::new(
                "each value of the body must be the `x` of the next convolution, and no more",
            )),
        }
    }
    fn eval(
        &self,
        op: OpView<'_>,
        operands: &[Tensor],
        cx: &mut EvalCx<'_>,
    ) -> OpResult<Vec<Tensor>> {
        cx.blocks.run_block(body(op), operands.to_vec())
    }
    fn cost(&self, op: OpView<'_>) -> Cost {
        cost_inside(op)
    }
}

impl Strips {
    /// The chain, first to last.
    pub fn convs(op: OpView<'_>) -> impl Iterator<Item = Op> {
        let end = op.module.terminator(body(op));
        op.module.ops_in(body(op)).filter(move |&o| Some(o) != end)
    }
}

/// Whether an op is one kernel around a body: what the body computes has no place in memory.
pub fn has_body(module: &Module, op: Op) -> bool {
    [Nest::INFO.name, Strips::INFO.name].contains(&module.op_name(op))
}

/// Whether an op stands in the body of a kernel, and is computed as a part of it.
pub fn is_inside_kernel(module: &Module, op: Op) -> bool {
    module
        .parent_op(op)
        .is_some_and(|parent| has_body(module, parent))
}

/// The value outside that an argument of a kernel's body stands for; any other value is its own.
pub fn outside(module: &Module, value: Value) -> Value {
    let ValueDef::Arg(block, i) = module.value_def(value) else {
        return value;
    };
    let region = module.block_region(block);
    match region.and_then(|region| module.region_op(region)) {
        Some(op) if has_body(module, op) => module.operands(op)[i],
        _ => value,
    }
}

fn body(op: OpView<'_>) -> Block {
    op.module.region_blocks(op.regions()[0])[0]
}

fn yielded(op: OpView<'_>) -> &[Value] {
    match op.module.terminator(body(op)) {
        Some(end) => op.module.operands(end),
        None => &[],
    }
}

fn verify_inputs(op: OpView<'_>) -> OpResult<()> {
    let args = op.module.block_args(body(op));
    let fits = args.len() == op.operands().len()
        && args
            .iter()
            .zip(op.operands())
            .all(|(&a, &v)| op.module.value_type(a) == op.module.value_type(v));
    match fits {
        true => Ok(()),
        false => Err(OpError::new(
            "the arguments of the body must have the types of the inputs",
        )),
    }
}

/// The work of the body; only operands and results go through memory.
fn cost_inside(op: OpView<'_>) -> Cost {
    let inner = op.module.walk_inside(op.op).into_iter();
    let flops = inner.map(|o| {
        let view = op.module.view(o);
        view.def().cost(view).flops
    });
    Cost::of(op, flops.sum())
}

/// An activation of `x` with the bounds `low` and `high`.
pub type Activation = fn(x: f64, low: f64, high: f64) -> f64;

/// The activations that an epilogue can apply, by the name in the `act` attribute.
pub const ACTIVATIONS: &[(&str, Activation)] = &[
    ("none", |x, _, _| x),
    ("relu", |x, _, _| if x < 0.0 { 0.0 } else { x }),
    ("clip", |x, low, high| {
        if x < low {
            low
        } else if x > high {
            high
        } else {
            x
        }
    }),
    ("gelu", |x, _, _| {
        0.5 * x * (1.0 + libm::erf(x * std::f64::consts::FRAC_1_SQRT_2))
    }),
    ("gelu_tanh", |x, _, _| gelu_tanh(x)),
    ("silu", |x, _, _| x * sigmoid(x)),
    ("sigmoid", |x, _, _| sigmoid(x)),
    ("tanh", |x, _, _| libm::tanh(x)),
    ("hard_swish", |x, _, _| x * (x / 6.0 + 0.5).clamp(0.0, 1.0)),
];

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-x))
}

fn gelu_tanh(x: f64) -> f64 {
    let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
    0.5 * x * (1.0 + libm::tanh(inner))
}

op! {
    /// `act(conv(x, w) + bias + residual)` on channels-last `x` of rank 4; `bias` and `residual`
    /// stand in `extras` as far as the attributes of their names say so. `w` is
    /// [O, I / groups, h, w]. With `gather`, an integer vector `channels` stands between bias and
    /// residual, and channel `i` of the convolution is channel `channels[i]` of `x`. `algorithm`
    /// says how a target computes it, and changes no more than how it rounds; Winograd's are for
    /// windows of 3 x 3 at stride, dilation and groups 1.
    "kernel.conv" => Conv {
        operands: [x: FLOAT_TENSOR, w: FLOAT_TENSOR; extras: NUM_TENSOR],
        attributes: [stride: Ints, dilation: Ints, pad: Ints, groups: Int = 1, layout: Str = "nhwc", algorithm: Str = "direct", bias: Bool = false, gather: Bool = false, residual: Bool = false, act: Str = "none", low: Float = f64::NEG_INFINITY, high: Float = f64::INFINITY],
        results: [y],
        traits: [Pure],
    }
}

op! {
    /// `act(x · w + bias + residual)`: `x` is [..., K], `w` [K, N], the result [..., N]; `extras`
    /// as in `kernel.conv`. With `quantised` above 0 a target keeps `w` as integers of eight bits,
    /// with one scale for each column of so many rows, and rounds otherwise.
    "kernel.linear" => Linear {
        operands: [x: FLOAT_TENSOR, w: FLOAT_TENSOR; extras: FLOAT_TENSOR],
        attributes: [quantised: Int = 0, bias: Bool = false, residual: Bool = false, act: Str = "none", low: Float = f64::NEG_INFINITY, high: Float = f64::INFINITY],
        results: [y],
        traits: [Pure],
    }
}

macro_rules! fused_op {
    ($ty:ident, $of:expr, $result:path, $verify:path) => {
        impl OpDef for $ty {
            fn info(&self) -> &'static OpInfo {
                &$ty::INFO
            }
            fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
                let mut types = nn::rules::operand_types(op);
                if let Some((at, _)) = channels(op) {
                    types[0] = gathered_type(&types[0], &types[at])?;
                }
                types.truncate(2 + usize::from($ty::bias(op)));
                nn::rules::one($result(op, &types)?)
            }
            fn verify(&self, op: OpView<'_>) -> OpResult<()> {
                $verify(op)
            }
            fn eval(
                &self,
                op: OpView<'_>,
                operands: &[Tensor],
                cx: &mut EvalCx<'_>,
            ) -> OpResult<Vec<Tensor>> {
                let mut plain = operands[..2 + usize::from($ty::bias(op))].to_vec();
                if let Some((at, _)) = channels(op) {
                    let last = plain[0].shape().len() - 1;
                    plain[0] = tensor::lookup::gather(&plain[0], &operands[at], last)?;
                }
                let y = $of.eval(op, &plain, cx)?;
                epilogue(op, &y[0], operands)
            }
            fn cost(&self, op: OpView<'_>) -> Cost {
                Cost::of(op, $of.cost(op).flops)
            }
        }
    };
}
fused_op!(Conv, nn::Conv, nn::conv::conv_type, verify_conv);
fused_op!(Linear, nn::Linear, nn::linear::linear_type, verify_linear);

/// Whether each channel of a `kernel.conv` has a window and an output of its own.
pub fn is_depthwise(op: OpView<'_>) -> bool {
    let groups = Conv::groups(op);
    let all = Dim::Known(groups as u64);
    groups > 1
        && !Conv::gather(op)
        && op.operand_dims(0).last() == Some(&all)
        && op.operand_dims(1)[0] == all
}

/// How a `kernel.conv` may be computed: directly, or as Winograd's F(2 x 2, 3 x 3) or
/// F(4 x 4, 3 x 3).
pub const ALGORITHMS: &[&str] = &["direct", "winograd_f2", "winograd_f4"];

/// Whether Winograd's algorithms compute a `kernel.conv` with such a window.
pub fn suits_winograd(op: OpView<'_>) -> bool {
    let ones = |list: Vec<i64>| list == [1, 1];
    let three = Dim::Known(3);
    op.operand_dims(1)[2..] == [three, three]
        && ones(Conv::stride(op))
        && ones(Conv::dilation(op))
        && Conv::groups(op) == 1
        && channels(op).is_none()
}

fn verify_conv(op: OpView<'_>) -> OpResult<()> {
    let algorithm = Conv::algorithm(op);
    if !ALGORITHMS.contains(&algorithm) {
        let message = format!("unknown algorithm \"{algorithm}\"");
        return Err(OpError::new(message).help(format!("it is {}", ALGORITHMS.join(", "))));
    }
    if algorithm != "direct" && !suits_winograd(op) {
        return Err(OpError::new(format!(
            "\"{algorithm}\" is for windows of 3 x 3 at stride, dilation and groups 1, with no \
             gathered channels"
        )));
    }
    verify_epilogue(op)
}

/// Where the parts of an epilogue stand among the operands.
#[derive(Copy, Clone, Debug)]
pub struct Extras {
    pub bias: Option<Value>,
    /// The channels of `x` that a convolution reads, in its order.
    pub channels: Option<Value>,
    pub residual: Option<Value>,
}

/// Where the channels to gather stand among the operands of a `kernel.conv`, and the operand.
fn channels(op: OpView<'_>) -> Option<(usize, Value)> {
    if op.name() != Conv::INFO.name || !Conv::gather(op) {
        return None;
    }
    let at = 2 + usize::from(Conv::bias(op));
    op.operands().get(at).map(|&value| (at, value))
}

/// The operands of a `kernel.conv` or `kernel.linear` behind its weights.
pub fn extras(op: OpView<'_>) -> Extras {
    let last = op.operands().last().copied();
    Extras {
        bias: Conv::bias(op).then(|| op.operand(2)),
        channels: channels(op).map(|(_, value)| value),
        residual: last.filter(|_| Conv::residual(op)),
    }
}

/// What a convolution of gathered channels sees in place of `x`.
fn gathered_type(x: &TensorType, channels: &TensorType) -> OpResult<TensorType> {
    if !channels.elem.is_int() || channels.rank() != 1 {
        return Err(OpError::new(format!(
            "`channels` must be a vector of integers, found `{channels}`"
        )));
    }
    let mut dims = x.dims.to_vec();
    if let Some(last) = dims.last_mut() {
        *last = channels.dims[0];
    }
    Ok(TensorType::new(x.elem, dims))
}

fn verify_linear(op: OpView<'_>) -> OpResult<()> {
    match Linear::quantised(op) {
        0.. => verify_epilogue(op),
        _ => Err(OpError::new("`quantised` must be 0 or more")),
    }
}

fn verify_epilogue(op: OpView<'_>) -> OpResult<()> {
    let flags = [
        Conv::bias(op),
        op.name() == Conv::INFO.name && Conv::gather(op),
        Conv::residual(op),
    ];
    let expected = 2 + flags.into_iter().filter(|&set| set).count();
    if op.operands().len() != expected {
        return Err(OpError::new(format!(
            "`bias`, `gather` and `residual` ask for {expected} operands, found {}",
            op.operands().len()
        )));
    }
    if let Some(residual) = extras(op).residual
        && op.module.value_type(residual) != op.result_type(0)
    {
        return Err(OpError::new(
            "the residual must have the type of the result",
        ));
    }
    match ACTIVATIONS.iter().any(|(name, _)| *name == Conv::act(op)) {
        true => Ok(()),
        false => Err(OpError::new(format!(
            "unknown activation \"{}\"",
            Conv::act(op)
        ))),
    }
}

fn epilogue(op: OpView<'_>, y: &Tensor, operands: &[Tensor]) -> OpResult<Vec<Tensor>> {
    let residual = Conv::residual(op).then(|| operands[operands.len() - 1].to_f64s());
    let (low, high) = (Conv::low(op), Conv::high(op));
    let Some((_, act)) = ACTIVATIONS.iter().find(|(name, _)| *name == Conv::act(op)) else {
        crate::bug!("unknown activation passed the verifier");
    };
    let values = y.to_f64s().into_iter().enumerate().map(|(i, y)| {
        let sum = residual.as_ref().map_or(y, |r| y + r[i]);
        act(sum, low, high)
    });
    Ok(vec![Tensor::from_f64s(
        y.elem(),
        y.shape().iter().copied(),
        values,
    )])
}

op! {
    /// `y` [B..., K, N] (or [B..., N, K] with `transpose`) in panels of 16 columns:
    /// [B..., ceil(N / 16), K, 16], filled up with zeros.
    "kernel.pack" => Pack {
        operands: [y: FLOAT_TENSOR],
        attributes: [transpose: Bool = false],
        results: [packed],
        traits: [Pure],
    }
}

/// Columns of a packed panel.
pub const PANEL: usize = 16;

impl OpDef for Pack {
    fn info(&self) -> &'static OpInfo {
        &Pack::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        let y = op.operand_tensor(0);
        if y.rank() < 2 {
            return Err(OpError::new(format!(
                "expected rank 2 or more, found `{y}`"
            )));
        }
        let (batch, last) = y.dims.split_at(y.rank() - 2);
        let (k, n) = match Pack::transpose(op) {
            true => (last[1], last[0]),
            false => (last[0], last[1]),
        };
        let panels = n.map(|n| n.div_ceil(PANEL as u64));
        let packed = [panels, k, Dim::Known(PANEL as u64)];
        Ok(vec![Type::tensor(
            y.elem,
            batch.iter().copied().chain(packed),
        )])
    }
    fn eval(&self, op: OpView<'_>, v: &[Tensor], _: &mut EvalCx<'_>) -> OpResult<Vec<Tensor>> {
        let (shape, values) = (v[0].shape(), v[0].to_f64s());
        let rank = shape.len();
        let transpose = Pack::transpose(op);
        let (k, n) = match transpose {
            true => (shape[rank - 1], shape[rank - 2]),
            false => (shape[rank - 2], shape[rank - 1]),
        };
        let batch: usize = shape[..rank - 2].iter().product();
        let panels = n.div_ceil(PANEL);
        let mut out = vec![0.0; batch * panels * k * PANEL];
        for b in 0..batch {
            for l in 0..k {
                for j in 0..n {
                    let from = b * k * n + if transpose { j * k + l } else { l * n + j };
                    let to = ((b * panels + j / PANEL) * k + l) * PANEL + j % PANEL;
                    out[to] = values[from];
                }
            }
        }
        let packed = shape[..rank - 2].iter().copied().chain([panels, k, PANEL]);
        Ok(vec![Tensor::from_f64s(v[0].elem(), packed, out)])
    }
}

op! {
    /// `scale * (x · y)` for packed `y`: `x` is [B..., M, K], `y` as `kernel.pack` gives it for
    /// the same batch extents, the result [B..., M, `columns`].
    "kernel.matmul" => Matmul {
        operands: [x: FLOAT_TENSOR, y: FLOAT_TENSOR],
        attributes: [columns: Int, scale: Float = 1.0],
        results: [z],
        traits: [Pure],
    }
}

impl OpDef for Matmul {
    fn info(&self) -> &'static OpInfo {
        &Matmul::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        let (x, y) = (op.operand_tensor(0), op.operand_tensor(1));
        let rank = x.rank();
        if rank < 2 || y.rank() != rank + 1 || x.elem != y.elem {
            return Err(OpError::new(format!("`{x}` and `{y}` do not fit")));
        }
        let columns = u64::try_from(Matmul::columns(op)).unwrap_or(0);
        let panels = Dim::Known(columns.div_ceil(PANEL as u64));
        let wanted = x.dims[..rank - 2].iter().copied().chain([
            panels,
            x.dims[rank - 1],
            Dim::Known(PANEL as u64),
        ]);
        if wanted.zip(&y.dims).any(|(a, b)| !a.compatible(*b)) {
            return Err(OpError::new(format!(
                "`{x}` and packed `{y}` do not fit {columns} columns"
            )));
        }
        let mut dims = x.dims.clone();
        dims[rank - 1] = Dim::Known(columns);
        Ok(vec![Type::tensor(x.elem, dims)])
    }
    fn eval(&self, op: OpView<'_>, v: &[Tensor], _: &mut EvalCx<'_>) -> OpResult<Vec<Tensor>> {
        let (x, y) = (v[0].to_f64s(), v[1].to_f64s());
        let rank = v[0].rank();
        let (m, k) = (v[0].shape()[rank - 2], v[0].shape()[rank - 1]);
        let n = Matmul::columns(op) as usize;
        let packed = n.div_ceil(PANEL) * k * PANEL;
        let batch: usize = v[0].shape()[..rank - 2].iter().product();
        let mut out = Vec::with_capacity(batch * m * n);
        for b in 0..batch {
            let (x, y) = (&x[b * m * k..][..m * k], &y[b * packed..][..packed]);
            for i in 0..m {
                for j in 0..n {
                    let column = j / PANEL * k * PANEL + j % PANEL;
                    let products = (0..k).map(|l| x[i * k + l] * y[column + l * PANEL]);
                    out.push(products.sum::<f64>() * Matmul::scale(op));
                }
            }
        }
        let mut shape = v[0].shape().to_vec();
        shape[rank - 1] = n;
        Ok(vec![Tensor::from_f64s(v[0].elem(), shape, out)])
    }
    fn cost(&self, op: OpView<'_>) -> Cost {
        let k = op.operand_dims(0).last().and_then(|d| d.known());
        Cost::of(op, 2.0 * op.result_elements(0) * k.unwrap_or(1) as f64)
    }
}

pub fn register(ops: &mut Registry) {
    ops.add(&[&Conv, &Gru, &Linear, &Lstm, &Matmul, &Nest, &Pack, &Strips]);
}
