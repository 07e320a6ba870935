//! Finds where a compilation goes wrong: the pass after which a function computes other values, or
//! the code that is generated in the end.
//!
//! Every module that a pipeline leaves can be interpreted, so that each pass is held against the
//! module before any. The interpreter is slow; between a module that is right and one that is not,
//! the faulty pass is found by halves.

use lepid_ir::core::{
    Code, Diagnostic, Diagnostics, Loc, Module, PrintOptions, Resources, Tensor, print_module,
};
use lepid_ir::interp;
use lepid_passes::core::{Changed, Observer, PassDef};
use lepid_target_api::{Package, Signature, main_function};

use crate::driver::compare::{Tolerance, compare};
use crate::driver::per_op::{self, OpCheck};
use crate::driver::trial::Trial;
use crate::reduce::{Observed, interpret};

/// The module after a pass.
pub struct Stage {
    pub pass: &'static str,
    /// By comparison, not by what the pass says of itself.
    pub changed: Changed,
    pub module: Module,
}

/// Keeps the module after each pass, beside what another observer does.
pub struct Recorder<'o> {
    pub stages: Vec<Stage>,
    /// The pass that has begun and not ended.
    pub open: Option<&'static str>,
    text: String,
    /// Equal constants have equal keys in all texts.
    resources: Resources,
    inner: &'o mut dyn Observer,
}

impl<'o> Recorder<'o> {
    pub fn new(inner: &'o mut dyn Observer) -> Recorder<'o> {
        Recorder {
            stages: Vec::new(),
            open: None,
            text: String::new(),
            resources: Resources::default(),
            inner,
        }
    }

    fn print(&mut self, module: &Module) -> String {
        print_module(module, &PrintOptions::default(), &mut self.resources)
    }
}

impl Observer for Recorder<'_> {
    fn before(&mut self, pass: &'static PassDef, module: &Module) {
        self.open = Some(pass.name);
        if self.stages.is_empty() {
            self.text = self.print(module);
        }
        self.inner.before(pass, module);
    }

    fn after(&mut self, pass: &'static PassDef, module: &Module, changed: Changed) {
        self.open = None;
        self.inner.after(pass, module, changed);
        let text = self.print(module);
        self.stages.push(Stage {
            pass: pass.name,
            changed: Changed::from(text != self.text),
            module: module.clone(),
        });
        self.text = text;
    }
}

/// What a module computes, beside what it should.
#[derive(Clone, Debug)]
pub enum Found {
    /// Within the tolerance, with this largest error.
    Agrees(f64),
    /// The worst error, and the messages for all outputs that differ.
    Differs(f64, Diagnostics),
    /// It cannot be run.
    Fails(Diagnostic),
}

impl Found {
    pub fn agrees(&self) -> bool {
        match self {
            Found::Agrees(_) => true,
            Found::Differs(..) | Found::Fails(_) => false,
        }
    }

    /// The error as a number, if it ran.
    pub fn error(&self) -> Option<f64> {
        match self {
            Found::Agrees(error) | Found::Differs(error, _) => Some(*error),
            Found::Fails(_) => None,
        }
    }
}

/// Which part of the compiler is to blame.
pub enum Culprit {
    Nobody,
    /// The stage of this number is the first that is not right, as far as halving can tell.
    Pass(usize, Found),
    /// All passes are right, the code is not; with each op of the last stage, or of the imported
    /// module if there is no pass, by itself.
    Code(Found, Vec<OpCheck>),
}

/// A finished search.
pub struct Search {
    pub stages: Vec<Stage>,
    /// What was found at each stage that was looked at.
    pub checked: Vec<Option<Found>>,
    pub culprit: Culprit,
}

/// How to search.
pub struct Bisect<'a> {
    pub trial: &'a Trial<'a>,
    pub inputs: &'a [Tensor],
    pub tolerance: Tolerance,
    /// Look at the module after every pass, not only where halving leads.
    pub every_pass: bool,
    /// Called before each interpretation with what is about to be looked at.
    pub progress: &'a mut dyn FnMut(&str),
}

