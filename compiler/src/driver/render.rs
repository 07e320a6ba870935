//! Draws diagnostics: the only code that does.

use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Level, Origin, Renderer, Snippet};
use lepid_ir::core::{Diagnostic, Severity, Span, Symbol};
use serde_json::{Value, json};

use crate::driver::Session;

/// How a drawing looks.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Style {
    Plain,
    Colored,
}

/// Names of the model file shown for one message; a fused op may have hundreds.
const MAX_NAMES: usize = 4;

/// The drawing of one message, ending in a line break.
pub fn render(diagnostic: &Diagnostic, session: &Session, style: Style) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    };
    let title = level.primary_title(&diagnostic.message);
    let title = match diagnostic.severity {
        Severity::Error | Severity::Warning => title.id(diagnostic.code.0),
        Severity::Note => title,
    };
    let mut group = annotate_snippets::Group::with_title(title);
    for snippet in snippets(diagnostic, session) {
        group = group.element(snippet);
    }
    let names: Vec<Symbol> = diagnostic.primary.names().collect();
    for &name in names.iter().take(MAX_NAMES) {
        let place = match session.is_model(name) {
            true => name.to_string(),
            false => format!("node `{name}`"),
        };
        group = group.element(Origin::path(place));
    }
    if names.len() > MAX_NAMES {
        let more = format!("and {} more nodes", names.len() - MAX_NAMES);
        group = group.element(Level::NOTE.message(more));
    }
    for note in &diagnostic.notes {
        group = group.element(Level::NOTE.message(note));
    }
    if let Some(help) = &diagnostic.help {
        group = group.element(Level::HELP.message(help));
    }
    let renderer = match style {
        Style::Plain => Renderer::plain(),
        Style::Colored => Renderer::styled(),
    };
    let renderer = renderer.decor_style(DecorStyle::Unicode);
    format!("{}\n", renderer.render(&[group]))
}

/// One snippet per file: the primary place first.
fn snippets<'a>(
    diagnostic: &'a Diagnostic,
    session: &'a Session,
) -> Vec<Snippet<'a, annotate_snippets::Annotation<'a>>> {
    let mut out = Vec::new();
    let Some(primary) = diagnostic.primary.span() else {
        return out;
    };
    let mut files = vec![primary.file];
    for label in &diagnostic.labels {
        if !files.contains(&label.span.file) {
            files.push(label.span.file);
        }
    }
    for file in files {
        let text = session.text(file).unwrap_or_default();
        let mut snippet = Snippet::source(text).path(file.as_str());
        if file == primary.file {
            let span = clamp(primary, text);
            snippet = snippet.annotation(AnnotationKind::Primary.span(span));
        }
        for label in diagnostic.labels.iter().filter(|l| l.span.file == file) {
            let annotation = AnnotationKind::Context.span(clamp(label.span, text));
            snippet = snippet.annotation(annotation.label(&label.message));
        }
        out.push(snippet);
    }
    out
}

/// The span within the text and on boundaries of characters.
fn clamp(span: Span, text: &str) -> Range<usize> {
    let start = text.floor_char_boundary(span.start as usize);
    let end = text.ceil_char_boundary(span.end as usize);
    start..end.max(start)
}

/// The same as data.
pub fn to_json(diagnostic: &Diagnostic, session: &Session) -> Value {
    let severity = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    };
    let names: Vec<&str> = diagnostic.primary.names().map(|n| n.as_str()).collect();
    let labels = diagnostic.labels.iter();
    let labels: Vec<Value> = labels
        .map(|l| json!({"place": place(l.span, session), "message": l.message}))
        .collect();
    let code = match diagnostic.severity {
        Severity::Error | Severity::Warning => Some(diagnostic.code.0),
        Severity::Note => None,
    };
    json!({
        "code": code,
        "severity": severity,
        "message": diagnostic.message,
        "place": diagnostic.primary.span().map(|s| place(s, session)),
        "nodes": names,
        "labels": labels,
        "notes": diagnostic.notes,
        "help": diagnostic.help,
    })
}

fn place(span: Span, session: &Session) -> Value {
    let text = session.text(span.file).unwrap_or_default();
    let range = clamp(span, text);
    let (line, column) = line_and_column(text, range.start);
    let (end_line, end_column) = line_and_column(text, range.end);
    json!({
        "file": span.file.as_str(),
        "line": line,
        "column": column,
        "end_line": end_line,
        "end_column": end_column,
    })
}

/// Both from 1; columns count characters.
fn line_and_column(text: &str, at: usize) -> (usize, usize) {
    let before = &text[..at];
    let line_start = before.rfind('\n').map_or(0, |i| i + 1);
    let line = before.matches('\n').count() + 1;
    (line, before[line_start..].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use lepid_ir::core::{Code, Loc};

    use super::*;

    fn sample() -> (Diagnostic, Session) {
        let mut session = Session::default();
        session.add_text("net.lir", "func @f() {\n  %0 = nn.reul()\n}\n");
        let file = Symbol::new("net.lir");
        let span = Span {
            file,
            start: 19,
            end: 26,
        };
        let diagnostic =
            Diagnostic::error(Code::UNKNOWN_OP, Loc::Span(span), "unknown op `nn.reul`")
                .with_help("did you mean `nn.relu`?");
        (diagnostic, session)
    }

    #[test]
    fn draws_code_place_caret_and_help() {
        let (diagnostic, session) = sample();
        insta::assert_snapshot!(render(&diagnostic, &session, Style::Plain), @r"
        error[E0101]: unknown op `nn.reul`
          ╭▸ net.lir:2:8
          │
        2 │   %0 = nn.reul()
          │        ━━━━━━━
          │
          ╰ help: did you mean `nn.relu`?
        ");
    }

    #[test]
    fn spans_outside_of_the_text_draw_too() {
        let (mut diagnostic, session) = sample();
        for (file, start, end) in [("net.lir", 900, 10), ("gone.lir", 3, 4)] {
            let file = Symbol::new(file);
            diagnostic.primary = Loc::Span(Span { file, start, end });
            assert!(render(&diagnostic, &session, Style::Colored).contains("unknown op"));
        }
    }

    #[test]
    fn data_has_lines_and_columns() {
        let (diagnostic, session) = sample();
        let value = to_json(&diagnostic, &session);
        assert_eq!(value["code"], "E0101");
        assert_eq!(value["place"]["line"], 2);
        assert_eq!(value["place"]["column"], 8);
    }
}
