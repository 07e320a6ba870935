//! An e-graph as the JSON of the egraph-serialize format, which other extractors read.

use std::fmt::Write;

use egg::{Id, Language};

use super::cost::CostModel;
use super::extract::NEVER;
use super::import::Imported;

/// E-graphs that are written as one.
#[derive(Default)]
pub(super) struct Dump {
    graphs: usize,
    nodes: Vec<String>,
    roots: Vec<String>,
}

impl Dump {
    /// Adds all nodes of a graph with their costs; attributes are nodes of cost zero.
    pub(super) fn add(&mut self, imported: &Imported, model: &mut CostModel<'_>) {
        let graph = &imported.graph;
        let prefix = format!("g{}", self.graphs);
        self.graphs += 1;
        let mut classes: Vec<Id> = graph.classes().map(|c| c.id).collect();
        classes.sort_unstable();
        for class in classes {
            for (i, node) in graph[class].nodes.iter().enumerate() {
                // Any node of a class stands for it.
                let children = node.children().iter();
                let children = children.map(|&c| format!("\"{prefix}.{}.0\"", graph.find(c)));
                let children = children.collect::<Vec<String>>().join(", ");
                let op = quoted(&node.to_string());
                // JSON has no infinity.
                let cost = model.of(graph, node).min(NEVER);
                self.nodes.push(format!(
                    "    \"{prefix}.{class}.{i}\": {{\"op\": {op}, \"children\": [{children}], \"eclass\": \"{prefix}.{class}\", \"cost\": {cost:?}}}"
                ));
            }
        }
        let roots = imported.roots.iter();
        self.roots
            .extend(roots.map(|&r| format!("\"{prefix}.{}\"", graph.find(r))));
    }

    pub(super) fn finish(self) -> String {
        format!(
            "{{\n  \"nodes\": {{\n{}\n  }},\n  \"root_eclasses\": [{}]\n}}\n",
            self.nodes.join(",\n"),
            self.roots.join(", ")
        )
    }
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
