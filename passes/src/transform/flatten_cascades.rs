//! Puts the stages of cascades one behind the other.
//!
//! ```text
//! %y, %exit = adapt.cascade(%x) {       %a = …                               // stage 0
//! ^(%0):                                %left, %t, %b = adapt.gate(%leaves, %none, %z, %z, %a)
//!   %a = …                        =>    …                                    // stage 1, on %b
//!   adapt.leave(%leaves, …)             %exit, %y = adapt.join(%left, %t, %z2)
//! } { ^(%b): … }
//! ```
//!
//! From there on every pass sees all stages in one block, and only gates say that some samples go
//! no further. A budgeted cascade becomes its stages up to the exit, and nothing else.

use std::collections::HashMap;

use lepid_ir::core::{Attr, Builder, Elem, Module, Op, OpResult, Value};
use lepid_ir::dialects::adapt::{Cascade, Fallback, Gate, Join, Stage, stages};
use lepid_ir::dialects::tensor::build;

use crate::core::rewrite::{At, copy_block, is, replace, seen_from_outside};
use crate::core::{Changed, PassCx, PassDef, PassResult, Values};

pub const PASS: PassDef = PassDef {
    name: "flatten-cascades",
    summary: "Puts the stages of cascades one behind the other, with gates between them.",
    values: Values::Exact,
    options: &[],
    run,
};

fn run(module: &mut Module, _cx: &mut PassCx<'_>) -> PassResult {
    let mut changed = Changed::No;
    // The inner ones first, so that what is copied has none.
    let cascades: Vec<Op> = module.walk().into_iter().rev().collect();
    for op in cascades {
        if module.op_block(op).is_some() && is(module, op, &Cascade) {
            let loc = module.loc(op).clone();
            flatten(module, op).at(&loc)?;
            changed = Changed::Yes;
        }
    }
    Ok(changed)
}

fn flatten(module: &mut Module, op: Op) -> OpResult<()> {
    let view = module.view(op);
    let (all, budget) = (stages(view)?, Cascade::budgeted(view)?);
    let fallback = Fallback::parse(Cascade::fallback(view))?;
    let inputs = view.operands().to_vec();
    let mut flat = Flat {
        map: seen_from_outside(module, op),
        fallback,
        so_far: None,
    };
    let mut b = Builder::before(module, op);
    let results = flat.cascade(&mut b, &all, budget, inputs)?;
    replace(module, op, &results)
}

struct Flat {
    map: HashMap<Value, Value>,
    fallback: Fallback,
    so_far: Option<SoFar>,
}

/// What samples left with, behind some stages.
struct SoFar {
    exit: Value,
    best: Value,
    taken: Vec<Value>,
}

impl Flat {
    fn cascade(
        &mut self,
        b: &mut Builder<'_>,
        stages: &[Stage],
        budget: Option<usize>,
        mut given: Vec<Value>,
    ) -> OpResult<Vec<Value>> {
        for (number, stage) in stages.iter().enumerate() {
            let args = b.module.block_args(stage.block).iter().copied();
            self.map.extend(args.zip(given));
            copy_block(b, stage.block, &mut self.map)?;
            let emits = self.of(&stage.emits);
            if number + 1 == stages.len() && budget.is_none() {
                return self.join(b, number, stage, emits);
            }
            if budget == Some(number) {
                let samples = [build::dims(b, emits[0])[0]];
                let exit = build::scalar(b, Elem::I32, number as f64)?;
                let exit = build::broadcast_to(b, exit, &samples)?;
                return Ok(emits.into_iter().chain([exit]).collect());
            }
            given = match budget {
                Some(_) => self.of(&stage.hands_on),
                None => self.gate(b, number, stage, emits)?,
            };
        }
        lepid_ir::bug!("a cascade without a last stage passed the verifier")
    }

    fn of(&self, values: &[Value]) -> Vec<Value> {
        values.iter().map(|v| self.map[v]).collect()
    }

    /// Gives what is handed on.
    fn gate(
        &mut self,
        b: &mut Builder<'_>,
        number: usize,
        stage: &Stage,
        emits: Vec<Value>,
    ) -> OpResult<Vec<Value>> {
        let so_far = self.so_far(b, &emits)?;
        let mut operands = self.of(&stage.leaves.into_iter().collect::<Vec<Value>>());
        operands.push(so_far.exit);
        operands.extend(self.scores(stage, so_far.best));
        operands.extend(&so_far.taken);
        operands.extend(&emits);
        operands.extend(self.of(&stage.hands_on));
        let attrs = self.attrs(number, emits.len());
        let gate = b.create(&Gate, &operands, &attrs)?;
        let mut results = b.module.results(gate).to_vec().into_iter();
        let exit = results.next().unwrap_or(so_far.exit);
        let best = match self.fallback {
            Fallback::Last => so_far.best,
            Fallback::MostConfident => results.next().unwrap_or(so_far.best),
        };
        let taken = results.by_ref().take(emits.len()).collect();
        self.so_far = Some(SoFar { exit, best, taken });
        Ok(results.collect())
    }

    fn join(
        &mut self,
        b: &mut Builder<'_>,
        number: usize,
        stage: &Stage,
        emits: Vec<Value>,
    ) -> OpResult<Vec<Value>> {
        let so_far = self.so_far(b, &emits)?;
        let mut operands = vec![so_far.exit];
        operands.extend(self.scores(stage, so_far.best));
        operands.extend(&so_far.taken);
        operands.extend(&emits);
        let attrs = self.attrs(number, emits.len());
        let join = b.create(&Join, &operands, &attrs)?;
        let (exit, values) = match b.module.results(join) {
            [exit, values @ ..] => (*exit, values),
            [] => lepid_ir::bug!("a join has no results"),
        };
        Ok(values.iter().copied().chain([exit]).collect())
    }

    /// What samples left with before, at first nothing.
    fn so_far(&mut self, b: &mut Builder<'_>, emits: &[Value]) -> OpResult<SoFar> {
        if let Some(so_far) = self.so_far.take() {
            return Ok(so_far);
        }
        let [exit, best] = Gate::nothing(b, emits[0])?;
        let taken = emits.to_vec();
        Ok(SoFar { exit, best, taken })
    }

    fn scores(&self, stage: &Stage, best: Value) -> Vec<Value> {
        match (self.fallback, stage.score) {
            (Fallback::MostConfident, Some(score)) => vec![self.map[&score], best],
            _ => Vec::new(),
        }
    }

    fn attrs(&self, number: usize, emits: usize) -> [(&'static str, Attr); 3] {
        [
            ("stage", (number as i64).into()),
            ("emits", (emits as i64).into()),
            ("fallback", self.fallback.name().into()),
        ]
    }
}
