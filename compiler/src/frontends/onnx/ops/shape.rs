//! Operators that move elements or tell of shapes.

use lepid_ir::core::{Attr, Dim, Elem, OpResult, Tensor, Value};
use lepid_ir::dialects::tensor::{self, END, build, extents::Entry, shapes, slice_run};

use super::{Row, one, row};
use crate::frontends::onnx::cx::{Cx, invalid, normal_axis, unsupported};

type Values = OpResult<Vec<Value>>;

pub(super) const ROWS: &[Row] = &[
    row("CenterCropPad", 18, center_crop_pad),
    row("Concat", 4, concat),
    row("ConstantOfShape", 9, constant_of_shape),
    row("DepthToSpace", 1, depth_to_space),
    row("Expand", 8, expand),
    row("Flatten", 1, flatten),
    row("Pad", 2, pad),
    row("Range", 11, range),
    row("Reshape", 5, reshape),
    row("ReverseSequence", 10, reverse_sequence),
    row("Shape", 1, shape),
    row("Size", 1, size),
    row("Slice", 1, slice),
    row("SpaceToDepth", 1, space_to_depth),
    row("Split", 2, split),
    row("Squeeze", 1, squeeze),
    row("Tile", 6, tile),
    row("Transpose", 1, transpose),
    row("Unsqueeze", 1, unsqueeze),
];

fn concat(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let inputs = cx.all_inputs()?;
    let rank = cx.rank(inputs[0])?;
    let axis = cx.required("axis", cx.opt_int("axis")?)?;
    one(build::concat(cx.b, &inputs, normal_axis(axis, rank)?)?)
}

/// The extents that a shape vector stands for, if all are known or named.
fn static_dims(entries: &[Entry]) -> OpResult<Option<Vec<Dim>>> {
    let dims: Option<Vec<Dim>> = entries.iter().map(|e| e.dim()).collect();
    match dims {
        None => Err(invalid("a shape has a negative extent")),
        Some(dims) => Ok((!dims.contains(&Dim::Unknown)).then_some(dims)),
    }
}

/// The entries of a shape input; its length must be known, since there are no values of unknown
/// rank.
fn shape_entries(cx: &Cx<'_, '_, '_, '_>, shape: Value) -> OpResult<Vec<Entry>> {
    cx.entries(shape).ok_or_else(|| {
        unsupported("the rank of the result is not known before the model runs")
            .help("give fixed input shapes, so that the shape can be computed in advance")
    })
}

fn constant_of_shape(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let shape = cx.input(0)?;
    let value = match cx.tensor("value")? {
        Some(value) if value.len() == 1 => value.reshaped([]),
        Some(_) => return Err(invalid("attribute `value` must have one element")),
        None => Tensor::zeros(Elem::F32, &[]),
    };
    let entries = shape_entries(cx, shape)?;
    let value = cx.constant(value)?;
    one(match static_dims(&entries)? {
        Some(dims) => build::broadcast_to(cx.b, value, &dims)?,
        None => cx.op(&tensor::DynBroadcast, &[value, shape], &[])?,
    })
}

fn expand(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let (x, shape) = (cx.input(0)?, cx.input(1)?);
    let entries = shape_entries(cx, shape)?;
    let from = cx.dims(x)?;
    if let Some(dims) = static_dims(&entries)? {
        let to = shapes::broadcast_dims(&from, &dims)?;
        // An extent without a value may turn out to be 1, unless it is already that of the result.
        let offset = to.len() - from.len();
        let fits = |(&f, &t): (&Dim, &Dim)| f.known().is_some() || f == t;
        if !to.contains(&Dim::Unknown) && from.iter().zip(&to[offset..]).all(fits) {
            return one(build::broadcast_to(cx.b, x, &to)?);
        }
    }
    one(cx.op(&tensor::DynBroadcast, &[x, shape], &[])?)
}

