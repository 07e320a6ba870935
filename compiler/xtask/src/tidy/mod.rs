//! `cargo xtask tidy`: the rules of the tree that neither rustc nor clippy checks.
//!
//! `layout` looks at which files there are, `arrows` at who depends on whom, `text` at what stands in them.

mod arrows;
mod layout;
mod text;

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use crate::workspace::{self, Result};

/// A file of the tree: its path from the root, and what it holds if that is text.
struct File {
    path: String,
    text: Option<String>,
}

/// A place that breaks a rule.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    path: String,
    /// From 1; 0 if the whole file is meant.
    line: usize,
    severity: Severity,
    message: String,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Severity {
    Warning,
    Error,
}

impl Finding {
    fn error(path: &str, line: usize, message: impl Into<String>) -> Finding {
        Finding {
            path: path.to_owned(),
            line,
            severity: Severity::Error,
            message: message.into(),
        }
    }
}

pub(crate) fn main() -> Result<ExitCode> {
    Ok(match run()? {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

/// Prints the findings and returns the number of errors among them.
pub(crate) fn run() -> Result<usize> {
    let files = files()?;
    let mut findings = Vec::new();
    layout::check(&files, &mut findings);
    text::check(&files, &mut findings);
    arrows::check(&files, &mut findings)?;
    findings.sort();
    for finding in &findings {
        let warning = match finding.severity {
            Severity::Warning => "warning: ",
            Severity::Error => "",
        };
        println!(
            "{}:{}: {warning}{}",
            finding.path, finding.line, finding.message
        );
    }
    let errors = findings.iter().filter(|f| f.severity == Severity::Error);
    Ok(errors.count())
}

/// The files that git tracks or would track, sorted.
fn files() -> Result<Vec<File>> {
    let root = workspace::root();
    let mut git = Command::new("git");
    git.current_dir(&root);
    git.args([
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]);
    let mut paths: Vec<String> = match workspace::capture(&mut git) {
        Ok(list) => list.split_terminator('\0').map(str::to_owned).collect(),
        // An unpacked archive is no repository.
        Err(_) => {
            let mut paths = Vec::new();
            walk(&root, &root, &mut paths)?;
            paths
        }
    };
    paths.sort();
    let files = paths.into_iter().filter(|path| root.join(path).is_file());
    let files = files.map(|path| File {
        text: fs::read(root.join(&path))
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok()),
        path,
    });
    Ok(files.collect())
}

fn walk(root: &Path, folder: &Path, paths: &mut Vec<String>) -> Result<()> {
    let unreadable = |error| format!("cannot read {}: {error}", folder.display());
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let name = path.strip_prefix(root).unwrap_or(&path);
        if !path.is_dir() {
            paths.push(name.to_string_lossy().replace('\\', "/"));
        } else if name != Path::new("target") && name != Path::new(".git") {
            walk(root, &path, paths)?;
        }
    }
    Ok(())
}
