//! Reference kernels that compute element by element or only move elements.

use crate::core::{Dim, Elem, Limits, Native, Num, OpError, OpResult, Shape, Tensor};
use crate::dialects::tensor::binary::Direction;
use crate::dialects::tensor::dynamic::PadMode;
use crate::dialects::tensor::shapes;
use crate::with_native;

/// The largest tensor that the reference makes. A model that asks for more has a broken shape.
const MAX_BYTES: usize = Limits::MEMORY.default as usize;

/// The number of elements of a new tensor; an error if it is absurdly large, or would be if no
/// extent were 0: strides and sizes of parts are computed for empty tensors, too.
pub fn checked_count(elem: Elem, shape: impl IntoIterator<Item = u64>) -> OpResult<usize> {
    let mut empty = false;
    let count = shape.into_iter().try_fold(1usize, |n, d| {
        empty |= d == 0;
        n.checked_mul(usize::try_from(d.max(1)).ok()?)
    });
    let count = count.filter(|n| {
        n.checked_mul(elem.bytes())
            .is_some_and(|bytes| bytes <= MAX_BYTES)
    });
    match count {
        Some(count) => Ok(if empty { 0 } else { count }),
        None => Err(OpError::new("the result is larger than a tensor can be")),
    }
}

fn count_of(elem: Elem, shape: &[usize]) -> OpResult<usize> {
    checked_count(elem, shape.iter().map(|&n| n as u64))
}

pub(crate) fn same_shape(x: &Tensor, y: &Tensor) -> OpResult<()> {
    match x.shape() == y.shape() {
        true => Ok(()),
        false => Err(OpError::new(format!(
            "operands have the shapes {:?} and {:?}, but must agree",
            x.shape(),
            y.shape()
        ))),
    }
}

/// Applies a function to each element.
pub(super) fn map(
    x: &Tensor,
    float: Option<fn(f64) -> f64>,
    int: Option<fn(i128) -> i128>,
) -> OpResult<Tensor> {
    let shape = x.shape().iter().copied();
    match (x.elem().is_float(), float, int) {
        (true, Some(f), _) => Ok(x.map(f)),
        (false, _, Some(f)) => Ok(with_native!(x.elem(), T => {
            let values = x.values::<T>();
            let nums = values.iter().map(|v| Num::Int(f(v.to_num().as_i128())));
            Tensor::from_nums(x.elem(), shape, nums)
        })),
        _ => Err(no_meaning(x.elem())),
    }
}

fn no_meaning(elem: Elem) -> OpError {
    OpError::new(format!("the op has no meaning for elements of `{elem}`"))
}

/// Tests each element, a float.
pub(super) fn test(x: &Tensor, holds: impl Fn(f64) -> bool) -> Tensor {
    let values: Vec<u8> = x
        .to_f64s()
        .into_iter()
        .map(|x| u8::from(holds(x)))
        .collect();
    Tensor::from_vec(Elem::Bool, x.shape().iter().copied(), values)
}

/// Applies a function to each pair of elements.
pub(super) fn zip(
    x: &Tensor,
    y: &Tensor,
    float: Option<fn(f64, f64) -> f64>,
    int: Option<fn(i128, i128) -> i128>,
) -> OpResult<Tensor> {
    same_shape(x, y)?;
    let shape = x.shape().iter().copied();
    with_native!(x.elem(), T => {
        let (a, b) = (x.values::<T>(), y.values::<T>());
        let pairs = a.iter().zip(b.iter());
        match (x.elem().is_float(), float, int) {
            (true, Some(f), _) => {
                let value = |(x, y): (&T, &T)| f(x.to_num().as_f64(), y.to_num().as_f64());
                let values = pairs.map(|p| T::from_num(Num::Float(value(p)))).collect();
                Ok(Tensor::from_vec(x.elem(), shape, values))
            }
            (false, _, Some(f)) => {
                let value = |(x, y): (&T, &T)| f(x.to_num().as_i128(), y.to_num().as_i128());
                Ok(Tensor::from_nums(x.elem(), shape, pairs.map(|p| Num::Int(value(p)))))
            }
            _ => Err(no_meaning(x.elem())),
        }
    })
}

