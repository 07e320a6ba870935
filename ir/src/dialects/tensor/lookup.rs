//! Reference kernels that read and write at computed places: gather, scatter, sort.

use std::cmp::Ordering;

use crate::core::{Bytes, Elem, Native, Num, OpError, OpResult, Tensor};
use crate::dialects::tensor::fold::advance;
use crate::dialects::tensor::index::ScatterKind;
use crate::dialects::tensor::kernel::{self, Lanes};
use crate::with_native;

pub(crate) fn gather(x: &Tensor, indices: &Tensor, axis: usize) -> OpResult<Tensor> {
    let lanes = Lanes::new(x.shape(), axis);
    let shape = [&x.shape()[..axis], indices.shape(), &x.shape()[axis + 1..]].concat();
    let count = kernel::checked_count(x.elem(), shape.iter().map(|&n| n as u64))?;
    if count == 0 {
        return Ok(Tensor::zeros(x.elem(), &shape));
    }
    nonempty(lanes.count)?;
    let size = lanes.stride * x.elem().bytes();
    let bytes = x.bytes();
    let mut out = Vec::with_capacity(count * x.elem().bytes());
    let places: Vec<usize> = indices
        .to_i64s()
        .iter()
        .map(|&i| clamp(i, lanes.count))
        .collect();
    for outer in 0..lanes.outer {
        for place in &places {
            out.extend_from_slice(&bytes[(outer * lanes.count + place) * size..][..size]);
        }
    }
    Ok(Tensor::new(x.elem(), shape, Bytes::from_vec(out)))
}

fn clamp(index: i64, count: usize) -> usize {
    usize::try_from(index).unwrap_or(0).min(count - 1)
}

/// The place, if it is one of `count`.
fn inside(index: i64, count: usize) -> Option<usize> {
    usize::try_from(index).ok().filter(|&i| i < count)
}

fn nonempty(count: usize) -> OpResult<()> {
    match count {
        0 => Err(OpError::new("indices read from an empty axis")),
        _ => Ok(()),
    }
}

pub(super) fn gather_elements(x: &Tensor, indices: &Tensor, axis: usize) -> OpResult<Tensor> {
    let shape = indices.shape();
    if indices.is_empty() {
        return Ok(Tensor::zeros(x.elem(), shape));
    }
    nonempty(x.shape()[axis])?;
    partial(shape, x.shape(), axis)?;
    let strides = kernel::strides(x.shape());
    let mut at = vec![0usize; shape.len()];
    let size = x.elem().bytes();
    let mut out = Vec::with_capacity(indices.len() * size);
    for index in indices.to_i64s() {
        let place: usize = (0..shape.len())
            .map(|a| if a == axis { clamp(index, x.shape()[a]) } else { at[a] } * strides[a] as usize)
            .sum();
        out.extend_from_slice(&x.bytes()[place * size..][..size]);
        advance(&mut at, shape);
    }
    Ok(Tensor::new(
        x.elem(),
        shape.iter().copied(),
        Bytes::from_vec(out),
    ))
}

/// Indices may cover a part of each axis but the indexed one.
fn partial(indices: &[usize], x: &[usize], axis: usize) -> OpResult<()> {
    let fits = indices.len() == x.len() && (0..x.len()).all(|a| a == axis || indices[a] <= x[a]);
    match fits {
        true => Ok(()),
        false => Err(OpError::new(format!(
            "indices of the shape {indices:?} do not fit into {x:?}"
        ))),
    }
}

/// The extents of one batch of coordinates.
struct Coordinates {
    /// How many coordinates name a place.
    depth: usize,
    /// Elements at a place.
    size: usize,
    /// How many places are named, in all batches.
    count: usize,
}

impl Coordinates {
    fn new(x: &Tensor, indices: &Tensor, batch: usize) -> OpResult<Coordinates> {
        let depth = indices.shape().last().copied().unwrap_or(0);
        let fits = batch + depth <= x.rank() && batch < indices.rank();
        if !fits || x.shape()[..batch] != indices.shape()[..batch] {
            return Err(OpError::new(format!(
                "indices of the shape {:?} do not fit into {:?}",
                indices.shape(),
                x.shape()
            )));
        }
        Ok(Coordinates {
            depth,
            size: x.shape()[batch + depth..].iter().product(),
            count: indices.shape()[..indices.rank() - 1].iter().product(),
        })
    }
}

pub(super) fn gather_nd(x: &Tensor, indices: &Tensor, batch: usize) -> OpResult<Tensor> {
    let c = Coordinates::new(x, indices, batch)?;
    let places = &indices.shape()[..indices.rank() - 1];
    let shape = [places, &x.shape()[batch + c.depth..]].concat();
    let total = kernel::checked_count(x.elem(), shape.iter().map(|&n| n as u64))?;
    if total == 0 {
        return Ok(Tensor::zeros(x.elem(), &shape));
    }
    let batches: usize = places[..batch].iter().product();
    let extents = &x.shape()[batch..batch + c.depth];
    extents.iter().try_for_each(|&n| nonempty(n))?;
    let block: usize = extents.iter().product();
    let indices = indices.to_i64s();
    let bytes = c.size * x.elem().bytes();
    let mut out = Vec::with_capacity(total * x.elem().bytes());
    for i in 0..c.count {
        let from = &indices[i * c.depth..][..c.depth];
        let pairs = from.iter().zip(extents);
        let place = pairs.fold(0, |at, (&index, &n)| at * n + clamp(index, n));
        let place = i / (c.count / batches) * block + place;
        out.extend_from_slice(&x.bytes()[place * bytes..][..bytes]);
    }
    Ok(Tensor::new(x.elem(), shape, Bytes::from_vec(out)))
}

