//! What is regular about a value beyond its type: repetition along the last axis, and what it is at
//! a row and a column, its places along the last two axes. Tables of angles and masks of attention
//! are recognised by it, whether they are constants or computed.

use std::collections::HashMap;

use lepid_ir::core::{Attr, Elem, Module, Num, Tensor, TensorType, Trait, Value};
use lepid_ir::dialects::tensor::{Broadcast, Concat, Gather, Iota, Slice, Transpose};

use super::facts::{Analyzer, Facts, uniform};
use super::language::{Leaf, OpName};
use super::scratch::Scratch;

#[derive(Copy, Clone, PartialEq, Debug, Default)]
pub(super) struct Regular {
    /// Both halves along the last axis are equal.
    pub(super) halves: bool,
    /// Each number stands twice in a row along the last axis.
    pub(super) pairs: bool,
    pub(super) grid: Option<Grid>,
}

/// What a value is at a row and a column, the same along all other axes.
#[derive(Copy, Clone, PartialEq, Debug)]
pub(super) enum Grid {
    Plane(Plane),
    Steps(Steps),
}

/// The integer `base + row · i + column · j` at row `i`, column `j`.
#[derive(Copy, Clone, PartialEq, Debug)]
pub(super) struct Plane {
    base: i64,
    row: i64,
    column: i64,
}

/// One number in columns `j <= i + offset` of row `i`, another behind them.
#[derive(Copy, Clone, PartialEq, Debug)]
pub(super) struct Steps {
    pub(super) offset: i64,
    pub(super) before: Num,
    pub(super) behind: Num,
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

impl Regular {
    /// What is known by either; whether that is more than this, and more than the other.
    pub(super) fn join(&mut self, other: Regular) -> (bool, bool) {
        let before = *self;
        self.halves |= other.halves;
        self.pairs |= other.pairs;
        self.grid = self.grid.or(other.grid);
        let count = |r: &Regular| {
            [r.halves, r.pairs, r.grid.is_some()]
                .into_iter()
                .filter(|k| *k)
                .count()
        };
        (count(self) > count(&before), count(self) > count(&other))
    }

    fn is_none(&self) -> bool {
        *self == Regular::default()
    }

    pub(super) fn steps(&self) -> Option<Steps> {
        match self.grid {
            Some(Grid::Steps(steps)) => Some(steps),
            Some(Grid::Plane(_)) | None => None,
        }
    }

