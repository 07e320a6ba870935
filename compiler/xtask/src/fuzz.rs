//! `cargo xtask fuzz`: builds and starts the fuzzers, which are a crate of their own because they need the compiler.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use crate::workspace::{self, Result};

#[derive(clap::Subcommand)]
pub(crate) enum Subject {
    /// The ONNX front end: damaged models give diagnostics or valid modules, whatever was damaged.
    Onnx(Options),
    /// Random networks: what the CPU target computes is what the interpreter computes.
    Run(Options),
    /// The parser of the IR text: it must not panic, and what parses must keep the round-trip law.
    Text(Options),
}

#[derive(clap::Args)]
pub(crate) struct Options {
    /// How many inputs to try.
    #[arg(long, default_value_t = 100_000, value_name = "N")]
    runs: usize,
    /// The same seed makes the same inputs.
    #[arg(long, default_value_t = 0, value_name = "NUMBER")]
    seed: u64,
    /// Processes at a time [default: one for each core].
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// Folders with more inputs to begin with, such as those of the node tests of ONNX.
    #[arg(long, value_delimiter = ',', value_name = "FOLDER")]
    corpus: Vec<PathBuf>,
    /// Try one file again, and say why it fails.
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,
}

impl Subject {
    fn options(&self) -> &Options {
        match self {
            Subject::Onnx(options) | Subject::Run(options) | Subject::Text(options) => options,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Subject::Onnx(_) => "onnx",
            Subject::Run(_) => "run",
            Subject::Text(_) => "text",
        }
    }

    /// Folders with inputs to begin with.
    fn corpus(&self) -> &'static [&'static str] {
        match self {
            Subject::Onnx(_) => &["examples"],
            Subject::Run(_) => &[],
            Subject::Text(_) => &["ir/tests", "lit-tests", "passes/tests"],
        }
    }
}

pub(crate) fn main(subject: &Subject) -> Result<ExitCode> {
    let options = subject.options();
    let mut command = start(subject.name());
    command.args(["--runs", &options.runs.to_string()]);
    command.args(["--seed", &options.seed.to_string()]);
    if let Some(jobs) = options.jobs {
        command.args(["--jobs", &jobs.to_string()]);
    }
    let own = subject.corpus().iter().map(PathBuf::from);
    let own = own.filter(|folder| workspace::root().join(folder).is_dir());
    for folder in own.chain(options.corpus.iter().cloned()) {
        command.arg("--corpus").arg(folder);
    }
    if let Some(file) = &options.replay {
        command.arg("--replay").arg(file);
    }
    let status = command
        .status()
        .map_err(|error| format!("cannot run cargo: {error}"))?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// What CI replays in a few seconds: the same inputs each time.
pub(crate) fn replay() -> Result<()> {
    for (name, runs) in [("onnx", "20000"), ("run", "500"), ("text", "20000")] {
        workspace::run(start(name).args(["--runs", runs]))?;
    }
    Ok(())
}

fn start(name: &str) -> Command {
    let mut command = workspace::cargo();
    command.args(["run", "--release", "--quiet"]);
    command.args(["--package", "lepid-fuzz", "--", name]);
    command
        .arg("--out")
        .arg(workspace::target_dir().join("fuzz"));
    command
}
