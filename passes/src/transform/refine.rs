//! Binds named extents and works out what follows from them.
//!
//! ```text
//! // with N = 4
//! func @f(%0: tensor<?Nx8xf32>) {                              func @f(%0: tensor<4x8xf32>) {
//!   %1 = tensor.reshape(%0) {shape = [?N, 2, 4]} : …       →     %1 = tensor.reshape(%0) {shape = [4, 2, 4]} : …
//! ```
//!
//! Names stand in types and in `Dims` attributes; both are replaced everywhere, also inside
//! regions. Then the types of all results are inferred anew, so that what was unknown because of
//! a name becomes known.

use std::collections::{BTreeMap, BTreeSet};

use lepid_ir::core::{
    Attr, Code, Diagnostic, Dim, ExtType, Loc, Module, Op, OpError, Symbol, TensorType, Type,
    TypeKind, Value,
};

use crate::core::rewrite::{At, retype};
use crate::core::{Changed, PassCx, PassDef, PassResult, Values};

pub const PASS: PassDef = PassDef {
    name: "refine",
    summary: "Binds named extents to the given numbers and infers all types anew.",
    values: Values::Exact,
    options: &[],
    run,
};

fn run(module: &mut Module, cx: &mut PassCx<'_>) -> PassResult {
    let mut binder = Binder {
        dims: &cx.env.dims,
        used: BTreeSet::new(),
    };
    let before = all_types(module);
    for op in module.walk() {
        bind_op(module, op, &mut binder);
    }
    for (&name, &extent) in &cx.env.dims {
        if !binder.used.contains(&name) {
            let message =
                format!("no extent is named `{name}`, so `{name}={extent}` has no effect");
            let warning = Diagnostic::warning(Code::ARGUMENT, Loc::Unknown, message);
            cx.diagnostics.push(warning);
        }
    }
    let all: BTreeSet<Op> = module.walk().into_iter().collect();
    for op in &all {
        // One op at a time, so that an error stands at its op.
        let loc = module.loc(*op).clone();
        retype(module, BTreeSet::from([*op]))
            .map_err(|e| explain(e, &cx.env.dims))
            .at(&loc)?;
    }
    Ok(Changed::from(all_types(module) != before))
}

/// Says which binding an error may come from.
fn explain(error: OpError, dims: &BTreeMap<Symbol, u64>) -> OpError {
    let bound: Vec<String> = dims.iter().map(|(n, e)| format!("{n}={e}")).collect();
    match bound.is_empty() || error.help.is_some() {
        true => error,
        false => error.help(format!("the extents {} were given", bound.join(", "))),
    }
}

fn all_types(module: &Module) -> Vec<Type> {
    let ops = module.walk().into_iter();
    let values = ops.flat_map(|op| defined_by(module, op));
    values.map(|v| module.value_type(v)).collect()
}

/// The results of an op and the arguments of its blocks.
fn defined_by(module: &Module, op: Op) -> Vec<Value> {
    let mut values = module.results(op).to_vec();
    for &region in module.regions(op) {
        for &block in module.region_blocks(region) {
            values.extend(module.block_args(block));
        }
    }
    values
}

fn bind_op(module: &mut Module, op: Op, binder: &mut Binder<'_>) {
    for value in defined_by(module, op) {
        let ty = binder.ty(module.value_type(value));
        module.set_value_type(value, ty);
    }
    let info = module.def(op).info();
    for (i, declared) in info.attrs.iter().enumerate() {
        let old = &module.attrs(op)[i];
        // Weights need not be looked at, let alone copied.
        if matches!(old, Attr::Tensor(_)) {
            continue;
        }
        let new = binder.attr(old);
        module.set_attr(op, declared.name, new);
    }
}

struct Binder<'a> {
    dims: &'a BTreeMap<Symbol, u64>,
    used: BTreeSet<Symbol>,
}

impl Binder<'_> {
    fn dim(&mut self, dim: Dim) -> Dim {
        match dim {
            Dim::Sym(name) => match self.dims.get(&name) {
                Some(&extent) => {
                    self.used.insert(name);
                    Dim::Known(extent)
                }
                None => dim,
            },
            Dim::Known(_) | Dim::Unknown => dim,
        }
    }

    fn ty(&mut self, ty: Type) -> Type {
        match ty.kind() {
            TypeKind::Tensor(t) => {
                let dims: Vec<Dim> = t.dims.iter().map(|&d| self.dim(d)).collect();
                TensorType::new(t.elem, dims).into()
            }
            TypeKind::Ext(e) => {
                let params = e.params.iter();
                Type::new(TypeKind::Ext(ExtType {
                    params: params.map(|(n, a)| (*n, self.attr(a))).collect(),
                    ..e.clone()
                }))
            }
        }
    }

    fn attr(&mut self, attr: &Attr) -> Attr {
        match attr {
            Attr::Dim(dim) => Attr::dim(self.dim(*dim)),
            Attr::Type(ty) => Attr::Type(self.ty(*ty)),
            Attr::List(items) => Attr::List(items.iter().map(|a| self.attr(a)).collect()),
            Attr::Absent
            | Attr::Bool(_)
            | Attr::Int(_)
            | Attr::Float(_)
            | Attr::Str(_)
            | Attr::Elem(_)
            | Attr::Func(_)
            | Attr::Tensor(_) => attr.clone(),
        }
    }
}
