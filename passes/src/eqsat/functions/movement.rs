//! Permutations, shapes, slices: what moves elements, composed with what moves them again.

use lepid_ir::core::{Attr, Dim};
use lepid_ir::dialects::tensor::END;

use super::{Function, axes, dims_attr, elem, extents, index, ints, ints_attr, tensor};
use crate::eqsat::facts::Facts;

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "compose",
        summary: "The permutation that does the first, then the second.",
        run: |a| compose(&axes(a[0])?, &axes(a[1])?),
    },
    Function {
        name: "inverse",
        summary: "The permutation that undoes one.",
        run: |a| ints_attr(inverse(&axes(a[0])?)?),
    },
    Function {
        name: "is-identity",
        summary: "Whether a permutation does nothing.",
        run: |a| Some(Attr::Bool(axes(a[0])?.is_sorted())),
    },
    Function {
        name: "moves-units",
        summary: "Whether a permutation of a value moves axes of extent 1 alone past others.",
        run: |a| {
            let from = extents(a[0])?;
            let rest = axes(a[1])?
                .into_iter()
                .filter(|&axis| from.get(axis) != Some(&1));
            Some(Attr::Bool(rest.collect::<Vec<_>>().is_sorted()))
        },
    },
    Function {
        name: "permuted",
        summary: "The shape of a value after a permutation.",
        run: |a| {
            let (from, perm) = (&tensor(a[0])?.dims, axes(a[1])?);
            let dims: Option<Vec<Dim>> = perm.iter().map(|&p| from.get(p).copied()).collect();
            Some(Attr::dims(dims?))
        },
    },
    Function {
        name: "pick",
        summary: "Of a list, the items at the indices of another list.",
        run: |a| {
            let (items, at) = (a[0].as_attr()?.as_list()?, axes(a[1])?);
            let picked: Option<Vec<Attr>> = at.iter().map(|&i| items.get(i).cloned()).collect();
            Some(Attr::List(picked?))
        },
    },
    Function {
        name: "item",
        summary: "The item of a list at an index.",
        run: |a| a[0].as_attr()?.as_list()?.get(index(a[1])?).cloned(),
    },
    Function {
        name: "places",
        summary: "Where the items of the first list are in a permutation.",
        run: |a| {
            let inverse = inverse(&axes(a[1])?)?;
            let places: Option<Vec<usize>> = axes(a[0])?
                .iter()
                .map(|&i| inverse.get(i).copied())
                .collect();
            ints_attr(places?)
        },
    },
    Function {
        name: "sorted",
        summary: "A list of integers in increasing order.",
        run: |a| {
            let mut axes = axes(a[0])?;
            axes.sort_unstable();
            ints_attr(axes)
        },
    },
    Function {
        name: "order",
        summary: "The permutation that sorts a list of integers.",
        run: |a| {
            let axes = axes(a[0])?;
            let mut order: Vec<usize> = (0..axes.len()).collect();
            order.sort_by_key(|&i| axes[i]);
            ints_attr(order)
        },
    },
    Function {
        name: "shape",
        summary: "The shape of a value.",
        run: |a| {
            let dims = &tensor(a[0])?.dims;
            // An unknown extent cannot be asked for.
            let open = dims.contains(&Dim::Unknown);
            (!open).then(|| Attr::dims(dims.iter().copied()))
        },
    },
    Function {
        name: "has-shape",
        summary: "Whether a value has this shape, of known extents.",
        run: |a| Some(Attr::Bool(dims_attr(extents(a[0])?)? == *a[1].as_attr()?)),
    },
    Function {
        name: "same-type",
        summary: "Whether two values have one type, of known extents.",
        run: |a| {
            Some(Attr::Bool(
                extents(a[0])? == extents(a[1])? && a[0].ty() == a[1].ty(),
            ))
        },
    },
    Function {
        name: "skip-units",
        summary: "The axes of a broadcast of a value that was reshaped by axes of extent 1 alone.",
        run: |a| {
            skip_units(
                &extents(a[0])?,
                &extents_of(a[1])?,
                &axes(a[2])?,
                &extents_of(a[3])?,
            )
        },
    },
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
        name: "joined-axes",
        summary: "The axes of a value that two reductions in turn reduce.",
        run: |a| {
            let (rank, first, second) = (tensor(a[0])?.rank(), axes(a[1])?, axes(a[2])?);
            let kept: Vec<usize> = (0..rank).filter(|i| !first.contains(i)).collect();
            let then: Option<Vec<usize>> = second.iter().map(|&i| kept.get(i).copied()).collect();
            let mut all: Vec<usize> = first.into_iter().chain(then?).collect();
            all.sort_unstable();
            ints_attr(all)
        },
    },
    Function {
        name: "keeps-order",
        summary: "Whether the axes that a reduction leaves of a permuted value are in order.",
        run: |a| {
            let (perm, reduced) = (axes(a[0])?, axes(a[1])?);
            let kept = perm
                .iter()
                .enumerate()
                .filter(|(i, _)| !reduced.contains(i));
            Some(Attr::Bool(kept.map(|(_, p)| p).is_sorted()))
        },
    },
    Function {
        name: "are-units",
        summary: "Whether these axes of a value have extent 1.",
        run: |a| {
            let from = extents(a[0])?;
            Some(Attr::Bool(
                axes(a[1])?.iter().all(|&i| from.get(i) == Some(&1)),
            ))
        },
    },
    Function {
        name: "reduced",
        summary: "The shape of a value without these axes.",
        run: |a| {
            let (from, axes) = (extents(a[0])?, axes(a[1])?);
            let kept = (0..from.len()).filter(|i| !axes.contains(i));
            dims_attr(kept.map(|i| from[i]))
        },
    },
    Function {
        name: "kept",
        summary: "The shape of a value with extent 1 along these axes.",
        run: |a| {
            let (from, axes) = (extents(a[0])?, axes(a[1])?);
            dims_attr((0..from.len()).map(|i| if axes.contains(&i) { 1 } else { from[i] }))
        },
    },
    Function {
        name: "kept-axes",
        summary: "The axes of a value that a reduction of these axes leaves.",
        run: |a| {
            let (rank, axes) = (tensor(a[0])?.rank(), axes(a[1])?);
            ints_attr((0..rank).filter(|i| !axes.contains(i)))
        },
    },
    Function {
        name: "only",
        summary: "The item of a list of one.",
        run: |a| match a[0].as_attr()?.as_list()? {
            [item] => Some(item.clone()),
            _ => None,
        },
    },
    Function {
        name: "list",
        summary: "A list of one item.",
        run: |a| Some(Attr::List(vec![a[0].as_attr()?.clone()])),
    },
    Function {
        name: "same",
        summary: "Whether two attributes are equal.",
        run: |a| Some(Attr::Bool(a[0].as_attr()? == a[1].as_attr()?)),
    },
    Function {
        name: "repeats-along",
        summary: "Whether a broadcast of a value (axes) repeats it along an axis.",
        run: |a| {
            let (from, axes, axis) = (extents(a[0])?, axes(a[1])?, index(a[2])?);
            let extent = axes.iter().position(|&i| i == axis).map(|i| from[i]);
            Some(Attr::Bool(extent.is_none_or(|n| n == 1)))
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
        name: "are-zero",
        summary: "Whether all integers of a list are zero.",
        run: |a| Some(Attr::Bool(ints(a[0])?.iter().all(|&n| n == 0))),
    },
    Function {
        name: "keeps-free",
        summary: "Whether the axes of a permuted value that are neither batch nor contracted are in order.",
        run: |a| {
            let (perm, batch, contracted) = (axes(a[0])?, axes(a[1])?, axes(a[2])?);
            let free = |i: &usize| !batch.contains(i) && !contracted.contains(i);
            let kept = perm.iter().enumerate().filter(|(i, _)| free(i));
            Some(Attr::Bool(kept.map(|(_, p)| p).is_sorted()))
        },
    },
    Function {
        name: "reduced-shape",
        summary: "A shape without these axes.",
        run: |a| {
            let (shape, axes) = (a[0].as_attr()?.as_list()?, axes(a[1])?);
            let kept = (0..shape.len()).filter(|i| !axes.contains(i));
            Some(Attr::List(kept.map(|i| shape[i].clone()).collect()))
        },
    },
    Function {
        name: "is-repetition",
        summary: "Whether a broadcast of a value (shape, axes) only repeats it, at least once, along other axes (the last list).",
        run: |a| {
            let (from, shape) = (extents(a[0])?, extents_of(a[1])?);
            let (axes, along) = (axes(a[2])?, axes(a[3])?);
            let full = axes
                .iter()
                .zip(&from)
                .all(|(&i, n)| shape.get(i) == Some(n));
            let others = (0..shape.len()).filter(|i| !along.contains(i));
            let repeated = along.iter().all(|&i| shape.get(i).is_some_and(|&n| n > 0));
            Some(Attr::Bool(
                full && repeated && axes.iter().copied().eq(others),
            ))
        },
    },
    Function {
        name: "folds-exactly",
        summary: "Whether a reduction of a value of this kind rounds nothing.",
        run: |a| {
            let kind = a[1].as_attr()?.as_str()?;
            let chooses = matches!(kind, "max" | "min" | "and" | "or");
            Some(Attr::Bool(
                chooses || (!elem(a[0])?.is_float() && matches!(kind, "sum" | "prod")),
            ))
        },
    },
    Function {
        name: "folds-one",
        summary: "Whether a reduction of this kind of one element is that element.",
        run: |a| {
            let kind = a[0].as_attr()?.as_str()?;
            Some(Attr::Bool(matches!(
                kind,
                "sum" | "prod" | "max" | "min" | "and" | "or"
            )))
        },
    },
    Function {
        name: "fewer",
        summary: "Whether a value has fewer elements than another along an axis.",
        run: |a| {
            let (few, many) = (extents(a[0])?, extents(a[1])?);
            let count = few.iter().product::<usize>();
            Some(Attr::Bool(count < *many.get(index(a[2])?)?))
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
    Function {
        name: "same-window",
        summary: "Whether the weights of two convolutions differ in the number of their channels alone.",
        run: |a| {
            Some(Attr::Bool(
                extents(a[0])?.get(1..)? == extents(a[1])?.get(1..)?,
            ))
        },
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

fn compose(first: &[usize], second: &[usize]) -> Option<Attr> {
    let both: Option<Vec<usize>> = second.iter().map(|&i| first.get(i).copied()).collect();
    ints_attr(both?)
}

fn inverse(perm: &[usize]) -> Option<Vec<usize>> {
    let mut inverse = vec![0; perm.len()];
    for (i, &p) in perm.iter().enumerate() {
        *inverse.get_mut(p)? = i;
    }
    Some(inverse)
}

/// The extents of a shape attribute, all of them numbers.
fn extents_of(facts: &Facts) -> Option<Vec<usize>> {
    let dims = facts.as_attr()?.as_list()?.iter();
    dims.map(|d| usize::try_from(d.as_int()?).ok()).collect()
}

/// `from` reshaped to `to` and broadcast by `axes` to `shape`: the axes of a broadcast of `from`
/// itself, if the reshape only adds or drops axes of extent 1.
fn skip_units(from: &[usize], to: &[usize], axes: &[usize], shape: &[usize]) -> Option<Attr> {
    let mut place = 0;
    let mut found = Vec::new();
    // Axes of other extents follow each other in both; units of `from` need a place between them.
    for &extent in from {
        while extent != 1 && to.get(place) == Some(&1) {
            place += 1;
        }
        if to.get(place) != Some(&extent) {
            return None;
        }
        found.push(*axes.get(place)?);
        place += 1;
    }
    let rest_is_units = to.get(place..)?.iter().all(|&n| n == 1);
    let fits = found
        .iter()
        .zip(from)
        .all(|(&a, &n)| n == 1 || shape.get(a) == Some(&n));
    (rest_is_units && fits).then(|| ints_attr(found))?
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
    fn permutations() {
        let (p, q) = (attr("[2, 0, 1]"), attr("[0, 2, 1]"));
        assert_eq!(call("compose", &[&p, &q]), "[2, 1, 0]");
        assert_eq!(call("inverse", &[&p]), "[1, 2, 0]");
        assert_eq!(call("is-identity", &[&p]), "false");
        assert_eq!(
            call("moves-units", &[&value("2x1x3xf32"), &attr("[1, 0, 2]")]),
            "true"
        );
        assert_eq!(
            call("moves-units", &[&value("2x1x3xf32"), &attr("[2, 1, 0]")]),
            "false"
        );
        assert_eq!(call("permuted", &[&value("2x3x4xf32"), &p]), "[4, 2, 3]");
        assert_eq!(
            call("pick", &[&attr("[5, 6, 7]"), &attr("[2, 0]")]),
            "[7, 5]"
        );
        assert_eq!(call("item", &[&attr("[5, 6]"), &attr("1")]), "6");
        assert_eq!(call("places", &[&attr("[0]"), &p]), "[1]");
        assert_eq!(call("order", &[&attr("[3, 1, 2]")]), "[1, 2, 0]");
        assert_eq!(call("sorted", &[&attr("[3, 1, 2]")]), "[1, 2, 3]");
    }

    #[test]
    fn shapes() {
        let x = value("2x3xf32");
        assert_eq!(call("shape", &[&x]), "[2, 3]");
        assert_eq!(call("shape", &[&value("?x3xf32")]), "nothing");
        assert_eq!(call("has-shape", &[&x, &attr("[2, 3]")]), "true");
        assert_eq!(call("same-type", &[&x, &value("2x3xi32")]), "false");
        assert_eq!(call("only", &[&attr("[3]")]), "3");
        assert_eq!(call("only", &[&attr("[3, 4]")]), "nothing");
        assert_eq!(call("list", &[&attr("3")]), "[3]");
        assert_eq!(call("same", &[&attr("[3]"), &attr("[3]")]), "true");
        assert_eq!(call("are-zero", &[&attr("[0, 1]")]), "false");
    }

    #[test]
    fn axes_of_extent_one() {
        let skip = |x: &str, to: &str, axes: &str, shape: &str| {
            call(
                "skip-units",
                &[&value(x), &attr(to), &attr(axes), &attr(shape)],
            )
        };
        assert_eq!(
            skip("2x3xf32", "[2, 3, 1]", "[0, 1, 2]", "[2, 3, 4]"),
            "[0, 1]"
        );
        assert_eq!(
            skip("2x3xf32", "[2, 1, 3]", "[0, 1, 2]", "[2, 4, 3]"),
            "[0, 2]"
        );
        assert_eq!(skip("2x3xf32", "[3, 2]", "[0, 1]", "[3, 2]"), "nothing");
        assert_eq!(skip("6xf32", "[2, 3]", "[0, 1]", "[2, 3]"), "nothing");
        let x = value("2x1x3xf32");
        assert_eq!(call("are-units", &[&x, &attr("[1]")]), "true");
        assert_eq!(call("reduced", &[&x, &attr("[1]")]), "[2, 3]");
        assert_eq!(call("kept", &[&x, &attr("[0]")]), "[1, 1, 3]");
        assert_eq!(call("kept-axes", &[&x, &attr("[1]")]), "[0, 2]");
        assert_eq!(
            call("repeats-along", &[&x, &attr("[0, 1, 2]"), &attr("1")]),
            "true"
        );
        assert_eq!(
            call("repeats-along", &[&x, &attr("[0, 1, 3]"), &attr("0")]),
            "false"
        );
    }

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

    #[test]
    fn reductions() {
        let x = value("2x3x4xf32");
        assert_eq!(
            call("joined-axes", &[&x, &attr("[1]"), &attr("[1]")]),
            "[1, 2]"
        );
        assert_eq!(
            call("keeps-order", &[&attr("[2, 0, 1]"), &attr("[0]")]),
            "true"
        );
        assert_eq!(
            call("keeps-order", &[&attr("[2, 0, 1]"), &attr("[1]")]),
            "false"
        );
        let perm = attr("[0, 2, 1]");
        assert_eq!(
            call("keeps-free", &[&perm, &attr("[0]"), &attr("[2]")]),
            "true"
        );
        assert_eq!(
            call("keeps-free", &[&perm, &attr("[]"), &attr("[]")]),
            "false"
        );
        assert_eq!(
            call("reduced-shape", &[&attr("[2, 3, 4]"), &attr("[1]")]),
            "[2, 4]"
        );
        let repeats = |axes: &str, along: &str| {
            let shape = attr("[2, 3, 4]");
            call(
                "is-repetition",
                &[&value("2x4xf32"), &shape, &attr(axes), &attr(along)],
            )
        };
        assert_eq!(repeats("[0, 2]", "[1]"), "true");
        assert_eq!(repeats("[0, 2]", "[2]"), "false");
        assert_eq!(call("folds-exactly", &[&x, &attr("\"max\"")]), "true");
        assert_eq!(call("folds-exactly", &[&x, &attr("\"sum\"")]), "false");
        assert_eq!(
            call("folds-exactly", &[&value("2xi8"), &attr("\"sum\"")]),
            "true"
        );
        assert_eq!(call("folds-one", &[&attr("\"sum\"")]), "true");
        let fewer = |few: &str| call("fewer", &[&value(few), &x, &attr("1")]);
        assert_eq!(fewer("2xi64"), "true");
        assert_eq!(fewer("3xi64"), "false");
    }
}
