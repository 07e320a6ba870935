//! Reference kernels that fold: reduce, scan, window, contract.

use crate::core::{Elem, Native, Num, OpError, OpResult, Tensor};
use crate::dialects::tensor::binary::{float_max, float_min};
use crate::dialects::tensor::contract::ContractAxes;
use crate::dialects::tensor::kernel::{self, Lanes};
use crate::dialects::tensor::reduce::ReduceKind;
use crate::dialects::tensor::shapes::WindowAxis;
use crate::with_native;

impl ReduceKind {
    /// Folds two floats.
    pub fn on_float(self) -> fn(f64, f64) -> f64 {
        match self {
            ReduceKind::Sum => |x, y| x + y,
            ReduceKind::Prod => |x, y| x * y,
            ReduceKind::Max | ReduceKind::Any => float_max,
            ReduceKind::Min | ReduceKind::All => float_min,
        }
    }

    /// Folds two integers or truth values.
    pub fn on_int(self) -> fn(i128, i128) -> i128 {
        match self {
            ReduceKind::Sum => i128::wrapping_add,
            ReduceKind::Prod => i128::wrapping_mul,
            ReduceKind::Max | ReduceKind::Any => i128::max,
            ReduceKind::Min | ReduceKind::All => i128::min,
        }
    }

    /// What folding nothing gives.
    pub fn neutral(self, elem: Elem) -> Num {
        let (least, greatest) = kernel::extremes(elem);
        match self {
            ReduceKind::Sum => Num::Int(0),
            ReduceKind::Prod => Num::Int(1),
            ReduceKind::Max | ReduceKind::Any => least,
            ReduceKind::Min | ReduceKind::All => greatest,
        }
    }
}

/// A number type that a fold runs in: `f64` for floats, `i128` for all others.
trait Carrier: Copy {
    fn of(num: Num) -> Self;
    fn num(self) -> Num;
    fn fold(kind: ReduceKind) -> fn(Self, Self) -> Self;
}

impl Carrier for f64 {
    fn of(num: Num) -> f64 {
        num.as_f64()
    }
    fn num(self) -> Num {
        Num::Float(self)
    }
    fn fold(kind: ReduceKind) -> fn(f64, f64) -> f64 {
        kind.on_float()
    }
}

impl Carrier for i128 {
    fn of(num: Num) -> i128 {
        num.as_i128()
    }
    fn num(self) -> Num {
        Num::Int(self)
    }
    fn fold(kind: ReduceKind) -> fn(i128, i128) -> i128 {
        kind.on_int()
    }
}

/// Runs `$body` with `$t` as the storage and `$c` as the carrier of an element type.
macro_rules! with_carrier {
    ($elem:expr, $t:ident, $c:ident => $body:expr) => {
        with_native!($elem, $t => match $elem.is_float() {
            true => {
                type $c = f64;
                $body
            }
            false => {
                type $c = i128;
                $body
            }
        })
    };
}

/// Folds axes and drops them.
pub(super) fn reduce(x: &Tensor, kind: ReduceKind, axes: &[usize]) -> Tensor {
    let mut order: Vec<usize> = (0..x.rank()).filter(|a| !axes.contains(a)).collect();
    let shape: Vec<usize> = order.iter().map(|&a| x.shape()[a]).collect();
    let mut folded = axes.to_vec();
    folded.sort_unstable();
    let size: usize = folded.iter().map(|&a| x.shape()[a]).product();
    order.extend(folded);
    let x = kernel::transpose(x, &order);
    with_carrier!(x.elem(), T, C => {
        let fold = C::fold(kind);
        let neutral = C::of(kind.neutral(x.elem()));
        let values = x.values::<T>();
        let rows = (0..shape.iter().product()).map(|i: usize| {
            let row = &values[i * size..][..size];
            row.iter().fold(neutral, |acc, v| fold(acc, C::of(v.to_num()))).num()
        });
        Tensor::from_nums(x.elem(), shape.iter().copied(), rows)
    })
}

/// The index of the greatest or smallest element along an axis.
pub(super) fn arg_reduce(
    x: &Tensor,
    kind: ReduceKind,
    axis: usize,
    last: bool,
) -> OpResult<Tensor> {
    let lanes = Lanes::new(x.shape(), axis);
    if lanes.count == 0 {
        return Err(OpError::new(
            "an empty axis has no greatest or smallest element",
        ));
    }
    let mut shape = x.shape().to_vec();
    shape.remove(axis);
    let nums = x.nums();
    // Whether `a` displaces `b`, which comes before it.
    let displaces = |a: Num, b: Num| match (a, b) {
        (Num::Int(a), Num::Int(b)) => better(kind, last, a, b),
        (a, b) => match (a.as_f64(), b.as_f64()) {
            (a, b) if b.is_nan() => last && a.is_nan(),
            (a, _) if a.is_nan() => true,
            (a, b) => better(kind, last, a, b),
        },
    };
    let index = |start: usize| {
        let mut best = 0;
        for i in 1..lanes.count {
            if displaces(
                nums[start + i * lanes.stride],
                nums[start + best * lanes.stride],
            ) {
                best = i;
            }
        }
        best as i64
    };
    let values: Vec<i64> = lanes.starts().map(index).collect();
    Ok(Tensor::from_vec(Elem::I64, shape, values))
}

