//! The walk over a graph: names, order, one node after the other.

use std::collections::BTreeMap;
use std::rc::Rc;

use lepid_ir::core::{
    Builder, Code, Diagnostic, Diagnostics, Limits, Loc, OpError, OpResult, Symbol, Tensor, Value,
};
use lepid_ir::dialects::core::constant;

use super::cx::Cx;
use super::fold;
use super::function::{self, FunctionTable};
use super::ops;
use super::order::{label, node_loc, order};
use super::proto::{FunctionProto, GraphProto, NodeProto, OperatorSetIdProto};
use super::statics::Statics;
use super::weights::Weights;

/// What a name of a graph stands for.
#[derive(Clone)]
pub(super) enum Slot {
    Value(Value),
    /// A tensor of the file; it becomes a constant where it is first read.
    Weight(Tensor),
    /// Its node could not be lowered, which has been reported.
    Failed,
}

/// The version of each operator domain; the default domain is the empty name. All graphs of a
/// function share them.
#[derive(Clone, Default)]
pub(super) struct Opsets(Rc<BTreeMap<String, i64>>);

impl Opsets {
    pub(super) fn new(imports: &[OperatorSetIdProto]) -> Opsets {
        let rows = imports
            .iter()
            .map(|o| (domain(&o.domain).to_string(), o.version));
        Opsets(Rc::new(rows.collect()))
    }

    /// The version that a node of that domain is written in.
    pub(super) fn version(&self, domain: &str) -> Option<i64> {
        self.0.get(self::domain(domain)).copied()
    }
}

/// The default domain has two names.
pub(super) fn domain(name: &str) -> &str {
    match name {
        "ai.onnx" => "",
        other => other,
    }
}

/// The names of one graph, inside those of the graphs around it.
pub(super) struct Scope<'s> {
    names: BTreeMap<String, Slot>,
    outer: Option<&'s Scope<'s>>,
    pub(super) opsets: Opsets,
}

impl<'s> Scope<'s> {
    pub(super) fn new(opsets: Opsets) -> Scope<'s> {
        Scope {
            names: BTreeMap::new(),
            outer: None,
            opsets,
        }
    }

    pub(super) fn inside(outer: &'s Scope<'s>) -> Scope<'s> {
        Scope {
            names: BTreeMap::new(),
            outer: Some(outer),
            opsets: outer.opsets.clone(),
        }
    }

    pub(super) fn bind(&mut self, name: &str, slot: Slot) {
        self.names.insert(name.to_string(), slot);
    }

    /// Whether this graph itself, not one around it, defines the name.
    pub(super) fn defines(&self, name: &str) -> bool {
        self.names.contains_key(name)
    }

    pub(super) fn find(&self, name: &str) -> Option<&Slot> {
        match self.names.get(name) {
            Some(slot) => Some(slot),
            None => self.outer?.find(name),
        }
    }

    /// The value of a name at the builder's point; none if it failed or nothing defines it.
    pub(super) fn value(&mut self, b: &mut Builder<'_>, name: &str) -> Option<Value> {
        match self.find(name)?.clone() {
            Slot::Value(value) => Some(value),
            Slot::Failed => None,
            Slot::Weight(tensor) => {
                let value = constant(b, tensor).ok()?;
                self.bind(name, Slot::Value(value));
                Some(value)
            }
        }
    }
}

/// What the walk carries along.
pub(super) struct Importer<'a> {
    pub(super) weights: Weights,
    pub(super) functions: FunctionTable<'a>,
    pub(super) found: Diagnostics,
    /// The items of sequences, by the handles that stand for them.
    pub(super) sequences: BTreeMap<Value, Vec<Value>>,
    /// Which inputs decide shapes.
    pub(super) statics: Statics,
    /// The functions of the model that the walk stands in, the innermost last.
    pub(super) calls: Vec<&'a FunctionProto>,
    /// How many functions and subgraphs the walk stands in.
    pub(super) depth: u64,
    /// How many nodes have been lowered: functions that call functions twice each, or loops in
    /// loops, grow beyond all bounds from a small file.
    pub(super) nodes: u64,
    /// Bytes of the constants that the walk has made.
    pub(super) constants: u64,
    pub(super) limits: Limits,
}

