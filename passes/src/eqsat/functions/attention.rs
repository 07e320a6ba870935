//! Masks.

use lepid_ir::core::Attr;

use super::{Function, axes, dims_attr, extents, tensor};
use crate::eqsat::facts::Facts;
use crate::eqsat::regular::Steps;

/// What hides a score that it is added to, or put for: infinity, or what exporters put for it, the
/// least float. Scores within a hundredth of this keep their distance to it, so that their weight in
/// a softmax is zero, as that of infinity is, in every row that shows one other score.
const HIDES: f64 = -1e38;

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "with-units",
        summary: "The shape of a value broadcast by axes to the rank of another, before it is repeated.",
        run: |a| {
            let (from, axes, rank) = (extents(a[0])?, axes(a[1])?, tensor(a[2])?.rank());
            let mut shape = vec![1; rank];
            for (&axis, &extent) in axes.iter().zip(&from) {
                *shape.get_mut(axis)? = extent;
            }
            dims_attr(shape)
        },
    },
    Function {
        name: "hides",
        summary: "Whether a softmax gives nothing where all elements of a value are put for scores.",
        run: |a| Some(Attr::Bool(a[0].uniform?.as_f64() <= HIDES)),
    },
    Function {
        name: "hides-later",
        summary: "Whether a mask hides from each of some queries the keys behind its last, which is one further with each.",
        run: |a| {
            let steps = steps(a[0])?;
            let (mask, queries, keys) = (extents(a[0])?, extents(a[1])?, extents(a[2])?);
            // What is repeated for all queries is not later with each.
            let full = mask.get(2)? == queries.get(2)? && mask.get(3)? == keys.get(2)?;
            Some(Attr::Bool(
                full && steps.offset >= 0
                    && steps.before.as_f64() == 0.0
                    && steps.behind.as_f64() <= HIDES,
            ))
        },
    },
    Function {
        name: "last-seen",
        summary: "The last key that a mask shows to the first query.",
        run: |a| Some(Attr::Int(steps(a[0])?.offset)),
    },
];

fn steps(facts: &Facts) -> Option<Steps> {
    facts.regular.steps()
}

#[cfg(test)]
mod tests {
    use lepid_ir::core::{Elem, Tensor};

    use crate::eqsat::facts::Facts;
    use crate::eqsat::functions::tests::{attr, call, splat, value};

    #[test]
    fn shapes_of_attention() {
        let x = value("2x3x4x5xf32");
        let mask = value("2x5xf32");
        assert_eq!(
            call("with-units", &[&mask, &attr("[0, 3]"), &x]),
            "[2, 1, 1, 5]"
        );
    }

    #[test]
    fn masks_that_hide() {
        assert_eq!(call("hides", &[&splat(-3.4e38, "f32")]), "true");
        assert_eq!(call("hides", &[&splat(f64::NEG_INFINITY, "f32")]), "true");
        assert_eq!(call("hides", &[&splat(-1e9, "f32")]), "false");
        let mask = |hidden: f64, seen_by_last: f64| {
            let numbers = [0.0, 0.0, hidden, 0.0, 0.0, seen_by_last];
            Facts::constant(Tensor::from_f64s(Elem::F32, [1, 1, 2, 3], numbers))
        };
        let (queries, keys) = (value("1x2x2x4xf32"), value("1x2x3x4xf32"));
        let later = |mask: &Facts| call("hides-later", &[mask, &queries, &keys]);
        let causal = mask(f64::NEG_INFINITY, 0.0);
        assert_eq!(later(&causal), "true");
        assert_eq!(call("last-seen", &[&causal]), "1");
        assert_eq!(later(&mask(-1e9, 0.0)), "false");
        assert_eq!(later(&mask(f64::NEG_INFINITY, -1.0)), "nothing");
        // One row for all queries.
        let row = Tensor::from_f64s(Elem::F32, [1, 1, 1, 3], [0.0, 0.0, f64::NEG_INFINITY]);
        assert_eq!(later(&Facts::constant(row)), "false");
    }
}
