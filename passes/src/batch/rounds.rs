//! Behind which gate each value was computed.
//!
//! A gate may leave out the rows of samples that have left, so that rows of a value from before it
//! belong to other samples than rows of a value from behind it.

use std::collections::HashMap;

use lepid_ir::core::{OpView, Value};
use lepid_ir::dialects::adapt::Join;

use super::apart::{Along, Mixed};
use crate::transform::gates::{Pairs, is_gate};

/// The samples that an op works on, as the number of the gate that they have passed; 0: all.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
struct Round {
    number: usize,
    /// Whether all rows are equal, so that any samples' will do.
    uniform: bool,
}

/// The rounds of values that hold samples.
pub(super) struct Rounds {
    of: HashMap<Value, Round>,
    /// Those that have begun and not ended, the present one last.
    open: Vec<usize>,
    count: usize,
}

impl Default for Rounds {
    fn default() -> Rounds {
        Rounds {
            of: HashMap::new(),
            open: vec![0],
            count: 0,
        }
    }
}

impl Rounds {
    /// Follows one op, whose results are in `along` already.
    pub(super) fn follow(
        &mut self,
        view: OpView<'_>,
        along: &HashMap<Value, Along>,
    ) -> Result<(), Mixed> {
        let spread = |v: &Value| along.get(v) == Some(&Along::Samples);
        let now = self.open.last().copied().unwrap_or(0);
        if is_gate(view.module, view.op) {
            return self.gate(view, now, &spread);
        }
        let mut uniform = true;
        for &value in view.operands().iter().filter(|v| spread(v)) {
            uniform &= self.fits(view, value, now)?;
        }
        let round = Round {
            number: now,
            uniform,
        };
        let results = view.results().iter().copied().filter(|v| spread(v));
        self.of.extend(results.map(|v| (v, round)));
        Ok(())
    }

    fn round(&self, value: Value) -> Round {
        let first = Round {
            number: 0,
            uniform: false,
        };
        self.of.get(&value).copied().unwrap_or(first)
    }

    /// Whether the rows of a value are all equal; an error if they are not those of the present
    /// round.
    fn fits(&self, view: OpView<'_>, value: Value, now: usize) -> Result<bool, Mixed> {
        let round = self.round(value);
        match round.uniform {
            true if self.open.contains(&round.number) => Ok(true),
            false if round.number == now => Ok(false),
            _ => Err(Mixed {
                op: view.op,
                loc: view.loc().clone(),
                message: format!(
                    "`{}` reads samples from before an exit beside those from behind it",
                    view.name()
                ),
            }),
        }
    }

    fn gate(
        &mut self,
        view: OpView<'_>,
        now: usize,
        spread: &impl Fn(&Value) -> bool,
    ) -> Result<(), Mixed> {
        let pairs = Pairs::of(view.module, view.op);
        // The first gate of a cascade begins with constants.
        let start = match spread(&pairs.exit[0]) {
            true => self.round(pairs.exit[0]).number,
            false => now,
        };
        let so_far = [pairs.exit]
            .into_iter()
            .chain(pairs.best)
            .chain(pairs.taken);
        let so_far: Vec<[Value; 2]> = so_far.collect();
        for &value in view.operands().iter().filter(|v| spread(v)) {
            let is_so_far =
                pairs.best_before == Some(value) || so_far.iter().any(|&[v, _]| v == value);
            let wanted = if is_so_far { start } else { now };
            self.fits(view, value, wanted)?;
        }
        let round = |number| Round {
            number,
            uniform: false,
        };
        self.of
            .extend(so_far.iter().map(|&[_, r]| (r, round(start))));
        match view.name() == Join::INFO.name {
            true => {
                while self.open.len() > 1 && self.open.last() != Some(&start) {
                    self.open.pop();
                }
            }
            false => {
                self.count += 1;
                self.open.push(self.count);
                let next = round(self.count);
                self.of
                    .extend(pairs.hands_on.iter().map(|&[_, r]| (r, next)));
            }
        }
        Ok(())
    }
}
