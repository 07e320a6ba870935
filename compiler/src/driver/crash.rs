//! What users see of a bug of ours: a request to report it, with the IR at hand.

use std::cell::{Cell, RefCell};
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};

use lepid_ir::core::{Module, PrintOptions, Resources, print_module};

thread_local! {
    /// The step under way on this thread and the module it began with.
    static CURRENT: RefCell<Option<(String, Module)>> = const { RefCell::new(None) };
    /// Whether panics of this thread are somebody's business already.
    static CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// Remembers what is being done to which module, for a report.
pub fn remember(step: impl Into<String>, module: &Module) {
    let current = Some((step.into(), module.clone()));
    CURRENT.with(|c| *c.borrow_mut() = current);
}

/// Lets go of the module, and so of its weights.
pub fn forget() {
    CURRENT.with(|c| *c.borrow_mut() = None);
}

/// Runs something whose panics are looked for: they are given back, and not reported.
pub fn caught<T>(run: impl FnOnce() -> T) -> std::thread::Result<T> {
    CAUGHT.set(true);
    let result = catch_unwind(AssertUnwindSafe(run));
    CAUGHT.set(false);
    if result.is_err() {
        // What was under way is nobody's business any more, and a later panic has nothing to do with it.
        forget();
    }
    result
}

/// Reports panics in our own way. The process still ends with status 101.
pub fn install_hook() {
    std::panic::set_hook(Box::new(report));
}

fn report(info: &PanicHookInfo<'_>) {
    if CAUGHT.get() {
        return;
    }
    let text = message(info);
    // There is nobody left to tell if standard error is gone.
    let _ = io::stderr().write_all(text.as_bytes());
}

fn message(info: &PanicHookInfo<'_>) -> String {
    let what = match info.payload().downcast_ref::<&str>() {
        Some(text) => text.to_string(),
        None => match info.payload().downcast_ref::<String>() {
            Some(text) => text.clone(),
            None => "unknown panic".to_string(),
        },
    };
    let place = info
        .location()
        .map_or(String::new(), |at| format!(" at {at}"));
    let mut text = format!("lepid stopped on a bug of its own{place}:\n  {what}\n");
    // A panic while it is written, or inside of the printer, must not hide the first one.
    let current = CURRENT.with(|c| c.try_borrow_mut().ok()?.take());
    if let Some((step, module)) = current {
        text += &format!("  in {step}\n");
        let print = || print_module(&module, &PrintOptions::default(), &mut Resources::default());
        let printed = catch_unwind(AssertUnwindSafe(print));
        let path = std::env::temp_dir().join(format!("lepid-crash-{}.lir", std::process::id()));
        if let Ok(ir) = printed
            && std::fs::write(&path, ir).is_ok()
        {
            text += &format!("  the IR at that point is in {}\n", path.display());
        }
    }
    let arguments: Vec<String> = std::env::args().collect();
    text += &format!("  command: {}\n", arguments.join(" "));
    text += &format!("  version: {}\n", env!("CARGO_PKG_VERSION"));
    text += "Please report this with the lines above and, if you can, the IR and the model.\n";
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caught_panic_leaves_nothing_behind() {
        let result: std::thread::Result<()> = caught(|| {
            remember("a step", &Module::new());
            lepid_ir::bug!("on purpose");
        });
        assert!(result.is_err());
        assert!(CURRENT.with(|c| c.borrow().is_none()));
    }
}
