//! `lepid bench`: how fast a compiled model runs, beside what the machine could do.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use lepid_ir::core::Cost;
use lepid_target_api::{Executable, LoadOptions, OpTime, Package, Target};
use lepid_ukernels::{Isa, measure};
use serde_json::json;

use super::args::{InputArgs, ModelArgs, TargetArgs, load_package, threads};
use super::output::{Table, json_number, metric};
use super::package::Prepared;
use super::{Cx, Failure, Outcome, worker};

/// Measure the speed of a model or of a package.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lepid bench model.onnx --threads 1
  lepid bench model.lepid --kernels
  lepid bench model.onnx --dim N=8 --seconds 5 --kernels
  lepid bench model.onnx --json")]
pub(super) struct Args {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    inputs: InputArgs,
    #[command(flatten)]
    target: TargetArgs,
    /// Threads that a run may use [default: all cores].
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Runs before the first that counts.
    #[arg(long, default_value_t = 3, value_name = "N")]
    warmup: u64,
    /// Runs that count, in place of a time.
    #[arg(long, value_name = "N", conflicts_with = "seconds", value_parser = clap::value_parser!(u64).range(1..))]
    iterations: Option<u64>,
    /// How long to measure.
    #[arg(long, default_value_t = 2.0, value_name = "S")]
    seconds: f64,
    /// Show the time of every op of the compiled model, from runs of their own.
    #[arg(long)]
    kernels: bool,
    /// Answer the lines of a benchmark harness on standard input.
    #[arg(long, hide = true)]
    worker: bool,
}

/// A model that is ready to run.
pub(super) struct Ready<'d> {
    pub target: &'d dyn Target,
    /// Kept for the table of kernels alone: it holds the weights of the model once more.
    pub package: Option<Package>,
    pub executable: Box<dyn Executable>,
    pub inputs: Vec<lepid_ir::core::Tensor>,
    /// Of the model before any pass, or of the ops in a package.
    pub cost: Cost,
    /// From the file to the first possible run.
    pub load: Duration,
}

pub(super) fn run(args: &Args, cx: &mut Cx<'_>) -> Outcome {
    let mut ready = prepare(args, cx)?;
    if args.worker {
        return worker::serve(&mut ready);
    }
    let start = Instant::now();
    ready.executable.run(&ready.inputs)?;
    let first = start.elapsed();
    let times = Times::measure(args, ready.executable.as_mut())?;
    report(args, &ready, first, &times, cx)?;
    match &ready.package {
        Some(package) => kernels(args, &ready, package, times.all.len() as u64, cx),
        None => Ok(()),
    }
}

fn prepare<'d>(args: &Args, cx: &mut Cx<'d>) -> Result<Ready<'d>, Failure> {
    let start = Instant::now();
    let prepared = Prepared::new(&args.model, &args.inputs, &args.target, cx)?;
    let options = LoadOptions {
        threads: threads(args.threads),
        profile: false,
    };
    let executable = load_package(prepared.target, &prepared.package, &options)?;
    Ok(Ready {
        target: prepared.target,
        package: args.kernels.then_some(prepared.package),
        executable,
        inputs: prepared.inputs,
        cost: prepared.cost,
        load: start.elapsed(),
    })
}

/// Milliseconds of runs, in order of their size.
struct Times {
    all: Vec<f64>,
}

impl Times {
    fn measure(args: &Args, executable: &mut dyn Executable) -> Result<Times, Failure> {
        for _ in 0..args.warmup {
            executable.rerun()?;
        }
        let progress = match args.iterations {
            Some(count) => ProgressBar::new(count),
            None => ProgressBar::new((args.seconds * 10.0).ceil() as u64),
        };
        let mut all = Vec::new();
        let begin = Instant::now();
        loop {
            let start = Instant::now();
            executable.rerun()?;
            all.push(start.elapsed().as_secs_f64() * 1e3);
            let passed = begin.elapsed().as_secs_f64();
            let (done, end) = match args.iterations {
                Some(count) => (all.len() as u64, all.len() as u64 >= count),
                None => ((passed * 10.0) as u64, passed >= args.seconds),
            };
            if end {
                break;
            }
            // Drawing takes time from another thread at most ten times a second.
            if done != progress.position() {
                progress.set_position(done);
            }
        }
        progress.finish_and_clear();
        all.sort_by(f64::total_cmp);
        Ok(Times { all })
    }

    /// The value below which this share of the runs is.
    fn quantile(&self, share: f64) -> f64 {
        self.all[((self.all.len() - 1) as f64 * share).round() as usize]
    }
}

