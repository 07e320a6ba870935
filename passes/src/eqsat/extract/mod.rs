//! Extraction: the choice of one node per class that costs least, shared work paid once.
//!
//! What it is: [`ExtractGraph`] goes in, [`Extraction`] comes out, by the [`Method`] asked for.
//! What it may not know of: egg, our IR, and what the nodes mean.
//!
//! Begin with [`extract`], then `settle.rs`, `reduce.rs`, `search.rs`.

mod bound;
mod choice;
mod graph;
mod greedy;
mod improve;
mod json;
mod parts;
mod problem;
mod reduce;
mod required;
mod search;
mod settle;
mod tree;

use std::fmt;

pub use choice::{Choice, Flaw, Program, better, check};
pub use graph::{ClassId, ExtractGraph, NEVER, Node, NodeId};
pub use json::{FileError, FileNode, GraphFile};

use problem::{Problem, Scale, Solution, Ticks};
use search::Search;
use tree::cheapest_tree;

/// How to extract.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Method {
    /// The cheapest trees: a class is paid by each node that uses it. For comparison.
    Tree,
    /// Each class takes the node that rests on the cheapest set, at several prices; then local search.
    Greedy,
    /// Goes on from there to the best of all choices, if the search ends within so many steps;
    /// otherwise to a better bound and maybe a better choice.
    Exact { steps: usize },
}

/// A choice that is valid, and what is known of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Extraction {
    /// A node for each class that the roots need, and maybe for others.
    pub choice: Choice,
    pub program: Program,
    /// No choice costs less. Trees prove nothing: zero.
    pub lower_bound: f64,
    /// Whether the bound is reached, up to the rounding of sums.
    pub optimal: bool,
    /// How many steps the search took.
    pub steps: usize,
}

/// The roots cannot be computed: all ways to do so are circular, or cost [`NEVER`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NoProgram;

impl fmt::Display for NoProgram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the roots cannot be computed")
    }
}

impl std::error::Error for NoProgram {}

/// Extracts by `method`. The result is a valid program, and none costs more than the cheapest tree.
pub fn extract(graph: &ExtractGraph, method: Method) -> Result<Extraction, NoProgram> {
    let scale = Scale::of(graph);
    let whole = Problem::of(graph, scale);
    let tree = cheapest_tree(&whole).ok_or(NoProgram)?;
    let budget = match method {
        Method::Tree => return Ok(finish(graph, &tree, 0, scale, 0)),
        Method::Greedy => 0,
        Method::Exact { steps } => steps,
    };
    let mut search = Search { budget, steps: 0 };
    let answer = search.solve(whole, tree.cost, 0);
    let solution = answer.best.unwrap_or(tree);
    Ok(finish(graph, &solution, answer.lower, scale, search.steps))
}

