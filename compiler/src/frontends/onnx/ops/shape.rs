//! Operators that tell of shapes or change them, element by element in the same order.

use lepid_ir::core::{Dim, Elem, OpResult, Tensor, Value};
use lepid_ir::dialects::tensor::{self, build, extents::Entry, shapes};

use super::{Row, one, row};
use crate::frontends::onnx::cx::{Cx, constant_help, invalid, normal_axis, unsupported};

type Values = OpResult<Vec<Value>>;

pub(super) const ROWS: &[Row] = &[
    row("Concat", 4, concat),
    row("ConstantOfShape", 9, constant_of_shape),
    row("Expand", 8, expand),
    row("Flatten", 1, flatten),
    row("Range", 11, range),
    row("Reshape", 5, reshape),
    row("Shape", 1, shape),
    row("Size", 1, size),
    row("Squeeze", 1, squeeze),
    row("Tile", 6, tile),
    row("Transpose", 1, transpose),
    row("Unsqueeze", 1, unsqueeze),
];

fn concat(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let inputs = cx.all_inputs()?;
    let rank = cx.rank(inputs[0])?;
    let axis = cx.required("axis", cx.opt_int("axis")?)?;
    one(build::concat(cx.b, &inputs, normal_axis(axis, rank)?)?)
}

/// The extents that a shape vector stands for, if all are known or named.
fn static_dims(entries: &[Entry]) -> OpResult<Option<Vec<Dim>>> {
    let dims: Option<Vec<Dim>> = entries.iter().map(|e| e.dim()).collect();
    match dims {
        None => Err(invalid("a shape has a negative extent")),
        Some(dims) => Ok((!dims.contains(&Dim::Unknown)).then_some(dims)),
    }
}

/// The entries of a shape input; its length must be known, since there are no values of unknown
/// rank.
pub(super) fn shape_entries(cx: &Cx<'_, '_, '_, '_>, shape: Value) -> OpResult<Vec<Entry>> {
    cx.entries(shape).ok_or_else(|| {
        let error = unsupported("the rank of the result is not known before the model runs");
        match cx.want(shape).first() {
            Some(input) => error.help(constant_help(input)),
            None => {
                error.help("give fixed input shapes, so that the shape can be computed in advance")
            }
        }
    })
}

fn constant_of_shape(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let shape = cx.input(0)?;
    let value = match cx.tensor("value")? {
        Some(value) if value.len() == 1 => value.reshaped([]),
        Some(_) => return Err(invalid("attribute `value` must have one element")),
        None => Tensor::zeros(Elem::F32, &[]),
    };
    let entries = shape_entries(cx, shape)?;
    let value = cx.constant(value)?;
    one(match static_dims(&entries)? {
        Some(dims) => build::broadcast_to(cx.b, value, &dims)?,
        None => cx.op(&tensor::DynBroadcast, &[value, shape], &[])?,
    })
}

fn expand(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let (x, shape) = (cx.input(0)?, cx.input(1)?);
    let entries = shape_entries(cx, shape)?;
    let from = cx.dims(x)?;
    if let Some(dims) = static_dims(&entries)? {
        let to = shapes::broadcast_dims(&from, &dims)?;
        // An extent without a value may turn out to be 1, unless it is already that of the result.
        let offset = to.len() - from.len();
        let fits = |(&f, &t): (&Dim, &Dim)| f.known().is_some() || f == t;
        if !to.contains(&Dim::Unknown) && from.iter().zip(&to[offset..]).all(fits) {
            return one(build::broadcast_to(cx.b, x, &to)?);
        }
    }
    one(cx.op(&tensor::DynBroadcast, &[x, shape], &[])?)
}

fn range(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let mut ends = [cx.input(0)?, cx.input(1)?, cx.input(2)?];
    for end in &mut ends {
        // Some exporters write vectors of one element.
        *end = cx.reshape(*end, &[])?;
        cx.want(*end);
    }
    one(cx.op(&tensor::DynIota, &ends, &[])?)
}

