//! Random networks: what the CPU target computes is what the interpreter computes.

mod noise;
mod smaller;

use lepid_ir::core::{
    Code, Diagnostics, Elem, Module, Num, Op, OpView, PrintOptions, Registry, Resources, Tensor,
    print_module, verify,
};
use lepid_ir::dialects;
use lepid_ir::generate::network;
use lepid_ir::interp::{self, random::Random as Values};
use lepid_passes::core::{Legality, PassEnv, PassManager, PassRegistry, Pipeline, Silent};
use lepid_target_api::{
    CompileEnv, CompileOptions, LoadOptions, Package, Signature, Target, compile,
};
use lepid_target_conformance::tolerance;
use lepid_target_cpu::Cpu;

use crate::random::Random;
use crate::subject::{Subject, Verdict};

/// Bytes that decide on a network.
const MOST_CHOICES: usize = 2500;

/// Networks are run on inputs of so many kinds.
const KINDS_OF_INPUTS: u64 = 2;

pub(crate) struct Run {
    ops: Registry,
    passes: PassRegistry,
}

impl Run {
    pub(crate) fn new() -> Run {
        let mut ops = dialects::registry();
        let mut passes = lepid_passes::registry();
        Cpu.register(&mut ops, &mut passes);
        Run { ops, passes }
    }

    fn parse(&self, input: &[u8]) -> Result<(Module, Op), String> {
        let text = std::str::from_utf8(input).map_err(|_| "is no text".to_owned())?;
        let (module, found) = lepid_ir::text::parse(text, "input.lir", &self.ops, None);
        if let Some(first) = found.first() {
            return Err(format!("does not parse: {}", first.message));
        }
        let main = module.funcs().next().ok_or("has no function")?;
        Ok((module, main))
    }

    fn compile(&self, module: &Module) -> Result<Package, Diagnostics> {
        let options = CompileOptions {
            verify_each: true,
            ..CompileOptions::default()
        };
        let env = CompileEnv {
            ops: &self.ops,
            passes: &self.passes,
            aliases: &[],
            observer: &mut Silent,
        };
        compile(&Cpu, module.clone(), &options, env).map(|compiled| compiled.package)
    }
}

/// What is asked only where a target and the interpreter differ.
impl Run {
    /// Whether some value on the way is infinite or no number, in the op or in one of the simpler
    /// ones that it stands for: what a sum or a product of such values is depends on the order in
    /// which it is taken, and a square may leave the range of floats where its root would not.
    fn meets_infinity(&self, module: &Module, inputs: &[Tensor]) -> bool {
        let mut steps = module.clone();
        let expanded = self.expand(&mut steps).is_ok();
        let mut met = false;
        let mut look = |_: Op, results: &[Tensor]| {
            let floats = results.iter().filter(|t| t.elem().is_float());
            met |= floats
                .flat_map(Tensor::nums)
                .any(|x| !x.as_f64().is_finite());
        };
        let main = steps.funcs().next();
        let ran = main.map(|main| interp::run_observed(&steps, main, inputs, &mut look).is_ok());
        met || !expanded || ran != Some(true)
    }

    /// Brings a module down to ops of `tensor` where there is a way to.
    fn expand(&self, module: &mut Module) -> Result<(), Diagnostics> {
        let legality = |op: OpView<'_>| match op.name().starts_with("nn.") {
            true => Legality::Expand,
            false => Legality::Native,
        };
        let env = PassEnv {
            legality: &legality,
            ..PassEnv::generic(&self.ops)
        };
        let mut manager = PassManager {
            env: &env,
            verify_each: false,
            observer: &mut Silent,
        };
        let pipeline = Pipeline::parse("expand", &self.passes, &[])?;
        manager.run(module, &pipeline).map(drop)
    }
}

impl Subject for Run {
    const NAME: &'static str = "run";
    const EXTENSION: &'static str = "lir";
    const CHUNK: usize = 1024;

    fn seeds(&self) -> usize {
        0
    }

    fn make(&self, random: &mut Random) -> Vec<u8> {
        let count = random.below(MOST_CHOICES);
        let choices: Vec<u8> = (0..count).map(|_| random.below(256) as u8).collect();
        print(&network(&self.ops, &choices)).into_bytes()
    }

    fn examine(&self, input: &[u8]) -> Verdict {
        let (module, main) = match self.parse(input) {
            Ok(parsed) => parsed,
            Err(reason) => return Verdict::Failed(reason),
        };
        let signature = Signature::of(&module, main);
        let mut package = None;
        for kind in 0..KINDS_OF_INPUTS {
            let inputs = inputs(&signature, kind);
            let expected = match interp::run(&module, main, &inputs) {
                Ok(expected) => expected,
                Err(error) => return Verdict::Rejected(format!("cannot run: {}", error.message)),
            };
            if package.is_none() {
                match self.compile(&module) {
                    Ok(compiled) => package = Some(compiled),
                    Err(found) => return refused(&found),
                }
            }
            let Some(package) = &package else {
                continue;
            };
            let compared = execute(package, &inputs).and_then(|found| {
                compare(&found, &expected, |i, at| {
                    match self.meets_infinity(&module, &inputs) {
                        true => f64::INFINITY,
                        false => noise::spread(&module, main, &inputs, &expected, i, at),
                    }
                })
            });
            if let Err(reason) = compared {
                return Verdict::Failed(reason);
            }
        }
        Verdict::Accepted
    }

