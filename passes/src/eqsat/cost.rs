//! What a node costs: the seconds that the target predicts.

use egg::Id;
use lepid_ir::core::{Trait, Type};

use super::facts::{Facts, Graph};
use super::language::{Leaf, Node, OpName};
use super::scratch::{Question, Scratch};
use crate::core::{Legality, PassEnv};

/// What is evaluated while compiling costs next to nothing, but less is better.
const FIXED: f64 = 1e-7;

/// Asks the target.
pub(super) struct CostModel<'e> {
    env: &'e PassEnv<'e>,
    scratch: Scratch,
}

impl<'e> CostModel<'e> {
    pub(super) fn new(env: &'e PassEnv<'e>) -> CostModel<'e> {
        CostModel {
            env,
            scratch: Scratch::default(),
        }
    }

    /// The cost of a node without its children; infinite if the target has no such op. An op that
    /// computes element by element is asked for behind what may give its operands, as it may become
    /// part of that.
    pub(super) fn of(&mut self, graph: &Graph, node: &Node) -> f64 {
        let Node::Op(name, children) = node else {
            return 0.0;
        };
        let Some(question) = question(graph, *name, children) else {
            return f64::INFINITY;
        };
        let operands = &children[..question.1.len()];
        let fixed = operands.iter().all(|&o| graph[o].data.fixed);
        let behind = name.0.info().has(Trait::Elementwise) && !fixed;
        let producers: Vec<Option<Question>> = match behind {
            true => operands.iter().map(|&o| producer(graph, o)).collect(),
            false => Vec::new(),
        };
        let env = self.env;
        let weight = self
            .scratch
            .ask_behind(&question, &producers, |op| match (env.legality)(op) {
                Legality::Native | Legality::Expand => (env.seconds)(op),
                Legality::Unsupported(_) => f64::INFINITY,
            });
        let weight = weight.unwrap_or(f64::INFINITY);
        if fixed { weight * FIXED } else { weight }
    }
}

/// What an op is asked by; nothing if a type is not known.
fn question(graph: &Graph, name: OpName, children: &[Id]) -> Option<Question> {
    let facts: Vec<&Facts> = children.iter().map(|&c| &graph[c].data).collect();
    let count = facts.len().checked_sub(name.0.info().attrs.len())?;
    let (operands, attrs) = facts.split_at(count);
    let types: Option<Vec<Type>> = operands.iter().map(|o| o.ty()).collect();
    let leaves: Option<Vec<Leaf>> = attrs.iter().map(|a| a.as_leaf().cloned()).collect();
    Some((name, types?, leaves?))
}

/// An op of a class that does more than move elements or compute them one by one.
fn producer(graph: &Graph, class: Id) -> Option<Question> {
    let mut layers = graph[class].nodes.iter().filter_map(|node| match node {
        Node::Op(name, children) if name.as_str().starts_with("nn.") => {
            let layer = !name.0.info().has(Trait::Elementwise);
            layer.then_some((*name, children))
        }
        _ => None,
    });
    let (name, children) = layers.next()?;
    question(graph, name, children)
}
