//! Groups index-wise ops into loop nests.
//!
//! ```text
//! %1 = tensor.add(%a, %b) : tensor<8x16xf32>            %1 = kernel.nest(%a, %b) : tensor<8x16xf32> {
//! %2 = tensor.exp(%1) : tensor<8x16xf32>           =>   ^(%2: tensor<8x16xf32>, %3: tensor<8x16xf32>):
//!                                                         %4 = tensor.add(%2, %3) : tensor<8x16xf32>
//!                                                         %5 = tensor.exp(%4) : tensor<8x16xf32>
//!                                                         core.yield(%5)
//!                                                       }
//! ```
//!
//! A producer joins the nest of its consumer if nothing else reads it. Ops that only move data
//! join, too, unless they would make the innermost loop of arithmetic walk memory in strides; if
//! other nests read them as well, each has a copy, and what they move is never stored twice.

use std::collections::{BTreeSet, HashMap, HashSet};

use lepid_ir::core::{Block, Builder, Module, Op, OpResult, OpView, Tensor, Trait, Value};
use lepid_ir::dialects::core::{Constant, Yield};
use lepid_ir::dialects::kernel::{self, Nest};
use lepid_ir::dialects::tensor;

use crate::core::rewrite::copy_op;
use crate::core::{Changed, PassCx, PassDef, PassResult, Values};
use crate::transform::lower::nn_to_kernel::constant_expressions;

pub const PASS: PassDef = PassDef {
    name: "fuse-nests",
    summary: "Groups index-wise ops into loop nests.",
    values: Values::Exact,
    options: &[],
    run,
};

/// A nest with more ops than this compiles slowly and spills registers.
const MOST_OPS: usize = 48;

fn run(module: &mut Module, _cx: &mut PassCx<'_>) -> PassResult {
    let mut changed = Changed::No;
    // What depends on constants alone is the target's to evaluate while it packs.
    let constants = constant_expressions(module);
    for block in blocks(module) {
        let ops: Vec<Op> = module.ops_in(block).collect();
        let places: HashMap<Op, usize> = ops.iter().copied().zip(0..).collect();
        let mut taken = BTreeSet::new();
        for &root in ops.iter().rev() {
            let view = module.view(root);
            if taken.contains(&root) || !is_root(view) || constants.contains(&view.result(0)) {
                continue;
            }
            let mut group = grow(module, block, root, &constants);
            // In program order, so that each op of the body follows its operands.
            group.sort_by_key(|op| places[op]);
            let erased = build(module, root, &group)
                .map_err(|error| vec![error.at(module.loc(root).clone())])?;
            taken.extend(erased);
            changed = Changed::Yes;
        }
    }
    Ok(changed)
}

/// All blocks outside of kernels, in order.
fn blocks(module: &Module) -> Vec<Block> {
    let ops = module.walk().into_iter();
    let outside = ops.filter(|&op| !kernel::has_body(module, op));
    let regions = outside.flat_map(|op| module.regions(op).to_vec());
    regions
        .flat_map(|r| module.region_blocks(r).to_vec())
        .collect()
}

fn is_root(view: OpView<'_>) -> bool {
    view.name() == "tensor.reduce" || is_member(view)
}

/// Whether an op can stand in a nest: it computes each element from elements at affine indices.
fn is_member(view: OpView<'_>) -> bool {
    match view.name() {
        "tensor.broadcast" | "tensor.transpose" | "tensor.slice" | "tensor.reverse"
        | "tensor.pad" | "tensor.concat" | "tensor.iota" => true,
        _ => view.info().has(Trait::Elementwise),
    }
}

/// Whether an op only moves elements.
fn is_move(view: OpView<'_>) -> bool {
    is_member(view) && !view.info().has(Trait::Elementwise)
}

/// Whether reading through the op keeps neighbours of the last axis neighbours.
fn keeps_rows(view: OpView<'_>) -> bool {
    match view.name() {
        "tensor.transpose" => {
            let perm = tensor::Transpose::perm(view);
            perm.last().is_none_or(|&p| p as usize + 1 == perm.len())
        }
        "tensor.slice" => tensor::Slice::step(view).last().is_none_or(|&s| s == 1),
        "tensor.reverse" => {
            let rank = view.operand_tensor(0).rank();
            tensor::Reverse::axes(view)
                .iter()
                .all(|&a| a as usize + 1 != rank)
        }
        _ => true,
    }
}

