//! The best program of a saturated e-graph, as a list of ops to build.

use std::collections::{BTreeSet, HashMap};

use egg::{Id, Language};
use lepid_ir::core::{Attr, Module, OpDef};

use super::cost::CostModel;
use super::extract::{ClassId, ExtractGraph, Method, NodeId, extract};
use super::facts::Graph;
use super::import::Imported;
use super::language::Node;
use super::pieces::Piece;

/// Values to make, each from those before it. It holds for all pieces of one signature.
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    /// The steps that give the roots of the piece.
    pub(super) roots: Vec<usize>,
    /// The steps that give what the ops of the piece gave, where they are needed.
    ops: Vec<Option<usize>>,
    pub(super) cost: f64,
}

pub(super) struct Step {
    pub(super) make: Make,
    /// The ops of the piece that this comes from, by index.
    pub(super) origins: BTreeSet<usize>,
}

pub(super) enum Make {
    /// An input of the piece.
    Input(usize),
    /// A result of a step with several.
    Get { tuple: usize, index: usize },
    Op {
        def: &'static dyn OpDef,
        operands: Vec<usize>,
        attrs: Vec<Attr>,
    },
}

/// The nodes of the ops of a piece, as they were imported.
pub(super) fn originals(imported: &Imported) -> Vec<Node> {
    let ops = imported.ops.iter();
    ops.map(|&id| imported.graph.id_to_node(id).clone())
        .collect()
}

/// The cost of a piece as it was imported: each op by itself.
pub(super) fn cost_of_piece(imported: &Imported, model: &mut CostModel<'_>) -> f64 {
    let nodes = originals(imported);
    nodes.iter().map(|n| model.of(&imported.graph, n)).sum()
}

/// The cheapest program for the roots that is found; `None` if none is acyclic.
pub(super) fn cheapest(
    imported: &Imported,
    originals: &[Node],
    model: &mut CostModel<'_>,
    method: Method,
) -> Option<Plan> {
    let graph = &imported.graph;
    let find = |id: Id| graph.find(id);
    let canonical = originals.iter().map(|n| n.clone().map_children(find));
    let originals: BTreeSet<Node> = canonical.collect();
    let needed = needed(graph, &imported.roots);
    let mut choices = ExtractGraph::default();
    let classes: HashMap<Id, ClassId> = needed.iter().map(|&c| (c, choices.add_class())).collect();
    let mut found: Vec<(bool, Id, &Node)> = Vec::new();
    for &class in &needed {
        let nodes = graph[class].nodes.iter();
        found.extend(nodes.map(|n| (!originals.contains(n) && !n.is_leaf(), class, n)));
    }
    // At equal cost the program stays as it is: the first of equal nodes remains.
    found.sort_by_key(|&(new, class, _)| (new, classes[&class]));
    let mut nodes: HashMap<NodeId, &Node> = HashMap::new();
    for &(_, class, node) in &found {
        let children: Vec<ClassId> = values(graph, node).map(|c| classes[&find(c)]).collect();
        let id = choices.add_node(classes[&class], model.of(graph, node), &children);
        nodes.insert(id, node);
    }
    for &root in &imported.roots {
        choices.add_root(classes[&find(root)]);
    }
    let program = extract(&choices, method).ok()?.program;
    let chosen = program.nodes.iter().map(|&node| choices.node(node).class);
    let step_of: HashMap<ClassId, usize> = chosen.zip(0..).collect();
    let step = |id: Id| step_of[&classes[&find(id)]];
    let steps = program.nodes.iter().map(|node| Step {
        make: make(graph, nodes[node], step),
        origins: BTreeSet::new(),
    });
    Some(Plan {
        steps: steps.collect(),
        roots: imported.roots.iter().map(|&r| step(r)).collect(),
        ops: imported
            .ops
            .iter()
            .map(|&op| step_of.get(classes.get(&find(op))?).copied())
            .collect(),
        cost: program.cost,
    })
}

/// The operands of a node: attributes are no values.
fn values<'n>(graph: &'n Graph, node: &'n Node) -> impl Iterator<Item = Id> + 'n {
    let children = node.children().iter().copied();
    children.filter(|&c| graph[c].data.as_attr().is_none())
}

/// The classes that any program for the roots may need, in the order in which they are met.
fn needed(graph: &Graph, roots: &[Id]) -> Vec<Id> {
    let mut todo: Vec<Id> = roots.iter().rev().map(|&r| graph.find(r)).collect();
    let mut seen: BTreeSet<Id> = BTreeSet::new();
    let mut classes = Vec::new();
    while let Some(class) = todo.pop() {
        if !seen.insert(class) {
            continue;
        }
        classes.push(class);
        for node in &graph[class].nodes {
            todo.extend(values(graph, node).map(|c| graph.find(c)));
        }
    }
    classes
}

fn make(graph: &Graph, node: &Node, step: impl Fn(Id) -> usize) -> Make {
    match node {
        Node::Input(index) => Make::Input(*index as usize),
        Node::Get(index, [tuple]) => Make::Get {
            tuple: step(*tuple),
            index: *index as usize,
        },
        Node::Op(name, children) => {
            let attrs = children.iter().filter_map(|&c| graph[c].data.as_attr());
            Make::Op {
                def: name.0,
                operands: values(graph, node).map(step).collect(),
                attrs: attrs.cloned().collect(),
            }
        }
        Node::Attr(leaf) => lepid_ir::bug!("the attribute {leaf:?} is extracted as a value"),
    }
}

impl Plan {
    /// Says which ops of the piece each step comes from: the op of its class; an op whose class is
    /// not needed any more belongs to what has replaced its readers. No location is lost, but of
    /// ops that nothing reads.
    pub(super) fn trace(&mut self, module: &Module, piece: &Piece) {
        let place: HashMap<_, usize> = piece.ops.iter().enumerate().map(|(i, &o)| (o, i)).collect();
        let mut owners: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); piece.ops.len()];
        for (i, &op) in piece.ops.iter().enumerate().rev() {
            if let Some(step) = self.ops[i] {
                owners[i].insert(step);
                continue;
            }
            for &result in module.results(op) {
                for reader in module.uses(result) {
                    if let Some(&j) = place.get(&reader.op) {
                        let more = owners[j].clone();
                        owners[i].extend(more);
                    }
                }
            }
        }
        for (i, steps) in owners.iter().enumerate() {
            for &step in steps {
                self.steps[step].origins.insert(i);
            }
        }
        // What no op stands for belongs to its readers.
        for i in (0..self.steps.len()).rev() {
            let origins = self.steps[i].origins.clone();
            for operand in self.steps[i].operands() {
                if self.steps[operand].origins.is_empty() {
                    self.steps[operand].origins = origins.clone();
                }
            }
        }
    }
}

impl Step {
    fn operands(&self) -> Vec<usize> {
        match &self.make {
            Make::Input(_) => Vec::new(),
            Make::Get { tuple, .. } => vec![*tuple],
            Make::Op { operands, .. } => operands.clone(),
        }
    }
}
