//! Makes cascades of branches that are exits.
//!
//! ```text
//! %r = tensor.if(%sure) {                      %r, %exit = adapt.cascade(%h) {
//!   core.yield(%early)                         ^(%0): adapt.leave(%sure, …, %early, %0)
//! } {                                     =>   } {
//!   %z = … %h …                                ^(%0): %z = … %0 …
//!   core.yield(%z)                                    adapt.emit(%z)
//! }                                            }
//! ```
//!
//! So are written the exits of an ONNX model of one sample, one inside of the other. A branch hides
//! what is inside of it from layouts, fusions and the memory plan; a cascade does not. One side must
//! do little in comparison with the other, as it is computed before it is known who leaves.

use std::collections::HashMap;

use lepid_ir::core::{Block, Builder, Dim, Elem, Module, Op, OpResult, Region, Type, Value};
use lepid_ir::dialects::adapt::{Cascade, Emit, Leave};
use lepid_ir::dialects::core::Func;
use lepid_ir::dialects::tensor::{self as t, build};

use crate::core::rewrite::{At, copy_whole, is, is_effect_free, replace};
use crate::core::{Changed, PassCx, PassDef, PassResult, Values};
use crate::transform::lower::nn_to_kernel::is_constant_expression;

pub const PASS: PassDef = PassDef {
    name: "raise-exits",
    summary: "Makes cascades of branches that are exits of one sample.",
    values: Values::Exact,
    options: &[],
    run,
};

/// What the side of an exit may do at most, as a share of the other side.
const LITTLE: f64 = 0.02;

fn run(module: &mut Module, _cx: &mut PassCx<'_>) -> PassResult {
    let mut changed = Changed::No;
    for op in module.walk() {
        if module.op_block(op).is_none() || !is(module, op, &t::If) || !is_in_function(module, op) {
            continue;
        }
        let Some(exits) = Exits::of(module, op) else {
            continue;
        };
        let loc = module.loc(op).clone();
        exits.raise(module, op).at(&loc)?;
        changed = Changed::Yes;
    }
    Ok(changed)
}

fn is_in_function(module: &Module, op: Op) -> bool {
    let func = module.parent_op(op);
    func.is_some_and(|func| module.op_name(func) == Func::INFO.name)
}

/// A branch that is an exit: one side leaves, the other goes on.
struct Exit {
    condition: Value,
    /// Whether the sample leaves if the condition does not hold.
    inverse: bool,
    leaves: Block,
    goes_on: Block,
}

/// Branches, each the end of the side of the one before that goes on.
struct Exits(Vec<Exit>);

impl Exits {
    fn of(module: &Module, op: Op) -> Option<Exits> {
        let types: Vec<Type> = module
            .results(op)
            .iter()
            .map(|&v| module.value_type(v))
            .collect();
        if types.is_empty() || !types.iter().all(|&ty| is_of_one_sample(ty)) {
            return None;
        }
        let mut exits = vec![exit(module, op, &types)?];
        while let Some(last) = exits.last() {
            let yields = yields(module, last.goes_on);
            let inner = yields.first().and_then(|&v| module.defining_op(v));
            let inner = inner.filter(|&inner| {
                is(module, inner, &t::If)
                    && module.op_block(inner) == Some(last.goes_on)
                    && module.results(inner) == yields
                    && yields.iter().all(|&v| module.uses(v).len() == 1)
            });
            match inner.and_then(|inner| exit(module, inner, &types)) {
                Some(next) => exits.push(next),
                None => break,
            }
        }
        Some(Exits(exits))
    }

