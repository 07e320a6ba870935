//! `cargo xtask bench-peers`: lepid beside other engines on the same machine, in the same minutes.
//!
//! For one model and thread count, every engine is a process of its own, all live at once, and they are timed in turns. Each turn is preceded by a measurement of the machine's multiply-add peak, and repeated where other processes took too much of the machine. Ratios from one such run can be compared; times from different runs cannot.

mod foreign_load;
mod peers;
mod report;
mod worker;

use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;

use crate::models::Selection;
use crate::python;
use crate::reference::Reference;
use crate::workspace::{self, Result};

use foreign_load::Watch;
use peers::{Engine, Peers};
use report::{Group, Measurement};
use worker::Worker;

#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    selection: Selection,
    /// Thread counts.
    #[arg(long, value_delimiter = ',', default_value = "1", value_name = "N")]
    threads: Vec<usize>,
    /// Undisturbed rounds per engine.
    #[arg(long, default_value_t = 5, value_name = "N")]
    rounds: usize,
    /// Seconds that an engine runs in each round.
    #[arg(long, default_value_t = 0.4, value_name = "SECONDS")]
    secs: f64,
    /// The engines to compare with. The first use of one installs it under target/; tract and rten take long to build.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "tract,rten,ort,ov",
        value_name = "NAME"
    )]
    peers: Vec<Engine>,
    /// Time this program; `lepid` is built if absent.
    #[arg(long, value_name = "FILE")]
    lepid: Option<PathBuf>,
    /// Write every measurement to a JSON file, too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What the generator tells about a model.
#[derive(Deserialize)]
struct Description {
    flops: f64,
}

/// More cores than this in other hands make a round worthless.
const MOST_FOREIGN_CORES: f64 = 0.25;

/// The most inferences of one engine in one round.
const MOST_RUNS: usize = 400;

pub(crate) fn main(options: &Options) -> Result<ExitCode> {
    let names = options.selection.names()?;
    let python = python::packages(python::REQUIREMENTS)?;
    let peers = Peers::install(&options.peers, &python, options.lepid.as_deref())?;
    let folder = options.selection.generate(&python)?;
    let mut groups = Vec::new();
    for name in names {
        let reference = Reference::make(&python, &folder, name, 1)?;
        let description: Description = workspace::read_json(&folder.join(format!("{name}.json")))?;
        for &threads in &options.threads {
            let group = measure(
                options,
                &peers,
                &reference,
                (name, threads, description.flops),
            )?;
            report::print_group(&group);
            groups.push(group);
            if let Some(path) = &options.json {
                workspace::write_json(path, &groups)?;
            }
        }
    }
    report::print_markdown(&groups);
    let failed = groups.iter().any(|group| group.of(Engine::Lepid).is_none());
    Ok(if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// Times all engines on one model at one thread count.
fn measure(
    options: &Options,
    peers: &Peers,
    reference: &Reference,
    (model, threads, flops): (&'static str, usize, f64),
) -> Result<Group> {
    let mut group = Group {
        model,
        threads,
        flops,
        peak_gflops: 0.0,
        disturbed_rounds: 0,
        engines: Vec::new(),
        failures: Vec::new(),
    };
    let mut peak = Worker::start("peak", &mut peers.peak())?;
    let mut contestants = Vec::new();
    for engine in peers.engines() {
        let mut command = peers.command(engine, reference, threads);
        match Worker::start(engine.name(), &mut command).and_then(Contestant::warm_up) {
            Ok(contestant) => contestants.push((engine, contestant)),
            Err(error) => group.fail(engine, error),
        }
    }
    let mut peaks = Vec::new();
    let bar = progress(model, threads, options.rounds);
    // Disturbed rounds are repeated, but not for ever.
    for _ in 0..2 * options.rounds {
        if contestants
            .iter()
            .all(|(_, c)| c.clean.len() >= options.rounds)
        {
            break;
        }
        contestants.retain_mut(|(engine, contestant)| {
            if contestant.clean.len() >= options.rounds {
                return true;
            }
            bar.set_message(engine.name());
            rest(threads);
            let turn = peak
                .ask(&format!("run {threads}"), "P")
                .and_then(|answer| contestant.turn(options).map(|calm| (answer, calm)));
            match turn {
                Ok((answer, calm)) => {
                    peaks.extend(answer);
                    group.disturbed_rounds += usize::from(!calm);
                    true
                }
                Err(error) => {
                    group.fail(*engine, error);
                    false
                }
            }
        });
        bar.inc(1);
    }
    bar.finish_and_clear();
    group.peak_gflops = report::median(&peaks);
    for (engine, contestant) in contestants {
        match contestant.finish(engine, reference) {
            Ok(measurement) => group.engines.push(measurement),
            Err(error) => group.fail(engine, error),
        }
    }
    Ok(group)
}

/// Lets the threads of the engine before go to sleep; some spin for a while.
fn rest(threads: usize) {
    let milliseconds = if threads == 1 { 30 } else { 300 };
    thread::sleep(Duration::from_millis(milliseconds));
}

fn progress(model: &str, threads: usize, rounds: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix} {bar:30} {pos}/{len} {msg}");
    let bar = ProgressBar::new(rounds as u64);
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar.set_prefix(format!("{model}, threads: {threads}"));
    bar
}

/// An engine with a loaded model, and its times so far, in milliseconds by round.
struct Contestant {
    worker: Worker,
    clean: Vec<Vec<f64>>,
    disturbed: Vec<Vec<f64>>,
}

impl Contestant {
    fn warm_up(mut worker: Worker) -> Result<Contestant> {
        worker.ask("run 0.2 3", "T")?;
        Ok(Contestant {
            worker,
            clean: Vec::new(),
            disturbed: Vec::new(),
        })
    }

    /// Runs one round; says whether the machine was calm.
    fn turn(&mut self, options: &Options) -> Result<bool> {
        let watch = Watch::start(self.worker.id());
        let times = self
            .worker
            .ask(&format!("run {} {MOST_RUNS}", options.secs), "T")?;
        if times.is_empty() {
            return Err("a round without a run".to_owned());
        }
        let calm = watch.foreign_cores() < MOST_FOREIGN_CORES;
        let rounds = if calm {
            &mut self.clean
        } else {
            &mut self.disturbed
        };
        rounds.push(times);
        Ok(calm)
    }

    fn finish(mut self, engine: Engine, reference: &Reference) -> Result<Measurement> {
        let output = self.worker.ask("out", "O")?;
        let memory = self.worker.ask("mem", "M")?;
        // On a machine that was never calm, disturbed times are better than none.
        let rounds = if self.clean.is_empty() {
            &self.disturbed
        } else {
            &self.clean
        };
        let mut times: Vec<f64> = rounds.iter().flatten().copied().collect();
        times.sort_by(f64::total_cmp);
        let fastest = self.clean.iter().chain(&self.disturbed).flatten();
        Ok(Measurement {
            engine,
            median_ms: report::median(&times),
            p10_ms: times[times.len() / 10],
            min_ms: fastest.copied().fold(f64::INFINITY, f64::min),
            runs: times.len(),
            clean_rounds: self.clean.len(),
            load_seconds: self.worker.load_seconds,
            peak_memory_mb: memory.last().copied().unwrap_or(f64::NAN) / 1024.0,
            error: report::relative_error(&output, &reference.first_output),
        })
    }
}
