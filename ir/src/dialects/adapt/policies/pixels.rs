//! The share of pixels that are sure (MESS).

use super::{LoweredVerdict, Policy, Powers, Verdict, as_number, compared, scaled};
use crate::core::Elem;
use crate::dialects::tensor::{self as t, build};

pub(super) const PIXELS: Policy = Policy {
    name: "pixels",
    summary: "Leaves if the greatest probability is `pixel` at least at a share of `threshold` of the places.",
    numbers: &["pixel", "threshold"],
    kept: &[],
    places: true,
    judge: |_, output, numbers, _| {
        let places = output.values.len() / output.classes;
        let sure = (0..places).filter(|&place| output.probabilities(place)[0] >= numbers[0]);
        let share = sure.count() as f64 / places as f64;
        Verdict::new(share >= numbers[1], share)
    },
    // 1 ≥ pixel · Σ e at a place, and the count of such places against a number of places.
    lower: |b, _, x| {
        let powers = Powers::of(b, x.outputs)?;
        let least = scaled(b, powers.sum, x.numbers[0])?;
        let one = build::scalar(b, Elem::F32, 1.0)?;
        let sure = compared(b, "le", least, one)?;
        let sure = as_number(b, sure)?;
        let axes: Vec<usize> = (1..build::rank(b, sure)).collect();
        let places = build::count(b, sure, &axes)?;
        let sure = build::reduce(b, sure, "sum", &axes)?;
        let wanted = build::binary(b, &t::Mul, places, x.numbers[1])?;
        let places = build::broadcast_like(b, places, sure)?;
        Ok(LoweredVerdict {
            leaves: compared(b, "ge", sure, wanted)?,
            score: build::binary(b, &t::Div, sure, places)?,
            kept: Vec::new(),
        })
    },
};