fn finish(
    graph: &ExtractGraph,
    solution: &Solution,
    lower: Ticks,
    scale: Scale,
    steps: usize,
) -> Extraction {
    let choice = solution.choice(graph);
    let program = check(graph, &choice).expect("what was extracted is a program");
    Extraction {
        lower_bound: scale.cost(lower).min(program.cost),
        optimal: lower >= solution.cost,
        choice,
        program,
        steps,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Classes by number, each a list of nodes with their cost and children; class 0 is the root.
    pub(super) fn graph(classes: &[&[(f64, &[u32])]]) -> ExtractGraph {
        let mut graph = ExtractGraph::default();
        for _ in classes {
            graph.add_class();
        }
        for (class, nodes) in graph.classes().zip(classes) {
            for (cost, children) in *nodes {
                let children: Vec<ClassId> = children
                    .iter()
                    .map(|&child| ClassId::from_u32(child))
                    .collect();
                graph.add_node(class, *cost, &children);
            }
        }
        graph.add_root(ClassId::from_u32(0));
        graph
    }

    pub(super) fn problem(classes: &[&[(f64, &[u32])]]) -> Problem {
        Problem::of(&graph(classes), Scale::ONE)
    }

    const EXACT: Method = Method::Exact { steps: 1_000 };

    fn cost(graph: &ExtractGraph, method: Method) -> f64 {
        extract(graph, method).unwrap().program.cost
    }

    #[test]
    fn sharing_within_a_class_is_seen_by_greedy_and_not_by_trees() {
        // The shared child costs 5 once, 10 as a tree; the alternative costs 8.
        let graph = graph(&[
            &[(0.0, &[1]), (8.0, &[])],
            &[(1.0, &[2, 3])],
            &[(0.0, &[4])],
            &[(0.0, &[4])],
            &[(5.0, &[])],
        ]);
        assert_eq!(cost(&graph, Method::Tree), 8.0);
        assert_eq!(cost(&graph, Method::Greedy), 6.0);
        assert_eq!(cost(&graph, EXACT), 6.0);
    }

    #[test]
    fn sharing_between_classes_is_found_by_opening_what_is_shared() {
        // Each class alone takes its own product of 6; one wide product of 10 serves both.
        let graph = graph(&[
            &[(0.0, &[1, 2])],
            &[(6.0, &[]), (0.0, &[3])],
            &[(6.0, &[]), (0.0, &[3])],
            &[(10.0, &[])],
        ]);
        assert_eq!(cost(&graph, Method::Tree), 12.0);
        assert_eq!(cost(&graph, Method::Greedy), 10.0);
        assert_eq!(cost(&graph, EXACT), 10.0);
    }

    #[test]
    fn free_cycles_are_not_taken() {
        let graph = graph(&[
            &[(0.0, &[1, 2])],
            &[(0.0, &[2]), (3.0, &[])],
            &[(0.0, &[1]), (4.0, &[])],
        ]);
        for method in [Method::Tree, Method::Greedy, EXACT] {
            assert_eq!(cost(&graph, method), 3.0, "{method:?}");
        }
    }

    #[test]
    fn the_first_of_equals_is_chosen() {
        let graph = graph(&[
            &[(0.0, &[1])],
            &[(2.0, &[]), (2.0, &[]), (1.0, &[2])],
            &[(1.0, &[])],
        ]);
        for method in [Method::Tree, Method::Greedy, EXACT] {
            let found = extract(&graph, method).unwrap();
            let chosen = found.choice.get(ClassId::from_u32(1));
            assert_eq!(
                chosen,
                Some(graph.members(ClassId::from_u32(1))[0]),
                "{method:?}"
            );
        }
    }

    #[test]
    fn what_cannot_be_computed_is_no_program() {
        let circular = graph(&[&[(1.0, &[1])], &[(1.0, &[0])]]);
        let never = graph(&[&[(NEVER, &[])]]);
        for method in [Method::Tree, Method::Greedy, EXACT] {
            assert_eq!(extract(&circular, method), Err(NoProgram));
            assert_eq!(extract(&never, method), Err(NoProgram));
        }
    }

    #[test]
    fn nothing_needed_costs_nothing() {
        let found = extract(&ExtractGraph::default(), EXACT).unwrap();
        assert!(found.optimal && found.program.nodes.is_empty());
    }

    #[test]
    fn costs_of_any_size_are_compared() {
        for unit in [1e-30, 1.0, 1e30, 1e290] {
            let graph = graph(&[&[(3.0 * unit, &[]), (unit, &[1])], &[(unit, &[])]]);
            assert_eq!(cost(&graph, EXACT), 2.0 * unit);
        }
    }

    #[test]
    fn deep_graphs_are_no_deep_recursion() {
        let mut graph = ExtractGraph::default();
        let mut last = graph.add_class();
        graph.add_node(last, 1.0, &[]);
        for _ in 0..100_000 {
            let next = graph.add_class();
            graph.add_node(next, 1.0, &[last]);
            graph.add_node(next, 1.5, &[last]);
            last = next;
        }
        graph.add_root(last);
        for method in [Method::Tree, Method::Greedy, EXACT] {
            assert_eq!(cost(&graph, method), 100_001.0);
        }
    }
}
