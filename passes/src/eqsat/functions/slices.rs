//! Slices: of slices, of what was joined, and of what joins.

use lepid_ir::core::Attr;
use lepid_ir::dialects::tensor::END;

use super::{Function, extents, index, ints, ints_attr, tensor};
use crate::eqsat::facts::Facts;

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "slice-start",
        summary: "The start of a slice (start, step) of a slice (start, step).",
        run: |a| {
            let (start, step) = (ints(a[0])?, ints(a[1])?);
            let inner = ints(a[2])?;
            combine(&[&start, &step, &inner], |v| {
                v[0].checked_add(v[1].checked_mul(v[2])?)
            })
        },
    },
    Function {
        name: "slice-stop",
        summary: "The stop of a slice (stop) of a slice of a value (start, stop, step).",
        run: |a| {
            let from = extents(a[0])?.iter().map(|&n| n as i64).collect::<Vec<_>>();
            let (start, stop, step) = (ints(a[1])?, ints(a[2])?, ints(a[3])?);
            let inner = ints(a[4])?;
            combine(&[&from, &start, &stop, &step, &inner], |v| {
                let end = v[2].min(v[0]);
                let inner = v[1].checked_add(v[3].checked_mul(v[4]).unwrap_or(END))?;
                Some(end.min(inner).max(0))
            })
        },
    },
    Function {
        name: "slice-step",
        summary: "The step of a slice of a slice.",
        run: |a| combine(&[&ints(a[0])?, &ints(a[1])?], |v| v[0].checked_mul(v[1])),
    },
    Function {
        name: "ends-within",
        summary: "Whether a slice (stop) ends within a value along an axis.",
        run: |a| {
            let (extent, stop, axis) = (extents(a[0])?, ints(a[1])?, index(a[2])?);
            Some(Attr::Bool(*stop.get(axis)? <= *extent.get(axis)? as i64))
        },
    },
    Function {
        name: "starts-behind",
        summary: "Whether a slice (start) begins behind a value along an axis.",
        run: |a| {
            let (extent, start, axis) = (extents(a[0])?, ints(a[1])?, index(a[2])?);
            Some(Attr::Bool(*start.get(axis)? >= *extent.get(axis)? as i64))
        },
    },
    Function {
        name: "shifted-back",
        summary: "A start or a stop of a slice without a value before it along an axis.",
        run: |a| {
            let (extent, mut list, axis) = (extents(a[0])?, ints(a[1])?, index(a[2])?);
            let item = list.get_mut(axis)?;
            if *item != END {
                *item = (*item - *extent.get(axis)? as i64).max(0);
            }
            Some(Attr::from(list))
        },
    },
    Function {
        name: "adjoin",
        summary: "Whether a slice of a value (start, stop, step) ends along an axis where another begins, and both are equal along the others.",
        run: |a| adjoin(a),
    },
    Function {
        name: "joined-stop",
        summary: "The first stop with the second's entry for an axis.",
        run: |a| {
            let (mut stop, other, axis) = (ints(a[0])?, ints(a[1])?, index(a[2])?);
            *stop.get_mut(axis)? = *other.get(axis)?;
            Some(Attr::from(stop))
        },
    },
    Function {
        name: "is-whole",
        summary: "Whether a slice (start, stop, step) takes all of a value.",
        run: |a| {
            let (from, start, stop, step) = (extents(a[0])?, ints(a[1])?, ints(a[2])?, ints(a[3])?);
            let mut all =
                (0..from.len()).map(|i| start[i] == 0 && step[i] == 1 && stop[i] >= from[i] as i64);
            Some(Attr::Bool(all.all(|whole| whole)))
        },
    },
    Function {
        name: "cut-starts",
        summary: "Where a slice of a value begins along an axis behind others, each with its own axis; else at the start.",
        run: |a| {
            let behind = behind(&a[2..])?;
            ints_attr(cut(a[0], a[1], behind, 0)?)
        },
    },
    Function {
        name: "cut-stops",
        summary: "Where a slice of a value ends along an axis with others, each with its own axis; else at the end.",
        run: |a| {
            let behind = behind(&a[2..])?;
            ints_attr(cut(a[0], a[1], behind, END as usize)?)
        },
    },
    Function {
        name: "cut-steps",
        summary: "The steps of a slice of a value that skips nothing.",
        run: |a| ints_attr(tensor(a[0])?.dims.iter().map(|_| 1)),
    },
];

/// The extents of values along their axes, together.
fn behind(pairs: &[&Facts]) -> Option<usize> {
    let extents = pairs.chunks_exact(2).map(|pair| {
        let extents = extents(pair[0])?;
        extents.get(index(pair[1])?).copied()
    });
    extents.sum()
}

