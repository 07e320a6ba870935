//! Shrinks a module to a small one that still has some property: that a target computes other
//! values than the interpreter, that compiling it fails, or whatever a test says.
//!
//! Greedy delta debugging: [`reduce`] offers one simpler case after the other to the test and goes
//! on from each that it accepts, until none of them is accepted any more. What is offered is always
//! valid IR. Knows the IR and the passes; what is tested, and how, is the business of the caller.
//!
//! | file | offers |
//! |---|---|
//! | `ends` | fewer results, and the function cut off at both ends |
//! | `ops` | ops replaced by one of their operands, by arguments, by constants |
//! | `extents` | smaller extents |
//! | `values` | simpler constants and inputs |
//!
//! The order of the offers depends on the module alone, so that equal modules and equal tests give
//! equal results.

pub mod cut;
mod ends;
mod extents;
mod ops;
mod seen;
mod values;

use std::collections::BTreeMap;

use lepid_ir::core::{Module, Op, OpResult, Tensor, Value, verify};
use lepid_ir::dialects::core::Func;

pub use seen::{Observed, Seen, by_value, inputs_of, interpret};

/// A function with inputs to run it on.
#[derive(Clone)]
pub struct Case {
    pub module: Module,
    pub func: String,
    /// One for each argument.
    pub inputs: Vec<Tensor>,
}

impl Case {
    /// The function. Panics if it is not there.
    pub fn op(&self) -> Op {
        match Func::find(&self.module, &self.func) {
            Some(func) => func,
            None => lepid_ir::bug!("the function `@{}` is gone", self.func),
        }
    }

    /// Ops that compute something, those in regions too.
    pub fn size(&self) -> usize {
        let all = self.module.walk_inside(self.op()).into_iter();
        all.filter(|&op| !self.module.op_name(op).starts_with("core."))
            .count()
    }
}

/// How a reduction went.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// Cases that were tested.
    pub steps: usize,
    pub accepted: usize,
    /// Whether it ended because no more steps were allowed.
    pub out_of_steps: bool,
}

/// Shrinks a case for which `test` holds, in at most `max_steps` tests. `progress` hears of each
/// test before it is made.
pub fn reduce(
    case: Case,
    max_steps: usize,
    test: &mut dyn FnMut(&Case) -> bool,
    progress: &mut dyn FnMut(&Report, &Case),
) -> (Case, Report) {
    let mut reducer = Reducer {
        case,
        max_steps,
        report: Report::default(),
        test,
        progress,
    };
    loop {
        let before = reducer.report.accepted;
        ends::fewer_results(&mut reducer);
        ends::earlier_end(&mut reducer);
        ends::later_start(&mut reducer);
        ops::remove(&mut reducer);
        ops::remove_inside(&mut reducer);
        extents::shrink(&mut reducer);
        values::simplify_constants(&mut reducer);
        if reducer.report.accepted == before || reducer.report.out_of_steps {
            return (reducer.case, reducer.report);
        }
    }
}

/// Makes the inputs of a reduced case simpler, without changing the module.
pub fn simplify_inputs(
    case: Case,
    max_steps: usize,
    test: &mut dyn FnMut(&Case) -> bool,
) -> (Case, Report) {
    let mut reducer = Reducer {
        case,
        max_steps,
        report: Report::default(),
        test,
        progress: &mut |_, _| {},
    };
    values::simplify_inputs(&mut reducer);
    (reducer.case, reducer.report)
}

/// A reduction under way.
struct Reducer<'a> {
    case: Case,
    max_steps: usize,
    report: Report,
    test: &'a mut dyn FnMut(&Case) -> bool,
    progress: &'a mut dyn FnMut(&Report, &Case),
}

impl Reducer<'_> {
    /// Tests a simpler case and goes on from it if the test holds. What could not be built, or is
    /// not valid, is not tested.
    fn offer(&mut self, candidate: OpResult<Case>) -> bool {
        let Ok(candidate) = candidate else {
            return false;
        };
        if !verify(&candidate.module).is_empty() {
            return false;
        }
        if self.report.steps >= self.max_steps {
            self.report.out_of_steps = true;
            return false;
        }
        (self.progress)(&self.report, &self.case);
        self.report.steps += 1;
        let holds = (self.test)(&candidate);
        if holds {
            self.report.accepted += 1;
            self.case = candidate;
        }
        holds
    }

    /// What the values of the function are in the interpreter: of arguments alone, if it fails.
    fn values(&self) -> BTreeMap<Value, Tensor> {
        let Case { module, inputs, .. } = &self.case;
        let func = self.case.op();
        let seen = interpret(module, func, inputs).map_or(Vec::new(), |(_, seen)| seen);
        by_value(&Observed {
            module,
            func,
            inputs,
            seen: &seen,
        })
    }
}

impl Case {
    /// The part of the function that computes `results` from `given`, whose tensors are in
    /// `values`.
    fn cut(
        &self,
        results: &[Value],
        given: &[Value],
        values: &BTreeMap<Value, Tensor>,
    ) -> OpResult<Case> {
        let part = cut::cut(&self.module, self.op(), results, given)?;
        let inputs = part.args.iter().map(|v| values.get(v).cloned());
        let inputs: Option<Vec<Tensor>> = inputs.collect();
        match inputs {
            Some(inputs) => Ok(Case {
                module: part.module,
                func: self.func.clone(),
                inputs,
            }),
            None => Err(lepid_ir::core::OpError::new("a value was not computed")),
        }
    }

    /// The same inputs for a module of which some arguments may have gone.
    fn edited(&self, module: Module) -> OpResult<Case> {
        let case = Case {
            module,
            func: self.func.clone(),
            inputs: self.inputs.clone(),
        };
        let args = Func::args(case.module.view(case.op())).iter().copied();
        let values = args.zip(case.inputs.iter().cloned()).collect();
        let returned = Func::returned(case.module.view(case.op())).to_vec();
        // Drops what is no longer used.
        case.cut(&returned, &[], &values)
    }
}
