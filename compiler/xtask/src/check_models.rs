//! `cargo xtask check-models`: whole networks give ONNX Runtime's outputs, at each batch size and thread count, and the IR of every stage reads back from its text.
//!
//! Per output, the error is the largest difference over the largest magnitude of the reference.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use serde::Serialize;

use crate::models::Selection;
use crate::python;
use crate::reference::{Reference, Settings, first_lines};
use crate::workspace::{self, Result};

#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    selection: Selection,
    /// Batch sizes; the models are rewritten for those other than 1.
    #[arg(long, value_delimiter = ',', default_value = "1,4", value_name = "N")]
    batches: Vec<usize>,
    /// Thread counts.
    #[arg(long, value_delimiter = ',', default_value = "1,2", value_name = "N")]
    threads: Vec<usize>,
    /// The largest error that passes.
    #[arg(long, default_value_t = 1e-4, value_name = "BOUND")]
    rtol: f64,
    /// Check this program; `lepid` is built if absent.
    #[arg(long, value_name = "FILE")]
    lepid: Option<PathBuf>,
    /// Write the results to a JSON file, too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl Options {
    /// What a plain `cargo xtask check-models` checks.
    pub(crate) fn everything() -> Options {
        use clap::{Args, FromArgMatches};
        let matches = Options::augment_args(clap::Command::new("check-models"))
            .get_matches_from(["check-models"]);
        Options::from_arg_matches(&matches).expect("every option has a default")
    }
}

/// One run of one model.
#[derive(Serialize)]
struct Outcome {
    model: &'static str,
    batch: usize,
    threads: usize,
    seconds: f64,
    outputs: usize,
    max_rel_error: Option<f64>,
    /// Why it does not pass.
    failure: Option<String>,
}

pub(crate) fn main(options: &Options) -> Result<ExitCode> {
    let names = options.selection.names()?;
    let lepid = workspace::lepid(options.lepid.as_deref())?;
    let python = python::packages(python::REQUIREMENTS)?;
    let folder = options.selection.generate(&python)?;
    let mut outcomes = Vec::new();
    for name in names {
        for &batch in &options.batches {
            let reference = Reference::make(&python, &folder, name, batch)?;
            for &threads in &options.threads {
                let outcome = check(&lepid, options, &reference, (name, batch, threads));
                println!("{}", row(&outcome));
                outcomes.push(outcome);
            }
        }
    }
    summarise(options, &outcomes)
}

fn check(
    lepid: &Path,
    options: &Options,
    reference: &Reference,
    (model, batch, threads): (&'static str, usize, usize),
) -> Outcome {
    // The text of each stage depends on neither.
    let first =
        (Some(&batch), Some(&threads)) == (options.batches.first(), options.threads.first());
    let settings = Settings {
        target: "cpu",
        threads,
        rtol: options.rtol,
        atol: 0.0,
        flags: if first { &["--verify-roundtrip"] } else { &[] },
    };
    let start = Instant::now();
    let compared = reference.compare(lepid, &settings);
    let seconds = workspace::seconds_since(start);
    let mut outcome = Outcome {
        model,
        batch,
        threads,
        seconds,
        outputs: 0,
        max_rel_error: None,
        failure: None,
    };
    match compared {
        Err(failure) => outcome.failure = Some(failure),
        Ok(found) => {
            outcome.outputs = found.outputs;
            outcome.max_rel_error = Some(found.worst);
            let close = found.worst <= options.rtol;
            if found.native_ops == 0 || found.interpreted_ops != 0 {
                outcome.failure = Some(format!("{} ops are interpreted", found.interpreted_ops));
            } else if !close {
                outcome.failure = Some(format!("the error exceeds {}", options.rtol));
            }
        }
    }
    outcome
}

fn row(outcome: &Outcome) -> String {
    let error = match outcome.max_rel_error {
        Some(error) => format!("{error:.1e}"),
        None => "-".to_owned(),
    };
    let result = match &outcome.failure {
        Some(failure) => format!("FAILED: {}", first_lines(failure)),
        None => "passed".to_owned(),
    };
    format!(
        "{:20} {:>5} {:>7} {:>7} {error:>9} {:>7.2}  {result}",
        outcome.model, outcome.batch, outcome.threads, outcome.outputs, outcome.seconds
    )
}

fn summarise(options: &Options, outcomes: &[Outcome]) -> Result<ExitCode> {
    println!(
        "\n{:20} {:>5} {:>7} {:>7} {:>9} {:>7}  result",
        "model", "batch", "threads", "outputs", "error", "seconds"
    );
    for outcome in outcomes {
        println!("{}", row(outcome));
    }
    let failed = outcomes.iter().filter(|o| o.failure.is_some()).count();
    println!(
        "\n{} runs equal to ONNX Runtime within {}, {failed} not",
        outcomes.len() - failed,
        options.rtol
    );
    if let Some(path) = &options.json {
        workspace::write_json(path, &outcomes)?;
    }
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_what_ci_checks() {
        let options = Options::everything();
        assert_eq!(options.batches, [1, 4]);
        assert_eq!(options.threads, [1, 2]);
    }
}
