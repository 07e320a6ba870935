//! Softmax and norms over contiguous rows.

use std::marker::PhantomData;

use super::dwconv::load;
use super::reduce::{Fold, Max, Sum, SumExp, SumSquare, fold};
use crate::args::{LrnArgs, NormArgs, RowsArgs};
use crate::math;
use crate::vector::Vector;

/// A map over a row, with the column known.
trait Map<V: Vector> {
    /// # Safety
    /// `lanes` columns from `column` on lie inside the row.
    unsafe fn apply(&self, x: V, column: usize, lanes: usize) -> V;
}

#[inline(always)]
unsafe fn map<V: Vector, M: Map<V>>(f: &M, len: usize, x: *const f32, y: *mut f32) {
    let mut i = 0;
    // SAFETY: the caller vouches for rows of `len` floats.
    unsafe {
        while i + V::LANES <= len {
            f.apply(V::load(x.add(i)), i, V::LANES).store(y.add(i));
            i += V::LANES;
        }
        if i < len {
            f.apply(V::load_first(x.add(i), len - i), i, len - i)
                .store_first(y.add(i), len - i);
        }
    }
}

/// `exp(x - top)`.
struct ExpBelow<V>(V);
impl<V: Vector> Map<V> for ExpBelow<V> {
    #[inline(always)]
    unsafe fn apply(&self, x: V, _: usize, _: usize) -> V {
        math::exp(x.sub(self.0))
    }
}

/// `x * factor`.
struct Scale<V>(V);
impl<V: Vector> Map<V> for Scale<V> {
    #[inline(always)]
    unsafe fn apply(&self, x: V, _: usize, _: usize) -> V {
        x.mul(self.0)
    }
}

/// `x - top - log_sum`.
struct Below<V> {
    top: V,
    log_sum: V,
}
impl<V: Vector> Map<V> for Below<V> {
    #[inline(always)]
    unsafe fn apply(&self, x: V, _: usize, _: usize) -> V {
        x.sub(self.top).sub(self.log_sum)
    }
}

/// `(x - mean) * scale * gamma + beta`.
struct Affine<V> {
    mean: V,
    scale: V,
    gamma: *const f32,
    beta: *const f32,
}
impl<V: Vector> Map<V> for Affine<V> {
    #[inline(always)]
    unsafe fn apply(&self, x: V, column: usize, lanes: usize) -> V {
        let mut y = x.sub(self.mean).mul(self.scale);
        // SAFETY: gamma and beta have a value for each column.
        unsafe {
            if !self.gamma.is_null() {
                y = y.mul(load(self.gamma.add(column), lanes));
            }
            if !self.beta.is_null() {
                y = y.add(load(self.beta.add(column), lanes));
            }
        }
        y
    }
}

/// # Safety
/// The arguments describe memory that is there, as [`RowsArgs`] says.
#[inline(always)]
pub(crate) unsafe fn softmax<V: Vector>(args: &RowsArgs) {
    for r in 0..args.rows {
        // SAFETY: the caller vouches for `rows` rows of `len` floats.
        unsafe {
            let (x, y) = (args.x.add(r * args.ldx), args.y.add(r * args.ldy));
            let top = V::splat(fold::<V, _>(&Max, x, args.len));
            map(&ExpBelow(top), args.len, x, y);
            let sum = fold::<V, _>(
                &Sum {
                    vector: PhantomData,
                },
                y,
                args.len,
            );
            map(&Scale(V::splat(1.0 / sum)), args.len, y, y);
        }
    }
}

/// # Safety
/// The arguments describe memory that is there, as [`RowsArgs`] says.
#[inline(always)]
pub(crate) unsafe fn log_softmax<V: Vector>(args: &RowsArgs) {
    for r in 0..args.rows {
        // SAFETY: the caller vouches for `rows` rows of `len` floats.
        unsafe {
            let (x, y) = (args.x.add(r * args.ldx), args.y.add(r * args.ldy));
            let top = V::splat(fold::<V, _>(&Max, x, args.len));
            let sum = fold::<V, _>(
                &SumExp {
                    top,
                    vector: PhantomData,
                },
                x,
                args.len,
            );
            map(
                &Below {
                    top,
                    log_sum: math::log(V::splat(sum)),
                },
                args.len,
                x,
                y,
            );
        }
    }
}

