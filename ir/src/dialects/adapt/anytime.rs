//! Results that get better while there is time.

use crate::core::{
    Block, Elem, EvalCx, Num, OpDef, OpError, OpInfo, OpResult, OpView, Tensor, Type, Value,
};
use crate::dialects::tensor::control::all_fit;
use crate::op;

op! {
    /// Refines values step by step: `body` takes the number of the step, from 0 on, and the values,
    /// and yields better ones. Behind each step is a checkpoint: there it ends once `steps` of them
    /// are done, or once `deadline` milliseconds have passed since the program was called. The first
    /// step is always done. The results are how many were done and the values so far.
    ///
    /// The interpreter takes no time: it does all `steps`, or one if the deadline is not above 0.
    /// What a target gives after n steps is what the interpreter gives for `steps` = n.
    "adapt.anytime" => Anytime {
        operands: [steps: INT_TENSOR, deadline: FLOAT_TENSOR; initial: ANY],
        results: [done; results],
        regions: [body],
    }
}

op! {
    /// The milliseconds since the program was called: 0 in the interpreter.
    "adapt.elapsed" => Elapsed {
        operands: [],
        results: [milliseconds],
    }
}

impl Anytime {
    /// The block of a step.
    pub fn body(op: OpView<'_>) -> OpResult<Block> {
        let blocks = op.module.region_blocks(op.regions()[0]);
        let block = blocks.first().copied();
        block.ok_or_else(|| OpError::new("the body has no block"))
    }
}

impl OpDef for Anytime {
    fn info(&self) -> &'static OpInfo {
        &Anytime::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        let types = |values: &[Value]| -> Vec<Type> {
            values.iter().map(|&v| op.module.value_type(v)).collect()
        };
        let scalars = [("steps", 0, Elem::I64), ("deadline", 1, Elem::F32)];
        for (name, at, elem) in scalars {
            let ty = op.module.value_type(op.operand(at));
            if ty != Type::scalar(elem) {
                let wanted = Type::scalar(elem);
                return Err(OpError::new(format!(
                    "`{name}` must be `{wanted}`, found `{ty}`"
                )));
            }
        }
        let body = Anytime::body(op)?;
        let args = types(op.module.block_args(body));
        let Some((step, carried)) = args.split_first() else {
            return Err(OpError::new("the body takes the number of the step first"));
        };
        if *step != Type::scalar(Elem::I64) {
            return Err(OpError::new(format!(
                "the body takes the number of the step first, `tensor<i64>`, found `{step}`"
            )));
        }
        all_fit(op, "operand", &types(&op.operands()[2..]), carried)?;
        let yielded = super::yielded(op, body)?;
        all_fit(op, "yielded value", &types(&yielded), carried)?;
        let done = std::iter::once(Type::scalar(Elem::I64));
        Ok(done.chain(carried.iter().copied()).collect())
    }
    fn eval(&self, op: OpView<'_>, x: &[Tensor], cx: &mut EvalCx<'_>) -> OpResult<Vec<Tensor>> {
        let body = Anytime::body(op)?;
        let steps = match x[1].to_f64s()[0] > 0.0 {
            true => x[0].to_i64s()[0].max(1),
            // Not a number: there is no time.
            false => 1,
        };
        let number = |n: i64| Tensor::scalar(Elem::I64, Num::Int(n.into()));
        let mut values = x[2..].to_vec();
        for step in 0..steps {
            let args = std::iter::once(number(step)).chain(values).collect();
            values = cx.blocks.run_block(body, args)?;
        }
        Ok(std::iter::once(number(steps)).chain(values).collect())
    }
}

impl OpDef for Elapsed {
    fn info(&self) -> &'static OpInfo {
        &Elapsed::INFO
    }
    fn infer(&self, _: OpView<'_>) -> OpResult<Vec<Type>> {
        Ok(vec![Type::scalar(Elem::F32)])
    }
    fn eval(&self, _: OpView<'_>, _: &[Tensor], _: &mut EvalCx<'_>) -> OpResult<Vec<Tensor>> {
        Ok(vec![Tensor::scalar(Elem::F32, Num::Float(0.0))])
    }
}
