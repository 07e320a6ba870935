//! A lower bound on the cost of any solution: landmark cuts.
//!
//! A cut is a set of candidates of which each solution uses one, so it costs at least its cheapest
//! member. That much is taken off the costs of all its members, and what is left is cut again until
//! nothing need be paid: the sum is a bound, and the costs that are left add to it. Cuts are found as
//! the LM-cut heuristic of planning finds them: a class costs at least its cheapest candidate, a
//! candidate at least its dearest child; between what that makes free for the goal and what is
//! computed without it lies a cut.

use super::problem::{Index, Problem, Ticks};
use super::settle::{Price, settle};

/// What [`bound`] found.
pub(super) struct Bound {
    /// No solution costs less, what is paid included.
    pub lower: Ticks,
    /// For each candidate, what a solution that uses it costs at least; none where nothing can.
    pub with: Vec<Option<Ticks>>,
}

/// Bounds the cost of a problem all of whose classes can be computed.
pub(super) fn bound(problem: &Problem, index: &Index) -> Bound {
    let costs = problem.candidates.iter().map(|candidate| candidate.cost);
    let mut dearest = Dearest {
        problem,
        left: costs.collect(),
        classes: vec![0; problem.class_count],
    };
    let mut lower = problem.paid;
    loop {
        let settled = settle(problem, index, &mut dearest);
        let goal = problem.needed.iter().copied().max_by_key(|&class| dearest.classes[class as usize]);
        let Some(goal) = goal.filter(|&goal| dearest.classes[goal as usize] > 0) else {
            let with = |at: usize| {
                let candidate = &problem.candidates[at];
                let children = candidate.children.iter();
                let possible = children.clone().all(|&child| settled[child as usize].is_some());
                let below = children.map(|&child| dearest.classes[child as usize]).max();
                possible.then(|| lower + dearest.left[at] + below.unwrap_or(0))
            };
            let with = (0..problem.candidates.len()).map(with).collect();
            return Bound { lower, with };
        };
        let cut = cut(&dearest, index, goal);
        let least = cut.iter().map(|&at| dearest.left[at as usize]).min();
        let least = least.expect("a goal that costs something is cut off");
        for at in cut {
            dearest.left[at as usize] -= least;
        }
        lower += least;
    }
}

/// Candidates of which each solution with `goal` uses one, each of them with a cost left.
fn cut(dearest: &Dearest<'_>, index: &Index, goal: u32) -> Vec<u32> {
    let Dearest { problem, left, .. } = dearest;
    let dearest_child: Vec<Option<u32>> =
        (0..problem.candidates.len()).map(|at| dearest.child(at)).collect();
    // Where the goal can be had from for nothing.
    let mut near = vec![false; problem.class_count];
    let mut waiting = vec![goal];
    near[goal as usize] = true;
    while let Some(class) = waiting.pop() {
        for &at in index.members.at(class) {
            if left[at as usize] == 0
                && let Some(child) = dearest_child[at as usize]
                && !std::mem::replace(&mut near[child as usize], true)
            {
                waiting.push(child);
            }
        }
    }
    // What can be had without it, and the candidates that lead from there to it.
    let mut far = vec![false; problem.class_count];
    let mut cut = Vec::new();
    let mut reach = |at: u32, waiting: &mut Vec<u32>| {
        let class = problem.candidates[at as usize].class;
        if near[class as usize] {
            cut.push(at);
        } else if !std::mem::replace(&mut far[class as usize], true) {
            waiting.push(class);
        }
    };
    for (at, child) in dearest_child.iter().enumerate() {
        if child.is_none() {
            reach(at as u32, &mut waiting);
        }
    }
    while let Some(class) = waiting.pop() {
        for &at in index.uses.at(class) {
            if dearest_child[at as usize] == Some(class) {
                reach(at, &mut waiting);
            }
        }
    }
    cut
}

/// The cost of a class by its dearest child alone.
struct Dearest<'a> {
    problem: &'a Problem,
    /// What the candidates cost, less what the cuts so far have paid.
    left: Vec<Ticks>,
    classes: Vec<Ticks>,
}

impl Dearest<'_> {
    fn child(&self, candidate: usize) -> Option<u32> {
        let children = self.problem.candidates[candidate].children.iter().copied();
        children.max_by_key(|&child| self.classes[child as usize])
    }
}

impl Price for Dearest<'_> {
    type Key = Ticks;

    fn price(&mut self, candidate: u32) -> Option<Ticks> {
        let child = self.child(candidate as usize);
        let below = child.map_or(0, |child| self.classes[child as usize]);
        Some(self.left[candidate as usize] + below)
    }

    fn settle(&mut self, candidate: u32, price: Ticks) {
        let class = self.problem.candidates[candidate as usize].class;
        self.classes[class as usize] = price;
    }
}
