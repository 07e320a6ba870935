//! The JSON form of an e-graph, as egraph-serialize defines it and extraction-gym reads it.
//!
//! ```json
//! {"nodes": {"n0": {"op": "Relu", "eclass": "c0", "children": ["n1"], "cost": 0.5}, …},
//!  "root_eclasses": ["c0"]}
//! ```
//!
//! Children are nodes and stand for the classes that those are in.

use std::fmt;

use indexmap::{IndexMap, IndexSet};
use serde::{Deserialize, Serialize};

use super::graph::{ExtractGraph, NodeId};

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
                cost: node.cost,
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
            if node.cost < 0.0 {
                return Err(FileError::Cost(name.clone(), node.cost));
            }
            let child = |child: &String| match self.nodes.get(child) {
                Some(child) => class(&child.eclass),
                None => Err(FileError::UnknownNode(child.clone())),
            };
            let children = node
                .children
                .iter()
                .map(child)
                .collect::<Result<Vec<_>, _>>()?;
            graph.add_node(class(&node.eclass)?, node.cost, &children);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eqsat::extract::ClassId;

    const FILE: &str = r#"{
        "comment": "kept",
        "nodes": {
            "b": {"op": "f", "eclass": "2", "children": ["a", "a2"]},
            "a": {"op": "x", "eclass": "1", "cost": 0.1},
            "a2": {"op": "y", "eclass": "1", "children": [], "cost": 1e300}
        },
        "root_eclasses": ["2"]
    }"#;

    #[test]
    fn reads_what_extraction_gym_writes() {
        let graph = read(FILE).graph().unwrap();
        let [two, one] = [0, 1].map(ClassId::from_u32);
        assert_eq!(graph.roots(), [two]);
        assert_eq!((graph.class_count(), graph.node_count()), (2, 3));
        let node = graph.node(graph.members(two)[0]);
        assert_eq!((node.cost, &*node.children), (1.0, &[one, one][..]));
        assert_eq!(
            graph.node(graph.members(one)[1]).cost,
            crate::eqsat::extract::NEVER
        );
    }

    #[test]
    fn keeps_what_it_does_not_know() {
        let text = serde_json::to_string(&read(FILE)).unwrap();
        assert!(text.contains(r#""comment":"kept""#));
        assert_eq!(read(&text), read(FILE));
    }

    #[test]
    fn says_what_is_wrong() {
        let error = |from: &str, to: &str| {
            read(&FILE.replace(from, to))
                .graph()
                .unwrap_err()
                .to_string()
        };
        assert_eq!(error(r#"["2"]"#, r#"["3"]"#), "no node is in the class `3`");
        assert_eq!(error(r#""a2"]"#, r#""a3"]"#), "no node is named `a3`");
        assert_eq!(error("0.1", "-0.1"), "node `a` has the cost -0.1");
        let mut graph = ExtractGraph::default();
        let [class, empty] = [(); 2].map(|()| graph.add_class());
        graph.add_node(class, 1.0, &[empty]);
        let error = GraphFile::of(&graph, |_| String::new()).unwrap_err();
        assert_eq!(error.to_string(), "`class1` has no node to be named by");
    }

    fn read(text: &str) -> GraphFile {
        serde_json::from_str(text).unwrap()
    }
}
