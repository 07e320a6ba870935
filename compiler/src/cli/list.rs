//! `lepid list`: the tables of ops, passes, rules, targets and diagnostics.

use std::io::{self, Write};

use lepid_ir::core::{CODES, Code, Diagnostic, Loc, OpInfo};
use lepid_ir::dialects::adapt::policies::{self, Policy};
use lepid_passes::core::{PassDef, Values};
use lepid_target_api::TargetInfo;
use serde_json::{Value, json};

use super::args::find_target;
use super::output::Table;
use super::{Cx, Failure, Outcome, eqsat, explain};

/// List ops, passes, rules of `eqsat`, policies of exits, targets or diagnostic codes, or show one of them in full.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lepid list ops
  lepid list ops nn.conv
  lepid list rules movement
  lepid list passes --json")]
pub(super) struct Args {
    what: What,
    /// One of them, to be shown in full; or a family of rules.
    name: Option<String>,
}

#[derive(Copy, Clone, clap::ValueEnum)]
enum What {
    Ops,
    Passes,
    Policies,
    Rules,
    Targets,
    Diagnostics,
}

pub(super) fn run(args: &Args, cx: &mut Cx<'_>) -> Outcome {
    let (text, rows) = match (args.what, args.name.as_deref()) {
        (What::Ops, None) => all_ops(cx),
        (What::Ops, Some(name)) => one_op(name, cx)?,
        (What::Passes, None) => all_passes(cx),
        (What::Passes, Some(name)) => one_pass(name, cx)?,
        (What::Policies, None) => all_policies(),
        (What::Policies, Some(name)) => one_policy(name)?,
        (What::Rules, name) => eqsat::list(name)?,
        (What::Targets, None) => all_targets(cx),
        (What::Targets, Some(name)) => one_target(name, cx)?,
        (What::Diagnostics, None) => all_codes(),
        (What::Diagnostics, Some(name)) => {
            let info = explain::find(name)?;
            (explain::text(info), explain::row(info))
        }
    };
    let key = match args.what {
        What::Ops => "ops",
        What::Passes => "passes",
        What::Policies => "policies",
        What::Rules => "rules",
        What::Targets => "targets",
        What::Diagnostics => "codes",
    };
    match cx.json {
        true => cx.report(key, rows),
        false => io::stdout().write_all(text.as_bytes())?,
    }
    Ok(())
}

fn all_ops(cx: &Cx<'_>) -> (String, Value) {
    let mut table = Table::new(&["op", "summary"], &[]);
    let mut rows = Vec::new();
    for def in cx.driver.ops().iter() {
        let info = def.info();
        table.row(vec![info.name.to_string(), first_sentence(info.doc)]);
        rows.push(op_json(info));
    }
    (table.text(), json!(rows))
}

fn one_op(name: &str, cx: &Cx<'_>) -> Result<(String, Value), Failure> {
    let Some(def) = cx.driver.ops().get(name) else {
        let near = cx.driver.ops().suggest(name);
        let mut error = unknown(Code::UNKNOWN_OP, "op", name, near);
        if error.help.is_none() {
            error.help = Some(similar_ops(name, cx));
        }
        return Err(error.into());
    };
    let info = def.info();
    let mut text = format!("{}\n\n{}\n", info.name, paragraph(info.doc));
    section(&mut text, "operands", operands(info));
    section(&mut text, "attributes", attributes(info));
    let mut results: Vec<String> = info.results.fixed.iter().map(|r| r.to_string()).collect();
    results.extend(info.results.rest.map(|r| format!("{r}…")));
    section(
        &mut text,
        "results",
        results.into_iter().map(|r| vec![r]).collect(),
    );
    let mut regions: Vec<String> = info.regions.iter().map(|r| r.to_string()).collect();
    regions.extend(info.rest_regions.map(|r| format!("{r}…")));
    section(
        &mut text,
        "regions",
        regions.into_iter().map(|r| vec![r]).collect(),
    );
    let traits = info.traits.iter().map(|t| vec![format!("{t:?}")]).collect();
    section(&mut text, "facts", traits);
    Ok((text, op_json(info)))
}

/// Ops whose names hold the last part of this one, or where to look for others.
fn similar_ops(name: &str, cx: &Cx<'_>) -> String {
    const MOST: usize = 8;
    let part = name.rsplit('.').next().unwrap_or(name);
    let names = cx.driver.ops().iter().map(|def| def.info().name);
    let alike = names.filter(|op| !part.is_empty() && op.contains(part));
    let alike: Vec<String> = alike.take(MOST).map(|op| format!("`{op}`")).collect();
    match alike.is_empty() {
        true => "`lepid list ops` shows all".to_string(),
        false => format!("there are {}", alike.join(", ")),
    }
}

