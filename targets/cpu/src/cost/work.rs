//! What a kernel has to do, in amounts that its time follows from.
//!
//! Ops of `nn` and `tensor` are priced as the kernels that the pipeline makes of them, so that
//! passes on both sides of the lowering see the same prices. Unknown extents count as 1.

use lepid_ir::core::{Dim, OpView, TensorType, Trait};
use lepid_ir::dialects::kernel::{self, AttentionExtents, Nest, PANEL, Strips};
use lepid_ir::dialects::tensor;
use lepid_passes::transform::fuse_epilogues::is_epilogue;
use lepid_passes::transform::states::is_in_place;
use lepid_ukernels::winograd::Scheme;
use serde::{Deserialize, Serialize};

use crate::routines;
use crate::strassen;
use crate::winograd;

/// Amounts of work, or what one unit of each takes in nanoseconds.
#[derive(Copy, Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Amounts {
    /// Starts of the kernel.
    pub(crate) start: f64,
    /// Multiply-adds, with those for the filling of tiles.
    pub(crate) multiply_add: f64,
    /// Sums of products that are begun and finished: an output, or an entry of a Winograd tile.
    pub(crate) sum: f64,
    /// Other operations, by the ops' own estimate; for Winograd, entries of transformed inputs, for
    /// Strassen those of sums of quadrants.
    pub(crate) element: f64,
    /// Bytes of weights, which are out of the caches when their turn comes.
    pub(crate) weight_byte: f64,
    /// Bytes of other operands and of results.
    pub(crate) byte: f64,
}

/// The terms of [`Amounts`].
pub(crate) const TERMS: usize = 6;

impl Amounts {
    pub(crate) fn to_array(self) -> [f64; TERMS] {
        [
            self.start,
            self.multiply_add,
            self.sum,
            self.element,
            self.weight_byte,
            self.byte,
        ]
    }

    pub(crate) fn from_array(a: [f64; TERMS]) -> Amounts {
        Amounts {
            start: a[0],
            multiply_add: a[1],
            sum: a[2],
            element: a[3],
            weight_byte: a[4],
            byte: a[5],
        }
    }

    fn times(self, factor: f64) -> Amounts {
        Amounts::from_array(self.to_array().map(|a| a * factor))
    }
}

/// A kernel with what it has to do.
#[derive(Copy, Clone, PartialEq, Debug)]
pub(crate) struct Work {
    /// The name in the table of coefficients.
    pub(crate) kernel: &'static str,
    pub(crate) amounts: Amounts,
}

/// Every kernel, sorted by name.
#[cfg(test)]
pub(crate) const KERNELS: &[&str] = &[
    "attention",
    "conv.depthwise",
    "conv.grouped",
    "conv.pointwise",
    "conv.window",
    "conv.winograd_f2",
    "conv.winograd_f4",
    "eight_bits",
    "gru",
    "linear",
    "linear.strassen",
    "lstm",
    "map",
    "matmul",
    "matvec",
    "move",
    "pack",
    "pool",
    "reduce",
    "routine",
    "rows",
    "transpose",
];

/// Elementwise ops before fusion take this share of a loop nest of their own: most end up in the
/// nest of a neighbour.
const FUSED: f64 = 0.3;

/// The share of those that end up in the epilogue of a layer.
const EPILOGUE: f64 = 0.02;

/// Rows of the register tile of the products.
const TILE_ROWS: f64 = 6.0;

/// Columns that a product computes at least: those of a vector.
const HALF_PANEL: f64 = (PANEL / 2) as f64;

