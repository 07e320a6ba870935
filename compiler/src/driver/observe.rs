//! Watching a pipeline: the IR before and after passes, and what to report after a crash.

use std::io::{self, Write};

use lepid_ir::core::{Module, PrintOptions, Registry, Resources, ValueNames, print_module};
use lepid_ir::text;
use lepid_passes::core::{Changed, Observer, PassDef};

use crate::driver::{crash, diff};

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
    /// The passes whose changes are shown as differences of the IR.
    pub diff: Around,
    pub print: PrintOptions,
    pub out: W,
    /// The first failure to write, after which nothing more is written.
    pub failure: Option<io::Error>,
    differ: Differ,
}

impl<W: Write> Watch<W> {
    /// Shows nothing yet.
    pub fn new(out: W) -> Watch<W> {
        Watch {
            before: Around::None,
            after: Around::None,
            diff: Around::None,
            print: PrintOptions::default(),
            out,
            failure: None,
            differ: Differ::default(),
        }
    }

    fn show(&mut self, when: &str, pass: &PassDef, note: &str, module: &Module) {
        // Here nobody reads the large constants back.
        let text = print_module(module, &self.print, &mut Resources::default());
        let name = pass.name;
        self.write(&format!("// IR {when} `{name}`{note}\n{text}\n"));
    }

    fn write(&mut self, text: &str) {
        if self.failure.is_none()
            && let Err(error) = self.out.write_all(text.as_bytes())
        {
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
        if self.diff.has(pass) {
            self.differ.before(module, &self.print);
        }
    }

    fn after(&mut self, pass: &'static PassDef, module: &Module, changed: Changed) {
        if self.diff.has(pass) && changed == Changed::Yes {
            let diff = self.differ.after(module, &self.print);
            let name = pass.name;
            self.write(&format!(
                "--- before `{name}`\n+++ after `{name}`\n{diff}\n"
            ));
        }
        if self.after.has(pass) {
            let note = match changed {
                Changed::Yes => "",
                Changed::No => " (unchanged)",
            };
            self.show("after", pass, note, module);
        }
    }
}

/// Differences of a module from step to step.
#[derive(Default)]
struct Differ {
    before: String,
    /// Equal constants keep their keys, also in the next text.
    resources: Resources,
}

impl Differ {
    fn before(&mut self, module: &Module, print: &PrintOptions) {
        self.before = self.text(module, print);
    }

    fn after(&mut self, module: &Module, print: &PrintOptions) -> String {
        let after = self.text(module, print);
        diff::unified(&self.before, &after)
    }

    fn text(&mut self, module: &Module, print: &PrintOptions) -> String {
        let print = PrintOptions {
            names: ValueNames::ById,
            ..print.clone()
        };
        print_module(module, &print, &mut self.resources)
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