fn shape(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let x = cx.input(0)?;
    let rank = cx.rank(x)? as i64;
    let bound = |at: i64| if at < 0 { at.saturating_add(rank) } else { at }.clamp(0, rank);
    let start = bound(cx.int("start", 0)?);
    let end = bound(cx.int("end", rank)?).max(start);
    let all = build::shape_vector(cx.b, x)?;
    one(match (start, end) == (0, rank) {
        true => all,
        false => build::slice_axis(cx.b, all, 0, start, end)?,
    })
}

fn size(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let x = cx.input(0)?;
    let shape = build::shape_vector(cx.b, x)?;
    one(build::reduce(cx.b, shape, "prod", &[0])?)
}

/// 0 copies an extent (unless `allowzero`), -1 follows from the others.
fn reshape(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let (x, shape) = (cx.input(0)?, cx.input(1)?);
    let from = cx.dims(x)?;
    let entries = shape_entries(cx, shape)?;
    let copies = !cx.flag("allowzero")?;
    let mut dims = Vec::with_capacity(entries.len());
    for (axis, &entry) in entries.iter().enumerate() {
        dims.push(match entry {
            Entry::Number(0) if copies => *from
                .get(axis)
                .ok_or_else(|| invalid(format!("there is no extent {axis} to copy")))?,
            Entry::Number(-1) => Dim::Unknown,
            entry => entry
                .dim()
                .ok_or_else(|| invalid("an extent is negative"))?,
        });
    }
    if entries.iter().filter(|&&e| e == Entry::Number(-1)).count() > 1 {
        return Err(invalid("at most one extent may be -1"));
    }
    // An unknown entry might be 0 or -1; a single one can only be what is left over.
    if dims.iter().filter(|&&d| d == Dim::Unknown).count() <= 1 {
        return one(cx.reshape(x, &dims)?);
    }
    let shape = copied_zeros(cx, x, shape, copies)?;
    one(cx.op(&tensor::DynReshape, &[x, shape], &[])?)
}

/// The shape vector with the extents of `x` where it is 0.
fn copied_zeros(
    cx: &mut Cx<'_, '_, '_, '_>,
    x: Value,
    shape: Value,
    copies: bool,
) -> OpResult<Value> {
    let entries = shape_entries(cx, shape)?;
    let rank = cx.rank(x)?;
    let mut parts = Vec::with_capacity(entries.len());
    for (axis, entry) in entries.into_iter().enumerate() {
        let part = build::slice_axis(cx.b, shape, 0, axis as i64, axis as i64 + 1)?;
        let may_copy = copies && axis < rank && matches!(entry, Entry::Unknown | Entry::Number(0));
        if !may_copy {
            parts.push(part);
            continue;
        }
        let extent = build::dim(cx.b, x, axis)?;
        let zero = cx.number(Elem::I64, 0.0)?;
        let is_zero = cx.compare("eq", part, zero)?;
        parts.push(cx.select(is_zero, extent, part)?);
    }
    build::concat(cx.b, &parts, 0)
}

fn flatten(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let x = cx.input(0)?;
    let dims = cx.dims(x)?;
    let rank = dims.len() as i64;
    let axis = cx.int("axis", 1)?;
    let split = if axis < 0 {
        axis.saturating_add(rank)
    } else {
        axis
    };
    if !(0..=rank).contains(&split) {
        return Err(invalid(format!(
            "axis {axis} is out of range for rank {rank}"
        )));
    }
    let product = |dims: &[Dim]| dims.iter().fold(Dim::Known(1), |a, &b| a.times(b));
    let (low, high) = dims.split_at(split as usize);
    let to = [product(low), product(high)];
    if to.contains(&Dim::Unknown) && to[0] == to[1] {
        let all = build::shape_vector(cx.b, x)?;
        let low = build::slice_axis(cx.b, all, 0, 0, split)?;
        let low = build::reduce(cx.b, low, "prod", &[0])?;
        let low = cx.reshape(low, &[Dim::Known(1)])?;
        let rest = cx.constant(Tensor::from_i64s([-1]))?;
        let shape = build::concat(cx.b, &[low, rest], 0)?;
        return one(cx.op(&tensor::DynReshape, &[x, shape], &[])?);
    }
    one(cx.reshape(x, &to)?)
}

