//! The form that the algorithms work on: costs as whole numbers, only what can matter.
//!
//! A problem starts as the whole graph, and [`super::reduce`] makes it smaller. What has been
//! decided on the way is kept as `picks`, so that a solution of a small problem is one of the graph.

use super::choice::Choice;
use super::graph::{ClassId, ExtractGraph, NEVER, NodeId};

/// A cost as a whole number of a power of two, so that sums are exact and ties are ties.
pub(super) type Ticks = u64;

/// One way to compute a class.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub class: u32,
    pub cost: Ticks,
    /// Sorted, each once.
    pub children: Vec<u32>,
    /// The nodes that choosing this candidate chooses.
    pub picks: Vec<NodeId>,
}

/// Choose one candidate per class that is needed, and so on for their children, without a cycle.
#[derive(Clone, Debug, Default)]
pub(super) struct Problem {
    pub class_count: usize,
    /// Grouped by class, classes ascending.
    pub candidates: Vec<Candidate>,
    /// Classes that each solution has. Sorted, each once.
    pub needed: Vec<u32>,
    /// What each solution costs beside its candidates.
    pub paid: Ticks,
    /// Nodes that are chosen whatever else is, needed or not.
    pub picks: Vec<NodeId>,
}

impl Problem {
    /// All of `graph`, less what cannot be computed or is not reached.
    pub(super) fn of(graph: &ExtractGraph, scale: Scale) -> Problem {
        let mut problem = Problem {
            class_count: graph.class_count(),
            needed: sorted(graph.roots().iter().map(|root| root.as_u32())),
            ..Problem::default()
        };
        for class in graph.classes() {
            for &id in graph.members(class) {
                let node = graph.node(id);
                if node.cost < NEVER && !node.children.contains(&class) {
                    problem.candidates.push(Candidate {
                        class: class.as_u32(),
                        cost: scale.ticks(node.cost),
                        children: sorted(node.children.iter().map(|child| child.as_u32())),
                        picks: vec![id],
                    });
                }
            }
        }
        problem
    }

    pub(super) fn costs(&self) -> impl Iterator<Item = Ticks> {
        self.candidates.iter().map(|candidate| candidate.cost)
    }

    /// The children of each candidate, all in one piece.
    pub(super) fn children(&self) -> Lists {
        let all = self.candidates.iter().enumerate();
        let pairs = all.flat_map(|(at, candidate)| {
            candidate
                .children
                .iter()
                .map(move |&child| (at as u32, child))
        });
        Lists::of(self.candidates.len(), pairs)
    }

    pub(super) fn index(&self) -> Index {
        let members = self.candidates.iter().enumerate();
        let uses = self.candidates.iter().enumerate();
        Index {
            members: Lists::of(
                self.class_count,
                members.map(|(at, candidate)| (candidate.class, at as u32)),
            ),
            uses: Lists::of(
                self.class_count,
                uses.flat_map(|(at, candidate)| {
                    candidate
                        .children
                        .iter()
                        .map(move |&child| (child, at as u32))
                }),
            ),
        }
    }

    /// The classes that can be computed, each after the children of a candidate of it.
    pub(super) fn bottom_up(&self, index: &Index) -> Vec<u32> {
        let mut missing: Vec<usize> = Vec::with_capacity(self.candidates.len());
        let mut found = vec![false; self.class_count];
        let mut order = Vec::new();
        let mut find = |class: u32, order: &mut Vec<u32>| {
            if !std::mem::replace(&mut found[class as usize], true) {
                order.push(class);
            }
        };
        for candidate in &self.candidates {
            missing.push(candidate.children.len());
            if candidate.children.is_empty() {
                find(candidate.class, &mut order);
            }
        }
        let mut next = 0;
        while let Some(&class) = order.get(next) {
            next += 1;
            for &user in index.uses.at(class) {
                missing[user as usize] -= 1;
                if missing[user as usize] == 0 {
                    find(self.candidates[user as usize].class, &mut order);
                }
            }
        }
        order
    }

    /// For each class whether it is in `needed`.
    pub(super) fn is_needed(&self) -> Vec<bool> {
        let mut needed = vec![false; self.class_count];
        for &class in &self.needed {
            needed[class as usize] = true;
        }
        needed
    }

