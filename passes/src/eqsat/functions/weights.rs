//! Channels and weights: what a layer can take over from what stands around it.

use lepid_ir::core::Attr;

use super::{Function, axes, dims_attr, extents, float, index, ints, ints_attr, tensor};
use crate::eqsat::facts::Facts;

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "channel-axis",
        summary: "The axis of the channels of a value in a layout.",
        run: |a| Some(Attr::Int(channel_axis(a)? as i64)),
    },
    Function {
        name: "last-axis",
        summary: "The last axis of a value.",
        run: |a| Some(Attr::Int(tensor(a[0])?.rank() as i64 - 1)),
    },
    Function {
        name: "lies-along",
        summary: "Whether a broadcast of a value (shape, axes) varies along one axis alone, element by element.",
        run: |a| {
            let (from, shape, axes, axis) =
                (extents(a[0])?, ints(a[1])?, axes(a[2])?, index(a[3])?);
            let full = i64::try_from(from.iter().product::<usize>()).ok()?;
            let along = axes.iter().zip(&from).all(|(&i, &n)| i == axis || n == 1);
            Some(Attr::Bool(
                along && axes.contains(&axis) && *shape.get(axis)? == full,
            ))
        },
    },
    Function {
        name: "trails-from",
        summary: "Whether a broadcast of a value (shape, axes) repeats it before an axis alone.",
        run: |a| {
            let (from, shape, axes, axis) =
                (extents(a[0])?, ints(a[1])?, axes(a[2])?, index(a[3])?);
            let inside = axes.iter().zip(&from).all(|(&i, &n)| i >= axis || n == 1);
            let tail: i64 = shape.get(axis..)?.iter().product();
            let full = i64::try_from(from.iter().product::<usize>()).ok()?;
            Some(Attr::Bool(inside && tail == full))
        },
    },
    Function {
        name: "tail",
        summary: "The shape of a value from an axis on.",
        run: |a| dims_attr(extents(a[0])?.get(index(a[1])?..)?.iter().copied()),
    },
    Function {
        name: "elements",
        summary: "The number of elements of a value, as a shape of one axis.",
        run: |a| dims_attr([extents(a[0])?.iter().product()]),
    },
    Function {
        name: "pads-space",
        summary: "Whether padding (low, high) of a value leaves batch and channels (layout) as they are.",
        run: |a| {
            let (low, high, channel) = (ints(a[1])?, ints(a[2])?, channel_axis(&[a[0], a[3]])?);
            let untouched = |i: usize| Some(*low.get(i)? == 0 && *high.get(i)? == 0);
            Some(Attr::Bool(untouched(0)? && untouched(channel)?))
        },
    },
    Function {
        name: "added-pads",
        summary: "The pads of a window together with padding (low, high) of the value (layout) before it.",
        run: added_pads,
    },
    Function {
        name: "counts",
        summary: "Whether all elements of the last value are the number of elements along these axes of the first.",
        run: |a| Some(Attr::Bool(a[2].uniform?.as_f64() == count(a[0], a[1])?)),
    },
    Function {
        name: "counts-inversely",
        summary: "Whether all elements of the last value are one by the number of elements along these axes of the first.",
        run: |a| {
            let (found, count) = (a[2].uniform?.as_f64(), count(a[0], a[1])?);
            Some(Attr::Bool((found * count - 1.0).abs() <= 1e-6))
        },
    },
    Function {
        name: "are-last",
        summary: "Whether these are the last axes of a value.",
        run: |a| {
            let (rank, mut axes) = (tensor(a[0])?.rank(), axes(a[1])?);
            axes.sort_unstable();
            let first = *axes.first()?;
            Some(Attr::Bool(axes.into_iter().eq(first..rank)))
        },
    },
    Function {
        name: "first-axis",
        summary: "The least of a list of axes.",
        run: |a| Some(Attr::Int(*ints(a[0])?.iter().min()?)),
    },
    Function {
        name: "rank-is",
        summary: "Whether a value has so many axes.",
        run: |a| Some(Attr::Bool(tensor(a[0])?.rank() as f64 == float(a[1])?)),
    },
    Function {
        name: "space-axes",
        summary: "The axes of a value in a layout that are neither batch nor channels.",
        run: |a| ints_attr(space_axes(a)?),
    },
    Function {
        name: "is-window-over-all",
        summary: "Whether a window (kernel, dilation) is as large as a value in a layout.",
        run: |a| {
            let (from, kernel, dilation) = (extents(a[0])?, axes(a[1])?, axes(a[2])?);
            let space = space_axes(&[a[0], a[3]])?.into_iter().map(|i| from[i]);
            let plain = dilation.iter().all(|&n| n == 1);
            Some(Attr::Bool(plain && kernel.into_iter().eq(space)))
        },
    },
];

fn space_axes(a: &[&Facts]) -> Option<Vec<usize>> {
    let (rank, channel) = (tensor(a[0])?.rank(), channel_axis(a)?);
    Some((1..rank).filter(|i| *i != channel).collect())
}

