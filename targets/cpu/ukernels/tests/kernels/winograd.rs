//! Winograd convolution: values against a plain loop, errors against the stated bound, and that cuts do not matter.

use lepid_ukernels::args::{Activation, ConvGeom, WinogradArgs, WinogradBlock};
use lepid_ukernels::winograd::Scheme;
use lepid_ukernels::{AlignedBuf, Table};

use crate::{ACTIVATIONS, Random, activate, epilogue, on_each_isa};

/// A layer with random contents.
struct Layer {
    images: usize,
    size: (usize, usize),
    /// Top, left, bottom, right.
    pads: [usize; 4],
    channels: usize,
    columns: usize,
    input: Vec<f32>,
    weights: Vec<f32>,
    bias: Vec<f32>,
    residual: Vec<f32>,
}

/// Elements between two pixels beyond their channels, of input, output and residual.
const GAPS: [usize; 3] = [1, 2, 3];

impl Layer {
    fn new(
        images: usize,
        size: (usize, usize),
        pads: [usize; 4],
        channels: usize,
        columns: usize,
    ) -> Layer {
        let mut random = Random(7);
        let mut layer = Layer {
            images,
            size,
            pads,
            channels,
            columns,
            input: random.floats(images * size.0 * size.1 * (channels + GAPS[0])),
            weights: random.floats(columns * channels * 9),
            bias: random.floats(columns),
            residual: Vec::new(),
        };
        layer.residual = random.floats(layer.pixels() * (columns + GAPS[2]));
        layer
    }

    fn extent(&self) -> (usize, usize) {
        let [top, left, bottom, right] = self.pads;
        (
            self.size.0 + top + bottom - 2,
            self.size.1 + left + right - 2,
        )
    }

    fn pixels(&self) -> usize {
        self.images * self.extent().0 * self.extent().1
    }

    fn tiles(&self, scheme: Scheme) -> usize {
        let (h, w) = self.extent();
        self.images * h.div_ceil(scheme.outputs()) * w.div_ceil(scheme.outputs())
    }

    fn geom(&self) -> ConvGeom {
        let pixel_stride = self.channels + GAPS[0];
        let (out_h, out_w) = self.extent();
        ConvGeom {
            in_h: self.size.0,
            in_w: self.size.1,
            pixel_stride,
            row_stride: pixel_stride * self.size.1,
            image_stride: pixel_stride * self.size.0 * self.size.1,
            kh: 3,
            kw: 3,
            stride_h: 1,
            stride_w: 1,
            dil_h: 1,
            dil_w: 1,
            pad_top: self.pads[0],
            pad_left: self.pads[1],
            out_h,
            out_w,
        }
    }

    /// The sum of an output without bias, residual and activation.
    fn sum(&self, pixel: usize, column: usize) -> f64 {
        let (g, (out_h, out_w)) = (self.geom(), self.extent());
        let (image, y, x) = (
            pixel / (out_h * out_w),
            pixel / out_w % out_h,
            pixel % out_w,
        );
        let mut sum = 0.0;
        for tap in 0..9 {
            let iy = (y + tap / 3).wrapping_sub(self.pads[0]);
            let ix = (x + tap % 3).wrapping_sub(self.pads[1]);
            if iy < self.size.0 && ix < self.size.1 {
                let at = image * g.image_stride + iy * g.row_stride + ix * g.pixel_stride;
                for i in 0..self.channels {
                    let w = self.weights[(column * self.channels + i) * 9 + tap];
                    sum += f64::from(self.input[at + i]) * f64::from(w);
                }
            }
        }
        sum
    }

    /// All outputs, with `GAPS[1]` untouched elements (9) behind each pixel. Tiles and panels are cut at these numbers.
    fn run(
        &self,
        t: &Table,
        scheme: Scheme,
        block: WinogradBlock,
        cuts: (usize, usize),
        act: Option<Activation>,
    ) -> Vec<f32> {
        let mut packed = vec![f32::NAN; scheme.packed_len(self.channels, self.columns)];
        scheme.pack(&self.weights, self.channels, self.columns, &mut packed);
        let mut output = vec![9.0; self.pixels() * (self.columns + GAPS[1])];
        let mut scratch = AlignedBuf::new_zeroed(4 * block.scratch_len(scheme, self.channels));
        scratch.as_f32_mut().fill(f32::NAN);
        let zero = vec![0.0; self.channels];
        let epilogue = match act {
            Some(act) => epilogue(&self.bias, &self.residual, self.columns + GAPS[2], act),
            None => epilogue(&[], &[], 0, Activation::None),
        };
        let (tiles, panels) = (self.tiles(scheme), self.columns.div_ceil(16));
        for (tile_begin, tile_end) in [(0, cuts.0), (cuts.0, tiles)] {
            for (panel_begin, panel_end) in [(0, cuts.1), (cuts.1, panels)] {
                let args = WinogradArgs {
                    geom: self.geom(),
                    outputs: scheme.outputs(),
                    input: self.input.as_ptr(),
                    zero: zero.as_ptr(),
                    channels: self.channels,
                    weights: packed.as_ptr(),
                    output: output.as_mut_ptr(),
                    out_pixel_stride: self.columns + GAPS[1],
                    columns: self.columns,
                    tile_begin,
                    tile_end,
                    panel_begin,
                    panel_end,
                    block,
                    scratch: scratch.as_f32_mut().as_mut_ptr(),
                    epilogue,
                };
                // SAFETY: all buffers have the sizes the arguments say.
                unsafe { (t.winograd_f32)(&args) };
            }
        }
        output
    }
}

