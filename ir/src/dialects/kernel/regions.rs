//! Kernels around a body: loop nests and strips.

use crate::core::{
    Block, Cost, EvalCx, Module, Op, OpDef, OpError, OpInfo, OpResult, OpView, Tensor, Type, Value,
    ValueDef,
};
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
