//! What a reduction keeps: a difference, a failure, or whatever a command finds.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use lepid_ir::core::{Code, Diagnostic, PrintOptions};
use lepid_ir::interp;
use lepid_target_api::Signature;

use crate::driver::compare::{Tolerance, compare};
use crate::driver::trial::Trial;
use crate::driver::{crash, files, save};
use crate::reduce::Case;

/// How compiling or running a module ends badly.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Failure {
    /// With an error of this code first.
    Code(Code),
    /// With a panic.
    Panic,
}

impl Failure {
    /// The code, or what stands for a panic.
    pub fn name(&self) -> &'static str {
        match self {
            Failure::Code(code) => code.0,
            Failure::Panic => "panic",
        }
    }
}

/// A property of a case.
pub enum Property {
    /// The target computes other values than the interpreter.
    Differs(Tolerance),
    /// Compiling or running it for the target ends like this.
    Fails(Failure),
    /// A command ends with exit code 0.
    Command(External),
}

/// A command of the user's, run by the shell.
pub struct External {
    /// `{}` stands for the file of the IR, `{inputs}` for that of the inputs.
    pub command: String,
    folder: PathBuf,
}

impl External {
    /// Makes the folder for what is tested; it goes with the value.
    pub fn new(command: String) -> Result<External, Diagnostic> {
        let folder = std::env::temp_dir().join(format!("lepid-reduce-{}", std::process::id()));
        fs::create_dir_all(&folder).map_err(|error| files::cannot_write(&folder, error))?;
        Ok(External { command, folder })
    }

    fn holds(&self, case: &Case) -> Result<bool, Diagnostic> {
        let ir = self.folder.join("case.lir");
        let inputs = self.folder.join("case.npz");
        save::module(&ir, &case.module, &PrintOptions::default())?;
        save::inputs(&inputs, case)?;
        let command = self
            .command
            .replace("{inputs}", &quoted(&inputs))
            .replace("{}", &quoted(&ir));
        let status = Command::new("sh")
            .args(["-c", &command])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        match status {
            Ok(status) => Ok(status.success()),
            Err(error) => Err(files::cannot_read(Path::new("sh"), error)),
        }
    }
}

impl Drop for External {
    fn drop(&mut self) {
        // It is in the folder of temporary files, and of no use any more.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A path as one word for the shell.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

impl Property {
    /// Whether a case has the property. Panics of the compiler count as what they are tested for,
    /// and are not shown.
    pub fn holds(&self, trial: &Trial<'_>, case: &Case) -> Result<bool, Diagnostic> {
        Ok(match self {
            Property::Differs(tolerance) => differs(trial, case, *tolerance),
            Property::Fails(failure) => self::failure(trial, case).as_ref() == Some(failure),
            Property::Command(external) => return external.holds(case),
        })
    }
}

/// How a case fails on a target, if it does.
pub fn failure(trial: &Trial<'_>, case: &Case) -> Option<Failure> {
    let ran = crash::caught(|| trial.run(case.module.clone(), &case.inputs));
    match ran {
        Ok(Ok(_)) => None,
        Ok(Err(found)) => {
            let first = found.iter().find(|d| d.is_error());
            first.map(|d| Failure::Code(d.code))
        }
        Err(_) => Some(Failure::Panic),
    }
}

/// Whether a case runs on the target and in the interpreter, and gives different values.
fn differs(trial: &Trial<'_>, case: &Case, tolerance: Tolerance) -> bool {
    let outputs = crash::caught(|| {
        let expected = interp::run(&case.module, case.op(), &case.inputs).ok()?;
        let found = trial.run(case.module.clone(), &case.inputs).ok()?;
        Some((found, expected))
    });
    let Ok(Some((found, expected))) = outputs else {
        return false;
    };
    let ports = Signature::of(&case.module, case.op()).outputs.into_iter();
    let pairs = found.iter().zip(&expected);
    let mut compared = ports
        .zip(pairs)
        .map(|(p, (f, e))| compare(&p.name, f, e, tolerance));
    compared.any(|c| !c.ok)
}

/// Whether the seeded random inputs will do in place of those of the case; if so, it has them.
pub fn with_seed(
    trial: &Trial<'_>,
    property: &Property,
    case: &mut Case,
    seed: u64,
) -> Result<bool, Diagnostic> {
    let signature = Signature::of(&case.module, case.op());
    let Ok(inputs) = crate::driver::data::complete(&signature, Default::default(), seed) else {
        return Ok(false);
    };
    let mut seeded = case.clone();
    seeded.inputs = inputs;
    let holds = seeded.inputs == case.inputs || property.holds(trial, &seeded)?;
    if holds {
        *case = seeded;
    }
    Ok(holds)
}
