//! Times the kernels at the shapes that common networks have: `cargo run --release -p lepid-ukernels --example ukbench`.
//!
//! Rates are best of many runs on one thread; percentages refer to the peak measured in the same run.
#![allow(unsafe_code, reason = "kernels are called through raw pointers")]
#![allow(clippy::print_stdout, reason = "a benchmark prints")]

use std::time::Instant;

use lepid_ukernels::args::{
    ConvGeom, ConvRowsArgs, DwconvArgs, Epilogue, GemmRowsArgs, GemvArgs, IgemmArgs, LstmCellArgs,
    NormArgs, PackBArgs, PoolArgs, PoolKind, RowsArgs, StrassenArgs, WinogradArgs,
};
use lepid_ukernels::measure::{best_of, measure_fma_peak, measure_read_bandwidth};
use lepid_ukernels::winograd::Scheme;
use lepid_ukernels::{
    AlignedBuf, Isa, Pool, Table, Unary, packed_len, recurrent_packed_len, strassen, table,
};

/// Rows of one igemm call: their inputs stay in the second-level cache while all panels pass by.
const CHUNK: usize = 48;

fn main() {
    // `ukbench [avx2] [gemm]`: the kernels of an instruction set, those whose names hold a word.
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    let named = |word: &String| Isa::ALL.into_iter().find(|isa| isa.name() == word);
    let isa = match words.first().and_then(named) {
        Some(isa) => {
            words.remove(0);
            isa
        }
        None => Isa::detect(),
    };
    let filter = words.pop().unwrap_or_default();
    let Some(t) = table(isa) else { return };
    let mut bench = Bench {
        t,
        peak: measure_fma_peak(isa, 1),
        filter,
    };
    println!(
        "{}: FMA peak {:.1} GFLOP/s on 1 thread, {:.1} on 2",
        isa.name(),
        bench.peak / 1e9,
        measure_fma_peak(isa, 2) / 1e9
    );
    for (what, bytes) in [
        ("L2, 256 KiB", 256 << 10),
        ("L3, 8 MiB", 8 << 20),
        ("DRAM, 256 MiB", 256 << 20),
    ] {
        println!(
            "read {what}: {:.1} GB/s",
            measure_read_bandwidth(bytes, 1) / 1e9
        );
    }
    for (m, n, k) in [
        (384, 384, 384),
        (49, 512, 2048),
        (196, 256, 64),
        (3136, 64, 64),
        (12544, 32, 16),
        (3136, 144, 24),
        (3136, 24, 144),
        (196, 96, 576),
        (128, 768, 768),
        (128, 3072, 768),
        (128, 768, 3072),
        (1024, 1024, 1024),
    ] {
        bench.gemm(m, n, k);
        bench.strassen(m, n, k);
    }
    for (m, n, k) in [
        (1, 1024, 1024),
        (2, 1024, 1024),
        (3, 1024, 1024),
        (4, 1024, 1024),
        (1, 50257, 768),
        (1, 1000, 2048),
    ] {
        bench.gemv(m, n, k);
    }
    for &(net, size, channels, n) in CONVOLUTIONS {
        bench.conv(net, size, channels, n);
        for scheme in Scheme::ALL {
            bench.winograd(net, scheme, size, channels, n);
        }
    }
    for (size, channels, kernel, stride) in [
        (56, 144, 3, 1),
        (112, 32, 3, 1),
        (112, 96, 3, 2),
        (14, 576, 3, 1),
        (7, 960, 3, 1),
        (28, 120, 5, 1),
    ] {
        bench.depthwise(size, channels, kernel, stride);
    }
    bench.lstm(1, 512);
    bench.lstm(4, 512);
    bench.lstm(1, 64);
    bench.rows();
    bench.maps();
    bench.regions();
}

/// Layers with a 3 x 3 window at stride 1: network, extent of the image, channels and columns.
const CONVOLUTIONS: &[(&str, usize, usize, usize)] = &[
    ("vgg19", 224, 3, 64),
    ("vgg19", 224, 64, 64),
    ("vgg19", 112, 64, 128),
    ("vgg19", 112, 128, 128),
    ("vgg19", 56, 128, 256),
    ("vgg19", 56, 256, 256),
    ("vgg19", 28, 256, 512),
    ("vgg19", 28, 512, 512),
    ("vgg19", 14, 512, 512),
    ("resnet50", 56, 64, 64),
    ("resnet50", 28, 128, 128),
    ("resnet50", 14, 256, 256),
    ("resnet50", 7, 512, 512),
    ("squeezenet", 55, 16, 64),
    ("squeezenet", 27, 32, 128),
    ("squeezenet", 13, 48, 192),
    ("squeezenet", 13, 64, 256),
    ("densenet121", 56, 128, 32),
    ("densenet121", 28, 128, 32),
    ("densenet121", 14, 128, 32),
    ("densenet121", 7, 128, 32),
];

