//! `lepid inspect`: what a model is and what it costs.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use lepid_ir::core::{Cost, Module, Op, Tensor, ValueDef};
use lepid_ir::dialects::core::Func;
use lepid_passes::transform::memory_plan;
use lepid_target_api::{Package, Port, Signature, Target, declare_states, main_function};
use serde_json::{Value, json};

use super::args::{Job, ModelArgs, TargetArgs};
use super::output::{Table, json_number};
use super::run::count_ops;
use super::{Cx, Failure, Outcome, kernels, package, states};
use crate::driver::files;
use crate::report::page::{self, Page};
use crate::report::units::{bytes, metric};

/// Show the signature, ops, cost, weights and memory plan of a model; of a package, what it holds and
/// where it is from.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lepid inspect model.onnx
  lepid inspect model.onnx --ops --dim N=8
  lepid inspect model.onnx --plan --json
  lepid inspect model.onnx --kernels
  lepid inspect decode.onnx --state past_key=present_key
  lepid inspect model.onnx --html model.html
  lepid inspect model.lepid")]
pub(super) struct Args {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    target: TargetArgs,
    /// Show every op.
    #[arg(long)]
    ops: bool,
    /// Show the place of every value in the arena of the compiled model.
    #[arg(long)]
    plan: bool,
    /// Show which kernel computes each op of the compiled model, why, and what else there was.
    #[arg(long)]
    kernels: bool,
    /// Write a page for a browser: the graph, shapes, costs, memory over time, weights.
    #[arg(long, value_name = "FILE.html")]
    html: Option<PathBuf>,
}

pub(super) fn run(args: &Args, cx: &mut Cx<'_>) -> Outcome {
    if let Some(path) = &args.html {
        args.model.file.check_output(path, cx)?;
    }
    if cx.driver.is_package(&args.model.file.model) {
        let (package, target) = package::open(&args.model, &args.target, cx)?;
        package::inspect(&package, cx)?;
        return details(args, &package, target, cx);
    }
    let open = args.model.load(cx)?;
    let signature = args.model.signature(&open)?;
    // Costs need numbers.
    let job = Job::with_inputs(&args.model, BTreeMap::new(), 0, cx)?;
    let func = main_function(&job.module, args.model.func.as_deref())?;
    let module = job.module.clone();
    let mut compiling = job.module;
    declare_states(&mut compiling, func, &job.states)?;
    let compiled = args
        .target
        .compile(compiling, args.model.func.as_deref(), &[], cx)?;
    let package = &compiled.package;
    let text = [
        summary(&signature, &module, func, package, cx),
        count_table(&module, func, cx),
        if args.ops {
            op_table(&module, func, cx)
        } else {
            String::new()
        },
        if args.plan {
            plan_table(package, cx)?
        } else {
            String::new()
        },
        kernel_table(args, package, args.target.target(cx)?, cx)?,
    ];
    if let Some(path) = &args.html {
        let page = Page {
            title: &title(&args.model),
            signature: &signature,
            module: &module,
            func,
            package,
        };
        write_page(path, &page, cx)?;
    }
    if !cx.json {
        io::stdout().write_all(text.concat().as_bytes())?;
    }
    Ok(())
}

/// The tables that are asked for, of the ops in a package.
fn details(args: &Args, package: &Package, target: &dyn Target, cx: &mut Cx<'_>) -> Outcome {
    let module = &package.module;
    let mut text = String::new();
    if let (true, Some(func)) = (args.ops, module.funcs().next()) {
        text += &op_table(module, func, cx);
    }
    if args.plan {
        text += &plan_table(package, cx)?;
    }
    text += &kernel_table(args, package, target, cx)?;
    if let (Some(path), Some(func)) = (&args.html, module.funcs().next()) {
        let page = Page {
            title: &title(&args.model),
            signature: &package.signature,
            module,
            func,
            package,
        };
        write_page(path, &page, cx)?;
    }
    if !cx.json {
        io::stdout().write_all(text.as_bytes())?;
    }
    Ok(())
}

