//! The time of every op of a compiled model, for `lepid bench --kernels` and `--trace`.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use lepid_ir::core::{Code, Loc, Op, OpView};
use lepid_passes::core::Report;
use lepid_target_api::{LoadOptions, OpTime, Package};
use serde_json::{Value as Json, json};

use super::args::load_package;
use super::bench::Ready;
use super::output::{Table, json_number};
use super::{Cx, Failure, Outcome};
use crate::driver::files;
use crate::report::trace::{self, Event, Track};

/// When a run began, and what each op took in it.
pub(super) struct Run {
    start: Instant,
    time: Duration,
    ops: Vec<OpTime>,
}

/// How a model became ready.
pub(super) struct Preparation {
    pub start: Instant,
    pub load: Duration,
    pub compile: Duration,
    pub make_ready: Duration,
    pub report: Report,
}

/// Runs the model so many times with a clock around every op. Empty if the target has no clocks.
pub(super) fn gather(
    ready: &Ready<'_>,
    package: &Package,
    (runs, threads): (u64, usize),
    cx: &mut Cx<'_>,
) -> Result<Vec<Run>, Failure> {
    let options = LoadOptions {
        threads,
        profile: true,
        dynamic_bytes: cx.session.limits.memory,
        workers: None,
    };
    let mut executable = load_package(ready.target, package, &options)?;
    executable.run(&ready.inputs)?;
    let mut before = executable.profile();
    if before.is_empty() {
        let name = ready.target.info().name;
        let message = format!("target `{name}` keeps no times per op");
        cx.note(
            Code::ARGUMENT,
            message,
            "leave out `--kernels` and `--trace`",
        );
        return Ok(Vec::new());
    }
    let mut all = Vec::new();
    for _ in 0..runs {
        let start = Instant::now();
        executable.rerun()?;
        let time = start.elapsed();
        let after = executable.profile();
        let ops = after.iter().zip(&before).map(|(now, then)| OpTime {
            op: now.op,
            time: now.time.saturating_sub(then.time),
            calls: now.calls - then.calls,
        });
        all.push(Run {
            start,
            time,
            ops: ops.collect(),
        });
        before = after;
    }
    Ok(all)
}

/// One op over all runs.
struct Kernel {
    op: Op,
    /// Per run.
    seconds: f64,
    /// Per run: an op in a loop has many.
    calls: f64,
}

fn kernels(runs: &[Run]) -> Vec<Kernel> {
    let count = runs.len() as f64;
    let mut all: Vec<Kernel> = Vec::new();
    for (index, time) in runs[0].ops.iter().enumerate() {
        let sum = |of: fn(&OpTime) -> f64| runs.iter().map(|r| of(&r.ops[index])).sum::<f64>();
        all.push(Kernel {
            op: time.op,
            seconds: sum(|t| t.time.as_secs_f64()) / count,
            calls: sum(|t| t.calls as f64) / count,
        });
    }
    all.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    all
}

/// The names of the model's nodes that an op came from; places in a text have line numbers.
fn nodes(view: OpView<'_>, cx: &Cx<'_>) -> Vec<String> {
    let parts = view.loc().parts().iter();
    parts
        .filter_map(|part| match part {
            Loc::Name(name) => Some(name.to_string()),
            Loc::Span(span) => {
                let text = cx.session.text(span.file)?;
                let before = text.get(..span.start as usize)?;
                Some(format!(
                    "{}:{}",
                    span.file,
                    before.matches('\n').count() + 1
                ))
            }
            Loc::Unknown | Loc::Fused(_) => None,
        })
        .collect()
}

fn results(view: OpView<'_>) -> Vec<String> {
    let types = view.results().iter();
    types
        .map(|&v| view.module.value_type(v).to_string())
        .collect()
}

