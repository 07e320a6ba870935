//! Indirect and depthwise convolution, pooling.

use lepid_ukernels::args::{
    Activation, ConvGeom, ConvRowsArgs, DwconvArgs, IgemmArgs, PackBArgs, PoolArgs, PoolKind,
};
use lepid_ukernels::{Table, packed_len};

use crate::{ACTIVATIONS, Random, activate, assert_close, epilogue, on_each_isa};

/// A window over images with `channels` channels, output extents by the usual formula with `overhang` more.
#[derive(Clone, Copy, Debug)]
struct Window {
    size: (usize, usize),
    kernel: (usize, usize),
    stride: (usize, usize),
    dilation: (usize, usize),
    /// Top, left, bottom, right.
    pads: [usize; 4],
    channels: usize,
}

impl Window {
    fn geom(&self, pixel_stride: usize) -> ConvGeom {
        let out = |extent: usize, pads: usize, kernel: usize, stride: usize, dilation: usize| {
            (extent + pads - dilation * (kernel - 1) - 1) / stride + 1
        };
        let [top, left, bottom, right] = self.pads;
        ConvGeom {
            in_h: self.size.0,
            in_w: self.size.1,
            pixel_stride,
            row_stride: pixel_stride * self.size.1,
            image_stride: pixel_stride * self.size.0 * self.size.1,
            kh: self.kernel.0,
            kw: self.kernel.1,
            stride_h: self.stride.0,
            stride_w: self.stride.1,
            dil_h: self.dilation.0,
            dil_w: self.dilation.1,
            pad_top: top,
            pad_left: left,
            out_h: out(
                self.size.0,
                top + bottom,
                self.kernel.0,
                self.stride.0,
                self.dilation.0,
            ),
            out_w: out(
                self.size.1,
                left + right,
                self.kernel.1,
                self.stride.1,
                self.dilation.1,
            ),
        }
    }

    /// The taps of an output pixel that lie inside the image: (tap, y, x).
    fn taps(&self, oy: usize, ox: usize) -> Vec<(usize, usize, usize)> {
        let mut out = Vec::new();
        for ky in 0..self.kernel.0 {
            for kx in 0..self.kernel.1 {
                let y = (oy * self.stride.0 + ky * self.dilation.0).checked_sub(self.pads[0]);
                let x = (ox * self.stride.1 + kx * self.dilation.1).checked_sub(self.pads[1]);
                if let (Some(y), Some(x)) = (y, x)
                    && y < self.size.0
                    && x < self.size.1
                {
                    out.push((ky * self.kernel.1 + kx, y, x));
                }
            }
        }
        out
    }
}

fn windows(channels: usize) -> Vec<Window> {
    let w = |size, kernel, stride, dilation, pads| Window {
        size,
        kernel,
        stride,
        dilation,
        pads,
        channels,
    };
    vec![
        w((7, 7), (3, 3), (1, 1), (1, 1), [1; 4]),
        w((9, 21), (3, 3), (1, 1), (1, 1), [0, 1, 2, 0]),
        w((8, 19), (3, 3), (2, 2), (1, 1), [1, 1, 0, 1]),
        w((8, 20), (3, 3), (2, 2), (1, 1), [0, 0, 1, 1]),
        w((9, 18), (5, 5), (1, 1), (1, 1), [2; 4]),
        w((11, 17), (5, 5), (2, 2), (1, 1), [2; 4]),
        w((2, 2), (3, 3), (1, 1), (1, 1), [1; 4]),
        w((1, 3), (5, 5), (1, 1), (1, 1), [2; 4]),
        w((6, 5), (2, 4), (3, 1), (2, 1), [1, 3, 2, 0]),
        w((10, 12), (3, 3), (1, 1), (2, 2), [2; 4]),
        w((5, 6), (1, 1), (2, 2), (1, 1), [0; 4]),
        w((4, 13), (3, 3), (2, 1), (1, 1), [1; 4]),
    ]
}

