//! Cascades and policies in the interpreter: the traps that published code fell into.

use lepid_ir::core::{Builder, Elem, Module, Num, Tensor, Type, Value};
use lepid_ir::dialects::adapt::policies::{self, Output, Settings};
use lepid_ir::dialects::adapt::{Decide, policies::ALL};
use lepid_ir::dialects::core::{Func, Return};
use lepid_ir::dialects::registry;
use lepid_ir::{interp, text};

fn run(source: &str, inputs: &[Tensor]) -> Vec<Tensor> {
    let (module, problems) = text::parse(source, "cascade.lir", &registry(), None);
    assert!(problems.is_empty(), "{problems:?}");
    let func = Func::find(&module, "main").unwrap();
    interp::run(&module, func, inputs).unwrap()
}

fn f32s(shape: &[usize], values: &[f32]) -> Tensor {
    Tensor::from_vec(Elem::F32, shape.iter().copied(), values.to_vec())
}

fn scalar(value: f64) -> Tensor {
    Tensor::scalar(Elem::F32, Num::Float(value))
}

/// Two stages; what they emit and how sure they are is given.
fn given(attributes: &str, end: &str) -> String {
    format!(
        "func @main(%a: tensor<?Nx2xf32>, %b: tensor<?Nxi1>, %c: tensor<?Nxf32>, %d: tensor<?Nx2xf32>)
            -> (tensor<?Nx2xf32>, tensor<?Nxi32>) {{
          %y, %exit = adapt.cascade(%a, %b, %c, %d) {attributes} : tensor<?Nx2xf32>, tensor<?Nxi32> {{
          ^(%x: tensor<?Nx2xf32>, %go: tensor<?Nxi1>, %s: tensor<?Nxf32>, %z: tensor<?Nx2xf32>):
            adapt.leave(%go, %s, %x, %z, %s)
          }} {{
          ^(%later: tensor<?Nx2xf32>, %sure: tensor<?Nxf32>):
            {end}
          }}
          return %y, %exit
        }}"
    )
}