fn better<T: PartialOrd>(kind: ReduceKind, last: bool, a: T, b: T) -> bool {
    match kind {
        _ if a == b => last,
        ReduceKind::Min | ReduceKind::All => a < b,
        ReduceKind::Max | ReduceKind::Any | ReduceKind::Sum | ReduceKind::Prod => a > b,
    }
}

/// A running fold along an axis.
pub(super) struct Scan {
    pub(super) kind: ReduceKind,
    pub(super) axis: usize,
    pub(super) exclusive: bool,
    pub(super) reverse: bool,
}

impl Scan {
    pub(super) fn run(&self, x: &Tensor) -> Tensor {
        let lanes = Lanes::new(x.shape(), self.axis);
        with_carrier!(x.elem(), T, C => {
            let fold = C::fold(self.kind);
            let neutral = C::of(self.kind.neutral(x.elem()));
            let values = x.values::<T>();
            let mut out: Vec<Num> = vec![Num::Int(0); values.len()];
            for start in lanes.starts() {
                let mut acc = neutral;
                for i in 0..lanes.count {
                    let i = if self.reverse { lanes.count - 1 - i } else { i };
                    let at = start + i * lanes.stride;
                    let next = fold(acc, C::of(values[at].to_num()));
                    out[at] = if self.exclusive { acc.num() } else { next.num() };
                    acc = next;
                }
            }
            Tensor::from_nums(x.elem(), x.shape().iter().copied(), out)
        })
    }
}

/// Folds a sliding window. The caller has checked the size of the result.
pub(super) fn window(x: &Tensor, kind: ReduceKind, axes: &[WindowAxis]) -> Tensor {
    let extent =
        |(w, &n): (&WindowAxis, &usize)| w.extent((n as u64).into()).known().unwrap_or(0) as usize;
    let shape: Vec<usize> = axes.iter().zip(x.shape()).map(extent).collect();
    let strides = kernel::strides(x.shape());
    // The offsets that the window covers along each axis, at each of its positions there.
    let cover: Vec<Vec<Vec<usize>>> = (0..shape.len())
        .map(|a| {
            let offsets = |i: usize| {
                let places = axes[a].covered(i, x.shape()[a]);
                places
                    .into_iter()
                    .map(|p| p * strides[a] as usize)
                    .collect()
            };
            (0..shape[a]).map(offsets).collect()
        })
        .collect();
    with_carrier!(x.elem(), T, C => {
        let fold = C::fold(kind);
        let neutral = C::of(kind.neutral(x.elem()));
        let values = x.values::<T>();
        let count: usize = shape.iter().product();
        let mut index = vec![0usize; shape.len()];
        let mut nums = Vec::with_capacity(count);
        let mut places: Vec<&[usize]> = vec![&[]; shape.len()];
        for _ in 0..count {
            for (axis, &i) in index.iter().enumerate() {
                places[axis] = &cover[axis][i];
            }
            let mut acc = neutral;
            visit(&places, 0, &mut |at| acc = fold(acc, C::of(values[at].to_num())));
            nums.push(acc.num());
            advance(&mut index, &shape);
        }
        Tensor::from_nums(x.elem(), shape.iter().copied(), nums)
    })
}

impl WindowAxis {
    /// The places in `0..n` that the window covers at its position `i`.
    pub fn covered(&self, i: usize, n: usize) -> Vec<usize> {
        let start = i as i128 * i128::from(self.stride) - i128::from(self.low);
        let dilation = i128::from(self.dilation.max(1));
        let first =
            (-start).max(0).div_euclid(dilation) + i128::from((-start).max(0) % dilation > 0);
        let inside = n as i128 - start;
        let end = if inside > 0 {
            (inside - 1) / dilation + 1
        } else {
            0
        };
        let taps = first..end.min(i128::from(self.size));
        taps.map(|k| (start + k * dilation) as usize).collect()
    }
}

/// Calls `each` with every sum of one offset per axis.
fn visit(places: &[&[usize]], base: usize, each: &mut impl FnMut(usize)) {
    match places {
        [] => each(base),
        [last] => last.iter().for_each(|p| each(base + p)),
        [first, rest @ ..] => first.iter().for_each(|p| visit(rest, base + p, each)),
    }
}

