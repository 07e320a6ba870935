//! Small models, built message by message and run by the interpreter.

mod contrib;
mod hostile;
mod ops;
mod recognised;
mod shapes;
mod turns;

use std::path::Path;

use lepid_ir::core::{Bytes, Diagnostics, Dim, Elem, Module, Num, Tensor, verify};
use lepid_ir::dialects::core::Func;
use lepid_ir::interp;

use super::proto::tensor_shape_proto::{Dimension, dimension};
use super::proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
    TensorShapeProto, TypeProto, ValueInfoProto, attribute_type as kind, type_proto,
};
use super::{ImportOptions, import};

/// Lowers a model that is no part of a file.
fn import_model(
    model: &ModelProto,
    folder: Option<&Path>,
    options: &ImportOptions,
) -> Result<(Module, Diagnostics), Diagnostics> {
    let no_file = Bytes::from_vec(Vec::<u8>::new());
    import::import_model(model, &no_file, folder, options)
}

pub(super) const F32: i32 = 1;
pub(super) const I64: i32 = 7;

/// `Add(a, b) -> c`, unnamed.
pub(super) fn node(op: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
    NodeProto {
        op_type: op.into(),
        input: inputs.iter().map(|s| (*s).to_string()).collect(),
        output: outputs.iter().map(|s| (*s).to_string()).collect(),
        ..NodeProto::default()
    }
}

impl NodeProto {
    pub(super) fn int(self, name: &str, i: i64) -> NodeProto {
        self.with(name, kind::INT, |a| a.i = i)
    }

    pub(super) fn float(self, name: &str, f: f32) -> NodeProto {
        self.with(name, kind::FLOAT, |a| a.f = f)
    }

    pub(super) fn ints(self, name: &str, ints: &[i64]) -> NodeProto {
        self.with(name, kind::INTS, |a| a.ints = ints.to_vec())
    }

    pub(super) fn string(self, name: &str, text: &'static str) -> NodeProto {
        self.with(name, kind::STRING, |a| a.s = text.into())
    }

    pub(super) fn graph(self, name: &str, graph: GraphProto) -> NodeProto {
        self.with(name, kind::GRAPH, |a| a.g = Some(graph))
    }

    pub(super) fn with(
        mut self,
        name: &str,
        kind: i32,
        set: impl FnOnce(&mut AttributeProto),
    ) -> NodeProto {
        let mut attribute = AttributeProto {
            name: name.into(),
            r#type: kind,
            ..AttributeProto::default()
        };
        set(&mut attribute);
        self.attribute.push(attribute);
        self
    }
}

/// An extent of an input: a number, a name, or nothing for "".
#[derive(Copy, Clone)]
pub(super) enum Extent {
    Number(i64),
    Name(&'static str),
}

impl From<i64> for Extent {
    fn from(n: i64) -> Extent {
        Extent::Number(n)
    }
}

impl From<&'static str> for Extent {
    fn from(name: &'static str) -> Extent {
        Extent::Name(name)
    }
}

pub(super) fn value(name: &str, elem: i32, extents: &[Extent]) -> ValueInfoProto {
    let dim = extents
        .iter()
        .map(|e| Dimension {
            value: match e {
                Extent::Number(n) => Some(dimension::Value::DimValue(*n)),
                Extent::Name("") => None,
                Extent::Name(name) => Some(dimension::Value::DimParam((*name).into())),
            },
        })
        .collect();
    ValueInfoProto {
        name: name.into(),
        r#type: Some(TypeProto {
            value: Some(type_proto::Value::TensorType(type_proto::Tensor {
                elem_type: elem,
                shape: Some(TensorShapeProto { dim }),
            })),
        }),
    }
}

pub(super) fn floats(name: &str, dims: &[i64], values: &[f32]) -> TensorProto {
    TensorProto {
        name: name.into(),
        dims: dims.to_vec(),
        data_type: F32,
        float_data: values.to_vec(),
        ..TensorProto::default()
    }
}

pub(super) fn longs(name: &str, values: &[i64]) -> TensorProto {
    TensorProto {
        name: name.into(),
        dims: vec![values.len() as i64],
        data_type: I64,
        int64_data: values.to_vec(),
        ..TensorProto::default()
    }
}

/// A model around nodes; outputs are given by name, for nobody reads their types.
pub(super) fn model(
    opset: i64,
    inputs: &[ValueInfoProto],
    initializers: &[TensorProto],
    nodes: &[NodeProto],
    outputs: &[&str],
) -> ModelProto {
    ModelProto {
        ir_version: 8,
        graph: Some(graph(inputs, initializers, nodes, outputs)),
        opset_import: vec![OperatorSetIdProto {
            domain: String::new(),
            version: opset,
        }],
        ..ModelProto::default()
    }
}

pub(super) fn graph(
    inputs: &[ValueInfoProto],
    initializers: &[TensorProto],
    nodes: &[NodeProto],
    outputs: &[&str],
) -> GraphProto {
    let output = |name: &&str| ValueInfoProto {
        name: (*name).into(),
        r#type: None,
    };
    GraphProto {
        node: nodes.to_vec(),
        initializer: initializers.to_vec(),
        input: inputs.to_vec(),
        output: outputs.iter().map(output).collect(),
        ..GraphProto::default()
    }
}

/// The module of a model that must import, and verify.
pub(super) fn imported(model: &ModelProto) -> Module {
    match import_model(model, None, &ImportOptions::default()) {
        Ok((module, _)) => {
            assert_eq!(verify(&module), vec![]);
            module
        }
        Err(found) => panic!("{}", messages(&found)),
    }
}

/// The errors of a model that must not import, one a line.
pub(super) fn refused(model: &ModelProto) -> String {
    match import_model(model, None, &ImportOptions::default()) {
        Ok(_) => panic!("the model is imported"),
        Err(found) => messages(&found),
    }
}

pub(super) fn messages(found: &[lepid_ir::core::Diagnostic]) -> String {
    let lines: Vec<String> = found
        .iter()
        .map(|d| format!("{}: {}", d.code, d.message))
        .collect();
    lines.join("\n")
}

pub(super) fn run(model: &ModelProto, args: &[Tensor]) -> Vec<Tensor> {
    let module = imported(model);
    let main = Func::find(&module, "main").unwrap();
    match interp::run(&module, main, args) {
        Ok(results) => results,
        Err(error) => panic!("{}", error.message),
    }
}

/// The extents of an output.
pub(super) fn output_dims(module: &Module, index: usize) -> Vec<Dim> {
    let main = Func::find(module, "main").unwrap();
    let value = Func::returned(module.view(main))[index];
    module.value_type(value).as_tensor().unwrap().dims.clone()
}

pub(super) fn f32s(shape: &[usize], values: &[f32]) -> Tensor {
    Tensor::from_vec(Elem::F32, shape.iter().copied(), values.to_vec())
}

pub(super) fn i64s(shape: &[usize], values: &[i64]) -> Tensor {
    Tensor::from_nums(
        Elem::I64,
        shape.iter().copied(),
        values.iter().map(|&x| Num::Int(i128::from(x))),
    )
}

pub(super) fn assert_close(found: &Tensor, shape: &[usize], expected: &[f64]) {
    assert_eq!(found.shape(), shape);
    let found = found.to_f64s();
    let close = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-5 * (1.0 + b.abs());
    assert!(
        found.len() == expected.len() && found.iter().zip(expected).all(close),
        "{found:?} differs from {expected:?}"
    );
}
