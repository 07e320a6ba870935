//! Draws activations and residual additions into the kernel that computes their operand.
//!
//! ```text
//! %1 = kernel.conv(%x, %w, %b) {bias = true, …}
//! %2 = tensor.add(%1, %r)                        =>  %3 = kernel.conv(%x, %w, %b, %r) {act = "relu",
//! %3 = nn.relu(%2)                                          bias = true, residual = true, …}
//! ```
//!
//! The fused op stands where the last of them stood, and only if nothing else reads what is
//! between.

use lepid_ir::core::{Attr, Builder, Module, Op, OpResult, OpView, Value};
use lepid_ir::dialects::{kernel, nn};

use crate::core::rewrite::create_like;
use crate::core::{Changed, PassCx, PassDef, PassResult, Values};

pub const PASS: PassDef = PassDef {
    name: "fuse-epilogues",
    summary: "Draws activations and residual additions into the kernel before them.",
    values: Values::Exact,
    options: &[],
    run,
};

fn run(module: &mut Module, _cx: &mut PassCx<'_>) -> PassResult {
    let mut changed = Changed::No;
    for op in module.walk() {
        // Each step makes a new op in the place of the consumer, which may be followed by more.
        let mut at = op;
        while let Some(next) =
            fuse_next(module, at).map_err(|error| vec![error.at(module.loc(at).clone())])?
        {
            at = next;
            changed = Changed::Yes;
        }
    }
    Ok(changed)
}

/// What the only reader of a kernel's result can become part of its epilogue as.
enum Step {
    Residual(Value),
    Act(&'static str, Option<(f64, f64)>),
}

fn fuse_next(module: &mut Module, op: Op) -> OpResult<Option<Op>> {
    let view = module.view(op);
    if module.op_block(op).is_none() || !matches!(view.name(), "kernel.conv" | "kernel.linear") {
        return Ok(None);
    }
    let result = view.result(0);
    let &[place] = module.uses(result) else {
        return Ok(None);
    };
    let user = module.view(place.op);
    if module.op_block(place.op) != module.op_block(op) || kernel::Conv::act(view) != "none" {
        return Ok(None);
    }
    let Some(step) = step(view, user, place.operand) else {
        return Ok(None);
    };
    let mut operands = view.operands().to_vec();
    let mut changes: Vec<(&str, Attr)> = Vec::new();
    match step {
        Step::Residual(value) => {
            operands.push(value);
            changes.push(("residual", true.into()));
        }
        Step::Act(act, bounds) => {
            changes.push(("act", act.into()));
            if let Some((low, high)) = bounds {
                changes.extend([("low", low.into()), ("high", high.into())]);
            }
        }
    }
    let user = place.op;
    let loc = module.loc(op).join(module.loc(user));
    let mut b = Builder::before(module, user);
    b.at(loc);
    let fused = create_like(&mut b, op, &operands, &changes)?;
    let results = module.results(fused).to_vec();
    module.replace_op(user, &results);
    module.erase(op);
    Ok(Some(fused))
}

/// Whether an op can become part of the epilogue of a layer that it reads from.
pub fn is_epilogue(op: OpView<'_>) -> bool {
    op.name() == "tensor.add" || activation(op).is_some()
}

fn step(kernel: OpView<'_>, user: OpView<'_>, operand: usize) -> Option<Step> {
    if user.name() == "tensor.add" {
        let other = user.operand(1 - operand);
        let fits = !kernel::Conv::residual(kernel)
            && other != kernel.result(0)
            && user.module.value_type(other) == kernel.result_type(0);
        return fits.then_some(Step::Residual(other));
    }
    let (act, bounds) = activation(user)?;
    Some(Step::Act(act, bounds))
}

/// The activation of an epilogue that an op is, with the bounds of a clip.
fn activation(op: OpView<'_>) -> Option<(&'static str, Option<(f64, f64)>)> {
    let act = match op.name() {
        "nn.clip" => return Some(("clip", Some((nn::Clip::min(op), nn::Clip::max(op))))),
        "nn.gelu" if nn::Gelu::approximate(op) == "tanh" => "gelu_tanh",
        "nn.gelu" => "gelu",
        "nn.hard_swish" => "hard_swish",
        "nn.relu" => "relu",
        "nn.sigmoid" => "sigmoid",
        "nn.silu" => "silu",
        "tensor.tanh" => "tanh",
        _ => return None,
    };
    Some((act, None))
}
