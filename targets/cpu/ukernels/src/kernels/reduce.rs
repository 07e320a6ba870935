//! Reductions of contiguous rows: four vectors of partial results, joined in a fixed order.

use super::pool::{largest, smallest};
use crate::args::{ReduceArgs, Reduction};
use crate::vector::Vector;

/// A reduction: partial results start at `START`, take elements by `step` and join by `join`.
pub(crate) trait Fold<V: Vector> {
    const START: f32;
    fn step(&self, acc: V, x: V) -> V;
    fn join(acc: V, other: V) -> V;
    fn join_lanes(acc: V) -> f32;
}

/// Folds `len` floats.
///
/// # Safety
/// `x` points to `len` floats.
#[inline(always)]
pub(crate) unsafe fn fold<V: Vector, F: Fold<V>>(fold: &F, x: *const f32, len: usize) -> f32 {
    let mut acc = [V::splat(F::START); 4];
    let mut i = 0;
    // SAFETY: all offsets are below `len`.
    unsafe {
        while i + 4 * V::LANES <= len {
            for (v, acc) in acc.iter_mut().enumerate() {
                *acc = fold.step(*acc, V::load(x.add(i + v * V::LANES)));
            }
            i += 4 * V::LANES;
        }
        while i + V::LANES <= len {
            acc[0] = fold.step(acc[0], V::load(x.add(i)));
            i += V::LANES;
        }
        if i < len {
            // Absent lanes keep the partial result they had.
            let next = fold.step(acc[0], V::load_first(x.add(i), len - i));
            acc[0] = V::select(V::first_lanes(len - i), next, acc[0]);
        }
    }
    let [a, b, c, d] = acc;
    F::join_lanes(F::join(F::join(a, b), F::join(c, d)))
}

macro_rules! sums {
    ($($(#[$doc:meta])* $name:ident { $($field:ident),* }: |$this:ident, $acc:ident, $x:ident| $step:expr;)*) => {
        $(
            $(#[$doc])*
            pub(crate) struct $name<V> { $(pub(crate) $field: V,)* pub(crate) vector: std::marker::PhantomData<V> }
            impl<V: Vector> Fold<V> for $name<V> {
                const START: f32 = 0.0;
                #[inline(always)]
                fn step(&self, $acc: V, $x: V) -> V {
                    let $this = self;
                    let _ = $this;
                    $step
                }
                #[inline(always)]
                fn join(acc: V, other: V) -> V { acc.add(other) }
                #[inline(always)]
                fn join_lanes(acc: V) -> f32 { acc.sum() }
            }
        )*
    };
}

sums! {
    /// Sum of elements.
    Sum {}: |this, acc, x| acc.add(x);
    /// Sum of squared distances from `center`.
    SumSquare { center }: |this, acc, x| { let d = x.sub(this.center); d.mul_add(d, acc) };
    /// Sum of magnitudes.
    SumAbs {}: |this, acc, x| acc.add(x.abs());
    /// Sum of `exp(x - top)`.
    SumExp { top }: |this, acc, x| acc.add(crate::math::exp(x.sub(this.top)));
}

/// Largest element, NaN if there is one.
pub(crate) struct Max;
/// Smallest element, NaN if there is one.
pub(crate) struct Min;
/// Product of elements.
pub(crate) struct Product;

macro_rules! lane_by_lane {
    ($($name:ident, $start:expr, |$acc:ident, $x:ident| $join:expr;)*) => {
        $(impl<V: Vector> Fold<V> for $name {
            const START: f32 = $start;
            #[inline(always)]
            fn step(&self, acc: V, x: V) -> V { <Self as Fold<V>>::join(acc, x) }
            #[inline(always)]
            fn join($acc: V, $x: V) -> V { $join }
            #[inline(always)]
            fn join_lanes(acc: V) -> f32 {
                let mut lanes = [0.0f32; 16];
                // SAFETY: the array is larger than any vector.
                unsafe { acc.store(lanes.as_mut_ptr()) };
                let mut out = acc;
                for lane in lanes.iter().take(V::LANES).skip(1) {
                    out = <Self as Fold<V>>::join(out, V::splat(*lane));
                }
                out.first()
            }
        })*
    };
}

lane_by_lane! {
    Max, f32::NEG_INFINITY, |acc, x| largest(acc, x);
    Min, f32::INFINITY, |acc, x| smallest(acc, x);
    Product, 1.0, |acc, x| acc.mul(x);
}

/// # Safety
/// The arguments describe memory that is there, as [`ReduceArgs`] says.
#[inline(always)]
pub(crate) unsafe fn reduce<V: Vector>(args: &ReduceArgs) {
    let vector = std::marker::PhantomData::<V>;
    macro_rules! each {
        ($($op:ident => $fold:expr, $scale:expr);*) => {
            $(if args.op == Reduction::$op as u32 {
                for r in 0..args.rows {
                    // SAFETY: the caller vouches for `rows` rows of `len` floats and as many results.
                    unsafe { *args.y.add(r) = fold::<V, _>(&$fold, args.x.add(r * args.ldx), args.len) * $scale };
                }
            })*
        };
    }
    each!(
        Sum => Sum { vector }, 1.0;
        Mean => Sum { vector }, 1.0 / args.len as f32;
        Max => Max, 1.0;
        Min => Min, 1.0;
        SumSquare => SumSquare { center: V::splat(0.0), vector }, 1.0;
        SumAbs => SumAbs { vector }, 1.0;
        Product => Product, 1.0
    );
}
