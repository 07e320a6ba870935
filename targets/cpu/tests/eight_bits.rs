//! Products with quantised weights: in eight bits or in floats as options say, as the interpreter
//! has them, and the same on any number of threads.

use lepid_ir::core::{Builder, Dim, Elem, Module, OpResult, Tensor, Value};
use lepid_ir::dialects::core::{Func, Return, constant};
use lepid_ir::dialects::tensor::build;
use lepid_ir::dialects::{self, kernel, nn, tensor};
use lepid_ir::interp::{self, random::Random};
use lepid_passes::core::Silent;
use lepid_target_api::{CompileEnv, CompileOptions, LoadOptions, Package, Target, compile};
use lepid_target_cpu::Cpu;

/// How the weights of a product are quantised.
#[derive(Copy, Clone, Debug)]
enum Form {
    /// One scale for all.
    PerTensor,
    /// A scale for each column, and a zero point of 128.
    PerColumn,
    /// [N, K / 32, 32] with a scale for each block, transposed.
    Blocks,
    /// A zero point with which the numbers take nine bits.
    NineBits,
    /// A scale for each row.
    PerRow,
}

const FORMS: [Form; 5] = [
    Form::PerTensor,
    Form::PerColumn,
    Form::Blocks,
    Form::NineBits,
    Form::PerRow,
];

impl Form {
    /// Rows that share their scales, if the kernel can take them.
    fn block(self, depth: usize) -> Option<i64> {
        match self {
            Form::PerTensor | Form::PerColumn => Some(depth as i64),
            Form::Blocks => Some(32),
            Form::NineBits | Form::PerRow => None,
        }
    }
}

#[derive(Copy, Clone, Debug)]
struct Layer {
    form: Form,
    rows: usize,
    depth: usize,
    columns: usize,
}

impl Layer {
    fn build(&self, random: &mut Random) -> (Module, Vec<Tensor>) {
        let x = random.tensor(Elem::F32, &[self.rows, self.depth]);
        let mut module = Module::new();
        let func = Func::create(&mut module, "main", &[x.ty()], &[]).unwrap();
        let block = Func::block(module.view(func));
        let arg = module.block_args(block)[0];
        let mut b = Builder::at_end(&mut module, block);
        let y = self.product(&mut b, random, arg).unwrap();
        Return::build(&mut b, &[y], &[]).unwrap();
        (module, vec![x])
    }

    fn product(&self, b: &mut Builder<'_>, random: &mut Random, x: Value) -> OpResult<Value> {
        let (k, n) = (self.depth, self.columns);
        let (elem, zero) = match self.form {
            Form::PerTensor | Form::PerRow => (Elem::I8, 0),
            Form::PerColumn => (Elem::U8, 128),
            Form::Blocks => (Elem::U8, 8),
            Form::NineBits => (Elem::U8, 20),
        };
        let shape: &[usize] = match self.form {
            Form::Blocks => &[n, k / 32, 32],
            _ => &[k, n],
        };
        let scales: &[usize] = match self.form {
            Form::PerTensor => &[],
            Form::PerColumn | Form::NineBits => &[n],
            Form::Blocks => &[n, k / 32],
            Form::PerRow => &[k],
        };
        let axes: &[usize] = match self.form {
            Form::PerTensor => &[],
            Form::PerColumn | Form::NineBits => &[1],
            Form::Blocks => &[0, 1],
            Form::PerRow => &[0],
        };
        let numbers = random.tensor(Elem::F32, shape).to_f64s();
        let numbers = numbers.iter().map(|x| match self.form {
            Form::Blocks => (x * 1e4).abs() % 16.0,
            _ if zero > 0 => (x * 1e4).abs() % 256.0,
            _ => x * 1e4 % 128.0,
        });
        let numbers = Tensor::from_f64s(elem, shape.iter().copied(), numbers.map(f64::trunc));
        let values = random.tensor(Elem::F32, scales).to_f64s();
        let values = values.iter().map(|x| 1e-3 + x.abs() / 128.0);
        let values = Tensor::from_f64s(Elem::F32, scales.iter().copied(), values);
        let dims: Vec<Dim> = shape.iter().map(|&n| Dim::Known(n as u64)).collect();
        let numbers = constant(b, numbers)?;
        let scales = constant(b, values)?;
        let mut w = build::cast(b, numbers, Elem::I32)?;
        if zero > 0 {
            let zero = constant(b, Tensor::from_f64s(Elem::I32, [], [f64::from(zero)]))?;
            let zeros = build::broadcast_to(b, zero, &dims)?;
            w = b.one(&tensor::Sub, &[w, zeros], &[])?;
        }
        w = build::cast(b, w, Elem::F32)?;
        let factors = build::broadcast_axes(b, scales, &dims, axes)?;
        w = b.one(&tensor::Mul, &[w, factors], &[])?;
        if let Form::Blocks = self.form {
            w = build::reshape(b, w, &[n, k].map(|n| Dim::Known(n as u64)))?;
            w = build::transpose(b, w, &[1, 0])?;
        }
        let bias = random.tensor(Elem::F32, &[n]);
        let bias = constant(b, bias)?;
        let y = b.one(&nn::Linear, &[x, w, bias], &[])?;
        b.one(&nn::Relu, &[y], &[])
    }
}

