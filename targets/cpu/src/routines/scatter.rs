//! Writing at computed indices. What an index that is out of range would write is dropped.
//!
//! Each part owns a range of the result: it copies that from the operand and then applies, in
//! order, the updates that meet it. A state that changes in place is operand and result: then there
//! is nothing to copy.

use std::cell::Cell;
use std::ops::Range;

use lepid_ir::core::{Elem, OpView};
use lepid_ir::dialects::tensor::{self, ScatterKind};
use lepid_ir::with_native;

use super::arithmetic::Number;
use super::{Body, Call, copy, offset, strides};

/// `tensor.scatter_elements`: one element for each index.
pub(super) struct ScatterElements;

impl Body for ScatterElements {
    const COUNTS: [usize; 3] = [2, 3, 1];

    fn describe(op: OpView<'_>) -> Vec<i64> {
        let kind = kind_number(tensor::ScatterElements::kind(op));
        vec![kind, tensor::ScatterElements::axis(op)]
    }

    fn run(call: &Call<'_>) {
        let elem = call.results[0].elem();
        with_native!(elem, T => with_kind!(call, T, elem, combine => scatter_elements::<T>(call, combine)))
    }
}

/// `tensor.scatter_nd`: a slice for each coordinate.
pub(super) struct ScatterNd;

impl Body for ScatterNd {
    const COUNTS: [usize; 3] = [1, 3, 1];

    fn describe(op: OpView<'_>) -> Vec<i64> {
        vec![kind_number(tensor::ScatterNd::kind(op))]
    }

    fn run(call: &Call<'_>) {
        let elem = call.results[0].elem();
        with_native!(elem, T => with_kind!(call, T, elem, combine => scatter_nd::<T>(call, combine)))
    }
}

fn kind_number(name: &str) -> i64 {
    let at = ScatterKind::ALL.iter().position(|k| k.name() == name);
    match at {
        Some(at) => at as i64,
        None => lepid_ir::bug!("a scatter of the kind `{name}` passed the verifier"),
    }
}

/// Runs `$body` with `$combine` as the function that the first attribute names.
macro_rules! with_kind {
    ($call:expr, $t:ident, $elem:expr, $combine:ident => $body:expr) => {{
        let elem: Elem = $elem;
        match ScatterKind::ALL[$call.size(0)] {
            ScatterKind::Set => {
                let $combine = |_: $t, new: $t| new;
                $body
            }
            ScatterKind::Add => {
                let $combine = |old: $t, new: $t| narrowed(old, new, elem, <$t as Number>::add);
                $body
            }
            ScatterKind::Mul => {
                let $combine = |old: $t, new: $t| narrowed(old, new, elem, <$t as Number>::mul);
                $body
            }
            ScatterKind::Max => {
                let $combine = |old: $t, new: $t| narrowed(old, new, elem, <$t as Number>::greater);
                $body
            }
            ScatterKind::Min => {
                let $combine = |old: $t, new: $t| narrowed(old, new, elem, <$t as Number>::lesser);
                $body
            }
        }
    }};
}
use with_kind;

fn narrowed<T: Number>(old: T, new: T, elem: Elem, f: impl Fn(T::Wide, T::Wide) -> T::Wide) -> T {
    T::narrow(f(old.widen(), new.widen()), elem)
}

/// This part's rows of the result, copied from the operand unless they are its own.
fn own_rows<'a, T: Number>(
    call: &Call<'a>,
    rows: usize,
    row: usize,
) -> (Range<usize>, &'a [Cell<T>]) {
    let out = call.results[0].cells::<T>();
    let own = call.share(rows);
    if call.operands[0].data != call.results[0].data {
        let x = call.operands[0].values::<T>();
        let elements = own.start * row..own.end * row;
        copy(&out[elements.clone()], &x[elements]);
    }
    (own, out)
}

fn scatter_elements<T: Number>(call: &Call<'_>, combine: impl Fn(T, T) -> T) {
    let axis = call.size(1);
    let (to, shape) = (call.results[0].shape(), call.operands[1].shape());
    let mut steps = strides(&to);
    let (own, out) = own_rows::<T>(call, to[0], steps[0]);
    let indices = call.operands[1].indices();
    let updates = call.operands[2].values::<T>();
    if updates.is_empty() {
        return;
    }
    let along = std::mem::take(&mut steps[axis]);
    // Along the first axis the indices say whose an update is; along others, its row does.
    let allowed = match axis {
        0 => own.clone(),
        _ => 0..to[axis],
    };
    let first = match axis {
        0 => 0..shape[0],
        _ => own.start..own.end.min(shape[0]),
    };
    let last = shape.len() - 1;
    let (row, step) = (shape[last], steps[last]);
    let rows = |n: usize| match last {
        0 => n.min(1),
        _ => n * shape[1..last].iter().product::<usize>(),
    };
    for r in rows(first.start)..rows(first.end) {
        let base = offset(r, &shape[..last], &steps);
        for i in 0..row {
            let index = indices.inside(r * row + i, to[axis]);
            if let Some(index) = index.filter(|i| allowed.contains(i)) {
                let place = &out[base + index * along + i * step];
                place.set(combine(place.get(), updates[r * row + i]));
            }
        }
    }
}

fn scatter_nd<T: Number>(call: &Call<'_>, combine: impl Fn(T, T) -> T) {
    let (to, shape) = (call.results[0].shape(), call.operands[1].shape());
    let depth = shape.last().copied().unwrap_or(0);
    let (extents, slice) = to.split_at(depth);
    let size: usize = slice.iter().product();
    let (own, out) = own_rows::<T>(call, extents.iter().product(), size);
    let indices = call.operands[1].indices();
    let updates = call.operands[2].values::<T>();
    let count: usize = shape[..shape.len().saturating_sub(1)].iter().product();
    for at in 0..count {
        let mut coordinates = extents.iter().enumerate();
        let place = coordinates.try_fold(0, |place, (i, &n)| {
            Some(place * n + indices.inside(at * depth + i, n)?)
        });
        if let Some(place) = place.filter(|p| own.contains(p)) {
            let slots = &out[place * size..][..size];
            for (slot, &update) in slots.iter().zip(&updates[at * size..][..size]) {
                slot.set(combine(slot.get(), update));
            }
        }
    }
}
