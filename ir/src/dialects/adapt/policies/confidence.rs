//! Policies that compare probabilities: top-1, the margin of the best two, and gBvSB (CascadeCNN).

use super::{LoweredVerdict, Output, Policy, Powers, Verdict, scaled};
use crate::core::{Builder, Elem, OpResult, Tensor, Value};
use crate::dialects::core::constant;
use crate::dialects::tensor::{self as t, build};

pub(super) const TOP1: Policy = Policy {
    name: "top1",
    summary: "Leaves if the greatest probability is `threshold` at least.",
    numbers: &["threshold"],
    kept: &[],
    places: false,
    judge: |_, output, numbers, _| best_against_next((1, 1), output, numbers[0]),
    lower: |b, _, x| lowered(b, (1, 1), x.outputs, x.numbers[0]),
};

pub(super) const MARGIN: Policy = Policy {
    name: "margin",
    summary: "Leaves if the greatest probability exceeds the second by `threshold` at least.",
    numbers: &["threshold"],
    kept: &[],
    places: false,
    judge: |_, output, numbers, _| best_against_next((1, 2), output, numbers[0]),
    lower: |b, _, x| lowered(b, (1, 2), x.outputs, x.numbers[0]),
};

pub(super) const GBVSB: Policy = Policy {
    name: "gbvsb",
    summary: "Leaves if the `first` greatest probabilities exceed those behind them, up to number `last`, by `threshold` at least.",
    numbers: &["threshold"],
    kept: &[],
    places: false,
    judge: |s, output, numbers, _| best_against_next((s.first, s.last), output, numbers[0]),
    lower: |b, s, x| lowered(b, (s.first, s.last), x.outputs, x.numbers[0]),
};

/// gBvSB⟨M, N⟩: the sum of the M greatest probabilities less that of those up to the Nth.
pub(super) fn best_against_next(
    (first, last): (usize, usize),
    output: &Output<'_>,
    threshold: f64,
) -> Verdict {
    let p = output.probabilities(0);
    let best: f64 = p.iter().take(first).sum();
    let next: f64 = p.iter().take(last).skip(first).sum();
    let score = best - next;
    Verdict::new(score >= threshold, score)
}

/// The comparison on exponentials: `Σ best - Σ next ≥ threshold · Σ all`, which divides by nothing.
pub(super) fn lowered(
    b: &mut Builder<'_>,
    (first, last): (usize, usize),
    outputs: Value,
    threshold: Value,
) -> OpResult<LoweredVerdict> {
    let powers = Powers::of(b, outputs)?;
    let least = scaled(b, powers.sum, threshold)?;
    let margin = match (first, last) {
        // The greatest exponential is one.
        (1, 1) => build::splat_like(b, powers.sum, 1.0)?,
        _ => signed_sum(b, powers.powers, first, last)?,
    };
    Ok(LoweredVerdict {
        leaves: build::compare(b, "ge", margin, least)?,
        score: build::binary(b, &t::Div, margin, powers.sum)?,
        kept: Vec::new(),
    })
}

fn signed_sum(b: &mut Builder<'_>, powers: Value, first: usize, last: usize) -> OpResult<Value> {
    let attrs = [("k", (last as i64).into()), ("axis", 1.into())];
    let op = b.create(&t::TopK, &[powers], &attrs)?;
    let best = b.view(op).result(0);
    let signs = (0..last).map(|i| if i < first { 1.0f32 } else { -1.0 });
    let signs = Tensor::from_vec(Elem::F32, [last], signs.collect());
    let signs = constant(b, signs)?;
    let signs = build::broadcast_like(b, signs, best)?;
    let signed = build::binary(b, &t::Mul, best, signs)?;
    build::reduce(b, signed, "sum", &[1])
}
