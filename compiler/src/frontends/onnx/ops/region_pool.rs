//! Pools over regions of images that values name.

use lepid_ir::core::{Dim, Elem, OpDef, OpResult, Value};
use lepid_ir::dialects::tensor::{self, build};

use super::sample::{Axis, Outside, Tap, clamp, combinations, corner_term, linear_taps};
use super::{Row, one, row};
use crate::frontends::onnx::cx::{Cx, invalid, unsupported};

type Values = OpResult<Vec<Value>>;

pub(super) const ROWS: &[Row] = &[
    row("MaxRoiPool", 1, max_roi_pool),
    row("RoiAlign", 10, roi_align),
];

/// The extents of an image and of what its regions are pooled to.
#[derive(Copy, Clone)]
struct Grid {
    /// Height and width.
    image: [u64; 2],
    pooled: [u64; 2],
}

impl Grid {
    fn new(cx: &Cx<'_, '_, '_, '_>, x: Value, pooled: [i64; 2]) -> OpResult<Grid> {
        let image = match cx.dims(x)?[..] {
            [_, _, Dim::Known(height), Dim::Known(width)] => [height, width],
            [_, _, _, _] => {
                return Err(unsupported("the extents of the image are open")
                    .help("give fixed input shapes"));
            }
            _ => return Err(invalid("the image must have four axes")),
        };
        let extent = |n: i64| match u64::try_from(n) {
            Ok(n @ 1..=65536) => Ok(n),
            _ => Err(invalid(format!("regions are pooled to the extent {n}"))),
        };
        let pooled = [extent(pooled[0])?, extent(pooled[1])?];
        Ok(Grid { image, pooled })
    }
}

/// One column of the regions, times a factor.
fn edge(cx: &mut Cx<'_, '_, '_, '_>, rois: Value, at: i64, scale: f64) -> OpResult<Value> {
    let edge = build::slice_axis(cx.b, rois, 1, at, at + 1)?;
    build::with_scalar(cx.b, &tensor::Mul, edge, scale)
}

/// How the samples of a bin become one number.
#[derive(Copy, Clone, PartialEq)]
enum Fold {
    Average,
    Max,
}

/// The samples of one axis: region by bin.
struct Samples {
    axis: Axis,
    /// Where the first bin starts, and how large each is: region, 1.
    start: Value,
    bin: Value,
    /// How many samples a bin has: region, 1.
    count: Value,
    pooled: u64,
}

impl Samples {
    /// The taps of the samples of that number in each bin: region, bin.
    fn taps(&self, cx: &mut Cx<'_, '_, '_, '_>, number: Value) -> OpResult<Vec<Tap>> {
        let elem = self.axis.elem;
        let bins = build::iota(cx.b, &[Dim::Known(self.pooled)], 0, elem)?;
        let number = cx.cast(number, elem)?;
        let middle = build::with_scalar(cx.b, &tensor::Add, number, 0.5)?;
        let within = cx.binary(&tensor::Div, middle, self.count)?;
        let bins = cx.binary(&tensor::Add, bins, within)?;
        let offset = cx.binary(&tensor::Mul, bins, self.bin)?;
        let place = cx.binary(&tensor::Add, self.start, offset)?;
        // Places beyond a border of one pixel count nothing, as do samples that a bin lacks.
        let (low, high) = (cx.number(elem, -1.0)?, cx.number(elem, self.axis.extent)?);
        let above = cx.compare("ge", place, low)?;
        let below = cx.compare("le", place, high)?;
        let near = cx.binary(&tensor::And, above, below)?;
        let there = cx.compare("lt", number, self.count)?;
        let counts = cx.binary(&tensor::And, near, there)?;
        let place = clamp(cx, &self.axis, place)?;
        let mut taps = linear_taps(cx, &self.axis, place)?;
        let zero = cx.number(elem, 0.0)?;
        for tap in &mut taps {
            if let Some(weight) = tap.weight {
                tap.weight = Some(cx.select(counts, weight, zero)?);
            }
        }
        Ok(taps)
    }
}

