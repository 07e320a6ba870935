//! `lepid compare`: a target beside the interpreter, a model beside another, or outputs beside
//! recorded ones, always on the same inputs.
//!
//! As a whole, the compiled function is compared: that is what users run, fusion included. Per op,
//! each op is compiled alone and gets the interpreter's values as its operands: errors of the ops
//! before it do not count, so that the table names the op at fault.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use indicatif::ProgressBar;
use lepid_ir::core::{Diagnostics, Module, Op, Tensor};
use lepid_target_api::{Package, main_function};
use serde_json::{Value as Json, json};

use super::args::{
    InputArgs, IrArgs, Job, ModelArgs, TargetArgs, ToleranceArgs, plain_load, thread_count,
};
use super::output::{Table, json_number};
use super::{Cx, Failure, Outcome, run as run_command};
use crate::driver::arrays;
use crate::driver::compare::compare;
use crate::driver::dump;
use crate::driver::matching;
use crate::driver::per_op::{self, OpCheck};
use crate::driver::trial::Trial;
use crate::reduce::{Observed, cut, interpret};

/// Compare a target with the interpreter, two models, or a model with recorded outputs.
///
/// All run on the same inputs. Outputs are matched by their names or, if those differ, by their
/// order.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lepid compare model.onnx
  lepid compare model.onnx --per-op --rtol 1e-5
  lepid compare model.onnx simplified.onnx
  lepid compare stage.lir model.onnx --other-target reference
  lepid compare model.onnx recorded.npz --input @inputs.npz
  lepid compare model.onnx --dump-outputs values")]
pub(super) struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// What to compare with: another model or stage, or a `.npz` of recorded outputs [default: the
    /// model itself in the interpreter].
    #[arg(value_name = "OTHER")]
    other: Option<PathBuf>,
    #[command(flatten)]
    inputs: InputArgs,
    #[command(flatten)]
    target: TargetArgs,
    /// The target on which the other side runs [default: that of the first for another model,
    /// reference for the same].
    #[arg(long, value_name = "TARGET")]
    other_target: Option<String>,
    /// Compare every op by itself as well.
    #[arg(long, conflicts_with = "other")]
    per_op: bool,
    /// Write every value that was computed to DIR/found and DIR/expected, with an index.
    #[arg(long, value_name = "DIR")]
    dump_outputs: Option<PathBuf>,
    #[command(flatten)]
    tolerance: ToleranceArgs,
    /// Threads that a run may use [default: all cores].
    #[arg(long, value_name = "N", value_parser = thread_count)]
    threads: Option<usize>,
}

/// Outputs by name, in order.
type Named = Vec<(String, Tensor)>;

pub(super) fn run(args: &Args, cx: &mut Cx<'_>) -> Outcome {
    let job = Job::load(&args.model, &args.inputs, cx)?;
    let expected = expected(args, &job, cx)?;
    let mut errors: Diagnostics = Vec::new();
    if args.per_op {
        per_op(args, &job, &mut errors, cx)?;
    }
    let side = Side {
        name: "found",
        target: &args.target,
        model: &args.model,
    };
    let found = execute(args, &side, &job, cx)?;
    let names = |all: &Named| -> Vec<String> { all.iter().map(|(n, _)| n.clone()).collect() };
    let pairs = matching::outputs(&names(&found), &names(&expected))?;
    let mut rows = Vec::new();
    for ((name, found), at) in found.iter().zip(pairs) {
        let (other, expected) = &expected[at];
        let comparison = compare(name, found, expected, args.tolerance.tolerance());
        if !cx.json {
            writeln!(io::stdout(), "{}", run_command::line(&comparison))?;
        }
        let mut row = run_command::row(&comparison);
        row["other"] = json!(other);
        rows.push(row);
        if !comparison.ok {
            errors.push(comparison.mismatch(found, expected));
        }
    }
    cx.report("compare", rows);
    match errors.is_empty() {
        true => Ok(()),
        false => Err(errors.into()),
    }
}

/// One of two that are compared.
struct Side<'a> {
    /// The name of its folder of values.
    name: &'static str,
    target: &'a TargetArgs,
    model: &'a ModelArgs,
}

/// The outputs of the other side.
fn expected(args: &Args, job: &Job, cx: &mut Cx<'_>) -> Result<Named, Failure> {
    let target = other_target(args);
    let mut side = Side {
        name: "expected",
        target: &target,
        model: &args.model,
    };
    let Some(path) = &args.other else {
        return execute(args, &side, job, cx);
    };
    if is_archive(path) {
        return Ok(arrays::read_npz(path)?);
    }
    let mut model = args.model.clone();
    model.file.model = path.clone();
    model.file.weights = None;
    side.model = &model;
    let other = other_job(&model, job, args.inputs.seed, cx)?;
    execute(args, &side, &other, cx)
}