/// Steps an index to the next place in row-major order.
pub(super) fn advance(index: &mut [usize], shape: &[usize]) {
    for (i, &n) in index.iter_mut().zip(shape).rev() {
        *i += 1;
        if *i < n {
            return;
        }
        *i = 0;
    }
}

/// Sums products over paired axes.
pub(super) fn contract(
    x: &Tensor,
    y: &Tensor,
    axes: &ContractAxes,
    elem: Elem,
) -> OpResult<Tensor> {
    for (of_x, of_y) in [
        (&axes.batch_x, &axes.batch_y),
        (&axes.contract_x, &axes.contract_y),
    ] {
        for (&a, &b) in of_x.iter().zip(of_y) {
            if x.shape()[a] != y.shape()[b] {
                return Err(OpError::new(format!(
                    "axis {a} of `x` has the extent {}, but axis {b} of `y` has {}",
                    x.shape()[a],
                    y.shape()[b]
                )));
            }
        }
    }
    let size = |t: &Tensor, axes: &[usize]| axes.iter().map(|&a| t.shape()[a]).product::<usize>();
    let (batch, k) = (size(x, &axes.batch_x), size(x, &axes.contract_x));
    let (m, n) = (size(x, &axes.free_x), size(y, &axes.free_y));
    let mut shape: Vec<usize> = axes.batch_x.iter().map(|&a| x.shape()[a]).collect();
    shape.extend(axes.free_x.iter().map(|&a| x.shape()[a]));
    shape.extend(axes.free_y.iter().map(|&a| y.shape()[a]));
    kernel::checked_count(Elem::F64, shape.iter().map(|&n| n as u64))?;
    let rows = [&axes.batch_x[..], &axes.free_x, &axes.contract_x].concat();
    let columns = [&axes.batch_y[..], &axes.contract_y, &axes.free_y].concat();
    let (x, y) = (kernel::transpose(x, &rows), kernel::transpose(y, &columns));
    if elem.is_float() {
        let (a, b) = (x.to_f64s(), y.to_f64s());
        let mut out = vec![0f64; batch * m * n];
        for i in 0..batch {
            let (a, b) = (&a[i * m * k..][..m * k], &b[i * k * n..][..k * n]);
            gemm(a, b, &mut out[i * m * n..][..m * n], n);
        }
        return Ok(Tensor::from_f64s(elem, shape, out));
    }
    // The low 64 bits of a sum of products depend on the low 64 bits of the factors alone.
    let (a, b) = (wrapped(&x), wrapped(&y));
    let mut out = vec![0i64; batch * m * n];
    for i in 0..batch {
        let (a, b) = (&a[i * m * k..][..m * k], &b[i * k * n..][..k * n]);
        for (row, out) in out[i * m * n..][..m * n].chunks_mut(n.max(1)).enumerate() {
            for (j, &a) in a[row * k..][..k].iter().enumerate() {
                for (out, &b) in out.iter_mut().zip(&b[j * n..][..n]) {
                    *out = out.wrapping_add(a.wrapping_mul(b));
                }
            }
        }
    }
    let nums = out.into_iter().map(|x| Num::Int(i128::from(x)));
    Ok(Tensor::from_nums(elem, shape, nums))
}

fn wrapped(x: &Tensor) -> Vec<i64> {
    let wrap = |num: Num| num.as_i128() as i64;
    with_native!(x.elem(), T => x.values::<T>().iter().map(|v| wrap(v.to_num())).collect())
}

/// `out += a b` for row-major matrices, where `b` and `out` have `n` columns. Each sum runs in the
/// order of the terms, so the result does not depend on the number of threads.
pub fn gemm(a: &[f64], b: &[f64], out: &mut [f64], n: usize) {
    if n == 0 || out.is_empty() || b.is_empty() {
        return;
    }
    let (m, k) = (out.len() / n, b.len() / n);
    const BLOCK: usize = 64;
    let work = |first: usize, out: &mut [f64]| {
        // A block of terms stays in the cache for all rows, and four rows share each pass over it.
        for block in (0..k).step_by(BLOCK) {
            for (i, rows) in out.chunks_mut(4 * n).enumerate() {
                let row = first + 4 * i;
                for j in block..k.min(block + BLOCK) {
                    let terms = &b[j * n..][..n];
                    for (r, out) in rows.chunks_mut(n).enumerate() {
                        let factor = a[(row + r) * k + j];
                        for (out, term) in out.iter_mut().zip(terms) {
                            *out += factor * term;
                        }
                    }
                }
            }
        }
    };
    // A thread costs about as much as this many products.
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = threads.min(m * n * k / 200_000).min(m).max(1);
    if threads == 1 {
        return work(0, out);
    }
    let share = m.div_ceil(threads);
    std::thread::scope(|scope| {
        for (i, out) in out.chunks_mut(share * n).enumerate() {
            let work = &work;
            scope.spawn(move || work(i * share, out));
        }
    });
}
