//! The parser of the IR text: it never panics, and what parses keeps the round-trip law.

mod corpus;
mod mutate;

use std::path::PathBuf;

use lepid_ir::core::{Module, PrintOptions, Registry, Resources, Severity, print_module};
use lepid_ir::{dialects, text};

use crate::random::Random;
use crate::subject::{Subject, Verdict};
use corpus::Corpus;

/// Parses a text; if it parses, prints it, parses that, and prints again.
pub(crate) struct Text {
    corpus: Corpus,
    registry: Registry,
}

impl Text {
    pub(crate) fn new(folders: &[PathBuf]) -> Result<Text, String> {
        Ok(Text {
            corpus: Corpus::read(folders)?,
            registry: dialects::registry(),
        })
    }
}

impl Subject for Text {
    const NAME: &'static str = "text";
    const EXTENSION: &'static str = "lir";
    const CHUNK: usize = 65_536;

    fn seeds(&self) -> usize {
        self.corpus.len()
    }

    fn make(&self, random: &mut Random) -> Vec<u8> {
        mutate::mutate(&self.corpus, random).into_bytes()
    }

    fn examine(&self, input: &[u8]) -> Verdict {
        match std::str::from_utf8(input) {
            Ok(input) => round_trip(input, &self.registry),
            Err(_) => Verdict::Rejected("no text".to_owned()),
        }
    }

    fn learn(&mut self, input: &[u8], random: &mut Random) {
        if let Ok(input) = std::str::from_utf8(input) {
            self.corpus.learn(input, random);
        }
    }

    fn smaller(&self, input: &[u8]) -> Vec<Vec<u8>> {
        let Ok(input) = std::str::from_utf8(input) else {
            return Vec::new();
        };
        let lines: Vec<&str> = input.split_inclusive('\n').collect();
        let tokens = corpus::tokens(input);
        let tokens: Vec<&str> = tokens.iter().map(String::as_str).collect();
        let without = |parts: &[&str], n: usize| [&parts[..n], &parts[n + 1..]].concat().concat();
        let by_line = (0..lines.len()).map(|n| without(&lines, n).into_bytes());
        let by_token = (0..tokens.len()).map(|n| without(&tokens, n).into_bytes());
        by_line.chain(by_token).collect()
    }
}

fn round_trip(input: &str, registry: &Registry) -> Verdict {
    let Some(module) = parse(input, registry) else {
        return Verdict::Rejected("refused".to_owned());
    };
    let printed = print(&module);
    let Some(again) = parse(&printed, registry) else {
        return Verdict::Failed(format!("what was printed does not parse: {printed:.200}"));
    };
    if print(&again) == printed {
        return Verdict::Accepted;
    }
    Verdict::Failed("what was printed prints otherwise once parsed".to_owned())
}

fn parse(input: &str, registry: &Registry) -> Option<Module> {
    let (module, diagnostics) = text::parse(input, "input.lir", registry, None);
    let broken = diagnostics.iter().any(|d| d.severity == Severity::Error);
    (!broken).then_some(module)
}

/// All constants stay in the text, so that no side file is needed.
fn print(module: &Module) -> String {
    let options = PrintOptions {
        inline_elements: usize::MAX,
        ..PrintOptions::default()
    };
    print_module(module, &options, &mut Resources::default())
}
