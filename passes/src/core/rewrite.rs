//! Replacing ops so that the types around them stay true, and tables of local patterns.

use std::collections::{BTreeSet, HashMap};

use lepid_ir::core::{
    Attr, Block, Builder, Code, Diagnostic, Diagnostics, Loc, Module, Op, OpDef, OpResult, Region,
    Trait, Type, Value,
};
use lepid_ir::dialects::core::{Call, Func};

use crate::core::Changed;

/// Turns the error of an op into the diagnostics that a pass returns.
pub trait At<T> {
    fn at(self, loc: &Loc) -> Result<T, Diagnostics>;
}

impl<T> At<T> for OpResult<T> {
    fn at(self, loc: &Loc) -> Result<T, Diagnostics> {
        self.map_err(|error| vec![error.at(loc.clone())])
    }
}

/// The op that defines `value`, if it is of this kind.
pub fn defined_by(module: &Module, value: Value, def: &dyn OpDef) -> Option<Op> {
    let op = module.defining_op(value)?;
    is(module, op, def).then_some(op)
}

pub fn is(module: &Module, op: Op, def: &dyn OpDef) -> bool {
    module.op_name(op) == def.info().name
}

pub fn has_one_use(module: &Module, value: Value) -> bool {
    module.uses(value).len() == 1
}

/// Whether an op has no effect but its results, its regions included.
pub fn is_effect_free(module: &Module, op: Op) -> bool {
    /// Ops whose effects are those of their regions.
    const TRANSPARENT: &[&str] = &["tensor.if", "tensor.while"];
    let own = |op: Op| {
        let info = module.def(op).info();
        info.has(Trait::Pure) || TRANSPARENT.contains(&info.name)
    };
    let inside = |op: Op| own(op) || module.def(op).info().has(Trait::Terminator);
    own(op) && module.walk_inside(op).into_iter().all(inside)
}

/// Copies an op to the builder's point, on other operands and around copies of its regions.
pub fn copy_op(
    b: &mut Builder<'_>,
    op: Op,
    operands: &[Value],
    regions: &[Region],
) -> OpResult<Op> {
    let attrs = changed_attributes(b.module, op, &[]);
    let (def, loc) = (b.module.def(op), b.module.loc(op).clone());
    b.at(loc);
    b.create_with_regions(def, operands, &attrs, regions)
}

/// Copies an op with all that its regions hold to the builder's point; `map` says what stands for
/// each value, and learns what stands for the results.
pub fn copy_whole(b: &mut Builder<'_>, op: Op, map: &mut HashMap<Value, Value>) -> OpResult<Op> {
    let regions = b.module.regions(op).to_vec();
    let regions = regions.into_iter().map(|r| copy_region(b, r, map));
    let regions = regions.collect::<OpResult<Vec<Region>>>()?;
    let operands: Vec<Value> = b.module.operands(op).iter().map(|v| map[v]).collect();
    let copy = copy_op(b, op, &operands, &regions)?;
    let results = b.module.results(op).iter().copied();
    map.extend(results.zip(b.module.results(copy).iter().copied()));
    Ok(copy)
}

/// Copies the ops of a block but its last one to the builder's point; gives what stands for the
/// operands of that.
pub fn copy_block(
    b: &mut Builder<'_>,
    block: Block,
    map: &mut HashMap<Value, Value>,
) -> OpResult<Vec<Value>> {
    let (end, loc) = (b.module.terminator(block), b.loc().clone());
    let ops: Vec<Op> = b.module.ops_in(block).collect();
    for op in ops.into_iter().filter(|&op| Some(op) != end) {
        copy_whole(b, op, map)?;
    }
    b.at(loc);
    let values = end.map_or(Vec::new(), |end| b.module.operands(end).to_vec());
    Ok(values.iter().map(|v| map[v]).collect())
}

/// What the regions of an op see from outside stands for itself.
pub fn seen_from_outside(module: &Module, op: Op) -> HashMap<Value, Value> {
    let inside = module.walk_inside(op);
    let operands = inside.iter().flat_map(|&op| module.operands(op));
    operands.map(|&v| (v, v)).collect()
}

fn copy_region(
    b: &mut Builder<'_>,
    region: Region,
    map: &mut HashMap<Value, Value>,
) -> OpResult<Region> {
    let copy = b.module.new_region();
    for block in b.module.region_blocks(region).to_vec() {
        let label = b.module.block_label(block);
        let inner = b.module.new_block(copy, label);
        for arg in b.module.block_args(block).to_vec() {
            let ty = b.module.value_type(arg);
            map.insert(arg, b.module.add_block_arg(inner, ty));
        }
        let mut b = Builder::at_end(b.module, inner);
        for op in b.module.ops_in(block).collect::<Vec<Op>>() {
            copy_whole(&mut b, op, map)?;
        }
    }
    Ok(copy)
}

