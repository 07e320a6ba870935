//! What is done to sums before they are stored.

use crate::args::{Activation, Epilogue};
use crate::math;
use crate::vector::Vector;

/// The activation of an epilogue, split into bounds that cost two instructions and the rest.
#[derive(Clone, Copy)]
pub(crate) struct Finish<V> {
    pub(crate) lo: V,
    pub(crate) hi: V,
    /// An activation that `Vector::activate_buffer` applies, if the bounds are not all of it.
    pub(crate) late: Option<u32>,
    slope: f32,
    offset: f32,
}

#[inline(always)]
pub(crate) fn finish<V: Vector>(epilogue: &Epilogue) -> Finish<V> {
    let act = epilogue.act;
    let mut out = Finish {
        lo: V::splat(f32::NEG_INFINITY),
        hi: V::splat(f32::INFINITY),
        late: None,
        slope: epilogue.lo,
        offset: epilogue.hi,
    };
    if act == Activation::Relu as u32 {
        out.lo = V::splat(0.0);
    } else if act == Activation::Clamp as u32 {
        out.lo = V::splat(epilogue.lo);
        out.hi = V::splat(epilogue.hi);
    } else if act != Activation::None as u32 {
        out.late = Some(act);
    }
    out
}

/// The bounds; the whole activation unless `late` is set.
#[inline(always)]
pub(crate) fn bound<V: Vector>(finish: &Finish<V>, x: V) -> V {
    finish.hi.min(finish.lo.max(x))
}

/// The late activation over a buffer of whole vectors.
///
/// # Safety
/// `p` points to `n` writable floats, `n` a multiple of `LANES`.
#[inline(always)]
pub(crate) unsafe fn activate<V: Vector>(finish: &Finish<V>, p: *mut f32, n: usize) {
    let Some(act) = finish.late else { return };
    // SAFETY: passed on from the caller.
    unsafe {
        if act == Activation::HardSigmoid as u32 {
            let (slope, offset) = (V::splat(finish.slope), V::splat(finish.offset));
            for i in (0..n).step_by(V::LANES) {
                let y = V::load(p.add(i)).mul_add(slope, offset);
                V::splat(1.0).min(V::splat(0.0).max(y)).store(p.add(i));
            }
        } else if act == Activation::LeakyRelu as u32 {
            let slope = V::splat(finish.slope);
            for i in (0..n).step_by(V::LANES) {
                let x = V::load(p.add(i));
                V::select(x.lt(V::splat(0.0)), x.mul(slope), x).store(p.add(i));
            }
        } else {
            V::activate_buffer(p, n, act);
        }
    }
}

/// The activations without parameters, for `Vector::activate_buffer`.
///
/// # Safety
/// `p` points to `n` writable floats, `n` a multiple of `LANES`.
#[inline(always)]
pub(crate) unsafe fn activate_buffer<V: Vector>(p: *mut f32, n: usize, act: u32) {
    macro_rules! each {
        ($($name:ident => $function:expr),*) => {
            $(if act == Activation::$name as u32 {
                for i in (0..n).step_by(V::LANES) {
                    // SAFETY: the caller vouches for n floats.
                    unsafe { $function(V::load(p.add(i))).store(p.add(i)) }
                }
            })*
        };
    }
    each!(
        Gelu => math::gelu,
        GeluTanh => math::gelu_tanh,
        Silu => math::silu,
        Sigmoid => math::sigmoid,
        Tanh => math::tanh,
        HardSwish => hard_swish
    );
}

#[inline(always)]
fn hard_swish<V: Vector>(x: V) -> V {
    let gate = x.mul_add(V::splat(1.0 / 6.0), V::splat(0.5));
    x.mul(V::splat(1.0).min(V::splat(0.0).max(gate)))
}