impl Importer<'_> {
    /// Reads the initialisers of a graph into the scope.
    pub(super) fn initializers(&mut self, graph: &GraphProto, scope: &mut Scope<'_>) {
        for proto in &graph.initializer {
            let loc = Loc::Name(Symbol::new(&proto.name));
            if scope.defines(&proto.name) {
                self.found.push(Diagnostic::error(
                    Code::ONNX_GRAPH,
                    loc,
                    format!("initializer `{}` is defined twice", proto.name),
                ));
                continue;
            }
            let slot = match self.weights.tensor(proto) {
                Ok(tensor) => Slot::Weight(tensor),
                Err(mut error) => {
                    error.message = format!("initializer `{}`: {}", proto.name, error.message);
                    self.found.push(error.at(loc));
                    Slot::Failed
                }
            };
            scope.bind(&proto.name, slot);
        }
        for sparse in &graph.sparse_initializer {
            let name = sparse.values.as_ref().map_or("", |v| v.name.as_str());
            let loc = Loc::Name(Symbol::new(name));
            self.found.push(
                Diagnostic::error(
                    Code::ONNX_OP,
                    loc,
                    format!("initializer `{name}` is a sparse tensor, which is not supported"),
                )
                .with_help("store it as a dense tensor"),
            );
            scope.bind(name, Slot::Failed);
        }
    }

    /// Lowers nodes at the builder's point, in an order that suits them.
    pub(super) fn nodes(
        &mut self,
        b: &mut Builder<'_>,
        nodes: &[NodeProto],
        scope: &mut Scope<'_>,
    ) {
        let Some(order) = order(nodes, scope, &mut self.found) else {
            for output in nodes.iter().flat_map(|n| &n.output) {
                scope.bind(output, Slot::Failed);
            }
            return;
        };
        for index in order {
            self.node(b, &nodes[index], scope);
        }
    }

    fn node(&mut self, b: &mut Builder<'_>, node: &NodeProto, scope: &mut Scope<'_>) {
        b.at(node_loc(node));
        let reported = self.found.len();
        match self.try_node(b, node, scope) {
            Ok(values) => {
                for (output, value) in node.output.iter().zip(values) {
                    if !output.is_empty() {
                        scope.bind(output, Slot::Value(value));
                    }
                }
            }
            Err(error) => {
                // If something inside of the node has been reported, this only follows from it.
                if self.found.len() == reported {
                    self.found.extend(error.map(|e| at_node(e, node)));
                }
                for output in &node.output {
                    scope.bind(output, Slot::Failed);
                }
            }
        }
    }

    /// The values of a node's outputs. `Err(None)`: an input has failed before.
    fn try_node(
        &mut self,
        b: &mut Builder<'_>,
        node: &NodeProto,
        scope: &mut Scope<'_>,
    ) -> Result<Vec<Value>, Option<OpError>> {
        let most = self.limits.nodes;
        if self.nodes >= most {
            // It is reported once, by the first node that is too many.
            let first = self.nodes != u64::MAX;
            self.nodes = u64::MAX;
            let message = format!("functions and loops expand to more than {most} nodes");
            return Err(first.then(|| Limits::NODES.exceeded(message)));
        }
        self.nodes += 1;
        let mut inputs = Vec::with_capacity(node.input.len());
        for name in &node.input {
            inputs.push(match name.as_str() {
                "" => None,
                name => Some(scope.value(b, name).ok_or(None)?),
            });
        }
        let sequence = |v: &Value| self.sequences.contains_key(v);
        let known_function = function::find(&self.functions, node).is_some();
        if !known_function
            && !ops::reads_handles(&node.op_type)
            && inputs.iter().flatten().any(sequence)
        {
            return Err(Some(OpError::with_code(
                Code::ONNX_OP,
                "an input is a sequence, which is not supported here",
            )));
        }
        let mark = fold::mark(b);
        let mut values = match function::find(&self.functions, node) {
            Some(function) => self.call(b, function, node, &inputs)?,
            None => {
                let Some((row, opset)) = ops::find(node, &scope.opsets) else {
                    // The scan before the walk has reported it.
                    return Err(None);
                };
                let mut cx = Cx {
                    b,
                    node,
                    opset,
                    inputs: &inputs,
                    scope,
                    importer: self,
                };
                (row.lower)(&mut cx)?
            }
        };
        let wanted = node.output.iter().rposition(|o| !o.is_empty());
        if wanted.is_some_and(|last| last >= values.len()) {
            return Err(Some(OpError::with_code(
                Code::ONNX_OP,
                format!(
                    "{} outputs are used, but only {} are supported",
                    node.output.len(),
                    values.len()
                ),
            )));
        }
        let folded = fold::fold(b, mark, &mut values)?;
        self.spend(folded)?;
        Ok(values)
    }

    /// Counts the bytes of constants that no file holds: nodes ask for windows and grids of any size.
    pub(super) fn spend(&mut self, bytes: u64) -> OpResult<()> {
        let most = self.limits.constants;
        self.constants = self.constants.saturating_add(bytes);
        match self.constants <= most {
            true => Ok(()),
            false => {
                let message =
                    format!("the constants that nodes ask for take more than {most} bytes");
                Err(Limits::CONSTANTS.exceeded(message))
            }
        }
    }

    /// Refuses sequences among values that leave a region or the model.
    pub(super) fn only_tensors(&self, values: &[Value]) -> OpResult<()> {
        match values.iter().any(|v| self.sequences.contains_key(v)) {
            true => Err(OpError::with_code(
                Code::ONNX_OP,
                "a sequence as the result of a branch, a loop or the model is not supported",
            )),
            false => Ok(()),
        }
    }

    /// Lowers a subgraph at the builder's point; `args` are its inputs. Gives its outputs.
    pub(super) fn subgraph(
        &mut self,
        b: &mut Builder<'_>,
        graph: &GraphProto,
        args: &[Value],
        outer: &Scope<'_>,
    ) -> OpResult<Vec<Value>> {
        self.enter()?;
        let values = self.subgraph_inside(b, graph, args, outer);
        self.depth -= 1;
        values
    }

    /// Goes down one level of functions and subgraphs. Whoever leaves it counts it back.
    pub(super) fn enter(&mut self) -> OpResult<()> {
        let most = self.limits.depth;
        if self.depth >= most {
            let message = format!("functions and subgraphs are nested deeper than {most} levels");
            return Err(Limits::DEPTH.exceeded(message));
        }
        self.depth += 1;
        Ok(())
    }

    fn subgraph_inside(
        &mut self,
        b: &mut Builder<'_>,
        graph: &GraphProto,
        args: &[Value],
        outer: &Scope<'_>,
    ) -> OpResult<Vec<Value>> {
        let mut scope = Scope::inside(outer);
        self.initializers(graph, &mut scope);
        for (input, &arg) in graph.input.iter().zip(args) {
            scope.bind(&input.name, Slot::Value(arg));
        }
        let loc = b.loc().clone();
        self.nodes(b, &graph.node, &mut scope);
        b.at(loc);
        graph
            .output
            .iter()
            .map(|output| {
                scope.value(b, &output.name).ok_or_else(|| {
                    OpError::with_code(
                        Code::ONNX_GRAPH,
                        format!("output `{}` of its subgraph has no value", output.name),
                    )
                })
            })
            .collect()
    }
}

/// The diagnostic for an error in the lowering of a node.
fn at_node(error: OpError, node: &NodeProto) -> Diagnostic {
    // Rules of our own ops that are broken here are broken by the model.
    let code = match error.code.0.starts_with("E06") || error.code == Code::LIMIT {
        true => error.code,
        false => Code::ONNX_NODE,
    };
    let message = format!(
        "`{}` node `{}`: {}",
        node.op_type,
        label(node),
        error.message
    );
    Diagnostic {
        help: error.help,
        ..Diagnostic::error(code, node_loc(node), message)
    }
}
