//! The order of nodes: a file may list them in any.

use std::collections::{BTreeMap, BTreeSet};

use lepid_ir::core::{Code, Diagnostic, Diagnostics, Loc, Symbol};

use super::graph::Scope;
use super::proto::{GraphProto, NodeProto};

/// The name of a node in messages and locations.
pub(super) fn label(node: &NodeProto) -> String {
    let output = node.output.iter().find(|o| !o.is_empty());
    match (node.name.is_empty(), output) {
        (false, _) => node.name.clone(),
        (true, Some(output)) => format!("{}:{output}", node.op_type),
        (true, None) => node.op_type.clone(),
    }
}

/// The location of what a node becomes.
pub(super) fn node_loc(node: &NodeProto) -> Loc {
    Loc::Name(Symbol::new(&label(node)))
}

/// Node indices such that each comes after those it reads from; the order of the file is kept
/// where it is already such an order. `scope` holds the names that exist before the first node.
/// Names that nothing defines are reported, and the nodes that read them keep their place.
pub(super) fn order(
    nodes: &[NodeProto],
    scope: &Scope<'_>,
    found: &mut Diagnostics,
) -> Option<Vec<usize>> {
    let mut producers: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, node) in nodes.iter().enumerate() {
        for output in node.output.iter().filter(|o| !o.is_empty()) {
            if scope.defines(output) || producers.insert(output, index).is_some() {
                found.push(Diagnostic::error(
                    Code::ONNX_GRAPH,
                    node_loc(node),
                    format!("`{output}` is defined twice"),
                ));
            }
        }
    }
    let mut reads: Vec<Vec<usize>> = Vec::with_capacity(nodes.len());
    for node in nodes {
        let mut from = Vec::new();
        for name in names_read(node) {
            match producers.get(name) {
                Some(&index) => from.push(index),
                None if scope.find(name).is_some() => {}
                None => found.push(Diagnostic::error(
                    Code::ONNX_GRAPH,
                    node_loc(node),
                    format!("`{name}` is read, but nothing defines it"),
                )),
            }
        }
        reads.push(from);
    }
    match sort(&reads) {
        Ok(order) => Some(order),
        Err(cycle) => {
            let names: Vec<String> = cycle
                .iter()
                .map(|&i| format!("`{}`", label(&nodes[i])))
                .collect();
            let shown = names[..names.len().min(8)].join(", ");
            found.push(Diagnostic::error(
                Code::ONNX_GRAPH,
                node_loc(&nodes[cycle[0]]),
                format!("nodes read each other in a circle: {shown}"),
            ));
            None
        }
    }
}

/// Depth first, without recursion: a model may be a chain of any length.
fn sort(reads: &[Vec<usize>]) -> Result<Vec<usize>, Vec<usize>> {
    #[derive(Copy, Clone, PartialEq)]
    enum State {
        New,
        Open,
        Done,
    }
    let mut state = vec![State::New; reads.len()];
    let mut out = Vec::with_capacity(reads.len());
    for start in 0..reads.len() {
        let mut stack = vec![(start, 0)];
        while let Some((node, next)) = stack.pop() {
            if state[node] == State::Done {
                continue;
            }
            state[node] = State::Open;
            let Some(&from) = reads[node].get(next) else {
                state[node] = State::Done;
                out.push(node);
                continue;
            };
            stack.push((node, next + 1));
            match state[from] {
                State::Done => {}
                State::New => stack.push((from, 0)),
                State::Open => {
                    let begin = stack.iter().position(|&(n, _)| n == from).unwrap_or(0);
                    return Err(stack[begin..].iter().map(|&(n, _)| n).collect());
                }
            }
        }
    }
    Ok(out)
}

/// The names that a node reads from the graph it stands in, also from within its subgraphs.
fn names_read(node: &NodeProto) -> Vec<&str> {
    let mut names: Vec<&str> = node.input.iter().map(String::as_str).collect();
    for graph in subgraphs(node) {
        names.extend(free_names(graph));
    }
    names.retain(|n| !n.is_empty());
    let mut seen = BTreeSet::new();
    names.retain(|&n| seen.insert(n));
    names
}

/// The graphs among the attributes of a node.
pub(super) fn subgraphs(node: &NodeProto) -> impl Iterator<Item = &GraphProto> {
    node.attribute
        .iter()
        .flat_map(|a| a.g.iter().chain(&a.graphs))
}

/// What a subgraph reads from outside.
fn free_names(graph: &GraphProto) -> Vec<&str> {
    let mut own: BTreeSet<&str> = BTreeSet::new();
    own.extend(graph.input.iter().map(|i| i.name.as_str()));
    own.extend(graph.initializer.iter().map(|i| i.name.as_str()));
    own.extend(
        graph
            .node
            .iter()
            .flat_map(|n| n.output.iter().map(String::as_str)),
    );
    let inner = graph.node.iter().flat_map(names_read);
    let outputs = graph.output.iter().map(|o| o.name.as_str());
    inner.chain(outputs).filter(|n| !own.contains(n)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorting_keeps_an_order_that_is_good() {
        let reads = [vec![], vec![0], vec![0], vec![1, 2]];
        assert_eq!(sort(&reads), Ok(vec![0, 1, 2, 3]));
    }

    #[test]
    fn sorting_mends_a_bad_order() {
        let reads = [vec![2], vec![0], vec![]];
        assert_eq!(sort(&reads), Ok(vec![2, 0, 1]));
    }

    #[test]
    fn a_circle_is_named() {
        let reads = [vec![], vec![0, 2], vec![1]];
        assert_eq!(sort(&reads), Err(vec![1, 2]));
        assert_eq!(sort(&[vec![0]]), Err(vec![0]));
    }

    #[test]
    fn a_long_chain_needs_no_deep_stack() {
        let reads: Vec<Vec<usize>> = (0..200_000)
            .map(|i| match i {
                199_999 => vec![],
                i => vec![i + 1],
            })
            .collect();
        assert_eq!(sort(&reads).unwrap()[0], 199_999);
    }
}
