//! Greedy extraction by DAG cost: a class costs what the set of all that it rests on costs.
//!
//! Shared work is paid once *within* a class. What two classes could share is not seen, as each
//! takes what is cheapest for itself: [`super::improve`] looks for that.

use std::rc::Rc;

use super::problem::{Candidate, Index, Problem, Ticks};
use super::settle::{Price, settle};

/// What greedy takes a candidate to cost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Bias {
    /// What it costs.
    Honest,
    /// Nothing, as if it were paid for elsewhere.
    Free,
    /// More than can be paid.
    Barred,
}

/// The candidate of each class that rests on the cheapest set.
pub(super) fn greedy(problem: &Problem, index: &Index, bias: &[Bias]) -> Vec<Option<u32>> {
    let mut sets = Sets {
        problem,
        bias,
        sets: vec![Rc::default(); problem.class_count],
        seen: vec![0; problem.candidates.len()],
        round: 0,
    };
    settle(problem, index, &mut sets)
}

struct Sets<'a> {
    problem: &'a Problem,
    bias: &'a [Bias],
    /// For each settled class the candidates that it rests on, but for those that cost nothing:
    /// they neither change a sum nor, as the order of settling sees to that, make a cycle.
    sets: Vec<Rc<[u32]>>,
    /// The last round that has counted the candidate.
    seen: Vec<u32>,
    round: u32,
}

impl Sets<'_> {
    fn cost(&self, candidate: u32) -> Ticks {
        match self.bias[candidate as usize] {
            Bias::Honest => self.problem.candidates[candidate as usize].cost,
            Bias::Free | Bias::Barred => 0,
        }
    }

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
        if self.bias[candidate as usize] == Bias::Barred {
            return None;
        }
        let mut sum = self.cost(candidate);
        self.union(candidate, |sets, member| sum += sets.cost(member));
        Some(sum)
    }

    fn settle(&mut self, candidate: u32, _price: Ticks) {
        let mut set = Vec::new();
        self.union(candidate, |_, member| set.push(member));
        if self.cost(candidate) > 0 {
            set.push(candidate);
        }
        let Candidate { class, children, .. } = &self.problem.candidates[candidate as usize];
        // Nodes that only select or move share the set of what they select from.
        let same = children
            .iter()
            .map(|&child| &self.sets[child as usize])
            .find(|child| child.len() == set.len() && self.cost(candidate) == 0);
        let set = same.map_or_else(|| set.into(), Rc::clone);
        self.sets[*class as usize] = set;
    }
}
