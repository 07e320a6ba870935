//! What commands share about packages: a model is compiled, a package is ready.

use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use lepid_ir::core::{Code, Cost, Diagnostic, Diagnostics, Loc, Module, Op, Tensor};
use lepid_ir::dialects::kernel;
use lepid_passes::core::Report;
use lepid_target_api::{Package, Port, Signature, Target, declare_states, main_function};
use serde_json::{Value, json};

use super::args::{InputArgs, Job, ModelArgs, TargetArgs, default_to_one, find_target};
use super::output::Table;
use super::{Cx, Outcome, eqsat, run::count_ops, states};
use crate::driver::data;
use crate::driver::{Extent, bind_to_inputs, files};
use crate::report::units::bytes;

/// A compiled function with a tensor for each of its inputs.
pub(super) struct Prepared<'d> {
    pub target: &'d dyn Target,
    pub package: Package,
    /// Of the program: states are not among them.
    pub inputs: Vec<Tensor>,
    /// What states are at first, by their numbers; the others are zero.
    pub states: Vec<(usize, Tensor)>,
    /// Of the model before any pass, or of the ops in the package.
    pub cost: Cost,
    /// What compiling took; nothing for a package.
    pub compile: Duration,
    pub report: Report,
}

impl<'d> Prepared<'d> {
    /// Opens a package, or compiles a model.
    pub(super) fn new(
        model: &ModelArgs,
        inputs: &InputArgs,
        target: &TargetArgs,
        cx: &mut Cx<'d>,
    ) -> Result<Prepared<'d>, Diagnostics> {
        match cx.driver.is_package(&model.file.model) {
            true => Prepared::open(model, inputs, target, cx),
            false => Prepared::compile(model, inputs, target, cx),
        }
    }

    fn open(
        model: &ModelArgs,
        inputs: &InputArgs,
        target: &TargetArgs,
        cx: &mut Cx<'d>,
    ) -> Result<Prepared<'d>, Diagnostics> {
        let start = Instant::now();
        let (package, target) = open(model, target, cx)?;
        // Random values do not depend on what is a state.
        let whole = match package.module.funcs().next() {
            Some(func) if !package.signature.states.is_empty() => {
                Signature::of(&package.module, func)
            }
            Some(_) | None => package.signature.clone(),
        };
        let is_input = |name: &str| whole.inputs.iter().any(|port| port.name == name);
        let given = inputs.read()?.inputs(is_input)?;
        // All extents are numbers but that of samples.
        let mut found = bind_to_inputs(&whole, &given)?;
        for (name, samples) in model.file.numbers() {
            found.dims.entry(name).or_insert(samples);
        }
        default_to_one(&whole, &mut found, cx);
        let batch = whole.batch.as_ref();
        let samples = batch.and_then(|batch| found.dims.get(&batch.name));
        let whole = whole.of_samples(samples.copied().unwrap_or(1));
        data::check_size(&whole, cx.session.limits)?;
        let names = given.keys().cloned().collect();
        let all = data::complete(&whole, given, inputs.seed)?;
        let (inputs, states) = states::part(&package.signature, (&whole, all), &names);
        let cost = package.module.funcs().next();
        let cost = cost.map(|func| total_cost(&package.module, func));
        cx.tell(format_args!("opened in {:.1} ms", ms(start)));
        Ok(Prepared {
            target,
            package,
            inputs,
            states,
            cost: cost.unwrap_or_default(),
            compile: Duration::ZERO,
            report: Report::default(),
        })
    }

    fn compile(
        model: &ModelArgs,
        inputs: &InputArgs,
        args: &TargetArgs,
        cx: &mut Cx<'d>,
    ) -> Result<Prepared<'d>, Diagnostics> {
        let start = Instant::now();
        let mut job = Job::load(model, inputs, cx)?;
        cx.tell(format_args!("loaded in {:.1} ms", ms(start)));
        let start = Instant::now();
        let target = args.target(cx)?;
        let func = main_function(&job.module, model.func.as_deref())?;
        let cost = total_cost(&job.module, func);
        declare_states(&mut job.module, func, &job.states)?;
        let compiled = args.compile(job.module, model.func.as_deref(), &[], cx)?;
        cx.tell(format_args!("compiled in {:.1} ms", ms(start)));
        let all = (&job.signature, job.inputs);
        let (inputs, states) = states::part(&compiled.package.signature, all, &job.given);
        Ok(Prepared {
            target,
            package: compiled.package,
            inputs,
            states,
            cost,
            compile: start.elapsed(),
            report: compiled.report,
        })
    }
}

fn ms(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}

