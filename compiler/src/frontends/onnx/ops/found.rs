//! Operators whose results are as long as the values of their inputs say.

use lepid_ir::core::{Builder, Dim, Elem, Num, OpDef, OpResult, Tensor, Value};
use lepid_ir::dialects::tensor::{self, build};

use super::{Row, one, row};
use crate::frontends::onnx::cx::{Cx, invalid, normal_axis};

type Values = OpResult<Vec<Value>>;

pub(super) const ROWS: &[Row] = &[
    row("Compress", 9, compress),
    row("NonMaxSuppression", 10, non_max_suppression),
    row("NonZero", 9, non_zero),
    row("Unique", 11, unique),
];

fn non_zero(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let x = cx.input(0)?;
    one(cx.op(&tensor::NonZero, &[x], &[])?)
}

/// The places in a vector that are not zero, as a vector.
fn places_of(b: &mut Builder<'_>, x: Value) -> OpResult<Value> {
    let places = b.one(&tensor::NonZero, &[x], &[])?;
    build::squeeze(b, places, &[0])
}

/// The slices along an axis, or the elements without one, whose condition holds.
fn compress(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let (mut x, mut condition) = (cx.input(0)?, cx.input(1)?);
    let axis = match cx.opt_int("axis")? {
        Some(axis) => normal_axis(axis, cx.rank(x)?)?,
        None => {
            x = flat(cx, x)?;
            0
        }
    };
    if cx.rank(condition)? != 1 {
        return Err(invalid("the condition must be a vector"));
    }
    // A condition may end early; what it says beyond the axis is not read.
    if let (Dim::Known(n), Dim::Known(given)) = (cx.dims(x)?[axis], cx.dims(condition)?[0])
        && given > n
    {
        condition = build::slice_axis(cx.b, condition, 0, 0, n as i64)?;
    }
    let places = places_of(cx.b, condition)?;
    one(build::gather(cx.b, x, places, axis)?)
}

fn flat(cx: &mut Cx<'_, '_, '_, '_>, x: Value) -> OpResult<Value> {
    let total = cx.dims(x)?.into_iter().fold(Dim::Known(1), Dim::times);
    cx.reshape(x, &[total])
}

fn unique(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let mut x = cx.input(0)?;
    let mut axis = 0;
    match cx.opt_int("axis")? {
        Some(given) => axis = normal_axis(given, cx.rank(x)?)?,
        None => x = flat(cx, x)?,
    }
    let order = match cx.int("sorted", 1)? {
        0 => Order::Occurrence,
        _ => Order::Sorted,
    };
    unique_along(cx, x, axis, order)
}

/// In which order distinct values are given.
#[derive(Copy, Clone, PartialEq, Eq)]
pub(super) enum Order {
    Sorted,
    /// As they first occur.
    Occurrence,
}

/// The distinct slices along an axis; where each first occurs; which of them each slice is; how
/// often it occurs. Equals are neighbours once they are sorted.
pub(super) fn unique_along(
    cx: &mut Cx<'_, '_, '_, '_>,
    x: Value,
    axis: usize,
    wanted: Order,
) -> Values {
    let (order, first) = match cx.rank(x)? {
        1 => sorted_elements(cx, x)?,
        _ => sorted_slices(cx, x, axis)?,
    };
    let one_more = [("kind", "sum".into()), ("axis", 0.into())];
    let count = cx.cast(first, Elem::I64)?;
    let count = cx.op(&tensor::Scan, &[count], &one_more)?;
    let single = cx.number(Elem::I64, 1.0)?;
    let groups = cx.binary(&tensor::Sub, count, single)?;
    let starts = places_of(cx.b, first)?;
    let numbers = build::gather(cx.b, groups, starts, 0)?;
    let mut indices = build::gather(cx.b, order, starts, 0)?;
    let zeros = cx.splat(order, 0.0)?;
    let mut inverse = put(cx, zeros, order, groups, "set")?;
    let ones = cx.splat(order, 1.0)?;
    let counts = put(cx, zeros, groups, ones, "add")?;
    let mut counts = build::gather(cx.b, counts, numbers, 0)?;
    if wanted == Order::Occurrence {
        let [by_place, by] = sort(cx, indices)?;
        indices = by_place;
        counts = build::gather(cx.b, counts, by, 0)?;
        let (zeros, places) = (cx.splat(by, 0.0)?, cx.places(by, 0)?);
        let rank = put(cx, zeros, by, places, "set")?;
        inverse = build::gather(cx.b, rank, inverse, 0)?;
    }
    let y = build::gather(cx.b, x, indices, axis)?;
    Ok(vec![y, indices, inverse, counts])
}

