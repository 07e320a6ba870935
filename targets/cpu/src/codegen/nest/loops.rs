//! The loops of a piece: shared among the parts outside, vectors of four or copies of rows inside.

use std::mem::offset_of;

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, Value, types};
use lepid_ukernels::Table;
use lepid_ukernels::args::TransposeArgs;

use super::NestBody;
use super::piece::{Outer, Piece, Point};
use crate::codegen::args::Args;
use crate::codegen::extent::Extent;
use crate::codegen::function::Gen;
use crate::codegen::scalar::Lanes;

/// How the loops of a piece begin.
pub(super) struct Loops {
    /// Whether the innermost runs four elements at a time.
    pub(super) vector: bool,
    /// Where each access begins.
    pub(super) pointers: Vec<Value>,
    /// The steps of the outermost; they are shared among the parts if nothing is said.
    pub(super) range: Option<(Value, Value)>,
}

/// One of the loops of a piece.
#[derive(Copy, Clone)]
struct Level {
    number: usize,
    range: (Value, Value),
    vector: bool,
}

impl NestBody<'_> {
    /// Loops around the transposition of an axis and the last; the outermost loop is shared among
    /// the parts, or the axis if there is no other.
    pub(super) fn emit_transposition(&self, g: &mut Gen<'_>, piece: &Piece, axis: usize) {
        let last = piece.extents.len() - 1;
        let to = piece.results[0];
        let rows = piece.extents[last];
        let args = Args::new::<TransposeArgs>(g);
        let steps = [
            (offset_of!(TransposeArgs, rows), rows),
            (
                offset_of!(TransposeArgs, src_row),
                piece.accesses[1 - to].coef[last],
            ),
            (
                offset_of!(TransposeArgs, dst_row),
                piece.accesses[to].coef[axis],
            ),
        ];
        for (field, value) in steps {
            args.set_int(g, field, value);
        }
        let others: Vec<usize> = (0..last).filter(|&a| a != axis).collect();
        let columns = self.extent(g, piece, axis);
        let (first, end) = match others.is_empty() {
            true => g.share_extent(columns, 16),
            false => (g.int(0), g.extent(columns)),
        };
        let count = g.b.ins().isub(end, first);
        args.set(g, offset_of!(TransposeArgs, columns), count);
        let outer = Outer {
            pointers: self.pointers(g, piece),
            variables: Vec::new(),
        };
        let outer = outer.advanced(g, piece, axis, first);
        self.transpose_inside(g, piece, &args, &others, true, &outer);
    }

    /// The extent of a loop.
    fn extent(&self, g: &mut Gen<'_>, piece: &Piece, level: usize) -> Extent {
        match level {
            0 => self.outermost(g, piece.extents[0]),
            _ => Extent::Known(piece.extents[level]),
        }
    }

    /// Loops around `body`.
    pub(super) fn emit_loops(
        &self,
        g: &mut Gen<'_>,
        piece: &Piece,
        loops: Loops,
        body: &dyn Fn(&mut Gen<'_>, &Point),
    ) {
        let origin: Vec<Value> = piece.domain.iter().map(|&(low, _)| g.int(low)).collect();
        let outer = Outer {
            pointers: loops.pointers,
            variables: origin,
        };
        if piece.extents.is_empty() {
            let point = Point::scalar(&outer.pointers, &outer.variables);
            match loops.range {
                Some(_) => body(g, &point),
                // One element: the first part does it.
                None => {
                    let first = g.b.ins().icmp_imm_u(IntCC::Equal, g.part, 0);
                    g.when(first, |g| body(g, &point));
                }
            }
            return;
        }
        // Whole cache lines, so that no line is written by two threads.
        let align = if piece.extents.len() == 1 { 16 } else { 1 };
        let level = Level {
            number: 0,
            range: loops.range.unwrap_or_else(|| {
                let extent = self.extent(g, piece, 0);
                g.share_extent(extent, align)
            }),
            vector: loops.vector,
        };
        self.emit_level(g, piece, &level, &outer, body);
    }

    pub(super) fn pointers(&self, g: &mut Gen<'_>, piece: &Piece) -> Vec<Value> {
        let addresses = piece.accesses.iter().map(|a| {
            let base = g.address(a.place);
            g.add_int(base, a.base * a.elem.bytes() as i64)
        });
        addresses.collect()
    }

    fn emit_level(
        &self,
        g: &mut Gen<'_>,
        piece: &Piece,
        at: &Level,
        outer: &Outer,
        body: &dyn Fn(&mut Gen<'_>, &Point),
    ) {
        let (level, (start, end)) = (at.number, at.range);
        if let Some(&extent) = piece.extents.get(level + 1) {
            g.for_range(start, end, 1, |g, i| {
                let outer = outer.advanced(g, piece, level, i);
                let inner = Level {
                    number: level + 1,
                    range: (g.int(0), g.int(extent)),
                    ..*at
                };
                self.emit_level(g, piece, &inner, &outer, body);
            });
            return;
        }
        if piece.copies_rows(level) {
            let (to, from) = (piece.results[0], 1 - piece.results[0]);
            let inner = outer.advanced(g, piece, level, start);
            let count = g.b.ins().isub(end, start);
            let bytes = g.mul_int(count, piece.accesses[to].elem.bytes() as i64);
            let some = g.is_positive(bytes);
            g.when(some, |g| {
                g.copy_bytes(inner.pointers[to], inner.pointers[from], bytes);
            });
            return;
        }
        let mut from = start;
        if at.vector {
            let hoisted: Vec<Option<Value>> = piece
                .accesses
                .iter()
                .enumerate()
                .map(|(k, a)| {
                    let fixed = a.coef[level] == 0 && !piece.results.contains(&k);
                    fixed.then(|| {
                        let x = g.load(types::F32, outer.pointers[k], 0);
                        g.b.ins().splat(types::F32X4, x)
                    })
                })
                .collect();
            let count = g.b.ins().isub(end, start);
            let count = g.b.ins().band_imm_s(count, -4);
            let stop = g.add(start, count);
            g.for_range(start, stop, 4, |g, i| {
                let inner = outer.advanced(g, piece, level, i);
                let point = Point {
                    lane_axis: level,
                    pointers: inner.pointers,
                    variables: inner.variables,
                    hoisted: hoisted.clone(),
                    lanes: Lanes::Four,
                };
                body(g, &point);
            });
            from = stop;
        }
        g.for_range(from, end, 1, |g, i| {
            let inner = outer.advanced(g, piece, level, i);
            body(g, &Point::scalar(&inner.pointers, &inner.variables));
        });
    }

    /// Loops over the axes that are left, and in them the transposition.
    fn transpose_inside(
        &self,
        g: &mut Gen<'_>,
        piece: &Piece,
        args: &Args,
        axes: &[usize],
        outermost: bool,
        outer: &Outer,
    ) {
        let Some((&axis, inner)) = axes.split_first() else {
            let to = piece.results[0];
            args.set(g, offset_of!(TransposeArgs, src), outer.pointers[1 - to]);
            args.set(g, offset_of!(TransposeArgs, dst), outer.pointers[to]);
            g.kernel(offset_of!(Table, transpose_f32), &[args.address], &[]);
            return;
        };
        let extent = self.extent(g, piece, axis);
        let (start, end) = match outermost {
            true => g.share_extent(extent, 1),
            false => (g.int(0), g.extent(extent)),
        };
        g.for_range(start, end, 1, |g, i| {
            let outer = outer.advanced(g, piece, axis, i);
            self.transpose_inside(g, piece, args, inner, false, &outer);
        });
    }
}
