//! Exact extraction: branch and bound over problems that are reduced and split at each step.
//!
//! A branch needs a class, or bars it; either makes [`reduce`] find more. What falls apart into
//! [`parts`] is solved part by part, so that their searches add up and do not multiply. The search
//! is bounded by a number of steps; what is left open then counts with its lower bound.

use super::bound::{Bound, bound};
use super::greedy::{Bias, greedy};
use super::parts::parts;
use super::problem::{Index, Problem, Solution, Ticks};
use super::reduce::reduce;

/// What is known of a problem after the search.
pub(super) struct Answer {
    /// No solution costs less, as far as those below the limit are concerned.
    pub lower: Ticks,
    /// The best solution below the limit, if one was found.
    pub best: Option<Solution>,
}

/// A search with what is left of its budget.
pub(super) struct Search {
    pub budget: usize,
    /// Problems that were branched on.
    pub steps: usize,
}

impl Search {
    /// Looks for solutions that cost less than `limit`.
    pub(super) fn solve(&mut self, mut problem: Problem, limit: Ticks) -> Answer {
        if reduce(&mut problem).is_err() || problem.paid >= limit {
            return Answer::nothing_below(limit);
        }
        let parts = parts(&problem);
        let bounds: Vec<Bound> = parts.iter().map(|part| bound(part, &part.index())).collect();
        let mut lower = problem.paid + bounds.iter().map(|bound| bound.lower).sum::<Ticks>();
        let mut best = Some(problem.solution(&[]));
        let mut all: Vec<(Problem, Bound)> = parts.into_iter().zip(bounds).collect();
        // Small parts first: they are cheap, and what they need leaves less for the others.
        all.sort_by_key(|(part, _)| part.candidates.len());
        for (part, bound) in all {
            if lower >= limit {
                return Answer::nothing_below(limit);
            }
            let others = lower - bound.lower;
            let answer = self.part(part, bound, limit - others);
            lower = others + answer.lower;
            best = best.zip(answer.best).map(|(mut best, part)| {
                best.add(part);
                best
            });
        }
        Answer {
            lower: lower.min(limit),
            best: best.filter(|best| best.cost < limit),
        }
    }

    /// Solves a problem in one part.
    fn part(&mut self, mut problem: Problem, bound: Bound, mut limit: Ticks) -> Answer {
        let index = problem.index();
        let chosen = greedy(&problem, &index, &vec![Bias::Honest; problem.candidates.len()]);
        let found = problem.solution(&problem.in_use(&chosen));
        let mut best = None;
        if found.cost < limit {
            limit = found.cost;
            best = Some(found);
        }
        if bound.lower >= limit {
            return Answer { lower: limit, best };
        }
        if self.budget == 0 {
            return Answer { lower: bound.lower, best };
        }
        let mut keep = bound.with.iter().map(|with| with.is_some_and(|with| with < limit));
        let before = problem.candidates.len();
        problem.candidates.retain(|_| keep.next() == Some(true));
        if problem.candidates.len() < before {
            return self.solve(problem, limit).or(best, bound.lower);
        }
        self.budget -= 1;
        self.steps += 1;
        let mut lower = limit;
        for branch in branches(&problem, &index) {
            let answer = self.solve(branch, limit);
            lower = lower.min(answer.lower);
            if let Some(found) = answer.best {
                limit = found.cost;
                best = Some(found);
            }
        }
        Answer { lower: lower.max(bound.lower), best }
    }
}

impl Answer {
    fn nothing_below(limit: Ticks) -> Answer {
        Answer { lower: limit, best: None }
    }

    /// What was found before, where this found nothing better.
    fn or(self, best: Option<Solution>, lower: Ticks) -> Answer {
        Answer { lower: self.lower.max(lower), best: self.best.or(best) }
    }
}

/// Problems that together have the solutions of `problem`.
fn branches(problem: &Problem, index: &Index) -> [Problem; 2] {
    let needed = problem.is_needed();
    let score = |class: u32| {
        let members = index.members.at(class).iter();
        let least = members.map(|&at| problem.candidates[at as usize].cost).min();
        (least, index.uses.at(class).len())
    };
    let open = (0..problem.class_count as u32).filter(|&class| !needed[class as usize]);
    let [mut with, mut without] = [problem.clone(), problem.clone()];
    match open.max_by_key(|&class| score(class)) {
        Some(pivot) => {
            with.needed.push(pivot);
            with.needed.sort_unstable();
            without.candidates.retain(|candidate| !candidate.children.contains(&pivot));
        }
        None => {
            let choice = |&at: &usize| index.members.at(problem.candidates[at].class).len() > 1;
            let pivot = (0..problem.candidates.len()).find(choice).expect("reduced problems leave a choice");
            let class = problem.candidates[pivot].class;
            without.candidates.remove(pivot);
            let mut at = 0..;
            with.candidates.retain(|candidate| at.next() == Some(pivot) || candidate.class != class);
        }
    }
    [with, without]
}