fn put(
    cx: &mut Cx<'_, '_, '_, '_>,
    x: Value,
    places: Value,
    values: Value,
    kind: &str,
) -> OpResult<Value> {
    let attrs = [("axis", 0.into()), ("kind", kind.into())];
    cx.op(&tensor::ScatterElements, &[x, places, values], &attrs)
}

/// A vector in order, and the places that its elements come from.
fn sort(cx: &mut Cx<'_, '_, '_, '_>, x: Value) -> OpResult<[Value; 2]> {
    let results = cx.ops(&tensor::Sort, &[x], &[("axis", 0.into())])?;
    Ok([results[0], results[1]])
}

/// The order of the elements of a vector, and whether each differs from the one before it there.
fn sorted_elements(cx: &mut Cx<'_, '_, '_, '_>, x: Value) -> OpResult<(Value, Value)> {
    let [sorted, order] = sort(cx, x)?;
    let (before, start) = before(cx, sorted)?;
    let differs = distinct(cx, sorted, before)?;
    Ok((order, cx.op(&tensor::Or, &[start, differs], &[])?))
}

/// As [`sorted_elements`], for slices along an axis, whose first elements count most.
fn sorted_slices(cx: &mut Cx<'_, '_, '_, '_>, x: Value, axis: usize) -> OpResult<(Value, Value)> {
    let rank = cx.rank(x)?;
    let perm: Vec<usize> = [axis]
        .into_iter()
        .chain((0..rank).filter(|&a| a != axis))
        .collect();
    let x = cx.transpose(x, &perm)?;
    let rows = matrix(cx, x)?;
    let order = slice_order(cx, rows)?;
    let sorted = build::gather(cx.b, rows, order, 0)?;
    let (before, start) = before(cx, sorted)?;
    let differs = distinct(cx, sorted, before)?;
    let differs = build::reduce(cx.b, differs, "any", &[1])?;
    Ok((order, cx.binary(&tensor::Or, start, differs)?))
}

/// All axes but the first as one.
fn matrix(cx: &mut Cx<'_, '_, '_, '_>, x: Value) -> OpResult<Value> {
    let dims = cx.dims(x)?;
    let rest = dims[1..].iter().copied().fold(Dim::Known(1), Dim::times);
    if dims[0] != Dim::Unknown || rest != Dim::Unknown {
        return cx.reshape(x, &[dims[0], rest]);
    }
    let shape = build::shape_vector(cx.b, x)?;
    let first = build::slice_axis(cx.b, shape, 0, 0, 1)?;
    let rest = build::slice_axis(cx.b, shape, 0, 1, dims.len() as i64)?;
    let rest = build::reduce_keep(cx.b, rest, "prod", &[0])?;
    let shape = build::concat(cx.b, &[first, rest], 0)?;
    cx.op(&tensor::DynReshape, &[x, shape], &[])
}

/// The order of the rows of a matrix: sorted by each column, the first one last.
fn slice_order(cx: &mut Cx<'_, '_, '_, '_>, rows: Value) -> OpResult<Value> {
    let initial = [build::dim(cx.b, rows, 1)?, cx.places(rows, 0)?];
    let zero = cx.number(Elem::I64, 0.0)?;
    let results = cx.repeat(
        &initial,
        |cx, args| cx.compare("gt", args[0], zero),
        |cx, args| {
            let column = build::with_scalar(cx.b, &tensor::Sub, args[0], 1.0)?;
            let keys = build::gather(cx.b, rows, column, 1)?;
            let keys = build::gather(cx.b, keys, args[1], 0)?;
            let [_, by] = sort(cx, keys)?;
            Ok(vec![column, build::gather(cx.b, args[1], by, 0)?])
        },
    )?;
    Ok(results[1])
}

