//! Operators that put values at computed places of a larger tensor.

use lepid_ir::core::Tensor;
use lepid_ir::core::{Attr, Dim, Elem, OpResult, Value};
use lepid_ir::dialects::nn;
use lepid_ir::dialects::tensor::{self, build};

use super::{Row, one, row};
use crate::frontends::onnx::cx::{Cx, invalid, normal_axis, unsupported};

type Values = OpResult<Vec<Value>>;

pub(super) const ROWS: &[Row] = &[
    row("Col2Im", 18, col2im),
    row("MaxUnpool", 9, max_unpool),
    row("TensorScatter", 24, tensor_scatter),
];

/// A list of the node with one entry for each of `count` axes.
fn list(cx: &Cx<'_, '_, '_, '_>, name: &str, default: i64, count: usize) -> OpResult<Vec<i64>> {
    let list = cx.ints(name)?.unwrap_or_else(|| vec![default; count]);
    match list.len() == count {
        true => Ok(list),
        false => Err(invalid(format!(
            "attribute `{name}` has {} entries, expected {count}",
            list.len()
        ))),
    }
}

/// Adds up blocks where they overlap: a transposed convolution whose kernel has one element of a
/// block in each channel.
fn col2im(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let x = cx.input(0)?;
    let image = cx.constant_ints(1, "the shape of the image")?;
    let image = cx.required("image_shape", image)?;
    let block = cx.constant_ints(2, "the shape of a block")?;
    let block = cx.required("block_shape", block)?;
    let rank = image.len();
    if block.len() != rank || rank == 0 {
        return Err(invalid("the image and a block must have as many axes"));
    }
    let stride = list(cx, "strides", 1, rank)?;
    let dilation = list(cx, "dilations", 1, rank)?;
    let pad = list(cx, "pads", 0, 2 * rank)?;
    if stride.iter().chain(&dilation).chain(&block).any(|&n| n < 1) {
        return Err(invalid("strides, dilations and blocks must be at least 1"));
    }
    let [batch, Dim::Known(rows), _] = cx.dims(x)?[..] else {
        return Err(invalid(
            "the input must have three axes, the second of them known",
        ));
    };
    let size = block.iter().try_fold(1u64, |n, &b| n.checked_mul(b as u64));
    let size = size.filter(|&n| n <= 2048 && rows % n == 0);
    let size = size.ok_or_else(|| invalid("the rows of the input do not fit the blocks"))?;
    let mut places = vec![batch, Dim::Known(rows)];
    let mut extra = Vec::new();
    for axis in 0..rank {
        let reach = dilation[axis]
            .saturating_mul(block[axis] - 1)
            .saturating_add(1);
        let padded = image[axis]
            .saturating_add(pad[axis])
            .saturating_add(pad[rank + axis]);
        let room = padded.saturating_sub(reach);
        if room < 0 {
            return Err(invalid("a block is larger than the image"));
        }
        places.push(Dim::Known((room / stride[axis] + 1) as u64));
        extra.push(room % stride[axis]);
    }
    let x = cx.reshape(x, &places)?;
    let elem = cx.elem(x)?;
    let channels = rows / size;
    let own = cx.constant(one_hot_blocks(elem, size, &block))?;
    let mut kernel = vec![Dim::Known(channels), Dim::Known(size), Dim::Known(1)];
    kernel.extend(block.iter().map(|&n| Dim::Known(n as u64)));
    let kernel = build::broadcast_to(cx.b, own, &kernel)?;
    let mut flat = vec![Dim::Known(rows), Dim::Known(1)];
    flat.extend(block.iter().map(|&n| Dim::Known(n as u64)));
    let kernel = cx.reshape(kernel, &flat)?;
    let attrs = [
        ("stride", stride[..].into()),
        ("dilation", dilation[..].into()),
        ("pad", pad[..].into()),
        ("output_pad", extra[..].into()),
        ("groups", Attr::Int(channels as i64)),
    ];
    one(cx.op(&nn::ConvTranspose, &[x, kernel], &attrs)?)
}

/// For each element of a block, the block with 1 there and 0 elsewhere.
fn one_hot_blocks(elem: Elem, size: u64, block: &[i64]) -> Tensor {
    let size = size as usize;
    let values = (0..size * size).map(|i| f64::from(u8::from(i / size == i % size)));
    let shape = [size, 1]
        .into_iter()
        .chain(block.iter().map(|&n| n as usize));
    Tensor::from_f64s(elem, shape, values)
}