fn package(module: &Module, quantised: &str) -> Package {
    let mut ops = dialects::registry();
    let mut passes = lepid_passes::registry();
    Cpu.register(&mut ops, &mut passes);
    let env = CompileEnv {
        ops: &ops,
        passes: &passes,
        aliases: &[],
        observer: &mut Silent,
    };
    let mut options = CompileOptions::default();
    for (name, value) in [("quantised", quantised), ("cost-model", "shipped")] {
        let values = &mut options.target.values;
        values.insert(name.to_string(), value.to_string());
    }
    let compiled = compile(&Cpu, module.clone(), &options, env);
    compiled.map_err(|e| format!("{e:?}")).unwrap().package
}

fn run(package: &Package, threads: usize, inputs: &[Tensor]) -> Vec<f64> {
    let options = LoadOptions {
        threads,
        ..LoadOptions::default()
    };
    let outputs = Cpu.load(package, &options).unwrap().run(inputs).unwrap();
    outputs[0].to_f64s()
}

/// What the only product of a package states.
fn stated(package: &Package) -> i64 {
    let module = &package.module;
    let mut ops = module.walk().into_iter();
    let linear = ops.find(|&op| module.op_name(op) == "kernel.linear");
    kernel::Linear::quantised(module.view(linear.unwrap()))
}

#[test]
fn values_are_those_of_the_interpreter_on_any_number_of_threads() {
    for form in FORMS {
        for (rows, columns) in [(1, 300), (2, 311), (7, 300)] {
            let layer = Layer {
                form,
                rows,
                depth: 320,
                columns,
            };
            let (module, inputs) = layer.build(&mut Random::new(rows as u64));
            let func = module.funcs().next().unwrap();
            let exact = interp::run(&module, func, &inputs).unwrap()[0].to_f64s();
            let largest = exact.iter().fold(0.0f64, |m, x| m.max(x.abs()));
            for quantised in ["on", "off"] {
                let package = package(&module, quantised);
                let block = form.block(layer.depth).filter(|_| quantised == "on");
                assert_eq!(stated(&package), block.unwrap_or(0), "{layer:?}");
                let found = run(&package, 1, &inputs);
                for (found, exact) in found.iter().zip(&exact) {
                    assert!(
                        (found - exact).abs() <= 1e-5 * largest,
                        "{layer:?}, {quantised}: found {found}, expected {exact}"
                    );
                }
                for threads in [2, 3, 5] {
                    let again = run(&package, threads, &inputs);
                    assert_eq!(found, again, "{layer:?} on {threads} threads");
                }
            }
        }
    }
}

#[test]
fn few_rows_stay_in_eight_bits_and_many_do_not() {
    let kept = |rows: usize| {
        let layer = Layer {
            form: Form::PerColumn,
            rows,
            depth: 1024,
            columns: 512,
        };
        let (module, _) = layer.build(&mut Random::new(1));
        stated(&package(&module, "auto"))
    };
    assert_eq!(kept(1), 1024);
    assert_eq!(kept(64), 0);
}
