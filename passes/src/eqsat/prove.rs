//! Why two functions are equal: the rules that turn one into the other, step by step.

use std::collections::HashMap;
use std::fmt::{self, Write};

use egg::{FlatTerm, Id, Language};
use lepid_ir::core::{Module, Op, Registry, Tensor, Value};
use lepid_ir::dialects::core::Func;

use super::Options;
use super::facts::{Analyzer, Facts, Graph, SMALL_BYTES};
use super::import::add_ops;
use super::language::Node;
use super::pieces::enters;
use super::rewrite::Rule;
use super::saturate::{Limits, saturate};

/// Why each pair of results is equal.
#[derive(Clone, Debug)]
pub struct Proof {
    pub results: Vec<Vec<ProofStep>>,
}

/// One step of a chain.
#[derive(Clone, Debug)]
pub struct ProofStep {
    /// The rule, or what the analysis has evaluated.
    pub rule: String,
    /// Whether the rule was used from left to right.
    pub forward: bool,
    /// What the step gives at its place, in the notation of rules.
    pub term: String,
}

/// Why there is no proof.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Unproven {
    /// The functions take or give other types.
    Signature(String),
    /// An op has effects, regions or a dynamic shape.
    Outside(&'static str),
    /// Nothing that was found makes these results (by index) equal.
    Different(Vec<usize>),
}

impl fmt::Display for Unproven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unproven::Signature(what) => f.write_str(what),
            Unproven::Outside(op) => write!(
                f,
                "`{op}` does not enter an e-graph: it has effects, regions or a dynamic shape"
            ),
            Unproven::Different(results) => {
                let results: Vec<String> = results.iter().map(|i| i.to_string()).collect();
                let list = results.join(", ");
                write!(f, "no chain of rules was found for the results {list}")
            }
        }
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, steps) in self.results.iter().enumerate() {
            writeln!(f, "result {i}: {} steps", steps.len())?;
            for step in steps {
                let arrow = if step.forward { "→" } else { "←" };
                writeln!(f, "  {arrow} {}\n      {}", step.rule, step.term)?;
            }
        }
        Ok(())
    }
}

/// Finds a chain of rules from each result of one function to that of another.
pub fn prove(
    (a, in_a): (&Module, Op),
    (b, in_b): (&Module, Op),
    options: &Options,
    ops: &Registry,
) -> Result<Proof, Unproven> {
    let nodes = options.nodes;
    let compiled = options.rules.iter().map(|def| Rule::compile(def, ops));
    let rules: Result<Vec<Rule>, String> = compiled.collect();
    let rules = rules.unwrap_or_else(|error| lepid_ir::bug!("{error}"));
    let mut sides = Sides {
        graph: Graph::new(Analyzer::default()).with_explanations_enabled(),
        constants: Vec::new(),
        args: 0,
    };
    let (args_a, args_b) = (Func::args(a.view(in_a)), Func::args(b.view(in_b)));
    let types = |module: &Module, values: &[Value]| -> Vec<_> {
        values.iter().map(|&v| module.value_type(v)).collect()
    };
    if types(a, args_a) != types(b, args_b) {
        return Err(Unproven::Signature(
            "the functions take other types".to_string(),
        ));
    }
    let facts = types(a, args_a).into_iter().map(Facts::value);
    sides.graph.analysis.inputs = facts.collect();
    sides.args = args_a.len();
    let left = sides.add(a, in_a)?;
    let right = sides.add(b, in_b)?;
    let mut graph = sides.graph;
    if left.len() != right.len() {
        return Err(Unproven::Signature(
            "the functions give other results".to_string(),
        ));
    }
    graph.rebuild();
    let limits = Limits {
        nodes,
        iterations: 1,
        matches: 2000,
    };
    let differ = |graph: &Graph| -> Vec<usize> {
        let pairs = left.iter().zip(&right).enumerate();
        let unequal = pairs.filter(|(_, (x, y))| graph.find(**x) != graph.find(**y));
        unequal.map(|(i, _)| i).collect()
    };
    // Step by step, since a proof is as long as what was tried before it was found.
    while !differ(&graph).is_empty() && graph.total_size() < nodes {
        if saturate(&mut graph, &rules, limits).fired.is_empty() {
            break;
        }
    }
    let different = differ(&graph);
    if !different.is_empty() {
        return Err(Unproven::Different(different));
    }
    let pairs = left.iter().zip(&right);
    let results = pairs.map(|(&x, &y)| {
        let mut explanation = graph.explain_id_equivalence(x, y);
        let flat = explanation.make_flat_explanation();
        flat.iter().filter_map(step).collect()
    });
    Ok(Proof {
        results: results.collect(),
    })
}

/// Both functions in one graph, on the same arguments and constants.
struct Sides {
    graph: Graph,
    /// Large constants, numbered behind the arguments.
    constants: Vec<Tensor>,
    args: usize,
}

impl Sides {
    /// Adds a function; gives the classes of its results.
    fn add(&mut self, module: &Module, func: Op) -> Result<Vec<Id>, Unproven> {
        let view = module.view(func);
        let mut classes: HashMap<Value, Id> = HashMap::new();
        for (i, &arg) in Func::args(view).iter().enumerate() {
            classes.insert(arg, self.graph.add_uncanonical(Node::Input(i as u32)));
        }
        let block = Func::block(view);
        for op in module.ops_in(block) {
            if Some(op) == module.terminator(block) {
                let results = module.operands(op).iter();
                return Ok(results.map(|v| classes[v]).collect());
            }
            let results = module.results(op);
            let constant = results.first().and_then(|&r| module.constant_value(r));
            match constant.filter(|t| t.bytes().len() > SMALL_BYTES) {
                Some(tensor) => {
                    let input = self.input(tensor);
                    classes.insert(results[0], self.graph.add_uncanonical(Node::Input(input)));
                }
                None if enters(module, op) || constant.is_some() => {
                    let added = add_ops(module, &mut self.graph, &mut classes, &[op]);
                    added.ok_or(Unproven::Outside(module.op_name(op)))?;
                }
                None => return Err(Unproven::Outside(module.op_name(op))),
            }
        }
        Ok(Vec::new())
    }

    /// The input that is this constant in both functions.
    fn input(&mut self, tensor: &Tensor) -> u32 {
        let known = self.constants.iter().position(|t| t == tensor);
        let index = known.unwrap_or_else(|| {
            self.constants.push(tensor.clone());
            self.graph
                .analysis
                .inputs
                .push(Facts::constant(tensor.clone()));
            self.constants.len() - 1
        });
        (self.args + index) as u32
    }
}

/// The rewrite that a term of an explanation is marked with; the first term has none.
fn step(term: &FlatTerm<Node>) -> Option<ProofStep> {
    let rule = match (term.forward_rule, term.backward_rule) {
        (Some(rule), _) => Some((rule, true)),
        (None, Some(rule)) => Some((rule, false)),
        (None, None) => None,
    };
    match rule {
        Some((rule, forward)) => {
            let mut text = String::new();
            write_term(term, 4, &mut text);
            Some(ProofStep {
                rule: rule.to_string(),
                forward,
                term: text,
            })
        }
        None => term.children.iter().find_map(step),
    }
}

fn write_term(term: &FlatTerm<Node>, depth: usize, text: &mut String) {
    if term.node.is_leaf() {
        let _ = write!(text, "{}", term.node);
        return;
    }
    if depth == 0 {
        return text.push('…');
    }
    let _ = write!(text, "({}", term.node);
    for child in &term.children {
        text.push(' ');
        write_term(child, depth - 1, text);
    }
    text.push(')');
}
