//! `lepid run`: compiles a model and runs it, or runs a package.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Instant;

use lepid_ir::core::{Code, Diagnostic, Diagnostics, Loc, Module, Tensor};
use serde_json::{Value, json};

use super::args::{
    InputArgs, ModelArgs, TargetArgs, ToleranceArgs, load_package, needs_a_number, plain_load,
    thread_count,
};
use super::output::{first_values, json_number, range, short};
use super::package::Prepared;
use super::{Cx, Outcome, states};
use crate::driver::arrays;
use crate::driver::compare::{Comparison, compare};
use crate::driver::data::{Given, Place, parse_place, parse_reference};
use crate::driver::trial::Trial;

/// Compile a model and run it, or run a package.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lepid run model.onnx
  lepid run model.lepid --threads 2
  lepid run model.onnx --input x=image.npy --output-dir out
  lepid run model.onnx --input @test.npz --compare expected.npz --rtol 1e-4
  lepid run model.onnx --input x=input_0.pb --compare y=output_0.pb
  lepid run net.lir --target reference --dim N=2 --print-output
  lepid run model.onnx --dump-outputs values
  lepid run decode.onnx --state past=present --input past=cache.npy --output present=next.npy")]
pub(super) struct Args {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    inputs: InputArgs,
    #[command(flatten)]
    target: TargetArgs,
    /// Threads that a run may use [default: all cores].
    #[arg(long, value_name = "N", value_parser = thread_count)]
    threads: Option<usize>,
    /// How often to run; the outputs are those of the last time. States go on from one time to the
    /// next.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    iterations: u64,
    /// Write each output to NAME.npy in this folder, which is made if needed.
    #[arg(long, value_name = "DIR")]
    output_dir: Option<PathBuf>,
    /// Write an output to a file, or all to an archive; may be repeated.
    #[arg(long, value_name = "NAME=FILE.npy | @FILE.npz", value_parser = parse_place)]
    output: Vec<Place>,
    /// Write every value that the compiled model computes to this folder, with an index: those of
    /// the ops that the passes have left.
    #[arg(long, value_name = "DIR")]
    dump_outputs: Option<PathBuf>,
    /// Compare the outputs with the arrays of the same names in an archive, or one with a file; may
    /// be repeated.
    #[arg(long, value_name = "FILE.npz | NAME=FILE.npy | NAME=FILE.pb", value_parser = parse_reference)]
    compare: Vec<Place>,
    #[command(flatten)]
    tolerance: ToleranceArgs,
    /// Print all values of the outputs.
    #[arg(long)]
    print_output: bool,
}

pub(super) fn run(args: &Args, cx: &mut Cx<'_>) -> Outcome {
    check_outputs(args, cx)?;
    let ready = Prepared::new(&args.model, &args.inputs, &args.target, cx)?;
    let options = plain_load(args.threads, cx);
    let target = ready.target;
    let mut executable = load_package(target, &ready.package, &options)?;
    let ops = count_ops(&ready.package.module);
    if let Some(folder) = &args.dump_outputs {
        if let Some(batch) = &ready.package.signature.batch {
            return Err(needs_a_number(&batch.name).into());
        }
        let trial = Trial {
            target,
            ..args.target.trial(args.model.func.as_deref(), options, cx)?
        };
        super::compare::dump_values(folder, &trial, &ready.package, &states::all_inputs(&ready))?;
    }
    states::begin(executable.as_mut(), &ready.states)?;
    let inputs = ready.inputs;
    // It may hold the weights of the model once more.
    drop(ready.package);
    let start = Instant::now();
    let mut outputs = Vec::new();
    for _ in 0..args.iterations {
        outputs = executable.run(&inputs)?;
    }
    let each = ms(start) / args.iterations as f64;
    cx.tell(format_args!("ran in {each:.3} ms"));
    let signature = executable.signature().clone();
    let names = signature.outputs.iter().map(|p| p.name.clone());
    let mut named: Vec<(String, Tensor)> = names.zip(outputs).collect();
    for (i, state) in signature.states.iter().enumerate() {
        named.push((state.present.clone(), executable.state(i)?));
    }
    write_outputs(args, &named)?;
    let interpreted = match target.info().capability("execution") {
        Some("interpreted") => ops,
        _ => 0,
    };
    cx.report("target", target.info().name);
    cx.report("ms", json_number(each));
    cx.report("native_ops", ops - interpreted);
    cx.report("interpreted_ops", interpreted);
    show_outputs(args, &named, cx)?;
    compare_outputs(args, &named, cx)
}

fn ms(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}

/// Ops that compute something at run time.
pub(super) fn count_ops(module: &Module) -> usize {
    let all = module.walk().into_iter();
    all.filter(|&op| !module.op_name(op).starts_with("core."))
        .count()
}

fn check_outputs(args: &Args, cx: &Cx<'_>) -> Result<(), Diagnostics> {
    for output in &args.output {
        let path = output.path();
        args.model.file.check_output(path, cx)?;
        let ending = match output {
            Place::Archive(_) => "npz",
            Place::File { .. } => "npy",
        };
        if !path
            .extension()
            .is_some_and(|e| e.eq_ignore_ascii_case(ending))
        {
            let reason = format!("what is written is `.{ending}`, which its name must end in");
            return Err(vec![crate::driver::files::cannot_write(path, reason)]);
        }
    }
    match &args.output_dir {
        Some(folder) => std::fs::create_dir_all(folder)
            .map_err(|error| vec![crate::driver::files::cannot_write(folder, error)]),
        None => Ok(()),
    }
}

