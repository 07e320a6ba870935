//! Cascades without regions: what a stage hands on goes through a gate, and a join ends them.

use crate::core::{
    Builder, Elem, EvalCx, Num, Op, OpDef, OpError, OpInfo, OpResult, OpView, Tensor, Type, Value,
};
use crate::dialects::core::constant;
use crate::dialects::tensor::{self as t, build};
use crate::op;

use super::cascade::Fallback;
use super::decide::same_samples;

op! {
    /// Behind stage `stage` of a cascade: samples with `leaves` that have not left before leave with
    /// what the stage emitted. `values` are first, if the fallback is "most-confident", the score and
    /// the best score so far; then `emits` values that samples left with so far; then as many that
    /// the stage emitted; then what it hands on.
    ///
    /// The results are `exit`, then the best score if there is one, then what samples left with, then
    /// what is handed on. `exit` is the number of the exit for who has left, -1 at first for the
    /// others, and -2 - n once exit n was the most confident one. What samples that have left hand
    /// on is without meaning: a target may leave these rows out.
    "adapt.gate" => Gate {
        operands: [leaves: BOOL_TENSOR, exit: INT_TENSOR; values: TENSOR],
        attributes: [stage: Int, emits: Int, fallback: Str = "last"],
        results: [left; rest],
        traits: [Pure],
    }
}

op! {
    /// Behind the last stage of a cascade: all that have not left get what it emitted, or what their
    /// most confident exit did. `values` are as those of `adapt.gate`, without what is handed on.
    "adapt.join" => Join {
        operands: [exit: INT_TENSOR; values: TENSOR],
        attributes: [stage: Int, emits: Int, fallback: Str = "last"],
        results: [left; rest],
        traits: [Pure],
    }
}

/// The operands of a gate or a join, by what they are.
#[derive(Clone, Debug)]
pub struct GateParts<T> {
    pub stage: usize,
    pub fallback: Fallback,
    /// Not for a join.
    pub leaves: Option<T>,
    pub exit: T,
    /// The score at this exit and the best before.
    pub scores: Option<[T; 2]>,
    pub taken: Vec<T>,
    pub emits: Vec<T>,
    pub hands_on: Vec<T>,
}

impl<T: Clone> GateParts<T> {
    /// Sorts the operands of the op, or what stands for them.
    pub fn of(op: OpView<'_>, operands: &[T]) -> OpResult<GateParts<T>> {
        let is_gate = op.name() == Gate::INFO.name;
        let (stage, emits, fallback) = match is_gate {
            true => (Gate::stage(op), Gate::emits(op), Gate::fallback(op)),
            false => (Join::stage(op), Join::emits(op), Join::fallback(op)),
        };
        let fallback = Fallback::parse(fallback)?;
        let (Ok(stage), Ok(emits)) = (usize::try_from(stage), usize::try_from(emits)) else {
            return Err(OpError::new("`stage` and `emits` must not be negative"));
        };
        let mut rest = operands.iter().cloned();
        let leaves = if is_gate { rest.next() } else { None };
        let exit = rest.next();
        let scores = match fallback {
            Fallback::Last => None,
            Fallback::MostConfident => rest.next().zip(rest.next()).map(|(a, b)| [a, b]),
        };
        let mut rest: Vec<T> = rest.collect();
        let whole = exit.is_some() && scores.is_some() == (fallback == Fallback::MostConfident);
        let (Some(exit), true, true) = (exit, whole, rest.len() / 2 >= emits) else {
            return Err(OpError::new(format!(
                "{emits} values that are emitted, and as many before them, were expected"
            )));
        };
        let mut behind = rest.split_off(emits);
        let hands_on = behind.split_off(emits);
        if !is_gate && !hands_on.is_empty() {
            return Err(OpError::new("a join hands nothing on"));
        }
        Ok(GateParts {
            stage,
            fallback,
            leaves,
            exit,
            scores,
            taken: rest,
            emits: behind,
            hands_on,
        })
    }
}

