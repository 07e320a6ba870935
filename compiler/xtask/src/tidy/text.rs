//! What may stand in a file: lengths, paths, to-dos, reasons and safety comments.

use regex::Regex;

use super::{File, Finding, Severity};

/// A source file aims at the first number of lines and must stay below the second.
const AIM: usize = 400;
const LIMIT: usize = 800;

/// How far above an `unsafe` block its `SAFETY:` comment may begin.
const SAFETY_REACH: usize = 10;

pub(super) fn check(files: &[File], findings: &mut Vec<Finding>) {
    let patterns = Patterns::new();
    for file in files {
        let Some(text) = &file.text else { continue };
        machine_paths(&patterns, &file.path, text, findings);
        if file.path.ends_with(".rs") || file.path.ends_with(".lalrpop") {
            length(&file.path, text, findings);
            source(&patterns, &file.path, text, findings);
        }
        if file.path.ends_with(".rs") {
            attributes(&patterns, &file.path, text, findings);
            unsafe_blocks(&patterns, &file.path, text, findings);
        }
    }
}

struct Patterns {
    machine_path: Regex,
    conflict: Regex,
    to_do: Regex,
    to_do_with_issue: Regex,
    unwanted: Vec<(Regex, &'static str)>,
    allow: Regex,
    unsafe_block: Regex,
}

impl Patterns {
    fn new() -> Patterns {
        let regex = |pattern: &str| Regex::new(pattern).expect("a constant pattern");
        // Split where this very file would break its own rules.
        let to_do = concat!("TO", "DO");
        let ignored = concat!(r"^\s*#\[", r"(ignore|should_panic)\b");
        Patterns {
            machine_path: regex(r"(?:^|[^\w./-])/(?:home|root|work|Users|tmp)/"),
            conflict: regex("^(?:<{7}|>{7}) "),
            to_do: regex(&format!(r"\b{to_do}\b")),
            to_do_with_issue: regex(&format!(r"\b{to_do}\s*\(?(?:issue )?#?\d+")),
            unwanted: vec![
                (
                    regex(concat!(r"\b(?:FIX", r"ME|XX", r"X|HA", r"CK)\b")),
                    "write a to-do that names an issue",
                ),
                (
                    regex(concat!(r"\b(?:to", r"do|unimpl", r"emented)!")),
                    "no unwritten code",
                ),
                (regex(ignored), "no test is ignored or expected to panic"),
            ],
            allow: regex(r"#!?\[\s*(?:cfg_attr\([^\n]*)?(?:allow|expect)\("),
            unsafe_block: regex(r"\bunsafe\s*(?:\{|impl\b)"),
        }
    }
}

fn machine_paths(patterns: &Patterns, path: &str, text: &str, findings: &mut Vec<Finding>) {
    for (index, line) in text.lines().enumerate() {
        if patterns.machine_path.is_match(line) {
            findings.push(Finding::error(path, index + 1, "a path of one machine"));
        }
        if patterns.conflict.is_match(line) {
            findings.push(Finding::error(
                path,
                index + 1,
                "a conflict is not resolved",
            ));
        }
    }
}

fn length(path: &str, text: &str, findings: &mut Vec<Finding>) {
    let lines = text.lines().count();
    if lines <= AIM {
        return;
    }
    let (severity, bound) = if lines > LIMIT {
        (Severity::Error, LIMIT)
    } else {
        (Severity::Warning, AIM)
    };
    findings.push(Finding {
        path: path.to_owned(),
        line: bound,
        severity,
        message: format!("{lines} lines, more than {bound}: split the file"),
    });
}

fn source(patterns: &Patterns, path: &str, text: &str, findings: &mut Vec<Finding>) {
    if !text.starts_with("//!") && !text.starts_with("//") {
        findings.push(Finding::error(
            path,
            1,
            "the file does not begin with its docs",
        ));
    }
    for (index, line) in text.lines().enumerate() {
        if patterns.to_do.is_match(line) && !patterns.to_do_with_issue.is_match(line) {
            findings.push(Finding::error(path, index + 1, "a to-do names no issue"));
        }
        for (pattern, message) in &patterns.unwanted {
            if pattern.is_match(line) {
                findings.push(Finding::error(path, index + 1, *message));
            }
        }
    }
}

fn attributes(patterns: &Patterns, path: &str, text: &str, findings: &mut Vec<Finding>) {
    for found in patterns.allow.find_iter(text) {
        if is_commented(text, found.start()) {
            continue;
        }
        let attribute = attribute_at(&text[found.start()..]);
        if !attribute.contains("reason =") {
            let line = line_of(text, found.start());
            findings.push(Finding::error(path, line, "an `allow` without a reason"));
        }
    }
}

/// The attribute that `text` begins with, up to its closing bracket.
fn attribute_at(text: &str) -> &str {
    let mut depth = 0;
    for (index, character) in text.char_indices() {
        match character {
            '[' => depth += 1,
            ']' if depth == 1 => return &text[..=index],
            ']' => depth -= 1,
            _ => {}
        }
    }
    text
}

fn unsafe_blocks(patterns: &Patterns, path: &str, text: &str, findings: &mut Vec<Finding>) {
    let lines: Vec<&str> = text.lines().collect();
    for found in patterns.unsafe_block.find_iter(text) {
        if is_commented(text, found.start()) {
            continue;
        }
        let line = line_of(text, found.start());
        let above = &lines[line.saturating_sub(1 + SAFETY_REACH)..line];
        if !above.iter().any(|line| line.contains("SAFETY:")) {
            findings.push(Finding::error(
                path,
                line,
                "an `unsafe` block without `SAFETY:`",
            ));
        }
    }
}

fn is_commented(text: &str, at: usize) -> bool {
    let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let before = &text[start..at];
    // In a string it is data, not code; an odd number of quotes is inside one.
    before.contains("//") || before.matches('"').count() % 2 == 1
}

fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(path: &str, text: &str) -> Vec<String> {
        let file = File {
            path: path.to_owned(),
            text: Some(text.to_owned()),
        };
        let mut findings = Vec::new();
        check(&[file], &mut findings);
        findings.into_iter().map(|f| f.message).collect()
    }

