//! Computes equal pure ops once.
//!
//! ```text
//! %1 = tensor.exp(%0)             %1 = tensor.exp(%0)
//! %2 = tensor.exp(%0)         →   %2 = tensor.add(%1, %1)
//! %3 = tensor.add(%1, %2)
//! ```
//!
//! Ops are equal if name, attributes and operands are; the order of the operands of a commutative
//! op does not matter. An op inside a region may be replaced by one before the region.

use indexmap::IndexMap;
use lepid_ir::core::{Attr, Block, Module, Op, Trait, Value};

use crate::core::rewrite::types_of;
use crate::core::{Changed, PassCx, PassDef, PassResult, Values};

pub const PASS: PassDef = PassDef {
    name: "cse",
    summary: "Computes equal pure ops once.",
    values: Values::Exact,
    options: &[],
    run,
};

type Key = (&'static str, Vec<Value>, Vec<Attr>);

fn run(module: &mut Module, _: &mut PassCx<'_>) -> PassResult {
    let mut changed = Changed::No;
    let body = module.body();
    block(module, body, &mut IndexMap::new(), &mut changed);
    Ok(changed)
}

fn block(module: &mut Module, at: Block, seen: &mut IndexMap<Key, Op>, changed: &mut Changed) {
    let outside = seen.len();
    let ops: Vec<Op> = module.ops_in(at).collect();
    for op in ops {
        let info = module.def(op).info();
        for region in module.regions(op).to_vec() {
            for inner in module.region_blocks(region).to_vec() {
                match info.has(Trait::Isolated) {
                    true => block(module, inner, &mut IndexMap::new(), changed),
                    false => block(module, inner, seen, changed),
                }
            }
        }
        if !info.has(Trait::Pure) || !module.regions(op).is_empty() {
            continue;
        }
        let key = key(module, op);
        let Some(&first) = seen.get(&key) else {
            seen.insert(key, op);
            continue;
        };
        let earlier = module.results(first).to_vec();
        if types_of(module, &earlier) == types_of(module, module.results(op)) {
            let loc = module.loc(first).join(module.loc(op));
            module.set_loc(first, loc);
            module.replace_op(op, &earlier);
            *changed = Changed::Yes;
        }
    }
    // What this block defines is not visible behind it.
    seen.truncate(outside);
}

fn key(module: &Module, op: Op) -> Key {
    let info = module.def(op).info();
    let mut operands = module.operands(op).to_vec();
    if info.has(Trait::Commutative) {
        operands.sort();
    }
    (info.name, operands, module.attrs(op).to_vec())
}
