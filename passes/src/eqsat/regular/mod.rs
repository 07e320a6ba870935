//! What is regular about a value beyond its type: repetition along the last axis, and what it is at
//! a row and a column, its places along the last two axes. Tables of angles and masks of attention
//! are recognised by it, whether they are constants or computed.

use std::collections::HashMap;

use lepid_ir::core::{Attr, Module, Tensor, TensorType, Trait, Value};

use super::facts::{Analyzer, Facts, uniform};
use super::language::{Leaf, OpName};
use super::scratch::Scratch;
pub(super) use grid::Steps;
use grid::{Grid, Plane};

mod grid;

#[derive(Copy, Clone, PartialEq, Debug, Default)]
pub(super) struct Regular {
    /// Both halves along the last axis are equal.
    pub(super) halves: bool,
    /// Each number stands twice in a row along the last axis.
    pub(super) pairs: bool,
    pub(super) grid: Option<Grid>,
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
        grid: grid::of_constant(tensor),
    }
}

/// An op of which is asked what is regular about its result.
pub(super) struct Asked<'a> {
    pub(super) name: OpName,
    pub(super) operands: &'a [&'a Facts],
    pub(super) attrs: &'a [Leaf],
    pub(super) result: &'a TensorType,
}

impl Asked<'_> {
    fn attr(&self, name: &str) -> Option<&Attr> {
        let infos = self.name.0.info().attrs;
        let place = infos.iter().position(|info| info.name == name)?;
        self.attrs.get(place).map(|leaf| &leaf.attr)
    }
}

/// Of the result of an op, by what is known of its operands.
pub(super) fn of_op(scratch: &mut Scratch, op: &Asked<'_>) -> Regular {
    known(scratch, op).unwrap_or_default()
}

/// Of a concat of a value with itself.
pub(super) fn of_twice(rank: usize, attrs: &[Leaf]) -> Regular {
    let last = attrs.first().and_then(|a| a.attr.as_int()) == Some(rank as i64 - 1);
    Regular {
        halves: last,
        ..Regular::default()
    }
}

fn known(scratch: &mut Scratch, op: &Asked<'_>) -> Option<Regular> {
    let to = op.result.known_dims()?;
    if to.is_empty() {
        return None;
    }
    if op.name.0.info().has(Trait::Elementwise) {
        return Some(elementwise(scratch, op));
    }
    if op.name.as_str() == "tensor.iota" {
        let axis = usize::try_from(op.attr("axis")?.as_int()?).ok()?;
        return Some(Regular {
            grid: grid::of_iota(axis, op.result),
            ..Regular::default()
        });
    }
    let first = *op.operands.first()?;
    let from = first.ty()?.as_tensor()?.known_dims()?;
    let last = from.len().checked_sub(1)?;
    let own = first.regular;
    match op.name.as_str() {
        "tensor.broadcast" => {
            let axes = axes(op.attr("axes")?)?;
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
                grid: grid::moved(own.grid, &from, &to, &axes),
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
                grid: grid::moved(own.grid, &from, &to, &without_units(&from, &to)),
            })
        }
        "tensor.transpose" => {
            let perm = axes(op.attr("perm")?)?;
            let fixed = perm.last() == Some(&last);
            let places: Option<Vec<usize>> = (0..from.len())
                .map(|axis| perm.iter().position(|&p| p == axis))
                .collect();
            Some(Regular {
                halves: fixed && own.halves,
                pairs: fixed && own.pairs,
                grid: grid::moved(own.grid, &from, &to, &places?),
            })
        }
        "tensor.slice" => {
            let (start, step) = (ints(op.attr("start")?)?, ints(op.attr("step")?)?);
            let whole = from[last] == to[last];
            Some(Regular {
                halves: whole && own.halves,
                pairs: whole && own.pairs,
                grid: grid::cut(own.grid, &start, &step, op.result),
            })
        }
        "tensor.gather" => {
            let rows = op.attr("axis")?.as_int()? < last as i64;
            Some(Regular {
                halves: rows && own.halves,
                pairs: rows && own.pairs,
                grid: None,
            })
        }
        "tensor.concat" => {
            let rows = op.attr("axis")?.as_int()? < last as i64;
            Some(Regular {
                halves: rows && op.operands.iter().all(|o| o.regular.halves),
                pairs: rows && op.operands.iter().all(|o| o.regular.pairs),
                grid: None,
            })
        }
        _ => None,
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
fn without_units(from: &[usize], to: &[usize]) -> Vec<usize> {
    let mut places = (0..to.len()).filter(|&i| to[i] != 1);
    from.iter()
        .map(|&n| match n {
            1 => Some(usize::MAX),
            _ => places.next().filter(|&i| to[i] == n),
        })
        .collect::<Option<_>>()
        // Axes that are joined or split go nowhere.
        .unwrap_or_else(|| vec![usize::MAX; from.len()])
}

fn elementwise(scratch: &mut Scratch, op: &Asked<'_>) -> Regular {
    let all = |holds: fn(&Regular) -> bool| {
        let known = op.operands.iter().any(|o| holds(&o.regular));
        let fits = |o: &&Facts| o.uniform.is_some() || holds(&o.regular);
        known && op.operands.iter().all(fits)
    };
    Regular {
        halves: all(|r| r.halves),
        pairs: all(|r| r.pairs),
        grid: grid::elementwise(scratch, op),
    }
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
