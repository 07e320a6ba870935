//! Each op by itself on a target, on the operands that it has in the interpreter: the errors of
//! the ops before it do not count, so that the op at fault stands out.

use lepid_ir::core::{Code, Diagnostic, Diagnostics, Module, Op, Tensor};

use crate::driver::compare::{Comparison, Tolerance, compare};
use crate::driver::trial::Trial;
use crate::reduce::{Observed, by_value, cut, inputs_of};

/// How one op did.
pub struct OpCheck {
    pub op: Op,
    pub outcome: Outcome,
}

pub enum Outcome {
    /// The worst of its results.
    Ran(Comparison),
    /// It does not compile or run by itself: mostly because its extents are those of data.
    NotAlone(Diagnostics),
}

impl OpCheck {
    /// The message for an op that differs.
    pub fn mismatch(&self, module: &Module) -> Option<Diagnostic> {
        match &self.outcome {
            Outcome::Ran(c) if !c.ok => {
                let view = module.view(self.op);
                let (name, error) = (view.name(), c.max_rel_error);
                let message = format!("`{name}` alone differs by {error:.3e}");
                Some(Diagnostic::error(
                    Code::MISMATCH,
                    view.loc().clone(),
                    message,
                ))
            }
            Outcome::Ran(_) | Outcome::NotAlone(_) => None,
        }
    }
}

/// Checks every op of a function's own block that computes something; `step` is called after each.
pub fn check(
    trial: &Trial<'_>,
    run: &Observed<'_>,
    tolerance: Tolerance,
    step: &mut dyn FnMut(),
) -> Result<Vec<OpCheck>, Diagnostics> {
    let Observed { module, func, .. } = *run;
    let values = by_value(run);
    let mut checks = Vec::new();
    for op in cut::steps(module, func) {
        let part =
            cut::alone(module, func, op).map_err(|error| vec![error.at(module.loc(op).clone())])?;
        let operands = inputs_of(&part, &values);
        let outcome = match trial.run(part.module, &operands) {
            Ok(found) => {
                let expected = module.results(op).iter().map(|v| &values[v]);
                Outcome::Ran(worst(&found, expected, tolerance))
            }
            Err(why) => Outcome::NotAlone(why),
        };
        checks.push(OpCheck { op, outcome });
        step();
    }
    Ok(checks)
}

/// The comparison of the result that differs most.
pub fn worst<'t>(
    found: &[Tensor],
    expected: impl Iterator<Item = &'t Tensor>,
    tolerance: Tolerance,
) -> Comparison {
    let pairs = found.iter().zip(expected);
    let all = pairs.map(|(a, b)| compare("", a, b, tolerance));
    let worse = |a: Comparison, b: Comparison| match (a.ok, b.ok) {
        (true, false) => b,
        (false, true) => a,
        _ if b.max_rel_error > a.max_rel_error => b,
        _ => a,
    };
    match all.reduce(worse) {
        Some(worst) => worst,
        None => lepid_ir::bug!("an op without results is compared"),
    }
}
