//! Resampling.

use lepid_ir::core::{Attr, Dim, OpResult, Value};
use lepid_ir::dialects::nn;
use lepid_ir::dialects::tensor::extents::Entry;

use super::{Row, one, row};
use crate::frontends::onnx::cx::{Cx, invalid, normal_axis, unsupported};

type Values = OpResult<Vec<Value>>;

pub(super) const ROWS: &[Row] = &[row("Resize", 10, resize), row("Upsample", 7, upsample)];

fn upsample(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let x = cx.input(0)?;
    let scales = match cx.opset < 9 {
        true => cx.floats("scales")?,
        false => cx.constant_input(1, "the scales")?.map(|t| t.to_f64s()),
    };
    let scales = cx.required("scales", scales)?;
    simple(cx, x, scales)
}

/// The rules before opset 11: scales alone, positions `i / scale`, rounded down.
fn simple(cx: &mut Cx<'_, '_, '_, '_>, x: Value, scales: Vec<f64>) -> Values {
    let mode = cx.string("mode", "nearest")?;
    let mut attrs = target(cx, x, Target::Scales(scales))?;
    attrs.push(("mode", mode.as_str().into()));
    attrs.push(("coordinates", "asymmetric".into()));
    attrs.push(("nearest", "floor".into()));
    one(cx.op(&nn::Resize, &[x], &attrs)?)
}

fn resize(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let x = cx.input(0)?;
    let rank = cx.rank(x)?;
    if cx.opset < 11 {
        let scales = cx.constant_input(1, "the scales")?.map(|t| t.to_f64s());
        let scales = cx.required("scales", scales)?;
        return simple(cx, x, scales);
    }
    let axes = match cx.ints("axes")? {
        Some(axes) => axes
            .iter()
            .map(|&a| normal_axis(a, rank))
            .collect::<OpResult<_>>()?,
        None => (0..rank).collect::<Vec<usize>>(),
    };
    let scales = cx.constant_input(2, "the scales")?.map(|t| t.to_f64s());
    let scales = scales.filter(|s| !s.is_empty());
    let goal = match (scales, cx.optional(3)) {
        (Some(scales), _) => Target::Scales(spread(&axes, scales, vec![1.0; rank])?),
        (None, Some(sizes)) => sizes_goal(cx, x, sizes, &axes)?,
        (None, None) => return Err(invalid("neither scales nor sizes are given")),
    };
    let mut attrs = target(cx, x, goal)?;
    let coordinates = cx.string("coordinate_transformation_mode", "half_pixel")?;
    let nearest = cx.string("nearest_mode", "round_prefer_floor")?;
    attrs.push(("mode", cx.string("mode", "nearest")?.as_str().into()));
    attrs.push(("coordinates", coordinates.as_str().into()));
    attrs.push(("nearest", nearest.as_str().into()));
    attrs.push(("cubic", cx.float("cubic_coeff_a", -0.75)?.into()));
    attrs.push(("antialias", cx.flag("antialias")?.into()));
    attrs.push(("exclude_outside", cx.flag("exclude_outside")?.into()));
    attrs.push((
        "extrapolation",
        cx.float("extrapolation_value", 0.0)?.into(),
    ));
    if coordinates == "tf_crop_and_resize" {
        let roi = cx
            .constant_input(1, "the region of interest")?
            .map(|t| t.to_f64s());
        let roi = cx.required("roi", roi)?;
        if roi.len() != 2 * axes.len() {
            return Err(invalid("the region of interest has the wrong length"));
        }
        let (starts, ends) = roi.split_at(axes.len());
        let starts = spread(&axes, starts.to_vec(), vec![0.0; rank])?;
        let ends = spread(&axes, ends.to_vec(), vec![1.0; rank])?;
        attrs.push(("roi", Attr::from(&[starts, ends].concat()[..])));
    }
    one(cx.op(&nn::Resize, &[x], &attrs)?)
}

/// Values for some axes among those for all.
fn spread(axes: &[usize], values: Vec<f64>, mut all: Vec<f64>) -> OpResult<Vec<f64>> {
    if values.len() != axes.len() {
        return Err(invalid(format!(
            "{} scales are given for {} axes",
            values.len(),
            axes.len()
        )));
    }
    for (&axis, value) in axes.iter().zip(values) {
        all[axis] = value;
    }
    Ok(all)
}

/// What the extents of the result follow from.
enum Target {
    Scales(Vec<f64>),
    Sizes(Vec<Dim>),
    /// Sizes that were rounded, with the scales of the axes.
    Rounded(Vec<Dim>, Vec<f64>),
}

fn sizes_goal(cx: &Cx<'_, '_, '_, '_>, x: Value, sizes: Value, axes: &[usize]) -> OpResult<Target> {
    let mut dims = cx.dims(x)?;
    let entries = cx
        .entries(sizes)
        .filter(|e| e.len() == axes.len() && !e.contains(&Entry::Unknown));
    let entries = entries.ok_or_else(|| cx.must_be_constant(sizes, "the sizes"))?;
    let policy = cx.string("keep_aspect_ratio_policy", "stretch")?;
    if policy != "stretch" {
        return aspect_ratio(&policy, dims, axes, &entries);
    }
    for (&axis, entry) in axes.iter().zip(entries) {
        dims[axis] = entry.dim().ok_or_else(|| invalid("a size is negative"))?;
    }
    Ok(Target::Sizes(dims))
}

/// One scale for all axes: the smallest or greatest that the sizes ask for.
fn aspect_ratio(
    policy: &str,
    mut dims: Vec<Dim>,
    axes: &[usize],
    entries: &[Entry],
) -> OpResult<Target> {
    let mut scales = Vec::new();
    for (&axis, entry) in axes.iter().zip(entries) {
        match (entry, dims[axis].known()) {
            (Entry::Number(size), Some(n @ 1..)) => scales.push(*size as f64 / n as f64),
            _ => {
                return Err(unsupported("the aspect ratio is open").help("give fixed input shapes"));
            }
        }
    }
    let scale = match policy {
        "not_larger" => scales.iter().copied().fold(f64::INFINITY, f64::min),
        "not_smaller" => scales.iter().copied().fold(0.0, f64::max),
        other => {
            return Err(invalid(format!(
                "attribute `keep_aspect_ratio_policy` is `{other}`"
            )));
        }
    };
    let mut all = vec![1.0; dims.len()];
    for &axis in axes {
        dims[axis] = dims[axis].map(|n| (n as f64 * scale + 0.5).floor() as u64);
        all[axis] = scale;
    }
    Ok(Target::Rounded(dims, all))
}

/// The attributes that say how large the result is.
fn target(cx: &Cx<'_, '_, '_, '_>, x: Value, goal: Target) -> OpResult<Vec<(&'static str, Attr)>> {
    let dims = cx.dims(x)?;
    match goal {
        Target::Sizes(sizes) => Ok(vec![("sizes", Attr::dims(sizes))]),
        Target::Rounded(sizes, scales) => Ok(vec![
            ("sizes", Attr::dims(sizes)),
            ("scales", Attr::from(&scales[..])),
        ]),
        Target::Scales(scales) if scales.len() == dims.len() => {
            let sizes = dims.iter().zip(&scales).map(|(d, &s)| match s == 1.0 {
                true => *d,
                false => d.map(|n| (n as f64 * s).floor() as u64),
            });
            Ok(vec![
                ("sizes", Attr::dims(sizes)),
                ("scales", Attr::from(&scales[..])),
            ])
        }
        Target::Scales(scales) => Err(invalid(format!(
            "{} scales are given for rank {}",
            scales.len(),
            dims.len()
        ))),
    }
}
