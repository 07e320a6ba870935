//! The reference evaluation of convolutions.

use std::ops::Range;

use crate::core::{Shape, Tensor};

use super::product::{Extents, product};
use super::rules::strides;
use super::window::{Layout, MAX_SPATIAL, Window};

/// Adds the bias to sums in the order of the result and rounds them.
pub(super) fn finish(
    x: &Tensor,
    shape: Shape,
    layout: Layout,
    mut sums: Vec<f64>,
    bias: Option<&Tensor>,
) -> Tensor {
    if let Some(bias) = bias {
        let bias = bias.to_f64s();
        let inner: usize = shape[layout.channel + 1..].iter().product();
        for (i, run) in sums.chunks_mut(inner.max(1)).enumerate() {
            let bias = bias[i % bias.len()];
            run.iter_mut().for_each(|sum| *sum += bias);
        }
    }
    Tensor::from_f64s(x.elem(), shape, sums)
}

/// How a convolution reads its input: as a matrix with a column per place of the window and a row
/// per channel of the group and tap.
pub(super) struct Scan {
    layout: Layout,
    window: Window,
    /// Extents and strides of the input.
    input: Shape,
    input_strides: Vec<usize>,
    output: Shape,
    /// Per row: the distance from the first tap of the first channel, and the tap along each axis.
    offsets: Vec<isize>,
    taps: Vec<isize>,
}

impl Scan {
    pub(super) fn new(
        layout: Layout,
        window: &Window,
        x: &Tensor,
        output: &Shape,
        groups: usize,
    ) -> Scan {
        let input: Shape = x.shape().iter().copied().collect();
        let input_strides = strides(&input);
        let channels = input[layout.channel] / groups;
        let spatial = layout.spatial;
        let mut offsets = Vec::new();
        let mut taps = Vec::new();
        for channel in 0..channels {
            for tap in 0..window.positions() {
                let mut offset = channel * input_strides[layout.channel];
                let mut rest = tap;
                let mut along = vec![0; spatial];
                for i in (0..spatial).rev() {
                    along[i] = rest % window.size[i] * window.dilation[i];
                    rest /= window.size[i];
                    offset += along[i] * input_strides[layout.first + i];
                }
                offsets.push(offset as isize);
                taps.extend(along.iter().map(|&a| a as isize));
            }
        }
        Scan {
            layout,
            window: window.clone(),
            input,
            input_strides,
            output: output.clone(),
            offsets,
            taps,
        }
    }

    /// The sums of all samples and groups, in the order of the result.
    pub(super) fn run(&self, x: &Tensor, w: &Tensor, groups: usize) -> Vec<f64> {
        let (values, weights) = (x.to_f64s(), w.to_f64s());
        let layout = self.layout;
        let (inputs, outputs) = (self.input[layout.channel] / groups, w.shape()[0] / groups);
        let places: usize = layout.spatial_of(&self.output).iter().product();
        let depth = self.offsets.len();
        let mut out = vec![0.0; self.output.iter().product()];
        let out_strides = strides(&self.output);
        // Distance between two places: 1 unless channels are innermost.
        let step = out_strides[layout.first + layout.spatial - 1];
        for sample in 0..self.output[0] {
            for group in 0..groups {
                let first = sample * self.input_strides[0]
                    + group * inputs * self.input_strides[layout.channel];
                let left = &weights[group * outputs * depth..][..outputs * depth];
                let extents = Extents {
                    rows: outputs,
                    columns: places,
                    depth,
                };
                let sums = product(extents, left, &|place, run, column| {
                    self.column(&values, first, place, run, column);
                });
                let base = sample * out_strides[0] + group * outputs * out_strides[layout.channel];
                for (i, sum) in sums.into_iter().enumerate() {
                    let (channel, place) = (i / places, i % places);
                    out[base + channel * out_strides[layout.channel] + place * step] = sum;
                }
            }
        }
        out
    }

    /// What the window sees at one place.
    fn column(&self, x: &[f64], first: usize, place: usize, run: Range<usize>, out: &mut [f64]) {
        let (layout, spatial) = (self.layout, self.layout.spatial);
        let mut start = [0isize; MAX_SPATIAL];
        let mut base = first as isize;
        let mut rest = place;
        let mut inside = true;
        for i in (0..spatial).rev() {
            let axis = layout.first + i;
            let at = rest % self.output[axis] * self.window.stride[i];
            rest /= self.output[axis];
            start[i] = at as isize - self.window.low[i] as isize;
            base += start[i] * self.input_strides[axis] as isize;
            let end = start[i] + self.window.reach(i) as isize;
            inside &= start[i] >= 0 && end <= self.input[axis] as isize;
        }
        let offsets = &self.offsets[run.clone()];
        if inside {
            for (out, offset) in out.iter_mut().zip(offsets) {
                *out = x[(base + offset) as usize];
            }
            return;
        }
        let taps = &self.taps[run.start * spatial..run.end * spatial];
        for ((out, offset), taps) in out.iter_mut().zip(offsets).zip(taps.chunks(spatial)) {
            let seen = taps.iter().enumerate().all(|(i, tap)| {
                (0..self.input[layout.first + i] as isize).contains(&(start[i] + tap))
            });
            *out = if seen {
                x[(base + offset) as usize]
            } else {
                0.0
            };
        }
    }
}

/// The sums of a transposed convolution, in the order of the result.
pub(super) fn spread(
    x: &Tensor,
    w: &Tensor,
    shape: &Shape,
    layout: Layout,
    window: &Window,
    groups: usize,
) -> Vec<f64> {
    let (values, weights) = (x.to_f64s(), w.to_f64s());
    let spatial = layout.spatial_of(x.shape());
    let (x_strides, y_strides) = (strides(x.shape()), strides(shape));
    let places: usize = spatial.iter().product();
    let taps = window.positions();
    let (inputs, outputs) = (x.shape()[layout.channel] / groups, w.shape()[1]);
    let mut out = vec![0.0; shape.iter().product()];
    // Where each pair of place and tap lands within one channel of the result.
    let mut pairs = Vec::new();
    for place in 0..places {
        let x_at = place * x_strides[layout.first + layout.spatial - 1];
        for tap in 0..taps {
            let (mut rest_place, mut rest_tap) = (place, tap);
            let mut y_at = Some(0);
            for i in (0..layout.spatial).rev() {
                let along = rest_place % spatial[i] * window.stride[i]
                    + rest_tap % window.size[i] * window.dilation[i];
                rest_place /= spatial[i];
                rest_tap /= window.size[i];
                let axis = layout.first + i;
                let inside = along
                    .checked_sub(window.low[i])
                    .filter(|at| *at < shape[axis]);
                y_at = y_at.zip(inside).map(|(sum, at)| sum + at * y_strides[axis]);
            }
            pairs.extend(y_at.map(|y_at| (x_at, tap, y_at)));
        }
    }
    for sample in 0..shape[0] {
        for channel in 0..inputs * groups {
            let group = channel / inputs.max(1);
            let x_base = sample * x_strides[0] + channel * x_strides[layout.channel];
            for output in 0..outputs {
                let y_base =
                    sample * y_strides[0] + (group * outputs + output) * y_strides[layout.channel];
                let w_base = (channel * outputs + output) * taps;
                for &(x_at, tap, y_at) in &pairs {
                    out[y_base + y_at] += values[x_base + x_at] * weights[w_base + tap];
                }
            }
        }
    }
    out
}
