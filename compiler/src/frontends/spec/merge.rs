//! One function of the outputs of several models.

use std::collections::HashMap;

use lepid_ir::core::{Attr, Builder, Code, Diagnostic, Diagnostics, Loc, Module, Op, Value};
use lepid_ir::dialects::core::{Func, Return};
use lepid_passes::core::rewrite::copy_from;

use super::Spec;
use super::apply::no_output;

/// Puts the main functions of all models into the first one, on inputs of the same names, and lets
/// it return the outputs of all exits, one exit after the other.
pub fn merge(
    spec: &Spec,
    models: Vec<(Module, Op)>,
    of_exits: &[usize],
) -> Result<(Module, Op), Diagnostics> {
    let mut models = models.into_iter();
    let Some((mut module, func)) = models.next() else {
        let error = spec.error(
            0..0,
            "the spec has no `[[exit]]`, and its exits are asked for",
        );
        return Err(vec![error.with_help(
            "a spec that is `[anytime]` can be compiled, run and timed like a model",
        )]);
    };
    let view = module.view(func);
    let names = Func::output_names(view);
    // By model, the outputs by name.
    let mut outputs: Vec<Vec<(String, Value)>> = vec![
        names
            .into_iter()
            .zip(Func::returned(view).to_vec())
            .collect(),
    ];
    let block = Func::block(module.view(func));
    let Some(end) = module.terminator(block) else {
        lepid_ir::bug!("a function without a return passed the verifier");
    };
    for (number, (other, other_func)) in models.enumerate() {
        let view = other.view(other_func);
        let mut map = inputs(&module, func, &other, other_func)
            .map_err(|message| vec![spec.of_model(number + 1, of_exits, message)])?;
        let mut b = Builder::before(&mut module, end);
        let other_end = other.terminator(Func::block(view));
        for op in other
            .ops_in(Func::block(view))
            .filter(|&op| Some(op) != other_end)
        {
            let loc = other.loc(op).clone();
            copy_from(&mut b, &other, op, &mut map).map_err(|error| vec![error.at(loc)])?;
        }
        let returned = Func::returned(view).iter().map(|v| map[v]);
        outputs.push(Func::output_names(view).into_iter().zip(returned).collect());
    }
    let mut values = Vec::new();
    let mut result_names = Vec::new();
    for (exit, &model) in spec.outputs().into_iter().zip(of_exits) {
        for (name, loc) in exit {
            let found = outputs[model].iter().find(|(n, _)| *n == name);
            let Some(&(_, value)) = found else {
                let names: Vec<String> = outputs[model].iter().map(|(n, _)| n.clone()).collect();
                return Err(vec![no_output(&name, loc, &names)]);
            };
            values.push(value);
            result_names.push(Attr::from(name.as_str()));
        }
    }
    module.set_attr(func, "outputs", Attr::List(Vec::new()));
    let mut b = Builder::before(&mut module, end);
    Return::build(&mut b, &values, &[]).map_err(|error| vec![error.at(Loc::Unknown)])?;
    module.erase(end);
    module.set_attr(func, "outputs", Attr::List(result_names));
    Ok((module, func))
}

/// The inputs of the first model that those of another one are: by name, or the only one.
fn inputs(
    module: &Module,
    func: Op,
    other: &Module,
    other_func: Op,
) -> Result<HashMap<Value, Value>, String> {
    let (view, other_view) = (module.view(func), other.view(other_func));
    let (args, others) = (Func::args(view), Func::args(other_view));
    let names = Func::input_names(view);
    let mut map = HashMap::new();
    for (name, &arg) in Func::input_names(other_view).iter().zip(others) {
        let only = args.len() == 1 && others.len() == 1;
        let found = names.iter().position(|n| n == name).or(only.then_some(0));
        let Some(found) = found else {
            return Err(format!(
                "input `{name}` of this model is none of the first one"
            ));
        };
        let (ty, wanted) = (other.value_type(arg), module.value_type(args[found]));
        if ty != wanted {
            return Err(format!(
                "input `{name}` is `{ty}` here, but `{wanted}` in the first model"
            ));
        }
        map.insert(arg, args[found]);
    }
    Ok(map)
}

impl Spec {
    /// What is said of a model, at the first exit that is one of its outputs.
    fn of_model(&self, model: usize, of_exits: &[usize], message: String) -> Diagnostic {
        let exit = of_exits.iter().position(|&m| m == model);
        let exit = exit.and_then(|exit| self.tree.exit.get(exit));
        let loc = exit.map_or(Loc::Unknown, |exit| self.loc(exit.span()));
        Diagnostic::error(Code::SPEC, loc, message)
    }
}
