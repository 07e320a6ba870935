//! Makes a cascade of a function that gives the outputs of several exits.
//!
//! ```text
//! func @main(%x) -> (…, …) {              func @main(%x, %t) -> (…, …) {
//!   %h = …                                  %y, %exit = adapt.cascade(%x) {
//!   %z0 = … %h …                     =>     ^(%0): %h = …  %z0 = …  adapt.decide  adapt.leave(…, %z0, %h)
//!   %z1 = … %h …                            ^(%h): %z1 = …  adapt.emit(%z1)
//!   return %z0, %z1                         }
//! ```
//!
//! A stage holds what its exit needs and no exit before it did. What later stages read goes from
//! stage to stage, if it depends on a sample; what depends on none stands before the cascade.

use std::collections::{HashMap, HashSet};

use lepid_ir::core::{
    Attr, Builder, Code, Diagnostic, Dim, Elem, Loc, Module, Num, Op, OpResult, Region, Tensor,
    Type, Value,
};
use lepid_ir::dialects::adapt::policies::{Kept, Policy};
use lepid_ir::dialects::adapt::{Cascade, Decide, Emit, Fallback, Leave};
use lepid_ir::dialects::core::{Func, Return, constant};
use lepid_ir::dialects::tensor::{self as t, build};

use crate::core::rewrite::copy_whole;

/// How a function becomes a cascade.
#[derive(Clone, Debug)]
pub struct Plan {
    /// In the order in which samples come to them; the last one takes all that are left.
    pub exits: Vec<Exit>,
    pub fallback: Fallback,
    /// The exit by which all leave, if it is one.
    pub budget: Option<usize>,
    /// The users' names of what the exits emit, and of the number of the exit.
    pub outputs: Vec<String>,
    pub exit_output: String,
    /// The users' names of numbers that are inputs of the function, each once.
    pub inputs: Vec<String>,
}

/// An exit: the values that it emits, of which the first is what its policy sees.
#[derive(Clone, Debug)]
pub struct Exit {
    pub emits: Vec<Value>,
    /// Not for the last one, unless its score is asked for.
    pub decision: Option<Decision>,
    /// Where the user speaks of it.
    pub loc: Loc,
}

/// How it is decided who leaves.
#[derive(Clone, Debug)]
pub struct Decision {
    pub policy: &'static Policy,
    pub attrs: Vec<(&'static str, Attr)>,
    pub numbers: Vec<Number>,
}

/// A number that a policy takes.
#[derive(Clone, PartialEq, Debug)]
pub enum Number {
    Constant(f64),
    /// The index of a name in [`Plan::inputs`].
    Input(usize),
}

/// Makes a cascade of the function's results. `func` is as simple as folding makes it.
pub fn cut(module: &mut Module, func: Op, plan: &Plan) -> Result<(), Diagnostic> {
    let stages = Stages::of(module, func, plan)?;
    let loc = module.loc(func).clone();
    let built = stages.build(module, func, plan);
    built.map_err(|error| error.at(loc))
}

/// Which ops and values are of which stage.
struct Stages {
    /// The ops of each stage, in order.
    ops: Vec<Vec<Op>>,
    /// What each stage takes.
    takes: Vec<Vec<Value>>,
    /// All ops that depend on a sample, in order.
    old: Vec<Op>,
}

impl Stages {
    fn of(module: &Module, func: Op, plan: &Plan) -> Result<Stages, Diagnostic> {
        let view = module.view(func);
        let (block, args) = (Func::block(view), Func::args(view));
        let of_samples = samples(module, func, plan)?;
        let mut stage_of: HashMap<Op, usize> = HashMap::new();
        for (number, exit) in plan.exits.iter().enumerate() {
            let mut todo: Vec<Value> = exit.emits.clone();
            while let Some(value) = todo.pop() {
                let Some(op) = module.defining_op(value) else {
                    continue;
                };
                if of_samples.contains(&value) && !stage_of.contains_key(&op) {
                    stage_of.insert(op, number);
                    todo.extend(reads(module, op));
                }
            }
        }
        let mut ops = vec![Vec::new(); plan.exits.len()];
        for op in module.ops_in(block) {
            if let Some(&stage) = stage_of.get(&op) {
                ops[stage].push(op);
            }
        }
        let depends = |op: &Op| module.results(*op).iter().any(|v| of_samples.contains(v));
        let old = module.ops_in(block).filter(depends).collect();
        // The last stage that reads each value.
        let mut last: HashMap<Value, usize> = HashMap::new();
        for (number, exit) in plan.exits.iter().enumerate() {
            let inside = ops[number].iter().flat_map(|&op| reads(module, op));
            for value in inside.chain(exit.emits.iter().copied()) {
                last.insert(value, number);
            }
        }
        let defined = |value: Value| match module.defining_op(value) {
            Some(op) => stage_of.get(&op).copied(),
            None => Some(0),
        };
        let in_order = args.iter().copied().chain(
            module
                .ops_in(block)
                .flat_map(|op| module.results(op).to_vec()),
        );
        let in_order: Vec<Value> = in_order.filter(|v| of_samples.contains(v)).collect();
        let takes = (0..plan.exits.len()).map(|stage| {
            let wanted = |v: &&Value| {
                let is_before = match stage {
                    0 => args.contains(v),
                    _ => defined(**v).is_some_and(|at| at < stage || args.contains(v)),
                };
                is_before && last.get(v).is_some_and(|&at| at >= stage)
            };
            in_order.iter().filter(wanted).copied().collect()
        });
        Ok(Stages {
            takes: takes.collect(),
            ops,
            old,
        })
    }

