//! Maps over contiguous floats, and the two loops that measure the machine.

use crate::args::Unary;
use crate::math;
use crate::vector::Vector;

/// # Safety
/// `x` and `y` point to `n` floats each; they are the same or do not overlap.
#[inline(always)]
pub(crate) unsafe fn unary<V: Vector>(op: u32, n: usize, x: *const f32, y: *mut f32) {
    macro_rules! each {
        ($($name:ident)*) => {
            $(if op == Unary::$name as u32 {
                let mut i = 0;
                // SAFETY: offsets stay below n.
                unsafe {
                    while i + V::LANES <= n {
                        math::apply(Unary::$name, V::load(x.add(i))).store(y.add(i));
                        i += V::LANES;
                    }
                    if i < n {
                        math::apply(Unary::$name, V::load_first(x.add(i), n - i)).store_first(y.add(i), n - i);
                    }
                }
            })*
        };
    }
    each!(Exp Log Tanh Sigmoid Erf Gelu GeluTanh Silu Softplus Sqrt Sin Cos);
    each!(Tan Asin Acos Atan Sinh Cosh Asinh Acosh Atanh Expm1 Log1p);
}

/// Two groups of 12 independent chains, 24 operations a round: what a core can do when nothing else holds it up.
#[inline(always)]
pub(crate) fn fma_loop<V: Vector>(rounds: usize) -> f32 {
    let mut acc = [V::splat(0.0); 12];
    let factor = V::splat(std::hint::black_box(0.5));
    let summand = V::splat(std::hint::black_box(1.0));
    for _ in 0..rounds {
        for _ in 0..2 {
            for acc in &mut acc {
                *acc = acc.mul_add(factor, summand);
            }
        }
    }
    let mut total = 0.0;
    for acc in acc {
        total += acc.sum();
    }
    total
}

/// # Safety
/// `x` points to `n` floats.
#[inline(always)]
pub(crate) unsafe fn read_loop<V: Vector>(n: usize, x: *const f32) -> f32 {
    let mut acc = [V::splat(0.0); 8];
    let mut i = 0;
    while i + 8 * V::LANES <= n {
        for (v, acc) in acc.iter_mut().enumerate() {
            // SAFETY: the offset stays below n.
            *acc = acc.add(unsafe { V::load(x.add(i + v * V::LANES)) });
        }
        V::prefetch(x.wrapping_add(i + 1024));
        i += 8 * V::LANES;
    }
    let mut total = 0.0;
    for acc in acc {
        total += acc.sum();
    }
    total
}