#[test]
fn conv_rows_and_igemm_are_a_convolution() {
    on_each_isa(|t| {
        for window in windows(5) {
            convolve(t, window, 2);
        }
    });
}

fn convolve(t: &Table, window: Window, images: usize) {
    let g = window.geom(window.channels + 1);
    let (k, n, taps) = (window.channels, 18, g.kh * g.kw);
    let mut random = Random(5);
    let input = random.floats(images * g.image_stride);
    let weights = random.floats(taps * k * n);
    let bias = random.floats(n);
    let zero = vec![0.0; k];
    let mut packed = vec![0.0; packed_len(taps * k, n)];
    let pixels = images * g.out_h * g.out_w;
    let mut output = vec![0.0; pixels * n];
    // Chunks of 10 begin anywhere in a row and cross from one image to the next.
    for first in (0..pixels).step_by(10) {
        let rows = (pixels - first).min(10);
        let mut pointers = vec![std::ptr::null(); rows * taps];
        // SAFETY: all buffers have the sizes the arguments say.
        unsafe {
            (t.pack_b_f32)(&PackBArgs {
                k: taps * k,
                n,
                src: weights.as_ptr(),
                k_stride: n,
                n_stride: 1,
                dst: packed.as_mut_ptr(),
            });
            (t.conv_rows)(&ConvRowsArgs {
                geom: g,
                input: input.as_ptr(),
                zero: zero.as_ptr(),
                first,
                rows,
                out: pointers.as_mut_ptr(),
            });
            (t.igemm_f32)(&IgemmArgs {
                rows,
                taps,
                k,
                skip: 0,
                gather: std::ptr::null(),
                cold: 0,
                a: pointers.as_ptr(),
                b: packed.as_ptr(),
                c: output.as_mut_ptr().add(first * n),
                ldc: n,
                n,
                epilogue: epilogue(&bias, &[], 0, Activation::None),
            });
        }
    }
    for pixel in 0..pixels {
        let (image, oy, ox) = (
            pixel / (g.out_h * g.out_w),
            pixel / g.out_w % g.out_h,
            pixel % g.out_w,
        );
        for j in 0..n {
            let mut sum = f64::from(bias[j]);
            for (tap, y, x) in window.taps(oy, ox) {
                for i in 0..k {
                    let v =
                        input[image * g.image_stride + y * g.row_stride + x * g.pixel_stride + i];
                    sum += f64::from(v) * f64::from(weights[(tap * k + i) * n + j]);
                }
            }
            assert_close(
                output[pixel * n + j],
                sum,
                format!("{window:?} pixel {pixel} column {j}"),
            );
        }
    }
}

#[test]
fn dwconv_matches_a_plain_loop() {
    on_each_isa(|t| {
        for channels in [1, 8, 13, 24] {
            for (index, window) in windows(channels).into_iter().enumerate() {
                depthwise(t, window, ACTIVATIONS[index % ACTIVATIONS.len()]);
            }
        }
    });
}

fn depthwise(t: &Table, window: Window, act: Activation) {
    let c = window.channels;
    let g = window.geom(c + 2);
    let mut random = Random(11);
    let input = random.floats(g.image_stride);
    let weights = random.floats(g.kh * g.kw * c);
    let bias = random.floats(c);
    let pixels = g.out_h * g.out_w;
    let residual = random.floats(pixels * (c + 3));
    let mut output = vec![9.0; pixels * (c + 1)];
    let middle = g.out_h / 2;
    for (row_begin, row_end) in [(0, middle), (middle, g.out_h)] {
        let args = DwconvArgs {
            geom: g,
            input: input.as_ptr(),
            weights: weights.as_ptr(),
            output: output.as_mut_ptr(),
            out_pixel_stride: c + 1,
            channels: c,
            row_begin,
            row_end,
            epilogue: epilogue(&bias, &residual, c + 3, act),
        };
        // SAFETY: all buffers have the sizes the arguments say.
        unsafe { (t.dwconv_f32)(&args) };
    }
    for pixel in 0..pixels {
        for channel in 0..c {
            let mut sum = f64::from(bias[channel]) + f64::from(residual[pixel * (c + 3) + channel]);
            for (tap, y, x) in window.taps(pixel / g.out_w, pixel % g.out_w) {
                let v = input[y * g.row_stride + x * g.pixel_stride + channel];
                sum += f64::from(v) * f64::from(weights[tap * c + channel]);
            }
            let want = activate(act, 0.2, 0.7, sum);
            assert_close(
                output[pixel * (c + 1) + channel],
                want,
                format!("{window:?} pixel {pixel} channel {channel}"),
            );
        }
        assert_eq!(output[pixel * (c + 1) + c], 9.0, "wrote past the channels");
    }
}