fn range(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let mut ends = [cx.input(0)?, cx.input(1)?, cx.input(2)?];
    for end in &mut ends {
        // Some exporters write vectors of one element.
        *end = cx.reshape(*end, &[])?;
    }
    one(cx.op(&tensor::DynIota, &ends, &[])?)
}

fn shape(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let x = cx.input(0)?;
    let rank = cx.rank(x)? as i64;
    let bound = |at: i64| if at < 0 { at.saturating_add(rank) } else { at }.clamp(0, rank);
    let start = bound(cx.int("start", 0)?);
    let end = bound(cx.int("end", rank)?).max(start);
    let all = build::shape_vector(cx.b, x)?;
    one(match (start, end) == (0, rank) {
        true => all,
        false => build::slice_axis(cx.b, all, 0, start, end)?,
    })
}

fn size(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let x = cx.input(0)?;
    let shape = build::shape_vector(cx.b, x)?;
    one(build::reduce(cx.b, shape, "prod", &[0])?)
}

/// 0 copies an extent (unless `allowzero`), -1 follows from the others.
fn reshape(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let (x, shape) = (cx.input(0)?, cx.input(1)?);
    let from = cx.dims(x)?;
    let entries = shape_entries(cx, shape)?;
    let copies = !cx.flag("allowzero")?;
    let mut dims = Vec::with_capacity(entries.len());
    for (axis, &entry) in entries.iter().enumerate() {
        dims.push(match entry {
            Entry::Number(0) if copies => *from
                .get(axis)
                .ok_or_else(|| invalid(format!("there is no extent {axis} to copy")))?,
            Entry::Number(-1) => Dim::Unknown,
            entry => entry
                .dim()
                .ok_or_else(|| invalid("an extent is negative"))?,
        });
    }
    if entries.iter().filter(|&&e| e == Entry::Number(-1)).count() > 1 {
        return Err(invalid("at most one extent may be -1"));
    }
    // An unknown entry might be 0 or -1; a single one can only be what is left over.
    if dims.iter().filter(|&&d| d == Dim::Unknown).count() <= 1 {
        return one(cx.reshape(x, &dims)?);
    }
    let shape = copied_zeros(cx, x, shape, copies)?;
    one(cx.op(&tensor::DynReshape, &[x, shape], &[])?)
}

/// The shape vector with the extents of `x` where it is 0.
fn copied_zeros(
    cx: &mut Cx<'_, '_, '_, '_>,
    x: Value,
    shape: Value,
    copies: bool,
) -> OpResult<Value> {
    let entries = shape_entries(cx, shape)?;
    let rank = cx.rank(x)?;
    let mut parts = Vec::with_capacity(entries.len());
    for (axis, entry) in entries.into_iter().enumerate() {
        let part = build::slice_axis(cx.b, shape, 0, axis as i64, axis as i64 + 1)?;
        let may_copy = copies && axis < rank && matches!(entry, Entry::Unknown | Entry::Number(0));
        if !may_copy {
            parts.push(part);
            continue;
        }
        let extent = build::dim(cx.b, x, axis)?;
        let zero = cx.number(Elem::I64, 0.0)?;
        let is_zero = cx.compare("eq", part, zero)?;
        parts.push(cx.select(is_zero, extent, part)?);
    }
    build::concat(cx.b, &parts, 0)
}

fn flatten(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let x = cx.input(0)?;
    let dims = cx.dims(x)?;
    let rank = dims.len() as i64;
    let axis = cx.int("axis", 1)?;
    let split = if axis < 0 {
        axis.saturating_add(rank)
    } else {
        axis
    };
    if !(0..=rank).contains(&split) {
        return Err(invalid(format!(
            "axis {axis} is out of range for rank {rank}"
        )));
    }
    let product = |dims: &[Dim]| dims.iter().fold(Dim::Known(1), |a, &b| a.times(b));
    let (low, high) = dims.split_at(split as usize);
    let to = [product(low), product(high)];
    if to.contains(&Dim::Unknown) && to[0] == to[1] {
        let all = build::shape_vector(cx.b, x)?;
        let low = build::slice_axis(cx.b, all, 0, 0, split)?;
        let low = build::reduce(cx.b, low, "prod", &[0])?;
        let low = cx.reshape(low, &[Dim::Known(1)])?;
        let rest = cx.constant(Tensor::from_i64s([-1]))?;
        let shape = build::concat(cx.b, &[low, rest], 0)?;
        return one(cx.op(&tensor::DynReshape, &[x, shape], &[])?);
    }
    one(cx.reshape(x, &to)?)
}

