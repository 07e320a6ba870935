//! Calls of the microkernels that do whole rows or images: pooling, depthwise convolution, norms,
//! packing.

use std::mem::offset_of;

use cranelift_codegen::ir::{InstBuilder, Value};
use lepid_ukernels::Table;
use lepid_ukernels::args::{DwconvArgs, LrnArgs, NormArgs, PackBArgs, PoolArgs, RowsArgs};

use crate::codegen::args::{Args, Geometry, Tail};
use crate::codegen::cells::Count;
use crate::codegen::extent::Extent;
use crate::codegen::function::Gen;
use crate::codegen::product::offset;
use crate::places::Place;

/// Emits `body` for this part's output rows of each image: `body(g, image, first, end)`.
pub(crate) fn for_image_rows(
    g: &mut Gen<'_>,
    images: &Count,
    rows: usize,
    body: impl FnOnce(&mut Gen<'_>, Value, Value, Value),
) {
    let images = images.extent(g);
    let all = g.extent_mul(images, Extent::Known(rows as i64));
    let (start, end) = g.share_extent(all, 1);
    let (zero, count) = (g.int(0), g.extent(images));
    g.for_range(zero, count, 1, |g, image| {
        let first_row = g.mul_int(image, rows as i64);
        let last_row = g.add_int(first_row, rows as i64);
        let from = g.max(start, first_row);
        let to = g.min(end, last_row);
        let from = g.b.ins().isub(from, first_row);
        let to = g.b.ins().isub(to, first_row);
        let some = g.b.ins().icmp(
            cranelift_codegen::ir::condcodes::IntCC::SignedLessThan,
            from,
            to,
        );
        g.when(some, |g| body(g, image, from, to));
    });
}

/// A depthwise convolution on channels-last images.
#[derive(Clone, Debug)]
pub(crate) struct Depthwise {
    pub(crate) window: Geometry,
    pub(crate) images: Count,
    pub(crate) channels: usize,
    /// Elements between two pixels of the result.
    pub(crate) pitch: usize,
    pub(crate) x: Place,
    pub(crate) weights: Place,
    pub(crate) y: Place,
    pub(crate) tail: Tail,
}

/// Output rows of an image. Not all of its rows, nor of the input's, need lie in memory: `x` and `y`
/// are where row 0 would be.
pub(crate) struct ImageRows {
    pub(crate) image: Value,
    pub(crate) x: Value,
    pub(crate) y: Value,
    pub(crate) first: Value,
    pub(crate) end: Value,
}

impl Depthwise {
    fn output_bytes(&self) -> usize {
        4 * self.window.output[0] * self.window.output[1] * self.pitch
    }

    pub(crate) fn emit(&self, g: &mut Gen<'_>) {
        let args = self.args(g);
        let (x, y) = (g.address(self.x), g.address(self.y));
        let rows = self.window.output[0];
        for_image_rows(g, &self.images, rows, |g, image, first, end| {
            let rows = ImageRows {
                image,
                x: offset(g, x, image, 4 * self.window.image()),
                y: offset(g, y, image, self.output_bytes()),
                first,
                end,
            };
            self.emit_rows(g, &args, &rows);
        });
    }

    /// The arguments of the microkernel, as far as they do not change.
    pub(crate) fn args(&self, g: &mut Gen<'_>) -> Args {
        let args = Args::new::<DwconvArgs>(g);
        self.window.set(g, &args, offset_of!(DwconvArgs, geom));
        let channels = self.channels as i64;
        let pitch = self.pitch as i64;
        args.set_int(g, offset_of!(DwconvArgs, out_pixel_stride), pitch);
        args.set_int(g, offset_of!(DwconvArgs, channels), channels);
        let weights = g.address(self.weights);
        args.set(g, offset_of!(DwconvArgs, weights), weights);
        self.tail
            .set(g, &args, offset_of!(DwconvArgs, epilogue), self.pitch);
        args
    }

    pub(crate) fn emit_rows(&self, g: &mut Gen<'_>, args: &Args, rows: &ImageRows) {
        args.set(g, offset_of!(DwconvArgs, input), rows.x);
        args.set(g, offset_of!(DwconvArgs, output), rows.y);
        args.set(g, offset_of!(DwconvArgs, row_begin), rows.first);
        args.set(g, offset_of!(DwconvArgs, row_end), rows.end);
        let zero = g.int(0);
        let residual = g.mul_int(rows.image, self.output_bytes() as i64);
        let at = offset_of!(DwconvArgs, epilogue);
        self.tail.set_pointers(g, args, at, zero, residual);
        g.kernel(offset_of!(Table, dwconv_f32), &[args.address], &[]);
    }
}

/// A pooling of channels-last images.
#[derive(Clone, Debug)]
pub(crate) struct Pooling {
    pub(crate) window: Geometry,
    pub(crate) kind: lepid_ukernels::args::PoolKind,
    pub(crate) images: Count,
    pub(crate) channels: usize,
    /// Elements between two pixels of the result.
    pub(crate) pitch: usize,
    pub(crate) x: Place,
    pub(crate) y: Place,
}

impl Pooling {
    pub(crate) fn emit(&self, g: &mut Gen<'_>) {
        let args = Args::new::<PoolArgs>(g);
        self.window.set(g, &args, offset_of!(PoolArgs, geom));
        args.set_int(
            g,
            offset_of!(PoolArgs, pad_bottom),
            self.window.pad[2] as i64,
        );
        args.set_int(
            g,
            offset_of!(PoolArgs, pad_right),
            self.window.pad[3] as i64,
        );
        args.set_u32(g, offset_of!(PoolArgs, kind), self.kind as u32);
        let channels = self.channels as i64;
        let pitch = self.pitch as i64;
        args.set_int(g, offset_of!(PoolArgs, out_pixel_stride), pitch);
        args.set_int(g, offset_of!(PoolArgs, channels), channels);
        let (x, y) = (g.address(self.x), g.address(self.y));
        let output = 4 * self.window.output[0] * self.window.output[1] * self.pitch;
        for_image_rows(
            g,
            &self.images,
            self.window.output[0],
            |g, image, from, to| {
                let input = offset(g, x, image, 4 * self.window.image());
                args.set(g, offset_of!(PoolArgs, input), input);
                let out = offset(g, y, image, output);
                args.set(g, offset_of!(PoolArgs, output), out);
                args.set(g, offset_of!(PoolArgs, row_begin), from);
                args.set(g, offset_of!(PoolArgs, row_end), to);
                g.kernel(offset_of!(Table, pool_f32), &[args.address], &[]);
            },
        );
    }
}

/// A kernel that maps contiguous rows to rows of the same length.
#[derive(Copy, Clone, Debug)]
pub(crate) enum RowKernel {
    Softmax,
    LogSoftmax,
    LayerNorm {
        gamma: Place,
        beta: Option<Place>,
        epsilon: f32,
    },
    RmsNorm {
        gamma: Place,
        epsilon: f32,
    },
    Lrn {
        size: usize,
        alpha: f32,
        beta: f32,
        bias: f32,
    },
}

/// A row kernel on `rows` rows of `len` elements.
#[derive(Clone, Debug)]
pub(crate) struct RowMap {
    pub(crate) kernel: RowKernel,
    pub(crate) rows: Count,
    pub(crate) len: usize,
    pub(crate) x: Place,
    pub(crate) y: Place,
}

impl RowMap {
    pub(crate) fn emit(&self, g: &mut Gen<'_>) {
        // All three structs begin with the rows.
        let (args, entry) = match self.kernel {
            RowKernel::Softmax => (Args::new::<RowsArgs>(g), offset_of!(Table, softmax_f32)),
            RowKernel::LogSoftmax => (Args::new::<RowsArgs>(g), offset_of!(Table, log_softmax_f32)),
            RowKernel::LayerNorm {
                gamma,
                beta,
                epsilon,
            } => {
                let args = Args::new::<NormArgs>(g);
                let gamma = g.address(gamma);
                args.set(g, offset_of!(NormArgs, gamma), gamma);
                let beta = match beta {
                    Some(place) => g.address(place),
                    None => g.int(0),
                };
                args.set(g, offset_of!(NormArgs, beta), beta);
                args.set_f32(g, offset_of!(NormArgs, eps), epsilon);
                (args, offset_of!(Table, layer_norm_f32))
            }
            RowKernel::RmsNorm { gamma, epsilon } => {
                let args = Args::new::<NormArgs>(g);
                let gamma = g.address(gamma);
                args.set(g, offset_of!(NormArgs, gamma), gamma);
                args.set_int(g, offset_of!(NormArgs, beta), 0);
                args.set_f32(g, offset_of!(NormArgs, eps), epsilon);
                (args, offset_of!(Table, rms_norm_f32))
            }
            RowKernel::Lrn {
                size,
                alpha,
                beta,
                bias,
            } => {
                let args = Args::new::<LrnArgs>(g);
                args.set_int(g, offset_of!(LrnArgs, size), size as i64);
                args.set_f32(g, offset_of!(LrnArgs, alpha), alpha);
                args.set_f32(g, offset_of!(LrnArgs, beta), beta);
                args.set_f32(g, offset_of!(LrnArgs, bias), bias);
                (args, offset_of!(Table, lrn_f32))
            }
        };
        let base = match self.kernel {
            RowKernel::Softmax | RowKernel::LogSoftmax => 0,
            RowKernel::LayerNorm { .. } | RowKernel::RmsNorm { .. } => offset_of!(NormArgs, rows),
            RowKernel::Lrn { .. } => offset_of!(LrnArgs, rows),
        };
        let rows = self.rows.extent(g);
        let (first, end) = g.share_extent(rows, 1);
        let count = g.b.ins().isub(end, first);
        let (x, y) = (g.address(self.x), g.address(self.y));
        let x = offset(g, x, first, 4 * self.len);
        let y = offset(g, y, first, 4 * self.len);
        args.set(g, base + offset_of!(RowsArgs, rows), count);
        args.set_int(g, base + offset_of!(RowsArgs, len), self.len as i64);
        args.set(g, base + offset_of!(RowsArgs, x), x);
        args.set_int(g, base + offset_of!(RowsArgs, ldx), self.len as i64);
        args.set(g, base + offset_of!(RowsArgs, y), y);
        args.set_int(g, base + offset_of!(RowsArgs, ldy), self.len as i64);
        let some = g.is_positive(count);
        g.when(some, |g| {
            g.kernel(entry, &[args.address], &[]);
        });
    }
}

/// Packs `batch` matrices [K, N], or [N, K] if `transpose`, at run time.
#[derive(Clone, Debug)]
pub(crate) struct Packing {
    pub(crate) batch: Count,
    pub(crate) k: usize,
    pub(crate) n: usize,
    pub(crate) transpose: bool,
    pub(crate) x: Place,
    pub(crate) y: Place,
}

impl Packing {
    pub(crate) fn emit(&self, g: &mut Gen<'_>) {
        let args = Args::new::<PackBArgs>(g);
        let (k_stride, n_stride) = match self.transpose {
            true => (1, self.k),
            false => (self.n, 1),
        };
        args.set_int(g, offset_of!(PackBArgs, k), self.k as i64);
        args.set_int(g, offset_of!(PackBArgs, n), self.n as i64);
        args.set_int(g, offset_of!(PackBArgs, k_stride), k_stride as i64);
        args.set_int(g, offset_of!(PackBArgs, n_stride), n_stride as i64);
        let (x, y) = (g.address(self.x), g.address(self.y));
        let batch = self.batch.extent(g);
        let (first, end) = g.share_extent(batch, 1);
        let packed = lepid_ukernels::packed_len(self.k, self.n);
        g.for_range(first, end, 1, |g, i| {
            let from = offset(g, x, i, 4 * self.k * self.n);
            let to = offset(g, y, i, 4 * packed);
            args.set(g, offset_of!(PackBArgs, src), from);
            args.set(g, offset_of!(PackBArgs, dst), to);
            g.kernel(offset_of!(Table, pack_b_f32), &[args.address], &[]);
        });
    }
}
