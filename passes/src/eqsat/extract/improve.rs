//! Local search over what greedy takes candidates to cost.
//!
//! Greedy takes what is cheapest for one class and so misses what pays only if several classes share
//! it: two products, each dearer as a slice of one wide product, are cheaper as two slices of it.
//! Here one candidate after another is taken to be free, as if another class had paid for it, or
//! barred, and greedy chooses anew; what makes the honest cost of the whole lower is kept.
//! All choices come from greedy, so none has a cycle.

use super::greedy::greedy;
use super::problem::{Index, Problem, Solution, Ticks};

/// The best solution found within a number of trials.
///
/// The first two choices are by honest costs, and by what a bound has `left` of them: that is small
/// for what all good solutions need.
pub(super) fn improve(
    problem: &Problem,
    index: &Index,
    left: &[Ticks],
    mut trials: usize,
) -> Solution {
    let mut prices: Vec<Option<Ticks>> = problem.costs().map(Some).collect();
    let other_prices: Vec<Option<Ticks>> = left.iter().copied().map(Some).collect();
    let honest = attempt(problem, index, &prices);
    let other = attempt(problem, index, &other_prices);
    let [mut best, other] = [honest, other].map(|found| found.expect("all classes are computed"));
    if other.cost < best.cost {
        (best, prices) = (other, other_prices);
    }
    loop {
        let before = best.cost;
        for at in 0..problem.candidates.len() {
            let trial = match best.used.binary_search(&(at as u32)) {
                Ok(_) => None,
                Err(_) => Some(0),
            };
            // On top of what was found to be good, and from the beginning: an opening that makes
            // an earlier one superfluous must not have to compete with it as if that were free.
            for from in [prices.clone(), problem.costs().map(Some).collect()] {
                let mut tried = from;
                if std::mem::replace(&mut tried[at], trial) == trial {
                    continue;
                }
                if trials == 0 {
                    return problem.solution(&best.used);
                }
                trials -= 1;
                if let Some(found) = attempt(problem, index, &tried)
                    && found.cost < best.cost
                {
                    (best, prices) = (found, tried);
                    break;
                }
            }
        }
        if best.cost == before {
            return problem.solution(&best.used);
        }
    }
}

struct Attempt {
    /// The candidates in use, ascending.
    used: Vec<u32>,
    /// What they cost by their own costs.
    cost: Ticks,
}

/// What greedy chooses at `prices`, if it can compute what is needed.
fn attempt(problem: &Problem, index: &Index, prices: &[Option<Ticks>]) -> Option<Attempt> {
    let chosen = greedy(problem, index, prices);
    let mut needed = problem.needed.iter();
    needed
        .all(|&class| chosen[class as usize].is_some())
        .then(|| {
            let used = problem.in_use(&chosen);
            let costs = used.iter().map(|&at| problem.candidates[at as usize].cost);
            Attempt {
                cost: costs.sum(),
                used,
            }
        })
}
