//! `lepid bisect`: which pass, or which generated code, makes a model compute other values.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
use lepid_ir::core::{Code, Diagnostic, Diagnostics, Loc, Module, Op};
use lepid_passes::core::Changed;
use serde_json::{Value as Json, json};

use super::args::{InputArgs, Job, ModelArgs, TargetArgs, ToleranceArgs, plain_load, thread_count};
use super::compare::op_table;
use super::output::{Table, json_number};
use super::{Cx, Outcome, eqsat};
use crate::driver::bisect::{Bisect, Culprit, Found, Search};
use crate::driver::blame::Blame;
use crate::driver::per_op::OpCheck;
use crate::driver::{files, save};

/// Find the pass, or the generated code, that changes what a model computes.
///
/// The outputs of the interpreter on the model as it was read are the reference. The module after
/// each pass of the target's pipeline is interpreted and held against it, by halves. If all passes
/// are right, the emitted code is run, and each of its ops by itself. If the pass works by rules, as
/// `eqsat` does, the fewest rules are found that make it wrong.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lepid bisect model.onnx
  lepid bisect model.onnx --every-pass --rtol 1e-5
  lepid bisect model.onnx --pipeline eqsat --rtol 0
  lepid bisect model.onnx --input @inputs.npz --output-dir stages")]
pub(super) struct Args {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    inputs: InputArgs,
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    tolerance: ToleranceArgs,
    /// Look at the module after every pass, not only where halving leads.
    #[arg(long)]
    every_pass: bool,
    /// Write the IR before and after the pass that is found to this folder.
    #[arg(long, value_name = "DIR")]
    output_dir: Option<PathBuf>,
    /// Threads that a run may use [default: all cores].
    #[arg(long, value_name = "N", value_parser = thread_count)]
    threads: Option<usize>,
}

pub(super) fn run(args: &Args, cx: &mut Cx<'_>) -> Outcome {
    args.model.file.require_numbers()?;
    let job = Job::load(&args.model, &args.inputs, cx)?;
    let func = args.model.func.as_deref();
    let trial = args.target.trial(func, plain_load(args.threads, cx), cx)?;
    let progress = spinner();
    let mut watch = args.target.ir.watch(cx);
    let search = Bisect {
        trial: &trial,
        inputs: &job.inputs,
        tolerance: args.tolerance.tolerance(),
        every_pass: args.every_pass,
        progress: &mut |what| {
            progress.set_message(what.to_string());
            progress.tick();
        },
    }
    .run(&job.module, &mut watch);
    progress.finish_and_clear();
    let search = search?;
    cx.report("target", trial.target.info().name);
    if args.target.ir.eqsat_report {
        eqsat::print_report(&search.report, cx);
    }
    stages(&search, cx)?;
    let errors = verdict(&job.module, &search, cx)?;
    if let Some(folder) = &args.output_dir {
        save_stages(folder, &job.module, &search, cx)?;
    }
    match errors.is_empty() {
        true => Ok(()),
        false => Err(errors.into()),
    }
}

pub(super) fn spinner() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {msg}");
    // A template that cannot be read is no reason to show nothing.
    ProgressBar::new_spinner().with_style(style.unwrap_or(ProgressStyle::default_spinner()))
}

/// The table of what was looked at.
fn stages(search: &Search, cx: &mut Cx<'_>) -> Outcome {
    let mut table = Table::new(&["pass", "changed", "error", ""], &[2]);
    let mut rows: Vec<Json> = Vec::new();
    for (stage, found) in search.stages.iter().zip(&search.checked) {
        let changed = stage.changed == Changed::Yes;
        let error = found.as_ref().and_then(Found::error);
        let verdict = found.as_ref().map(word);
        table.row(vec![
            stage.pass.to_string(),
            if changed { "yes" } else { "no" }.to_string(),
            error.map_or(String::new(), |e| format!("{e:.2e}")),
            verdict.unwrap_or_default().to_string(),
        ]);
        rows.push(json!({
            "pass": stage.pass,
            "changed": changed,
            "max_rel_error": error.map(json_number),
            "verdict": verdict,
        }));
    }
    cx.report("passes", rows);
    if !cx.json {
        io::stdout().write_all(table.text().as_bytes())?;
    }
    Ok(())
}

fn word(found: &Found) -> &'static str {
    match found {
        Found::Agrees(_) => "ok",
        Found::Differs(..) => "differs",
        Found::Fails(_) => "fails",
    }
}

