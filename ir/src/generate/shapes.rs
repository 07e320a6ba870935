//! Recipes of the ops of `tensor` that are not elementwise, and of a few that are.

use crate::core::{Attr, Elem, Num, Tensor};
use crate::generate::network::{Found, Maker, Recipe, Use, ints};

type Cx<'x, 'a, 'c, 'm> = &'x mut Maker<'a, 'c, 'm>;

pub(crate) const RECIPES: &[(&str, Recipe)] = &[
    ("tensor.arg_reduce", arg_reduce),
    ("tensor.bitcast", bitcast),
    ("tensor.broadcast", broadcast),
    ("tensor.cast", cast),
    ("tensor.compare", compare),
    ("tensor.concat", concat),
    ("tensor.contract", contract),
    ("tensor.dim", dim),
    ("tensor.dyn_broadcast", dyn_broadcast),
    ("tensor.dyn_iota", dyn_iota),
    ("tensor.dyn_pad", dyn_pad),
    ("tensor.dyn_reshape", dyn_reshape),
    ("tensor.dyn_slice", dyn_slice),
    ("tensor.fft", fft),
    ("tensor.gather", gather),
    ("tensor.gather_elements", gather_elements),
    ("tensor.gather_nd", gather_nd),
    ("tensor.iota", iota),
    ("tensor.pad", pad),
    ("tensor.reduce", reduce),
    ("tensor.reshape", reshape),
    ("tensor.reverse", reverse),
    ("tensor.scan", scan),
    ("tensor.scatter_elements", scatter_elements),
    ("tensor.scatter_nd", scatter_nd),
    ("tensor.select", select),
    ("tensor.slice", slice),
    ("tensor.sort", sort),
    ("tensor.top_k", top_k),
    ("tensor.transpose", transpose),
    ("tensor.window", window),
];

fn is_number(elem: Elem) -> bool {
    elem != Elem::Bool
}

fn arg_reduce(m: Cx<'_, '_, '_, '_>) -> Found {
    let x = m.value(|ty| ty.rank() > 0 && is_number(ty.elem))?;
    let rank = m.shape(x).len();
    let attrs = [
        ("kind", m.choice(&["max", "min"])),
        ("axis", Attr::Int(m.axis(rank) as i64)),
        ("last", m.flag()),
    ];
    Use::of([x], attrs)
}

fn bitcast(m: Cx<'_, '_, '_, '_>) -> Found {
    let x = m.value(|_| true)?;
    let elem = m.ty(x).elem;
    let alike: Vec<Elem> = Elem::ALL
        .into_iter()
        .filter(|e| e.bits() == elem.bits())
        .collect();
    let to = alike[m.random.below(alike.len())];
    Use::of([x], [("to", Attr::Elem(to))])
}

fn cast(m: Cx<'_, '_, '_, '_>) -> Found {
    let x = m.value(|_| true)?;
    let to = m.random.elem();
    Use::of([x], [("to", Attr::Elem(to))])
}

fn compare(m: Cx<'_, '_, '_, '_>) -> Found {
    let x = m.value(|_| true)?;
    let y = m.like(x)?;
    let direction = m.choice(&["eq", "ne", "lt", "le", "gt", "ge"]);
    Use::of([x, y], [("direction", direction)])
}

fn select(m: Cx<'_, '_, '_, '_>) -> Found {
    let x = m.value(|_| true)?;
    let y = m.like(x)?;
    let shape = m.shape(x);
    let condition = m.of(Elem::Bool, &shape)?;
    Use::of([condition, x, y], [])
}

/// Extents of 1 become others, and new axes come in between.
fn broadcast(m: Cx<'_, '_, '_, '_>) -> Found {
    let x = m.value(|ty| ty.rank() < 5)?;
    let mut shape = Vec::new();
    let mut axes = Vec::new();
    for extent in m.shape(x) {
        while m.random.below(3) == 2 && shape.len() < 4 {
            shape.push(m.extent());
        }
        axes.push(shape.len());
        shape.push(if extent == 1 { m.extent() } else { extent });
    }
    if m.random.below(3) == 0 {
        shape.push(m.extent());
    }
    Use::of([x], [("shape", ints(shape)), ("axes", ints(axes))])
}

