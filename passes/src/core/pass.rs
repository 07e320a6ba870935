//! A pass as a constant and a function.

use std::fmt;

use lepid_ir::core::{Diagnostics, Module};

use crate::core::PassCx;

/// A pass: what `lepid list passes` shows of it, and what it does.
pub struct PassDef {
    /// The name in pipelines: lower case with hyphens.
    pub name: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// How far it may move values.
    pub values: Values,
    pub options: &'static [PassOption],
    pub run: fn(&mut Module, &mut PassCx<'_>) -> PassResult,
}

impl PassDef {
    pub fn option(&self, name: &str) -> Option<&'static PassOption> {
        self.options.iter().find(|o| o.name == name)
    }
}

impl fmt::Debug for PassDef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// A declared option of a pass.
#[derive(Copy, Clone, Debug)]
pub struct PassOption {
    pub name: &'static str,
    pub default: &'static str,
    pub help: &'static str,
}

/// What a pass promises about the values that a function computes. Tests hold it to that.
#[derive(Copy, Clone, PartialEq, Debug)]
pub enum Values {
    /// The same bits.
    Exact,
    /// Each value moves by at most this share of the largest magnitude in its tensor.
    Within(f64),
}

/// Whether a pass changed the module.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Changed {
    Yes,
    No,
}

impl From<bool> for Changed {
    fn from(changed: bool) -> Changed {
        match changed {
            true => Changed::Yes,
            false => Changed::No,
        }
    }
}

/// A pass that fails says why; the module is then of no use.
pub type PassResult = Result<Changed, Diagnostics>;
