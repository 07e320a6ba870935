//! A bug of ours ends in a request to report it, with the IR in a file.

use std::process::Command;

use lepid::driver::{Driver, crash};
use lepid_ir::text;

/// Set in the process that is to crash.
const MARK: &str = "LEPID_TEST_CRASH";

#[test]
fn a_panic_leaves_the_ir_in_a_file() {
    if std::env::var_os(MARK).is_some() {
        return crash_now();
    }
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_panic_leaves_the_ir_in_a_file", "--nocapture"])
        .env(MARK, "1")
        .env("TMPDIR", folder.path())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(101), "{told}");
    for part in [
        "lepid stopped on a bug of its own",
        "internal error: one and one is three",
        "in pass `sums`",
        "Please report this",
    ] {
        assert!(told.contains(part), "no `{part}` in\n{told}");
    }
    let files: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(files.len(), 1);
    let ir = std::fs::read_to_string(files[0].as_ref().unwrap().path()).unwrap();
    assert!(ir.contains("func @main(%0: tensor<2xf32>)"), "{ir}");
}

fn crash_now() {
    let text = "func @main(%x: tensor<2xf32>) -> (tensor<2xf32>) {\n  return %x\n}\n";
    let (module, diagnostics) = text::parse(text, "net.lir", Driver::new().ops(), None);
    assert!(diagnostics.is_empty());
    crash::install_hook();
    crash::remember("pass `sums`", &module);
    lepid_ir::bug!("one and one is three");
}
