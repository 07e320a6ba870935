//! `lepid compare`: a target beside the interpreter on the same inputs.
//!
//! As a whole, the compiled function is compared with the interpreted one: that is what users run,
//! fusion included. Per op, each op is compiled alone and gets the interpreter's values as its
//! operands: errors of the ops before it do not count, so that the table names the op at fault.

use std::io::{self, Write};

use indicatif::ProgressBar;
use lepid_ir::core::{
    Builder, Code, Diagnostic, Diagnostics, Loc, Module, Op, OpError, Tensor, Type, Value,
};
use lepid_ir::dialects::core::{Func, Return, constant};
use lepid_ir::interp;
use lepid_target_api::{LoadOptions, main_function};
use serde_json::{Value as Json, json};

use super::args::{InputArgs, Job, ModelArgs, TargetArgs, load_package, threads};
use super::output::{Table, json_number};
use super::{Cx, Failure, Outcome, run as run_command};
use crate::driver::compare::{Comparison, Scale, Tolerance, compare};

/// Compare a target with the interpreter on the same inputs.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lepid compare model.onnx
  lepid compare model.onnx --per-op --rtol 1e-5")]
pub(super) struct Args {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    inputs: InputArgs,
    #[command(flatten)]
    target: TargetArgs,
    /// Compare every op by itself as well.
    #[arg(long)]
    per_op: bool,
    /// Largest difference as a share of the largest magnitude.
    #[arg(long, default_value_t = 1e-4, value_name = "BOUND")]
    rtol: f64,
    /// Difference that is always allowed.
    #[arg(long, default_value_t = 0.0, value_name = "BOUND")]
    atol: f64,
    /// Threads that a run may use [default: all cores].
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

pub(super) fn run(args: &Args, cx: &mut Cx<'_>) -> Outcome {
    let job = Job::load(&args.model, &args.inputs, cx)?;
    let func = main_function(&job.module, args.model.func.as_deref())?;
    let mut seen: Vec<(Op, Vec<Tensor>)> = Vec::new();
    let top = Func::block(job.module.view(func));
    let expected = interp::run_observed(&job.module, func, &job.inputs, &mut |op, results| {
        if args.per_op && job.module.op_block(op) == Some(top) {
            seen.push((op, results.to_vec()));
        }
    })?;
    let tolerance = Tolerance {
        relative: args.rtol,
        absolute: args.atol,
        scale: Scale::Largest,
    };
    let mut errors: Diagnostics = Vec::new();
    if args.per_op {
        per_op(args, &job, func, &seen, tolerance, &mut errors, cx)?;
    }
    let found = execute(args, job.module.clone(), &job.inputs, cx)?;
    let mut rows = Vec::new();
    let names = job.signature.outputs.iter();
    for (port, (found, expected)) in names.zip(found.iter().zip(&expected)) {
        let comparison = compare(&port.name, found, expected, tolerance);
        if !cx.json {
            writeln!(io::stdout(), "{}", run_command::line(&comparison))?;
        }
        rows.push(run_command::row(&comparison));
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

fn execute(
    args: &Args,
    module: Module,
    inputs: &[Tensor],
    cx: &mut Cx<'_>,
) -> Result<Vec<Tensor>, Failure> {
    let target = args.target.target(cx)?;
    let func = args.model.func.as_deref();
    let compiled = args.target.compile(module, func, &[], cx)?;
    let options = LoadOptions {
        threads: threads(args.threads),
        ..LoadOptions::default()
    };
    let mut executable = load_package(target, &compiled.package, &options)?;
    Ok(executable.run(inputs)?)
}

fn per_op(
    args: &Args,
    job: &Job,
    func: Op,
    seen: &[(Op, Vec<Tensor>)],
    tolerance: Tolerance,
    errors: &mut Diagnostics,
    cx: &mut Cx<'_>,
) -> Outcome {
    let args_values = Func::args(job.module.view(func)).iter().copied();
    let mut values: std::collections::BTreeMap<Value, Tensor> =
        args_values.zip(job.inputs.iter().cloned()).collect();
    let mut table = Table::new(&["op", "type", "error", "", "node"], &[2]);
    let mut rows: Vec<Json> = Vec::new();
    let progress = ProgressBar::new(seen.len() as u64);
    for (op, results) in seen {
        let view = job.module.view(*op);
        let named = view.results().iter().copied().zip(results.iter().cloned());
        if !view.name().starts_with("core.") {
            let alone = alone(&job.module, *op, &values)
                .map_err(|error| vec![error.at(view.loc().clone())])?;
            let worst = match alone {
                Some((module, inputs)) => {
                    let found = execute(args, module, &inputs, cx)?;
                    worst(&found, results, tolerance)
                }
                None => None,
            };
            let (error, verdict) = match &worst {
                Some(c) if c.ok => (format!("{:.2e}", c.max_rel_error), "ok"),
                Some(c) => (format!("{:.2e}", c.max_rel_error), "differs"),
                // Its regions use values from around it.
                None => (String::new(), "not alone"),
            };
            let names: Vec<&str> = view.loc().names().map(|n| n.as_str()).collect();
            let ty = view.result_type(0).to_string();
            rows.push(json!({
                "op": view.name(),
                "type": ty,
                "nodes": names,
                "verdict": verdict,
                "max_rel_error": worst.as_ref().map(|c| json_number(c.max_rel_error)),
            }));
            let cells = [
                view.name().to_string(),
                ty,
                error,
                verdict.to_string(),
                names.join(" "),
            ];
            table.row(cells.to_vec());
            if let Some(c) = worst.filter(|c| !c.ok) {
                let error = c.max_rel_error;
                let message = format!("`{}` alone differs by {error:.3e}", view.name());
                errors.push(Diagnostic::error(
                    Code::MISMATCH,
                    view.loc().clone(),
                    message,
                ));
            }
        }
        values.extend(named);
        progress.inc(1);
    }
    progress.finish_and_clear();
    cx.report("ops", rows);
    if !cx.json {
        io::stdout().write_all(table.text().as_bytes())?;
    }
    Ok(())
}

fn worst(found: &[Tensor], expected: &[Tensor], tolerance: Tolerance) -> Option<Comparison> {
    let pairs = found.iter().zip(expected);
    let all = pairs.map(|(a, b)| compare("", a, b, tolerance));
    all.reduce(|a, b| {
        if b.max_rel_error > a.max_rel_error {
            b
        } else {
            a
        }
    })
}

/// A module of one function with this op alone, and its inputs. Constants stay constants, as
/// targets may want them; `None` for an op with regions.
fn alone(
    module: &Module,
    op: Op,
    values: &std::collections::BTreeMap<Value, Tensor>,
) -> Result<Option<(Module, Vec<Tensor>)>, OpError> {
    let view = module.view(op);
    if !view.regions().is_empty() {
        return Ok(None);
    }
    let mut free: Vec<Value> = Vec::new();
    for &value in view.operands() {
        if module.constant_value(value).is_none() && !free.contains(&value) {
            free.push(value);
        }
    }
    let inputs: Vec<Tensor> = free
        .iter()
        .map(|v| match values.get(v) {
            Some(tensor) => tensor.clone(),
            None => lepid_ir::bug!("{v} has no value"),
        })
        .collect();
    let types: Vec<Type> = inputs.iter().map(Tensor::ty).collect();
    let mut new = Module::new();
    let func = Func::create(&mut new, "main", &types, &[])?;
    let block = Func::block(new.view(func));
    let given = new.block_args(block).to_vec();
    let mut b = Builder::at_end(&mut new, block);
    b.at(view.loc().clone());
    let mut operands = Vec::new();
    for &value in view.operands() {
        operands.push(match module.constant_value(value) {
            Some(tensor) => constant(&mut b, tensor.clone())?,
            None => match free.iter().position(|&v| v == value) {
                Some(index) => given[index],
                None => lepid_ir::bug!("{value} is not free"),
            },
        });
    }
    let names = view.info().attrs.iter().map(|a| a.name);
    let attrs: Vec<_> = names.zip(view.attrs().iter().cloned()).collect();
    let copy = b.create(view.def(), &operands, &attrs)?;
    let results = b.module.results(copy).to_vec();
    b.at(Loc::Unknown);
    Return::build(&mut b, &results, &[])?;
    Ok(Some((new, inputs)))
}
