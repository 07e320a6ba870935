//! A compiled program as the IR that code is emitted from, with its constants: equal ones need no clock to be told apart.

use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Bench, Variant};
use crate::workspace::{self, Result};

/// Lies in files, which go with the value.
pub(super) struct Program {
    folder: PathBuf,
}

/// The text, and the large constants beside it.
const FILES: [&str; 2] = ["program.lir", "program.lir.safetensors"];

impl Program {
    /// Compiles as `lepid bench` does, for this machine.
    pub(super) fn compile(bench: &Bench<'_>, variant: &Variant, folder: &Path) -> Result<Program> {
        let program = Program {
            folder: folder.to_owned(),
        };
        program.remove();
        fs::create_dir_all(folder)
            .map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
        let mut command = Command::new(bench.lepid);
        command.arg("compile").arg(&bench.reference.model);
        command.args(["--emit", "ir", "--output"]);
        command.arg(folder.join(FILES[0]));
        // Unasked, `compile` leaves this machine out of what it writes.
        for option in ["isa=native", "cost-model=auto", &variant.option()] {
            command.args(["--target-option", option]);
        }
        workspace::capture(&mut command)?;
        Ok(program)
    }

    /// Whether two programs are equal to the last bit.
    pub(super) fn is(&self, other: &Program) -> Result<bool> {
        for file in FILES {
            if !are_equal(&self.folder.join(file), &other.folder.join(file))? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn remove(&self) {
        // It may not be there; what is in the way then shows itself when it is written.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Whether two files hold the same bytes; two that are not there do.
fn are_equal(a: &Path, b: &Path) -> Result<bool> {
    match (a.exists(), b.exists()) {
        (true, true) => {}
        (a, b) => return Ok(a == b),
    }
    let open = |path: &Path| {
        let failed = |error| format!("cannot read {}: {error}", path.display());
        let file = File::open(path).map_err(failed)?;
        let bytes = file.metadata().map_err(failed)?.len();
        Ok::<_, String>((BufReader::with_capacity(1 << 20, file), bytes))
    };
    let ((a, a_bytes), (b, b_bytes)) = (open(a)?, open(b)?);
    if a_bytes != b_bytes {
        return Ok(false);
    }
    have_equal_bytes(a, b).map_err(|error| format!("cannot read a program: {error}"))
}

fn have_equal_bytes(mut a: impl Read, mut b: impl Read) -> std::io::Result<bool> {
    let (mut left, mut right) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    loop {
        let count = a.read(&mut left)?;
        if count == 0 {
            return Ok(true);
        }
        b.read_exact(&mut right[..count])?;
        if left[..count] != right[..count] {
            return Ok(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_told_apart_by_their_last_byte() {
        let long = vec![7; 3 << 20];
        let mut other = long.clone();
        assert!(have_equal_bytes(&long[..], &other[..]).unwrap());
        other[(3 << 20) - 1] = 8;
        assert!(!have_equal_bytes(&long[..], &other[..]).unwrap());
    }
}
