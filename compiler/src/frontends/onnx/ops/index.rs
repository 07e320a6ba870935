//! Gather, scatter, and the greatest elements.

use lepid_ir::core::{Dim, Elem, OpResult, Tensor, Value};
use lepid_ir::dialects::tensor::{self, build};

use super::{Row, one, row};
use crate::frontends::onnx::cx::{Cx, invalid, unsupported};

type Values = OpResult<Vec<Value>>;

pub(super) const ROWS: &[Row] = &[
    row("ArgMax", 1, |cx| arg_reduce(cx, "max")),
    row("ArgMin", 1, |cx| arg_reduce(cx, "min")),
    row("Gather", 1, gather),
    row("GatherElements", 11, gather_elements),
    row("GatherND", 11, gather_nd),
    row("Hardmax", 1, hardmax),
    row("Scatter", 9, scatter_elements),
    row("ScatterElements", 11, scatter_elements),
    row("ScatterND", 11, scatter_nd),
    row("TopK", 1, top_k),
];

/// Indices along an axis, with those that count from the end brought to the front: our ops take
/// none below 0.
fn from_front(cx: &mut Cx<'_, '_, '_, '_>, indices: Value, extent: Value) -> OpResult<Value> {
    let elem = match cx.elem(indices)? {
        elem @ (Elem::I32 | Elem::I64) => elem,
        _ => Elem::I64,
    };
    let indices = cx.cast(indices, elem)?;
    let all_positive = cx
        .constant_of(indices)
        .is_some_and(|t| t.to_i64s().iter().all(|&i| i >= 0));
    if all_positive {
        return Ok(indices);
    }
    let extent = cx.cast(extent, elem)?;
    let zero = cx.number(elem, 0.0)?;
    let shifted = cx.binary(&tensor::Add, indices, extent)?;
    let negative = cx.compare("lt", indices, zero)?;
    cx.select(negative, shifted, indices)
}

fn along_axis(
    cx: &mut Cx<'_, '_, '_, '_>,
    x: Value,
    indices: Value,
    axis: usize,
) -> OpResult<Value> {
    let extent = build::dim(cx.b, x, axis)?;
    from_front(cx, indices, extent)
}

fn gather(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let (x, indices) = (cx.input(0)?, cx.input(1)?);
    let axis = cx.axis(0, cx.rank(x)?)?;
    let indices = along_axis(cx, x, indices, axis)?;
    one(build::gather(cx.b, x, indices, axis)?)
}

fn gather_elements(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let (x, indices) = (cx.input(0)?, cx.input(1)?);
    let axis = cx.axis(0, cx.rank(x)?)?;
    let indices = along_axis(cx, x, indices, axis)?;
    let attrs = [("axis", (axis as i64).into())];
    one(cx.op(&tensor::GatherElements, &[x, indices], &attrs)?)
}

/// Coordinates in the axes of `x` from `first` on, brought to the front one by one.
fn coordinates(
    cx: &mut Cx<'_, '_, '_, '_>,
    x: Value,
    indices: Value,
    first: usize,
) -> OpResult<Value> {
    let last = cx.dims(indices)?.last().copied();
    let Some(Dim::Known(count)) = last else {
        return Err(unsupported("the last extent of the indices is open"));
    };
    let end = first.saturating_add(count as usize);
    if end > cx.rank(x)? {
        return Err(invalid(
            "the indices have more coordinates than there are axes",
        ));
    }
    let shape = build::shape_vector(cx.b, x)?;
    let extents = build::slice_axis(cx.b, shape, 0, first as i64, end as i64)?;
    from_front(cx, indices, extents)
}

fn gather_nd(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let (x, indices) = (cx.input(0)?, cx.input(1)?);
    let batch = cx.int("batch_dims", 0)?;
    let first =
        usize::try_from(batch).map_err(|_| invalid("attribute `batch_dims` is negative"))?;
    let indices = coordinates(cx, x, indices, first)?;
    one(cx.op(&tensor::GatherNd, &[x, indices], &[("batch", batch.into())])?)
}

/// How an update is combined with what it meets.
fn scatter_kind(cx: &Cx<'_, '_, '_, '_>) -> OpResult<&'static str> {
    match cx.string("reduction", "none")?.as_str() {
        "none" => Ok("set"),
        "add" => Ok("add"),
        "mul" => Ok("mul"),
        "max" => Ok("max"),
        "min" => Ok("min"),
        other => Err(invalid(format!("attribute `reduction` is `{other}`"))),
    }
}

fn scatter_elements(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let (x, indices, updates) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    let axis = cx.axis(0, cx.rank(x)?)?;
    let kind = scatter_kind(cx)?;
    let indices = along_axis(cx, x, indices, axis)?;
    let attrs = [("axis", (axis as i64).into()), ("kind", kind.into())];
    one(cx.op(&tensor::ScatterElements, &[x, indices, updates], &attrs)?)
}

fn scatter_nd(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let (x, indices, updates) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    let kind = scatter_kind(cx)?;
    let indices = coordinates(cx, x, indices, 0)?;
    let attrs = [("kind", kind.into())];
    one(cx.op(&tensor::ScatterNd, &[x, indices, updates], &attrs)?)
}

fn arg_reduce(cx: &mut Cx<'_, '_, '_, '_>, kind: &str) -> Values {
    let x = cx.input(0)?;
    let axis = cx.axis(0, cx.rank(x)?)?;
    let last = cx.flag("select_last_index")?;
    let attrs = [
        ("kind", kind.into()),
        ("axis", (axis as i64).into()),
        ("last", last.into()),
    ];
    let index = cx.op(&tensor::ArgReduce, &[x], &attrs)?;
    one(match cx.int("keepdims", 1)? != 0 {
        true => build::unsqueeze(cx.b, index, &[axis])?,
        false => index,
    })
}

/// 1 at the first greatest element along the axis, 0 elsewhere.
fn hardmax(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    super::norm::along_axis(cx, |cx, x, axis| {
        let attrs = [("kind", "max".into()), ("axis", (axis as i64).into())];
        let index = cx.op(&tensor::ArgReduce, &[x], &attrs)?;
        let index = build::unsqueeze(cx.b, index, &[axis])?;
        // The index along the axis, for any extents: one less than the running count.
        let ones = cx.splat(x, 1.0)?;
        let ones = cx.cast(ones, Elem::I64)?;
        let attrs = [
            ("kind", "sum".into()),
            ("axis", (axis as i64).into()),
            ("exclusive", true.into()),
        ];
        let places = cx.op(&tensor::Scan, &[ones], &attrs)?;
        let hot = cx.compare("eq", places, index)?;
        let elem = cx.elem(x)?;
        cx.cast(hot, elem)
    })
}

fn top_k(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let x = cx.input(0)?;
    let k = match cx.opset < 10 {
        true => cx.opt_int("k")?,
        false => cx
            .constant_input(1, "the number of elements")?
            .as_ref()
            .map(Tensor::to_i64s)
            .and_then(|k| k.first().copied()),
    };
    let k = cx.required("k", k)?;
    let axis = cx.axis(-1, cx.rank(x)?)?;
    let largest = cx.int("largest", 1)? != 0;
    let attrs = [
        ("k", k.into()),
        ("axis", (axis as i64).into()),
        ("largest", largest.into()),
    ];
    cx.ops(&tensor::TopK, &[x], &attrs)
}
