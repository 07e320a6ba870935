//! An ensemble of exits: the outputs of all exits so far, added up, decide together.

use super::{Kept, Output, Policy, confidence};
use crate::dialects::tensor::{self as t, build};

pub(super) const ENSEMBLE: Policy = Policy {
    name: "ensemble",
    summary: "Leaves if the outputs of all exits so far, added up and multiplied by `weight`, have a greatest probability of `threshold` at least.",
    numbers: &["threshold"],
    kept: &[Kept::Outputs],
    places: false,
    judge: |s, output, numbers, kept| {
        for (sum, z) in kept[0].iter_mut().zip(output.values) {
            *sum += z;
        }
        let values: Vec<f64> = kept[0].iter().map(|z| z * s.weight).collect();
        let output = Output {
            values: &values,
            classes: output.classes,
        };
        confidence::best_against_next((1, 1), &output, numbers[0])
    },
    lower: |b, s, x| {
        let sum = match x.kept {
            [sum] => build::binary(b, &t::Add, *sum, x.outputs)?,
            _ => x.outputs,
        };
        let mean = build::with_scalar(b, &t::Mul, sum, s.weight)?;
        let mut verdict = confidence::lowered(b, (1, 1), mean, x.numbers[0])?;
        verdict.kept = vec![sum];
        Ok(verdict)
    },
};