    /// Numbers the classes to keep without gaps. Nothing may speak of the others.
    pub(super) fn keep_classes(&mut self, keep: &[bool]) {
        let mut count = 0;
        let number: Vec<u32> = keep
            .iter()
            .map(|&keep| {
                count += u32::from(keep);
                count.wrapping_sub(1)
            })
            .collect();
        let renumber = |class: &mut u32| *class = number[*class as usize];
        for candidate in &mut self.candidates {
            renumber(&mut candidate.class);
            candidate.children.iter_mut().for_each(renumber);
        }
        self.needed.iter_mut().for_each(renumber);
        self.class_count = count as usize;
    }

    /// Follows one candidate per class from the needed classes: those in use, ascending.
    pub(super) fn in_use(&self, chosen: &[Option<u32>]) -> Vec<u32> {
        let mut seen = vec![false; self.class_count];
        let mut waiting = self.needed.clone();
        let mut found = Vec::new();
        while let Some(class) = waiting.pop() {
            if !std::mem::replace(&mut seen[class as usize], true) {
                let candidate = chosen[class as usize].expect("a solution is complete");
                found.push(candidate);
                waiting.extend(&self.candidates[candidate as usize].children);
            }
        }
        found.sort_unstable();
        found
    }

    /// The solution that uses `candidates`.
    pub(super) fn solution(&self, candidates: &[u32]) -> Solution {
        let used = candidates.iter().map(|&at| &self.candidates[at as usize]);
        let mut solution = Solution {
            cost: self.paid,
            picks: self.picks.clone(),
        };
        for candidate in used {
            solution.cost += candidate.cost;
            solution.picks.extend(&candidate.picks);
        }
        solution
    }
}

/// What a problem's answer is for the graph.
#[derive(Clone, Debug, Default)]
pub(super) struct Solution {
    pub cost: Ticks,
    pub picks: Vec<NodeId>,
}

impl Solution {
    pub(super) fn choice(&self, graph: &ExtractGraph) -> Choice {
        let mut choice = Choice::default();
        for &pick in &self.picks {
            choice.choose(graph, pick);
        }
        choice
    }

    /// Takes over the answer of another part of the same graph.
    pub(super) fn add(&mut self, other: Solution) {
        self.cost += other.cost;
        self.picks.extend(other.picks);
    }
}

/// How many ticks a cost of one has: a power of two with which no sum overflows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale(f64);

impl Scale {
    #[cfg(test)]
    pub(super) const ONE: Scale = Scale(1.0);

    pub(super) fn of(graph: &ExtractGraph) -> Scale {
        let dearest = |class: ClassId| {
            let costs = graph
                .members(class)
                .iter()
                .map(|&node| graph.node(node).cost);
            costs.filter(|&cost| cost < NEVER).fold(0.0, f64::max)
        };
        let total: f64 = graph.classes().map(dearest).sum();
        // 2^60 leaves room for what the bounds add on top.
        let exponent = 60.0 - total.max(1e-200).log2().ceil();
        Scale(exponent.exp2())
    }

    /// Rounds down, so that a bound in ticks is a bound.
    fn ticks(self, cost: f64) -> Ticks {
        (cost * self.0) as Ticks
    }

    pub(super) fn cost(self, ticks: Ticks) -> f64 {
        ticks as f64 / self.0
    }
}

/// Candidates by class.
pub(super) struct Index {
    /// Those that compute it.
    pub members: Lists,
    /// Those that it is a child of.
    pub uses: Lists,
}

/// One list of numbers per key, all in one piece.
pub(super) struct Lists {
    starts: Vec<u32>,
    items: Vec<u32>,
}

impl Lists {
    pub(super) fn of(keys: usize, pairs: impl Iterator<Item = (u32, u32)> + Clone) -> Lists {
        let mut starts = vec![0; keys + 1];
        for (key, _) in pairs.clone() {
            starts[key as usize + 1] += 1;
        }
        for key in 0..keys {
            starts[key + 1] += starts[key];
        }
        let mut ends = starts.clone();
        let mut items = vec![0; starts[keys] as usize];
        for (key, item) in pairs {
            let end = &mut ends[key as usize];
            items[*end as usize] = item;
            *end += 1;
        }
        Lists { starts, items }
    }

    pub(super) fn at(&self, key: u32) -> &[u32] {
        let [start, end] = [key as usize, key as usize + 1].map(|at| self.starts[at] as usize);
        &self.items[start..end]
    }
}

/// The numbers in order, each once.
pub(super) fn sorted(numbers: impl IntoIterator<Item = u32>) -> Vec<u32> {
    let mut numbers: Vec<u32> = numbers.into_iter().collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}
