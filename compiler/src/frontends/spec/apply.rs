//! From a spec to the plan of a cascade.

use lepid_ir::core::{Attr, Diagnostic, Diagnostics, Module, Op, Value, nearest};
use lepid_ir::dialects::adapt::{Fallback, policies};
use lepid_ir::dialects::core::Func;
use lepid_passes::stages::{self, Decision, Number, Plan};
use toml::Spanned;

use super::{Exit, Number as Written, Spec};

impl Spec {
    /// Makes the cascade of a function that gives the outputs of all exits, one exit after the other,
    /// and is as simple as folding makes it.
    pub fn apply(&self, module: &mut Module, func: Op) -> Result<(), Diagnostics> {
        let plan = self.plan(module, func)?;
        stages::cut(module, func, &plan).map_err(|error| vec![error])
    }

    fn plan(&self, module: &Module, func: Op) -> Result<Plan, Diagnostics> {
        let view = module.view(func);
        let mut returned = Func::returned(view).iter().copied();
        let taken = Func::input_names(view);
        let mut inputs: Vec<String> = Vec::new();
        let (fallback, budget) = (self.fallback()?, self.budget()?);
        let mut exits = Vec::new();
        let mut errors = Vec::new();
        let count = self.tree.exit.len();
        for (number, exit) in self.tree.exit.iter().enumerate() {
            let last = number + 1 == count;
            let outputs = exit.get_ref().outputs.get_ref().len();
            let emits: Vec<Value> = returned.by_ref().take(outputs).collect();
            if emits.is_empty() {
                errors.push(self.error(
                    exit.get_ref().outputs.span(),
                    "an exit emits one output at least",
                ));
            }
            let decision = self.decision(exit, number, last, fallback, &taken, &mut inputs);
            match decision {
                Ok(decision) => exits.push(stages::Exit {
                    emits,
                    decision,
                    loc: self.loc(exit.get_ref().outputs.span()),
                }),
                Err(error) => errors.push(error),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        self.check_types(module, &exits)?;
        Ok(Plan {
            exits,
            fallback,
            budget,
            outputs: self.output_names()?,
            exit_output: self
                .tree
                .cascade
                .exit_output
                .clone()
                .unwrap_or("exit".to_string()),
            inputs,
        })
    }

    fn fallback(&self) -> Result<Fallback, Diagnostics> {
        let Some(written) = &self.tree.cascade.fallback else {
            return Ok(Fallback::Last);
        };
        Fallback::parse(written.get_ref())
            .map_err(|error| vec![self.error(written.span(), error.message)])
    }

    fn budget(&self) -> Result<Option<usize>, Diagnostics> {
        let Some(written) = &self.tree.cascade.budget else {
            return Ok(None);
        };
        let count = self.tree.exit.len();
        let budget = usize::try_from(*written.get_ref()).ok();
        match budget.filter(|&budget| budget < count) {
            Some(budget) => Ok(Some(budget)),
            None => {
                let message = format!("the exits are numbered from 0 to {}", count - 1);
                Err(vec![self.error(written.span(), message)])
            }
        }
    }

    /// The users' names of what is emitted: those of the last exit, if nothing else is said.
    pub fn output_names(&self) -> Result<Vec<String>, Diagnostics> {
        let Some(last) = self.tree.exit.last() else {
            return Ok(Vec::new());
        };
        let of_last = last.get_ref().outputs.get_ref();
        match &self.tree.cascade.outputs {
            None => Ok(of_last.iter().map(|o| o.get_ref().clone()).collect()),
            Some(names) if names.get_ref().len() == of_last.len() => Ok(names.get_ref().clone()),
            Some(names) => {
                let message = format!(
                    "{} names are given, but each exit has {} outputs",
                    names.get_ref().len(),
                    of_last.len()
                );
                Err(vec![self.error(names.span(), message)])
            }
        }
    }

    fn decision(
        &self,
        exit: &Spanned<Exit>,
        number: usize,
        last: bool,
        fallback: Fallback,
        taken: &[String],
        inputs: &mut Vec<String>,
    ) -> Result<Option<Decision>, Diagnostic> {
        let written = exit.get_ref();
        let Some(name) = &written.policy else {
            if !last || fallback == Fallback::MostConfident {
                let message = match last {
                    true => {
                        "the fallback \"most-confident\" asks for the score of the last exit, too"
                    }
                    false => "an exit before the last needs a policy",
                };
                let error = self.error(exit.span(), message);
                return Err(error.with_help("write `policy = \"top1\"` and `threshold = 0.9`, or another of `lepid list policies`"));
            }
            return Ok(None);
        };
        let policy = policies::policy(name.get_ref()).map_err(|error| {
            let diagnostic = self.error(name.span(), error.message);
            match error.help {
                Some(help) => diagnostic.with_help(help),
                None => diagnostic,
            }
        })?;
        let mut numbers = Vec::new();
        for wanted in policy.numbers {
            numbers.push(match written.number(wanted).map(|n| (n.get_ref(), n.span())) {
                Some((Written::Value(x), _)) => Number::Constant(*x),
                Some((Written::Input(name), place)) => {
                    if taken.contains(name) {
                        let message = format!("the model has an input `{name}` already");
                        return Err(self.error(place, message));
                    }
                    let known = inputs.iter().position(|input| input == name);
                    Number::Input(known.unwrap_or_else(|| {
                        inputs.push(name.clone());
                        inputs.len() - 1
                    }))
                }
                // Where nobody leaves, the numbers only go into the score.
                None if last => Number::Constant(0.0),
                None => {
                    let message = format!("the policy `{}` takes the number `{wanted}`", policy.name);
                    let error = self.error(name.span(), message);
                    return Err(error.with_help(format!(
                        "write `{wanted} = 0.9`, or `{wanted} = \"name\"` for an input of the program"
                    )));
                }
            });
        }
        for name in schema_numbers() {
            if let Some(extra) = written
                .number(name)
                .filter(|_| !policy.numbers.contains(&name))
            {
                let message = format!("the policy `{}` takes no `{name}`", policy.name);
                let error = self.error(extra.span(), message);
                return Err(error.with_help(format!("it takes {}", policy.numbers.join(", "))));
            }
        }
        let mut attrs: Vec<(&'static str, Attr)> = Vec::new();
        attrs.extend(
            written
                .first
                .as_ref()
                .map(|n| ("first", (*n.get_ref()).into())),
        );
        attrs.extend(
            written
                .last
                .as_ref()
                .map(|n| ("last", (*n.get_ref()).into())),
        );
        attrs.extend(
            written
                .horizon
                .as_ref()
                .map(|x| ("horizon", (*x.get_ref()).into())),
        );
        let temperature = written.temperature.as_ref().map(|x| *x.get_ref());
        attrs.extend(temperature.map(|x| ("temperature", x.into())));
        let weight = written.weight.as_ref().map(|x| *x.get_ref());
        let weight = weight.or((policy.name == "ensemble").then(|| 1.0 / (number + 1) as f64));
        attrs.extend(weight.map(|x| ("weight", x.into())));
        Ok(Some(Decision {
            policy,
            attrs,
            numbers,
        }))
    }

    /// All exits emit values of the same types.
    fn check_types(&self, module: &Module, exits: &[stages::Exit]) -> Result<(), Diagnostics> {
        let Some(last) = exits.last() else {
            return Ok(());
        };
        for exit in exits {
            if exit.emits.len() != last.emits.len() {
                let message = format!(
                    "this exit has {} outputs, but the last one has {}",
                    exit.emits.len(),
                    last.emits.len()
                );
                return Err(vec![Diagnostic::error(
                    lepid_ir::core::Code::SPEC,
                    exit.loc.clone(),
                    message,
                )]);
            }
            for (&a, &b) in exit.emits.iter().zip(&last.emits) {
                let (a, b) = (module.value_type(a), module.value_type(b));
                if a != b {
                    let message = format!("this exit emits `{a}`, but the last one `{b}`");
                    return Err(vec![Diagnostic::error(
                        lepid_ir::core::Code::SPEC,
                        exit.loc.clone(),
                        message,
                    )]);
                }
            }
        }
        Ok(())
    }
}

/// The names of all numbers that a policy takes.
fn schema_numbers() -> Vec<&'static str> {
    let mut all: Vec<&str> = policies::ALL
        .iter()
        .flat_map(|p| p.numbers)
        .copied()
        .collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// An output that the model does not have.
pub(super) fn no_output(name: &str, loc: lepid_ir::core::Loc, names: &[String]) -> Diagnostic {
    let message = format!("the model has no output `{name}`");
    let error = Diagnostic::error(lepid_ir::core::Code::SPEC, loc, message);
    match nearest(name, names.iter().map(String::as_str)) {
        Some(near) => error.with_help(format!("did you mean `{near}`?")),
        None => error.with_help(format!("its outputs are {}", names.join(", "))),
    }
}
