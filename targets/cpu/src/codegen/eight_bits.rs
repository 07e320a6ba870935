//! Products with weights in eight bits.

use std::mem::offset_of;

use lepid_ukernels::Table;
use lepid_ukernels::args::EightBitArgs;

use crate::codegen::args::{Args, Tail};
use crate::codegen::cells::Count;
use crate::codegen::function::Gen;
use crate::eight_bits::scale_bytes;
use crate::places::Place;

/// `c[M, N] = act(a · (scale * integers) + bias + residual)`.
#[derive(Clone, Debug)]
pub(crate) struct EightBitProduct {
    pub(crate) m: Count,
    pub(crate) n: usize,
    pub(crate) k: usize,
    /// Rows of weights that share their scales.
    pub(crate) block: usize,
    pub(crate) a: Place,
    /// Scales, then integers.
    pub(crate) weights: Place,
    pub(crate) c: Place,
    pub(crate) tail: Tail,
}

impl EightBitProduct {
    pub(crate) fn flops(&self) -> f64 {
        let rows = self.m.most().unwrap_or(1);
        2.0 * (rows * self.n * self.k) as f64
    }

    /// Threads share the panels: a panel is converted once for four rows.
    pub(crate) fn emit(&self, g: &mut Gen<'_>) {
        let args = Args::new::<EightBitArgs>(g);
        let extents = [
            (offset_of!(EightBitArgs, k), self.k),
            (offset_of!(EightBitArgs, block), self.block),
            (offset_of!(EightBitArgs, n), self.n),
            (offset_of!(EightBitArgs, lda), self.k),
            (offset_of!(EightBitArgs, ldc), self.n),
        ];
        for (at, extent) in extents {
            args.set_int(g, at, extent as i64);
        }
        let rows = self.m.extent(g);
        let rows = g.extent(rows);
        args.set(g, offset_of!(EightBitArgs, rows), rows);
        let (a, scales, c) = (
            g.address(self.a),
            g.address(self.weights),
            g.address(self.c),
        );
        let integers = g.add_int(scales, scale_bytes(self.k, self.n, self.block) as i64);
        args.set(g, offset_of!(EightBitArgs, a), a);
        args.set(g, offset_of!(EightBitArgs, b), integers);
        args.set(g, offset_of!(EightBitArgs, scales), scales);
        args.set(g, offset_of!(EightBitArgs, c), c);
        let epilogue = offset_of!(EightBitArgs, epilogue);
        self.tail.set(g, &args, epilogue, self.n);
        let zero = g.int(0);
        self.tail.set_pointers(g, &args, epilogue, zero, zero);
        let panels = self.n.div_ceil(lepid_ir::dialects::kernel::PANEL);
        let (begin, end) = g.share(panels as i64, 1);
        args.set(g, offset_of!(EightBitArgs, panel_begin), begin);
        args.set(g, offset_of!(EightBitArgs, panel_end), end);
        g.kernel(offset_of!(Table, gemv_i8), &[args.address], &[]);
    }
}