/// The ops of the nest around `root`.
fn grow(module: &Module, block: Block, root: Op, constants: &HashSet<Value>) -> Vec<Op> {
    let mut group = vec![root];
    let mut next = 0;
    let reduces = module.op_name(root) == "tensor.reduce";
    while next < group.len() && group.len() < MOST_OPS {
        let view = module.view(group[next]);
        next += 1;
        for &operand in view.operands() {
            let Some(op) = module.defining_op(operand) else {
                continue;
            };
            let producer = module.view(op);
            let is_ours = |value: Value| module.uses(value).iter().all(|u| group.contains(&u.op));
            let ours = view
                .results()
                .iter()
                .all(|&v| view.op == root || is_ours(v));
            let joins = module.op_block(op) == Some(block)
                && is_member(producer)
                && !group.contains(&op)
                && match constants.contains(&operand) {
                    // Repeated weights would take the memory of all that they are repeated to.
                    true => producer.name() == "tensor.broadcast",
                    false => (ours && is_ours(operand)) || can_be_copied(producer),
                }
                && fits(module, &group, view, producer, reduces);
            if joins {
                group.push(op);
            }
        }
    }
    group
}

/// Whether nests may each have an op of their own in place of one whose result is stored: it moves
/// rows of elements, and nothing but nests reads them.
fn can_be_copied(op: OpView<'_>) -> bool {
    let mut readers = op.module.uses(op.result(0)).iter();
    is_move(op) && keeps_rows(op) && readers.all(|u| is_root(op.module.view(u.op)))
}

fn fits(
    module: &Module,
    group: &[Op],
    consumer: OpView<'_>,
    producer: OpView<'_>,
    reduces: bool,
) -> bool {
    // A reduction is not cut into pieces.
    if reduces && matches!(producer.name(), "tensor.concat" | "tensor.pad") {
        return false;
    }
    let all_moves = group.iter().all(|&op| is_move(module.view(op)));
    match (is_move(producer), all_moves) {
        (true, true) => true,
        (true, false) => keeps_rows(producer),
        // Arithmetic below data movement: only if the movement keeps rows, and nothing is
        // computed twice.
        (false, _) => {
            let kept = group.iter().all(|&op| keeps_rows(module.view(op)));
            kept && consumer.name() != "tensor.broadcast"
        }
    }
}

/// Replaces `root` by a nest of the group, which is in program order. Gives the ops that are no
/// more.
fn build(module: &mut Module, root: Op, group: &[Op]) -> OpResult<Vec<Op>> {
    let mut inputs: Vec<Value> = Vec::new();
    let mut constants: Vec<Value> = Vec::new();
    for &op in group {
        for &value in module.operands(op) {
            let inside = module
                .defining_op(value)
                .is_some_and(|d| group.contains(&d));
            let list = match splat(module, value) {
                Some(_) => &mut constants,
                None => &mut inputs,
            };
            if !inside && !list.contains(&value) {
                list.push(value);
            }
        }
    }
    let types: Vec<_> = inputs.iter().map(|&v| module.value_type(v)).collect();
    let loc = group.iter().fold(module.loc(root).clone(), |loc, &op| {
        loc.join(module.loc(op))
    });
    let mut b = Builder::before(module, root);
    b.at(loc);
    let region = b.region(&types, |b, args| {
        let mut map: HashMap<Value, Value> =
            inputs.iter().copied().zip(args.iter().copied()).collect();
        for &value in &constants {
            if let Some(tensor) = splat(b.module, value) {
                let copy = b.one(&Constant, &[], &[("value", tensor.into())])?;
                map.insert(value, copy);
            }
        }
        for &op in group {
            let operands: Vec<Value> = b.module.operands(op).iter().map(|v| map[v]).collect();
            let copy = copy_op(b, op, &operands, &[])?;
            let pairs: Vec<(Value, Value)> = b
                .module
                .results(op)
                .iter()
                .copied()
                .zip(b.module.results(copy).iter().copied())
                .collect();
            map.extend(pairs);
        }
        let result = map[&b.module.results(root)[0]];
        b.create(&Yield, &[result], &[])?;
        Ok(())
    })?;
    let nest = b.create_with_regions(&Nest, &inputs, &[], &[region])?;
    let results = module.results(nest).to_vec();
    module.replace_op(root, &results);
    let mut erased = vec![root];
    for &op in group.iter().rev().filter(|&&op| op != root) {
        if module.uses(module.results(op)[0]).is_empty() {
            module.erase(op);
            erased.push(op);
        }
    }
    Ok(erased)
}

/// The value of a constant that is the same everywhere.
fn splat(module: &Module, value: Value) -> Option<Tensor> {
    let tensor = module.constant_value(value)?;
    if tensor.is_empty() {
        return None;
    }
    let size = tensor.elem().bytes();
    let bytes = tensor.bytes();
    let same = tensor.len() <= 1 << 16 && bytes.chunks(size).all(|c| c == &bytes[..size]);
    same.then(|| tensor.clone())
}
