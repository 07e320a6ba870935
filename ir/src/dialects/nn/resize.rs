//! Resampling of images and volumes.

use crate::core::{
    Attr, Builder, Cost, Dim, Elem, EvalCx, Num, Op, OpDef, OpError, OpInfo, OpResult, OpView,
    Shape, Tensor, TensorType, Type, Value,
};
use crate::dialects::core::constant;
use crate::dialects::tensor::{self as t, build};
use crate::op;

use super::expand::{along, expanded, zip};
use super::rules::{choice, ensure, one, operand_types, shape_of, split_at, tensor_types};

op! {
    /// Resamples each axis to the extent in `sizes`, by interpolation of the nearest 1, 2 or 4
    /// elements (`mode = "nearest"`, `"linear"`, `"cubic"`).
    ///
    /// `sizes` and `scales` have one entry per axis of `x`; without scales they are `size /
    /// extent`. An extent of `sizes` that is not a number is `⌊extent · scale⌋`. `coordinates` says
    /// where output position `i` lies in the input: `half_pixel` `(i + ½) / scale - ½`,
    /// `half_pixel_symmetric` the same, centred when sizes were rounded, `pytorch_half_pixel` 0 for
    /// a size of 1, `align_corners` `i · (extent - 1) / (extent · scale - 1)`, `asymmetric`
    /// `i / scale`, `tf_crop_and_resize` within the part that `roi` gives (all starts, then all
    /// ends, as fractions), with `extrapolation` outside of `x`. Where a scale is less than 1,
    /// `antialias` widens linear and cubic interpolation so that every element counts. `nearest`
    /// rounds with `round_prefer_floor`,
    /// `round_prefer_ceil`, `floor` or `ceil`. Cubic uses the coefficient `cubic`. Positions outside
    /// repeat the edge, or have no weight if `exclude_outside`.
    "nn.resize" => Resize {
        operands: [x: NUM_TENSOR],
        attributes: [sizes: Dims, scales: Floats = Attr::List(Vec::new()), mode: Str = "nearest", coordinates: Str = "half_pixel", nearest: Str = "round_prefer_floor", cubic: Float = -0.75, exclude_outside: Bool = false, extrapolation: Float = 0.0, antialias: Bool = false, roi: Floats = Attr::List(Vec::new())],
        results: [y],
        traits: [Pure],
    }
}

impl OpDef for Resize {
    fn info(&self) -> &'static OpInfo {
        &Resize::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        one(resize_type(op, &operand_types(op)[0])?)
    }
    fn eval(&self, op: OpView<'_>, x: &[Tensor], _: &mut EvalCx<'_>) -> OpResult<Vec<Tensor>> {
        let shape = shape_of(&resize_type(op, &tensor_types(x)[0])?)?;
        if shape.contains(&0) {
            return Ok(vec![Tensor::zeros(x[0].elem(), &shape)]);
        }
        let mut at: Shape = x[0].shape().iter().copied().collect();
        // The axes change one after another.
        for (axis, &size) in shape.iter().enumerate() {
            at[axis] = size;
            let ty = TensorType::new(x[0].elem(), at.iter().map(|&n| Dim::Known(n as u64)));
            shape_of(&ty)?;
        }
        at = x[0].shape().iter().copied().collect();
        if Resize::mode(op) == "nearest" {
            let mut y = x[0].nums();
            for axis in 0..shape.len() {
                let taps = taps(op, axis, at[axis], shape[axis]);
                let outside = Num::Float(Resize::extrapolation(op));
                y = resample(&y, &at, axis, &taps, |y, place| match place.first() {
                    Some((p, _)) => y(*p),
                    None => outside,
                });
                at[axis] = shape[axis];
            }
            return Ok(vec![Tensor::from_nums(x[0].elem(), shape, y)]);
        }
        let mut y = x[0].to_f64s();
        for axis in 0..shape.len() {
            let taps = taps(op, axis, at[axis], shape[axis]);
            let outside = Resize::extrapolation(op);
            y = resample(&y, &at, axis, &taps, |y, place| match place.is_empty() {
                true => outside,
                false => place.iter().map(|(p, weight)| y(*p) * weight).sum(),
            });
            at[axis] = shape[axis];
        }
        Ok(vec![Tensor::from_f64s(x[0].elem(), shape, y)])
    }
    fn decompose(&self, b: &mut Builder<'_>, op: Op) -> OpResult<Option<Vec<Value>>> {
        let view = b.view(op);
        let mut y = view.operand(0);
        let from = view.operand_tensor(0).dims.clone();
        let to = view.result_tensor(0).dims.clone();
        let mut changes = Vec::new();
        for (axis, pair) in from.iter().zip(&to).enumerate() {
            match pair {
                (Dim::Known(n), Dim::Known(m)) => {
                    if *n == 0 || *m > MAX_SIZE {
                        return Ok(None);
                    }
                    changes.push((axis, taps(view, axis, *n as usize, *m as usize)));
                }
                _ if keeps(view, axis) => {}
                _ => return Ok(None),
            }
        }
        let outside = Resize::extrapolation(view);
        for (axis, places) in changes {
            y = expand_axis(b, y, axis, &places, outside)?;
        }
        expanded(b, op, y)
    }
    fn cost(&self, op: OpView<'_>) -> Cost {
        Cost::per_element(op, 8)
    }
}

