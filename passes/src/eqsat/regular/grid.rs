//! What a value is at a row and a column: its places along the last two axes.

use lepid_ir::core::{Elem, Num, Tensor, TensorType};

use super::Asked;
use crate::eqsat::scratch::Scratch;

/// What a value is at a row and a column, the same along all other axes.
#[derive(Copy, Clone, PartialEq, Debug)]
pub(in crate::eqsat) enum Grid {
    Plane(Plane),
    Steps(Steps),
}

/// The integer `base + row · i + column · j` at row `i`, column `j`.
#[derive(Copy, Clone, PartialEq, Debug)]
pub(in crate::eqsat) struct Plane {
    base: i64,
    row: i64,
    column: i64,
}

/// One number in columns `j <= i + offset` of row `i`, another behind them.
#[derive(Copy, Clone, PartialEq, Debug)]
pub(in crate::eqsat) struct Steps {
    pub(in crate::eqsat) offset: i64,
    pub(in crate::eqsat) before: Num,
    pub(in crate::eqsat) behind: Num,
}

/// No plane leaves the range of its elements within this.
const MOST: i64 = 1 << 24;

impl Plane {
    /// A plane over rows and columns of a type of integers that cannot wrap.
    fn checked(self, ty: &TensorType) -> Option<Plane> {
        let [rows, columns] = last_two(&ty.known_dims()?);
        let fits = |n: i64| n.abs() <= MOST;
        let reach = |step: i64, count: usize| step.checked_mul(i64::try_from(count).ok()?);
        let all = [
            self.base,
            reach(self.row, rows)?,
            reach(self.column, columns)?,
        ];
        (matches!(ty.elem, Elem::I32 | Elem::I64) && all.into_iter().all(fits)).then_some(self)
    }

    fn combine(self, other: Plane, f: impl Fn(i64, i64) -> i64) -> Plane {
        Plane {
            base: f(self.base, other.base),
            row: f(self.row, other.row),
            column: f(self.column, other.column),
        }
    }
}

/// Of a constant. Numbers without regularity are left at the first that shows it.
pub(super) fn of_constant(tensor: &Tensor) -> Option<Grid> {
    match tensor.elem() {
        Elem::I32 | Elem::I64 => plane_of(tensor).map(Grid::Plane),
        elem if elem.is_float() || elem == Elem::Bool => steps_of(tensor).map(Grid::Steps),
        _ => None,
    }
}

fn plane_of(tensor: &Tensor) -> Option<Plane> {
    let [rows, columns] = last_two(tensor.shape());
    let at = |index: usize| i64::try_from(tensor.num(index).as_i128()).ok();
    let base = at(0)?;
    let step = |index: usize, count: usize| match count {
        1 => Some(0),
        _ => at(index)?.checked_sub(base),
    };
    let plane = Plane {
        base,
        row: step(columns, rows)?,
        column: step(1, columns)?,
    };
    let plane = plane.checked(tensor.ty().as_tensor()?)?;
    let expected = |index: usize| {
        let (i, j) = (index / columns % rows, index % columns);
        plane.base + plane.row * i as i64 + plane.column * j as i64
    };
    (0..tensor.len())
        .all(|index| at(index) == Some(expected(index)))
        .then_some(plane)
}

fn steps_of(tensor: &Tensor) -> Option<Steps> {
    if tensor.rank() < 2 {
        return None;
    }
    let [rows, columns] = last_two(tensor.shape());
    let before = tensor.num(0);
    let first = (1..columns).find(|&j| tensor.num(j) != before)?;
    let steps = Steps {
        offset: first as i64 - 1,
        before,
        behind: tensor.num(first),
    };
    let expected = |index: usize| match index % columns < first + index / columns % rows {
        true => steps.before,
        false => steps.behind,
    };
    (0..tensor.len())
        .all(|index| tensor.num(index) == expected(index))
        .then_some(steps)
}

/// The extents of the last two axes; 1 for one that is not there.
fn last_two(shape: &[usize]) -> [usize; 2] {
    let from_end = |n: usize| shape.len().checked_sub(n).map_or(1, |i| shape[i]);
    [from_end(2), from_end(1)]
}

