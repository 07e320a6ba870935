//! What is tried: parse a text; if it parses, print it, parse that, and print again.

use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe};

use lepid_ir::core::{Module, PrintOptions, Registry, Resources, Severity, print_module};
use lepid_ir::{dialects, text};

/// How an input fared.
pub(crate) enum Verdict {
    /// Diagnostics were reported, as they should be.
    Rejected,
    /// It parsed and kept the round-trip law.
    Accepted,
    /// A panic, or a broken law.
    Failed(String),
}

thread_local! {
    static REGISTRY: Registry = dialects::registry();
    static LAST_PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Keeps the message of a panic instead of printing it.
pub(crate) fn silence_panics() {
    panic::set_hook(Box::new(|panic| {
        LAST_PANIC.with(|last| *last.borrow_mut() = panic.to_string().replace('\n', " "));
    }));
}

pub(crate) fn examine(input: &str) -> Verdict {
    let examined = panic::catch_unwind(AssertUnwindSafe(|| {
        REGISTRY.with(|registry| round_trip(input, registry))
    }));
    match examined {
        Ok(verdict) => verdict,
        Err(_) => Verdict::Failed(LAST_PANIC.with(|last| last.borrow().clone())),
    }
}

fn round_trip(input: &str, registry: &Registry) -> Verdict {
    let Some(module) = parse(input, registry) else {
        return Verdict::Rejected;
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