fn verdict(
    imported: &Module,
    search: &Search,
    cx: &mut Cx<'_>,
) -> Result<Diagnostics, super::Failure> {
    match &search.culprit {
        Culprit::Nobody => {
            cx.report("culprit", Json::Null);
            if !cx.json {
                writeln!(io::stdout(), "no difference")?;
            }
            Ok(Vec::new())
        }
        Culprit::Pass(at, found) => {
            let (pass, number) = (search.stages[*at].pass, at + 1);
            let blame = search.blame.as_ref();
            cx.report(
                "culprit",
                json!({"pass": pass, "number": number, "rules": blame.map(blame_json)}),
            );
            let message = match found {
                Found::Fails(_) => {
                    format!("after pass `{pass}`, number {number}, the module does not run")
                }
                Found::Agrees(_) | Found::Differs(..) => {
                    format!("pass `{pass}`, number {number}, changes the outputs")
                }
            };
            let help = "`--output-dir DIR` writes the IR before and after it";
            let mut error = error_for(message, found);
            error.notes.extend(blame.map_or(Vec::new(), Blame::notes));
            Ok(vec![error.with_help(help)])
        }
        Culprit::Code(found, checks) => {
            let lowered = search.stages.last().map_or(imported, |s| &s.module);
            code(lowered, found, checks, cx)
        }
    }
}

fn code(
    module: &Module,
    found: &Found,
    checks: &[OpCheck],
    cx: &mut Cx<'_>,
) -> Result<Diagnostics, super::Failure> {
    let wrong: Vec<(Op, Diagnostic)> = checks
        .iter()
        .filter_map(|c| Some((c.op, c.mismatch(module)?)))
        .collect();
    let names: Vec<&str> = wrong.iter().map(|(op, _)| module.op_name(*op)).collect();
    cx.report("culprit", json!({"code": names}));
    let (table, rows) = op_table(module, checks);
    cx.report("ops", rows);
    if !cx.json {
        io::stdout().write_all(format!("\n{}", table.text()).as_bytes())?;
    }
    let mut error = error_for(
        "all passes are right; the emitted code is not".to_string(),
        found,
    );
    if wrong.is_empty() {
        let note =
            "each op by itself is right: it is in how they share memory or follow each other";
        error = error.with_note(note);
    }
    let mut errors = vec![error];
    errors.extend(wrong.into_iter().map(|(_, error)| error));
    Ok(errors)
}

fn blame_json(blame: &Blame) -> Json {
    json!({
        "sets": blame.sets,
        "unfinished": blame.unfinished,
        "without": blame.without,
        "right_without": blame.right_without,
    })
}

/// The finding with what shows it.
fn error_for(message: String, found: &Found) -> Diagnostic {
    let mut error = Diagnostic::error(Code::MISMATCH, Loc::Unknown, message);
    match found {
        Found::Agrees(_) => {}
        Found::Differs(_, messages) => {
            for shown in messages.iter().take(MAX_OUTPUTS) {
                error.notes.push(shown.message.clone());
                error.notes.extend(shown.notes.iter().cloned());
            }
            if messages.len() > MAX_OUTPUTS {
                let more = messages.len() - MAX_OUTPUTS;
                error.notes.push(format!("and {more} more outputs"));
            }
        }
        Found::Fails(why) => error.notes.push(why.message.clone()),
    }
    error
}

/// Outputs named in one message.
const MAX_OUTPUTS: usize = 4;

/// Writes `before.lir` and `after.lir` of the pass that is found, or `lowered.lir`.
fn save_stages(folder: &Path, imported: &Module, search: &Search, cx: &mut Cx<'_>) -> Outcome {
    std::fs::create_dir_all(folder).map_err(|error| files::cannot_write(folder, error))?;
    let module = |at: Option<usize>| at.map_or(imported, |at| &search.stages[at].module);
    let last = search.stages.len().checked_sub(1);
    let wanted = match &search.culprit {
        Culprit::Nobody => Vec::new(),
        Culprit::Pass(at, _) => {
            vec![
                ("before.lir", module(at.checked_sub(1))),
                ("after.lir", module(Some(*at))),
            ]
        }
        Culprit::Code(..) => vec![("lowered.lir", module(last))],
    };
    let mut paths = Vec::new();
    for (name, module) in wanted {
        let path = folder.join(name);
        save::module(&path, module, &Default::default())?;
        paths.push(path.display().to_string());
    }
    cx.report("outputs", paths);
    Ok(())
}