/// `at` along one axis of a value, `elsewhere` along the others.
fn cut(value: &Facts, axis: &Facts, at: usize, elsewhere: usize) -> Option<Vec<usize>> {
    let (rank, axis) = (tensor(value)?.rank(), index(axis)?);
    Some(
        (0..rank)
            .map(|i| if i == axis { at } else { elsewhere })
            .collect(),
    )
}

/// One number for each axis.
fn combine(lists: &[&[i64]], f: impl Fn(&[i64]) -> Option<i64>) -> Option<Attr> {
    let length = lists[0].len();
    if lists.iter().any(|l| l.len() != length) {
        return None;
    }
    let column = |i: usize| lists.iter().map(|l| l[i]).collect::<Vec<i64>>();
    let numbers: Option<Vec<i64>> = (0..length).map(|i| f(&column(i))).collect();
    Some(Attr::from(numbers?))
}

fn adjoin(a: &[&Facts]) -> Option<Attr> {
    let from = extents(a[0])?;
    let first = [ints(a[1])?, ints(a[2])?, ints(a[3])?];
    let second = [ints(a[4])?, ints(a[5])?, ints(a[6])?];
    let axis = index(a[7])?;
    let fits = (0..from.len()).all(|i| {
        let at = |slice: &[Vec<i64>; 3]| [slice[0][i], slice[1][i], slice[2][i]];
        let (one, two) = (at(&first), at(&second));
        match i == axis {
            true => {
                one[2] == 1
                    && two[2] == 1
                    && one[0] <= one[1]
                    && one[1] <= from[i] as i64
                    && two[0] == one[1]
            }
            false => one == two,
        }
    });
    Some(Attr::Bool(fits && axis < from.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eqsat::functions::tests::{attr, call, value};

    #[test]
    fn slices() {
        let x = value("10x4xf32");
        let list = |text| attr(text);
        let start = call(
            "slice-start",
            &[&list("[2, 0]"), &list("[2, 1]"), &list("[1, 1]")],
        );
        assert_eq!(start, "[4, 1]");
        let stop = call(
            "slice-stop",
            &[
                &x,
                &list("[2, 0]"),
                &list("[9, 4]"),
                &list("[2, 1]"),
                &list("[3, 9]"),
            ],
        );
        assert_eq!(stop, "[8, 4]");
        assert_eq!(
            call("slice-step", &[&list("[2, 1]"), &list("[3, 1]")]),
            "[6, 1]"
        );
        assert_eq!(
            call("ends-within", &[&x, &list("[10, 9]"), &attr("0")]),
            "true"
        );
        assert_eq!(
            call("starts-behind", &[&x, &list("[10, 0]"), &attr("0")]),
            "true"
        );
        assert_eq!(
            call("shifted-back", &[&x, &list("[12, 3]"), &attr("0")]),
            "[2, 3]"
        );
        assert_eq!(
            call(
                "is-whole",
                &[&x, &list("[0, 0]"), &list("[10, 99]"), &list("[1, 1]")]
            ),
            "true"
        );
        let (w, axis) = (value("7x4xf32"), attr("1"));
        assert_eq!(call("cut-starts", &[&x, &axis, &w, &attr("0")]), "[0, 7]");
        assert_eq!(
            call("cut-starts", &[&x, &axis, &w, &attr("0"), &w, &axis]),
            "[0, 11]"
        );
        assert_eq!(call("cut-starts", &[&x, &axis]), "[0, 0]");
        let stops = call("cut-stops", &[&x, &axis, &w, &axis]);
        assert_eq!(stops, format!("[{END}, 4]"));
        assert_eq!(call("cut-steps", &[&x]), "[1, 1]");
        assert_eq!(
            call("same-window", &[&value("2x3x4xf32"), &value("7x3x4xf32")]),
            "true"
        );
        assert_eq!(
            call(
                "joined-stop",
                &[&list("[1, 4]"), &list("[9, 8]"), &attr("0")]
            ),
            "[9, 4]"
        );
        let step = list("[1, 1]");
        let (start, stop) = (list("[0, 0]"), list("[5, 4]"));
        let (behind, end, axis) = (list("[5, 0]"), list("[9, 4]"), attr("0"));
        let arguments = [&x, &start, &stop, &step, &behind, &end, &step, &axis];
        assert_eq!(call("adjoin", &arguments), "true");
        let arguments = [&x, &start, &stop, &step, &start, &end, &step, &axis];
        assert_eq!(call("adjoin", &arguments), "false");
    }
}
