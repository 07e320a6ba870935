//! Puts called functions in the place of their calls.
//!
//! ```text
//! func @main(%x: …) {                                func @main(%x: …) {
//!   %y = core.call(%x) {callee = @twice} : …    →      %y = tensor.add(%x, %x) : …
//! ```
//!
//! Callees go first, so that what is copied has no calls itself. The functions stay, unless `drop`
//! says that only those are wanted which nothing calls. A chain of functions that call one another
//! twice grows without measure; `ops` bounds that.

use std::collections::HashMap;

use lepid_ir::core::{Block, Builder, Code, Diagnostic, Diagnostics, Module, Op, OpResult, Value};
use lepid_ir::dialects::core::{Call, Func};
use petgraph::algo::toposort;
use petgraph::graphmap::DiGraphMap;

use crate::core::rewrite::{At, copy_whole, is, replace};
use crate::core::{Changed, PassCx, PassDef, PassOption, PassResult, Values};

pub const PASS: PassDef = PassDef {
    name: "inline",
    summary: "Puts called functions in the place of their calls.",
    values: Values::Exact,
    options: &[
        PassOption {
            name: "drop",
            default: "false",
            help: "Whether functions that were called are erased.",
        },
        PassOption {
            name: "ops",
            default: "1000000",
            help: "How many ops the calls may become at most.",
        },
    ],
    run,
};

fn run(module: &mut Module, cx: &mut PassCx<'_>) -> PassResult {
    let (drop, limit): (bool, usize) = (cx.option("drop")?, cx.option("ops")?);
    let order = callees_first(module)?;
    let (mut called, mut copied) = (Vec::new(), 0);
    for func in order {
        for call in calls(module, func) {
            let callee = callee(module, call);
            copied += module.walk_inside(callee).len();
            if copied > limit {
                let loc = module.loc(call).clone();
                let message = format!("calls would become more than {limit} ops");
                let error = Diagnostic::error(Code::PASS_FAILED, loc, message);
                return Err(vec![error.with_help("`inline{ops=N}` sets another limit")]);
            }
            put_in_place(module, call, callee)?;
            called.push(callee);
        }
    }
    let changed = Changed::from(!called.is_empty());
    called.sort_unstable();
    called.dedup();
    if drop {
        called.into_iter().for_each(|func| module.erase(func));
    }
    Ok(changed)
}

/// All functions, each after those that it calls.
fn callees_first(module: &Module) -> Result<Vec<Op>, Diagnostics> {
    let mut graph: DiGraphMap<Op, ()> = DiGraphMap::new();
    for func in module.funcs() {
        graph.add_node(func);
        for call in calls(module, func) {
            graph.add_edge(callee(module, call), func, ());
        }
    }
    toposort(&graph, None).map_err(|cycle| {
        let func = cycle.node_id();
        let name = Func::name(module.view(func));
        let message = format!("`@{name}` calls itself, if only through others");
        let loc = module.loc(func).clone();
        vec![Diagnostic::error(Code::PASS_FAILED, loc, message).with_help("write a `tensor.while`")]
    })
}

fn calls(module: &Module, func: Op) -> Vec<Op> {
    let ops = module.walk_inside(func).into_iter();
    ops.filter(|&op| is(module, op, &Call)).collect()
}

fn callee(module: &Module, call: Op) -> Op {
    let name = Call::callee(module.view(call));
    match Func::find(module, name.as_str()) {
        Some(func) => func,
        None => lepid_ir::bug!("`core.call` of a missing function passed the verifier"),
    }
}

fn put_in_place(module: &mut Module, call: Op, callee: Op) -> Result<(), Diagnostics> {
    let loc = module.loc(call).clone();
    let view = module.view(callee);
    let (block, args) = (Func::block(view), Func::args(view).to_vec());
    let returned = Func::returned(view).to_vec();
    let operands = module.operands(call).to_vec();
    let mut map: HashMap<Value, Value> = args.into_iter().zip(operands).collect();
    let end = module.terminator(block);
    let mut b = Builder::before(module, call);
    copy_ops(&mut b, block, end, &mut map).at(&loc)?;
    let values: Vec<Value> = returned.iter().map(|v| map[v]).collect();
    replace(module, call, &values).at(&loc)
}

/// Copies the ops of a block up to `end` to the builder's point; `map` says what stands for each
/// value.
fn copy_ops(
    b: &mut Builder<'_>,
    block: Block,
    end: Option<Op>,
    map: &mut HashMap<Value, Value>,
) -> OpResult<()> {
    let ops: Vec<Op> = b.module.ops_in(block).collect();
    for op in ops.into_iter().take_while(|&op| Some(op) != end) {
        copy_whole(b, op, map)?;
    }
    Ok(())
}
