//! Finds where a compilation goes wrong: the pass after which a function computes other values, or
//! the code that is generated in the end.
//!
//! Every module that a pipeline leaves can be interpreted, so that each pass is held against the
//! module before any. The interpreter is slow; between a module that is right and one that is not,
//! the faulty pass is found by halves. In a pass that works by rules, the search goes on for the
//! rules to blame.

use lepid_ir::core::{
    Code, Diagnostic, Diagnostics, Loc, Module, PrintOptions, Resources, Tensor, print_module,
};
use lepid_ir::interp;
use lepid_passes::core::{Changed, Observer, PassDef, Pipeline, Report, Step};
use lepid_passes::eqsat::rules;
use lepid_target_api::{Package, Signature, main_function};

use crate::driver::blame::{self, Blame};
use crate::driver::compare::{Tolerance, compare};
use crate::driver::crash;
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
    /// The rules to blame, where the culprit is a pass that works by rules.
    pub blame: Option<Blame>,
    /// What the passes told, if compiling came to its end.
    pub report: Report,
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
            blame: None,
            report: Report::default(),
        };
        if self.every_pass {
            for at in 0..search.stages.len() {
                self.check(&mut search, at, &expected);
            }
        }
        let package = match compiled {
            Ok(compiled) => {
                search.report = compiled.report;
                compiled.package
            }
            Err(found) => return self.failed(module, search, open, found, &expected),
        };
        match self.first_wrong(&mut search, &expected) {
            Some(at) => {
                let found = search.checked[at].clone();
                search.culprit = match found {
                    Some(found) => Culprit::Pass(at, found),
                    None => lepid_ir::bug!("a stage is blamed unseen"),
                };
                search.blame = self.blame(module, &search.stages[..at], &expected);
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
        imported: &Module,
        mut search: Search,
        open: Option<&'static str>,
        found: Diagnostics,
        expected: &[Tensor],
    ) -> Result<Search, Diagnostics> {
        if let Some(at) = self.first_wrong(&mut search, expected)
            && let Some(found) = search.checked[at].clone()
        {
            search.culprit = Culprit::Pass(at, found);
            search.blame = self.blame(imported, &search.stages[..at], expected);
            return Ok(search);
        }
        let mut notes = match open {
            Some(pass) => {
                vec![format!(
                    "found in pass `{pass}`; the passes before it are right"
                )]
            }
            None => vec!["found after all passes, which are right".to_string()],
        };
        if open.is_some()
            && let Some(blame) = self.blame(imported, &search.stages, expected)
        {
            notes.extend(blame.notes());
        }
        let noted = |error| notes.iter().cloned().fold(error, Diagnostic::with_note);
        Err(found.into_iter().map(noted).collect())
    }

    /// The rules to blame for the pass that follows on these stages, if it works by rules.
    fn blame(&mut self, imported: &Module, before: &[Stage], expected: &[Tensor]) -> Option<Blame> {
        let step = self
            .trial
            .pipeline()
            .ok()?
            .steps
            .into_iter()
            .nth(before.len())?;
        let default = step.pass.option(RULES)?.default;
        let module = before.last().map_or(imported, |stage| &stage.module);
        let chosen = step.options.get(RULES).map_or(default, String::as_str);
        (self.progress)(&format!("the rules of pass `{}`", step.pass.name));
        let without = |left_out: &[String]| {
            let left_out = left_out.iter().map(|rule| format!(" -{rule}"));
            format!("{chosen}{}", left_out.collect::<String>())
        };
        let this = &*self;
        let mut search = blame::Search {
            applied: &mut |left_out| this.applied(module, &step, &without(left_out)),
            wrong: &mut |rules| !this.is_right_with(module, &step, &rules.join(" "), expected),
            tests: MOST_TESTS,
        };
        let sets = search.sets();
        let unfinished = search.out_of_tests();
        let without = without(&sets.concat());
        (!sets.is_empty()).then(|| Blame {
            right_without: self.is_right_with(module, &step, &without, expected),
            sets,
            unfinished,
            without,
        })
    }

    /// The rules that a pass applies; all that it might if it does not come to its end.
    fn applied(&self, module: &Module, step: &Step, chosen: &str) -> Vec<String> {
        let run = crash::caught(|| self.run_with(module, step, chosen));
        let names: Vec<&str> = match run {
            Ok(Ok((_, report))) => {
                let passes = report.passes.iter();
                passes.flat_map(|pass| pass.rules.keys()).copied().collect()
            }
            Ok(Err(_)) | Err(_) => {
                let rules = rules::select(chosen).unwrap_or_default();
                rules.iter().map(|rule| rule.name).collect()
            }
        };
        names.into_iter().map(str::to_string).collect()
    }

    /// Whether the module that a pass makes by these rules is right.
    fn is_right_with(
        &self,
        module: &Module,
        step: &Step,
        rules: &str,
        expected: &[Tensor],
    ) -> bool {
        let right = crash::caught(|| {
            let Ok((module, _)) = self.run_with(module, step, rules) else {
                return false;
            };
            self.interpret(&module)
                .is_ok_and(|outputs| self.held_against(&module, &outputs, expected).agrees())
        });
        // A panic is no less wrong.
        right.unwrap_or(false)
    }

    /// Runs a pass on a copy of the module, by these rules.
    fn run_with(
        &self,
        module: &Module,
        step: &Step,
        rules: &str,
    ) -> Result<(Module, Report), Diagnostics> {
        let (mut module, mut step) = (module.clone(), step.clone());
        step.options.insert(RULES, rules.to_string());
        let pipeline = Pipeline { steps: vec![step] };
        let report = self.trial.run_passes(&mut module, &pipeline)?;
        Ok((module, report))
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

/// The option of passes that work by rules, which chooses them.
const RULES: &str = "rules";

/// How often the interpreter runs at most to find the rules to blame.
const MOST_TESTS: usize = 200;
