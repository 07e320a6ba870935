//! Matrix products and convolutions: tile loops around the indirect GEMM microkernel.
//!
//! Rows go in chunks small enough that what they read stays in the second-level cache, panels of
//! columns run inside, so that each chunk streams the packed weights once.

use std::mem::offset_of;

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, Value, types};
use lepid_ir::dialects::kernel::PANEL;
use lepid_ukernels::Table;
use lepid_ukernels::args::{ConvRowsArgs, GemmRowsArgs, GemvArgs, IgemmArgs};

use crate::abi::Ctx;
use crate::codegen::args::{Args, Geometry, Tail};
use crate::codegen::cells::Count;
use crate::codegen::function::Gen;
use crate::places::Place;

/// Where the rows of the left side come from.
#[derive(Copy, Clone, Debug)]
pub(crate) enum Rows {
    /// Rows of a matrix, `lda` elements apart.
    Matrix { lda: usize },
    /// Pixels of a convolution.
    Window(Geometry),
}

/// `c[M, N] = act(a · b + bias + residual)`, once per batch entry and group.
#[derive(Clone, Debug)]
pub(crate) struct Product {
    pub(crate) rows: Rows,
    /// Output rows M of one batch entry. If they are known only at run time, there is one entry.
    pub(crate) m: Count,
    /// Columns N of one group.
    pub(crate) n: usize,
    /// Length of a sum behind one pointer, and pointers per row.
    pub(crate) k: usize,
    pub(crate) taps: usize,
    /// Offsets of the `k` elements behind each pointer, for each group, and an extent above them.
    pub(crate) gather: Option<(Place, usize)>,
    /// Groups of a convolution: columns side by side, own channels and weights each.
    pub(crate) groups: usize,
    /// Independent products.
    pub(crate) batch: Count,
    pub(crate) a: Place,
    pub(crate) b: Place,
    pub(crate) c: Place,
    /// Elements between two output rows.
    pub(crate) ldc: usize,
    pub(crate) tail: Tail,
}

/// Bytes that the rows of a chunk may take of the second-level cache.
const CHUNK_BYTES: usize = 160 << 10;
/// Weights of so many bytes stay in the second-level cache from chunk to chunk.
const KEPT_BYTES: usize = 256 << 10;
/// A chunk never has more rows than this.
const MOST_ROWS: usize = 96;
/// The rows of a matrix may leave the second-level cache for as many as this: with fewer, what the
/// weights cost to stream in is not spread over enough work.
const MATRIX_ROWS: usize = 48;
/// Rows of a tile of the microkernel.
pub(crate) const TILE_ROWS: usize = 6;
/// Rows that the matrix-vector kernel takes.
pub(crate) const GEMV_ROWS: usize = 4;

impl Product {
    fn panels(&self) -> usize {
        self.n.div_ceil(PANEL)
    }

    fn packed(&self) -> usize {
        self.panels() * PANEL * self.k * self.taps
    }

    pub(crate) fn flops(&self) -> f64 {
        2.0 * (self.known_rows() * self.n * self.k * self.taps * self.groups * self.entries())
            as f64
    }

    /// Output rows as far as they are known, to find the entries of a batch.
    fn known_rows(&self) -> usize {
        self.m.most().unwrap_or(0)
    }

    /// Entries of the batch, at most.
    fn entries(&self) -> usize {
        self.batch.most().unwrap_or(1)
    }

    /// Whether the matrix-vector kernel does it.
    fn is_gemv(&self) -> bool {
        matches!(self.rows, Rows::Matrix { .. })
            && self.m.most().is_some_and(|m| m <= GEMV_ROWS)
            && self.groups == 1
    }

    /// Rows per chunk: a multiple of the tile height 6.
    fn chunk(&self) -> usize {
        // Rows of a window overlap; a stride of one reads each input row about once.
        let (row, least) = match self.rows {
            Rows::Matrix { .. } => (self.k, MATRIX_ROWS),
            Rows::Window(w) => (w.pixel * w.stride[1] * w.kernel[0].min(2), 12),
        };
        let fitting = CHUNK_BYTES / (4 * row).max(1) / 6 * 6;
        fitting.clamp(least, MOST_ROWS)
    }

