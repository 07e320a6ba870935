//! A new pass: its file, its line in the list of passes, its test folder with a first input.

use super::edit;
use super::names;
use super::plan::Plan;
use crate::workspace::{self, Result};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The name in pipelines: `dead-ops`.
    name: String,
}

const LIST: &str = "PASSES: &[&PassDef] = &[";

const SOURCE: &str = r#"//! Leaves the module as it is. What the pass does stands in this sentence.
//!
//! ```text
//! %1 = nn.relu(%0)        →   %1 = nn.relu(%0)
//! return %1                   return %1
//! ```

use lepid_ir::core::Module;

use crate::core::{Changed, PassCx, PassDef, PassResult, Values};

pub const PASS: PassDef = PassDef {
    name: "NAME",
    summary: "Leaves the module as it is.",
    values: Values::Exact,
    options: &[],
    run,
};

fn run(_module: &mut Module, _cx: &mut PassCx<'_>) -> PassResult {
    Ok(Changed::No)
}
"#;

const FIRST_INPUT: &str = "\
func @keeps_values(%x: tensor<2x3xf32>) -> (tensor<2x3xf32>) {
  %y = nn.relu(%x) : tensor<2x3xf32>
  return %y
}
";

/// What the pass leaves, as the snapshot test records it.
const FIRST_SNAPSHOT: &str = "\
---
source: passes/tests/passes.rs
---
func @keeps_values(%0: tensor<2x3xf32>) -> (tensor<2x3xf32>) {
  %1 = nn.relu(%0) : tensor<2x3xf32>
  return %1
}
";

pub(super) fn plan(options: &Options) -> Result<Plan> {
    let name = &options.name;
    let module = name.replace('-', "_");
    names::check(&module)?;
    let passes = workspace::root().join("passes");
    let source = passes.join(format!("src/transform/{module}.rs"));
    if source.exists() {
        return Err(format!("there is a pass `{name}` already"));
    }
    let mut plan = Plan::default();
    let list = passes.join("src/transform/mod.rs");
    let text = plan.read(&list)?;
    let text = edit::add_line(&text, "pub mod ", &format!("pub mod {module};"))?;
    let text = edit::add_to_list(&text, LIST, &format!("&{module}::PASS"))?;
    plan.write(list, text);
    plan.write(source, SOURCE.replace("NAME", name));
    let first = passes.join(format!("tests/{name}/keeps_values.lir"));
    plan.write(first, FIRST_INPUT.to_owned());
    let snapshot = passes.join(format!("tests/snapshots/{name}/keeps_values.snap"));
    plan.write(snapshot, FIRST_SNAPSHOT.to_owned());
    Ok(plan)
}
