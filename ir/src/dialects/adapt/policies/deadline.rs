//! The time that is left.

use super::{LoweredVerdict, Policy, Verdict};
use crate::core::Elem;
use crate::dialects::tensor::{self as t, build};

pub(super) const DEADLINE: Policy = Policy {
    name: "deadline",
    summary: "Leaves if what comes next would end after the deadline: if `elapsed` + `next` is more than `deadline`, all in one unit.",
    numbers: &["elapsed", "next", "deadline"],
    kept: &[],
    places: true,
    judge: |_, _, numbers, _| {
        let left = numbers[2] - numbers[0] - numbers[1];
        Verdict::new(numbers[0] + numbers[1] > numbers[2], -left)
    },
    lower: |b, _, x| {
        let end = build::binary(b, &t::Add, x.numbers[0], x.numbers[1])?;
        let late = build::compare(b, "gt", end, x.numbers[2])?;
        let over = build::binary(b, &t::Sub, end, x.numbers[2])?;
        // One row per sample, of which nothing is read.
        let axes: Vec<usize> = (1..build::rank(b, x.outputs)).collect();
        let samples = build::reduce(b, x.outputs, "max", &axes)?;
        let late = build::broadcast_like(b, late, samples)?;
        let score = build::broadcast_like(b, over, samples)?;
        debug_assert_eq!(build::elem(b, score), Elem::F32);
        Ok(LoweredVerdict {
            leaves: late,
            score,
            kept: Vec::new(),
        })
    },
};
