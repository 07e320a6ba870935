//! Moves transposes to channels first below the ops that read them.
//!
//! Each pattern takes an op on `transpose(x)` and gives `transpose(op'(x))`, where `op'` has its
//! axes renamed. An operand that is not transposed, such as a constant per channel, is transposed
//! the other way if that is cheap.

use lepid_ir::core::{Attr, Builder, Dim, Module, Op, OpResult, Trait, Value};
use lepid_ir::dialects::nn;
use lepid_ir::dialects::tensor::{self as t, build};

use super::{back, channels_last, to_last};
use crate::core::rewrite::{Pattern, Rewrite, defined_by, rebuild, rebuild_with};
use crate::transform::gates::Pairs;
use crate::transform::matching::{dims, is_constant};

pub(super) const PATTERNS: &[Pattern] = &[
    Pattern {
        name: "sink-elementwise",
        op: "*",
        apply: elementwise,
    },
    Pattern {
        name: "sink-prelu",
        op: "nn.prelu",
        apply: prelu,
    },
    Pattern {
        name: "sink-concat",
        op: "tensor.concat",
        apply: concat,
    },
    Pattern {
        name: "sink-pad",
        op: "tensor.pad",
        apply: |b, op| lists(b, op, &["low", "high"]),
    },
    Pattern {
        name: "sink-slice",
        op: "tensor.slice",
        apply: |b, op| lists(b, op, &["start", "stop", "step"]),
    },
    Pattern {
        name: "sink-resize",
        op: "nn.resize",
        apply: resize,
    },
    Pattern {
        name: "sink-reverse",
        op: "tensor.reverse",
        apply: reverse,
    },
    Pattern {
        name: "sink-mean",
        op: "nn.mean",
        apply: mean,
    },
    Pattern {
        name: "sink-reduce",
        op: "tensor.reduce",
        apply: |b, op| reduce(b, op, &t::Reduce::axes(b.view(op))),
    },
    Pattern {
        name: "sink-dim",
        op: "tensor.dim",
        apply: dim,
    },
    Pattern {
        name: "sink-batch-norm",
        op: "nn.batch_norm",
        apply: axis_attr,
    },
    Pattern {
        name: "sink-softmax",
        op: "nn.softmax",
        apply: axis_attr,
    },
    Pattern {
        name: "sink-log-softmax",
        op: "nn.log_softmax",
        apply: axis_attr,
    },
    Pattern {
        name: "sink-lp-norm",
        op: "nn.lp_norm",
        apply: axis_attr,
    },
    Pattern {
        name: "sink-scan",
        op: "tensor.scan",
        apply: axis_attr,
    },
    Pattern {
        name: "sink-gate",
        op: "adapt.gate",
        apply: gate,
    },
    Pattern {
        name: "sink-shuffle",
        op: "tensor.reshape",
        apply: shuffle,
    },
];

/// The first operand without its transpose.
fn source(b: &Builder<'_>, op: Op) -> Option<Value> {
    channels_last(b, *b.module.operands(op).first()?)
}

/// Where an axis of a channels-first tensor lies in the channels-last one.
fn renamed(axis: i64, rank: usize) -> i64 {
    match axis {
        0 => 0,
        1 => rank as i64 - 1,
        _ => axis - 1,
    }
}

/// A list with one entry per axis, from channels first to channels last.
fn reordered(list: &[Attr]) -> Attr {
    let order = to_last(list.len());
    Attr::List(order.into_iter().map(|a| list[a].clone()).collect())
}

/// The channels-last form of an operand, if it costs nothing or little.
fn cheap(b: &Builder<'_>, value: Value) -> bool {
    channels_last(b, value).is_some()
        || is_constant(b.module, value)
        || is_free_broadcast(b.module, value)
}

/// A broadcast of a tensor in which no element moves: its axes longer than 1 keep their order.
fn is_free_broadcast(module: &Module, value: Value) -> bool {
    let Some(op) = defined_by(module, value, &t::Broadcast) else {
        return false;
    };
    let to = dims(module, value);
    let from = dims(module, module.operands(op)[0]).iter();
    let axes = t::Broadcast::axes(module.view(op)).into_iter();
    let long = axes.zip(from).filter(|(_, d)| **d != Dim::Known(1));
    let places = long.map(|(a, _)| renamed(a, to.len()));
    places.is_sorted() && !to.contains(&Dim::Unknown)
}

fn forward(b: &mut Builder<'_>, value: Value) -> OpResult<Value> {
    match channels_last(b, value) {
        Some(x) => Ok(x),
        None => build::transpose(b, value, &to_last(dims(b.module, value).len())),
    }
}

