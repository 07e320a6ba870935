//! Pipelines as text: `fold,cse,eqsat{nodes=20000},dead-ops`.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use lepid_ir::core::{Code, Diagnostic, Diagnostics, Loc, Span, Symbol, nearest};

use crate::core::{PassDef, PassRegistry};

/// The file name under which spans point into the text of a pipeline.
pub const PIPELINE_FILE: &str = "pipeline";

/// A name for a pipeline, which may use other aliases.
#[derive(Copy, Clone, Debug)]
pub struct Alias {
    pub name: &'static str,
    pub pipeline: &'static str,
    pub summary: &'static str,
}

/// Passes in order, with aliases resolved.
#[derive(Clone, Debug, Default)]
pub struct Pipeline {
    pub steps: Vec<Step>,
}

/// One pass with the options that were given.
#[derive(Clone, Debug)]
pub struct Step {
    pub pass: &'static PassDef,
    pub options: BTreeMap<&'static str, String>,
}

impl Pipeline {
    /// Reads a pipeline; reports all that is wrong with it.
    pub fn parse(
        text: &str,
        passes: &PassRegistry,
        aliases: &[Alias],
    ) -> Result<Pipeline, Diagnostics> {
        let mut resolver = Resolver {
            passes,
            aliases,
            open: Vec::new(),
            pipeline: Pipeline::default(),
            found: Vec::new(),
        };
        resolver.text(text, Symbol::new(PIPELINE_FILE));
        match resolver.found.is_empty() {
            true => Ok(resolver.pipeline),
            false => Err(resolver.found),
        }
    }
}

impl fmt::Display for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, step) in self.steps.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            write!(f, "{comma}{}", step.pass.name)?;
            if step.options.is_empty() {
                continue;
            }
            let options = step.options.iter();
            let options: Vec<String> = options.map(|(n, v)| format!("{n}={v}")).collect();
            write!(f, "{{{}}}", options.join(","))?;
        }
        Ok(())
    }
}

/// A pass or an alias as written.
struct Item<'t> {
    name: Word<'t>,
    options: Vec<(Word<'t>, Word<'t>)>,
}

#[derive(Clone)]
struct Word<'t> {
    text: &'t str,
    at: Range<usize>,
}

struct Resolver<'a> {
    passes: &'a PassRegistry,
    aliases: &'a [Alias],
    /// The aliases around the current text.
    open: Vec<&'static str>,
    pipeline: Pipeline,
    found: Diagnostics,
}

impl Resolver<'_> {
    fn text(&mut self, text: &str, file: Symbol) {
        match Reader::new(text).items() {
            Ok(items) => items.into_iter().for_each(|item| self.item(item, file)),
            Err((message, at)) => self.error(Code::PIPELINE, file, &at, message, None),
        }
    }

    fn item(&mut self, item: Item<'_>, file: Symbol) {
        let name = item.name.text;
        if let Some(pass) = self.passes.get(name) {
            return self.pass(pass, item, file);
        }
        if let Some(alias) = self.aliases.iter().find(|a| a.name == name) {
            return self.alias(alias, item, file);
        }
        let known = self.passes.iter().map(|p| p.name);
        let near = nearest(name, known.chain(self.aliases.iter().map(|a| a.name)));
        let help = near.map(|near| format!("did you mean `{near}`?"));
        let message = format!("unknown pass `{name}`");
        self.error(Code::UNKNOWN_PASS, file, &item.name.at, message, help);
    }

    fn alias(&mut self, alias: &Alias, item: Item<'_>, file: Symbol) {
        if let Some((option, _)) = item.options.first() {
            let message = format!("the alias `{}` takes no options", alias.name);
            return self.error(Code::PASS_OPTION, file, &option.at, message, None);
        }
        if self.open.contains(&alias.name) {
            let message = format!("the alias `{}` contains itself", alias.name);
            return self.error(Code::PIPELINE, file, &item.name.at, message, None);
        }
        self.open.push(alias.name);
        self.text(
            alias.pipeline,
            Symbol::new(&format!("alias {}", alias.name)),
        );
        self.open.pop();
    }

    fn pass(&mut self, pass: &'static PassDef, item: Item<'_>, file: Symbol) {
        let mut options = BTreeMap::new();
        for (name, value) in item.options {
            let Some(declared) = pass.option(name.text) else {
                let message = format!("pass `{}` has no option `{}`", pass.name, name.text);
                let near = nearest(name.text, pass.options.iter().map(|o| o.name));
                let help = near.map(|near| format!("did you mean `{near}`?"));
                self.error(Code::PASS_OPTION, file, &name.at, message, help);
                continue;
            };
            if options
                .insert(declared.name, value.text.to_string())
                .is_some()
            {
                let message = format!("option `{}` is given twice", name.text);
                self.error(Code::PASS_OPTION, file, &name.at, message, None);
            }
        }
        self.pipeline.steps.push(Step { pass, options });
    }

    fn error(
        &mut self,
        code: Code,
        file: Symbol,
        at: &Range<usize>,
        message: String,
        help: Option<String>,
    ) {
        let span = Span {
            file,
            start: at.start as u32,
            end: at.end as u32,
        };
        let mut diagnostic = Diagnostic::error(code, Loc::Span(span), message);
        diagnostic.help = help;
        self.found.push(diagnostic);
    }
}

