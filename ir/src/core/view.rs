//! Read access to one op.

use crate::core::{
    Attr, Dim, Loc, Module, Op, OpDef, OpInfo, Region, Tensor, TensorType, Type, Value,
};

/// An op together with its module.
#[derive(Copy, Clone)]
pub struct OpView<'m> {
    pub module: &'m Module,
    pub op: Op,
}

impl<'m> OpView<'m> {
    pub fn def(self) -> &'static dyn OpDef {
        self.module.def(self.op)
    }

    pub fn info(self) -> &'static OpInfo {
        self.def().info()
    }

    pub fn name(self) -> &'static str {
        self.info().name
    }

    pub fn loc(self) -> &'m Loc {
        self.module.loc(self.op)
    }

    pub fn operands(self) -> &'m [Value] {
        self.module.operands(self.op)
    }

    pub fn operand(self, index: usize) -> Value {
        self.operands()[index]
    }

    /// The operand declared under that name. Panics if there is none.
    pub fn operand_named(self, name: &str) -> Value {
        match self.info().operands.iter().position(|o| o.name == name) {
            Some(index) => self.operand(index),
            None => crate::bug!("`{}` has no operand `{name}`", self.name()),
        }
    }

    pub fn operand_type(self, index: usize) -> Type {
        self.module.value_type(self.operand(index))
    }

    /// The tensor type of an operand. Panics on another type: the operand's rule has refused it.
    pub fn operand_tensor(self, index: usize) -> &'static TensorType {
        self.tensor_type(self.operand(index))
    }

    pub fn operand_dims(self, index: usize) -> &'static [Dim] {
        &self.operand_tensor(index).dims
    }

    /// The value of an operand that a constant op defines.
    pub fn constant_operand(self, index: usize) -> Option<&'m Tensor> {
        self.module.constant_value(self.operand(index))
    }

    pub fn results(self) -> &'m [Value] {
        self.module.results(self.op)
    }

    pub fn result(self, index: usize) -> Value {
        self.results()[index]
    }

    pub fn result_type(self, index: usize) -> Type {
        self.module.value_type(self.result(index))
    }

    pub fn result_tensor(self, index: usize) -> &'static TensorType {
        self.tensor_type(self.result(index))
    }

    /// All attributes in declared order.
    pub fn attrs(self) -> &'m [Attr] {
        self.module.attrs(self.op)
    }

    /// An attribute by name. Panics if the op declares none of that name.
    pub fn attr(self, name: &str) -> &'m Attr {
        match self.info().attr_index(name) {
            Some(index) => &self.attrs()[index],
            None => crate::bug!("`{}` has no attribute `{name}`", self.name()),
        }
    }

    pub fn regions(self) -> &'m [Region] {
        self.module.regions(self.op)
    }

    /// Elements of a result; unknown extents count as 1.
    pub fn result_elements(self, index: usize) -> f64 {
        elements(self.result_type(index))
    }

    pub fn operand_elements(self, index: usize) -> f64 {
        elements(self.operand_type(index))
    }

    pub fn operand_bytes(self) -> f64 {
        let types = self.operands().iter().map(|&v| self.module.value_type(v));
        types.map(bytes).sum()
    }

    pub fn result_bytes(self) -> f64 {
        let types = self.results().iter().map(|&v| self.module.value_type(v));
        types.map(bytes).sum()
    }

    fn tensor_type(self, value: Value) -> &'static TensorType {
        match self.module.value_type(value).as_tensor() {
            Some(ty) => ty,
            None => crate::bug!("`{}` has a value that is not a tensor", self.name()),
        }
    }
}

fn elements(ty: Type) -> f64 {
    ty.as_tensor().map_or(1.0, |t| {
        let extents = t.dims.iter().map(|d| d.known().unwrap_or(1) as f64);
        extents.product()
    })
}

fn bytes(ty: Type) -> f64 {
    ty.elem().map_or(0.0, |e| elements(ty) * e.bytes() as f64)
}
