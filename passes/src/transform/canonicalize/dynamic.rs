//! Ops with dynamic shapes become the static ones where the shapes are known after all.

use lepid_ir::core::{Builder, Dim, Op, Tensor, Value};
use lepid_ir::dialects::core::constant;
use lepid_ir::dialects::tensor::{self as t, PadMode, build};

use crate::core::rewrite::{Pattern, Rewrite};
use crate::transform::matching::{dims, known};

pub(super) const PATTERNS: &[Pattern] = &[
    Pattern {
        name: "dim-known",
        op: "tensor.dim",
        apply: dim_known,
    },
    Pattern {
        name: "reshape-static",
        op: "tensor.dyn_reshape",
        apply: reshape_static,
    },
    Pattern {
        name: "broadcast-static",
        op: "tensor.dyn_broadcast",
        apply: broadcast_static,
    },
    Pattern {
        name: "slice-static",
        op: "tensor.dyn_slice",
        apply: slice_static,
    },
    Pattern {
        name: "pad-static",
        op: "tensor.dyn_pad",
        apply: pad_static,
    },
    Pattern {
        name: "iota-static",
        op: "tensor.dyn_iota",
        apply: iota_static,
    },
];

fn dim_known(b: &mut Builder<'_>, op: Op) -> Rewrite {
    let view = b.view(op);
    let dim = view.operand_dims(0)[t::DimOf::axis(view) as usize];
    let Some(extent) = dim.known().and_then(|n| i64::try_from(n).ok()) else {
        return Ok(None);
    };
    Ok(Some(vec![constant(
        b,
        Tensor::from_i64s([extent]).reshaped([]),
    )?]))
}

fn unknown_count(dims: &[Dim]) -> usize {
    dims.iter().filter(|d| **d == Dim::Unknown).count()
}

fn reshape_static(b: &mut Builder<'_>, op: Op) -> Rewrite {
    let x = b.module.operands(op)[0];
    let to = dims(b.module, b.module.results(op)[0]).to_vec();
    // One that is left unknown is worked out from the elements, as for the entry -1. It must be
    // that entry: what the operand says of any other is to be checked at run time.
    let stated = match b.view(op).constant_operand(1) {
        Some(_) => unknown_count(&to) <= 1,
        None => unknown_count(&to) == 0,
    };
    match stated {
        true => Ok(Some(vec![build::reshape(b, x, &to)?])),
        false => Ok(None),
    }
}

fn broadcast_static(b: &mut Builder<'_>, op: Op) -> Rewrite {
    let x = b.module.operands(op)[0];
    let to = dims(b.module, b.module.results(op)[0]).to_vec();
    let from = dims(b.module, x);
    let Some(offset) = to.len().checked_sub(from.len()) else {
        return Ok(None);
    };
    let mut spans = from.iter().zip(&to[offset..]);
    let reaches = spans.all(|(f, t)| *f == Dim::Known(1) || f == t);
    match reaches && unknown_count(&to) == 0 {
        true => Ok(Some(vec![build::broadcast_to(b, x, &to)?])),
        false => Ok(None),
    }
}

fn slice_static(b: &mut Builder<'_>, op: Op) -> Rewrite {
    let view = b.view(op);
    let lists = [1, 2, 3].map(|i| view.constant_operand(i).map(Tensor::to_i64s));
    let [Some(start), Some(stop), Some(step)] = lists else {
        return Ok(None);
    };
    let from = view.operand_dims(0);
    let rank = from.len();
    let (mut starts, mut stops, mut steps) = (vec![0; rank], vec![t::END; rank], vec![1; rank]);
    let mut reversed = Vec::new();
    for (i, axis) in t::DynSlice::axes(view).into_iter().enumerate() {
        let axis = axis as usize;
        match known(from[axis]) {
            Some(extent) => {
                let run = t::slice_run(extent, start[i], stop[i], step[i])?;
                let (count, size) = (run.count as i64, step[i].saturating_abs());
                let first = run.start as i64;
                // Backwards from `first` is forwards from its mirror image.
                starts[axis] = match step[i] < 0 {
                    true => (extent as i64 - 1 - first).max(0),
                    false => first,
                };
                stops[axis] = match count {
                    0 => starts[axis],
                    _ => (count - 1)
                        .saturating_mul(size)
                        .saturating_add(starts[axis] + 1),
                };
                steps[axis] = size;
                if step[i] < 0 {
                    reversed.push(axis);
                }
            }
            // Of an open extent only what does not count from the end can be said.
            None if start[i] >= 0 && stop[i] >= 0 && step[i] > 0 => {
                (starts[axis], stops[axis], steps[axis]) = (start[i], stop[i], step[i]);
            }
            None => return Ok(None),
        }
    }
    let mut x = view.operand(0);
    if !reversed.is_empty() {
        x = b.one(&t::Reverse, &[x], &[("axes", build::ints(reversed))])?;
    }
    Ok(Some(vec![build::slice(b, x, &starts, &stops, &steps)?]))
}

