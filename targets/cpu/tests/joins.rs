//! What a concat joins is computed in its place, by each kernel that can, and nothing else changes.

mod support;

use lepid_ir::core::{Builder, Elem, Module, Tensor, Value};
use lepid_ir::dialects::core::{Func, Return, constant};
use lepid_ir::dialects::tensor::build;
use lepid_ir::dialects::{nn, tensor};
use lepid_ir::interp;
use lepid_ir::interp::random::Random;
use lepid_passes::transform::joins::{Joined, joined};
use lepid_target_api::CompileOptions;

/// Two images of 14 x 14 pixels.
const CHANNELS: usize = 24;

fn conv(
    b: &mut Builder<'_>,
    random: &mut Random,
    x: Value,
    window: [usize; 2],
    groups: usize,
) -> Value {
    let [outputs, taps] = window;
    let weights = [outputs, CHANNELS / groups, taps, taps];
    let weights = constant(b, random.tensor(Elem::F32, &weights)).unwrap();
    let attrs = [
        ("stride", [1, 1].into()),
        ("dilation", [1, 1].into()),
        ("pad", [(taps / 2) as i64; 4].into()),
        ("groups", (groups as i64).into()),
        ("layout", "nhwc".into()),
    ];
    b.one(&nn::Conv, &[x, weights], &attrs).unwrap()
}

fn pool(b: &mut Builder<'_>, x: Value) -> Value {
    let attrs = [
        ("kernel", [3, 3].into()),
        ("stride", [1, 1].into()),
        ("dilation", [1, 1].into()),
        ("pad", [1; 4].into()),
        ("layout", "nhwc".into()),
    ];
    b.one(&nn::MaxPool, &[x], &attrs).unwrap()
}

/// A block of branches, and what reads their concat.
fn block(random: &mut Random) -> (Module, Vec<Tensor>) {
    let x = random.tensor(Elem::F32, &[2, 14, 14, CHANNELS]);
    let mut module = Module::new();
    let func = Func::create(&mut module, "main", &[x.ty()], &[]).unwrap();
    let block = Func::block(module.view(func));
    let arg = module.block_args(block)[0];
    let mut b = Builder::at_end(&mut module, block);
    let branches = [
        conv(&mut b, random, arg, [20, 1], 1),
        conv(&mut b, random, arg, [9, 5], 1),
        conv(&mut b, random, arg, [32, 3], 1),
        conv(&mut b, random, arg, [CHANNELS, 3], CHANNELS),
        pool(&mut b, arg),
        b.one(&tensor::Exp, &[arg], &[]).unwrap(),
        arg,
    ];
    let all = build::concat(&mut b, &branches, 3).unwrap();
    let pooled = pool(&mut b, all);
    // Read twice: each reader has the whole.
    let seen = build::reduce(&mut b, all, "max", &[3]).unwrap();
    Return::build(&mut b, &[pooled, seen], &[]).unwrap();
    (module, vec![x])
}

#[test]
fn branches_are_computed_where_their_concat_lies() {
    let (module, inputs) = block(&mut Random::new(1));
    let package = support::package(&module, &CompileOptions::default());
    let compiled = &package.module;
    let results = compiled
        .walk()
        .into_iter()
        .flat_map(|op| compiled.results(op).to_vec());
    let places: Vec<Joined> = results
        .filter_map(|value| joined(compiled, value))
        .collect();
    // The nest of the concat computes the exponentials itself, and copies the input.
    assert_eq!(places.len(), 5, "{places:?}");
    let pitch = (20 + 9 + 32 + 4 * CHANNELS) as u64;
    assert!(
        places.iter().all(|place| place.pitch == pitch),
        "{places:?}"
    );
    let func = module.funcs().next().unwrap();
    let meant = interp::run(&module, func, &inputs).unwrap();
    let expected = support::run(&package, 1, &inputs);
    for (found, meant) in expected.to_f64s().iter().zip(meant[0].to_f64s()) {
        assert!((found - meant).abs() <= 1e-3 * meant.abs().max(1.0));
    }
    for threads in [2, 3] {
        let found = support::run(&package, threads, &inputs);
        assert!(found.bytes() == expected.bytes(), "{threads} threads");
    }
}