    fn build(&self, module: &mut Module, func: Op, plan: &Plan) -> OpResult<()> {
        let block = Func::block(module.view(func));
        let names = |all: Vec<String>| Attr::List(all.iter().map(|s| s.as_str().into()).collect());
        let mut inputs = Func::input_names(module.view(func));
        let scalar = Type::scalar(Elem::F32);
        let numbers: Vec<Value> = plan
            .inputs
            .iter()
            .map(|_| module.add_block_arg(block, scalar))
            .collect();
        inputs.extend(plan.inputs.iter().cloned());
        let end = module.terminator(block);
        let Some(end) = end else {
            lepid_ir::bug!("a function without a return passed the verifier");
        };
        let mut b = Builder::before(module, end);
        let mut made = Made {
            plan,
            numbers: &numbers,
            kept: None,
        };
        let mut regions: Vec<Region> = Vec::new();
        for stage in 0..self.ops.len() {
            regions.push(made.stage(&mut b, self, stage)?);
        }
        let budget = plan.budget.unwrap_or(0) as i64;
        let mode = if plan.budget.is_some() {
            "budgeted"
        } else {
            "input-dependent"
        };
        let attrs = [
            ("mode", mode.into()),
            ("budget", budget.into()),
            ("fallback", plan.fallback.name().into()),
        ];
        let op = b.create_with_regions(&Cascade, &self.takes[0], &attrs, &regions)?;
        let results = b.module.results(op).to_vec();
        Return::build(&mut b, &results, &[])?;
        module.erase(end);
        let mut outputs = plan.outputs.clone();
        outputs.push(plan.exit_output.clone());
        module.set_attr(func, "inputs", names(inputs));
        module.set_attr(func, "outputs", names(outputs));
        self.old.iter().rev().for_each(|&op| module.erase(op));
        Ok(())
    }
}

/// What an op reads, in its regions as well.
pub(super) fn reads(module: &Module, op: Op) -> Vec<Value> {
    let inside = module.walk_inside(op).into_iter();
    let mut all: Vec<Value> = module.operands(op).to_vec();
    all.extend(inside.flat_map(|op| module.operands(op).to_vec()));
    all
}

/// The values of a function that depend on a sample: what is computed from arguments whose leading
/// extent is that of the samples.
fn samples(module: &Module, func: Op, plan: &Plan) -> Result<HashSet<Value>, Diagnostic> {
    let leading = |value: Value| -> Option<Dim> {
        module.value_type(value).as_tensor()?.dims.first().copied()
    };
    let first = plan.exits.first().and_then(|exit| exit.emits.first());
    let Some(count) = first.and_then(|&v| leading(v)) else {
        let loc = plan
            .exits
            .first()
            .map_or(Loc::Unknown, |exit| exit.loc.clone());
        let message = "what an exit emits must have the samples along its leading axis";
        return Err(Diagnostic::error(Code::SPEC, loc, message));
    };
    let view = module.view(func);
    let args = Func::args(view).iter().copied();
    let mut found: HashSet<Value> = args.filter(|&v| leading(v) == Some(count)).collect();
    for op in module.ops_in(Func::block(view)) {
        if reads(module, op).iter().any(|v| found.contains(v)) {
            found.extend(module.results(op));
        }
    }
    Ok(found)
}

/// The regions that are made one after the other.
struct Made<'p> {
    plan: &'p Plan,
    /// Those numbers that are inputs.
    numbers: &'p [Value],
    /// What the policy of the exit before keeps, and its types.
    kept: Option<(&'static Policy, Vec<Type>)>,
}

impl Made<'_> {
    fn stage(&mut self, b: &mut Builder<'_>, stages: &Stages, stage: usize) -> OpResult<Region> {
        let exit = &self.plan.exits[stage];
        let is_last = stage + 1 == self.plan.exits.len();
        let takes = &stages.takes[stage];
        let mut types: Vec<Type> = takes.iter().map(|&v| b.value_type(v)).collect();
        let before = self.kept.take();
        types.extend(before.iter().flat_map(|(_, kept)| kept));
        let mut kept_types = None;
        let region = b.region(&types, |b, args| {
            let (taken, kept) = args.split_at(takes.len());
            let mut map: HashMap<Value, Value> =
                takes.iter().copied().zip(taken.iter().copied()).collect();
            for &op in &stages.ops[stage] {
                for value in reads(b.module, op) {
                    map.entry(value).or_insert(value);
                }
                copy_whole(b, op, &mut map)?;
            }
            let at = |value: &Value| map.get(value).copied().unwrap_or(*value);
            let mut emits: Vec<Value> = exit.emits.iter().map(at).collect();
            let decided = match &exit.decision {
                Some(decision) => {
                    let same = before
                        .as_ref()
                        .is_some_and(|(p, _)| p.name == decision.policy.name);
                    let kept = if same { kept } else { &[] };
                    Some(self.decide(b, decision, emits[0], kept)?)
                }
                None => None,
            };
            // The outputs of an ensemble are those of all exits so far.
            if let (Some(decision), Some(results)) = (&exit.decision, &decided)
                && decision.policy.kept == [Kept::Outputs]
            {
                let weight = decision.attrs.iter().find(|(name, _)| *name == "weight");
                let weight = weight.map_or(1.0, |(_, attr)| match attr {
                    Attr::Float(weight) => *weight,
                    _ => 1.0,
                });
                emits[0] = build::with_scalar(b, &t::Mul, results[2], weight)?;
            }
            if is_last {
                let score = decided.iter().map(|results| results[1]);
                let score = score.filter(|_| self.plan.fallback == Fallback::MostConfident);
                let values: Vec<Value> = score.chain(emits).collect();
                return Emit::build(b, &values, &[]).map(drop);
            }
            let Some(decided) = decided else {
                lepid_ir::bug!("an exit before the last has no policy");
            };
            let mut values = vec![decided[0], decided[1]];
            values.extend(&emits);
            values.extend(stages.takes[stage + 1].iter().map(at));
            let next = self.plan.exits[stage + 1].decision.as_ref();
            let goes_on = exit.decision.as_ref().zip(next);
            if let Some((decision, _)) = goes_on.filter(|(a, b)| a.policy.name == b.policy.name)
                && !decision.policy.kept.is_empty()
            {
                values.extend(&decided[2..]);
                let types = decided[2..].iter().map(|&v| b.value_type(v)).collect();
                kept_types = Some((decision.policy, types));
            }
            let attrs = [("emits", (emits.len() as i64).into())];
            Leave::build(b, &values, &attrs).map(drop)
        })?;
        self.kept = kept_types;
        Ok(region)
    }

    fn decide(
        &self,
        b: &mut Builder<'_>,
        decision: &Decision,
        outputs: Value,
        kept: &[Value],
    ) -> OpResult<Vec<Value>> {
        let mut operands = vec![outputs];
        for number in &decision.numbers {
            operands.push(match number {
                Number::Constant(x) => constant(b, Tensor::scalar(Elem::F32, Num::Float(*x)))?,
                Number::Input(index) => self.numbers[*index],
            });
        }
        operands.extend(kept);
        let mut attrs = decision.attrs.clone();
        attrs.push(("policy", decision.policy.name.into()));
        let op = b.create(&Decide, &operands, &attrs)?;
        Ok(b.module.results(op).to_vec())
    }
}
