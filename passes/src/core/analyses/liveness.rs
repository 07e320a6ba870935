//! From where to where each value of a function is needed.
//!
//! Ops are numbered in the order of [`Module::walk`]: an op before those of its regions. A range
//! counts in these numbers and includes both ends. A value that is read inside a region is live
//! until that region is left, since a loop may read it again; results of an op with regions begin
//! when the regions are left; arguments of a region's block are live for the whole region.

use cranelift_entity::SecondaryMap;
use lepid_ir::core::{Block, Module, Op, Value, ValueDef};

use crate::core::Analysis;

/// First and last op during which a value is live.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct LiveRange {
    pub start: u32,
    pub end: u32,
}

impl LiveRange {
    pub fn overlaps(self, other: LiveRange) -> bool {
        self.start <= other.end && other.start <= self.end
    }
}

/// The live ranges of a function.
pub struct Liveness {
    /// In order of definition; arguments of the function first.
    pub values: Vec<Value>,
    ranges: SecondaryMap<Value, Option<LiveRange>>,
    first: SecondaryMap<Op, u32>,
    last: SecondaryMap<Op, u32>,
}

impl Liveness {
    /// The range of a value of the function. Panics on a value from elsewhere.
    pub fn range(&self, value: Value) -> LiveRange {
        match self.ranges[value] {
            Some(range) => range,
            None => lepid_ir::bug!("{value} is not of this function"),
        }
    }

    /// The number of an op.
    pub fn position(&self, op: Op) -> u32 {
        self.first[op]
    }
}

impl Analysis for Liveness {
    fn compute(module: &Module, func: Op) -> Liveness {
        let mut live = Liveness {
            values: Vec::new(),
            ranges: SecondaryMap::new(),
            first: SecondaryMap::new(),
            last: SecondaryMap::new(),
        };
        number(module, func, &mut live, &mut 0);
        let mut values = std::mem::take(&mut live.values);
        for &value in &values {
            live.ranges[value] = Some(range_of(module, func, &live, value));
        }
        values.sort_by_key(|&v| live.ranges[v].map(|r| r.start));
        live.values = values;
        live
    }
}

/// Numbers an op and those inside it, and collects their values.
fn number(module: &Module, op: Op, live: &mut Liveness, next: &mut u32) {
    live.first[op] = *next;
    for &region in module.regions(op) {
        for &block in module.region_blocks(region) {
            live.values.extend(module.block_args(block));
            for inner in module.ops_in(block) {
                *next += 1;
                number(module, inner, live, next);
                live.values.extend(module.results(inner));
            }
        }
    }
    live.last[op] = *next;
}

fn range_of(module: &Module, func: Op, live: &Liveness, value: Value) -> LiveRange {
    let (block, start, least) = match module.value_def(value) {
        ValueDef::Result(op, _) => (module.op_block(op), live.last[op], live.last[op]),
        ValueDef::Arg(block, _) => {
            let around = owner(module, block);
            let end = match around == Some(func) {
                true => 0,
                false => around.map_or(0, |op| live.last[op]),
            };
            (Some(block), around.map_or(0, |op| live.first[op]), end)
        }
    };
    let uses = module.uses(value).iter();
    let ends = uses.map(|u| match ancestor_in(module, u.op, block) {
        Some(op) if op == u.op => live.first[op],
        Some(op) => live.last[op],
        None => live.first[u.op],
    });
    LiveRange {
        start,
        end: ends.max().unwrap_or(0).max(least),
    }
}

fn owner(module: &Module, block: Block) -> Option<Op> {
    module.region_op(module.block_region(block)?)
}

/// The op of `block` that is `op` or has it inside.
fn ancestor_in(module: &Module, mut op: Op, block: Option<Block>) -> Option<Op> {
    while module.op_block(op) != block {
        op = module.parent_op(op)?;
    }
    Some(op)
}

#[cfg(test)]
mod tests {
    use lepid_ir::core::{Builder, Elem, Type};
    use lepid_ir::dialects::core::{Func, Return};
    use lepid_ir::dialects::tensor::{Add, Neg};

    use super::*;
    use crate::core::Interference;

    #[test]
    fn ranges_end_at_the_last_use() {
        let mut module = Module::new();
        let ty = Type::known_tensor(Elem::F32, &[2]);
        let func = Func::create(&mut module, "f", &[ty], &[]).unwrap();
        let block = Func::block(module.view(func));
        let x = module.block_args(block)[0];
        let mut b = Builder::at_end(&mut module, block);
        let p = b.one(&Neg, &[x], &[]).unwrap();
        let q = b.one(&Neg, &[p], &[]).unwrap();
        let r = b.one(&Add, &[x, q], &[]).unwrap();
        b.create(&Return, &[r], &[]).unwrap();
        let live = Liveness::compute(&module, func);
        let found: Vec<(u32, u32)> = [x, p, q, r]
            .map(|v| live.range(v))
            .map(|r| (r.start, r.end))
            .to_vec();
        assert_eq!(found, [(0, 3), (1, 2), (2, 3), (3, 4)]);
        assert_eq!(live.values, [x, p, q, r]);
        let graph = Interference::compute(&module, func).graph;
        assert!(graph.contains_edge(p, q) && graph.contains_edge(x, p));
        assert!(!graph.contains_edge(p, r));
    }
}