/// Makes an op without regions like another at the builder's point and location, on other operands
/// and with these attributes changed.
pub fn create_like(
    b: &mut Builder<'_>,
    op: Op,
    operands: &[Value],
    changes: &[(&str, Attr)],
) -> OpResult<Op> {
    let attrs = changed_attributes(b.module, op, changes);
    b.create(b.module.def(op), operands, &attrs)
}

/// The attributes of an op by name, some of them with new values.
fn changed_attributes(
    module: &Module,
    op: Op,
    changes: &[(&str, Attr)],
) -> Vec<(&'static str, Attr)> {
    let attrs = module.def(op).info().attrs.iter().zip(module.attrs(op));
    let value = |name: &str, old: &Attr| {
        let changed = changes.iter().find(|(changed, _)| *changed == name);
        changed.map_or(old, |(_, new)| new).clone()
    };
    attrs.map(|(a, old)| (a.name, value(a.name, old))).collect()
}

/// Replaces an op by values, which may have more precise types, and erases it.
pub fn replace(module: &mut Module, op: Op, values: &[Value]) -> OpResult<()> {
    let results = module.results(op).to_vec();
    let pairs = results.iter().zip(values);
    let changed: Vec<Value> = pairs
        .filter(|&(&old, &new)| {
            module.value_type(old) != module.value_type(new) || may_be_shape(module, new)
        })
        .map(|(_, &new)| new)
        .collect();
    module.replace_op(op, values);
    let users = changed.iter().flat_map(|&v| users(module, v)).collect();
    retype(module, users)
}

/// Infers these ops anew, and whatever depends on a type that changes by that.
pub fn retype(module: &mut Module, mut todo: BTreeSet<Op>) -> OpResult<()> {
    let mut followed = BTreeSet::new();
    while let Some(op) = todo.pop_first() {
        let Some(block) = module.op_block(op) else {
            continue;
        };
        if module.terminator(block) == Some(op) {
            todo.extend(readers_of_block(module, block));
            continue;
        }
        let view = module.view(op);
        let types = view.def().infer(view)?;
        let first_visit = followed.insert(op);
        let results = view.results().to_vec();
        for (result, ty) in results.into_iter().zip(types) {
            let changed = module.value_type(result) != ty;
            if changed {
                module.set_value_type(result, ty);
            }
            if changed || (first_visit && may_be_shape(module, result)) {
                todo.extend(users(module, result));
            }
        }
    }
    Ok(())
}

/// Whether a value may hold extents. The types of ops with dynamic shapes follow from the ops
/// that computed such a value, not from its type alone.
fn may_be_shape(module: &Module, value: Value) -> bool {
    let ty = module.value_type(value).as_tensor();
    ty.is_some_and(|ty| ty.rank() <= 1 && ty.elem.is_int())
}

/// The ops whose types follow from what a block gives.
fn readers_of_block(module: &Module, block: Block) -> Vec<Op> {
    let region = module.block_region(block);
    let Some(around) = region.and_then(|r| module.region_op(r)) else {
        return Vec::new();
    };
    if !is(module, around, &Func) {
        return vec![around];
    }
    let name = Func::name(module.view(around));
    let calls = module.walk().into_iter();
    calls
        .filter(|&op| is(module, op, &Call) && Call::callee(module.view(op)).as_str() == name)
        .collect()
}

/// What a pattern gives: the values that replace the op's results, or nothing if it does not fit.
/// A pattern that does not fit must not have built anything.
pub type Rewrite = OpResult<Option<Vec<Value>>>;

