//! Compares the errors that a command reports with the `// ERROR CODE: text` marks in its input.
//!
//! A mark stands on the line of its error and gives a part of the message. Each error needs a mark and each mark an error.

use std::collections::BTreeMap;

use regex::Regex;

/// An error, reported or expected: its line and code, with the message or a part of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    line: Option<usize>,
    code: String,
    text: String,
}

/// Checks that `stderr` holds exactly the errors that `source` marks.
pub(crate) fn compare(source: &str, stderr: &str) -> Result<(), String> {
    let expected = marks(source);
    let mut unmatched = reported(stderr);
    let mut complaints = Vec::new();
    for mark in &expected {
        let found = unmatched.iter().position(|error| {
            error.line == mark.line && error.code == mark.code && error.text.contains(&mark.text)
        });
        match found {
            Some(index) => {
                unmatched.remove(index);
            }
            None => complaints.push(format!("missing: {}", describe(mark))),
        }
    }
    complaints.extend(
        unmatched
            .iter()
            .map(|error| format!("without a mark: {}", describe(error))),
    );
    if expected.is_empty() {
        complaints.push("the file has no `// ERROR CODE: text` mark".to_owned());
    }
    if complaints.is_empty() {
        return Ok(());
    }
    Err(format!("{}\n--- stderr\n{stderr}", complaints.join("\n")))
}

fn describe(entry: &Entry) -> String {
    let line = match entry.line {
        Some(line) => format!("line {line}"),
        None => "no line".to_owned(),
    };
    format!("{line}: {}: {}", entry.code, entry.text)
}

fn marks(source: &str) -> Vec<Entry> {
    let mark = Regex::new(r"^\s*ERROR (E\d{4}):\s*(.*?)\s*$").expect("a constant pattern");
    let mut entries = Vec::new();
    for (index, line) in source.lines().enumerate() {
        for part in line.split("//").skip(1) {
            if let Some(found) = mark.captures(part) {
                entries.push(Entry {
                    line: Some(index + 1),
                    code: found[1].to_owned(),
                    text: found[2].to_owned(),
                });
            }
        }
    }
    entries
}

/// Reads rendered diagnostics: `error[E0101]: message`, then the line with the place, `┌─ file:2:8` or `--> file:2:8`.
fn reported(stderr: &str) -> Vec<Entry> {
    let head = Regex::new(r"^error\[(E\d{4})\]: (.*)$").expect("a constant pattern");
    let place = Regex::new(r"^\s*(?:┌─|╭▸|-->)\s.*?:(\d+):\d+\s*$").expect("a constant pattern");
    let mut entries: BTreeMap<usize, Entry> = BTreeMap::new();
    for (index, line) in stderr.lines().enumerate() {
        if let Some(found) = head.captures(line) {
            entries.insert(
                index,
                Entry {
                    line: None,
                    code: found[1].to_owned(),
                    text: found[2].to_owned(),
                },
            );
        } else if let Some(found) = place.captures(line)
            && let Some(mut last) = entries.last_entry()
            && last.get().line.is_none()
        {
            last.get_mut().line = found[1].parse().ok();
        }
    }
    entries.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "func @f() {\n  %1 = nn.reul(%0) // ERROR E0101: unknown op\n}\n";
    const STDERR: &str =
        "error[E0101]: unknown op `nn.reul`\n  ┌─ net.lir:2:8\n  │\n2 │   %1 = nn.reul(%0)\n";

    #[test]
    fn agrees_when_line_code_and_text_do() {
        assert_eq!(compare(SOURCE, STDERR), Ok(()));
        let arrow = STDERR.replace("┌─", "-->");
        assert_eq!(compare(SOURCE, &arrow), Ok(()));
    }

    #[test]
    fn reports_errors_without_marks_and_marks_without_errors() {
        let other_line = STDERR.replace(":2:", ":3:");
        let complaint = compare(SOURCE, &other_line).unwrap_err();
        assert!(complaint.contains("missing: line 2: E0101"));
        assert!(complaint.contains("without a mark: line 3: E0101"));
        assert!(compare("func @f() {}", "").is_err());
    }

    #[test]
    fn takes_several_marks_on_a_line() {
        let source = "x // ERROR E0101: a // ERROR E0102: b\n";
        let stderr = "error[E0102]: b\n --> f:1:1\nerror[E0101]: a\n --> f:1:3\n";
        assert_eq!(compare(source, stderr), Ok(()));
    }
}
