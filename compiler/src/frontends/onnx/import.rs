//! From a decoded model to a module.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use lepid_ir::core::{
    Attr, Builder, Bytes, Code, Diagnostic, Diagnostics, Loc, Module, Symbol, Type,
};
use lepid_ir::dialects::core::{Func, Return};

use super::graph::{Importer, Opsets, Scope, Slot, domain};
use super::order::{label, node_loc, subgraphs};
use super::proto::{GraphProto, ModelProto, NodeProto};
use super::statics::Statics;
use super::weights::Weights;
use super::{Constant, ImportOptions, fold, function, inputs, ops};

/// The versions of the default operator set that the tables cover.
const OPSETS: std::ops::RangeInclusive<i64> = 1..=27;

/// Lowers a model, which was decoded from `file`. `folder` is where its external data lies.
///
/// Which inputs decide shapes turns out on the way; so a model is lowered anew when an argument
/// turns out to be one of them. Each round makes one more of them constant.
pub(super) fn import_model(
    model: &ModelProto,
    file: &Bytes,
    folder: Option<&Path>,
    options: &ImportOptions,
) -> Result<(Module, Diagnostics), Diagnostics> {
    let mut options = options.clone();
    // What has a default value is a constant anyway.
    let mut wanted = model.graph.as_ref().map(defaults).unwrap_or_default();
    loop {
        settle(&mut options, &wanted);
        let (result, asked) = lower(model, file, folder, &options);
        wanted = asked;
        if !wanted.iter().any(|n| options.arguments.contains_key(n)) {
            return result;
        }
    }
}

/// The names of the inputs that have a default value.
fn defaults(graph: &GraphProto) -> BTreeSet<String> {
    let inputs = graph.input.iter().map(|i| i.name.clone());
    let inputs: BTreeSet<String> = inputs.collect();
    let tensors = graph.initializer.iter().map(|t| t.name.clone());
    tensors.filter(|name| inputs.contains(name)).collect()
}

/// Makes constants of the wanted arguments.
fn settle(options: &mut ImportOptions, wanted: &BTreeSet<String>) {
    for name in wanted {
        if let Some((name, value)) = options.arguments.remove_entry(name) {
            let value = Constant::Tensor(value);
            options.constants.entry(name).or_insert(value);
        }
    }
}

/// A module with warnings, or all errors; and the inputs that have no value, but should have one.
type Lowered = (Result<(Module, Diagnostics), Diagnostics>, BTreeSet<String>);

fn lower(
    model: &ModelProto,
    file: &Bytes,
    folder: Option<&Path>,
    options: &ImportOptions,
) -> Lowered {
    let Some(graph) = &model.graph else {
        let error = Diagnostic::error(
            Code::MODEL_FILE,
            Loc::Unknown,
            "the file holds no graph: it is not an ONNX model, or it is damaged",
        );
        return (Err(vec![error]), BTreeSet::new());
    };
    let opsets = Opsets::new(&model.opset_import);
    let functions = function::table(&model.functions);
    let mut found = check_opset(model, graph);
    scan(model, graph, &opsets, &functions, &mut found);
    let mut importer = Importer {
        weights: Weights::new(folder, Some(file.clone())),
        functions,
        found,
        sequences: BTreeMap::new(),
        statics: Statics::default(),
        calls: Vec::new(),
        depth: 0,
        nodes: 0,
        constants: 0,
        limits: options.limits,
    };
    let module = importer.main(graph, opsets, options);
    // A function reports its mistakes at each of its calls.
    let mut found: Diagnostics = Vec::new();
    let mut seen = BTreeSet::new();
    for diagnostic in importer.found {
        if seen.insert((diagnostic.code, diagnostic.message.clone())) {
            found.push(diagnostic);
        }
    }
    let wanted = importer.statics.wanted();
    match (module, found.iter().any(Diagnostic::is_error)) {
        (Some(module), false) => (Ok((module, found)), wanted),
        _ => (Err(found), wanted),
    }
}

fn check_opset(model: &ModelProto, graph: &GraphProto) -> Diagnostics {
    let known = model
        .opset_import
        .iter()
        .find(|o| domain(&o.domain).is_empty());
    let version = known.map(|o| o.version);
    let used = graph.node.iter().any(|n| domain(&n.domain).is_empty());
    let message = match version {
        Some(v) if OPSETS.contains(&v) => return Vec::new(),
        None if !used => return Vec::new(),
        Some(v) => format!(
            "the model is written in opset {v}, but {} to {} are supported",
            OPSETS.start(),
            OPSETS.end()
        ),
        None => "the model does not say which opset it is written in".to_string(),
    };
    let error = Diagnostic::error(Code::ONNX_OPSET, Loc::Unknown, message);
    vec![error.with_help("convert the model with `onnx.version_converter`")]
}

