//! What the lowering of one node has at hand: its inputs, its attributes, a builder.

use lepid_ir::core::{
    Attr, Builder, Code, Dim, Elem, OpDef, OpError, OpResult, Tensor, TensorType, Value,
};
use lepid_ir::dialects::core::constant;
use lepid_ir::dialects::tensor::extents::{self, Entry};

use super::fold;
use super::graph::{Importer, Scope};
use super::proto::{AttributeProto, GraphProto, NodeProto, attribute_type};

/// The context of a node.
pub(super) struct Cx<'c, 's, 'i, 'm> {
    pub(super) b: &'c mut Builder<'m>,
    pub(super) node: &'c NodeProto,
    /// The version of the operator set that the node is written in.
    pub(super) opset: i64,
    /// None where an optional input is left out.
    pub(super) inputs: &'c [Option<Value>],
    pub(super) scope: &'c Scope<'s>,
    pub(super) importer: &'c mut Importer<'i>,
}

/// The node breaks the ONNX specification.
pub(super) fn invalid(message: impl Into<String>) -> OpError {
    OpError::with_code(Code::ONNX_NODE, message)
}

/// The node is fine, but we cannot lower it.
pub(super) fn unsupported(message: impl Into<String>) -> OpError {
    OpError::with_code(Code::ONNX_OP, message)
}

/// How to give a value to an input that decides a shape.
pub(super) fn constant_help(input: &str) -> String {
    format!(
        "give input `{input}` its value: `--constant {input}=[1,2]` or `--constant {input}=FILE.npy`"
    )
}

/// An axis that counts from the end if it is negative.
pub(super) fn normal_axis(axis: i64, rank: usize) -> OpResult<usize> {
    let rank = rank as i64;
    let normal = if axis < 0 {
        axis.saturating_add(rank)
    } else {
        axis
    };
    match (0..rank).contains(&normal) {
        true => Ok(normal as usize),
        false => Err(invalid(format!(
            "axis {axis} is out of range for rank {rank}"
        ))),
    }
}

/// Inputs.
impl Cx<'_, '_, '_, '_> {
    /// A required input.
    pub(super) fn input(&self, index: usize) -> OpResult<Value> {
        self.optional(index)
            .ok_or_else(|| invalid(format!("input {index} is missing")))
    }

    pub(super) fn optional(&self, index: usize) -> Option<Value> {
        self.inputs.get(index).copied().flatten()
    }

    /// All inputs of an operator that takes any number, at least one.
    pub(super) fn all_inputs(&self) -> OpResult<Vec<Value>> {
        let inputs: Option<Vec<Value>> = self.inputs.iter().copied().collect();
        match inputs {
            Some(inputs) if !inputs.is_empty() => Ok(inputs),
            _ => Err(invalid(
                "at least one input is needed, and none may be left out",
            )),
        }
    }

