//! Networks with one op less.

use lepid_ir::core::{Block, Module, Op, Trait, Value};
use lepid_ir::dialects::core::Func;

/// Modules in which less is computed: one op each is replaced by inputs, or one output is left.
pub(super) fn modules(module: &Module, main: Op) -> Vec<Module> {
    let block = Func::block(module.view(main));
    let mut all = Vec::new();
    let Some(end) = module.terminator(block) else {
        return all;
    };
    let returned = module.operands(end).to_vec();
    if returned.len() > 1 {
        all.extend(returned.iter().map(|&value| {
            let mut less = module.clone();
            less.set_operands(end, &[value]);
            finish(less, block)
        }));
    }
    let inner: Vec<Op> = module.walk_inside(main);
    for &op in inner.iter().rev() {
        if module.def(op).info().has(Trait::Terminator) || module.results(op).is_empty() {
            continue;
        }
        // The values that an op takes may do for those that it gives.
        all.extend(module.operands(op).iter().filter_map(|&operand| {
            let [result] = module.results(op) else {
                return None;
            };
            (module.value_type(operand) == module.value_type(*result)).then(|| {
                let mut less = module.clone();
                less.replace_op(op, &[operand]);
                finish(less, block)
            })
        }));
        let constant = module.def(op).info().has(Trait::Constant);
        let mut less = module.clone();
        let inputs: Vec<Value> = module
            .results(op)
            .iter()
            .map(|&result| less.add_block_arg(block, module.value_type(result)))
            .collect();
        less.replace_op(op, &inputs);
        // An input is no simpler than a constant, unless there was more to compute it from.
        if !constant {
            all.push(finish(less, block));
        }
    }
    all
}

/// Without what nothing reads.
fn finish(mut module: Module, main: Block) -> Module {
    sweep(&mut module, main);
    let args = module.block_args(main).to_vec();
    for (index, &arg) in args.iter().enumerate().rev() {
        if module.uses(arg).is_empty() {
            module.remove_block_arg(main, index);
        }
    }
    module.compact()
}

fn sweep(module: &mut Module, block: Block) {
    let ops: Vec<Op> = module.ops_in(block).collect();
    for op in ops.into_iter().rev() {
        let results = module.results(op);
        let unused = results.iter().all(|&r| module.uses(r).is_empty());
        if unused && !module.def(op).info().has(Trait::Terminator) {
            module.erase(op);
            continue;
        }
        let inner: Vec<Block> = module
            .regions(op)
            .iter()
            .flat_map(|&region| module.region_blocks(region).to_vec())
            .collect();
        for block in inner {
            sweep(module, block);
        }
    }
}