struct Bench {
    t: &'static Table,
    peak: f64,
    filter: String,
}

/// A buffer of small values that are not all alike.
fn floats(n: usize) -> AlignedBuf {
    let mut buf = AlignedBuf::new_zeroed(n * 4);
    for (i, x) in buf.as_f32_mut().iter_mut().enumerate() {
        *x = ((i * 37) % 64) as f32 / 64.0 - 0.5;
    }
    buf
}

impl Bench {
    fn report(&mut self, name: &str, flops: f64, bytes: f64, f: impl Fn()) {
        if !name.contains(&self.filter) {
            return;
        }
        let start = Instant::now();
        f();
        let once = start.elapsed().as_secs_f64();
        // Short work is timed in batches, so that the clock does not show.
        let batch = (20e-6 / once.max(1e-9)).ceil().max(1.0) as usize;
        let times = ((0.2 / (once * batch as f64)) as usize).clamp(5, 2000);
        let seconds = best_of(times, || (0..batch).for_each(|_| f())) / batch as f64;
        println!(
            "{name:<34} {:>10.2} us {:>7.1} GFLOP/s {:>5.1} % {:>7.1} GB/s",
            seconds * 1e6,
            flops / seconds / 1e9,
            flops / seconds / self.peak * 100.0,
            bytes / seconds / 1e9
        );
    }

    fn gemm(&mut self, m: usize, n: usize, k: usize) {
        let (a, b) = (floats(m * k), floats(packed_len(k, n)));
        let mut c = floats(m * n);
        let c = c.as_f32_mut().as_mut_ptr();
        let pointers = floats(2 * m);
        let pointers = pointers.as_ptr().cast::<*const f32>();
        let flops = 2.0 * (m * n * k) as f64;
        let bytes = 4.0 * (m * k + k * n + m * n) as f64;
        let t = self.t;
        self.report(&format!("gemm {m}x{n}x{k}"), flops, bytes, || {
            for first in (0..m).step_by(CHUNK) {
                let rows = (m - first).min(CHUNK);
                // SAFETY: all buffers have the sizes the arguments say.
                unsafe {
                    let out = pointers.add(first).cast_mut();
                    (t.gemm_rows)(&GemmRowsArgs {
                        a: a.as_f32().as_ptr().add(first * k),
                        lda: k,
                        rows,
                        out,
                    });
                    (t.igemm_f32)(&IgemmArgs {
                        rows,
                        taps: 1,
                        k,
                        skip: 0,
                        gather: std::ptr::null(),
                        cold: 0,
                        a: out,
                        b: b.as_f32().as_ptr(),
                        c: c.add(first * n),
                        ldc: n,
                        n,
                        epilogue: Epilogue::NONE,
                    });
                }
            }
        });
    }

    fn strassen(&mut self, m: usize, n: usize, k: usize) {
        if !strassen::suits(m, k, n) {
            return;
        }
        let (a, b) = (floats(m * k), floats(strassen::packed_len(k, n)));
        let (mut c, mut scratch) = (floats(m * n), floats(m * k / 4));
        let args = StrassenArgs {
            rows: m / 2,
            k: k / 2,
            panels: n / 32,
            a: a.as_f32().as_ptr(),
            lda: k,
            b: b.as_f32().as_ptr(),
            c: c.as_f32_mut().as_mut_ptr(),
            ldc: n,
            row_begin: 0,
            row_end: m / 2,
            panel_begin: 0,
            panel_end: n / 32,
            block: 96,
            scratch: scratch.as_f32_mut().as_mut_ptr(),
            epilogue: Epilogue::NONE,
        };
        let flops = 2.0 * (m * n * k) as f64;
        let bytes = 4.0 * (m * k + k * n + m * n) as f64;
        let t = self.t;
        // SAFETY: all buffers have the sizes the arguments say.
        self.report(&format!("strassen {m}x{n}x{k}"), flops, bytes, || unsafe {
            (t.strassen_f32)(&args);
        });
    }

    fn gemv(&mut self, m: usize, n: usize, k: usize) {
        let (a, b) = (floats(m * k), floats(packed_len(k, n)));
        let mut c = floats(m * n);
        let args = GemvArgs {
            rows: m,
            k,
            n,
            a: a.as_f32().as_ptr(),
            lda: k,
            b: b.as_f32().as_ptr(),
            c: c.as_f32_mut().as_mut_ptr(),
            ldc: n,
            panel_begin: 0,
            panel_end: n.div_ceil(16),
            epilogue: Epilogue::NONE,
        };
        let t = self.t;
        // SAFETY: all buffers have the sizes the arguments say.
        self.report(
            &format!("gemv {m}x{n}x{k}"),
            2.0 * (m * n * k) as f64,
            4.0 * (k * n) as f64,
            || unsafe {
                (t.gemv_f32)(&args);
            },
        );
    }

