//! Products: MatMul, Gemm, Einsum.

use lepid_ir::core::{Dim, Elem, OpResult, Value};
use lepid_ir::dialects::tensor::build::{self, Pairs};
use lepid_ir::dialects::{nn, tensor};

use super::{Row, one, row};
use crate::frontends::onnx::cx::{Cx, invalid};

type Values = OpResult<Vec<Value>>;

pub(super) const ROWS: &[Row] = &[
    row("Einsum", 12, einsum),
    row("Gemm", 1, gemm),
    row("MatMul", 1, matmul),
];

fn matmul(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let (x, y) = (cx.input(0)?, cx.input(1)?);
    one(product(cx, x, y)?)
}

/// A matrix product as in numpy: a vector is a row on the left and a column on the right.
pub(super) fn product(cx: &mut Cx<'_, '_, '_, '_>, x: Value, y: Value) -> OpResult<Value> {
    let (x_rank, y_rank) = (cx.rank(x)?, cx.rank(y)?);
    if x_rank == 0 || y_rank == 0 {
        return Err(invalid("a scalar cannot be multiplied as a matrix"));
    }
    let x = if x_rank == 1 {
        build::unsqueeze(cx.b, x, &[0])?
    } else {
        x
    };
    let y = if y_rank == 1 {
        build::unsqueeze(cx.b, y, &[1])?
    } else {
        y
    };
    let linear = cx.rank(y)? == 2 && cx.elem(x)?.is_float() && cx.constant_of(y).is_some();
    let z = match linear {
        true => cx.op(&nn::Linear, &[x, y], &[])?,
        false => cx.op(&nn::MatMul, &[x, y], &[])?,
    };
    let rank = cx.rank(z)?;
    let mut dropped = Vec::new();
    if x_rank == 1 {
        dropped.push(rank - 2);
    }
    if y_rank == 1 {
        dropped.push(rank - 1);
    }
    build::squeeze(cx.b, z, &dropped)
}

/// `alpha · A' · B' + beta · C`.
fn gemm(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let (mut x, mut w) = (cx.input(0)?, cx.input(1)?);
    if (cx.rank(x)?, cx.rank(w)?) != (2, 2) {
        return Err(invalid("both factors must have rank 2"));
    }
    if cx.flag("transA")? {
        x = cx.transpose(x, &[1, 0])?;
    }
    if cx.flag("transB")? {
        w = cx.transpose(w, &[1, 0])?;
    }
    let (alpha, beta) = (cx.float("alpha", 1.0)?, cx.float("beta", 1.0)?);
    let addend = cx.optional(2).filter(|_| beta != 0.0);
    let elem = cx.elem(x)?;
    if !elem.is_float() {
        return gemm_of_integers(cx, [x, w], addend, [alpha, beta]);
    }
    let columns = cx.dims(w)?[1];
    let bias = match addend {
        Some(c) if (alpha, beta) == (1.0, 1.0) => as_bias(cx, c, columns)?,
        _ => None,
    };
    if let Some(bias) = bias {
        return one(cx.op(&nn::Linear, &[x, w, bias], &[])?);
    }
    let mut y = cx.op(&nn::Linear, &[x, w], &[])?;
    y = scaled(cx, y, alpha)?;
    if let Some(c) = addend {
        let c = scaled(cx, c, beta)?;
        y = cx.binary(&tensor::Add, y, c)?;
    }
    one(y)
}

/// The addend as a vector of one entry per column, if it is one.
fn as_bias(cx: &mut Cx<'_, '_, '_, '_>, c: Value, columns: Dim) -> OpResult<Option<Value>> {
    let dims = cx.dims(c)?;
    match dims.as_slice() {
        [n] if *n == columns => Ok(Some(c)),
        [Dim::Known(1), n] if *n == columns => cx.reshape(c, &[*n]).map(Some),
        _ => Ok(None),
    }
}

fn scaled(cx: &mut Cx<'_, '_, '_, '_>, x: Value, factor: f64) -> OpResult<Value> {
    if factor == 1.0 {
        return Ok(x);
    }
    let factor = cx.splat(x, factor)?;
    cx.op(&tensor::Mul, &[x, factor], &[])
}

