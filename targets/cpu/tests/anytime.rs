//! What is refined while there is time: it ends at a checkpoint, and what is there is what the
//! interpreter gives for as many steps.

mod support;

use lepid_ir::core::{Elem, Module, Num, Tensor};
use lepid_ir::dialects;
use lepid_ir::dialects::core::Func;
use lepid_ir::{interp, text};
use lepid_target_api::{CompileOptions, Executable, LoadOptions, Target};
use lepid_target_cpu::Cpu;

/// The terms of a series, a term per step.
const SERIES: &str = "func @main(%x: tensor<3xf32>, %steps: tensor<i64>, %deadline: tensor<f32>) -> (tensor<3xf32>, tensor<i64>, tensor<f32>) {
  %one = core.constant() {value = dense<f32>[1.0]} : tensor<f32>
  %ones = tensor.broadcast(%one) {shape = [3], axes = []} : tensor<3xf32>
  %zero = core.constant() {value = dense<f32>[0.0]} : tensor<f32>
  %done, %sum, %term, %last = adapt.anytime(%steps, %deadline, %ones, %ones, %zero) : tensor<i64>, tensor<3xf32>, tensor<3xf32>, tensor<f32> {
  ^(%step: tensor<i64>, %s: tensor<3xf32>, %t: tensor<3xf32>, %l: tensor<f32>):
    %n = tensor.cast(%step) {to = f32} : tensor<f32>
    %next = tensor.add(%n, %one) : tensor<f32>
    %all = tensor.broadcast(%next) {shape = [3], axes = []} : tensor<3xf32>
    %scaled = tensor.mul(%t, %x) : tensor<3xf32>
    %term = tensor.div(%scaled, %all) : tensor<3xf32>
    %sum = tensor.add(%s, %term) : tensor<3xf32>
    core.yield(%sum, %term, %next)
  }
  return %sum, %done, %last
}";

const VARIANTS: &str = "func @main(%x: tensor<3xf32>, %which: tensor<i64>) -> (tensor<3xf32>) {
  %y = adapt.switch(%which) : tensor<3xf32> {
    %a = nn.relu(%x) : tensor<3xf32>
    core.yield(%a)
  } {
    %b = tensor.neg(%x) : tensor<3xf32>
    core.yield(%b)
  } {
    core.yield(%x)
  }
  return %y
}";

fn module(source: &str) -> Module {
    let (module, problems) = text::parse(source, "test.lir", &dialects::registry(), None);
    assert!(problems.is_empty(), "{problems:?}");
    module
}

fn session(module: &Module) -> Box<dyn Executable> {
    let package = support::package(module, &CompileOptions::default());
    Cpu.load(&package, &LoadOptions::default()).unwrap()
}

fn interpreted(module: &Module, given: &[Tensor]) -> Vec<Tensor> {
    let func = Func::find(module, "main").unwrap();
    interp::run(module, func, given).unwrap()
}

fn given(steps: i64, deadline: f64) -> Vec<Tensor> {
    vec![
        Tensor::from_f64s(Elem::F32, [3], [1.0, -0.5, 2.0]),
        Tensor::scalar(Elem::I64, Num::Int(steps.into())),
        Tensor::scalar(Elem::F32, Num::Float(deadline)),
    ]
}

#[test]
fn as_many_steps_are_done_as_are_asked_for() {
    let module = module(SERIES);
    let mut session = session(&module);
    for (steps, deadline, done) in [
        (1, f64::INFINITY, 1),
        (7, f64::INFINITY, 7),
        (0, f64::INFINITY, 1),
        (-4, f64::INFINITY, 1),
        (7, 0.0, 1),
        (7, -1.0, 1),
        (7, f64::NAN, 1),
    ] {
        let given = given(steps, deadline);
        let (found, wanted) = (session.run(&given).unwrap(), interpreted(&module, &given));
        assert_eq!(found[1].to_i64s(), [done], "{steps} steps, {deadline} ms");
        assert_eq!(found, wanted, "{steps} steps, {deadline} ms");
    }
}

#[test]
fn a_deadline_ends_it_with_what_so_many_steps_give() {
    let module = module(SERIES);
    let mut session = session(&module);
    let asked = 1 << 40;
    for deadline in [0.01, 0.1, 1.0] {
        let found = session.run(&given(asked, deadline)).unwrap();
        let done = found[1].to_i64s()[0];
        assert!((1..asked).contains(&done), "{done} steps in {deadline} ms");
        // The last step says its own number, as far as a float can.
        assert_eq!(found[2].to_f64s(), [done as f32 as f64]);
        // Far behind the last term that counts nothing changes any more.
        let wanted = interpreted(&module, &given(done.min(1000), f64::INFINITY));
        assert_eq!(found[0], wanted[0], "{done} steps");
    }
}

#[test]
fn a_number_selects_a_variant() {
    let module = module(VARIANTS);
    let mut session = session(&module);
    for which in [-3, 0, 1, 2, 9] {
        let given = [
            Tensor::from_f64s(Elem::F32, [3], [1.0, -0.5, 2.0]),
            Tensor::scalar(Elem::I64, Num::Int(which)),
        ];
        let wanted = match which {
            ..=0 => [1.0, 0.0, 2.0],
            1 => [-1.0, 0.5, -2.0],
            _ => [1.0, -0.5, 2.0],
        };
        let found = session.run(&given).unwrap();
        assert_eq!(found[0].to_f64s(), wanted, "variant {which}");
        assert_eq!(found, interpreted(&module, &given));
    }
}
