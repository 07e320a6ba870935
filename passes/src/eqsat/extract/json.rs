//! The JSON form of an e-graph, as egraph-serialize defines it and extraction-gym reads it.
//!
//! ```json
//! {"nodes": {"n0": {"op": "Relu", "eclass": "c0", "children": ["n1"], "cost": 0.5}, …},
//!  "root_eclasses": ["c0"]}
//! ```
//!
//! Children are nodes and stand for the classes that those are in. The format has no infinity:
//! [`NEVER`] is written as [`NEVER_IN_FILE`].

use std::fmt;

use indexmap::{IndexMap, IndexSet};
use serde::{Deserialize, Serialize};

use super::graph::{ExtractGraph, NEVER, NodeId};

/// Costs of a file from here on mean [`NEVER`].
pub const NEVER_IN_FILE: f64 = 1e300;

/// A whole file. Nodes keep their order: the first is node 0 of the graph.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GraphFile {
    pub nodes: IndexMap<String, FileNode>,
    #[serde(default)]
    pub root_eclasses: Vec<String>,
    /// What else stands in the file, kept as it is.
    #[serde(flatten)]
    pub rest: IndexMap<String, serde_json::Value>,
}

/// A node of a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FileNode {
    /// What a reader should know of the node.
    pub op: String,
    #[serde(default)]
    pub children: Vec<String>,
    pub eclass: String,
    #[serde(default = "one")]
    pub cost: f64,
}

fn one() -> f64 {
    1.0
}

impl GraphFile {
    /// The file of a graph, with `op` to describe its nodes.
    pub fn of(
        graph: &ExtractGraph,
        mut op: impl FnMut(NodeId) -> String,
    ) -> Result<GraphFile, FileError> {
        let name = |node: NodeId| format!("n{}", node.as_u32());
        let mut file = GraphFile::default();
        for (id, node) in graph.nodes() {
            let first = |&child| match graph.members(child) {
                [first, ..] => Ok(name(*first)),
                [] => Err(FileError::EmptyClass(format!("{child}"))),
            };
            let file_node = FileNode {
                op: op(id),
                children: node.children.iter().map(first).collect::<Result<_, _>>()?,
                eclass: format!("c{}", node.class.as_u32()),
                cost: node.cost.min(NEVER_IN_FILE),
            };
            file.nodes.insert(name(id), file_node);
        }
        let roots = graph.roots().iter();
        file.root_eclasses = roots.map(|root| format!("c{}", root.as_u32())).collect();
        Ok(file)
    }

    /// The graph of a file. Classes are numbered in the order in which nodes name them.
    pub fn graph(&self) -> Result<ExtractGraph, FileError> {
        let names: IndexSet<&str> = self.nodes.values().map(|node| &*node.eclass).collect();
        let mut graph = ExtractGraph::default();
        let classes: Vec<_> = names.iter().map(|_| graph.add_class()).collect();
        let class = |name: &str| {
            let index = names.get_index_of(name);
            index
                .map(|index| classes[index])
                .ok_or_else(|| FileError::UnknownClass(name.to_owned()))
        };
        for (name, node) in &self.nodes {
            let cost = if node.cost >= NEVER_IN_FILE { NEVER } else { node.cost };
            if !(cost >= 0.0) {
                return Err(FileError::Cost(name.clone(), cost));
            }
            let child = |child: &String| match self.nodes.get(child) {
                Some(child) => class(&child.eclass),
                None => Err(FileError::UnknownNode(child.clone())),
            };
            let children = node.children.iter().map(child).collect::<Result<Vec<_>, _>>()?;
            graph.add_node(class(&node.eclass)?, cost, &children);
        }
        for root in &self.root_eclasses {
            graph.add_root(class(root)?);
        }
        Ok(graph)
    }
}

/// Why a file is no graph, or a graph no file.
#[derive(Clone, Debug, PartialEq)]
pub enum FileError {
    UnknownClass(String),
    UnknownNode(String),
    /// The format names a class by a node of it.
    EmptyClass(String),
    /// The cost of the named node is below zero.
    Cost(String, f64),
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FileError::UnknownClass(name) => write!(f, "no node is in the class `{name}`"),
            FileError::UnknownNode(name) => write!(f, "no node is named `{name}`"),
            FileError::EmptyClass(name) => write!(f, "`{name}` has no node to be named by"),
            FileError::Cost(name, cost) => write!(f, "node `{name}` has the cost {cost}"),
        }
    }
}

impl std::error::Error for FileError {}
