//! Fuzzes the parser of the IR text: it never panics, and what parses keeps the round-trip law.
//!
//! A crate apart from xtask, because xtask has to build when the compiler does not. It knows the IR only. The same seed makes the same inputs on any machine and any number of threads.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool prints"
)]

mod corpus;
mod mutate;
mod random;
mod subject;

use std::fs;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};

use corpus::Corpus;
use random::Random;
use subject::Verdict;

/// Fuzzes the parser of the IR text with mutated inputs.
#[derive(Parser)]
#[command(name = "cargo xtask fuzz text", bin_name = "cargo xtask fuzz text")]
struct Arguments {
    /// How many inputs to try.
    #[arg(long, default_value_t = 100_000, value_name = "N")]
    runs: usize,
    /// The same seed makes the same inputs.
    #[arg(long, default_value_t = 0, value_name = "NUMBER")]
    seed: u64,
    /// Where failing inputs are written.
    #[arg(long, default_value = "target/fuzz", value_name = "FOLDER")]
    out: PathBuf,
    /// Folders with inputs to begin with; every *.lir below counts.
    #[arg(long, value_delimiter = ',', value_name = "FOLDER")]
    corpus: Vec<PathBuf>,
}

/// Inputs between two growths of the corpus.
const GENERATION: usize = 8192;

fn main() -> ExitCode {
    match fuzz(&Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

fn fuzz(arguments: &Arguments) -> Result<ExitCode, String> {
    let mut corpus = Corpus::read(&arguments.corpus)?;
    println!(
        "seed {}, {} runs, {} inputs to begin with",
        arguments.seed,
        arguments.runs,
        corpus.len()
    );
    subject::silence_panics();
    let bar = progress(arguments.runs);
    let start = Instant::now();
    let mut tally = Tally::default();
    while tally.runs < arguments.runs {
        let first = tally.runs;
        let count = GENERATION.min(arguments.runs - first);
        for outcome in generation(&corpus, arguments.seed, first, count) {
            tally.runs += 1;
            match outcome.verdict {
                Verdict::Rejected => {}
                Verdict::Accepted => {
                    tally.accepted += 1;
                    corpus.learn(outcome.input, &mut Random::new(arguments.seed, outcome.run));
                }
                Verdict::Failed(reason) => {
                    let path = save(arguments, outcome.run, &outcome.input)?;
                    bar.suspend(|| println!("run {}: {reason}\n  {}", outcome.run, path.display()));
                    tally.failed += 1;
                }
            }
        }
        bar.set_position(tally.runs as u64);
        if tally.failed >= MOST_FAILURES {
            bar.suspend(|| println!("stopped after {MOST_FAILURES} failures"));
            break;
        }
    }
    bar.finish_and_clear();
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{} runs in {seconds:.1} s ({:.0} a second): {} accepted and printed back, {} failed",
        tally.runs,
        tally.runs as f64 / seconds,
        tally.accepted,
        tally.failed
    );
    Ok(if tally.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// More failures than this are one failure, many times.
const MOST_FAILURES: usize = 20;

#[derive(Default)]
struct Tally {
    runs: usize,
    accepted: usize,
    failed: usize,
}

struct Outcome {
    run: usize,
    input: String,
    verdict: Verdict,
}

/// Tries inputs `first..first + count`, in order of their numbers whatever thread tried them.
fn generation(corpus: &Corpus, seed: u64, first: usize, count: usize) -> Vec<Outcome> {
    let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let share = count.div_ceil(threads);
    let attempt = |run: usize| {
        let mut random = Random::new(seed, run);
        let input = mutate::mutate(corpus, &mut random);
        let verdict = subject::examine(&input);
        Outcome {
            run,
            input,
            verdict,
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (first..first + count)
            .step_by(share.max(1))
            .map(|begin| {
                let end = (begin + share).min(first + count);
                scope.spawn(move || (begin..end).map(attempt).collect::<Vec<_>>())
            })
            .collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().expect("panics are caught inside"))
            .collect()
    })
}

fn save(arguments: &Arguments, run: usize, input: &str) -> Result<PathBuf, String> {
    let path = arguments
        .out
        .join(format!("text-{}-{run}.lir", arguments.seed));
    let written = fs::create_dir_all(&arguments.out).and_then(|()| fs::write(&path, input));
    written.map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    Ok(path)
}

fn progress(runs: usize) -> ProgressBar {
    let bar = ProgressBar::new(runs as u64);
    let template = "{bar:40} {human_pos} of {human_len} runs, {per_sec}, {eta} left";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(500));
    bar
}
