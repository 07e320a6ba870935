//! The text form, read.
//!
//! `lexer` makes tokens, `grammar.lalrpop` a syntax tree of names and spans (`syntax`), `resolve`
//! a [`Module`] through the [`Registry`], `literal` and `attrs` read types and attribute
//! values, [`Weights`]
//! is the side file of large constants. Each step goes on after an error, so that one run finds
//! all of them.
//!
//! ```
//! let registry = lepid_ir::dialects::registry();
//! let text = "func @same(%x: tensor<2xf32>) -> (tensor<2xf32>) {\n  return %x\n}\n";
//! let (module, diagnostics) = lepid_ir::text::parse(text, "same.lir", &registry, None);
//! assert!(diagnostics.is_empty());
//! assert_eq!(module.funcs().count(), 1);
//! ```

use std::collections::BTreeSet;

use crate::core::{
    Code, Diagnostic, Diagnostics, Limits, Loc, Module, PrintOptions, Registry, Resources, Span,
    Symbol, print_module, same_modules, verify,
};

mod attrs;
mod errors;
mod lexer;
mod literal;
mod order;
mod resolve;
mod scope;
mod syntax;
mod weights;

lalrpop_util::lalrpop_mod!(
    #[allow(clippy::all, unreachable_pub, unused, reason = "generated code")]
    grammar,
    "/text/grammar.rs"
);

pub use weights::{Weights, WeightsError, weights_to_bytes, write_weights};

/// The law of the text form for one module: what is printed reads back as the same module, and
/// prints again as the same text. `Err` says where it is broken.
pub fn check_round_trip(module: &Module, registry: &Registry) -> Result<(), String> {
    let options = PrintOptions::default();
    let mut resources = Resources::default();
    let text = print_module(module, &options, &mut resources);
    let weights = Weights::from(&resources);
    let (read, diagnostics) = parse(&text, "printed", registry, Some(&weights));
    if let Some(first) = diagnostics.first() {
        let start = first.primary.span().map_or(0, |s| s.start as usize);
        let line = text[..start.min(text.len())].matches('\n').count();
        let source = text.lines().nth(line).unwrap_or_default();
        return Err(format!("{}: {}", first.message, source.trim()));
    }
    same_modules(module, &read)?;
    match print_module(&read, &options, &mut Resources::default()) == text {
        true => Ok(()),
        false => Err("the text that was read prints as another text".to_string()),
    }
}

/// Reads a module. Without errors among the diagnostics it is whole and valid; otherwise it is what
/// could be built. `file` is the name that locations and messages give; `weights` are the constants
/// that the text names as `resource<…>["key"]`.
pub fn parse(
    text: &str,
    file: &str,
    registry: &Registry,
    weights: Option<&Weights>,
) -> (Module, Diagnostics) {
    parse_within(text, file, registry, weights, Limits::default())
}

/// Reads a module within limits of the caller's.
pub fn parse_within(
    text: &str,
    file: &str,
    registry: &Registry,
    weights: Option<&Weights>,
    limits: Limits,
) -> (Module, Diagnostics) {
    let file = Symbol::new(file);
    if u32::try_from(text.len()).is_err() {
        let start = Loc::Span(Span {
            file,
            start: 0,
            end: 0,
        });
        let error = Diagnostic::error(Code::SYNTAX, start, "a text may have 4 GiB at most");
        return (Module::new(), vec![error]);
    }
    let mut lexer = lexer::Lexer::new(text);
    let mut recovered = Vec::new();
    let parsed = grammar::FileParser::new().parse(&mut recovered, lexer.by_ref());
    let (tree, fatal) = match parsed {
        Ok(tree) => (Some(tree), None),
        Err(error) => (None, Some(error)),
    };
    let syntax_errors = recovered.into_iter().map(|r| r.error).chain(fatal);
    let mut diagnostics = errors::diagnostics(text, file, lexer.errors, syntax_errors);
    let Some(tree) = tree else {
        return (Module::new(), diagnostics);
    };
    let (module, found) = resolve::resolve(text, &tree, file, registry, weights, limits);
    let newlines: Vec<usize> = text.match_indices('\n').map(|(at, _)| at).collect();
    let line = |d: &Diagnostic| {
        let start = d.primary.span().map_or(0, |s| s.start as usize);
        newlines.partition_point(|&at| at < start)
    };
    // What else is wrong with a line that cannot be read is mostly a consequence of that.
    let unreadable: BTreeSet<usize> = diagnostics.iter().map(line).collect();
    let believed = found.into_iter().filter(|d| !unreadable.contains(&line(d)));
    diagnostics.extend(believed);
    if diagnostics.is_empty() {
        diagnostics = verify(&module);
    }
    diagnostics.sort_by_key(|d| d.primary.span().map_or(0, |s| s.start));
    (module, diagnostics)
}