fn elementwise(b: &mut Builder<'_>, op: Op) -> Rewrite {
    let view = b.view(op);
    let operands = view.operands().to_vec();
    let single = view.results().len() == 1 && view.regions().is_empty();
    if !single || !view.info().has(Trait::Elementwise) {
        return Ok(None);
    }
    sink_all(b, op, &operands)
}

/// For an op whose operands all have one rank and whose attributes name no axes.
fn sink_all(b: &mut Builder<'_>, op: Op, operands: &[Value]) -> Rewrite {
    let some = operands
        .iter()
        .any(|&v| channels_last(b, v).is_some() && !is_constant(b.module, v));
    if !some || !operands.iter().all(|&v| cheap(b, v)) {
        return Ok(None);
    }
    let operands: OpResult<Vec<Value>> = operands.iter().map(|&v| forward(b, v)).collect();
    let y = rebuild(b, op, &operands?)?;
    Ok(Some(vec![back(b, y[0])?]))
}

/// The slope is as `x` or has extents of 1.
fn prelu(b: &mut Builder<'_>, op: Op) -> Rewrite {
    let operands = b.module.operands(op).to_vec();
    sink_all(b, op, &operands)
}

/// If enough of the operands come transposed; the others are then transposed themselves.
fn concat(b: &mut Builder<'_>, op: Op) -> Rewrite {
    let view = b.view(op);
    let operands = view.operands().to_vec();
    let rank = view.operand_tensor(0).rank();
    let axis = renamed(t::Concat::axis(view), rank);
    if !gains(b, &operands) {
        return Ok(None);
    }
    let operands: OpResult<Vec<Value>> = operands.iter().map(|&v| forward(b, v)).collect();
    let y = build::concat(b, &operands?, axis as usize)?;
    Ok(Some(vec![back(b, y)?]))
}

/// Whether a join of the channels-last forms has fewer transposes above it, or as many. Those of
/// constants are free. With one spatial axis a transpose is its own inverse, so that as many would
/// move forth and back for ever.
fn gains(b: &Builder<'_>, operands: &[Value]) -> bool {
    let moving = operands.iter().filter(|&&v| !is_constant(b.module, v));
    let (come, others): (Vec<Value>, Vec<Value>) =
        moving.partition(|&&v| channels_last(b, v).is_some());
    let rank = dims(b.module, operands[0]).len();
    come.len() > others.len() || (rank > 3 && !come.is_empty() && come.len() == others.len())
}

/// An op whose attributes have one entry per axis.
fn lists(b: &mut Builder<'_>, op: Op, names: &[&'static str]) -> Rewrite {
    let Some(x) = source(b, op) else {
        return Ok(None);
    };
    let view = b.view(op);
    let changes: Vec<(&str, Attr)> = names
        .iter()
        .filter_map(|&name| Some((name, view.attr(name).as_list()?)))
        .filter(|(_, list)| !list.is_empty())
        .map(|(name, list)| (name, reordered(list)))
        .collect();
    let mut operands = view.operands().to_vec();
    operands[0] = x;
    let y = rebuild_with(b, op, &operands, &changes)?;
    Ok(Some(vec![back(b, y[0])?]))
}

fn resize(b: &mut Builder<'_>, op: Op) -> Rewrite {
    // The region of interest lists all starts, then all ends; it is rare enough to leave alone.
    match nn::Resize::roi(b.view(op)).is_empty() {
        true => lists(b, op, &["sizes", "scales"]),
        false => Ok(None),
    }
}

fn reverse(b: &mut Builder<'_>, op: Op) -> Rewrite {
    let Some(x) = source(b, op) else {
        return Ok(None);
    };
    let rank = dims(b.module, x).len();
    let axes = t::Reverse::axes(b.view(op)).into_iter();
    let axes: Vec<i64> = axes.map(|a| renamed(a, rank)).collect();
    let y = rebuild_with(b, op, &[x], &[("axes", axes.into())])?;
    Ok(Some(vec![back(b, y[0])?]))
}

fn mean(b: &mut Builder<'_>, op: Op) -> Rewrite {
    let axes = nn::Mean::axes(b.view(op));
    match (nn::Mean::keep(b.view(op)), source(b, op)) {
        (_, None) => Ok(None),
        (false, Some(_)) => reduce(b, op, &axes),
        (true, Some(x)) => {
            let rank = dims(b.module, x).len();
            let axes: Vec<i64> = axes.iter().map(|&a| renamed(a, rank)).collect();
            let y = rebuild_with(b, op, &[x], &[("axes", axes.into())])?;
            Ok(Some(vec![back(b, y[0])?]))
        }
    }
}

