//! The engines: how each is installed and started.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Serialize;

use crate::python;
use crate::reference::Reference;
use crate::workspace::{self, Result};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(super) enum Engine {
    #[value(skip)]
    Lepid,
    /// tract, in Rust
    Tract,
    /// rten, in Rust
    Rten,
    /// ONNX Runtime
    Ort,
    /// OpenVINO
    Ov,
}

impl Engine {
    pub(super) fn name(self) -> &'static str {
        match self {
            Engine::Lepid => "lepid",
            Engine::Tract => "tract",
            Engine::Rten => "rten",
            Engine::Ort => "ort",
            Engine::Ov => "ov",
        }
    }
}

/// The installed engines.
pub(super) struct Peers {
    lepid: PathBuf,
    python: PathBuf,
    /// The folder of the workers in Rust.
    workers: PathBuf,
    engines: Vec<Engine>,
}

impl Peers {
    pub(super) fn install(
        engines: &[Engine],
        python: &Path,
        lepid: Option<&Path>,
    ) -> Result<Peers> {
        if engines.contains(&Engine::Ov) {
            python::packages(python::PEER_REQUIREMENTS)?;
        }
        Ok(Peers {
            lepid: workspace::lepid(lepid)?,
            python: python.to_owned(),
            workers: build_workers(engines)?,
            engines: [&[Engine::Lepid], engines].concat(),
        })
    }

    pub(super) fn engines(&self) -> impl Iterator<Item = Engine> {
        self.engines.iter().copied()
    }

    /// The worker that measures the machine.
    pub(super) fn peak(&self) -> Command {
        Command::new(self.workers.join(workspace::executable("peak")))
    }

    /// The worker of an engine for one model.
    pub(super) fn command(&self, engine: Engine, reference: &Reference, threads: usize) -> Command {
        let rust = |name| Command::new(self.workers.join(workspace::executable(name)));
        let script = |name| {
            let mut command = Command::new(&self.python);
            command.arg(python::scripts().join("worker.py")).arg(name);
            command
        };
        let mut command = match engine {
            Engine::Lepid => {
                let mut command = Command::new(&self.lepid);
                command.args(["bench", "--worker"]);
                command
            }
            Engine::Tract => rust("tract-worker"),
            Engine::Rten => rust("rten-worker"),
            Engine::Ort | Engine::Ov => script(engine.name()),
        };
        let count = threads.to_string();
        command.arg(&reference.model).args(["--threads", &count]);
        reference.add_inputs(&mut command);
        for variable in ["OMP_NUM_THREADS", "RAYON_NUM_THREADS", "MKL_NUM_THREADS"] {
            command.env(variable, &count);
        }
        command
    }
}

/// Builds the workers in Rust, with those engines only that are asked for.
fn build_workers(engines: &[Engine]) -> Result<PathBuf> {
    let target = workspace::target_dir().join("peers");
    let features: Vec<&str> = engines
        .iter()
        .filter(|engine| matches!(engine, Engine::Tract | Engine::Rten))
        .map(|engine| engine.name())
        .collect();
    println!("building the workers of the other engines; the first time takes many minutes");
    let mut build = workspace::cargo();
    build.args(["build", "--release", "--locked"]);
    build.args(["--manifest-path", "compiler/xtask/peers/Cargo.toml"]);
    build.args(["--features", &features.join(",")]);
    build.arg("--target-dir").arg(&target);
    workspace::run(&mut build)?;
    Ok(target.join("release"))
}
