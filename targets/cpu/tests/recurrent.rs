//! Recurrent layers whole: on kernels, as the interpreter has them, and the same on any number of
//! threads. The layers are large enough for threads to share them.

use lepid_ir::core::{Builder, Elem, Module, OpDef, Tensor, Type, Value};
use lepid_ir::dialects::core::{Func, Return, constant};
use lepid_ir::dialects::{self, nn, tensor};
use lepid_ir::interp::{self, random::Random};
use lepid_passes::core::Silent;
use lepid_target_api::{CompileEnv, CompileOptions, LoadOptions, Package, Target, compile};
use lepid_target_cpu::Cpu;

/// Every kind of layer.
#[derive(Copy, Clone, Debug)]
enum Kind {
    Lstm,
    Gru,
    GruLinearBeforeReset,
}

#[derive(Copy, Clone, Debug)]
struct Layer {
    kind: Kind,
    steps: usize,
    batch: usize,
    direction: &'static str,
    clip: Option<f64>,
}

const INPUTS: usize = 6;
const HIDDEN: usize = 260;

impl Layer {
    /// The function, with all results of the layer, and inputs for it.
    fn build(&self, random: &mut Random) -> (Module, Vec<Tensor>) {
        let (gates, states) = match self.kind {
            Kind::Lstm => (4, 2),
            Kind::Gru | Kind::GruLinearBeforeReset => (3, 1),
        };
        let directions = 1 + usize::from(self.direction == "bidirectional");
        let state = [directions, self.batch, HIDDEN];
        let mut inputs = vec![random.tensor(Elem::F32, &[self.steps, self.batch, INPUTS])];
        inputs.extend((0..states).map(|_| random.tensor(Elem::F32, &state)));
        let types: Vec<Type> = inputs.iter().map(Tensor::ty).collect();
        let mut module = Module::new();
        let func = Func::create(&mut module, "main", &types, &[]).unwrap();
        let block = Func::block(module.view(func));
        let args = module.block_args(block).to_vec();
        let mut b = Builder::at_end(&mut module, block);
        let mut operands = vec![args[0]];
        let shapes = [
            vec![directions, gates * HIDDEN, INPUTS],
            vec![directions, gates * HIDDEN, HIDDEN],
            vec![directions, 2 * gates * HIDDEN],
        ];
        for shape in &shapes {
            // Small weights, so that no gate is stuck at an end.
            let values = random.tensor(Elem::F32, shape).to_f64s();
            let values = values.iter().map(|x| x / 8.0);
            let small = Tensor::from_f64s(Elem::F32, shape.iter().copied(), values);
            operands.push(constant(&mut b, small).unwrap());
        }
        // First and last states are computed and read by other ops, so that the memory plan gives
        // them their places.
        for &state in &args[1..] {
            operands.push(b.one(&tensor::Neg, &[state], &[]).unwrap());
        }
        let mut attrs = vec![("direction", self.direction.into())];
        attrs.extend(self.clip.map(|clip| ("clip", clip.into())));
        let def: &'static dyn OpDef = match self.kind {
            Kind::Lstm => &nn::Lstm,
            Kind::Gru => &nn::Gru,
            Kind::GruLinearBeforeReset => {
                attrs.push(("linear_before_reset", true.into()));
                &nn::Gru
            }
        };
        let op = b.create(def, &operands, &attrs).unwrap();
        let results = b.module.results(op).to_vec();
        let negated = |&value| b.one(&tensor::Neg, &[value], &[]).unwrap();
        let results: Vec<Value> = results.iter().map(negated).collect();
        Return::build(&mut b, &results, &[]).unwrap();
        (module, inputs)
    }
}

fn layers() -> Vec<Layer> {
    let mut layers = Vec::new();
    for kind in [Kind::Lstm, Kind::Gru, Kind::GruLinearBeforeReset] {
        for (steps, batch, direction, clip) in [
            (1, 1, "forward", None),
            (5, 1, "bidirectional", None),
            (3, 5, "reverse", Some(0.4)),
            (2, 9, "forward", None),
        ] {
            layers.push(Layer {
                kind,
                steps,
                batch,
                direction,
                clip,
            });
        }
    }
    layers
}

fn package(module: &Module) -> Package {
    let mut ops = dialects::registry();
    let mut passes = lepid_passes::registry();
    Cpu.register(&mut ops, &mut passes);
    let env = CompileEnv {
        ops: &ops,
        passes: &passes,
        aliases: &[],
        observer: &mut Silent,
    };
    let compiled = compile(&Cpu, module.clone(), &CompileOptions::default(), env);
    compiled.map_err(|e| format!("{e:?}")).unwrap().package
}

fn run(package: &Package, threads: usize, inputs: &[Tensor]) -> Vec<Vec<f64>> {
    let options = LoadOptions {
        threads,
        ..LoadOptions::default()
    };
    let outputs = Cpu.load(package, &options).unwrap().run(inputs).unwrap();
    outputs.iter().map(Tensor::to_f64s).collect()
}

#[test]
fn values_are_those_of_the_interpreter_on_any_number_of_threads() {
    for (number, layer) in layers().iter().enumerate() {
        let (module, inputs) = layer.build(&mut Random::new(number as u64));
        let func = module.funcs().next().unwrap();
        let exact = interp::run(&module, func, &inputs).unwrap();
        let package = package(&module);
        let kernel = match layer.kind {
            Kind::Lstm => "kernel.lstm",
            Kind::Gru | Kind::GruLinearBeforeReset => "kernel.gru",
        };
        let mut names = package.module.walk().into_iter();
        assert!(
            names.any(|op| package.module.op_name(op) == kernel),
            "{layer:?} has no {kernel}"
        );
        let found = run(&package, 1, &inputs);
        for (found, exact) in found.iter().zip(&exact) {
            for (found, exact) in found.iter().zip(exact.to_f64s()) {
                assert!(
                    (found - exact).abs() <= 2e-5,
                    "{layer:?}: found {found}, expected {exact}"
                );
            }
        }
        for threads in [2, 3, 5] {
            let again = run(&package, threads, &inputs);
            assert_eq!(found, again, "{layer:?} on {threads} threads");
        }
    }
}
