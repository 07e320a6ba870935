//! Compiling functions for the CPU with other pipelines or options, and running them.

#[allow(dead_code, reason = "not every test file builds layers")]
pub(crate) mod layers;

use lepid_ir::core::{Diagnostics, Module, Tensor};
use lepid_ir::dialects;
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