    pub(crate) fn scratch_bytes(&self) -> usize {
        match self.is_gemv() {
            true => 0,
            false => self.table_bytes(),
        }
    }

    /// The pointer table of one chunk.
    pub(crate) fn table_bytes(&self) -> usize {
        let rows = self.m.most().map(|m| m.next_multiple_of(6));
        8 * self.taps * self.chunk().min(rows.unwrap_or(MOST_ROWS))
    }

    /// Zeros that stand for padding.
    pub(crate) fn zeros(&self) -> usize {
        self.gather
            .map_or(self.groups * self.k, |(_, extent)| extent)
    }

    /// Whether threads share the rows; else they share the panels.
    fn splits_rows(&self) -> bool {
        let rows = self.m.most().map(|m| self.entries() * m);
        // Rows go in sixes, so that few of them split less evenly than many panels.
        let enough = match self.rows {
            Rows::Matrix { .. } if self.panels() >= 16 => 256,
            Rows::Matrix { .. } | Rows::Window(_) => 96,
        };
        rows.is_none_or(|rows| rows >= enough) || self.panels() < 4
    }

    pub(crate) fn emit(&self, g: &mut Gen<'_>) {
        match self.is_gemv() {
            true => self.emit_gemv(g),
            false => self.emit_gemm(g),
        }
    }

    fn emit_gemv(&self, g: &mut Gen<'_>) {
        let Rows::Matrix { lda } = self.rows else {
            lepid_ir::bug!("a window has no matrix-vector form");
        };
        let args = Args::new::<GemvArgs>(g);
        let at = offset_of!(GemvArgs, epilogue);
        let m = self.known_rows();
        let rows = self.m.extent(g);
        let rows = g.extent(rows);
        args.set(g, offset_of!(GemvArgs, rows), rows);
        args.set_int(g, offset_of!(GemvArgs, k), self.k as i64);
        args.set_int(g, offset_of!(GemvArgs, n), self.n as i64);
        args.set_int(g, offset_of!(GemvArgs, lda), lda as i64);
        args.set_int(g, offset_of!(GemvArgs, ldc), self.ldc as i64);
        self.tail.set(g, &args, at, self.ldc);
        let panels = self.panels() as i64;
        let (zero, batch) = (g.int(0), self.batch.extent(g));
        // Many small products: whole ones per thread; else panels of each.
        let (batches, columns) = match self.entries() >= 4 {
            true => (g.share_extent(batch, 1), (zero, g.int(panels))),
            false => ((zero, g.extent(batch)), g.share(panels, 1)),
        };
        args.set(g, offset_of!(GemvArgs, panel_begin), columns.0);
        args.set(g, offset_of!(GemvArgs, panel_end), columns.1);
        let (a, b, c) = (g.address(self.a), g.address(self.b), g.address(self.c));
        g.for_range(batches.0, batches.1, 1, |g, i| {
            let a = offset(g, a, i, 4 * m * lda);
            let b = offset(g, b, i, 4 * self.packed());
            let c = offset(g, c, i, 4 * m * self.ldc);
            args.set(g, offset_of!(GemvArgs, a), a);
            args.set(g, offset_of!(GemvArgs, b), b);
            args.set(g, offset_of!(GemvArgs, c), c);
            let zero = g.int(0);
            let residual = g.mul_int(i, (4 * m * self.ldc) as i64);
            self.tail.set_pointers(g, &args, at, zero, residual);
            g.kernel(offset_of!(Table, gemv_f32), &[args.address], &[]);
        });
    }

