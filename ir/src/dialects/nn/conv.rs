//! Convolutions of any spatial rank.

use crate::core::{
    Builder, Cost, Dim, EvalCx, Op, OpDef, OpInfo, OpResult, OpView, Tensor, TensorType, Type,
    Value,
};
use crate::dialects::tensor::shapes;
use crate::op;

use super::conv_eval::{Scan, finish, spread};
use super::conv_expand::{expand_conv, expand_conv_transpose};
use super::rules::{at_most, ensure, has_dims, meet, one, operand_types, shape_of, tensor_types};
use super::window::{Layout, Window};

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
        if shape.contains(&0) {
            return Ok(vec![Tensor::zeros(x[0].elem(), &shape)]);
        }
        let layout = Layout::new(Conv::layout(op), x[0].rank())?;
        let (stride, dilation) = (Conv::stride(op), Conv::dilation(op));
        let window = kernel_window(&types[1], &stride, &dilation, &Conv::pad(op))?;
        let groups = Conv::groups(op) as usize;
        let scan = Scan::new(layout, &window, &x[0], &shape, groups);
        let y = scan.run(&x[0], &x[1], groups);
        Ok(vec![finish(&x[0], shape, layout, y, x.get(2))])
    }
    fn decompose(&self, b: &mut Builder<'_>, op: Op) -> OpResult<Option<Vec<Value>>> {
        expand_conv(b, op)
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
pub(super) fn kernel_window(
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
    at_most(op, x.len(), 1)?;
    shapes::same_elem(op, 0..x.len())?;
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

pub(crate) fn conv_type(op: OpView<'_>, x: &[TensorType]) -> OpResult<TensorType> {
    let layout = Layout::new(Conv::layout(op), x[0].rank())?;
    let groups = check_operands(op, x, Conv::groups(op))?;
    let w = &x[1];
    let window = kernel_window(w, &Conv::stride(op), &Conv::dilation(op), &Conv::pad(op))?;
    let channels = w.dims[1].times(Dim::Known(groups));
    meet(
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
        if shape.contains(&0) {
            return Ok(vec![Tensor::zeros(x[0].elem(), &shape)]);
        }
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
    fn decompose(&self, b: &mut Builder<'_>, op: Op) -> OpResult<Option<Vec<Value>>> {
        expand_conv_transpose(b, op)
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
    let inputs = meet(
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
