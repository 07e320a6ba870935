//! Patience (PABEE): the best class stayed the same at so many exits in a row, for each sample.

use super::{Kept, LoweredVerdict, Policy, Verdict, compared};
use crate::core::Elem;
use crate::dialects::tensor::{self as t, build};

pub(super) const PATIENCE: Policy = Policy {
    name: "patience",
    summary: "Leaves once the best class has been the same as at the exit before `patience` times in a row; 0 stays to the end.",
    numbers: &["patience"],
    kept: &[Kept::Class, Kept::Count],
    places: false,
    judge: |_, output, numbers, kept| {
        let best = output.best();
        let count = match best {
            Some(class) if kept[0][0] == class as f64 => kept[1][0] + 1.0,
            _ => 0.0,
        };
        kept[0][0] = best.map_or(-1.0, |class| class as f64);
        kept[1][0] = count;
        let leaves = numbers[0] > 0.0 && count >= numbers[0] && best.is_some();
        Verdict::new(leaves, count)
    },
    lower: |b, _, x| {
        let attrs = [("kind", "max".into()), ("axis", 1.into())];
        let best = b.one(&t::ArgReduce, &[x.outputs], &attrs)?;
        // Of a number the distance to itself is zero.
        let greatest = build::reduce(b, x.outputs, "max", &[1])?;
        let distance = build::binary(b, &t::Sub, greatest, greatest)?;
        let zero = build::splat_like(b, distance, 0.0)?;
        let is_number = build::compare(b, "eq", distance, zero)?;
        let none = build::splat_like(b, best, -1.0)?;
        let class = build::select(b, is_number, best, none)?;
        let zero = build::splat_like(b, best, 0.0)?;
        let count = match x.kept {
            [before, count] => {
                let same = build::compare(b, "eq", best, *before)?;
                let same = build::binary(b, &t::And, same, is_number)?;
                let more = build::with_scalar(b, &t::Add, *count, 1.0)?;
                build::select(b, same, more, zero)?
            }
            _ => zero,
        };
        let score = build::cast(b, count, Elem::F32)?;
        let enough = compared(b, "ge", score, x.numbers[0])?;
        let one = build::splat_like(b, score, 1.0)?;
        let same_twice = build::compare(b, "ge", score, one)?;
        let leaves = build::binary(b, &t::And, enough, same_twice)?;
        // A patience of 0 is for no count: it stays to the end.
        let none = build::scalar(b, Elem::F32, 0.0)?;
        let patient = build::compare(b, "gt", x.numbers[0], none)?;
        let patient = build::broadcast_like(b, patient, leaves)?;
        Ok(LoweredVerdict {
            leaves: build::binary(b, &t::And, leaves, patient)?,
            score,
            kept: vec![class, count],
        })
    },
};

impl super::Output<'_> {
    /// The class of the greatest output, the first of equals; none if an output is no number.
    fn best(&self) -> Option<usize> {
        let mut best = 0;
        for (k, &z) in self.values.iter().enumerate() {
            if z.is_nan() {
                return None;
            }
            if z > self.values[best] {
                best = k;
            }
        }
        self.values[best].is_finite().then_some(best)
    }
}