/// # Safety
/// The arguments describe memory that is there, as [`NormArgs`] says.
#[inline(always)]
pub(crate) unsafe fn layer_norm<V: Vector>(args: &NormArgs) {
    let rows = &args.rows;
    for r in 0..rows.rows {
        // SAFETY: the caller vouches for `rows` rows of `len` floats.
        unsafe {
            let (x, y) = (rows.x.add(r * rows.ldx), rows.y.add(r * rows.ldy));
            let mean = fold::<V, _>(
                &Sum {
                    vector: PhantomData,
                },
                x,
                rows.len,
            ) / rows.len as f32;
            let mean = V::splat(mean);
            let scale = inverse_root(
                &SumSquare {
                    center: mean,
                    vector: PhantomData,
                },
                x,
                args,
            );
            map(
                &Affine {
                    mean,
                    scale,
                    gamma: args.gamma,
                    beta: args.beta,
                },
                rows.len,
                x,
                y,
            );
        }
    }
}

/// # Safety
/// The arguments describe memory that is there, as [`NormArgs`] says.
#[inline(always)]
pub(crate) unsafe fn rms_norm<V: Vector>(args: &NormArgs) {
    let rows = &args.rows;
    let zero = V::splat(0.0);
    for r in 0..rows.rows {
        // SAFETY: the caller vouches for `rows` rows of `len` floats.
        unsafe {
            let (x, y) = (rows.x.add(r * rows.ldx), rows.y.add(r * rows.ldy));
            let scale = inverse_root(
                &SumSquare {
                    center: zero,
                    vector: PhantomData,
                },
                x,
                args,
            );
            map(
                &Affine {
                    mean: zero,
                    scale,
                    gamma: args.gamma,
                    beta: std::ptr::null(),
                },
                rows.len,
                x,
                y,
            );
        }
    }
}

/// `1 / sqrt(mean of squares + eps)`.
#[inline(always)]
unsafe fn inverse_root<V: Vector, F: Fold<V>>(squares: &F, x: *const f32, args: &NormArgs) -> V {
    // SAFETY: the caller vouches for the row.
    let sum = unsafe { fold::<V, _>(squares, x, args.rows.len) };
    V::splat(1.0 / (sum / args.rows.len as f32 + args.eps).sqrt())
}

/// # Safety
/// The arguments describe memory that is there, as [`LrnArgs`] says.
#[inline(always)]
pub(crate) unsafe fn lrn<V: Vector>(args: &LrnArgs) {
    let rows = &args.rows;
    let before = args.size.saturating_sub(1) / 2;
    let after = args.size / 2;
    let factor = V::splat(args.alpha / args.size as f32);
    let bias = V::splat(args.bias);
    for r in 0..rows.rows {
        for c in (0..rows.len).step_by(V::LANES) {
            let lanes = (rows.len - c).min(V::LANES);
            // SAFETY: the caller vouches for `rows` rows of `len` floats.
            unsafe {
                let x = rows.x.add(r * rows.ldx);
                let mut squares = V::splat(0.0);
                if c >= before && c + V::LANES + after <= rows.len {
                    for j in 0..=before + after {
                        let v = V::load(x.add(c - before + j));
                        squares = v.mul_add(v, squares);
                    }
                } else {
                    let mut window = [0.0f32; 16];
                    for (i, window) in window.iter_mut().enumerate().take(lanes) {
                        let begin = (c + i).saturating_sub(before);
                        let end = (c + i + after + 1).min(rows.len);
                        for j in begin..end {
                            let v = *x.add(j);
                            *window += v * v;
                        }
                    }
                    squares = V::load(window.as_ptr());
                }
                let base = squares.mul_add(factor, bias);
                let y = load::<V>(x.add(c), lanes).mul(negative_power(base, args.beta));
                let p = rows.y.add(r * rows.ldy + c);
                if lanes == V::LANES {
                    y.store(p)
                } else {
                    y.store_first(p, lanes)
                }
            }
        }
    }
}

/// `base^-beta`; 3/4 and 1/2, the common ones, by roots.
#[inline(always)]
fn negative_power<V: Vector>(base: V, beta: f32) -> V {
    let one = V::splat(1.0);
    if beta == 0.75 {
        let root = base.sqrt();
        one.div(root.mul(root.sqrt()))
    } else if beta == 0.5 {
        one.div(base.sqrt())
    } else {
        math::exp(math::log(base).mul(V::splat(-beta)))
    }
}
