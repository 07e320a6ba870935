//! Branches, loops and shapes that are only known when a function runs.

use lepid_ir::core::{
    Builder, Dim, Elem, Module, Num, Op, OpResult, Symbol, Tensor, Type, Value, verify,
};
use lepid_ir::dialects::core::{Func, Return, Yield};
use lepid_ir::dialects::tensor::extents::{Entry, trace};
use lepid_ir::dialects::tensor::{Add, If, Mul, While, build};
use lepid_ir::interp;

fn function(
    args: &[Type],
    fill: impl FnOnce(&mut Builder<'_>, &[Value]) -> OpResult<Vec<Value>>,
) -> (Module, Op) {
    let mut module = Module::new();
    let func = Func::create(&mut module, "f", args, &[]).unwrap();
    let block = Func::block(module.view(func));
    let args = module.block_args(block).to_vec();
    let mut b = Builder::at_end(&mut module, block);
    let results = fill(&mut b, &args).unwrap();
    Return::build(&mut b, &results, &[]).unwrap();
    let problems = verify(&module);
    assert!(problems.is_empty(), "{problems:?}");
    (module, func)
}

fn named(name: &str) -> Dim {
    Dim::Sym(Symbol::new(name))
}

fn f32s(shape: &[usize], values: &[f32]) -> Tensor {
    Tensor::from_vec(Elem::F32, shape.iter().copied(), values.to_vec())
}

#[test]
fn a_branch_runs_one_region() {
    let ty = Type::known_tensor(Elem::F32, &[2]);
    let (module, func) = function(&[Type::scalar(Elem::Bool), ty], |b, args| {
        let (condition, x) = (args[0], args[1]);
        let then = b.region(&[], |b, _| {
            let y = build::with_scalar(b, &Mul, x, 2.0)?;
            Yield::build(b, &[y], &[]).map(drop)
        })?;
        let otherwise = b.region(&[], |b, _| Yield::build(b, &[x], &[]).map(drop))?;
        let op = b.create_with_regions(&If, &[condition], &[], &[then, otherwise])?;
        Ok(b.module.results(op).to_vec())
    });
    for (condition, expected) in [(1, [2.0, 4.0]), (0, [1.0, 2.0])] {
        let condition = Tensor::scalar(Elem::Bool, Num::Int(condition));
        let y = interp::run(&module, func, &[condition, f32s(&[2], &[1.0, 2.0])]).unwrap();
        assert_eq!(y, [f32s(&[2], &expected)]);
    }
}

#[test]
fn a_loop_carries_a_growing_tensor() {
    let growing = Type::tensor(Elem::F32, [Dim::Unknown]);
    let counter = Type::scalar(Elem::I64);
    let (module, func) = function(&[Type::known_tensor(Elem::F32, &[1])], |b, args| {
        let zero = build::scalar(b, Elem::I64, 0.0)?;
        let condition = b.region(&[counter, growing], |b, args| {
            let limit = build::scalar(b, Elem::I64, 3.0)?;
            let go_on = build::compare(b, "lt", args[0], limit)?;
            Yield::build(b, &[go_on], &[]).map(drop)
        })?;
        let body = b.region(&[counter, growing], |b, args| {
            let next = build::with_scalar(b, &Add, args[0], 1.0)?;
            let longer = build::concat(b, &[args[1], args[1]], 0)?;
            Yield::build(b, &[next, longer], &[]).map(drop)
        })?;
        let op = b.create_with_regions(&While, &[zero, args[0]], &[], &[condition, body])?;
        Ok(vec![b.module.results(op)[1]])
    });
    let y = interp::run(&module, func, &[f32s(&[1], &[5.0])]).unwrap();
    assert_eq!(y, [f32s(&[8], &[5.0; 8])]);
}

#[test]
fn a_loop_refuses_an_extent_that_changes_in_secret() {
    let mut module = Module::new();
    let one = Type::known_tensor(Elem::F32, &[1]);
    let func = Func::create(&mut module, "f", &[one], &[]).unwrap();
    let block = Func::block(module.view(func));
    let x = module.block_args(block)[0];
    let mut b = Builder::at_end(&mut module, block);
    let condition = b.region(&[one], |b, _| {
        let never = build::scalar(b, Elem::Bool, 0.0)?;
        Yield::build(b, &[never], &[]).map(drop)
    });
    let body = b.region(&[one], |b, args| {
        let longer = build::concat(b, &[args[0], args[0]], 0)?;
        Yield::build(b, &[longer], &[]).map(drop)
    });
    let error = b.create_with_regions(&While, &[x], &[], &[condition.unwrap(), body.unwrap()]);
    let error = error.unwrap_err();
    assert_eq!(
        error.message,
        "a yielded value of `tensor<2xf32>` does not fit the argument `tensor<1xf32>`"
    );
}

#[test]
fn a_named_extent_reaches_static_shapes() {
    let n = named("N");
    let x = Type::tensor(Elem::F32, [n, Dim::Known(2)]);
    let (module, func) = function(&[x, Type::known_tensor(Elem::F32, &[2])], |b, args| {
        let sum = build::binary(b, &Add, args[0], args[1])?;
        assert_eq!(build::dims(b, sum), [n, Dim::Known(2)]);
        let half = build::mean_keep(b, sum, &[0])?;
        assert_eq!(build::dims(b, half), [Dim::Known(1), Dim::Known(2)]);
        Ok(vec![sum, half])
    });
    for count in [1, 3] {
        let x = f32s(&[count, 2], &vec![1.0; 2 * count]);
        let y = interp::run(&module, func, &[x, f32s(&[2], &[1.0, 2.0])]).unwrap();
        assert_eq!(y[0].shape(), [count, 2]);
        assert_eq!(y[1], f32s(&[1, 2], &[2.0, 3.0]));
    }
}

#[test]
fn an_empty_batch_can_be_reshaped() {
    let n = named("N");
    let ty = Type::tensor(Elem::F32, [n, Dim::Known(6)]);
    let (module, func) = function(&[ty], |b, args| {
        let y = build::reshape(b, args[0], &[n, Dim::Known(2), Dim::Unknown])?;
        Ok(vec![y])
    });
    let y = interp::run(&module, func, &[f32s(&[0, 6], &[])]).unwrap();
    assert_eq!(y[0].shape(), [0, 2, 3]);
}

#[test]
fn unknown_extents_broadcast_at_run_time() {
    let ty = Type::tensor(Elem::F32, [Dim::Unknown, Dim::Unknown]);
    let (module, func) = function(&[ty, ty], |b, args| {
        Ok(vec![build::binary(b, &Add, args[0], args[1])?])
    });
    let (column, row) = (f32s(&[2, 1], &[1.0, 2.0]), f32s(&[1, 2], &[10.0, 20.0]));
    let y = interp::run(&module, func, &[column, row]).unwrap();
    assert_eq!(y, [f32s(&[2, 2], &[11.0, 21.0, 12.0, 22.0])]);
}

#[test]
fn arguments_must_agree_on_a_name() {
    let ty = Type::tensor(Elem::F32, [named("N")]);
    let (module, func) = function(&[ty, ty], |b, args| {
        Ok(vec![build::binary(b, &Add, args[0], args[1])?])
    });
    let error = interp::run(&module, func, &[f32s(&[1], &[1.0]), f32s(&[2], &[1.0; 2])]);
    assert_eq!(
        error.unwrap_err().message,
        "argument 1 has an extent 2 where `?N` of `tensor<?Nxf32>` is 1"
    );
}

#[test]
fn shape_arithmetic_is_followed() {
    let ty = Type::tensor(Elem::F32, [named("N"), Dim::Known(4), Dim::Known(6)]);
    function(&[ty], |b, args| {
        let shape = build::shape_vector(b, args[0])?;
        let n = build::slice_axis(b, shape, 0, 0, 1)?;
        let rest = build::slice_axis(b, shape, 0, 1, 3)?;
        let rest = build::reduce_keep(b, rest, "prod", &[0])?;
        let doubled = build::with_scalar(b, &Mul, n, 2.0)?;
        let all = build::concat(b, &[n, doubled, rest], 0)?;
        let found = trace(b.module, all);
        let expected = [
            Entry::Symbol(Symbol::new("N")),
            Entry::Unknown,
            Entry::Unknown,
        ];
        assert_eq!(found.as_deref(), Some(&expected[..]));
        Ok(vec![all])
    });
}