/// What stands before each slice along the first axis, and which slice has nothing before it: that
/// one is given itself.
fn before(cx: &mut Cx<'_, '_, '_, '_>, x: Value) -> OpResult<(Value, Value)> {
    let places = cx.places(x, 0)?;
    let single = cx.number(Elem::I64, 1.0)?;
    let zero = cx.number(Elem::I64, 0.0)?;
    let previous = cx.binary(&tensor::Sub, places, single)?;
    let start = cx.compare("eq", places, zero)?;
    Ok((build::gather(cx.b, x, previous, 0)?, start))
}

/// Whether elements differ; one NaN is as another.
fn distinct(cx: &mut Cx<'_, '_, '_, '_>, x: Value, y: Value) -> OpResult<Value> {
    let differ = cx.compare("ne", x, y)?;
    if !cx.elem(x)?.is_float() {
        return Ok(differ);
    }
    let x_nan = cx.op(&tensor::IsNan, &[x], &[])?;
    let y_nan = cx.op(&tensor::IsNan, &[y], &[])?;
    let both = cx.binary(&tensor::And, x_nan, y_nan)?;
    let not_both = cx.op(&tensor::Not, &[both], &[])?;
    cx.binary(&tensor::And, differ, not_both)
}

/// The edges of boxes along one axis: batch, 1, box.
struct Side {
    low: Value,
    high: Value,
}

/// Takes, for each batch and class, the box with the greatest score again and again, and drops
/// those that overlap it too much. Gives batch, class and box of each that was taken.
fn non_max_suppression(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let (boxes, scores) = (cx.input(0)?, cx.input(1)?);
    if (cx.rank(boxes)?, cx.rank(scores)?) != (3, 3) {
        return Err(invalid("boxes and scores must have three axes"));
    }
    if !cx.dims(boxes)?[2].compatible(Dim::Known(4)) {
        return Err(invalid("a box must have four numbers"));
    }
    let sides = sides(cx, boxes, scores)?;
    let elem = cx.elem(scores)?;
    let mut scalar = |index: usize, elem: Elem, absent: f64| match cx.optional(index) {
        Some(value) => {
            let value = cx.reshape(value, &[])?;
            cx.cast(value, elem)
        }
        None => cx.number(elem, absent),
    };
    let limit = scalar(2, Elem::I64, 0.0)?;
    let overlap = scalar(3, elem, 0.0)?;
    let least = scalar(4, elem, f64::NEG_INFINITY)?;
    let alive = cx.compare("gt", scores, least)?;
    let never = cx.constant(Tensor::scalar(Elem::I64, Num::Int(i64::MAX.into())))?;
    let turns = build::broadcast_like(cx.b, never, scores)?;
    let rivals = Rivals {
        scores,
        places: cx.places(scores, 2)?,
        sides,
        overlap,
    };
    let initial = [cx.number(Elem::I64, 0.0)?, alive, turns];
    let taken = cx.repeat(
        &initial,
        |cx, args| {
            let more = cx.compare("lt", args[0], limit)?;
            let left = build::reduce(cx.b, args[1], "any", &[0, 1, 2])?;
            cx.op(&tensor::And, &[more, left], &[])
        },
        |cx, args| rivals.turn(cx.b, args),
    )?;
    // In the order of their turns, those without one last.
    let by_turn = cx.ops(&tensor::Sort, &[taken[2]], &[("axis", 2.into())])?;
    let taken = cx.compare("lt", by_turn[0], never)?;
    let places = cx.op(&tensor::NonZero, &[taken], &[])?;
    let places = cx.transpose(places, &[1, 0])?;
    let chosen = cx.op(&tensor::GatherNd, &[by_turn[1], places], &[])?;
    let chosen = build::unsqueeze(cx.b, chosen, &[1])?;
    let class = build::slice_axis(cx.b, places, 1, 0, 2)?;
    one(build::concat(cx.b, &[class, chosen], 1)?)
}

