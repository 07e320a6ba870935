//! The table of interned strings.
//!
//! It is the one process-wide table of the IR, together with that of the types: both are
//! append-only and hold plain data, so that a [`Symbol`] or a `Type` is `Copy`, is compared by
//! address, and can be read without a module at hand. Nothing is ever ordered by an address.

use std::collections::HashSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{LazyLock, Mutex};

/// An interned string.
#[derive(Copy, Clone)]
pub struct Symbol(&'static str);

static STRINGS: LazyLock<Mutex<HashSet<&'static str>>> = LazyLock::new(Mutex::default);

impl Symbol {
    /// The symbol for `text`; equal texts give equal symbols.
    pub fn new(text: &str) -> Symbol {
        let mut strings = STRINGS.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(known) = strings.get(text) {
            return Symbol(known);
        }
        let text: &'static str = Box::leak(text.into());
        strings.insert(text);
        Symbol(text)
    }

    /// The text.
    pub fn as_str(self) -> &'static str {
        self.0
    }
}

impl PartialEq for Symbol {
    fn eq(&self, other: &Symbol) -> bool {
        std::ptr::eq(self.0, other.0)
    }
}
impl Eq for Symbol {}
impl Hash for Symbol {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}
impl PartialOrd for Symbol {
    fn partial_cmp(&self, other: &Symbol) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Symbol {
    fn cmp(&self, other: &Symbol) -> std::cmp::Ordering {
        self.0.cmp(other.0)
    }
}
impl From<&str> for Symbol {
    fn from(text: &str) -> Symbol {
        Symbol::new(text)
    }
}
impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}
impl fmt::Debug for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.0, f)
    }
}