fn resize_type(op: OpView<'_>, x: &TensorType) -> OpResult<TensorType> {
    let (sizes, scales, roi) = (Resize::sizes(op), Resize::scales(op), Resize::roi(op));
    choice("mode", Resize::mode(op), &["nearest", "linear", "cubic"])?;
    let coordinates = [
        "half_pixel",
        "half_pixel_symmetric",
        "pytorch_half_pixel",
        "align_corners",
        "asymmetric",
        "tf_crop_and_resize",
    ];
    choice("coordinates", Resize::coordinates(op), &coordinates)?;
    let nearest = ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"];
    choice("nearest", Resize::nearest(op), &nearest)?;
    ensure!(
        sizes.len() == x.rank(),
        "`sizes` must have {} entries, found {}",
        x.rank(),
        sizes.len()
    );
    ensure!(
        scales.is_empty() || scales.len() == x.rank(),
        "`scales` must have {} entries or none, found {}",
        x.rank(),
        scales.len()
    );
    ensure!(
        scales.iter().all(|s| s.is_finite() && *s > 0.0),
        "`scales` must be greater than 0"
    );
    let with_roi = Resize::coordinates(op) == "tf_crop_and_resize";
    ensure!(
        roi.len() == if with_roi { 2 * x.rank() } else { roi.len() },
        "`roi` must have {} entries, found {}",
        2 * x.rank(),
        roi.len()
    );
    ensure!(
        x.elem.is_float() || Resize::mode(op) == "nearest",
        "integers are resized to the nearest element only"
    );
    let mut dims = Vec::with_capacity(sizes.len());
    for (i, (&size, &extent)) in sizes.iter().zip(&x.dims).enumerate() {
        let scale = scales.get(i).copied();
        let declared = op.operand_dims(0)[i];
        dims.push(match (size, extent, scale) {
            (Dim::Known(n), Dim::Known(m), _) => {
                ensure!(
                    n == 0 || m > 0,
                    "axis {i} of no elements cannot be resized to {n}"
                );
                size
            }
            (Dim::Known(_), _, _) => size,
            (_, _, Some(1.0)) => extent,
            (_, Dim::Known(n), Some(scale)) => Dim::Known((n as f64 * scale).floor() as u64),
            (Dim::Sym(_), _, None) if size == declared => extent,
            (_, _, Some(_)) => Dim::Unknown,
            (_, _, None) => {
                return Err(OpError::new(format!(
                    "the extent {size} of axis {i} is neither a number nor that of `x`"
                ))
                .help("give `scales`"));
            }
        });
    }
    Ok(TensorType::new(x.elem, dims))
}

/// Longer results are not expanded: each position becomes an entry of a constant.
const MAX_SIZE: u64 = 1 << 24;

/// The elements that one output position reads, with their weights. None: it lies outside.
type Place = Vec<(usize, f64)>;

