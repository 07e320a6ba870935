//! Asking a policy.

use crate::core::{
    Builder, Cost, Dim, Elem, EvalCx, Op, OpDef, OpError, OpInfo, OpResult, OpView, Tensor,
    TensorType, Type, Value,
};
use crate::dialects::tensor::{self as t, build};
use crate::op;

use super::policies::{self, Kept, Lowered, Output, Policy, Settings};

op! {
    /// Whether each sample leaves, by a policy (`lepid list policies`), and its score: the greater,
    /// the surer. `outputs` is `[N, classes, …]`; behind it come the policy's numbers, as scalars of
    /// f32, and what it kept at the exit before, which it gives again as further results. The policy sees
    /// the outputs divided by `temperature`, which makes probabilities of them that can be believed.
    "adapt.decide" => Decide {
        operands: [outputs: FLOAT_TENSOR; inputs: TENSOR],
        attributes: [policy: Str, first: Int = 1, last: Int = 2, weight: Float = 1.0, horizon: Float = 1.0, temperature: Float = 1.0],
        results: [leaves, score; kept],
        traits: [Pure],
    }
}

impl Decide {
    /// The policy that is asked.
    pub fn asked(op: OpView<'_>) -> OpResult<&'static Policy> {
        policies::policy(Decide::policy(op))
    }

    fn settings(op: OpView<'_>) -> Settings {
        Settings {
            first: usize::try_from(Decide::first(op)).unwrap_or(0),
            last: usize::try_from(Decide::last(op)).unwrap_or(0),
            weight: Decide::weight(op),
            horizon: Decide::horizon(op),
        }
    }
}

/// The type of what a policy keeps.
fn kept_type(kept: Kept, outputs: &TensorType) -> Type {
    match kept {
        Kept::Class | Kept::Count => Type::tensor(Elem::I64, [outputs.dims[0]]),
        Kept::Outputs => outputs.with_elem(Elem::F32).into(),
    }
}

impl OpDef for Decide {
    fn info(&self) -> &'static OpInfo {
        &Decide::INFO
    }
    fn infer(&self, op: OpView<'_>) -> OpResult<Vec<Type>> {
        let policy = Decide::asked(op)?;
        let outputs = op.operand_tensor(0);
        let least = 2 + usize::from(policy.name == "pixels");
        if outputs.rank() < least || (outputs.rank() > 2 && !policy.places) {
            let wanted = match policy.places {
                true => "[N, classes, places…]",
                false => "[N, classes]",
            };
            return Err(OpError::new(format!(
                "the policy `{}` takes outputs of {wanted}, found {}",
                policy.name,
                op.operand_type(0)
            )));
        }
        let temperature = Decide::temperature(op);
        if temperature.is_nan() || temperature <= 0.0 {
            return Err(OpError::new("`temperature` must be above 0"));
        }
        policies::check(policy, &Decide::settings(op), outputs.dims[1])?;
        let inputs = Decide::inputs(op);
        let (numbers, all) = (
            policy.numbers.len(),
            policy.numbers.len() + policy.kept.len(),
        );
        if inputs.len() != numbers && inputs.len() != all {
            let mut wanted = policy.numbers.join(", ");
            if !policy.kept.is_empty() {
                wanted.push_str(", and what it kept at the exit before");
            }
            return Err(OpError::new(format!(
                "the policy `{}` takes {wanted}; found {} operands",
                policy.name,
                inputs.len()
            )));
        }
        let scalar = Type::scalar(Elem::F32);
        let types: Vec<Type> = inputs.iter().map(|&v| op.module.value_type(v)).collect();
        for (name, ty) in policy.numbers.iter().zip(&types) {
            if *ty != scalar {
                return Err(OpError::new(format!(
                    "`{name}` must be `{scalar}`, found `{ty}`"
                )));
            }
        }
        let kept: Vec<Type> = policy.kept.iter().map(|&k| kept_type(k, outputs)).collect();
        for (kept, ty) in kept.iter().zip(&types[numbers..]) {
            if kept != ty {
                return Err(OpError::new(format!(
                    "what was kept must be `{kept}`, found `{ty}`"
                )));
            }
        }
        let samples = |elem| Type::tensor(elem, [outputs.dims[0]]);
        let mut results = vec![samples(Elem::Bool), samples(Elem::F32)];
        results.extend(kept);
        Ok(results)
    }
    fn eval(&self, op: OpView<'_>, x: &[Tensor], _: &mut EvalCx<'_>) -> OpResult<Vec<Tensor>> {
        let (policy, settings) = (Decide::asked(op)?, Decide::settings(op));
        let (samples, classes) = (x[0].shape()[0], x[0].shape()[1]);
        let temperature = Decide::temperature(op);
        let values: Vec<f64> = x[0].to_f64s().iter().map(|z| z / temperature).collect();
        let row = values.len() / samples.max(1);
        let (numbers, before) = x[1..].split_at(policy.numbers.len());
        let numbers: Vec<f64> = numbers.iter().map(|n| n.num(0).as_f64()).collect();
        let before: Vec<Vec<f64>> = before.iter().map(Tensor::to_f64s).collect();
        let (mut leaves, mut score) = (Vec::new(), Vec::new());
        let mut kept: Vec<Vec<f64>> = vec![Vec::new(); policy.kept.len()];
        for n in 0..samples {
            let at = |all: &[f64]| {
                let row = all.len() / samples;
                all[n * row..(n + 1) * row].to_vec()
            };
            let mut state: Vec<Vec<f64>> = match before.is_empty() {
                true => policy.kept.iter().map(|k| k.at_first(row)).collect(),
                false => before.iter().map(|all| at(all)).collect(),
            };
            let output = Output {
                values: &values[n * row..(n + 1) * row],
                classes,
            };
            let verdict = (policy.judge)(&settings, &output, &numbers, &mut state);
            leaves.push(f64::from(u8::from(verdict.leaves)));
            score.push(verdict.score);
            for (all, one) in kept.iter_mut().zip(state) {
                all.extend(one);
            }
        }
        let mut results = vec![
            Tensor::from_f64s(Elem::Bool, [samples], leaves),
            Tensor::from_f64s(Elem::F32, [samples], score),
        ];
        for (kind, all) in policy.kept.iter().zip(kept) {
            results.push(match kind {
                Kept::Class | Kept::Count => Tensor::from_f64s(Elem::I64, [samples], all),
                Kept::Outputs => Tensor::from_f64s(Elem::F32, x[0].shape().iter().copied(), all),
            });
        }
        Ok(results)
    }
    fn decompose(&self, b: &mut Builder<'_>, op: Op) -> OpResult<Option<Vec<Value>>> {
        let view = b.view(op);
        let (policy, settings) = (Decide::asked(view)?, Decide::settings(view));
        let (outputs, inputs) = (view.operand(0), Decide::inputs(view).to_vec());
        let (numbers, kept) = inputs.split_at(policy.numbers.len());
        let temperature = Decide::temperature(b.view(op));
        let outputs = build::cast(b, outputs, Elem::F32)?;
        let outputs = match temperature == 1.0 {
            true => outputs,
            false => build::with_scalar(b, &t::Mul, outputs, 1.0 / temperature)?,
        };
        let lowered = Lowered {
            outputs,
            numbers,
            kept,
        };
        let verdict = (policy.lower)(b, &settings, &lowered)?;
        let mut values = vec![verdict.leaves, verdict.score];
        values.extend(verdict.kept);
        Ok(Some(values))
    }
    fn cost(&self, op: OpView<'_>) -> Cost {
        Cost::of(op, 8.0 * op.operand_elements(0))
    }
}

impl Kept {
    /// What one sample has of it at the first exit, whose head has so many outputs.
    fn at_first(self, outputs: usize) -> Vec<f64> {
        match self {
            Kept::Class => vec![-1.0],
            Kept::Count => vec![0.0],
            Kept::Outputs => vec![0.0; outputs],
        }
    }
}

/// Whether the leading extents of values are one number of samples.
pub(super) fn same_samples(values: &[(&str, Type)]) -> OpResult<Dim> {
    let mut samples = None;
    for (what, ty) in values {
        let leading = ty.as_tensor().and_then(|t| t.dims.first().copied());
        let Some(dim) = leading else {
            return Err(
                OpError::new(format!("{what} is `{ty}`, without an axis of samples")).help(
                    "the leading axis is that of samples; thresholds and weights are not handed on",
                ),
            );
        };
        match samples {
            None => samples = Some(dim),
            Some(all) if all == dim => {}
            Some(all) => {
                return Err(OpError::new(format!(
                    "{what} is `{ty}`, but there are {all} samples along the leading axis"
                )));
            }
        }
    }
    samples.ok_or_else(|| OpError::new("there is no value with samples"))
}
