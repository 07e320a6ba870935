//! Extraction: the choice of one node per class that costs least, shared work paid once.
//!
//! What it is: [`ExtractGraph`] goes in, [`Extraction`] comes out, by the [`Method`] asked for.
//! What it may not know of: egg, our IR, and what the nodes mean.
//!
//! Begin with [`extract`], then `settle.rs`, `reduce.rs`, `exact.rs`.

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
pub use json::{FileError, FileNode, GraphFile, NEVER_IN_FILE};

use problem::{Problem, Scale, Solution, Ticks};
use search::Search;

/// How to extract.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Method {
    /// The cheapest tree: shared work is paid at each use. For comparison.
    Tree,
    /// Each class rests on the cheapest set of nodes; then local search.
    Greedy,
    /// The best of all choices, if the search ends within so many steps.
    Exact { steps: usize },
}

/// A choice that is valid, and what is known of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Extraction {
    /// A node for each class that the roots need, and maybe for others.
    pub choice: Choice,
    pub program: Program,
    /// No choice costs less. Zero for methods that prove nothing.
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

pub fn extract(graph: &ExtractGraph, method: Method) -> Result<Extraction, NoProgram> {
    let scale = Scale::of(graph);
    let whole = Problem::of(graph, scale);
    if method == Method::Tree {
        let index = whole.index();
        let chosen = tree::tree(&whole, &index);
        if whole.needed.iter().any(|&class| chosen[class as usize].is_none()) {
            return Err(NoProgram);
        }
        let solution = whole.solution(&whole.in_use(&chosen));
        return Ok(finish(graph, &solution, 0, scale, 0));
    }
    let mut search = Search { budget: 0, steps: 0 };
    if let Method::Exact { steps } = method {
        search.budget = steps;
    }
    let answer = search.solve(whole, Ticks::MAX, 0);
    let solution = answer.best.ok_or(NoProgram)?;
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
