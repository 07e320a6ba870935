//! Pairs of features along the last axis, and tables of angles for them.

use lepid_ir::core::Attr;

use super::{Function, axes, extents, extents_of, index, int, ints, ints_attr, tensor};
use crate::eqsat::facts::Facts;

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "equal-halves",
        summary: "Whether both halves of a value along its last axis are equal.",
        run: |a| Some(Attr::Bool(a[0].regular.halves)),
    },
    Function {
        name: "equal-pairs",
        summary: "Whether each number stands twice in a row along the last axis of a value.",
        run: |a| Some(Attr::Bool(a[0].regular.pairs)),
    },
    Function {
        name: "half-stops",
        summary: "Where the first half of a value along its last axis ends.",
        run: |a| {
            let mut stops = extents(a[0])?;
            let last = stops.last_mut()?;
            *last /= 2;
            ints_attr(stops)
        },
    },
    Function {
        name: "second-steps",
        summary: "The steps of a slice of every second number along the last axis of a value.",
        run: |a| {
            let mut steps = vec![1; tensor(a[0])?.rank()];
            *steps.last_mut()? = 2;
            ints_attr(steps)
        },
    },
    Function {
        name: "is-half",
        summary: "Whether a slice (start, stop, step) of a value is its first (0) or second (1) half along the last axis.",
        run: |a| {
            is_part(a, |n, which| {
                (n % 2 == 0).then_some([which * n / 2, (which + 1) * n / 2, 1])
            })
        },
    },
    Function {
        name: "is-second",
        summary: "Whether a slice (start, stop, step) of a value takes every second number along the last axis, from 0 or 1 on.",
        run: |a| is_part(a, |n, which| (n % 2 == 0).then_some([which, n, 2])),
    },
    Function {
        name: "stacks",
        summary: "Whether a reshape of a value (shape) gives it a last axis of extent 1, and an axis is that.",
        run: |a| {
            let (mut to, shape) = (extents(a[0])?, extents_of(a[1])?);
            let axis = to.len();
            to.push(1);
            Some(Attr::Bool(to == shape && index(a[2])? == axis))
        },
    },
    Function {
        name: "keeps-last",
        summary: "Whether a broadcast of a value (shape, axes) does not repeat along the last axis.",
        run: |a| {
            let (from, shape, axes) = (extents(a[0])?, extents_of(a[1])?, axes(a[2])?);
            let along = shape.len().checked_sub(1)?;
            let kept = axes
                .iter()
                .zip(&from)
                .any(|(&axis, &n)| axis == along && n == shape[along]);
            Some(Attr::Bool(kept))
        },
    },
    Function {
        name: "own-entries",
        summary: "For the axes of a value before it is broadcast (shape, axes): the entries of a list, or a number where the value repeats.",
        run: |a| {
            let (from, shape, axes) = (extents(a[0])?, extents_of(a[1])?, axes(a[2])?);
            let (list, repeated) = (ints(a[3])?, int(a[4])?);
            let entries = axes
                .iter()
                .zip(&from)
                .map(|(&axis, n)| match shape.get(axis)? == n {
                    true => list.get(axis).copied(),
                    false => Some(repeated),
                });
            Some(Attr::from(entries.collect::<Option<Vec<i64>>>()?))
        },
    },
    Function {
        name: "splits-off",
        summary: "Whether a shape is that of a value but for its last axis, which becomes two, and another shape lacks the second of them.",
        run: |a| {
            let (from, split, joined) = (extents(a[0])?, extents_of(a[1])?, extents_of(a[2])?);
            let rows = from.len().checked_sub(1)?;
            let fits = split.len() == from.len() + 1
                && split[..rows] == from[..rows]
                && split[rows] * split[rows + 1] == from[rows]
                && joined == split[..=rows];
            Some(Attr::Bool(fits))
        },
    },
    Function {
        name: "takes-one",
        summary: "Whether a slice (start, stop, step) of a shape takes one entry of its last axis and all of the others.",
        run: |a| {
            let shape = extents_of(a[0])?;
            let (start, stop, step) = (ints(a[1])?, ints(a[2])?, ints(a[3])?);
            let last = shape.len().checked_sub(1)?;
            let rows =
                (0..last).all(|i| start[i] == 0 && stop[i] >= shape[i] as i64 && step[i] == 1);
            let inside = start[last] < shape[last] as i64;
            let one = stop[last]
                .min(shape[last] as i64)
                .checked_sub(start[last])?
                <= step[last];
            Some(Attr::Bool(rows && inside && one))
        },
    },
    Function {
        name: "strided-starts",
        summary: "Where a slice of a value begins that is one (start) of its last axis split in two.",
        run: |a| along_last(a[0], *ints(a[1])?.last()?, 0),
    },
    Function {
        name: "strided-steps",
        summary: "The steps of a slice of a value that is one of its last axis split in two (shape).",
        run: |a| along_last(a[0], *ints(a[1])?.last()?, 1),
    },
    Function {
        name: "item-starts",
        summary: "Where a slice of a value begins that is the one item along an axis that an index names.",
        run: |a| {
            let (item, axis) = (item(a)?, index(a[1])?);
            let starts = (0..extents(a[0])?.len()).map(|i| if i == axis { item } else { 0 });
            ints_attr(starts)
        },
    },
    Function {
        name: "item-stops",
        summary: "Where a slice of a value ends that is the one item along an axis that an index names.",
        run: |a| {
            let (item, axis) = (item(a)?, index(a[1])?);
            let mut stops = extents(a[0])?;
            *stops.get_mut(axis)? = item + 1;
            ints_attr(stops)
        },
    },
];

