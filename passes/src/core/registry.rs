//! The passes that a compilation knows.

use std::collections::BTreeMap;

use lepid_ir::core::nearest;

use crate::core::PassDef;

/// Passes by name. Registration is explicit; there is no global table.
#[derive(Default)]
pub struct PassRegistry {
    passes: BTreeMap<&'static str, &'static PassDef>,
}

impl PassRegistry {
    /// Adds passes. Panics on a second pass of the same name: that is a mistake in the program.
    pub fn add(&mut self, passes: &[&'static PassDef]) {
        for &pass in passes {
            if self.passes.insert(pass.name, pass).is_some() {
                lepid_ir::bug!("pass `{}` is registered twice", pass.name);
            }
        }
    }

    pub fn get(&self, name: &str) -> Option<&'static PassDef> {
        self.passes.get(name).copied()
    }

    /// All passes, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = &'static PassDef> + '_ {
        self.passes.values().copied()
    }

    /// The registered name that is nearest to `name`, if one is near enough to be meant.
    pub fn suggest(&self, name: &str) -> Option<&'static str> {
        nearest(name, self.passes.keys().copied())
    }
}
