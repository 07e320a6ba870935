//! Resampling of images and volumes.

use crate::core::{Attr, Cost, Dim, OpDef, OpInfo, OpResult, OpView, TensorType, Type};
use crate::op;

use super::rules::{choice, ensure, one, operand_types};

op! {
    /// Resamples each axis to the extent in `sizes`, by interpolation of the nearest 1, 2 or 4
    /// elements (`mode = "nearest"`, `"linear"`, `"cubic"`).
    ///
    /// `sizes` and `scales` have one entry per axis of `x`; without scales they are `size /
    /// extent`. An extent of `sizes` that is not a number is `⌊extent · scale⌋`. `coordinates` says
    /// where output position `i` lies in the input: `half_pixel` `(i + ½) / scale - ½`,
    /// `half_pixel_symmetric` the same, centred when sizes were rounded, `pytorch_half_pixel` 0 for
    /// a size of 1, `align_corners` `i · (extent - 1) / (size - 1)`, `asymmetric` `i / scale`,
    /// `tf_crop_and_resize` within the part that `roi` gives (all starts, then all ends, as
    /// fractions), with `extrapolation` outside of `x`. `nearest` rounds with `round_prefer_floor`,
    /// `round_prefer_ceil`, `floor` or `ceil`. Cubic uses the coefficient `cubic`. Positions outside
    /// repeat the edge, or have no weight if `exclude_outside`.
    "nn.resize" => Resize {
        operands: [x: NUM_TENSOR],
        attributes: [sizes: Dims, scales: Floats = Attr::List(Vec::new()), mode: Str = "nearest", coordinates: Str = "half_pixel", nearest: Str = "round_prefer_floor", cubic: Float = -0.75, exclude_outside: Bool = false, extrapolation: Float = 0.0, roi: Floats = Attr::List(Vec::new())],
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
            _ if size == extent => extent,
            (Dim::Sym(_), _, _) if scale.is_none() => size,
            _ => Dim::Unknown,
        });
    }
    Ok(TensorType::new(x.elem, dims))
}