/// The cost of all ops, each once; how often a loop turns is not known here.
fn total_cost(module: &Module, func: Op) -> Cost {
    let inside = module.walk_inside(func).into_iter();
    inside
        .filter(|&op| !kernel::is_inside_kernel(module, op))
        .map(|op| module.def(op).cost(module.view(op)))
        .fold(Cost::default(), |a, b| a + b)
}

/// Maps a package and finds its target. Refuses arguments that ask for another compilation.
pub(super) fn open<'d>(
    model: &ModelArgs,
    target: &TargetArgs,
    cx: &Cx<'d>,
) -> Result<(Package, &'d dyn Target), Diagnostics> {
    let package = cx.driver.open_package(&model.file.model)?;
    refuse_changes(model, target, &package)?;
    if target.ir.eqsat_report {
        eqsat::print_report_of_package();
    }
    let target = find_target(cx, &package.target)?;
    Ok((package, target))
}

fn refuse_changes(
    model: &ModelArgs,
    target: &TargetArgs,
    package: &Package,
) -> Result<(), Diagnostics> {
    let file = &model.file;
    let other_target = target
        .target
        .as_ref()
        .is_some_and(|t| **t != package.target);
    let batch = package.signature.batch.as_ref().map(|batch| &batch.name);
    let of_batch = |(name, extent): &(String, Extent)| {
        Some(name) == batch && matches!(extent, Extent::Number(_))
    };
    let asked = [
        ("--dim", !file.dims.iter().all(of_batch)),
        ("--input-shape", !file.input_shape.is_empty()),
        ("--state", !file.states.is_empty()),
        ("--constant", !file.constant.is_empty()),
        ("--weights", file.weights.is_some()),
        ("--func", model.func.is_some()),
        ("--target", other_target),
        ("--target-option", !target.options.is_empty()),
        ("--pipeline", target.pipeline.is_some()),
    ];
    let named: Vec<String> = asked
        .iter()
        .filter(|(_, given)| *given)
        .map(|(name, _)| format!("`{name}`"))
        .collect();
    if named.is_empty() {
        return Ok(());
    }
    let message = format!(
        "`{}` is a package for `{}`, which {} cannot change",
        file.model.display(),
        package.target,
        named.join(", ")
    );
    let error = Diagnostic::error(Code::FIXED_PACKAGE, Loc::Unknown, message);
    Err(vec![error.with_help(
        "give them to `lepid compile`, as in `lepid compile model.onnx --dim N=4 -o model.lepid`",
    )])
}

/// Writes a package to a file.
pub(super) fn save(package: &Package, path: &Path) -> Result<(), Diagnostic> {
    files::write_atomic(path, |file| package.write(file))
}

/// Shows what a package holds and where it is from.
pub(super) fn inspect(package: &Package, cx: &mut Cx<'_>) -> Outcome {
    let provenance = &package.provenance;
    let sections = package.sections.iter();
    let sections: Vec<Value> = sections
        .map(|s| json!({"name": s.name, "bytes": s.data.as_slice().len()}))
        .collect();
    cx.report("target", package.target.to_string());
    cx.report("inputs", ports(&package.signature.inputs));
    cx.report("outputs", ports(&package.signature.outputs));
    let states = states::lines(package, cx);
    cx.report("compiled_ops", count_ops(&package.module));
    cx.report("sections", sections);
    cx.report("provenance", json!(provenance));
    if cx.json {
        return Ok(());
    }
    let mut table = Table::default();
    let mut line = |name: &str, value: String| table.row(vec![name.into(), value]);
    let signature = &package.signature;
    for (what, ports) in [("input", &signature.inputs), ("output", &signature.outputs)] {
        for port in ports {
            line(what, format!("{}: {}", port.name, port.ty));
        }
    }
    for state in states {
        line("state", state);
    }
    line("target", package.target.to_string());
    line("ops", count_ops(&package.module).to_string());
    for section in &package.sections {
        let size = bytes(section.data.as_slice().len() as f64);
        line("section", format!("{}, {size}", section.name));
    }
    line("made by", format!("lepid {}", provenance.lepid));
    if !provenance.generator.is_empty() {
        line("with", provenance.generator.clone());
    }
    for source in &provenance.sources {
        line("from", format!("{} sha256:{}", source.role, source.sha256));
    }
    let options = provenance.options.iter();
    let options: Vec<String> = options.map(|(n, v)| format!("{n}={v}")).collect();
    line("options", options.join(" "));
    line("pipeline", provenance.pipeline.clone());
    Ok(io::stdout().write_all(table.text().as_bytes())?)
}

fn ports(ports: &[Port]) -> Vec<Value> {
    let rows = ports.iter();
    rows.map(|p| json!({"name": p.name, "type": p.ty.to_string()}))
        .collect()
}
