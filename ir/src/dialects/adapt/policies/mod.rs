//! The policies: who leaves, and how sure that is.
//!
//! A policy sees the outputs of a head for one sample, a few numbers that a server may change
//! between runs (thresholds above all), and what it kept from the exits before. It has two
//! meanings that must agree: [`Policy::judge`] in the plainest words, for the interpreter and for
//! simulators, and [`Policy::lower`] in ops for every target, without divisions where the comparison
//! allows that. A NaN or an infinite output
//! never leaves, unless time is up.
//!
//! A new policy is a file with a [`Policy`] and a line in [`ALL`].

mod confidence;
mod deadline;
mod decaying;
mod ensemble;
mod entropy;
mod patience;
mod pixels;

use crate::core::{Builder, Dim, Elem, OpError, OpResult, Value};
use crate::dialects::tensor::{self as t, build};

/// All policies, in alphabetical order.
pub const ALL: &[&Policy] = &[
    &deadline::DEADLINE,
    &decaying::DECAYING,
    &ensemble::ENSEMBLE,
    &entropy::ENTROPY,
    &confidence::GBVSB,
    &confidence::MARGIN,
    &patience::PATIENCE,
    &pixels::PIXELS,
    &confidence::TOP1,
];

/// Judges one sample by its numbers, and brings what it kept up to date.
pub type Judge = fn(&Settings, &Output<'_>, &[f64], &mut [Vec<f64>]) -> Verdict;

/// How it is decided whether a sample leaves.
pub struct Policy {
    pub name: &'static str,
    /// One sentence: when a sample leaves.
    pub summary: &'static str,
    /// The numbers that it takes, in order.
    pub numbers: &'static [&'static str],
    /// What it keeps for the next exit, in order: none for most policies.
    pub kept: &'static [Kept],
    /// The number of axes behind that of the classes: 0, or more for outputs at several places.
    pub places: bool,
    /// Whether the sample leaves, and its score: the greater, the surer.
    pub judge: Judge,
    /// The same for all samples, in ops.
    pub lower: fn(&mut Builder<'_>, &Settings, &Lowered<'_>) -> OpResult<LoweredVerdict>,
}

impl std::fmt::Debug for Policy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// What a policy keeps of one sample.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Kept {
    /// An `i64`, -1 at the first exit.
    Class,
    /// An `i64`, 0 at the first exit.
    Count,
    /// The sum of the outputs so far.
    Outputs,
}

/// What is fixed when a program is compiled.
#[derive(Copy, Clone, Debug)]
pub struct Settings {
    /// M of gBvSB: how many of the greatest probabilities count for the sample.
    pub first: usize,
    /// N of gBvSB: those behind the first M, up to the Nth, count against it.
    pub last: usize,
    /// What the sum of an ensemble's outputs is multiplied by.
    pub weight: f64,
    /// The number of steps over which a threshold decays.
    pub horizon: f64,
}

/// What a head gives for one sample.
pub struct Output<'a> {
    /// `classes` values at each place, place after place for one class.
    pub values: &'a [f64],
    pub classes: usize,
}

/// A decision on one sample.
#[derive(Copy, Clone, PartialEq, Debug)]
pub struct Verdict {
    pub leaves: bool,
    pub score: f64,
}

/// What a policy is lowered from.
pub struct Lowered<'a> {
    /// `[N, classes, …]` of `f32`.
    pub outputs: Value,
    /// Scalars of `f32`.
    pub numbers: &'a [Value],
    /// What was kept, or nothing at the first exit.
    pub kept: &'a [Value],
}

/// What a policy becomes.
pub struct LoweredVerdict {
    /// `[N]` of `i1`.
    pub leaves: Value,
    /// `[N]` of `f32`.
    pub score: Value,
    pub kept: Vec<Value>,
}

/// The policy of that name.
pub fn policy(name: &str) -> OpResult<&'static Policy> {
    let found = ALL.iter().find(|p| p.name == name);
    found.copied().ok_or_else(|| {
        let names = ALL.iter().map(|p| p.name);
        let near = crate::core::nearest(name, names);
        let error = OpError::new(format!("there is no policy `{name}`"));
        match near {
            Some(near) => error.help(format!("did you mean `{near}`?")),
            None => error.help("`lepid list policies` names all"),
        }
    })
}

/// Whether a policy can work with its settings on so many classes.
pub(super) fn check(policy: &Policy, settings: &Settings, classes: Dim) -> OpResult<()> {
    let most = classes.known().unwrap_or(u64::MAX);
    let Settings { first, last, .. } = *settings;
    if policy.name == "gbvsb" && !(1 <= first && first <= last && last as u64 <= most) {
        return Err(OpError::new(format!(
            "`first` is {first} and `last` is {last}: 1 ≤ first ≤ last ≤ {classes} classes must hold"
        )));
    }
    if most == 0 || (most == 1 && matches!(policy.name, "margin" | "decaying")) {
        return Err(OpError::new(format!(
            "the policy `{}` compares classes, and there is {classes}",
            policy.name
        )));
    }
    match settings.horizon > 0.0 {
        true => Ok(()),
        false => Err(OpError::new("`horizon` must be above 0")),
    }
}

impl Verdict {
    /// Leaves if the score is a number and `leaves`.
    fn new(leaves: bool, score: f64) -> Verdict {
        Verdict {
            leaves: leaves && score.is_finite(),
            score,
        }
    }
}

impl Output<'_> {
    /// The probabilities at a place, the greatest first: NaN if an output is NaN or infinite upwards.
    fn probabilities(&self, place: usize) -> Vec<f64> {
        let places = self.values.len() / self.classes;
        let values = (0..self.classes).map(|k| self.values[k * places + place]);
        let greatest = values
            .clone()
            .fold(f64::NEG_INFINITY, |a, x| match x > a || x.is_nan() {
                true => x,
                false => a,
            });
        let powers: Vec<f64> = values.map(|z| libm::exp(z - greatest)).collect();
        let sum: f64 = powers.iter().sum();
        let mut p: Vec<f64> = powers.into_iter().map(|e| e / sum).collect();
        p.sort_by(|a, b| b.total_cmp(a));
        p
    }
}

/// The exponentials of a head's outputs, as distances from the greatest, and their sum over classes.
struct Powers {
    /// `z - max z`.
    distances: Value,
    powers: Value,
    /// Without the axis of classes.
    sum: Value,
}

impl Powers {
    fn of(b: &mut Builder<'_>, outputs: Value) -> OpResult<Powers> {
        let greatest = build::reduce_keep(b, outputs, "max", &[1])?;
        let greatest = build::broadcast_like(b, greatest, outputs)?;
        let distances = build::binary(b, &t::Sub, outputs, greatest)?;
        let powers = build::unary(b, &t::Exp, distances)?;
        let sum = build::reduce(b, powers, "sum", &[1])?;
        Ok(Powers {
            distances,
            powers,
            sum,
        })
    }
}

/// `x * scalar`.
fn scaled(b: &mut Builder<'_>, x: Value, scalar: Value) -> OpResult<Value> {
    let scalar = build::broadcast_like(b, scalar, x)?;
    build::binary(b, &t::Mul, x, scalar)
}

/// Whether `x` compares so to a scalar.
fn compared(b: &mut Builder<'_>, direction: &str, x: Value, scalar: Value) -> OpResult<Value> {
    let scalar = build::broadcast_like(b, scalar, x)?;
    build::compare(b, direction, x, scalar)
}

/// The truth value as 0 or 1 of `f32`.
fn as_number(b: &mut Builder<'_>, x: Value) -> OpResult<Value> {
    build::cast(b, x, Elem::F32)
}
