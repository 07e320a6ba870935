//! States: what a program keeps from step to step, by the users' names.

use lepid_ir::core::{
    Attr, Code, Diagnostic, Diagnostics, Dim, Loc, Module, Op, Symbol, Type, nearest,
};
use lepid_ir::dialects::core::Func;

use super::{Port, Signature};

/// A state: the input that it is before a step, and the output that it is afterwards.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StatePort {
    pub past: String,
    pub present: String,
    pub ty: Type,
}

impl Signature {
    /// The signature of a function as a program that is run step by step: states are neither among
    /// the inputs nor among the outputs.
    pub fn stepwise(module: &Module, func: Op) -> Signature {
        let mut whole = Signature::of(module, func);
        let pairs = Func::state_pairs(module.view(func));
        whole.states = pairs
            .iter()
            .map(|&(input, output)| StatePort {
                past: whole.inputs[input].name.clone(),
                present: whole.outputs[output].name.clone(),
                ty: whole.inputs[input].ty,
            })
            .collect();
        let but = |ports: Vec<Port>, taken: Vec<usize>| {
            let numbered = ports.into_iter().enumerate();
            let kept = numbered.filter(|(i, _)| !taken.contains(i));
            kept.map(|(_, port)| port).collect()
        };
        let (inputs, outputs) = pairs.into_iter().unzip();
        whole.inputs = but(whole.inputs, inputs);
        whole.outputs = but(whole.outputs, outputs);
        whole
    }

    /// The number of the state of that name, be it the input's or the output's.
    pub fn state(&self, name: &str) -> Result<usize, Diagnostic> {
        let named = |s: &StatePort| s.past == name || s.present == name;
        self.states.iter().position(named).ok_or_else(|| {
            let message = format!("the program has no state `{name}`");
            let error = Diagnostic::error(Code::STATE, Loc::Unknown, message);
            let names = || self.states.iter().map(|s| s.past.as_str());
            let all: Vec<String> = names().map(|n| format!("`{n}`")).collect();
            error.with_help(match (nearest(name, names()), all.is_empty()) {
                (Some(near), _) => format!("did you mean `{near}`?"),
                (None, true) => "compile the model with `--state PAST=PRESENT`".to_string(),
                (None, false) => format!("the states are {}", all.join(", ")),
            })
        })
    }
}

impl StatePort {
    /// Refuses a value of another type.
    pub fn check(&self, found: Type) -> Result<(), Diagnostic> {
        if found == self.ty {
            return Ok(());
        }
        let message = format!(
            "state `{}` must be `{}`, found `{found}`",
            self.past, self.ty
        );
        Err(Diagnostic::error(Code::INPUT, Loc::Unknown, message))
    }
}

/// States that users name become the attribute of the function, after those that it has.
pub fn declare_states(
    module: &mut Module,
    func: Op,
    states: &[(String, String)],
) -> Result<(), Diagnostics> {
    let signature = Signature::of(module, func);
    if let (Some(batch), false) = (&signature.batch, states.is_empty()) {
        let message = "a program for any number of samples cannot have states";
        let error = Diagnostic::error(Code::STATE, Loc::Unknown, message);
        let help = format!("give the number with `--dim {}=1`", batch.name);
        return Err(vec![error.with_help(help)]);
    }
    let mut pairs = Func::state_pairs(module.view(func));
    let mut errors = Vec::new();
    for (past, present) in states {
        match find(&signature, &pairs, past, present) {
            Ok(pair) => pairs.push(pair),
            Err(error) => errors.push(error),
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let numbers = pairs.iter().flat_map(|&(i, o)| [i as i64, o as i64]);
    let numbers: Vec<i64> = numbers.collect();
    module.set_attr(func, "states", numbers.into());
    Ok(())
}

/// The users' names of the states that the function declares, which it then does not any more: it is
/// run as a function of them.
pub fn withdraw_states(module: &mut Module, func: Op) -> Vec<(String, String)> {
    let signature = Signature::stepwise(module, func);
    module.set_attr(func, "states", Attr::List(Vec::new()));
    let states = signature.states.into_iter();
    states.map(|s| (s.past, s.present)).collect()
}

/// Refuses states that have no fixed size.
pub(crate) fn check_states(module: &Module, func: Op) -> Result<(), Diagnostics> {
    let states = Signature::stepwise(module, func).states;
    let open = states.iter().filter(|state| {
        let ty = state.ty.as_tensor();
        ty.is_none_or(|ty| ty.known_dims().is_none())
    });
    let errors = open.map(|state| {
        let (past, present) = (&state.past, &state.present);
        let message = format!(
            "state `{past}={present}` has no fixed size: it is `{}`",
            state.ty
        );
        let names = state.ty.as_tensor().map_or(&[][..], |ty| &ty.dims);
        let name: Option<Symbol> = names.iter().find_map(|dim| match dim {
            Dim::Sym(name) => Some(*name),
            Dim::Known(_) | Dim::Unknown => None,
        });
        let error = Diagnostic::error(Code::STATE, Loc::Unknown, message);
        error.with_help(match name {
            Some(name) => format!("give it one with `--dim {name}=4`"),
            None => format!("give it one with `--input-shape {past}=4x…`"),
        })
    });
    let errors: Diagnostics = errors.collect();
    match errors.is_empty() {
        true => Ok(()),
        false => Err(errors),
    }
}

fn find(
    signature: &Signature,
    known: &[(usize, usize)],
    past: &str,
    present: &str,
) -> Result<(usize, usize), Diagnostic> {
    let error = |reason: String, help: String| {
        let message = format!("`{past}={present}` cannot be a state: {reason}");
        Diagnostic::error(Code::STATE, Loc::Unknown, message).with_help(help)
    };
    let place = |what: &str, ports: &[Port], name: &str| {
        ports.iter().position(|p| p.name == name).ok_or_else(|| {
            let names = || ports.iter().map(|p| p.name.as_str());
            let all: Vec<String> = names().map(|n| format!("`{n}`")).collect();
            let help = match nearest(name, names()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("the {what}s are {}", all.join(", ")),
            };
            error(format!("the model has no {what} `{name}`"), help)
        })
    };
    let input = place("input", &signature.inputs, past)?;
    let output = place("output", &signature.outputs, present)?;
    for (what, name, taken) in [
        ("input", past, known.iter().any(|&(i, _)| i == input)),
        ("output", present, known.iter().any(|&(_, o)| o == output)),
    ] {
        if taken {
            let reason = format!("{what} `{name}` is of another state already");
            return Err(error(reason, format!("name `{name}` in one state only")));
        }
    }
    let (from, to) = (signature.inputs[input].ty, signature.outputs[output].ty);
    if from != to {
        let reason = format!("the input is `{from}`, the output `{to}`");
        let help = "a state keeps its type: let the model write into a cache of fixed size, as \
                    `TensorScatter` does, and give it extents with `--dim` or `--input-shape`";
        return Err(error(reason, help.to_string()));
    }
    Ok((input, output))
}
