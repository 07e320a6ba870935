//! Applies rules until nothing is new, or a limit is met. No clock: the same graph grows alike.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::facts::Graph;
use super::report::Stop;
use super::rewrite::{Match, Rule};

/// When to stop.
#[derive(Copy, Clone, Debug)]
pub(super) struct Limits {
    pub(super) nodes: usize,
    pub(super) iterations: usize,
    /// Matches of one rule in one iteration.
    pub(super) matches: usize,
}

/// Matches of a rule that joins several roots: each adds much to search, and few are chosen.
const JOINS: usize = 48;

/// What a saturation did.
pub(super) struct Saturation {
    pub(super) stop: Stop,
    pub(super) iterations: usize,
    /// How often each rule merged two classes.
    pub(super) fired: BTreeMap<&'static str, usize>,
    /// The cases and matches of each rule that were applied, which would give the same again.
    done: HashMap<&'static str, HashSet<(usize, Match)>>,
}

/// Rules that join several roots are applied once, when the others have come to an end.
pub(super) fn saturate(graph: &mut Graph, rules: &[Rule], limits: Limits) -> Saturation {
    let mut run = Saturation {
        stop: Stop::Saturated,
        iterations: 0,
        fired: BTreeMap::new(),
        done: HashMap::new(),
    };
    let (joining, others): (Vec<&Rule>, Vec<&Rule>) = rules.iter().partition(|r| r.joins());
    run.repeat(graph, &others, limits);
    let pairs = Limits {
        matches: JOINS,
        ..limits
    };
    if run.stop == Stop::Saturated && run.step(graph, &joining, pairs) {
        run.repeat(graph, &others, limits);
    }
    run
}

impl Saturation {
    fn repeat(&mut self, graph: &mut Graph, rules: &[&Rule], limits: Limits) {
        while self.step(graph, rules, limits) {
            if graph.total_size() >= limits.nodes {
                self.stop = Stop::Nodes;
                return;
            }
            if self.iterations >= limits.iterations {
                self.stop = Stop::Iterations;
                return;
            }
        }
    }

    /// One search with all rules, then one application of all that was found. Whether it was new.
    fn step(&mut self, graph: &mut Graph, rules: &[&Rule], limits: Limits) -> bool {
        self.iterations += 1;
        let found: Vec<Vec<(usize, Match)>> = rules
            .iter()
            .map(|rule| rule.search(graph, limits.matches))
            .collect();
        let mut new = false;
        for (rule, matches) in rules.iter().zip(found) {
            let done = self.done.entry(rule.def.name).or_default();
            for place in matches {
                if graph.total_size() >= limits.nodes {
                    break;
                }
                if done.contains(&place) {
                    continue;
                }
                let Some(merged) = rule.apply(graph, place.0, &place.1) else {
                    continue;
                };
                done.insert(place);
                if merged {
                    *self.fired.entry(rule.def.name).or_default() += 1;
                    new = true;
                }
            }
        }
        graph.rebuild();
        new
    }
}
