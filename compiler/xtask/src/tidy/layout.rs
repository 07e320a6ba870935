//! Which files there may and must be: the top level, snapshots, a test for each diagnostic code.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;

use super::{File, Finding};

/// What the top level holds besides dot files and licences.
const TOP_LEVEL: &[&str] = &[
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "README.md",
    "clippy.toml",
    "compiler",
    "examples",
    "ir",
    "lit-tests",
    "passes",
    "rustfmt.toml",
    "targets",
];

/// The table of diagnostic codes and the folder that shows each.
const CODES: &str = "ir/src/core/codes.rs";
const ERROR_TESTS: &str = "lit-tests/errors/";

pub(super) fn check(files: &[File], findings: &mut Vec<Finding>) {
    top_level(files, findings);
    snapshots(files, findings);
    codes(files, findings);
}

fn top_level(files: &[File], findings: &mut Vec<Finding>) {
    let names = files.iter().map(|file| match file.path.split_once('/') {
        Some((folder, _)) => folder,
        None => file.path.as_str(),
    });
    for name in names.collect::<BTreeSet<_>>() {
        let known =
            TOP_LEVEL.contains(&name) || name.starts_with('.') || name.starts_with("LICENSE");
        if !known {
            findings.push(Finding::error(name, 0, "does not belong to the top level"));
        }
    }
}

/// A snapshot names the test and the input that it is of; both must be there.
fn snapshots(files: &[File], findings: &mut Vec<Finding>) {
    let paths: BTreeSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
    for file in files {
        if file.path.ends_with(".snap.new") || file.path.ends_with(".pending-snap") {
            findings.push(Finding::error(&file.path, 0, "a snapshot waits for review"));
        }
        let Some(text) = file
            .text
            .as_deref()
            .filter(|_| file.path.ends_with(".snap"))
        else {
            continue;
        };
        let header = text
            .lines()
            .enumerate()
            .skip(1)
            .take_while(|(_, line)| *line != "---");
        for (index, line) in header {
            let of = line
                .strip_prefix("source: ")
                .or_else(|| line.strip_prefix("input_file: "));
            if let Some(of) = of.map(|path| path.trim_matches('"'))
                && !paths.contains(of)
            {
                let message = format!("a snapshot of `{of}`, which does not exist");
                findings.push(Finding::error(&file.path, index + 1, message));
            }
        }
    }
}

fn codes(files: &[File], findings: &mut Vec<Finding>) {
    let Some(table) = files.iter().find(|file| file.path == CODES) else {
        findings.push(Finding::error(
            CODES,
            0,
            "the table of diagnostic codes is missing",
        ));
        return;
    };
    let code = Regex::new("\"(E[0-9]{4})\"").expect("a constant pattern");
    let mut rows: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, line) in table
        .text
        .as_deref()
        .unwrap_or_default()
        .lines()
        .enumerate()
    {
        if let Some(found) = code.captures(line).and_then(|found| found.get(1)) {
            let number = index + 1;
            if rows.insert(found.as_str(), number).is_some() {
                let message = format!("code `{}` stands twice in the table", found.as_str());
                findings.push(Finding::error(CODES, number, message));
            }
        }
    }
    let tests: Vec<&File> = files
        .iter()
        .filter(|file| file.path.starts_with(ERROR_TESTS))
        .collect();
    for (code, line) in rows {
        let shown = |file: &&File| {
            let text = file.text.as_deref().unwrap_or_default();
            file.path.contains(code) || text.contains(code)
        };
        if !tests.iter().any(shown) {
            let message = format!("no file in {ERROR_TESTS} shows `{code}`");
            findings.push(Finding::error(CODES, line, message));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File {
            path: path.to_owned(),
            text: Some(text.to_owned()),
        }
    }

    fn messages(check: fn(&[File], &mut Vec<Finding>), files: &[File]) -> Vec<String> {
        let mut findings = Vec::new();
        check(files, &mut findings);
        findings.into_iter().map(|f| f.message).collect()
    }

    #[test]
    fn strangers_at_the_top_are_found() {
        let files = [
            file("ir/src/lib.rs", ""),
            file("notes.txt", ""),
            file(".ci/run", ""),
        ];
        assert_eq!(messages(top_level, &files).len(), 1);
    }

    #[test]
    fn each_code_needs_a_test() {
        let table = file(CODES, "A = \"E0001\", \"x\";\nB = \"E0002\", \"y\";");
        let test = file("lit-tests/errors/bad.lir", "// ERROR E0002: z");
        assert_eq!(messages(codes, &[table, test]).len(), 1);
    }

    #[test]
    fn snapshots_need_their_source() {
        let snapshot = "---\nsource: passes/tests/fold.rs\n---\nmodule {}\n";
        let files = [file("passes/tests/snapshots/fold.snap", snapshot)];
        assert_eq!(messages(snapshots, &files).len(), 1);
        let files = [
            files.into_iter().next().unwrap(),
            file("passes/tests/fold.rs", ""),
        ];
        assert!(messages(snapshots, &files).is_empty());
    }
}
