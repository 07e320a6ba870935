//! What the exits of a model cost, and what they say to a set of samples.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use lepid_ir::core::{Module, Op, OpView, Value};
use lepid_ir::dialects::core::Func;

/// What a path through some exits costs, in any unit.
pub struct Paths {
    /// For each exit the ops that it needs.
    needs: Vec<BTreeSet<Op>>,
    costs: BTreeMap<Op, f64>,
    /// What was asked for: a search asks for the same again and again.
    known: RefCell<HashMap<Vec<usize>, f64>>,
}

impl Paths {
    /// The exits' outputs are the results of a function; `exits` says how many each of them has.
    pub fn new(
        module: &Module,
        func: Op,
        exits: &[usize],
        cost: impl Fn(OpView<'_>) -> f64,
    ) -> Paths {
        let mut returned = Func::returned(module.view(func)).iter().copied();
        let mut costs = BTreeMap::new();
        let mut needs = Vec::new();
        for &outputs in exits {
            let mut todo: Vec<Value> = returned.by_ref().take(outputs).collect();
            let mut ops = BTreeSet::new();
            while let Some(value) = todo.pop() {
                let Some(op) = module.defining_op(value).filter(|&op| ops.insert(op)) else {
                    continue;
                };
                costs.entry(op).or_insert_with(|| cost(module.view(op)));
                todo.extend(module.operands(op));
                for inner in module.walk_inside(op) {
                    todo.extend(module.operands(inner));
                }
            }
            needs.push(ops);
        }
        Paths {
            needs,
            costs,
            known: RefCell::default(),
        }
    }

    /// What a sample costs that goes through these exits and leaves by the last.
    pub fn cost(&self, exits: &[usize]) -> f64 {
        if let Some(&cost) = self.known.borrow().get(exits) {
            return cost;
        }
        let mut all: BTreeSet<Op> = BTreeSet::new();
        for &exit in exits {
            all.extend(&self.needs[exit]);
        }
        let cost = all.iter().map(|op| self.costs[op]).sum();
        self.known.borrow_mut().insert(exits.to_vec(), cost);
        cost
    }
}

/// Multiply-adds of an op for one sample: half of its operations.
pub fn multiply_adds(op: OpView<'_>) -> f64 {
    op.def().cost(op).flops / 2.0
}
