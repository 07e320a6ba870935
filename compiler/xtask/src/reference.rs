//! What a model is checked against: inputs, and ONNX Runtime's outputs for them, made once per batch size.

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
    /// The first values of the first output.
    pub(crate) first_output: Vec<f64>,
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

    /// Adds `--input NAME=FILE` for every input.
    pub(crate) fn add_inputs(&self, command: &mut Command) {
        for input in &self.inputs {
            command.arg("--input");
            command.arg(format!("{}={}", input.name, input.file.display()));
        }
    }
}