/// Averages (or takes the greatest) of samples between the pixels, in a grid of bins per region.
fn roi_align(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let (x, rois, batches) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    let pooled = [cx.int("output_height", 1)?, cx.int("output_width", 1)?];
    let grid = Grid::new(cx, x, pooled)?;
    let fold = match cx.string("mode", "avg")?.as_str() {
        "avg" => Fold::Average,
        "max" => Fold::Max,
        other => return Err(invalid(format!("attribute `mode` is `{other}`"))),
    };
    let half = match cx.opset >= 16 {
        true => cx.string("coordinate_transformation_mode", "half_pixel")? == "half_pixel",
        false => false,
    };
    let elem = cx.elem(x)?;
    let scale = cx.float("spatial_scale", 1.0)?;
    let mut axes = Vec::new();
    for axis in 0..2 {
        let (first, last) = (1 - axis as i64, 3 - axis as i64);
        let shift = if half { -0.5 } else { 0.0 };
        let start = edge(cx, rois, first, scale)?;
        let start = build::with_scalar(cx.b, &tensor::Add, start, shift)?;
        let end = edge(cx, rois, last, scale)?;
        let end = build::with_scalar(cx.b, &tensor::Add, end, shift)?;
        let mut length = cx.binary(&tensor::Sub, end, start)?;
        if !half {
            length = build::with_scalar(cx.b, &tensor::Max, length, 1.0)?;
        }
        let bins = grid.pooled[axis];
        let bin = build::with_scalar(cx.b, &tensor::Div, length, bins as f64)?;
        let count = match cx.int("sampling_ratio", 0)? {
            ratio @ 1.. => cx.splat(bin, ratio as f64)?,
            _ => cx.op(&tensor::Ceil, &[bin], &[])?,
        };
        axes.push(Samples {
            axis: Axis {
                extent: grid.image[axis] as f64,
                elem,
                corners: true,
                outside: Outside::Border,
            },
            start,
            bin,
            count,
            pooled: bins,
        });
    }
    let x = cx.transpose(x, &[0, 2, 3, 1])?;
    let batches = cx.cast(batches, Elem::I64)?;
    let batches = build::unsqueeze(cx.b, batches, &[1, 2, 3])?;
    let pool = Pool { x, batches, fold };
    let sum = pool.all(cx, &axes, &grid)?;
    one(cx.transpose(sum, &[0, 3, 1, 2])?)
}

/// A pool of samples.
struct Pool {
    /// Channels last.
    x: Value,
    /// The image of each region: region, 1, 1, 1.
    batches: Value,
    fold: Fold,
}

impl Pool {
    /// Over as many samples as the region with the most has: region, bin, bin, channel.
    fn all(&self, cx: &mut Cx<'_, '_, '_, '_>, axes: &[Samples], grid: &Grid) -> OpResult<Value> {
        let elem = cx.elem(self.x)?;
        let mut most = Vec::new();
        for samples in axes {
            let most_here = build::reduce(cx.b, samples.count, "max", &[0, 1])?;
            most.push(cx.cast(most_here, Elem::I64)?);
        }
        let dims = [
            cx.dims(self.batches)?[0],
            Dim::Known(grid.pooled[0]),
            Dim::Known(grid.pooled[1]),
            cx.dims(self.x)?[3],
        ];
        if dims[3] == Dim::Unknown {
            return Err(unsupported("the number of channels is open"));
        }
        let start = match self.fold {
            Fold::Average => 0.0,
            Fold::Max => f64::NEG_INFINITY,
        };
        let start = cx.number(elem, start)?;
        let start = filled(cx, start, &dims, self.batches)?;
        let first = cx.number(Elem::I64, 0.0)?;
        let [rows, columns] = [most[0], most[1]];
        let total = cx.binary(&tensor::Mul, rows, columns)?;
        let done = cx.repeat(
            &[first, start],
            |cx, args| cx.compare("lt", args[0], total),
            |cx, args| {
                let row = cx.binary(&tensor::Div, args[0], columns)?;
                let column = cx.binary(&tensor::Rem, args[0], columns)?;
                let folded = self.one_more(cx, axes, [row, column], args[1])?;
                let next = build::with_scalar(cx.b, &tensor::Add, args[0], 1.0)?;
                Ok(vec![next, cx.reshape(folded, &dims)?])
            },
        )?;
        let counts = cx.binary(&tensor::Mul, axes[0].count, axes[1].count)?;
        let counts = build::with_scalar(cx.b, &tensor::Max, counts, 1.0)?;
        let counts = build::unsqueeze(cx.b, counts, &[2, 3])?;
        match self.fold {
            Fold::Average => cx.binary(&tensor::Div, done[1], counts),
            Fold::Max => {
                let zero = cx.number(elem, 0.0)?;
                let none = cx.op(&tensor::IsInf, &[done[1]], &[("positive", false.into())])?;
                cx.select(none, zero, done[1])
            }
        }
    }

