//! Depthwise convolution over NHWC: one vector of channels at a time, several neighbouring pixels at once.
//!
//! Each output sums its taps row by row, left to right, on the fast path and at the borders alike.

use super::epilogue::{Finish, activate, bound, finish};
use crate::args::{DwconvArgs, Epilogue};
use crate::vector::Vector;

/// # Safety
/// The arguments describe memory that is there, as [`DwconvArgs`] says.
#[inline(always)]
pub(crate) unsafe fn dwconv<V: Vector>(args: &DwconvArgs) {
    let g = &args.geom;
    let dense = g.dil_h == 1 && g.dil_w == 1;
    // SAFETY: passed on from the caller.
    unsafe {
        match (g.kh, g.kw, g.stride_w) {
            (3, 3, 1) if dense => rows::<V, 3, 1, 5>(args),
            (3, 3, 2) if dense => rows::<V, 3, 2, 4>(args),
            (5, 5, 1) if dense => rows::<V, 5, 1, 5>(args),
            (5, 5, 2) if dense => rows::<V, 5, 2, 4>(args),
            _ => rows::<V, 0, 0, 1>(args),
        }
    }
}

/// One vector of channels of one output row.
struct Row<V> {
    /// The first window row inside the image, at column 0 and the vector's first channel.
    input: *const f32,
    /// The weights of that window row.
    weights: *const f32,
    /// Window rows inside the image.
    taps: usize,
    /// Column 0 of the output row.
    output: *mut f32,
    /// Column 0 of the residual's row, or null.
    residual: *const f32,
    /// Channels in the vector.
    lanes: usize,
    bias: V,
}

/// All rows; `KW` is 0 for windows without a fast path, `PIXELS` is how many outputs the fast path computes at once.
#[inline(always)]
unsafe fn rows<V: Vector, const KW: usize, const STRIDE: usize, const PIXELS: usize>(
    args: &DwconvArgs,
) {
    let g = &args.geom;
    let finish = &finish::<V>(&args.epilogue);
    let (x_begin, x_end) = if KW == 0 { (0, 0) } else { inner_columns(args) };
    for y in args.row_begin..args.row_end {
        let row = Across {
            args,
            finish,
            y,
            taps: taps_inside(y * g.stride_h, g.pad_top, g.dil_h, g.kh, g.in_h),
        };
        // SAFETY: the caller vouches for `channels` channels of each pixel, and the columns from `x_begin` to `x_end`
        // see no padding on the left or right.
        unsafe {
            row.borders(0, x_begin);
            let mut x = x_begin;
            if KW != 0 {
                while x + PIXELS <= x_end {
                    row.inner::<KW, STRIDE, PIXELS>(x);
                    x += PIXELS;
                }
                while x + 2 <= x_end {
                    row.inner::<KW, STRIDE, 2>(x);
                    x += 2;
                }
                if x < x_end {
                    row.inner::<KW, STRIDE, 1>(x);
                    x += 1;
                }
            }
            row.borders(x, g.out_w);
        }
    }
}

/// All channels of an output row, one vector after the other: a pixel's memory is read in order.
struct Across<'a, V> {
    args: &'a DwconvArgs,
    finish: &'a Finish<V>,
    y: usize,
    /// The first and the last window row inside the image.
    taps: (usize, usize),
}