fn transpose(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let x = cx.input(0)?;
    let rank = cx.rank(x)?;
    let perm = match cx.ints("perm")? {
        Some(perm) => perm
            .iter()
            .map(|&a| normal_axis(a, rank))
            .collect::<OpResult<_>>()?,
        None => (0..rank).rev().collect::<Vec<usize>>(),
    };
    one(cx.transpose(x, &perm)?)
}

/// The axes of an operator that takes them as an attribute up to some version, then as an input.
fn axes_of(cx: &Cx<'_, '_, '_, '_>, input_since: i64) -> OpResult<Option<Vec<i64>>> {
    match cx.opset < input_since {
        true => cx.ints("axes"),
        false => cx.constant_ints(1, "the axes"),
    }
}

fn squeeze(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let x = cx.input(0)?;
    let dims = cx.dims(x)?;
    let axes: Vec<usize> = match axes_of(cx, 13)? {
        Some(axes) => axes
            .iter()
            .map(|&a| normal_axis(a, dims.len()))
            .collect::<OpResult<_>>()?,
        None if dims.iter().all(|d| d.known().is_some()) => (0..dims.len())
            .filter(|&a| dims[a] == Dim::Known(1))
            .collect(),
        None => {
            return Err(unsupported(
                "without axes, the rank of the result depends on open extents",
            )
            .help("give fixed input shapes"));
        }
    };
    one(build::squeeze(cx.b, x, &axes)?)
}

fn unsqueeze(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let x = cx.input(0)?;
    let axes = axes_of(cx, 13)?;
    let axes = cx.required("axes", axes)?;
    let rank = cx.rank(x)? + axes.len();
    let axes: OpResult<Vec<usize>> = axes.iter().map(|&a| normal_axis(a, rank)).collect();
    let mut axes = axes?;
    axes.sort_unstable();
    if axes.windows(2).any(|w| w[0] == w[1]) {
        return Err(invalid("an axis is named twice"));
    }
    one(build::unsqueeze(cx.b, x, &axes)?)
}

/// Where a slice begins and ends along some axes, as the node gives it.
struct Bounds {
    axes: Vec<usize>,
    start: Value,
    stop: Value,
    step: Value,
}

fn slice(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let x = cx.input(0)?;
    let bounds = bounds(cx, x)?;
    let mut x = x;
    let numbers = |value| -> Option<Vec<i64>> {
        let entries = cx.entries(value)?.into_iter();
        entries
            .map(|e| {
                if let Entry::Number(n) = e {
                    Some(n)
                } else {
                    None
                }
            })
            .collect()
    };
    let known = (
        numbers(bounds.start),
        numbers(bounds.stop),
        numbers(bounds.step),
    );
    let dims = cx.dims(x)?;
    let mut open = Vec::new();
    for (i, &axis) in bounds.axes.iter().enumerate() {
        let run = match &known {
            (Some(start), Some(stop), Some(step)) => {
                static_run(dims[axis], start[i], stop[i], step[i])?
            }
            _ => None,
        };
        match run {
            Some(run) => x = strided(cx, x, axis, run)?,
            None => open.push(i),
        }
    }
    if open.is_empty() {
        return one(x);
    }
    let mut operands = vec![x];
    for value in [bounds.start, bounds.stop, bounds.step] {
        let indices = cx.constant(Tensor::from_i64s(open.iter().map(|&i| i as i64)))?;
        operands.push(build::gather(cx.b, value, indices, 0)?);
    }
    let axes = build::ints(open.iter().map(|&i| bounds.axes[i]));
    one(cx.op(&tensor::DynSlice, &operands, &[("axes", axes)])?)
}

