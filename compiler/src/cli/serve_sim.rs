//! `lepid serve-sim`: serves an arrival trace with a compiled cascade.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use indicatif::ProgressBar;
use lepid_ir::core::{Code, Diagnostic, Diagnostics, Dim, Loc, Module, Tensor};
use lepid_runtime::trace::Arrivals;
use lepid_runtime::{Counters, Refill, Request, Sample, Stages, Window, serve};
use lepid_target_api::{Batch, Executable, LoadOptions, Signature, Workers, main_function};
use serde_json::json;

use super::accuracy::rows;
use super::args::{FileArgs, TargetArgs, load_package, thread_count, threads};
use super::output::Table;
use super::{Cx, Failure, Outcome};
use crate::driver::{ModelOptions, arrays, files};

/// Serve an arrival trace with a compiled cascade, in simulated time.
///
/// Every batch is really computed, and the clock goes on by the seconds that it took; nobody waits
/// for the clock. `refill` serves stage by stage and fills batches again at each exit; `window`
/// collects a batch, computes the whole cascade for it, and answers all at its end. Schedulers are
/// run in turns on the same trace.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lepid serve-sim tuned.toml --data test.npz --arrivals poisson:2000
  lepid serve-sim tuned.toml --data test.npz --arrivals bursts:20000,0.02,0.2 --slo 20
  lepid serve-sim tuned.toml --data test.npz --arrivals trace.csv --scheduler refill --json")]
pub(super) struct Args {
    #[command(flatten)]
    file: FileArgs,
    #[command(flatten)]
    target: TargetArgs,
    /// Samples that requests bring, over and over: inputs by their names, samples along the first
    /// axis. An input that is not there is random.
    #[arg(long, value_name = "FILE.npz")]
    data: PathBuf,
    /// When requests arrive: at a rate per second, in bursts (rate, seconds on, seconds off), or as
    /// recorded, one time in seconds per line.
    #[arg(long, value_name = "poisson:RATE | bursts:RATE,ON,OFF | FILE.csv")]
    arrivals: String,
    /// Requests in all.
    #[arg(long, value_name = "N", default_value_t = 2000)]
    requests: usize,
    /// Who is computed next; both in turns, if nothing is said.
    #[arg(long, value_name = "NAME", value_enum, value_delimiter = ',', default_values_t = [Kind::Refill, Kind::Window])]
    scheduler: Vec<Kind>,
    /// Samples in a batch at most.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u64).range(Batch::LEAST..=Batch::GREATEST))]
    batch: u64,
    /// Under `window`, how long the first request of a batch waits for others, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 2.0)]
    window: f64,
    /// By when a request is to be answered, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 50.0)]
    slo: f64,
    /// Rounds of each scheduler, in turns; the medians over rounds are told.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    rounds: u64,
    /// Seed of arrivals and of random inputs.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Write the counters of the last round in Prometheus's text format.
    #[arg(long, value_name = "FILE")]
    prometheus: Option<PathBuf>,
    /// Threads that a run may use [default: all cores].
    #[arg(long, value_name = "N", value_parser = thread_count)]
    threads: Option<usize>,
}

#[derive(Copy, Clone, PartialEq, Eq, Debug, clap::ValueEnum)]
enum Kind {
    Refill,
    Window,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Refill => "refill",
            Kind::Window => "window",
        }
    }
}