    fn emit_gemm(&self, g: &mut Gen<'_>) {
        let table = g.scratch();
        let calls = self.calls(g, table);
        let (a, b, c) = (g.address(self.a), g.address(self.b), g.address(self.c));
        let (m, panels) = (self.m.extent(g), self.panels() as i64);
        let entry_rows = self.known_rows();
        let (zero, batch) = (g.int(0), self.batch.extent(g));
        // With many batch entries each thread takes whole ones.
        let by_batch = self.entries() >= 4;
        let batches = match by_batch {
            true => g.share_extent(batch, 1),
            false => (zero, g.extent(batch)),
        };
        let rows = match !by_batch && self.splits_rows() {
            true => g.share_extent(m, 6),
            false => (zero, g.extent(m)),
        };
        let columns = match !by_batch && !self.splits_rows() {
            true => g.share(panels, 1),
            false => (zero, g.int(panels)),
        };
        g.for_range(batches.0, batches.1, 1, |g, batch| {
            let part = Part {
                a: match self.rows {
                    Rows::Matrix { lda } => offset(g, a, batch, 4 * entry_rows * lda),
                    Rows::Window(_) => a,
                },
                b: offset(g, b, batch, 4 * self.groups * self.packed()),
                c: offset(g, c, batch, 4 * entry_rows * self.ldc),
                residual: g.mul_int(batch, (4 * entry_rows * self.ldc) as i64),
                rows,
                opens: g.int(1),
                columns,
            };
            calls.emit(g, &part);
        });
    }

    /// Prepares calls with a pointer table of [`Product::table_bytes`] at `table`.
    pub(crate) fn calls(&self, g: &mut Gen<'_>, table: Value) -> Calls<'_> {
        let args = Args::new::<IgemmArgs>(g);
        args.set_int(g, offset_of!(IgemmArgs, taps), self.taps as i64);
        args.set_int(g, offset_of!(IgemmArgs, k), self.k as i64);
        args.set_int(g, offset_of!(IgemmArgs, skip), 0);
        args.set_int(g, offset_of!(IgemmArgs, gather), 0);
        args.set(g, offset_of!(IgemmArgs, a), table);
        args.set_int(g, offset_of!(IgemmArgs, ldc), self.ldc as i64);
        self.tail
            .set(g, &args, offset_of!(IgemmArgs, epilogue), self.ldc);
        Calls {
            product: self,
            args,
            fill: self.fill_args(g, table),
        }
    }

    /// All columns, as panels.
    pub(crate) fn all_columns(&self, g: &mut Gen<'_>) -> (Value, Value) {
        (g.int(0), g.int(self.panels() as i64))
    }

    /// The call that fills the pointer table, with all that does not change set.
    fn fill_args(&self, g: &mut Gen<'_>, table: Value) -> Fill {
        match self.rows {
            Rows::Matrix { lda } => {
                let args = Args::new::<GemmRowsArgs>(g);
                args.set_int(g, offset_of!(GemmRowsArgs, lda), lda as i64);
                args.set(g, offset_of!(GemmRowsArgs, out), table);
                Fill {
                    args,
                    base: offset_of!(GemmRowsArgs, a),
                    lda: Some(lda),
                }
            }
            Rows::Window(window) => {
                let args = Args::new::<ConvRowsArgs>(g);
                window.set(g, &args, offset_of!(ConvRowsArgs, geom));
                let zeros = g.ctx_pointer(offset_of!(Ctx, zeros));
                args.set(g, offset_of!(ConvRowsArgs, zero), zeros);
                args.set(g, offset_of!(ConvRowsArgs, out), table);
                Fill {
                    args,
                    base: offset_of!(ConvRowsArgs, input),
                    lda: None,
                }
            }
        }
    }
}

/// What calls of the microkernel compute. A part of rows need not be all that lies in memory: `a`
/// and `c` are where row 0 would be.
pub(crate) struct Part {
    pub(crate) a: Value,
    /// The packed weights of the first group.
    pub(crate) b: Value,
    pub(crate) c: Value,
    /// Bytes into the residual, where its row 0 is.
    pub(crate) residual: Value,
    pub(crate) rows: (Value, Value),
    /// Whether its first rows are the first for which these weights are read, as 0 or 1.
    pub(crate) opens: Value,
    /// In panels.
    pub(crate) columns: (Value, Value),
}

/// Calls of the microkernel, with all arguments set that do not change.
pub(crate) struct Calls<'p> {
    product: &'p Product,
    args: Args,
    fill: Fill,
}