fn kernel_table(
    args: &Args,
    package: &Package,
    target: &dyn Target,
    cx: &mut Cx<'_>,
) -> Result<String, Failure> {
    let func = package.module.funcs().next().filter(|_| args.kernels);
    let Some(func) = func else {
        return Ok(String::new());
    };
    let model = target.cost_model(&args.target.options(target)?)?;
    Ok(kernels::table(&package.module, func, model.as_ref(), cx))
}

fn write_page(path: &Path, page: &Page<'_>, cx: &mut Cx<'_>) -> Outcome {
    let text = page::html(page);
    files::write_atomic(path, |file| file.write_all(text.as_bytes()))?;
    cx.report("html", path.display().to_string());
    Ok(())
}

/// The name of the file and of its folder: many models are called `model.onnx`.
fn title(model: &ModelArgs) -> String {
    let path = &model.file.model;
    let name = |part: Option<&OsStr>| part.map(|n| n.to_string_lossy().into_owned());
    let folder = name(path.parent().and_then(Path::file_name));
    let names = folder.into_iter().chain(name(path.file_name()));
    names.collect::<Vec<String>>().join("/")
}

fn ports(ports: &[Port]) -> Vec<Value> {
    let rows = ports.iter();
    rows.map(|p| json!({"name": p.name, "type": p.ty.to_string()}))
        .collect()
}

fn summary(
    signature: &Signature,
    module: &Module,
    func: Op,
    package: &Package,
    cx: &mut Cx<'_>,
) -> String {
    let ops = body(module, func);
    let cost = ops.iter().map(|&op| cost(module, op));
    let cost = cost.fold(Cost::default(), |a, b| a + b);
    let weights = constants(module, func);
    let elements: usize = weights.iter().map(Tensor::len).sum();
    let weight_bytes: usize = weights.iter().map(|t| t.bytes().len()).sum();
    let native = count_ops(&package.module);
    let arena = arena(package);
    let states = states::lines(package, cx);
    cx.report("inputs", ports(&signature.inputs));
    cx.report("outputs", ports(&signature.outputs));
    cx.report("op_count", ops.len());
    cx.report("flops", json_number(cost.flops));
    cx.report("bytes", json_number(cost.bytes));
    cx.report(
        "weights",
        json!({"tensors": weights.len(), "elements": elements, "bytes": weight_bytes}),
    );
    cx.report("target", package.target.to_string());
    cx.report("compiled_ops", native);
    cx.report("arena_bytes", arena);
    let mut table = Table::default();
    for (what, ports) in [("input", &signature.inputs), ("output", &signature.outputs)] {
        for port in ports {
            table.row(vec![what.into(), format!("{}: {}", port.name, port.ty)]);
        }
    }
    let mut line = |name: &str, value: String| table.row(vec![name.into(), value]);
    for state in states {
        line("state", state);
    }
    line("ops", ops.len().to_string());
    line("work", format!("{}FLOP", metric(cost.flops)));
    line(
        "traffic",
        format!("{}, each value counted once per use", bytes(cost.bytes)),
    );
    line(
        "weights",
        format!(
            "{} elements, {} in {} tensors",
            metric(elements as f64),
            bytes(weight_bytes as f64),
            weights.len()
        ),
    );
    let plan = match arena {
        Some(arena) => format!("; arena of {}", bytes(arena as f64)),
        None => String::new(),
    };
    line(
        &format!("on {}", package.target),
        format!("{native} ops{plan}"),
    );
    table.text()
}

/// The ops that compute, those in regions too.
fn body(module: &Module, func: Op) -> Vec<Op> {
    let inside = module.walk_inside(func).into_iter();
    inside
        .filter(|&op| !module.op_name(op).starts_with("core."))
        .collect()
}

fn cost(module: &Module, op: Op) -> Cost {
    let view = module.view(op);
    match view.regions().is_empty() {
        true => view.def().cost(view),
        // What is inside is counted by itself, once.
        false => Cost::default(),
    }
}

