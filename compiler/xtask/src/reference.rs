//! What a model is checked against: inputs, and ONNX Runtime's outputs for them; and the check itself.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use crate::models;
use crate::python;
use crate::workspace::{self, Result};

/// What the Python script wrote about one model at one batch size.
#[derive(Deserialize)]
pub(crate) struct Reference {
    pub(crate) model: PathBuf,
    pub(crate) inputs: Vec<InputFile>,
    /// The file of all outputs by name.
    pub(crate) reference: PathBuf,
    /// The first values of the first output, of whole networks.
    #[serde(default)]
    pub(crate) first_output: Vec<f64>,
}

/// How a model is run.
pub(crate) struct Settings<'a> {
    pub(crate) target: &'a str,
    pub(crate) threads: usize,
    /// The largest error that passes, as a share of the largest magnitude.
    pub(crate) rtol: f64,
    /// What may be missing besides.
    pub(crate) atol: f64,
    /// Further arguments of `lepid run`.
    pub(crate) flags: &'a [&'a str],
}

/// How far the outputs of one run are from the reference.
pub(crate) struct Comparison {
    pub(crate) outputs: usize,
    /// Per output, the largest difference over the largest magnitude of the reference; of these,
    /// the largest.
    pub(crate) worst: f64,
    pub(crate) native_ops: usize,
    pub(crate) interpreted_ops: usize,
}

/// What `lepid run --compare --json` prints.
#[derive(Deserialize)]
struct RunReport {
    native_ops: usize,
    interpreted_ops: usize,
    compare: Vec<OutputError>,
}

#[derive(Deserialize)]
struct OutputError {
    max_rel_error: f64,
}

#[derive(Deserialize)]
pub(crate) struct InputFile {
    name: String,
    file: PathBuf,
}

impl Reference {
    /// Asks ONNX Runtime for the outputs, unless it was asked before.
    pub(crate) fn make(
        python: &Path,
        folder: &Path,
        name: &str,
        batch: usize,
    ) -> Result<Reference> {
        let out = folder
            .join("reference")
            .join(format!("{name}-batch{batch}"));
        let manifest = out.join("manifest.json");
        if !manifest.exists() {
            let mut script = Command::new(python);
            script.arg(python::scripts().join("reference.py"));
            script.arg(models::model_file(folder, name)).arg(&out);
            workspace::run(script.args(["--batch", &batch.to_string()]))?;
        }
        workspace::read_json(&manifest)
    }

    /// Runs the model with `lepid` and compares all outputs.
    pub(crate) fn compare(&self, lepid: &Path, settings: &Settings<'_>) -> Result<Comparison> {
        let mut run = Command::new(lepid);
        run.arg("run").arg(&self.model);
        self.add_inputs(&mut run);
        run.arg("--compare").arg(&self.reference);
        run.args(["--rtol", &settings.rtol.to_string()]);
        run.args(["--atol", &settings.atol.to_string()]);
        run.args(["--threads", &settings.threads.to_string()]);
        run.args(["--target", settings.target, "--json"]);
        run.args(settings.flags);
        let printed = workspace::capture(&mut run)?;
        let report: RunReport = serde_json::from_str(&printed)
            .map_err(|error| format!("cannot read what `lepid run --json` printed: {error}"))?;
        let errors = report.compare.iter().map(|output| output.max_rel_error);
        // `max` would drop a NaN.
        let worst = errors.fold(0.0, |a: f64, b| if b.is_nan() || b > a { b } else { a });
        match report.compare.len() {
            0 => Err("no output was compared".to_owned()),
            outputs => Ok(Comparison {
                outputs,
                worst,
                native_ops: report.native_ops,
                interpreted_ops: report.interpreted_ops,
            }),
        }
    }

    /// Adds `--input NAME=FILE` for every input.
    pub(crate) fn add_inputs(&self, command: &mut Command) {
        for input in &self.inputs {
            command.arg("--input");
            command.arg(format!("{}={}", input.name, input.file.display()));
        }
    }
}

/// The largest difference over the largest magnitude; NaN if the lengths differ or a value is NaN.
pub(crate) fn relative_error(output: &[f64], reference: &[f64]) -> f64 {
    if output.len() != reference.len() || output.iter().any(|value| value.is_nan()) {
        return f64::NAN;
    }
    let pairs = output.iter().zip(reference);
    let difference = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    let magnitude = reference
        .iter()
        .map(|value| value.abs())
        .fold(0.0, f64::max);
    difference / magnitude.max(f64::MIN_POSITIVE)
}

/// The start of a message, for a table; the command line before it is long and known.
pub(crate) fn first_lines(message: &str) -> String {
    let lines = message.lines().filter(|line| !line.starts_with('`'));
    let line = lines.map(str::trim).find(|line| !line.is_empty());
    line.unwrap_or(message).chars().take(160).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_relative_and_never_hide_a_nan() {
        assert_eq!(relative_error(&[1.0, 2.5], &[1.0, 2.0]), 0.25);
        assert!(relative_error(&[1.0, f64::NAN], &[1.0, 2.0]).is_nan());
        assert!(relative_error(&[1.0], &[1.0, 2.0]).is_nan());
    }

    #[test]
    fn the_message_counts_not_the_command() {
        let message =
            "`lepid run x` failed (exit status: 1)\nerror[E0601]: op `Foo` is not supported\n";
        assert_eq!(
            first_lines(message),
            "error[E0601]: op `Foo` is not supported"
        );
    }
}
