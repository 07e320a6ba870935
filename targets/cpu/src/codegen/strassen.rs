//! Calls of the microkernel for Strassen's products: one per thread, which walks its share of the
//! rows or of the panels.

use std::mem::offset_of;

use cranelift_codegen::ir::InstBuilder;
use lepid_ir::dialects::kernel::PANEL;
use lepid_ukernels::Table;
use lepid_ukernels::args::StrassenArgs;

use crate::codegen::args::{Args, Tail};
use crate::codegen::function::Gen;
use crate::places::Place;

/// `c[M, N] = act(a · b + bias + residual)`; M and N are even, as half of each is a quadrant's.
#[derive(Clone, Debug)]
pub(crate) struct Strassen {
    pub(crate) m: usize,
    pub(crate) k: usize,
    pub(crate) n: usize,
    pub(crate) a: Place,
    pub(crate) weights: Place,
    pub(crate) c: Place,
    pub(crate) tail: Tail,
}

/// Rows of a quadrant that are worked on together: all weights stream once for them.
const MOST_ROWS: usize = 96;
/// Threads share the rows of a quadrant if there are so many; else each would stream all weights for few.
const SHARED_ROWS: usize = 192;

impl Strassen {
    /// Rows of tiles of six, about as many in each block.
    fn block(&self) -> usize {
        let half = self.m / 2;
        let blocks = half.div_ceil(MOST_ROWS);
        half.div_ceil(blocks.max(1)).next_multiple_of(6)
    }

    pub(crate) fn flops(&self) -> f64 {
        2.0 * (self.m * self.k * self.n) as f64
    }

    /// Scratch for the sums of quadrants of one block.
    pub(crate) fn scratch_bytes(&self) -> usize {
        4 * self.block() * self.k / 2
    }

    pub(crate) fn emit(&self, g: &mut Gen<'_>) {
        let args = Args::new::<StrassenArgs>(g);
        let (rows, panels) = (self.m / 2, self.n / 2 / PANEL);
        for (at, value) in [
            (offset_of!(StrassenArgs, rows), rows),
            (offset_of!(StrassenArgs, k), self.k / 2),
            (offset_of!(StrassenArgs, panels), panels),
            (offset_of!(StrassenArgs, lda), self.k),
            (offset_of!(StrassenArgs, ldc), self.n),
            (offset_of!(StrassenArgs, block), self.block()),
        ] {
            args.set_int(g, at, value as i64);
        }
        for (at, place) in [
            (offset_of!(StrassenArgs, a), self.a),
            (offset_of!(StrassenArgs, b), self.weights),
            (offset_of!(StrassenArgs, c), self.c),
        ] {
            let address = g.address(place);
            args.set(g, at, address);
        }
        let scratch = g.scratch();
        args.set(g, offset_of!(StrassenArgs, scratch), scratch);
        let at = offset_of!(StrassenArgs, epilogue);
        self.tail.set(g, &args, at, self.n);
        let zero = g.int(0);
        self.tail.set_pointers(g, &args, at, zero, zero);
        let all = |g: &mut Gen<'_>, n: usize| (zero, g.int(n as i64));
        let (rows, panels) = match rows >= SHARED_ROWS || panels < 4 {
            true => (g.share(rows as i64, 6), all(g, panels)),
            false => (all(g, rows), g.share(panels as i64, 1)),
        };
        for (at, value) in [
            (offset_of!(StrassenArgs, row_begin), rows.0),
            (offset_of!(StrassenArgs, row_end), rows.1),
            (offset_of!(StrassenArgs, panel_begin), panels.0),
            (offset_of!(StrassenArgs, panel_end), panels.1),
        ] {
            args.set(g, at, value);
        }
        let width = g.b.ins().isub(panels.1, panels.0);
        let some = g.is_positive(width);
        g.when(some, |g| {
            g.kernel(offset_of!(Table, strassen_f32), &[args.address], &[]);
        });
    }
}