impl GateParts<Value> {
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        let ty = |v: &Value| op.module.value_type(*v);
        let mut all: Vec<(&str, Type)> = vec![("`exit`", ty(&self.exit))];
        all.extend(self.leaves.iter().map(|v| ("`leaves`", ty(v))));
        all.extend(self.scores.iter().flatten().map(|v| ("a score", ty(v))));
        all.extend(self.emits.iter().map(|v| ("an emitted value", ty(v))));
        all.extend(
            self.hands_on
                .iter()
                .map(|v| ("a value that is handed on", ty(v))),
        );
        same_samples(&all)?;
        if ty(&self.exit).elem() != Some(Elem::I32) {
            return Err(OpError::new(format!(
                "`exit` must be i32, found `{}`",
                ty(&self.exit)
            )));
        }
        for (taken, emitted) in self.taken.iter().zip(&self.emits) {
            if ty(taken) != ty(emitted) {
                return Err(OpError::new(format!(
                    "`{}` is emitted, but `{}` was before",
                    ty(emitted),
                    ty(taken)
                )));
            }
        }
        let mut results = vec![ty(&self.exit)];
        if self.leaves.is_some() {
            results.extend(self.scores.iter().map(|[_, best]| ty(best)));
        }
        results.extend(self.taken.iter().map(ty));
        results.extend(self.hands_on.iter().map(ty));
        Ok(results)
    }

    /// The meaning in selects on whole batches.
    fn decompose(&self, b: &mut Builder<'_>) -> OpResult<Vec<Value>> {
        let exit = self.exit;
        let at_exit = |b: &mut Builder<'_>, n: i64| build::splat_like(b, exit, n as f64);
        let (here, zero) = (at_exit(b, self.stage as i64)?, at_exit(b, 0)?);
        let stays = build::compare(b, "lt", exit, zero)?;
        let better = match self.scores {
            None => None,
            Some([score, best]) => Some(build::compare(b, "gt", score, best)?),
        };
        let mut results = Vec::new();
        let takes = match (self.leaves, better) {
            (Some(leaves), None) => {
                let takes = build::binary(b, &t::And, stays, leaves)?;
                results.push(build::select(b, takes, here, exit)?);
                takes
            }
            (Some(leaves), Some(better)) => {
                let wins = build::binary(b, &t::Or, leaves, better)?;
                let takes = build::binary(b, &t::And, stays, wins)?;
                let best_here = at_exit(b, -2 - self.stage as i64)?;
                let number = build::select(b, leaves, here, best_here)?;
                results.push(build::select(b, takes, number, exit)?);
                if let Some([score, best]) = self.scores {
                    results.push(build::select(b, takes, score, best)?);
                }
                takes
            }
            (None, None) => {
                results.push(build::select(b, stays, here, exit)?);
                stays
            }
            (None, Some(better)) => {
                let none = at_exit(b, -1)?;
                let nothing = build::compare(b, "eq", exit, none)?;
                let wins = build::binary(b, &t::Or, better, nothing)?;
                let takes = build::binary(b, &t::And, stays, wins)?;
                let minus_two = at_exit(b, -2)?;
                let best = build::binary(b, &t::Sub, minus_two, exit)?;
                let left = build::select(b, stays, best, exit)?;
                results.push(build::select(b, takes, here, left)?);
                takes
            }
        };
        for (&taken, &emitted) in self.taken.iter().zip(&self.emits) {
            let mut dims = build::dims(b, emitted);
            dims.iter_mut()
                .skip(1)
                .for_each(|d| *d = crate::core::Dim::Known(1));
            let rows = build::reshape(b, takes, &dims)?;
            let rows = build::broadcast_like(b, rows, emitted)?;
            results.push(build::select(b, rows, emitted, taken)?);
        }
        results.extend(&self.hands_on);
        Ok(results)
    }
}

/// Who leaves at an exit.
pub(super) enum Leaves {
    All(bool),
    Each(Tensor),
}

impl Leaves {
    fn at(&self, sample: usize) -> bool {
        match self {
            Leaves::All(leaves) => *leaves,
            Leaves::Each(leaves) => leaves.num(sample) != Num::Int(0),
        }
    }
}

/// What samples left with so far.
pub(super) struct Taken {
    pub(super) exit: Tensor,
    best: Tensor,
    pub(super) values: Vec<Tensor>,
}

impl Taken {
    /// Nobody has left; `values` are of the types that will be emitted.
    pub(super) fn nothing(values: &[Tensor]) -> Taken {
        let samples = values.first().map_or(0, |t| t.shape()[0]);
        Taken {
            exit: Tensor::splat(Elem::I32, &[samples], Num::Int(-1)),
            best: Tensor::splat(Elem::F32, &[samples], Num::Float(f64::NEG_INFINITY)),
            values: values.to_vec(),
        }
    }

    pub(super) fn is_all(&self) -> bool {
        self.exit.to_i64s().iter().all(|&exit| exit >= 0)
    }

    /// Behind a stage but the last.
    pub(super) fn some(
        &mut self,
        fallback: Fallback,
        stage: usize,
        leaves: &Leaves,
        score: Option<&Tensor>,
        emitted: &[Tensor],
    ) -> OpResult<()> {
        let best = self.best.to_f64s();
        let stage = stage as i64;
        self.choose(emitted, score, |sample, exit, score| {
            let better = fallback == Fallback::MostConfident && score > best[sample];
            match (exit, leaves.at(sample)) {
                (0.., _) => None,
                (_, true) => Some((true, stage)),
                (_, false) if better => Some((true, -2 - stage)),
                _ => None,
            }
        })
    }

