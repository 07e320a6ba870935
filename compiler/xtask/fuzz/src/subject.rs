//! What a fuzzer tries: how inputs are made, what has to hold of each, how one is made smaller.

use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe};

use crate::random::Random;

pub(crate) trait Subject {
    const NAME: &'static str;
    /// Of the files that failing inputs are written to.
    const EXTENSION: &'static str;
    /// Inputs that one process tries. What it learns is lost with it, and so is what it leaks.
    const CHUNK: usize;

    /// How many inputs there are to begin with.
    fn seeds(&self) -> usize;

    fn make(&self, random: &mut Random) -> Vec<u8>;

    fn examine(&self, input: &[u8]) -> Verdict;

    /// Told of each accepted input.
    fn learn(&mut self, _input: &[u8], _random: &mut Random) {}

    /// Inputs that are a little smaller, those with the most left out first.
    fn smaller(&self, input: &[u8]) -> Vec<Vec<u8>>;
}

/// How an input fared.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Diagnostics were reported, as they should be; of which kind they were.
    Rejected(String),
    Accepted,
    /// A panic, or a broken law.
    Failed(String),
}

thread_local! {
    static LAST_PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Keeps the message of a panic instead of printing it.
pub(crate) fn silence_panics() {
    panic::set_hook(Box::new(|panic| {
        LAST_PANIC.with(|last| *last.borrow_mut() = panic.to_string().replace('\n', " "));
    }));
}

/// Examines an input; a panic is a failure.
pub(crate) fn examine(subject: &impl Subject, input: &[u8]) -> Verdict {
    match caught(|| subject.examine(input)) {
        Ok(verdict) => verdict,
        Err(panic) => Verdict::Failed(panic),
    }
}

/// Gives the message of a panic as an error.
pub(crate) fn caught<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    let ran = panic::catch_unwind(AssertUnwindSafe(run));
    ran.map_err(|_| LAST_PANIC.with(|last| last.borrow().clone()))
}
