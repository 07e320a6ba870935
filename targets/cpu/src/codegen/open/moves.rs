//! What ops that only move elements do to an index.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, Value};
use lepid_ir::core::OpView;
use lepid_ir::dialects::tensor::{self, PadMode};

use super::loops::{Coord, Step};
use crate::codegen::extent::Extent;
use crate::codegen::function::Gen;
use crate::codegen::rules::Extents;

/// Where a coordinate of an operand comes from.
#[derive(Copy, Clone, Debug)]
pub(super) enum Source {
    /// It is that of an axis of the result.
    At(usize),
    Zero,
    /// That of an axis of the result, or 0 if the operand's extent turns out to be 1.
    Stretched {
        axis: usize,
        from: Extent,
    },
    /// `scale * place + offset`.
    Affine {
        axis: usize,
        scale: Extent,
        offset: Extent,
    },
}

/// The coordinates of the only operand that is read, if the op is one that moves it as a whole.
/// `figures` are what a measure found.
pub(super) fn sources(
    g: &mut Gen<'_>,
    view: OpView<'_>,
    from: &Extents,
    to: &Extents,
    figures: usize,
) -> Option<Vec<Source>> {
    let rank = from.len();
    Some(match view.name() {
        "tensor.broadcast" => {
            let axes = tensor::Broadcast::axes(view);
            let pairs = axes.iter().zip(from);
            pairs
                .map(|(&a, &n)| stretched(a as usize, n, to[a as usize]))
                .collect()
        }
        "tensor.dyn_broadcast" => {
            let first = to.len() - rank;
            let axes = from.iter().enumerate();
            axes.map(|(i, &n)| stretched(first + i, n, to[first + i]))
                .collect()
        }
        "tensor.transpose" => {
            let mut out = vec![Source::Zero; rank];
            for (axis, a) in tensor::Transpose::perm(view).into_iter().enumerate() {
                out[a as usize] = Source::At(axis);
            }
            out
        }
        "tensor.slice" => {
            let (start, step) = (tensor::Slice::start(view), tensor::Slice::step(view));
            let axis = |a: usize| match (start[a], step[a]) {
                (0, 1) => Source::At(a),
                (start, step) => Source::Affine {
                    axis: a,
                    scale: Extent::Known(step),
                    offset: Extent::Known(start),
                },
            };
            (0..rank).map(axis).collect()
        }
        "tensor.dyn_slice" => {
            let axes = tensor::DynSlice::axes(view);
            let axis = |a: usize| match axes.contains(&(a as i64)) {
                false => Source::At(a),
                true => Source::Affine {
                    axis: a,
                    scale: Extent::Run(g.read_cell(figures + 2 * rank + a)),
                    offset: Extent::Run(g.read_cell(figures + rank + a)),
                },
            };
            (0..rank).map(axis).collect()
        }
        "tensor.reverse" => {
            let axes = tensor::Reverse::axes(view);
            let axis = |a: usize| match axes.contains(&(a as i64)) {
                false => Source::At(a),
                true => Source::Affine {
                    axis: a,
                    scale: Extent::Known(-1),
                    offset: g.extent_add(from[a], Extent::Known(-1)),
                },
            };
            (0..rank).map(axis).collect()
        }
        _ => return None,
    })
}

fn stretched(axis: usize, from: Extent, to: Extent) -> Source {
    match from {
        Extent::Known(1) => Source::Zero,
        Extent::Known(_) => Source::At(axis),
        Extent::Run(_) if from == to => Source::At(axis),
        Extent::Run(_) => Source::Stretched { axis, from },
    }
}

impl Source {
    pub(super) fn step(self, at: &[Step]) -> Step {
        let moved = |axis: usize| match at[axis] {
            Step::Fixed => Step::Fixed,
            Step::Unit | Step::Other => Step::Other,
        };
        match self {
            Source::At(axis) => at[axis],
            Source::Zero => Step::Fixed,
            Source::Stretched { axis, .. } => moved(axis),
            Source::Affine {
                axis,
                scale: Extent::Known(1),
                ..
            } => at[axis],
            Source::Affine { axis, .. } => moved(axis),
        }
    }

