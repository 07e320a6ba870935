//! Branches and loops of networks.

use crate::core::{Attr, Elem, Num, OpDef, OpResult, Region, Tensor, Type, Value};
use crate::dialects::core::Yield;
use crate::dialects::tensor;
use crate::generate::network::{Found, Maker, Recipe};

type Cx<'x, 'a, 'c, 'm> = &'x mut Maker<'a, 'c, 'm>;

/// These make their regions on the way, so that `make` takes the place of a recipe.
pub(crate) const RECIPES: &[(&str, Recipe)] = &[("tensor.if", never), ("tensor.while", never)];

/// Regions inside of regions.
const DEEPEST: usize = 3;

fn never(_: Cx<'_, '_, '_, '_>) -> Found {
    Ok(None)
}

pub(crate) fn make(m: Cx<'_, '_, '_, '_>, def: &'static dyn OpDef) -> OpResult<Option<Vec<Value>>> {
    if m.depth >= DEEPEST {
        return Ok(None);
    }
    match def.info().name {
        "tensor.if" => branch(m).map(Some),
        _ => repeat(m).map(Some),
    }
}

/// Types that some values at hand have.
fn types(m: Cx<'_, '_, '_, '_>) -> OpResult<Vec<Type>> {
    let mut types = Vec::new();
    for _ in 0..1 + m.random.below(2) {
        let value = m.value(|_| true)?;
        types.push(m.b.value_type(value));
    }
    Ok(types)
}

/// Ends a region with values of the types.
fn end(m: Cx<'_, '_, '_, '_>, first: Option<Value>, types: &[Type]) -> OpResult<()> {
    let mut values: Vec<Value> = first.into_iter().collect();
    for &ty in types {
        let Some(tensor) = ty.as_tensor() else {
            continue;
        };
        let shape = tensor.known_dims().unwrap_or_default();
        values.push(m.of(tensor.elem, &shape)?);
    }
    Yield::build(&mut m.b, &values, &[]).map(drop)
}

fn branch(m: Cx<'_, '_, '_, '_>) -> OpResult<Vec<Value>> {
    let condition = m.of(Elem::Bool, &[])?;
    let types = types(m)?;
    let mut regions = Vec::new();
    for _ in 0..2 {
        let region = m.b.module.new_region();
        let block = m.b.module.new_block(region, None);
        m.inside(block, |m| {
            let count = m.random.below(4);
            m.ops(count);
            end(m, None, &types)
        })?;
        regions.push(region);
    }
    let op =
        m.b.create_with_regions(&tensor::If, &[condition], &[], &regions)?;
    Ok(m.b.module.results(op).to_vec())
}

fn number(m: Cx<'_, '_, '_, '_>, n: usize) -> OpResult<Value> {
    m.constant(Tensor::scalar(Elem::I64, Num::Int(n as i128)))
}

/// A loop that counts its turns, of which there are few.
fn repeat(m: Cx<'_, '_, '_, '_>) -> OpResult<Vec<Value>> {
    let mut initial = vec![number(m, 0)?];
    for _ in 0..1 + m.random.below(2) {
        initial.push(m.value(|_| true)?);
    }
    let types: Vec<Type> = initial.iter().map(|&v| m.b.value_type(v)).collect();
    let turns = m.random.below(4);
    let condition = region(m, &types, |m, args| {
        let limit = number(m, turns)?;
        let direction = [("direction", Attr::from("lt"))];
        let go = m.b.one(&tensor::Compare, &[args[0], limit], &direction)?;
        Yield::build(&mut m.b, &[go], &[]).map(drop)
    })?;
    let body = region(m, &types, |m, args| {
        m.values.extend(&args[1..]);
        let count = m.random.below(4);
        m.ops(count);
        let one = number(m, 1)?;
        let next = m.b.one(&tensor::Add, &[args[0], one], &[])?;
        end(m, Some(next), &types[1..])
    })?;
    let op =
        m.b.create_with_regions(&tensor::While, &initial, &[], &[condition, body])?;
    // The count is known to whoever reads the loop; the others are worth reading.
    Ok(m.b.module.results(op)[1..].to_vec())
}

fn region(
    m: Cx<'_, '_, '_, '_>,
    types: &[Type],
    fill: impl FnOnce(Cx<'_, '_, '_, '_>, &[Value]) -> OpResult<()>,
) -> OpResult<Region> {
    let region = m.b.module.new_region();
    let block = m.b.module.new_block(region, None);
    let args: Vec<Value> = types
        .iter()
        .map(|&ty| m.b.module.add_block_arg(block, ty))
        .collect();
    m.inside(block, |m| fill(m, &args))?;
    Ok(region)
}
