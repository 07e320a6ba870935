//! Replaces ops that the target does not have by simpler ones.
//!
//! ```text
//! // a target without softplus
//! %1 = nn.softplus(%0)     →     %1 = tensor.exp(%0)
//!                                %2 = … log(1 + %1) …
//! ```
//!
//! Asks the legality hook about every op, and again about what `decompose` gives, until all that
//! remains is native. Structure is not asked about: functions, terminators and constants.

use std::collections::BTreeMap;

use lepid_ir::core::{Builder, Code, Diagnostic, Diagnostics, Module, Op, Trait};
use lepid_ir::dialects::core::Func;

use crate::core::rewrite::{At, is, replace};
use crate::core::{Changed, Legality, PassCx, PassDef, PassResult, Values};

pub const PASS: PassDef = PassDef {
    name: "expand",
    summary: "Decomposes ops that the target does not have.",
    values: Values::Within(1e-5),
    options: &[],
    run,
};

/// No op of ours is so far from the primitive ones; a decomposition that comes back to itself is.
const MAX_DEPTH: u32 = 64;

fn run(module: &mut Module, cx: &mut PassCx<'_>) -> PassResult {
    let mut changed = Changed::No;
    let mut found = Diagnostics::new();
    // Smallest id first; what a decomposition adds has greater ids and its own depth.
    let mut todo: BTreeMap<Op, u32> = module.walk().into_iter().map(|op| (op, 0)).collect();
    while let Some((op, depth)) = todo.pop_first() {
        if module.op_block(op).is_none() || is_structure(module, op) {
            continue;
        }
        match (cx.env.legality)(module.view(op)) {
            Legality::Native => {}
            Legality::Unsupported(reason) => found.push(unsupported(module, op, &reason)),
            Legality::Expand if depth > MAX_DEPTH => {
                lepid_ir::bug!("`{}` decomposes into itself", module.op_name(op))
            }
            Legality::Expand => {
                let before = module.op_count();
                if expand(module, op)? {
                    changed = Changed::Yes;
                    let new = module.ops_since(before).into_iter();
                    todo.extend(new.map(|op| (op, depth + 1)));
                } else {
                    let reason = "it has no expansion into simpler ops";
                    found.push(unsupported(module, op, reason));
                }
            }
        }
    }
    match found.is_empty() {
        true => Ok(changed),
        false => Err(found),
    }
}

fn is_structure(module: &Module, op: Op) -> bool {
    let info = module.def(op).info();
    info.has(Trait::Terminator) || info.has(Trait::Constant) || is(module, op, &Func)
}

fn expand(module: &mut Module, op: Op) -> Result<bool, Diagnostics> {
    let loc = module.loc(op).clone();
    let def = module.def(op);
    let mut b = Builder::before(module, op);
    let Some(values) = def.decompose(&mut b, op).at(&loc)? else {
        return Ok(false);
    };
    replace(module, op, &values).at(&loc)?;
    Ok(true)
}

fn unsupported(module: &Module, op: Op, reason: &str) -> Diagnostic {
    let message = format!("`{}` is not supported: {reason}", module.op_name(op));
    Diagnostic::error(Code::UNSUPPORTED_OP, module.loc(op).clone(), message)
}
