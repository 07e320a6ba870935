//! Makes branches of switches, and loops of what is refined while there is time.
//!
//! ```text
//! adapt.switch(%which) {A} {B} {C}      =>  tensor.if(%which < 1) {A} else {tensor.if(%which < 2) {B} else {C}}
//! adapt.anytime(%steps, %deadline, %x)  =>  tensor.while(0, %x) while %step < 1, or %step < %steps and
//!                                               adapt.elapsed() < %deadline
//! ```

use std::collections::HashMap;

use lepid_ir::core::{Block, Builder, Elem, Module, Op, OpResult, Type, Value};
use lepid_ir::dialects::adapt::{Anytime, Elapsed, Switch};
use lepid_ir::dialects::core::Yield;
use lepid_ir::dialects::tensor::{self as t, build};

use crate::core::rewrite::{At, copy_block, is, replace, seen_from_outside};
use crate::core::{Changed, PassCx, PassDef, PassResult, Values};

pub const PASS: PassDef = PassDef {
    name: "adapt-to-tensor",
    summary: "Makes branches of `adapt.switch`, and loops of `adapt.anytime`.",
    values: Values::Exact,
    options: &[],
    run,
};

fn run(module: &mut Module, _cx: &mut PassCx<'_>) -> PassResult {
    let mut changed = Changed::No;
    // The inner ones first, so that what is copied has none.
    let ops: Vec<Op> = module.walk().into_iter().rev().collect();
    for op in ops {
        if module.op_block(op).is_none() {
            continue;
        }
        let lower = match () {
            () if is(module, op, &Switch) => switch,
            () if is(module, op, &Anytime) => anytime,
            () => continue,
        };
        let loc = module.loc(op).clone();
        let mut b = Builder::before(module, op);
        b.at(loc.clone());
        let results = lower(&mut b, op).at(&loc)?;
        replace(module, op, &results).at(&loc)?;
        changed = Changed::Yes;
    }
    Ok(changed)
}

fn switch(b: &mut Builder<'_>, op: Op) -> OpResult<Vec<Value>> {
    let variants = Switch::variants(b.view(op))?;
    let which = b.view(op).operand(0);
    let mut map = seen_from_outside(b.module, op);
    let values = branches(b, which, &variants, 1, &mut map)?;
    Ok(values)
}

/// What the variants yield, the first of which has the number before `next`.
fn branches(
    b: &mut Builder<'_>,
    which: Value,
    variants: &[Block],
    next: usize,
    map: &mut HashMap<Value, Value>,
) -> OpResult<Vec<Value>> {
    let (&first, rest) = match variants.split_first() {
        Some((first, [])) => return copy_block(b, *first, map),
        Some(parts) => parts,
        None => return Ok(Vec::new()),
    };
    let limit = build::scalar(b, Elem::I64, next as f64)?;
    let here = build::compare(b, "lt", which, limit)?;
    let then = b.region(&[], |b, _| {
        let values = copy_block(b, first, map)?;
        b.create(&Yield, &values, &[]).map(drop)
    })?;
    let otherwise = b.region(&[], |b, _| {
        let values = branches(b, which, rest, next + 1, map)?;
        b.create(&Yield, &values, &[]).map(drop)
    })?;
    let branch = b.create_with_regions(&t::If, &[here], &[], &[then, otherwise])?;
    Ok(b.module.results(branch).to_vec())
}

fn anytime(b: &mut Builder<'_>, op: Op) -> OpResult<Vec<Value>> {
    let body = Anytime::body(b.view(op))?;
    let operands = b.view(op).operands().to_vec();
    let (steps, deadline) = (operands[0], operands[1]);
    let mut map = seen_from_outside(b.module, op);
    let mut carried = vec![build::scalar(b, Elem::I64, 0.0)?];
    carried.extend(&operands[2..]);
    // What is carried may be less known than what is carried at first.
    let args = b.module.block_args(body).iter();
    let types: Vec<Type> = args.map(|&v| b.module.value_type(v)).collect();
    let condition = b.region(&types, |b, args| {
        let one = build::scalar(b, Elem::I64, 1.0)?;
        let first = build::compare(b, "lt", args[0], one)?;
        let more = build::compare(b, "lt", args[0], steps)?;
        let elapsed = b.one(&Elapsed, &[], &[])?;
        let early = build::compare(b, "lt", elapsed, deadline)?;
        let on = build::binary(b, &t::And, more, early)?;
        let on = build::binary(b, &t::Or, first, on)?;
        b.create(&Yield, &[on], &[]).map(drop)
    })?;
    let body = b.region(&types, |b, args| {
        let inner = b.module.block_args(body).to_vec();
        map.extend(inner.into_iter().zip(args.iter().copied()));
        let values = copy_block(b, body, &mut map)?;
        let one = build::scalar(b, Elem::I64, 1.0)?;
        let next = build::binary(b, &t::Add, args[0], one)?;
        let next: Vec<Value> = std::iter::once(next).chain(values).collect();
        b.create(&Yield, &next, &[]).map(drop)
    })?;
    let repeat = b.create_with_regions(&t::While, &carried, &[], &[condition, body])?;
    Ok(b.module.results(repeat).to_vec())
}
