//! Where the results of gates lie.
//!
//! What samples left with, and what a gate hands on, changes some rows of what was there before:
//! it can lie in the same place, if nobody reads that any more.

use std::collections::{BTreeSet, HashMap};

use lepid_ir::core::{Block, Module, Op, Value};
use lepid_ir::dialects::adapt::{Gate, GateParts, Join};

use crate::transform::lower::nn_to_kernel::is_constant_expression;
use crate::transform::memory_plan::{is_open, is_view, lodged};

/// Whether an op ends a stage of a cascade.
pub fn is_gate(module: &Module, op: Op) -> bool {
    [Gate::INFO.name, Join::INFO.name].contains(&module.op_name(op))
}

/// The operands and results of a gate or a join that stand for each other.
pub struct Pairs {
    /// The number of each sample's exit.
    pub exit: [Value; 2],
    /// The best score before, if it is asked for.
    pub best_before: Option<Value>,
    /// The best score before and now; none of a join.
    pub best: Option<[Value; 2]>,
    pub taken: Vec<[Value; 2]>,
    pub hands_on: Vec<[Value; 2]>,
}

impl Pairs {
    /// Those of a gate or a join.
    pub fn of(module: &Module, op: Op) -> Pairs {
        let view = module.view(op);
        let parts = match GateParts::of(view, view.operands()) {
            Ok(parts) => parts,
            Err(error) => lepid_ir::bug!("a gate passed the verifier: {error}"),
        };
        let mut results = view.results().iter().copied();
        let mut next = || match results.next() {
            Some(result) => result,
            None => lepid_ir::bug!("a gate has too few results"),
        };
        let exit = [parts.exit, next()];
        let best_before = parts.scores.map(|[_, best]| best);
        let best = best_before.filter(|_| parts.leaves.is_some());
        let best = best.map(|best| [best, next()]);
        let taken = parts.taken.into_iter().map(|v| [v, next()]).collect();
        let hands_on = parts.hands_on.into_iter().map(|v| [v, next()]).collect();
        Pairs {
            exit,
            best_before,
            best,
            taken,
            hands_on,
        }
    }

    fn all(&self) -> impl Iterator<Item = [Value; 2]> {
        let first = [self.exit].into_iter().chain(self.best);
        let rest = self.taken.iter().chain(&self.hands_on).copied();
        first.chain(rest)
    }
}

/// The operand in whose place the result of a gate lies, if it does.
pub fn in_place(module: &Module, result: Value) -> Option<Value> {
    let gate = module
        .defining_op(result)
        .filter(|&op| is_gate(module, op))?;
    let pairs: Vec<[Value; 2]> = Pairs::of(module, gate).all().collect();
    let operand = pairs.iter().find(|[_, r]| *r == result).map(|[v, _]| *v)?;
    let root = lodged(module, operand);
    let shared = pairs.iter().filter(|[v, _]| lodged(module, *v) == root);
    let own = module.defining_op(root).is_some()
        && !is_constant_expression(module, root)
        && !is_open(module, root)
        && shared.count() == 1;
    (own && is_last_read_by(module, root, gate)).then_some(operand)
}

/// Whether nothing behind a gate reads a value, nor what lies in its place.
fn is_last_read_by(module: &Module, root: Value, gate: Op) -> bool {
    let Some(block) = module.op_block(gate) else {
        return false;
    };
    let places = places(module, block);
    let end = places[&gate];
    let mut seen: BTreeSet<Value> = BTreeSet::from([root]);
    let mut todo = vec![root];
    while let Some(value) = todo.pop() {
        for reader in module.uses(value) {
            match places.get(&reader.op) {
                Some(&at) if at <= end => {}
                _ => return false,
            }
            if reader.op == gate {
                continue;
            }
            let lies_here = module.results(reader.op).iter().filter(|&&r| {
                is_view(module, reader.op) && reader.operand == 0
                    || is_gate(module, reader.op) && lodged(module, r) == root
            });
            todo.extend(lies_here.filter(|&&r| seen.insert(r)));
        }
    }
    true
}

/// Where each op of a block stands.
fn places(module: &Module, block: Block) -> HashMap<Op, usize> {
    let ops = module.ops_in(block).enumerate();
    ops.map(|(i, op)| (op, i)).collect()
}
