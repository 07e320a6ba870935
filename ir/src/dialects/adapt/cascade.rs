//! Networks in stages that samples leave early.

use crate::core::{
    Block, Elem, EvalCx, Op, OpDef, OpError, OpInfo, OpResult, OpView, Tensor, Type, Value,
};
use crate::{named_enum, op};

use super::decide::same_samples;
use super::gate::{Leaves, Taken};

op! {
    /// Stages in order, each with an exit behind it: a sample goes on until it leaves, and from
    /// there on nothing more is computed for it. The results are what the exit emitted that each
    /// sample left by, and last the number of that exit, as i32.
    ///
    /// Every stage takes what the one before hands on, the first one the operands. All but the last
    /// end in `adapt.leave`, the last in `adapt.emit`. Whatever a stage takes, emits or hands on has
    /// the samples along its leading axis; a sample must not depend on another. A stage sees
    /// thresholds and weights from outside.
    ///
    /// `mode` is "input-dependent", or "budgeted": all samples leave by the exit `budget`. Who has
    /// left nowhere has the results of the last stage, or with the `fallback` "most-confident" those
    /// of the exit with the greatest score.
    "adapt.cascade" => Cascade {
        operands: [; inputs: TENSOR],
        attributes: [mode: Str = "input-dependent", budget: Int = 0, fallback: Str = "last"],
        results: [; results],
        regions: [; stages],
        traits: [Pure],
    }
}

named_enum! {
    /// Who decides by which exit a sample leaves.
    Mode("mode") {
        /// The policy of each exit.
        InputDependent = "input-dependent",
        /// Nobody: all leave by one exit.
        Budgeted = "budgeted",
    }
}

named_enum! {
    /// What a sample gets that has left nowhere.
    Fallback("fallback") {
        /// What the last stage emits.
        Last = "last",
        /// What the exit emitted whose score was the greatest; of equals the first.
        MostConfident = "most-confident",
    }
}

op! {
    /// Ends a stage but the last: the samples with `leaves` leave with the first `emits` of the
    /// values, the others go on with the rest. `score` is what the policy gave.
    "adapt.leave" => Leave {
        operands: [leaves: BOOL_TENSOR, score: FLOAT_TENSOR; values: TENSOR],
        attributes: [emits: Int = 1],
        results: [],
        traits: [Terminator],
    }
}

op! {
    /// Ends the last stage: what it emits. If the cascade falls back on the most confident exit, the
    /// first operand is the score.
    "adapt.emit" => Emit {
        operands: [; values: TENSOR],
        results: [],
        traits: [Terminator],
    }
}

/// One stage of a cascade.
#[derive(Clone, Debug)]
pub struct Stage {
    pub block: Block,
    /// Its last op.
    pub end: Op,
    /// Who leaves; not for the last stage.
    pub leaves: Option<Value>,
    /// The score; for the last stage only if the fallback wants it.
    pub score: Option<Value>,
    pub emits: Vec<Value>,
    pub hands_on: Vec<Value>,
}

/// The stages of a cascade, the last one behind the others.
pub fn stages(op: OpView<'_>) -> OpResult<Vec<Stage>> {
    let count = op.regions().len();
    let scored = Fallback::parse(Cascade::fallback(op))? == Fallback::MostConfident;
    let stage = |number: usize| {
        let blocks = op.module.region_blocks(op.regions()[number]);
        let block = blocks.first().copied();
        let block = block.ok_or_else(|| OpError::new(format!("stage {number} has no block")))?;
        let end = op.module.terminator(block).map(|end| op.module.view(end));
        let wanted = match number + 1 == count {
            true => Emit::INFO.name,
            false => Leave::INFO.name,
        };
        let end = end.filter(|end| end.name() == wanted).ok_or_else(|| {
            OpError::new(format!("stage {number} of {count} must end in `{wanted}`"))
        })?;
        let values = |from: usize, to: usize| end.operands()[from..to].to_vec();
        let all = end.operands().len();
        if number + 1 == count {
            let first = usize::from(scored);
            if all < first {
                let message = "the last stage must emit its score first";
                return Err(OpError::new(message).help("the fallback is \"most-confident\""));
            }
            return Ok(Stage {
                block,
                end: end.op,
                leaves: None,
                score: scored.then(|| end.operand(0)),
                emits: values(first, all),
                hands_on: Vec::new(),
            });
        }
        let emits = usize::try_from(Leave::emits(end))
            .ok()
            .map(|n| n.saturating_add(2));
        let Some(emits) = emits.filter(|&n| n <= all) else {
            return Err(OpError::new(format!(
                "stage {number} hands on {} values, and `emits` is {}",
                all - 2,
                Leave::emits(end)
            )));
        };
        Ok(Stage {
            block,
            end: end.op,
            leaves: Some(end.operand(0)),
            score: Some(end.operand(1)),
            emits: values(2, emits),
            hands_on: values(emits, all),
        })
    };
    (0..count).map(stage).collect()
}

