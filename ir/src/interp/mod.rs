//! The interpreter: runs a module by calling each op's `eval`. It is the meaning of the IR.

pub mod random;

use std::collections::{BTreeMap, HashMap};

use cranelift_entity::SecondaryMap;

use crate::core::{
    Block, Diagnostic, Dim, EvalCx, Loc, Module, Op, OpError, OpResult, RunBlock, Symbol, Tensor,
    Trait, Value,
};
use crate::dialects::core::Func;

/// Runs a function on arguments; the error stands at the op that failed.
pub fn run(module: &Module, func: Op, args: &[Tensor]) -> Result<Vec<Tensor>, Diagnostic> {
    run_observed(module, func, args, &mut |_, _| {})
}

/// Runs a function and shows each op with its results to `observe`.
pub fn run_observed(
    module: &Module,
    func: Op,
    args: &[Tensor],
    observe: &mut dyn FnMut(Op, &[Tensor]),
) -> Result<Vec<Tensor>, Diagnostic> {
    let mut interpreter = Interpreter {
        module,
        values: SecondaryMap::new(),
        extents: BTreeMap::new(),
        observe,
        at: Loc::Unknown,
    };
    let block = Func::block(module.view(func));
    let result = interpreter.run_block(block, args.to_vec());
    result.map_err(|error| error.at(interpreter.at))
}

/// Evaluates a value that depends on constants alone; `None` if it depends on anything else, or
/// if an op on the way cannot be evaluated.
pub fn eval_constant(module: &Module, value: Value) -> Option<Tensor> {
    eval_known(module, value, &mut HashMap::new())
}

/// `known` holds what ops gave whose results are read more than once; the rest is let go of, as
/// constants may be large.
fn eval_known(
    module: &Module,
    value: Value,
    known: &mut HashMap<Op, Option<Vec<Tensor>>>,
) -> Option<Tensor> {
    if let Some(tensor) = module.constant_value(value) {
        return Some(tensor.clone());
    }
    let op = module.defining_op(value)?;
    let index = module.results(op).iter().position(|&r| r == value)?;
    if let Some(results) = known.get(&op) {
        return results.as_ref()?.get(index).cloned();
    }
    let results = eval_op(module, op, known);
    let result = results.as_ref().and_then(|r| r.get(index).cloned());
    let reads = module.results(op).iter().map(|&r| module.uses(r).len());
    if reads.sum::<usize>() > 1 {
        known.insert(op, results);
    }
    result
}

fn eval_op(
    module: &Module,
    op: Op,
    known: &mut HashMap<Op, Option<Vec<Tensor>>>,
) -> Option<Vec<Tensor>> {
    let view = module.view(op);
    if !view.info().has(Trait::Pure) || !view.regions().is_empty() {
        return None;
    }
    let operands = view.operands().iter();
    let operands: Option<Vec<Tensor>> = operands.map(|&v| eval_known(module, v, known)).collect();
    eval_pure(module, op, &operands?).ok()
}

/// Evaluates one op without regions.
pub fn eval_pure(module: &Module, op: Op, operands: &[Tensor]) -> OpResult<Vec<Tensor>> {
    struct NoBlocks;
    impl RunBlock for NoBlocks {
        fn run_block(&mut self, _: Block, _: Vec<Tensor>) -> OpResult<Vec<Tensor>> {
            Err(OpError::new("the op has regions"))
        }
    }
    let view = module.view(op);
    let mut blocks = NoBlocks;
    view.def().eval(
        view,
        operands,
        &mut EvalCx {
            blocks: &mut blocks,
        },
    )
}

struct Interpreter<'a> {
    module: &'a Module,
    values: SecondaryMap<Value, Option<Tensor>>,
    /// What the named extents of the current function are in this run.
    extents: BTreeMap<Symbol, u64>,
    observe: &'a mut dyn FnMut(Op, &[Tensor]),
    /// The op under evaluation, for the error.
    at: Loc,
}

