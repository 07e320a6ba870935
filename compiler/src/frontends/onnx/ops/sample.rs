//! Sampling at computed places.

use lepid_ir::core::{Attr, Dim, Elem, OpResult, Tensor, Value};
use lepid_ir::dialects::nn;
use lepid_ir::dialects::tensor::{self, build};

use super::{Row, one, row};
use crate::frontends::onnx::cx::{Cx, invalid, unsupported};

type Values = OpResult<Vec<Value>>;

pub(super) const ROWS: &[Row] = &[
    row("AffineGrid", 20, affine_grid),
    row("GridSample", 16, grid_sample),
];

/// A grid of more places than this is not worth a constant.
const GRID_LIMIT: u64 = 1 << 22;

/// Places from -1 to 1 along each spatial axis, turned by a matrix per sample.
fn affine_grid(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let theta = cx.input(0)?;
    let size = cx.constant_ints(1, "the size")?;
    let size = cx.required("size", size)?;
    let elem = cx.elem(theta)?;
    let spatial: Option<Vec<u64>> = size
        .iter()
        .skip(2)
        .map(|&n| u64::try_from(n).ok())
        .collect();
    let spatial = spatial.ok_or_else(|| invalid("a size is negative"))?;
    if !matches!(spatial.len(), 2 | 3) {
        return Err(invalid(format!("the size has {} extents", size.len())));
    }
    let count = spatial.iter().try_fold(1u64, |a, &b| a.checked_mul(b));
    let count = count.filter(|&n| n <= GRID_LIMIT);
    let count = count.ok_or_else(|| unsupported("the grid is too large"))?;
    let corners = cx.flag("align_corners")?;
    let place = |index: u64, extent: u64| match (corners, extent) {
        (true, 1) => -1.0,
        (true, n) => 2.0 * index as f64 / (n - 1) as f64 - 1.0,
        (false, n) => (2.0 * index as f64 + 1.0) / n as f64 - 1.0,
    };
    let rank = spatial.len();
    let mut values = Vec::with_capacity(count as usize * (rank + 1));
    for flat in 0..count {
        let mut rest = flat;
        // The last axis comes first in a place, and a 1 for the shift comes last.
        for &extent in spatial.iter().rev() {
            values.push(place(rest % extent, extent));
            rest /= extent;
        }
        values.push(1.0);
    }
    let base = Tensor::from_f64s(elem, [count as usize, rank + 1], values);
    let base = cx.constant(base)?;
    let turned = cx.transpose(theta, &[0, 2, 1])?;
    let grid = cx.op(&nn::MatMul, &[base, turned], &[])?;
    let batch = cx.dims(theta)?[0];
    let dims: Vec<Dim> = [batch]
        .into_iter()
        .chain(spatial.iter().map(|&n| Dim::Known(n)))
        .chain([Dim::Known(rank as u64)])
        .collect();
    one(cx.reshape(grid, &dims)?)
}

/// What stands outside of the input.
#[derive(Copy, Clone, PartialEq)]
pub(super) enum Outside {
    Zeros,
    Border,
    Reflection,
}

/// One spatial axis of the input.
pub(super) struct Axis {
    pub(super) extent: f64,
    pub(super) elem: Elem,
    pub(super) corners: bool,
    pub(super) outside: Outside,
}

/// An element along an axis that takes part in a sample: its index, as a whole float inside of the
/// axis, and its weight.
pub(super) struct Tap {
    pub(super) index: Value,
    pub(super) weight: Option<Value>,
}

