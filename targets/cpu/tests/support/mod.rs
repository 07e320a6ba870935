//! Compiling functions for the CPU with other pipelines or options, and running them.

#[allow(dead_code, reason = "not every test file builds layers")]
pub(crate) mod layers;

use lepid_ir::core::{Diagnostics, Module, Tensor};
use lepid_ir::dialects;
use lepid_ir::interp;
use lepid_passes::core::Silent;
use lepid_target_api::{CompileEnv, CompileOptions, LoadOptions, Package, Target, compile};
use lepid_target_cpu::Cpu;

pub(crate) fn package(module: &Module, options: &CompileOptions) -> Package {
    let package = try_package(module, options);
    package.map_err(|e| format!("{e:?}")).unwrap()
}

pub(crate) fn try_package(
    module: &Module,
    options: &CompileOptions,
) -> Result<Package, Diagnostics> {
    let mut ops = dialects::registry();
    let mut passes = lepid_passes::registry();
    Cpu.register(&mut ops, &mut passes);
    let env = CompileEnv {
        ops: &ops,
        passes: &passes,
        aliases: &[],
        observer: &mut Silent,
    };
    Ok(compile(&Cpu, module.clone(), options, env)?.package)
}

/// The package under these options of the target.
#[allow(dead_code, reason = "not every test file sets options")]
pub(crate) fn package_with(module: &Module, values: &[(&str, &str)]) -> Package {
    let mut options = CompileOptions::default();
    for (name, value) in values {
        let values = &mut options.target.values;
        values.insert(name.to_string(), value.to_string());
    }
    package(module, &options)
}

/// Whether values are as near to the exact ones as a bound says, and the same on any number of
/// threads; `what` names them.
#[allow(dead_code, reason = "for algorithms that have bounds")]
pub(crate) fn assert_within(
    package: &Package,
    inputs: &[Tensor],
    (exact, bound): (&[f64], f64),
    what: &str,
) {
    let found = run(package, 1, inputs).to_f64s();
    for (at, (found, exact)) in found.iter().zip(exact).enumerate() {
        // Gelu and Silu are slightly steeper than 1, and the interpreter rounds, too.
        let room = 1.2 * bound + 1e-6 * exact.abs().max(1.0);
        assert!(
            (found - exact).abs() <= room,
            "{what} at {at}: found {found}, expected {exact}"
        );
    }
    for threads in [2, 3, 5] {
        let again = run(package, threads, inputs).to_f64s();
        assert_eq!(found, again, "{what} on {threads} threads");
    }
}

/// The first output of the interpreter.
#[allow(dead_code, reason = "not every test file interprets")]
pub(crate) fn interpret(module: &Module, inputs: &[Tensor]) -> Vec<f64> {
    let func = module.funcs().next().unwrap();
    interp::run(module, func, inputs).unwrap()[0].to_f64s()
}

/// Options with the pipeline of the target, some of its passes replaced by others.
#[allow(dead_code, reason = "not every test file changes the pipeline")]
pub(crate) fn with_passes(replaced: &[(&str, &str)]) -> CompileOptions {
    let pipeline = Cpu.pipeline().to_string();
    let pipeline = replaced.iter().fold(pipeline, |text, (pass, other)| {
        assert!(text.contains(pass), "the pipeline has no `{pass}`");
        text.replace(pass, other)
    });
    // Names of options stand for their defaults; the longest first, as one may begin another.
    let mut options: Vec<_> = Cpu.info().options.iter().collect();
    options.sort_by_key(|option| std::cmp::Reverse(option.name.len()));
    let pipeline = options.iter().fold(pipeline, |text, option| {
        text.replace(&format!("${}", option.name), option.default)
    });
    CompileOptions {
        pipeline: Some(pipeline),
        ..CompileOptions::default()
    }
}

/// The first output.
#[allow(dead_code, reason = "states want a session that stays")]
pub(crate) fn run(package: &Package, threads: usize, inputs: &[Tensor]) -> Tensor {
    let options = LoadOptions {
        threads,
        ..LoadOptions::default()
    };
    let mut outputs = Cpu.load(package, &options).unwrap().run(inputs).unwrap();
    outputs.swap_remove(0)
}

/// Sample `i` of the values that hold `n` of them.
#[allow(dead_code, reason = "for programs of several samples")]
pub(crate) fn sample(values: &[Tensor], i: usize, n: usize, holds: &[u64]) -> Vec<Tensor> {
    let values = values.iter().zip(holds);
    values
        .map(|(value, &rows)| match rows {
            0 => value.clone(),
            _ => {
                let size = value.bytes().len() / n;
                let bytes = value.bytes()[i * size..][..size].to_vec();
                let mut shape = value.shape().to_vec();
                shape[0] /= n;
                Tensor::new(value.elem(), shape, lepid_ir::core::Bytes::from_vec(bytes))
            }
        })
        .collect()
}