    fn plane(&self) -> Option<Plane> {
        match self.grid {
            Some(Grid::Plane(plane)) => Some(plane),
            Some(Grid::Steps(_)) | None => None,
        }
    }
}

/// Of a constant. Numbers without regularity are left at the first that shows it.
pub(super) fn of_constant(tensor: &Tensor) -> Regular {
    let Some(&columns) = tensor.shape().last() else {
        return Regular::default();
    };
    let (width, row) = (tensor.elem().bytes(), tensor.elem().bytes() * columns);
    let bytes = tensor.bytes();
    if bytes.is_empty() {
        return Regular::default();
    }
    let even = columns % 2 == 0 && tensor.elem().is_float();
    let mut rows = bytes.chunks(row);
    Regular {
        halves: even
            && rows
                .clone()
                .all(|row| row[..row.len() / 2] == row[row.len() / 2..]),
        pairs: even && rows.all(|row| row.chunks(2 * width).all(|p| p[..width] == p[width..])),
        grid: match tensor.elem() {
            Elem::I32 | Elem::I64 => plane_of(tensor).map(Grid::Plane),
            elem if elem.is_float() || elem == Elem::Bool => steps_of(tensor).map(Grid::Steps),
            _ => None,
        },
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

/// Of the result of an op, by what is known of its operands.
pub(super) fn of_op(
    scratch: &mut Scratch,
    name: OpName,
    operands: &[&Facts],
    attrs: &[Leaf],
    result: &TensorType,
) -> Regular {
    known(scratch, name, operands, attrs, result).unwrap_or_default()
}

/// Of a concat of a value with itself.
pub(super) fn of_twice(rank: usize, attrs: &[Leaf]) -> Regular {
    let last = attrs.first().and_then(|a| a.attr.as_int()) == Some(rank as i64 - 1);
    Regular {
        halves: last,
        ..Regular::default()
    }
}

fn known(
    scratch: &mut Scratch,
    name: OpName,
    operands: &[&Facts],
    attrs: &[Leaf],
    result: &TensorType,
) -> Option<Regular> {
    let to = result.known_dims()?;
    if to.is_empty() {
        return None;
    }
    if name.0.info().has(Trait::Elementwise) {
        return elementwise(scratch, name, operands, attrs, result);
    }
    let get = |attr: &str| {
        let place = name.0.info().attrs.iter().position(|a| a.name == attr);
        place.and_then(|i| attrs.get(i)).map(|leaf| &leaf.attr)
    };
    if name.0.info().name == Iota::INFO.name {
        let axis = usize::try_from(get("axis")?.as_int()?).ok()?;
        let at = |n: usize| i64::from(axis + n == to.len());
        let plane = Plane {
            base: 0,
            row: at(2),
            column: at(1),
        };
        let plane = plane.checked(result).filter(|p| p.row + p.column > 0)?;
        return Some(grid(Grid::Plane(plane)));
    }
    let first = *operands.first()?;
    let from = first.ty()?.as_tensor()?.known_dims()?;
    let last = from.len().checked_sub(1)?;
    let own = first.regular;
    match name.0.info().name {
        n if n == Broadcast::INFO.name => {
            let axes = axes(get("axes")?)?;
            let keeps = |axis: usize| {
                axes.iter()
                    .position(|&a| a == axis)
                    .is_some_and(|i| from[i] == to[axis])
            };
            let along = to.len() - 1;
            // What is repeated along the axis is equal all along it.
            let even = !keeps(along) && to[along] % 2 == 0;
            Some(Regular {
                halves: even || keeps(along) && own.halves,
                pairs: even || keeps(along) && own.pairs,
                grid: moved(own.grid, &from, &to, &axes),
            })
        }
        "tensor.reshape" => {
            let same = from[last] == *to.last()?;
            // Equal columns of two become neighbours.
            let joins = from[last] == 2
                && to.last() == from.len().checked_sub(2).map(|i| from[i] * 2).as_ref();
            Some(Regular {
                halves: same && own.halves,
                pairs: same && own.pairs || joins && own.halves,
                grid: moved(own.grid, &from, &to, &without_units(&from, &to)?),
            })
        }
        n if n == Transpose::INFO.name => {
            let perm = axes(get("perm")?)?;
            let fixed = perm.last() == Some(&last);
            let places: Option<Vec<usize>> = (0..from.len())
                .map(|axis| perm.iter().position(|&p| p == axis))
                .collect();
            Some(Regular {
                halves: fixed && own.halves,
                pairs: fixed && own.pairs,
                grid: moved(own.grid, &from, &to, &places?),
            })
        }
        n if n == Slice::INFO.name => {
            let (start, step) = (ints(get("start")?)?, ints(get("step")?)?);
            let whole = from[last] == to[last];
            Some(Regular {
                halves: whole && own.halves,
                pairs: whole && own.pairs,
                grid: cut(own.grid, &start, &step, result),
            })
        }
        n if n == Gather::INFO.name => {
            let rows = get("axis")?.as_int()? < last as i64;
            Some(Regular {
                halves: rows && own.halves,
                pairs: rows && own.pairs,
                grid: None,
            })
        }
        n if n == Concat::INFO.name => {
            let rows = get("axis")?.as_int()? < last as i64;
            Some(Regular {
                halves: rows && operands.iter().all(|o| o.regular.halves),
                pairs: rows && operands.iter().all(|o| o.regular.pairs),
                grid: None,
            })
        }
        _ => None,
    }
}

fn grid(grid: Grid) -> Regular {
    Regular {
        grid: Some(grid),
        ..Regular::default()
    }
}

fn ints(attr: &Attr) -> Option<Vec<i64>> {
    attr.as_list()?.iter().map(Attr::as_int).collect()
}

fn axes(attr: &Attr) -> Option<Vec<usize>> {
    let axes = ints(attr)?.into_iter();
    axes.map(|a| usize::try_from(a).ok()).collect()
}

/// Where the axes of a value go that is reshaped by axes of extent 1 alone; units go anywhere.
fn without_units(from: &[usize], to: &[usize]) -> Option<Vec<usize>> {
    let mut places = (0..to.len()).filter(|&i| to[i] != 1);
    let axes: Vec<usize> = from
        .iter()
        .map(|&n| match n {
            1 => Some(usize::MAX),
            _ => places.next().filter(|&i| to[i] == n),
        })
        .collect::<Option<_>>()
        // Others are regular in their rows alone.
        .unwrap_or_else(|| vec![usize::MAX; from.len()]);
    Some(axes)
}

/// A grid whose axes have gone to other places.
fn moved(grid: Option<Grid>, from: &[usize], to: &[usize], axes: &[usize]) -> Option<Grid> {
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
                match (step, place(from_end).map(|axis| to.len() - axis)) {
                    (0, _) => {}
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
fn cut(grid: Option<Grid>, start: &[i64], step: &[i64], result: &TensorType) -> Option<Grid> {
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

fn elementwise(
    scratch: &mut Scratch,
    name: OpName,
    operands: &[&Facts],
    attrs: &[Leaf],
    result: &TensorType,
) -> Option<Regular> {
    let all = |holds: fn(&Regular) -> bool| {
        let known = operands.iter().any(|o| holds(&o.regular));
        known
            && operands
                .iter()
                .all(|o| o.uniform.is_some() || holds(&o.regular))
    };
    Some(Regular {
        halves: all(|r| r.halves),
        pairs: all(|r| r.pairs),
        grid: stepped(scratch, name, operands, attrs)
            .map(Grid::Steps)
            .or_else(|| planar(name, operands, attrs, result)),
    })
}

/// An op on numbers that change together is computed once before and once behind the step.
fn stepped(
    scratch: &mut Scratch,
    name: OpName,
    operands: &[&Facts],
    attrs: &[Leaf],
) -> Option<Steps> {
    let offset = operands.iter().find_map(|o| o.regular.steps())?.offset;
    let mut side = |behind: bool| {
        let scalars: Option<Vec<Tensor>> = operands
            .iter()
            .map(|o| {
                let number = match (o.uniform, o.regular.steps()) {
                    (Some(number), _) => number,
                    (None, Some(steps)) if steps.offset == offset && behind => steps.behind,
                    (None, Some(steps)) if steps.offset == offset => steps.before,
                    _ => return None,
                };
                Some(Tensor::scalar(o.ty()?.elem()?, number))
            })
            .collect();
        let results = scratch.evaluate(name.0, &scalars?, attrs)?;
        Some(results.first()?.num(0))
    };
    Some(Steps {
        offset,
        before: side(false)?,
        behind: side(true)?,
    })
}

/// Sums, differences and comparisons of planes.
fn planar(name: OpName, operands: &[&Facts], attrs: &[Leaf], result: &TensorType) -> Option<Grid> {
    let planes: Option<Vec<Plane>> = operands
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
    let plane = match (name.as_str(), planes?.as_slice()) {
        ("tensor.add", &[x, y]) => x.combine(y, |x, y| x + y),
        ("tensor.sub", &[x, y]) => x.combine(y, |x, y| x - y),
        ("tensor.cast", &[x]) => x,
        ("tensor.compare", &[x, y]) => {
            let difference = x.combine(y, |x, y| x - y);
            return compared(difference, attrs.first()?.attr.as_str()?).map(Grid::Steps);
        }
        _ => return None,
    };
    plane.checked(result).map(Grid::Plane)
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

/// What is regular about the values of a module, where anything is.
pub(super) fn regular_values(module: &Module) -> HashMap<Value, Regular> {
    let mut analyzer = Analyzer::default();
    let mut known: HashMap<Value, Facts> = HashMap::new();
    for op in module.walk() {
        let &[result] = module.results(op) else {
            continue;
        };
        let (info, operands) = (module.def(op).info(), module.operands(op));
        if !info.has(Trait::Pure) || !module.regions(op).is_empty() {
            continue;
        }
        let twice = operands.len() == 2 && operands[0] == operands[1];
        let any = operands.iter().any(|v| known.contains_key(v));
        let facts = match module.constant_value(result) {
            Some(tensor) => Facts {
                uniform: uniform(tensor),
                regular: of_constant(tensor),
                ..Facts::value(module.value_type(result))
            },
            // Of what nothing is known, nothing follows, but for these.
            None if !any && !twice && !matches!(info.name, "tensor.iota" | "tensor.broadcast") => {
                continue;
            }
            None => {
                let operands: Vec<Facts> = operands
                    .iter()
                    .map(|v| known.get(v).cloned())
                    .zip(operands)
                    .map(|(facts, &v)| facts.unwrap_or_else(|| Facts::value(module.value_type(v))))
                    .collect();
                let attrs = module.attrs(op).iter().cloned().map(Facts::attr);
                let children: Vec<Facts> = operands.into_iter().chain(attrs).collect();
                let children: Vec<&Facts> = children.iter().collect();
                let facts = analyzer.op_on(OpName(module.def(op)), &children, twice);
                Facts {
                    constant: None,
                    ..facts
                }
            }
        };
        if facts.uniform.is_some() || !facts.regular.is_none() {
            known.insert(result, facts);
        }
    }
    let regular = known
        .into_iter()
        .map(|(value, facts)| (value, facts.regular));
    regular.filter(|(_, regular)| !regular.is_none()).collect()
}
