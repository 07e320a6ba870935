//! Determinants.

use lepid_ir::core::{Dim, Elem, OpResult, Value};
use lepid_ir::dialects::tensor::{self, build};

use super::{Row, one, row};
use crate::frontends::onnx::cx::{Cx, invalid, unsupported};

type Values = OpResult<Vec<Value>>;

pub(super) const ROWS: &[Row] = &[row("Det", 11, det)];

/// More rows than this are not worth so many steps.
const LIMIT: u64 = 64;

/// By elimination: the row with the greatest first element is taken out, which turns the sign with
/// its place, and the other rows lose their first element.
fn det(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let x = cx.input(0)?;
    let dims = cx.dims(x)?;
    let [batch @ .., Dim::Known(rows), Dim::Known(columns)] = &dims[..] else {
        return Err(invalid("square matrices of a known extent are needed"));
    };
    if rows != columns || *rows == 0 {
        return Err(invalid(format!(
            "a {rows} by {columns} matrix has no determinant"
        )));
    }
    if *rows > LIMIT {
        return Err(unsupported(format!(
            "matrices of {rows} rows are not supported"
        )));
    }
    let count = batch.iter().copied().fold(Dim::Known(1), Dim::times);
    let side = Dim::Known(*rows);
    let mut matrix = cx.reshape(x, &[count, side, side])?;
    let mut factors = Vec::new();
    for left in (1..*rows).rev() {
        let (pivot, minor) = eliminated(cx, matrix, left)?;
        factors.push(pivot);
        matrix = minor;
    }
    let mut product = cx.reshape(matrix, &[count])?;
    for factor in factors.into_iter().rev() {
        product = cx.op(&tensor::Mul, &[factor, product], &[])?;
    }
    one(cx.reshape(product, batch)?)
}

/// The signed pivot of each matrix, and the smaller matrix without its row and column.
fn eliminated(cx: &mut Cx<'_, '_, '_, '_>, matrix: Value, left: u64) -> OpResult<(Value, Value)> {
    let elem = cx.elem(matrix)?;
    let first = build::slice_axis(cx.b, matrix, 2, 0, 1)?;
    let column = build::squeeze(cx.b, first, &[2])?;
    let size = cx.op(&tensor::Abs, &[column], &[])?;
    let attrs = [("kind", "max".into()), ("axis", 1.into())];
    let place = cx.op(&tensor::ArgReduce, &[size], &attrs)?;
    let at = build::unsqueeze(cx.b, place, &[1])?;
    let at_row = build::unsqueeze(cx.b, at, &[2])?;
    let row = cx.op(&tensor::GatherNd, &[matrix, at_row], &[("batch", 1.into())])?;
    let pivot = build::slice_axis(cx.b, row, 2, 0, 1)?;
    // A column of zeros makes the product 0, whatever the rest is.
    let zero = cx.number(elem, 0.0)?;
    let unit = cx.number(elem, 1.0)?;
    let none = cx.compare("eq", pivot, zero)?;
    let divisor = cx.select(none, unit, pivot)?;
    let share = cx.binary(&tensor::Div, first, divisor)?;
    let taken = cx.binary(&tensor::Mul, share, row)?;
    let reduced = cx.binary(&tensor::Sub, matrix, taken)?;
    let others = build::iota(cx.b, &[Dim::Known(left)], 0, Elem::I64)?;
    let behind = cx.compare("ge", others, at)?;
    let behind = cx.cast(behind, Elem::I64)?;
    let others = cx.binary(&tensor::Add, others, behind)?;
    let minor = super::patch::picked(cx, reduced, 1, others)?;
    let minor = build::slice_axis(cx.b, minor, 2, 1, left as i64 + 1)?;
    let two = cx.number(Elem::I64, 2.0)?;
    let odd = cx.binary(&tensor::Rem, place, two)?;
    let odd = cx.cast(odd, Elem::Bool)?;
    let pivot = build::squeeze(cx.b, pivot, &[1, 2])?;
    let turned = cx.op(&tensor::Neg, &[pivot], &[])?;
    Ok((cx.select(odd, turned, pivot)?, minor))
}