/// Combines an update with the element that it meets.
fn combine<T: Native>(kind: ScatterKind, elem: Elem) -> impl Fn(T, T) -> T {
    let binary = kind.binary();
    move |old: T, new: T| {
        let Some(kind) = binary else {
            return new;
        };
        let num = match (elem.is_float(), kind.on_float(), kind.on_int()) {
            (true, Some(f), _) => Num::Float(f(old.to_num().as_f64(), new.to_num().as_f64())),
            (_, _, Some(f)) => Num::Int(f(old.to_num().as_i128(), new.to_num().as_i128())),
            _ => new.to_num(),
        };
        // The tensor of one number wraps what is stored in fewer bits than a byte.
        Tensor::scalar(elem, num).values::<T>()[0]
    }
}

/// `x[0]` changed at the indices `x[1]` by the updates `x[2]`.
pub(super) fn scatter_elements(x: &[Tensor], axis: usize, kind: ScatterKind) -> OpResult<Tensor> {
    let [x, indices, updates] = [&x[0], &x[1], &x[2]];
    kernel::same_shape(indices, updates)?;
    let shape = indices.shape();
    if indices.is_empty() {
        return Ok(x.clone());
    }
    partial(shape, x.shape(), axis)?;
    let strides = kernel::strides(x.shape());
    let places = indices.to_i64s();
    Ok(with_native!(x.elem(), T => {
        let combine = combine::<T>(kind, x.elem());
        let mut out = x.values::<T>().into_owned();
        let mut at = vec![0usize; shape.len()];
        for (&update, &index) in updates.values::<T>().iter().zip(&places) {
            if let Some(index) = inside(index, x.shape()[axis]) {
                let place: usize = (0..shape.len())
                    .map(|a| if a == axis { index } else { at[a] } * strides[a] as usize)
                    .sum();
                out[place] = combine(out[place], update);
            }
            advance(&mut at, shape);
        }
        Tensor::from_vec(x.elem(), x.shape().iter().copied(), out)
    }))
}

/// `x[0]` changed at the coordinates `x[1]` by the slices `x[2]`.
pub(super) fn scatter_nd(x: &[Tensor], kind: ScatterKind) -> OpResult<Tensor> {
    let [x, indices, updates] = [&x[0], &x[1], &x[2]];
    let c = Coordinates::new(x, indices, 0)?;
    if updates.len() != c.count * c.size {
        return Err(OpError::new(format!(
            "updates of the shape {:?} do not fit indices of {:?} into {:?}",
            updates.shape(),
            indices.shape(),
            x.shape()
        )));
    }
    let extents = &x.shape()[..c.depth];
    let indices = indices.to_i64s();
    Ok(with_native!(x.elem(), T => {
        let combine = combine::<T>(kind, x.elem());
        let updates = updates.values::<T>();
        let mut out = x.values::<T>().into_owned();
        for i in 0..c.count {
            let pairs = indices[i * c.depth..][..c.depth].iter().zip(extents);
            let place = pairs
                .map(|(&index, &n)| inside(index, n).map(|i| (i, n)))
                .try_fold(0, |at, place| place.map(|(i, n)| at * n + i));
            let Some(place) = place else {
                continue;
            };
            let slots = &mut out[place * c.size..][..c.size];
            for (slot, &update) in slots.iter_mut().zip(&updates[i * c.size..][..c.size]) {
                *slot = combine(*slot, update);
            }
        }
        Tensor::from_vec(x.elem(), x.shape().iter().copied(), out)
    }))
}

/// The first `count` elements along an axis in order, and their indices. Equals keep their order;
/// NaN counts as the greatest.
pub(super) fn sort(
    x: &Tensor,
    axis: usize,
    count: usize,
    descending: bool,
) -> OpResult<Vec<Tensor>> {
    let lanes = Lanes::new(x.shape(), axis);
    if count > lanes.count {
        return Err(OpError::new(format!(
            "`k` is {count}, but the axis has the extent {}",
            lanes.count
        )));
    }
    let mut shape = x.shape().to_vec();
    shape[axis] = count;
    let out_lanes = Lanes::new(&shape, axis);
    Ok(with_native!(x.elem(), T => {
        let values = x.values::<T>();
        let mut sorted = vec![T::from_num(Num::Int(0)); shape.iter().product()];
        let mut indices = vec![0i64; sorted.len()];
        for (start, to) in lanes.starts().zip(out_lanes.starts()) {
            let value = |i: usize| values[start + i * lanes.stride];
            let mut order: Vec<usize> = (0..lanes.count).collect();
            order.sort_by(|&i, &j| {
                let ordering = compare(value(i).to_num(), value(j).to_num());
                if descending { ordering.reverse() } else { ordering }
            });
            for (k, &i) in order.iter().take(count).enumerate() {
                sorted[to + k * out_lanes.stride] = value(i);
                indices[to + k * out_lanes.stride] = i as i64;
            }
        }
        vec![
            Tensor::from_vec(x.elem(), shape.iter().copied(), sorted),
            Tensor::from_vec(Elem::I64, shape.iter().copied(), indices),
        ]
    }))
}

/// A total order in which NaN is above all numbers and zeros are equal.
fn compare(a: Num, b: Num) -> Ordering {
    match (a, b) {
        (Num::Int(a), Num::Int(b)) => a.cmp(&b),
        (a, b) => {
            let (a, b) = (a.as_f64(), b.as_f64());
            let order = a.partial_cmp(&b);
            order.unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
        }
    }
}