fn bounds(cx: &mut Cx<'_, '_, '_, '_>, x: Value) -> OpResult<Bounds> {
    let rank = cx.rank(x)?;
    let (start, stop, axes, step) = if cx.opset < 10 {
        let start = cx.required("starts", cx.ints("starts")?)?;
        let stop = cx.required("ends", cx.ints("ends")?)?;
        let start = cx.constant(Tensor::from_i64s(start))?;
        let stop = cx.constant(Tensor::from_i64s(stop))?;
        (start, stop, cx.ints("axes")?, None)
    } else {
        let (start, stop) = (cx.input(1)?, cx.input(2)?);
        (
            start,
            stop,
            cx.constant_ints(3, "the axes")?,
            cx.optional(4),
        )
    };
    let start = cx.cast(start, Elem::I64)?;
    let stop = cx.cast(stop, Elem::I64)?;
    let count = shape_entries(cx, start)?.len();
    let step = match step {
        Some(step) => cx.cast(step, Elem::I64)?,
        None => cx.constant(Tensor::from_i64s(vec![1; count]))?,
    };
    let axes: Vec<usize> = match axes {
        Some(axes) => axes
            .iter()
            .map(|&a| normal_axis(a, rank))
            .collect::<OpResult<_>>()?,
        None => (0..count.min(rank)).collect(),
    };
    for value in [start, stop, step] {
        if shape_entries(cx, value)?.len() != axes.len() {
            return Err(invalid("starts, ends, axes and steps must have one length"));
        }
    }
    Ok(Bounds {
        axes,
        start,
        stop,
        step,
    })
}

/// Every `step`-th element from `start` up to `stop`, backwards if `reverse`.
struct Run {
    start: i64,
    stop: i64,
    step: i64,
    reverse: bool,
}

/// The run along an axis, if it is the same for every extent that the axis may have.
fn static_run(dim: Dim, start: i64, stop: i64, step: i64) -> OpResult<Option<Run>> {
    let forward = |start: i64, stop: i64| Run {
        start,
        stop,
        step,
        reverse: false,
    };
    let Some(n) = dim.known() else {
        let settled = start >= 0 && stop >= 0 && step > 0;
        // Exporters write the greatest 32-bit integer for the end, too.
        let stop = if stop >= i64::from(i32::MAX) {
            END
        } else {
            stop
        };
        return Ok(settled.then(|| forward(start, stop)));
    };
    let n = n as usize;
    let run = slice_run(n, start, stop, step)?;
    let (first, count) = (run.start as i64, run.count as i64);
    if step > 0 {
        let past = first
            .saturating_add(count.saturating_mul(step))
            .min(n as i64);
        return Ok(Some(forward(first, if count == 0 { first } else { past })));
    }
    let first = n as i64 - 1 - first;
    let step = step.saturating_neg();
    Ok(Some(Run {
        start: first.max(0),
        stop: if count == 0 {
            first.max(0)
        } else {
            first
                .saturating_add((count - 1).saturating_mul(step))
                .saturating_add(1)
        },
        step,
        reverse: true,
    }))
}

fn strided(cx: &mut Cx<'_, '_, '_, '_>, x: Value, axis: usize, run: Run) -> OpResult<Value> {
    let mut x = x;
    if run.reverse {
        x = cx.op(&tensor::Reverse, &[x], &[("axes", build::ints([axis]))])?;
    }
    let dims = cx.dims(x)?;
    let whole = dims[axis].known().is_some_and(|n| run.stop >= n as i64) || run.stop == END;
    if (run.start, run.step, whole) == (0, 1, true) {
        return Ok(x);
    }
    let rank = dims.len();
    let (mut start, mut stop, mut step) = (vec![0; rank], vec![END; rank], vec![1; rank]);
    (start[axis], stop[axis], step[axis]) = (run.start, run.stop, run.step);
    build::slice(cx.b, x, &start, &stop, &step)
}

