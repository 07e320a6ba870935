//! Matrix products and convolutions: tile loops around the indirect GEMM microkernel.
//!
//! Rows go in chunks small enough that what they read stays in the second-level cache, panels of
//! columns run inside, so that each chunk streams the packed weights once.

use std::mem::offset_of;

use cranelift_codegen::ir::InstBuilder;
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
    /// Independent products, and the elements between their operands.
    pub(crate) batch: usize,
    pub(crate) a: Place,
    pub(crate) b: Place,
    pub(crate) c: Place,
    /// Elements between two output rows.
    pub(crate) ldc: usize,
    pub(crate) tail: Tail,
}

/// Bytes that the rows of a chunk may take of the second-level cache.
const CHUNK_BYTES: usize = 160 << 10;
/// A chunk never has more rows than this.
const MOST_ROWS: usize = 96;
/// The rows of a matrix may leave the second-level cache for as many as this: with fewer, what the
/// weights cost to stream in is not spread over enough work.
const MATRIX_ROWS: usize = 48;
/// Rows that the matrix-vector kernel takes.
const GEMV_ROWS: usize = 4;

impl Product {
    fn panels(&self) -> usize {
        self.n.div_ceil(PANEL)
    }

    fn packed(&self) -> usize {
        self.panels() * PANEL * self.k * self.taps
    }

    pub(crate) fn flops(&self) -> f64 {
        2.0 * (self.known_rows() * self.n * self.k * self.taps * self.groups * self.batch) as f64
    }

    /// Output rows as far as they are known, to find the entries of a batch.
    fn known_rows(&self) -> usize {
        self.m.known().unwrap_or(0)
    }