pub(super) fn compare(x: &Tensor, y: &Tensor, direction: Direction) -> OpResult<Tensor> {
    same_shape(x, y)?;
    let float = x.elem().is_float();
    let values: Vec<u8> = with_native!(x.elem(), T => {
        let (a, b) = (x.values::<T>(), y.values::<T>());
        let pairs = a.iter().zip(b.iter()).map(|(a, b)| (a.to_num(), b.to_num()));
        pairs
            .map(|(a, b)| match float {
                true => direction.holds(a.as_f64(), b.as_f64()),
                false => direction.holds(a.as_i128(), b.as_i128()),
            })
            .map(u8::from)
            .collect()
    });
    Ok(Tensor::from_vec(
        Elem::Bool,
        x.shape().iter().copied(),
        values,
    ))
}

pub(super) fn select(condition: &Tensor, x: &Tensor, y: &Tensor) -> OpResult<Tensor> {
    same_shape(x, y)?;
    same_shape(condition, x)?;
    let condition = condition.values::<u8>();
    let shape = x.shape().iter().copied();
    Ok(with_native!(x.elem(), T => {
        let (a, b) = (x.values::<T>(), y.values::<T>());
        let pairs = condition.iter().zip(a.iter().zip(b.iter()));
        let values = pairs.map(|(&c, (&x, &y))| if c != 0 { x } else { y }).collect();
        Tensor::from_vec::<T>(x.elem(), shape, values)
    }))
}

/// Converts as `tensor.cast` says.
pub fn cast(x: &Tensor, to: Elem) -> Tensor {
    if x.elem() == to {
        return x.clone();
    }
    if to.is_float() && x.elem().is_float() {
        return Tensor::from_f64s(to, x.shape().iter().copied(), x.to_f64s());
    }
    // Straight from the integer: what rounds to a float is rounded once.
    if !x.elem().is_float() || to == Elem::Bool {
        return x.cast(to);
    }
    let (low, high) = int_range(to);
    let nums = x
        .to_f64s()
        .into_iter()
        .map(|x| Num::Int((x as i128).clamp(low, high)));
    Tensor::from_nums(to, x.shape().iter().copied(), nums)
}

/// The least and the greatest value of an integer type or of truth values.
pub fn int_range(elem: Elem) -> (i128, i128) {
    match elem.is_signed_int() {
        true => (-(1 << (elem.bits() - 1)), (1 << (elem.bits() - 1)) - 1),
        false => (0, (1 << elem.bits()) - 1),
    }
}

/// The least and the greatest value of an element type; infinities for floats.
pub fn extremes(elem: Elem) -> (Num, Num) {
    match elem.is_float() {
        true => (Num::Float(f64::NEG_INFINITY), Num::Float(f64::INFINITY)),
        false => {
            let (low, high) = int_range(elem);
            (Num::Int(low), Num::Int(high))
        }
    }
}

/// Reads the bits as an element type of the same size.
pub(super) fn bitcast(x: &Tensor, to: Elem) -> Tensor {
    match to {
        // Fewer bits are stored extended to eight, by sign or by zeros.
        Elem::I4 | Elem::U4 | Elem::I2 | Elem::U2 => x.cast(to),
        _ => Tensor::new(to, x.shape().iter().copied(), x.data().clone()),
    }
}

/// The elements under another shape, one extent of which may follow from the others.
pub(super) fn reshape(x: &Tensor, dims: &[Option<usize>]) -> OpResult<Tensor> {
    let known = dims
        .iter()
        .flatten()
        .try_fold(1usize, |n, &d| n.checked_mul(d));
    let open = dims.iter().filter(|d| d.is_none()).count();
    let rest = match (open, known) {
        (0, _) => Some(1),
        (1, Some(known)) => x.len().checked_div(known),
        _ => None,
    };
    let fits = rest
        .zip(known)
        .is_some_and(|(r, k)| r.checked_mul(k) == Some(x.len()));
    match rest {
        Some(rest) if fits => {
            let shape: Shape = dims.iter().map(|d| d.unwrap_or(rest)).collect();
            Ok(x.reshaped(shape))
        }
        _ => {
            let dims: Vec<Dim> = dims
                .iter()
                .map(|d| d.map_or(Dim::Unknown, |n| Dim::Known(n as u64)))
                .collect();
            Err(OpError::new(format!(
                "{} elements cannot take the shape {}",
                x.len(),
                shapes::list(&dims)
            )))
        }
    }
}

