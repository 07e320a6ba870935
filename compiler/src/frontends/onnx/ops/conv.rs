//! Convolutions and pools.

use lepid_ir::core::{Attr, Dim, OpResult, Value};
use lepid_ir::dialects::tensor::build;
use lepid_ir::dialects::{nn, tensor};

use super::maxima::{self, Reads};
use super::{Row, one, row};
use crate::frontends::onnx::cx::{Cx, invalid, unsupported};

type Values = OpResult<Vec<Value>>;

pub(super) const ROWS: &[Row] = &[
    row("AveragePool", 1, average_pool),
    row("Conv", 1, conv),
    row("ConvTranspose", 1, conv_transpose),
    row("GlobalAveragePool", 1, global_average_pool),
    row("GlobalLpPool", 2, global_lp_pool),
    row("GlobalMaxPool", 1, global_max_pool),
    row("LpPool", 2, lp_pool),
    row("MaxPool", 1, max_pool),
];

/// The window that a node slides over the spatial axes.
struct Window {
    kernel: Vec<i64>,
    stride: Vec<i64>,
    dilation: Vec<i64>,
    /// All lows, then all highs.
    pad: Vec<i64>,
}

impl Window {
    /// Reads the attributes. `kernel` is that of the weight where there is one.
    fn new(cx: &Cx<'_, '_, '_, '_>, x: Value, kernel: Option<Vec<i64>>) -> OpResult<Window> {
        let spatial = spatial_dims(cx, x)?;
        let rank = spatial.len();
        let stated = cx.ints("kernel_shape")?;
        if let (Some(stated), Some(kernel)) = (&stated, &kernel)
            && stated != kernel
        {
            return Err(invalid("attribute `kernel_shape` differs from the weight"));
        }
        let kernel = kernel.or(stated);
        let kernel = cx.required("kernel_shape", kernel)?;
        let list = |name: &str, default: i64, len: usize| -> OpResult<Vec<i64>> {
            let list = cx.ints(name)?.unwrap_or_else(|| vec![default; len]);
            match list.len() == len {
                true => Ok(list),
                false => Err(invalid(format!(
                    "attribute `{name}` has {} entries, expected {len}",
                    list.len()
                ))),
            }
        };
        if kernel.len() != rank {
            return Err(invalid(format!(
                "the kernel has {} axes, but the input has {rank} spatial axes",
                kernel.len()
            )));
        }
        let mut window = Window {
            stride: list("strides", 1, rank)?,
            dilation: list("dilations", 1, rank)?,
            pad: list("pads", 0, 2 * rank)?,
            kernel,
        };
        if window.stride.iter().chain(&window.dilation).any(|&n| n < 1) {
            return Err(invalid("strides and dilations must be at least 1"));
        }
        window.auto_pad(&cx.string("auto_pad", "NOTSET")?, &spatial)?;
        Ok(window)
    }

    /// `SAME` pads such that there are as many places as strides in the input.
    fn auto_pad(&mut self, mode: &str, spatial: &[Dim]) -> OpResult<()> {
        let upper = match mode {
            "NOTSET" | "" => return Ok(()),
            "VALID" => {
                self.pad.fill(0);
                return Ok(());
            }
            "SAME_UPPER" => true,
            "SAME_LOWER" => false,
            other => return Err(invalid(format!("attribute `auto_pad` is `{other}`"))),
        };
        let rank = spatial.len();
        for (axis, &dim) in spatial.iter().enumerate() {
            let (stride, reach) = (self.stride[axis], self.reach(axis));
            let total = match dim.known() {
                Some(n) => same_padding(n, stride, reach),
                None if stride == 1 => reach.saturating_sub(1),
                None => {
                    return Err(unsupported(
                        "`auto_pad` depends on the extents of the input, which are open",
                    )
                    .help("give fixed input shapes"));
                }
            };
            let small = total / 2;
            let (low, high) = if upper {
                (small, total - small)
            } else {
                (total - small, small)
            };
            (self.pad[axis], self.pad[rank + axis]) = (low, high);
        }
        Ok(())
    }

    fn reach(&self, axis: usize) -> i64 {
        self.kernel[axis]
            .saturating_sub(1)
            .saturating_mul(self.dilation[axis])
            .saturating_add(1)
    }

    fn attrs(&self) -> Vec<(&'static str, Attr)> {
        vec![
            ("stride", self.stride[..].into()),
            ("dilation", self.dilation[..].into()),
            ("pad", self.pad[..].into()),
        ]
    }
}

