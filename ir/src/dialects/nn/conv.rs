//! Convolutions of any spatial rank.

use crate::core::{
    Cost, Dim, EvalCx, OpDef, OpInfo, OpResult, OpView, Shape, Tensor, TensorType, Type,
};
use crate::op;

use super::product::{Extents, product};
use super::rules::{
    at_most, ensure, has_dims, join, one, operand_types, same_elem, shape_of, strides, tensor_types,
};
use super::window::{Layout, MAX_SPATIAL, Window};

op! {
    /// Convolution: `y[n, o, p] = bias[o] + Σ w[o, c, t] · x[n, c, p · stride + t · dilation - pad]`,
    /// where `x` is zero outside.
    ///
    /// `x` is batch, channel, spatial (`layout = "nchw"`) or batch, spatial, channel (`"nhwc"`),
    /// with any number of spatial axes; `w` is always output channel, input channel of the group,
    /// spatial. `pad` lists all lows, then all highs. Group `g` reads the `g`-th part of the input
    /// channels and writes the `g`-th part of the output channels.
    "nn.conv" => Conv {
        operands: [x: FLOAT_TENSOR, w: FLOAT_TENSOR; bias: FLOAT_TENSOR],
        attributes: [stride: Ints, dilation: Ints, pad: Ints, groups: Int = 1, layout: Str = "nchw"],
        results: [y],
        traits: [Pure],
    }
}

impl OpDef for Conv {
    fn info(&self) -> &'static OpInfo {
        &Conv::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        one(conv_type(op, &operand_types(op))?)
    }
    fn eval(&self, op: OpView<'_>, x: &[Tensor], _: &mut EvalCx<'_>) -> OpResult<Vec<Tensor>> {
        let types = tensor_types(x);
        let shape = shape_of(&conv_type(op, &types)?)?;
        let layout = Layout::new(Conv::layout(op), x[0].rank())?;
        let (stride, dilation) = (Conv::stride(op), Conv::dilation(op));
        let window = kernel_window(&types[1], &stride, &dilation, &Conv::pad(op))?;
        let groups = Conv::groups(op) as usize;
        let scan = Scan::new(layout, &window, &x[0], &shape, groups);
        let y = scan.run(&x[0], &x[1], groups);
        Ok(vec![finish(&x[0], shape, layout, y, x.get(2))])
    }
    fn cost(&self, op: OpView<'_>) -> Cost {
        Cost::of(op, 2.0 * op.result_elements(0) * taps(op.operand_dims(1)))
    }
}

/// The product of all extents of the weight but the first.
fn taps(w: &[Dim]) -> f64 {
    w.iter()
        .skip(1)
        .map(|d| d.known().unwrap_or(1) as f64)
        .product()
}

/// The window of a convolution; an open extent of the kernel counts as 1.
fn kernel_window(
    w: &TensorType,
    stride: &[i64],
    dilation: &[i64],
    pad: &[i64],
) -> OpResult<Window> {
    let size: Vec<i64> = w.dims[2..]
        .iter()
        .map(|d| {
            d.known()
                .map_or(1, |n| i64::try_from(n).unwrap_or(i64::MAX))
        })
        .collect();
    Window::new(&size, stride, dilation, pad)
}

/// Checks the operands that both convolutions have and gives the number of groups.
fn check_operands(op: OpView<'_>, x: &[TensorType], groups: i64) -> OpResult<u64> {
    at_most(op, 1)?;
    same_elem(op, x)?;
    ensure!(
        x[0].rank() == x[1].rank(),
        "`x` and `w` must have one rank, found {} and {}",
        x[0].rank(),
        x[1].rank()
    );
    ensure!(
        (1..=1 << 24).contains(&groups),
        "`groups` must be at least 1 and at most 2^24, found {groups}"
    );
    Ok(groups as u64)
}

fn conv_type(op: OpView<'_>, x: &[TensorType]) -> OpResult<TensorType> {
    let layout = Layout::new(Conv::layout(op), x[0].rank())?;
    let groups = check_operands(op, x, Conv::groups(op))?;
    let w = &x[1];
    let window = kernel_window(w, &Conv::stride(op), &Conv::dilation(op), &Conv::pad(op))?;
    let channels = w.dims[1].times(Dim::Known(groups));
    join(
        x[0].dims[layout.channel],
        channels,
        "channels of `x` and of `w` times groups",
    )?;
    if let Dim::Known(outputs) = w.dims[0] {
        ensure!(
            outputs % groups == 0,
            "{outputs} output channels do not split into {groups} groups"
        );
    }
    if let Some(bias) = x.get(2) {
        has_dims(bias, &w.dims[..1], "bias")?;
    }
    let mut spatial = window.all_places(layout.spatial_of(&x[0].dims), false)?;
    for (place, size) in spatial.iter_mut().zip(&w.dims[2..]) {
        if size.known().is_none() {
            *place = Dim::Unknown;
        }
    }
    let dims = layout.dims(x[0].dims[0], w.dims[0], &spatial);
    Ok(TensorType::new(x[0].elem, dims))
}

