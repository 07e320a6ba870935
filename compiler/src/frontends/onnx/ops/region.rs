//! Branches and loops.

use lepid_ir::core::{Builder, Dim, Elem, Num, OpResult, Region, Tensor, Type, Value};
use lepid_ir::dialects::core::{Yield, constant};
use lepid_ir::dialects::tensor::{self, build};

use super::{Row, row};
use crate::frontends::onnx::cx::{Cx, invalid, normal_axis, unsupported};
use crate::frontends::onnx::proto::GraphProto;

type Values = OpResult<Vec<Value>>;

pub(super) const ROWS: &[Row] = &[
    row("If", 1, branch),
    row("Loop", 1, repeat),
    row("Scan", 9, scan),
];

/// A branch whose condition is known is put in place.
fn branch(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let condition = cx.input(0)?;
    let graphs = [cx.graph("then_branch")?, cx.graph("else_branch")?];
    let condition = cx.reshape(condition, &[])?;
    if let Some(known) = cx.ints_of(condition) {
        let graph = &graphs[usize::from(known.first() == Some(&0))];
        return cx.importer.subgraph(cx.b, graph, &[], cx.scope);
    }
    let mut regions = Vec::new();
    for graph in &graphs {
        let (importer, scope) = (&mut *cx.importer, cx.scope);
        regions.push(cx.b.region(&[], |b, _| {
            let values = importer.subgraph(b, graph, &[], scope)?;
            importer.only_tensors(&values)?;
            Yield::build(b, &values, &[]).map(drop)
        })?);
    }
    let op =
        cx.b.create_with_regions(&tensor::If, &[condition], &[], &regions)?;
    Ok(cx.b.module.results(op).to_vec())
}

/// A loop over a subgraph.
struct Turns<'a> {
    graph: &'a GraphProto,
    /// The greatest number of turns, a scalar.
    limit: Value,
    /// Whether to begin, a scalar.
    condition: Value,
    /// What one turn hands to the next.
    states: Vec<Value>,
    /// The tensors that a scan walks along; a loop has none, but tells its body the number of the
    /// turn and the condition.
    walked: Option<Vec<Walked>>,
}

/// A tensor of which each turn of a scan sees one slice.
struct Walked {
    value: Value,
    axis: usize,
    /// The index of the last slice, for a walk from the end.
    last: Option<Value>,
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
    let turns = Turns {
        graph: &graph,
        limit,
        condition,
        states: states?,
        walked: None,
    };
    while_loop(cx, &turns)
}

fn truth(b: &mut Builder<'_>) -> OpResult<Value> {
    constant(b, Tensor::scalar(Elem::Bool, Num::Int(1)))
}

fn scan(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let graph = cx.graph("body")?;
    let walked = cx.required("num_scan_inputs", cx.opt_int("num_scan_inputs")?)?;
    let walked = usize::try_from(walked)
        .ok()
        .filter(|n| (1..=cx.inputs.len()).contains(n));
    let walked = walked.ok_or_else(|| invalid("attribute `num_scan_inputs` is out of range"))?;
    let count = cx.inputs.len() - walked;
    let states: OpResult<Vec<Value>> = (0..count).map(|i| cx.input(i)).collect();
    let axes = cx.ints("scan_input_axes")?.unwrap_or_default();
    let directions = cx.ints("scan_input_directions")?.unwrap_or_default();
    let mut sources = Vec::new();
    let mut length = None;
    for i in 0..walked {
        let value = cx.input(count + i)?;
        let axis = normal_axis(axes.get(i).copied().unwrap_or(0), cx.rank(value)?)?;
        let extent = build::dim(cx.b, value, axis)?;
        let backwards = directions.get(i).copied().unwrap_or(0) != 0;
        let last = match backwards {
            true => {
                let one = cx.number(Elem::I64, 1.0)?;
                Some(cx.binary(&tensor::Sub, extent, one)?)
            }
            false => None,
        };
        length.get_or_insert((extent, cx.dims(value)?[axis]));
        sources.push(Walked { value, axis, last });
    }
    let Some((limit, length)) = length else {
        return Err(invalid("a scan needs an input to walk along"));
    };
    let turns = Turns {
        graph: &graph,
        limit,
        condition: truth(cx.b)?,
        states: states?,
        walked: Some(sources),
    };
    let mut values = while_loop(cx, &turns)?;
    let axes = cx.ints("scan_output_axes")?.unwrap_or_default();
    let directions = cx.ints("scan_output_directions")?.unwrap_or_default();
    for (i, value) in values[count..].iter_mut().enumerate() {
        let mut dims = cx.dims(*value)?;
        dims[0] = length;
        *value = cx.reshape(*value, &dims)?;
        if directions.get(i).copied().unwrap_or(0) != 0 {
            *value = cx.op(&tensor::Reverse, &[*value], &[("axes", build::ints([0]))])?;
        }
        let axis = normal_axis(axes.get(i).copied().unwrap_or(0), dims.len())?;
        let perm: Vec<usize> = (1..=axis).chain([0]).chain(axis + 1..dims.len()).collect();
        *value = cx.transpose(*value, &perm)?;
    }
    Ok(values)
}

