//! A threshold that decays with the step (CALM), so that early tokens are computed with more care.

use super::{Policy, confidence};
use crate::core::{Builder, OpResult, Value};
use crate::dialects::tensor::{self as t, build};

pub(super) const DECAYING: Policy = Policy {
    name: "decaying",
    summary: "Leaves if the greatest probability exceeds the second by 0.9 · `threshold` + 0.1 · exp(-4 · `step` / `horizon`) at least.",
    numbers: &["threshold", "step"],
    kept: &[],
    places: false,
    judge: |s, output, numbers, _| {
        let decay = libm::exp(-4.0 * numbers[1] / s.horizon);
        confidence::best_against_next((1, 2), output, 0.9 * numbers[0] + 0.1 * decay)
    },
    lower: |b, s, x| {
        let threshold = decayed(b, s.horizon, x.numbers)?;
        confidence::lowered(b, (1, 2), x.outputs, threshold)
    },
};

fn decayed(b: &mut Builder<'_>, horizon: f64, numbers: &[Value]) -> OpResult<Value> {
    let threshold = build::with_scalar(b, &t::Mul, numbers[0], 0.9)?;
    let exponent = build::with_scalar(b, &t::Mul, numbers[1], -4.0 / horizon)?;
    let decay = build::unary(b, &t::Exp, exponent)?;
    let decay = build::with_scalar(b, &t::Mul, decay, 0.1)?;
    build::binary(b, &t::Add, threshold, decay)
}
