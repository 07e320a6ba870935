//! Removes pure ops whose results nothing uses.
//!
//! ```text
//! %1 = nn.relu(%0)        →   core.return(%0)
//! core.return(%0)
//! ```
//!
//! An op with regions goes, too, if all ops inside are pure. One sweep from the end is complete:
//! every use of a value stands after its definition.

use lepid_ir::core::Module;

use crate::core::rewrite::is_effect_free;
use crate::core::{Changed, PassCx, PassDef, PassResult, Values};

pub const PASS: PassDef = PassDef {
    name: "dead-ops",
    summary: "Removes pure ops whose results nothing uses.",
    values: Values::Exact,
    options: &[],
    run,
};

fn run(module: &mut Module, _: &mut PassCx<'_>) -> PassResult {
    let mut changed = Changed::No;
    for op in module.walk().into_iter().rev() {
        let results = module.results(op);
        let unused = results.iter().all(|&r| module.uses(r).is_empty());
        if unused && !results.is_empty() && is_effect_free(module, op) {
            module.erase(op);
            changed = Changed::Yes;
        }
    }
    Ok(changed)
}