#[test]
fn pools_match_a_plain_loop() {
    on_each_isa(|t| {
        for channels in [3, 8, 45] {
            for window in windows(channels) {
                for kind in [
                    PoolKind::Max,
                    PoolKind::AverageExcludePad,
                    PoolKind::AverageIncludePad,
                ] {
                    pool(t, window, kind, 0);
                    pool(t, window, kind, 1);
                }
            }
        }
    });
}

#[test]
fn a_global_pool_is_one_window() {
    on_each_isa(|t| {
        for kind in [PoolKind::Max, PoolKind::AverageExcludePad] {
            let size = (7, 7);
            let window = Window {
                size,
                kernel: size,
                stride: (1, 1),
                dilation: (1, 1),
                pads: [0; 4],
                channels: 70,
            };
            pool(t, window, kind, 0);
        }
    });
}

/// `overhang` is what `ceil_mode` adds to the output's extent.
fn pool(t: &Table, window: Window, kind: PoolKind, overhang: usize) {
    let c = window.channels;
    let mut g = window.geom(c);
    g.out_h += overhang;
    g.out_w += overhang;
    let mut input = Random(3).floats(g.image_stride);
    let middle = g.image_stride / 2;
    input[middle] = f32::NAN;
    let pixels = g.out_h * g.out_w;
    let mut output = vec![9.0; pixels * c];
    for (row_begin, row_end) in [(0, g.out_h / 2), (g.out_h / 2, g.out_h)] {
        let args = PoolArgs {
            geom: g,
            pad_bottom: window.pads[2],
            pad_right: window.pads[3],
            kind: kind as u32,
            input: input.as_ptr(),
            output: output.as_mut_ptr(),
            out_pixel_stride: c,
            channels: c,
            row_begin,
            row_end,
        };
        // SAFETY: all buffers have the sizes the arguments say.
        unsafe { (t.pool_f32)(&args) };
    }
    for pixel in 0..pixels {
        let (oy, ox) = (pixel / g.out_w, pixel % g.out_w);
        for channel in 0..c {
            let inside: Vec<f64> = window
                .taps(oy, ox)
                .into_iter()
                .map(|(_, y, x)| f64::from(input[y * g.row_stride + x * g.pixel_stride + channel]))
                .collect();
            let sum: f64 = inside.iter().sum();
            let want = match kind {
                PoolKind::Max if sum.is_nan() => f64::NAN,
                PoolKind::Max => inside.iter().copied().fold(f64::NEG_INFINITY, f64::max),
                PoolKind::AverageExcludePad => sum / inside.len().max(1) as f64,
                PoolKind::AverageIncludePad => {
                    let count = |at: usize, kernel: usize, dilation: usize, extent: usize| {
                        (0..kernel).filter(|k| at + k * dilation < extent).count()
                    };
                    let [top, left, bottom, right] = window.pads;
                    let rows = count(oy * g.stride_h, g.kh, g.dil_h, g.in_h + top + bottom);
                    let columns = count(ox * g.stride_w, g.kw, g.dil_w, g.in_w + left + right);
                    sum / (rows * columns).max(1) as f64
                }
            };
            assert_close(
                output[pixel * c + channel],
                want,
                format!("{kind:?} {window:?} pixel {pixel} {channel}"),
            );
        }
    }
}