pub(super) fn run(args: &Args, cx: &mut Cx<'_>) -> Outcome {
    let arrivals = arrivals(&args.arrivals)?;
    let options = args.file.options()?;
    let plain = cx
        .driver
        .load(&args.file.model, &options, &mut cx.session)?;
    let signature = Signature::of(&plain, main_function(&plain, None)?);
    let batch = batch(&signature, args.batch)?;
    let (samples, shared) = inputs(args, &signature, &batch)?;
    // All programs run by turns.
    let workers = Workers::default();
    let mut stages = {
        let modules = cx
            .driver
            .load_stages(&args.file.model, &options, &batch, &mut cx.session)?;
        let programs = modules
            .into_iter()
            .map(|module| executable(args, module, &workers, cx));
        let programs = programs.collect::<Result<Vec<_>, Failure>>()?;
        // What each exit emits; behind it stands the number of the exit.
        Stages::new(programs, signature.outputs.len() - 1, shared.clone())?
    };
    // The whole cascade as one stage.
    let mut whole = {
        let options = ModelOptions {
            bindings: crate::driver::Bindings {
                batch: Some(batch),
                ..options.bindings.clone()
            },
            ..options
        };
        let module = cx
            .driver
            .load(&args.file.model, &options, &mut cx.session)?;
        let program = executable(args, module, &workers, cx)?;
        Stages::new(vec![program], signature.outputs.len(), shared)?
    };
    let times = arrivals.times(args.requests, args.seed);
    let requests = || -> Vec<Request<Sample>> {
        let requests = times.iter().enumerate();
        requests
            .map(|(number, &arrived)| Request {
                number,
                arrived,
                deadline: arrived + args.slo / 1e3,
                values: Sample::Given(samples[number % samples.len()].clone()),
            })
            .collect()
    };
    // Everything is where it will be before anything counts.
    let mut warm = Refill {
        most: args.batch as usize,
    };
    let few: Vec<_> = requests()
        .into_iter()
        .take(4 * args.batch as usize)
        .collect();
    serve(few.clone(), &mut warm, &mut stages, |_, _, _| ())?;
    serve(few, &mut warm, &mut whole, |_, _, _| ())?;
    let mut rounds: BTreeMap<&str, Vec<Counters>> = BTreeMap::new();
    let mut exits: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    let progress = ProgressBar::new(args.rounds * args.scheduler.len() as u64);
    for _ in 0..args.rounds {
        for &kind in &args.scheduler {
            let mut left_by = vec![-1; times.len()];
            let window = args.window / 1e3;
            let most = args.batch as usize;
            let counters = match kind {
                Kind::Refill => {
                    let mut scheduler = Refill { most };
                    serve(
                        requests(),
                        &mut scheduler,
                        &mut stages,
                        |number, exit, _| {
                            left_by[number] = exit as i64;
                        },
                    )?
                }
                Kind::Window => {
                    let answered = |number: usize, _: usize, sample: Sample| {
                        if let Sample::Left(values) = sample {
                            left_by[number] = values.last().map_or(-1, |exit| exit.to_i64s()[0]);
                        }
                    };
                    serve(
                        requests(),
                        &mut Window { most, window },
                        &mut whole,
                        answered,
                    )?
                }
            };
            rounds.entry(kind.name()).or_default().push(counters);
            exits.insert(kind.name(), left_by);
            progress.inc(1);
        }
    }
    progress.finish_and_clear();
    report(args, &rounds, &exits, cx)
}