/// A local rewrite. `b` stands before the op and has its location.
pub struct Pattern {
    pub name: &'static str,
    /// The op at the root; `*` for any.
    pub op: &'static str,
    pub apply: fn(b: &mut Builder<'_>, op: Op) -> Rewrite,
}

/// Applies patterns until none fits: ops in the order of their ids, patterns in the order of the
/// tables. Pure ops that lose their last use on the way are erased, so that "has one use" is true.
pub fn apply_patterns(module: &mut Module, tables: &[&[Pattern]]) -> Result<Changed, Diagnostics> {
    let mut todo: BTreeSet<Op> = module.walk().into_iter().collect();
    let mut left = 1000 + 64 * todo.len();
    let mut changed = Changed::No;
    while let Some(op) = todo.pop_first() {
        if module.op_block(op).is_none() {
            continue;
        }
        if is_dead(module, op) {
            todo.extend(definers(module, op));
            module.erase(op);
            changed = Changed::Yes;
            continue;
        }
        let loc = module.loc(op).clone();
        let before = module.op_count();
        let Some((name, values)) = first_fit(module, tables, op).at(&loc)? else {
            continue;
        };
        changed = Changed::Yes;
        todo.extend(definers(module, op));
        replace(module, op, &values).at(&loc)?;
        for &value in &values {
            // Patterns look a few ops down, so the users of the users may fit now, too.
            for user in users(module, value) {
                todo.insert(user);
                for &result in module.results(user) {
                    todo.extend(users(module, result));
                }
            }
        }
        todo.extend(module.ops_since(before));
        left -= 1;
        if left == 0 {
            let message = format!("pattern `{name}` and others do not come to an end");
            return Err(vec![Diagnostic::error(Code::PASS_FAILED, loc, message)]);
        }
    }
    Ok(changed)
}

fn is_dead(module: &Module, op: Op) -> bool {
    let results = module.results(op);
    let unused = results.iter().all(|&r| module.uses(r).is_empty());
    unused && !results.is_empty() && is_effect_free(module, op)
}

fn first_fit(
    module: &mut Module,
    tables: &[&[Pattern]],
    op: Op,
) -> OpResult<Option<(&'static str, Vec<Value>)>> {
    let name = module.op_name(op);
    for pattern in tables.iter().copied().flatten() {
        if pattern.op != name && pattern.op != "*" {
            continue;
        }
        let mut b = Builder::before(module, op);
        if let Some(values) = (pattern.apply)(&mut b, op)? {
            return Ok(Some((pattern.name, values)));
        }
    }
    Ok(None)
}

fn users(module: &Module, value: Value) -> Vec<Op> {
    module.uses(value).iter().map(|u| u.op).collect()
}

fn definers(module: &Module, op: Op) -> Vec<Op> {
    let operands = module.operands(op).iter();
    operands.filter_map(|&v| module.defining_op(v)).collect()
}

/// Builds the op again on other operands, with the same attributes.
pub fn rebuild(b: &mut Builder<'_>, op: Op, operands: &[Value]) -> OpResult<Vec<Value>> {
    rebuild_with(b, op, operands, &[])
}

/// Builds the op again with other operands and some other attributes.
pub fn rebuild_with(
    b: &mut Builder<'_>,
    op: Op,
    operands: &[Value],
    changes: &[(&str, Attr)],
) -> OpResult<Vec<Value>> {
    let view = b.view(op);
    let def = view.def();
    let attrs = view.info().attrs.iter().zip(view.attrs());
    let attrs: Vec<(&str, Attr)> = attrs
        .map(|(declared, old)| {
            let change = changes.iter().find(|(name, _)| *name == declared.name);
            let new = change.map_or(old, |(_, new)| new);
            (declared.name, new.clone())
        })
        .collect();
    let new = b.create(def, operands, &attrs)?;
    Ok(b.module.results(new).to_vec())
}

/// Sets the location of what `b` builds to that of all these ops together.
pub fn fuse_locs(b: &mut Builder<'_>, ops: &[Op]) {
    let locs = ops.iter().map(|&op| b.module.loc(op));
    let loc = locs.fold(Loc::Unknown, |all, loc| all.join(loc));
    b.at(loc);
}

/// Types of values, for comparing.
pub fn types_of(module: &Module, values: &[Value]) -> Vec<Type> {
    values.iter().map(|&v| module.value_type(v)).collect()
}

/// Copies an op of another module, with all that its regions hold, to the builder's point; `map` says
/// what stands for each value of the other module, and learns what stands for the results.
pub fn copy_from(
    b: &mut Builder<'_>,
    from: &Module,
    op: Op,
    map: &mut HashMap<Value, Value>,
) -> OpResult<Op> {
    let view = from.view(op);
    let mut regions = Vec::new();
    for &region in view.regions() {
        let copy = b.module.new_region();
        for &block in from.region_blocks(region) {
            let inner = b.module.new_block(copy, from.block_label(block));
            for &arg in from.block_args(block) {
                let ty = from.value_type(arg);
                map.insert(arg, b.module.add_block_arg(inner, ty));
            }
            let mut b = Builder::at_end(b.module, inner);
            for op in from.ops_in(block) {
                copy_from(&mut b, from, op, map)?;
            }
        }
        regions.push(copy);
    }
    let operands: Vec<Value> = view.operands().iter().map(|v| map[v]).collect();
    let declared = view.info().attrs.iter().map(|a| a.name);
    let attrs: Vec<(&str, Attr)> = declared.zip(view.attrs().iter().cloned()).collect();
    b.at(view.loc().clone());
    let copy = b.create_with_regions(view.def(), &operands, &attrs, &regions)?;
    let results = view.results().iter().copied();
    map.extend(results.zip(b.module.results(copy).iter().copied()));
    Ok(copy)
}