fn transpose(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let x = cx.input(0)?;
    let rank = cx.rank(x)?;
    let perm = match cx.ints("perm")? {
        Some(perm) => perm
            .iter()
            .map(|&a| normal_axis(a, rank))
            .collect::<OpResult<_>>()?,
        None => (0..rank).rev().collect::<Vec<usize>>(),
    };
    one(cx.transpose(x, &perm)?)
}

/// The axes of an operator that takes them as an attribute up to some version, then as an input.
fn axes_of(cx: &Cx<'_, '_, '_, '_>, input_since: i64) -> OpResult<Option<Vec<i64>>> {
    match cx.opset < input_since {
        true => cx.ints("axes"),
        false => cx.constant_ints(1, "the axes"),
    }
}

fn squeeze(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let x = cx.input(0)?;
    let dims = cx.dims(x)?;
    let axes: Vec<usize> = match axes_of(cx, 13)? {
        Some(axes) => axes
            .iter()
            .map(|&a| normal_axis(a, dims.len()))
            .collect::<OpResult<_>>()?,
        None if dims.iter().all(|d| d.known().is_some()) => (0..dims.len())
            .filter(|&a| dims[a] == Dim::Known(1))
            .collect(),
        None => {
            return Err(unsupported(
                "without axes, the rank of the result depends on open extents",
            )
            .help("give fixed input shapes"));
        }
    };
    one(build::squeeze(cx.b, x, &axes)?)
}

fn unsqueeze(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let x = cx.input(0)?;
    let axes = axes_of(cx, 13)?;
    let axes = cx.required("axes", axes)?;
    let rank = cx.rank(x)? + axes.len();
    let axes: OpResult<Vec<usize>> = axes.iter().map(|&a| normal_axis(a, rank)).collect();
    let mut axes = axes?;
    axes.sort_unstable();
    if axes.windows(2).any(|w| w[0] == w[1]) {
        return Err(invalid("an axis is named twice"));
    }
    one(build::unsqueeze(cx.b, x, &axes)?)
}

/// Each axis `n` becomes `[repeat, n]`, which is then one axis again.
fn tile(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let (x, repeats) = (cx.input(0)?, cx.input(1)?);
    let dims = cx.dims(x)?;
    let entries = shape_entries(cx, repeats)?;
    if entries.len() != dims.len() {
        return Err(invalid(format!(
            "{} repeats are given for rank {}",
            entries.len(),
            dims.len()
        )));
    }
    let Some(repeats) = static_dims(&entries)? else {
        return tile_dynamic(cx, x, repeats);
    };
    let (mut wide, mut axes, mut to) = (Vec::new(), Vec::new(), Vec::new());
    for (&dim, &repeat) in dims.iter().zip(&repeats) {
        if repeat != Dim::Known(1) && dim != Dim::Known(1) {
            wide.push(repeat);
        }
        axes.push(wide.len());
        wide.push(if dim == Dim::Known(1) { repeat } else { dim });
        to.push(dim.times(repeat));
    }
    if to.iter().filter(|&&d| d == Dim::Unknown).count() > 1 {
        let repeats = cx.input(1)?;
        return tile_dynamic(cx, x, repeats);
    }
    let x = build::broadcast_axes(cx.b, x, &wide, &axes)?;
    one(cx.reshape(x, &to)?)
}

fn tile_dynamic(cx: &mut Cx<'_, '_, '_, '_>, x: Value, repeats: Value) -> Values {
    let dims = cx.dims(x)?;
    let rank = dims.len();
    let shape = build::shape_vector(cx.b, x)?;
    let pair = [Dim::Known(rank as u64), Dim::Known(1)];
    let (tall_repeats, tall_shape) = (cx.reshape(repeats, &pair)?, cx.reshape(shape, &pair)?);
    let interleaved = build::concat(cx.b, &[tall_repeats, tall_shape], 1)?;
    let interleaved = cx.reshape(interleaved, &[Dim::Known(2 * rank as u64)])?;
    let places: Vec<usize> = (0..rank).map(|i| 2 * i).collect();
    let x = build::unsqueeze(cx.b, x, &places)?;
    let wide = cx.op(&tensor::DynBroadcast, &[x, interleaved], &[])?;
    let to = cx.binary(&tensor::Mul, shape, repeats)?;
    one(cx.op(&tensor::DynReshape, &[wide, to], &[])?)
}