/// Carries the number of the turn, the condition, the states, and the lists of what is collected.
/// Gives the states and the lists.
fn while_loop(cx: &mut Cx<'_, '_, '_, '_>, turns: &Turns<'_>) -> Values {
    let told = if turns.walked.is_none() { 1 } else { 0 };
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
    let fixed = turns.states.len() + told;
    let Some(collected) = turns.graph.output.len().checked_sub(fixed) else {
        return Err(invalid("the body has too few outputs"));
    };
    let mut initial = vec![
        cx.constant(Tensor::from_i64s([0]).reshaped([]))?,
        turns.condition,
    ];
    initial.extend(&turns.states);
    let mut types: Vec<Type> = initial.iter().map(|&v| cx.b.value_type(v)).collect();
    // What the body collects has a type that only the body tells.
    let (region, yielded) = body(cx, turns, &types, 0)?;
    discard(cx.b, region);
    for ty in &yielded[types.len()..] {
        let (empty, ty) = empty_list(cx, *ty)?;
        initial.push(empty);
        types.push(ty);
    }
    // An extent that a turn changes is open; one more turn may show another.
    let region = loop {
        let (region, yielded) = body(cx, turns, &types, collected)?;
        let wider = widened(&types, &yielded)?;
        if wider == types {
            break region;
        }
        discard(cx.b, region);
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

/// The body as a region, with the types that it yields. The last `collected` arguments are lists,
/// to which the body's last outputs are appended; without them those outputs are yielded alone.
fn body(
    cx: &mut Cx<'_, '_, '_, '_>,
    turns: &Turns<'_>,
    types: &[Type],
    collected: usize,
) -> OpResult<(Region, Vec<Type>)> {
    let (importer, scope) = (&mut *cx.importer, cx.scope);
    let own = types.len() - collected;
    let mut yielded = Vec::new();
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
            None => values[0] = build::reshape(b, values[0], &[])?,
            Some(_) => values.insert(0, truth(b)?),
        }
        for (i, &list) in args[own..].iter().enumerate() {
            let value = &mut values[own - 1 + i];
            let item = build::unsqueeze(b, *value, &[0])?;
            *value = build::concat(b, &[list, item], 0)?;
        }
        let one = constant(b, Tensor::from_i64s([1]).reshaped([]))?;
        values.insert(0, b.one(&tensor::Add, &[args[0], one], &[])?);
        yielded = values.iter().map(|&v| b.value_type(v)).collect();
        Yield::build(b, &values, &[]).map(drop)
    })?;
    Ok((region, yielded))
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

/// An empty list of values of a type, and the type of a list of any length.
fn empty_list(cx: &mut Cx<'_, '_, '_, '_>, ty: Type) -> OpResult<(Value, Type)> {
    let Some(item) = ty.as_tensor() else {
        return Err(unsupported(format!(
            "the body gives a value of type `{ty}`"
        )));
    };
    if item.dims.contains(&Dim::Unknown) {
        return Err(unsupported("what the body collects has an open extent")
            .help("give fixed input shapes"));
    }
    let dims: Vec<Dim> = [Dim::Known(0)]
        .into_iter()
        .chain(item.dims.iter().copied())
        .collect();
    let zero = cx.number(item.elem, 0.0)?;
    let empty = build::broadcast_to(cx.b, zero, &dims)?;
    let any = [Dim::Unknown].into_iter().chain(item.dims.iter().copied());
    Ok((empty, Type::tensor(item.elem, any)))
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