/// Whether a slice (start, stop, step) of a value is one of two parts of its last axis: what is
/// expected of that follows from the extent and the part.
fn is_part(a: &[&Facts], expected: fn(i64, i64) -> Option<[i64; 3]>) -> Option<Attr> {
    let (from, start, stop, step) = (extents(a[0])?, ints(a[1])?, ints(a[2])?, ints(a[3])?);
    let last = from.len().checked_sub(1)?;
    let fits = |i: usize, [first, end, by]: [i64; 3]| {
        start[i] == first && stop[i].min(from[i] as i64) == end && step[i] == by
    };
    let rows = (0..last).all(|i| fits(i, [0, from[i] as i64, 1]));
    let part = expected(from[last] as i64, int(a[4])?)?;
    Some(Attr::Bool(rows && fits(last, part)))
}

/// One number along the last axis of a value, another along the others.
fn along_last(value: &Facts, at: i64, elsewhere: i64) -> Option<Attr> {
    let mut list = vec![elsewhere; tensor(value)?.rank()];
    *list.last_mut()? = at;
    Some(Attr::from(list))
}

/// The item of an axis that a uniform index names; indices are clamped.
fn item(a: &[&Facts]) -> Option<usize> {
    let last = extents(a[0])?.get(index(a[1])?)?.checked_sub(1)?;
    let item = a[2].uniform?.as_i128().clamp(0, i128::try_from(last).ok()?);
    usize::try_from(item).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eqsat::functions::tests::{attr, call, splat, value};
    use lepid_ir::core::{Elem, Tensor};

    #[test]
    fn parts_of_the_last_axis() {
        let x = value("2x8xf32");
        let part = |name: &str, start: &str, stop: &str, step: &str, which: &str| {
            let list = [attr(start), attr(stop), attr(step), attr(which)];
            call(name, &[&x, &list[0], &list[1], &list[2], &list[3]])
        };
        assert_eq!(part("is-half", "[0, 0]", "[2, 4]", "[1, 1]", "0"), "true");
        assert_eq!(part("is-half", "[0, 4]", "[9, 99]", "[1, 1]", "1"), "true");
        assert_eq!(part("is-half", "[0, 4]", "[2, 8]", "[1, 1]", "0"), "false");
        assert_eq!(part("is-half", "[1, 0]", "[2, 4]", "[1, 1]", "0"), "false");
        assert_eq!(part("is-second", "[0, 1]", "[2, 8]", "[1, 2]", "1"), "true");
        assert_eq!(
            part("is-second", "[0, 1]", "[2, 8]", "[1, 1]", "1"),
            "false"
        );
        assert_eq!(call("half-stops", &[&x]), "[2, 4]");
        assert_eq!(call("second-steps", &[&x]), "[1, 2]");
        assert_eq!(
            call("stacks", &[&x, &attr("[2, 8, 1]"), &attr("2")]),
            "true"
        );
        assert_eq!(
            call("stacks", &[&x, &attr("[2, 1, 8]"), &attr("1")]),
            "false"
        );
    }

    #[test]
    fn tables_that_repeat() {
        let table =
            |numbers: [f64; 4]| Facts::constant(Tensor::from_f64s(Elem::F32, [1, 4], numbers));
        let (halves, pairs) = (table([1.0, 2.0, 1.0, 2.0]), table([1.0, 1.0, 2.0, 2.0]));
        assert_eq!(call("equal-halves", &[&halves]), "true");
        assert_eq!(call("equal-halves", &[&pairs]), "false");
        assert_eq!(call("equal-pairs", &[&pairs]), "true");
        assert_eq!(call("equal-pairs", &[&halves]), "false");
    }

    #[test]
    fn slices_before_what_follows() {
        let x = value("2x8xf32");
        let keeps = |axes: &str| call("keeps-last", &[&x, &attr("[2, 3, 8]"), &attr(axes)]);
        assert_eq!(keeps("[0, 2]"), "true");
        assert_eq!(keeps("[0, 1]"), "false");
        let row = value("1x8xf32");
        let own = |list: &str, repeated: &str| {
            let (shape, axes) = (attr("[2, 3, 8]"), attr("[1, 2]"));
            call(
                "own-entries",
                &[&row, &shape, &axes, &attr(list), &attr(repeated)],
            )
        };
        assert_eq!(own("[1, 1, 4]", "0"), "[0, 4]");
        let splits =
            |split: &str, joined: &str| call("splits-off", &[&x, &attr(split), &attr(joined)]);
        assert_eq!(splits("[2, 4, 2]", "[2, 4]"), "true");
        assert_eq!(splits("[4, 2, 2]", "[4, 2]"), "false");
        let one = |start: &str, stop: &str| {
            let (shape, step) = (attr("[2, 4, 2]"), attr("[1, 1, 1]"));
            call("takes-one", &[&shape, &attr(start), &attr(stop), &step])
        };
        assert_eq!(one("[0, 0, 1]", "[2, 4, 2]"), "true");
        assert_eq!(one("[0, 0, 0]", "[2, 4, 2]"), "false");
        assert_eq!(call("strided-starts", &[&x, &attr("[0, 0, 1]")]), "[0, 1]");
        assert_eq!(call("strided-steps", &[&x, &attr("[2, 4, 2]")]), "[1, 2]");
        let (axis, third) = (attr("1"), splat(2.0, "i64"));
        assert_eq!(call("item-starts", &[&x, &axis, &third]), "[0, 2]");
        assert_eq!(call("item-stops", &[&x, &axis, &third]), "[2, 3]");
    }
}
