//! What is done to sums before they are stored.

use super::PANEL;
use crate::args::{Activation, Epilogue};
use crate::math;
use crate::vector::Vector;

/// The activation of an epilogue, split into bounds that cost two instructions and the rest.
#[derive(Clone, Copy)]
pub(crate) struct Finish<V> {
    pub(crate) lo: V,
    pub(crate) hi: V,
    /// Whether `lo` and `hi` bound anything.
    pub(crate) bounded: bool,
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
        bounded: act == Activation::Relu as u32 || act == Activation::Clamp as u32,
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

/// Where a tile of sums goes.
pub(crate) struct Place {
    /// Row 0, column 0 of the output.
    pub(crate) c: *mut f32,
    pub(crate) ldc: usize,
    pub(crate) row: usize,
    pub(crate) column: usize,
    /// Columns to store, as `store_columns` wants them.
    pub(crate) columns: usize,
}

/// Adds the residual to a tile that has its bias, applies the activation, and stores it.
///
/// # Safety
/// The tile lies inside the output and the residual.
#[inline(always)]
pub(crate) unsafe fn store_tile<V: Vector, const ROWS: usize, const VECTORS: usize>(
    epilogue: &Epilogue,
    finish: &Finish<V>,
    place: &Place,
    mut acc: [[V; VECTORS]; ROWS],
) {
    let columns = place.columns;
    // SAFETY: passed on from the caller.
    unsafe {
        if !epilogue.residual.is_null() {
            for r in 0..ROWS {
                let p = epilogue
                    .residual
                    .add((place.row + r) * epilogue.ld_residual + place.column);
                let x = load_columns::<V, VECTORS>(p, columns);
                for v in 0..VECTORS {
                    acc[r][v] = acc[r][v].add(x[v]);
                }
            }
        }
        if finish.late.is_some() {
            let mut buffer = [[0.0f32; PANEL]; ROWS];
            for r in 0..ROWS {
                store_columns(buffer[r].as_mut_ptr(), VECTORS * V::LANES, acc[r]);
            }
            activate(finish, buffer.as_mut_ptr().cast(), PANEL * ROWS);
            for r in 0..ROWS {
                acc[r] = load_columns(buffer[r].as_ptr(), VECTORS * V::LANES);
            }
        }
        if finish.bounded {
            for r in 0..ROWS {
                for v in 0..VECTORS {
                    acc[r][v] = bound(finish, acc[r][v]);
                }
            }
        }
        let c = place.c.add(place.row * place.ldc + place.column);
        for r in 0..ROWS {
            store_columns(c.add(r * place.ldc), columns, acc[r]);
        }
    }
}

/// The first `columns` floats, zeros after them; more than all but the last vector hold, at most what all hold.
///
/// # Safety
/// `p` points to `columns` floats.
#[inline(always)]
pub(crate) unsafe fn load_columns<V: Vector, const VECTORS: usize>(
    p: *const f32,
    columns: usize,
) -> [V; VECTORS] {
    let mut out = [V::splat(0.0); VECTORS];
    let last = (VECTORS - 1) * V::LANES;
    // SAFETY: passed on from the caller.
    unsafe {
        for v in 0..VECTORS - 1 {
            out[v] = V::load(p.add(v * V::LANES));
        }
        out[VECTORS - 1] = if columns == VECTORS * V::LANES {
            V::load(p.add(last))
        } else {
            V::load_first(p.add(last), columns - last)
        };
    }
    out
}

/// The first `columns` lanes; more than all but the last vector hold, at most what all hold.
///
/// # Safety
/// `p` points to `columns` writable floats.
#[inline(always)]
pub(crate) unsafe fn store_columns<V: Vector, const VECTORS: usize>(
    p: *mut f32,
    columns: usize,
    x: [V; VECTORS],
) {
    let last = (VECTORS - 1) * V::LANES;
    // SAFETY: passed on from the caller.
    unsafe {
        for v in 0..VECTORS - 1 {
            x[v].store(p.add(v * V::LANES));
        }
        if columns == VECTORS * V::LANES {
            x[VECTORS - 1].store(p.add(last));
        } else {
            x[VECTORS - 1].store_first(p.add(last), columns - last);
        }
    }
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