fn report(
    args: &Args,
    ready: &Ready<'_>,
    first: Duration,
    times: &Times,
    cx: &mut Cx<'_>,
) -> Outcome {
    let threads = threads(args.threads);
    // In the same minute, as other work on the machine slows both.
    let fma_peak = measure::measure_fma_peak(Isa::detect(), threads);
    let read_peak = measure::measure_read_bandwidth(READ_BYTES, threads);
    let median = times.quantile(0.5);
    let rate = ready.cost.flops / (median / 1e3);
    let traffic = ready.cost.bytes / (median / 1e3);
    cx.report("target", ready.target.info().name);
    cx.report("threads", threads);
    cx.report("load_ms", json_number(ready.load.as_secs_f64() * 1e3));
    cx.report("first_ms", json_number(first.as_secs_f64() * 1e3));
    cx.report("runs", times.all.len());
    let quantiles = [
        ("min_ms", 0.0),
        ("p10_ms", 0.1),
        ("median_ms", 0.5),
        ("p90_ms", 0.9),
    ];
    for (name, share) in quantiles {
        cx.report(name, json_number(times.quantile(share)));
    }
    cx.report("flops", json_number(ready.cost.flops));
    cx.report("flops_per_second", json_number(rate));
    cx.report("fma_peak", json_number(fma_peak));
    cx.report("fma_share", json_number(rate / fma_peak));
    cx.report("bytes", json_number(ready.cost.bytes));
    cx.report("bytes_per_second", json_number(traffic));
    cx.report("read_peak", json_number(read_peak));
    cx.report("read_share", json_number(traffic / read_peak));
    if cx.json {
        return Ok(());
    }
    let mut table = Table::default();
    let mut line = |name: &str, value: String| table.row(vec![name.into(), value]);
    let plural = if threads == 1 { "" } else { "s" };
    line(
        "target",
        format!("{}, {threads} thread{plural}", ready.target.info().name),
    );
    line(
        "ready in",
        format!("{:.1} ms", ready.load.as_secs_f64() * 1e3),
    );
    line("first run", format!("{:.3} ms", first.as_secs_f64() * 1e3));
    line(
        "median",
        format!("{median:.3} ms of {} runs", times.all.len()),
    );
    line(
        "p10, min",
        format!(
            "{:.3} ms, {:.3} ms",
            times.quantile(0.1),
            times.quantile(0.0)
        ),
    );
    line("work", format!("{}FLOP", metric(ready.cost.flops)));
    line("rate", format!("{}FLOP/s", metric(rate)));
    line(
        "of FMA peak",
        format!(
            "{:.1} % of {}FLOP/s",
            100.0 * rate / fma_peak,
            metric(fma_peak)
        ),
    );
    line(
        "of read peak",
        format!(
            "{:.1} % of {}B/s",
            100.0 * traffic / read_peak,
            metric(read_peak)
        ),
    );
    Ok(io::stdout().write_all(table.text().as_bytes())?)
}

/// Several times a last-level cache.
const READ_BYTES: usize = 256 << 20;

fn kernels(
    args: &Args,
    ready: &Ready<'_>,
    package: &Package,
    runs: u64,
    cx: &mut Cx<'_>,
) -> Outcome {
    let options = LoadOptions {
        threads: threads(args.threads),
        profile: true,
    };
    let mut executable = load_package(ready.target, package, &options)?;
    executable.run(&ready.inputs)?;
    for _ in 0..runs.min(1000) {
        executable.rerun()?;
    }
    let mut times = executable.profile();
    if times.is_empty() {
        let message = format!(
            "target `{}` keeps no times per op",
            ready.target.info().name
        );
        cx.note(
            lepid_ir::core::Code::ARGUMENT,
            message,
            "leave out `--kernels`",
        );
        return Ok(());
    }
    times.sort_by_key(|t| std::cmp::Reverse(t.time));
    let total: f64 = times.iter().map(|t| per_call(t) * 1e3).sum();
    let mut table = Table::new(&["ms", "%", "GFLOP/s", "op", "result", "node"], &[0, 1, 2]);
    let mut rows = Vec::new();
    let mut by_op: BTreeMap<&str, f64> = BTreeMap::new();
    for time in &times {
        let view = package.module.view(time.op);
        let cost = match ready.target.cost(view) {
            Some(cost) => cost,
            None => view.def().cost(view),
        };
        let seconds = per_call(time);
        let rate = cost.flops / seconds;
        let results: Vec<String> = view
            .results()
            .iter()
            .map(|&v| package.module.value_type(v).to_string())
            .collect();
        let nodes: Vec<&str> = view.loc().names().map(|n| n.as_str()).collect();
        *by_op.entry(view.name()).or_default() += seconds * 1e3;
        table.row(vec![
            format!("{:.4}", seconds * 1e3),
            format!("{:.1}", 100.0 * seconds * 1e3 / total),
            format!("{:.1}", rate / 1e9),
            view.name().to_string(),
            results.join(", "),
            nodes.join(" "),
        ]);
        rows.push(json!({
            "op": view.name(),
            "ms": json_number(seconds * 1e3),
            "flops": json_number(cost.flops),
            "results": results,
            "nodes": nodes,
        }));
    }
    cx.report("kernels", rows);
    if cx.json {
        return Ok(());
    }
    let mut sums = Table::new(&["op", "ms", "%"], &[1, 2]);
    let mut by_op: Vec<(&str, f64)> = by_op.into_iter().collect();
    by_op.sort_by(|a, b| b.1.total_cmp(&a.1));
    for (name, ms) in by_op {
        let share = format!("{:.1}", 100.0 * ms / total);
        sums.row(vec![name.to_string(), format!("{ms:.4}"), share]);
    }
    let text = format!("\n{}\n{}", sums.text(), table.text());
    Ok(io::stdout().write_all(text.as_bytes())?)
}

/// Seconds in one run. An op in a loop has many calls in a run, so the runs are not counted here.
fn per_call(time: &OpTime) -> f64 {
    time.time.as_secs_f64() / time.calls.max(1) as f64
}