/// The factors may be fractions, so the sum is made of floats.
fn gemm_of_integers(
    cx: &mut Cx<'_, '_, '_, '_>,
    factors: [Value; 2],
    addend: Option<Value>,
    [alpha, beta]: [f64; 2],
) -> Values {
    let elem = cx.elem(factors[0])?;
    let y = cx.op(&nn::MatMul, &factors, &[])?;
    if (alpha, beta) == (1.0, 1.0) {
        return one(match addend {
            Some(c) => cx.binary(&tensor::Add, y, c)?,
            None => y,
        });
    }
    let y = cx.cast(y, Elem::F64)?;
    let mut y = scaled(cx, y, alpha)?;
    if let Some(c) = addend {
        let c = cx.cast(c, Elem::F64)?;
        let c = scaled(cx, c, beta)?;
        y = cx.binary(&tensor::Add, y, c)?;
    }
    one(cx.cast(y, elem)?)
}

/// A value with a label for each axis.
struct Labelled {
    value: Value,
    labels: Vec<char>,
}

/// Labels of the axes that `...` stands for, counted from the last.
fn ellipsis_label(from_last: usize) -> char {
    char::from_u32(0xE000 + from_last as u32).unwrap_or('?')
}

fn einsum(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let equation: String = cx.string("equation", "")?;
    let equation: String = equation.chars().filter(|c| !c.is_whitespace()).collect();
    let inputs = cx.all_inputs()?;
    let (left, right) = match equation.split_once("->") {
        Some((left, right)) => (left, Some(right)),
        None => (equation.as_str(), None),
    };
    let terms: Vec<&str> = left.split(',').collect();
    if terms.len() != inputs.len() {
        return Err(invalid(format!(
            "the equation has {} terms, but there are {} inputs",
            terms.len(),
            inputs.len()
        )));
    }
    let mut operands = Vec::new();
    let mut most_hidden = 0;
    for (&value, term) in inputs.iter().zip(terms) {
        let rank = cx.rank(value)?;
        let (labels, hidden) = labels_of(term, rank)?;
        most_hidden = most_hidden.max(hidden);
        if labels.len() != rank {
            return Err(invalid(format!(
                "the term `{term}` does not fit rank {rank}"
            )));
        }
        operands.push(Labelled { value, labels });
    }
    let hidden: Vec<char> = (0..most_hidden).rev().map(ellipsis_label).collect();
    let output = match right {
        Some(right) => labels_in(right, &hidden)?,
        None => implied_output(&operands, &hidden),
    };
    one(contract_all(cx, operands, &output)?)
}

/// The labels of a term, and how many axes its `...` stands for.
fn labels_of(term: &str, rank: usize) -> OpResult<(Vec<char>, usize)> {
    let plain = term.chars().filter(|c| c.is_alphabetic()).count();
    let hidden = if term.contains("...") {
        rank.saturating_sub(plain)
    } else {
        0
    };
    let own: Vec<char> = (0..hidden).rev().map(ellipsis_label).collect();
    Ok((labels_in(term, &own)?, hidden))
}

fn labels_in(term: &str, hidden: &[char]) -> OpResult<Vec<char>> {
    let mut labels = Vec::new();
    let mut rest = term;
    while let Some(c) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("...") {
            labels.extend(hidden);
            rest = after;
        } else if c.is_ascii_alphabetic() {
            labels.push(c);
            rest = &rest[1..];
        } else {
            return Err(invalid(format!("the equation has an unexpected `{c}`")));
        }
    }
    Ok(labels)
}

/// Without `->`: the hidden axes, then all labels that occur once, in order.
fn implied_output(operands: &[Labelled], hidden: &[char]) -> Vec<char> {
    let all: Vec<char> = operands
        .iter()
        .flat_map(|o| o.labels.iter().copied())
        .collect();
    let mut once: Vec<char> = all
        .iter()
        .copied()
        .filter(|c| c.is_ascii_alphabetic() && all.iter().filter(|d| *d == c).count() == 1)
        .collect();
    once.sort_unstable();
    hidden.iter().copied().chain(once).collect()
}

