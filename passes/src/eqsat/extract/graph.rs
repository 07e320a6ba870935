//! What is extracted from: classes of equal nodes.

use cranelift_entity::{PrimaryMap, entity_impl};

/// A class of nodes that all compute the same.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClassId(u32);
entity_impl!(ClassId, "class");

/// A node: one way to compute what its class stands for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(u32);
entity_impl!(NodeId, "node");

/// From this cost on no extraction may choose a node. Finite, as JSON has no infinity.
pub const NEVER: f64 = 1e300;

/// An e-graph as extraction sees it: costs and children, nothing of what the nodes are.
///
/// Ids are dense and in order of creation, and every algorithm walks in that order, so that equal
/// graphs give equal extractions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExtractGraph {
    classes: PrimaryMap<ClassId, Vec<NodeId>>,
    nodes: PrimaryMap<NodeId, Node>,
    roots: Vec<ClassId>,
}

/// See [`NodeId`].
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub class: ClassId,
    /// What the node costs beside its children: from zero to [`NEVER`].
    pub cost: f64,
    /// The classes that the node computes from; one may stand here twice.
    pub children: Vec<ClassId>,
}

impl ExtractGraph {
    /// A class without nodes, yet.
    pub fn add_class(&mut self) -> ClassId {
        self.classes.push(Vec::new())
    }

    /// Adds a node to `class`. Its children may get their nodes later, so that cycles can be built.
    ///
    /// # Panics
    ///
    /// If the cost is negative or not a number, or a class is not of this graph.
    pub fn add_node(&mut self, class: ClassId, cost: f64, children: &[ClassId]) -> NodeId {
        assert!(cost >= 0.0, "a node of cost {cost}");
        assert!(children.iter().all(|&child| self.classes.is_valid(child)));
        let node = self.nodes.push(Node {
            class,
            cost: cost.min(NEVER),
            children: children.to_vec(),
        });
        self.classes[class].push(node);
        node
    }

    /// Says that an extraction needs `class`.
    ///
    /// # Panics
    ///
    /// If the class is not of this graph.
    pub fn add_root(&mut self, class: ClassId) {
        assert!(self.classes.is_valid(class));
        self.roots.push(class);
    }

    pub fn roots(&self) -> &[ClassId] {
        &self.roots
    }

    pub fn class_count(&self) -> usize {
        self.classes.len()
    }

    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }

    pub fn classes(&self) -> impl Iterator<Item = ClassId> + use<> {
        self.classes.keys()
    }

    /// The nodes of `class`.
    pub fn members(&self, class: ClassId) -> &[NodeId] {
        &self.classes[class]
    }

    pub fn nodes(&self) -> impl Iterator<Item = (NodeId, &Node)> {
        self.nodes.iter()
    }

    pub fn node(&self, node: NodeId) -> &Node {
        &self.nodes[node]
    }
}
