//! The stages of a cascade as functions of their own, for who serves them one by one.

use std::collections::HashMap;

use lepid_ir::core::{Attr, Block, Builder, Code, Diagnostic, Module, Op, OpResult, Type, Value};
use lepid_ir::dialects::adapt::{Cascade, Stage, stages};
use lepid_ir::dialects::core::{Func, Return};
use lepid_ir::dialects::tensor::build;

use super::cut::reads;
use crate::core::rewrite::{copy_from, is};

/// The stages of a function that is one cascade, as functions `main` of modules of their own. Each
/// takes what is handed on to its stage, and behind that the arguments of the function that are no
/// samples; all but the last give who leaves, what is emitted and what is handed on, the last what is
/// emitted. Images are handed on with their channels last.
pub fn split(module: &Module, func: Op) -> Result<Vec<Module>, Diagnostic> {
    let view = module.view(func);
    let refuse = |message: &str| {
        let error = Diagnostic::error(Code::SPEC, view.loc().clone(), message);
        error.with_help("a spec makes a cascade that can be served: `lepid explain-spec`")
    };
    let block = Func::block(view);
    let mut cascades = module.ops_in(block).filter(|&op| is(module, op, &Cascade));
    let (Some(cascade), None) = (cascades.next(), cascades.next()) else {
        return Err(refuse("the function is not one cascade"));
    };
    let op = module.view(cascade);
    let all = stages(op).map_err(|error| error.at(op.loc().clone()))?;
    if Func::returned(view) != op.results()
        || !op.operands().iter().all(|v| Func::args(view).contains(v))
    {
        return Err(refuse("the function does more than one cascade"));
    }
    if Cascade::mode(op) != "input-dependent" || Cascade::fallback(op) != "last" {
        return Err(refuse(
            "only cascades in which each exit decides for itself are served",
        ));
    }
    let shared: Vec<Value> = Func::args(view)
        .iter()
        .copied()
        .filter(|v| !op.operands().contains(v))
        .collect();
    let built = (0..all.len())
        .map(|number| stage_module(module, func, cascade, (&all[number], all[0].block), &shared));
    built
        .collect::<OpResult<Vec<Module>>>()
        .map_err(|error| error.at(op.loc().clone()))
}

fn stage_module(
    module: &Module,
    func: Op,
    cascade: Op,
    (stage, first): (&Stage, Block),
    shared: &[Value],
) -> OpResult<Module> {
    let view = module.view(func);
    let takes = module.block_args(stage.block);
    // The first stage takes what the function does.
    let is_first = stage.block == first;
    let types = takes.iter().map(|&v| match is_first {
        true => module.value_type(v),
        false => handed_type(module.value_type(v)),
    });
    let types = types.chain(shared.iter().map(|&v| module.value_type(v)));
    let types: Vec<Type> = types.collect();
    let names = Func::input_names(view);
    let name_of = |v: &Value| {
        Func::args(view)
            .iter()
            .position(|arg| arg == v)
            .map(|i| names[i].as_str())
    };
    let mut inputs: Vec<String> = (0..takes.len()).map(|i| format!("given{i}")).collect();
    inputs.extend(
        shared
            .iter()
            .map(|v| name_of(v).unwrap_or("shared").to_string()),
    );
    let listed = |names: &[String]| Attr::List(names.iter().map(|n| n.as_str().into()).collect());
    let mut made = Module::new();
    let main = Func::create(&mut made, "main", &types, &[("inputs", listed(&inputs))])?;
    let block = Func::block(made.view(main));
    let args = made.block_args(block).to_vec();
    let mut map: HashMap<Value, Value> = takes.iter().chain(shared).copied().zip(args).collect();
    let mut b = Builder::at_end(&mut made, block);
    for take in takes.iter().filter(|_| !is_first) {
        if is_image(module.value_type(*take)) {
            let arg = build::transpose(&mut b, map[take], &[0, 3, 1, 2])?;
            map.insert(*take, arg);
        }
    }
    let outside = module
        .ops_in(Func::block(view))
        .take_while(|&op| op != cascade);
    for op in outside.chain(module.ops_in(stage.block).filter(|&op| op != stage.end)) {
        if reads(module, op)
            .iter()
            .all(|v| map.contains_key(v) || is_inside(module, *v, op))
        {
            copy_from(&mut b, module, op, &mut map)?;
        }
    }
    let results = stage.leaves.iter().chain(&stage.emits);
    let mut results: Vec<Value> = results.map(|v| map[v]).collect();
    for value in &stage.hands_on {
        results.push(match is_image(module.value_type(*value)) {
            true => build::transpose(&mut b, map[value], &[0, 2, 3, 1])?,
            false => map[value],
        });
    }
    Return::build(&mut b, &results, &[])?;
    Ok(made)
}

/// Whether values of a type are handed on with their channels last, as targets compute them.
fn is_image(ty: Type) -> bool {
    ty.as_tensor().is_some_and(|ty| ty.rank() == 4)
}

fn handed_type(ty: Type) -> Type {
    match ty.as_tensor() {
        Some(tensor) if is_image(ty) => {
            let dims = [0, 2, 3, 1].map(|axis| tensor.dims[axis]);
            Type::tensor(tensor.elem, dims)
        }
        _ => ty,
    }
}

/// Whether a value is defined in a region of the op.
fn is_inside(module: &Module, value: Value, op: Op) -> bool {
    module
        .walk_inside(op)
        .iter()
        .any(|&inner| module.results(inner).contains(&value))
        || module.regions(op).iter().any(|&region| {
            let blocks = module.region_blocks(region).iter();
            blocks
                .copied()
                .any(|block| module.block_args(block).contains(&value))
        })
}