/// Splits text into items; an error is a message and its place.
struct Reader<'t> {
    text: &'t str,
    at: usize,
}

type ReadResult<T> = Result<T, (String, Range<usize>)>;

impl<'t> Reader<'t> {
    fn new(text: &'t str) -> Reader<'t> {
        Reader { text, at: 0 }
    }

    fn items(mut self) -> ReadResult<Vec<Item<'t>>> {
        let mut items = Vec::new();
        if self.text.trim().is_empty() {
            return Ok(items);
        }
        loop {
            let name = self.word("the name of a pass", &[',', '{', '}', '='])?;
            let options = match self.take('{') {
                true => self.options()?,
                false => Vec::new(),
            };
            items.push(Item { name, options });
            if self.rest().is_empty() {
                return Ok(items);
            }
            self.expect(',')?;
        }
    }

    fn options(&mut self) -> ReadResult<Vec<(Word<'t>, Word<'t>)>> {
        let mut options = Vec::new();
        while !self.take('}') {
            if !options.is_empty() {
                self.expect(',')?;
            }
            let name = self.word("the name of an option", &[',', '{', '}', '='])?;
            self.expect('=')?;
            let value = self.word("the value of the option", &[',', '{', '}'])?;
            options.push((name, value));
        }
        Ok(options)
    }

    /// The text up to one of `stops`, without the blanks around it.
    fn word(&mut self, expected: &str, stops: &[char]) -> ReadResult<Word<'t>> {
        let rest = self.rest();
        let text = rest.split(stops).next().unwrap_or_default().trim_end();
        let at = self.at..self.at + text.len();
        if text.is_empty() {
            return Err(self.unexpected(expected));
        }
        self.at = at.end;
        Ok(Word { text, at })
    }

    fn expect(&mut self, c: char) -> ReadResult<()> {
        match self.take(c) {
            true => Ok(()),
            false => Err(self.unexpected(&format!("`{c}`"))),
        }
    }

    fn take(&mut self, c: char) -> bool {
        let taken = self.rest().starts_with(c);
        self.at += if taken { c.len_utf8() } else { 0 };
        taken
    }

    /// What is left, after blanks.
    fn rest(&mut self) -> &'t str {
        let rest = self.text[self.at..].trim_start();
        self.at = self.text.len() - rest.len();
        rest
    }

    fn unexpected(&mut self, expected: &str) -> (String, Range<usize>) {
        let rest = self.rest();
        match rest.chars().next() {
            Some(c) => (
                format!("expected {expected}, found `{c}`"),
                self.at..self.at + c.len_utf8(),
            ),
            None => (
                format!("expected {expected}, found the end"),
                self.at..self.at,
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{Changed, PassOption, Values};

    static ONE: PassDef = pass("one-pass");
    static TWO: PassDef = pass("two");

    const fn pass(name: &'static str) -> PassDef {
        PassDef {
            name,
            summary: "Does nothing.",
            values: Values::Exact,
            options: &[PassOption {
                name: "rounds",
                default: "8",
                help: "Ignored.",
            }],
            run: |_, _| Ok(Changed::No),
        }
    }

    const ALIASES: &[Alias] = &[
        Alias {
            name: "both",
            pipeline: "one-pass,two",
            summary: "",
        },
        Alias {
            name: "loop",
            pipeline: "both,loop",
            summary: "",
        },
    ];

    fn parse(text: &str) -> Result<String, Vec<(&'static str, String, Loc)>> {
        let mut passes = PassRegistry::default();
        passes.add(&[&ONE, &TWO]);
        match Pipeline::parse(text, &passes, ALIASES) {
            Ok(pipeline) => Ok(pipeline.to_string()),
            Err(found) => Err(found
                .into_iter()
                .map(|d| (d.code.0, d.message, d.primary))
                .collect()),
        }
    }

    #[test]
    fn reads_options_and_aliases() {
        let text = " both , one-pass{ rounds = 3 },two{}";
        let read = parse(text).unwrap();
        assert_eq!(read, "one-pass,two,one-pass{rounds=3},two");
        assert_eq!(parse(&read).unwrap(), read);
        assert_eq!(parse("").unwrap(), "");
    }

    #[test]
    fn errors_stand_at_their_place() {
        let span = |start, end| {
            let file = Symbol::new(PIPELINE_FILE);
            Loc::Span(Span { file, start, end })
        };
        let cases = [
            ("two,one-pas", "E0301", span(4, 11)),
            ("two{round=3}", "E0302", span(4, 9)),
            ("two{rounds=3,rounds=4}", "E0302", span(13, 19)),
            ("both{rounds=3}", "E0302", span(5, 11)),
            ("two,,two", "E0304", span(4, 5)),
            ("two{rounds}", "E0304", span(10, 11)),
            ("two{rounds=3", "E0304", span(12, 12)),
            ("two}", "E0304", span(3, 4)),
        ];
        for (text, code, at) in cases {
            let found = parse(text).unwrap_err();
            assert_eq!((found[0].0, &found[0].2), (code, &at), "{text}");
        }
        assert_eq!(parse("loop").unwrap_err()[0].0, "E0304");
        assert_eq!(parse("a,b").unwrap_err().len(), 2);
    }
}