/// What each output position along an axis reads.
fn taps(op: OpView<'_>, axis: usize, extent: usize, size: usize) -> Vec<Place> {
    if extent == 0 {
        return Vec::new();
    }
    let (scale, width) = match Resize::scales(op).get(axis) {
        Some(scale) => (*scale, extent as f64 * scale),
        None => (size as f64 / extent as f64, size as f64),
    };
    let roi = Resize::roi(op);
    let roi = match Resize::coordinates(op) == "tf_crop_and_resize" {
        true => (roi[axis], roi[roi.len() / 2 + axis]),
        false => (0.0, 1.0),
    };
    let line = Line {
        extent,
        size,
        scale,
        width,
        roi,
    };
    let last = (extent - 1) as f64;
    let place = |i: usize| {
        let x = line.coordinate(Resize::coordinates(op), i);
        if Resize::coordinates(op) == "tf_crop_and_resize" && !(0.0..=last).contains(&x) {
            return Place::new();
        }
        let inside = |p: f64| p.clamp(0.0, last) as usize;
        match Resize::mode(op) {
            "nearest" => vec![(inside(nearest(Resize::nearest(op), x)), 1.0)],
            mode => {
                let (reach, a) = match mode {
                    "linear" => (1.0, None),
                    _ => (2.0, Some(Resize::cubic(op))),
                };
                let shrink = match Resize::antialias(op) {
                    true => scale.min(1.0),
                    false => 1.0,
                };
                let reads = around(x, reach, shrink, |distance| match a {
                    None => (1.0 - distance).max(0.0),
                    Some(a) => cubic(a, distance),
                });
                weigh(&reads, last, Resize::exclude_outside(op))
            }
        }
    };
    (0..size).map(place).collect()
}

/// The elements around a position with their weights, which are 0 from the distance `reach` on. A
/// `shrink` below 1 counts more elements, each for less.
fn around(x: f64, reach: f64, shrink: f64, weight: impl Fn(f64) -> f64) -> Vec<(f64, f64)> {
    // A scale near 0 would count elements without end; further ones than these weigh nothing.
    let first = ((-reach / shrink).floor() + 1.0).max(-MAX_REACH);
    let offsets = (0..).map(|i| first + f64::from(i));
    let weigh = |d: f64| {
        (
            x.floor() + d,
            weight((shrink * (d - (x - x.floor()))).abs()),
        )
    };
    let reads: Vec<(f64, f64)> = offsets
        .take_while(|d| *d < 2.0 - first)
        .map(weigh)
        .collect();
    if shrink == 1.0 {
        return reads;
    }
    let total: f64 = reads.iter().map(|r| r.1).sum();
    reads.into_iter().map(|(p, w)| (p, w / total)).collect()
}

/// The most elements to one side that a result reads.
const MAX_REACH: f64 = 65536.0;

/// Brings positions outside to the edge, or drops them and scales the other weights up.
fn weigh(taps: &[(f64, f64)], last: f64, exclude_outside: bool) -> Place {
    let inside = |p: f64| (0.0..=last).contains(&p);
    let total: f64 = match exclude_outside {
        true => taps.iter().filter(|t| inside(t.0)).map(|t| t.1).sum(),
        false => 1.0,
    };
    // A weight of 0 would turn an infinite element that is not meant to be read into NaN.
    let read = taps
        .iter()
        .filter(|t| t.1 != 0.0 && (inside(t.0) || !exclude_outside));
    read.map(|(p, weight)| (p.clamp(0.0, last) as usize, weight / total))
        .collect()
}

/// The weight of an element at that distance, for the cubic with coefficient `a`.
fn cubic(a: f64, distance: f64) -> f64 {
    let d = distance;
    match d <= 1.0 {
        true => ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0,
        false if d < 2.0 => ((a * d - 5.0 * a) * d + 8.0 * a) * d - 4.0 * a,
        false => 0.0,
    }
}

fn nearest(rounding: &str, x: f64) -> f64 {
    match rounding {
        "floor" => x.floor(),
        "ceil" => x.ceil(),
        "round_prefer_ceil" => (x + 0.5).floor(),
        _ => (x - 0.5).ceil(),
    }
}

/// One axis of the input and of the result.
struct Line {
    extent: usize,
    size: usize,
    scale: f64,
    /// `extent · scale`.
    width: f64,
    /// The part of the input that the result covers, as fractions of its extent.
    roi: (f64, f64),
}

