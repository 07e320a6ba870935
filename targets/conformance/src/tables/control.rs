//! Branches and loops.

use lepid_ir::core::{Builder, Elem, OpResult, Region, Value};
use lepid_ir::dialects::core::Yield;
use lepid_ir::dialects::nn::Relu;
use lepid_ir::dialects::tensor::{Add, Compare, If, Mul, Sub, While, build};

use crate::case::{Case, Scale, build as case};

pub(super) fn cases() -> Vec<Case> {
    let mut out = Vec::new();
    for taken in [0, 1] {
        out.push(case(
            &format!("if, condition {taken}"),
            Scale::Element,
            &[&format!("i1 = {taken}"), "3x17xf32"],
            |b, v| {
                let then = region(b, |b| {
                    let y = build::with_scalar(b, &Mul, v[1], 2.0)?;
                    Ok(vec![b.one(&Relu, &[y], &[])?])
                })?;
                let otherwise = region(b, |b| Ok(vec![build::with_scalar(b, &Sub, v[1], 1.0)?]))?;
                let op = b.create_with_regions(&If, &[v[0]], &[], &[then, otherwise])?;
                Ok(b.module.results(op).to_vec())
            },
        ));
        out.push(case(
            &format!("if with two results, one from outside, condition {taken}"),
            Scale::Element,
            &[&format!("i1 = {taken}"), "5xf32", "5xf32"],
            |b, v| {
                let then = region(b, |_| Ok(vec![v[1], v[2]]))?;
                let otherwise = region(b, |b| {
                    let sum = b.one(&Add, &[v[1], v[2]], &[])?;
                    Ok(vec![sum, v[1]])
                })?;
                let op = b.create_with_regions(&If, &[v[0]], &[], &[then, otherwise])?;
                let results = b.module.results(op).to_vec();
                let product = b.one(&Mul, &results, &[])?;
                Ok(vec![results[0], results[1], product])
            },
        ));
    }
    for count in [0, 1, 5] {
        out.push(case(
            &format!("while, {count} rounds"),
            Scale::Output,
            &[&format!("i64 = {count}"), "7xf32", "7xf32"],
            |b, v| {
                let zero = build::scalar(b, Elem::I64, 0.0)?;
                let op = counted_loop(b, v[0], zero, v[1], |b, x| {
                    let half = build::with_scalar(b, &Mul, x, 0.5)?;
                    b.one(&Add, &[half, v[2]], &[])
                })?;
                Ok(op)
            },
        ));
    }
    out.push(case(
        "while, with a limit that only the condition reads",
        Scale::Output,
        &["5xf32", "7xf32"],
        |b, v| {
            // Five, but only at run time.
            let ones = build::with_scalar(b, &Mul, v[0], 0.0)?;
            let ones = build::with_scalar(b, &Add, ones, 1.0)?;
            let count = build::reduce(b, ones, "sum", &[0])?;
            let limit = build::cast(b, count, Elem::I64)?;
            let zero = build::scalar(b, Elem::I64, 0.0)?;
            counted_loop(b, limit, zero, v[1], |b, x| {
                let top = build::reduce(b, x, "max", &[0])?;
                let below = build::binary(b, &Sub, x, top)?;
                let total = build::reduce(b, below, "sum", &[0])?;
                let share = build::with_scalar(b, &Mul, total, -0.1)?;
                build::binary(b, &Add, below, share)
            })
        },
    ));
    out.push(case(
        "while in while",
        Scale::Output,
        &["i64 = 3", "9xf32"],
        |b, v| {
            let zero = build::scalar(b, Elem::I64, 0.0)?;
            counted_loop(b, v[0], zero, v[1], |b, x| {
                let inner = counted_loop(b, v[0], zero, x, |b, y| {
                    let small = build::with_scalar(b, &Mul, y, 0.75)?;
                    b.one(&Sub, &[small, v[1]], &[])
                })?;
                Ok(inner[1])
            })
        },
    ));
    out
}

pub(super) fn region(
    b: &mut Builder<'_>,
    fill: impl FnOnce(&mut Builder<'_>) -> OpResult<Vec<Value>>,
) -> OpResult<Region> {
    b.region(&[], |b, _| {
        let results = fill(b)?;
        Yield::build(b, &results, &[]).map(drop)
    })
}

/// Applies `step` to `x` from `start` until `limit`; gives the counter and the last value.
fn counted_loop(
    b: &mut Builder<'_>,
    limit: Value,
    start: Value,
    x: Value,
    step: impl FnOnce(&mut Builder<'_>, Value) -> OpResult<Value>,
) -> OpResult<Vec<Value>> {
    let types = [b.value_type(start), b.value_type(x)];
    let condition = b.region(&types, |b, args| {
        let attrs = [("direction", "lt".into())];
        let more = b.one(&Compare, &[args[0], limit], &attrs)?;
        Yield::build(b, &[more], &[]).map(drop)
    })?;
    let body = b.region(&types, |b, args| {
        let next = step(b, args[1])?;
        let count = build::with_scalar(b, &Add, args[0], 1.0)?;
        Yield::build(b, &[count, next], &[]).map(drop)
    })?;
    let op = b.create_with_regions(&While, &[start, x], &[], &[condition, body])?;
    Ok(b.module.results(op).to_vec())
}
