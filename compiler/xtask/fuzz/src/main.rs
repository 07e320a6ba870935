//! Fuzzes what reads users' files and what runs their models: whatever comes in, nothing panics,
//! nothing takes memory or time without bound, and the CPU target computes what the interpreter
//! does.
//!
//! Fuzzers of our own, because cargo-fuzz and its libFuzzer need a nightly compiler, which the
//! project does not ask for: they mutate with knowledge of the formats, and without coverage. A
//! crate apart from xtask, because xtask has to build when the compiler does not. The same seed
//! makes the same inputs on any machine with any number of processes.
//!
//! Begin with `subject.rs`, which says what a fuzzer is; then `campaign.rs`.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool prints"
)]

mod campaign;
mod files;
mod onnx;
mod random;
mod run;
mod subject;
mod text;
mod worker;

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

use clap::{Parser, ValueEnum};

use subject::{Subject, Verdict};
use worker::Task;

/// Tries inputs that nobody thought of.
#[derive(Parser)]
#[command(name = "cargo xtask fuzz", bin_name = "cargo xtask fuzz")]
struct Arguments {
    /// What to try.
    subject: Name,
    /// How many inputs to try.
    #[arg(long, default_value_t = 100_000, value_name = "N")]
    runs: usize,
    /// The same seed makes the same inputs.
    #[arg(long, default_value_t = 0, value_name = "NUMBER")]
    seed: u64,
    /// Where failing inputs are written.
    #[arg(long, default_value = "target/fuzz", value_name = "FOLDER")]
    out: PathBuf,
    /// Folders with inputs to begin with.
    #[arg(long, value_delimiter = ',', value_name = "FOLDER")]
    corpus: Vec<PathBuf>,
    /// Processes at a time [default: one for each core].
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// Address space that a process may take, in MiB.
    #[arg(long, default_value_t = 2048, value_name = "MIB")]
    memory: usize,
    /// Seconds that one input may take.
    #[arg(long, default_value_t = 20, value_name = "SECONDS")]
    patience: u64,
    /// Try one file again, and say why it fails.
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,
    /// For processes of a campaign: the first run and their number.
    #[arg(long, hide = true, value_name = "FIRST:COUNT")]
    work: Option<String>,
    /// For processes of a campaign: the file of the input under trial.
    #[arg(long, hide = true, default_value = "current")]
    current: PathBuf,
}

#[derive(Copy, Clone, ValueEnum)]
enum Name {
    Onnx,
    Run,
    Text,
}

impl Arguments {
    fn jobs(&self) -> usize {
        let cores = || thread::available_parallelism().map_or(1, NonZeroUsize::get);
        self.jobs.unwrap_or_else(cores).max(1)
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match arguments.subject {
        Name::Onnx => onnx::Onnx::new(&arguments.corpus, &arguments.out)
            .and_then(|subject| start(subject, &arguments)),
        Name::Run => start(run::Run::new(), &arguments),
        Name::Text => {
            text::Text::new(&arguments.corpus).and_then(|subject| start(subject, &arguments))
        }
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

fn start<S: Subject>(mut subject: S, arguments: &Arguments) -> Result<ExitCode, String> {
    if let Some(path) = &arguments.replay {
        return replay(&subject, path, arguments.patience);
    }
    let Some(work) = &arguments.work else {
        return campaign::run(&subject, arguments);
    };
    let parts = work.split_once(':');
    let numbers = parts.and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
    let (first, count) = numbers.ok_or("`--work` takes FIRST:COUNT")?;
    subject::silence_panics();
    let task = Task {
        seed: arguments.seed,
        first,
        count,
        current: &arguments.current,
        out: &arguments.out,
        patience: arguments.patience,
    };
    worker::work(&mut subject, &task)
}

fn replay<S: Subject>(subject: &S, path: &Path, patience: u64) -> Result<ExitCode, String> {
    worker::watch(Arc::default(), patience);
    let input = fs::read(path).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
    subject::silence_panics();
    Ok(match subject::examine(subject, &input) {
        Verdict::Accepted => {
            println!("accepted");
            ExitCode::SUCCESS
        }
        Verdict::Rejected(class) => {
            println!("rejected: {class}");
            ExitCode::SUCCESS
        }
        Verdict::Failed(reason) => {
            println!("failed: {}", reason.replace('\n', " "));
            ExitCode::FAILURE
        }
    })
}
