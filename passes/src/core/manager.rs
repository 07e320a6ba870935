//! Runs pipelines.

use std::collections::BTreeMap;
use std::mem;
use std::time::{Duration, Instant};

use lepid_ir::core::{Diagnostic, Diagnostics, Module, verify};

use crate::core::{Changed, PassCx, PassDef, PassEnv, Pipeline, Step};

/// Sees the module around each pass; a driver prints it there.
pub trait Observer {
    fn before(&mut self, _pass: &'static PassDef, _module: &Module) {}
    fn after(&mut self, _pass: &'static PassDef, _module: &Module, _changed: Changed) {}
}

/// Looks at nothing.
pub struct Silent;

impl Observer for Silent {}

/// What one pass did.
#[derive(Clone, Debug)]
pub struct PassRun {
    pub name: &'static str,
    pub time: Duration,
    pub ops_before: usize,
    pub ops_after: usize,
    pub changed: Changed,
    /// What the pass tells of its work.
    pub remarks: Vec<String>,
    /// How often each rule was applied, of a pass that works by rules.
    pub rules: BTreeMap<&'static str, usize>,
}

/// What a pipeline did, and what its passes had to say.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub passes: Vec<PassRun>,
    pub diagnostics: Diagnostics,
}

/// Runs pipelines in one environment.
pub struct PassManager<'a> {
    pub env: &'a PassEnv<'a>,
    /// Whether the verifier runs after each pass that changed the module.
    pub verify_each: bool,
    pub observer: &'a mut dyn Observer,
}

impl PassManager<'_> {
    /// Runs the passes in order; stops at the first that fails.
    pub fn run(&mut self, module: &mut Module, pipeline: &Pipeline) -> Result<Report, Diagnostics> {
        let mut report = Report::default();
        let mut ops = module.walk().len();
        for step in &pipeline.steps {
            self.observer.before(step.pass, module);
            let start = Instant::now();
            let mut cx = PassCx::new(self.env, step);
            let changed = (step.pass.run)(module, &mut cx)?;
            let time = start.elapsed();
            report.diagnostics.append(&mut cx.diagnostics);
            let (remarks, rules) = (mem::take(&mut cx.remarks), mem::take(&mut cx.rules));
            if self.verify_each && changed == Changed::Yes {
                verify_after(step, module)?;
            }
            self.observer.after(step.pass, module, changed);
            let ops_before = mem::replace(&mut ops, module.walk().len());
            report.passes.push(PassRun {
                name: step.pass.name,
                time,
                ops_before,
                ops_after: ops,
                changed,
                remarks,
                rules,
            });
        }
        Ok(report)
    }
}

fn verify_after(step: &Step, module: &Module) -> Result<(), Diagnostics> {
    let found = verify(module);
    match found.is_empty() {
        true => Ok(()),
        false => {
            let note = format!("found after pass `{}`", step.pass.name);
            let found = found.into_iter();
            Err(found
                .map(|d: Diagnostic| d.with_note(note.clone()))
                .collect())
        }
    }
}
