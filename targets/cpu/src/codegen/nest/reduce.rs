//! Reductions: loops over the kept axes around loops over the reduced ones.

use std::collections::{HashMap, HashSet};

use cranelift_codegen::ir::{InstBuilder, Value};
use lepid_ir::core::{Elem, Op, Value as IrValue};
use lepid_ir::dialects::tensor;

use super::affine::{Affine, Domain, Index, linear_index};
use super::loops::Loops;
use super::piece::{Access, Outer, Piece, Point};
use super::{NestBody, elem};
use crate::codegen::function::Gen;
use crate::codegen::reduction::{self, Reduction};
use crate::codegen::scalar::{self, Lanes};

impl NestBody<'_> {
    /// A reduction: loops over the kept axes around loops over the reduced ones.
    pub(super) fn emit_reduce(&self, g: &mut Gen<'_>, reduce: Op) -> Result<(), String> {
        let view = self.module().view(reduce);
        let source = view.operand(0);
        let shape = self.dims(source);
        let reduced: Vec<usize> = tensor::Reduce::axes(view)
            .iter()
            .map(|&a| a as usize)
            .collect();
        let kept: Vec<usize> = (0..shape.len()).filter(|a| !reduced.contains(a)).collect();
        let order: Vec<usize> = kept.iter().chain(&reduced).copied().collect();
        let axes = shape.len();
        let mut index: Index = vec![Affine::constant(axes, 0); axes];
        for (k, &a) in order.iter().enumerate() {
            index[a] = Affine::axis(axes, k);
        }
        let domain: Domain = order.iter().map(|&a| (0, shape[a])).collect();
        let mut visited = HashSet::new();
        if self
            .find_cut(source, &index, &domain, &mut visited)?
            .is_some()
        {
            return Err("a reduction over a concat or a pad must be two nests".into());
        }
        let result_index: Index = (0..kept.len()).map(|k| Affine::axis(axes, k)).collect();
        let result = self.module().results(self.io.op)[0];
        let linear = linear_index(&self.rows(result), &result_index, axes);
        let kind =
            Reduction::from_name(tensor::Reduce::kind(view)).ok_or("unknown kind of reduction")?;
        let ty = elem(self.module(), source);
        if domain.iter().take(kept.len()).any(|d| d.1 == 0) {
            return Ok(());
        }
        // An empty reduction reads nothing; the loops below then run zero times.
        let mut piece = self.piece(domain, &[source], &index)?;
        piece.results.push(piece.accesses.len());
        piece
            .accesses
            .push(self.access(self.io.results[0], self.roots[0], &linear));
        let split = piece.join_axes(kept.len());
        let last = piece.extents.len();
        let along = |axis: usize| {
            piece.accesses[..piece.accesses.len() - 1]
                .iter()
                .all(|a| a.elem == Elem::F32 && matches!(a.coef[axis], 0 | 1))
        };
        let vector_body = !piece.uses_iota && self.is_vector(source) && ty == Elem::F32;
        let store = piece.results[0];
        // Four results at a time, if they lie side by side.
        let columns = split > 0
            && vector_body
            && along(split - 1)
            && piece.accesses[store].coef[split - 1] == 1
            && piece.extents[split - 1] >= 4;
        // Or four elements of one reduction at a time.
        let rows = !columns
            && vector_body
            && last > split
            && along(last - 1)
            && piece.extents[last - 1] >= 4;
        let outer_piece = Piece {
            extents: piece.extents[..split].to_vec(),
            accesses: Vec::new(),
            of: HashMap::new(),
            results: vec![store],
            domain: piece.domain.clone(),
            uses_iota: piece.uses_iota,
            is_copy: false,
        };
        let body = |g: &mut Gen<'_>, at: &Point| {
            let total = self.reduce_loops(g, &piece, split, at, kind, ty, source, &index, rows);
            // Sums of integers wrap to the bits of the element; floats are rounded when stored.
            let total = match ty.is_float() {
                true => total,
                false => scalar::round(g, total, ty),
            };
            at.store(g, &piece, store, total);
        };
        self.emit_kept(g, &piece, &outer_piece.extents, columns, &body);
        Ok(())
    }

    /// The loops over the kept axes of a reduction.
    fn emit_kept(
        &self,
        g: &mut Gen<'_>,
        piece: &Piece,
        extents: &[i64],
        columns: bool,
        body: &dyn Fn(&mut Gen<'_>, &Point),
    ) {
        let view = Piece {
            extents: extents.to_vec(),
            accesses: piece.accesses.iter().map(Access::copy).collect(),
            of: HashMap::new(),
            results: (0..piece.accesses.len()).collect(),
            domain: piece.domain.clone(),
            uses_iota: piece.uses_iota,
            is_copy: false,
        };
        let loops = Loops {
            vector: columns,
            pointers: self.pointers(g, &view),
            range: None,
        };
        self.emit_loops(g, &view, loops, body);
    }

    #[allow(
        clippy::too_many_arguments,
        reason = "one recursion over one set of loop facts"
    )]
    fn reduce_loops(
        &self,
        g: &mut Gen<'_>,
        piece: &Piece,
        level: usize,
        at: &Point,
        kind: Reduction,
        ty: Elem,
        source: IrValue,
        index: &Index,
        rows: bool,
    ) -> Value {
        let neutral = reduction::neutral(g, kind, ty, at.lanes);
        if level == piece.extents.len() {
            let value = self.value(g, piece, at, source, index, &mut HashMap::new());
            return reduction::combine(g, kind, ty, neutral, value);
        }
        let extent = piece.extents[level];
        let outer = Outer {
            pointers: at.pointers.clone(),
            variables: at.variables.clone(),
        };
        let (zero, end) = (g.int(0), g.int(extent));
        let innermost = level + 1 == piece.extents.len();
        if innermost && rows {
            // Four partial sums of four lanes each hide the latency of the addition.
            let four = reduction::neutral(g, kind, ty, Lanes::Four);
            let blocks = extent / 16 * 16;
            let stop = g.int(blocks);
            let mut sums = g.fold_range(zero, stop, 16, &[four; 4], |g, i, sums| {
                (0..4)
                    .map(|k| {
                        let i = g.add_int(i, 4 * k as i64);
                        let point = outer.advanced(g, piece, level, i).point(Lanes::Four, level);
                        let value =
                            self.value(g, piece, &point, source, index, &mut HashMap::new());
                        reduction::combine(g, kind, ty, sums[k], value)
                    })
                    .collect()
            });
            let quads = extent / 4 * 4;
            let (from, to) = (g.int(blocks), g.int(quads));
            let first = sums[0];
            sums[0] = g.fold_range(from, to, 4, &[first], |g, i, sum| {
                let point = outer.advanced(g, piece, level, i).point(Lanes::Four, level);
                let value = self.value(g, piece, &point, source, index, &mut HashMap::new());
                vec![reduction::combine(g, kind, ty, sum[0], value)]
            })[0];
            let left = reduction::combine(g, kind, ty, sums[0], sums[1]);
            let right = reduction::combine(g, kind, ty, sums[2], sums[3]);
            let both = reduction::combine(g, kind, ty, left, right);
            let lanes: Vec<Value> = (0..4).map(|l| g.b.ins().extractlane(both, l)).collect();
            let total = lanes[1..]
                .iter()
                .fold(lanes[0], |sum, &x| reduction::combine(g, kind, ty, sum, x));
            let (from, to) = (g.int(quads), g.int(extent));
            return g.fold_range(from, to, 1, &[total], |g, i, sum| {
                let point = outer.advanced(g, piece, level, i).point(Lanes::One, level);
                let value = self.value(g, piece, &point, source, index, &mut HashMap::new());
                vec![reduction::combine(g, kind, ty, sum[0], value)]
            })[0];
        }
        g.fold_range(zero, end, 1, &[neutral], |g, i, sum| {
            let point = outer
                .advanced(g, piece, level, i)
                .point(at.lanes, at.lane_axis);
            let value = match innermost {
                true => self.value(g, piece, &point, source, index, &mut HashMap::new()),
                false => {
                    self.reduce_loops(g, piece, level + 1, &point, kind, ty, source, index, rows)
                }
            };
            vec![reduction::combine(g, kind, ty, sum[0], value)]
        })[0]
    }
}
