//! Loops over the axes of a result, and inside them over the axes that are folded.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, Value};
use lepid_ir::core::Elem;

use crate::codegen::extent::Extent;
use crate::codegen::function::Gen;
use crate::codegen::reduction::{self, Reduction};
use crate::codegen::scalar::{self, Lanes};

/// What the loops compute, one value per point.
pub(super) trait Source {
    /// The element that a fold sums up in, or that is stored.
    fn elem(&self) -> Elem;

    /// The value at the loop variables, those of folded axes last.
    fn value(&self, g: &mut Gen<'_>, at: &[Coord], lanes: Lanes) -> Value;

    /// Whether four lanes can stand for the steps of the loop variables that are not fixed.
    fn is_vector(&self, at: &[Step]) -> bool;
}

/// A place along an axis.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Coord {
    pub(super) place: Extent,
    pub(super) step: Step,
}

/// How a place changes from lane to lane.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Step {
    /// Not at all.
    Fixed,
    /// By one.
    Unit,
    Other,
}

/// A loop nest: over `kept`, and for each point over `reduced`.
pub(super) struct Loops {
    pub(super) kept: Vec<Extent>,
    pub(super) reduced: Vec<Extent>,
    pub(super) fold: Option<Reduction>,
}

/// What does not change within a nest.
struct Task<'a> {
    loops: &'a Loops,
    source: &'a dyn Source,
    to: Value,
    elem: Elem,
    strides: Vec<Extent>,
    /// Whether the last kept axis, or the last folded one, is walked four at a time.
    columns: bool,
    rows: bool,
}

impl Loops {
    /// One loop over all elements.
    pub(super) fn flat(self, g: &mut Gen<'_>) -> Loops {
        Loops {
            kept: vec![g.extent_product(&self.kept)],
            ..self
        }
    }

    /// Emits this part's share.
    pub(super) fn emit(&self, g: &mut Gen<'_>, source: &dyn Source, to: Value, elem: Elem) {
        let all = self.kept.len() + self.reduced.len();
        let along = |axis: Option<usize>| {
            let mut steps = vec![Step::Fixed; all];
            let Some(axis) = axis else {
                return false;
            };
            steps[axis] = Step::Unit;
            elem == Elem::F32 && source.elem() == Elem::F32 && source.is_vector(&steps)
        };
        let columns = along(self.kept.len().checked_sub(1));
        let last_reduced = (!self.reduced.is_empty()).then(|| all - 1);
        let task = Task {
            loops: self,
            source,
            to,
            elem,
            strides: g.strides(&self.kept),
            columns,
            rows: !columns && along(last_reduced),
        };
        match self.kept.is_empty() {
            // One element: the first part does it.
            true => {
                let first = g.b.ins().icmp_imm_u(IntCC::Equal, g.part, 0);
                g.when(first, |g| task.point(g, &[], Extent::Known(0), Lanes::One));
            }
            false => task.level(g, &[], Extent::Known(0)),
        }
    }
}

impl Task<'_> {
    /// The loop over one more kept axis; `offset` is that of the result so far.
    fn level(&self, g: &mut Gen<'_>, outer: &[Coord], offset: Extent) {
        let level = outer.len();
        let extent = self.loops.kept[level];
        let last = level + 1 == self.loops.kept.len();
        let (start, end) = match level {
            // Whole cache lines, so that no line is written by two threads.
            0 => g.share_extent(extent, if last { 16 } else { 1 }),
            _ => (g.int(0), g.extent(extent)),
        };
        if !last {
            g.for_range(start, end, 1, |g, i| {
                let (at, offset) = self.advanced(g, outer, offset, i, Step::Fixed);
                self.level(g, &at, offset);
            });
            return;
        }
        let mut from = start;
        if self.columns {
            let count = g.b.ins().isub(end, start);
            let count = g.b.ins().band_imm_s(count, -4);
            let stop = g.add(start, count);
            g.for_range(start, stop, 4, |g, i| {
                let (at, offset) = self.advanced(g, outer, offset, i, Step::Unit);
                self.point(g, &at, offset, Lanes::Four);
            });
            from = stop;
        }
        g.for_range(from, end, 1, |g, i| {
            let (at, offset) = self.advanced(g, outer, offset, i, Step::Fixed);
            self.point(g, &at, offset, Lanes::One);
        });
    }

    fn advanced(
        &self,
        g: &mut Gen<'_>,
        outer: &[Coord],
        offset: Extent,
        i: Value,
        step: Step,
    ) -> (Vec<Coord>, Extent) {
        let place = Extent::Run(i);
        let moved = g.extent_mul(place, self.strides[outer.len()]);
        let offset = g.extent_add(offset, moved);
        (with(outer, place, step), offset)
    }

    /// Computes and stores one element, or four.
    fn point(&self, g: &mut Gen<'_>, at: &[Coord], offset: Extent, lanes: Lanes) {
        let value = match self.loops.fold {
            None => self.source.value(g, at, lanes),
            Some(fold) => {
                let total = self.fold(g, fold, at, lanes);
                match lanes {
                    Lanes::One => scalar::round(g, total, self.elem),
                    Lanes::Four => total,
                }
            }
        };
        let bytes = g.extent_mul(offset, Extent::Known(self.elem.bytes() as i64));
        let bytes = g.extent(bytes);
        let address = g.add(self.to, bytes);
        match lanes {
            Lanes::One => scalar::store(g, self.elem, value, address),
            Lanes::Four => scalar::store_four(g, value, address),
        }
    }

    /// The loops over the folded axes that are left.
    fn fold(&self, g: &mut Gen<'_>, fold: Reduction, at: &[Coord], lanes: Lanes) -> Value {
        let ty = self.source.elem();
        let level = at.len() - self.loops.kept.len();
        let neutral = reduction::neutral(g, fold, ty, lanes);
        let Some(&extent) = self.loops.reduced.get(level) else {
            let value = self.source.value(g, at, lanes);
            return reduction::combine(g, fold, ty, neutral, value);
        };
        let last = level + 1 == self.loops.reduced.len();
        let (zero, end) = (g.int(0), g.extent(extent));
        let mut from = zero;
        let mut total = neutral;
        if last && self.rows && lanes == Lanes::One {
            let four = reduction::neutral(g, fold, ty, Lanes::Four);
            let stop = g.b.ins().band_imm_s(end, -4);
            let sums = g.fold_range(zero, stop, 4, &[four], |g, i, sum| {
                let at = with(at, Extent::Run(i), Step::Unit);
                let value = self.source.value(g, &at, Lanes::Four);
                vec![reduction::combine(g, fold, ty, sum[0], value)]
            });
            for lane in 0..4 {
                let x = g.b.ins().extractlane(sums[0], lane);
                total = reduction::combine(g, fold, ty, total, x);
            }
            from = stop;
        }
        g.fold_range(from, end, 1, &[total], |g, i, sum| {
            let at = with(at, Extent::Run(i), Step::Fixed);
            let value = match last {
                true => self.source.value(g, &at, lanes),
                false => self.fold(g, fold, &at, lanes),
            };
            vec![reduction::combine(g, fold, ty, sum[0], value)]
        })[0]
    }
}

fn with(outer: &[Coord], place: Extent, step: Step) -> Vec<Coord> {
    let mut at = outer.to_vec();
    at.push(Coord { place, step });
    at
}