fn concat(m: Cx<'_, '_, '_, '_>) -> Found {
    let x = m.value(|ty| ty.rank() > 0)?;
    let shape = m.shape(x);
    let elem = m.ty(x).elem;
    let axis = m.axis(shape.len());
    let mut operands = vec![x];
    for _ in 0..m.random.below(4) {
        let mut other = shape.clone();
        if m.random.below(2) == 0 {
            other[axis] = m.extent();
        }
        operands.push(m.of(elem, &other)?);
    }
    Use::of(operands, [("axis", Attr::Int(axis as i64))])
}

/// Two values with some axes in common, in batches or to sum over.
fn contract(m: Cx<'_, '_, '_, '_>) -> Found {
    let x = m.value(|ty| is_number(ty.elem))?;
    let elem = m.ty(x).elem;
    let shape = m.shape(x);
    let order = m.permutation(shape.len());
    let batch = m.random.below(shape.len() + 1).min(2);
    let sums = m.random.below(shape.len() - batch + 1).min(2);
    let shared = &order[..batch + sums];
    let free: Vec<usize> = (0..m.random.below(2)).map(|_| m.small(5)).collect();
    // Where each axis of `y` comes from: a shared one of `x`, or one of its own.
    let count = shared.len() + free.len();
    let places = m.permutation(count);
    let extents: Vec<usize> = shared.iter().map(|&a| shape[a]).chain(free).collect();
    let mut other = vec![0; count];
    for (from, &to) in places.iter().enumerate() {
        other[to] = extents[from];
    }
    let y = m.of(elem, &other)?;
    let mut attrs = vec![
        ("batch_x", ints(shared[..batch].iter().copied())),
        ("batch_y", ints(places[..batch].iter().copied())),
        ("contract_x", ints(shared[batch..].iter().copied())),
        (
            "contract_y",
            ints(places[batch..batch + sums].iter().copied()),
        ),
    ];
    if !elem.is_float() && m.random.below(2) == 0 {
        attrs.push(("to", Attr::Elem(Elem::I32)));
    }
    Use::of([x, y], attrs)
}

fn dim(m: Cx<'_, '_, '_, '_>) -> Found {
    let x = m.value(|ty| ty.rank() > 0)?;
    let rank = m.shape(x).len();
    let axis = m.axis(rank);
    Use::of([x], [("axis", Attr::Int(axis as i64))])
}

fn dyn_broadcast(m: Cx<'_, '_, '_, '_>) -> Found {
    let x = m.value(|ty| ty.rank() < 4)?;
    let mut shape: Vec<usize> = (0..m.random.below(2)).map(|_| m.extent()).collect();
    for extent in m.shape(x) {
        shape.push(if extent == 1 { m.extent() } else { extent });
    }
    let shape = m.ints(shape)?;
    Use::of([x, shape], [])
}

fn dyn_iota(m: Cx<'_, '_, '_, '_>) -> Found {
    let elem = [Elem::I64, Elem::I32, Elem::F32][m.random.below(3)];
    let mut number = |n: usize| {
        let number = match elem.is_float() {
            true => Num::Float(n as f64),
            false => Num::Int(n as i128),
        };
        m.constant(Tensor::scalar(elem, number))
    };
    let operands = [number(1)?, number(9)?, number(3)?];
    Use::of(operands, [])
}

fn dyn_pad(m: Cx<'_, '_, '_, '_>) -> Found {
    let x = m.value(|ty| ty.rank() > 0)?;
    let elem = m.ty(x).elem;
    let rank = m.shape(x).len();
    let pads: Vec<usize> = (0..2 * rank).map(|_| m.random.below(3)).collect();
    let pads = m.ints(pads)?;
    let value = m.of(elem, &[])?;
    let mode = m.choice(&["constant", "reflect", "edge", "wrap"]);
    Use::of([x, pads, value], [("mode", mode)])
}

fn dyn_reshape(m: Cx<'_, '_, '_, '_>) -> Found {
    let x = m.value(|_| true)?;
    let shape = reshaped(m, x);
    let shape = m.ints(shape)?;
    Use::of([x, shape], [])
}

fn dyn_slice(m: Cx<'_, '_, '_, '_>) -> Found {
    let x = m.value(|ty| ty.rank() > 0)?;
    let shape = m.shape(x);
    let axes = m.axes(shape.len());
    let mut lists = [Vec::new(), Vec::new(), Vec::new()];
    for &axis in &axes {
        lists[0].push(m.random.below(shape[axis] + 1));
        lists[1].push(m.random.below(shape[axis] + 2));
        lists[2].push(m.small(2));
    }
    let mut operands = vec![x];
    for list in lists {
        operands.push(m.ints(list)?);
    }
    Use::of(operands, [("axes", ints(axes))])
}