/// The distance between neighbours along each axis of a dense tensor.
pub fn strides(shape: &[usize]) -> Vec<isize> {
    let mut out = vec![0isize; shape.len()];
    let mut stride = 1isize;
    for (s, &n) in out.iter_mut().zip(shape).rev() {
        *s = stride;
        stride = stride.wrapping_mul(n.max(1) as isize);
    }
    out
}

/// Calls `row` with the position in the source for each run along the last axis of `shape`, in
/// row-major order.
pub(super) fn for_each_row(
    shape: &[usize],
    strides: &[isize],
    offset: isize,
    mut row: impl FnMut(isize),
) {
    let outer = shape.len().saturating_sub(1);
    if shape.contains(&0) {
        return;
    }
    let mut index = vec![0usize; outer];
    let mut at = offset;
    loop {
        row(at);
        let mut axis = outer;
        loop {
            if axis == 0 {
                return;
            }
            axis -= 1;
            index[axis] += 1;
            at += strides[axis];
            if index[axis] < shape[axis] {
                break;
            }
            at -= strides[axis] * shape[axis] as isize;
            index[axis] = 0;
        }
    }
}

/// Copies the elements that stand at `offset + sum(index * strides)` of `x`.
pub fn strided(x: &Tensor, shape: &[usize], strides: &[isize], offset: isize) -> Tensor {
    fn copy<T: Native>(x: &Tensor, shape: &[usize], strides: &[isize], offset: isize) -> Tensor {
        let values = x.values::<T>();
        let mut out: Vec<T> = Vec::with_capacity(shape.iter().product());
        let (count, step) = match (shape.last(), strides.last()) {
            (Some(&count), Some(&step)) => (count, step),
            _ => (1, 1),
        };
        for_each_row(shape, strides, offset, |at| match step {
            1 => out.extend_from_slice(&values[at as usize..][..count]),
            0 => out.extend(std::iter::repeat_n(values[at as usize], count)),
            step => out.extend((0..count as isize).map(|i| values[(at + i * step) as usize])),
        });
        Tensor::from_vec(x.elem(), shape.iter().copied(), out)
    }
    // Only the size of an element matters to a copy.
    match x.elem().bytes() {
        1 => copy::<u8>(x, shape, strides, offset),
        2 => copy::<u16>(x, shape, strides, offset),
        4 => copy::<u32>(x, shape, strides, offset),
        _ => copy::<u64>(x, shape, strides, offset),
    }
}

pub fn transpose(x: &Tensor, perm: &[usize]) -> Tensor {
    if perm.is_sorted() {
        return x.clone();
    }
    let from = strides(x.shape());
    let shape: Vec<usize> = perm.iter().map(|&a| x.shape()[a]).collect();
    let strides: Vec<isize> = perm.iter().map(|&a| from[a]).collect();
    strided(x, &shape, &strides, 0)
}

/// Repeats `x` to `shape`; its axis `i` is axis `axes[i]` there.
pub fn broadcast(x: &Tensor, shape: &[usize], axes: &[usize]) -> OpResult<Tensor> {
    count_of(x.elem(), shape)?;
    let mut steps = vec![0isize; shape.len()];
    for (i, (&axis, stride)) in axes.iter().zip(strides(x.shape())).enumerate() {
        match x.shape()[i] {
            n if n == shape[axis] => steps[axis] = stride,
            1 => {}
            n => {
                return Err(OpError::new(format!(
                    "extent {n} cannot be broadcast to {}",
                    shape[axis]
                )));
            }
        }
    }
    Ok(strided(x, shape, &steps, 0))
}

pub(super) fn reverse(x: &Tensor, axes: &[usize]) -> Tensor {
    let runs = x
        .shape()
        .iter()
        .enumerate()
        .map(|(axis, &n)| match axes.contains(&axis) {
            true => Run {
                start: n.saturating_sub(1),
                step: -1,
                count: n,
            },
            false => Run {
                start: 0,
                step: 1,
                count: n,
            },
        });
    slice(x, &runs.collect::<Vec<_>>())
}

/// The places that a slice takes along an axis.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Run {
    pub start: usize,
    pub step: isize,
    pub count: usize,
}

