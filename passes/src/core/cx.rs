//! What a pass may use beside the module.

use std::collections::BTreeMap;
use std::str::FromStr;

use lepid_ir::core::{Code, Diagnostic, Diagnostics, Loc, OpView, Registry, Symbol};

use crate::core::{PassDef, Step};

/// Whether a target takes an op as it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Legality {
    Native,
    /// To be replaced by what `decompose` builds.
    Expand,
    /// Not at all, and why: "grouped convolution of more than two axes".
    Unsupported(String),
}

/// What the driver knows for all passes of a run.
pub struct PassEnv<'a> {
    pub ops: &'a Registry,
    /// What the target says of an op.
    pub legality: &'a dyn Fn(OpView<'_>) -> Legality,
    /// What an op costs on the target, in seconds on one thread.
    pub seconds: &'a dyn Fn(OpView<'_>) -> f64,
    /// Facts about the target by name, such as `("layout", "nhwc")`.
    pub facts: &'a [(&'a str, &'a str)],
    /// Extents given by the user for named dimensions.
    pub dims: BTreeMap<Symbol, u64>,
}

impl<'a> PassEnv<'a> {
    /// No target in particular: every op is native and costs what the op itself estimates.
    pub fn generic(ops: &'a Registry) -> PassEnv<'a> {
        PassEnv {
            ops,
            legality: &|_| Legality::Native,
            seconds: &|op| estimate(op),
            facts: &[],
            dims: BTreeMap::new(),
        }
    }

    /// The value of a fact about the target.
    pub fn fact(&self, name: &str) -> Option<&'a str> {
        let fact = self.facts.iter().find(|(n, _)| *n == name);
        fact.map(|(_, value)| *value)
    }
}

/// Seconds for an op by its own estimate, on a machine of 50 GFLOP/s. Caches feed what is fused, so
/// that a byte takes as long as 4 operations; starting an op, as long as 500.
pub fn estimate(op: OpView<'_>) -> f64 {
    let cost = op.def().cost(op);
    (cost.flops + 4.0 * cost.bytes + 500.0) / 5e10
}

/// The context of one pass: its options, the environment, messages.
pub struct PassCx<'a> {
    pub env: &'a PassEnv<'a>,
    /// Warnings and notes; errors are returned.
    pub diagnostics: Diagnostics,
    /// What the pass has to tell of its work to those who ask.
    pub remarks: Vec<String>,
    /// How often each rule was applied, of a pass that works by rules. Its option `rules` takes such
    /// names with blanks between, `-name` to leave one out, and `none`.
    pub rules: BTreeMap<&'static str, usize>,
    pass: &'static PassDef,
    options: &'a BTreeMap<&'static str, String>,
}

impl<'a> PassCx<'a> {
    pub(crate) fn new(env: &'a PassEnv<'a>, step: &'a Step) -> PassCx<'a> {
        PassCx {
            env,
            diagnostics: Vec::new(),
            remarks: Vec::new(),
            rules: BTreeMap::new(),
            pass: step.pass,
            options: &step.options,
        }
    }

    /// The value of a declared option, or its default.
    pub fn option<T: FromStr>(&self, name: &str) -> Result<T, Diagnostics> {
        let Some(declared) = self.pass.option(name) else {
            lepid_ir::bug!("pass `{}` declares no option `{name}`", self.pass.name);
        };
        let text = self
            .options
            .get(declared.name)
            .map_or(declared.default, String::as_str);
        text.parse().map_err(|_| {
            let message = format!(
                "option `{name}` of pass `{}` cannot be `{text}`",
                self.pass.name
            );
            let help = format!("{} The default is `{}`.", declared.help, declared.default);
            vec![Diagnostic::error(Code::PASS_OPTION, Loc::Unknown, message).with_help(help)]
        })
    }
}
