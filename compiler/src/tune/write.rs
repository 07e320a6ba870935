//! The spec of a choice.

use std::fmt::Write;

use super::candidates::{Candidate, Rule};

/// An exit of a spec.
pub struct WrittenExit<'a> {
    pub outputs: &'a [String],
    /// Not for the last exit.
    pub decision: Option<(&'a Rule, &'a Candidate, f64)>,
}

/// The text of a spec; `model` is as it is to be found from there, and `comment` stands at the top.
pub fn spec(model: &str, exits: &[WrittenExit<'_>], outputs: &[String], comment: &str) -> String {
    let mut out = String::new();
    for line in comment.lines() {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "# {line}");
    }
    let _ = write!(
        out,
        "model = {}\n\n[cascade]\noutputs = {}\n",
        quoted(model),
        list(outputs)
    );
    for exit in exits {
        let _ = write!(out, "\n[[exit]]\noutputs = {}\n", list(exit.outputs));
        if let Some((rule, candidate, temperature)) = exit.decision {
            let _ = writeln!(out, "policy = {}", quoted(rule.policy.name));
            for (name, number) in rule.policy.numbers.iter().zip(&rule.numbers) {
                let _ = writeln!(out, "{name} = {number:?}");
            }
            if rule.policy.name == "gbvsb" {
                let _ = writeln!(
                    out,
                    "first = {}\nlast = {}",
                    rule.settings.first, rule.settings.last
                );
            }
            // The program compares in f32.
            let threshold = candidate.threshold as f32;
            let _ = writeln!(
                out,
                "threshold = {threshold:?}\ntemperature = {:?}",
                temperature as f32
            );
        }
    }
    out
}

fn list(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|n| quoted(n)).collect();
    format!("[{}]", names.join(", "))
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
