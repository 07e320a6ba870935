//! The `core` dialect: functions, return, yield, constants.
//!
//! A function has one region of one block; its arguments are the block's, its results are the
//! operands of `core.return`. A module is the block of its functions, not an op.

use crate::core::{
    Attr, Block, Builder, Cost, EvalCx, Module, Op, OpDef, OpError, OpInfo, OpResult, OpView,
    Registry, Tensor, Type, Value,
};
use crate::op;

op! {
    /// A function. `inputs` and `outputs` are the names by which users know arguments and results;
    /// empty lists stand for `arg0`, … and `result0`, …. `constants` are the names of inputs that
    /// the source has beside these: their values are known, so that they are no arguments.
    ///
    /// With `batch` above 0 the function computes so many samples at a time: along the leading axes
    /// of the arguments `batch_inputs` and of the results `batch_outputs`, which are `batch` or a
    /// multiple of it. A sample of the results depends on the same sample of the arguments alone, so
    /// that a target may compute fewer. `batch_name` is the users' name of the extent.
    ///
    /// `states` are pairs of an argument and a result, by their numbers: `[0, 1, 2, 0]` says that
    /// result 1 is what argument 0 is to be in the next step, and result 0 what argument 2 is. Both
    /// have one type. The meaning of the function is the same without: who runs it step by step
    /// may keep these values, in memory that they are changed in.
    ///
    /// `arena_bytes` and `slots` are the memory plan that the `memory-plan` pass states: for each
    /// value of the body in order of definition its byte offset in the arena, or -1.
    "core.func" => Func {
        operands: [],
        attributes: [name: Str, inputs: Strs = Attr::List(Vec::new()), outputs: Strs = Attr::List(Vec::new()), constants: Strs = Attr::List(Vec::new()), batch: Int = 0, batch_name: Str = "N", batch_inputs: Ints = Attr::List(Vec::new()), batch_outputs: Ints = Attr::List(Vec::new()), states: Ints = Attr::List(Vec::new()), arena_bytes: Int = 0, slots: Ints = Attr::List(Vec::new())],
        results: [],
        regions: [body],
        traits: [Isolated],
    }
}

impl OpDef for Func {
    fn info(&self) -> &'static OpInfo {
        &Func::INFO
    }
    fn infer(&self, _op: OpView<'_>) -> OpResult<Vec<Type>> {
        Ok(Vec::new())
    }
    fn verify(&self, op: OpView<'_>) -> OpResult<()> {
        let block = Func::block(op);
        let names = [
            (
                "inputs",
                Func::inputs(op).len(),
                op.module.block_args(block).len(),
            ),
            ("outputs", Func::outputs(op).len(), Func::returned(op).len()),
        ];
        for (what, named, actual) in names {
            if named != 0 && named != actual {
                return Err(OpError::new(format!(
                    "function `{}` names {named} {what}, but has {actual}",
                    Func::name(op)
                )));
            }
        }
        verify_batch(op)?;
        verify_states(op)
    }
}

/// What `batch` speaks of is there, and is as long as it says.
fn verify_batch(op: OpView<'_>) -> OpResult<()> {
    let batch = Func::batch(op);
    let sides = [
        ("input", Func::batch_inputs(op), Func::args(op)),
        ("output", Func::batch_outputs(op), Func::returned(op)),
    ];
    for (what, numbers, values) in sides {
        for number in numbers {
            let value = usize::try_from(number).ok().and_then(|i| values.get(i));
            let ty = value.and_then(|&v| op.module.value_type(v).as_tensor());
            let leading = ty.and_then(|ty| ty.dims.first()?.known());
            let fits = leading.is_some_and(|n| batch > 0 && n.is_multiple_of(batch as u64));
            if !fits {
                return Err(OpError::new(format!(
                    "function `{}` has no {what} {number} with samples of a batch of {batch}",
                    Func::name(op)
                )));
            }
        }
    }
    Ok(())
}

/// Each pair of `states` is an argument and a result of one type, and none is in two of them.
fn verify_states(op: OpView<'_>) -> OpResult<()> {
    let fail = |what: String| {
        let message = format!("the states of function `{}` {what}", Func::name(op));
        Err(OpError::new(message))
    };
    let numbers = Func::states(op);
    if Func::batch(op) > 0 && !numbers.is_empty() {
        return fail("cannot stand beside a batch of samples".to_string());
    }
    if !numbers.len().is_multiple_of(2) {
        return fail(format!(
            "are pairs, but there are {} numbers",
            numbers.len()
        ));
    }
    let (args, results) = (Func::args(op), Func::returned(op));
    let pairs: Vec<(i64, i64)> = numbers.chunks_exact(2).map(|p| (p[0], p[1])).collect();
    for (i, &(arg, result)) in pairs.iter().enumerate() {
        let find = |values: &[Value], at: i64| {
            let value = usize::try_from(at)
                .ok()
                .and_then(|i| values.get(i).copied());
            value.map(|value| op.module.value_type(value))
        };
        let (Some(past), Some(present)) = (find(args, arg), find(results, result)) else {
            return fail(format!(
                "name argument {arg} and result {result}, not both are there"
            ));
        };
        if past != present {
            return fail(format!(
                "name argument {arg} of type `{past}` and result {result} of type `{present}`"
            ));
        }
        if pairs[..i].iter().any(|&(a, _)| a == arg) {
            return fail(format!("name argument {arg} twice"));
        }
        if pairs[..i].iter().any(|&(_, r)| r == result) {
            return fail(format!("name result {result} twice"));
        }
    }
    Ok(())
}

