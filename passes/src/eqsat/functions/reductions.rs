//! Reductions: which axes they leave, and what they round.

use lepid_ir::core::Attr;

use super::{Function, axes, dims_attr, elem, extents, extents_of, index, ints_attr, tensor};

pub(super) const FUNCTIONS: &[Function] = &[
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
        name: "repeats-along",
        summary: "Whether a broadcast of a value (axes) repeats it along an axis.",
        run: |a| {
            let (from, axes, axis) = (extents(a[0])?, axes(a[1])?, index(a[2])?);
            let extent = axes.iter().position(|&i| i == axis).map(|i| from[i]);
            Some(Attr::Bool(extent.is_none_or(|n| n == 1)))
        },
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
            let chooses = matches!(kind, "max" | "min" | "any" | "all");
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
                "sum" | "prod" | "max" | "min" | "any" | "all"
            )))
        },
    },
];

#[cfg(test)]
mod tests {
    use crate::eqsat::functions::tests::{attr, call, value};

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
        let truths = value("2xi1");
        for kind in ["\"any\"", "\"all\""] {
            assert_eq!(call("folds-exactly", &[&truths, &attr(kind)]), "true");
            assert_eq!(call("folds-one", &[&attr(kind)]), "true");
        }
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