fn three_samples() -> [Tensor; 4] {
    [
        f32s(&[3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
        Tensor::from_nums(Elem::Bool, [3], [1, 0, 0].map(Num::Int)),
        f32s(&[3], &[0.9, 0.5, 0.2]),
        f32s(&[3, 2], &[-1.0, -2.0, -3.0, -4.0, -5.0, -6.0]),
    ]
}

#[test]
fn each_sample_leaves_by_itself() {
    let found = run(&given("", "adapt.emit(%later)"), &three_samples());
    assert_eq!(found[0].to_f64s(), [1.0, 2.0, -3.0, -4.0, -5.0, -6.0]);
    assert_eq!(found[1].to_i64s(), [0, 1, 1]);
}

#[test]
fn who_leaves_nowhere_has_the_most_confident_exit() {
    // The last stage is surer of the third sample only.
    let end = "%half = core.constant() {value = dense<3xf32>[0.0, 0.4, 0.4]} : tensor<3xf32>
            adapt.emit(%half, %later)";
    let source = given("{fallback = \"most-confident\"}", end).replace("?N", "3");
    let found = run(&source, &three_samples());
    assert_eq!(found[0].to_f64s(), [1.0, 2.0, 3.0, 4.0, -5.0, -6.0]);
    assert_eq!(found[1].to_i64s(), [0, 0, 1]);
}

#[test]
fn a_budget_is_a_prefix() {
    for (budget, wanted) in [
        (0, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
        (1, [-1.0, -2.0, -3.0, -4.0, -5.0, -6.0]),
    ] {
        let attributes = format!("{{mode = \"budgeted\", budget = {budget}}}");
        let found = run(&given(&attributes, "adapt.emit(%later)"), &three_samples());
        assert_eq!(found[0].to_f64s(), wanted);
        assert_eq!(found[1].to_i64s(), [budget; 3]);
    }
}

/// What a policy says to some outputs of one sample after another, as a plain rule and lowered.
fn decisions(name: &str, rows: &[Vec<f32>], numbers: &[f64]) -> Vec<(bool, f64)> {
    let classes = rows[0].len();
    let policy = policies::policy(name).unwrap();
    let mut module = Module::new();
    let ty = Type::known_tensor(Elem::F32, &[rows.len(), classes]);
    let types: Vec<Type> = [ty]
        .into_iter()
        .chain(policy.numbers.iter().map(|_| Type::scalar(Elem::F32)))
        .collect();
    let func = Func::create(&mut module, "main", &types, &[]).unwrap();
    let block = Func::block(module.view(func));
    let args = module.block_args(block).to_vec();
    let mut b = Builder::at_end(&mut module, block);
    let op = b
        .create(&Decide, &args, &[("policy", name.into())])
        .unwrap();
    let mut results: Vec<Value> = b.module.results(op)[..2].to_vec();
    let def = b.view(op).def();
    b.set_point(lepid_ir::core::InsertPoint::Before(op));
    results.extend(&def.decompose(&mut b, op).unwrap().unwrap()[..2]);
    b.set_point(lepid_ir::core::InsertPoint::End(block));
    Return::build(&mut b, &results, &[]).unwrap();
    let rows = f32s(&[rows.len(), classes], &rows.concat());
    let mut inputs = vec![rows];
    inputs.extend(numbers.iter().map(|&t| scalar(t)));
    let found = interp::run(&module, func, &inputs).unwrap();
    assert_eq!(
        found[0], found[2],
        "{name}: the rule and what it is lowered to"
    );
    for (a, b) in found[1].to_f64s().into_iter().zip(found[3].to_f64s()) {
        assert!(
            (a - b).abs() < 1e-5 || (a.is_nan() && b.is_nan()),
            "{name}: {a} and {b}"
        );
    }
    let leaves = found[0].to_i64s().into_iter().map(|n| n != 0);
    leaves.zip(found[1].to_f64s()).collect()
}

#[test]
fn what_is_no_number_never_leaves() {
    let rows = [
        vec![f32::NAN, 0.0, 0.0],
        vec![f32::INFINITY, 0.0, 0.0],
        vec![f32::NEG_INFINITY; 3],
        vec![0.0, f32::NAN, f32::INFINITY],
    ];
    for policy in ALL {
        let numbers: &[f64] = match policy.name {
            // Time passes for everybody; the others want a head at several places.
            "deadline" | "pixels" => continue,
            "decaying" => &[-2.0, 0.0],
            "patience" => &[1.0],
            "entropy" => &[1e9],
            _ => &[-2.0],
        };
        let found = decisions(policy.name, &rows, numbers);
        assert!(
            found.iter().all(|(leaves, _)| !leaves),
            "{}: {found:?}",
            policy.name
        );
    }
}

#[test]
fn the_entropy_of_far_outputs_is_a_number() {
    let rows = [
        vec![100.0, -100.0, -100.0],
        vec![-100.0; 3],
        vec![100.0, 100.0, f32::NEG_INFINITY],
        vec![1000.0, 0.0, -1000.0],
    ];
    let found = decisions("entropy", &rows, &[0.5]);
    let entropies = [0.0, 3f64.ln(), 2f64.ln(), 0.0];
    for ((leaves, score), entropy) in found.into_iter().zip(entropies) {
        assert!((score + entropy).abs() < 1e-6);
        assert_eq!(leaves, entropy < 0.5);
    }
}

#[test]
fn gbvsb_of_known_probabilities() {
    // p = (.5, .3, .1, .1): CascadeCNN's measure for some M and N.
    let values = [0.1f64, 0.5, 0.1, 0.3].map(f64::ln);
    let output = Output {
        values: &values,
        classes: 4,
    };
    for (first, last, wanted) in [(1, 1, 0.5), (1, 2, 0.2), (1, 3, 0.1), (2, 4, 0.6)] {
        let settings = Settings {
            first,
            last,
            weight: 1.0,
            horizon: 1.0,
        };
        let policy = policies::policy("gbvsb").unwrap();
        let verdict = (policy.judge)(&settings, &output, &[wanted - 1e-9], &mut []);
        assert!((verdict.score - wanted).abs() < 1e-9 && verdict.leaves);
        let verdict = (policy.judge)(&settings, &output, &[wanted + 1e-9], &mut []);
        assert!(!verdict.leaves);
    }
}

#[test]
fn patience_is_of_each_sample() {
    // Of two samples one changes its mind at the second exit: that must not hold up the other.
    let source = "func @main(%a: tensor<2x3xf32>, %b: tensor<2x3xf32>, %p: tensor<f32>)
            -> (tensor<2xi1>, tensor<2xi64>) {
          %l0, %s0, %c0, %n0 = adapt.decide(%a, %p) {policy = \"patience\"} :
              tensor<2xi1>, tensor<2xf32>, tensor<2xi64>, tensor<2xi64>
          %l1, %s1, %c1, %n1 = adapt.decide(%b, %p, %c0, %n0) {policy = \"patience\"} :
              tensor<2xi1>, tensor<2xf32>, tensor<2xi64>, tensor<2xi64>
          return %l1, %n1
        }";
    let a = f32s(&[2, 3], &[0.0, 1.0, 0.0, 1.0, 0.0, 0.0]);
    let b = f32s(&[2, 3], &[0.0, 2.0, 1.0, 0.0, 0.0, 2.0]);
    let found = run(source, &[a.clone(), b.clone(), scalar(1.0)]);
    assert_eq!(found[0].to_i64s(), [1, 0]);
    assert_eq!(found[1].to_i64s(), [1, 0]);
    // Without any patience all go to the end.
    assert_eq!(run(source, &[a, b, scalar(0.0)])[0].to_i64s(), [0, 0]);
}
