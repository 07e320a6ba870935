//! Operators that put elements in another order.

use lepid_ir::core::{Attr, Dim, Elem, OpResult, Value};
use lepid_ir::dialects::tensor::{self, build};

use super::{Row, one, row};
use crate::frontends::onnx::cx::{Cx, invalid, unsupported};

type Values = OpResult<Vec<Value>>;

pub(super) const ROWS: &[Row] = &[
    row("DepthToSpace", 1, depth_to_space),
    row("ReverseSequence", 10, reverse_sequence),
    row("SpaceToDepth", 1, space_to_depth),
];

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