/// Puts maxima back to where they were found; a stated shape may only add to the end of each axis.
fn max_unpool(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let (x, indices) = (cx.input(0)?, cx.input(1)?);
    let kernel = cx.ints("kernel_shape")?;
    let kernel = cx.required("kernel_shape", kernel)?;
    let rank = kernel.len();
    let stride = list(cx, "strides", 1, rank)?;
    let pad = list(cx, "pads", 0, 2 * rank)?;
    let dims = cx.dims(x)?;
    if dims.len() != rank + 2 {
        return Err(invalid("the kernel does not fit the axes of the input"));
    }
    let mut full = dims[..2].to_vec();
    for axis in 0..rank {
        let Some(n) = dims[2 + axis].known() else {
            return Err(unsupported("a spatial extent is open").help("give fixed input shapes"));
        };
        let extent = (n as i64 - 1)
            .saturating_mul(stride[axis])
            .saturating_add(kernel[axis])
            .saturating_sub(pad[axis])
            .saturating_sub(pad[rank + axis]);
        let extent = u64::try_from(extent).map_err(|_| invalid("an extent is negative"))?;
        full.push(Dim::Known(extent));
    }
    let total = full.iter().copied().fold(Dim::Known(1), Dim::times);
    let count = dims.iter().copied().fold(Dim::Known(1), Dim::times);
    if total == Dim::Unknown || count == Dim::Unknown {
        return Err(unsupported("an extent is open").help("give fixed input shapes"));
    }
    let zero = cx.number(cx.elem(x)?, 0.0)?;
    let empty = build::broadcast_to(cx.b, zero, &[total])?;
    let x = cx.reshape(x, &[count])?;
    let indices = cx.reshape(indices, &[count])?;
    let attrs = [("axis", 0.into())];
    let flat = cx.op(&tensor::ScatterElements, &[empty, indices, x], &attrs)?;
    let y = cx.reshape(flat, &full)?;
    let Some(stated) = cx.constant_ints(2, "the shape of the result")? else {
        return one(y);
    };
    if stated.len() != full.len() {
        return Err(invalid("the shape of the result has the wrong length"));
    }
    let mut more = Vec::new();
    for (stated, own) in stated.iter().zip(&full) {
        let missing = stated.saturating_sub(own.known().unwrap_or(0) as i64);
        if missing < 0 {
            return Err(invalid("the stated shape is too small"));
        }
        more.push(missing);
    }
    one(build::pad(cx.b, y, 0.0, &vec![0; more.len()], &more)?)
}

/// The cache of each batch with the update written from its place on; round and round if circular.
/// A scatter of whole rows, which a target can do where the cache lies.
fn tensor_scatter(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let (past, update) = (cx.input(0)?, cx.input(1)?);
    let rank = cx.rank(past)?;
    let axis = normal_axis(cx.int("axis", -2)?, rank)?;
    if axis == 0 {
        return Err(invalid("axis 0 is that of the batch"));
    }
    if cx.rank(update)? != rank {
        return Err(invalid("the update must have the rank of the cache"));
    }
    // Each as long as the axes up to that of the rows are many.
    let mut coordinates = Vec::new();
    for along in 0..=axis {
        let places = cx.places(update, along)?;
        let around: Vec<usize> = (0..=axis).filter(|&a| a != along).collect();
        coordinates.push(build::unsqueeze(cx.b, places, &around)?);
    }
    if let Some(starts) = cx.optional(2) {
        let starts = cx.cast(starts, Elem::I64)?;
        let after: Vec<usize> = (1..=axis).collect();
        let starts = build::unsqueeze(cx.b, starts, &after)?;
        coordinates[axis] = cx.binary(&tensor::Add, starts, coordinates[axis])?;
    }
    match cx.string("mode", "linear")?.as_str() {
        "linear" => {}
        "circular" => {
            let room = build::dim(cx.b, past, axis)?;
            let beyond = cx.compare("ge", coordinates[axis], room)?;
            let before = cx.binary(&tensor::Sub, coordinates[axis], room)?;
            coordinates[axis] = cx.select(beyond, before, coordinates[axis])?;
        }
        other => return Err(invalid(format!("attribute `mode` is `{other}`"))),
    }
    let mut all = coordinates[0];
    for &more in &coordinates[1..] {
        all = cx.binary(&tensor::Add, all, more)?;
    }
    let mut vectors = Vec::new();
    for &one in &coordinates {
        let one = build::broadcast_like(cx.b, one, all)?;
        vectors.push(build::unsqueeze(cx.b, one, &[axis + 1])?);
    }
    let places = build::concat(cx.b, &vectors, axis + 1)?;
    one(cx.op(&tensor::ScatterNd, &[past, places, update], &[])?)
}

/// Slices along an axis, for each batch at places of its own: batch, place.
pub(super) fn picked(
    cx: &mut Cx<'_, '_, '_, '_>,
    x: Value,
    axis: usize,
    places: Value,
) -> OpResult<Value> {
    let rank = cx.rank(x)?;
    let order: Vec<usize> = [0, axis]
        .into_iter()
        .chain((1..rank).filter(|&a| a != axis))
        .collect();
    let mut back = vec![0; rank];
    for (to, &from) in order.iter().enumerate() {
        back[from] = to;
    }
    let x = cx.transpose(x, &order)?;
    let places = build::unsqueeze(cx.b, places, &[2])?;
    let found = cx.op(&tensor::GatherNd, &[x, places], &[("batch", 1.into())])?;
    cx.transpose(found, &back)
}
