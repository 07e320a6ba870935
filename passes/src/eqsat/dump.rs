//! An e-graph as the JSON of the egraph-serialize format, which other extractors read.

use std::fmt::Write;

use egg::{Id, Language};

use super::cost::CostModel;
use super::facts::Graph;
use super::import::Imported;

/// All nodes with their costs. Attributes are nodes of cost zero; what must not be chosen is left out.
pub(super) fn dump(imported: &Imported, model: &mut CostModel<'_>) -> String {
    let graph = &imported.graph;
    let mut classes: Vec<Id> = graph.classes().map(|c| c.id).collect();
    classes.sort_unstable();
    let mut text = String::from("{\n  \"nodes\": {");
    let mut comma = "";
    for &class in &classes {
        for (i, node) in graph[class].nodes.iter().enumerate() {
            let cost = model.of(graph, node);
            if cost.is_infinite() {
                continue;
            }
            let children = node.children().iter();
            let children: Vec<String> = children.map(|&c| format!("\"{}\"", name(graph, c))).collect();
            let _ = write!(
                text,
                "{comma}\n    \"{class}.{i}\": {{\"op\": {}, \"children\": [{}], \"eclass\": \"{class}\", \"cost\": {cost:?}}}",
                quoted(&node.to_string()),
                children.join(", "),
            );
            comma = ",";
        }
    }
    let roots = imported.roots.iter().map(|&r| format!("\"{}\"", graph.find(r)));
    let roots: Vec<String> = roots.collect();
    let _ = write!(text, "\n  }},\n  \"root_eclasses\": [{}]\n}}\n", roots.join(", "));
    text
}

/// A node that stands for a class.
fn name(graph: &Graph, class: Id) -> String {
    format!("{}.0", graph.find(class))
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