    /// Whether the matrix-vector kernel does it.
    fn is_gemv(&self) -> bool {
        matches!(self.rows, Rows::Matrix { .. })
            && self.m.known().is_some_and(|m| m <= GEMV_ROWS)
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

    /// Scratch for the pointer table of one chunk.
    pub(crate) fn scratch_bytes(&self) -> usize {
        match self.is_gemv() {
            true => 0,
            false => {
                let rows = self.m.known().map(|m| m.next_multiple_of(6));
                8 * self.taps * self.chunk().min(rows.unwrap_or(MOST_ROWS))
            }
        }
    }

    /// Zeros that stand for padding.
    pub(crate) fn zeros(&self) -> usize {
        self.gather
            .map_or(self.groups * self.k, |(_, extent)| extent)
    }

    /// Whether threads share the rows; else they share the panels.
    fn splits_rows(&self) -> bool {
        let rows = self.m.known().map(|m| self.batch * m);
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
        args.set_int(g, offset_of!(GemvArgs, rows), m as i64);
        args.set_int(g, offset_of!(GemvArgs, k), self.k as i64);
        args.set_int(g, offset_of!(GemvArgs, n), self.n as i64);
        args.set_int(g, offset_of!(GemvArgs, lda), lda as i64);
        args.set_int(g, offset_of!(GemvArgs, ldc), self.ldc as i64);
        self.tail.set(g, &args, at, self.ldc);
        let panels = self.panels() as i64;
        let (zero, batch) = (g.int(0), self.batch as i64);
        // Many small products: whole ones per thread; else panels of each.
        let (batches, columns) = match batch >= 4 {
            true => (g.share(batch, 1), (zero, g.int(panels))),
            false => ((zero, g.int(batch)), g.share(panels, 1)),
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
        let args = Args::new::<IgemmArgs>(g);
        let at = offset_of!(IgemmArgs, epilogue);
        let table = g.scratch();
        args.set_int(g, offset_of!(IgemmArgs, taps), self.taps as i64);
        args.set_int(g, offset_of!(IgemmArgs, k), self.k as i64);
        args.set_int(g, offset_of!(IgemmArgs, skip), 0);
        args.set_int(g, offset_of!(IgemmArgs, gather), 0);
        args.set(g, offset_of!(IgemmArgs, a), table);
        args.set_int(g, offset_of!(IgemmArgs, ldc), self.ldc as i64);
        self.tail.set(g, &args, at, self.ldc);
        let fill = self.fill_args(g, table);
        let (a, b, c) = (g.address(self.a), g.address(self.b), g.address(self.c));
        let (m, panels) = (self.m.extent(g), self.panels() as i64);
        let entry_rows = self.known_rows();
        let (zero, whole) = (g.int(0), g.int(self.batch as i64));
        // With many batch entries each thread takes whole ones.
        let by_batch = self.batch >= 4;
        let batches = match by_batch {
            true => g.share(self.batch as i64, 1),
            false => (zero, whole),
        };
        let rows = match !by_batch && self.splits_rows() {
            true => g.share_extent(m, 6),
            false => (zero, g.extent(m)),
        };
        let columns = match !by_batch && !self.splits_rows() {
            true => g.share(panels, 1),
            false => (zero, g.int(panels)),
        };
        let groups = g.int(self.groups as i64);
        g.for_range(batches.0, batches.1, 1, |g, batch| {
            let a = match self.rows {
                Rows::Matrix { lda } => offset(g, a, batch, 4 * entry_rows * lda),
                Rows::Window(_) => a,
            };
            fill.args.set(g, fill.base, a);
            let c = offset(g, c, batch, 4 * entry_rows * self.ldc);
            let step = self.chunk() as i64;
            g.for_range(rows.0, rows.1, step, |g, first| {
                let end = g.add_int(first, step);
                let end = g.min(end, rows.1);
                let count = g.b.ins().isub(end, first);
                fill.run(g, first, count);
                args.set(g, offset_of!(IgemmArgs, rows), count);
                let c_row = offset(g, c, first, 4 * self.ldc);
                let whole = g.mul_int(batch, entry_rows as i64);
                let row = g.add(whole, first);
                let residual_row = g.mul_int(row, 4 * self.ldc as i64);
                // Groups inside, so that they find the rows in the caches.
                g.for_range(zero, groups, 1, |g, group| {
                    match self.gather {
                        None => {
                            let skip = g.mul_int(group, self.k as i64);
                            args.set(g, offset_of!(IgemmArgs, skip), skip);
                        }
                        Some((offsets, _)) => {
                            let offsets = g.address(offsets);
                            let own = offset(g, offsets, group, 4 * self.k);
                            args.set(g, offset_of!(IgemmArgs, gather), own);
                        }
                    }
                    let which = g.mul_int(batch, self.groups as i64);
                    let which = g.add(which, group);
                    let b = offset(g, b, which, 4 * self.packed());
                    // One call for the panels at hand: the kernel walks them.
                    let first_column = g.mul_int(columns.0, PANEL as i64);
                    let end_column = g.mul_int(columns.1, PANEL as i64);
                    let n = g.int(self.n as i64);
                    let end_column = g.min(end_column, n);
                    let width = g.b.ins().isub(end_column, first_column);
                    let own = g.mul_int(group, self.n as i64);
                    let column = g.add(own, first_column);
                    let column = g.mul_int(column, 4);
                    let pointer = g.add(c_row, column);
                    args.set(g, offset_of!(IgemmArgs, c), pointer);
                    let panel = offset(g, b, columns.0, 4 * PANEL * self.k * self.taps);
                    args.set(g, offset_of!(IgemmArgs, b), panel);
                    args.set(g, offset_of!(IgemmArgs, n), width);
                    let residual = g.add(residual_row, column);
                    self.tail.set_pointers(g, &args, at, column, residual);
                    let some = g.is_positive(width);
                    g.when(some, |g| {
                        g.kernel(offset_of!(Table, igemm_f32), &[args.address], &[]);
                    });
                });
            });
        });
    }

    /// The call that fills the pointer table, with all that does not change set.
    fn fill_args(&self, g: &mut Gen<'_>, table: cranelift_codegen::ir::Value) -> Fill {
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

struct Fill {
    args: Args,
    /// Where the pointer to the first row or pixel stands.
    base: usize,
    /// The distance of rows, if they are those of a matrix.
    lda: Option<usize>,
}

impl Fill {
    fn run(
        &self,
        g: &mut Gen<'_>,
        first: cranelift_codegen::ir::Value,
        count: cranelift_codegen::ir::Value,
    ) {
        match self.lda {
            Some(lda) => {
                let base = g.load(
                    cranelift_codegen::ir::types::I64,
                    self.args.address,
                    self.base as i32,
                );
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
pub(crate) fn offset(
    g: &mut Gen<'_>,
    base: cranelift_codegen::ir::Value,
    index: cranelift_codegen::ir::Value,
    bytes: usize,
) -> cranelift_codegen::ir::Value {
    let distance = g.mul_int(index, bytes as i64);
    g.add(base, distance)
}
