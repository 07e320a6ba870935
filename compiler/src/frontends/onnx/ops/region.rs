//! Branches and loops.

use lepid_ir::core::{Builder, Dim, Elem, OpResult, Region, Tensor, Type, Value};
use lepid_ir::dialects::core::{Yield, constant};
use lepid_ir::dialects::tensor::{self, build};

use super::{Row, row};
use crate::frontends::onnx::cx::{Cx, invalid, unsupported};
use crate::frontends::onnx::proto::GraphProto;

type Values = OpResult<Vec<Value>>;

pub(super) const ROWS: &[Row] = &[row("If", 1, branch), row("Loop", 1, repeat)];

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
            Yield::build(b, &values, &[]).map(drop)
        })?);
    }
    let op =
        cx.b.create_with_regions(&tensor::If, &[condition], &[], &regions)?;
    Ok(cx.b.module.results(op).to_vec())
}

/// What a loop carries: the count, the condition, the values, the collected outputs.
fn repeat(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let graph = cx.graph("body")?;
    let carried = cx.inputs.len().saturating_sub(2);
    let Some(collected) = graph.output.len().checked_sub(carried + 1) else {
        return Err(invalid("the body has too few outputs"));
    };
    if graph.input.len() != carried + 2 {
        return Err(invalid(format!(
            "the body has {} inputs, expected {}",
            graph.input.len(),
            carried + 2
        )));
    }
    let limit = match cx.optional(0) {
        Some(limit) => cx.reshape(limit, &[])?,
        None => cx.constant(Tensor::from_i64s([i64::MAX]).reshaped([]))?,
    };
    let condition = match cx.optional(1) {
        Some(condition) => cx.reshape(condition, &[])?,
        None => cx.constant(Tensor::splat(Elem::Bool, &[], lepid_ir::core::Num::Int(1)))?,
    };
    let mut initial = vec![cx.constant(Tensor::from_i64s([0]).reshaped([]))?, condition];
    for i in 0..carried {
        initial.push(cx.input(i + 2)?);
    }
    let mut types: Vec<Type> = initial.iter().map(|&v| cx.b.value_type(v)).collect();
    // What the body collects has a type that only the body tells.
    let (region, yielded) = body(cx, &graph, &types, 0)?;
    discard(cx.b, region);
    for ty in &yielded[types.len()..] {
        let (empty, ty) = empty_list(cx, *ty)?;
        initial.push(empty);
        types.push(ty);
    }
    // An extent that a turn changes is open; one more turn may show another.
    let region = loop {
        let (region, yielded) = body(cx, &graph, &types, collected)?;
        let wider = widened(&types, &yielded)?;
        if wider == types {
            break region;
        }
        discard(cx.b, region);
        types = wider;
    };
    let condition = cx.b.region(&types, |b, args| {
        let below = build::compare(b, "lt", args[0], limit)?;
        let go = b.one(&tensor::And, &[below, args[1]], &[])?;
        Yield::build(b, &[go], &[]).map(drop)
    })?;
    let op =
        cx.b.create_with_regions(&tensor::While, &initial, &[], &[condition, region])?;
    Ok(cx.b.module.results(op)[2..].to_vec())
}

/// The body as a region, with the types that it yields. The last `collected` arguments are lists,
/// to which the body's last outputs are appended; without them those outputs are yielded alone.
fn body(
    cx: &mut Cx<'_, '_, '_, '_>,
    graph: &GraphProto,
    types: &[Type],
    collected: usize,
) -> OpResult<(Region, Vec<Type>)> {
    let (importer, scope) = (&mut *cx.importer, cx.scope);
    let own = types.len() - collected;
    let mut yielded = Vec::new();
    let region = cx.b.region(types, |b, args| {
        let mut values = importer.subgraph(b, graph, &args[..own], scope)?;
        values[0] = build::reshape(b, values[0], &[])?;
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
