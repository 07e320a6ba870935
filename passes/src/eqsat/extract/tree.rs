//! Extraction by tree cost: a class is paid as often as it is used.
//!
//! What most users of e-graphs do, and what the other methods are compared with.

use super::problem::{Index, Problem};
use super::settle::{Price, settle};

/// The candidate of each class that is the cheapest tree.
pub(super) fn tree(problem: &Problem, index: &Index) -> Vec<Option<u32>> {
    let mut trees = Trees {
        problem,
        costs: vec![0; problem.class_count],
    };
    settle(problem, index, &mut trees)
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
