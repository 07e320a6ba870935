//! Depthwise convolution over NHWC: one vector of channels at a time, several neighbouring pixels at once.
//!
//! Each output sums its taps row by row, left to right, on the fast path and at the borders alike.

use super::epilogue::{Finish, activate, bound, finish};
use crate::args::DwconvArgs;
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
            (3, 3, 1) if dense => rows::<V, 3, 1, 6>(args),
            (3, 3, 2) if dense => rows::<V, 3, 2, 4>(args),
            (5, 5, 1) if dense => rows::<V, 5, 1, 6>(args),
            (5, 5, 2) if dense => rows::<V, 5, 2, 4>(args),
            _ => rows::<V, 0, 0, 1>(args),
        }
    }
}

/// One vector of channels of one output row.
struct Row<'a, V> {
    args: &'a DwconvArgs,
    finish: Finish<V>,
    y: usize,
    channel: usize,
    /// Channels in the vector.
    lanes: usize,
    bias: V,
    /// Window rows inside the image.
    ky_begin: usize,
    ky_end: usize,
}

/// All rows; `KW` is 0 for windows without a fast path, `PIXELS` is how many outputs the fast path computes at once.
#[inline(always)]
unsafe fn rows<V: Vector, const KW: usize, const STRIDE: usize, const PIXELS: usize>(
    args: &DwconvArgs,
) {
    let g = &args.geom;
    let finish = finish::<V>(&args.epilogue);
    let (x_begin, x_end) = if KW == 0 { (0, 0) } else { inner_columns(args) };
    for y in args.row_begin..args.row_end {
        let (ky_begin, ky_end) = taps_inside(y * g.stride_h, g.pad_top, g.dil_h, g.kh, g.in_h);
        for channel in (0..args.channels).step_by(V::LANES) {
            let lanes = (args.channels - channel).min(V::LANES);
            // SAFETY: the caller vouches for `channels` channels of each pixel, and the columns from `x_begin` to
            // `x_end` see no padding on the left or right.
            unsafe {
                let bias = args.epilogue.bias;
                let bias = if bias.is_null() {
                    V::splat(0.0)
                } else {
                    load::<V>(bias.add(channel), lanes)
                };
                let row = Row {
                    args,
                    finish,
                    y,
                    channel,
                    lanes,
                    bias,
                    ky_begin,
                    ky_end,
                };
                for x in 0..x_begin {
                    border(&row, x);
                }
                let mut x = x_begin;
                // A vector with absent channels takes the careful path throughout.
                if KW != 0 && lanes == V::LANES {
                    while x + PIXELS <= x_end {
                        inner::<V, KW, STRIDE, PIXELS>(&row, x);
                        x += PIXELS;
                    }
                    while x < x_end {
                        inner::<V, KW, STRIDE, 1>(&row, x);
                        x += 1;
                    }
                }
                for x in x..g.out_w {
                    border(&row, x);
                }
            }
        }
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

/// `PIXELS` outputs from column `x` on: each input vector is loaded once per window row and used by all that need it.
#[inline(always)]
unsafe fn inner<V: Vector, const KW: usize, const STRIDE: usize, const PIXELS: usize>(
    row: &Row<'_, V>,
    x: usize,
) {
    let args = row.args;
    let g = &args.geom;
    let mut acc = [row.bias; PIXELS];
    // SAFETY: all columns and rows read here lie inside the image.
    unsafe {
        let pixel = args
            .input
            .add((x * STRIDE - g.pad_left) * g.pixel_stride + row.channel);
        for ky in row.ky_begin..row.ky_end {
            let iy = row.y * g.stride_h + ky - g.pad_top;
            let input = pixel.add(iy * g.row_stride);
            let weights = args.weights.add(ky * KW * args.channels + row.channel);
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
        for p in 0..PIXELS {
            store(row, x + p, acc[p]);
        }
    }
}

/// One output whose window may hang over any border.
#[inline(always)]
unsafe fn border<V: Vector>(row: &Row<'_, V>, x: usize) {
    let args = row.args;
    let g = &args.geom;
    let (kx_begin, kx_end) = taps_inside(x * g.stride_w, g.pad_left, g.dil_w, g.kw, g.in_w);
    let mut acc = row.bias;
    // SAFETY: the taps that remain lie inside the image.
    unsafe {
        for ky in row.ky_begin..row.ky_end {
            let iy = row.y * g.stride_h + ky * g.dil_h - g.pad_top;
            for kx in kx_begin..kx_end {
                let ix = x * g.stride_w + kx * g.dil_w - g.pad_left;
                let p = args
                    .input
                    .add(iy * g.row_stride + ix * g.pixel_stride + row.channel);
                let w = args
                    .weights
                    .add((ky * g.kw + kx) * args.channels + row.channel);
                acc = load::<V>(p, row.lanes).mul_add(load(w, row.lanes), acc);
            }
        }
        store(row, x, acc);
    }
}

#[inline(always)]
unsafe fn store<V: Vector>(row: &Row<'_, V>, x: usize, mut acc: V) {
    let args = row.args;
    let pixel = row.y * args.geom.out_w + x;
    // SAFETY: the pixel and its channels lie inside output and residual.
    unsafe {
        let residual = args.epilogue.residual;
        if !residual.is_null() {
            acc = acc.add(load(
                residual.add(pixel * args.epilogue.ld_residual + row.channel),
                row.lanes,
            ));
        }
        if row.finish.late.is_some() {
            let mut buffer = [0.0f32; 16];
            acc.store(buffer.as_mut_ptr());
            activate(&row.finish, buffer.as_mut_ptr(), V::LANES);
            acc = V::load(buffer.as_ptr());
        }
        let y = bound(&row.finish, acc);
        let p = args.output.add(pixel * args.out_pixel_stride + row.channel);
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