fn operands(info: &OpInfo) -> Vec<Vec<String>> {
    let fixed = info.operands.iter();
    let mut rows: Vec<Vec<String>> = fixed
        .map(|o| vec![o.name.to_string(), o.rule.expected.to_string()])
        .collect();
    rows.extend(info.rest.as_ref().map(|o| {
        vec![
            format!("{}…", o.name),
            format!("{}, zero or more", o.rule.expected),
        ]
    }));
    rows
}

fn attributes(info: &OpInfo) -> Vec<Vec<String>> {
    let attrs = info.attrs.iter();
    attrs
        .map(|a| {
            let default = match a.default.map(|d| d()) {
                None => "required".to_string(),
                Some(d) if d.is_absent() => "optional".to_string(),
                Some(d) => format!("default {d}"),
            };
            vec![a.name.to_string(), a.kind.name().to_string(), default]
        })
        .collect()
}

fn op_json(info: &OpInfo) -> Value {
    let attrs = info.attrs.iter().map(|a| {
        let default = a.default.map(|d| d().to_string());
        json!({"name": a.name, "kind": a.kind.name(), "default": default})
    });
    let operands = info.operands.iter();
    let operands = operands.map(|o| json!({"name": o.name, "type": o.rule.expected}));
    let rest = info.rest.as_ref();
    let rest = rest.map(|o| json!({"name": o.name, "type": o.rule.expected}));
    let traits: Vec<String> = info.traits.iter().map(|t| format!("{t:?}")).collect();
    json!({
        "name": info.name,
        "doc": paragraph(info.doc),
        "operands": operands.collect::<Vec<_>>(),
        "rest": rest,
        "attributes": attrs.collect::<Vec<_>>(),
        "results": info.results.fixed,
        "rest_results": info.results.rest,
        "regions": info.regions,
        "traits": traits,
    })
}

fn all_policies() -> (String, Value) {
    let mut table = Table::new(&["policy", "takes", "summary"], &[]);
    for policy in policies::ALL {
        let takes = policy.numbers.join(", ");
        table.row(vec![
            policy.name.to_string(),
            takes,
            policy.summary.to_string(),
        ]);
    }
    let rows: Vec<Value> = policies::ALL.iter().map(|p| policy_json(p)).collect();
    (table.text(), json!(rows))
}

fn one_policy(name: &str) -> Result<(String, Value), Failure> {
    let policy = policies::policy(name).map_err(|error| {
        let diagnostic = Diagnostic::error(Code::ARGUMENT, Loc::Unknown, error.message);
        match error.help {
            Some(help) => diagnostic.with_help(help),
            None => diagnostic,
        }
    })?;
    let mut text = format!("{}\n\n{}\n", policy.name, policy.summary);
    let numbers = policy.numbers.iter().map(|n| vec![n.to_string()]).collect();
    section(&mut text, "numbers", numbers);
    let kept = policy.kept.iter().map(|k| vec![format!("{k:?}")]).collect();
    section(&mut text, "keeps for the next exit", kept);
    Ok((text, policy_json(policy)))
}

fn policy_json(policy: &Policy) -> Value {
    let kept: Vec<String> = policy.kept.iter().map(|k| format!("{k:?}")).collect();
    json!({
        "name": policy.name,
        "summary": policy.summary,
        "numbers": policy.numbers,
        "keeps": kept,
    })
}

fn all_passes(cx: &Cx<'_>) -> (String, Value) {
    let mut table = Table::new(&["pass", "values", "summary"], &[]);
    let mut rows = Vec::new();
    for pass in cx.driver.passes().iter() {
        let cells = [
            pass.name.to_string(),
            values(pass),
            pass.summary.to_string(),
        ];
        table.row(cells.to_vec());
        rows.push(pass_json(pass));
    }
    for alias in cx.driver.aliases() {
        let summary = format!("{} Short for `{}`.", alias.summary, alias.pipeline);
        table.row(vec![alias.name.to_string(), "alias".to_string(), summary]);
        rows.push(json!({
            "name": alias.name,
            "summary": alias.summary,
            "pipeline": alias.pipeline,
        }));
    }
    (table.text(), json!(rows))
}

