//! Reading at computed indices. An index that is out of range is clamped.

use std::cell::Cell;

use lepid_ir::core::{Native, Num, OpView};
use lepid_ir::dialects::tensor;

use super::{Body, Call, copy, offset, strides, with_size};

/// `tensor.gather`: takes whole rows behind the axis.
pub(super) struct Gather;

impl Body for Gather {
    const COUNTS: [usize; 3] = [1, 2, 1];

    fn describe(op: OpView<'_>) -> Vec<i64> {
        vec![tensor::Gather::axis(op)]
    }

    fn run(call: &Call<'_>) {
        with_size!(call.results[0].elem().bytes(), T => gather::<T>(call))
    }
}

fn gather<T: Native>(call: &Call<'_>) {
    let axis = call.size(0);
    let shape = call.operands[0].shape();
    let (count, row) = (shape[axis], shape[axis + 1..].iter().product::<usize>());
    let x = call.operands[0].values::<T>();
    let out = call.results[0].cells::<T>();
    if out.is_empty() || count == 0 {
        return zero(call, out);
    }
    let indices = call.operands[1].indices();
    let places = call.operands[1].len();
    let mut rest = call.share(out.len() / row);
    while !rest.is_empty() {
        // One pass over the indices, or the part of it that is ours.
        let outer = rest.start / places;
        let pass = rest.start..rest.end.min((outer + 1) * places);
        rest.start = pass.end;
        for at in pass {
            let place = outer * count + indices.clamped(at - outer * places, count);
            match row {
                1 => out[at].set(x[place]),
                _ => copy(&out[at * row..][..row], &x[place * row..][..row]),
            }
        }
    }
}

/// What there is nothing to read for is zero.
fn zero<T: Native>(call: &Call<'_>, out: &[Cell<T>]) {
    for cell in &out[call.share(out.len())] {
        cell.set(T::from_num(Num::Int(0)));
    }
}

/// `tensor.gather_elements`: one element for each index.
pub(super) struct GatherElements;

impl Body for GatherElements {
    const COUNTS: [usize; 3] = [1, 2, 1];

    fn describe(op: OpView<'_>) -> Vec<i64> {
        vec![tensor::GatherElements::axis(op)]
    }

    fn run(call: &Call<'_>) {
        with_size!(call.results[0].elem().bytes(), T => gather_elements::<T>(call))
    }
}

fn gather_elements<T: Native>(call: &Call<'_>) {
    let axis = call.size(0);
    let (from, shape) = (call.operands[0].shape(), call.results[0].shape());
    let out = call.results[0].cells::<T>();
    if out.is_empty() || from[axis] == 0 {
        return zero(call, out);
    }
    let x = call.operands[0].values::<T>();
    let indices = call.operands[1].indices();
    let mut steps = strides(&from);
    let along = std::mem::take(&mut steps[axis]);
    let last = shape.len() - 1;
    let (row, step) = (shape[last], steps[last]);
    for r in call.share(out.len() / row) {
        let base = offset(r, &shape[..last], &steps);
        for i in 0..row {
            let index = indices.clamped(r * row + i, from[axis]);
            out[r * row + i].set(x[base + index * along + i * step]);
        }
    }
}

/// `tensor.gather_nd`: takes whole slices behind the axes that a coordinate names.
pub(super) struct GatherNd;

impl Body for GatherNd {
    const COUNTS: [usize; 3] = [1, 2, 1];

    fn describe(op: OpView<'_>) -> Vec<i64> {
        vec![tensor::GatherNd::batch(op)]
    }

    fn run(call: &Call<'_>) {
        with_size!(call.results[0].elem().bytes(), T => gather_nd::<T>(call))
    }
}

fn gather_nd<T: Native>(call: &Call<'_>) {
    let batch = call.size(0);
    let (from, shape) = (call.operands[0].shape(), call.operands[1].shape());
    let (depth, places) = match shape.split_last() {
        Some((&depth, places)) => (depth, places),
        None => return,
    };
    let (extents, slice) = from[batch..].split_at(depth);
    let out = call.results[0].cells::<T>();
    if out.is_empty() || extents.contains(&0) {
        return zero(call, out);
    }
    let x = call.operands[0].values::<T>();
    let indices = call.operands[1].indices();
    let size: usize = slice.iter().product();
    let block: usize = extents.iter().product();
    let per_batch: usize = places[batch..].iter().product();
    for at in call.share(out.len() / size) {
        let coordinates = extents.iter().enumerate();
        let place = coordinates.fold(0, |place, (i, &n)| {
            place * n + indices.clamped(at * depth + i, n)
        });
        let place = at / per_batch * block + place;
        copy(&out[at * size..][..size], &x[place * size..][..size]);
    }
}
