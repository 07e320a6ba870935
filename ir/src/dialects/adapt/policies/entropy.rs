//! The entropy of the probabilities (BranchyNet), in nats.

use super::{Policy, Powers, Verdict, scaled};
use crate::dialects::tensor::{self as t, build};

/// The exponential of this is zero in `f32`: a class that far away adds nothing, and less would make
/// `0 * inf`.
const FARTHEST: f64 = -104.0;

pub(super) const ENTROPY: Policy = Policy {
    name: "entropy",
    summary: "Leaves if the entropy of the probabilities, in nats, is below `threshold`.",
    numbers: &["threshold"],
    kept: &[],
    places: false,
    judge: |_, output, numbers, _| {
        let p = output.probabilities(0);
        let terms = p.iter().filter(|&&p| p != 0.0);
        let entropy: f64 = -terms.map(|p| p * libm::log(*p)).sum::<f64>();
        Verdict::new(entropy < numbers[0], -entropy)
    },
    // With e = exp(d), d = z - max z and S = Σ e: H = ln S - Σ e d / S, multiplied by S.
    lower: |b, _, x| {
        let powers = Powers::of(b, x.outputs)?;
        let farthest = build::splat_like(b, powers.distances, FARTHEST)?;
        let distances = build::binary(b, &t::Max, powers.distances, farthest)?;
        let weighed = build::binary(b, &t::Mul, powers.powers, distances)?;
        let weighed = build::reduce(b, weighed, "sum", &[1])?;
        let log = build::unary(b, &t::Log, powers.sum)?;
        let log = build::binary(b, &t::Mul, log, powers.sum)?;
        let entropy = build::binary(b, &t::Sub, log, weighed)?;
        let most = scaled(b, powers.sum, x.numbers[0])?;
        let negative = build::unary(b, &t::Neg, entropy)?;
        Ok(super::LoweredVerdict {
            leaves: build::compare(b, "lt", entropy, most)?,
            score: build::binary(b, &t::Div, negative, powers.sum)?,
            kept: Vec::new(),
        })
    },
};