    /// With the samples of that number along both axes.
    fn one_more(
        &self,
        cx: &mut Cx<'_, '_, '_, '_>,
        axes: &[Samples],
        numbers: [Value; 2],
        so_far: Value,
    ) -> OpResult<Value> {
        let mut taps = vec![vec![Tap {
            index: self.batches,
            weight: None,
        }]];
        let spread = [[2, 3], [1, 3]];
        for ((samples, number), others) in axes.iter().zip(numbers).zip(spread) {
            let mut of_axis = samples.taps(cx, number)?;
            for tap in &mut of_axis {
                tap.index = build::unsqueeze(cx.b, tap.index, &others)?;
                if let Some(weight) = tap.weight {
                    tap.weight = Some(build::unsqueeze(cx.b, weight, &others)?);
                }
            }
            taps.push(of_axis);
        }
        let def: &'static dyn OpDef = match self.fold {
            Fold::Average => &tensor::Add,
            Fold::Max => &tensor::Max,
        };
        same_places(cx, &mut taps)?;
        let mut sum = so_far;
        for corner in combinations(&taps) {
            let term = corner_term(cx, self.x, 0, &corner)?;
            let term = match self.fold {
                Fold::Average => term,
                Fold::Max => self.only_there(cx, axes, numbers, term)?,
            };
            sum = cx.binary(def, sum, term)?;
        }
        Ok(sum)
    }

    /// Samples that a bin lacks are not greater than any.
    fn only_there(
        &self,
        cx: &mut Cx<'_, '_, '_, '_>,
        axes: &[Samples],
        numbers: [Value; 2],
        term: Value,
    ) -> OpResult<Value> {
        let elem = cx.elem(term)?;
        let mut term = term;
        let least = cx.number(elem, f64::NEG_INFINITY)?;
        for (samples, number) in axes.iter().zip(numbers) {
            let number = cx.cast(number, elem)?;
            let there = cx.compare("lt", number, samples.count)?;
            let there = build::unsqueeze(cx.b, there, &[2, 3])?;
            term = cx.select(there, term, least)?;
        }
        Ok(term)
    }
}

/// A number in extents of which only the first, that of `like`, may be open.
fn filled(
    cx: &mut Cx<'_, '_, '_, '_>,
    number: Value,
    dims: &[Dim],
    like: Value,
) -> OpResult<Value> {
    if dims[0] != Dim::Unknown {
        return build::broadcast_to(cx.b, number, dims);
    }
    let rest = build::broadcast_to(cx.b, number, &dims[1..])?;
    let own = build::shape_vector(cx.b, rest)?;
    let first = build::dim(cx.b, like, 0)?;
    let first = cx.reshape(first, &[Dim::Known(1)])?;
    let shape = build::concat(cx.b, &[first, own], 0)?;
    cx.op(&tensor::DynBroadcast, &[rest, shape], &[])
}

/// Repeats the indices of all taps to one shape.
fn same_places(cx: &mut Cx<'_, '_, '_, '_>, taps: &mut [Vec<Tap>]) -> OpResult<()> {
    let elem = cx.elem(taps[1][0].index)?;
    let mut whole = cx.cast(taps[0][0].index, elem)?;
    for of_axis in &taps[1..] {
        whole = cx.binary(&tensor::Add, whole, of_axis[0].index)?;
    }
    for tap in taps.iter_mut().flatten() {
        tap.index = build::broadcast_like(cx.b, tap.index, whole)?;
    }
    Ok(())
}

