//! `lepid bench`: how fast a compiled model runs, beside what the machine could do.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use lepid_ir::core::{Code, Cost, Diagnostic, Loc};
use lepid_target_api::{CostModel, Executable, LoadOptions, Package, Target};
use lepid_ukernels::{Isa, measure};

use super::args::{
    FileArgs, InputArgs, ModelArgs, TargetArgs, load_package, thread_count, threads,
};
use super::output::{Table, json_number};
use super::package::Prepared;
use super::profile::{self, Preparation};
use super::{Cx, Failure, Outcome, calibrate, states, worker};
use crate::report::units::metric;

/// Measure the speed of a model or of a package.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lepid bench model.onnx --threads 1
  lepid bench model.lepid --kernels
  lepid bench model.onnx --dim N=8 --seconds 5 --kernels
  lepid bench model.onnx --trace trace.json
  lepid bench model.onnx --json
  lepid bench --calibrate")]
pub(super) struct Args {
    #[command(flatten)]
    file: Option<FileArgs>,
    /// The function to measure [default: main, or the only one].
    #[arg(long, value_name = "NAME")]
    func: Option<String>,
    /// In place of measuring a model, fit what passes choose by to this processor, and store it for
    /// the compilations to come.
    #[arg(long, conflicts_with = "model")]
    calibrate: bool,
    #[command(flatten)]
    inputs: InputArgs,
    #[command(flatten)]
    target: TargetArgs,
    /// Threads that a run may use [default: all cores].
    #[arg(long, value_name = "N", value_parser = thread_count)]
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
    /// Show the time of every op of the compiled model, and of every node of the model file, from
    /// runs of their own.
    #[arg(long)]
    kernels: bool,
    /// Write a trace for Chrome or Perfetto: loading, passes, and every op of some runs.
    #[arg(long, value_name = "FILE.json")]
    trace: Option<PathBuf>,
    /// Runs in the trace.
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    trace_runs: u64,
    /// Answer the lines of a benchmark harness on standard input.
    #[arg(long, hide = true)]
    worker: bool,
}

/// A model that is ready to run.
pub(super) struct Ready<'d> {
    pub target: &'d dyn Target,
    /// Kept for the table of kernels alone: it holds the weights of the model once more.
    pub package: Option<Package>,
    /// What the target predicts.
    pub costs: Box<dyn CostModel>,
    pub executable: Box<dyn Executable>,
    pub inputs: Vec<lepid_ir::core::Tensor>,
    /// Of the model before any pass, or of the ops in a package.
    pub cost: Cost,
    /// From the file to the first possible run.
    pub load: Duration,
    pub preparation: Preparation,
}

pub(super) fn run(args: &Args, cx: &mut Cx<'_>) -> Outcome {
    let model = match &args.file {
        _ if args.calibrate => return calibrate::run(&args.target, threads(args.threads), cx),
        Some(file) => ModelArgs {
            file: file.clone(),
            func: args.func.clone(),
        },
        None => return Err(missing_model().into()),
    };
    let mut ready = prepare(&model, args, cx)?;
    if args.worker {
        return worker::serve(&mut ready);
    }
    let start = Instant::now();
    ready.executable.run(&ready.inputs)?;
    let first = start.elapsed();
    let times = Times::measure(args, ready.executable.as_mut())?;
    report(args, &ready, first, &times, cx)?;
    match &ready.package {
        Some(package) => profile(args, &ready, package, times.all.len() as u64, cx),
        None => Ok(()),
    }
}

fn missing_model() -> Diagnostic {
    let message = "there is no model to measure";
    let error = Diagnostic::error(Code::ARGUMENT, Loc::Unknown, message);
    error.with_help("name one, as in `lepid bench model.onnx`")
}

/// What runs with a clock around every op tell.
fn profile(
    args: &Args,
    ready: &Ready<'_>,
    package: &Package,
    timed: u64,
    cx: &mut Cx<'_>,
) -> Outcome {
    let traced = if args.trace.is_some() {
        args.trace_runs
    } else {
        0
    };
    let shown = if args.kernels {
        timed.min(MOST_PROFILED)
    } else {
        0
    };
    let count = traced.max(shown);
    let runs = profile::gather(ready, package, (count, threads(args.threads)), cx)?;
    if runs.is_empty() {
        return Ok(());
    }
    if args.kernels {
        profile::show(ready, package, (&runs, threads(args.threads)), cx)?;
    }
    match &args.trace {
        // The last ones have met warm caches.
        Some(path) => {
            let last = &runs[runs.len() - traced as usize..];
            profile::write_trace(path, ready, package, last, cx)
        }
        None => Ok(()),
    }
}

/// Profiled runs for a table.
const MOST_PROFILED: u64 = 1000;

fn prepare<'d>(model: &ModelArgs, args: &Args, cx: &mut Cx<'d>) -> Result<Ready<'d>, Failure> {
    let start = Instant::now();
    if let Some(path) = &args.trace {
        model.file.check_output(path, cx)?;
    }
    let prepared = Prepared::new(model, &args.inputs, &args.target, cx)?;
    let before = start.elapsed();
    let options = LoadOptions {
        threads: threads(args.threads),
        profile: false,
        dynamic_bytes: cx.session.limits.memory,
        workers: None,
    };
    let mut executable = load_package(prepared.target, &prepared.package, &options)?;
    states::begin(executable.as_mut(), &prepared.states)?;
    let load = start.elapsed();
    let profiled = args.kernels || args.trace.is_some();
    let costs = prepared
        .target
        .cost_model(&args.target.options(prepared.target)?)?;
    Ok(Ready {
        target: prepared.target,
        costs,
        package: profiled.then_some(prepared.package),
        executable,
        inputs: prepared.inputs,
        cost: prepared.cost,
        load,
        preparation: Preparation {
            start,
            load: before - prepared.compile,
            compile: prepared.compile,
            make_ready: load - before,
            report: prepared.report,
        },
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
