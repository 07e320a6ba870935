//! `lepid opt`: runs passes and prints the module.

use std::io::{self, Write};
use std::path::PathBuf;

use lepid_ir::core::{Code, Module, Resources, print_module};
use lepid_ir::text::check_round_trip;
use lepid_passes::core::{PassEnv, PassManager, Pipeline, Report};
use lepid_target_api::{CompileOptions, declare_states, main_function, with_pass_env};
use serde_json::json;

use super::args::{FileArgs, IrArgs, find_target};
use super::output::Table;
use super::{Cx, Failure, Outcome, eqsat};
use crate::driver::{files, side_file_name};

/// Run passes over a model and print the IR.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lepid opt net.lir --passes fold,cse,dead-ops
  lepid opt model.onnx -o model.lir
  lepid opt net.lir --passes 'canonicalize,layout' --print-ir-after-all --timing
  lepid opt net.lir --passes 'eqsat{rules=-siblings}' --eqsat-report
  lepid opt --eqsat-prove before.lir after.lir")]
pub(super) struct Args {
    #[command(flatten)]
    model: FileArgs,
    /// Passes and aliases, such as `fold{bytes=4096},cse`.
    #[arg(long, value_name = "PIPELINE", default_value = "")]
    passes: String,
    /// What passes ask of a target: legality, costs, facts [default: none in particular].
    #[arg(long, value_name = "TARGET")]
    target: Option<String>,
    /// Write the text to a file, and the large constants beside it.
    #[arg(short, long, value_name = "FILE.lir")]
    output: Option<PathBuf>,
    /// Where the large constants go [default: FILE.lir.safetensors].
    #[arg(long, value_name = "FILE", requires = "output")]
    output_weights: Option<PathBuf>,
    /// Write the saturated e-graphs of what the passes give, as egraph-serialize JSON.
    #[arg(long, value_name = "FILE.json")]
    dump_egraph: Option<PathBuf>,
    /// Print the chain of rules from this model to MODEL, after the passes on both.
    #[arg(long, value_name = "MODEL")]
    eqsat_prove: Option<PathBuf>,
    #[command(flatten)]
    ir: IrArgs,
}

pub(super) fn run(args: &Args, cx: &mut Cx<'_>) -> Outcome {
    args.ir.check(cx)?;
    let outputs = [&args.output, &args.output_weights, &args.dump_egraph];
    for path in outputs.into_iter().flatten() {
        args.model.check_output(path, cx)?;
    }
    let pipeline = cx.driver.pipeline(&args.passes, &mut cx.session)?;
    let mut module = args.model.load(cx)?;
    if !args.model.states.is_empty() {
        let func = main_function(&module, None)?;
        declare_states(&mut module, func, &args.model.states)?;
    }
    let generic = PassEnv::generic(cx.driver.ops());
    let target = args.target.as_deref();
    let target = target.map(|name| find_target(cx, name)).transpose()?;
    // Loading has bound the extents that were given, so the passes need no bindings.
    let report = match target {
        None => optimize(args, &generic, &mut module, &pipeline, cx)?,
        Some(target) => {
            let options = CompileOptions::default();
            with_pass_env(target, &options, cx.driver.ops(), |env| {
                optimize(args, env, &mut module, &pipeline, cx)
            })??
        }
    };
    if args.eqsat_prove.is_some() {
        return Ok(());
    }
    cx.session
        .diagnostics
        .extend(report.diagnostics.iter().cloned());
    // With passes, the observer has checked each stage.
    if args.ir.verify_roundtrip
        && pipeline.steps.is_empty()
        && let Err(difference) = check_round_trip(&module, cx.driver.ops())
    {
        lepid_ir::bug!("the IR does not read back as it was: {difference}");
    }
    let mut resources = Resources::default();
    let text = print_module(&module, &args.ir.print_options(), &mut resources);
    match &args.output {
        Some(path) => {
            let beside = side_file_name(path);
            let weights = args.output_weights.as_deref().unwrap_or(&beside);
            if !resources.is_empty() {
                files::write_weights(weights, &resources)?;
            }
            files::write_atomic(path, |file| file.write_all(text.as_bytes()))?;
            cx.report("output", path.display().to_string());
        }
        None => {
            if !resources.is_empty() {
                let count = resources.iter().count();
                let message = format!("{count} large constants are named but not printed");
                let help = "`-o FILE.lir` writes them beside the text";
                cx.note(Code::RESOURCE, message, help);
            }
            match cx.json {
                true => cx.report("module", text),
                false => io::stdout().write_all(text.as_bytes())?,
            }
        }
    }
    if args.ir.timing {
        print_timing(&report);
        cx.report("passes", timing_json(&report));
    }
    Ok(())
}

/// Runs the passes, and what was asked for of `eqsat`.
fn optimize(
    args: &Args,
    env: &PassEnv<'_>,
    module: &mut Module,
    pipeline: &Pipeline,
    cx: &mut Cx<'_>,
) -> Result<Report, Failure> {
    let report = manage(args, env, module, pipeline, cx)?;
    if args.ir.eqsat_report {
        eqsat::print_report(&report, cx);
    }
    if let Some(path) = &args.dump_egraph {
        eqsat::write_graphs(module, env, path)?;
    }
    if let Some(path) = &args.eqsat_prove {
        let from = FileArgs {
            model: path.clone(),
            weights: None,
            ..args.model.clone()
        };
        let mut from = from.load(cx)?;
        manage(args, env, &mut from, pipeline, cx)?;
        eqsat::print_proof(&from, module, cx)?;
    }
    Ok(report)
}

fn manage(
    args: &Args,
    env: &PassEnv<'_>,
    module: &mut Module,
    pipeline: &Pipeline,
    cx: &Cx<'_>,
) -> Result<Report, lepid_ir::core::Diagnostics> {
    let mut watch = args.ir.watch(cx);
    let mut manager = PassManager {
        env,
        verify_each: args.ir.verify_each,
        observer: &mut watch,
    };
    manager.run(module, pipeline)
}

/// The times of passes, on standard error.
pub(super) fn print_timing(report: &Report) {
    let mut table = Table::new(&["pass", "ms", "ops", "changed"], &[1, 2]);
    let mut total = 0.0;
    for pass in &report.passes {
        let ms = pass.time.as_secs_f64() * 1e3;
        total += ms;
        table.row(vec![
            pass.name.to_string(),
            format!("{ms:.2}"),
            format!("{} → {}", pass.ops_before, pass.ops_after),
            match pass.changed {
                lepid_passes::core::Changed::Yes => "yes".to_string(),
                lepid_passes::core::Changed::No => "no".to_string(),
            },
        ]);
    }
    table.row(vec!["total".to_string(), format!("{total:.2}")]);
    // Nothing depends on these lines.
    let _ = io::stderr().write_all(table.text().as_bytes());
}

fn timing_json(report: &Report) -> serde_json::Value {
    let passes = report.passes.iter();
    let rows: Vec<_> = passes
        .map(|p| {
            json!({
                "name": p.name,
                "ms": p.time.as_secs_f64() * 1e3,
                "ops_before": p.ops_before,
                "ops_after": p.ops_after,
            })
        })
        .collect();
    json!(rows)
}
