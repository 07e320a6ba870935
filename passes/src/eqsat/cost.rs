//! What a node costs: the seconds that the target predicts.

use lepid_ir::core::Type;

use super::facts::{Facts, Graph, Sort};
use super::language::{Leaf, Node};
use super::scratch::Scratch;
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

    /// The cost of a node without its children; infinite if the target has no such op.
    pub(super) fn of(&mut self, graph: &Graph, node: &Node) -> f64 {
        let Node::Op(name, children) = node else {
            return 0.0;
        };
        let facts: Vec<&Facts> = children.iter().map(|&c| &graph[c].data).collect();
        let count = facts.len() - name.0.info().attrs.len().min(facts.len());
        let (operands, attrs) = facts.split_at(count);
        let fixed = operands.iter().all(|o| o.fixed);
        let types: Option<Vec<Type>> = operands.iter().map(|o| o.ty()).collect();
        let leaves: Option<Vec<Leaf>> = attrs
            .iter()
            .map(|a| match &a.sort {
                Sort::Attr(attr) => Some(Leaf::new(attr.clone())),
                Sort::Value(_) | Sort::Tuple(_) | Sort::Nothing => None,
            })
            .collect();
        let (Some(types), Some(leaves)) = (types, leaves) else {
            return f64::INFINITY;
        };
        let env = self.env;
        let weight = self
            .scratch
            .ask(name.0, &types, &leaves, |op| match (env.legality)(op) {
                Legality::Native | Legality::Expand => (env.seconds)(op),
                Legality::Unsupported(_) => f64::INFINITY,
            });
        let weight = weight.unwrap_or(f64::INFINITY);
        if fixed { weight * FIXED } else { weight }
    }
}
