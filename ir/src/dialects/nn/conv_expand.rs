//! Convolutions in `tensor` ops: the input is padded once, and each tap of the kernel is a strided
//! slice of it. The slices of all taps side by side, contracted with the weights, are the result.
//! Of a kernel with very many taps, what each place sees is gathered instead.

use crate::core::{Attr, Builder, Dim, Op, OpResult, OpView, Tensor, Value};
use crate::dialects::core::constant;
use crate::dialects::tensor::{self as t, build};

use super::conv::kernel_window;
use super::expand::{along, can_reshape, expanded, zip};
use super::window::{Layout, Window};
use super::{Conv, ConvTranspose};

/// Kernels with more taps are not expanded into slices: each tap becomes an op.
const MAX_TAPS: usize = 1 << 10;

/// The most indices that a gather of windows may need along an axis.
const MAX_INDICES: u64 = 1 << 24;

/// Extents up to which sums with padding and strides stay exact.
const MAX_EXTENT: u64 = 1 << 32;

/// The static facts of a convolution that its expansion needs.
struct Plan {
    layout: Layout,
    window: Window,
    groups: u64,
    /// Input channels of a group.
    inputs: u64,
    outputs: u64,
}

impl Plan {
    fn new(op: OpView<'_>) -> OpResult<Option<Plan>> {
        let (x, w) = (op.operand_tensor(0), op.operand_tensor(1));
        let layout = Layout::new(Conv::layout(op), x.rank())?;
        let window = kernel_window(w, &Conv::stride(op), &Conv::dilation(op), &Conv::pad(op))?;
        let Some(w) = w.known_dims() else {
            return Ok(None);
        };
        Ok(Some(Plan {
            layout,
            window,
            groups: Conv::groups(op) as u64,
            inputs: w[1] as u64,
            outputs: w[0] as u64,
        }))
    }

    fn taps(&self) -> u64 {
        self.window.positions() as u64
    }
}

pub(super) fn expand_conv(b: &mut Builder<'_>, op: Op) -> OpResult<Option<Vec<Value>>> {
    let Some(plan) = Plan::new(b.view(op))? else {
        return Ok(None);
    };
    let operands = b.view(op).operands().to_vec();
    let to = b.view(op).result_tensor(0).dims.clone();
    let depthwise = plan.inputs == 1 && plan.outputs == plan.groups && plan.groups > 1;
    // Splitting the channels into groups is a reshape.
    if plan.groups > 1 && !depthwise && !can_reshape(&to) {
        return Ok(None);
    }
    if plan.window.positions() > MAX_TAPS {
        let Some(y) = gathered(b, &plan, &operands, &to)? else {
            return Ok(None);
        };
        return finish(b, op, &plan, y);
    }
    let x = padded(b, &plan, operands[0])?;
    let slices: Vec<Value> = (0..plan.window.positions())
        .map(|tap| slice(b, &plan, x, tap))
        .collect::<OpResult<_>>()?;
    let y = match (plan.groups, depthwise) {
        (_, true) => each_channel(b, &plan, &slices, operands[1])?,
        (1, _) => all_channels(b, &plan, &slices, operands[1])?,
        _ => grouped(b, &plan, &slices, operands[1], &to)?,
    };
    finish(b, op, &plan, y)
}

/// Adds the bias, if there is one.
fn finish(b: &mut Builder<'_>, op: Op, plan: &Plan, y: Value) -> OpResult<Option<Vec<Value>>> {
    let y = match b.view(op).operands().get(2) {
        Some(&bias) => along(b, &t::Add, y, bias, plan.layout.channel)?,
        None => y,
    };
    expanded(b, op, y)
}