    pub(super) fn coord(self, g: &mut Gen<'_>, at: &[Coord]) -> Coord {
        let steps: Vec<Step> = at.iter().map(|c| c.step).collect();
        let place = match self {
            Source::At(axis) => at[axis].place,
            Source::Zero => Extent::Known(0),
            Source::Stretched { axis, from } => {
                let (place, from) = (g.extent(at[axis].place), g.extent(from));
                let one = g.b.ins().icmp_imm_u(IntCC::Equal, from, 1);
                let zero = g.int(0);
                Extent::Run(g.b.ins().select(one, zero, place))
            }
            Source::Affine {
                axis,
                scale,
                offset,
            } => {
                let scaled = g.extent_mul(at[axis].place, scale);
                g.extent_add(scaled, offset)
            }
        };
        Coord {
            place,
            step: self.step(&steps),
        }
    }
}

/// The padding of one axis.
#[derive(Copy, Clone, Debug)]
pub(super) struct Padding {
    pub(super) low: Extent,
    /// The extent of the operand.
    pub(super) inner: Extent,
    /// Whether nothing is added at all.
    pub(super) none: bool,
}

/// The padding of each axis; of `tensor.dyn_pad`, whose numbers stand at `pads`.
pub(super) fn paddings(
    g: &mut Gen<'_>,
    view: OpView<'_>,
    from: &Extents,
    pads: Option<Value>,
) -> Vec<Padding> {
    let pair = |a: usize| (tensor::Pad::low(view)[a], tensor::Pad::high(view)[a]);
    let axes = from.iter().enumerate();
    axes.map(|(a, &inner)| match pads {
        None => Padding {
            low: Extent::Known(pair(a).0),
            inner,
            none: pair(a) == (0, 0),
        },
        Some(pads) => Padding {
            low: Extent::Run(g.load(cranelift_codegen::ir::types::I64, pads, 8 * a as i32)),
            inner,
            none: false,
        },
    })
    .collect()
}

impl Padding {
    /// The place in the operand before anything is said of the borders.
    fn place(self, g: &mut Gen<'_>, at: Coord) -> Value {
        let low = g.extent(self.low);
        let at = g.extent(at.place);
        g.b.ins().isub(at, low)
    }

    /// The coordinate in the operand of a place that is inside.
    pub(super) fn inside(self, g: &mut Gen<'_>, at: Coord) -> Coord {
        match self.none {
            true => at,
            false => Coord {
                place: Extent::Run(self.place(g, at)),
                step: at.step,
            },
        }
    }

    /// Whether a place is inside of the operand.
    pub(super) fn is_inside(self, g: &mut Gen<'_>, at: Coord) -> Value {
        let (place, inner) = (self.place(g, at), g.extent(self.inner));
        g.b.ins().icmp(IntCC::UnsignedLessThan, place, inner)
    }

    /// The place in the operand that stands for one that may be outside.
    pub(super) fn mirrored(self, g: &mut Gen<'_>, at: Coord, mode: PadMode) -> Coord {
        let (place, inner) = (self.place(g, at), g.extent(self.inner));
        let (zero, one) = (g.int(0), g.int(1));
        let inner = g.max(inner, one);
        let last = g.add_int(inner, -1);
        let place = match mode {
            PadMode::Constant | PadMode::Edge => {
                let place = g.max(place, zero);
                g.min(place, last)
            }
            PadMode::Wrap => modulo(g, place, inner),
            PadMode::Reflect => {
                let twice = g.add(last, last);
                let period = g.max(twice, one);
                let place = modulo(g, place, period);
                let back = g.b.ins().isub(period, place);
                let place = g.min(place, back);
                g.min(place, last)
            }
        };
        Coord {
            place: Extent::Run(place),
            step: match at.step {
                Step::Fixed => Step::Fixed,
                Step::Unit | Step::Other => Step::Other,
            },
        }
    }
}

/// The remainder that is not negative, for `by` above 0.
fn modulo(g: &mut Gen<'_>, x: Value, by: Value) -> Value {
    let rest = g.b.ins().srem(x, by);
    let moved = g.add(rest, by);
    let zero = g.int(0);
    let negative = g.b.ins().icmp(IntCC::SignedLessThan, rest, zero);
    g.b.ins().select(negative, moved, rest)
}