fn grid_sample(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let (x, grid) = (cx.input(0)?, cx.input(1)?);
    let (dims, elem) = (cx.dims(x)?, cx.elem(x)?);
    let Some(rank) = dims.len().checked_sub(2).filter(|&r| r > 0) else {
        return Err(invalid("rank 3 at least is needed"));
    };
    let outside = match cx.string("padding_mode", "zeros")?.as_str() {
        "zeros" => Outside::Zeros,
        "border" => Outside::Border,
        "reflection" => Outside::Reflection,
        other => return Err(invalid(format!("attribute `padding_mode` is `{other}`"))),
    };
    let mode = cx.string("mode", "linear")?;
    if cx.rank(grid)? != dims.len() {
        return Err(invalid(format!("the grid must have rank {}", dims.len())));
    }
    let grid = cx.cast(grid, elem)?;
    let last = dims.len() - 1;
    let mut taps = Vec::new();
    for axis in 0..rank {
        let extent = dims[2 + axis].known().ok_or_else(|| {
            unsupported("a spatial extent is open").help("give fixed input shapes")
        })?;
        let axis_of = Axis {
            extent: extent as f64,
            elem,
            corners: cx.flag("align_corners")?,
            outside,
        };
        // A place lists the last axis first.
        let at = (rank - 1 - axis) as i64;
        let part = build::slice_axis(cx.b, grid, last, at, at + 1)?;
        taps.push(axis_taps(cx, &axis_of, part, &mode)?);
    }
    let perm: Vec<usize> = [0].into_iter().chain(2..dims.len()).chain([1]).collect();
    let channels_last = cx.transpose(x, &perm)?;
    let mut sum = None;
    for corner in combinations(&taps) {
        let term = corner_term(cx, channels_last, 1, &corner)?;
        sum = Some(match sum {
            Some(sum) => cx.binary(&tensor::Add, sum, term)?,
            None => term,
        });
    }
    let sum = sum.ok_or_else(|| invalid("there is no spatial axis"))?;
    let perm: Vec<usize> = [0, last].into_iter().chain(1..last).collect();
    one(cx.transpose(sum, &perm)?)
}

/// Every choice of one tap per axis.
pub(super) fn combinations(taps: &[Vec<Tap>]) -> Vec<Vec<&Tap>> {
    let mut all: Vec<Vec<&Tap>> = vec![Vec::new()];
    for axis in taps {
        let longer = all.iter().flat_map(|chosen| {
            axis.iter()
                .map(|tap| chosen.iter().copied().chain([tap]).collect())
        });
        all = longer.collect();
    }
    all
}

/// The elements at one corner, times the product of their weights. The first `batch` axes of `x`
/// are those of the places.
pub(super) fn corner_term(
    cx: &mut Cx<'_, '_, '_, '_>,
    x: Value,
    batch: i64,
    corner: &[&Tap],
) -> OpResult<Value> {
    let mut indices = Vec::new();
    let mut weight = None;
    for tap in corner {
        indices.push(cx.cast(tap.index, Elem::I64)?);
        weight = match (weight, tap.weight) {
            (Some(a), Some(b)) => Some(cx.binary(&tensor::Mul, a, b)?),
            (a, b) => a.or(b),
        };
    }
    let last = cx.rank(indices[0])? - 1;
    let places = build::concat(cx.b, &indices, last)?;
    let found = cx.op(
        &tensor::GatherNd,
        &[x, places],
        &[("batch", Attr::Int(batch))],
    )?;
    match weight {
        Some(weight) => cx.binary(&tensor::Mul, found, weight),
        None => Ok(found),
    }
}

/// The taps along an axis for coordinates from -1 to 1.
fn axis_taps(
    cx: &mut Cx<'_, '_, '_, '_>,
    axis: &Axis,
    place: Value,
    mode: &str,
) -> OpResult<Vec<Tap>> {
    let scale = if axis.corners {
        axis.extent - 1.0
    } else {
        axis.extent
    };
    let shift = if axis.corners { 0.0 } else { -0.5 };
    let from_left = linear(cx, axis, place, 0.5 * scale, 0.5 * scale + shift)?;
    let at = match axis.outside {
        Outside::Zeros => from_left,
        Outside::Border => clamp(cx, axis, from_left)?,
        Outside::Reflection => reflect(cx, axis, from_left)?,
    };
    if mode == "nearest" {
        let index = cx.op(&tensor::Round, &[at], &[])?;
        return Ok(vec![inside(cx, axis, index, None)?]);
    }
    if let "linear" | "bilinear" = mode {
        return linear_taps(cx, axis, at);
    }
    let floor = cx.op(&tensor::Floor, &[at], &[])?;
    let t = cx.binary(&tensor::Sub, at, floor)?;
    let mut taps = Vec::new();
    match mode {
        "cubic" | "bicubic" => {
            for offset in [-1.0, 0.0, 1.0, 2.0] {
                let weight = cubic_weight(cx, axis, t, offset)?;
                let index = linear(cx, axis, floor, 1.0, offset)?;
                taps.push(inside(cx, axis, index, Some(weight))?);
            }
        }
        other => return Err(invalid(format!("attribute `mode` is `{other}`"))),
    }
    Ok(taps)
}

