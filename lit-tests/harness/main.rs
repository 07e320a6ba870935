//! The lit harness: one test per `lit-tests/**/*.lir`, run as its `// RUN:` lines say.
//!
//! It knows of the compiler only its binary. `script` reads and runs the lines, `filecheck` compares outputs with `CHECK` lines, `errors` compares diagnostics with `// ERROR` marks.
//! `cargo test --test lit -- ops/` runs those whose path contains `ops/`.
#![allow(
    dead_code,
    unused_imports,
    reason = "`#[test]` is dropped without rustc's runner, what only it calls is unused; `tests.rs` runs it"
)]

mod errors;
mod filecheck;
mod script;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

use script::{Features, Script, Tools};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../lit-tests");
    let mut files = Vec::new();
    if let Err(error) = collect(&root, &mut files) {
        return refuse(
            &arguments,
            format!("cannot read {}: {error}", root.display()),
        );
    }
    if files.is_empty() {
        return refuse(
            &arguments,
            format!("no *.lir file under {}", root.display()),
        );
    }
    files.sort();
    let trials = files.into_iter().map(|file| trial(&root, file)).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// A run of one failing test, so that the reason is reported like any other.
fn refuse(arguments: &Arguments, reason: String) -> ExitCode {
    let trial = Trial::test("lit", move || Err(Failed::from(reason)));
    libtest_mimic::run(arguments, vec![trial]).exit_code()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "lir") {
            files.push(path);
        }
    }
    Ok(())
}

fn trial(root: &Path, file: PathBuf) -> Trial {
    let name = file
        .strip_prefix(root)
        .unwrap_or(&file)
        .with_extension("")
        .to_string_lossy()
        .replace('\\', "/");
    let script = fs::read_to_string(&file)
        .map_err(|error| error.to_string())
        .and_then(|text| Script::parse(&text, &Features::of_this_machine()));
    // A file that cannot be read as a test fails, it is not skipped.
    let skipped = script.as_ref().is_ok_and(|script| script.skip.is_some());
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("lit")
        .join(name.replace('/', "."));
    let tools = Tools {
        lepid: PathBuf::from(env!("CARGO_BIN_EXE_lepid")),
        file,
        scratch,
    };
    Trial::test(name, move || script?.run(&tools).map_err(Failed::from)).with_ignored_flag(skipped)
}
