//! Functions of the model: each use of one is replaced by its nodes.

use std::collections::BTreeMap;

use lepid_ir::core::{Builder, Code, OpError, Value};

use super::graph::{Importer, Opsets, Scope, Slot, domain};
use super::order::subgraphs;
use super::proto::{AttributeProto, FunctionProto, GraphProto, NodeProto, TensorProto};

/// The functions of a model by domain, name and overload.
pub(super) type FunctionTable<'a> = BTreeMap<(&'a str, &'a str, &'a str), &'a FunctionProto>;

pub(super) fn table(functions: &[FunctionProto]) -> FunctionTable<'_> {
    let row = |f| (key(f), f);
    fn key(f: &FunctionProto) -> (&str, &str, &str) {
        (domain(&f.domain), &f.name, &f.overload)
    }
    functions.iter().map(row).collect()
}

/// The function that a node calls.
pub(super) fn find<'a>(
    functions: &FunctionTable<'a>,
    node: &NodeProto,
) -> Option<&'a FunctionProto> {
    let key = (
        domain(&node.domain),
        node.op_type.as_str(),
        node.overload.as_str(),
    );
    functions.get(&key).copied()
}

impl<'a> Importer<'a> {
    /// Lowers the nodes of a function at the builder's point; gives its outputs.
    pub(super) fn call(
        &mut self,
        b: &mut Builder<'_>,
        function: &'a FunctionProto,
        node: &NodeProto,
        inputs: &[Option<Value>],
    ) -> Result<Vec<Value>, Option<OpError>> {
        if self.calls.iter().any(|&f| std::ptr::eq(f, function)) {
            return Err(Some(OpError::with_code(
                Code::ONNX_GRAPH,
                format!("function `{}` calls itself", function.name),
            )));
        }
        if inputs.len() > function.input.len() {
            return Err(Some(OpError::with_code(
                Code::ONNX_NODE,
                format!(
                    "function `{}` takes {} inputs, found {}",
                    function.name,
                    function.input.len(),
                    inputs.len()
                ),
            )));
        }
        let mut scope = Scope::new(Opsets::new(&function.opset_import));
        for (name, value) in function.input.iter().zip(inputs) {
            if let Some(value) = value {
                scope.bind(name, Slot::Value(*value));
            }
        }
        let absent: Vec<&str> = function
            .input
            .iter()
            .enumerate()
            .filter(|(i, _)| inputs.get(*i).is_none_or(Option::is_none))
            .map(|(_, name)| name.as_str())
            .collect();
        let bound = Arguments {
            function,
            node,
            absent,
        };
        let nodes: Vec<NodeProto> = function.node.iter().map(|n| bound.node(n)).collect();
        let loc = b.loc().clone();
        // Each call copies the function, of which a node may be large.
        self.nodes = self.nodes.saturating_add(weight(function));
        self.enter().map_err(Some)?;
        self.calls.push(function);
        self.nodes(b, &nodes, &mut scope);
        self.calls.pop();
        self.depth -= 1;
        b.at(loc);
        let value = |name: &String| match (scope.value(b, name), scope.find(name)) {
            (Some(value), _) => Ok(value),
            // Whatever failed inside has been reported there.
            (None, Some(_)) => Err(None),
            (None, None) => Err(Some(OpError::with_code(
                Code::ONNX_GRAPH,
                format!(
                    "output `{name}` of function `{}` is computed by no node",
                    function.name
                ),
            ))),
        };
        function.output.iter().map(value).collect()
    }
}

/// What a call copies beside plain nodes, in nodes.
fn weight(function: &FunctionProto) -> u64 {
    /// List entries that cost as much as a node.
    const ENTRIES: usize = 256;
    let entries = function.opset_import.len() + function.node.iter().map(entries).sum::<usize>();
    (entries / ENTRIES) as u64
}

/// The entries of all lists among the attributes of a node.
fn entries(node: &NodeProto) -> usize {
    let own = node.attribute.iter().map(|a| {
        let data =
            a.t.iter()
                .chain(&a.tensors)
                .map(tensor_entries)
                .sum::<usize>();
        data + a.ints.len() + a.floats.len() + a.strings.len() + a.tensors.len()
    });
    let inner = subgraphs(node).map(|graph| {
        let tensors = graph.initializer.iter().map(tensor_entries);
        tensors.sum::<usize>() + graph.node.iter().map(entries).sum::<usize>()
    });
    own.sum::<usize>() + inner.sum::<usize>()
}

/// The entries of the lists of a tensor. Raw data is shared, not copied.
fn tensor_entries(t: &TensorProto) -> usize {
    let floats = t.float_data.len() + t.double_data.len();
    floats + t.int32_data.len() + t.int64_data.len() + t.uint64_data.len()
}

/// What a call gives its function.
struct Arguments<'a> {
    function: &'a FunctionProto,
    node: &'a NodeProto,
    /// Parameters without a value; reading one is as leaving the input out.
    absent: Vec<&'a str>,
}

impl Arguments<'_> {
    /// A node of the function with the attributes that it refers to put in.
    fn node(&self, node: &NodeProto) -> NodeProto {
        let mut node = node.clone();
        for input in &mut node.input {
            if self.absent.contains(&input.as_str()) {
                input.clear();
            }
        }
        let attributes = std::mem::take(&mut node.attribute);
        node.attribute = attributes
            .into_iter()
            .filter_map(|a| self.attribute(a))
            .collect();
        node
    }

    /// None: it refers to one that is neither given nor has a default.
    fn attribute(&self, mut attribute: AttributeProto) -> Option<AttributeProto> {
        if !attribute.ref_attr_name.is_empty() {
            let wanted = &attribute.ref_attr_name;
            let given = self.node.attribute.iter().find(|a| a.name == *wanted);
            let default = || {
                self.function
                    .attribute_proto
                    .iter()
                    .find(|a| a.name == *wanted)
            };
            let found = given.or_else(default)?;
            return Some(AttributeProto {
                name: attribute.name,
                ..found.clone()
            });
        }
        for graph in attribute.g.iter_mut().chain(&mut attribute.graphs) {
            self.graph(graph);
        }
        Some(attribute)
    }

    fn graph(&self, graph: &mut GraphProto) {
        for node in &mut graph.node {
            *node = self.node(node);
        }
    }
}
