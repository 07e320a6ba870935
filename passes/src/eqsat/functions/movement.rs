//! Permutations and shapes: what moves elements, composed with what moves them again.

use lepid_ir::core::{Attr, Dim};

use super::{Function, axes, dims_attr, extents, extents_of, index, ints, ints_attr, tensor};

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
        name: "are-zero",
        summary: "Whether all integers of a list are zero.",
        run: |a| Some(Attr::Bool(ints(a[0])?.iter().all(|&n| n == 0))),
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
        name: "same-window",
        summary: "Whether the weights of two convolutions differ in the number of their channels alone.",
        run: |a| {
            Some(Attr::Bool(
                extents(a[0])?.get(1..)? == extents(a[1])?.get(1..)?,
            ))
        },
    },
];

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

#[cfg(test)]
mod tests {
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
}
