//! What users see of a bug of ours: a request to report it, with the IR at hand.

use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use lepid_ir::core::{Module, PrintOptions, Resources, print_module};

/// The step under way and the module it began with.
static CURRENT: Mutex<Option<(String, Module)>> = Mutex::new(None);

/// Remembers what is being done to which module, for a report.
pub fn remember(step: impl Into<String>, module: &Module) {
    let current = Some((step.into(), module.clone()));
    *CURRENT.lock().unwrap_or_else(PoisonError::into_inner) = current;
}

/// Lets go of the module, and so of its weights.
pub fn forget() {
    *CURRENT.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

/// Whether panics are somebody's business already.
static CAUGHT: AtomicBool = AtomicBool::new(false);

/// Runs something whose panics are looked for: they are given back, and not reported.
pub fn caught<T>(run: impl FnOnce() -> T) -> std::thread::Result<T> {
    CAUGHT.store(true, Ordering::Relaxed);
    let result = catch_unwind(AssertUnwindSafe(run));
    CAUGHT.store(false, Ordering::Relaxed);
    result
}

/// Reports panics in our own way. The process still ends with status 101.
pub fn install_hook() {
    std::panic::set_hook(Box::new(report));
}

fn report(info: &PanicHookInfo<'_>) {
    if CAUGHT.load(Ordering::Relaxed) {
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
    // A panic inside of the lock or of the printer must not hide the first one.
    let current = CURRENT.try_lock().ok().and_then(|mut c| c.take());
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
