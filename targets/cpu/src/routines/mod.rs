//! Ops that neither a generated loop nor a microkernel computes: their reads or writes go where
//! data says, or they need memory of their own. Each is one routine, called by generated code.
//!
//! A routine gets integers that were made from the attributes of its op when it was compiled, and
//! a [`View`] of each operand and result, so that it serves any extents. Its parts run on several
//! threads at once and write disjoint elements; what they write does not depend on their number.
//!
//! Begin with [`ROUTINES`]; a routine is an `impl` of [`Body`] in the file of its family.

mod arithmetic;
mod fft;
mod gather;
pub(crate) mod measure;
mod non_zero;
mod order;
mod scan;
mod scatter;

use std::cell::Cell;
use std::ops::Range;

use lepid_ir::core::{Elem, Native, OpView, Shape};

/// One operand or result as a routine sees it. Generated code builds it on its stack.
#[repr(C)]
pub(crate) struct View {
    pub(crate) data: *mut u8,
    pub(crate) dims: *const i64,
    pub(crate) rank: i64,
    /// The index of the element type in [`Elem::ALL`].
    pub(crate) elem: i64,
}

/// `routine(attributes, operands, results, part, parts)`.
pub(crate) type Routine = unsafe extern "C" fn(
    attrs: *const i64,
    operands: *const View,
    results: *const View,
    part: usize,
    parts: usize,
);

/// A routine and the op that it computes.
pub(crate) struct RoutineDef {
    pub(crate) op: &'static str,
    /// What the routine needs to know of an op's attributes.
    pub(crate) describe: fn(OpView<'_>) -> Vec<i64>,
    run: Routine,
}

/// Every routine, sorted by the name of its op.
pub(crate) const ROUTINES: &[RoutineDef] = &[
    row::<order::ArgReduce>("tensor.arg_reduce"),
    row::<fft::Fft>("tensor.fft"),
    row::<gather::Gather>("tensor.gather"),
    row::<gather::GatherElements>("tensor.gather_elements"),
    row::<gather::GatherNd>("tensor.gather_nd"),
    row::<non_zero::NonZero>("tensor.non_zero"),
    row::<scan::Scan>("tensor.scan"),
    row::<scatter::ScatterElements>("tensor.scatter_elements"),
    row::<scatter::ScatterNd>("tensor.scatter_nd"),
    row::<order::Sort>("tensor.sort"),
    row::<order::TopK>("tensor.top_k"),
];

/// The addresses of the routines, for the support table.
pub(crate) const ADDRESSES: [Routine; ROUTINES.len()] = {
    let mut out = [ROUTINES[0].run; ROUTINES.len()];
    let mut i = 0;
    while i < out.len() {
        out[i] = ROUTINES[i].run;
        i += 1;
    }
    out
};

/// The number of an op's routine, if it has one.
pub(crate) fn number(op: &str) -> Option<usize> {
    ROUTINES.binary_search_by_key(&op, |r| r.op).ok()
}

const fn row<B: Body>(op: &'static str) -> RoutineDef {
    RoutineDef {
        op,
        describe: B::describe,
        run: enter::<B>,
    }
}

/// What a routine does.
trait Body {
    /// How many attributes, operands and results there are.
    const COUNTS: [usize; 3];

    /// The attributes as integers.
    fn describe(op: OpView<'_>) -> Vec<i64>;

    /// One part of the work.
    fn run(call: &Call<'_>);
}

/// A call of a routine.
struct Call<'a> {
    attrs: &'a [i64],
    operands: &'a [View],
    results: &'a [View],
    part: usize,
    parts: usize,
}

unsafe extern "C" fn enter<B: Body>(
    attrs: *const i64,
    operands: *const View,
    results: *const View,
    part: usize,
    parts: usize,
) {
    let [a, o, r] = B::COUNTS;
    // SAFETY: generated code passes as many attributes and views as the op has, on its stack.
    let call = unsafe {
        Call {
            attrs: std::slice::from_raw_parts(attrs, a),
            operands: std::slice::from_raw_parts(operands, o),
            results: std::slice::from_raw_parts(results, r),
            part,
            parts,
        }
    };
    B::run(&call);
}

impl Call<'_> {
    /// An attribute that is an axis or a count.
    fn size(&self, i: usize) -> usize {
        self.attrs[i] as usize
    }

    fn flag(&self, i: usize) -> bool {
        self.attrs[i] != 0
    }

    /// This part's share of `0..total`.
    fn share(&self, total: usize) -> Range<usize> {
        let bound = |part: usize| (total as u128 * part as u128 / self.parts as u128) as usize;
        bound(self.part)..bound(self.part + 1)
    }
}

impl View {
    fn elem(&self) -> Elem {
        Elem::ALL[self.elem as usize]
    }

    fn shape(&self) -> Shape {
        // SAFETY: generated code builds views with as many extents as their rank says.
        let dims = unsafe { std::slice::from_raw_parts(self.dims, self.rank as usize) };
        dims.iter().map(|&n| n as usize).collect()
    }

    /// The number of elements.
    fn len(&self) -> usize {
        self.shape().iter().product()
    }

