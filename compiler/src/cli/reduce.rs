//! `lepid reduce`: the smallest model that still shows a fault.

use std::io::{self, Write};
use std::path::PathBuf;

use indicatif::{ProgressBar, ProgressStyle};
use lepid_ir::core::{Code, Diagnostic, Loc};
use lepid_ir::dialects::core::Func;
use lepid_target_api::main_function;
use serde_json::json;

use super::args::{InputArgs, Job, ModelArgs, TargetArgs, ToleranceArgs, plain_load, thread_count};
use super::{Cx, Failure as CliFailure, Outcome};
use crate::driver::property::{External, Property, failure, with_seed};
use crate::driver::trial::Trial;
use crate::driver::{data::Place, files, save};
use crate::reduce::{self, Case, Report};

/// Shrink a model to the smallest that still fails.
///
/// Drops outputs, cuts the function off at both ends, replaces ops by their operands, by arguments
/// or by constants, and shrinks extents and constants, as long as the fault stays. What it writes
/// is an IR text that shows the fault, and the inputs where random ones do not.
#[derive(clap::Args)]
#[command(
    group = clap::ArgGroup::new("property").required(true),
    after_help = "\
Examples:
  lepid reduce model.onnx --differs -o small.lir
  lepid reduce model.onnx --differs --rtol 1e-3 --input @inputs.npz -o small.lir
  lepid reduce model.onnx --fails -o small.lir
  lepid reduce model.onnx --command './shows_the_fault.sh {}' -o small.lir"
)]
pub(super) struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Keep that the target computes other values than the interpreter.
    #[arg(long, group = "property")]
    differs: bool,
    /// Keep that compiling or running fails, by an error of the same code or by a panic.
    #[arg(long, group = "property")]
    fails: bool,
    /// Keep that a command ends with exit code 0. In it, `{}` stands for the IR text, `{inputs}`
    /// for the inputs as an archive. The shell runs it, so that faults which end the process count,
    /// too.
    #[arg(long, group = "property", value_name = "COMMAND")]
    command: Option<String>,
    /// The file to write.
    #[arg(short, long, value_name = "FILE.lir")]
    output: PathBuf,
    /// How many models to test at most.
    #[arg(long, default_value_t = 2000, value_name = "N")]
    max_steps: usize,
    #[command(flatten)]
    inputs: InputArgs,
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    tolerance: ToleranceArgs,
    /// Threads that a run may use [default: all cores].
    #[arg(long, value_name = "N", value_parser = thread_count)]
    threads: Option<usize>,
}

pub(super) fn run(args: &Args, cx: &mut Cx<'_>) -> Outcome {
    args.model.file.check_output(&args.output, cx)?;
    let recorded = args.output.with_extension("npz");
    let given = args.inputs.input.iter().map(Place::path);
    if let Some(given) = given
        .into_iter()
        .find(|path| files::is_same(path, &recorded))
    {
        return Err(files::cannot_overwrite(&recorded, given).into());
    }
    args.model.file.require_numbers()?;
    let job = Job::load(&args.model, &args.inputs, cx)?;
    let func = main_function(&job.module, args.model.func.as_deref())?;
    let case = Case {
        func: Func::name(job.module.view(func)).to_string(),
        module: job.module,
        inputs: job.inputs,
    };
    let load = plain_load(args.threads, cx);
    let trial = args.target.trial(Some(&case.func), load, cx)?;
    let property = property(args, &trial, &case)?;
    if !property.holds(&trial, &case)? {
        return Err(nothing_to_reduce(args).into());
    }
    let before = case.size();
    let (case, report) = shrink(args, &trial, &property, case)?;
    let (case, seeded) = last_inputs(args, &trial, &property, case)?;
    save::module(&args.output, &case.module, &args.target.ir.print_options())?;
    let inputs = args.output.with_extension("npz");
    if !seeded {
        save::inputs(&inputs, &case)?;
    }
    if report.out_of_steps {
        let message = format!("stopped after {} steps", report.steps);
        cx.note(Code::ARGUMENT, message, "`--max-steps` allows more");
    }
    tell(
        args,
        &case,
        &report,
        (before, (!seeded).then_some(&inputs)),
        cx,
    )
}

/// The property that is kept; of failures, the one that the model shows.
fn property(args: &Args, trial: &Trial<'_>, case: &Case) -> Result<Property, CliFailure> {
    if let Some(command) = &args.command {
        return Ok(Property::Command(External::new(command.clone())?));
    }
    if args.differs {
        return Ok(Property::Differs(args.tolerance.tolerance()));
    }
    match failure(trial, case) {
        Some(failure) => Ok(Property::Fails(failure)),
        None => Err(nothing_to_reduce(args).into()),
    }
}