fn fft(m: Cx<'_, '_, '_, '_>) -> Found {
    let re = m.value(|ty| ty.rank() > 0 && ty.elem.is_float())?;
    let im = m.like(re)?;
    let rank = m.shape(re).len();
    let axis = Attr::Int(m.axis(rank) as i64);
    Use::of([re, im], [("axis", axis), ("inverse", m.flag())])
}

fn gather(m: Cx<'_, '_, '_, '_>) -> Found {
    let x = m.value(|ty| ty.rank() > 0)?;
    let shape = m.shape(x);
    let axis = m.axis(shape.len());
    let rank = m.random.below(3);
    let wanted = m.extents(rank);
    let indices = m.indices(shape[axis], &wanted)?;
    Use::of([x, indices], [("axis", Attr::Int(axis as i64))])
}

fn gather_elements(m: Cx<'_, '_, '_, '_>) -> Found {
    let x = m.value(|ty| ty.rank() > 0)?;
    let shape = m.shape(x);
    let axis = m.axis(shape.len());
    let mut wanted = shape.clone();
    wanted[axis] = m.extent();
    let indices = m.indices(shape[axis], &wanted)?;
    Use::of([x, indices], [("axis", Attr::Int(axis as i64))])
}

/// Shape of indices for a value, with their batch axes: `[batch…, more…, depth]`.
fn places(m: Cx<'_, '_, '_, '_>, shape: &[usize], batch: usize) -> (Vec<usize>, usize) {
    let depth = m.random.below(shape.len() - batch + 1);
    let mut wanted = shape[..batch].to_vec();
    if m.random.below(2) == 0 {
        wanted.push(m.extent());
    }
    wanted.push(depth);
    (wanted, depth)
}

fn gather_nd(m: Cx<'_, '_, '_, '_>) -> Found {
    let x = m.value(|ty| ty.rank() > 0)?;
    let shape = m.shape(x);
    let batch = m.random.below(shape.len()).min(1);
    let (wanted, _) = places(m, &shape, batch);
    let indices = m.indices(2, &wanted)?;
    Use::of([x, indices], [("batch", Attr::Int(batch as i64))])
}

fn iota(m: Cx<'_, '_, '_, '_>) -> Found {
    let rank = 1 + m.random.below(3);
    let shape = m.extents(rank);
    let axis = Attr::Int(m.axis(rank) as i64);
    let to = m.random.elem();
    Use::of(
        [],
        [
            ("shape", ints(shape)),
            ("axis", axis),
            ("to", Attr::Elem(to)),
        ],
    )
}

fn pad(m: Cx<'_, '_, '_, '_>) -> Found {
    let x = m.value(|ty| ty.rank() > 0)?;
    let elem = m.ty(x).elem;
    let rank = m.shape(x).len();
    let value = m.of(elem, &[])?;
    let low: Vec<usize> = (0..rank).map(|_| m.random.below(3)).collect();
    let high: Vec<usize> = (0..rank).map(|_| m.random.below(3)).collect();
    Use::of([x, value], [("low", ints(low)), ("high", ints(high))])
}

fn reduce(m: Cx<'_, '_, '_, '_>) -> Found {
    let x = m.value(|_| true)?;
    let rank = m.shape(x).len();
    let kind = match m.ty(x).elem {
        Elem::Bool => m.choice(&["any", "all"]),
        _ => m.choice(&["sum", "max", "min", "prod"]),
    };
    let axes = m.axes(rank);
    Use::of([x], [("kind", kind), ("axes", ints(axes))])
}

/// The extents of a value with some of them taken together or apart.
fn reshaped(m: Cx<'_, '_, '_, '_>, x: crate::core::Value) -> Vec<usize> {
    let mut shape: Vec<usize> = Vec::new();
    for extent in m.shape(x) {
        match (m.random.below(4), shape.last_mut()) {
            (0, Some(last)) => *last *= extent,
            (1, _) if extent.is_multiple_of(2) => shape.extend([extent / 2, 2]),
            (2, _) => shape.extend([1, extent]),
            _ => shape.push(extent),
        }
    }
    shape.truncate(if shape.len() > 6 { 0 } else { 6 });
    shape
}

fn reshape(m: Cx<'_, '_, '_, '_>) -> Found {
    let x = m.value(|_| true)?;
    let shape = reshaped(m, x);
    Use::of([x], [("shape", ints(shape))])
}