op! {
    /// Transposed convolution: each `x[n, c, p]` adds `w[c, o, t] · x[n, c, p]` to
    /// `y[n, o, p · stride + t · dilation - pad]`; then `bias[o]` is added.
    ///
    /// `w` is input channel, output channel of the group, spatial. `output_pad` lengthens the end
    /// of each spatial axis; `pad` lists all lows, then all highs.
    "nn.conv_transpose" => ConvTranspose {
        operands: [x: FLOAT_TENSOR, w: FLOAT_TENSOR; bias: FLOAT_TENSOR],
        attributes: [stride: Ints, dilation: Ints, pad: Ints, output_pad: Ints, groups: Int = 1, layout: Str = "nchw"],
        results: [y],
        traits: [Pure],
    }
}

impl OpDef for ConvTranspose {
    fn info(&self) -> &'static OpInfo {
        &ConvTranspose::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        one(conv_transpose_type(op, &operand_types(op))?)
    }
    fn eval(&self, op: OpView<'_>, x: &[Tensor], _: &mut EvalCx<'_>) -> OpResult<Vec<Tensor>> {
        let types = tensor_types(x);
        let shape = shape_of(&conv_transpose_type(op, &types)?)?;
        let layout = Layout::new(ConvTranspose::layout(op), x[0].rank())?;
        let (stride, dilation) = (ConvTranspose::stride(op), ConvTranspose::dilation(op));
        let pad = ConvTranspose::pad(op);
        let window = kernel_window(&types[1], &stride, &dilation, &pad)?;
        let y = spread(
            &x[0],
            &x[1],
            &shape,
            layout,
            &window,
            ConvTranspose::groups(op) as usize,
        );
        Ok(vec![finish(&x[0], shape, layout, y, x.get(2))])
    }
    fn cost(&self, op: OpView<'_>) -> Cost {
        Cost::of(op, 2.0 * op.operand_elements(0) * taps(op.operand_dims(1)))
    }
}

fn conv_transpose_type(op: OpView<'_>, x: &[TensorType]) -> OpResult<TensorType> {
    let layout = Layout::new(ConvTranspose::layout(op), x[0].rank())?;
    let groups = check_operands(op, x, ConvTranspose::groups(op))?;
    let w = &x[1];
    let (stride, dilation) = (ConvTranspose::stride(op), ConvTranspose::dilation(op));
    let window = kernel_window(w, &stride, &dilation, &ConvTranspose::pad(op))?;
    let extra = ConvTranspose::output_pad(op);
    ensure!(
        extra.len() == layout.spatial && extra.iter().all(|e| (0..=1 << 24).contains(e)),
        "`output_pad` must have {} entries that are not negative",
        layout.spatial
    );
    let inputs = join(
        x[0].dims[layout.channel],
        w.dims[0],
        "channels of `x` and `w`",
    )?;
    if let Dim::Known(inputs) = inputs {
        ensure!(
            inputs % groups == 0,
            "{inputs} input channels do not split into {groups} groups"
        );
    }
    let outputs = w.dims[1].times(Dim::Known(groups));
    if let Some(bias) = x.get(2) {
        has_dims(bias, &[outputs], "bias")?;
    }
    let mut spatial = Vec::with_capacity(layout.spatial);
    for (i, &dim) in layout.spatial_of(&x[0].dims).iter().enumerate() {
        let (Dim::Known(n), Dim::Known(_)) = (dim, w.dims[2 + i]) else {
            spatial.push(Dim::Unknown);
            continue;
        };
        let spread = i128::from(n.saturating_sub(1)) * window.stride[i] as i128;
        let reach = if n == 0 { 0 } else { window.reach(i) as i128 };
        let cut = (window.low[i] + window.high[i]) as i128;
        let places = spread + reach + i128::from(extra[i]) - cut;
        match u64::try_from(places) {
            Ok(places) => spatial.push(Dim::Known(places)),
            Err(_) => {
                return Err(crate::core::OpError::new(format!(
                    "the padding of spatial axis {i} cuts off more than the {} positions of the result",
                    places + cut
                )));
            }
        }
    }
    let dims = layout.dims(x[0].dims[0], outputs, &spatial);
    Ok(TensorType::new(x[0].elem, dims))
}

/// Adds the bias to sums in the order of the result and rounds them.
fn finish(
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
struct Scan {
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
    fn new(layout: Layout, window: &Window, x: &Tensor, output: &Shape, groups: usize) -> Scan {
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
    fn run(&self, x: &Tensor, w: &Tensor, groups: usize) -> Vec<f64> {
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
    fn column(
        &self,
        x: &[f64],
        first: usize,
        place: usize,
        run: std::ops::Range<usize>,
        out: &mut [f64],
    ) {
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
fn spread(
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