impl<V: Vector> Across<'_, V> {
    /// `PIXELS` outputs from column `x` on that see no padding on the left or right.
    #[inline(always)]
    unsafe fn inner<const KW: usize, const STRIDE: usize, const PIXELS: usize>(&self, x: usize) {
        let Across {
            args,
            finish,
            y,
            taps,
        } = *self;
        let vectors = args.channels / V::LANES * V::LANES;
        // SAFETY: passed on from the caller.
        unsafe {
            for channel in (0..vectors).step_by(V::LANES) {
                let row = row::<V>(args, y, channel, taps);
                if row.taps == KW {
                    whole::<V, KW, STRIDE, PIXELS>(args, finish, &row, x);
                } else {
                    inner::<V, KW, STRIDE, PIXELS>(args, finish, &row, x);
                }
            }
            // A vector with absent channels takes the careful path.
            if vectors < args.channels {
                let row = row::<V>(args, y, vectors, taps);
                for x in x..x + PIXELS {
                    border(args, finish, &row, x);
                }
            }
        }
    }

    /// The outputs of columns `begin..end`, whose windows may hang over any border.
    #[inline(always)]
    unsafe fn borders(&self, begin: usize, end: usize) {
        for x in begin..end {
            for channel in (0..self.args.channels).step_by(V::LANES) {
                // SAFETY: passed on from the caller.
                unsafe {
                    let row = row::<V>(self.args, self.y, channel, self.taps);
                    border(self.args, self.finish, &row, x);
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn row<V: Vector>(
    args: &DwconvArgs,
    y: usize,
    channel: usize,
    taps: (usize, usize),
) -> Row<V> {
    let g = &args.geom;
    let lanes = (args.channels - channel).min(V::LANES);
    // Without a window row inside the image this wraps, and is never read.
    let iy = (y * g.stride_h + taps.0 * g.dil_h).wrapping_sub(g.pad_top);
    let Epilogue {
        bias,
        residual,
        ld_residual,
        ..
    } = args.epilogue;
    Row {
        input: args
            .input
            .wrapping_add(iy.wrapping_mul(g.row_stride))
            .wrapping_add(channel),
        weights: args
            .weights
            .wrapping_add(taps.0 * g.kw * args.channels + channel),
        taps: taps.1 - taps.0,
        output: args
            .output
            .wrapping_add(y * g.out_w * args.out_pixel_stride + channel),
        residual: if residual.is_null() {
            residual
        } else {
            residual.wrapping_add(y * g.out_w * ld_residual + channel)
        },
        lanes,
        bias: if bias.is_null() {
            V::splat(0.0)
        } else {
            // SAFETY: the bias has a value for each channel.
            unsafe { load(bias.add(channel), lanes) }
        },
    }
}

/// Output columns whose window lies inside the image horizontally.
#[inline(always)]
fn inner_columns(args: &DwconvArgs) -> (usize, usize) {
    let g = &args.geom;
    let begin = g.pad_left.div_ceil(g.stride_w).min(g.out_w);
    let reach = g.in_w + g.pad_left;
    let end = if reach < g.kw {
        0
    } else {
        ((reach - g.kw) / g.stride_w + 1).min(g.out_w)
    };
    (begin, end.max(begin))
}

/// The taps `begin..end` of a window at `start - pad` that lie inside `0..extent`.
#[inline(always)]
pub(crate) fn taps_inside(
    start: usize,
    pad: usize,
    dilation: usize,
    taps: usize,
    extent: usize,
) -> (usize, usize) {
    let begin = if start >= pad {
        0
    } else {
        (pad - start).div_ceil(dilation).min(taps)
    };
    let room = (extent + pad).saturating_sub(start);
    let end = room.div_ceil(dilation).min(taps);
    (begin, end.max(begin))
}

/// As [`inner`], for rows where no tap falls on padding.
#[inline(always)]
unsafe fn whole<V: Vector, const KW: usize, const STRIDE: usize, const PIXELS: usize>(
    args: &DwconvArgs,
    finish: &Finish<V>,
    row: &Row<V>,
    x: usize,
) {
    let g = &args.geom;
    let mut acc = [row.bias; PIXELS];
    let input = row
        .input
        .wrapping_add((x * STRIDE - g.pad_left) * g.pixel_stride);
    for ky in 0..KW {
        let input = input.wrapping_add(ky * g.row_stride);
        let mut w = [V::splat(0.0); KW];
        for kx in 0..KW {
            // SAFETY: the window has `KW * KW` weights for each channel.
            w[kx] = unsafe { V::load(row.weights.add((ky * KW + kx) * args.channels)) };
        }
        for column in 0..(PIXELS - 1) * STRIDE + KW {
            // SAFETY: all columns and rows read here lie inside the image.
            let v = unsafe { V::load(input.wrapping_add(column * g.pixel_stride)) };
            for p in 0..PIXELS {
                if column >= p * STRIDE && column - p * STRIDE < KW {
                    acc[p] = v.mul_add(w[column - p * STRIDE], acc[p]);
                }
            }
        }
    }
    // SAFETY: the pixels lie inside output and residual.
    unsafe { store_all(args, finish, row, x, acc) }
}

/// `PIXELS` outputs from column `x` on: each input vector is loaded once per window row and used by all that need it.
#[inline(always)]
unsafe fn inner<V: Vector, const KW: usize, const STRIDE: usize, const PIXELS: usize>(
    args: &DwconvArgs,
    finish: &Finish<V>,
    row: &Row<V>,
    x: usize,
) {
    let g = &args.geom;
    let mut acc = [row.bias; PIXELS];
    let mut input = row
        .input
        .wrapping_add((x * STRIDE - g.pad_left) * g.pixel_stride);
    let mut weights = row.weights;
    for _ in 0..row.taps {
        // SAFETY: all columns and rows read here lie inside the image.
        unsafe {
            let mut w = [V::splat(0.0); KW];
            for kx in 0..KW {
                w[kx] = V::load(weights.add(kx * args.channels));
            }
            for column in 0..(PIXELS - 1) * STRIDE + KW {
                let v = V::load(input.add(column * g.pixel_stride));
                for p in 0..PIXELS {
                    if column >= p * STRIDE && column - p * STRIDE < KW {
                        acc[p] = v.mul_add(w[column - p * STRIDE], acc[p]);
                    }
                }
            }
        }
        input = input.wrapping_add(g.row_stride);
        weights = weights.wrapping_add(KW * args.channels);
    }
    // SAFETY: the pixels lie inside output and residual.
    unsafe { store_all(args, finish, row, x, acc) }
}

/// One output whose window may hang over any border.
#[inline(always)]
unsafe fn border<V: Vector>(args: &DwconvArgs, finish: &Finish<V>, row: &Row<V>, x: usize) {
    let g = &args.geom;
    let (kx_begin, kx_end) = taps_inside(x * g.stride_w, g.pad_left, g.dil_w, g.kw, g.in_w);
    let ix = (x * g.stride_w + kx_begin * g.dil_w).wrapping_sub(g.pad_left);
    let mut input = row.input.wrapping_add(ix.wrapping_mul(g.pixel_stride));
    let mut weights = row.weights.wrapping_add(kx_begin * args.channels);
    let (step, row_step) = (g.dil_w * g.pixel_stride, g.dil_h * g.row_stride);
    let mut acc = row.bias;
    for _ in 0..row.taps {
        let (mut v, mut w) = (input, weights);
        for _ in kx_begin..kx_end {
            // SAFETY: the taps that remain lie inside the image.
            acc = unsafe { load::<V>(v, row.lanes).mul_add(load(w, row.lanes), acc) };
            v = v.wrapping_add(step);
            w = w.wrapping_add(args.channels);
        }
        input = input.wrapping_add(row_step);
        weights = weights.wrapping_add(g.kw * args.channels);
    }
    // SAFETY: the pixel lies inside output and residual.
    unsafe { store(args, finish, row, x, acc) }
}

#[inline(always)]
unsafe fn store_all<V: Vector, const PIXELS: usize>(
    args: &DwconvArgs,
    finish: &Finish<V>,
    row: &Row<V>,
    x: usize,
    acc: [V; PIXELS],
) {
    let plain = row.residual.is_null() && finish.late.is_none();
    let output = row.output.wrapping_add(x * args.out_pixel_stride);
    for p in 0..PIXELS {
        // SAFETY: the pixel lies inside output and residual.
        unsafe {
            if plain {
                bound(finish, acc[p]).store(output.wrapping_add(p * args.out_pixel_stride));
            } else {
                store(args, finish, row, x + p, acc[p]);
            }
        }
    }
}

#[inline(always)]
unsafe fn store<V: Vector>(
    args: &DwconvArgs,
    finish: &Finish<V>,
    row: &Row<V>,
    x: usize,
    mut acc: V,
) {
    // SAFETY: the pixel and its channels lie inside output and residual.
    unsafe {
        if !row.residual.is_null() {
            acc = acc.add(load(
                row.residual.add(x * args.epilogue.ld_residual),
                row.lanes,
            ));
        }
        if finish.late.is_some() {
            let mut buffer = [0.0f32; 16];
            acc.store(buffer.as_mut_ptr());
            activate(finish, buffer.as_mut_ptr(), V::LANES);
            acc = V::load(buffer.as_ptr());
        }
        let y = bound(finish, acc);
        let p = row.output.wrapping_add(x * args.out_pixel_stride);
        if row.lanes == V::LANES {
            y.store(p)
        } else {
            y.store_first(p, row.lanes)
        }
    }
}

/// # Safety
/// `p` points to `lanes` floats.
#[inline(always)]
pub(crate) unsafe fn load<V: Vector>(p: *const f32, lanes: usize) -> V {
    // SAFETY: passed on from the caller.
    unsafe {
        if lanes == V::LANES {
            V::load(p)
        } else {
            V::load_first(p, lanes)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taps_inside_agrees_with_counting() {
        for start in 0..8 {
            for (pad, dilation, taps, extent) in [
                (0, 1, 3, 5),
                (2, 1, 3, 5),
                (2, 2, 3, 5),
                (4, 3, 2, 1),
                (1, 2, 1, 4),
            ] {
                let inside: Vec<usize> = (0..taps)
                    .filter(|t| (pad..pad + extent).contains(&(start + t * dilation)))
                    .collect();
                let (begin, end) = taps_inside(start, pad, dilation, taps, extent);
                assert_eq!((begin..end).collect::<Vec<_>>(), inside);
            }
        }
    }
}