pub(super) fn slice(x: &Tensor, runs: &[Run]) -> Tensor {
    let strides = strides(x.shape());
    let shape: Vec<usize> = runs.iter().map(|r| r.count).collect();
    // An empty slice may start past the end, and a single place may have any step.
    let steps: Vec<isize> = runs
        .iter()
        .zip(&strides)
        .map(|(r, s)| if r.count > 1 { r.step * s } else { 0 })
        .collect();
    let starts = runs.iter().zip(&strides).filter(|(r, _)| r.count > 0);
    let offset = starts.map(|(r, s)| r.start as isize * s).sum();
    strided(x, &shape, &steps, offset)
}

pub(super) fn pad(x: &Tensor, value: &Tensor, low: &[i64], high: &[i64]) -> OpResult<Tensor> {
    pad_mode(x, value, low, high, PadMode::Constant)
}

pub(super) fn pad_mode(
    x: &Tensor,
    value: &Tensor,
    low: &[i64],
    high: &[i64],
    mode: PadMode,
) -> OpResult<Tensor> {
    let extents: Vec<i128> = x
        .shape()
        .iter()
        .zip(low.iter().zip(high))
        .map(|(&n, (&low, &high))| n as i128 + i128::from(low) + i128::from(high))
        .collect();
    let shape: Option<Vec<usize>> = extents.iter().map(|&n| usize::try_from(n).ok()).collect();
    let shape = shape.ok_or_else(|| OpError::new("padding makes an extent negative"))?;
    count_of(x.elem(), &shape)?;
    // Where each place along each axis comes from; `None` for the value.
    let mut sources = Vec::with_capacity(shape.len());
    for (axis, &count) in shape.iter().enumerate() {
        let n = x.shape()[axis] as i128;
        let source = (0..count as i128).map(|i| padded_source(i - i128::from(low[axis]), n, mode));
        sources.push(source.collect::<OpResult<Vec<Option<usize>>>>()?);
    }
    Ok(with_native!(x.elem(), T => take::<T>(x, &sources, value.values::<T>()[0])))
}

fn padded_source(i: i128, n: i128, mode: PadMode) -> OpResult<Option<usize>> {
    let inside = match mode {
        _ if (0..n).contains(&i) => i,
        PadMode::Constant => return Ok(None),
        _ if n == 0 => return Err(OpError::new("an empty axis has no elements to pad with")),
        PadMode::Edge => i.clamp(0, n - 1),
        PadMode::Wrap => i.rem_euclid(n),
        PadMode::Reflect => {
            let period = (2 * (n - 1)).max(1);
            let i = i.rem_euclid(period);
            i.min(period - i).min(n - 1)
        }
    };
    Ok(Some(inside as usize))
}

/// The elements at all combinations of places, one list per axis; `fill` where a place is `None`.
fn take<T: Native>(x: &Tensor, sources: &[Vec<Option<usize>>], fill: T) -> Tensor {
    let shape: Vec<usize> = sources.iter().map(Vec::len).collect();
    let values = x.values::<T>();
    let Some((columns, outer)) = sources.split_last() else {
        return x.clone();
    };
    let strides = strides(x.shape());
    let mut out = Vec::with_capacity(shape.iter().product());
    let rows: usize = shape[..outer.len()].iter().product();
    for row in 0..rows {
        let mut rest = row;
        let mut start = Some(0usize);
        for (axis, places) in outer.iter().enumerate().rev() {
            let place = places[rest % places.len()];
            rest /= places.len();
            start = start
                .zip(place)
                .map(|(s, p)| s + p * strides[axis] as usize);
        }
        match start {
            Some(start) => out.extend(
                columns
                    .iter()
                    .map(|c| c.map_or(fill, |c| values[start + c])),
            ),
            None => out.extend(std::iter::repeat_n(fill, columns.len())),
        }
    }
    Tensor::from_vec(x.elem(), shape, out)
}

