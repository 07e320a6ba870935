//! Operators that cut tensors into parts.

use lepid_ir::core::{Dim, Elem, OpResult, Tensor, Value};
use lepid_ir::dialects::tensor::{self, END, build, extents::Entry, slice_run};

use super::shape::shape_entries;
use super::{Row, one, row};
use crate::frontends::onnx::cx::{Cx, invalid, normal_axis, unsupported};

type Values = OpResult<Vec<Value>>;

pub(super) const ROWS: &[Row] = &[
    row("CenterCropPad", 18, center_crop_pad),
    row("Slice", 1, slice),
    row("Split", 2, split),
];

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
pub(super) struct Run {
    pub(super) start: i64,
    pub(super) stop: i64,
    pub(super) step: i64,
    pub(super) reverse: bool,
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

pub(super) fn strided(
    cx: &mut Cx<'_, '_, '_, '_>,
    x: Value,
    axis: usize,
    run: Run,
) -> OpResult<Value> {
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
            })?;
            let Some(parts) = u64::try_from(parts).ok().filter(|&n| n > 0) else {
                return Err(invalid(format!("{parts} parts are asked for")));
            };
            let mut sizes = parts_of(total, total.div_ceil(parts).max(1))?;
            // What is left over may not be enough for the last parts.
            check_parts(parts)?;
            sizes.resize(parts as usize, 0);
            sizes
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

/// A tensor in more parts than these is a mistake, or an attack on our memory.
const PART_LIMIT: u64 = 1 << 16;

fn check_parts(parts: u64) -> OpResult<()> {
    match parts <= PART_LIMIT {
        true => Ok(()),
        false => Err(unsupported(format!(
            "{parts} parts are more than the {PART_LIMIT} that are supported"
        ))),
    }
}

/// The sizes of the parts of an axis, all of one size but the last.
pub(super) fn parts_of(total: u64, size: u64) -> OpResult<Vec<i64>> {
    let parts = total.div_ceil(size);
    check_parts(parts)?;
    let part = |i: u64| size.min(total - i * size) as i64;
    Ok((0..parts).map(part).collect())
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
        if target < 0 {
            return Err(invalid(format!("an extent is {target}")));
        }
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
