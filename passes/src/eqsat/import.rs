//! A piece as an e-graph, and as a text that is equal for pieces that are.

use std::collections::HashMap;
use std::fmt::Write;

use egg::Id;
use lepid_ir::core::{Module, Op, Trait, Value};

use super::facts::{Facts, Graph, SMALL_BYTES, Sort};
use super::language::{Node, OpName};
use super::pieces::Piece;
use super::regular::Regular;

/// How far an input is followed into the constant expression that defines it.
const DEPTH: usize = 4;

/// A piece in an e-graph, with nothing merged yet.
pub(super) struct Imported {
    pub(super) graph: Graph,
    /// The class of each op of the piece.
    pub(super) ops: Vec<Id>,
    /// The classes of the roots.
    pub(super) roots: Vec<Id>,
}

/// What an input is.
pub(super) struct Source<'m> {
    pub(super) module: &'m Module,
    pub(super) fixed: &'m dyn Fn(Value) -> bool,
    /// What is regular about values.
    pub(super) regular: &'m HashMap<Value, Regular>,
}

impl Source<'_> {
    fn facts(&self, value: Value) -> Facts {
        match self.module.constant_value(value) {
            Some(tensor) => Facts::constant(tensor.clone()),
            None => Facts {
                fixed: (self.fixed)(value),
                regular: self.regular.get(&value).copied().unwrap_or_default(),
                ..Facts::value(self.module.value_type(value))
            },
        }
    }

    /// The constant expression that defines an input.
    fn definition(&self, value: Value) -> Option<Op> {
        let op = self.module.defining_op(value)?;
        let one = self.module.results(op).len() == 1;
        (one && (self.fixed)(value) && self.module.regions(op).is_empty()).then_some(op)
    }

    /// Whether a constant is small enough to be a node.
    fn is_small(&self, op: Op) -> bool {
        let tensor = self.module.attrs(op).first().and_then(|a| a.as_tensor());
        tensor.is_some_and(|t| t.bytes().len() <= SMALL_BYTES)
    }

    /// Says of an input what its nodes say; `names` are those of all inputs.
    fn describe(
        &self,
        value: Value,
        names: &HashMap<Value, String>,
        depth: usize,
        text: &mut String,
    ) {
        let module = self.module;
        let _ = write!(text, "{}", module.value_type(value));
        if let Some(regular) = self.regular.get(&value) {
            let _ = write!(text, "{regular:?}");
        }
        let Some(op) = self.definition(value).filter(|_| depth > 0) else {
            let fixed = if (self.fixed)(value) { "!" } else { "?" };
            return text.push_str(fixed);
        };
        if module.def(op).info().has(Trait::Constant) && !self.is_small(op) {
            // Two large constants differ, but what is known of them may not.
            let facts = self.facts(value);
            let _ = write!(text, "!{:?}", facts.uniform);
            return;
        }
        let _ = write!(text, "={}", module.op_name(op));
        for attr in module.attrs(op) {
            let _ = write!(text, " {attr}");
        }
        for operand in module.operands(op) {
            text.push('(');
            match names.get(operand) {
                Some(name) => text.push_str(name),
                None => self.describe(*operand, names, depth - 1, text),
            }
            text.push(')');
        }
    }
}

/// A text that two pieces share if one plan serves both.
pub(super) fn signature(source: &Source<'_>, piece: &Piece) -> String {
    let module = source.module;
    let mut text = String::new();
    let inputs = piece.inputs.iter().enumerate();
    let mut names: HashMap<Value, String> = inputs.map(|(i, &v)| (v, format!("i{i}"))).collect();
    for &value in &piece.inputs {
        source.describe(value, &names, DEPTH, &mut text);
        text.push('\n');
    }
    for (i, &op) in piece.ops.iter().enumerate() {
        text.push_str(module.op_name(op));
        for operand in module.operands(op) {
            let _ = write!(text, " {}", names[operand]);
        }
        for attr in module.attrs(op) {
            let _ = write!(text, " {attr}");
        }
        for (j, &result) in module.results(op).iter().enumerate() {
            let _ = write!(text, " {}", module.value_type(result));
            if piece.roots.contains(&result) {
                text.push('*');
            }
            names.insert(result, format!("o{i}.{j}"));
        }
        text.push('\n');
    }
    text
}

/// The piece as nodes; `None` if an op infers other types than it has.
pub(super) fn import(source: &Source<'_>, piece: &Piece, mut graph: Graph) -> Option<Imported> {
    let mut classes: HashMap<Value, Id> = HashMap::new();
    graph.analysis.inputs = piece.inputs.iter().map(|&v| source.facts(v)).collect();
    for (i, &value) in piece.inputs.iter().enumerate() {
        let id = graph.add(Node::Input(i as u32));
        classes.insert(value, id);
    }
    // An input is equal to the constant expression that defines it: rules may look into that.
    for &value in &piece.inputs {
        if let Some(defined) = definition(source, &mut graph, &classes, value, DEPTH) {
            graph.union_trusted(classes[&value], defined, DEFINITION);
        }
    }
    graph.rebuild();
    let ops = add_ops(source.module, &mut graph, &mut classes, &piece.ops)?;
    graph.rebuild();
    let roots = piece.roots.iter().map(|v| classes[v]).collect();
    Some(Imported { graph, ops, roots })
}

/// The reason for which an input is equal to what defines it, in explanations.
pub(super) const DEFINITION: &str = "definition";

/// Adds ops on values that have classes; `None` if one infers other types than it has.
pub(super) fn add_ops(
    module: &Module,
    graph: &mut Graph,
    classes: &mut HashMap<Value, Id>,
    ops: &[Op],
) -> Option<Vec<Id>> {
    let mut added = Vec::new();
    for &op in ops {
        let operands = module.operands(op).iter().map(|v| classes[v]).collect();
        let id = add(module, graph, op, operands);
        let results = module.results(op);
        added.push(id);
        if let &[result] = results {
            classes.insert(result, id);
            if graph[id].data.sort != Sort::Value(module.value_type(result)) {
                return None;
            }
            continue;
        }
        let types = results.iter().map(|&r| module.value_type(r)).collect();
        if graph[id].data.sort != Sort::Tuple(types) {
            return None;
        }
        for (j, &result) in results.iter().enumerate() {
            let id = graph.add_uncanonical(Node::Get(j as u32, [id]));
            classes.insert(result, id);
        }
    }
    Some(added)
}

fn add(module: &Module, graph: &mut Graph, op: Op, mut children: Vec<Id>) -> Id {
    for attr in module.attrs(op) {
        children.push(graph.add_uncanonical(Node::attr(attr.clone())));
    }
    // Explanations begin at the very node that was added, not at any of its class.
    graph.add_uncanonical(Node::Op(OpName(module.def(op)), children.into()))
}

/// The nodes of a constant expression; large constants are none, unless they are inputs.
fn definition(
    source: &Source<'_>,
    graph: &mut Graph,
    classes: &HashMap<Value, Id>,
    value: Value,
    depth: usize,
) -> Option<Id> {
    let module = source.module;
    let op = source.definition(value).filter(|_| depth > 0)?;
    let constant = module.def(op).info().has(Trait::Constant);
    if constant && !source.is_small(op) {
        return None;
    }
    let operands: Option<Vec<Id>> = module
        .operands(op)
        .iter()
        .map(|&v| {
            let defined = definition(source, graph, classes, v, depth - 1);
            classes.get(&v).copied().or(defined)
        })
        .collect();
    Some(add(module, graph, op, operands?))
}