    #[test]
    fn clean_code_is_clean() {
        let text = "//! Docs.\n#[allow(dead_code, reason = \"later\")]\nfn f() {\n    // SAFETY: nothing.\n    unsafe { g() }\n}\n";
        assert_eq!(messages("a.rs", text), Vec::<String>::new());
        assert_eq!(
            messages("a.md", "see https://example.org/home/x and src/tmp/x"),
            Vec::<String>::new()
        );
    }

    #[test]
    fn each_rule_finds_its_breach() {
        let breaches = [
            concat!("//! A.\n// see /ho", "me/me/x"),
            concat!("//! A.\n// TO", "DO: later"),
            concat!("//! A.\n// FIX", "ME"),
            concat!("//! A.\n#[", "ignore]"),
            concat!("//! A.\nfn f() { to", "do!() }"),
            "//! A.\n#[allow(dead_code)]\nfn f() {}",
            "//! A.\nfn f() {\n    unsafe { g() }\n}",
            "fn f() {}",
        ];
        for breach in breaches {
            assert_eq!(messages("a.rs", breach).len(), 1, "{breach}");
        }
    }

    #[test]
    fn length_warns_then_fails() {
        let file = |lines: usize| "//! A.\n".repeat(lines);
        assert!(messages("a.rs", &file(AIM)).is_empty());
        let mut findings = Vec::new();
        length("a.rs", &file(AIM + 1), &mut findings);
        length("a.rs", &file(LIMIT + 1), &mut findings);
        let severities: Vec<_> = findings.into_iter().map(|f| f.severity).collect();
        assert_eq!(severities, [Severity::Warning, Severity::Error]);
    }
}