fn split(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let x = cx.input(0)?;
    let dims = cx.dims(x)?;
    let axis = cx.axis(0, dims.len())?;
    let given = match cx.opset < 13 {
        true => cx.ints("split")?,
        false => cx.constant_ints(1, "the sizes of the parts")?,
    };
    let sizes = match given {
        Some(sizes) => sizes,
        None => {
            let parts = cx
                .opt_int("num_outputs")?
                .unwrap_or(cx.node.output.len() as i64);
            let total = dims[axis].known().ok_or_else(|| {
                unsupported(format!(
                    "axis {axis} is split evenly, but its extent is open"
                ))
                .help("give fixed input shapes")
            })? as i64;
            if parts < 1 || parts > total.max(1) {
                return Err(invalid(format!(
                    "an extent of {total} is split into {parts} parts"
                )));
            }
            let size = (total + parts - 1) / parts;
            let part = |i: i64| (total - i * size).clamp(0, size);
            (0..parts).map(part).collect()
        }
    };
    if sizes.iter().any(|&s| s < 0) {
        return Err(invalid("a part has a negative size"));
    }
    let total = sizes.iter().try_fold(0i64, |a, &b| a.checked_add(b));
    match (total, dims[axis].known()) {
        (Some(total), Some(n)) if total as u64 != n => {
            return Err(invalid(format!(
                "the parts have {total} elements together, the axis {n}"
            )));
        }
        (None, _) => return Err(invalid("the sizes of the parts are out of range")),
        _ => {}
    }
    let mut at = 0;
    let mut parts = Vec::with_capacity(sizes.len());
    for size in sizes {
        parts.push(build::slice_axis(cx.b, x, axis, at, at + size)?);
        at += size;
    }
    Ok(parts)
}

/// Each axis `n` becomes `[repeat, n]`, which is then one axis again.
fn tile(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let (x, repeats) = (cx.input(0)?, cx.input(1)?);
    let dims = cx.dims(x)?;
    let entries = shape_entries(cx, repeats)?;
    if entries.len() != dims.len() {
        return Err(invalid(format!(
            "{} repeats are given for rank {}",
            entries.len(),
            dims.len()
        )));
    }
    let Some(repeats) = static_dims(&entries)? else {
        return tile_dynamic(cx, x, repeats);
    };
    let (mut wide, mut axes, mut to) = (Vec::new(), Vec::new(), Vec::new());
    for (&dim, &repeat) in dims.iter().zip(&repeats) {
        if repeat != Dim::Known(1) && dim != Dim::Known(1) {
            wide.push(repeat);
        }
        axes.push(wide.len());
        wide.push(if dim == Dim::Known(1) { repeat } else { dim });
        to.push(dim.times(repeat));
    }
    if to.iter().filter(|&&d| d == Dim::Unknown).count() > 1 {
        let repeats = cx.input(1)?;
        return tile_dynamic(cx, x, repeats);
    }
    let x = build::broadcast_axes(cx.b, x, &wide, &axes)?;
    one(cx.reshape(x, &to)?)
}

