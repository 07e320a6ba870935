//! Borders around tensors.

use lepid_ir::core::{Dim, Elem, OpResult, Tensor, Value};
use lepid_ir::dialects::tensor::{self, build};

use super::cut::{Run, strided};
use super::{Row, one, row};
use crate::frontends::onnx::cx::{Cx, invalid, normal_axis};

type Values = OpResult<Vec<Value>>;

pub(super) const ROWS: &[Row] = &[row("Pad", 2, pad)];

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
    cx.want(pads);
    if let Some(pads) = cx.ints_of(pads) {
        if pads.len() != 2 * rank {
            return Err(invalid(format!(
                "{} pads are given for rank {rank}",
                pads.len()
            )));
        }
        if mode == "constant" && pads.iter().all(|&p| p >= 0) {
            let attrs = [("low", pads[..rank].into()), ("high", pads[rank..].into())];
            return one(cx.op(&tensor::Pad, &[x, value], &attrs)?);
        }
        let dims = cx.dims(x)?;
        let y = match Border::find(&mode)? {
            Some(border) => match bordered(cx, x, &pads, border)? {
                Some(y) => Some(y),
                None => looked_up(cx, x, &pads, border)?,
            },
            None if dims.iter().all(|d| d.known().is_some()) => Some(trimmed(cx, x, &pads, value)?),
            None => None,
        };
        if let Some(y) = y {
            return one(y);
        }
    }
    let attrs = [("mode", mode.as_str().into())];
    one(cx.op(&tensor::DynPad, &[x, pads, value], &attrs)?)
}

/// What a border is made of, if not of one value.
#[derive(Copy, Clone)]
enum Border {
    /// The mirror image, without the element at the edge.
    Reflect,
    /// The element at the edge.
    Edge,
    /// The elements at the other end.
    Wrap,
}

impl Border {
    fn find(mode: &str) -> OpResult<Option<Border>> {
        match mode {
            "constant" => Ok(None),
            "reflect" => Ok(Some(Border::Reflect)),
            "edge" => Ok(Some(Border::Edge)),
            "wrap" => Ok(Some(Border::Wrap)),
            other => Err(invalid(format!("attribute `mode` is `{other}`"))),
        }
    }

    /// The element of `n` that stands at place `i`, which may lie outside.
    fn source(self, i: i64, n: i64) -> i64 {
        match self {
            Border::Edge => i.clamp(0, n - 1),
            Border::Wrap => i.rem_euclid(n),
            Border::Reflect => {
                let last = n - 1;
                let folded = i.rem_euclid((2 * last).max(1));
                folded.min(2 * last - folded)
            }
        }
    }

    /// The widest border that an axis of `n` elements can give at once.
    fn limit(self, n: i64) -> i64 {
        match self {
            Border::Reflect => n - 1,
            Border::Edge if n > 0 => i64::from(i32::MAX),
            Border::Edge => 0,
            Border::Wrap => n,
        }
    }
}

/// Borders from slices of `x`; none if an extent is open or too small for that.
fn bordered(
    cx: &mut Cx<'_, '_, '_, '_>,
    x: Value,
    pads: &[i64],
    border: Border,
) -> OpResult<Option<Value>> {
    let dims = cx.dims(x)?;
    let (lows, highs) = pads.split_at(dims.len());
    let mut y = x;
    for (axis, (&low, &high)) in lows.iter().zip(highs).enumerate() {
        if (low, high) == (0, 0) {
            continue;
        }
        let Some(n) = dims[axis].known().map(|n| n as i64) else {
            return Ok(None);
        };
        let possible = 0..=border.limit(n);
        if !possible.contains(&low) || !possible.contains(&high) {
            return Ok(None);
        }
        let before = match border {
            Border::Reflect => part(cx, y, axis, [1, low + 1], true)?,
            Border::Edge => repeated(cx, y, axis, 0, low)?,
            Border::Wrap => part(cx, y, axis, [n - low, n], false)?,
        };
        let after = match border {
            Border::Reflect => part(cx, y, axis, [n - 1 - high, n - 1], true)?,
            Border::Edge => repeated(cx, y, axis, n - 1, high)?,
            Border::Wrap => part(cx, y, axis, [0, high], false)?,
        };
        let parts: Vec<Value> = [(before, low), (y, 1), (after, high)]
            .into_iter()
            .filter(|(_, width)| *width > 0)
            .map(|(part, _)| part)
            .collect();
        y = build::concat(cx.b, &parts, axis)?;
    }
    Ok(Some(y))
}