impl Bisect<'_> {
    pub fn run(
        &mut self,
        module: &Module,
        observer: &mut dyn Observer,
    ) -> Result<Search, Diagnostics> {
        (self.progress)("the imported module");
        let expected = self.interpret(module).map_err(|error| vec![error])?;
        let mut recorder = Recorder::new(observer);
        let compiled = self.trial.compile_observed(module.clone(), &mut recorder);
        let (stages, open) = (recorder.stages, recorder.open);
        let mut search = Search {
            checked: stages.iter().map(|_| None).collect(),
            stages,
            culprit: Culprit::Nobody,
        };
        if self.every_pass {
            for at in 0..search.stages.len() {
                self.check(&mut search, at, &expected);
            }
        }
        let package = match compiled {
            Ok(package) => package,
            Err(found) => return self.failed(search, open, found, &expected),
        };
        match self.first_wrong(&mut search, &expected) {
            Some(at) => {
                let found = search.checked[at].clone();
                search.culprit = match found {
                    Some(found) => Culprit::Pass(at, found),
                    None => lepid_ir::bug!("a stage is blamed unseen"),
                };
            }
            None => {
                let lowered = search.stages.last().map_or(module, |s| &s.module);
                search.culprit = self.code(lowered, &package, &expected)?;
            }
        }
        Ok(search)
    }

    fn interpret(&self, module: &Module) -> Result<Vec<Tensor>, Diagnostic> {
        let func = main_function(module, self.trial.options.func.as_deref());
        let func = func.map_err(|mut found| found.remove(0))?;
        interp::run(module, func, self.inputs)
    }

    /// A compilation that ends early may still have gone wrong before.
    fn failed(
        &mut self,
        mut search: Search,
        open: Option<&'static str>,
        found: Diagnostics,
        expected: &[Tensor],
    ) -> Result<Search, Diagnostics> {
        if let Some(at) = self.first_wrong(&mut search, expected)
            && let Some(found) = search.checked[at].clone()
        {
            search.culprit = Culprit::Pass(at, found);
            return Ok(search);
        }
        let place = match open {
            Some(pass) => format!("found in pass `{pass}`; the passes before it are right"),
            None => "found after all passes, which are right".to_string(),
        };
        Err(found
            .into_iter()
            .map(|d| d.with_note(place.clone()))
            .collect())
    }

    /// The number of a stage that is wrong while the one before it is right.
    fn first_wrong(&mut self, search: &mut Search, expected: &[Tensor]) -> Option<usize> {
        if self.every_pass {
            let wrong = |f: &Option<Found>| f.as_ref().is_some_and(|f| !f.agrees());
            return search.checked.iter().position(wrong);
        }
        let mut wrong = search.stages.len().checked_sub(1)?;
        if self.check(search, wrong, expected) {
            return None;
        }
        // `right` counts the stages that are known to be right.
        let mut right = 0;
        while right < wrong {
            let middle = right + (wrong - right) / 2;
            match self.check(search, middle, expected) {
                true => right = middle + 1,
                false => wrong = middle,
            }
        }
        Some(wrong)
    }

    /// Whether a stage is right.
    fn check(&mut self, search: &mut Search, at: usize, expected: &[Tensor]) -> bool {
        // Where nothing changed, the module is the one before.
        let mut same = at;
        while same > 0 && search.stages[same].changed == Changed::No {
            same -= 1;
        }
        if search.checked[same].is_none() {
            let stage = &search.stages[same];
            (self.progress)(&format!("after pass `{}`", stage.pass));
            let found = match self.interpret(&stage.module) {
                Ok(outputs) => self.held_against(&stage.module, &outputs, expected),
                Err(error) => Found::Fails(error),
            };
            search.checked[same] = Some(found);
        }
        if same != at {
            search.checked[at] = search.checked[same].clone();
        }
        search.checked[at].as_ref().is_some_and(Found::agrees)
    }

    fn held_against(&self, module: &Module, outputs: &[Tensor], expected: &[Tensor]) -> Found {
        let func = main_function(module, self.trial.options.func.as_deref());
        let names: Vec<String> = match func {
            Ok(func) => {
                let ports = Signature::of(module, func).outputs.into_iter();
                ports.map(|p| p.name).collect()
            }
            Err(_) => Vec::new(),
        };
        if outputs.len() != expected.len() {
            let (n, m) = (outputs.len(), expected.len());
            let message = format!("the function has {n} outputs in place of {m}");
            return Found::Fails(Diagnostic::error(Code::MISMATCH, Loc::Unknown, message));
        }
        let mut worst: f64 = 0.0;
        let mut messages = Vec::new();
        for (name, (found, expected)) in names.iter().zip(outputs.iter().zip(expected)) {
            let c = compare(name, found, expected, self.tolerance);
            worst = worst.max(c.max_rel_error);
            if !c.ok {
                messages.push(c.mismatch(found, expected));
            }
        }
        match messages.is_empty() {
            true => Found::Agrees(worst),
            false => Found::Differs(worst, messages),
        }
    }

    /// Holds the emitted code against what it was emitted from.
    fn code(
        &mut self,
        module: &Module,
        package: &Package,
        expected: &[Tensor],
    ) -> Result<Culprit, Diagnostics> {
        (self.progress)("the emitted code");
        let found = match self.trial.execute(package, self.inputs) {
            Ok(outputs) => self.held_against(module, &outputs, expected),
            Err(mut errors) => Found::Fails(errors.remove(0)),
        };
        if found.agrees() {
            return Ok(Culprit::Nobody);
        }
        let func = main_function(module, self.trial.options.func.as_deref())?;
        let seen = interpret(module, func, self.inputs);
        let (_, seen) = seen.map_err(|error| vec![error])?;
        let lowered = self.trial.lowered()?;
        let run = Observed {
            module,
            func,
            inputs: self.inputs,
            seen: &seen,
        };
        (self.progress)("each op of the emitted code");
        let checks = per_op::check(&lowered, &run, self.tolerance, &mut || {})?;
        Ok(Culprit::Code(found, checks))
    }
}
