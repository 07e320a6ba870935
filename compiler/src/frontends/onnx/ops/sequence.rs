//! Sequences. The length of each is known while importing, so that none is left in the module: a
//! sequence is a handle, a value that only operators of this file may read.

use lepid_ir::core::{Dim, OpResult, Tensor, Value};
use lepid_ir::dialects::tensor::build;

use super::cut::parts_of;
use super::{Row, one, row};
use crate::frontends::onnx::cx::{Cx, invalid, normal_axis, unsupported};

type Values = OpResult<Vec<Value>>;

pub(super) const ROWS: &[Row] = &[
    row("ConcatFromSequence", 11, concat_from_sequence),
    row("SequenceAt", 11, sequence_at),
    row("SequenceConstruct", 11, sequence_construct),
    row("SequenceEmpty", 11, |cx| one(handle(cx, Vec::new())?)),
    row("SequenceErase", 11, sequence_erase),
    row("SequenceInsert", 11, sequence_insert),
    row("SequenceLength", 11, sequence_length),
    row("SplitToSequence", 11, split_to_sequence),
];

/// Whether an operator may read a handle.
pub(in crate::frontends::onnx) fn reads_handles(op: &str) -> bool {
    op == "Identity" || op == "If" || ROWS.iter().any(|row| row.name == op)
}

fn handle(cx: &mut Cx<'_, '_, '_, '_>, items: Vec<Value>) -> OpResult<Value> {
    let handle = cx.constant(Tensor::from_i64s([]))?;
    cx.importer.sequences.insert(handle, items);
    Ok(handle)
}

fn items(cx: &Cx<'_, '_, '_, '_>) -> OpResult<Vec<Value>> {
    let handle = cx.input(0)?;
    let found = cx.importer.sequences.get(&handle).cloned();
    found.ok_or_else(|| invalid("input 0 must be a sequence"))
}

/// A place in a sequence of `len` items; the default is the last.
fn position(cx: &Cx<'_, '_, '_, '_>, input: usize, len: usize) -> OpResult<usize> {
    let given = cx.constant_ints(input, "the position in a sequence")?;
    match given.and_then(|p| p.first().copied()) {
        Some(position) => normal_axis(position, len)
            .map_err(|_| invalid(format!("position {position} is not in a sequence of {len}"))),
        None => len
            .checked_sub(1)
            .ok_or_else(|| invalid("the sequence is empty")),
    }
}

fn sequence_construct(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let items = cx.all_inputs()?;
    one(handle(cx, items)?)
}

fn sequence_at(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let items = items(cx)?;
    one(items[position(cx, 1, items.len())?])
}

fn sequence_erase(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let mut items = items(cx)?;
    items.remove(position(cx, 1, items.len())?);
    one(handle(cx, items)?)
}

fn sequence_insert(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let mut items = items(cx)?;
    let item = cx.input(1)?;
    let at = match cx.optional(2) {
        // There is one place more than there are items; -1 is before the last.
        Some(_) => match cx
            .constant_ints(2, "the position in a sequence")?
            .as_deref()
        {
            Some([at]) if *at == items.len() as i64 => items.len(),
            _ => position(cx, 2, items.len())?,
        },
        None => items.len(),
    };
    items.insert(at, item);
    one(handle(cx, items)?)
}

fn sequence_length(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let len = items(cx)?.len() as i64;
    one(cx.constant(Tensor::from_i64s([len]).reshaped([]))?)
}

fn concat_from_sequence(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let mut items = items(cx)?;
    let Some(&first) = items.first() else {
        return Err(unsupported("an empty sequence has nothing to concatenate"));
    };
    let axis = cx.required("axis", cx.opt_int("axis")?)?;
    let mut rank = cx.rank(first)?;
    if cx.flag("new_axis")? {
        rank += 1;
        let axis = normal_axis(axis, rank)?;
        for item in &mut items {
            *item = build::unsqueeze(cx.b, *item, &[axis])?;
        }
    }
    one(build::concat(cx.b, &items, normal_axis(axis, rank)?)?)
}

/// Parts of one size or of given sizes; without either, parts of 1, whose axis may be dropped.
fn split_to_sequence(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let x = cx.input(0)?;
    let dims = cx.dims(x)?;
    let axis = cx.axis(0, dims.len())?;
    let given = cx.constant_ints(1, "the sizes of the parts")?;
    let listed = cx.optional(1).map(|v| cx.rank(v)).transpose()? == Some(1);
    let drop_axis = given.is_none() && cx.int("keepdims", 1)? == 0;
    let sizes = match given {
        Some(sizes) if listed => sizes,
        size => {
            let Dim::Known(total) = dims[axis] else {
                return Err(
                    unsupported("the length of the sequence depends on an open extent")
                        .help("give fixed input shapes"),
                );
            };
            let size = size.and_then(|s| s.first().copied()).unwrap_or(1);
            match u64::try_from(size) {
                Ok(size @ 1..) => parts_of(total, size)?,
                _ => return Err(invalid(format!("a part has the size {size}"))),
            }
        }
    };
    let mut items = Vec::with_capacity(sizes.len());
    let mut at = 0i64;
    for size in sizes {
        let end = at.checked_add(size).filter(|_| size >= 0);
        let end = end.ok_or_else(|| invalid("the sizes of the parts are out of range"))?;
        let part = build::slice_axis(cx.b, x, axis, at, end)?;
        items.push(match drop_axis {
            true => build::squeeze(cx.b, part, &[axis])?,
            false => part,
        });
        at = end;
    }
    one(handle(cx, items)?)
}