    /// Behind the last stage.
    pub(super) fn last(
        &mut self,
        fallback: Fallback,
        stage: usize,
        score: Option<&Tensor>,
        emitted: &[Tensor],
    ) -> OpResult<()> {
        let best = self.best.to_f64s();
        let stage = stage as i64;
        self.choose(emitted, score, |sample, exit, score| match exit {
            0.. => None,
            ..=-2 if fallback == Fallback::MostConfident => match score > best[sample] {
                true => Some((true, stage)),
                false => Some((false, -2 - exit)),
            },
            _ => Some((true, stage)),
        })
    }

    /// Gives each sample a new number of its exit, and if so says what the stage emitted for it.
    fn choose(
        &mut self,
        emitted: &[Tensor],
        score: Option<&Tensor>,
        choice: impl Fn(usize, i64, f64) -> Option<(bool, i64)>,
    ) -> OpResult<()> {
        let mut exits = self.exit.to_i64s();
        let mut best = self.best.to_f64s();
        let score = score.map(Tensor::to_f64s);
        let mut takes = vec![false; exits.len()];
        for (sample, exit) in exits.iter_mut().enumerate() {
            let score = score.as_ref().map_or(f64::NAN, |s| s[sample]);
            if let Some((taken, number)) = choice(sample, *exit, score) {
                (takes[sample], *exit) = (taken, number);
                if taken {
                    best[sample] = score;
                }
            }
        }
        self.exit = Tensor::from_nums(
            Elem::I32,
            [exits.len()],
            exits.iter().map(|&exit| Num::Int(exit.into())),
        );
        self.best = Tensor::from_f64s(Elem::F32, [best.len()], best);
        for (value, emitted) in self.values.iter_mut().zip(emitted) {
            *value = rows(&takes, emitted, value)?;
        }
        Ok(())
    }
}

/// The rows of `yes` where `takes` says so, and of `no` elsewhere.
fn rows(takes: &[bool], yes: &Tensor, no: &Tensor) -> OpResult<Tensor> {
    if yes.shape() != no.shape() || yes.shape().first() != Some(&takes.len()) {
        return Err(OpError::new("stages emit values of other extents"));
    }
    let row = yes.bytes().len() / takes.len().max(1);
    let mut bytes = Vec::with_capacity(yes.bytes().len());
    for (i, &takes) in takes.iter().enumerate() {
        let from = if takes { yes } else { no };
        bytes.extend_from_slice(&from.bytes()[i * row..(i + 1) * row]);
    }
    let shape = yes.shape().iter().copied();
    Ok(Tensor::new(
        yes.elem(),
        shape,
        crate::core::Bytes::from_vec(bytes),
    ))
}

fn eval(op: OpView<'_>, x: &[Tensor]) -> OpResult<Vec<Tensor>> {
    let parts = GateParts::of(op, x)?;
    let mut taken = Taken::nothing(&parts.emits);
    taken.exit = parts.exit;
    taken.values = parts.taken;
    let score = parts.scores.map(|[score, best]| {
        taken.best = best;
        score
    });
    let is_gate = parts.leaves.is_some();
    match parts.leaves {
        Some(leaves) => {
            let leaves = Leaves::Each(leaves);
            taken.some(
                parts.fallback,
                parts.stage,
                &leaves,
                score.as_ref(),
                &parts.emits,
            )?;
        }
        None => taken.last(parts.fallback, parts.stage, score.as_ref(), &parts.emits)?,
    }
    let mut results = vec![taken.exit];
    if is_gate && score.is_some() {
        results.push(taken.best);
    }
    results.extend(taken.values);
    results.extend(parts.hands_on);
    Ok(results)
}

macro_rules! meaning {
    ($ty:ident) => {
        impl OpDef for $ty {
            fn info(&self) -> &'static OpInfo {
                &$ty::INFO
            }
            fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
                GateParts::of(op, op.operands())?.infer(op)
            }
            fn eval(
                &self,
                op: OpView<'_>,
                x: &[Tensor],
                _: &mut EvalCx<'_>,
            ) -> OpResult<Vec<Tensor>> {
                eval(op, x)
            }
            fn decompose(&self, b: &mut Builder<'_>, op: Op) -> OpResult<Option<Vec<Value>>> {
                let view = b.view(op);
                let parts = GateParts::of(view, view.operands())?;
                parts.decompose(b).map(Some)
            }
        }
    };
}
meaning!(Gate);
meaning!(Join);

impl Gate {
    /// The values before the first gate of a cascade: nobody has left, and the best score is the
    /// least of all.
    pub fn nothing(b: &mut Builder<'_>, emitted: Value) -> OpResult<[Value; 2]> {
        let samples = [build::dims(b, emitted)[0]];
        let filled = |b: &mut Builder<'_>, elem: Elem, num: Num| {
            let scalar = constant(b, Tensor::scalar(elem, num))?;
            build::broadcast_to(b, scalar, &samples)
        };
        let exit = filled(b, Elem::I32, Num::Int(-1))?;
        let best = filled(b, Elem::F32, Num::Float(f64::NEG_INFINITY))?;
        Ok([exit, best])
    }
}