fn channel_axis(a: &[&Facts]) -> Option<usize> {
    let rank = tensor(a[0])?.rank();
    match a[1].as_attr()?.as_str()? {
        "nchw" if rank > 1 => Some(1),
        "nhwc" if rank > 1 => Some(rank - 1),
        _ => None,
    }
}

/// Lows of all spatial axes, then highs.
fn added_pads(a: &[&Facts]) -> Option<Attr> {
    let (value, low, high) = (a[1], ints(a[2])?, ints(a[3])?);
    let channel = channel_axis(&[value, a[4]])?;
    let space = (1..low.len()).filter(|i| *i != channel);
    let more = space.clone().map(|i| low[i]).chain(space.map(|i| high[i]));
    let pads = ints(a[0])?;
    let more: Vec<i64> = more.collect();
    (pads.len() == more.len()).then(|| {
        let sums = pads.iter().zip(more).map(|(x, y)| x + y);
        Attr::from(sums.collect::<Vec<i64>>())
    })
}

fn count(value: &Facts, reduced: &Facts) -> Option<f64> {
    let from = extents(value)?;
    let along = axes(reduced)?.into_iter().map(|i| from.get(i).copied());
    let along: Option<Vec<usize>> = along.collect();
    Some(along?.into_iter().product::<usize>() as f64)
}

#[cfg(test)]
mod tests {
    use crate::eqsat::functions::tests::{attr, call, splat, value};

    #[test]
    fn channels() {
        let x = value("2x3x4x5xf32");
        assert_eq!(call("channel-axis", &[&x, &attr("\"nchw\"")]), "1");
        assert_eq!(call("channel-axis", &[&x, &attr("\"nhwc\"")]), "3");
        assert_eq!(call("space-axes", &[&x, &attr("\"nhwc\"")]), "[1, 2]");
        let over = |kernel: &str| {
            let (dilation, layout) = (attr("[1, 1]"), attr("\"nchw\""));
            call(
                "is-window-over-all",
                &[&x, &attr(kernel), &dilation, &layout],
            )
        };
        assert_eq!(over("[4, 5]"), "true");
        assert_eq!(over("[4, 4]"), "false");
        assert_eq!(call("last-axis", &[&x]), "3");
        assert_eq!(call("elements", &[&x]), "[120]");
        assert_eq!(call("tail", &[&x, &attr("2")]), "[4, 5]");
        assert_eq!(call("rank-is", &[&x, &attr("4")]), "true");
    }

    #[test]
    fn broadcasts_along_axes() {
        let along = |b: &str, axes: &str, axis: &str| {
            let shape = attr("[2, 3, 4]");
            call("lies-along", &[&value(b), &shape, &attr(axes), &attr(axis)])
        };
        assert_eq!(along("3xf32", "[1]", "1"), "true");
        assert_eq!(along("1x3x1xf32", "[0, 1, 2]", "1"), "true");
        assert_eq!(along("2x3xf32", "[0, 1]", "1"), "false");
        assert_eq!(along("1xf32", "[1]", "1"), "false");
        let trails = |b: &str, axes: &str, axis: &str| {
            let shape = attr("[2, 3, 4]");
            call(
                "trails-from",
                &[&value(b), &shape, &attr(axes), &attr(axis)],
            )
        };
        assert_eq!(trails("3x4xf32", "[1, 2]", "1"), "true");
        assert_eq!(trails("4xf32", "[2]", "1"), "false");
        assert_eq!(trails("4xf32", "[2]", "2"), "true");
    }

    #[test]
    fn padding_of_windows() {
        let x = value("1x2x5x6xf32");
        let (low, high) = (attr("[0, 0, 1, 2]"), attr("[0, 0, 3, 4]"));
        let (nchw, nhwc) = (attr("\"nchw\""), attr("\"nhwc\""));
        assert_eq!(call("pads-space", &[&x, &low, &high, &nchw]), "true");
        assert_eq!(call("pads-space", &[&x, &low, &high, &nhwc]), "false");
        let pads = attr("[1, 1, 1, 1]");
        assert_eq!(
            call("added-pads", &[&pads, &x, &low, &high, &nchw]),
            "[2, 3, 4, 5]"
        );
    }

    #[test]
    fn counts_of_elements() {
        let (x, axes) = (value("2x3x4xf32"), attr("[1, 2]"));
        assert_eq!(call("counts", &[&x, &axes, &splat(12.0, "f32")]), "true");
        assert_eq!(call("counts", &[&x, &axes, &splat(4.0, "f32")]), "false");
        assert_eq!(
            call("counts-inversely", &[&x, &axes, &splat(1.0 / 12.0, "f32")]),
            "true"
        );
        assert_eq!(call("are-last", &[&x, &axes]), "true");
        assert_eq!(call("are-last", &[&x, &attr("[0, 2]")]), "false");
        assert_eq!(call("first-axis", &[&attr("[2, 1]")]), "1");
    }
}