fn tile_dynamic(cx: &mut Cx<'_, '_, '_, '_>, x: Value, repeats: Value) -> Values {
    let dims = cx.dims(x)?;
    let rank = dims.len();
    let shape = build::shape_vector(cx.b, x)?;
    let pair = [Dim::Known(rank as u64), Dim::Known(1)];
    let (tall_repeats, tall_shape) = (cx.reshape(repeats, &pair)?, cx.reshape(shape, &pair)?);
    let interleaved = build::concat(cx.b, &[tall_repeats, tall_shape], 1)?;
    let interleaved = cx.reshape(interleaved, &[Dim::Known(2 * rank as u64)])?;
    let places: Vec<usize> = (0..rank).map(|i| 2 * i).collect();
    let x = build::unsqueeze(cx.b, x, &places)?;
    let wide = cx.op(&tensor::DynBroadcast, &[x, interleaved], &[])?;
    let to = cx.binary(&tensor::Mul, shape, repeats)?;
    one(cx.op(&tensor::DynReshape, &[wide, to], &[])?)
}

fn pad(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let x = cx.input(0)?;
    let elem = cx.elem(x)?;
    let rank = cx.rank(x)?;
    let mode = cx.string("mode", "constant")?;
    let (pads, value, axes) = if cx.opset < 11 {
        let pads = cx.required("pads", cx.ints("pads")?)?;
        let value = cx.float("value", 0.0)?;
        let pads = cx.constant(Tensor::from_i64s(pads))?;
        (pads, cx.number(elem, value)?, None)
    } else {
        let value = match cx.optional(2) {
            Some(value) => cx.reshape(value, &[])?,
            None => cx.number(elem, 0.0)?,
        };
        let pads = cx.input(1)?;
        (
            cx.cast(pads, Elem::I64)?,
            value,
            cx.constant_ints(3, "the axes")?,
        )
    };
    let pads = match axes {
        Some(axes) => spread_pads(cx, pads, &axes, rank)?,
        None => pads,
    };
    if let (Some(pads), "constant") = (cx.ints_of(pads), mode.as_str()) {
        if pads.len() != 2 * rank {
            return Err(invalid(format!(
                "{} pads are given for rank {rank}",
                pads.len()
            )));
        }
        if pads.iter().all(|&p| p >= 0) {
            let attrs = [("low", pads[..rank].into()), ("high", pads[rank..].into())];
            return one(cx.op(&tensor::Pad, &[x, value], &attrs)?);
        }
    }
    let attrs = [("mode", mode.as_str().into())];
    one(cx.op(&tensor::DynPad, &[x, pads, value], &attrs)?)
}

/// Pads for some axes as pads for all.
fn spread_pads(
    cx: &mut Cx<'_, '_, '_, '_>,
    pads: Value,
    axes: &[i64],
    rank: usize,
) -> OpResult<Value> {
    let zero = cx.constant(Tensor::from_i64s([0]))?;
    let mut all = vec![zero; 2 * rank];
    let count = axes.len();
    for (i, &axis) in axes.iter().enumerate() {
        let axis = normal_axis(axis, rank)?;
        for (from, to) in [(i, axis), (count + i, rank + axis)] {
            all[to] = build::slice_axis(cx.b, pads, 0, from as i64, from as i64 + 1)?;
        }
    }
    build::concat(cx.b, &all, 0)
}

/// The crop or the padding is on both sides, its odd rest after.
fn center_crop_pad(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let mut x = cx.input(0)?;
    let dims = cx.dims(x)?;
    let target = cx.constant_ints(1, "the shape")?;
    let target = cx.required("shape", target)?;
    let axes = match cx.ints("axes")? {
        Some(axes) => axes
            .iter()
            .map(|&a| normal_axis(a, dims.len()))
            .collect::<OpResult<_>>()?,
        None => (0..dims.len()).collect::<Vec<usize>>(),
    };
    for (axis, target) in axes.into_iter().zip(target) {
        let Some(n) = dims[axis].known() else {
            return Err(unsupported(format!("the extent of axis {axis} is open"))
                .help("give fixed input shapes"));
        };
        let surplus = n as i64 - target;
        let before = surplus.abs() / 2;
        if surplus > 0 {
            x = build::slice_axis(cx.b, x, axis, before, before + target)?;
        } else {
            let (mut low, mut high) = (vec![0; dims.len()], vec![0; dims.len()]);
            (low[axis], high[axis]) = (before, -surplus - before);
            x = build::pad(cx.b, x, 0.0, &low, &high)?;
        }
    }
    one(x)
}