fn reverse(m: Cx<'_, '_, '_, '_>) -> Found {
    let x = m.value(|ty| ty.rank() > 0)?;
    let rank = m.shape(x).len();
    let axes = m.axes(rank);
    Use::of([x], [("axes", ints(axes))])
}

fn scan(m: Cx<'_, '_, '_, '_>) -> Found {
    let x = m.value(|ty| ty.rank() > 0 && is_number(ty.elem))?;
    let rank = m.shape(x).len();
    let attrs = [
        ("kind", m.choice(&["sum", "prod", "max", "min"])),
        ("axis", Attr::Int(m.axis(rank) as i64)),
        ("exclusive", m.flag()),
        ("reverse", m.flag()),
    ];
    Use::of([x], attrs)
}

const SCATTER_KINDS: &[&str] = &["set", "add", "mul", "max", "min"];

fn scatter_elements(m: Cx<'_, '_, '_, '_>) -> Found {
    let x = m.value(|ty| ty.rank() > 0 && is_number(ty.elem))?;
    let elem = m.ty(x).elem;
    let shape = m.shape(x);
    let axis = m.axis(shape.len());
    let mut wanted = shape.clone();
    wanted[axis] = m.random.below(shape[axis] + 1);
    let indices = m.indices(shape[axis], &wanted)?;
    let updates = m.of(elem, &wanted)?;
    let kind = m.choice(SCATTER_KINDS);
    let axis = Attr::Int(axis as i64);
    Use::of([x, indices, updates], [("axis", axis), ("kind", kind)])
}

fn scatter_nd(m: Cx<'_, '_, '_, '_>) -> Found {
    let x = m.value(|ty| ty.rank() > 0 && is_number(ty.elem))?;
    let elem = m.ty(x).elem;
    let shape = m.shape(x);
    let (wanted, depth) = places(m, &shape, 0);
    let indices = m.indices(2, &wanted)?;
    let updates = [&wanted[..wanted.len() - 1], &shape[depth..]].concat();
    let updates = m.of(elem, &updates)?;
    let kind = m.choice(SCATTER_KINDS);
    Use::of([x, indices, updates], [("kind", kind)])
}

fn slice(m: Cx<'_, '_, '_, '_>) -> Found {
    let x = m.value(|ty| ty.rank() > 0)?;
    let mut lists = [Vec::new(), Vec::new(), Vec::new()];
    for extent in m.shape(x) {
        let start = m.random.below(extent + 1);
        lists[0].push(start);
        lists[1].push(start + m.random.below(extent - start + 1));
        lists[2].push(m.small(3));
    }
    let [start, stop, step] = lists.map(ints);
    Use::of([x], [("start", start), ("stop", stop), ("step", step)])
}

fn sort(m: Cx<'_, '_, '_, '_>) -> Found {
    let x = m.value(|ty| ty.rank() > 0)?;
    let rank = m.shape(x).len();
    let axis = Attr::Int(m.axis(rank) as i64);
    Use::of([x], [("axis", axis), ("descending", m.flag())])
}

fn top_k(m: Cx<'_, '_, '_, '_>) -> Found {
    let x = m.value(|ty| ty.rank() > 0)?;
    let shape = m.shape(x);
    let axis = m.axis(shape.len());
    let k = m.random.below(shape[axis] + 1);
    let attrs = [
        ("k", Attr::Int(k as i64)),
        ("axis", Attr::Int(axis as i64)),
        ("largest", m.flag()),
    ];
    Use::of([x], attrs)
}

fn transpose(m: Cx<'_, '_, '_, '_>) -> Found {
    let x = m.value(|ty| ty.rank() > 1)?;
    let rank = m.shape(x).len();
    let perm = m.permutation(rank);
    Use::of([x], [("perm", ints(perm))])
}

fn window(m: Cx<'_, '_, '_, '_>) -> Found {
    let x = m.value(|ty| ty.rank() > 0 && is_number(ty.elem))?;
    let rank = m.shape(x).len();
    let mut list = |most: usize, from: usize| -> Attr {
        let numbers: Vec<usize> = (0..rank).map(|_| from + m.random.below(most)).collect();
        ints(numbers)
    };
    let attrs = [
        ("size", list(3, 1)),
        ("stride", list(2, 1)),
        ("dilation", list(2, 1)),
        ("low", list(2, 0)),
        ("high", list(2, 0)),
    ];
    let kind = m.choice(&["sum", "max", "min"]);
    let attrs: Vec<_> = attrs.into_iter().chain([("kind", kind)]).collect();
    Use::of([x], attrs)
}
