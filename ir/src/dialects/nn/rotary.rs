//! Rotary position embedding.

use crate::core::{
    Builder, Cost, Dim, EvalCx, Op, OpDef, OpInfo, OpResult, OpView, Tensor, TensorType, Type,
    Value,
};
use crate::dialects::tensor::{self as t, END, build};
use crate::op;

use super::expand::{can_reshape, expanded, with, zip};
use super::rules::{
    ensure, meet, one, operand_types, same_elem, shape_of, split_at, strides, tensor_types,
};

op! {
    /// Turns pairs `(a, b)` of features along the last axis to `(a · cos - b · sin, b · cos + a · sin)`.
    ///
    /// `cos` and `sin` hold one number per pair and have the rank of `x`; an extent of 1 repeats
    /// before the last axis. Of n pairs the first 2n features turn, the others stay as they are.
    /// Feature `i` is paired with `i + n`; if `interleaved`, feature `2i` with `2i + 1`. This is the
    /// rotary embedding of RoFormer (Su et al. 2021) and ONNX RotaryEmbedding-23, whose tables have
    /// been taken at the positions.
    "nn.rotary" => Rotary {
        operands: [x: FLOAT_TENSOR, cos: FLOAT_TENSOR, sin: FLOAT_TENSOR],
        attributes: [interleaved: Bool = false],
        results: [y],
        traits: [Pure],
    }
}

impl OpDef for Rotary {
    fn info(&self) -> &'static OpInfo {
        &Rotary::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        let types = operand_types(op);
        count_pairs(op, &types)?;
        one(types[0].clone())
    }
    fn eval(&self, op: OpView<'_>, x: &[Tensor], _: &mut EvalCx<'_>) -> OpResult<Vec<Tensor>> {
        let types = tensor_types(x);
        let pairs = count_pairs(op, &types)?;
        let shape = shape_of(&types[0])?;
        let interleaved = Rotary::interleaved(op);
        let (rows, features, _) = split_at(&shape, shape.len() - 1);
        let [mut y, cos, sin] = [0, 1, 2].map(|i| x[i].to_f64s());
        let (row_of_cos, row_of_sin) =
            (rows_of(x[1].shape(), &shape), rows_of(x[2].shape(), &shape));
        for row in 0..rows {
            let y = &mut y[row * features..][..features];
            let cos = &cos[row_of_cos(row) * pairs..][..pairs];
            let sin = &sin[row_of_sin(row) * pairs..][..pairs];
            for i in 0..pairs {
                let (first, second) = match interleaved {
                    true => (2 * i, 2 * i + 1),
                    false => (i, i + pairs),
                };
                let (a, b) = (y[first], y[second]);
                y[first] = a * cos[i] - b * sin[i];
                y[second] = b * cos[i] + a * sin[i];
            }
        }
        Ok(vec![Tensor::from_f64s(x[0].elem(), shape, y)])
    }
    fn decompose(&self, b: &mut Builder<'_>, op: Op) -> OpResult<Option<Vec<Value>>> {
        let view = b.view(op);
        let pairs = count_pairs(view, &operand_types(view))? as i64;
        let interleaved = Rotary::interleaved(view);
        let features = view.operand_dims(0).last().copied();
        let &[x, cos, sin] = view.operands() else {
            return Ok(None);
        };
        let axis = build::rank(b, x) - 1;
        let turned = build::slice_axis(b, x, axis, 0, 2 * pairs)?;
        let (first, second) = match interleaved {
            true => (every_second(b, turned, 0)?, every_second(b, turned, 1)?),
            false => (
                build::slice_axis(b, turned, axis, 0, pairs)?,
                build::slice_axis(b, turned, axis, pairs, END)?,
            ),
        };
        let first_cos = with(b, &t::Mul, first, cos)?;
        let second_sin = with(b, &t::Mul, second, sin)?;
        let real = zip(b, &t::Sub, first_cos, second_sin)?;
        let second_cos = with(b, &t::Mul, second, cos)?;
        let first_sin = with(b, &t::Mul, first, sin)?;
        let imaginary = zip(b, &t::Add, second_cos, first_sin)?;
        let mut parts = match interleaved {
            true => vec![alternating(b, real, imaginary, turned)?],
            false => vec![real, imaginary],
        };
        if features != Some(Dim::Known(2 * pairs as u64)) {
            parts.push(build::slice_axis(b, x, axis, 2 * pairs, END)?);
        }
        let y = build::concat(b, &parts, axis)?;
        expanded(b, op, y)
    }
    fn cost(&self, op: OpView<'_>) -> Cost {
        Cost::per_element(op, 3)
    }
}

/// How many pairs of features turn.
fn count_pairs(op: OpView<'_>, x: &[TensorType]) -> OpResult<usize> {
    same_elem(op)?;
    let dims = &x[0].dims;
    let Some((&features, rows)) = dims.split_last() else {
        return Err(crate::core::OpError::new(
            "`x` must have features, found rank 0",
        ));
    };
    let mut pairs = Dim::Unknown;
    for (table, name) in x[1..].iter().zip(["cos", "sin"]) {
        ensure!(
            table.rank() == dims.len(),
            "`{name}` must have the rank {} of `x`, found {}",
            dims.len(),
            table.rank()
        );
        for (&extent, &full) in table.dims.iter().zip(rows) {
            if extent.known() != Some(1) {
                meet(full, extent, &format!("extents of `x` and of `{name}`"))?;
            }
        }
        pairs = meet(pairs, table.dims[rows.len()], "pairs of `cos` and `sin`")?;
    }
    let Some(pairs) = pairs.known() else {
        return Err(crate::core::OpError::new(
            "the last extent of `cos` or `sin`, the number of pairs, must be known",
        ));
    };
    let fits = |features: u64| pairs <= features / 2;
    ensure!(
        features.known().is_none_or(fits),
        "{pairs} pairs are more than {features} features"
    );
    Ok(pairs as usize)
}

/// For a row of features in `shape`, that of a table whose extents of 1 repeat.
fn rows_of(table: &[usize], shape: &[usize]) -> impl Fn(usize) -> usize + use<> {
    let axes = shape.len() - 1;
    let (own, all) = (strides(&table[..axes]), strides(&shape[..axes]));
    let axes: Vec<[usize; 3]> = (0..axes)
        .filter(|&i| table[i] != 1)
        .map(|i| [all[i], shape[i], own[i]])
        .collect();
    move |row| axes.iter().map(|[all, n, own]| row / all % n * own).sum()
}

/// Every second feature from `start` on.
fn every_second(b: &mut Builder<'_>, x: Value, start: i64) -> OpResult<Value> {
    let rank = build::rank(b, x);
    let (mut starts, mut steps) = (vec![0; rank], vec![1; rank]);
    (starts[rank - 1], steps[rank - 1]) = (start, 2);
    build::slice(b, x, &starts, &vec![END; rank], &steps)
}

/// The features of two values in turn, in the shape of `like`.
fn alternating(b: &mut Builder<'_>, x: Value, y: Value, like: Value) -> OpResult<Value> {
    let (rank, dims) = (build::rank(b, like), build::dims(b, like));
    let (x, y) = (
        build::unsqueeze(b, x, &[rank])?,
        build::unsqueeze(b, y, &[rank])?,
    );
    let both = build::concat(b, &[x, y], rank)?;
    match can_reshape(&dims) {
        true => build::reshape(b, both, &dims),
        false => {
            let shape = build::shape_vector(b, like)?;
            b.one(&t::DynReshape, &[both, shape], &[])
        }
    }
}
