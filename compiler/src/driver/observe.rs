//! Watching a pipeline: the IR before and after passes, and what to report after a crash.

use std::io::{self, Write};

use lepid_ir::core::{Module, PrintOptions, Registry, Resources, print_module};
use lepid_ir::text;
use lepid_passes::core::{Changed, Observer, PassDef};

use crate::driver::crash;

/// Around which passes the IR is shown.
#[derive(Clone, Debug, Default)]
pub enum Around {
    #[default]
    None,
    All,
    /// Passes by name.
    These(Vec<String>),
}

impl Around {
    fn has(&self, pass: &PassDef) -> bool {
        match self {
            Around::None => false,
            Around::All => true,
            Around::These(names) => names.iter().any(|n| n == pass.name),
        }
    }
}

/// Writes the IR around passes to `out`.
pub struct Watch<W> {
    pub before: Around,
    pub after: Around,
    pub print: PrintOptions,
    pub out: W,
    /// The first failure to write, after which nothing more is written.
    pub failure: Option<io::Error>,
}

impl<W: Write> Watch<W> {
    fn show(&mut self, when: &str, pass: &PassDef, note: &str, module: &Module) {
        if self.failure.is_some() {
            return;
        }
        // Here nobody reads the large constants back.
        let text = print_module(module, &self.print, &mut Resources::default());
        let name = pass.name;
        if let Err(error) = write!(self.out, "// IR {when} `{name}`{note}\n{text}\n") {
            self.failure = Some(error);
        }
    }
}

impl<W: Write> Observer for Watch<W> {
    fn before(&mut self, pass: &'static PassDef, module: &Module) {
        crash::remember(format!("pass `{}`", pass.name), module);
        if self.before.has(pass) {
            self.show("before", pass, "", module);
        }
    }

    fn after(&mut self, pass: &'static PassDef, module: &Module, changed: Changed) {
        if self.after.has(pass) {
            let note = match changed {
                Changed::Yes => "",
                Changed::No => " (unchanged)",
            };
            self.show("after", pass, note, module);
        }
    }
}

/// Checks the law of the text form before the first pass and after each that changed something,
/// if it is given the ops; a stage that does not read back is a bug of ours.
pub struct RoundTrip<'a, O> {
    pub ops: Option<&'a Registry>,
    pub inner: O,
    /// Whether the module that the pipeline begins with has been checked.
    pub begun: bool,
}

impl<O> RoundTrip<'_, O> {
    fn check(&mut self, when: &str, pass: &PassDef, module: &Module) {
        let Some(ops) = self.ops else { return };
        if let Err(difference) = text::check_round_trip(module, ops) {
            let name = pass.name;
            lepid_ir::bug!("the IR {when} `{name}` does not read back as it was: {difference}");
        }
    }
}

impl<O: Observer> Observer for RoundTrip<'_, O> {
    fn before(&mut self, pass: &'static PassDef, module: &Module) {
        self.inner.before(pass, module);
        if !std::mem::replace(&mut self.begun, true) {
            self.check("before", pass, module);
        }
    }

    fn after(&mut self, pass: &'static PassDef, module: &Module, changed: Changed) {
        self.inner.after(pass, module, changed);
        if changed == Changed::Yes {
            crash::remember(format!("the text after pass `{}`", pass.name), module);
            self.check("after", pass, module);
        }
    }
}