fn write_outputs(args: &Args, named: &[(String, Tensor)]) -> Result<(), Diagnostics> {
    for output in &args.output {
        match output {
            Place::Archive(path) => arrays::write_npz(path, named).map_err(|e| vec![e])?,
            Place::File { name, path } => {
                let Some((_, tensor)) = named.iter().find(|(n, _)| n == name) else {
                    return Err(vec![unknown_output(named.iter().map(|(n, _)| n), name)]);
                };
                arrays::write_npy(path, tensor).map_err(|e| vec![e])?;
            }
        }
    }
    if let Some(folder) = &args.output_dir {
        for (name, tensor) in named {
            let path = folder.join(format!("{}.npy", file_name(name)));
            arrays::write_npy(&path, tensor).map_err(|e| vec![e])?;
        }
    }
    Ok(())
}

/// The name of an output as that of a file: without separators of folders.
fn file_name(name: &str) -> String {
    name.replace(['/', '\\', ':', '\0'], "_")
}

fn unknown_output<'a>(names: impl Iterator<Item = &'a String>, name: &str) -> Diagnostic {
    let names: Vec<&str> = names.map(String::as_str).collect();
    let message = format!("the model has no output `{name}`");
    let help = format!("the outputs are {}", names.join(", "));
    Diagnostic::error(Code::ARGUMENT, Loc::Unknown, message).with_help(help)
}

fn show_outputs(args: &Args, named: &[(String, Tensor)], cx: &mut Cx<'_>) -> Outcome {
    let shown = if args.print_output { usize::MAX } else { 6 };
    let mut rows: Vec<Value> = Vec::new();
    for (name, tensor) in named {
        let range = range(tensor);
        if !cx.json {
            let mut text = format!("output {name}: {}", tensor.ty());
            if let Some(r) = &range {
                let (min, mean, max) = (short(r.min), short(r.mean), short(r.max));
                text += &format!("  min {min}, mean {mean}, max {max}");
                if r.nans > 0 {
                    text += &format!(", {} NaN", r.nans);
                }
            }
            writeln!(io::stdout(), "{text}\n  {}", first_values(tensor, shown))?;
            continue;
        }
        let mut row = json!({
            "name": name,
            "type": tensor.ty().to_string(),
            "shape": tensor.shape(),
        });
        if let Some(r) = range {
            row["min"] = json_number(r.min);
            row["mean"] = json_number(r.mean);
            row["max"] = json_number(r.max);
            row["nans"] = json!(r.nans);
        }
        if args.print_output {
            let values = tensor.to_f64s();
            row["values"] = values.into_iter().map(json_number).collect();
        }
        rows.push(row);
    }
    cx.report("outputs", rows);
    Ok(())
}

fn compare_outputs(args: &Args, named: &[(String, Tensor)], cx: &mut Cx<'_>) -> Outcome {
    if args.compare.is_empty() {
        return Ok(());
    }
    let reference = read_reference(&args.compare, named)?;
    let tolerance = args.tolerance.tolerance();
    let mut rows: Vec<Value> = Vec::new();
    let mut errors = Vec::new();
    for (name, found) in named {
        let Some(expected) = reference.get(name) else {
            let message = format!("there is no reference for output `{name}`");
            let warning = Diagnostic::warning(Code::MISMATCH, Loc::Unknown, message);
            cx.session.diagnostics.push(warning);
            continue;
        };
        let found = match tells_exact_types(&args.compare, name) {
            true => found,
            false => &arrays::as_array(found),
        };
        let comparison = compare(name, found, expected, tolerance);
        if !cx.json {
            writeln!(io::stdout(), "{}", line(&comparison))?;
        }
        rows.push(row(&comparison));
        if !comparison.ok {
            errors.push(comparison.mismatch(found, expected));
        }
    }
    if rows.is_empty() {
        let message = "no reference is named like an output";
        errors.push(Diagnostic::error(Code::MISMATCH, Loc::Unknown, message));
    }
    cx.report("compare", rows);
    match errors.is_empty() {
        true => Ok(()),
        false => Err(errors.into()),
    }
}

/// Whether the reference of an output comes from a file that knows all element types.
fn tells_exact_types(places: &[Place], output: &str) -> bool {
    places.iter().any(|place| match place {
        Place::File { name, path } => name == output && arrays::has_exact_type(path),
        Place::Archive(_) => false,
    })
}

/// Reads all references. A file must be one for an output; an archive may hold other arrays.
fn read_reference(
    places: &[Place],
    named: &[(String, Tensor)],
) -> Result<BTreeMap<String, Tensor>, Diagnostics> {
    for place in places {
        if let Place::File { name, .. } = place
            && !named.iter().any(|(n, _)| n == name)
        {
            return Err(vec![unknown_output(named.iter().map(|(n, _)| n), name)]);
        }
    }
    Ok(Given::read(places)?.all())
}

pub(super) fn line(comparison: &Comparison) -> String {
    let verdict = if comparison.ok { "ok" } else { "differs" };
    let error = match comparison.has_nan() {
        true => "one is NaN".to_string(),
        false => format!("error {:.3e}", comparison.max_rel_error),
    };
    format!("compare {}: {verdict}, {error}", comparison.output)
}

pub(super) fn row(comparison: &Comparison) -> Value {
    json!({
        "output": comparison.output,
        "max_rel_error": json_number(comparison.max_rel_error),
        "max_abs_error": json_number(comparison.max_abs_error),
        "ok": comparison.ok,
    })
}
