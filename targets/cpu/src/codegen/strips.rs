//! Chains of convolutions, with a nest before them perhaps, in strips of output rows. Between two
//! of them stands a buffer in the thread's scratch that holds the rows the next strip reads.
//!
//! Kernels see whole images: a buffer of rows from `first` on is addressed as the image whose row 0
//! lies `first` rows before it.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, Value, types};
use lepid_ir::core::{Module, Op};

use crate::codegen::args::{Args, Geometry};
use crate::codegen::cells::Count;
use crate::codegen::function::Gen;
use crate::codegen::layers::{Depthwise, ImageRows, for_image_rows};
use crate::codegen::nest::{NestIo, PixelNest};
use crate::codegen::product::{Calls, Part, Product, offset};
use crate::places::Place;

/// A chain whose values in between lie in the scratch.
pub(crate) struct Strips {
    pub(crate) stages: Vec<Stage>,
    pub(crate) images: Count,
    /// Rows of the last result in a strip.
    pub(crate) height: usize,
    /// Bytes of all buffers, from the start of the scratch.
    pub(crate) buffers: usize,
}

pub(crate) struct Stage {
    pub(crate) window: Geometry,
    pub(crate) kernel: Kernel,
}

pub(crate) enum Kernel {
    Nest {
        op: Op,
        inputs: Vec<Place>,
        result: Place,
    },
    Product(Product),
    Depthwise(Depthwise),
}

/// A stage with the arguments of its calls set as far as they do not change.
struct Ready<'s> {
    window: &'s Geometry,
    x: Value,
    y: Value,
    calls: ReadyCalls<'s>,
}

enum ReadyCalls<'s> {
    Nest(PixelNest<'s>),
    Product {
        calls: Calls<'s>,
        product: &'s Product,
        weights: Value,
    },
    Depthwise {
        depthwise: &'s Depthwise,
        args: Args,
    },
}

/// Rows `first..end` of an image.
#[derive(Copy, Clone)]
struct Span {
    first: Value,
    end: Value,
}

impl Strips {
    pub(crate) fn scratch_bytes(&self) -> usize {
        let tables = self.products().map(Product::table_bytes);
        self.buffers + tables.max().unwrap_or(0)
    }

    pub(crate) fn zeros(&self) -> usize {
        self.products().map(Product::zeros).max().unwrap_or(0)
    }

    fn products(&self) -> impl Iterator<Item = &Product> {
        self.stages.iter().filter_map(|stage| match &stage.kernel {
            Kernel::Product(product) => Some(product),
            Kernel::Nest { .. } | Kernel::Depthwise(_) => None,
        })
    }

    pub(crate) fn emit(&self, g: &mut Gen<'_>, module: &Module) -> Result<(), String> {
        let Some(last) = self.stages.last() else {
            return Ok(());
        };
        let table = g.address(Place::Scratch(self.buffers));
        let stages = self.stages.iter().map(|s| s.ready(g, module, table));
        let stages: Vec<Ready<'_>> = stages.collect::<Result<_, String>>()?;
        let (rows, height) = (last.window.output[0], self.height as i64);
        for_image_rows(g, &self.images, rows, |g, image, first, end| {
            // What the buffers hold, from strip to strip.
            let nothing = vec![g.int(0); 2 * (stages.len() - 1)];
            g.fold_range(first, end, height, &nothing, |g, at, held| {
                let next = g.add_int(at, height);
                let opens = g.b.ins().icmp(IntCC::Equal, at, first);
                let strip = Strip {
                    image,
                    rows: Span {
                        first: at,
                        end: g.min(next, end),
                    },
                    opens: g.b.ins().uextend(types::I64, opens),
                };
                strip.emit(g, &stages, held)
            });
        });
        Ok(())
    }
}

/// Rows of the last stage.
struct Strip {
    image: Value,
    rows: Span,
    /// Whether it is the first of this thread in the image, as 0 or 1.
    opens: Value,
}

impl Strip {
    /// Computes the rows. Buffers hold the rows `held`, two bounds for each, and afterwards those that
    /// are returned.
    fn emit(&self, g: &mut Gen<'_>, stages: &[Ready<'_>], held: &[Value]) -> Vec<Value> {
        let (mut rows, mut holds) = (vec![self.rows], Vec::new());
        for (stage, held) in stages[1..].iter().zip(held.chunks_exact(2)).rev() {
            let held = Span {
                first: held[0],
                end: held[1],
            };
            let read = rows_read(g, stage.window, rows[rows.len() - 1]);
            keep(g, stage, held, read.first);
            rows.push(Span {
                first: g.max(read.first, held.end),
                end: read.end,
            });
            holds.push(Span {
                first: read.first,
                end: g.max(read.end, held.end),
            });
        }
        holds.reverse();
        for (i, (stage, rows)) in stages.iter().zip(rows.into_iter().rev()).enumerate() {
            let x = match i.checked_sub(1) {
                None => offset(g, stage.x, self.image, 4 * stage.window.image()),
                Some(buffer) => row_zero(g, stage, holds[buffer].first),
            };
            let y = match stages.get(i + 1) {
                None => offset(g, stage.y, self.image, stage.output_bytes()),
                Some(next) => row_zero(g, next, holds[i].first),
            };
            let rows = ImageRows {
                image: self.image,
                x,
                y,
                first: rows.first,
                end: rows.end,
            };
            stage.emit(g, &rows, self.opens);
        }
        holds.iter().flat_map(|h| [h.first, h.end]).collect()
    }
}

