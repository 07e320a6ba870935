//! Branch and bound over problems that are reduced and split at each step.
//!
//! At each step a problem is made smaller ([`reduce`]), falls into [`parts`] that are solved one by
//! one, so that their searches add up and do not multiply, and is bounded from below ([`bound`]) and
//! above ([`improve`]); candidates that no better solution can use are dropped, and all begins anew.
//! When that finds no more, the search branches: a class is needed, or it is barred.
//!
//! Without a budget for branches this is the greedy method, with a bound to tell how good it was.

use super::bound::{Bound, bound};
use super::improve::improve;
use super::parts::parts;
use super::problem::{Index, Problem, Solution, Ticks};
use super::reduce::reduce;

/// What is known of a problem after the search.
pub(super) struct Answer {
    /// No solution costs less than this, or else than the limit.
    pub lower: Ticks,
    /// The best solution below the limit that was found.
    pub best: Option<Solution>,
}

/// A search and how far it may go, in counts, as a clock would give other results on another day.
pub(super) struct Search {
    /// How many problems it may still branch on.
    pub budget: usize,
    /// How many it has.
    pub steps: usize,
}

/// How often local search may price a candidate, for each part before the first branch.
const LOCAL_WORK: usize = 400_000;

/// Beginning anew pays when at least one in so many candidates is dropped, and is not nested deeply
/// then.
const DROP_SHARE: usize = 32;

/// How many branches lie above one another at most, as each holds its problem.
const DEEPEST: usize = 100;

impl Search {
    /// Looks for solutions that cost less than `limit`, `depth` branches below the whole problem.
    pub(super) fn solve(&mut self, mut problem: Problem, limit: Ticks, depth: usize) -> Answer {
        if reduce(&mut problem).is_err() || problem.paid >= limit {
            return Answer::none_below(limit);
        }
        let mut parts: Vec<(Problem, Bound)> = parts(&problem)
            .into_iter()
            .map(|part| {
                let bound = bound(&part, &part.index());
                (part, bound)
            })
            .collect();
        // The small ones first: what they turn out to need leaves less for the others.
        parts.sort_by_key(|(part, _)| part.candidates.len());
        let bounds = parts.iter().map(|(_, bound)| bound.lower);
        let mut lower = problem.paid + bounds.sum::<Ticks>();
        let mut best = Some(problem.solution(&[]));
        for (part, bound) in parts {
            if lower >= limit {
                return Answer::none_below(limit);
            }
            let others = lower - bound.lower;
            let answer = self.solve_part(part, bound, limit - others, depth);
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

    fn solve_part(
        &mut self,
        mut part: Problem,
        bound: Bound,
        limit: Ticks,
        depth: usize,
    ) -> Answer {
        let index = part.index();
        let mut answer = Answer {
            lower: bound.lower,
            best: None,
        };
        let mut limit = limit;
        let found = improve(&part, &index, &bound.left, 0);
        answer.take(found, &mut limit);
        if bound.lower >= limit {
            return answer.complete(limit);
        }
        let useful = |with: &Ticks| *with < limit;
        let dropped = bound.with.iter().filter(|with| !useful(with)).count();
        if dropped * DROP_SHARE > part.candidates.len() {
            let mut with = bound.with.iter();
            part.candidates.retain(|_| with.next().is_some_and(useful));
            let rest = self.solve(part, limit, depth);
            return answer.or(rest);
        }
        if depth == 0 {
            let found = improve(
                &part,
                &index,
                &bound.left,
                LOCAL_WORK / part.candidates.len(),
            );
            answer.take(found, &mut limit);
        }
        if bound.lower >= limit || self.budget == 0 || depth == DEEPEST {
            return answer.complete(limit);
        }
        self.budget -= 1;
        self.steps += 1;
        let mut lower = limit;
        let pivot = Pivot::of(&part, &index);
        for side in [Side::With, Side::Without] {
            let found = self.solve(pivot.branch(&part, side), limit, depth + 1);
            lower = lower.min(found.lower);
            if let Some(found) = found.best {
                answer.take(found, &mut limit);
            }
        }
        answer.lower = answer.lower.max(lower);
        answer.complete(limit)
    }
}

impl Answer {
    fn none_below(limit: Ticks) -> Answer {
        Answer {
            lower: limit,
            best: None,
        }
    }

    /// Takes a solution that is better than the limit, which it then lowers.
    fn take(&mut self, found: Solution, limit: &mut Ticks) {
        if found.cost < *limit {
            *limit = found.cost;
            self.best = Some(found);
        }
    }

    /// What the rest of a search adds to what was known before.
    fn or(self, rest: Answer) -> Answer {
        Answer {
            lower: self.lower.max(rest.lower),
            best: rest.best.or(self.best),
        }
    }

    fn complete(mut self, limit: Ticks) -> Answer {
        self.lower = self.lower.min(limit);
        self
    }
}

/// What a problem is branched on: either solutions have it, or they have not.
#[derive(Clone, Copy)]
enum Pivot {
    Class(u32),
    Candidate(u32),
}

#[derive(Clone, Copy)]
enum Side {
    With,
    Without,
}

impl Pivot {
    /// The class that costs most, of those the one with the most users: it decides most. If all
    /// classes are needed, a candidate that has alternatives.
    fn of(problem: &Problem, index: &Index) -> Pivot {
        let needed = problem.is_needed();
        let open = (0..problem.class_count as u32).filter(|&class| !needed[class as usize]);
        let weight = |&class: &u32| {
            let members = index.members.at(class).iter();
            let least = members
                .map(|&at| problem.candidates[at as usize].cost)
                .min();
            (least, index.uses.at(class).len())
        };
        open.max_by_key(weight).map_or_else(
            || {
                let mut classes =
                    (0..problem.class_count as u32).map(|class| index.members.at(class));
                let choice = classes.find(|members| members.len() > 1);
                Pivot::Candidate(
                    choice.expect("without a choice nothing is left after reducing")[0],
                )
            },
            Pivot::Class,
        )
    }

    fn branch(self, problem: &Problem, side: Side) -> Problem {
        let mut branch = problem.clone();
        match (self, side) {
            (Pivot::Class(class), Side::With) => {
                branch.needed.push(class);
                branch.needed.sort_unstable();
            }
            (Pivot::Class(class), Side::Without) => {
                branch
                    .candidates
                    .retain(|candidate| !candidate.children.contains(&class));
            }
            (Pivot::Candidate(pivot), Side::With) => {
                let class = problem.candidates[pivot as usize].class;
                let mut at = 0..;
                branch
                    .candidates
                    .retain(|candidate| at.next() == Some(pivot) || candidate.class != class);
            }
            (Pivot::Candidate(pivot), Side::Without) => {
                branch.candidates.remove(pivot as usize);
            }
        }
        branch
    }
}
