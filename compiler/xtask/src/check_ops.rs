//! `cargo xtask check-ops`: models of one operator each give ONNX Runtime's outputs on every target.
//!
//! The cases stand in `python/ops.py`: operators for which the standard has no node test that tells
//! enough, above all those of `com.microsoft`.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use serde::{Deserialize, Serialize};

use crate::python;
use crate::reference::{Reference, Settings, first_lines};
use crate::workspace::{self, Result};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only cases whose name holds this text.
    #[arg(default_value = "", value_name = "TEXT")]
    only: String,
    /// Targets to run on.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "reference,cpu",
        value_name = "NAME"
    )]
    targets: Vec<String>,
    /// A Python with numpy, onnx and onnxruntime; one is installed if absent.
    #[arg(long, value_name = "FILE")]
    python: Option<PathBuf>,
    /// Check this program; `lepid` is built if absent.
    #[arg(long, value_name = "FILE")]
    lepid: Option<PathBuf>,
    /// Write the results to a JSON file, too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl Options {
    /// What a plain `cargo xtask check-ops` checks.
    pub(crate) fn everything() -> Options {
        use clap::{Args, FromArgMatches};
        let matches =
            Options::augment_args(clap::Command::new("check-ops")).get_matches_from(["check-ops"]);
        Options::from_arg_matches(&matches).expect("every option has a default")
    }
}

/// A model of one node with inputs and outputs.
#[derive(Deserialize)]
struct Case {
    name: String,
    operator: String,
    rtol: f64,
    /// Outputs of whole numbers may differ by a step.
    atol: f64,
    /// Targets that have no code for it yet.
    pending: Vec<String>,
    #[serde(flatten)]
    reference: Reference,
}

/// One run of one case.
#[derive(Serialize)]
struct Outcome {
    case: String,
    operator: String,
    target: String,
    max_rel_error: Option<f64>,
    /// Why it does not pass.
    failure: Option<String>,
    /// The target refuses it, as is known.
    pending: bool,
}

impl Outcome {
    fn failed(&self) -> bool {
        self.failure.is_some() && !self.pending
    }
}

pub(crate) fn main(options: &Options) -> Result<ExitCode> {
    let lepid = workspace::lepid(options.lepid.as_deref())?;
    let python = match &options.python {
        Some(python) => python.clone(),
        None => python::packages(python::REQUIREMENTS)?,
    };
    let cases = make_cases(&python, &options.only)?;
    let mut outcomes = Vec::new();
    for case in &cases {
        for target in &options.targets {
            let outcome = check(&lepid, case, target);
            let listed = case.pending.contains(target);
            if outcome.failed() || (listed && !outcome.pending) {
                println!("{}", row(&outcome));
            }
            outcomes.push(outcome);
        }
    }
    summarise(options, &outcomes)
}

/// Asks ONNX Runtime for the outputs.
fn make_cases(python: &Path, only: &str) -> Result<Vec<Case>> {
    let out = workspace::target_dir().join("ops");
    let mut script = Command::new(python);
    script.arg(python::scripts().join("ops.py")).arg(&out);
    workspace::run(script.args(["--only", only]))?;
    workspace::read_json(&out.join("cases.json"))
}

fn check(lepid: &Path, case: &Case, target: &str) -> Outcome {
    let settings = Settings {
        target,
        threads: 2,
        rtol: case.rtol,
        atol: case.atol,
        flags: &["--verify-roundtrip"],
    };
    let (max_rel_error, failure) = match case.reference.compare(lepid, &settings) {
        Ok(found) => (Some(found.worst), None),
        Err(failure) => (None, Some(failure)),
    };
    Outcome {
        case: case.name.clone(),
        operator: case.operator.clone(),
        target: target.to_owned(),
        max_rel_error,
        pending: failure.as_ref().is_some_and(|f| f.contains(REFUSED))
            && case.pending.iter().any(|p| p == target),
        failure,
    }
}

/// The code of an op that a target has no code for.
const REFUSED: &str = "E0401";

fn row(outcome: &Outcome) -> String {
    let result = match (&outcome.failure, outcome.max_rel_error) {
        (Some(failure), _) => format!("FAILED: {}", first_lines(failure)),
        (None, error) => format!("passed, error {:.1e}", error.unwrap_or(0.0)),
    };
    format!("{:34} {:10} {result}", outcome.case, outcome.target)
}

fn summarise(options: &Options, outcomes: &[Outcome]) -> Result<ExitCode> {
    let failed = outcomes.iter().filter(|o| o.failed()).count();
    let pending = outcomes.iter().filter(|o| o.pending).count();
    let by_error = |a: &&Outcome, b: &&Outcome| {
        let error = |o: &Outcome| o.max_rel_error.unwrap_or(0.0);
        error(a).total_cmp(&error(b))
    };
    let passed = || outcomes.iter().filter(|o| o.failure.is_none());
    println!(
        "\n{} runs equal to ONNX Runtime, {failed} not, {pending} wait for code of their target",
        passed().count()
    );
    if let Some(worst) = passed().max_by(by_error) {
        println!("the largest error that passed:\n{}", row(worst));
    }
    if let Some(path) = &options.json {
        workspace::write_json(path, &outcomes)?;
    }
    // Without a case nothing has been shown.
    Ok(match failed == 0 && !outcomes.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}