impl Work {
    /// `None` for an op that no kernel computes as it is.
    pub(crate) fn of(op: OpView<'_>) -> Option<Work> {
        Some(match op.name() {
            "kernel.attention" | "nn.attention" => attention(op),
            "kernel.conv" => match winograd::scheme(op) {
                Some(scheme) => tiled(op, scheme)?,
                None => direct(op),
            },
            "nn.conv" => direct(op),
            "kernel.linear" | "nn.linear" => linear(op),
            "kernel.matmul" | "nn.matmul" => matmul(op),
            "kernel.lstm" | "nn.lstm" => recurrence("lstm", op),
            "kernel.gru" | "nn.gru" => recurrence("gru", op),
            "kernel.pack" => streamed("pack", op),
            "kernel.nest" => streamed(nest_kind(op), op),
            "tensor.reduce" => streamed("reduce", op),
            "nn.max_pool" | "nn.avg_pool" => streamed("pool", op),
            "nn.softmax" | "nn.log_softmax" | "nn.layer_norm" | "nn.rms_norm" | "nn.lrn" => {
                streamed("rows", op)
            }
            "tensor.reshape" | "tensor.dyn_reshape" | "core.constant" => Work {
                kernel: "none",
                amounts: Amounts::default(),
            },
            "tensor.transpose" => streamed(if turns(op) { "transpose" } else { "move" }, op),
            name if is_move(name) => streamed("move", op),
            name if routines::number(name).is_some() => routine(op),
            _ if op.info().has(Trait::Elementwise) => {
                let alone = streamed("map", op);
                Work {
                    amounts: alone
                        .amounts
                        .times(if ends_layer(op) { EPILOGUE } else { FUSED }),
                    ..alone
                }
            }
            _ => return None,
        })
    }
}

/// Whether an elementwise op becomes part of the layer that it stands behind.
fn ends_layer(op: OpView<'_>) -> bool {
    let layer = op.operands().iter().any(|&operand| {
        let producer = op.module.defining_op(operand);
        let name = producer.map_or("", |producer| op.module.op_name(producer));
        matches!(
            name,
            "nn.conv" | "nn.linear" | "kernel.conv" | "kernel.linear"
        )
    });
    layer && is_epilogue(op)
}

fn is_move(name: &str) -> bool {
    matches!(
        name,
        "tensor.broadcast"
            | "tensor.transpose"
            | "tensor.slice"
            | "tensor.reverse"
            | "tensor.pad"
            | "tensor.concat"
            | "tensor.iota"
    )
}

/// Whether an op is a transposition after which other elements stand side by side.
fn turns(op: OpView<'_>) -> bool {
    op.name() == "tensor.transpose" && {
        let perm = tensor::Transpose::perm(op);
        perm.last()
            .is_some_and(|&last| last + 1 != perm.len() as i64)
    }
}

