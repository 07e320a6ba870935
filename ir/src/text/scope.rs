//! The names of values and where they are in sight.

use indexmap::IndexMap;

use crate::core::{Code, Label, Value, nearest};
use crate::text::lexer::{Lexer, Token, shorten};
use crate::text::literal::Reader;
use crate::text::syntax::{self, Func, Name, Span};

/// Whether the names around a region are in sight inside of it.
#[derive(Copy, Clone, PartialEq, Eq)]
pub(crate) enum Sight {
    Outside,
    Isolated,
}

/// The blocks around the op at hand, outermost first.
#[derive(Default)]
pub(crate) struct Scopes<'s> {
    stack: Vec<Scope<'s>>,
    /// Names that were not in sight in the function at hand, and the messages about them.
    undefined: Vec<(&'s str, usize)>,
}

struct Scope<'s> {
    names: IndexMap<&'s str, Binding>,
    sight: Sight,
}

#[derive(Copy, Clone)]
struct Binding {
    span: Span,
    /// `None`: an error that was reported stands in its place.
    value: Option<Value>,
}

impl<'s> Scopes<'s> {
    pub(crate) fn open(&mut self, sight: Sight) {
        self.stack.push(Scope {
            names: IndexMap::new(),
            sight,
        });
    }

    pub(crate) fn close(&mut self) {
        self.stack.pop();
    }

    pub(crate) fn lookup(&mut self, reader: &mut Reader<'_>, name: Name<'s>) -> Option<Value> {
        match self.find(name.text) {
            Some(binding) => binding.value,
            None => self.undefined(reader, name),
        }
    }

    fn find(&self, name: &str) -> Option<Binding> {
        for scope in self.stack.iter().rev() {
            if let Some(&binding) = scope.names.get(name) {
                return Some(binding);
            }
            if scope.sight == Sight::Isolated {
                break;
            }
        }
        None
    }

    fn undefined<T>(&mut self, reader: &mut Reader<'_>, name: Name<'s>) -> Option<T> {
        let message = format!("`%{}` is not defined", shorten(name.text));
        let mut error = reader.error(Code::UNDEFINED_VALUE, name.span, message);
        let numbered = name.text.bytes().all(|c| c.is_ascii_digit());
        if !numbered
            && reader.may_suggest()
            && let Some(near) = nearest(name.text, self.names_in_sight())
        {
            error = error.with_help(format!("did you mean `%{near}`?"));
        }
        self.undefined.push((name.text, reader.diagnostics.len()));
        reader.report(error)
    }

    fn names_in_sight(&self) -> impl Iterator<Item = &'s str> + '_ {
        let outermost = self
            .stack
            .iter()
            .rposition(|s| s.sight == Sight::Isolated)
            .unwrap_or(0);
        let scopes = self.stack[outermost..].iter();
        scopes.flat_map(|s| s.names.keys().copied())
    }

    /// Shows where the names are defined that are defined somewhere, but out of sight.
    pub(crate) fn label_definitions(&mut self, reader: &mut Reader<'_>, func: &Func<'s>) {
        let undefined = std::mem::take(&mut self.undefined);
        if undefined.is_empty() {
            return;
        }
        let mut definitions: IndexMap<&'s str, Span> = IndexMap::new();
        syntax::definitions(func, &mut |name| {
            definitions.entry(name.text).or_insert(name.span);
        });
        for (name, index) in undefined {
            if let Some(&span) = definitions.get(name) {
                let span = reader.span(span);
                let label = Label {
                    span,
                    message: "defined here, out of sight".to_string(),
                };
                reader.diagnostics[index].labels.push(label);
            }
        }
    }

    pub(crate) fn bind(&mut self, reader: &mut Reader<'_>, name: Name<'s>, value: Option<Value>) {
        let binding = Binding {
            span: name.span,
            value,
        };
        if let Some(earlier) = self.find(name.text) {
            let shown = format!("%{}", shorten(name.text));
            reader.duplicate(&shown, name.span, earlier.span);
        }
        if let Some(scope) = self.stack.last_mut() {
            scope.names.insert(name.text, binding);
        }
    }

    /// Binds the results of an op that could not be read, as far as they can be seen.
    pub(crate) fn bind_broken(&mut self, reader: &mut Reader<'_>, text: &'s str, span: Span) {
        let source = &text[span.start as usize..span.end as usize];
        let mut names = Vec::new();
        for token in Lexer::new(source).flatten() {
            match token {
                (start, Token::Value(text), end) => names.push(Name {
                    text,
                    span: Span::new(span.start as usize + start, span.start as usize + end),
                }),
                (_, Token::Comma, _) => {}
                (_, Token::Equals, _) => break,
                // No list of results: uses, perhaps.
                _ => return,
            }
        }
        for name in names {
            // A broken text is no place to complain of names.
            if self.find(name.text).is_none() {
                self.bind(reader, name, None);
            }
        }
    }
}
