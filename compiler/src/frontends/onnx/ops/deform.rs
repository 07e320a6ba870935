//! Convolutions whose kernels read where offsets say.

use lepid_ir::core::{Dim, OpResult, Value};
use lepid_ir::dialects::nn;
use lepid_ir::dialects::tensor::{self, build};

use super::sample::{Axis, Outside, Tap, combinations, corner_term, linear_taps};
use super::{Row, one, row};
use crate::frontends::onnx::cx::{Cx, invalid, unsupported};

type Values = OpResult<Vec<Value>>;

pub(super) const ROWS: &[Row] = &[row("DeformConv", 19, deform_conv)];

/// The extents of the node.
struct Extents {
    batch: Dim,
    channels: u64,
    /// Height and width.
    image: [u64; 2],
    kernel: [u64; 2],
    out: [Dim; 2],
    out_channels: u64,
    /// How many groups of channels have offsets of their own.
    offset_groups: u64,
    groups: u64,
}

impl Extents {
    fn new(cx: &Cx<'_, '_, '_, '_>) -> OpResult<Extents> {
        let (x, w, offset) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
        let open = || unsupported("an extent is open").help("give fixed input shapes");
        let [batch, channels, height, width] = cx.dims(x)?[..] else {
            return Err(unsupported("only images of two axes are supported"));
        };
        let [out_channels, _, rows, columns] = cx.dims(w)?[..] else {
            return Err(invalid("the weight must have four axes"));
        };
        let [_, _, out_height, out_width] = cx.dims(offset)?[..] else {
            return Err(invalid("the offsets must have four axes"));
        };
        let known = |dim: Dim| dim.known().filter(|&n| n > 0).ok_or_else(open);
        let positive = |name: &str| match cx.int(name, 1)? {
            n @ 1.. => Ok(n as u64),
            n => Err(invalid(format!("attribute `{name}` is {n}"))),
        };
        let extents = Extents {
            batch,
            channels: known(channels)?,
            image: [known(height)?, known(width)?],
            kernel: [known(rows)?, known(columns)?],
            out: [out_height, out_width],
            out_channels: known(out_channels)?,
            offset_groups: positive("offset_group")?,
            groups: positive("group")?,
        };
        let fits = extents.channels.is_multiple_of(extents.offset_groups)
            && extents.channels.is_multiple_of(extents.groups)
            && extents.out_channels.is_multiple_of(extents.groups);
        match fits {
            true => Ok(extents),
            false => Err(invalid("the channels do not fit the groups")),
        }
    }

    fn taps(&self) -> u64 {
        self.kernel[0].saturating_mul(self.kernel[1])
    }
}

fn deform_conv(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let e = Extents::new(cx)?;
    let (x, w) = (cx.input(0)?, cx.input(1)?);
    let columns = columns(cx, &e, x)?;
    // Batch, group, what a kernel reads, place.
    let depth = (e.channels / e.groups).saturating_mul(e.taps());
    let places = e.out[0].times(e.out[1]);
    let group = Dim::Known(e.groups);
    let columns = cx.reshape(columns, &[e.batch, group, Dim::Known(depth), places])?;
    let rows = Dim::Known(e.out_channels / e.groups);
    let w = cx.reshape(w, &[group, rows, Dim::Known(depth)])?;
    let y = cx.op(&nn::MatMul, &[w, columns], &[])?;
    let dims = [e.batch, Dim::Known(e.out_channels), e.out[0], e.out[1]];
    let y = cx.reshape(y, &dims)?;
    one(match cx.optional(3) {
        Some(bias) => {
            let bias = build::unsqueeze(cx.b, bias, &[1, 2])?;
            cx.binary(&tensor::Add, y, bias)?
        }
        None => y,
    })
}

/// What the kernels read: batch, offset group, channel, tap, row, column.
fn columns(cx: &mut Cx<'_, '_, '_, '_>, e: &Extents, x: Value) -> OpResult<Value> {
    let of_groups = Dim::Known(e.offset_groups);
    let inner = Dim::Known(e.channels / e.offset_groups);
    let [height, width] = e.image.map(Dim::Known);
    let x = cx.reshape(x, &[e.batch, of_groups, inner, height, width])?;
    let x = cx.transpose(x, &[0, 1, 3, 4, 2])?;
    let offset = cx.input(2)?;
    let tap = Dim::Known(e.taps());
    let pairs = [e.batch, of_groups, tap, Dim::Known(2), e.out[0], e.out[1]];
    let offset = cx.reshape(offset, &pairs)?;
    let mut taps = Vec::new();
    for axis in 0..2 {
        let own = build::slice_axis(cx.b, offset, 3, axis as i64, axis as i64 + 1)?;
        let own = cx.transpose(own, &[0, 1, 2, 4, 5, 3])?;
        let start = starts(cx, e, axis)?;
        let place = cx.binary(&tensor::Add, own, start)?;
        let of_axis = Axis {
            extent: e.image[axis] as f64,
            elem: cx.elem(x)?,
            corners: true,
            outside: Outside::Zeros,
        };
        taps.push(linear_taps(cx, &of_axis, place)?);
    }
    let mut sum: Option<Value> = None;
    let corners: Vec<Vec<&Tap>> = combinations(&taps);
    for corner in corners {
        let term = corner_term(cx, x, 2, &corner)?;
        sum = Some(match sum {
            Some(sum) => cx.binary(&tensor::Add, sum, term)?,
            None => term,
        });
    }
    let mut sum = sum.ok_or_else(|| invalid("there is nothing to read"))?;
    if let Some(mask) = cx.optional(4) {
        let dims = [e.batch, of_groups, tap, e.out[0], e.out[1], Dim::Known(1)];
        let mask = cx.reshape(mask, &dims)?;
        sum = cx.binary(&tensor::Mul, sum, mask)?;
    }
    cx.transpose(sum, &[0, 1, 5, 2, 3, 4])
}

/// Where the taps read along an axis without offsets: tap, row, column, 1.
fn starts(cx: &mut Cx<'_, '_, '_, '_>, e: &Extents, axis: usize) -> OpResult<Value> {
    let elem = cx.elem(cx.input(0)?)?;
    let entry = |name: &str, default: i64| -> OpResult<f64> {
        let list = cx.ints(name)?.unwrap_or_default();
        Ok(list.get(axis).copied().unwrap_or(default) as f64)
    };
    let (stride, dilation) = (entry("strides", 1)?, entry("dilations", 1)?);
    let pad = entry("pads", 0)?;
    let [rows, columns] = e.kernel.map(Dim::Known);
    let kernel = [rows, columns, Dim::Known(1), Dim::Known(1)];
    let tap = build::iota(cx.b, &kernel, axis, elem)?;
    let tap = cx.reshape(tap, &[Dim::Known(e.taps()), Dim::Known(1), Dim::Known(1)])?;
    let tap = build::with_scalar(cx.b, &tensor::Mul, tap, dilation)?;
    let place = build::iota(cx.b, &[e.out[0], e.out[1]], axis, elem)?;
    let place = build::with_scalar(cx.b, &tensor::Mul, place, stride)?;
    let place = build::with_scalar(cx.b, &tensor::Sub, place, pad)?;
    let start = cx.binary(&tensor::Add, tap, place)?;
    build::unsqueeze(cx.b, start, &[3])
}
