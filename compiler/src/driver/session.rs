//! What one command gathers on its way: source texts for messages, the messages themselves, and
//! the limits that hold.

use std::collections::{BTreeMap, BTreeSet};

use lepid_ir::core::{Diagnostics, Limits, Symbol};

/// Texts by file name, and messages that do not stop the command.
#[derive(Default)]
pub struct Session {
    texts: BTreeMap<Symbol, String>,
    /// Model files: places by their names alone are in them, or are them.
    models: BTreeSet<Symbol>,
    /// Warnings and notes, in the order of their finding.
    pub diagnostics: Diagnostics,
    /// What a model may take.
    pub limits: Limits,
}

impl Session {
    /// A session in which a model may take no more than this.
    pub fn within(limits: Limits) -> Session {
        Session {
            limits,
            ..Session::default()
        }
    }

    /// Remembers the text under the name that spans use.
    pub fn add_text(&mut self, file: &str, text: impl Into<String>) {
        self.texts.insert(Symbol::new(file), text.into());
    }

    /// Remembers a file that messages may name as a place.
    pub fn add_model(&mut self, file: &str) {
        self.models.insert(Symbol::new(file));
    }

    pub fn is_model(&self, name: Symbol) -> bool {
        self.models.contains(&name)
    }

    pub fn text(&self, file: Symbol) -> Option<&str> {
        self.texts.get(&file).map(String::as_str)
    }
}