impl Func {
    /// Appends a function with an empty block to the module.
    pub fn create(
        module: &mut Module,
        name: &str,
        args: &[Type],
        attrs: &[(&str, Attr)],
    ) -> OpResult<Op> {
        let body = module.body();
        let mut b = Builder::at_end(module, body);
        let region = b.region(args, |_, _| Ok(()))?;
        let mut all = vec![("name", Attr::from(name))];
        all.extend(attrs.iter().cloned());
        // `verify` reads the return op, which the caller has yet to build.
        let is_late = |name: &str| ["inputs", "outputs", "batch_outputs", "states"].contains(&name);
        let (late, rest): (Vec<_>, Vec<_>) = all.into_iter().partition(|(name, _)| is_late(name));
        let op = b.create_with_regions(&Func, &[], &rest, &[region])?;
        for (name, attr) in late {
            module.set_attr(op, name, attr);
        }
        Ok(op)
    }

    /// The function of that name.
    pub fn find(module: &Module, name: &str) -> Option<Op> {
        module
            .funcs()
            .find(|&op| Func::name(module.view(op)) == name)
    }

    /// The only block.
    pub fn block(op: OpView<'_>) -> Block {
        op.module.region_blocks(op.regions()[0])[0]
    }

    pub fn args(op: OpView<'_>) -> &[Value] {
        op.module.block_args(Func::block(op))
    }

    /// The values that the function gives; none while it has no return.
    pub fn returned(op: OpView<'_>) -> &[Value] {
        match op.module.terminator(Func::block(op)) {
            Some(ret) => op.module.operands(ret),
            None => &[],
        }
    }

    /// The pairs of `states`: an argument, and the result that it is in the next step.
    pub fn state_pairs(op: OpView<'_>) -> Vec<(usize, usize)> {
        let numbers = Func::states(op);
        let pairs = numbers.chunks_exact(2);
        pairs.map(|p| (p[0] as usize, p[1] as usize)).collect()
    }

    /// The users' names of the arguments.
    pub fn input_names(op: OpView<'_>) -> Vec<String> {
        names(Func::inputs(op), Func::args(op).len(), "arg")
    }

    /// The users' names of the results.
    pub fn output_names(op: OpView<'_>) -> Vec<String> {
        names(Func::outputs(op), Func::returned(op).len(), "result")
    }
}

fn names(given: Vec<&str>, count: usize, prefix: &str) -> Vec<String> {
    match given.is_empty() {
        true => (0..count).map(|i| format!("{prefix}{i}")).collect(),
        false => given.into_iter().map(str::to_string).collect(),
    }
}

op! {
    /// Ends a function and gives its results.
    "core.return" => Return {
        operands: [; values: ANY],
        results: [],
        traits: [Terminator],
    }
}

impl OpDef for Return {
    fn info(&self) -> &'static OpInfo {
        &Return::INFO
    }
    fn infer(&self, _op: OpView<'_>) -> OpResult<Vec<Type>> {
        Ok(Vec::new())
    }
}

op! {
    /// Ends a block of a region and gives its values to the op around it.
    "core.yield" => Yield {
        operands: [; values: ANY],
        results: [],
        traits: [Terminator],
    }
}

impl OpDef for Yield {
    fn info(&self) -> &'static OpInfo {
        &Yield::INFO
    }
    fn infer(&self, _op: OpView<'_>) -> OpResult<Vec<Type>> {
        Ok(Vec::new())
    }
}

op! {
    /// The tensor `value`.
    "core.constant" => Constant {
        operands: [],
        attributes: [value: Dense],
        results: [y],
        traits: [Pure, Constant],
    }
}

impl OpDef for Constant {
    fn info(&self) -> &'static OpInfo {
        &Constant::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        Ok(vec![Constant::value(op).ty()])
    }
    fn eval(&self, op: OpView<'_>, _: &[Tensor], _: &mut EvalCx<'_>) -> OpResult<Vec<Tensor>> {
        Ok(vec![Constant::value(op).clone()])
    }
    fn cost(&self, _op: OpView<'_>) -> Cost {
        Cost::default()
    }
}

/// Builds a constant.
pub fn constant(b: &mut Builder<'_>, value: Tensor) -> OpResult<Value> {
    b.one(&Constant, &[], &[("value", Attr::Tensor(value))])
}

op! {
    /// Calls a function of the module.
    "core.call" => Call {
        operands: [; operands: ANY],
        attributes: [callee: Func],
        results: [; results],
    }
}

impl OpDef for Call {
    fn info(&self) -> &'static OpInfo {
        &Call::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        let name = Call::callee(op);
        let Some(func) = Func::find(op.module, name.as_str()) else {
            return Err(OpError::with_code(
                crate::core::Code::UNKNOWN_FUNC,
                format!("no function `@{name}` is in the module"),
            ));
        };
        let func = op.module.view(func);
        let types = |values: &[Value]| -> Vec<Type> {
            values.iter().map(|&v| op.module.value_type(v)).collect()
        };
        if types(op.operands()) != types(Func::args(func)) {
            return Err(OpError::new(format!(
                "operands do not fit the arguments of `@{name}`"
            )));
        }
        Ok(types(Func::returned(func)))
    }
    fn eval(
        &self,
        op: OpView<'_>,
        operands: &[Tensor],
        cx: &mut EvalCx<'_>,
    ) -> OpResult<Vec<Tensor>> {
        match Func::find(op.module, Call::callee(op).as_str()) {
            Some(func) => cx
                .blocks
                .run_block(Func::block(op.module.view(func)), operands.to_vec()),
            None => crate::bug!("`core.call` of a missing function passed the verifier"),
        }
    }
}

pub fn register(ops: &mut Registry) {
    ops.add(&[&Call, &Constant, &Func, &Return, &Yield]);
}