/// The padding of both sides with which a window takes one place for each stride.
fn same_padding(extent: u64, stride: i64, reach: i64) -> i64 {
    let (extent, stride) = (i128::from(extent), i128::from(stride));
    let places = (extent + stride - 1) / stride;
    let total = (places - 1) * stride + i128::from(reach) - extent;
    i64::try_from(total.max(0)).unwrap_or(i64::MAX)
}

fn spatial_dims(cx: &Cx<'_, '_, '_, '_>, x: Value) -> OpResult<Vec<Dim>> {
    let dims = cx.dims(x)?;
    match dims.len() {
        0..3 => Err(invalid(format!(
            "rank 3 at least is needed, found {}",
            dims.len()
        ))),
        _ => Ok(dims[2..].to_vec()),
    }
}

/// The extents of a weight after the first two.
fn kernel_of(cx: &Cx<'_, '_, '_, '_>, w: Value) -> OpResult<Vec<i64>> {
    let dims = cx.dims(w)?;
    let known: Option<Vec<i64>> = dims
        .iter()
        .skip(2)
        .map(|d| Some(d.known()? as i64))
        .collect();
    known.ok_or_else(|| unsupported("the extents of the kernel are open"))
}

fn conv(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let (x, w) = (cx.input(0)?, cx.input(1)?);
    let attrs = conv_attrs(cx, x, w)?;
    let mut operands = vec![x, w];
    operands.extend(cx.optional(2));
    one(cx.op(&nn::Conv, &operands, &attrs)?)
}

/// The attributes of a convolution.
pub(super) fn conv_attrs(
    cx: &Cx<'_, '_, '_, '_>,
    x: Value,
    w: Value,
) -> OpResult<Vec<(&'static str, Attr)>> {
    let window = Window::new(cx, x, Some(kernel_of(cx, w)?))?;
    let mut attrs = window.attrs();
    attrs.push(("groups", cx.int("group", 1)?.into()));
    Ok(attrs)
}

fn conv_transpose(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let (x, w) = (cx.input(0)?, cx.input(1)?);
    let spatial = spatial_dims(cx, x)?;
    let rank = spatial.len();
    let mode = cx.string("auto_pad", "NOTSET")?;
    let mut window = Window::new(cx, x, Some(kernel_of(cx, w)?))?;
    let mut extra = cx.ints("output_padding")?.unwrap_or_else(|| vec![0; rank]);
    let wanted = match (cx.ints("output_shape")?, mode.as_str()) {
        (Some(shape), _) if shape.len() >= rank => Some(shape[shape.len() - rank..].to_vec()),
        (Some(_), _) => return Err(invalid("attribute `output_shape` is too short")),
        // The output is the input times the stride.
        (None, "SAME_UPPER" | "SAME_LOWER") => {
            let sizes = spatial.iter().zip(&window.stride);
            let sizes: Option<Vec<i64>> = sizes
                .map(|(d, s)| (d.known()? as i64).checked_mul(*s))
                .collect();
            Some(sizes.ok_or_else(|| unsupported("`auto_pad` needs fixed extents"))?)
        }
        (None, _) => None,
    };
    if extra.len() != rank {
        return Err(invalid("attribute `output_padding` has the wrong length"));
    }
    for (axis, wanted) in wanted.iter().flatten().enumerate() {
        let Some(n) = spatial[axis].known() else {
            return Err(unsupported("`output_shape` needs fixed extents"));
        };
        let full = (n as i64)
            .saturating_sub(1)
            .saturating_mul(window.stride[axis])
            .saturating_add(extra[axis])
            .saturating_add(window.reach(axis));
        let total = full.saturating_sub(*wanted);
        // What is missing at the end is padding of the output.
        extra[axis] = extra[axis].saturating_add(total.saturating_neg().max(0));
        let total = total.max(0);
        let small = total / 2;
        let (low, high) = match mode.as_str() {
            "SAME_UPPER" => (small, total - small),
            _ => (total - small, small),
        };
        (window.pad[axis], window.pad[rank + axis]) = (low, high);
    }
    let mut operands = vec![x, w];
    operands.extend(cx.optional(2));
    let mut attrs = window.attrs();
    attrs.push(("output_pad", extra[..].into()));
    attrs.push(("groups", cx.int("group", 1)?.into()));
    one(cx.op(&nn::ConvTranspose, &operands, &attrs)?)
}

