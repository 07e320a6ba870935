//! Computes what a convolution reads, pixel by pixel, just before it is read.
//!
//! ```text
//! %1 = kernel.nest(%0, %s) {                     %2 = kernel.strips(%0, %s, %w) {rows = 3} {
//!   ^(%3, %4): … batch norm and relu               ^(%3, %4, %5):
//!   core.yield(%5)                           =>      %6 = kernel.nest(%3, %4) { … }
//! }                                                  %7 = kernel.conv(%6, %5)
//! %2 = kernel.conv(%1, %w)                           core.yield(%7)
//!                                                  }
//! ```
//!
//! A nest does little work for each element and waits for memory; in strips its results are still
//! in the cache when the convolution reads them. The convolution reads pixels alone, so no row is
//! computed twice.

use lepid_ir::core::{Module, Op, OpView};
use lepid_ir::dialects::kernel::{self, Nest};
use lepid_passes::core::{Changed, PassCx, PassDef, PassOption, PassResult, Values};

use crate::codegen::product::{GEMV_ROWS, TILE_ROWS};
use crate::strips::{buffers, extents, fuse, is_direct, is_pointwise};

pub(crate) const PASS: PassDef = PassDef {
    name: "fuse-prologues",
    summary: "Fuses nests into the convolutions of pixels that read them.",
    values: Values::Exact,
    options: &[
        PassOption {
            name: "buffer",
            // A part of the second-level cache, beside the weights that all strips read.
            default: "196608",
            help: "Bytes that a strip of the nest may take.",
        },
        PassOption {
            name: "height",
            // Threads share rows, and few of them evenly only by luck.
            default: "20",
            help: "Rows that the images have at least.",
        },
    ],
    run,
};

fn run(module: &mut Module, cx: &mut PassCx<'_>) -> PassResult {
    let limits = Limits {
        buffer: cx.option("buffer")?,
        height: cx.option("height")?,
    };
    let mut changed = Changed::No;
    for op in module.walk() {
        if module.op_block(op).is_none() || kernel::is_inside_kernel(module, op) {
            continue;
        }
        if let Some((nest, rows)) = prologue(module, op, &limits) {
            let loc = module.loc(op).clone();
            fuse(module, &[nest, op], rows).map_err(|error| vec![error.at(loc)])?;
            changed = Changed::Yes;
        }
    }
    Ok(changed)
}

/// What the options say.
struct Limits {
    /// In bytes.
    buffer: usize,
    /// In rows.
    height: usize,
}

/// The nest that a convolution should compute itself, and the rows of its strips.
fn prologue(module: &Module, conv: Op, limits: &Limits) -> Option<(Op, usize)> {
    let view = module.view(conv);
    if !is_direct(view) || !is_pointwise(view) {
        return None;
    }
    let nest = module.defining_op(view.operand(0))?;
    let alone = matches!(module.uses(view.operand(0)), &[u] if u.op == conv && u.operand == 0);
    let fits = alone
        && module.op_name(nest) == Nest::INFO.name
        && module.op_block(nest) == module.op_block(conv)
        && Nest::is_pixelwise(module.view(nest));
    let image = extents(view, view.result(0));
    let (height, width) = (image[1], image[2]);
    // Whole, a product of few pixels has a kernel of its own, which rounds in another way.
    let small = height < limits.height || image[0] * height * width <= GEMV_ROWS;
    if !fits || small {
        return None;
    }
    let fitting = (1..=height).filter(|&rows| strip_bytes(view, rows) <= limits.buffer);
    // Of strips that need as few tiles, the highest read the weights the least often.
    let rows = fitting.min_by_key(|&rows| (tiles(height, width, rows), height - rows))?;
    Some((nest, rows))
}

fn strip_bytes(conv: OpView<'_>, rows: usize) -> usize {
    buffers(&[conv], rows).iter().sum()
}

/// How many tiles of the microkernel the strips of an image take.
fn tiles(height: usize, width: usize, rows: usize) -> usize {
    let of = |rows: usize| (rows * width).div_ceil(TILE_ROWS);
    height / rows * of(rows) + of(height % rows)
}