/// An axis that a border makes longer than this is left to the run.
const LOOKUP_LIMIT: i64 = 1 << 20;

/// Any border, by the index of each element in `x`; none if an extent is open.
fn looked_up(
    cx: &mut Cx<'_, '_, '_, '_>,
    x: Value,
    pads: &[i64],
    border: Border,
) -> OpResult<Option<Value>> {
    let dims = cx.dims(x)?;
    let (lows, highs) = pads.split_at(dims.len());
    let mut tables = Vec::new();
    for (axis, (&low, &high)) in lows.iter().zip(highs).enumerate() {
        if (low, high) == (0, 0) {
            continue;
        }
        let limits = -LOOKUP_LIMIT..=LOOKUP_LIMIT;
        let n = dims[axis].known().map(|n| n as i64);
        match n.filter(|n| (1..=LOOKUP_LIMIT).contains(n)) {
            Some(n) if limits.contains(&low) && limits.contains(&high) => {
                let places = (-low..n + high).map(|i| border.source(i, n));
                tables.push((axis, Tensor::from_i64s(places)));
            }
            _ => return Ok(None),
        }
    }
    let mut y = x;
    for (axis, table) in tables {
        let table = cx.constant(table)?;
        y = build::gather(cx.b, y, table, axis)?;
    }
    Ok(Some(y))
}

/// Padding with a value where a pad is positive; a negative one cuts.
fn trimmed(cx: &mut Cx<'_, '_, '_, '_>, x: Value, pads: &[i64], value: Value) -> OpResult<Value> {
    let dims = cx.dims(x)?;
    let rank = dims.len();
    let (lows, highs) = pads.split_at(rank);
    let mut y = x;
    for axis in 0..rank {
        let (low, high) = (lows[axis], highs[axis]);
        let n = dims[axis].known().map_or(0, |n| n as i64);
        let (start, stop) = (low.min(0).saturating_neg(), n.saturating_add(high.min(0)));
        if start > n || stop < start {
            return Err(invalid(format!(
                "the pads cut more than the {n} of axis {axis}"
            )));
        }
        if start > 0 || stop < n {
            y = build::slice_axis(cx.b, y, axis, start, stop)?;
        }
    }
    let positive = |pads: &[i64]| pads.iter().map(|&p| p.max(0)).collect::<Vec<i64>>();
    let attrs = [
        ("low", positive(lows)[..].into()),
        ("high", positive(highs)[..].into()),
    ];
    cx.op(&tensor::Pad, &[y, value], &attrs)
}

fn part(
    cx: &mut Cx<'_, '_, '_, '_>,
    x: Value,
    axis: usize,
    [start, stop]: [i64; 2],
    reverse: bool,
) -> OpResult<Value> {
    let run = Run {
        start,
        stop,
        step: 1,
        reverse: false,
    };
    let part = strided(cx, x, axis, run)?;
    match reverse {
        true => cx.op(&tensor::Reverse, &[part], &[("axes", build::ints([axis]))]),
        false => Ok(part),
    }
}

/// One slice, `count` times.
fn repeated(
    cx: &mut Cx<'_, '_, '_, '_>,
    x: Value,
    axis: usize,
    at: i64,
    count: i64,
) -> OpResult<Value> {
    let slice = build::slice_axis(cx.b, x, axis, at, at + 1)?;
    let mut dims = cx.dims(slice)?;
    dims[axis] = Dim::Known(count as u64);
    let axes: Vec<usize> = (0..dims.len()).collect();
    build::broadcast_axes(cx.b, slice, &dims, &axes)
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
