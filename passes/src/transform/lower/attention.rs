//! `nn.attention` on operands as layers leave them.
//!
//! ```text
//! %2 = tensor.slice(%1)                     // of [B, S, 3 · H · D], from H · D on
//! %3 = tensor.reshape(%2)                   // [B, S, H, D]
//! %4 = tensor.transpose(%3) {perm = [0, 2, 1, 3]}
//! %5 = nn.attention(%q, %4, %v)
//!                                        =>
//! %4 = tensor.reshape(%1)                   // [B, S, 3 · H, D]
//! %5 = kernel.attention(%q, %4, %v) {first = [0, H, 0], layouts = ["bhsd", "bshd", "bhsd", "bhsd"]}
//! ```
//!
//! A result that is transposed back is written in that order.

use lepid_ir::core::{Attr, Builder, Dim, Elem, Module, Op, OpResult, Value};
use lepid_ir::dialects::kernel::{self, HEADS_FIRST, POSITIONS_FIRST};
use lepid_ir::dialects::tensor::build;
use lepid_ir::dialects::{nn, tensor};

use crate::core::rewrite::defined_by;
use crate::transform::memory_plan::is_open;

pub(super) fn attention(b: &mut Builder<'_>, op: Op) -> OpResult<Option<Vec<Value>>> {
    let view = b.view(op);
    let operands = view.operands().to_vec();
    let closed = operands.iter().all(|&v| !is_open(b.module, v));
    let empty = (0..operands.len()).any(|i| view.operand_dims(i).contains(&Dim::Known(0)));
    let [_, Dim::Known(heads), _, Dim::Known(features)] = *view.operand_dims(0) else {
        return Ok(None);
    };
    if view.operand_tensor(0).elem != Elem::F32 || !closed || empty {
        return Ok(None);
    }
    let scale = nn::Attention::scale(view).unwrap_or(1.0 / (features as f64).sqrt());
    let (causal, offset) = (nn::Attention::causal(view), nn::Attention::offset(view));
    let swaps_back = swaps_back(b.module, view.result(0));
    let mut values = operands.clone();
    let (mut first, mut layouts) = ([0; 3], [HEADS_FIRST; 4]);
    for i in 0..3 {
        if let Some(source) = source(b, operands[i])? {
            values[i] = source.value;
            first[i] = source.first;
            layouts[i] = POSITIONS_FIRST;
        }
    }
    if swaps_back {
        layouts[3] = POSITIONS_FIRST;
    }
    let attrs = [
        ("heads", Attr::Int(heads as i64)),
        ("scale", scale.into()),
        ("causal", causal.into()),
        ("offset", offset.into()),
        ("first", first.into()),
        ("layouts", Attr::from(&layouts[..])),
    ];
    let y = b.one(&kernel::Attention, &values, &attrs)?;
    let y = match swaps_back {
        true => build::transpose(b, y, &SWAP)?,
        false => y,
    };
    Ok(Some(vec![y]))
}

/// Heads and positions change places.
const SWAP: [usize; 4] = [0, 2, 1, 3];

/// Whether all that reads a value swaps its heads and positions.
fn swaps_back(module: &Module, value: Value) -> bool {
    let uses = module.uses(value);
    let swaps = |op: Op| {
        module.op_name(op) == "tensor.transpose" && perm(module, op).as_slice() == SWAP.as_slice()
    };
    !uses.is_empty() && uses.iter().all(|u| swaps(u.op))
}

fn perm(module: &Module, transpose: Op) -> Vec<usize> {
    let perm = tensor::Transpose::perm(module.view(transpose));
    perm.into_iter().map(|axis| axis as usize).collect()
}

/// Heads from `first` on of a value whose axes are batch, position, head, feature.
struct Source {
    value: Value,
    first: i64,
}

/// What the heads of an operand can be read from in place of it.
fn source(b: &mut Builder<'_>, value: Value) -> OpResult<Option<Source>> {
    let dims = build::dims(b, value);
    let [batch, heads, positions, features] = dims[..] else {
        return Ok(None);
    };
    let swapped = swapped(b.module, value);
    // One position, or one head, is in the same order either way.
    let alike = [heads, positions].contains(&Dim::Known(1)).then_some(value);
    let Some(by_position) = swapped.or(alike) else {
        return Ok(None);
    };
    if let Some((whole, start)) = cut(b.module, by_position, 2) {
        return Ok(swapped.map(|_| Source {
            value: whole,
            first: start,
        }));
    }
    let flat = match defined_by(b.module, by_position, &tensor::Reshape) {
        Some(reshape) => b.module.operands(reshape)[0],
        None => by_position,
    };
    let columns = heads.times(features);
    let whole =
        cut(b.module, flat, build::rank(b, flat).saturating_sub(1)).and_then(|(w, start)| {
            let (whole, depth) = (build::dims(b, w).last()?.known()?, features.known()?);
            let fits = build::dims(b, flat).last() == Some(&columns)
                && whole % depth == 0
                && (start as u64).is_multiple_of(depth);
            fits.then_some((w, whole / depth, start / depth as i64))
        });
    Ok(match (whole, swapped) {
        (Some((whole, count, first)), _) => Some(Source {
            value: build::reshape(b, whole, &[batch, positions, Dim::Known(count), features])?,
            first,
        }),
        (None, Some(value)) => Some(Source { value, first: 0 }),
        (None, None) => None,
    })
}

/// The value of which `value` is the one with heads and positions swapped.
fn swapped(module: &Module, value: Value) -> Option<Value> {
    let mut axes: Vec<usize> = (0..4).collect();
    let mut at = value;
    while let Some(op) = defined_by(module, at, &tensor::Transpose) {
        let perm = perm(module, op);
        axes = axes.into_iter().map(|axis| perm[axis]).collect();
        at = module.operands(op)[0];
        if axes == SWAP {
            return Some(at);
        }
    }
    None
}

/// The value that a slice is a run of along this axis alone, and where it begins.
fn cut(module: &Module, value: Value, axis: usize) -> Option<(Value, i64)> {
    let view = module.view(defined_by(module, value, &tensor::Slice)?);
    let (whole, part) = (view.operand_dims(0), &view.result_tensor(0).dims);
    let others = (0..whole.len()).all(|a| a == axis || whole[a] == part[a]);
    let start = *tensor::Slice::start(view).get(axis)?;
    let plain = tensor::Slice::step(view).iter().all(|&step| step == 1) && start >= 0;
    let inside = start as u64 + part[axis].known()? <= whole[axis].known()?;
    (others && plain && inside).then(|| (view.operand(0), start))
}
