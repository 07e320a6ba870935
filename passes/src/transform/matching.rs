//! What patterns ask of values.

use lepid_ir::core::{
    Builder, Dim, Module, Num, Op, OpDef, OpResult, Tensor, TensorType, Trait, Value,
};
use lepid_ir::dialects::core::constant;
use lepid_ir::dialects::tensor::{self as t, build};

use crate::core::rewrite::defined_by;

/// The tensor type of a value; patterns match ops whose operands are tensors.
pub(super) fn tensor_type(module: &Module, value: Value) -> &'static TensorType {
    match module.value_type(value).as_tensor() {
        Some(ty) => ty,
        None => lepid_ir::bug!("{value} is not a tensor"),
    }
}

pub(super) fn dims(module: &Module, value: Value) -> &'static [Dim] {
    &tensor_type(module, value).dims
}

pub(super) fn known(dim: Dim) -> Option<usize> {
    usize::try_from(dim.known()?).ok()
}

/// Whether equal types mean equal shapes: an unknown extent may differ from another.
pub(super) fn is_precise(ty: &TensorType) -> bool {
    !ty.dims.contains(&Dim::Unknown)
}

/// Whether a value depends on constants alone.
pub(super) fn is_constant(module: &Module, value: Value) -> bool {
    /// Constant expressions are shallow: a weight, a scale, a change of shape.
    const MAX_DEPTH: usize = 16;
    fn within(module: &Module, value: Value, depth: usize) -> bool {
        let Some(op) = module.defining_op(value) else {
            return false;
        };
        let pure = module.def(op).info().has(Trait::Pure) && module.regions(op).is_empty();
        let mut operands = module.operands(op).iter();
        depth > 0 && pure && operands.all(|&v| within(module, v, depth - 1))
    }
    within(module, value, MAX_DEPTH)
}

/// The number that all elements of a constant are.
pub(super) fn uniform(module: &Module, value: Value) -> Option<Num> {
    if let Some(tensor) = module.constant_value(value) {
        return uniform_tensor(tensor);
    }
    let op = module.defining_op(value)?;
    match module.op_name(op) {
        "tensor.broadcast" | "tensor.reshape" | "tensor.transpose" => {
            uniform(module, module.operands(op)[0])
        }
        _ => None,
    }
}

fn uniform_tensor(tensor: &Tensor) -> Option<Num> {
    let size = tensor.elem().bytes();
    let first = tensor.bytes().get(..size)?;
    let same = tensor.bytes().chunks(size).all(|c| c == first);
    same.then(|| tensor.num(0))
}

/// [`uniform`] of a float tensor.
pub(super) fn uniform_float(module: &Module, value: Value) -> Option<f64> {
    match uniform(module, value)? {
        Num::Float(x) => Some(x),
        Num::Int(_) => None,
    }
}

/// Whether all elements are this number, of whatever element type.
pub(super) fn is_uniform(module: &Module, value: Value, number: f64) -> bool {
    uniform(module, value).is_some_and(|n| n.as_f64() == number)
}

/// For a binary op with an operand that fits: that operand's index.
pub(super) fn operand_that(
    module: &Module,
    op: Op,
    fits: impl Fn(&Module, Value) -> bool,
) -> Option<usize> {
    let operands = module.operands(op);
    (0..operands.len())
        .rev()
        .find(|&i| fits(module, operands[i]))
}

/// Splits the operands of a binary op into any other and a uniform constant.
pub(super) fn with_uniform(module: &Module, op: Op) -> Option<(Value, Num)> {
    let constant = operand_that(module, op, |m, v| uniform(m, v).is_some())?;
    let operands = module.operands(op);
    Some((operands[1 - constant], uniform(module, operands[constant])?))
}

/// What a value is a broadcast of, or the value itself.
pub(super) fn before_broadcast(module: &Module, value: Value) -> Value {
    match defined_by(module, value, &t::Broadcast) {
        Some(op) => module.operands(op)[0],
        None => value,
    }
}

/// The operand of the unary op of this kind that defines `value`.
pub(super) fn under(module: &Module, value: Value, def: &dyn OpDef) -> Option<Value> {
    let op = defined_by(module, value, def)?;
    Some(module.operands(op)[0])
}

/// A constant that depends on the index along one axis alone.
pub(super) enum AlongAxis {
    Uniform(Num),
    /// Has as many elements as the axis.
    Elements(Value),
}

/// Whether `value` is constant along all axes but `axis`, whose extent must be known.
pub(super) fn along_axis(module: &Module, value: Value, axis: usize) -> Option<AlongAxis> {
    if let Some(number) = uniform(module, value) {
        return Some(AlongAxis::Uniform(number));
    }
    let extent = *dims(module, value).get(axis)?;
    extent.known()?;
    let (source, axes): (Value, Vec<usize>) = match defined_by(module, value, &t::Broadcast) {
        Some(op) => {
            let axes = t::Broadcast::axes(module.view(op));
            (
                module.operands(op)[0],
                axes.iter().map(|&a| a as usize).collect(),
            )
        }
        None => (value, (0..dims(module, value).len()).collect()),
    };
    let mut spans = dims(module, source).iter().zip(axes);
    let only = spans.all(|(&d, a)| d == if a == axis { extent } else { Dim::Known(1) });
    let complete = tensor_type(module, source).element_count() == extent.known();
    (only && complete && is_constant(module, source)).then_some(AlongAxis::Elements(source))
}

/// The vector of what [`along_axis`] found.
pub(super) fn build_vector(
    b: &mut Builder<'_>,
    along: &AlongAxis,
    like: Value,
    extent: Dim,
) -> OpResult<Value> {
    match along {
        AlongAxis::Elements(source) => build::reshape(b, *source, &[extent]),
        AlongAxis::Uniform(number) => {
            let elem = tensor_type(b.module, like).elem;
            let scalar = constant(b, Tensor::scalar(elem, *number))?;
            build::broadcast_to(b, scalar, &[extent])
        }
    }
}

/// `number` as a scalar of the element type of `like`, repeated to its shape.
pub(super) fn build_uniform(b: &mut Builder<'_>, number: Num, like: Value) -> OpResult<Value> {
    let elem = tensor_type(b.module, like).elem;
    let scalar = constant(b, Tensor::scalar(elem, number))?;
    build::broadcast_like(b, scalar, like)
}