fn nothing_to_reduce(args: &Args) -> Diagnostic {
    let model = args.model.file.model.display();
    let (found, help) = match (args.differs, &args.command) {
        (true, _) => (
            format!("`{model}` computes what the interpreter computes"),
            "`--rtol`, `--seed` and `--input` say when it differs",
        ),
        (false, Some(_)) => (
            format!("the command does not end with exit code 0 for `{model}`"),
            "the command must succeed where the fault shows, as `! lepid run {}` does",
        ),
        (false, None) => (
            format!("`{model}` compiles and runs"),
            "`--differs` looks for other values",
        ),
    };
    let message = format!("{found}: there is nothing to reduce");
    Diagnostic::error(Code::ARGUMENT, Loc::Unknown, message).with_help(help)
}

fn shrink(
    args: &Args,
    trial: &Trial<'_>,
    property: &Property,
    case: Case,
) -> Result<(Case, Report), Diagnostic> {
    let style = ProgressStyle::with_template("{bar:30} {pos} of at most {len} steps, {msg}");
    let progress = ProgressBar::new(args.max_steps as u64)
        .with_style(style.unwrap_or(ProgressStyle::default_bar()));
    let mut trouble = None;
    let reduced = reduce::reduce(
        case,
        args.max_steps,
        &mut |case| match property.holds(trial, case) {
            Ok(holds) => holds,
            Err(error) => {
                trouble.get_or_insert(error);
                false
            }
        },
        &mut |report, case| {
            progress.set_position(report.steps as u64);
            progress.set_message(format!("{} ops", case.size()));
        },
    );
    progress.finish_and_clear();
    match trouble {
        Some(error) => Err(error),
        None => Ok(reduced),
    }
}

/// Random inputs if they will do, or else simple ones.
fn last_inputs(
    args: &Args,
    trial: &Trial<'_>,
    property: &Property,
    mut case: Case,
) -> Result<(Case, bool), Diagnostic> {
    if with_seed(trial, property, &mut case, args.inputs.seed)? {
        return Ok((case, true));
    }
    let mut test = |case: &Case| property.holds(trial, case).unwrap_or(false);
    let (case, _) = reduce::simplify_inputs(case, args.max_steps, &mut test);
    Ok((case, false))
}

/// What came of it, and how to see the fault.
fn tell(
    args: &Args,
    case: &Case,
    report: &Report,
    (before, inputs): (usize, Option<&PathBuf>),
    cx: &mut Cx<'_>,
) -> Outcome {
    let output = args.output.display();
    let how = match inputs {
        Some(path) => format!(" --input @{}", path.display()),
        None if args.inputs.seed != 0 => format!(" --seed {}", args.inputs.seed),
        None => String::new(),
    };
    let command = match &args.command {
        Some(command) => {
            let inputs = inputs.map_or(String::new(), |p| p.display().to_string());
            let command = command.replace("{inputs}", &inputs);
            command.replace("{}", &output.to_string())
        }
        None => format!("lepid {} {output}{how}{}", verb(args), more(args)),
    };
    cx.report("ops_before", before);
    cx.report("ops", case.size());
    cx.report("steps", report.steps);
    cx.report("output", output.to_string());
    cx.report(
        "inputs",
        json!(inputs.map(|p: &PathBuf| p.display().to_string())),
    );
    cx.report("command", command.as_str());
    if !cx.json {
        let (ops, steps) = (case.size(), report.steps);
        let line = format!("{before} → {ops} ops in {steps} steps\n{command}\n");
        io::stdout().write_all(line.as_bytes())?;
    }
    Ok(())
}

fn verb(args: &Args) -> &'static str {
    match args.differs {
        true => "compare",
        false => "run",
    }
}

/// The arguments that matter for the fault.
fn more(args: &Args) -> String {
    let mut out = String::new();
    if let Some(target) = &args.target.target {
        out += &format!(" --target {target}");
    }
    for (name, value) in &args.target.options {
        out += &format!(" --target-option {name}={value}");
    }
    if let Some(pipeline) = &args.target.pipeline {
        out += &format!(" --pipeline '{pipeline}'");
    }
    if args.differs {
        out += &format!(" --rtol {}", args.tolerance.rtol);
        if args.tolerance.atol != 0.0 {
            out += &format!(" --atol {}", args.tolerance.atol);
        }
    }
    out
}
