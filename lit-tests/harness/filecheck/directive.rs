//! The `CHECK` lines of a test file.

use regex::Regex;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Kind {
    Plain,
    Next,
    Same,
    Not,
    Dag,
    Label,
}

#[derive(Debug)]
pub(super) struct Directive {
    pub(super) kind: Kind,
    /// Line in the test file, for messages.
    pub(super) line: usize,
    pub(super) text: String,
    pub(super) parts: Vec<Part>,
}

#[derive(Debug, PartialEq)]
pub(super) enum Part {
    Text(String),
    Regex(String),
    Capture { name: String, regex: String },
    Use(String),
}

pub(super) fn parse(checks: &str) -> Result<Vec<Directive>, String> {
    let form = Regex::new(r"(?:^|\s)//\s*CHECK(-[A-Z]+)?:(.*)$").expect("a constant pattern");
    let mut directives: Vec<Directive> = Vec::new();
    for (index, line) in checks.lines().enumerate() {
        let Some(found) = form.captures(line) else {
            continue;
        };
        let number = index + 1;
        let kind = match found.get(1).map(|suffix| suffix.as_str()) {
            None => Kind::Plain,
            Some("-NEXT") => Kind::Next,
            Some("-SAME") => Kind::Same,
            Some("-NOT") => Kind::Not,
            Some("-DAG") => Kind::Dag,
            Some("-LABEL") => Kind::Label,
            Some(other) => return Err(format!("line {number}: unknown directive CHECK{other}")),
        };
        let first_positive = !directives.iter().any(|d| d.kind != Kind::Not);
        if matches!(kind, Kind::Next | Kind::Same) && first_positive {
            return Err(format!(
                "line {number}: {} has no CHECK before it",
                kind.name()
            ));
        }
        let text = squeeze(found[2].trim());
        if text.is_empty() {
            return Err(format!("line {number}: {} is empty", kind.name()));
        }
        let parts = parse_parts(&text).map_err(|error| format!("line {number}: {error}"))?;
        let binds = |part: &Part| matches!(part, Part::Capture { .. } | Part::Use(_));
        if kind == Kind::Label && parts.iter().any(binds) {
            return Err(format!("line {number}: CHECK-LABEL cannot use variables"));
        }
        directives.push(Directive {
            kind,
            line: number,
            text,
            parts,
        });
    }
    if directives.is_empty() {
        return Err("the file has no CHECK line".to_owned());
    }
    Ok(directives)
}

/// Makes each run of blanks one space and drops those at the end.
pub(super) fn squeeze(line: &str) -> String {
    let mut squeezed = String::with_capacity(line.len());
    for character in line.trim_end().chars() {
        let blank = character == ' ' || character == '\t';
        if !blank {
            squeezed.push(character);
        } else if !squeezed.ends_with(' ') {
            squeezed.push(' ');
        }
    }
    squeezed
}

fn parse_parts(text: &str) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        if let Some(inner) = rest.strip_prefix("{{") {
            let end = inner.find("}}").ok_or("`{{` without `}}`")?;
            flush(&mut literal, &mut parts);
            parts.push(Part::Regex(inner[..end].to_owned()));
            rest = &inner[end + 2..];
        } else if let Some(inner) = rest.strip_prefix("[[")
            && inner.starts_with(|first: char| first.is_ascii_uppercase())
        {
            let end = closing(inner).ok_or("`[[` without `]]`")?;
            flush(&mut literal, &mut parts);
            parts.push(parse_variable(&inner[..end])?);
            rest = &inner[end + 2..];
        } else {
            literal.push(character);
            rest = &rest[character.len_utf8()..];
        }
    }
    flush(&mut literal, &mut parts);
    Ok(parts)
}

fn flush(literal: &mut String, parts: &mut Vec<Part>) {
    if !literal.is_empty() {
        parts.push(Part::Text(std::mem::take(literal)));
    }
}

/// The place of the `]]` that ends a variable, past the brackets of its expression.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0;
    let mut escaped = false;
    for (index, character) in text.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '[' => depth += 1,
            ']' if depth > 0 => depth -= 1,
            ']' => return text[index..].starts_with("]]").then_some(index),
            _ => {}
        }
    }
    None
}

fn parse_variable(text: &str) -> Result<Part, String> {
    let (name, regex) = match text.split_once(':') {
        Some((name, regex)) => (name, Some(regex)),
        None => (text, None),
    };
    let valid = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    if !name.chars().all(valid) {
        return Err(format!("`{name}` is not an upper-case name"));
    }
    Ok(match regex {
        Some(regex) => Part::Capture {
            name: name.to_owned(),
            regex: regex.to_owned(),
        },
        None => Part::Use(name.to_owned()),
    })
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Plain => "CHECK",
            Kind::Next => "CHECK-NEXT",
            Kind::Same => "CHECK-SAME",
            Kind::Not => "CHECK-NOT",
            Kind::Dag => "CHECK-DAG",
            Kind::Label => "CHECK-LABEL",
        }
    }
}
