//! Extraction by tree cost: a class is paid by each node that uses it.
//!
//! What most users of e-graphs do, and what the other methods are compared with.

use super::problem::{Problem, Solution};
use super::settle::{Price, settle};

/// The solution in which each class is the cheapest tree, if there is any.
pub(super) fn cheapest_tree(problem: &Problem) -> Option<Solution> {
    let mut trees = Trees {
        problem,
        costs: vec![0; problem.class_count],
    };
    let chosen = settle(problem, &problem.index(), &mut trees);
    let mut needed = problem.needed.iter();
    let possible = needed.all(|&class| chosen[class as usize].is_some());
    possible.then(|| problem.solution(&problem.in_use(&chosen)))
}

struct Trees<'a> {
    problem: &'a Problem,
    /// Trees of shared classes grow without bound: beyond all numbers they are alike.
    costs: Vec<u128>,
}

impl Price for Trees<'_> {
    type Key = u128;

    fn price(&mut self, candidate: u32) -> Option<u128> {
        let candidate = &self.problem.candidates[candidate as usize];
        let children = candidate.children.iter();
        Some(children.fold(u128::from(candidate.cost), |sum, &child| {
            sum.saturating_add(self.costs[child as usize])
        }))
    }

    fn settle(&mut self, candidate: u32, price: u128) {
        let class = self.problem.candidates[candidate as usize].class;
        self.costs[class as usize] = price;
    }
}