/// Each spatial axis becomes an axis of places and one of taps, by a gather; then channels and taps
/// are contracted with the weights. `None` if the extents are open or absurd.
fn gathered(
    b: &mut Builder<'_>,
    plan: &Plan,
    operands: &[Value],
    to: &[Dim],
) -> OpResult<Option<Value>> {
    let (layout, window) = (plan.layout, &plan.window);
    let places: Option<Vec<u64>> = layout.spatial_of(to).iter().map(|d| d.known()).collect();
    let Some(places) = places else {
        return Ok(None);
    };
    let indices = |(&n, &size): (&u64, &usize)| n.saturating_mul(size as u64);
    if places
        .iter()
        .zip(&window.size)
        .map(indices)
        .any(|n| n > MAX_INDICES)
    {
        return Ok(None);
    }
    let mut x = padded(b, plan, operands[0])?;
    for i in (0..layout.spatial).rev() {
        let (count, size) = (places[i] as usize, window.size[i]);
        let at = |p: usize, tap: usize| (p * window.stride[i] + tap * window.dilation[i]) as i64;
        let indices = (0..count).flat_map(|p| (0..size).map(move |tap| at(p, tap)));
        let indices = Tensor::from_i64s(indices).reshaped([count, size]);
        let indices = constant(b, indices)?;
        x = build::gather(b, x, indices, layout.first + i)?;
    }
    let known = |n: u64| Dim::Known(n);
    let channel = if layout.channel == 1 {
        1
    } else {
        2 * layout.spatial + 1
    };
    let (grouped, first) = (plan.groups > 1, layout.first);
    // The axes of groups come right before the channels of a group.
    let shift = usize::from(grouped && channel < first);
    let mut w = operands[1];
    if grouped {
        let mut split = build::dims(b, x);
        split.splice(channel..=channel, [known(plan.groups), known(plan.inputs)]);
        x = build::reshape(b, x, &split)?;
        let mut split = build::dims(b, w);
        let each = known(plan.outputs / plan.groups);
        split.splice(0..1, [known(plan.groups), each]);
        w = build::reshape(b, w, &split)?;
    }
    let group = usize::from(grouped);
    let mut contract = vec![(channel + group, 1 + group)];
    contract.extend((0..layout.spatial).map(|i| (first + shift + 2 * i + 1, 2 + group + i)));
    let batch = [(channel, 0)];
    let pairs = build::Pairs {
        batch: &batch[..group],
        contract: &contract,
        to: None,
    };
    let y = build::contract(b, x, w, pairs)?;
    Ok(Some(match grouped {
        true => groups_in_place(b, layout, y, to)?,
        false => channel_from_end(b, layout, y)?,
    }))
}

fn padded(b: &mut Builder<'_>, plan: &Plan, x: Value) -> OpResult<Value> {
    let around = |list: &[usize]| {
        let spatial: Vec<i64> = list.iter().map(|&n| n as i64).collect();
        plan.layout.dims(0, 0, &spatial)
    };
    let (low, high) = (around(&plan.window.low), around(&plan.window.high));
    build::pad(b, x, 0.0, &low, &high)
}

/// What one tap sees at all places, from the padded input.
fn slice(b: &mut Builder<'_>, plan: &Plan, x: Value, tap: usize) -> OpResult<Value> {
    let (layout, window) = (plan.layout, &plan.window);
    let dims = build::dims(b, x);
    let spatial = layout.spatial;
    let mut start = vec![0i64; spatial];
    let mut rest = tap;
    for i in (0..spatial).rev() {
        start[i] = (rest % window.size[i] * window.dilation[i]) as i64;
        rest /= window.size[i];
    }
    let stride: Vec<i64> = window.stride.iter().map(|&n| n as i64).collect();
    // How many positions at the end the last place of this tap does not reach.
    let left = |i: usize| window.reach(i) as i64 - 1 - start[i];
    let known: Option<Vec<i64>> = layout
        .spatial_of(&dims)
        .iter()
        .map(|d| Some(d.known().filter(|n| *n <= MAX_EXTENT)? as i64))
        .collect();
    if let Some(extents) = known {
        let stop: Vec<i64> = (0..spatial).map(|i| extents[i] - left(i)).collect();
        let (start, stop) = (
            layout.dims(0, 0, &start),
            layout.dims(t::END, t::END, &stop),
        );
        return build::slice(b, x, &start, &stop, &layout.dims(1, 1, &stride));
    }
    let stop = (0..spatial).map(|i| if left(i) == 0 { i64::MAX } else { -left(i) });
    let stop = constant(b, Tensor::from_i64s(stop))?;
    let start = constant(b, Tensor::from_i64s(start))?;
    let stride = constant(b, Tensor::from_i64s(stride))?;
    let axes = build::ints(layout.first..layout.first + spatial);
    b.one(&t::DynSlice, &[x, start, stop, stride], &[("axes", axes)])
}

/// One group: the slices side by side as channels, contracted with the weights.
fn all_channels(b: &mut Builder<'_>, plan: &Plan, slices: &[Value], w: Value) -> OpResult<Value> {
    let layout = plan.layout;
    let x = build::concat(b, slices, layout.channel)?;
    let w = taps_first(b, plan, w)?;
    let depth = Dim::Known(plan.taps() * plan.inputs);
    let w = build::reshape(b, w, &[Dim::Known(plan.outputs), depth])?;
    let pairs = build::Pairs {
        contract: &[(layout.channel, 1)],
        ..Default::default()
    };
    let y = build::contract(b, x, w, pairs)?;
    channel_from_end(b, layout, y)
}