    fn raise(&self, module: &mut Module, op: Op) -> OpResult<()> {
        let Some(first) = self.0.first() else {
            return Ok(());
        };
        let given = captured(module, first.goes_on);
        let mut map: HashMap<Value, Value> = HashMap::new();
        let mut b = Builder::before(module, op);
        // What the exit itself computes, before it is known who leaves.
        copy_block(&mut b, first.leaves, None, &mut map)?;
        let operands = given.iter().map(|&v| with_sample(&mut b, v));
        let operands = operands.collect::<OpResult<Vec<Value>>>()?;
        let mut regions = vec![self.stage(&mut b, 0, None, &given, &map)?];
        for number in 1..=self.0.len() {
            let before = captured(b.module, self.0[number - 1].goes_on);
            regions.push(self.stage(&mut b, number, Some(&before), &before, &map)?);
        }
        let cascade = b.create_with_regions(&Cascade, &operands, &[], &regions)?;
        let results = b.module.results(cascade);
        let results = results[..results.len() - 1].to_vec();
        replace(module, op, &results)
    }

    /// Stage `number`: the side that goes on of the exit before, up to the exit of this number, or to
    /// its end. The first stage computes nothing; what it needs stands before the cascade.
    fn stage(
        &self,
        b: &mut Builder<'_>,
        number: usize,
        body: Option<&[Value]>,
        takes: &[Value],
        outside: &HashMap<Value, Value>,
    ) -> OpResult<Region> {
        let types = takes.iter().map(|&v| sample_type(b.value_type(v)));
        let types: Vec<Type> = types.collect();
        b.region(&types, |b, args| {
            let mut map: HashMap<Value, Value> = HashMap::new();
            for (&value, &arg) in takes.iter().zip(args) {
                let arg = without_sample(b, arg, value)?;
                map.insert(value, arg);
            }
            if number == 0 {
                map.extend(outside.iter().map(|(&k, &v)| (k, v)));
            }
            let exit = self.0.get(number);
            if body.is_some() {
                let block = self.0[number - 1].goes_on;
                let stop = exit.and_then(|_| yields(b.module, block).first().copied());
                let stop = stop.and_then(|v| b.module.defining_op(v));
                copy_block(b, block, stop, &mut map)?;
                let Some(exit) = exit else {
                    let values = of(&map, &yields(b.module, block));
                    return Emit::build(b, &values, &[]).map(drop);
                };
                copy_block(b, exit.leaves, None, &mut map)?;
            }
            let Some(exit) = exit else {
                return Ok(());
            };
            let emits = of(&map, &yields(b.module, exit.leaves));
            let condition = of(&map, &[exit.condition])[0];
            let condition = match exit.inverse {
                true => build::unary(b, &t::Not, condition)?,
                false => condition,
            };
            let leaves = build::reshape(b, condition, &[Dim::Known(1)])?;
            let score = build::cast(b, leaves, Elem::F32)?;
            let next = captured(b.module, exit.goes_on);
            let mut values = vec![leaves, score];
            values.extend(&emits);
            for value in of(&map, &next) {
                values.push(with_sample(b, value)?);
            }
            let attrs = [("emits", (emits.len() as i64).into())];
            Leave::build(b, &values, &attrs).map(drop)
        })
    }
}

/// The branch as an exit, if it is one and gives values of these types on both sides.
fn exit(module: &Module, op: Op, types: &[Type]) -> Option<Exit> {
    let blocks: Vec<Block> = module
        .regions(op)
        .iter()
        .filter_map(|&r| module.region_blocks(r).first().copied())
        .collect();
    let &[then, otherwise] = blocks.as_slice() else {
        return None;
    };
    let fits = |block: Block| {
        let yielded = yields(module, block);
        let mut yielded = yielded.iter().map(|&v| module.value_type(v));
        yielded.by_ref().eq(types.iter().copied())
            && module
                .ops_in(block)
                .all(|op| ends(module, op) || is_effect_free(module, op))
    };
    let flops = |block: Block| -> f64 {
        let ops = module.ops_in(block).flat_map(|op| {
            let inside = module.walk_inside(op);
            std::iter::once(op).chain(inside)
        });
        let ops: Vec<Op> = ops.filter(|&op| !ends(module, op)).collect();
        ops.iter()
            .map(|&op| module.def(op).cost(module.view(op)).flops)
            .sum()
    };
    let [a, b] = [flops(then), flops(otherwise)];
    let inverse = a > b;
    let (leaves, goes_on) = if inverse {
        (otherwise, then)
    } else {
        (then, otherwise)
    };
    // Only plain ops are computed early.
    let plain = module
        .ops_in(leaves)
        .all(|op| module.regions(op).is_empty());
    let little = a.min(b) <= LITTLE * a.max(b);
    (fits(then) && fits(otherwise) && plain && little).then(|| Exit {
        condition: module.operands(op)[0],
        inverse,
        leaves,
        goes_on,
    })
}

