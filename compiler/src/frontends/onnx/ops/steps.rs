//! Small steps that many lowerings take.

use lepid_ir::core::{Dim, Elem, Num, OpDef, OpResult, Region, Tensor, Type, Value};
use lepid_ir::dialects::core::Yield;
use lepid_ir::dialects::tensor::{self, build};

use crate::frontends::onnx::cx::{Cx, invalid};

impl Cx<'_, '_, '_, '_> {
    /// An op of two operands, broadcast to one shape.
    pub(super) fn binary(
        &mut self,
        def: &'static dyn OpDef,
        x: Value,
        y: Value,
    ) -> OpResult<Value> {
        let (x_elem, y_elem) = (self.elem(x)?, self.elem(y)?);
        if x_elem != y_elem {
            return Err(invalid(format!(
                "inputs must have one element type, found `{x_elem}` and `{y_elem}`"
            )));
        }
        build::binary(self.b, def, x, y)
    }

    pub(super) fn compare(&mut self, direction: &str, x: Value, y: Value) -> OpResult<Value> {
        build::compare(self.b, direction, x, y)
    }

    pub(super) fn select(&mut self, cond: Value, x: Value, y: Value) -> OpResult<Value> {
        build::select(self.b, cond, x, y)
    }

    pub(super) fn cast(&mut self, x: Value, to: Elem) -> OpResult<Value> {
        build::cast(self.b, x, to)
    }

    /// A constant of rank 0.
    pub(super) fn number(&mut self, elem: Elem, x: f64) -> OpResult<Value> {
        self.constant(Tensor::scalar(elem, Num::Float(x)))
    }

    /// `value` everywhere in the shape and type of `x`.
    pub(super) fn splat(&mut self, x: Value, value: f64) -> OpResult<Value> {
        build::splat_like(self.b, x, value)
    }

    /// 0, 1, 2, … up to the extent of an axis of `x`, as a vector.
    pub(super) fn places(&mut self, x: Value, axis: usize) -> OpResult<Value> {
        let dims = self.dims(x)?;
        let dim = *dims
            .get(axis)
            .ok_or_else(|| invalid(format!("rank {} has no axis {axis}", dims.len())))?;
        if dim != Dim::Unknown {
            return build::iota(self.b, &[dim], 0, Elem::I64);
        }
        let extent = build::dim(self.b, x, axis)?;
        let (zero, one) = (self.number(Elem::I64, 0.0)?, self.number(Elem::I64, 1.0)?);
        self.op(&tensor::DynIota, &[zero, extent, one], &[])
    }

    /// Carries values round a loop while the condition holds.
    pub(super) fn repeat(
        &mut self,
        initial: &[Value],
        condition: impl FnOnce(&mut Cx<'_, '_, '_, '_>, &[Value]) -> OpResult<Value>,
        body: impl FnOnce(&mut Cx<'_, '_, '_, '_>, &[Value]) -> OpResult<Vec<Value>>,
    ) -> OpResult<Vec<Value>> {
        let types: Vec<Type> = initial.iter().map(|&v| self.b.value_type(v)).collect();
        let regions = [
            self.region(&types, |cx, args| Ok(vec![condition(cx, args)?]))?,
            self.region(&types, body)?,
        ];
        let op = self
            .b
            .create_with_regions(&tensor::While, initial, &[], &regions)?;
        Ok(self.b.module.results(op).to_vec())
    }

    /// A region that yields what `fill` gives.
    fn region(
        &mut self,
        types: &[Type],
        fill: impl FnOnce(&mut Cx<'_, '_, '_, '_>, &[Value]) -> OpResult<Vec<Value>>,
    ) -> OpResult<Region> {
        let (node, opset, inputs, scope) = (self.node, self.opset, self.inputs, self.scope);
        let importer = &mut *self.importer;
        self.b.region(types, |b, args| {
            let mut cx = Cx {
                b,
                node,
                opset,
                inputs,
                scope,
                importer,
            };
            let values = fill(&mut cx, args)?;
            Yield::build(cx.b, &values, &[]).map(drop)
        })
    }

    /// Axes of extent 1 before the others, up to `rank`.
    pub(super) fn lift_rank(&mut self, x: Value, rank: usize) -> OpResult<Value> {
        let dims = self.dims(x)?;
        if dims.len() > rank {
            return Err(invalid(format!(
                "rank {} cannot be broadcast to rank {rank}",
                dims.len()
            )));
        }
        let ones = vec![Dim::Known(1); rank - dims.len()];
        if ones.is_empty() {
            return Ok(x);
        }
        let shape: Vec<_> = ones.into_iter().chain(dims).collect();
        self.reshape(x, &shape)
    }

    pub(super) fn reshape(&mut self, x: Value, dims: &[Dim]) -> OpResult<Value> {
        build::reshape(self.b, x, dims)
    }

    pub(super) fn transpose(&mut self, x: Value, perm: &[usize]) -> OpResult<Value> {
        build::transpose(self.b, x, perm)
    }
}