/// The two taps beside a place.
pub(super) fn linear_taps(
    cx: &mut Cx<'_, '_, '_, '_>,
    axis: &Axis,
    at: Value,
) -> OpResult<Vec<Tap>> {
    let floor = cx.op(&tensor::Floor, &[at], &[])?;
    let t = cx.binary(&tensor::Sub, at, floor)?;
    let near = linear(cx, axis, t, -1.0, 1.0)?;
    let next = linear(cx, axis, floor, 1.0, 1.0)?;
    Ok(vec![
        inside(cx, axis, floor, Some(near))?,
        inside(cx, axis, next, Some(t))?,
    ])
}

/// The weight of the tap at `offset` from the floor, by Keys' kernel with `a = -0.75`.
fn cubic_weight(
    cx: &mut Cx<'_, '_, '_, '_>,
    axis: &Axis,
    t: Value,
    offset: f64,
) -> OpResult<Value> {
    let a = -0.75;
    // The distance is `offset - t` or `t - offset`, whichever is positive.
    let distance = match offset > 0.0 {
        true => linear(cx, axis, t, -1.0, offset)?,
        false => linear(cx, axis, t, 1.0, -offset)?,
    };
    let coefficients = match offset == 0.0 || offset == 1.0 {
        true => [a + 2.0, -(a + 3.0), 0.0, 1.0],
        false => [a, -5.0 * a, 8.0 * a, -4.0 * a],
    };
    let mut y = cx.splat(distance, coefficients[0])?;
    for c in &coefficients[1..] {
        let product = cx.binary(&tensor::Mul, y, distance)?;
        y = linear(cx, axis, product, 1.0, *c)?;
    }
    Ok(y)
}

/// `x · scale + shift`.
fn linear(
    cx: &mut Cx<'_, '_, '_, '_>,
    axis: &Axis,
    x: Value,
    scale: f64,
    shift: f64,
) -> OpResult<Value> {
    let mut y = x;
    if scale != 1.0 {
        let scale = cx.number(axis.elem, scale)?;
        y = cx.binary(&tensor::Mul, y, scale)?;
    }
    if shift != 0.0 {
        let shift = cx.number(axis.elem, shift)?;
        y = cx.binary(&tensor::Add, y, shift)?;
    }
    Ok(y)
}

pub(super) fn clamp(cx: &mut Cx<'_, '_, '_, '_>, axis: &Axis, x: Value) -> OpResult<Value> {
    let attrs = [("min", 0.0.into()), ("max", (axis.extent - 1.0).into())];
    cx.op(&nn::Clip, &[x], &attrs)
}

/// Folds a coordinate back at both borders, as often as it takes.
fn reflect(cx: &mut Cx<'_, '_, '_, '_>, axis: &Axis, x: Value) -> OpResult<Value> {
    let low = if axis.corners { 0.0 } else { -0.5 };
    let span = if axis.corners {
        axis.extent - 1.0
    } else {
        axis.extent
    };
    let from_low = linear(cx, axis, x, 1.0, -low)?;
    let distance = cx.op(&tensor::Abs, &[from_low], &[])?;
    let period = cx.number(axis.elem, 2.0 * span)?;
    let rest = cx.binary(&tensor::Rem, distance, period)?;
    let back = linear(cx, axis, rest, -1.0, 2.0 * span)?;
    let folded = cx.op(&tensor::Min, &[rest, back], &[])?;
    linear(cx, axis, folded, 1.0, low)
}

/// A tap whose index is brought inside of the axis; outside of zeros it has no weight.
fn inside(
    cx: &mut Cx<'_, '_, '_, '_>,
    axis: &Axis,
    index: Value,
    weight: Option<Value>,
) -> OpResult<Tap> {
    let within = match axis.outside {
        Outside::Reflection => reflect(cx, axis, index)?,
        Outside::Zeros | Outside::Border => index,
    };
    let clamped = clamp(cx, axis, within)?;
    if axis.outside != Outside::Zeros {
        return Ok(Tap {
            index: clamped,
            weight,
        });
    }
    let valid = cx.compare("eq", clamped, index)?;
    let zero = cx.number(axis.elem, 0.0)?;
    let weight = match weight {
        Some(weight) => weight,
        None => cx.splat(index, 1.0)?,
    };
    Ok(Tap {
        index: clamped,
        weight: Some(cx.select(valid, weight, zero)?),
    })
}