    fn smaller(&self, input: &[u8]) -> Vec<Vec<u8>> {
        let Ok((module, main)) = self.parse(input) else {
            return Vec::new();
        };
        let modules = smaller::modules(&module, main).into_iter();
        let valid = modules.filter(|module| verify(module).is_empty());
        valid.map(|module| print(&module).into_bytes()).collect()
    }
}

/// All constants stay in the text.
fn print(module: &Module) -> String {
    let options = PrintOptions {
        inline_elements: usize::MAX,
        ..PrintOptions::default()
    };
    print_module(module, &options, &mut Resources::default())
}

/// What the target does not have is told with a code of its own; all else must compile.
fn refused(found: &Diagnostics) -> Verdict {
    let mut messages = found.iter().map(|d| d.message.as_str());
    let first = messages.next().unwrap_or_default();
    match found.iter().all(|d| d.code == Code::UNSUPPORTED_OP) {
        true => {
            let short = first.split(':').next().unwrap_or(first);
            Verdict::Rejected(short.to_owned())
        }
        false => Verdict::Failed(format!("does not compile: {first}")),
    }
}

/// Kind 0 is what `lepid run` takes if no inputs are given; kind 1 has more of the range.
fn inputs(signature: &Signature, kind: u64) -> Vec<Tensor> {
    let ports = signature.inputs.iter().enumerate();
    ports
        .filter_map(|(index, port)| {
            let ty = port.ty.as_tensor()?;
            let shape = ty.known_dims()?;
            let mut random = Values::new(kind.wrapping_mul(0x1_0001).wrapping_add(index as u64));
            let tensor = random.tensor(ty.elem, &shape);
            Some(match kind {
                0 => tensor,
                _ => stretched(&tensor, &mut random),
            })
        })
        .collect()
}

/// Floats at eighths and of other sizes, negative integers.
fn stretched(tensor: &Tensor, random: &mut Values) -> Tensor {
    let nums = tensor.nums().into_iter().map(|num| match num {
        Num::Float(x) if random.below(2) == 0 => Num::Float((x * 8.0).round() / 8.0),
        Num::Float(x) => Num::Float(x * 30.0),
        Num::Int(n) if tensor.elem() == Elem::Bool => Num::Int(n),
        Num::Int(n) => Num::Int(n * 31 - 40),
    });
    let nums: Vec<Num> = nums.collect();
    Tensor::from_nums(tensor.elem(), tensor.shape().iter().copied(), nums)
}

/// Runs with one thread and with two, each twice: all must give the same bits.
fn execute(package: &Package, inputs: &[Tensor]) -> Result<Vec<Tensor>, String> {
    let mut first: Option<Vec<Tensor>> = None;
    for threads in [1, 2] {
        let options = LoadOptions {
            threads,
            ..LoadOptions::default()
        };
        let loaded = Cpu.load(package, &options);
        let mut executable = loaded.map_err(|error| format!("does not load: {error}"))?;
        for _ in 0..2 {
            let run = executable.run(inputs);
            let found = run.map_err(|error| format!("does not run: {}", error.message))?;
            match &first {
                None => first = Some(found),
                Some(first) if *first != found => {
                    return Err(format!("gives other bits: again, with {threads} threads"));
                }
                Some(_) => {}
            }
        }
    }
    first.ok_or_else(|| "was not run".to_owned())
}

/// Compares with the interpreter. `spread` says how far an output may move by rounding alone, for
/// the outputs that differ.
fn compare(
    found: &[Tensor],
    expected: &[Tensor],
    mut spread: impl FnMut(usize, usize) -> f64,
) -> Result<(), String> {
    if found.len() != expected.len() {
        return Err("gives another number of outputs".to_owned());
    }
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        if found.ty() != expected.ty() {
            let (found, expected) = (found.ty(), expected.ty());
            return Err(format!("gives another type: `{found}`, not `{expected}`"));
        }
        let (a, b) = (found.nums(), expected.nums());
        let finite = b.iter().map(|x| x.as_f64().abs()).filter(|x| x.is_finite());
        let bound = tolerance(expected.elem()) * finite.fold(0.0, f64::max);
        for (at, (&a, &b)) in a.iter().zip(&b).enumerate() {
            if close(a, b, bound) {
                continue;
            }
            let spread = spread(i, at);
            if spread.is_infinite() || close(a, b, bound + 8.0 * spread) {
                continue;
            }
            let (a, b) = (a.as_f64(), b.as_f64());
            return Err(format!(
                "differs from the interpreter: output {i} at {at} is {a}, expected {b}"
            ));
        }
    }
    Ok(())
}

fn close(a: Num, b: Num, bound: f64) -> bool {
    let (x, y) = (a.as_f64(), b.as_f64());
    a == b || x == y || (x.is_nan() && y.is_nan()) || (x - y).abs() <= bound
}
