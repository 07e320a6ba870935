//! Pooling over NHWC: one or four vectors of channels at a time. A global pool is one window, four chains of sums.

use super::dwconv::{load, taps_inside};
use crate::args::{PoolArgs, PoolKind};
use crate::vector::Vector;

/// # Safety
/// The arguments describe memory that is there, as [`PoolArgs`] says.
#[inline(always)]
pub(crate) unsafe fn pool<V: Vector>(args: &PoolArgs) {
    // SAFETY: passed on from the caller.
    unsafe {
        if args.kind == PoolKind::Max as u32 {
            windows::<V, Largest>(args)
        } else {
            windows::<V, Total>(args)
        }
    }
}

/// How elements of a window join.
trait Join {
    const START: f32;
    fn join<V: Vector>(acc: V, x: V) -> V;
}

struct Largest;
struct Total;

impl Join for Largest {
    const START: f32 = f32::NEG_INFINITY;
    #[inline(always)]
    fn join<V: Vector>(acc: V, x: V) -> V {
        largest(acc, x)
    }
}

impl Join for Total {
    const START: f32 = 0.0;
    #[inline(always)]
    fn join<V: Vector>(acc: V, x: V) -> V {
        acc.add(x)
    }
}

/// The larger of two, NaN if one is.
#[inline(always)]
pub(crate) fn largest<V: Vector>(acc: V, x: V) -> V {
    // `max` takes x where x is NaN; the selection keeps a NaN of acc.
    V::select(acc.is_nan(), acc, acc.max(x))
}

/// The smaller of two, NaN if one is.
#[inline(always)]
pub(crate) fn smallest<V: Vector>(acc: V, x: V) -> V {
    V::select(acc.is_nan(), acc, acc.min(x))
}

/// The taps of a window inside the image.
struct Window {
    ky: (usize, usize),
    kx: (usize, usize),
    /// Row and column of the window's first tap, before the padding is taken off.
    y: usize,
    x: usize,
    /// What the sum is multiplied by.
    scale: f32,
}

#[inline(always)]
unsafe fn windows<V: Vector, J: Join>(args: &PoolArgs) {
    let g = &args.geom;
    for oy in args.row_begin..args.row_end {
        let y = oy * g.stride_h;
        let ky = taps_inside(y, g.pad_top, g.dil_h, g.kh, g.in_h);
        for ox in 0..g.out_w {
            let x = ox * g.stride_w;
            let kx = taps_inside(x, g.pad_left, g.dil_w, g.kw, g.in_w);
            let count = if args.kind == PoolKind::AverageIncludePad as u32 {
                let rows = taps_inside(y, 0, g.dil_h, g.kh, g.pad_top + g.in_h + args.pad_bottom);
                let columns =
                    taps_inside(x, 0, g.dil_w, g.kw, g.pad_left + g.in_w + args.pad_right);
                rows.1 * columns.1
            } else {
                (ky.1 - ky.0) * (kx.1 - kx.0)
            };
            let scale = if args.kind == PoolKind::Max as u32 {
                1.0
            } else {
                1.0 / count.max(1) as f32
            };
            let window = Window {
                ky,
                kx,
                y,
                x,
                scale,
            };
            // SAFETY: the caller vouches for the output pixel.
            unsafe {
                let output = args.output.add((oy * g.out_w + ox) * args.out_pixel_stride);
                let mut channel = 0;
                while channel + 4 * V::LANES <= args.channels {
                    reduce::<V, J, 4>(args, &window, channel, V::LANES, output);
                    channel += 4 * V::LANES;
                }
                let whole = (args.channels - channel) / V::LANES;
                match whole {
                    3 => reduce::<V, J, 3>(args, &window, channel, V::LANES, output),
                    2 => reduce::<V, J, 2>(args, &window, channel, V::LANES, output),
                    1 => reduce::<V, J, 1>(args, &window, channel, V::LANES, output),
                    _ => {}
                }
                channel += whole * V::LANES;
                if channel < args.channels {
                    let lanes = (args.channels - channel).min(V::LANES);
                    reduce::<V, J, 1>(args, &window, channel, lanes, output);
                }
            }
        }
    }
}

/// `N` vectors of channels of one window; `lanes` is short only for `N` = 1.
#[inline(always)]
unsafe fn reduce<V: Vector, J: Join, const N: usize>(
    args: &PoolArgs,
    window: &Window,
    channel: usize,
    lanes: usize,
    output: *mut f32,
) {
    let g = &args.geom;
    let mut acc = [V::splat(J::START); N];
    // SAFETY: the taps lie inside the image, the channels inside the pixel.
    unsafe {
        for ky in window.ky.0..window.ky.1 {
            let iy = window.y + ky * g.dil_h - g.pad_top;
            let row = args.input.add(iy * g.row_stride + channel);
            for kx in window.kx.0..window.kx.1 {
                let ix = window.x + kx * g.dil_w - g.pad_left;
                let p = row.add(ix * g.pixel_stride);
                for v in 0..N {
                    acc[v] = J::join(acc[v], load(p.add(v * V::LANES), lanes));
                }
            }
        }
        let scale = V::splat(window.scale);
        for v in 0..N {
            let y = acc[v].mul(scale);
            let p = output.add(channel + v * V::LANES);
            if lanes == V::LANES {
                y.store(p)
            } else {
                y.store_first(p, lanes)
            }
        }
    }
}
