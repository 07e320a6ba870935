//! Branches.

use lepid_ir::core::{OpResult, Region, Type, Value};
use lepid_ir::dialects::core::Yield;
use lepid_ir::dialects::tensor;

use super::{Row, row};
use crate::frontends::onnx::cx::{Cx, constant_help, unsupported};

type Values = OpResult<Vec<Value>>;

pub(super) const ROWS: &[Row] = &[row("If", 1, branch)];

/// A branch whose condition is known is put in place.
fn branch(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let condition = cx.input(0)?;
    let graphs = [cx.graph("then_branch")?, cx.graph("else_branch")?];
    let condition = cx.reshape(condition, &[])?;
    if let Some(known) = cx.ints_of(condition) {
        let graph = &graphs[usize::from(known.first() == Some(&0))];
        return cx.importer.subgraph(cx.b, graph, &[], cx.scope);
    }
    let mut regions: Vec<Region> = Vec::new();
    let mut types: Vec<Vec<Type>> = Vec::new();
    for graph in &graphs {
        let (importer, scope) = (&mut *cx.importer, cx.scope);
        regions.push(cx.b.region(&[], |b, _| {
            let values = importer.subgraph(b, graph, &[], scope)?;
            importer.only_tensors(&values)?;
            types.push(values.iter().map(|&v| b.value_type(v)).collect());
            Yield::build(b, &values, &[]).map(drop)
        })?);
    }
    if types[0] != types[1] {
        // Shapes that only the condition decides are static if it is known.
        let inputs = cx.want(condition);
        if !types[0].iter().zip(&types[1]).all(|(a, b)| alike(*a, *b)) {
            let error = unsupported("the branches give values of different ranks or types");
            return Err(match inputs.first() {
                Some(input) => error.help(constant_help(input)),
                None => error.help("give fixed input shapes if the condition depends on them"),
            });
        }
    }
    let op =
        cx.b.create_with_regions(&tensor::If, &[condition], &[], &regions)?;
    Ok(cx.b.module.results(op).to_vec())
}

/// Whether one type can hold the values of both.
fn alike(a: Type, b: Type) -> bool {
    match (a.as_tensor(), b.as_tensor()) {
        (Some(a), Some(b)) => a.elem == b.elem && a.rank() == b.rank(),
        _ => a == b,
    }
}