/// Reports all operators that cannot be lowered, each once.
fn scan(
    model: &ModelProto,
    graph: &GraphProto,
    opsets: &Opsets,
    functions: &function::FunctionTable<'_>,
    found: &mut Diagnostics,
) {
    let mut nodes: Vec<(&NodeProto, Opsets)> = Vec::new();
    collect(&graph.node, opsets, &mut nodes);
    for function in &model.functions {
        collect(
            &function.node,
            &Opsets::new(&function.opset_import),
            &mut nodes,
        );
    }
    let mut missing: BTreeMap<(&str, &str), Vec<(&NodeProto, &Opsets)>> = BTreeMap::new();
    for (node, opsets) in &nodes {
        if function::find(functions, node).is_none() && ops::find(node, opsets).is_none() {
            let key = (domain(&node.domain), node.op_type.as_str());
            missing.entry(key).or_default().push((node, opsets));
        }
    }
    for ((domain, op), nodes) in missing {
        let (node, opsets) = nodes[0];
        let more = match nodes.len() {
            1 => String::new(),
            n => format!(", and {} more", n - 1),
        };
        let family = match domain {
            "" => String::new(),
            domain => format!(" of the domain `{domain}`"),
        };
        let version = match opsets.version(domain) {
            Some(version) => format!("in opset {version}"),
            None => "in a domain that the model does not import".to_string(),
        };
        let help = match (ops::since(domain, op), domain) {
            (Some(since), _) => format!("it is supported from opset {since} on; convert the model with `onnx.version_converter`"),
            (None, "") => "export the model with simpler operators, or replace the node by a function of the model".to_string(),
            (None, _) => "export the model without custom operators, or put the operator's definition into the model as a function".to_string(),
        };
        let message = format!(
            "operator `{op}`{family} {version} is not supported (node `{}`{more})",
            label(node)
        );
        found.push(Diagnostic::error(Code::ONNX_OP, node_loc(node), message).with_help(help));
    }
}

/// All nodes with those of subgraphs.
fn collect<'a>(nodes: &'a [NodeProto], opsets: &Opsets, out: &mut Vec<(&'a NodeProto, Opsets)>) {
    for node in nodes {
        out.push((node, opsets.clone()));
        for graph in subgraphs(node) {
            collect(&graph.node, opsets, out);
        }
    }
}

impl Importer<'_> {
    /// The module with the function `main`; none if something has been reported.
    fn main(
        &mut self,
        graph: &GraphProto,
        opsets: Opsets,
        options: &ImportOptions,
    ) -> Option<Module> {
        let mut scope = Scope::new(opsets);
        self.initializers(graph, &mut scope);
        // An initialiser that is also an input is a default value, unless another is given.
        let given = |name| options.constants.contains_key(name);
        let inputs: Vec<_> = graph
            .input
            .iter()
            .filter(|i| !scope.defines(&i.name) || given(&i.name))
            .collect();
        let (types, constants) = inputs::types(&inputs, options, &mut self.found);
        let constant_names: Vec<&str> = constants.iter().map(|(n, _)| n.as_str()).collect();
        for (name, tensor) in &constants {
            scope.bind(name, Slot::Weight(tensor.clone()));
        }
        let mut module = Module::new();
        let (names, args): (Vec<String>, Vec<Type>) = types.into_iter().unzip();
        let func = match Func::create(&mut module, "main", &args, &[]) {
            Ok(func) => func,
            Err(error) => {
                self.found.push(error.at(Loc::Unknown));
                return None;
            }
        };
        let block = Func::block(module.view(func));
        let args = module.block_args(block).to_vec();
        for (name, &arg) in names.iter().zip(&args) {
            if scope.defines(name) {
                self.report(name, format!("input `{name}` is defined twice"));
            }
            scope.bind(name, Slot::Value(arg));
            self.statics.add_input(arg, name);
        }
        // What reads a refused input is not worth a message of its own.
        for input in &inputs {
            if !scope.defines(&input.name) {
                scope.bind(&input.name, Slot::Failed);
            }
        }
        let mut b = Builder::at_end(&mut module, block);
        self.nodes(&mut b, &graph.node, &mut scope);
        b.at(Loc::Unknown);
        let mut outputs = Vec::new();
        for output in &graph.output {
            match scope.value(&mut b, &output.name) {
                Some(value) => outputs.push(value),
                None if scope.find(&output.name).is_some() => {}
                None => self.report(
                    &output.name,
                    format!("output `{}` is computed by no node", output.name),
                ),
            }
        }
        if graph.output.is_empty() {
            self.report("", "the graph has no outputs".to_string());
        }
        if let Err(error) = self.only_tensors(&outputs) {
            self.found.push(error.at(Loc::Unknown));
        }
        if let Err(error) = Return::build(&mut b, &outputs, &[]) {
            self.found.push(error.at(Loc::Unknown));
        }
        fold::sweep(&mut module, block);
        let list = |names: Vec<&str>| Attr::from(&names[..]);
        module.set_attr(
            func,
            "inputs",
            list(names.iter().map(String::as_str).collect()),
        );
        let output_names = graph.output.iter().map(|o| o.name.as_str());
        module.set_attr(func, "outputs", list(output_names.collect()));
        module.set_attr(func, "constants", list(constant_names));
        Some(module)
    }

    fn report(&mut self, name: &str, message: String) {
        let loc = Loc::Name(Symbol::new(name));
        self.found
            .push(Diagnostic::error(Code::ONNX_GRAPH, loc, message));
    }
}