/// An op that drops axes: the others stay in their order of channels first.
fn reduce(b: &mut Builder<'_>, op: Op, axes: &[i64]) -> Rewrite {
    let Some(x) = source(b, op) else {
        return Ok(None);
    };
    let rank = dims(b.module, x).len();
    // Where the axes that are left stand, in the order in which the result has them.
    let left = (0..rank as i64).filter(|a| !axes.contains(a));
    let places: Vec<i64> = left.map(|a| renamed(a, rank)).collect();
    let mut sorted = places.clone();
    sorted.sort_unstable();
    let perm: Vec<usize> = places
        .iter()
        .filter_map(|p| sorted.iter().position(|s| s == p))
        .collect();
    let axes: Vec<i64> = axes.iter().map(|&a| renamed(a, rank)).collect();
    let y = rebuild_with(b, op, &[x], &[("axes", axes.into())])?;
    Ok(Some(vec![build::transpose(b, y[0], &perm)?]))
}

fn dim(b: &mut Builder<'_>, op: Op) -> Rewrite {
    let Some(x) = source(b, op) else {
        return Ok(None);
    };
    let axis = renamed(t::DimOf::axis(b.view(op)), dims(b.module, x).len());
    Ok(Some(rebuild_with(b, op, &[x], &[("axis", axis.into())])?))
}

/// An op with an `axis` whose result has the shape of its first operand.
fn axis_attr(b: &mut Builder<'_>, op: Op) -> Rewrite {
    let Some(x) = source(b, op) else {
        return Ok(None);
    };
    let view = b.view(op);
    let Some(axis) = view.attr("axis").as_int() else {
        return Ok(None);
    };
    let mut operands = view.operands().to_vec();
    operands[0] = x;
    let axis = renamed(axis, dims(b.module, x).len());
    let y = rebuild_with(b, op, &operands, &[("axis", axis.into())])?;
    Ok(Some(vec![back(b, y[0])?]))
}

/// A channel shuffle: the channels as a matrix, transposed. The op is the reshape at its end.
fn shuffle(b: &mut Builder<'_>, op: Op) -> Rewrite {
    let module = &*b.module;
    let found = || {
        let middle = defined_by(module, module.operands(op)[0], &t::Transpose)?;
        let first = defined_by(module, module.operands(middle)[0], &t::Reshape)?;
        let x = channels_last(b, module.operands(first)[0])?;
        let (from, split) = (
            dims(module, module.operands(first)[0]),
            dims(module, module.results(first)[0]),
        );
        let rank = from.len();
        let perm: Vec<usize> = [0, 2, 1].into_iter().chain(3..=rank).collect();
        let fits = split.len() == rank + 1
            && split[0] == from[0]
            && split[3..] == from[2..]
            && dims(module, module.results(op)[0]) == from
            && super::shape::perm_of(b, middle) == perm
            && !from.contains(&Dim::Unknown);
        fits.then_some((x, split[1], split[2]))
    };
    let Some((x, groups, each)) = found() else {
        return Ok(None);
    };
    let shape = dims(b.module, x).to_vec();
    let rank = shape.len();
    let mut split = shape[..rank - 1].to_vec();
    split.extend([groups, each]);
    let perm: Vec<usize> = (0..rank - 1).chain([rank, rank - 1]).collect();
    let y = build::reshape(b, x, &split)?;
    let y = build::transpose(b, y, &perm)?;
    let y = build::reshape(b, y, &shape)?;
    Ok(Some(vec![back(b, y)?]))
}

/// What a gate hands on may have its axes in any order behind that of samples.
fn gate(b: &mut Builder<'_>, op: Op) -> Rewrite {
    let pairs = Pairs::of(b.module, op);
    let moved: Vec<Value> = pairs.hands_on.iter().map(|&[_, result]| result).collect();
    let mut operands = b.module.operands(op).to_vec();
    let first = operands.len() - moved.len();
    let sources: Vec<Option<Value>> = operands[first..]
        .iter()
        .map(|&v| channels_last(b, v))
        .collect();
    if sources.iter().all(Option::is_none) {
        return Ok(None);
    }
    for (operand, source) in operands[first..].iter_mut().zip(&sources) {
        *operand = source.unwrap_or(*operand);
    }
    let mut results = rebuild(b, op, &operands)?;
    let first = results.len() - moved.len();
    for (result, source) in results[first..].iter_mut().zip(sources) {
        if source.is_some() {
            *result = back(b, *result)?;
        }
    }
    Ok(Some(results))
}

#[cfg(test)]
mod tests {
    use super::super::to_first;
    use super::*;

    #[test]
    fn renaming_agrees_with_the_orders() {
        for rank in 3..6 {
            for (place, axis) in to_last(rank).into_iter().enumerate() {
                assert_eq!(renamed(axis as i64, rank), place as i64);
                assert_eq!(to_first(rank)[axis], place);
            }
        }
    }
}