impl RunBlock for Interpreter<'_> {
    fn run_block(&mut self, block: Block, args: Vec<Tensor>) -> OpResult<Vec<Tensor>> {
        let module = self.module;
        let region_op = module.block_region(block).and_then(|r| module.region_op(r));
        if region_op.is_some_and(|op| module.def(op).info().has(Trait::Isolated)) {
            // The names of a function mean nothing outside of it.
            let outer = std::mem::take(&mut self.extents);
            let results = self.run_ops(block, args);
            self.extents = outer;
            return results;
        }
        self.run_ops(block, args)
    }

    fn extent(&self, name: Symbol) -> Option<u64> {
        self.extents.get(&name).copied()
    }
}

impl Interpreter<'_> {
    fn run_ops(&mut self, block: Block, args: Vec<Tensor>) -> OpResult<Vec<Tensor>> {
        let module = self.module;
        let names = module.block_args(block);
        if names.len() != args.len() {
            return Err(OpError::new(format!(
                "expected {} arguments, found {}",
                names.len(),
                args.len()
            )));
        }
        for (i, (&name, arg)) in names.iter().zip(args).enumerate() {
            self.define(name, arg)
                .map_err(|error| OpError::new(format!("argument {i} {error}")))?;
        }
        let end = module.terminator(block);
        for op in module.ops_in(block) {
            let view = module.view(op);
            let operands: Vec<Tensor> = view.operands().iter().map(|&v| self.value(v)).collect();
            if Some(op) == end {
                return Ok(operands);
            }
            self.at = view.loc().clone();
            let results = view
                .def()
                .eval(view, &operands, &mut EvalCx { blocks: self })?;
            (self.observe)(op, &results);
            for (&value, result) in view.results().iter().zip(results) {
                self.define(value, result).map_err(|error| {
                    OpError::new(format!("the result of `{}` {error}", view.name()))
                })?;
            }
        }
        Ok(Vec::new())
    }

    /// Gives a value its tensor, which must be of its type.
    fn define(&mut self, value: Value, tensor: Tensor) -> OpResult<()> {
        if let Some(ty) = self.module.value_type(value).as_tensor() {
            if ty.elem != tensor.elem() || ty.rank() != tensor.rank() {
                let found = tensor.ty();
                return Err(OpError::new(format!(
                    "must be `tensor<{ty}>`, found `{found}`"
                )));
            }
            for (&dim, &found) in ty.dims.iter().zip(tensor.shape()) {
                let found = found as u64;
                let expected = match dim {
                    Dim::Known(n) => n,
                    Dim::Sym(name) => *self.extents.entry(name).or_insert(found),
                    Dim::Unknown => found,
                };
                if expected != found {
                    return Err(OpError::new(format!(
                        "has an extent {found} where `{dim}` of `tensor<{ty}>` is {expected}"
                    )));
                }
            }
        }
        self.values[value] = Some(tensor);
        Ok(())
    }

    fn value(&self, value: Value) -> Tensor {
        match &self.values[value] {
            Some(tensor) => tensor.clone(),
            None => crate::bug!("{value} is read before it is computed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;
    use crate::dialects;

    #[test]
    fn constants_that_are_read_twice_are_evaluated_once() {
        let mut source = String::from(
            "func @f() -> (tensor<i32>) {\n  %v0 = core.constant() {value = dense<i32>[1]} : tensor<i32>\n",
        );
        for i in 0..100 {
            let _ = writeln!(
                source,
                "  %v{} = tensor.sub(%v{i}, %v{i}) : tensor<i32>",
                i + 1
            );
        }
        source += "  return %v100\n}\n";
        let (module, found) = crate::text::parse(&source, "test.lir", &dialects::registry(), None);
        assert!(found.is_empty(), "{}", found[0].message);
        let func = module.funcs().next().unwrap();
        let block = Func::block(module.view(func));
        let end = module.terminator(block).unwrap();
        let value = module.operands(end)[0];
        let zero = Tensor::scalar(crate::core::Elem::I32, crate::core::Num::Int(0));
        assert_eq!(eval_constant(&module, value), Some(zero));
    }
}