/// The rows inside the image that the windows of output rows see.
fn rows_read(g: &mut Gen<'_>, window: &Geometry, rows: Span) -> Span {
    let (stride, pad) = (window.stride[0] as i64, window.pad[0] as i64);
    let reach = ((window.kernel[0] - 1) * window.dilation[0]) as i64 + 1;
    let inside = |g: &mut Gen<'_>, row: Value| {
        let (zero, all) = (g.int(0), g.int(window.input[0] as i64));
        let row = g.max(row, zero);
        g.min(row, all)
    };
    let first = g.mul_int(rows.first, stride);
    let first = g.add_int(first, -pad);
    let last = g.add_int(rows.end, -1);
    let last = g.mul_int(last, stride);
    let end = g.add_int(last, reach - pad);
    Span {
        first: inside(g, first),
        end: inside(g, end),
    }
}

/// Moves the rows of a stage's buffer from `first` on to the front.
fn keep(g: &mut Gen<'_>, stage: &Ready<'_>, held: Span, first: Value) {
    let kept = g.b.ins().isub(held.end, first);
    let some = g.is_positive(kept);
    g.when(some, |g| {
        let old = row_zero(g, stage, held.first);
        let row = 4 * stage.window.row();
        let from = offset(g, old, first, row);
        let bytes = g.mul_int(kept, row as i64);
        g.copy_bytes(stage.x, from, bytes);
    });
}

/// Where row 0 of a stage's input would be, if its buffer begins with row `first`.
fn row_zero(g: &mut Gen<'_>, stage: &Ready<'_>, first: Value) -> Value {
    let distance = g.mul_int(first, 4 * stage.window.row() as i64);
    g.b.ins().isub(stage.x, distance)
}

impl Stage {
    fn ready<'s>(
        &'s self,
        g: &mut Gen<'_>,
        module: &'s Module,
        table: Value,
    ) -> Result<Ready<'s>, String> {
        let (x, y, calls) = match &self.kernel {
            Kernel::Nest { op, inputs, result } => {
                let io = NestIo {
                    module,
                    op: *op,
                    inputs,
                    results: std::slice::from_ref(result),
                    // The strips say which pixels there are.
                    samples: None,
                };
                // Its inputs are its own affair.
                (*result, *result, ReadyCalls::Nest(PixelNest::new(io)?))
            }
            Kernel::Product(product) => {
                let calls = ReadyCalls::Product {
                    calls: product.calls(g, table),
                    product,
                    weights: g.address(product.b),
                };
                (product.a, product.c, calls)
            }
            Kernel::Depthwise(depthwise) => {
                let calls = ReadyCalls::Depthwise {
                    depthwise,
                    args: depthwise.args(g),
                };
                (depthwise.x, depthwise.y, calls)
            }
        };
        Ok(Ready {
            window: &self.window,
            x: g.address(x),
            y: g.address(y),
            calls,
        })
    }
}

impl Ready<'_> {
    fn output_bytes(&self) -> usize {
        let columns = match &self.calls {
            ReadyCalls::Nest(_) => self.window.pixel,
            ReadyCalls::Product { product, .. } => product.ldc,
            ReadyCalls::Depthwise { depthwise, .. } => depthwise.pitch,
        };
        4 * self.window.output[0] * self.window.output[1] * columns
    }

    fn emit(&self, g: &mut Gen<'_>, rows: &ImageRows, opens: Value) {
        match &self.calls {
            ReadyCalls::Nest(nest) => {
                let [height, width] = self.window.output.map(|n| n as i64);
                let before = g.mul_int(rows.image, self.output_bytes() as i64);
                let y = g.b.ins().isub(rows.y, before);
                let above = g.mul_int(rows.image, height);
                let [first, end] = [rows.first, rows.end].map(|row| {
                    let row = g.add(above, row);
                    g.mul_int(row, width)
                });
                nest.emit(g, y, first, end);
            }
            ReadyCalls::Product {
                calls,
                product,
                weights,
            } => {
                let width = self.window.output[1] as i64;
                let part = Part {
                    a: rows.x,
                    b: *weights,
                    c: rows.y,
                    residual: g.mul_int(rows.image, self.output_bytes() as i64),
                    rows: (g.mul_int(rows.first, width), g.mul_int(rows.end, width)),
                    opens,
                    columns: product.all_columns(g),
                };
                calls.emit(g, &part);
            }
            ReadyCalls::Depthwise { depthwise, args } => depthwise.emit_rows(g, args, rows),
        }
    }
}
