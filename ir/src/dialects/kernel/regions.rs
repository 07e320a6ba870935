//! Kernels around a body: loop nests and strips.

use crate::core::{
    Block, Cost, Dim, EvalCx, Module, Op, OpDef, OpError, OpInfo, OpResult, OpView, Tensor, Trait,
    Type, Value, ValueDef,
};
use crate::dialects::tensor;
use crate::op;

use super::layers::Conv;

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

    /// Whether it computes each pixel of channels-last images from what stands at the same pixel
    /// of its inputs, and from values that are the same at all pixels.
    pub fn is_pixelwise(op: OpView<'_>) -> bool {
        let module = op.module;
        let ops = module.ops_in(body(op)).map(|inner| module.view(inner));
        let images = op.results().len() == 1
            && op.result_tensor(0).rank() == 4
            && op.result_tensor(0).known_dims().is_some();
        images && ops.into_iter().all(keeps_pixels)
    }
}

/// Whether each pixel of an op's result depends on the same pixel of its operands alone.
fn keeps_pixels(op: OpView<'_>) -> bool {
    let last = 3;
    match op.name() {
        "core.constant" => true,
        "core.yield" => true,
        "tensor.concat" => tensor::Concat::axis(op) == last,
        "tensor.broadcast" => {
            let mut from = tensor::Broadcast::axes(op)
                .into_iter()
                .zip(op.operand_dims(0));
            from.all(|(axis, &extent)| axis == last || extent == Dim::Known(1))
        }
        _ => op.info().has(Trait::Elementwise),
    }
}

op! {
    /// A chain of convolutions, computed in strips of `rows` output rows so that no value between
    /// them is stored whole. Each op of `body`, whose arguments are `inputs`, is a direct
    /// `kernel.conv` whose `x` is the result of the op before; the last one's is the result. The
    /// first may be a pixelwise `kernel.nest`, the prologue.
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
        let prologue = Strips::prologue(op).map(|nest| module.view(nest));
        if prologue.is_some_and(|nest| !Nest::is_pixelwise(nest)) {
            return Err(OpError::new(
                "the nest before the convolutions must be pixelwise",
            ));
        }
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
        let chain: Vec<Op> = Strips::prologue(op).into_iter().chain(convs).collect();
        let mut readers = chain[1..]
            .iter()
            .copied()
            .chain(module.terminator(body(op)));
        if Strips::rows(op) < 1 {
            return Err(OpError::new("`rows` must be at least 1"));
        }
        let chained = chain.iter().all(|&op| {
            let reader = readers.next();
            matches!(module.uses(module.results(op)[0]), &[u] if Some(u.op) == reader && u.operand == 0)
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
    /// The convolutions, first to last.
    pub fn convs(op: OpView<'_>) -> impl Iterator<Item = Op> {
        let end = op.module.terminator(body(op));
        let ops = op.module.ops_in(body(op));
        ops.skip(usize::from(Strips::prologue(op).is_some()))
            .filter(move |&o| Some(o) != end)
    }

    /// The nest that computes what the first convolution reads, if there is one.
    pub fn prologue(op: OpView<'_>) -> Option<Op> {
        let first = op.module.ops_in(body(op)).next()?;
        (op.module.op_name(first) == Nest::INFO.name).then_some(first)
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
        Some(op) if has_body(module, op) => outside(module, module.operands(op)[i]),
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