/// A block of channels becomes a block of pixels.
fn depth_to_space(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let x = cx.input(0)?;
    let block = block_size(cx)?;
    let [n, c, h, w] = four(cx, x)?;
    let Some(channels) = c.known().filter(|c| c % (block * block) == 0) else {
        return Err(invalid(
            "the number of channels is not a multiple of the block",
        ));
    };
    let (b, inner) = (Dim::Known(block), Dim::Known(channels / (block * block)));
    let (shape, perm) = match cx.string("mode", "DCR")?.as_str() {
        "DCR" => ([n, b, b, inner, h, w], [0, 3, 4, 1, 5, 2]),
        "CRD" => ([n, inner, b, b, h, w], [0, 1, 4, 2, 5, 3]),
        other => return Err(invalid(format!("attribute `mode` is `{other}`"))),
    };
    let to = [n, inner, h.times(b), w.times(b)];
    let x = cx.reshape(x, &shape)?;
    let x = cx.transpose(x, &perm)?;
    one(cx.reshape(x, &to)?)
}

fn space_to_depth(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let x = cx.input(0)?;
    let block = block_size(cx)?;
    let [n, c, h, w] = four(cx, x)?;
    let divided = |d: Dim| match d.known() {
        Some(n) if n % block == 0 => Ok(Dim::Known(n / block)),
        Some(_) => Err(invalid("an extent is not a multiple of the block")),
        None => Err(unsupported("the height and width are open").help("give fixed input shapes")),
    };
    let (h, w, b) = (divided(h)?, divided(w)?, Dim::Known(block));
    let x = cx.reshape(x, &[n, c, h, b, w, b])?;
    let x = cx.transpose(x, &[0, 3, 5, 1, 2, 4])?;
    one(cx.reshape(x, &[n, c.times(Dim::Known(block * block)), h, w])?)
}

fn block_size(cx: &Cx<'_, '_, '_, '_>) -> OpResult<u64> {
    let size = cx.required("blocksize", cx.opt_int("blocksize")?)?;
    match u64::try_from(size) {
        Ok(size @ 1..=65536) => Ok(size),
        _ => Err(invalid(format!("attribute `blocksize` is {size}"))),
    }
}

fn four(cx: &Cx<'_, '_, '_, '_>, x: Value) -> OpResult<[Dim; 4]> {
    let dims = cx.dims(x)?;
    <[Dim; 4]>::try_from(dims).map_err(|d| invalid(format!("rank 4 is needed, found {}", d.len())))
}

/// Element `t` of a row goes to `length - 1 - t` while `t` is below the length of the row.
fn reverse_sequence(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let (x, lengths) = (cx.input(0)?, cx.input(1)?);
    let time = cx.int("time_axis", 0)?;
    let batch = cx.int("batch_axis", 1)?;
    if (time, batch) != (0, 1) && (time, batch) != (1, 0) {
        return Err(invalid("the time and batch axes must be 0 and 1"));
    }
    let dims = cx.dims(x)?;
    let (time, batch) = (time as usize, batch as usize);
    let steps = build::iota(cx.b, &dims, time, Elem::I64)?;
    let lengths = cx.cast(lengths, Elem::I64)?;
    let lengths = build::broadcast_axes(cx.b, lengths, &dims, &[batch])?;
    let one_less = cx.number(Elem::I64, 1.0)?;
    let last = cx.binary(&tensor::Sub, lengths, one_less)?;
    let mirrored = cx.binary(&tensor::Sub, last, steps)?;
    let inside = cx.compare("lt", steps, lengths)?;
    let from = cx.select(inside, mirrored, steps)?;
    let attrs = [("axis", Attr::from(time as i64))];
    one(cx.op(&tensor::GatherElements, &[x, from], &attrs)?)
}
