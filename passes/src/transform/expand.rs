//! Replaces ops that the target does not have by simpler ones.
//!
//! ```text
//! // a target without softplus
//! %1 = nn.softplus(%0)     →     %1 = tensor.exp(%0)
//!                                %2 = … log(1 + %1) …
//! ```
//!
//! Asks the legality hook about every op, and again about what `decompose` gives, until all that
//! remains is native. Structure is not asked about: functions, terminators and constants.
//!
//! An `nn` op on 16-bit floats is first done in 32 bits as a whole: it rounds once, at its end, where
//! the simpler ops would round at each step. The target may well have it natively then.

use std::collections::BTreeMap;

use lepid_ir::core::{
    Builder, Code, Diagnostic, Diagnostics, Elem, Module, Op, OpResult, Tensor, Trait, Value,
};
use lepid_ir::dialects::core::Func;
use lepid_ir::dialects::tensor::build;

use crate::core::rewrite::{At, create_like, is, replace};
use crate::core::{Changed, Legality, PassCx, PassDef, PassResult, Values};
use crate::transform::fold::constants;

pub const PASS: PassDef = PassDef {
    name: "expand",
    summary: "Decomposes ops that the target does not have.",
    values: Values::Within(1e-5),
    options: &[],
    run,
};

/// No op of ours is so far from the primitive ones; a decomposition that comes back to itself is.
const MAX_DEPTH: u32 = 64;

fn run(module: &mut Module, cx: &mut PassCx<'_>) -> PassResult {
    let mut changed = Changed::No;
    let mut found = Diagnostics::new();
    // Smallest id first; what a decomposition adds has greater ids and its own depth.
    let mut todo: BTreeMap<Op, u32> = module.walk().into_iter().map(|op| (op, 0)).collect();
    while let Some((op, depth)) = todo.pop_first() {
        if module.op_block(op).is_none() || is_structure(module, op) {
            continue;
        }
        match (cx.env.legality)(module.view(op)) {
            Legality::Native => {}
            Legality::Unsupported(reason) => found.push(unsupported(module, op, &reason)),
            Legality::Expand if depth > MAX_DEPTH => {
                lepid_ir::bug!("`{}` decomposes into itself", module.op_name(op))
            }
            Legality::Expand => {
                let before = module.op_count();
                if expand(module, op)? {
                    changed = Changed::Yes;
                    let new = module.ops_since(before).into_iter();
                    todo.extend(new.map(|op| (op, depth + 1)));
                } else {
                    let reason = "it has no expansion into simpler ops";
                    found.push(unsupported(module, op, reason));
                }
            }
        }
    }
    match found.is_empty() {
        true => Ok(changed),
        false => Err(found),
    }
}

fn is_structure(module: &Module, op: Op) -> bool {
    let info = module.def(op).info();
    info.has(Trait::Terminator) || info.has(Trait::Constant) || is(module, op, &Func)
}

fn expand(module: &mut Module, op: Op) -> Result<bool, Diagnostics> {
    let loc = module.loc(op).clone();
    let def = module.def(op);
    if let Some(empty) = empty_results(module, op) {
        let mut b = Builder::before(module, op);
        let values = constants(&mut b, empty).at(&loc)?;
        replace(module, op, &values).at(&loc)?;
        return Ok(true);
    }
    let wide = in_single(module, op).at(&loc)?;
    let mut b = Builder::before(module, op);
    let values = match wide {
        Some(values) => values,
        None => match def.decompose(&mut b, op).at(&loc)? {
            Some(values) => values,
            None => return Ok(false),
        },
    };
    replace(module, op, &values).at(&loc)?;
    Ok(true)
}

/// The op on operands of 32 bits in place of 16, with its results brought back.
fn in_single(module: &mut Module, op: Op) -> OpResult<Option<Vec<Value>>> {
    let view = module.view(op);
    let is_half = |v: &Value| matches!(elem(module, *v), Some(Elem::F16 | Elem::BF16));
    if !view.name().starts_with("nn.") || !view.operands().iter().any(is_half) {
        return Ok(None);
    }
    let halves: Vec<bool> = view.operands().iter().map(is_half).collect();
    let mut operands = view.operands().to_vec();
    let to: Vec<Option<Elem>> = view.results().iter().map(|&r| elem(module, r)).collect();
    let mut b = Builder::before(module, op);
    for (operand, half) in operands.iter_mut().zip(halves) {
        if half {
            *operand = build::cast(&mut b, *operand, Elem::F32)?;
        }
    }
    let wide = create_like(&mut b, op, &operands, &[])?;
    let mut values = b.module.results(wide).to_vec();
    for (value, to) in values.iter_mut().zip(to) {
        if let Some(to) = to {
            *value = build::cast(&mut b, *value, to)?;
        }
    }
    Ok(Some(values))
}

fn elem(module: &Module, value: Value) -> Option<Elem> {
    module.value_type(value).elem()
}

/// Results without any element need no ops.
fn empty_results(module: &Module, op: Op) -> Option<Vec<Tensor>> {
    let results = module.results(op);
    let empty = results.iter().map(|&r| {
        let ty = module.value_type(r).as_tensor()?;
        let shape = ty.known_dims().filter(|shape| shape.contains(&0))?;
        Some(Tensor::zeros(ty.elem, &shape))
    });
    empty
        .collect::<Option<Vec<Tensor>>>()
        .filter(|e| !e.is_empty())
}

fn unsupported(module: &Module, op: Op, reason: &str) -> Diagnostic {
    let message = format!("`{}` is not supported: {reason}", module.op_name(op));
    Diagnostic::error(Code::UNSUPPORTED_OP, module.loc(op).clone(), message)
}
