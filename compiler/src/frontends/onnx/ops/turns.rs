//! Loops. A loop becomes `tensor.while`; if its body changes shapes from turn to turn, a short one
//! becomes its turns one after the other, each with shapes of its own.

use lepid_ir::core::{Builder, Dim, Elem, Num, OpResult, Region, Tensor, Type, Value};
use lepid_ir::dialects::core::{Yield, constant};
use lepid_ir::dialects::tensor::{self, build};

use super::{Row, row};
use crate::frontends::onnx::cx::{Cx, invalid, unsupported};
use crate::frontends::onnx::proto::GraphProto;

type Values = OpResult<Vec<Value>>;

pub(super) const ROWS: &[Row] = &[row("Loop", 1, repeat)];

/// A loop over a subgraph.
pub(super) struct Turns<'a> {
    pub(super) graph: &'a GraphProto,
    /// The greatest number of turns, a scalar.
    pub(super) limit: Value,
    /// The same as a number; 0 if the condition never holds, none if either is not known.
    pub(super) count: Option<u64>,
    /// Whether to begin, a scalar.
    pub(super) condition: Value,
    /// What one turn hands to the next.
    pub(super) states: Vec<Value>,
    /// The tensors that a scan walks along; a loop has none, but tells its body the number of the
    /// turn and the condition.
    pub(super) walked: Option<Vec<Walked>>,
}

/// A tensor of which each turn of a scan sees one slice.
pub(super) struct Walked {
    pub(super) value: Value,
    pub(super) axis: usize,
    /// The index of the last slice, for a walk from the end.
    pub(super) last: Option<Value>,
}

fn repeat(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let graph = cx.graph("body")?;
    let limit = match cx.optional(0) {
        Some(limit) => cx.reshape(limit, &[])?,
        None => cx.constant(Tensor::from_i64s([i64::MAX]).reshaped([]))?,
    };
    let condition = match cx.optional(1) {
        Some(condition) => cx.reshape(condition, &[])?,
        None => truth(cx.b)?,
    };
    let states: OpResult<Vec<Value>> = (2..cx.inputs.len()).map(|i| cx.input(i)).collect();
    let states = states?;
    if graph.output.len() > states.len() + 1 {
        // The number of turns is an extent of what is collected.
        cx.want(limit);
        cx.want(condition);
    }
    let known = |value| cx.ints_of(value).and_then(|n| n.first().copied());
    let count = match (known(limit), known(condition)) {
        (_, Some(0)) => Some(0),
        (Some(limit), Some(_)) => Some(u64::try_from(limit).unwrap_or(0)),
        _ => None,
    };
    let turns = Turns {
        graph: &graph,
        limit,
        count,
        condition,
        states,
        walked: None,
    };
    take(cx, &turns)
}

pub(super) fn truth(b: &mut Builder<'_>) -> OpResult<Value> {
    constant(b, Tensor::scalar(Elem::Bool, Num::Int(1)))
}

/// All turns: gives the states and the lists of what is collected.
pub(super) fn take(cx: &mut Cx<'_, '_, '_, '_>, turns: &Turns<'_>) -> Values {
    let inputs = match &turns.walked {
        None => turns.states.len() + 2,
        Some(walked) => turns.states.len() + walked.len(),
    };
    if turns.graph.input.len() != inputs {
        return Err(invalid(format!(
            "the body has {} inputs, expected {inputs}",
            turns.graph.input.len()
        )));
    }
    if turns.graph.output.len() < turns.told() + turns.states.len() {
        return Err(invalid("the body has too few outputs"));
    }
    let before = cx.importer.found.len();
    let looped = while_loop(cx, turns);
    let settled = match &looped {
        Ok(values) => values.iter().all(|&v| is_settled(cx.b.value_type(v))),
        Err(_) => false,
    };
    if settled {
        return looped;
    }
    // What has been reported of the body in general may not hold for any of its turns.
    let reported = cx.importer.found.split_off(before);
    if let Ok(Some(values)) = unrolled(cx, turns) {
        return Ok(values);
    }
    cx.importer.found.truncate(before);
    cx.importer.found.extend(reported);
    looped
}

/// Whether all extents are numbers or names.
fn is_settled(ty: Type) -> bool {
    ty.as_tensor()
        .is_some_and(|t| !t.dims.contains(&Dim::Unknown))
}

impl Turns<'_> {
    /// The outputs of the body before its states: the condition of a loop.
    fn told(&self) -> usize {
        usize::from(self.walked.is_none())
    }

    fn collected(&self) -> usize {
        self.graph.output.len() - self.states.len() - self.told()
    }
}