impl Cascade {
    /// The exit that all samples leave by, if one is set.
    pub fn budgeted(op: OpView<'_>) -> OpResult<Option<usize>> {
        match Mode::parse(Cascade::mode(op))? {
            Mode::InputDependent => Ok(None),
            Mode::Budgeted => {
                let exit = usize::try_from(Cascade::budget(op)).ok();
                let exit = exit.filter(|&exit| exit < op.regions().len());
                exit.map(Some).ok_or_else(|| {
                    OpError::new(format!(
                        "`budget` is {}, and the exits are numbered from 0 to {}",
                        Cascade::budget(op),
                        op.regions().len().saturating_sub(1)
                    ))
                })
            }
        }
    }
}

impl OpDef for Cascade {
    fn info(&self) -> &'static OpInfo {
        &Cascade::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        Cascade::budgeted(op)?;
        let types = |values: &[Value]| -> Vec<Type> {
            values.iter().map(|&v| op.module.value_type(v)).collect()
        };
        let stages = stages(op)?;
        let Some(last) = stages.last() else {
            return Err(OpError::new("a cascade has one stage at least"));
        };
        let emitted = types(&last.emits);
        let mut given = types(op.operands());
        let mut all: Vec<(&str, Type)> = Vec::new();
        for (number, stage) in stages.iter().enumerate() {
            let args = types(op.module.block_args(stage.block));
            if args != given {
                return Err(OpError::new(format!(
                    "stage {number} takes {}, but is given {}",
                    listed(&args),
                    listed(&given)
                )));
            }
            let emits = types(&stage.emits);
            if emits != emitted {
                return Err(OpError::new(format!(
                    "stage {number} emits {}, but the last one {}",
                    listed(&emits),
                    listed(&emitted)
                )));
            }
            all.extend(args.iter().map(|&ty| ("an argument of a stage", ty)));
            all.extend(emits.iter().map(|&ty| ("an emitted value", ty)));
            for (what, value) in [("`leaves`", stage.leaves), ("`score`", stage.score)] {
                let ty = value.map(|v| op.module.value_type(v));
                if let Some(ty) = ty {
                    if ty.as_tensor().is_none_or(|t| t.rank() != 1) {
                        return Err(OpError::new(format!("{what} must be [N], found `{ty}`")));
                    }
                    all.push((what, ty));
                }
            }
            given = types(&stage.hands_on);
        }
        let samples = same_samples(&all)?;
        let mut results = emitted;
        results.push(Type::tensor(Elem::I32, [samples]));
        Ok(results)
    }
    fn eval(&self, op: OpView<'_>, x: &[Tensor], cx: &mut EvalCx<'_>) -> OpResult<Vec<Tensor>> {
        let (stages, budget) = (stages(op)?, Cascade::budgeted(op)?);
        let fallback = Fallback::parse(Cascade::fallback(op))?;
        let mut given = x.to_vec();
        let mut taken: Option<Taken> = None;
        for (number, stage) in stages.iter().enumerate() {
            let mut values = cx.blocks.run_block(stage.block, given)?;
            let leaves = stage.leaves.map(|_| values.remove(0));
            let score = stage.score.map(|_| values.remove(0));
            given = values.split_off(stage.emits.len());
            let leaves = match budget {
                Some(exit) => Leaves::All(exit == number),
                None => leaves.map_or(Leaves::All(false), Leaves::Each),
            };
            let taken = taken.get_or_insert_with(|| Taken::nothing(&values));
            match number + 1 == stages.len() && budget.is_none() {
                true => taken.last(fallback, number, score.as_ref(), &values)?,
                false => taken.some(fallback, number, &leaves, score.as_ref(), &values)?,
            }
            if taken.is_all() {
                break;
            }
        }
        let taken = taken.ok_or_else(|| OpError::new("a cascade has one stage at least"))?;
        let mut results = taken.values;
        results.push(taken.exit);
        Ok(results)
    }
}

/// The types in a row, for messages.
fn listed(types: &[Type]) -> String {
    let types: Vec<String> = types.iter().map(|ty| format!("`{ty}`")).collect();
    match types.is_empty() {
        true => "nothing".to_string(),
        false => types.join(", "),
    }
}

impl OpDef for Leave {
    fn info(&self) -> &'static OpInfo {
        &Leave::INFO
    }
    fn infer(&self, _: OpView<'_>) -> OpResult<Vec<Type>> {
        Ok(Vec::new())
    }
}

impl OpDef for Emit {
    fn info(&self) -> &'static OpInfo {
        &Emit::INFO
    }
    fn infer(&self, _: OpView<'_>) -> OpResult<Vec<Type>> {
        Ok(Vec::new())
    }
}