/// A grid whose axes have gone to other places.
pub(super) fn moved(
    grid: Option<Grid>,
    from: &[usize],
    to: &[usize],
    axes: &[usize],
) -> Option<Grid> {
    let place = |from_end: usize| {
        let axis = from.len().checked_sub(from_end)?;
        axes.get(axis).copied().filter(|&a| a < to.len())
    };
    match grid? {
        Grid::Plane(plane) => {
            let mut moved = Plane {
                base: plane.base,
                row: 0,
                column: 0,
            };
            for (step, from_end) in [(plane.row, 2), (plane.column, 1)] {
                // Along an axis of extent 1 nothing changes, nor where it is repeated.
                let varies = from.len() >= from_end && from[from.len() - from_end] != 1;
                match (step, place(from_end).map(|axis| to.len() - axis)) {
                    _ if step == 0 || !varies => {}
                    (_, Some(1)) => moved.column = step,
                    (_, Some(2)) => moved.row = step,
                    _ => return None,
                }
            }
            Some(Grid::Plane(moved))
        }
        steps @ Grid::Steps(_) => {
            let stays = [1, 2].iter().all(|&n| {
                let kept = place(n).is_none_or(|axis| axis + n == to.len());
                kept && from.len() >= n && to.len() >= n && from[from.len() - n] == to[to.len() - n]
            });
            stays.then_some(steps)
        }
    }
}

/// The grid of a slice.
pub(super) fn cut(
    grid: Option<Grid>,
    start: &[i64],
    step: &[i64],
    result: &TensorType,
) -> Option<Grid> {
    let at = |list: &[i64], from_end: usize, none: i64| {
        list.len().checked_sub(from_end).map_or(none, |i| list[i])
    };
    let (starts, steps) = (
        [at(start, 2, 0), at(start, 1, 0)],
        [at(step, 2, 1), at(step, 1, 1)],
    );
    match grid? {
        Grid::Plane(plane) => {
            let offset = plane
                .row
                .checked_mul(starts[0])?
                .checked_add(plane.column.checked_mul(starts[1])?)?;
            let plane = Plane {
                base: plane.base.checked_add(offset)?,
                row: plane.row.checked_mul(steps[0])?,
                column: plane.column.checked_mul(steps[1])?,
            };
            plane.checked(result).map(Grid::Plane)
        }
        Grid::Steps(own) => {
            let offset = own.offset.checked_add(starts[0])?.checked_sub(starts[1])?;
            (steps == [1, 1]).then_some(Grid::Steps(Steps { offset, ..own }))
        }
    }
}

/// Of places along an axis.
pub(super) fn of_iota(axis: usize, ty: &TensorType) -> Option<Grid> {
    let at = |n: usize| i64::from(axis + n == ty.rank());
    let plane = Plane {
        base: 0,
        row: at(2),
        column: at(1),
    };
    let varies = plane.row + plane.column > 0;
    plane.checked(ty).filter(|_| varies).map(Grid::Plane)
}

pub(super) fn elementwise(scratch: &mut Scratch, op: &Asked<'_>) -> Option<Grid> {
    match stepped(scratch, op) {
        Some(steps) => Some(Grid::Steps(steps)),
        None => planar(op),
    }
}

/// An op on numbers that change together is computed once before and once behind the step.
fn stepped(scratch: &mut Scratch, op: &Asked<'_>) -> Option<Steps> {
    let mut all = op.operands.iter();
    let offset = all.find_map(|o| o.regular.steps())?.offset;
    let mut side = |of: fn(&Steps) -> Num| {
        let scalars: Option<Vec<Tensor>> = op
            .operands
            .iter()
            .map(|o| {
                let steps = o.regular.steps().filter(|s| s.offset == offset);
                let number = o.uniform.or_else(|| steps.as_ref().map(of))?;
                Some(Tensor::scalar(o.ty()?.elem()?, number))
            })
            .collect();
        let results = scratch.evaluate(op.name.0, &scalars?, op.attrs)?;
        Some(results.first()?.num(0))
    };
    Some(Steps {
        offset,
        before: side(|s| s.before)?,
        behind: side(|s| s.behind)?,
    })
}