/// Three tables: kinds of ops, nodes of the model, ops; the slowest first.
pub(super) fn show(
    ready: &Ready<'_>,
    package: &Package,
    (runs, threads): (&[Run], usize),
    cx: &mut Cx<'_>,
) -> Outcome {
    let kernels = kernels(runs);
    let total: f64 = kernels.iter().map(|k| k.seconds).sum();
    let predict = |k: &Kernel| ready.costs.seconds(package.module.view(k.op), threads) * k.calls;
    let total_predicted: f64 = kernels.iter().map(predict).sum();
    let share = |seconds: f64| format!("{:.1}", 100.0 * seconds / total);
    let ms = |seconds: f64| format!("{:.4}", seconds * 1e3);
    let columns = ["ms", "%", "predicted", "GFLOP/s", "op", "result", "node"];
    let mut table = Table::new(&columns, &[0, 1, 2, 3]);
    let mut errors = Vec::new();
    let mut rows: Vec<Json> = Vec::new();
    let mut by_op: BTreeMap<String, (f64, usize)> = BTreeMap::new();
    let mut by_node: BTreeMap<Vec<String>, (f64, usize)> = BTreeMap::new();
    for kernel in &kernels {
        let view = package.module.view(kernel.op);
        let flops = view.def().cost(view).flops * kernel.calls;
        let predicted = predict(kernel);
        errors.push((predicted / kernel.seconds - 1.0).abs());
        let (nodes, results) = (nodes(view, cx), results(view));
        let add = |entry: &mut (f64, usize)| *entry = (entry.0 + kernel.seconds, entry.1 + 1);
        add(by_op.entry(view.name().to_string()).or_default());
        add(by_node.entry(nodes.clone()).or_default());
        table.row(vec![
            ms(kernel.seconds),
            share(kernel.seconds),
            ms(predicted),
            format!("{:.1}", flops / kernel.seconds / 1e9),
            view.name().to_string(),
            results.join(", "),
            nodes.join(" "),
        ]);
        rows.push(json!({
            "op": view.name(),
            "ms": json_number(kernel.seconds * 1e3),
            "predicted_ms": json_number(predicted * 1e3),
            "calls": json_number(kernel.calls),
            "flops": json_number(flops),
            "results": results,
            "nodes": nodes,
        }));
    }
    let groups: Vec<Json> = slowest(by_node.clone())
        .into_iter()
        .map(|(nodes, (seconds, count))| {
            json!({
                "nodes": nodes,
                "ms": json_number(seconds * 1e3),
                "share": json_number(seconds / total),
                "kernels": count,
            })
        })
        .collect();
    errors.sort_by(f64::total_cmp);
    let error = errors.get(errors.len() / 2).copied().unwrap_or(0.0);
    cx.report("kernels", rows);
    cx.report("nodes", groups);
    cx.report("total_ms", json_number(total * 1e3));
    cx.report("predicted_ms", json_number(total_predicted * 1e3));
    cx.report("median_prediction_error", json_number(error));
    if cx.json {
        return Ok(());
    }
    let mut sums = Table::new(&["op", "kernels", "ms", "%"], &[1, 2, 3]);
    for (name, (seconds, count)) in slowest(by_op) {
        sums.row(vec![name, count.to_string(), ms(seconds), share(seconds)]);
    }
    let mut groups = Table::new(&["ms", "%", "kernels", "nodes of the model"], &[0, 1, 2]);
    for (nodes, (seconds, count)) in slowest(by_node) {
        let nodes = match nodes.is_empty() {
            true => "(none)".to_string(),
            false => nodes.join(" "),
        };
        groups.row(vec![ms(seconds), share(seconds), count.to_string(), nodes]);
    }
    let text = format!(
        "\n{}\n{}\n{}\npredicted {} ms of {} ms measured; median error of a kernel {:.0} %\n",
        sums.text(),
        groups.text(),
        table.text(),
        ms(total_predicted),
        ms(total),
        100.0 * error
    );
    Ok(io::stdout().write_all(text.as_bytes())?)
}

fn slowest<K: Ord>(sums: BTreeMap<K, (f64, usize)>) -> Vec<(K, (f64, usize))> {
    let mut all: Vec<(K, (f64, usize))> = sums.into_iter().collect();
    all.sort_by(|a, b| b.1.0.total_cmp(&a.1.0));
    all
}

/// Writes a trace of the preparation and of these runs.
pub(super) fn write_trace(
    path: &Path,
    ready: &Ready<'_>,
    package: &Package,
    runs: &[Run],
    cx: &mut Cx<'_>,
) -> Outcome {
    let mut events = prepare_events(&ready.preparation);
    let zero = ready.preparation.start;
    for (number, run) in runs.iter().enumerate() {
        let start = (run.start - zero).as_secs_f64();
        events.push(Event {
            track: Track::Run,
            name: format!("run {}", number + 1),
            category: "run".to_string(),
            start,
            seconds: run.time.as_secs_f64(),
            args: serde_json::Map::new(),
        });
        // Ops run one after the other, each on all threads; the times of one in a loop are added
        // up at its first turn.
        let mut at = start;
        for time in &run.ops {
            let view = package.module.view(time.op);
            let seconds = time.time.as_secs_f64();
            events.push(op_event(view, (at, seconds, time.calls), cx));
            at += seconds;
        }
    }
    let text = trace::text(&events);
    files::write_atomic(path, |file| file.write_all(text.as_bytes()))?;
    cx.report("trace", path.display().to_string());
    Ok(())
}

fn prepare_events(preparation: &Preparation) -> Vec<Event> {
    let load = preparation.load.as_secs_f64();
    let compile = preparation.compile.as_secs_f64();
    let event = |name: &str, category: &str, start: f64, seconds: f64| Event {
        track: Track::Prepare,
        name: name.to_string(),
        category: category.to_string(),
        start,
        seconds,
        args: serde_json::Map::new(),
    };
    let mut events = vec![
        event("load model", "load", 0.0, load),
        event("compile", "compile", load, compile),
    ];
    let mut at = load;
    for pass in &preparation.report.passes {
        let seconds = pass.time.as_secs_f64();
        let mut event = event(pass.name, "pass", at, seconds);
        event
            .args
            .insert("ops_before".into(), json!(pass.ops_before));
        event.args.insert("ops_after".into(), json!(pass.ops_after));
        events.push(event);
        at += seconds;
    }
    // What a compilation does after the passes: check legality, generate code, pack weights.
    let rest = (load + compile - at).max(0.0);
    events.push(event("emit", "emit", at, rest));
    let ready = preparation.make_ready.as_secs_f64();
    events.push(event("load package", "load", load + compile, ready));
    events
}

fn op_event(view: OpView<'_>, (start, seconds, calls): (f64, f64, u64), cx: &Cx<'_>) -> Event {
    let cost = view.def().cost(view);
    let nodes = nodes(view, cx);
    let operands = view.operands().iter();
    let operands: Vec<String> = operands
        .map(|&v| view.module.value_type(v).to_string())
        .collect();
    let args = json!({
        "op": view.name(),
        "nodes": nodes,
        "operands": operands,
        "results": results(view),
        "calls": calls,
        "flops": json_number(cost.flops * calls as f64),
        "bytes": json_number(cost.bytes * calls as f64),
    });
    Event {
        track: Track::Run,
        name: match nodes.is_empty() {
            true => view.name().to_string(),
            false => nodes.join(" "),
        },
        category: view.name().to_string(),
        start,
        seconds,
        args: args.as_object().cloned().unwrap_or_default(),
    }
}