/// The attributes of a pool.
fn pool_attrs(cx: &Cx<'_, '_, '_, '_>, window: &Window) -> OpResult<Vec<(&'static str, Attr)>> {
    let mut attrs = window.attrs();
    attrs.push(("kernel", window.kernel[..].into()));
    attrs.push(("ceil", cx.flag("ceil_mode")?.into()));
    Ok(attrs)
}

fn max_pool(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let x = cx.input(0)?;
    let window = Window::new(cx, x, None)?;
    let attrs = pool_attrs(cx, &window)?;
    let y = cx.op(&nn::MaxPool, &[x], &attrs)?;
    if !cx.wants(1) {
        return one(y);
    }
    let (from, to) = (spatial_dims(cx, x)?, spatial_dims(cx, y)?);
    let mut reads = Vec::new();
    for (axis, (from, to)) in from.iter().zip(&to).enumerate() {
        let (Some(extent @ 1..), Some(steps)) = (from.known(), to.known()) else {
            return Err(unsupported("the places of maxima need fixed extents")
                .help("give fixed input shapes"));
        };
        reads.push(Reads {
            extent: extent as i64,
            steps: steps as i64,
            kernel: window.kernel[axis],
            stride: window.stride[axis],
            dilation: window.dilation[axis],
            low: window.pad[axis],
        });
    }
    let column_major = cx.flag("storage_order")?;
    Ok(vec![y, maxima::places(cx, x, &reads, column_major)?])
}

fn average_pool(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let x = cx.input(0)?;
    one(average_pool_of(cx, x)?)
}

/// The average over the window of the node.
pub(super) fn average_pool_of(cx: &mut Cx<'_, '_, '_, '_>, x: Value) -> OpResult<Value> {
    let window = Window::new(cx, x, None)?;
    let mut attrs = pool_attrs(cx, &window)?;
    attrs.push(("include_pad", cx.flag("count_include_pad")?.into()));
    cx.op(&nn::AvgPool, &[x], &attrs)
}

/// `(sum of |x|^p)^(1/p)` over each window.
fn lp_pool(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let x = cx.input(0)?;
    let window = Window::new(cx, x, None)?;
    if cx.flag("ceil_mode")? {
        return Err(unsupported("`ceil_mode` is not supported here"));
    }
    let rank = window.kernel.len();
    let wide = |list: &[i64], rest: i64| -> Attr {
        let all: Vec<i64> = [rest, rest].iter().chain(list).copied().collect();
        all.into()
    };
    let attrs = [
        ("kind", "sum".into()),
        ("size", wide(&window.kernel, 1)),
        ("stride", wide(&window.stride, 1)),
        ("dilation", wide(&window.dilation, 1)),
        ("low", wide(&window.pad[..rank], 0)),
        ("high", wide(&window.pad[rank..], 0)),
    ];
    let p = cx.int("p", 2)? as f64;
    let power = powers(cx, x, p)?;
    let sum = cx.op(&tensor::Window, &[power], &attrs)?;
    one(root(cx, sum, p)?)
}

fn powers(cx: &mut Cx<'_, '_, '_, '_>, x: Value, p: f64) -> OpResult<Value> {
    let size = cx.op(&tensor::Abs, &[x], &[])?;
    let p = cx.splat(x, p)?;
    cx.op(&tensor::Pow, &[size, p], &[])
}

fn root(cx: &mut Cx<'_, '_, '_, '_>, x: Value, p: f64) -> OpResult<Value> {
    let inverse = cx.splat(x, 1.0 / p)?;
    cx.op(&tensor::Pow, &[x, inverse], &[])
}

fn spatial_axes(cx: &Cx<'_, '_, '_, '_>, x: Value) -> OpResult<Vec<usize>> {
    Ok((2..cx.rank(x)?).collect())
}

fn global_average_pool(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let x = cx.input(0)?;
    let axes = build::ints(spatial_axes(cx, x)?);
    one(cx.op(&nn::Mean, &[x], &[("axes", axes), ("keep", true.into())])?)
}

fn global_max_pool(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let x = cx.input(0)?;
    let axes = spatial_axes(cx, x)?;
    one(build::reduce_keep(cx.b, x, "max", &axes)?)
}

fn global_lp_pool(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let x = cx.input(0)?;
    let axes = spatial_axes(cx, x)?;
    let p = cx.int("p", 2)? as f64;
    let power = powers(cx, x, p)?;
    let sum = build::reduce_keep(cx.b, power, "sum", &axes)?;
    one(root(cx, sum, p)?)
}
