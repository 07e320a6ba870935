//! A lower bound on the cost of any solution: landmark cuts.
//!
//! A cut is a set of candidates of which each solution uses one, so it costs at least its cheapest
//! member. That much is taken off the costs of all its members, and what is left is cut again until
//! nothing need be paid: the sum is a bound, and the costs that are left add to it. Cuts are found as
//! the LM-cut heuristic of planning finds them: a class costs at least its cheapest candidate, a
//! candidate at least its dearest child; between what is free on the way to the goal and what is
//! computed without it lies a cut.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::problem::{Index, Lists, Problem, Ticks};
use super::settle::{Price, settle};

/// What [`bound`] found.
pub(super) struct Bound {
    /// No solution costs less, what is paid included.
    pub lower: Ticks,
    /// For each candidate, what a solution that uses it costs at least.
    pub with: Vec<Ticks>,
    /// What the candidates cost beside what the bound has paid of them.
    pub left: Vec<Ticks>,
}

/// How many candidates cuts may look at.
const CUT_WORK: usize = 40_000_000;

/// Bounds the cost of a problem all of whose classes can be computed.
pub(super) fn bound(problem: &Problem, index: &Index) -> Bound {
    let mut state = State {
        problem,
        index,
        class_of: problem
            .candidates
            .iter()
            .map(|candidate| candidate.class)
            .collect(),
        children: problem.children(),
        left: problem.costs().collect(),
        least: vec![0; problem.class_count],
        dearest: vec![NONE; problem.candidates.len()],
    };
    settle(problem, index, &mut state);
    // Settling does not ask for what comes too late to be chosen.
    (0..problem.candidates.len()).for_each(|at| state.find_dearest(at));
    let mut marks = Marks {
        of: vec![Mark::default(); problem.class_count],
        round: 0,
    };
    let mut lower = problem.paid;
    // Each cut may look at all candidates. Stopping early only makes the bound weaker.
    for _ in 0..CUT_WORK / problem.candidates.len().max(1) {
        let Some(goal) = state.goal() else {
            break;
        };
        let cut = cut(&state, &mut marks, goal);
        let least = cut.iter().map(|&at| state.left[at as usize]).min();
        let least = least.expect("a goal that costs something is cut off");
        lower += least;
        state.pay(&cut, least);
    }
    let with = (0..problem.candidates.len()).map(|at| lower + state.price_of(at));
    Bound {
        lower,
        with: with.collect(),
        left: state.left,
    }
}

/// Costs by the dearest child alone, kept up to date while cuts are paid.
struct State<'a> {
    problem: &'a Problem,
    index: &'a Index,
    class_of: Vec<u32>,
    children: Lists,
    /// What the candidates cost, less what the cuts so far have paid.
    left: Vec<Ticks>,
    /// What each class costs at least by that.
    least: Vec<Ticks>,
    /// The child of each candidate that costs most, or [`NONE`].
    dearest: Vec<u32>,
}

const NONE: u32 = u32::MAX;

impl State<'_> {
    /// The needed class that costs most, if one costs anything.
    fn goal(&self) -> Option<u32> {
        let needed = self.problem.needed.iter().copied();
        let goal = needed.max_by_key(|&class| self.least[class as usize])?;
        (self.least[goal as usize] > 0).then_some(goal)
    }

    fn price_of(&self, candidate: usize) -> Ticks {
        let below = self.least.get(self.dearest[candidate] as usize);
        self.left[candidate] + below.copied().unwrap_or(0)
    }

    fn find_dearest(&mut self, candidate: usize) {
        let children = self.children.at(candidate as u32).iter().copied();
        let dearest = children.max_by_key(|&child| self.least[child as usize]);
        self.dearest[candidate] = dearest.unwrap_or(NONE);
    }

    /// Takes `cost` off the candidates of a cut, and lowers what rests on them.
    fn pay(&mut self, cut: &[u32], cost: Ticks) {
        let mut queue = BinaryHeap::new();
        for &at in cut {
            self.left[at as usize] -= cost;
            queue.push(Reverse((
                self.price_of(at as usize),
                self.class_of[at as usize],
            )));
        }
        // The cheapest first, so that each class is lowered once, to what it comes to.
        while let Some(Reverse((price, class))) = queue.pop() {
            if price >= self.least[class as usize] {
                continue;
            }
            self.least[class as usize] = price;
            for &user in self.index.uses.at(class) {
                if self.dearest[user as usize] == class {
                    self.find_dearest(user as usize);
                    let price = self.price_of(user as usize);
                    if price < self.least[self.class_of[user as usize] as usize] {
                        queue.push(Reverse((price, self.class_of[user as usize])));
                    }
                }
            }
        }
    }
}

