//! Ops replaced by one of their operands, by arguments, by constants.

use std::collections::BTreeMap;

use lepid_ir::core::{Builder, Module, Num, Op, OpError, OpResult, Tensor, Trait, Value};
use lepid_ir::dialects::core::{Func, constant};
use lepid_passes::core::rewrite::replace;

use super::{Case, Reducer, cut};

/// What stands for the results of a removed op.
#[derive(Copy, Clone, PartialEq, Eq)]
enum Stand {
    /// Operands of the same types, or else arguments.
    Operands,
    Arguments,
    /// Zeros everywhere.
    Zeros,
}

/// Removes ops of the function's own block: many at once first, then fewer.
pub(super) fn remove(reducer: &mut Reducer<'_>) {
    let count = cut::steps(&reducer.case.module, reducer.case.op()).len();
    let mut size = count / 2;
    while size > 0 {
        let ways: &[Stand] = match size {
            1 => &[Stand::Operands, Stand::Arguments, Stand::Zeros],
            _ => &[Stand::Operands, Stand::Arguments],
        };
        remove_runs(reducer, size, ways);
        size /= 2;
    }
}

/// Removes runs of so many ops, the last ones first.
fn remove_runs(reducer: &mut Reducer<'_>, size: usize, ways: &[Stand]) {
    let mut end = cut::steps(&reducer.case.module, reducer.case.op()).len();
    while end > 0 {
        let values = reducer.values();
        let steps = cut::steps(&reducer.case.module, reducer.case.op());
        end = end.min(steps.len());
        let run = &steps[end.saturating_sub(size)..end];
        let accepted = ways.iter().any(|&way| {
            let candidate = without(&reducer.case, run, way, &values);
            reducer.offer(candidate)
        });
        end = match accepted {
            // The same place holds other ops now.
            true => end.min(steps.len() - 1),
            false => end.saturating_sub(size),
        };
    }
}

fn without(
    case: &Case,
    run: &[Op],
    way: Stand,
    values: &BTreeMap<Value, Tensor>,
) -> OpResult<Case> {
    let mut case = case.clone();
    let func = case.op();
    let mut given = Vec::new();
    for &op in run.iter().rev() {
        let results = case.module.results(op).to_vec();
        match way {
            Stand::Arguments => given.extend(results),
            Stand::Operands => match operands_of_types(&case.module, op, &results) {
                Some(operands) => replace(&mut case.module, op, &operands)?,
                None => given.extend(results),
            },
            Stand::Zeros => {
                let zeros = zeros(&mut case.module, op)?;
                replace(&mut case.module, op, &zeros)?;
            }
        }
    }
    // A result that is an argument from now on would leave nothing to compute.
    let results = Func::returned(case.module.view(func)).to_vec();
    if results.iter().all(|v| given.contains(v)) {
        return Err(OpError::new("nothing is left"));
    }
    case.cut(&results, &given, values)
}

/// For each result an operand of the same type.
fn operands_of_types(module: &Module, op: Op, results: &[Value]) -> Option<Vec<Value>> {
    let operands = module.operands(op);
    let same = |&result: &Value| {
        let ty = module.value_type(result);
        operands
            .iter()
            .copied()
            .find(|&v| module.value_type(v) == ty)
    };
    results.iter().map(same).collect()
}

/// Zeros of the types of an op's results, before it.
fn zeros(module: &mut Module, op: Op) -> OpResult<Vec<Value>> {
    let results = module.results(op).to_vec();
    let mut b = Builder::before(module, op);
    let built = results.into_iter().map(|result| {
        let ty = b.value_type(result).as_tensor();
        let known = ty.and_then(|t| Some((t.elem, t.known_dims()?)));
        match known {
            Some((elem, dims)) => constant(&mut b, Tensor::splat(elem, &dims, Num::Int(0))),
            None => Err(OpError::new("an extent is not known")),
        }
    });
    built.collect()
}

/// Removes ops inside of regions, one by one.
pub(super) fn remove_inside(reducer: &mut Reducer<'_>) {
    let mut from_end = 0;
    loop {
        let inner = inner_ops(&reducer.case);
        let Some(at) = inner.len().checked_sub(1 + from_end) else {
            return;
        };
        let op = inner[at];
        let accepted = [Stand::Operands, Stand::Zeros].into_iter().any(|way| {
            let candidate = without_inner(&reducer.case, op, way);
            reducer.offer(candidate)
        });
        if !accepted {
            from_end += 1;
        }
    }
}

fn inner_ops(case: &Case) -> Vec<Op> {
    let module = &case.module;
    let func = case.op();
    let all = module.walk_inside(func).into_iter();
    all.filter(|&op| {
        let info = module.def(op).info();
        module.parent_op(op) != Some(func)
            && !info.has(Trait::Terminator)
            && !info.has(Trait::Constant)
            && !module.results(op).is_empty()
    })
    .collect()
}

fn without_inner(case: &Case, op: Op, way: Stand) -> OpResult<Case> {
    let mut module = case.module.clone();
    let results = module.results(op).to_vec();
    let values = match way {
        Stand::Zeros => zeros(&mut module, op)?,
        Stand::Operands | Stand::Arguments => operands_of_types(&module, op, &results)
            .ok_or_else(|| OpError::new("no operand has the type"))?,
    };
    replace(&mut module, op, &values)?;
    case.edited(module)
}
