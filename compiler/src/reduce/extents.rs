//! Smaller extents: all that are one number become another, wherever they stand: in arguments, in
//! constants and in attributes. Most functions stay consistent by that; the verifier refuses those
//! that do not.

use std::collections::BTreeSet;

use lepid_ir::core::{Attr, AttrKind, Dim, Module, Op, OpResult, Tensor, Trait, Type};
use lepid_ir::dialects::core::Func;
use lepid_passes::core::rewrite::retype;

use super::{Case, Reducer};

/// Greater extents go down by a share, not one by one.
const SMALL: usize = 16;

/// Tries for each extent, the greatest first, the smallest number that will do.
pub(super) fn shrink(reducer: &mut Reducer<'_>) {
    let mut done: BTreeSet<usize> = BTreeSet::new();
    while let Some(&extent) = extents(&reducer.case)
        .iter()
        .rfind(|&e| *e > 1 && !done.contains(e))
    {
        done.insert(extent);
        let one_less = if extent <= SMALL { extent - 1 } else { 0 };
        let parts = [extent / 4, extent / 2, 3 * extent / 4];
        for smaller in BTreeSet::from_iter([1, 2, 3, one_less].into_iter().chain(parts)) {
            let shorter = 0 < smaller && smaller < extent;
            if shorter && reducer.offer(with(&reducer.case, extent, smaller)) {
                break;
            }
        }
    }
}

/// The extents of arguments and constants.
fn extents(case: &Case) -> BTreeSet<usize> {
    let mut found: BTreeSet<usize> = BTreeSet::new();
    for input in &case.inputs {
        found.extend(input.shape());
    }
    for op in constants(&case.module, case.op()) {
        if let Some(tensor) = tensor_of(&case.module, op) {
            found.extend(tensor.shape());
        }
    }
    found
}

fn constants(module: &Module, func: Op) -> Vec<Op> {
    let all = module.walk_inside(func).into_iter();
    all.filter(|&op| module.def(op).info().has(Trait::Constant))
        .collect()
}

fn tensor_of(module: &Module, op: Op) -> Option<&Tensor> {
    let result = *module.results(op).first()?;
    module.constant_value(result)
}

/// The case with one number for another.
fn with(case: &Case, old: usize, new: usize) -> OpResult<Case> {
    let mut module = case.module.clone();
    let func = case.op();
    let inputs: Vec<Tensor> = case.inputs.iter().map(|t| cropped(t, old, new)).collect();
    let args = Func::args(module.view(func)).to_vec();
    for (&arg, input) in args.iter().zip(&inputs) {
        // What is not a number stays what it is.
        let Some(ty) = module.value_type(arg).as_tensor() else {
            continue;
        };
        let dims = ty.dims.iter().zip(input.shape());
        let dims = dims.map(|(dim, &extent)| match dim {
            Dim::Known(_) => Dim::Known(extent as u64),
            Dim::Sym(_) | Dim::Unknown => *dim,
        });
        let ty = Type::tensor(ty.elem, dims.collect::<Vec<Dim>>());
        module.set_value_type(arg, ty);
    }
    for op in constants(&module, func) {
        let Some(tensor) = tensor_of(&module, op) else {
            continue;
        };
        let small = cropped(tensor, old, new);
        let (result, ty) = (module.results(op)[0], small.ty());
        let name = module.def(op).info().attrs[0].name;
        module.set_attr(op, name, Attr::Tensor(small));
        module.set_value_type(result, ty);
    }
    let all: BTreeSet<Op> = module.walk_inside(func).into_iter().collect();
    for &op in &all {
        set_extents(&mut module, op, old, new);
    }
    retype(&mut module, all)?;
    Case {
        module,
        func: case.func.clone(),
        inputs,
    }
    .same()
}

/// Replaces the number in attributes that hold extents.
fn set_extents(module: &mut Module, op: Op, old: usize, new: usize) {
    let infos = module.def(op).info().attrs;
    for (index, info) in infos.iter().enumerate() {
        if info.kind != AttrKind::Dims {
            continue;
        }
        let Some(items) = module.attrs(op)[index].as_list() else {
            continue;
        };
        let items = items.iter().map(|item| match item.as_int() {
            Some(n) if n == old as i64 => Attr::Int(new as i64),
            _ => item.clone(),
        });
        let attr = Attr::List(items.collect());
        module.set_attr(op, info.name, attr);
    }
}

/// The first elements along each axis that has the extent.
fn cropped(tensor: &Tensor, old: usize, new: usize) -> Tensor {
    let mut out = tensor.clone();
    for axis in 0..tensor.rank() {
        if tensor.shape()[axis] == old {
            out = first_of_axis(&out, axis, new);
        }
    }
    out
}

fn first_of_axis(tensor: &Tensor, axis: usize, count: usize) -> Tensor {
    let shape = tensor.shape();
    let inner: usize = shape[axis + 1..].iter().product::<usize>() * tensor.elem().bytes();
    let row = shape[axis] * inner;
    let mut bytes = Vec::new();
    if row > 0 {
        for chunk in tensor.bytes().chunks(row) {
            bytes.extend_from_slice(&chunk[..count * inner]);
        }
    }
    let mut dims = shape.to_vec();
    dims[axis] = count;
    Tensor::new(tensor.elem(), dims, lepid_ir::core::Bytes::from_vec(bytes))
}

impl Case {
    /// Without what the edit may have left unused.
    fn same(self) -> OpResult<Case> {
        self.edited(self.module.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cropping_takes_the_first_of_each_axis() {
        let tensor = Tensor::from_i64s(0..12).reshaped([2, 3, 2]);
        assert_eq!(cropped(&tensor, 3, 1).to_i64s(), [0, 1, 6, 7]);
        assert_eq!(cropped(&tensor, 2, 1).to_i64s(), [0, 2, 4]);
        assert_eq!(cropped(&tensor, 5, 1), tensor);
    }
}
