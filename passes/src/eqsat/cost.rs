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
        if fixed {
            return FIXED * self.ask(&question, None);
        }
        let mut best = self.ask(&question, None);
        if name.0.info().has(Trait::Elementwise) {
            for (i, &operand) in operands.iter().enumerate() {
                for producer in layers(graph, operand) {
                    best = best.min(self.ask(&question, Some((i, &producer))));
                }
            }
        }
        best
    }

    fn ask(&mut self, question: &Question, producer: Option<(usize, &Question)>) -> f64 {
        let env = self.env;
        let weight = self
            .scratch
            .ask_behind(question, producer, |op| match (env.legality)(op) {
                Legality::Native | Legality::Expand => (env.seconds)(op),
                Legality::Unsupported(_) => f64::INFINITY,
            });
        weight.unwrap_or(f64::INFINITY)
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

/// The ops of a class that do more than move elements or compute them one by one, one of each name.
fn layers(graph: &Graph, class: Id) -> Vec<Question> {
    let mut found: Vec<Question> = Vec::new();
    for node in &graph[class].nodes {
        let Node::Op(name, children) = node else {
            continue;
        };
        let layer = name.as_str().starts_with("nn.") && !name.0.info().has(Trait::Elementwise);
        if layer && found.iter().all(|(other, ..)| other != name) {
            found.extend(question(graph, *name, children));
        }
    }
    found
}