    /// The elements of an operand.
    fn values<T: Native>(&self) -> &[T] {
        assert_eq!(size_of::<T>(), self.elem().bytes());
        // SAFETY: the place of a value holds all its elements, aligned, and nothing writes to an
        // operand while a routine runs.
        unsafe { std::slice::from_raw_parts(self.data.cast(), self.len()) }
    }

    /// The elements of a result, of which each part writes its own.
    fn cells<T: Native>(&self) -> &[Cell<T>] {
        assert_eq!(size_of::<T>(), self.elem().bytes());
        // SAFETY: as for `values`; a result overlaps no operand that is read, and no two parts touch
        // the same element.
        unsafe { std::slice::from_raw_parts(self.data.cast(), self.len()) }
    }

    /// The elements of an operand of indices.
    fn indices(&self) -> Indices<'_> {
        match self.elem() {
            Elem::I64 => Indices::Wide(self.values()),
            _ => Indices::Narrow(self.values()),
        }
    }
}

/// Indices of either width.
#[derive(Copy, Clone)]
enum Indices<'a> {
    Wide(&'a [i64]),
    Narrow(&'a [i32]),
}

impl Indices<'_> {
    fn get(self, i: usize) -> i64 {
        match self {
            Indices::Wide(list) => list[i],
            Indices::Narrow(list) => i64::from(list[i]),
        }
    }

    /// The index at `i`, brought into `0..count`, which is not empty.
    fn clamped(self, i: usize, count: usize) -> usize {
        usize::try_from(self.get(i)).unwrap_or(0).min(count - 1)
    }

    /// The index at `i`, if it is in `0..count`.
    fn inside(self, i: usize, count: usize) -> Option<usize> {
        usize::try_from(self.get(i)).ok().filter(|&at| at < count)
    }
}

/// The lanes of a tensor along an axis, counted in row-major order of their first elements.
struct Lanes {
    outer: usize,
    /// Elements of a lane, and the distance between them.
    count: usize,
    stride: usize,
}

impl Lanes {
    fn new(shape: &[usize], axis: usize) -> Lanes {
        Lanes {
            outer: shape[..axis].iter().product(),
            count: shape[axis],
            stride: shape[axis + 1..].iter().product(),
        }
    }

    /// The number of lanes.
    fn len(&self) -> usize {
        self.outer * self.stride
    }

    /// Where a lane begins.
    fn start(&self, lane: usize) -> usize {
        lane / self.stride * self.stride * self.count + lane % self.stride
    }

    /// Cuts a range of lanes where the next one does not begin beside the one before.
    fn runs(&self, lanes: Range<usize>) -> impl Iterator<Item = Range<usize>> {
        let (mut at, stride) = (lanes.start, self.stride);
        std::iter::from_fn(move || {
            let end = lanes.end.min((at / stride.max(1) + 1) * stride);
            let run = at..end;
            at = end;
            (!run.is_empty()).then_some(run)
        })
    }

    /// The places of the elements number `i` of a run of lanes.
    fn row(&self, run: &Range<usize>, i: usize) -> Range<usize> {
        let start = self.start(run.start) + i * self.stride;
        start..start + run.len()
    }
}

/// The distance between neighbours along each axis.
fn strides(shape: &[usize]) -> Shape {
    let mut out: Shape = shape.into();
    let mut stride = 1;
    for (step, &n) in out.iter_mut().zip(shape).rev() {
        *step = stride;
        stride *= n;
    }
    out
}

/// Where the element number `at` of a shape stands among others, by their strides.
fn offset(mut at: usize, shape: &[usize], strides: &[usize]) -> usize {
    let mut sum = 0;
    for (&n, &stride) in shape.iter().zip(strides).rev() {
        sum += at % n * stride;
        at /= n;
    }
    sum
}

/// Copies elements to a result.
fn copy<T: Native>(to: &[Cell<T>], from: &[T]) {
    assert_eq!(to.len(), from.len());
    // SAFETY: both have this length, and a result overlaps no operand.
    unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), to.as_ptr() as *mut T, from.len()) }
}

/// Runs `$body` with `$t` standing for an unsigned integer of that many bytes: only the size of an
/// element matters to a copy.
macro_rules! with_size {
    ($bytes:expr, $t:ident => $body:expr) => {
        match $bytes {
            1 => {
                type $t = u8;
                $body
            }
            2 => {
                type $t = u16;
                $body
            }
            4 => {
                type $t = u32;
                $body
            }
            _ => {
                type $t = u64;
                $body
            }
        }
    };
}
use with_size;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_sorted_by_name() {
        assert!(ROUTINES.is_sorted_by(|a, b| a.op < b.op));
    }

    #[test]
    fn an_element_type_is_its_place_in_the_list() {
        for (i, elem) in Elem::ALL.into_iter().enumerate() {
            assert_eq!(elem as usize, i);
        }
    }

    #[test]
    fn runs_cover_lanes_within_blocks() {
        let lanes = Lanes::new(&[2, 3, 4], 1);
        let runs: Vec<_> = lanes.runs(1..7).collect();
        assert_eq!(runs, [1..4, 4..7]);
        assert_eq!(lanes.row(&(4..7), 2), 20..23);
        assert_eq!(Lanes::new(&[2, 0], 0).runs(0..0).count(), 0);
    }
}