/// How the values that a body collects are carried.
#[derive(Copy, Clone, PartialEq)]
enum Lists {
    /// They are yielded alone, to see what types they have.
    None,
    /// Lists that grow by one with each turn.
    Growing,
    /// Lists with one place for each turn.
    Full,
}

/// The longest list that is made in advance.
const LIST_LIMIT: u64 = 1 << 24;

/// Carries the number of the turn, the condition, the states, and the lists.
fn while_loop(cx: &mut Cx<'_, '_, '_, '_>, turns: &Turns<'_>) -> Values {
    let mut initial = vec![
        cx.constant(Tensor::from_i64s([0]).reshaped([]))?,
        turns.condition,
    ];
    initial.extend(&turns.states);
    let mut types: Vec<Type> = initial.iter().map(|&v| cx.b.value_type(v)).collect();
    // What the body collects has a type that only the body tells.
    let body = body(cx, turns, &types, Lists::None)?;
    discard(cx.b, body.region);
    let length = turns
        .count
        .filter(|&n| n <= LIST_LIMIT && (body.goes_on || n == 0));
    let lists = match length {
        Some(_) => Lists::Full,
        None => Lists::Growing,
    };
    for ty in &body.yielded[types.len()..] {
        let (list, ty) = list_of(cx, *ty, length)?;
        initial.push(list);
        types.push(ty);
    }
    // An extent that a turn changes is open; one more turn may show another.
    let region = loop {
        let body = self::body(cx, turns, &types, lists)?;
        let wider = widened(&types, &body.yielded)?;
        if wider == types {
            break body.region;
        }
        discard(cx.b, body.region);
        types = wider;
    };
    let limit = turns.limit;
    let condition = cx.b.region(&types, |b, args| {
        let below = build::compare(b, "lt", args[0], limit)?;
        let go = b.one(&tensor::And, &[below, args[1]], &[])?;
        Yield::build(b, &[go], &[]).map(drop)
    })?;
    let regions = [condition, region];
    let op =
        cx.b.create_with_regions(&tensor::While, &initial, &[], &regions)?;
    Ok(cx.b.module.results(op)[2..].to_vec())
}

/// The body as a region.
struct Body {
    region: Region,
    /// The types that it yields.
    yielded: Vec<Type>,
    /// Whether the condition stays what it is.
    goes_on: bool,
}

/// The body for carried values of these types.
fn body(
    cx: &mut Cx<'_, '_, '_, '_>,
    turns: &Turns<'_>,
    types: &[Type],
    lists: Lists,
) -> OpResult<Body> {
    let (importer, scope) = (&mut *cx.importer, cx.scope);
    let own = turns.states.len() + 2;
    let mut yielded = Vec::new();
    let mut goes_on = true;
    let region = cx.b.region(types, |b, args| {
        let inputs = match &turns.walked {
            None => args[..own].to_vec(),
            Some(walked) => {
                let mut inputs = args[2..own].to_vec();
                for source in walked {
                    inputs.push(slice_of(b, source, args[0])?);
                }
                inputs
            }
        };
        let mut values = importer.subgraph(b, turns.graph, &inputs, scope)?;
        importer.only_tensors(&values)?;
        match turns.walked {
            None => {
                let condition = b.module.constant_value(values[0]);
                let holds = condition.is_some_and(|c| c.to_i64s() == [1]);
                goes_on = values[0] == args[1] || holds;
                values[0] = build::reshape(b, values[0], &[])?;
            }
            Some(_) => values.insert(0, truth(b)?),
        }
        for (i, &list) in args[own..].iter().enumerate() {
            let value = &mut values[own - 1 + i];
            let item = build::unsqueeze(b, *value, &[0])?;
            *value = match lists {
                Lists::None => *value,
                Lists::Growing => build::concat(b, &[list, item], 0)?,
                Lists::Full => {
                    let place = build::reshape(b, args[0], &[Dim::Known(1); 2])?;
                    let attrs = [("kind", "set".into())];
                    b.one(&tensor::ScatterNd, &[list, place, item], &attrs)?
                }
            };
        }
        let one = constant(b, Tensor::from_i64s([1]).reshaped([]))?;
        values.insert(0, b.one(&tensor::Add, &[args[0], one], &[])?);
        yielded = values.iter().map(|&v| b.value_type(v)).collect();
        Yield::build(b, &values, &[]).map(drop)
    })?;
    Ok(Body {
        region,
        yielded,
        goes_on,
    })
}

/// The slice that a turn sees.
fn slice_of(b: &mut Builder<'_>, source: &Walked, turn: Value) -> OpResult<Value> {
    let index = match source.last {
        Some(last) => b.one(&tensor::Sub, &[last, turn], &[])?,
        None => turn,
    };
    build::gather(b, source.value, index, source.axis)
}