fn ends(module: &Module, op: Op) -> bool {
    let block = module.op_block(op);
    block.and_then(|block| module.terminator(block)) == Some(op)
}

fn yields(module: &Module, block: Block) -> Vec<Value> {
    let end = module.terminator(block);
    end.map_or(Vec::new(), |end| module.operands(end).to_vec())
}

/// What a block reads from outside, constants apart, each once.
fn captured(module: &Module, block: Block) -> Vec<Value> {
    let mut inside: Vec<Value> = module.block_args(block).to_vec();
    let mut ops = Vec::new();
    for op in module.ops_in(block) {
        ops.push(op);
        ops.extend(module.walk_inside(op));
    }
    for &op in &ops {
        inside.extend(module.results(op));
        for &region in module.regions(op) {
            for &block in module.region_blocks(region) {
                inside.extend(module.block_args(block));
            }
        }
    }
    let mut found: Vec<Value> = Vec::new();
    for &value in ops.iter().flat_map(|&op| module.operands(op)) {
        if !inside.contains(&value)
            && !found.contains(&value)
            && !is_constant_expression(module, value)
        {
            found.push(value);
        }
    }
    found
}

/// Copies the ops of a block up to `stop`, or to its end.
fn copy_block(
    b: &mut Builder<'_>,
    block: Block,
    stop: Option<Op>,
    map: &mut HashMap<Value, Value>,
) -> OpResult<()> {
    let ops: Vec<Op> = b.module.ops_in(block).collect();
    for op in ops.into_iter().filter(|&op| Some(op) != stop) {
        if ends(b.module, op) {
            continue;
        }
        let inside = b.module.walk_inside(op);
        for op in std::iter::once(op).chain(inside) {
            for &value in b.module.operands(op) {
                map.entry(value).or_insert(value);
            }
        }
        copy_whole(b, op, map)?;
    }
    Ok(())
}

fn of(map: &HashMap<Value, Value>, values: &[Value]) -> Vec<Value> {
    values
        .iter()
        .map(|v| map.get(v).copied().unwrap_or(*v))
        .collect()
}

/// Whether a value has one sample along its leading axis, and known extents.
fn is_of_one_sample(ty: Type) -> bool {
    let dims = ty.as_tensor().and_then(|ty| ty.known_dims());
    dims.is_some_and(|dims| dims.first() == Some(&1))
}

/// The type of a value with an axis for the sample.
fn sample_type(ty: Type) -> Type {
    match ty.as_tensor() {
        Some(tensor) if !is_of_one_sample(ty) => {
            let dims = std::iter::once(Dim::Known(1)).chain(tensor.dims.iter().copied());
            Type::tensor(tensor.elem, dims)
        }
        _ => ty,
    }
}

fn with_sample(b: &mut Builder<'_>, value: Value) -> OpResult<Value> {
    match is_of_one_sample(b.value_type(value)) {
        true => Ok(value),
        false => build::unsqueeze(b, value, &[0]),
    }
}

/// The value as the stage before had it.
fn without_sample(b: &mut Builder<'_>, arg: Value, like: Value) -> OpResult<Value> {
    match b.value_type(arg) == b.value_type(like) {
        true => Ok(arg),
        false => build::squeeze(b, arg, &[0]),
    }
}