fn constants(module: &Module, func: Op) -> Vec<Tensor> {
    let inside = module.walk_inside(func).into_iter();
    inside
        .filter_map(|op| {
            let result = *module.results(op).first()?;
            module.constant_value(result).cloned()
        })
        .collect()
}

fn count_table(module: &Module, func: Op, cx: &mut Cx<'_>) -> String {
    let mut counts: BTreeMap<&str, (usize, Cost)> = BTreeMap::new();
    for op in body(module, func) {
        let entry = counts.entry(module.op_name(op)).or_default();
        entry.0 += 1;
        entry.1 = entry.1 + cost(module, op);
    }
    let mut rows: Vec<(&str, (usize, Cost))> = counts.into_iter().collect();
    rows.sort_by(|a, b| b.1.1.flops.total_cmp(&a.1.1.flops));
    let mut table = Table::new(&["op", "count", "FLOP", "bytes"], &[1, 2, 3]);
    let mut list = Vec::new();
    for (name, (count, cost)) in rows {
        table.row(vec![
            name.to_string(),
            count.to_string(),
            metric(cost.flops),
            bytes(cost.bytes),
        ]);
        list.push(json!({
            "op": name,
            "count": count,
            "flops": json_number(cost.flops),
            "bytes": json_number(cost.bytes),
        }));
    }
    cx.report("counts", list);
    format!("\n{}", table.text())
}

fn op_table(module: &Module, func: Op, cx: &mut Cx<'_>) -> String {
    let mut table = Table::new(&["op", "result", "FLOP", "bytes", "node"], &[2, 3]);
    let mut list = Vec::new();
    for op in body(module, func) {
        let view = module.view(op);
        let cost = cost(module, op);
        let types: Vec<String> = view
            .results()
            .iter()
            .map(|&v| module.value_type(v).to_string())
            .collect();
        let nodes: Vec<&str> = view.loc().names().map(|n| n.as_str()).collect();
        table.row(vec![
            view.name().to_string(),
            types.join(", "),
            metric(cost.flops),
            bytes(cost.bytes),
            nodes.join(" "),
        ]);
        list.push(json!({
            "op": view.name(),
            "results": types,
            "flops": json_number(cost.flops),
            "bytes": json_number(cost.bytes),
            "nodes": nodes,
        }));
    }
    cx.report("ops", list);
    format!("\n{}", table.text())
}

/// The size of the arena, if the target plans one.
fn arena(package: &Package) -> Option<i64> {
    let module = &package.module;
    let mut funcs = module.funcs();
    let planned = funcs.find(|&f| !Func::slots(module.view(f)).is_empty())?;
    Some(Func::arena_bytes(module.view(planned)))
}

fn plan_table(package: &Package, cx: &mut Cx<'_>) -> Result<String, super::Failure> {
    let module = &package.module;
    let mut table = Table::new(&["offset", "bytes", "op", "type"], &[0, 1]);
    let mut list = Vec::new();
    for func in module.funcs() {
        let slots = Func::slots(module.view(func));
        for (value, slot) in memory_plan::values(module, func).into_iter().zip(slots) {
            if slot < 0 {
                continue;
            }
            let op = match module.value_def(value) {
                ValueDef::Result(op, _) => module.op_name(op),
                ValueDef::Arg(..) => "argument",
            };
            let ty = module.value_type(value);
            let size = ty.as_tensor().and_then(|t| {
                let count = t.element_count()?;
                Some(count * t.elem.bytes() as u64)
            });
            let size_text = size.map_or(String::new(), |n| n.to_string());
            table.row(vec![slot.to_string(), size_text, op.into(), ty.to_string()]);
            list.push(json!({"offset": slot, "bytes": size, "op": op, "type": ty.to_string()}));
        }
    }
    cx.report("plan", list);
    Ok(format!("\n{}", table.text()))
}