/// Erases the ops of a region that no op owns.
fn discard(b: &mut Builder<'_>, region: Region) {
    for block in b.module.region_blocks(region).to_vec() {
        let ops: Vec<_> = b.module.ops_in(block).collect();
        for op in ops.into_iter().rev() {
            b.module.erase(op);
        }
    }
}

/// The list before the first turn, and its type: of that length, or empty and then of any length.
fn list_of(cx: &mut Cx<'_, '_, '_, '_>, ty: Type, length: Option<u64>) -> OpResult<(Value, Type)> {
    let Some(item) = ty.as_tensor() else {
        return Err(unsupported(format!(
            "the body gives a value of type `{ty}`"
        )));
    };
    if item.dims.contains(&Dim::Unknown) {
        return Err(unsupported("what the body collects has an open extent")
            .help("give fixed input shapes"));
    }
    let list = |n: Dim| [n].into_iter().chain(item.dims.iter().copied());
    let dims: Vec<Dim> = list(Dim::Known(length.unwrap_or(0))).collect();
    let zero = cx.number(item.elem, 0.0)?;
    let value = build::broadcast_to(cx.b, zero, &dims)?;
    let ty = match length {
        Some(n) => Type::tensor(item.elem, list(Dim::Known(n))),
        None => Type::tensor(item.elem, list(Dim::Unknown)),
    };
    Ok((value, ty))
}

/// The types that hold for the carried values before and after a turn.
fn widened(types: &[Type], yielded: &[Type]) -> OpResult<Vec<Type>> {
    let both = types.iter().zip(yielded);
    both.map(
        |(&before, &after)| match (before.as_tensor(), after.as_tensor()) {
            _ if before == after => Ok(before),
            (Some(a), Some(b)) if a.elem == b.elem && a.rank() == b.rank() => {
                let dims = a.dims.iter().zip(&b.dims);
                let dims = dims.map(|(&a, &b)| if a == b { a } else { Dim::Unknown });
                Ok(Type::tensor(a.elem, dims))
            }
            _ => Err(invalid(format!(
                "a carried value changes from `{before}` to `{after}`"
            ))),
        },
    )
    .collect()
}

/// The most turns that are taken one after the other, and the most nodes in all of them.
const UNROLL_TURNS: u64 = 256;
const UNROLL_NODES: u64 = 4096;

/// The turns one after the other, so that each sees the shapes and constants that the one before
/// left. None if their number is not known, or large.
fn unrolled(cx: &mut Cx<'_, '_, '_, '_>, turns: &Turns<'_>) -> OpResult<Option<Vec<Value>>> {
    let nodes = turns.graph.node.len() as u64;
    let small = |&n: &u64| n <= UNROLL_TURNS && n.saturating_mul(nodes) <= UNROLL_NODES;
    let Some(count) = turns.count.filter(small) else {
        return Ok(None);
    };
    let (told, mut states) = (turns.told(), turns.states.clone());
    let mut condition = turns.condition;
    let mut lists: Vec<Vec<Value>> = vec![Vec::new(); turns.collected()];
    for turn in 0..count {
        let index = cx.constant(Tensor::from_i64s([turn as i64]).reshaped([]))?;
        let mut inputs = match turns.walked {
            None => vec![index, condition],
            Some(_) => Vec::new(),
        };
        inputs.extend(&states);
        for source in turns.walked.iter().flatten() {
            inputs.push(slice_of(cx.b, source, index)?);
        }
        let values = cx.importer.subgraph(cx.b, turns.graph, &inputs, cx.scope)?;
        cx.importer.only_tensors(&values)?;
        states = values[told..][..states.len()].to_vec();
        for (list, &item) in lists.iter_mut().zip(&values[told + states.len()..]) {
            list.push(item);
        }
        if turns.walked.is_some() {
            continue;
        }
        condition = values[0];
        match cx.ints_of(condition).as_deref() {
            Some([0]) => break,
            Some(_) => {}
            None => return Ok(None),
        }
    }
    let mut out = states;
    for list in lists {
        match list.is_empty() {
            true => return Ok(None),
            false => out.push(stacked(cx, &list)?),
        }
    }
    Ok(Some(out))
}

/// Values one after the other along a new first axis.
pub(super) fn stacked(cx: &mut Cx<'_, '_, '_, '_>, values: &[Value]) -> OpResult<Value> {
    let rows: Values = values
        .iter()
        .map(|&v| build::unsqueeze(cx.b, v, &[0]))
        .collect();
    build::concat(cx.b, &rows?, 0)
}
