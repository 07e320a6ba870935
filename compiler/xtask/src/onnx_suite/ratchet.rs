//! The file of tests that pass: it only grows, unless someone takes a line out by hand.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use super::trial::{Test, Verdict};
use crate::workspace::{self, Result};

/// The target that the file is about.
pub(super) const TARGET: &str = "cpu";

fn file() -> PathBuf {
    workspace::root().join("compiler/xtask/onnx-suite/passing.txt")
}

/// The tests of the file that were run and did not pass.
pub(super) fn lost(results: &BTreeMap<&str, (&Test, Verdict)>) -> Result<Vec<String>> {
    let path = file();
    let text = fs::read_to_string(&path)
        .map_err(|error| format!("cannot read {}: {error}", workspace::relative(&path)))?;
    let passed = |name: &str| results.get(name).map(|(_, v)| *v == Verdict::Passed);
    let lost = text.lines().filter(|name| passed(name) == Some(false));
    Ok(lost.map(str::to_owned).collect())
}

/// Writes the file anew.
pub(super) fn update(results: &BTreeMap<&str, (&Test, Verdict)>) -> Result<()> {
    let passing = results.iter().filter(|(_, (_, v))| *v == Verdict::Passed);
    let text: String = passing.map(|(name, _)| format!("{name}\n")).collect();
    let path = file();
    fs::write(&path, text)
        .map_err(|error| format!("cannot write {}: {error}", workspace::relative(&path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_sorted_and_names_each_test_once() {
        let text = fs::read_to_string(file()).unwrap();
        let names: Vec<&str> = text.lines().collect();
        assert!(names.is_sorted_by(|a, b| a < b));
    }
}
