//! Makes diagnostics of what the lexer and the generated parser found.

use lalrpop_util::ParseError;

use crate::core::{Code, Diagnostic, Diagnostics, Loc, Span, Symbol};
use crate::text::lexer::{LexError, LexErrorKind, Lexer, Token, shorten};

type SyntaxError<'s> = ParseError<usize, Token<'s>, ()>;

/// After an error the parser must read this many tokens before it is believed again.
const TOKENS_TO_TRUST: usize = 3;

/// All errors in the order of the text. One line gives one syntax error, and what follows an error
/// closely is taken for its consequence.
pub(crate) fn diagnostics<'s>(
    text: &str,
    file: Symbol,
    lexical: Vec<LexError>,
    syntactic: impl Iterator<Item = SyntaxError<'s>>,
) -> Diagnostics {
    let at = |start: usize, end: usize| {
        Loc::Span(Span {
            file,
            start: start as u32,
            end: end as u32,
        })
    };
    let aborted = lexical.iter().any(|e| e.kind == LexErrorKind::Depth);
    let mut found: Vec<(usize, Diagnostic)> = Vec::new();
    for error in lexical {
        let (start, end) = (error.span.start as usize, error.span.end as usize);
        let code = match error.kind {
            LexErrorKind::Character | LexErrorKind::Depth => Code::SYNTAX,
            LexErrorKind::Literal => Code::LITERAL,
        };
        let end = match error.kind {
            LexErrorKind::Depth => start + 1,
            LexErrorKind::Character | LexErrorKind::Literal => end,
        };
        let diagnostic = Diagnostic::error(code, at(start, end), error.message);
        found.push((
            start,
            Diagnostic {
                help: error.help,
                ..diagnostic
            },
        ));
    }
    // Where the lexer gave up, the end of the text is no news.
    for error in syntactic.filter(|_| !aborted) {
        let (start, end, message, expected) = match error {
            ParseError::UnrecognizedToken { token, expected } => {
                let (start, _, end) = token;
                let message = format!("unexpected `{}`", shorten(&text[start..end]));
                (start, end, message, expected)
            }
            ParseError::UnrecognizedEof { expected, .. } => {
                let start = text.trim_end().len();
                (
                    start,
                    start + 1,
                    "the text ends too early".to_string(),
                    expected,
                )
            }
            ParseError::ExtraToken { token } => {
                let (start, _, end) = token;
                let message = format!("unexpected `{}`", shorten(&text[start..end]));
                (start, end, message, Vec::new())
            }
            ParseError::InvalidToken { location } => (
                location,
                location + 1,
                "unexpected text".to_string(),
                Vec::new(),
            ),
            ParseError::User { error: () } => continue,
        };
        let message = match expected.is_empty() {
            true => message,
            false => format!("{message}, expected {}", words(&expected)),
        };
        found.push((
            start,
            Diagnostic::error(Code::SYNTAX, at(start, end), message),
        ));
    }
    found.sort_by_key(|(start, _)| *start);
    let mut kept: Vec<Diagnostic> = Vec::new();
    let mut last: Option<usize> = None;
    for (start, diagnostic) in found {
        let believed = last.is_none_or(|last| {
            let between = &text[last..start];
            between.contains('\n') && Lexer::new(between).nth(TOKENS_TO_TRUST).is_some()
        });
        if believed {
            kept.push(diagnostic);
        }
        last = Some(start);
    }
    kept
}

/// The terminals of the grammar in words: "`,` or `)`".
fn words(expected: &[String]) -> String {
    let mut words: Vec<String> = expected
        .iter()
        .map(|terminal| match terminal.trim_matches('"') {
            "value" => "a value `%x`".to_string(),
            "func_name" => "a function name `@f`".to_string(),
            "label" => "a label `^name`".to_string(),
            "word" => "a name".to_string(),
            "tensor" | "extension" => "a type".to_string(),
            "dim" | "string" | "integer" | "float" | "bits" | "dense" | "resource" => {
                "an attribute value".to_string()
            }
            "true" | "false" => "an attribute value".to_string(),
            other => format!("`{other}`"),
        })
        .collect();
    // Where any attribute value may stand, its first tokens need no mention of their own.
    if words.iter().any(|w| w == "an attribute value") {
        let first = ["a type", "a name", "a function name `@f`", "`[`"];
        words.retain(|w| !first.contains(&w.as_str()));
    }
    words.sort();
    words.dedup();
    match words.split_last() {
        None => String::new(),
        Some((only, [])) => only.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
    }
}
