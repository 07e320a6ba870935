//! Adaptation specs: TOML files that make a cascade of a model with several exits, or of several
//! models, or that let the LSTMs of a model get better while there is time.
//!
//! [`schema`] is what can stand in a spec, [`Spec::parse`] reads one, and [`Spec::apply`] turns the
//! function that gives all exits' outputs into the cascade ([`lepid_passes::stages`]). All
//! diagnostics point into the spec.

mod apply;
mod merge;
pub mod schema;

use std::ops::Range;

use lepid_ir::core::{Code, Diagnostic, Diagnostics, Loc, Span, Symbol};
use lepid_passes::anytime::Plan;
use serde::Deserialize;
use toml::Spanned;

pub use merge::merge;

/// A spec as it is written, with the places of all values.
#[derive(Clone, Debug)]
pub struct Spec {
    file: Symbol,
    tree: Tree,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Tree {
    model: Option<Spanned<String>>,
    #[serde(default)]
    cascade: Cascade,
    anytime: Option<Spanned<Anytime>>,
    #[serde(default)]
    exit: Vec<Spanned<Exit>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Anytime {
    terms: Spanned<i64>,
    keep: Option<Spanned<i64>>,
    group: Option<Spanned<i64>>,
    terms_input: Option<String>,
    deadline_input: Option<String>,
    terms_output: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Cascade {
    budget: Option<Spanned<i64>>,
    fallback: Option<Spanned<String>>,
    outputs: Option<Spanned<Vec<String>>>,
    exit_output: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Exit {
    model: Option<Spanned<String>>,
    outputs: Spanned<Vec<Spanned<String>>>,
    point: Option<Spanned<String>>,
    policy: Option<Spanned<String>>,
    threshold: Option<Spanned<Number>>,
    pixel: Option<Spanned<Number>>,
    patience: Option<Spanned<Number>>,
    step: Option<Spanned<Number>>,
    elapsed: Option<Spanned<Number>>,
    next: Option<Spanned<Number>>,
    deadline: Option<Spanned<Number>>,
    first: Option<Spanned<i64>>,
    last: Option<Spanned<i64>>,
    weight: Option<Spanned<f64>>,
    horizon: Option<Spanned<f64>>,
    temperature: Option<Spanned<f64>>,
}

/// Terms, and columns of one, that a spec may ask for.
const MOST_TERMS: i64 = 1 << 20;

/// A number, or the name of the input that it is.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Number {
    Value(f64),
    Input(String),
}

impl Exit {
    /// A number of a policy by its name.
    fn number(&self, name: &str) -> Option<&Spanned<Number>> {
        let found = match name {
            "threshold" => &self.threshold,
            "pixel" => &self.pixel,
            "patience" => &self.patience,
            "step" => &self.step,
            "elapsed" => &self.elapsed,
            "next" => &self.next,
            "deadline" => &self.deadline,
            _ => return None,
        };
        found.as_ref()
    }
}

impl Spec {
    /// Reads a spec; `file` is how it is named in messages.
    pub fn parse(text: &str, file: &str) -> Result<Spec, Diagnostics> {
        let file = Symbol::new(file);
        let tree = toml::from_str(text).map_err(|error| {
            let place = error.span().unwrap_or(0..0);
            let spec = Spec::error_at(file, place, error.message().trim());
            vec![spec.with_help("`lepid explain-spec` shows what can stand in a spec")]
        })?;
        let spec = Spec { file, tree };
        match (&spec.tree.anytime, spec.tree.exit.is_empty()) {
            (None, false) | (Some(_), true) => Ok(spec),
            (None, true) => Err(vec![
                Spec::error_at(
                    file,
                    0..0,
                    "the spec has neither `[[exit]]` nor `[anytime]`",
                )
                .with_help("`lepid explain-spec` shows one that has two exits"),
            ]),
            (Some(anytime), false) => Err(vec![
                Spec::error_at(
                    file,
                    anytime.span(),
                    "a spec has exits or is `[anytime]`, not both",
                )
                .with_help("leave one of them out"),
            ]),
        }
    }

    /// The models that the exits are outputs of, relative to the spec, each once; and for each exit
    /// the number of its model.
    pub fn models(&self) -> Result<(Vec<String>, Vec<usize>), Diagnostics> {
        let mut models: Vec<String> = Vec::new();
        let mut of_exits = Vec::new();
        for exit in &self.tree.exit {
            let model = exit.get_ref().model.as_ref().or(self.tree.model.as_ref());
            let Some(model) = model else {
                let message = "it is not said which model this exit is an output of";
                let error = self.error(exit.span(), message);
                return Err(vec![error.with_help(
                    "write `model = \"FILE.onnx\"` at the top, or in the exit",
                )]);
            };
            let number = models.iter().position(|m| m == model.get_ref());
            of_exits.push(number.unwrap_or_else(|| {
                models.push(model.get_ref().clone());
                models.len() - 1
            }));
        }
        Ok((models, of_exits))
    }

    /// How the LSTMs of a model are refined, and which model it is; `None` for a spec of exits.
    pub fn anytime(&self) -> Result<Option<(String, Plan)>, Diagnostics> {
        let Some(written) = &self.tree.anytime else {
            return Ok(None);
        };
        let Some(model) = &self.tree.model else {
            let error = self.error(written.span(), "it is not said which model is refined");
            return Err(vec![
                error.with_help("write `model = \"FILE.onnx\"` at the top"),
            ]);
        };
        let anytime = written.get_ref();
        let count = |written: &Spanned<i64>| match *written.get_ref() {
            n @ 1..=MOST_TERMS => Ok(n as usize),
            _ => Err(vec![self.error(
                written.span(),
                format!("it must be from 1 to {MOST_TERMS}"),
            )]),
        };
        let or = |written: &Option<Spanned<i64>>, usual: usize| {
            written.as_ref().map_or(Ok(usual), count)
        };
        let name = |written: &Option<String>, usual: &str| written.clone().unwrap_or(usual.into());
        let plan = Plan {
            terms: count(&anytime.terms)?,
            keep: or(&anytime.keep, usize::MAX)?,
            group: or(&anytime.group, 4)?,
            inputs: [
                name(&anytime.terms_input, "terms"),
                name(&anytime.deadline_input, "deadline"),
            ],
            output: name(&anytime.terms_output, "terms-done"),
        };
        Ok(Some((model.get_ref().clone(), plan)))
    }

    /// The outputs of each exit, and where they are named.
    pub fn outputs(&self) -> Vec<Vec<(String, Loc)>> {
        let exits = self.tree.exit.iter();
        exits
            .map(|exit| {
                let outputs = exit.get_ref().outputs.get_ref().iter();
                let outputs = outputs.map(|o| (o.get_ref().clone(), self.loc(o.span())));
                outputs.collect()
            })
            .collect()
    }

    /// The number of the point that each exit is at: exits of one point stand one after the other.
    pub fn points(&self) -> Result<Vec<usize>, Diagnostics> {
        let mut names: Vec<Option<&str>> = Vec::new();
        let mut points = Vec::new();
        for exit in &self.tree.exit {
            let written = exit.get_ref().point.as_ref();
            let name = written.map(|point| point.get_ref().as_str());
            match names
                .iter()
                .position(|known| known.is_some() && *known == name)
            {
                Some(at) if at + 1 == names.len() => {}
                Some(_) => {
                    let place = written.map_or(exit.span(), Spanned::span);
                    let message = "another point stands between this exit and those of its point";
                    return Err(vec![
                        self.error(place, message)
                            .with_help("let exits of one point stand one after the other"),
                    ]);
                }
                None => names.push(name),
            }
            points.push(names.len() - 1);
        }
        Ok(points)
    }

    fn loc(&self, place: Range<usize>) -> Loc {
        Spec::loc_at(self.file, place)
    }

    fn error(&self, place: Range<usize>, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(Code::SPEC, self.loc(place), message)
    }

    fn error_at(file: Symbol, place: Range<usize>, message: &str) -> Diagnostic {
        Diagnostic::error(Code::SPEC, Spec::loc_at(file, place), message)
    }

    fn loc_at(file: Symbol, place: Range<usize>) -> Loc {
        Loc::Span(Span {
            file,
            start: u32::try_from(place.start).unwrap_or(u32::MAX),
            end: u32::try_from(place.end).unwrap_or(u32::MAX),
        })
    }
}