fn pad_static(b: &mut Builder<'_>, op: Op) -> Rewrite {
    let view = b.view(op);
    let Some(pads) = view.constant_operand(1).map(Tensor::to_i64s) else {
        return Ok(None);
    };
    let (x, value) = (view.operand(0), view.operand(2));
    let mode = PadMode::parse(t::DynPad::mode(view))?;
    let (low, high) = pads.split_at(pads.len() / 2);
    let from = view.operand_dims(0).to_vec();
    let cuts = pads.iter().any(|&n| n < 0);
    match mode {
        PadMode::Constant if !cuts => Ok(Some(vec![pad(b, x, value, low, high)?])),
        PadMode::Constant => {
            // Cutting from the end needs the extent.
            let cut_high = |i: usize| Some(known(from[i])? as i64 + high[i].min(0));
            let stops = (0..from.len()).map(|i| match high[i] < 0 {
                true => cut_high(i),
                false => Some(t::END),
            });
            let Some(stops) = stops.collect::<Option<Vec<i64>>>() else {
                return Ok(None);
            };
            let starts: Vec<i64> = low.iter().map(|&n| -n.min(0)).collect();
            // What is cut off on one side beyond the other is taken from the other's padding.
            let fits = starts
                .iter()
                .zip(&stops)
                .zip(&from)
                .all(|((&start, &stop), d)| {
                    start <= stop && d.known().is_none_or(|n| start as u64 <= n) && stop >= 0
                });
            if !fits {
                return Ok(None);
            }
            let x = build::slice(b, x, &starts, &stops, &vec![1; from.len()])?;
            let low: Vec<i64> = low.iter().map(|&n| n.max(0)).collect();
            let high: Vec<i64> = high.iter().map(|&n| n.max(0)).collect();
            Ok(Some(vec![pad(b, x, value, &low, &high)?]))
        }
        PadMode::Reflect | PadMode::Edge | PadMode::Wrap if !cuts => {
            let extents: Option<Vec<usize>> = from.iter().map(|&d| known(d)).collect();
            let Some(extents) = extents else {
                return Ok(None);
            };
            // What an empty axis is to be padded with is an error, if it ever comes to it.
            let empty = |axis: usize| extents[axis] == 0 && (low[axis], high[axis]) != (0, 0);
            if (0..extents.len()).any(empty) {
                return Ok(None);
            }
            let mut y = x;
            for (axis, &n) in extents.iter().enumerate() {
                y = pad_axis(b, y, axis, n as i64, (low[axis], high[axis]), mode)?;
            }
            Ok(Some(vec![y]))
        }
        PadMode::Reflect | PadMode::Edge | PadMode::Wrap => Ok(None),
    }
}

fn pad(
    b: &mut Builder<'_>,
    x: Value,
    value: Value,
    low: &[i64],
    high: &[i64],
) -> lepid_ir::core::OpResult<Value> {
    b.one(
        &t::Pad,
        &[x, value],
        &[("low", low.into()), ("high", high.into())],
    )
}

/// Takes the elements of one axis in the order that the mode says: a gather with constant indices.
fn pad_axis(
    b: &mut Builder<'_>,
    x: Value,
    axis: usize,
    extent: i64,
    (low, high): (i64, i64),
    mode: PadMode,
) -> lepid_ir::core::OpResult<Value> {
    if (low, high) == (0, 0) {
        return Ok(x);
    }
    let source = |i: i64| match mode {
        PadMode::Reflect => {
            let period = (2 * (extent - 1)).max(1);
            let i = i.rem_euclid(period);
            i.min(period - i).min(extent - 1)
        }
        PadMode::Wrap => i.rem_euclid(extent),
        PadMode::Edge | PadMode::Constant => i.clamp(0, extent - 1),
    };
    let indices = Tensor::from_i64s((-low..extent + high).map(source));
    let indices = constant(b, indices)?;
    build::gather(b, x, indices, axis)
}

/// `0, 1, …` of a known or named extent.
fn iota_static(b: &mut Builder<'_>, op: Op) -> Rewrite {
    let view = b.view(op);
    let is = |i: usize, n: f64| {
        view.constant_operand(i)
            .is_some_and(|t| t.num(0).as_f64() == n)
    };
    let ty = view.result_tensor(0);
    if !is(0, 0.0) || !is(2, 1.0) || ty.dims[0] == Dim::Unknown {
        return Ok(None);
    }
    Ok(Some(vec![build::iota(b, &ty.dims, 0, ty.elem)?]))
}
