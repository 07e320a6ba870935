//! What an exit may do: policies with thresholds, and whom they let go.

use lepid_ir::dialects::adapt::policies::{Output, Policy, Settings};

use super::outputs::Outputs;
use super::search::Bits;

/// A policy with its settings, as a spec states them.
#[derive(Clone, Debug)]
pub struct Rule {
    pub policy: &'static Policy,
    pub settings: Settings,
    /// The numbers of the policy before its threshold.
    pub numbers: Vec<f64>,
}

impl Rule {
    /// As reports name it.
    pub fn name(&self) -> String {
        let Settings { first, last, .. } = self.settings;
        match (self.policy.name, &self.numbers[..]) {
            ("gbvsb", _) => format!("gbvsb⟨{first},{last}⟩"),
            (name, []) => name.to_string(),
            (name, numbers) => {
                let numbers: Vec<String> = numbers.iter().map(f64::to_string).collect();
                format!("{name}⟨{}⟩", numbers.join(","))
            }
        }
    }
}

/// A policy and a threshold at one exit.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The number of the rule.
    pub rule: usize,
    pub threshold: f64,
    pub leaves: Bits,
}

/// The threshold at which so many of the samples leave whose score is the greater the surer: halfway
/// between the last that leaves and the first that stays. Samples of one score leave together, then
/// more than asked for. `None`: nobody leaves.
///
/// This is the solver of budgeted batches (MSDNet), for any score.
pub fn threshold(scores: &[f64], leave: usize) -> Option<f64> {
    let mut sorted: Vec<f64> = scores.iter().copied().filter(|s| s.is_finite()).collect();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let last = *sorted.get(leave.checked_sub(1)?.min(sorted.len().checked_sub(1)?))?;
    let next = sorted.iter().find(|&&s| s < last);
    Some(next.map_or(last, |next| (last + next) / 2.0))
}

/// The scores of a rule on the outputs of an exit, divided by its temperature.
pub fn scores(rule: &Rule, outputs: &Outputs, temperature: f64) -> Vec<f64> {
    // The score depends on no threshold.
    let numbers = [&rule.numbers[..], &[0.0]].concat();
    let samples = (0..outputs.samples()).map(|sample| {
        let values = outputs.sample(sample).iter();
        let values: Vec<f64> = values.map(|&z| f64::from(z) / temperature).collect();
        let output = Output {
            values: &values,
            classes: outputs.classes,
        };
        (rule.policy.judge)(&rule.settings, &output, &numbers, &mut []).score
    });
    samples.collect()
}

/// Candidates of a rule at an exit: one for each of `steps` equal shares of the samples that leave.
pub fn of_rule(rule: usize, scores: &[f64], negated: bool, steps: usize) -> Vec<Candidate> {
    let mut found: Vec<Candidate> = Vec::new();
    for step in 1..=steps {
        let leave = step * scores.len() / (steps + 1);
        let Some(least) = threshold(scores, leave) else {
            continue;
        };
        let leaves = Bits::of(scores.len(), |i| scores[i] >= least);
        if found.last().is_none_or(|before| before.leaves != leaves) {
            found.push(Candidate {
                rule,
                // The score of an entropy is its negative.
                threshold: if negated { -least } else { least },
                leaves,
            });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use lepid_ir::core::Elem;
    use lepid_ir::interp::random::Random;

    #[test]
    fn thresholds_hit_what_is_asked_for() {
        let scores = Random::new(3).tensor(Elem::F64, &[500]).to_f64s();
        for leave in 1..=500 {
            let least = threshold(&scores, leave).unwrap();
            let found = scores.iter().filter(|&&s| s >= least).count();
            assert_eq!(found, leave);
        }
        assert_eq!(threshold(&scores, 0), None);
        // Of equals all leave.
        let tied = [0.9, 0.5, 0.5, 0.5, 0.1];
        let least = threshold(&tied, 2).unwrap();
        assert_eq!(tied.iter().filter(|&&s| s >= least).count(), 4);
        assert_eq!(threshold(&[f64::NAN], 1), None);
    }
}