/// The weights as output, tap, input.
fn taps_first(b: &mut Builder<'_>, plan: &Plan, w: Value) -> OpResult<Value> {
    let dims = [plan.outputs, plan.inputs, plan.taps()].map(Dim::Known);
    let w = build::reshape(b, w, &dims)?;
    build::transpose(b, w, &[0, 2, 1])
}

/// Brings the channel from the last axis to its place.
fn channel_from_end(b: &mut Builder<'_>, layout: Layout, y: Value) -> OpResult<Value> {
    let rank = layout.spatial + 2;
    let mut perm: Vec<usize> = (0..rank - 1).collect();
    perm.insert(layout.channel, rank - 1);
    build::transpose(b, y, &perm)
}

/// One input and one output channel per group: weighted slices.
fn each_channel(b: &mut Builder<'_>, plan: &Plan, slices: &[Value], w: Value) -> OpResult<Value> {
    let taps = [plan.outputs, plan.taps()].map(Dim::Known);
    let w = build::reshape(b, w, &taps)?;
    let mut sum: Option<Value> = None;
    for (tap, &x) in slices.iter().enumerate() {
        let weight = build::slice_axis(b, w, 1, tap as i64, tap as i64 + 1)?;
        let weight = build::reshape(b, weight, &[Dim::Known(plan.outputs)])?;
        let part = along(b, &t::Mul, x, weight, plan.layout.channel)?;
        sum = Some(match sum {
            Some(sum) => zip(b, &t::Add, sum, part)?,
            None => part,
        });
    }
    match sum {
        Some(sum) => Ok(sum),
        None => crate::bug!("a window without positions"),
    }
}

/// Groups become a batch axis of the contraction.
fn grouped(
    b: &mut Builder<'_>,
    plan: &Plan,
    slices: &[Value],
    w: Value,
    to: &[Dim],
) -> OpResult<Value> {
    let layout = plan.layout;
    let (groups, inputs) = (Dim::Known(plan.groups), Dim::Known(plan.inputs));
    let channel = layout.channel;
    // Batch, spatial and channel axes, with the channel axis split in two.
    let mut split = to.to_vec();
    split.splice(channel..=channel, [groups, inputs]);
    let parts: Vec<Value> = slices
        .iter()
        .map(|&slice| build::reshape(b, slice, &split))
        .collect::<OpResult<_>>()?;
    let x = build::concat(b, &parts, channel + 1)?;
    let w = taps_first(b, plan, w)?;
    let depth = Dim::Known(plan.taps() * plan.inputs);
    let each = Dim::Known(plan.outputs / plan.groups);
    let w = build::reshape(b, w, &[groups, each, depth])?;
    let pairs = build::Pairs {
        batch: &[(channel, 0)],
        contract: &[(channel + 1, 2)],
        to: None,
    };
    let y = build::contract(b, x, w, pairs)?;
    groups_in_place(b, layout, y, to)
}

/// From group, batch, spatial, channel of the group to the layout.
fn groups_in_place(b: &mut Builder<'_>, layout: Layout, y: Value, to: &[Dim]) -> OpResult<Value> {
    let rank = layout.spatial + 2;
    let mut perm: Vec<usize> = (1..rank).collect();
    perm.splice(layout.channel..layout.channel, [0, rank]);
    let y = build::transpose(b, y, &perm)?;
    build::reshape(b, y, to)
}