/// What the body of a nest does: it reduces, it moves elements alone, or it maps them.
fn nest_kind(op: OpView<'_>) -> &'static str {
    let ops = || {
        let ops = op.module.ops_in(Nest::block(op));
        ops.map(|inner| op.module.view(inner))
    };
    let names = || ops().map(|inner| inner.name());
    let plain = |name: &str| is_move(name) || name.starts_with("core.");
    match () {
        () if names().any(|name| name == "tensor.reduce") => "reduce",
        () if names().all(plain) && ops().any(turns) => "transpose",
        () if names().all(plain) => "move",
        () => "map",
    }
}

/// A kernel that reads its operands and writes its results once.
fn streamed(kernel: &'static str, op: OpView<'_>) -> Work {
    let cost = op.def().cost(op);
    Work {
        kernel,
        amounts: Amounts {
            start: 1.0,
            element: cost.flops,
            byte: cost.bytes,
            ..Amounts::default()
        },
    }
}

fn routine(op: OpView<'_>) -> Work {
    let mut work = streamed("routine", op);
    if is_in_place(op.module, op.op) {
        // The updates are read and written; nothing else is touched.
        let updates = op.operand_tensor(2);
        let bytes = f64::from(updates.elem.bits()) / 8.0;
        work.amounts.byte = 2.0 * bytes * extents(updates).iter().product::<f64>();
    }
    work
}

fn extents(ty: &TensorType) -> Vec<f64> {
    let dims = ty.dims.iter();
    dims.map(|d| d.known().unwrap_or(1) as f64).collect()
}

fn round_up(x: f64, to: f64) -> f64 {
    (x / to).ceil() * to
}

/// Bytes that are no weights: those stand second.
fn activation_bytes(op: OpView<'_>) -> f64 {
    let weights = extents(op.operand_tensor(1)).iter().product::<f64>();
    let bytes = f64::from(op.operand_tensor(1).elem.bits()) / 8.0;
    op.operand_bytes() + op.result_bytes() - weights * bytes
}

/// The extents of a convolution, whatever its layout and rank.
struct Window {
    images: f64,
    /// Of the output, outermost first.
    spatial: Vec<f64>,
    columns: f64,
    /// Channels of a group.
    channels: f64,
    taps: f64,
    groups: f64,
}

impl Window {
    fn of(op: OpView<'_>) -> Window {
        let mut y = extents(op.result_tensor(0));
        let w = extents(op.operand_tensor(1));
        if kernel::Conv::layout(op) == "nchw" {
            y[1..].rotate_left(1);
        }
        Window {
            images: y[0],
            spatial: y[1..y.len() - 1].to_vec(),
            columns: w[0],
            channels: w[1],
            taps: w[2..].iter().product(),
            groups: kernel::Conv::groups(op) as f64,
        }
    }
}

/// A convolution as sums over its window.
pub(crate) fn direct(op: OpView<'_>) -> Work {
    let w = Window::of(op);
    let rows = w.images * w.spatial.iter().product::<f64>();
    let strides = kernel::Conv::stride(op);
    let depth = w.channels * w.taps;
    let weight_byte = 4.0 * w.columns * depth;
    let kernel = match () {
        () if w.groups > 1.0 && w.channels == 1.0 && w.columns == w.groups => "conv.depthwise",
        () if w.groups > 1.0 => "conv.grouped",
        () if w.taps == 1.0 && strides.iter().all(|&s| s == 1) => "conv.pointwise",
        () => "conv.window",
    };
    let columns = match kernel {
        "conv.depthwise" => w.columns,
        _ => w.groups * round_up(w.columns / w.groups, HALF_PANEL),
    };
    let tiles = match kernel {
        "conv.depthwise" => rows,
        _ => round_up(rows, TILE_ROWS),
    };
    Work {
        kernel,
        amounts: Amounts {
            start: 1.0,
            multiply_add: tiles * columns * depth,
            sum: rows * columns,
            element: 0.0,
            weight_byte,
            byte: activation_bytes(op),
        },
    }
}

/// The parts of a `kernel.strips`: what is between them goes through no memory.
pub(crate) fn strips(op: OpView<'_>) -> Vec<Work> {
    let module = op.module;
    let nest = Strips::prologue(op).map(|nest| module.view(nest));
    let nest = nest.and_then(|nest| Some((Work::of(nest)?, nest.result_bytes())));
    let convs = Strips::convs(op).map(|conv| module.view(conv));
    let convs = convs.map(|conv| (direct(conv), conv.result_bytes()));
    let mut parts: Vec<(Work, f64)> = nest.into_iter().chain(convs).collect();
    for i in 1..parts.len() {
        let between = parts[i - 1].1;
        parts[i - 1].0.amounts.byte -= between;
        parts[i].0.amounts.byte -= between;
    }
    parts.into_iter().map(|(work, _)| work).collect()
}

/// A convolution by one of Winograd's algorithms; `None` if its extents are not known.
pub(crate) fn tiled(op: OpView<'_>, scheme: Scheme) -> Option<Work> {
    let known = |d: &Dim| d.known().is_some();
    if !op.result_tensor(0).dims.iter().all(known) {
        return None;
    }
    let w = Window::of(op);
    let along = |n: &f64| (n / scheme.outputs() as f64).ceil();
    let tiles = w.images * w.spatial.iter().map(along).product::<f64>();
    let entries = scheme.products() as f64;
    Some(Work {
        kernel: match scheme {
            Scheme::F2 => "conv.winograd_f2",
            Scheme::F4 => "conv.winograd_f4",
        },
        amounts: Amounts {
            start: 1.0,
            multiply_add: entries * tiles * w.channels * w.columns,
            sum: entries * tiles * w.columns,
            element: entries * tiles * w.channels,
            weight_byte: 4.0 * entries * w.channels * w.columns,
            byte: activation_bytes(op),
        },
    })
}

fn linear(op: OpView<'_>) -> Work {
    match op.name() == "kernel.linear" {
        true if kernel::Linear::quantised(op) > 0 => eight_bits(op),
        true if strassen::chosen(op) => by_quadrants(op),
        _ => in_floats(op),
    }
}

/// Strassen's product: seven of quadrants, twelve times added to quadrants of the result.
pub(crate) fn by_quadrants(op: OpView<'_>) -> Work {
    let w = extents(op.operand_tensor(1));
    let (depth, columns) = (w[0] / 2.0, w[1] / 2.0);
    let rows = op.result_elements(0) / w[1].max(1.0) / 2.0;
    Work {
        kernel: "linear.strassen",
        amounts: Amounts {
            start: 1.0,
            multiply_add: 7.0 * round_up(rows, TILE_ROWS) * columns * depth,
            sum: 12.0 * rows * columns,
            element: 5.0 * rows * depth,
            weight_byte: 4.0 * 7.0 * depth * columns,
            byte: activation_bytes(op),
        },
    }
}

/// A product whose weights stay in eight bits.
pub(crate) fn eight_bits(op: OpView<'_>) -> Work {
    let w = extents(op.operand_tensor(1));
    let columns = round_up(w[1], HALF_PANEL);
    let rows = op.result_elements(0) / w[1].max(1.0);
    let blocks = match kernel::Linear::quantised(op) {
        block @ 1.. => (w[0] / block as f64).ceil(),
        _ => 1.0,
    };
    Work {
        kernel: "eight_bits",
        amounts: Amounts {
            start: 1.0,
            multiply_add: rows * columns * w[0],
            sum: rows * columns * blocks,
            element: 0.0,
            weight_byte: w[1] * (w[0] + 4.0 * blocks),
            byte: activation_bytes(op),
        },
    }
}

/// A product whose weights are floats.
pub(crate) fn in_floats(op: OpView<'_>) -> Work {
    let w = extents(op.operand_tensor(1));
    let (depth, columns) = (w[0], round_up(w[1], HALF_PANEL));
    let rows = op.result_elements(0) / w[1].max(1.0);
    let few = rows < TILE_ROWS;
    Work {
        kernel: if few { "matvec" } else { "linear" },
        amounts: Amounts {
            start: 1.0,
            multiply_add: if few { rows } else { round_up(rows, TILE_ROWS) } * columns * depth,
            sum: rows * columns,
            element: 0.0,
            weight_byte: 4.0 * w[0] * w[1],
            byte: activation_bytes(op),
        },
    }
}

/// A product of two values. What `nn.matmul` packs first is counted by its bytes.
fn matmul(op: OpView<'_>) -> Work {
    let z = extents(op.result_tensor(0));
    let depth = extents(op.operand_tensor(0)).last().copied().unwrap_or(1.0);
    let (matrices, rest) = z.split_at(z.len().saturating_sub(2));
    let rows = if rest.len() == 2 { rest[0] } else { 1.0 };
    let columns = round_up(rest.last().copied().unwrap_or(1.0), HALF_PANEL);
    let count: f64 = matrices.iter().product();
    Work {
        kernel: "matmul",
        amounts: Amounts {
            start: 1.0,
            multiply_add: count * round_up(rows, TILE_ROWS) * columns * depth,
            sum: count * rows * columns,
            byte: op.operand_bytes() + op.result_bytes(),
            ..Amounts::default()
        },
    }
}

/// Both products, with all scores that a query sees. Exponentials count with the sums.
fn attention(op: OpView<'_>) -> Work {
    let e = AttentionExtents::of(op);
    let depth = e.features + round_up(e.outputs, HALF_PANEL);
    Work {
        kernel: "attention",
        amounts: Amounts {
            start: 1.0,
            multiply_add: e.scores * depth,
            sum: e.scores,
            byte: e.bytes(op),
            ..Amounts::default()
        },
    }
}

/// A recurrence reads its weights once per step.
fn recurrence(kernel: &'static str, op: OpView<'_>) -> Work {
    let x = extents(op.operand_tensor(0));
    let steps = x[0];
    let weights = extents(op.operand_tensor(1)).iter().product::<f64>();
    Work {
        kernel,
        amounts: Amounts {
            start: 1.0,
            multiply_add: op.def().cost(op).flops / 2.0,
            sum: op.result_elements(0) * if kernel == "lstm" { 4.0 } else { 3.0 },
            element: 0.0,
            weight_byte: 4.0 * steps * weights,
            byte: activation_bytes(op),
        },
    }
}
