//! `cargo xtask fuzz`: builds and starts the fuzzer, which is a crate of its own because it needs the compiler.

use std::path::Path;
use std::process::ExitCode;

use crate::workspace::{self, Result};

#[derive(clap::Subcommand)]
pub(crate) enum Subject {
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
}

/// Folders with IR text to begin with.
const CORPUS: &[&str] = &["ir/tests", "lit-tests", "passes/tests"];

pub(crate) fn main(subject: &Subject) -> Result<ExitCode> {
    let Subject::Text(options) = subject;
    let root = workspace::root();
    let corpus: Vec<_> = CORPUS
        .iter()
        .map(Path::new)
        .filter(|folder| root.join(folder).is_dir())
        .collect();
    let corpus: Vec<_> = corpus
        .iter()
        .map(|folder| folder.to_string_lossy())
        .collect();
    let mut run = workspace::cargo();
    run.args([
        "run",
        "--release",
        "--quiet",
        "--package",
        "lepid-fuzz",
        "--",
    ]);
    run.args(["--runs", &options.runs.to_string()]);
    run.args(["--seed", &options.seed.to_string()]);
    run.args(["--corpus", &corpus.join(",")]);
    run.arg("--out").arg(workspace::target_dir().join("fuzz"));
    let status = run
        .status()
        .map_err(|error| format!("cannot run cargo: {error}"))?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