/// Sums, differences and comparisons of planes.
fn planar(op: &Asked<'_>) -> Option<Grid> {
    let planes: Option<Vec<Plane>> = op
        .operands
        .iter()
        .map(|o| match (o.regular.plane(), o.uniform) {
            (Some(plane), _) => Some(plane),
            (None, Some(Num::Int(base))) => Some(Plane {
                base: i64::try_from(base).ok().filter(|n| n.abs() <= MOST)?,
                row: 0,
                column: 0,
            }),
            (None, _) => None,
        })
        .collect();
    let plane = match (op.name.as_str(), planes?.as_slice()) {
        ("tensor.add", &[x, y]) => x.combine(y, |x, y| x + y),
        ("tensor.sub", &[x, y]) => x.combine(y, |x, y| x - y),
        ("tensor.cast", &[x]) => x,
        ("tensor.compare", &[x, y]) => {
            let difference = x.combine(y, |x, y| x - y);
            return compared(difference, op.attr("direction")?.as_str()?).map(Grid::Steps);
        }
        _ => return None,
    };
    plane.checked(op.result).map(Grid::Plane)
}

/// Where a difference `j - i + base` or `i - j + base` stands in a relation to zero.
fn compared(difference: Plane, direction: &str) -> Option<Steps> {
    let (base, direction) = match (difference.row, difference.column) {
        (-1, 1) => (difference.base, direction),
        (1, -1) => {
            let turned = match direction {
                "lt" => "gt",
                "le" => "ge",
                "gt" => "lt",
                "ge" => "le",
                _ => return None,
            };
            (-difference.base, turned)
        }
        _ => return None,
    };
    let (offset, before) = match direction {
        "le" => (-base, 1),
        "lt" => (-base - 1, 1),
        "gt" => (-base, 0),
        "ge" => (-base - 1, 0),
        _ => return None,
    };
    Some(Steps {
        offset,
        before: Num::Int(before),
        behind: Num::Int(1 - before),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(elem: Elem, rows: usize, numbers: &[f64]) -> Option<Grid> {
        let columns = numbers.len() / rows;
        let numbers = numbers.iter().copied();
        of_constant(&Tensor::from_f64s(elem, [rows, columns], numbers))
    }

    #[test]
    fn planes_of_integers() {
        let plane = Plane {
            base: 5,
            row: 10,
            column: -1,
        };
        let numbers = [5.0, 4.0, 3.0, 15.0, 14.0, 13.0];
        assert_eq!(known(Elem::I64, 2, &numbers), Some(Grid::Plane(plane)));
        assert_eq!(known(Elem::I64, 2, &[5.0, 4.0, 3.0, 15.0, 14.0, 0.0]), None);
        // They would wrap.
        assert_eq!(known(Elem::I32, 1, &[0.0, 2e9]), None);
        assert_eq!(known(Elem::F32, 2, &numbers), None);
    }

    #[test]
    fn steps_of_masks() {
        let steps = |before, behind| {
            let (before, behind) = (Num::Float(before), Num::Float(behind));
            Some(Grid::Steps(Steps {
                offset: 0,
                before,
                behind,
            }))
        };
        let mask = [0.0, -1.0, -1.0, 0.0, 0.0, -1.0];
        assert_eq!(known(Elem::F32, 2, &mask), steps(0.0, -1.0));
        assert_eq!(
            known(Elem::F32, 2, &[0.0, -1.0, -1.0, 0.0, -1.0, -1.0]),
            None
        );
        assert_eq!(known(Elem::F32, 2, &[0.0; 6]), None);
    }

    #[test]
    fn comparisons_of_places() {
        let difference = |base: i64, column: i64| Plane {
            base,
            row: -column,
            column,
        };
        let seen = |base, column, direction: &str| {
            let steps = compared(difference(base, column), direction)?;
            Some((steps.offset, steps.before))
        };
        let (yes, no) = (Num::Int(1), Num::Int(0));
        // Column less row, and row less column.
        assert_eq!(seen(0, 1, "le"), Some((0, yes)));
        assert_eq!(seen(-3, 1, "lt"), Some((2, yes)));
        assert_eq!(seen(0, 1, "gt"), Some((0, no)));
        assert_eq!(seen(0, -1, "ge"), Some((0, yes)));
        assert_eq!(seen(3, -1, "lt"), Some((3, no)));
        assert_eq!(seen(0, 1, "eq"), None);
        assert_eq!(
            compared(
                Plane {
                    row: 1,
                    ..difference(0, 1)
                },
                "le"
            ),
            None
        );
    }
}