pub fn concat(parts: &[Tensor], axis: usize) -> OpResult<Tensor> {
    let mut shape: Shape = parts[0].shape().into();
    shape[axis] = 0;
    for part in parts {
        let mut rest: Shape = part.shape().into();
        shape[axis] += std::mem::take(&mut rest[axis]);
        let mut expected = shape.clone();
        expected[axis] = 0;
        if rest != expected {
            return Err(OpError::new(format!(
                "operands have the shapes {:?} and {:?}, but must agree save in axis {axis}",
                parts[0].shape(),
                part.shape()
            )));
        }
    }
    let elem = parts[0].elem();
    count_of(elem, &shape)?;
    let outer: usize = shape[..axis].iter().product();
    fn join<T: Native>(parts: &[Tensor], outer: usize, shape: Shape) -> Tensor {
        let values: Vec<_> = parts.iter().map(|p| p.values::<T>()).collect();
        let mut out = Vec::with_capacity(shape.iter().product());
        for i in 0..outer {
            for part in &values {
                let size = part.len() / outer;
                out.extend_from_slice(&part[i * size..][..size]);
            }
        }
        Tensor::from_vec(parts[0].elem(), shape, out)
    }
    Ok(match elem.bytes() {
        1 => join::<u8>(parts, outer, shape),
        2 => join::<u16>(parts, outer, shape),
        4 => join::<u32>(parts, outer, shape),
        _ => join::<u64>(parts, outer, shape),
    })
}

pub(super) fn iota(elem: Elem, shape: &[usize], axis: usize) -> OpResult<Tensor> {
    let count = count_of(elem, shape)?;
    let lanes = Lanes::new(shape, axis);
    let nums = (0..count).map(|i| Num::Int((i / lanes.stride % lanes.count.max(1)) as i128));
    Ok(Tensor::from_nums(elem, shape.iter().copied(), nums))
}

/// How many numbers a range from scalars has.
pub(super) fn range_count(start: &Tensor, limit: &Tensor, delta: &Tensor) -> OpResult<u64> {
    let zero = || OpError::new("`delta` is 0");
    match (start.num(0), limit.num(0), delta.num(0)) {
        (_, _, Num::Int(0)) => Err(zero()),
        (Num::Int(start), Num::Int(limit), Num::Int(delta)) => {
            let span = if delta > 0 {
                limit - start
            } else {
                start - limit
            };
            Ok(
                u64::try_from(span.max(0).unsigned_abs().div_ceil(delta.unsigned_abs()))
                    .unwrap_or(u64::MAX),
            )
        }
        (start, limit, delta) => {
            let (start, limit, delta) = (start.as_f64(), limit.as_f64(), delta.as_f64());
            let count = ((limit - start) / delta).ceil();
            match delta == 0.0 || count.is_nan() {
                true => Err(zero()),
                false => Ok(count.max(0.0) as u64),
            }
        }
    }
}

pub(super) fn range(start: &Tensor, limit: &Tensor, delta: &Tensor) -> OpResult<Tensor> {
    let count = checked_count(start.elem(), [range_count(start, limit, delta)?])?;
    let nums = (0..count).map(|i| match (start.num(0), delta.num(0)) {
        (Num::Int(start), Num::Int(delta)) => Num::Int(start + i as i128 * delta),
        (start, delta) => Num::Float(start.as_f64() + i as f64 * delta.as_f64()),
    });
    Ok(Tensor::from_nums(start.elem(), [count], nums))
}

/// The lanes of a tensor along an axis: each starts somewhere and has `count` elements that stand
/// `stride` apart.
#[derive(Copy, Clone, Debug)]
pub struct Lanes {
    pub outer: usize,
    pub count: usize,
    pub stride: usize,
}

impl Lanes {
    pub fn new(shape: &[usize], axis: usize) -> Lanes {
        Lanes {
            outer: shape[..axis].iter().product(),
            count: shape[axis],
            stride: shape[axis + 1..].iter().product::<usize>(),
        }
    }

    /// Where the lanes start, in row-major order.
    pub fn starts(self) -> impl Iterator<Item = usize> {
        let block = self.count * self.stride;
        (0..self.outer).flat_map(move |o| (0..self.stride).map(move |i| o * block + i))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_rounded_once() {
        // Just above the middle of two floats: by way of `f64` it would be the middle, and go down.
        let middle = (1i64 << 54) + (1 << 30);
        let above = Tensor::from_vec(Elem::I64, [2], vec![middle + 1, -middle - 1]);
        let up = ((1i64 << 54) + (1 << 31)) as f32;
        assert_eq!(cast(&above, Elem::F32).values::<f32>()[..], [up, -up]);
        let above = Tensor::from_vec(Elem::U64, [1], vec![middle as u64 + 1]);
        assert_eq!(cast(&above, Elem::F32).values::<f32>()[..], [up]);
    }
}
