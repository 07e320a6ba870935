//! What the values of a function are in one run.

use std::collections::BTreeMap;

use lepid_ir::core::{Diagnostic, Module, Op, Tensor, Value};
use lepid_ir::dialects::core::Func;
use lepid_ir::interp;

use super::cut::Part;

/// Each op of a function's own block with what it gave in a run, in order.
pub type Seen = Vec<(Op, Vec<Tensor>)>;

/// A run of a function of which every value was seen.
#[derive(Copy, Clone)]
pub struct Observed<'a> {
    pub module: &'a Module,
    pub func: Op,
    pub inputs: &'a [Tensor],
    pub seen: &'a Seen,
}

/// The outputs of a function in the interpreter, and what every op gave there.
pub fn interpret(
    module: &Module,
    func: Op,
    inputs: &[Tensor],
) -> Result<(Vec<Tensor>, Seen), Diagnostic> {
    let own = Func::block(module.view(func));
    let mut seen = Seen::new();
    let outputs = interp::run_observed(module, func, inputs, &mut |op, results| {
        if module.op_block(op) == Some(own) {
            seen.push((op, results.to_vec()));
        }
    })?;
    Ok((outputs, seen))
}

/// The tensors of all values of a function's own block.
pub fn by_value(run: &Observed<'_>) -> BTreeMap<Value, Tensor> {
    let args = Func::args(run.module.view(run.func)).iter().copied();
    let mut values: BTreeMap<Value, Tensor> = args.zip(run.inputs.iter().cloned()).collect();
    for (op, results) in run.seen {
        let named = run.module.results(*op).iter().copied();
        values.extend(named.zip(results.iter().cloned()));
    }
    values
}

/// The operands of an op by itself.
pub fn inputs_of(part: &Part, values: &BTreeMap<Value, Tensor>) -> Vec<Tensor> {
    let tensors = part.args.iter().map(|v| match values.get(v) {
        Some(tensor) => tensor.clone(),
        None => lepid_ir::bug!("{v} was not computed before it is read"),
    });
    tensors.collect()
}
