//! Evaluates pure ops on constants.
//!
//! ```text
//! %1 = core.constant {value = dense<f32>[2.0]}       %1 = core.constant {value = dense<f32>[4.0]}
//! %2 = tensor.mul(%1, %1)                        →
//! ```
//!
//! Only where the result is small (`bytes`). A large one, such as a convolution's weights times a
//! scale per channel, stays an op on constants: who packs the weights evaluates it layer by layer,
//! so that the peak of memory stays low. A broadcast of a constant stays unless it is a shape, since
//! patterns and targets know more of it than of the constant that it would become; ops on it are
//! evaluated all the same.

use lepid_ir::core::{Attr, Builder, Module, Op, OpResult, Tensor, Trait, Type, Value};
use lepid_ir::dialects::core::Constant;
use lepid_ir::interp;

use crate::core::rewrite::{At, replace};
use crate::core::{Changed, PassCx, PassDef, PassOption, PassResult, Values};

pub const PASS: PassDef = PassDef {
    name: "fold",
    summary: "Evaluates pure ops on constants where the result is small.",
    values: Values::Exact,
    options: &[PassOption {
        name: "bytes",
        default: "65536",
        help: "The largest result to evaluate.",
    }],
    run,
};

/// The longest shape, or vector of indices, that an op which only repeats or enumerates may give.
const SHAPE_BYTES: u64 = 128;

/// Ops whose results are cheaper to describe than to hold.
const GENERATORS: &[&str] = &["tensor.broadcast", "tensor.iota"];

fn run(module: &mut Module, cx: &mut PassCx<'_>) -> PassResult {
    let limit: u64 = cx.option("bytes")?;
    let mut changed = Changed::No;
    for op in module.walk() {
        if let Some(tensors) = evaluate(module, op, limit) {
            let loc = module.loc(op).clone();
            let mut b = Builder::before(module, op);
            let values = constants(&mut b, tensors).at(&loc)?;
            replace(module, op, &values).at(&loc)?;
            changed = Changed::Yes;
        }
    }
    Ok(changed)
}

/// The values of an op's results if it can be and is worth to be evaluated.
pub(crate) fn evaluate(module: &Module, op: Op, limit: u64) -> Option<Vec<Tensor>> {
    let view = module.view(op);
    let info = view.info();
    if !info.has(Trait::Pure) || info.has(Trait::Constant) || !view.regions().is_empty() {
        return None;
    }
    let limit = match GENERATORS.contains(&info.name) {
        true if !is_shape(view.result_type(0)) => return None,
        true => limit.min(SHAPE_BYTES),
        false => limit,
    };
    // Of an unknown extent it is known only afterwards how large it is.
    if view
        .results()
        .iter()
        .any(|&r| bytes(module, r).unwrap_or(0) > limit)
    {
        return None;
    }
    let operands = view.operands().iter();
    let operands: Option<Vec<Tensor>> = operands.map(|&v| constant(module, v, limit)).collect();
    // What cannot be evaluated fails when it is run, if it ever is.
    let results = interp::eval_pure(module, op, &operands?).ok()?;
    let total: usize = results.iter().map(|t| t.bytes().len()).sum();
    (total as u64 <= limit * results.len() as u64).then_some(results)
}

fn is_shape(ty: Type) -> bool {
    ty.as_tensor()
        .is_some_and(|t| t.rank() <= 1 && t.elem.is_int())
}

/// A constant, or one behind a generator that stayed.
fn constant(module: &Module, value: Value, limit: u64) -> Option<Tensor> {
    if let Some(tensor) = module.constant_value(value) {
        return Some(tensor.clone());
    }
    let op = module.defining_op(value)?;
    let generated = GENERATORS.contains(&module.op_name(op));
    let small = bytes(module, value)? <= 16 * limit;
    (generated && small).then(|| interp::eval_constant(module, value))?
}

fn bytes(module: &Module, value: Value) -> Option<u64> {
    let ty = module.value_type(value).as_tensor()?;
    Some(ty.element_count()?.saturating_mul(ty.elem.bytes() as u64))
}

pub(crate) fn constants(b: &mut Builder<'_>, tensors: Vec<Tensor>) -> OpResult<Vec<Value>> {
    let build = |t: Tensor| b.one(&Constant, &[], &[("value", Attr::Tensor(t))]);
    tensors.into_iter().map(build).collect()
}