fn report(
    args: &Args,
    rounds: &BTreeMap<&str, Vec<Counters>>,
    exits: &BTreeMap<&str, Vec<i64>>,
    cx: &mut Cx<'_>,
) -> Outcome {
    let heads = [
        "scheduler",
        "mean ms",
        "p50",
        "p90",
        "p99",
        "most",
        "late",
        "busy",
        "requests/s",
        "batches",
    ];
    let mut table = Table::new(&heads, &[1, 2, 3, 4, 5, 6, 7, 8, 9]);
    let mut rows = serde_json::Map::new();
    for (name, all) in rounds {
        let median = |of: &dyn Fn(&Counters) -> f64| {
            let mut values: Vec<f64> = all.iter().map(of).collect();
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        let percentiles: [fn(&Counters) -> f64; 5] = [
            |c| c.percentiles().mean,
            |c| c.percentiles().p50,
            |c| c.percentiles().p90,
            |c| c.percentiles().p99,
            |c| c.percentiles().most,
        ];
        let latencies = percentiles.map(|of| 1e3 * median(&of));
        let late = median(&|c| c.late as f64 / c.answered.max(1) as f64);
        let busy = median(&Counters::utilisation);
        let rate = median(&|c| c.answered as f64 / c.span.max(1e-9));
        let batches = median(&|c| c.batches.iter().sum::<u64>() as f64);
        let mut row = vec![name.to_string()];
        row.extend(latencies.map(|ms| format!("{ms:.3}")));
        row.extend([
            format!("{:.1} %", 100.0 * late),
            format!("{:.1} %", 100.0 * busy),
            format!("{rate:.0}"),
            format!("{batches:.0}"),
        ]);
        table.row(row);
        let counts = exit_counts(&exits[name]);
        let [mean, p50, p90, p99, most] = latencies;
        rows.insert(
            name.to_string(),
            json!({
                "latency_ms": {"mean": mean, "p50": p50, "p90": p90, "p99": p99, "most": most},
                "late": late,
                "utilisation": busy,
                "requests_per_second": rate,
                "batches": batches,
                "exits": counts,
                "rounds": all,
            }),
        );
    }
    cx.report("schedulers", rows);
    cx.report("requests", args.requests);
    if let Some(path) = &args.prometheus {
        let last = rounds.values().filter_map(|all| all.last()).next_back();
        let text = last.map_or(String::new(), Counters::prometheus);
        files::write_atomic(path, |file| file.write_all(text.as_bytes()))?;
    }
    if cx.json {
        return Ok(());
    }
    let mut out = io::stdout().lock();
    writeln!(out, "{}", table.text().trim_end())?;
    for (name, exits) in exits {
        let counts = exit_counts(exits).into_iter().map(|n| n.to_string());
        writeln!(
            out,
            "{name}: samples left by {}",
            counts.collect::<Vec<_>>().join(", ")
        )?;
    }
    Ok(())
}

fn exit_counts(exits: &[i64]) -> Vec<usize> {
    let most = exits.iter().copied().max().unwrap_or(0).max(0);
    (0..=most)
        .map(|exit| exits.iter().filter(|&&e| e == exit).count())
        .collect()
}

fn arrivals(text: &str) -> Result<Arrivals, Diagnostic> {
    let fail = |message: String| {
        Diagnostic::error(Code::ARGUMENT, Loc::Unknown, message)
            .with_help("write `poisson:500`, `bursts:2000,0.1,0.3` or the name of a file of times")
    };
    if text.contains(':') {
        return Arrivals::parse(text).map_err(fail);
    }
    let path = PathBuf::from(text);
    let read = fs::read_to_string(&path).map_err(|error| files::cannot_read(&path, error))?;
    Arrivals::recorded(&read).map_err(|message| fail(format!("`{text}`: {message}")))
}

/// The extent that samples are along.
fn batch(signature: &Signature, most: u64) -> Result<Batch, Diagnostic> {
    let ty = signature
        .inputs
        .first()
        .and_then(|port| port.ty.as_tensor());
    match ty.and_then(|ty| ty.dims.first()) {
        Some(Dim::Sym(name)) => Ok(Batch {
            name: name.as_str().to_string(),
            most,
        }),
        _ => {
            let message = "the first input has no named leading extent, for samples";
            Err(Diagnostic::error(Code::SPEC, Loc::Unknown, message))
        }
    }
}

/// The inputs of single samples, and those that are the same for all.
fn inputs(
    args: &Args,
    signature: &Signature,
    batch: &Batch,
) -> Result<(Vec<Vec<Tensor>>, Vec<Tensor>), Diagnostics> {
    let arrays: BTreeMap<String, Tensor> = arrays::read_npz(&args.data)
        .map_err(|error| vec![error])?
        .into_iter()
        .collect();
    let (mut of_samples, mut shared) = (Vec::new(), Vec::new());
    for port in &signature.inputs {
        let Some(array) = arrays.get(&port.name) else {
            let message = format!("`{}` has no array `{}`", args.data.display(), port.name);
            return Err(vec![Diagnostic::error(Code::INPUT, Loc::Unknown, message)]);
        };
        let ty = port.ty.as_tensor();
        let array = array.cast(ty.map_or(array.elem(), |ty| ty.elem));
        let leading = ty.and_then(|ty| ty.dims.first());
        match matches!(leading, Some(Dim::Sym(name)) if name.as_str() == batch.name) {
            true => of_samples.push(array),
            false => shared.push(array),
        }
    }
    let count = of_samples.iter().map(|t| t.shape()[0]).min().unwrap_or(0);
    if count == 0 {
        let message = format!("`{}` has no samples", args.data.display());
        return Err(vec![Diagnostic::error(Code::INPUT, Loc::Unknown, message)]);
    }
    let one = |i: usize| of_samples.iter().map(|t| rows(t, i, 1)).collect();
    Ok(((0..count).map(one).collect(), shared))
}

fn executable(
    args: &Args,
    module: Module,
    workers: &Workers,
    cx: &mut Cx<'_>,
) -> Result<Box<dyn Executable>, Failure> {
    let target = args.target.target(cx)?;
    let compiled = args.target.compile(module, None, &[], cx)?;
    let options = LoadOptions {
        threads: threads(args.threads),
        workers: Some(workers.clone()),
        dynamic_bytes: cx.session.limits.memory,
        ..LoadOptions::default()
    };
    Ok(load_package(target, &compiled.package, &options)?)
}
