//! Who may depend on whom: between crates by their manifests, within a crate by `crate::` paths.

use regex::Regex;
use serde_json::Value;

use super::{File, Finding};
use crate::workspace::{self, Result};

/// Folders of a crate that must not name some of their siblings.
struct InnerArrow {
    folder: &'static str,
    forbidden: &'static [&'static str],
}

const INNER_ARROWS: &[InnerArrow] = &[
    InnerArrow {
        folder: "ir/src/core/",
        forbidden: &["text", "dialects", "interp"],
    },
    InnerArrow {
        folder: "ir/src/text/",
        forbidden: &["dialects", "interp"],
    },
    InnerArrow {
        folder: "passes/src/core/",
        forbidden: &["transform", "eqsat"],
    },
    InnerArrow {
        folder: "compiler/src/reduce/",
        forbidden: &["cli", "driver", "frontends", "report"],
    },
    InnerArrow {
        folder: "compiler/src/report/",
        forbidden: &["cli", "driver", "frontends"],
    },
];

/// The parts of `targets/` that are shared; every other folder there is one target.
const SHARED_TARGET_PARTS: &[&str] = &["api", "plugin", "runtime", "conformance"];

pub(super) fn check(files: &[File], findings: &mut Vec<Finding>) -> Result<()> {
    for file in files {
        inner(file, findings);
        binary_only(file, findings);
    }
    let mut metadata = workspace::cargo();
    metadata.args([
        "metadata",
        "--no-deps",
        "--offline",
        "--format-version",
        "1",
    ]);
    let metadata = workspace::capture(&mut metadata)?;
    let metadata: Value = serde_json::from_str(&metadata)
        .map_err(|error| format!("cannot read cargo's metadata: {error}"))?;
    let crates = read_crates(&metadata);
    for krate in &crates {
        between(krate, files, findings);
        manifest(krate, files, findings);
    }
    Ok(())
}

/// A crate of the workspace, by its folder from the root.
struct Crate {
    folder: String,
    name: String,
    dependencies: Vec<Dependency>,
}

/// A dependency on another crate of the workspace.
struct Dependency {
    folder: String,
    for_tests: bool,
}

fn read_crates(metadata: &Value) -> Vec<Crate> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let crates = packages.map(|package| Crate {
        folder: folder_of(&text(&package["manifest_path"])),
        name: text(&package["name"]),
        dependencies: package["dependencies"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|dependency| {
                let path = dependency["path"].as_str()?;
                Some(Dependency {
                    folder: workspace::relative(path.as_ref()),
                    for_tests: dependency["kind"] == "dev",
                })
            })
            .collect(),
    });
    crates.collect()
}

fn folder_of(manifest: &str) -> String {
    let relative = workspace::relative(manifest.as_ref());
    relative
        .strip_suffix("/Cargo.toml")
        .unwrap_or("")
        .to_owned()
}

/// The layer of a folder; arrows go from higher to lower ones.
fn layer(folder: &str) -> Option<usize> {
    const LAYERS: &[&str] = &["ir", "passes", "targets", "compiler", "examples"];
    let top = folder.split('/').next()?;
    LAYERS.iter().position(|layer| *layer == top)
}

/// Why a crate must not depend on another, if it must not.
fn breach(from: &str, to: &str, for_tests: bool) -> Option<String> {
    let (Some(above), Some(below)) = (layer(from), layer(to)) else {
        return Some(format!("`{from}` or `{to}` is in no layer"));
    };
    if above != below {
        return (above < below).then(|| format!("`{from}` must not depend on `{to}`"));
    }
    if !from.starts_with("targets/") {
        return None;
    }
    let part = |folder: &str| folder.split('/').nth(1).unwrap_or_default().to_owned();
    let (from_part, to_part) = (part(from), part(to));
    let shared = |part: &str| SHARED_TARGET_PARTS.contains(&part);
    if from_part == to_part {
        return None;
    }
    if !shared(&to_part) {
        return Some(format!("`{from}` must not depend on the target `{to}`"));
    }
    (to_part == "conformance" && !for_tests)
        .then(|| format!("`{from}` may depend on `{to}` only for tests"))
}

fn between(krate: &Crate, files: &[File], findings: &mut Vec<Finding>) {
    let path = format!("{}/Cargo.toml", krate.folder);
    for dependency in &krate.dependencies {
        if let Some(message) = breach(&krate.folder, &dependency.folder, dependency.for_tests) {
            let line = line_naming(files, &path, &dependency.folder);
            findings.push(Finding::error(&path, line, message));
        }
    }
}

