//! Settles classes one by one, the cheapest first: Knuth's form of Dijkstra's algorithm.
//!
//! A candidate is priced when all its children are settled, and a class takes the first candidate
//! that comes up. A price is never below that of a child, so later candidates would not be better,
//! and what is chosen never has a cycle: a class rests on classes that were settled before it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::problem::{Index, Problem};

/// What a candidate costs with all that it needs.
pub(super) trait Price {
    type Key: Copy + Ord;

    /// The price of a candidate whose children are settled; none if it may not be chosen.
    fn price(&mut self, candidate: u32) -> Option<Self::Key>;

    /// Hears that the class of `candidate` takes it.
    fn settle(&mut self, candidate: u32, price: Self::Key);
}

/// The candidate of each class that can be computed.
pub(super) fn settle(
    problem: &Problem,
    index: &Index,
    prices: &mut impl Price,
) -> Vec<Option<u32>> {
    let mut chosen = vec![None; problem.class_count];
    let mut missing: Vec<u32> = Vec::with_capacity(problem.candidates.len());
    let mut queue = BinaryHeap::new();
    for (at, candidate) in problem.candidates.iter().enumerate() {
        missing.push(candidate.children.len() as u32);
        if candidate.children.is_empty()
            && let Some(price) = prices.price(at as u32)
        {
            queue.push(Reverse((price, at as u32)));
        }
    }
    while let Some(Reverse((price, at))) = queue.pop() {
        let class = problem.candidates[at as usize].class;
        if chosen[class as usize].is_some() {
            continue;
        }
        chosen[class as usize] = Some(at);
        prices.settle(at, price);
        for &user in index.uses.at(class) {
            missing[user as usize] -= 1;
            let wanted = chosen[problem.candidates[user as usize].class as usize].is_none();
            if missing[user as usize] == 0
                && wanted
                && let Some(price) = prices.price(user)
            {
                queue.push(Reverse((price, user)));
            }
        }
    }
    chosen
}