fn contract_all(
    cx: &mut Cx<'_, '_, '_, '_>,
    operands: Vec<Labelled>,
    output: &[char],
) -> OpResult<Value> {
    let mut operands = operands;
    for operand in &mut operands {
        diagonal(cx, operand)?;
    }
    // An extent of 1 that stands against a wider one is the same for all of it.
    for i in 0..operands.len() {
        let dims = cx.dims(operands[i].value)?;
        let narrow: Vec<usize> = (0..dims.len())
            .filter(|&a| dims[a] == Dim::Known(1) && occurs_elsewhere(&operands, i, a))
            .collect();
        operands[i].value = build::squeeze(cx.b, operands[i].value, &narrow)?;
        let mut axis = 0;
        operands[i].labels.retain(|_| {
            axis += 1;
            !narrow.contains(&(axis - 1))
        });
    }
    let mut rest = operands.into_iter();
    let Some(mut done) = rest.next() else {
        return Err(invalid("at least one input is needed"));
    };
    let mut rest: Vec<Labelled> = rest.collect();
    while !rest.is_empty() {
        let next = rest.remove(0);
        let needed = |c: char| output.contains(&c) || rest.iter().any(|o| o.labels.contains(&c));
        let done_alone = sum_unneeded(cx, done, |c| needed(c) || next.labels.contains(&c))?;
        let next = sum_unneeded(cx, next, |c| needed(c) || done_alone.labels.contains(&c))?;
        done = contract_two(cx, done_alone, next, needed)?;
    }
    let done = sum_unneeded(cx, done, |c| output.contains(&c))?;
    let place = |c: &char| {
        let found = done.labels.iter().position(|d| d == c);
        found.ok_or_else(|| invalid(format!("the output label `{c}` is in no term")))
    };
    let perm: OpResult<Vec<usize>> = output.iter().map(place).collect();
    cx.transpose(done.value, &perm?)
}

fn occurs_elsewhere(operands: &[Labelled], operand: usize, axis: usize) -> bool {
    let label = operands[operand].labels[axis];
    let others = operands.iter().enumerate().filter(|(i, _)| *i != operand);
    others.into_iter().any(|(_, o)| o.labels.contains(&label))
}

/// A label that occurs twice in one term takes the diagonal of both axes.
fn diagonal(cx: &mut Cx<'_, '_, '_, '_>, operand: &mut Labelled) -> OpResult<()> {
    while let Some((first, second)) = repeated(&operand.labels) {
        let dims = cx.dims(operand.value)?;
        let rows = build::iota(cx.b, &dims, first, Elem::I64)?;
        let columns = build::iota(cx.b, &dims, second, Elem::I64)?;
        let on = cx.compare("eq", rows, columns)?;
        let zero = cx.splat(operand.value, 0.0)?;
        let kept = cx.select(on, operand.value, zero)?;
        operand.value = build::reduce(cx.b, kept, "sum", &[second])?;
        operand.labels.remove(second);
    }
    Ok(())
}

fn repeated(labels: &[char]) -> Option<(usize, usize)> {
    let second = |i: usize| (i + 1..labels.len()).find(|&j| labels[j] == labels[i]);
    (0..labels.len()).find_map(|i| Some((i, second(i)?)))
}

fn sum_unneeded(
    cx: &mut Cx<'_, '_, '_, '_>,
    operand: Labelled,
    needed: impl Fn(char) -> bool,
) -> OpResult<Labelled> {
    let axes: Vec<usize> = (0..operand.labels.len())
        .filter(|&a| !needed(operand.labels[a]))
        .collect();
    if axes.is_empty() {
        return Ok(operand);
    }
    Ok(Labelled {
        value: build::reduce(cx.b, operand.value, "sum", &axes)?,
        labels: operand.labels.into_iter().filter(|&c| needed(c)).collect(),
    })
}

fn contract_two(
    cx: &mut Cx<'_, '_, '_, '_>,
    x: Labelled,
    y: Labelled,
    needed: impl Fn(char) -> bool,
) -> OpResult<Labelled> {
    let (mut batch, mut contracted) = (Vec::new(), Vec::new());
    for (i, c) in x.labels.iter().enumerate() {
        if let Some(j) = y.labels.iter().position(|d| d == c) {
            if needed(*c) {
                &mut batch
            } else {
                &mut contracted
            }
            .push((i, j));
        }
    }
    let shared = |c: &&char| x.labels.contains(c) && y.labels.contains(c);
    let labels = batch
        .iter()
        .map(|&(i, _)| x.labels[i])
        .chain(x.labels.iter().filter(|c| !shared(c)).copied())
        .chain(y.labels.iter().filter(|c| !shared(c)).copied())
        .collect();
    let pairs = Pairs {
        batch: &batch,
        contract: &contracted,
        to: None,
    };
    let value = build::contract(cx.b, x.value, y.value, pairs)?;
    Ok(Labelled { value, labels })
}