    fn conv(&mut self, net: &str, size: usize, channels: usize, n: usize) {
        let geom = geom(size, channels, 3, 1);
        let input = floats(size * size * channels);
        let zero = floats(channels);
        let b = floats(packed_len(9 * channels, n));
        let mut c = floats(size * size * n);
        let c = c.as_f32_mut().as_mut_ptr();
        let pointers = floats(2 * 9 * CHUNK);
        let out = pointers.as_ptr().cast::<*const f32>().cast_mut();
        let pixels = size * size;
        let t = self.t;
        let flops = 2.0 * (pixels * 9 * channels * n) as f64;
        self.report(
            &format!("conv {net} {size}x{size}x{channels}->{n}"),
            flops,
            4.0 * (9 * channels * n) as f64,
            || {
                for first in (0..pixels).step_by(CHUNK) {
                    let rows = (pixels - first).min(CHUNK);
                    // SAFETY: all buffers have the sizes the arguments say.
                    unsafe {
                        (t.conv_rows)(&ConvRowsArgs {
                            geom,
                            input: input.as_f32().as_ptr(),
                            zero: zero.as_f32().as_ptr(),
                            first,
                            rows,
                            out,
                        });
                        (t.igemm_f32)(&IgemmArgs {
                            rows,
                            taps: 9,
                            k: channels,
                            skip: 0,
                            gather: std::ptr::null(),
                            cold: 0,
                            a: out,
                            b: b.as_f32().as_ptr(),
                            c: c.add(first * n),
                            ldc: n,
                            n,
                            epilogue: Epilogue::NONE,
                        });
                    }
                }
            },
        );
    }

    /// Rates are in operations of the direct convolution.
    fn winograd(&mut self, net: &str, scheme: Scheme, size: usize, channels: usize, n: usize) {
        let input = floats(size * size * channels);
        let zero = floats(channels);
        let weights = floats(scheme.packed_len(channels, n));
        let mut c = floats(size * size * n);
        let tiles = size.div_ceil(scheme.outputs()).pow(2);
        let block = scheme.block(tiles, channels, n);
        let mut scratch = floats(block.scratch_len(scheme, channels));
        let args = WinogradArgs {
            geom: geom(size, channels, 3, 1),
            outputs: scheme.outputs(),
            input: input.as_f32().as_ptr(),
            zero: zero.as_f32().as_ptr(),
            channels,
            weights: weights.as_f32().as_ptr(),
            output: c.as_f32_mut().as_mut_ptr(),
            out_pixel_stride: n,
            columns: n,
            tile_begin: 0,
            tile_end: tiles,
            panel_begin: 0,
            panel_end: n.div_ceil(16),
            block,
            scratch: scratch.as_f32_mut().as_mut_ptr(),
            epilogue: Epilogue::NONE,
        };
        let t = self.t;
        let flops = 2.0 * (size * size * 9 * channels * n) as f64;
        let name = format!("{scheme:?} {net} {size}x{size}x{channels}->{n}");
        let bytes = 4.0 * weights.as_f32().len() as f64;
        // SAFETY: all buffers have the sizes the arguments say.
        self.report(&name, flops, bytes, || unsafe { (t.winograd_f32)(&args) });
    }

    fn depthwise(&mut self, size: usize, channels: usize, kernel: usize, stride: usize) {
        let geom = geom(size, channels, kernel, stride);
        let input = floats(size * size * channels);
        let weights = floats(kernel * kernel * channels);
        let pixels = geom.out_h * geom.out_w;
        let mut output = floats(pixels * channels);
        let args = DwconvArgs {
            geom,
            input: input.as_f32().as_ptr(),
            weights: weights.as_f32().as_ptr(),
            output: output.as_f32_mut().as_mut_ptr(),
            out_pixel_stride: channels,
            channels,
            row_begin: 0,
            row_end: geom.out_h,
            epilogue: Epilogue::NONE,
        };
        let t = self.t;
        let flops = 2.0 * (pixels * channels * kernel * kernel) as f64;
        let bytes = 4.0 * ((size * size + pixels) * channels) as f64;
        let name = format!("depthwise {kernel}x{kernel}/{stride} {size}x{size}x{channels}");
        // SAFETY: all buffers have the sizes the arguments say.
        self.report(&name, flops, bytes, || unsafe { (t.dwconv_f32)(&args) });
        let args = PoolArgs {
            geom,
            pad_bottom: kernel / 2,
            pad_right: kernel / 2,
            kind: PoolKind::Max as u32,
            input: args.input,
            output: args.output,
            out_pixel_stride: channels,
            channels,
            row_begin: 0,
            row_end: geom.out_h,
        };
        let name = format!("max pool {kernel}x{kernel}/{stride} {size}x{size}x{channels}");
        // SAFETY: all buffers have the sizes the arguments say.
        self.report(&name, flops / 2.0, bytes, || unsafe { (t.pool_f32)(&args) });
    }