/// Zeros between the elements make it a convolution with stride 1 and the kernel reversed.
pub(super) fn expand_conv_transpose(b: &mut Builder<'_>, op: Op) -> OpResult<Option<Vec<Value>>> {
    let view = b.view(op);
    let (x, w) = (view.operand_tensor(0), view.operand_tensor(1));
    let layout = Layout::new(ConvTranspose::layout(view), x.rank())?;
    let (stride, dilation) = (ConvTranspose::stride(view), ConvTranspose::dilation(view));
    let window = kernel_window(w, &stride, &dilation, &ConvTranspose::pad(view))?;
    let extra = ConvTranspose::output_pad(view);
    let groups = ConvTranspose::groups(view);
    let operands = view.operands().to_vec();
    let spatial: Option<Vec<u64>> = layout
        .spatial_of(&x.dims)
        .iter()
        .map(|d| d.known())
        .collect();
    let (Some(spatial), Some(w)) = (spatial, w.known_dims()) else {
        return Ok(None);
    };
    let places = view.result_tensor(0).dims.clone();
    let plain = |n: u64| (1..=MAX_EXTENT).contains(&n);
    let places = layout
        .spatial_of(&places)
        .iter()
        .all(|d| d.known().is_some_and(plain));
    if !can_reshape(&x.dims) || !places || !spatial.iter().all(|n| plain(*n)) {
        return Ok(None);
    }
    let mut y = operands[0];
    for (i, &extent) in spatial.iter().enumerate() {
        y = spaced(b, y, layout.first + i, extent, window.stride[i] as u64)?;
    }
    // The reversed kernel starts before the first element; padding may cut that off again.
    let mut low = vec![0i64; layout.spatial];
    let mut high = vec![0i64; layout.spatial];
    for i in 0..layout.spatial {
        let before = window.reach(i) as i64 - 1;
        low[i] = before - window.low[i] as i64;
        high[i] = before - window.high[i] as i64 + extra[i];
    }
    y = cut(b, layout, y, &low, &high)?;
    let inside = |list: &[i64]| -> Vec<i64> { list.iter().map(|n| (*n).max(0)).collect() };
    let w = reversed(b, operands[1], &w, groups as usize)?;
    let mut conv_operands = vec![y, w];
    conv_operands.extend(operands.get(2));
    let attrs = [
        ("stride", vec![1; layout.spatial].into()),
        ("dilation", dilation.into()),
        ("pad", [inside(&low), inside(&high)].concat().into()),
        ("groups", groups.into()),
        (
            "layout",
            Attr::from(if layout.channel == 1 { "nchw" } else { "nhwc" }),
        ),
    ];
    let y = b.one(&Conv, &conv_operands, &attrs)?;
    expanded(b, op, y)
}

/// `stride - 1` zeros between neighbours along an axis.
fn spaced(b: &mut Builder<'_>, x: Value, axis: usize, extent: u64, stride: u64) -> OpResult<Value> {
    if stride == 1 || extent == 1 {
        return Ok(x);
    }
    let mut dims = build::dims(b, x);
    let rank = dims.len();
    let x = build::unsqueeze(b, x, &[axis + 1])?;
    let mut high = vec![0; rank + 1];
    high[axis + 1] = stride as i64 - 1;
    let x = build::pad(b, x, 0.0, &vec![0; rank + 1], &high)?;
    dims[axis] = Dim::Known(extent * stride);
    let x = build::reshape(b, x, &dims)?;
    build::slice_axis(b, x, axis, 0, ((extent - 1) * stride + 1) as i64)
}

/// Cuts off what negative padding says.
fn cut(
    b: &mut Builder<'_>,
    layout: Layout,
    x: Value,
    low: &[i64],
    high: &[i64],
) -> OpResult<Value> {
    let dims = build::dims(b, x);
    let mut y = x;
    for i in 0..layout.spatial {
        let axis = layout.first + i;
        let extent = dims[axis].known().unwrap_or(0) as i64;
        let (start, stop) = ((-low[i]).max(0), extent - (-high[i]).max(0));
        if start > 0 || stop < extent {
            y = build::slice_axis(b, y, axis, start.min(extent), stop.max(start.min(extent)))?;
        }
    }
    Ok(y)
}

/// The weights of the transposed convolution as those of a convolution: channels swapped within
/// each group, taps in reverse.
fn reversed(b: &mut Builder<'_>, w: Value, shape: &[usize], groups: usize) -> OpResult<Value> {
    let known =
        |list: &[usize]| -> Vec<Dim> { list.iter().map(|&n| Dim::Known(n as u64)).collect() };
    let spatial = &shape[2..];
    let axes = [("axes", build::ints(2..shape.len()))];
    let w = b.one(&t::Reverse, &[w], &axes)?;
    let (inputs, outputs) = (shape[0] / groups, shape[1]);
    let split = [&[groups, inputs, outputs], spatial].concat();
    let w = build::reshape(b, w, &known(&split))?;
    let mut perm: Vec<usize> = (0..split.len()).collect();
    perm.swap(1, 2);
    let w = build::transpose(b, w, &perm)?;
    build::reshape(
        b,
        w,
        &known(&[&[groups * outputs, inputs], spatial].concat()),
    )
}
