//! Ops asked without a program around them: their result types, their values, their costs.
//!
//! An op answers through an [`OpView`], so it is built in a module of its own, on arguments of the
//! given types, and erased again.

use std::collections::HashMap;

use lepid_ir::core::{
    Attr, Block, Builder, InsertPoint, Module, Op, OpDef, OpView, Tensor, Type, Value,
};
use lepid_ir::interp;

use super::language::{Leaf, OpName};

/// Builds ops to ask them something.
pub(super) struct Scratch {
    module: Module,
    block: Block,
    /// Arguments by type and operand position.
    args: HashMap<(Type, usize), Value>,
    types: HashMap<Question, Option<Vec<Type>>>,
}

/// An op, the types of its operands, its attributes.
pub(super) type Question = (OpName, Vec<Type>, Vec<Leaf>);

impl Default for Scratch {
    fn default() -> Scratch {
        let mut module = Module::new();
        let region = module.new_region();
        let block = module.new_block(region, None);
        Scratch {
            module,
            block,
            args: HashMap::new(),
            types: HashMap::new(),
        }
    }
}

impl Scratch {
    /// The result types of an op, if it can be built like this.
    pub(super) fn infer(
        &mut self,
        def: &'static dyn OpDef,
        operands: &[Type],
        attrs: &[Leaf],
    ) -> Option<Vec<Type>> {
        let key = (OpName(def), operands.to_vec(), attrs.to_vec());
        if let Some(known) = self.types.get(&key) {
            return known.clone();
        }
        let results = self.ask(def, operands, attrs, |op| {
            let results = op.results().iter();
            results.map(|&r| op.module.value_type(r)).collect()
        });
        self.types.insert(key, results.clone());
        results
    }

    /// The values of the results on constant operands.
    pub(super) fn evaluate(
        &mut self,
        def: &'static dyn OpDef,
        operands: &[Tensor],
        attrs: &[Leaf],
    ) -> Option<Vec<Tensor>> {
        let types: Vec<Type> = operands.iter().map(Tensor::ty).collect();
        self.ask(def, &types, attrs, |op| {
            interp::eval_pure(op.module, op.op, operands).ok()
        })?
    }

    /// Shows an op to `answer`; `None` if there is no such op.
    pub(super) fn ask<T>(
        &mut self,
        def: &'static dyn OpDef,
        operands: &[Type],
        attrs: &[Leaf],
        answer: impl FnOnce(OpView<'_>) -> T,
    ) -> Option<T> {
        let args = self.args(operands);
        self.show(def, &args, attrs, answer)
    }

    /// The same for an op of which one operand may be the result of another op.
    pub(super) fn ask_behind<T>(
        &mut self,
        (name, types, attrs): &Question,
        producer: Option<(usize, &Question)>,
        answer: impl FnOnce(OpView<'_>) -> T,
    ) -> Option<T> {
        let mut args = self.args(types);
        let made = producer.and_then(|(i, (name, types, attrs))| {
            let operands = self.args(types);
            let op = self.create(name.0, &operands, attrs)?;
            if let &[result] = self.module.results(op) {
                args[i] = result;
            }
            Some(op)
        });
        let answer = self.show(name.0, &args, attrs, answer);
        if let Some(op) = made {
            self.module.erase(op);
        }
        answer
    }

    fn args(&mut self, types: &[Type]) -> Vec<Value> {
        let places = types.iter().enumerate();
        places
            .map(|(i, &ty)| {
                let arg = self.args.entry((ty, i));
                *arg.or_insert_with(|| self.module.add_block_arg(self.block, ty))
            })
            .collect()
    }

    fn create(&mut self, def: &'static dyn OpDef, args: &[Value], attrs: &[Leaf]) -> Option<Op> {
        let names = def.info().attrs.iter().map(|a| a.name);
        let attrs: Vec<(&str, Attr)> = names.zip(attrs.iter().map(|l| l.attr.clone())).collect();
        let mut b = Builder::new(&mut self.module, InsertPoint::End(self.block));
        b.create(def, args, &attrs).ok()
    }

    fn show<T>(
        &mut self,
        def: &'static dyn OpDef,
        args: &[Value],
        attrs: &[Leaf],
        answer: impl FnOnce(OpView<'_>) -> T,
    ) -> Option<T> {
        let op = self.create(def, args, attrs)?;
        let answer = answer(self.module.view(op));
        self.module.erase(op);
        Some(answer)
    }
}
