//! A Python of our own under `target/`, with pinned packages.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::packages;
use crate::workspace::{self, Result};

/// What the checks against ONNX Runtime need.
pub(crate) const REQUIREMENTS: &str = "requirements.txt";
/// What the comparison with other engines needs besides.
pub(crate) const PEER_REQUIREMENTS: &str = "requirements-peers.txt";

/// Whether there is a Python to begin with.
pub(crate) fn exists() -> bool {
    workspace::has_program(Command::new(base()).arg("--version"))
}

/// The folder of our own scripts.
pub(crate) fn scripts() -> PathBuf {
    workspace::root().join("compiler/xtask/python")
}

/// The interpreter of a virtual environment that holds the packages of a requirements file.
pub(crate) fn packages(requirements: &str) -> Result<PathBuf> {
    let folder = workspace::target_dir().join("python");
    let python = if cfg!(windows) {
        folder.join("Scripts").join("python.exe")
    } else {
        folder.join("bin").join("python")
    };
    let wanted = scripts().join(requirements);
    let text = fs::read_to_string(&wanted)
        .map_err(|error| format!("cannot read {}: {error}", workspace::relative(&wanted)))?;
    // Written last, so that an installation that broke off is done again.
    let stamp = folder.join(format!("installed-{requirements}"));
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == text) {
        return Ok(python);
    }
    if !works(&python) {
        create(&folder)?;
    }
    println!("installing {requirements} into {}", folder.display());
    let mut pip = Command::new(&python);
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ]);
    workspace::run(pip.arg("--requirement").arg(&wanted))?;
    fs::write(&stamp, text)
        .map_err(|error| format!("cannot write {}: {error}", stamp.display()))?;
    Ok(python)
}

fn works(python: &Path) -> bool {
    workspace::has_program(Command::new(python).args(["-m", "pip", "--version"]))
}

fn create(folder: &Path) -> Result<()> {
    let mut venv = Command::new(base());
    venv.args(["-m", "venv", "--clear"]).arg(folder);
    let Err(error) = workspace::capture(&mut venv) else {
        return Ok(());
    };
    // Debian ships Python without the part that makes environments.
    if !packages::install("python3-venv")? {
        return Err(format!("{error}\nhelp: install the package `python3-venv`"));
    }
    workspace::capture(&mut venv).map(drop)
}

fn base() -> String {
    env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned())
}