/// Where the other side runs: as it was asked for, or on the same target for another model, or in
/// the interpreter for the same.
fn other_target(args: &Args) -> TargetArgs {
    let name = match (&args.other_target, &args.other) {
        (Some(name), _) => name.clone(),
        (None, Some(_)) => return args.target.clone(),
        (None, None) => "reference".to_string(),
    };
    TargetArgs {
        target: Some(name),
        options: Vec::new(),
        pipeline: None,
        ir: IrArgs::default(),
    }
}

fn is_archive(path: &Path) -> bool {
    path.extension()
        .is_some_and(|e| e.eq_ignore_ascii_case("npz"))
}

/// The other model with the inputs of the first.
fn other_job(model: &ModelArgs, first: &Job, seed: u64, cx: &mut Cx<'_>) -> Result<Job, Failure> {
    let said = cx.session.diagnostics.clone();
    let module = model.load(cx)?;
    let signature = model.signature(&module)?;
    let given = matching::inputs(&first.signature, &first.inputs, &signature)?;
    // What it had to say it says again.
    cx.session.diagnostics = said;
    Ok(Job::with_inputs(model, given, seed, cx)?)
}

/// Compiles and runs one side, and writes its values if that is asked for.
fn execute(args: &Args, side: &Side<'_>, job: &Job, cx: &mut Cx<'_>) -> Result<Named, Failure> {
    let func = side.model.func.as_deref();
    let trial = side.target.trial(func, plain_load(args.threads, cx), cx)?;
    let module = job.module.clone();
    let package = side.target.compile(module, func, &[], cx)?.package;
    let outputs = trial.execute(&package, &job.inputs)?;
    if let Some(folder) = &args.dump_outputs {
        dump_values(&folder.join(side.name), &trial, &package, &job.inputs)?;
    }
    let names = package.signature.outputs.iter().map(|p| p.name.clone());
    Ok(names.zip(outputs).collect())
}

/// Writes every value that a compiled function computes into a folder.
pub(super) fn dump_values(
    folder: &Path,
    trial: &Trial<'_>,
    package: &Package,
    inputs: &[Tensor],
) -> Result<(), Diagnostics> {
    let seen = trial.observe(package, inputs)?;
    let run = Observed {
        module: &package.module,
        func: main_function(&package.module, trial.options.func.as_deref())?,
        inputs,
        seen: &seen,
    };
    dump::write(folder, trial.target.info().name, &run).map_err(|error| vec![error])
}

fn per_op(args: &Args, job: &Job, errors: &mut Diagnostics, cx: &mut Cx<'_>) -> Outcome {
    let func = main_function(&job.module, args.model.func.as_deref())?;
    let (_, seen) = interpret(&job.module, func, &job.inputs)?;
    let run = Observed {
        module: &job.module,
        func,
        inputs: &job.inputs,
        seen: &seen,
    };
    let func_name = args.model.func.as_deref();
    let trial = args
        .target
        .trial(func_name, plain_load(args.threads, cx), cx)?;
    let progress = ProgressBar::new(cut::steps(&job.module, func).len() as u64);
    let tolerance = args.tolerance.tolerance();
    let checks = per_op::check(&trial, &run, tolerance, &mut || progress.inc(1));
    progress.finish_and_clear();
    let checks = checks?;
    errors.extend(checks.iter().filter_map(|c| c.mismatch(&job.module)));
    let (table, rows) = op_table(&job.module, &checks);
    cx.report("ops", rows);
    if !cx.json {
        io::stdout().write_all(table.text().as_bytes())?;
    }
    Ok(())
}

/// Checked ops as people and as machines read them.
pub(super) fn op_table(module: &Module, checks: &[OpCheck]) -> (Table, Vec<Json>) {
    let mut table = Table::new(&["op", "type", "error", "", "node"], &[2]);
    let mut rows: Vec<Json> = Vec::new();
    for check in checks {
        let row = op_row(module, check.op, &check.outcome);
        table.row(row.cells);
        rows.push(row.json);
    }
    (table, rows)
}

struct OpRow {
    cells: Vec<String>,
    json: Json,
}

fn op_row(module: &Module, op: Op, outcome: &per_op::Outcome) -> OpRow {
    let (error, verdict, reason) = match outcome {
        per_op::Outcome::Ran(c) if c.ok => (Some(c.max_rel_error), "ok", None),
        per_op::Outcome::Ran(c) => (Some(c.max_rel_error), "differs", None),
        per_op::Outcome::NotAlone(why) => {
            (None, "not alone", why.first().map(|d| d.message.clone()))
        }
    };
    let view = module.view(op);
    let nodes: Vec<&str> = view.loc().names().map(|n| n.as_str()).collect();
    let ty = view.result_type(0).to_string();
    OpRow {
        cells: vec![
            view.name().to_string(),
            ty.clone(),
            error.map_or(String::new(), |e| format!("{e:.2e}")),
            verdict.to_string(),
            nodes.join(" "),
        ],
        json: json!({
            "op": view.name(),
            "type": ty,
            "nodes": nodes,
            "verdict": verdict,
            "reason": reason,
            "max_rel_error": error.map(json_number),
        }),
    }
}