/// Both sides of the boxes, whichever corners they are given by.
fn sides(cx: &mut Cx<'_, '_, '_, '_>, boxes: Value, scores: Value) -> OpResult<[Side; 2]> {
    let of_scores = cx.dims(scores)?;
    let mut numbers = Vec::new();
    for i in 0..4 {
        let number = build::slice_axis(cx.b, boxes, 2, i, i + 1)?;
        let number = cx.transpose(number, &[0, 2, 1])?;
        let mut dims = cx.dims(number)?;
        // Boxes and scores count the same; one name for it is enough.
        for axis in [0, 2] {
            if of_scores[axis] != Dim::Unknown {
                dims[axis] = of_scores[axis];
            }
        }
        numbers.push(match dims.contains(&Dim::Unknown) {
            true => number,
            false => cx.reshape(number, &dims)?,
        });
    }
    let mut side = |axis: usize| -> OpResult<Side> {
        let (a, b) = (numbers[axis], numbers[axis + 2]);
        if cx.int("center_point_box", 0)? == 0 {
            return Ok(Side {
                low: cx.op(&tensor::Min, &[a, b], &[])?,
                high: cx.op(&tensor::Max, &[a, b], &[])?,
            });
        }
        let half = build::with_scalar(cx.b, &tensor::Mul, b, 0.5)?;
        Ok(Side {
            low: cx.op(&tensor::Sub, &[a, half], &[])?,
            high: cx.op(&tensor::Add, &[a, half], &[])?,
        })
    };
    Ok([side(0)?, side(1)?])
}

/// Boxes that compete.
struct Rivals {
    /// Batch, class, box.
    scores: Value,
    /// 0, 1, 2, … along the boxes.
    places: Value,
    sides: [Side; 2],
    /// Which part of what two boxes cover they may share.
    overlap: Value,
}

impl Rivals {
    /// One turn: its number, who is left, and the turn in which each was taken.
    fn turn(&self, b: &mut Builder<'_>, args: &[Value]) -> Values {
        let [turn, alive, turns] = [args[0], args[1], args[2]];
        let never = build::splat_like(b, self.scores, f64::NEG_INFINITY)?;
        let left = build::select(b, alive, self.scores, never)?;
        let attrs = [("kind", "max".into()), ("axis", 2.into())];
        let best = b.one(&tensor::ArgReduce, &[left], &attrs)?;
        let at = build::unsqueeze(b, best, &[2])?;
        let here = build::compare(b, "eq", self.places, at)?;
        let taken = build::binary(b, &tensor::And, here, alive)?;
        let close = self.overlapping(b, best)?;
        let dropped = build::binary(b, &tensor::Or, here, close)?;
        let stays = build::unary(b, &tensor::Not, dropped)?;
        Ok(vec![
            build::with_scalar(b, &tensor::Add, turn, 1.0)?,
            build::binary(b, &tensor::And, alive, stays)?,
            build::select(b, taken, turn, turns)?,
        ])
    }

    /// Which boxes share more with the best one of their class than they may.
    fn overlapping(&self, b: &mut Builder<'_>, best: Value) -> OpResult<Value> {
        let mut shared = Vec::new();
        let mut own = Vec::new();
        let mut of_best = Vec::new();
        for side in &self.sides {
            let low = of_chosen(b, side.low, best)?;
            let high = of_chosen(b, side.high, best)?;
            let begin = build::binary(b, &tensor::Max, side.low, low)?;
            let end = build::binary(b, &tensor::Min, side.high, high)?;
            let length = build::binary(b, &tensor::Sub, end, begin)?;
            shared.push(build::with_scalar(b, &tensor::Max, length, 0.0)?);
            own.push(b.one(&tensor::Sub, &[side.high, side.low], &[])?);
            of_best.push(build::binary(b, &tensor::Sub, high, low)?);
        }
        let mut product = |pair: &[Value]| -> OpResult<Value> {
            let def: &'static dyn OpDef = &tensor::Mul;
            build::binary(b, def, pair[0], pair[1])
        };
        let (shared, own, of_best) = (product(&shared)?, product(&own)?, product(&of_best)?);
        let both = build::binary(b, &tensor::Add, own, of_best)?;
        let covered = build::binary(b, &tensor::Sub, both, shared)?;
        // Boxes that cover nothing give no number, which is not greater than any.
        let part = build::binary(b, &tensor::Div, shared, covered)?;
        build::compare(b, "gt", part, self.overlap)
    }
}

/// The number of the chosen box of each class: batch, class, 1.
fn of_chosen(b: &mut Builder<'_>, numbers: Value, chosen: Value) -> OpResult<Value> {
    let numbers = build::squeeze(b, numbers, &[1])?;
    let found = b.one(
        &tensor::GatherElements,
        &[numbers, chosen],
        &[("axis", 1.into())],
    )?;
    build::unsqueeze(b, found, &[2])
}