fn one_pass(name: &str, cx: &Cx<'_>) -> Result<(String, Value), Failure> {
    if let Some(alias) = cx.driver.aliases().iter().find(|a| a.name == name) {
        let text = format!(
            "{}\n\n{}\n\npipeline\n  {}\n",
            alias.name, alias.summary, alias.pipeline
        );
        let row = json!({"name": alias.name, "summary": alias.summary, "pipeline": alias.pipeline});
        return Ok((text, row));
    }
    let Some(pass) = cx.driver.passes().get(name) else {
        let near = cx.driver.passes().suggest(name);
        return Err(unknown(Code::UNKNOWN_PASS, "pass", name, near).into());
    };
    let mut text = format!(
        "{}\n\n{}\n\nvalues\n  {}\n",
        pass.name,
        pass.summary,
        values(pass)
    );
    let options = pass.options.iter().map(|o| {
        vec![
            o.name.to_string(),
            format!("default {}", o.default),
            o.help.to_string(),
        ]
    });
    section(&mut text, "options", options.collect());
    Ok((text, pass_json(pass)))
}

fn values(pass: &PassDef) -> String {
    match pass.values {
        Values::Exact => "exact".to_string(),
        Values::Within(bound) => format!("within {bound:e}"),
    }
}

fn pass_json(pass: &PassDef) -> Value {
    let options = pass.options.iter();
    let options: Vec<Value> = options
        .map(|o| json!({"name": o.name, "default": o.default, "help": o.help}))
        .collect();
    json!({
        "name": pass.name,
        "summary": pass.summary,
        "values": values(pass),
        "options": options,
    })
}

fn all_targets(cx: &Cx<'_>) -> (String, Value) {
    let mut table = Table::new(&["target", "summary"], &[]);
    let mut rows = Vec::new();
    for target in cx.driver.targets().iter() {
        let info = target.info();
        table.row(vec![info.name.to_string(), info.summary.to_string()]);
        rows.push(target_json(info, target.pipeline()));
    }
    (table.text(), json!(rows))
}

fn one_target(name: &str, cx: &Cx<'_>) -> Result<(String, Value), Failure> {
    let target = find_target(cx, name)?;
    let info = target.info();
    let mut text = format!("{}\n\n{}\n", info.name, info.summary);
    let options = info.options.iter().map(|o| {
        vec![
            o.name.to_string(),
            match o.portable {
                Some(portable) => format!("default {}, {portable} in files", o.default),
                None => format!("default {}", o.default),
            },
            o.help.to_string(),
        ]
    });
    section(&mut text, "options", options.collect());
    let facts = info.capabilities.iter();
    let facts = facts.map(|(name, value)| vec![name.to_string(), value.to_string()]);
    section(&mut text, "capabilities", facts.collect());
    let pipeline = match target.pipeline() {
        "" => "(empty)",
        pipeline => pipeline,
    };
    section(&mut text, "pipeline", vec![vec![pipeline.to_string()]]);
    Ok((text, target_json(info, target.pipeline())))
}

fn target_json(info: &TargetInfo, pipeline: &str) -> Value {
    let options = info.options.iter();
    let options: Vec<Value> = options
        .map(|o| {
            json!({
                "name": o.name,
                "default": o.default,
                "portable": o.portable,
                "help": o.help,
            })
        })
        .collect();
    let facts = info.capabilities.iter();
    let facts: serde_json::Map<String, Value> =
        facts.map(|(n, v)| (n.to_string(), json!(v))).collect();
    json!({
        "name": info.name,
        "summary": info.summary,
        "options": options,
        "capabilities": facts,
        "pipeline": pipeline,
    })
}

fn all_codes() -> (String, Value) {
    let mut table = Table::new(&["code", "title"], &[]);
    for info in CODES {
        table.row(vec![info.code.to_string(), info.title.to_string()]);
    }
    let rows: Vec<Value> = CODES.iter().map(explain::row).collect();
    (table.text(), json!(rows))
}

fn unknown(code: Code, what: &str, name: &str, near: Option<&str>) -> Diagnostic {
    let message = format!("unknown {what} `{name}`");
    let error = Diagnostic::error(code, Loc::Unknown, message);
    match near {
        Some(near) => error.with_help(format!("did you mean `{near}`?")),
        None => error,
    }
}

/// Appends a titled table with indented rows; nothing if it is empty.
fn section(text: &mut String, title: &str, rows: Vec<Vec<String>>) {
    if rows.is_empty() {
        return;
    }
    let mut table = Table::default();
    rows.into_iter().for_each(|row| table.row(row));
    *text += &format!("\n{title}\n");
    for line in table.text().lines() {
        *text += &format!("  {line}\n");
    }
}

/// A doc comment without the blanks before its lines.
fn paragraph(doc: &str) -> String {
    let lines: Vec<&str> = doc
        .lines()
        .map(|l| l.strip_prefix(' ').unwrap_or(l))
        .collect();
    lines.join("\n").trim().to_string()
}

fn first_sentence(doc: &str) -> String {
    let text = paragraph(doc).replace('\n', " ");
    match text.split_once(". ") {
        Some((first, _)) => format!("{first}."),
        None => text,
    }
}
