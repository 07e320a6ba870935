//! The places of the maxima under a window, which `MaxPool` may give beside them.

use lepid_ir::core::{Attr, Dim, Elem, Num, OpDef, OpResult, Tensor, Value};
use lepid_ir::dialects::tensor::{self, build};

use crate::frontends::onnx::cx::{Cx, unsupported};

/// A window along one axis: which element each of its places reads at each step.
pub(super) struct Reads {
    /// The extent of the axis.
    pub(super) extent: i64,
    pub(super) steps: i64,
    pub(super) kernel: i64,
    pub(super) stride: i64,
    pub(super) dilation: i64,
    pub(super) low: i64,
}

impl Reads {
    /// The elements by step and place; those outside of the axis are out of range.
    fn places(&self) -> impl Iterator<Item = i64> {
        let (stride, dilation, low, kernel) = (self.stride, self.dilation, self.low, self.kernel);
        let place = move |step: i64, k: i64| {
            let start = step.saturating_mul(stride).saturating_sub(low);
            start.saturating_add(k.saturating_mul(dilation))
        };
        (0..self.steps).flat_map(move |step| (0..kernel).map(move |k| place(step, k)))
    }
}

/// A table of more reads than this is not worth a constant.
const READ_LIMIT: i64 = 1 << 24;

/// The index of the first maximum of each window, counted through the whole of `x`; the last spatial
/// axis counts fastest, or the first if `column_major`.
pub(super) fn places(
    cx: &mut Cx<'_, '_, '_, '_>,
    x: Value,
    reads: &[Reads],
    column_major: bool,
) -> OpResult<Value> {
    let count = product(reads.iter().map(|r| r.steps.saturating_mul(r.kernel)));
    if count > READ_LIMIT {
        return Err(unsupported(
            "there are too many windows to find the places of maxima",
        ));
    }
    let windows = windows(cx, x, reads)?;
    let rank = reads.len();
    let attrs = [("kind", "max".into()), ("axis", Attr::Int(2 + rank as i64))];
    let place = cx.op(&tensor::ArgReduce, &[windows], &attrs)?;
    flat_index(cx, place, reads, column_major)
}

/// Batch, channel, steps, and all places of the window in one axis; the lowest value outside.
fn windows(cx: &mut Cx<'_, '_, '_, '_>, x: Value, reads: &[Reads]) -> OpResult<Value> {
    let (dims, elem, rank) = (cx.dims(x)?, cx.elem(x)?, reads.len());
    let lowest = match elem.is_float() {
        true => Num::Float(f64::NEG_INFINITY),
        false if elem.is_signed_int() => Num::Int(-(1i128 << (elem.bits() - 1))),
        false => Num::Int(0),
    };
    let lowest = cx.constant(Tensor::scalar(elem, lowest))?;
    let mut y = x;
    for (i, read) in reads.iter().enumerate() {
        let shape = [read.steps as usize, read.kernel as usize];
        let inside = |p: i64| p.clamp(0, read.extent - 1);
        let table = Tensor::from_i64s(read.places().map(inside)).reshaped(shape);
        let table = cx.constant(table)?;
        // Each axis before this one has become two.
        let axis = 2 + 2 * i;
        y = build::gather(cx.b, y, table, axis)?;
        let valid = read.places().map(|p| (0..read.extent).contains(&p));
        let valid = Tensor::from_nums(Elem::Bool, shape, valid.map(|v| Num::Int(v.into())));
        let valid = cx.constant(valid)?;
        let trailing: Vec<usize> = (2..cx.rank(y)? - axis).collect();
        let valid = build::unsqueeze(cx.b, valid, &trailing)?;
        y = cx.select(valid, y, lowest)?;
    }
    let steps = (0..rank).map(|i| 2 + 2 * i);
    let places = (0..rank).map(|i| 3 + 2 * i);
    let perm: Vec<usize> = [0, 1].into_iter().chain(steps).chain(places).collect();
    let y = cx.transpose(y, &perm)?;
    let all = product(reads.iter().map(|r| r.kernel));
    let steps = reads.iter().map(|r| Dim::Known(r.steps as u64));
    let to: Vec<Dim> = dims[..2]
        .iter()
        .copied()
        .chain(steps)
        .chain([Dim::Known(all as u64)])
        .collect();
    cx.reshape(y, &to)
}

/// The index in `x` of the place in the window at each step.
fn flat_index(
    cx: &mut Cx<'_, '_, '_, '_>,
    place: Value,
    reads: &[Reads],
    column_major: bool,
) -> OpResult<Value> {
    let dims = cx.dims(place)?;
    let area = product(reads.iter().map(|r| r.extent));
    let mut sum = None;
    let mut add = |cx: &mut Cx<'_, '_, '_, '_>, term: Value| -> OpResult<()> {
        sum = Some(match sum {
            Some(sum) => cx.binary(&tensor::Add, sum, term)?,
            None => term,
        });
        Ok(())
    };
    let channels = dims[1]
        .known()
        .ok_or_else(|| unsupported("the number of channels is open"))?;
    for (axis, factor) in [(0, area.saturating_mul(channels as i64)), (1, area)] {
        let index = build::iota(cx.b, &dims, axis, Elem::I64)?;
        let term = scaled(cx, index, factor)?;
        add(cx, term)?;
    }
    for (i, read) in reads.iter().enumerate() {
        let faster = product(reads[i + 1..].iter().map(|r| r.kernel));
        let within = with_number(cx, place, &tensor::Div, faster)?;
        let within = with_number(cx, within, &tensor::Rem, read.kernel)?;
        let step = build::iota(cx.b, &dims, 2 + i, Elem::I64)?;
        let start = scaled(cx, step, read.stride)?;
        let reach = scaled(cx, within, read.dilation)?;
        let at = cx.binary(&tensor::Add, start, reach)?;
        let low = cx.number(Elem::I64, read.low as f64)?;
        let at = cx.binary(&tensor::Sub, at, low)?;
        let weight = match column_major {
            true => product(reads[..i].iter().map(|r| r.extent)),
            false => product(reads[i + 1..].iter().map(|r| r.extent)),
        };
        let term = scaled(cx, at, weight)?;
        add(cx, term)?;
    }
    sum.ok_or_else(|| unsupported("there is no spatial axis"))
}

fn product(extents: impl Iterator<Item = i64>) -> i64 {
    extents.fold(1, i64::saturating_mul)
}

fn scaled(cx: &mut Cx<'_, '_, '_, '_>, x: Value, factor: i64) -> OpResult<Value> {
    with_number(cx, x, &tensor::Mul, factor)
}

/// An op with a number on the right.
fn with_number(
    cx: &mut Cx<'_, '_, '_, '_>,
    x: Value,
    def: &'static dyn OpDef,
    number: i64,
) -> OpResult<Value> {
    let number = cx.constant(Tensor::from_i64s([number]).reshaped([]))?;
    cx.binary(def, x, number)
}