    fn lstm(&mut self, rows: usize, hidden: usize) {
        let (x, r) = (
            floats(rows * 4 * hidden),
            floats(recurrent_packed_len(4, hidden)),
        );
        let (h_prev, c_prev) = (floats(rows * hidden), floats(rows * hidden));
        let (mut h, mut c) = (floats(rows * hidden), floats(rows * hidden));
        let args = LstmCellArgs {
            rows,
            hidden,
            block_begin: 0,
            block_end: hidden.div_ceil(8),
            x_proj: x.as_f32().as_ptr(),
            ld_x_proj: 4 * hidden,
            r: r.as_f32().as_ptr(),
            h_prev: h_prev.as_f32().as_ptr(),
            ld_h_prev: hidden,
            c_prev: c_prev.as_f32().as_ptr(),
            ld_c_prev: hidden,
            h: h.as_f32_mut().as_mut_ptr(),
            ld_h: hidden,
            c: c.as_f32_mut().as_mut_ptr(),
            ld_c: hidden,
            peephole: std::ptr::null(),
            clip: f32::INFINITY,
        };
        let t = self.t;
        let weights = (4 * hidden * hidden) as f64;
        // SAFETY: all buffers have the sizes the arguments say.
        self.report(
            &format!("lstm step {rows}x{hidden}"),
            2.0 * rows as f64 * weights,
            4.0 * weights,
            || unsafe {
                (t.lstm_cell_f32)(&args);
            },
        );
    }

    fn rows(&mut self) {
        let (rows, len) = (128, 768);
        let x = floats(rows * len);
        let mut y = floats(rows * len);
        let args = RowsArgs {
            rows,
            len,
            x: x.as_f32().as_ptr(),
            ldx: len,
            y: y.as_f32_mut().as_mut_ptr(),
            ldy: len,
        };
        let norm = NormArgs {
            rows: args,
            gamma: args.x,
            beta: args.x,
            eps: 1e-5,
        };
        let t = self.t;
        let elements = (rows * len) as f64;
        // SAFETY: all buffers have the sizes the arguments say.
        unsafe {
            self.report("softmax 128x768", elements, 8.0 * elements, || {
                (t.softmax_f32)(&args)
            });
            self.report("layer norm 128x768", elements, 8.0 * elements, || {
                (t.layer_norm_f32)(&norm)
            });
            let pack = PackBArgs {
                k: rows,
                n: len,
                src: args.x,
                k_stride: len,
                n_stride: 1,
                dst: args.y,
            };
            self.report("pack 128x768", elements, 8.0 * elements, || {
                (t.pack_b_f32)(&pack)
            });
            let pack = PackBArgs {
                k: len,
                n: rows,
                src: args.x,
                k_stride: 1,
                n_stride: len,
                dst: args.y,
            };
            self.report("pack 768x128 transposed", elements, 8.0 * elements, || {
                (t.pack_b_f32)(&pack)
            });
        }
    }

    fn maps(&mut self) {
        let n = 4096;
        let x = floats(n);
        let mut y = floats(n);
        let (x, y) = (x.as_f32().as_ptr(), y.as_f32_mut().as_mut_ptr());
        let t = self.t;
        for op in Unary::ALL {
            // SAFETY: both buffers have n floats.
            self.report(
                &format!("{op:?} 4096"),
                n as f64,
                8.0 * n as f64,
                || unsafe {
                    (t.unary_f32)(op as u32, n, x, y);
                },
            );
        }
    }

    fn regions(&mut self) {
        let pool = Pool::new(2);
        self.report("empty region, 2 threads", 0.0, 0.0, || pool.run(|_, _| {}));
    }
}

/// A square window over a square image, padded to keep its size.
fn geom(size: usize, channels: usize, kernel: usize, stride: usize) -> ConvGeom {
    ConvGeom {
        in_h: size,
        in_w: size,
        pixel_stride: channels,
        row_stride: channels * size,
        image_stride: channels * size * size,
        kh: kernel,
        kw: kernel,
        stride_h: stride,
        stride_w: stride,
        dil_h: 1,
        dil_w: 1,
        pad_top: kernel / 2,
        pad_left: kernel / 2,
        out_h: (size - 1) / stride + 1,
        out_w: (size - 1) / stride + 1,
    }
}
