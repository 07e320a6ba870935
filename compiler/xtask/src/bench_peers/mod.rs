//! `cargo xtask bench-peers`: lepid beside other engines on the same machine, in the same minutes.
//!
//! For one model and thread count, the engines are timed in turns (`turns`). Each turn is preceded by a measurement of the machine's multiply-add peak.

mod peers;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;

use serde::Deserialize;

use crate::models::Selection;
use crate::python;
use crate::reference::{Reference, relative_error};
use crate::turns::worker::Worker;
use crate::turns::{Contestant, Turns, median};
use crate::workspace::{self, Result};

use peers::{Engine, Peers};
use report::{Group, Measurement};

#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    turns: Turns,
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

pub(crate) fn main(options: &Options) -> Result<ExitCode> {
    let names = options.selection.names()?;
    let python = python::packages(python::REQUIREMENTS)?;
    let peers = Peers::install(&options.peers, &python, options.lepid.as_deref())?;
    let folder = options.selection.generate(&python)?;
    let mut groups = Vec::new();
    for name in names {
        let reference = Reference::make(&python, &folder, name, 1)?;
        let description: Description = workspace::read_json(&folder.join(format!("{name}.json")))?;
        for &threads in &options.turns.threads {
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
        match Contestant::start(engine, engine.name(), &mut command) {
            Ok(contestant) => contestants.push(contestant),
            Err(error) => group.fail(engine, error),
        }
    }
    let mut peaks = Vec::new();
    let mut measure_peak = || {
        peaks.extend(peak.ask(&format!("run {threads}"), "P")?);
        Ok(())
    };
    let turns = &options.turns;
    let outcome = turns.play((model, threads), &mut contestants, &mut measure_peak);
    group.peak_gflops = median(&peaks);
    group.disturbed_rounds = outcome.disturbed_rounds;
    for (engine, error) in outcome.failures {
        group.fail(engine, error);
    }
    for contestant in contestants {
        let engine = contestant.key;
        match finish(contestant, reference) {
            Ok(measurement) => group.engines.push(measurement),
            Err(error) => group.fail(engine, error),
        }
    }
    Ok(group)
}

fn finish(mut contestant: Contestant<Engine>, reference: &Reference) -> Result<Measurement> {
    let output = contestant.worker.ask("out", "O")?;
    let memory = contestant.worker.ask("mem", "M")?;
    let times = contestant.times();
    Ok(Measurement {
        engine: contestant.key,
        median_ms: times.median,
        p10_ms: times.p10,
        min_ms: times.min,
        runs: times.runs,
        clean_rounds: times.clean_rounds,
        load_seconds: contestant.worker.load_seconds,
        peak_memory_mb: memory.last().copied().unwrap_or(f64::NAN) / 1024.0,
        error: relative_error(&output, &reference.first_output),
    })
}