    pub(super) fn ty(&self, value: Value) -> OpResult<&'static TensorType> {
        let ty = self.b.value_type(value);
        ty.as_tensor()
            .ok_or_else(|| unsupported(format!("an input has the type `{ty}`")))
    }

    pub(super) fn dims(&self, value: Value) -> OpResult<Vec<Dim>> {
        Ok(self.ty(value)?.dims.clone())
    }

    pub(super) fn rank(&self, value: Value) -> OpResult<usize> {
        Ok(self.ty(value)?.rank())
    }

    pub(super) fn elem(&self, value: Value) -> OpResult<Elem> {
        Ok(self.ty(value)?.elem)
    }

    /// The value of a constant.
    pub(super) fn constant_of(&self, value: Value) -> Option<&Tensor> {
        self.b.module.constant_value(value)
    }

    /// The value of a constant, or of what this lowering has computed from constants.
    pub(super) fn known(&self, value: Value) -> Option<Tensor> {
        match self.constant_of(value) {
            Some(tensor) => Some(tensor.clone()),
            None => fold::evaluate(self.b.module, value),
        }
    }

    /// The numbers of a known value.
    pub(super) fn ints_of(&self, value: Value) -> Option<Vec<i64>> {
        self.known(value).map(|tensor| tensor.to_i64s())
    }

    /// What is known of the elements of an integer vector or scalar, if its length is.
    pub(super) fn entries(&self, value: Value) -> Option<Vec<Entry>> {
        let whole = |t: &Tensor| t.elem().is_int() && t.len() as u64 <= extents::MAX_RANK;
        if let Some(known) = self.known(value).filter(whole) {
            return Some(known.to_i64s().into_iter().map(Entry::Number).collect());
        }
        let entries = extents::trace(self.b.module, value);
        if entries.as_ref().is_none_or(|e| e.contains(&Entry::Unknown)) {
            self.want(value);
        }
        entries
    }

    /// Says that the result has a static shape only if this value is known. Gives the inputs of the
    /// model that it is computed from.
    pub(super) fn want(&self, value: Value) -> Vec<String> {
        match self.known(value) {
            Some(_) => Vec::new(),
            None => self.importer.statics.want(self.b.module, value),
        }
    }

    /// The error for a value that must be known, but is not.
    pub(super) fn must_be_constant(&self, value: Value, what: &str) -> OpError {
        let error = unsupported(format!("{what} must be constant"));
        match self.want(value).first() {
            Some(name) => error.help(constant_help(name)),
            None => error.help("give fixed input shapes if it is computed from them"),
        }
    }

    /// The numbers of an optional input that must be constant.
    pub(super) fn constant_ints(&self, index: usize, what: &str) -> OpResult<Option<Vec<i64>>> {
        let Some(value) = self.optional(index) else {
            return Ok(None);
        };
        match self.ints_of(value) {
            Some(ints) => Ok(Some(ints)),
            None => Err(self.must_be_constant(value, what)),
        }
    }

    /// The tensor of an optional input that must be constant.
    pub(super) fn constant_input(&self, index: usize, what: &str) -> OpResult<Option<Tensor>> {
        let Some(value) = self.optional(index) else {
            return Ok(None);
        };
        match self.known(value) {
            Some(tensor) => Ok(Some(tensor)),
            None => Err(self.must_be_constant(value, what)),
        }
    }

    pub(super) fn outputs(&self) -> usize {
        let used = self.node.output.iter().rposition(|o| !o.is_empty());
        used.map_or(0, |last| last + 1)
    }

    /// Whether something may read that output.
    pub(super) fn wants(&self, index: usize) -> bool {
        self.node.output.get(index).is_some_and(|o| !o.is_empty())
    }
}

/// Attributes.
impl Cx<'_, '_, '_, '_> {
    fn attribute(&self, name: &str, kind: i32) -> OpResult<Option<&AttributeProto>> {
        let Some(found) = self.node.attribute.iter().find(|a| a.name == name) else {
            return Ok(None);
        };
        match found.r#type == kind {
            true => Ok(Some(found)),
            false => Err(invalid(format!(
                "attribute `{name}` is {}, expected {}",
                kind_name(found.r#type),
                kind_name(kind)
            ))),
        }
    }

    pub(super) fn opt_int(&self, name: &str) -> OpResult<Option<i64>> {
        Ok(self.attribute(name, attribute_type::INT)?.map(|a| a.i))
    }

    pub(super) fn int(&self, name: &str, default: i64) -> OpResult<i64> {
        Ok(self.opt_int(name)?.unwrap_or(default))
    }

    pub(super) fn flag(&self, name: &str) -> OpResult<bool> {
        Ok(self.int(name, 0)? != 0)
    }

    pub(super) fn opt_float(&self, name: &str) -> OpResult<Option<f64>> {
        let found = self.attribute(name, attribute_type::FLOAT)?;
        Ok(found.map(|a| f64::from(a.f)))
    }