fn layers() -> Vec<Layer> {
    vec![
        Layer::new(1, (8, 8), [1; 4], 8, 16),
        Layer::new(2, (7, 9), [1; 4], 5, 18),
        Layer::new(3, (3, 3), [0; 4], 1, 1),
        Layer::new(1, (1, 13), [1; 4], 3, 40),
        Layer::new(1, (11, 1), [1, 2, 0, 1], 17, 7),
        Layer::new(1, (6, 10), [0, 1, 2, 0], 24, 33),
        Layer::new(2, (5, 6), [3, 3, 3, 3], 2, 8),
        Layer::new(1, (14, 14), [1; 4], 32, 80),
    ]
}

#[test]
fn winograd_is_a_convolution() {
    on_each_isa(|t| {
        for (number, layer) in layers().iter().enumerate() {
            for scheme in Scheme::ALL {
                let block = scheme.block(layer.tiles(scheme), layer.channels, layer.columns);
                let act = ACTIVATIONS[number % ACTIVATIONS.len()];
                let output = layer.run(t, scheme, block, (0, 0), Some(act));
                check(layer, scheme, &output, act, number);
            }
        }
    });
}

#[test]
fn every_activation_follows() {
    let layer = Layer::new(1, (6, 7), [1; 4], 4, 12);
    on_each_isa(|t| {
        for act in ACTIVATIONS {
            let block = Scheme::F4.block(layer.tiles(Scheme::F4), 4, 12);
            let output = layer.run(t, Scheme::F4, block, (0, 0), Some(act));
            check(&layer, Scheme::F4, &output, act, act as usize);
        }
    });
}

#[track_caller]
fn check(layer: &Layer, scheme: Scheme, output: &[f32], act: Activation, what: usize) {
    let n = layer.columns;
    for pixel in 0..layer.pixels() {
        for j in 0..n {
            let residual = layer.residual[pixel * (n + GAPS[2]) + j];
            let sum = layer.sum(pixel, j) + f64::from(layer.bias[j]) + f64::from(residual);
            let want = activate(act, 0.2, 0.7, sum);
            let got = f64::from(output[pixel * (n + GAPS[1]) + j]);
            // Sums of products of numbers in -1..1 are about as large as the root of the channels.
            let bound = scheme.error_bound(layer.channels) * (layer.channels as f64).sqrt();
            assert!(
                (got - want).abs() <= bound + 1e-6 * want.abs().max(1.0),
                "{scheme:?} {what}: pixel {pixel} column {j}: got {got}, want {want}"
            );
        }
        let behind = &output[pixel * (n + GAPS[1]) + n..][..GAPS[1]];
        assert!(
            behind.iter().all(|&x| x == 9.0),
            "{what}: wrote past the columns"
        );
    }
}

/// However tiles and panels are cut into calls and blocks, every bit is the same.
#[test]
fn cuts_keep_every_bit() {
    let act = Some(Activation::Relu);
    on_each_isa(|t| {
        for layer in layers() {
            for scheme in Scheme::ALL {
                let (tiles, panels) = (layer.tiles(scheme), layer.columns.div_ceil(16));
                let whole = WinogradBlock { tiles, panels };
                let once = layer.run(t, scheme, whole, (0, 0), act);
                for tiles_at_once in [1, 7, 12] {
                    let block = WinogradBlock {
                        tiles: tiles_at_once,
                        panels: 1 + tiles_at_once % 2,
                    };
                    let cuts = (tiles / 3, panels / 2);
                    assert_eq!(layer.run(t, scheme, block, cuts, act), once);
                }
            }
        }
    });
}

/// On layers with inputs around zero, and with none below it as after a ReLU.
#[test]
fn errors_stay_within_the_stated_bound() {
    on_each_isa(|t| {
        for channels in [1, 3, 16, 64, 200, 512] {
            for positive in [false, true] {
                let mut layer = Layer::new(1, (9, 9), [1; 4], channels, 20);
                if positive {
                    layer.input.iter_mut().for_each(|x| *x = x.max(0.0));
                }
                for scheme in Scheme::ALL {
                    let block = scheme.block(layer.tiles(scheme), channels, layer.columns);
                    let output = layer.run(t, scheme, block, (0, 0), None);
                    let (error, bound) = (error(&layer, &output), scheme.error_bound(channels));
                    assert!(
                        error < bound,
                        "{scheme:?} of {channels} channels: {error:e} >= {bound:e}"
                    );
                    // A bound that is never near says nothing.
                    assert!(
                        error > bound / 100.0,
                        "{scheme:?} of {channels} channels: {error:e} << {bound:e}"
                    );
                }
            }
        }
    });
}

/// The largest error, relative to the root mean square of the exact outputs.
fn error(layer: &Layer, output: &[f32]) -> f64 {
    let (mut most, mut squares) = (0.0f64, 0.0);
    for pixel in 0..layer.pixels() {
        for j in 0..layer.columns {
            let exact = layer.sum(pixel, j);
            let got = f64::from(output[pixel * (layer.columns + GAPS[1]) + j]);
            most = most.max((got - exact).abs());
            squares += exact * exact;
        }
    }
    most / (squares / (layer.pixels() * layer.columns) as f64).sqrt()
}
