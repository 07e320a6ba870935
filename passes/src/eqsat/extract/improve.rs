//! Local search over what greedy takes candidates to cost.
//!
//! Greedy takes what is cheapest for one class and so misses what pays only if several classes share
//! it: two products, each dearer as a slice of one wide product, are cheaper as two slices of it.
//! Here one candidate after another is taken to be free, as if another class had paid for it, or
//! barred, and greedy chooses anew; what makes the honest cost of the whole lower is kept.
//! All choices come from greedy, so none has a cycle.

use super::greedy::{Bias, greedy};
use super::problem::{Index, Problem, Ticks};

/// The candidates in use of the best solution found, within a number of trials.
pub(super) fn improve(problem: &Problem, index: &Index, mut trials: usize) -> Vec<u32> {
    let mut bias = vec![Bias::Honest; problem.candidates.len()];
    let mut best = attempt(problem, index, &bias).expect("a reduced problem has a solution");
    loop {
        let mut better = false;
        for at in 0..problem.candidates.len() {
            let before = bias[at];
            let trial = match before {
                Bias::Free | Bias::Barred => Bias::Honest,
                Bias::Honest if best.used.binary_search(&(at as u32)).is_ok() => Bias::Barred,
                Bias::Honest => Bias::Free,
            };
            if trial == Bias::Free && problem.candidates[at].cost == 0 {
                continue;
            }
            if trials == 0 {
                return best.used;
            }
            trials -= 1;
            bias[at] = trial;
            match attempt(problem, index, &bias) {
                Some(found) if found.cost < best.cost => {
                    best = found;
                    better = true;
                }
                _ => bias[at] = before,
            }
        }
        if !better {
            return best.used;
        }
    }
}

struct Attempt {
    used: Vec<u32>,
    cost: Ticks,
}

fn attempt(problem: &Problem, index: &Index, bias: &[Bias]) -> Option<Attempt> {
    let chosen = greedy(problem, index, bias);
    let mut needed = problem.needed.iter();
    needed.all(|&class| chosen[class as usize].is_some()).then(|| {
        let used = problem.in_use(&chosen);
        let costs = used.iter().map(|&at| problem.candidates[at as usize].cost);
        Attempt {
            cost: costs.sum(),
            used,
        }
    })
}
