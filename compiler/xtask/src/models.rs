//! The benchmark models: whole networks with seeded weights, generated once under `target/models`.
//!
//! The script that makes them lies beside the checkout, in a folder shared by several, because it is not part of the compiler.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::workspace::{self, Result};

/// The models that must be right and fast, by name.
pub(crate) const MODELS: &[&str] = &[
    "light_bvlc_alexnet",
    "light_densenet121",
    "light_inception_v1",
    "light_inception_v2",
    "light_resnet50",
    "light_shufflenet",
    "light_squeezenet",
    "light_vgg19",
    "light_zfnet512",
    "mobilenetv2",
    "bert4",
    "lstm512",
    "gpt2_decode",
];

/// Which models a chore takes.
#[derive(clap::Args)]
pub(crate) struct Selection {
    /// Models by name, all if absent; `resnet50` is short for `light_resnet50`.
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    models: Vec<String>,
    /// The shared folder that holds bench/make_models.py [env: LEPID_SHARED; default: ../shared]
    #[arg(long, value_name = "FOLDER")]
    shared: Option<PathBuf>,
}

impl Selection {
    /// The selected names, in the order of the table.
    pub(crate) fn names(&self) -> Result<Vec<&'static str>> {
        let means = |wanted: &str, name: &str| {
            name == wanted || name.strip_prefix("light_") == Some(wanted)
        };
        for wanted in &self.models {
            if !MODELS.iter().any(|name| means(wanted, name)) {
                return Err(format!(
                    "no model `{wanted}`; there are {}",
                    MODELS.join(", ")
                ));
            }
        }
        let selected = |name: &&&str| {
            self.models.is_empty() || self.models.iter().any(|wanted| means(wanted, name))
        };
        Ok(MODELS.iter().filter(selected).copied().collect())
    }

    /// Makes the models that are not there yet and returns the folder that holds them.
    pub(crate) fn generate(&self, python: &Path) -> Result<PathBuf> {
        let folder = workspace::target_dir().join("models");
        fs::create_dir_all(&folder)
            .map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
        for name in self.names()? {
            // The script writes the description last.
            let described = folder.join(format!("{name}.json")).exists();
            if described && model_file(&folder, name).exists() {
                continue;
            }
            let script = self.script()?;
            let mut make = Command::new(python);
            make.arg(script).arg(&folder).args(["--only", name]);
            workspace::run(&mut make)?;
        }
        Ok(folder)
    }

    fn script(&self) -> Result<PathBuf> {
        let shared = shared_folder(self.shared.as_deref());
        let script = shared.join("bench").join("make_models.py");
        if script.exists() {
            return Ok(script);
        }
        Err(format!(
            "the script that makes the models is not there: {}\nhelp: name its folder with --shared or LEPID_SHARED",
            script.display()
        ))
    }
}

/// The file of a model in the folder of models.
pub(crate) fn model_file(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.onnx"))
}

/// Whether models can be made on this machine.
pub(crate) fn can_generate() -> bool {
    shared_folder(None).join("bench/make_models.py").exists()
}

/// The folder that lies beside the checkout: what is given, what the environment says, or `../shared`.
pub(crate) fn shared_folder(given: Option<&Path>) -> PathBuf {
    match (given, env::var_os("LEPID_SHARED")) {
        (Some(given), _) => given.to_owned(),
        (None, Some(variable)) => PathBuf::from(variable),
        (None, None) => workspace::root().join("../shared"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn select(models: &[&str]) -> Result<Vec<&'static str>> {
        let models = models.iter().map(|&name| name.to_owned()).collect();
        Selection {
            models,
            shared: None,
        }
        .names()
    }

    #[test]
    fn names_are_found_with_and_without_their_prefix() {
        assert_eq!(
            select(&["bert4", "resnet50"]).unwrap(),
            ["light_resnet50", "bert4"]
        );
        assert_eq!(select(&[]).unwrap().len(), MODELS.len());
        assert!(
            select(&["resnet51"])
                .unwrap_err()
                .contains("light_resnet50")
        );
    }
}
