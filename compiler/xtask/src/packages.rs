//! Programs of the system that checks need: installed where we may.

use std::process::Command;

use crate::workspace::{self, Result};

/// Installs a package of Debian if we may; says whether it did. Only the superuser may, and only
/// where continuous integration asks for it is the machine ours to change.
pub(crate) fn install(package: &str) -> Result<bool> {
    let is_root = workspace::capture(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0");
    if !is_root || !workspace::has_program(Command::new("apt-get").arg("--version")) {
        return Ok(false);
    }
    workspace::run(Command::new("apt-get").args(["update", "--quiet"]))?;
    let mut install = Command::new("apt-get");
    install
        .args([
            "install",
            "--yes",
            "--quiet",
            "--no-install-recommends",
            package,
        ])
        .env("DEBIAN_FRONTEND", "noninteractive");
    workspace::run(&mut install)?;
    Ok(true)
}
