//! What the ops' type functions share: joining of extents, checks of axes, shapes at run time.

use crate::core::{Dim, Elem, OpError, OpResult, OpView, Shape, Tensor, TensorType, Type};
use crate::dialects::tensor::{kernel, shapes};

/// Returns a broken rule unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($message:tt)*) => {
        if !$condition {
            return Err($crate::core::OpError::new(format!($($message)*)));
        }
    };
}
pub(crate) use ensure;

/// The types of the operands in the IR.
pub(crate) fn operand_types(op: OpView<'_>) -> Vec<TensorType> {
    (0..op.operands().len())
        .map(|i| op.operand_tensor(i).clone())
        .collect()
}

/// The types of actual operands.
pub(crate) fn tensor_types(x: &[Tensor]) -> Vec<TensorType> {
    x.iter()
        .map(|t| TensorType::new(t.elem(), t.shape().iter().map(|&d| Dim::Known(d as u64))))
        .collect()
}

/// The single result of an op as `infer` gives it.
pub(crate) fn one(ty: TensorType) -> OpResult<Vec<Type>> {
    Ok(vec![Type::from(ty)])
}

/// The shape of a result whose operands were actual tensors.
pub(super) fn shape_of(ty: &TensorType) -> OpResult<Shape> {
    let known: Option<Vec<u64>> = ty.dims.iter().map(|d| d.known()).collect();
    let Some(shape) = known else {
        return Err(OpError::new(format!(
            "the extents of the result `tensor<{ty}>` are not known here"
        )));
    };
    // All is computed in `f64`.
    kernel::checked_count(Elem::F64, shape.iter().copied())?;
    Ok(shape.into_iter().map(|n| n as usize).collect())
}

/// The more precisely known of two extents that must be equal.
pub(super) fn meet(a: Dim, b: Dim, what: &str) -> OpResult<Dim> {
    shapes::meet(a, b).map_err(|_| OpError::new(format!("{what}: {a} and {b} differ")))
}

/// All operands have the element of the first.
pub(super) fn same_elem(op: OpView<'_>) -> OpResult<()> {
    shapes::same_elem(op, 0..op.operands().len()).map(drop)
}

/// An operand of exactly these extents, some of which may be open.
pub(super) fn has_dims(ty: &TensorType, dims: &[Dim], name: &str) -> OpResult<()> {
    let fits = ty.rank() == dims.len() && ty.dims.iter().zip(dims).all(|(a, b)| a.compatible(*b));
    ensure!(
        fits,
        "`{name}` must be `tensor<{}>`, found `tensor<{ty}>`",
        TensorType::new(ty.elem, dims.iter().copied())
    );
    Ok(())
}

/// At most `count` optional operands.
pub(super) fn at_most(op: OpView<'_>, found: usize, count: usize) -> OpResult<()> {
    let fixed = op.info().operands.len();
    ensure!(
        found <= fixed + count,
        "`{}` takes at most {} operands, found {}",
        op.name(),
        fixed + count,
        found
    );
    Ok(())
}

/// An attribute that names one of a few choices.
pub(crate) fn choice(name: &str, value: &str, choices: &[&str]) -> OpResult<()> {
    ensure!(
        choices.contains(&value),
        "`{name}` must be one of `{}`, found `{value}`",
        choices.join("`, `")
    );
    Ok(())
}

/// The product of extents before, at and after an axis.
pub(super) fn split_at(shape: &[usize], axis: usize) -> (usize, usize, usize) {
    let product = |s: &[usize]| s.iter().product();
    (
        product(&shape[..axis]),
        shape[axis],
        product(&shape[axis + 1..]),
    )
}

/// The distance between neighbours along each axis in row-major order.
pub(super) fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for i in (1..shape.len()).rev() {
        strides[i - 1] = strides[i] * shape[i];
    }
    strides
}

/// The least and the greatest value of an integer element.
pub(super) fn int_range(elem: Elem) -> (i128, i128) {
    match elem.is_signed_int() {
        true => (-(1 << (elem.bits() - 1)), (1 << (elem.bits() - 1)) - 1),
        false => (0, (1 << elem.bits()) - 1),
    }
}
