//! What only a run can find to be wrong, and what it may take: values whose extents follow from
//! data.

use lepid_ir::core::{Code, Diagnostic, Elem, Tensor};
use lepid_ir::{dialects, text};
use lepid_passes::core::Silent;
use lepid_target_api::{CompileEnv, CompileOptions, Executable, LoadOptions, Target, compile};
use lepid_target_cpu::Cpu;

fn load(source: &str, options: &LoadOptions) -> Box<dyn Executable> {
    let (mut ops, mut passes) = (dialects::registry(), lepid_passes::registry());
    Cpu.register(&mut ops, &mut passes);
    let (module, problems) = text::parse(source, "test.lir", &ops, None);
    assert!(problems.is_empty(), "{problems:?}");
    let env = CompileEnv {
        ops: &ops,
        passes: &passes,
        aliases: &[],
        observer: &mut Silent,
    };
    let compiled = compile(&Cpu, module, &CompileOptions::default(), env);
    let package = compiled.map_err(|e| format!("{e:?}")).unwrap().package;
    Cpu.load(&package, options).unwrap()
}

fn run(source: &str, inputs: &[Tensor]) -> Result<Vec<Tensor>, Diagnostic> {
    load(source, &LoadOptions::default()).run(inputs)
}

/// The message of a run that must fail at the op of the third line.
fn fault(source: &str, inputs: &[Tensor]) -> String {
    let error = run(source, inputs).unwrap_err();
    assert_eq!(error.code, Code::RUN_FAILED);
    let at = error.primary.span().unwrap().start as usize;
    let line = source[..at].lines().count();
    assert_eq!(line, 3, "{error:?}");
    error.message
}

fn i64s(values: &[i64]) -> Tensor {
    Tensor::from_i64s(values.iter().copied())
}

fn f32s(shape: &[usize]) -> Tensor {
    Tensor::zeros(Elem::F32, shape)
}

#[test]
fn a_shape_that_does_not_fit_is_a_diagnostic() {
    let source = "
func @main(%x: tensor<5xf32>, %shape: tensor<2xi64>) -> (tensor<?x?xf32>) {
  %y = tensor.dyn_reshape(%x, %shape) : tensor<?x?xf32>
  return %y
}";
    let x = f32s(&[5]);
    let y = run(source, &[x.clone(), i64s(&[5, -1])]).unwrap();
    assert_eq!(y[0].shape(), [5, 1]);
    for (shape, said) in [
        ([2, 3], "5 elements do not fill"),
        ([-1, 2], "5 elements do not fill"),
        ([-1, -1], "5 elements do not fill"),
        ([-1, 0], "5 elements do not fill"),
        ([-5, -1], "an extent is -5"),
        ([i64::MAX, i64::MAX], "larger than a tensor can be"),
    ] {
        let message = fault(source, &[x.clone(), i64s(&shape)]);
        assert!(message.contains(said), "{shape:?}: {message}");
    }
}

#[test]
fn extents_that_differ_are_a_diagnostic() {
    let source = "
func @main(%m: tensor<4xi1>, %n: tensor<4xi1>) -> (tensor<1x?xi64>) {%a = tensor.non_zero(%m) : tensor<1x?xi64> %b = tensor.non_zero(%n) : tensor<1x?xi64>
  %y = tensor.add(%a, %b) : tensor<1x?xi64>
  return %y
}";
    let mask = |bits: [u8; 4]| Tensor::from_vec(Elem::Bool, [4], bits.to_vec());
    let y = run(source, &[mask([1, 1, 0, 0]), mask([0, 1, 0, 1])]).unwrap();
    assert_eq!(y, [i64s(&[1, 4]).reshaped([1, 2])]);
    let message = fault(source, &[mask([1, 1, 0, 0]), mask([0, 1, 1, 1])]);
    assert!(
        message.contains("extents 2 and 3 do not agree"),
        "{message}"
    );
}

#[test]
fn what_cannot_be_broadcast_is_a_diagnostic() {
    let source = "
func @main(%x: tensor<3xf32>, %shape: tensor<2xi64>) -> (tensor<?x3xf32>) {
  %y = tensor.dyn_broadcast(%x, %shape) : tensor<?x3xf32>
  return %y
}";
    let y = run(source, &[f32s(&[3]), i64s(&[2, 1])]).unwrap();
    assert_eq!(y[0].shape(), [2, 3]);
    let message = fault(source, &[f32s(&[3]), i64s(&[2, 4])]);
    assert!(message.contains("3 and 4 cannot be broadcast"), "{message}");
}

#[test]
fn an_empty_axis_is_not_read() {
    let source = "
func @main(%m: tensor<4xi1>, %i: tensor<2xi64>) -> (tensor<1x2xi64>) { %x = tensor.non_zero(%m) : tensor<1x?xi64>
  %y = tensor.gather(%x, %i) {axis = 1} : tensor<1x2xi64>
  return %y
}";
    let mask = |bits: [u8; 4]| Tensor::from_vec(Elem::Bool, [4], bits.to_vec());
    let y = run(source, &[mask([0, 1, 0, 1]), i64s(&[1, 0])]).unwrap();
    assert_eq!(y, [i64s(&[3, 1]).reshaped([1, 2])]);
    let message = fault(source, &[mask([0; 4]), i64s(&[1, 0])]);
    assert!(message.contains("without elements"), "{message}");
}

const RANGE: &str = "
func @main(%n: tensor<i64>) -> (tensor<?xi64>) { %zero = core.constant() {value = dense<i64>[0]} : tensor<i64> %one = core.constant() {value = dense<i64>[1]} : tensor<i64>
  %y = tensor.dyn_iota(%zero, %n, %one) : tensor<?xi64>
  return %y
}";

#[test]
fn memory_has_a_limit() {
    let options = LoadOptions {
        dynamic_bytes: 1 << 20,
        ..LoadOptions::default()
    };
    let mut program = load(RANGE, &options);
    let y = program.run(&[i64s(&[1000]).reshaped([])]).unwrap();
    assert_eq!(y[0].shape(), [1000]);
    for n in [1 << 18, 1 << 40, i64::MAX] {
        let error = program.run(&[i64s(&[n]).reshaped([])]).unwrap_err();
        assert_eq!(error.code, Code::RUN_FAILED);
    }
    // A run that failed leaves nothing behind.
    let y = program.run(&[i64s(&[3]).reshaped([])]).unwrap();
    assert_eq!(y, [i64s(&[0, 1, 2])]);
    let y = program.run(&[i64s(&[-3]).reshaped([])]).unwrap();
    assert_eq!(y[0].shape(), [0]);
}

#[test]
fn memory_of_one_run_serves_the_next() {
    let mut program = load(RANGE, &LoadOptions::default());
    for n in [5, 100_000, 0, 7] {
        let y = program.run(&[i64s(&[n]).reshaped([])]).unwrap();
        assert_eq!(y, [Tensor::from_i64s(0..n)]);
        assert!(program.rerun().is_ok());
    }
}