impl Price for State<'_> {
    type Key = Ticks;

    fn price(&mut self, candidate: u32) -> Option<Ticks> {
        self.find_dearest(candidate as usize);
        Some(self.price_of(candidate as usize))
    }

    fn settle(&mut self, candidate: u32, price: Ticks) {
        let class = self.class_of[candidate as usize];
        self.least[class as usize] = price;
    }
}

/// Candidates of which each solution with `goal` uses one, each of them with a cost left.
fn cut(state: &State<'_>, marks: &mut Marks, goal: u32) -> Vec<u32> {
    let State {
        index,
        left,
        dearest,
        ..
    } = state;
    marks.round += 1;
    // The classes from which the goal is free, if no child but the dearest counts.
    let mut waiting = vec![goal];
    marks.mark(goal, Side::Near);
    while let Some(class) = waiting.pop() {
        for &at in index.members.at(class) {
            let child = dearest[at as usize];
            if left[at as usize] == 0 && child != NONE && marks.mark(child, Side::Near) {
                waiting.push(child);
            }
        }
    }
    // What is computed without them, and the candidates that lead from there to them.
    let mut cut = Vec::new();
    let mut reach = |at: u32, waiting: &mut Vec<u32>| {
        let class = state.class_of[at as usize];
        if marks.is_near(class) {
            cut.push(at);
        } else if marks.mark(class, Side::Far) {
            waiting.push(class);
        }
    };
    for (at, _) in dearest
        .iter()
        .enumerate()
        .filter(|&(_, &child)| child == NONE)
    {
        reach(at as u32, &mut waiting);
    }
    while let Some(class) = waiting.pop() {
        for &at in index.uses.at(class) {
            if dearest[at as usize] == class {
                reach(at, &mut waiting);
            }
        }
    }
    cut
}

/// On which side of a cut the classes are; those of earlier rounds are on none.
struct Marks {
    of: Vec<Mark>,
    round: u32,
}

#[derive(Clone, Copy, Default)]
struct Mark {
    round: u32,
    side: Side,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Side {
    #[default]
    Near,
    Far,
}

impl Marks {
    /// Puts the class on a side, and says whether it was on none.
    fn mark(&mut self, class: u32, side: Side) -> bool {
        let mark = &mut self.of[class as usize];
        let fresh = mark.round != self.round;
        if fresh {
            *mark = Mark {
                round: self.round,
                side,
            };
        }
        fresh
    }

    fn is_near(&self, class: u32) -> bool {
        let mark = self.of[class as usize];
        mark.round == self.round && mark.side == Side::Near
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::problem;
    use super::*;

    #[test]
    fn independent_costs_add_up() {
        let problem = problem(&[&[(1.0, &[1, 2])], &[(2.0, &[]), (3.0, &[])], &[(4.0, &[1])]]);
        let bound = bound(&problem, &problem.index());
        assert_eq!(bound.lower, 7);
        // The dearer way to 1 costs one more.
        assert_eq!(bound.with, [7, 7, 8, 7]);
    }

    #[test]
    fn what_two_ways_share_is_paid() {
        // Either way to 0 ends in 3, which costs 5; the ways themselves cost 1 and 2.
        let problem = problem(&[
            &[(0.0, &[1]), (0.0, &[2])],
            &[(1.0, &[3])],
            &[(2.0, &[3])],
            &[(5.0, &[])],
        ]);
        assert_eq!(bound(&problem, &problem.index()).lower, 6);
    }

    #[test]
    fn a_circle_is_no_way() {
        let problem = problem(&[
            &[(0.0, &[1])],
            &[(0.0, &[2]), (3.0, &[])],
            &[(0.0, &[1]), (4.0, &[])],
        ]);
        assert_eq!(bound(&problem, &problem.index()).lower, 3);
    }
}