    pub(super) fn float(&self, name: &str, default: f32) -> OpResult<f64> {
        Ok(self.opt_float(name)?.unwrap_or(f64::from(default)))
    }

    pub(super) fn ints(&self, name: &str) -> OpResult<Option<Vec<i64>>> {
        let found = self.attribute(name, attribute_type::INTS)?;
        Ok(found.map(|a| a.ints.clone()))
    }

    pub(super) fn floats(&self, name: &str) -> OpResult<Option<Vec<f64>>> {
        let found = self.attribute(name, attribute_type::FLOATS)?;
        Ok(found.map(|a| a.floats.iter().map(|&x| f64::from(x)).collect()))
    }

    pub(super) fn string(&self, name: &str, default: &str) -> OpResult<String> {
        let found = self.attribute(name, attribute_type::STRING)?;
        Ok(found.map_or_else(
            || default.to_string(),
            |a| String::from_utf8_lossy(&a.s).into_owned(),
        ))
    }

    pub(super) fn strings(&self, name: &str) -> OpResult<Option<Vec<String>>> {
        let found = self.attribute(name, attribute_type::STRINGS)?;
        let text = |s: &bytes::Bytes| String::from_utf8_lossy(s).into_owned();
        Ok(found.map(|a| a.strings.iter().map(text).collect()))
    }

    pub(super) fn tensor(&mut self, name: &str) -> OpResult<Option<Tensor>> {
        let found = self.attribute(name, attribute_type::TENSOR)?;
        let Some(proto) = found.and_then(|a| a.t.clone()) else {
            return Ok(None);
        };
        self.importer.weights.tensor(&proto).map(Some)
    }

    pub(super) fn graph(&self, name: &str) -> OpResult<GraphProto> {
        let found = self.attribute(name, attribute_type::GRAPH)?;
        found
            .and_then(|a| a.g.clone())
            .ok_or_else(|| invalid(format!("attribute `{name}` is missing")))
    }

    /// A required attribute.
    pub(super) fn required<T>(&self, name: &str, found: Option<T>) -> OpResult<T> {
        found.ok_or_else(|| invalid(format!("attribute `{name}` is missing")))
    }

    /// The attribute `axis`, counted from the front.
    pub(super) fn axis(&self, default: i64, rank: usize) -> OpResult<usize> {
        normal_axis(self.int("axis", default)?, rank)
    }
}

/// Building.
impl Cx<'_, '_, '_, '_> {
    /// An op with one result.
    pub(super) fn op(
        &mut self,
        def: &'static dyn OpDef,
        operands: &[Value],
        attrs: &[(&str, Attr)],
    ) -> OpResult<Value> {
        self.b.one(def, operands, attrs)
    }

    /// An op with any number of results.
    pub(super) fn ops(
        &mut self,
        def: &'static dyn OpDef,
        operands: &[Value],
        attrs: &[(&str, Attr)],
    ) -> OpResult<Vec<Value>> {
        let op = self.b.create(def, operands, attrs)?;
        Ok(self.b.module.results(op).to_vec())
    }

    /// A constant that stands in the file.
    pub(super) fn stored(&mut self, tensor: Tensor) -> OpResult<Value> {
        constant(self.b, tensor)
    }

    /// A constant that is made here.
    pub(super) fn constant(&mut self, tensor: Tensor) -> OpResult<Value> {
        self.importer.spend(tensor.bytes().len() as u64)?;
        constant(self.b, tensor)
    }
}

fn kind_name(kind: i32) -> &'static str {
    match kind {
        attribute_type::FLOAT => "a float",
        attribute_type::INT => "an integer",
        attribute_type::STRING => "a string",
        attribute_type::TENSOR => "a tensor",
        attribute_type::GRAPH => "a graph",
        attribute_type::FLOATS => "a list of floats",
        attribute_type::INTS => "a list of integers",
        attribute_type::STRINGS => "a list of strings",
        _ => "of another kind",
    }
}
