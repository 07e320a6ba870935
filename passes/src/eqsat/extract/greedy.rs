//! Greedy extraction by DAG cost: a class costs what the set of all that it rests on costs.
//!
//! Shared work is paid once *within* a class. What two classes could share is not seen, as each
//! takes what is cheapest for itself: [`super::improve`] looks for that.

use std::rc::Rc;

use super::problem::{Candidate, Index, Problem, Ticks};
use super::settle::{Price, settle};

/// The candidate of each class that rests on the cheapest set, with a price per candidate: what it
/// costs, or what one would like it to; none bars it.
pub(super) fn greedy(
    problem: &Problem,
    index: &Index,
    prices: &[Option<Ticks>],
) -> Vec<Option<u32>> {
    let mut sets = Sets {
        problem,
        prices,
        sets: vec![Rc::default(); problem.class_count],
        seen: vec![0; problem.candidates.len()],
        round: 0,
    };
    settle(problem, index, &mut sets)
}

struct Sets<'a> {
    problem: &'a Problem,
    prices: &'a [Option<Ticks>],
    /// For each settled class the candidates that it rests on, but for those that cost nothing:
    /// they neither change a sum nor, as the order of settling sees to that, make a cycle.
    sets: Vec<Rc<[u32]>>,
    /// The last round that has counted the candidate.
    seen: Vec<u32>,
    round: u32,
}

impl Sets<'_> {
    /// Visits each candidate below `candidate` once.
    fn union(&mut self, candidate: u32, mut visit: impl FnMut(&Self, u32)) {
        self.round += 1;
        for &child in &self.problem.candidates[candidate as usize].children {
            let set = Rc::clone(&self.sets[child as usize]);
            for &member in set.iter() {
                if self.seen[member as usize] != self.round {
                    self.seen[member as usize] = self.round;
                    visit(self, member);
                }
            }
        }
    }
}

impl Price for Sets<'_> {
    type Key = Ticks;

    fn price(&mut self, candidate: u32) -> Option<Ticks> {
        let mut sum = self.prices[candidate as usize]?;
        self.union(candidate, |sets, member| {
            sum += sets.prices[member as usize].unwrap_or(0)
        });
        Some(sum)
    }

    fn settle(&mut self, candidate: u32, _price: Ticks) {
        let mut set = Vec::new();
        self.union(candidate, |_, member| set.push(member));
        let free = self.prices[candidate as usize] == Some(0);
        if !free {
            set.push(candidate);
        }
        let Candidate {
            class, children, ..
        } = &self.problem.candidates[candidate as usize];
        // Nodes that only select or move share the set of what they select from.
        let same = children
            .iter()
            .map(|&child| &self.sets[child as usize])
            .find(|child| free && child.len() == set.len());
        let set = same.map_or_else(|| set.into(), Rc::clone);
        self.sets[*class as usize] = set;
    }
}
