//! Folding while importing: what small constants give becomes a constant at once, so that the
//! nodes after it see numbers. Also the sweep of what nothing reads in the end.

use std::collections::BTreeMap;

use lepid_ir::core::{
    Block, Builder, InsertPoint, Module, Num, Op, OpResult, Tensor, Trait, Value,
};
use lepid_ir::dialects::core::constant;
use lepid_ir::dialects::tensor::extents::{self, Entry};
use lepid_ir::interp::eval_pure;
use lepid_passes::core::rewrite::is_effect_free;

/// Larger tensors are left to the passes.
const LIMIT: usize = 4096;

/// A place in a block, after which new ops come.
pub(super) struct Mark {
    block: Block,
    last: Option<Op>,
}

/// The place where the builder stands.
pub(super) fn mark(b: &Builder<'_>) -> Option<Mark> {
    match b.point() {
        InsertPoint::End(block) => Some(Mark {
            block,
            last: b.module.last_op(block),
        }),
        InsertPoint::Before(_) => None,
    }
}

/// Folds the ops made since the mark, and replaces folded values among `values`. Gives the bytes
/// of the constants that come of it.
pub(super) fn fold(b: &mut Builder<'_>, mark: Option<Mark>, values: &mut [Value]) -> OpResult<u64> {
    let mut bytes = 0;
    let Some(mark) = mark else {
        return Ok(bytes);
    };
    let mut folded: BTreeMap<Value, Value> = BTreeMap::new();
    for op in ops_since(b.module, &mark) {
        match fold_op(b.module, op) {
            Some(results) => {
                bytes += results.iter().map(|t| t.bytes().len() as u64).sum::<u64>();
                let old = b.module.results(op).to_vec();
                let new = replace(b.module, op, results)?;
                folded.extend(old.into_iter().zip(new));
            }
            None => refine(b.module, op)?,
        }
    }
    for value in values {
        if let Some(&new) = folded.get(value) {
            *value = new;
        }
        // Where `x` has the known extent 3 along an axis, that entry of its shape vector is 3.
        if let Some(tensor) = known_vector(b.module, *value) {
            *value = constant(b, tensor)?;
        }
    }
    Ok(bytes)
}

/// An integer scalar or vector that is no constant, but whose entries are known nevertheless.
fn known_vector(module: &Module, value: Value) -> Option<Tensor> {
    let ty = module.value_type(value).as_tensor()?;
    if ty.elem.is_float() || module.constant_value(value).is_some() {
        return None;
    }
    let numbers: Option<Vec<Num>> = extents::trace(module, value)?
        .into_iter()
        .map(|entry| match entry {
            Entry::Number(n) => Some(Num::Int(i128::from(n))),
            Entry::Symbol(_) | Entry::Unknown => None,
        })
        .collect();
    Some(Tensor::from_nums(ty.elem, ty.known_dims()?, numbers?))
}

fn ops_since(module: &Module, mark: &Mark) -> Vec<Op> {
    let newest_first = module.ops_in(mark.block).rev();
    let mut ops: Vec<Op> = newest_first
        .take_while(|&op| Some(op) != mark.last)
        .collect();
    ops.reverse();
    ops
}

/// The results of an op whose operands are small constants.
fn fold_op(module: &Module, op: Op) -> Option<Vec<Tensor>> {
    if !is_foldable(module, op) {
        return None;
    }
    let view = module.view(op);
    let constant = |i: usize| {
        view.constant_operand(i)
            .filter(|t| t.len() <= LIMIT)
            .cloned()
    };
    let operands: Option<Vec<Tensor>> = (0..view.operands().len()).map(constant).collect();
    // An error is left to the run: the op may stand in a branch that is never taken.
    let results = eval_pure(module, op, &operands?).ok()?;
    results.iter().all(|t| t.len() <= LIMIT).then_some(results)
}

/// The value of small constants' arithmetic that has not been folded yet.
pub(super) fn evaluate(module: &Module, value: Value) -> Option<Tensor> {
    // Lowerings make short chains; the bound is for any module.
    let mut fuel = 64;
    evaluate_within(module, value, &mut fuel)
}

fn evaluate_within(module: &Module, value: Value, fuel: &mut u32) -> Option<Tensor> {
    if let Some(constant) = module.constant_value(value) {
        return (constant.len() <= LIMIT).then(|| constant.clone());
    }
    *fuel = fuel.checked_sub(1)?;
    let op = module.defining_op(value)?;
    if !is_foldable(module, op) {
        return None;
    }
    let operands = module.operands(op).iter();
    let operands: Option<Vec<Tensor>> = operands
        .map(|&operand| evaluate_within(module, operand, fuel))
        .collect();
    let results = eval_pure(module, op, &operands?).ok()?;
    let at = module.results(op).iter().position(|&r| r == value)?;
    results.into_iter().nth(at).filter(|t| t.len() <= LIMIT)
}

/// Whether the op can be evaluated by itself, with small results as far as its types tell.
fn is_foldable(module: &Module, op: Op) -> bool {
    let view = module.view(op);
    let info = view.info();
    if !info.has(Trait::Pure) || info.has(Trait::Constant) || !view.regions().is_empty() {
        return false;
    }
    let small = |ty: lepid_ir::core::Type| {
        let count = ty.as_tensor().and_then(|t| t.element_count());
        count.is_none_or(|n| n <= LIMIT as u64)
    };
    view.results().iter().all(|&r| small(module.value_type(r)))
}

fn replace(module: &mut Module, op: Op, results: Vec<Tensor>) -> OpResult<Vec<Value>> {
    let mut b = Builder::before(module, op);
    let values: OpResult<Vec<Value>> = results.into_iter().map(|t| constant(&mut b, t)).collect();
    let values = values?;
    module.replace_op(op, &values);
    Ok(values)
}

/// States the result types anew: an operand may have become better known.
fn refine(module: &mut Module, op: Op) -> OpResult<()> {
    let view = module.view(op);
    let types = view.def().infer(view)?;
    let results = view.results().to_vec();
    for (value, ty) in results.into_iter().zip(types) {
        if module.value_type(value) != ty {
            module.set_value_type(value, ty);
        }
    }
    Ok(())
}

/// Erases ops of a block without effects, and of the regions in it, that nothing reads.
pub(super) fn sweep(module: &mut Module, block: Block) {
    let ops: Vec<Op> = module.ops_in(block).collect();
    for op in ops.into_iter().rev() {
        let blocks: Vec<Block> = module
            .regions(op)
            .iter()
            .flat_map(|&r| module.region_blocks(r).to_vec())
            .collect();
        let unused = module
            .results(op)
            .iter()
            .all(|&r| module.uses(r).is_empty());
        if unused && is_effect_free(module, op) {
            module.erase(op);
            continue;
        }
        for inner in blocks {
            sweep(module, inner);
        }
    }
}