/// The line of a manifest that names the crate in `folder`, as well as a folder's name tells.
fn line_naming(files: &[File], path: &str, folder: &str) -> usize {
    let text = files.iter().find(|file| file.path == path);
    let text = text
        .and_then(|file| file.text.as_deref())
        .unwrap_or_default();
    let last = folder.rsplit('/').next().unwrap_or(folder);
    let found = text
        .lines()
        .position(|line| line.starts_with("lepid") && line.contains(last));
    found.map_or(0, |index| index + 1)
}

/// Names, lints and versions come from one place.
fn manifest(krate: &Crate, files: &[File], findings: &mut Vec<Finding>) {
    let path = format!("{}/Cargo.toml", krate.folder);
    let text = files.iter().find(|file| file.path == path);
    let text = text
        .and_then(|file| file.text.as_deref())
        .unwrap_or_default();
    let example = krate.folder.starts_with("examples/");
    let ours = krate.name == "lepid" || krate.name == "xtask" || krate.name.starts_with("lepid-");
    if !ours && !example {
        let message = format!("the name `{}` lacks the prefix `lepid-`", krate.name);
        findings.push(Finding::error(&path, 0, message));
    }
    if !text.contains("[lints]\nworkspace = true") {
        findings.push(Finding::error(
            &path,
            0,
            "the workspace's lints are not taken over",
        ));
    }
    let mut in_dependencies = false;
    for (index, line) in text.lines().enumerate() {
        if line.starts_with('[') {
            in_dependencies = line.contains("dependencies");
        } else if in_dependencies
            && line.contains('=')
            && !line.trim_start().starts_with('#')
            && !line.contains("workspace = true")
        {
            let message = "the version of a dependency belongs to the workspace's manifest";
            findings.push(Finding::error(&path, index + 1, message));
        }
    }
}

fn inner(file: &File, findings: &mut Vec<Finding>) {
    let text = file.text.as_deref().unwrap_or_default();
    for arrow in INNER_ARROWS {
        if !file.path.starts_with(arrow.folder) {
            continue;
        }
        let names = arrow.forbidden.join("|");
        let forbidden = Regex::new(&format!(r"\bcrate::(?:\{{[^}}]*\b)?({names})\b"))
            .expect("a pattern of constant names");
        for (index, line) in code_lines(text) {
            if let Some(found) = forbidden.captures(line) {
                let folder = arrow.folder.trim_end_matches('/');
                let message = format!("`{folder}` must not know of `{}`", &found[1]);
                findings.push(Finding::error(&file.path, index + 1, message));
            }
        }
    }
}

/// The lines that are neither comments nor part of the tests at the end.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate();
    lines
        .take_while(|(_, line)| !line.starts_with("#[cfg(test)]"))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// What users see is tested through what users run.
fn binary_only(file: &File, findings: &mut Vec<Finding>) {
    if !file.path.starts_with("lit-tests/") || !file.path.ends_with(".rs") {
        return;
    }
    let text = file.text.as_deref().unwrap_or_default();
    for (index, line) in code_lines(text) {
        if line.trim_start().starts_with("use lepid") {
            let message = "the lit harness knows the compiler only by its binary";
            findings.push(Finding::error(&file.path, index + 1, message));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrows_between_crates_go_down() {
        let fine = [
            ("passes", "ir", false),
            ("targets/cpu", "passes", false),
            ("targets/cpu", "targets/api", false),
            ("targets/cpu", "targets/cpu/ukernels", false),
            ("targets/cpu", "targets/conformance", true),
            ("compiler", "targets/cpu", false),
            ("compiler/xtask", "ir", false),
        ];
        for (from, to, for_tests) in fine {
            assert_eq!(breach(from, to, for_tests), None, "{from} to {to}");
        }
        let broken = [
            ("ir", "passes", false),
            ("passes", "targets/api", true),
            ("targets/cpu", "targets/reference", false),
            ("targets/cpu", "targets/conformance", false),
            ("targets/api", "targets/cpu", false),
            ("targets/cpu", "compiler", false),
        ];
        for (from, to, for_tests) in broken {
            assert!(breach(from, to, for_tests).is_some(), "{from} to {to}");
        }
    }

    fn inner_findings(path: &str, text: &str) -> usize {
        let mut findings = Vec::new();
        let file = File {
            path: path.to_owned(),
            text: Some(text.to_owned()),
        };
        inner(&file, &mut findings);
        findings.len()
    }

    #[test]
    fn arrows_within_a_crate_are_read_from_paths() {
        let path = "ir/src/core/module.rs";
        assert_eq!(inner_findings(path, "use crate::text::parse;"), 1);
        assert_eq!(inner_findings(path, "use crate::{core::Op, interp};"), 1);
        assert_eq!(inner_findings(path, "// crate::text reads it"), 0);
        assert_eq!(inner_findings(path, "#[cfg(test)]\nuse crate::text;"), 0);
        assert_eq!(
            inner_findings("ir/src/interp/mod.rs", "use crate::dialects;"),
            0
        );
    }
}