impl Calls<'_> {
    pub(crate) fn emit(&self, g: &mut Gen<'_>, part: &Part) {
        let (product, args) = (self.product, &self.args);
        let at = offset_of!(IgemmArgs, epilogue);
        self.fill.args.set(g, self.fill.base, part.a);
        let (zero, groups) = (g.int(0), g.int(product.groups as i64));
        let step = product.chunk() as i64;
        g.for_range(part.rows.0, part.rows.1, step, |g, first| {
            let end = g.add_int(first, step);
            let end = g.min(end, part.rows.1);
            let count = g.b.ins().isub(end, first);
            self.fill.run(g, first, count);
            args.set(g, offset_of!(IgemmArgs, rows), count);
            // The first rows bring small weights into the caches for the others.
            let cold = match 4 * product.groups * product.packed() > KEPT_BYTES {
                true => g.int(1),
                false => {
                    let opening = g.b.ins().icmp(IntCC::Equal, first, part.rows.0);
                    let opening = g.b.ins().uextend(types::I64, opening);
                    g.b.ins().band(opening, part.opens)
                }
            };
            args.set(g, offset_of!(IgemmArgs, cold), cold);
            let row = g.mul_int(first, 4 * product.ldc as i64);
            let c_row = g.add(part.c, row);
            let residual_row = g.add(part.residual, row);
            // Groups inside, so that they find the rows in the caches.
            g.for_range(zero, groups, 1, |g, group| {
                match product.gather {
                    None => {
                        let skip = g.mul_int(group, product.k as i64);
                        args.set(g, offset_of!(IgemmArgs, skip), skip);
                    }
                    Some((offsets, _)) => {
                        let offsets = g.address(offsets);
                        let own = offset(g, offsets, group, 4 * product.k);
                        args.set(g, offset_of!(IgemmArgs, gather), own);
                    }
                }
                let b = offset(g, part.b, group, 4 * product.packed());
                // One call for the panels at hand: the kernel walks them.
                let first_column = g.mul_int(part.columns.0, PANEL as i64);
                let end_column = g.mul_int(part.columns.1, PANEL as i64);
                let n = g.int(product.n as i64);
                let end_column = g.min(end_column, n);
                let width = g.b.ins().isub(end_column, first_column);
                let own = g.mul_int(group, product.n as i64);
                let column = g.add(own, first_column);
                let column = g.mul_int(column, 4);
                let pointer = g.add(c_row, column);
                args.set(g, offset_of!(IgemmArgs, c), pointer);
                let panel = offset(g, b, part.columns.0, 4 * PANEL * product.k * product.taps);
                args.set(g, offset_of!(IgemmArgs, b), panel);
                args.set(g, offset_of!(IgemmArgs, n), width);
                let residual = g.add(residual_row, column);
                product.tail.set_pointers(g, args, at, column, residual);
                let some = g.is_positive(width);
                g.when(some, |g| {
                    g.kernel(offset_of!(Table, igemm_f32), &[args.address], &[]);
                });
            });
        });
    }
}

struct Fill {
    args: Args,
    /// Where the pointer to the first row or pixel stands.
    base: usize,
    /// The distance of rows, if they are those of a matrix.
    lda: Option<usize>,
}

impl Fill {
    fn run(&self, g: &mut Gen<'_>, first: Value, count: Value) {
        match self.lda {
            Some(lda) => {
                let base = g.load(types::I64, self.args.address, self.base as i32);
                let row = offset(g, base, first, 4 * lda);
                self.args.set(g, offset_of!(GemmRowsArgs, a), row);
                self.args.set(g, offset_of!(GemmRowsArgs, rows), count);
                g.kernel(offset_of!(Table, gemm_rows), &[self.args.address], &[]);
                self.args.set(g, self.base, base);
            }
            None => {
                self.args.set(g, offset_of!(ConvRowsArgs, first), first);
                self.args.set(g, offset_of!(ConvRowsArgs, rows), count);
                g.kernel(offset_of!(Table, conv_rows), &[self.args.address], &[]);
            }
        }
    }
}

/// `base + index * bytes`.
pub(crate) fn offset(g: &mut Gen<'_>, base: Value, index: Value, bytes: usize) -> Value {
    let distance = g.mul_int(index, bytes as i64);
    g.add(base, distance)
}