impl Line {
    /// Where an output position lies in the input.
    fn coordinate(&self, transform: &str, i: usize) -> f64 {
        let (i, extent, size) = (i as f64, self.extent as f64, self.size as f64);
        // Not rounded, unless the size is all that is given.
        let width = self.width;
        match transform {
            "align_corners" if width == 1.0 => 0.0,
            "align_corners" => i * (extent - 1.0) / (width - 1.0),
            "asymmetric" => i / self.scale,
            "pytorch_half_pixel" if self.size == 1 => 0.0,
            "half_pixel_symmetric" => {
                // The size was rounded: keep the centres of both together.
                let adjustment = size / width;
                let offset = extent / 2.0 * (1.0 - adjustment);
                offset + (i + 0.5) / self.scale - 0.5
            }
            "tf_crop_and_resize" => {
                let (start, end) = self.roi;
                let from = start * (extent - 1.0);
                let part = (end - start) * (extent - 1.0);
                match width == 1.0 {
                    true => from + part / 2.0,
                    false => from + i * part / (width - 1.0),
                }
            }
            _ => (i + 0.5) / self.scale - 0.5,
        }
    }
}

/// Replaces one axis by combinations of its elements.
fn resample<T: Copy>(
    x: &[T],
    shape: &[usize],
    axis: usize,
    places: &[Place],
    combine: impl Fn(&dyn Fn(usize) -> T, &Place) -> T,
) -> Vec<T> {
    let (outer, extent, inner) = split_at(shape, axis);
    let mut y = Vec::with_capacity(outer * places.len() * inner);
    for o in 0..outer {
        for place in places {
            y.extend((0..inner).map(|i| combine(&|p| x[(o * extent + p) * inner + i], place)));
        }
    }
    y
}

/// Whether an axis stays as it is, whatever its extent.
fn keeps(op: OpView<'_>, axis: usize) -> bool {
    let roi = Resize::roi(op);
    let whole = Resize::coordinates(op) != "tf_crop_and_resize"
        || (roi[axis] == 0.0 && roi[roi.len() / 2 + axis] == 1.0);
    let (from, to) = (op.operand_dims(0)[axis], Resize::sizes(op)[axis]);
    whole
        && match Resize::scales(op).get(axis) {
            Some(scale) => *scale == 1.0 && (to == from || to.known().is_none()),
            None => to == from && to != Dim::Unknown,
        }
}

/// Sums weighted slices of `x` at constant places of an axis.
fn expand_axis(
    b: &mut Builder<'_>,
    x: Value,
    axis: usize,
    places: &[Place],
    outside: f64,
) -> OpResult<Value> {
    let same = build::dims(b, x)[axis] == Dim::Known(places.len() as u64)
        && places.iter().enumerate().all(|(i, p)| p[..] == [(i, 1.0)]);
    if same {
        return Ok(x);
    }
    let reads = places.iter().map(Vec::len).max().unwrap_or(0).max(1);
    let filled: Vec<Place> = places.iter().map(|p| filled(p, reads)).collect();
    let mut sum: Option<Value> = None;
    for read in 0..reads {
        let indices = filled.iter().map(|p| p[read].0 as i64);
        let indices = constant(b, Tensor::from_i64s(indices))?;
        let mut part = build::gather(b, x, indices, axis)?;
        if filled.iter().any(|p| p[read].1 != 1.0) {
            let weights = filled.iter().map(|p| p[read].1);
            let weights = Tensor::from_f64s(build::elem(b, x), [places.len()], weights);
            let weights = constant(b, weights)?;
            part = along(b, &t::Mul, part, weights, axis)?;
        }
        sum = Some(match sum {
            Some(sum) => zip(b, &t::Add, sum, part)?,
            None => part,
        });
    }
    let y = sum.unwrap_or(x);
    if places.iter().all(|p| !p.is_empty()) {
        return Ok(y);
    }
    let hidden = places.iter().map(|p| Num::Int(p.is_empty().into()));
    let hidden = Tensor::from_nums(Elem::Bool, [places.len()], hidden);
    let hidden = constant(b, hidden)?;
    let mut dims = vec![Dim::Known(1); build::rank(b, y) - axis];
    dims[0] = Dim::Known(places.len() as u64);
    let hidden = build::reshape(b, hidden, &dims)?;
    let hidden = build::broadcast_like(b, hidden, y)?;
    let outside = build::splat_like(b, y, outside)?;
    b.one(&t::Select, &[hidden, outside, y], &[])
}

/// As many reads as the place with most: the last is split in halves, which changes no value,
/// where a read with weight 0 would turn infinity into NaN.
fn filled(place: &Place, reads: usize) -> Place {
    let mut place = place.clone();
    if place.is_empty() {
        place.push((0, 1.0));
    }
    while place.len() < reads {
        let last = place.len() - 1;
        place[last].1 /= 2.0;
        place.push(place[last]);
    }
    place
}
