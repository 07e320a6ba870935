//! What `opt`, `list` and `explain` show of equality saturation.

use std::io::{self, Write};
use std::path::Path;

use lepid_ir::core::{Code, Diagnostic, Loc, Module};
use lepid_passes::core::{PassEnv, Report, Values};
use lepid_passes::eqsat::rules::{self, Family, RuleDef};
use lepid_passes::eqsat::{Options, PASS, dump, prove, summary_of_function};
use serde_json::{Value, json};

use super::output::Table;
use super::{Cx, Failure, Outcome};
use crate::driver::files;

/// What the passes of a pipeline tell of their work, on standard error.
pub(super) fn print_report(report: &Report, cx: &mut Cx<'_>) {
    // A command may compile twice.
    let mut rows = match cx.result.remove("remarks") {
        Some(Value::Array(rows)) => rows,
        _ => Vec::new(),
    };
    for pass in &report.passes {
        for remark in &pass.remarks {
            rows.push(json!({"pass": pass.name, "remark": remark, "rules": pass.rules}));
            tell(&format!("{}: {remark}", pass.name));
        }
    }
    if report.passes.iter().all(|pass| pass.name != PASS.name) {
        tell("eqsat: the pipeline does not have this pass\n");
    }
    cx.report("remarks", rows);
}

/// What there is to tell of a package.
pub(super) fn print_report_of_package() {
    tell("eqsat: a package is compiled already; `lepid compile` tells\n");
}

fn tell(text: &str) {
    // Nothing depends on these lines.
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Writes the saturated e-graphs of a module.
pub(super) fn write_graphs(module: &Module, env: &PassEnv<'_>, path: &Path) -> Outcome {
    let text = dump(module, env, &Options::default())?;
    Ok(files::write_atomic(path, |file| {
        file.write_all(text.as_bytes())
    })?)
}

/// Prints the rules that turn the main function of one module into that of another.
pub(super) fn print_proof(from: &Module, to: &Module, cx: &mut Cx<'_>) -> Outcome {
    let options = Options::default();
    let main = |module: &Module| {
        let message = "the module has no function";
        let missing = || Diagnostic::error(Code::ARGUMENT, Loc::Unknown, message);
        module.funcs().next().ok_or_else(missing)
    };
    let (a, b) = ((from, main(from)?), (to, main(to)?));
    match prove(a, b, &options, cx.driver.ops()) {
        Ok(proof) => {
            let results = proof.results.iter().map(|steps| {
                let steps = steps.iter();
                let rows =
                    steps.map(|s| json!({"rule": s.rule, "forward": s.forward, "term": s.term}));
                json!(rows.collect::<Vec<_>>())
            });
            cx.report("proof", results.collect::<Vec<_>>());
            if !cx.json {
                io::stdout().write_all(proof.to_string().as_bytes())?;
            }
            Ok(())
        }
        Err(unproven) => {
            let error = Diagnostic::error(Code::PASS_FAILED, Loc::Unknown, unproven.to_string());
            let help = "functions may be equal without a proof; `lepid compare` compares values";
            Err(error.with_help(help).into())
        }
    }
}

/// All rules, those of a family, or one in full.
pub(super) fn list(name: Option<&str>) -> Result<(String, Value), Failure> {
    match name {
        None => Ok(table(rules::all())),
        Some(name) => match rules::find_family(name) {
            Some(family) => Ok(table(family.rules.iter().map(|rule| (family, rule)))),
            None => one_rule(name),
        },
    }
}

fn table(shown: impl Iterator<Item = (&'static Family, &'static RuleDef)>) -> (String, Value) {
    let mut table = Table::new(&["rule", "family", "values", "summary"], &[]);
    let mut rows = Vec::new();
    for (family, rule) in shown {
        table.row(vec![
            rule.name.to_string(),
            family.name.to_string(),
            values(rule),
            rule.summary.trim().to_string(),
        ]);
        rows.push(row(family, rule));
    }
    (table.text(), json!(rows))
}

/// A rule in full.
pub(super) fn one_rule(name: &str) -> Result<(String, Value), Failure> {
    let Some((family, rule)) = rules::find(name) else {
        return Err(rules::unknown(Code::ARGUMENT, name).into());
    };
    Ok((text(family, rule), row(family, rule)))
}

fn text(family: &Family, rule: &RuleDef) -> String {
    let mut text = format!("{}: {}\n\n", rule.name, rule.summary.trim());
    text += &format!("  {}\n→ {}\n", rule.left, rule.right);
    for condition in rule.conditions {
        text += &format!("if {condition}\n");
    }
    text += &format!(
        "\nfamily  {}: {}\nvalues  {}\n",
        family.name,
        family.summary,
        values(rule)
    );
    let terms = [rule.left, rule.right]
        .into_iter()
        .chain(rule.conditions.iter().copied());
    let mut named: Vec<&str> = Vec::new();
    for term in terms {
        for word in term.split(['(', ')', ' ']) {
            if let Some(summary) = summary_of_function(word)
                && !named.contains(&word)
            {
                named.push(word);
                text += &format!("\n{word}: {summary}");
            }
        }
    }
    if !named.is_empty() {
        text.push('\n');
    }
    text
}

fn values(rule: &RuleDef) -> String {
    match rule.values {
        Values::Exact => "exact".to_string(),
        Values::Within(0.0) => "exact but for the sign of zero".to_string(),
        Values::Within(bound) => format!("within {bound:e}"),
    }
}

fn row(family: &Family, rule: &RuleDef) -> Value {
    json!({
        "name": rule.name,
        "family": family.name,
        "summary": rule.summary.trim(),
        "left": rule.left,
        "right": rule.right,
        "conditions": rule.conditions,
        "values": values(rule),
    })
}
