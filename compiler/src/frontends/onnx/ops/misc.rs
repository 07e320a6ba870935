//! Constants, masks and what else makes tensors from little.

use lepid_ir::core::{Dim, Elem, Num, OpError, OpResult, Tensor, Value};
use lepid_ir::dialects::tensor::{self, build, extents::Entry};

use super::{Row, one, row};
use crate::frontends::onnx::cx::{Cx, invalid, normal_axis, unsupported};
use crate::frontends::onnx::weights::elem_type;

type Values = OpResult<Vec<Value>>;

pub(super) const ROWS: &[Row] = &[
    row("Constant", 1, constant),
    row("Dropout", 6, dropout),
    row("EyeLike", 9, eye_like),
    row("Identity", 1, identity),
    row("OneHot", 9, one_hot),
    row("Trilu", 14, trilu),
];

fn constant(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let value = if let Some(value) = cx.tensor("value")? {
        value
    } else if let Some(x) = cx.opt_float("value_float")? {
        Tensor::scalar(Elem::F32, Num::Float(x))
    } else if let Some(list) = cx.floats("value_floats")? {
        Tensor::from_f64s(Elem::F32, [list.len()], list)
    } else if let Some(x) = cx.opt_int("value_int")? {
        Tensor::from_i64s([x]).reshaped([])
    } else if let Some(list) = cx.ints("value_ints")? {
        Tensor::from_i64s(list)
    } else {
        return Err(unsupported("strings and sparse tensors are not supported"));
    };
    one(cx.stored(value)?)
}

fn identity(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    one(cx.input(0)?)
}

/// Does nothing but in training.
fn dropout(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let x = cx.input(0)?;
    if cx.opset < 7 && !cx.flag("is_test")? {
        return Err(training());
    }
    if let Some(training) = cx.constant_input(2, "`training_mode`")? {
        let ratio = cx.constant_input(1, "`ratio`")?;
        let ratio = ratio.map_or(0.5, |r| r.to_f64s().first().copied().unwrap_or(0.5));
        if training.to_i64s().iter().any(|&t| t != 0) && ratio != 0.0 {
            return Err(
                unsupported("the node is in training mode").help("export the model for inference")
            );
        }
    }
    if !cx.wants(1) {
        return one(x);
    }
    let kept = cx.splat(x, 1.0)?;
    Ok(vec![x, cx.cast(kept, Elem::Bool)?])
}

fn training() -> OpError {
    unsupported("the node is in training mode").help("export the model for inference")
}

/// The index along an axis, in a shape whose extents must be known or named.
fn positions(cx: &mut Cx<'_, '_, '_, '_>, dims: &[Dim], axis: usize) -> OpResult<Value> {
    if dims.contains(&Dim::Unknown) {
        return Err(
            unsupported("an extent of the result is not known before the model runs")
                .help("give fixed input shapes"),
        );
    }
    build::iota(cx.b, dims, axis, Elem::I64)
}

fn eye_like(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let x = cx.input(0)?;
    let to = match cx.opt_int("dtype")? {
        Some(to) => elem_type(to as i32)?,
        None => cx.elem(x)?,
    };
    let dims = cx.dims(x)?;
    if dims.len() != 2 {
        return Err(invalid(format!("rank 2 is needed, found {}", dims.len())));
    }
    let rows = positions(cx, &dims, 0)?;
    let columns = positions(cx, &dims, 1)?;
    let offset = cx.int("k", 0)?;
    let offset = cx.constant(Tensor::from_i64s([offset]))?;
    let diagonal = cx.binary(&tensor::Add, rows, offset)?;
    let mask = cx.compare("eq", columns, diagonal)?;
    one(cx.cast(mask, to)?)
}

/// Keeps what is above (or below) the `k`-th diagonal of the last two axes.
fn trilu(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let x = cx.input(0)?;
    let dims = cx.dims(x)?;
    let Some(outer) = dims.len().checked_sub(2) else {
        return Err(invalid("rank 2 at least is needed"));
    };
    let matrix = &dims[outer..];
    let rows = positions(cx, matrix, 0)?;
    let columns = positions(cx, matrix, 1)?;
    let diagonal = match cx.optional(1) {
        Some(k) => {
            let k = cx.reshape(k, &[])?;
            cx.binary(&tensor::Add, rows, k)?
        }
        None => rows,
    };
    let upper = cx.int("upper", 1)? != 0;
    let direction = if upper { "ge" } else { "le" };
    let kept = cx.compare(direction, columns, diagonal)?;
    let elem = cx.elem(x)?;
    let zero = cx.number(elem, 0.0)?;
    one(cx.select(kept, x, zero)?)
}

/// Indices may count from the end; others out of range give a row without a hot element.
fn one_hot(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let (indices, depth, values) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    let depth = cx.cast(depth, Elem::I64)?;
    let extent = match cx.entries(depth).as_deref() {
        Some([entry]) => *entry,
        _ => Entry::Unknown,
    };
    let extent = extent.dim().ok_or_else(|| invalid("`depth` is negative"))?;
    let mut dims = cx.dims(indices)?;
    let axis = cx.int("axis", -1)?;
    let axis = normal_axis(axis, dims.len() + 1)?;
    dims.insert(axis, extent);
    let places = positions(cx, &dims, axis)?;
    let indices = cx.cast(indices, Elem::I64)?;
    let indices = build::unsqueeze(cx.b, indices, &[axis])?;
    let depth = cx.reshape(depth, &[])?;
    let zero = cx.number(Elem::I64, 0.0)?;
    let from_end = cx.binary(&tensor::Add, indices, depth)?;
    let negative = cx.compare("lt", indices, zero)?;
    let indices = cx.select(negative, from_end, indices)?;
    let hot = cx.compare("eq", places, indices)?;
    let mut pair = Vec::new();
    for i in 0..2 {
        let value = build::slice_axis(cx.b, values, 0, i, i + 1)?;
        pair.push(cx.reshape(value, &[])?);
    }
    one(cx.select(hot, pair[1], pair[0])?)
}
