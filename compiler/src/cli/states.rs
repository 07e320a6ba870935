//! What commands share about states: what they are at first, and what is said of them.

use std::collections::BTreeSet;

use lepid_ir::core::{Diagnostic, Op, Tensor};
use lepid_ir::dialects::core::Func;
use lepid_passes::transform::states::{Update, states};
use lepid_target_api::{Executable, Package, Signature, TensorView};
use serde_json::json;

use super::Cx;
use super::package::Prepared;

/// Parts the inputs of a function into those of a program, and what states are at first if it is
/// given.
pub(super) fn part(
    program: &Signature,
    (function, all): (&Signature, Vec<Tensor>),
    given: &BTreeSet<String>,
) -> (Vec<Tensor>, Vec<(usize, Tensor)>) {
    let (mut inputs, mut states) = (Vec::new(), Vec::new());
    for (port, tensor) in function.inputs.iter().zip(all) {
        let state = program.states.iter().position(|s| s.past == port.name);
        match state {
            None => inputs.push(tensor),
            Some(state) if given.contains(&port.name) => states.push((state, tensor)),
            Some(_) => {}
        }
    }
    (inputs, states)
}

/// Gives states what they are at first.
pub(super) fn begin(
    executable: &mut dyn Executable,
    states: &[(usize, Tensor)],
) -> Result<(), Diagnostic> {
    for (state, tensor) in states {
        let view = TensorView::raw(tensor.elem(), tensor.shape(), tensor.bytes());
        match view {
            Some(view) => executable.set_state(*state, &view)?,
            None => lepid_ir::bug!("a tensor is no view of itself"),
        }
    }
    Ok(())
}

/// A line for each state: what it is, and whether it changes in place.
pub(super) fn lines(package: &Package, cx: &mut Cx<'_>) -> Vec<String> {
    let module = &package.module;
    let planned = |&func: &Op| !Func::slots(module.view(func)).is_empty();
    let plan = module.funcs().find(planned);
    let plan = plan.map_or(Vec::new(), |func| states(module, func));
    let mut rows = Vec::new();
    let mut lines = Vec::new();
    for (i, state) in package.signature.states.iter().enumerate() {
        let (past, present, ty) = (&state.past, &state.present, state.ty);
        let mut row = json!({"past": past, "present": present, "type": ty.to_string()});
        let mut line = format!("{past} -> {present}: {ty}");
        match plan.get(i).map(|state| &state.update) {
            Some(Update::InPlace(_)) => {
                row["in_place"] = json!(true);
                line += ", in place";
            }
            Some(Update::Apart(reason)) => {
                row["in_place"] = json!(false);
                row["reason"] = json!(reason);
                line += &format!(", in a second memory: {reason}");
            }
            None => {}
        }
        rows.push(row);
        lines.push(line);
    }
    if !rows.is_empty() {
        cx.report("states", rows);
    }
    lines
}

/// The inputs of the function, states among them as they are at first.
pub(super) fn all_inputs(ready: &Prepared<'_>) -> Vec<Tensor> {
    let module = &ready.package.module;
    let Some(func) = module.funcs().next() else {
        return ready.inputs.clone();
    };
    let pairs = Func::state_pairs(module.view(func));
    let mut ports = ready.inputs.iter().cloned();
    let args = Func::args(module.view(func)).iter().enumerate();
    args.filter_map(|(i, &arg)| {
        let Some(state) = pairs.iter().position(|&(input, _)| input == i) else {
            return ports.next();
        };
        let given = ready.states.iter().find(|(s, _)| *s == state);
        let ty = module.value_type(arg).as_tensor()?;
        let zeros = || Some(Tensor::zeros(ty.elem, &ty.known_dims()?));
        given.map(|(_, tensor)| tensor.clone()).or_else(zeros)
    })
    .collect()
}