/// The greatest pixel in each bin of a grid over each region; bins hold whole pixels.
fn max_roi_pool(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let (x, rois) = (cx.input(0)?, cx.input(1)?);
    let pooled = cx.ints("pooled_shape")?;
    let [height, width] = cx.required("pooled_shape", pooled)?[..] else {
        return Err(invalid("attribute `pooled_shape` needs two entries"));
    };
    let grid = Grid::new(cx, x, [height, width])?;
    let scale = cx.float("spatial_scale", 1.0)?;
    let batches = build::slice_axis(cx.b, rois, 1, 0, 1)?;
    let batches = build::squeeze(cx.b, batches, &[1])?;
    let batches = cx.cast(batches, Elem::I64)?;
    let mut y = build::gather(cx.b, x, batches, 0)?;
    let elem = cx.elem(x)?;
    let least = cx.number(elem, f64::NEG_INFINITY)?;
    // Region, channel, row, column; each axis in turn becomes one of bins.
    for axis in 0..2 {
        let (first, last) = (2 - axis as i64, 4 - axis as i64);
        let start = edge(cx, rois, first, scale)?;
        let start = rounded(cx, start)?;
        let end = edge(cx, rois, last, scale)?;
        let end = rounded(cx, end)?;
        let length = cx.binary(&tensor::Sub, end, start)?;
        let length = build::with_scalar(cx.b, &tensor::Add, length, 1.0)?;
        let length = build::with_scalar(cx.b, &tensor::Max, length, 1.0)?;
        let bins = grid.pooled[axis];
        let bin = build::with_scalar(cx.b, &tensor::Div, length, bins as f64)?;
        let inside = in_bins(cx, [start, bin], bins, grid.image[axis])?;
        // Region, 1, bin, pixel; then the other axis.
        let inside = build::unsqueeze(cx.b, inside, &if axis == 0 { [1, 4] } else { [1, 2] })?;
        let wide = build::unsqueeze(cx.b, y, &[2 + axis])?;
        let inside = cx.select(inside, wide, least)?;
        y = build::reduce(cx.b, inside, "max", &[3 + axis])?;
    }
    let empty = cx.op(&tensor::IsInf, &[y], &[("positive", false.into())])?;
    let zero = cx.number(elem, 0.0)?;
    one(cx.select(empty, zero, y)?)
}

/// Whether a pixel lies in a bin: region, bin, pixel.
fn in_bins(
    cx: &mut Cx<'_, '_, '_, '_>,
    [start, bin]: [Value; 2],
    bins: u64,
    extent: u64,
) -> OpResult<Value> {
    let elem = cx.elem(start)?;
    let numbers = build::iota(cx.b, &[Dim::Known(bins)], 0, elem)?;
    let low = cx.binary(&tensor::Mul, numbers, bin)?;
    let low = cx.op(&tensor::Floor, &[low], &[])?;
    let low = cx.binary(&tensor::Add, low, start)?;
    let next = build::with_scalar(cx.b, &tensor::Add, numbers, 1.0)?;
    let high = cx.binary(&tensor::Mul, next, bin)?;
    let high = cx.op(&tensor::Ceil, &[high], &[])?;
    let high = cx.binary(&tensor::Add, high, start)?;
    let low = build::unsqueeze(cx.b, low, &[2])?;
    let high = build::unsqueeze(cx.b, high, &[2])?;
    let pixels = build::iota(cx.b, &[Dim::Known(extent)], 0, elem)?;
    let above = cx.compare("ge", pixels, low)?;
    let below = cx.compare("lt", pixels, high)?;
    cx.binary(&tensor::And, above, below)
}

/// To the nearest whole number, halves away from zero.
fn rounded(cx: &mut Cx<'_, '_, '_, '_>, x: Value) -> OpResult<Value> {
    let size = cx.op(&tensor::Abs, &[x], &[])?;
    let size = build::with_scalar(cx.b, &tensor::Add, size, 0.5)?;
    let size = cx.op(&tensor::Floor, &[size], &[])?;
    let sign = cx.op(&tensor::Sign, &[x], &[])?;
    cx.op(&tensor::Mul, &[sign, size], &[])
}
