//! Winograd's convolutions whole: chosen by options, stated in the IR, within their bound of the
//! exact values on random layers, and the same on any number of threads.

mod support;

use lepid_ir::core::{Builder, Code, Elem, Module, OpDef, Tensor};
use lepid_ir::dialects::core::{Func, Return, constant};
use lepid_ir::dialects::{kernel, nn, tensor};
use lepid_ir::interp::random::Random;
use lepid_target_api::{CompileOptions, Package};
use lepid_target_cpu::Cpu;
use lepid_ukernels::winograd::Scheme;

/// A convolution of a 3 x 3 window on channels-last images, and what follows it.
struct Layer {
    image: [usize; 4],
    columns: usize,
    /// Top, left, bottom, right.
    pad: [i64; 4],
    /// A bias before, and a residual after.
    added: bool,
    act: Option<&'static dyn OpDef>,
}

impl Layer {
    fn bare(&self) -> Layer {
        Layer {
            added: false,
            act: None,
            ..*self
        }
    }

    /// The function, and inputs for it.
    fn build(&self, random: &mut Random) -> (Module, Vec<Tensor>) {
        let [n, h, w, channels] = self.image;
        let [top, left, bottom, right] = self.pad.map(|n| n as usize);
        let shape = [n, h + top + bottom - 2, w + left + right - 2, self.columns];
        let x = random.tensor(Elem::F32, &self.image);
        let weights = random.tensor(Elem::F32, &[self.columns, channels, 3, 3]);
        let bias = random.tensor(Elem::F32, &[self.columns]);
        let residual = random.tensor(Elem::F32, &shape);
        let mut module = Module::new();
        let types = [x.ty(), residual.ty()];
        let func = Func::create(&mut module, "main", &types, &[]).unwrap();
        let block = Func::block(module.view(func));
        let args = module.block_args(block).to_vec();
        let mut b = Builder::at_end(&mut module, block);
        let mut operands = vec![args[0], constant(&mut b, weights).unwrap()];
        if self.added {
            operands.push(constant(&mut b, bias).unwrap());
        }
        let attrs = [
            ("stride", [1, 1].into()),
            ("dilation", [1, 1].into()),
            ("pad", self.pad.into()),
            ("layout", "nhwc".into()),
        ];
        let mut y = b.one(&nn::Conv, &operands, &attrs).unwrap();
        if self.added {
            y = b.one(&tensor::Add, &[y, args[1]], &[]).unwrap();
        }
        if let Some(act) = self.act {
            y = b.one(act, &[y], &[]).unwrap();
        }
        Return::build(&mut b, &[y], &[]).unwrap();
        (module, vec![x, residual])
    }
}

fn layers() -> Vec<Layer> {
    let layer = |image, columns, pad, act| Layer {
        image,
        columns,
        pad,
        added: true,
        act,
    };
    let relu: Option<&'static dyn OpDef> = Some(&nn::Relu);
    vec![
        layer([1, 8, 8, 8], 16, [1; 4], relu),
        layer([2, 9, 7, 5], 19, [1; 4], Some(&nn::Silu)),
        layer([3, 1, 23, 3], 33, [1; 4], None),
        layer([1, 17, 1, 20], 7, [1, 1, 0, 2], relu),
        layer([2, 6, 11, 1], 1, [0; 4], Some(&nn::Gelu)),
        layer([1, 5, 5, 64], 40, [2, 3, 1, 0], relu),
        layer([1, 13, 13, 256], 72, [1; 4], Some(&tensor::Tanh)),
        layer([1, 40, 42, 16], 24, [1; 4], relu),
    ]
}

/// The package of a layer with these values of the options `winograd` and `winograd-error`.
fn package(module: &Module, winograd: &str, error: &str) -> Package {
    support::package_with(module, &[("winograd", winograd), ("winograd-error", error)])
}

/// The algorithm that the only convolution of a package states.
fn algorithm(package: &Package) -> String {
    let module = &package.module;
    let mut convs = module.walk().into_iter();
    let conv = convs.find(|&op| module.op_name(op) == "kernel.conv");
    kernel::Conv::algorithm(module.view(conv.unwrap())).to_string()
}

const STATED: [(Scheme, &str, &str); 2] = [
    (Scheme::F2, "f2", "winograd_f2"),
    (Scheme::F4, "f4", "winograd_f4"),
];

#[test]
fn values_are_within_the_bound_on_any_number_of_threads() {
    for (number, layer) in layers().iter().enumerate() {
        let seed = number as u64;
        let (bare, inputs) = layer.bare().build(&mut Random::new(seed));
        let sums = support::interpret(&bare, &inputs);
        let square = sums.iter().map(|x| x * x).sum::<f64>() / sums.len() as f64;
        let (module, inputs) = layer.build(&mut Random::new(seed));
        let exact = support::interpret(&module, &inputs);
        for (scheme, option, stated) in STATED {
            let package = package(&module, option, "1");
            assert_eq!(algorithm(&package), stated);
            let bound = scheme.error_bound(layer.image[3]) * square.sqrt();
            let what = format!("{stated} of layer {number}");
            support::assert_within(&package, &inputs, (&exact, bound), &what);
        }
    }
}

#[test]
fn options_decide_the_algorithm() {
    let layer = Layer {
        image: [1, 40, 42, 16],
        columns: 24,
        pad: [1; 4],
        added: false,
        act: None,
    };
    let (module, _) = layer.build(&mut Random::new(1));
    let bounds = Scheme::ALL.map(|scheme| scheme.error_bound(16));
    for (winograd, error, expected) in [
        ("off", "1", "direct"),
        ("auto", "1e-4", "winograd_f4"),
        ("auto", &(bounds[1] * 0.99).to_string(), "winograd_f2"),
        ("auto", &(bounds[0] * 0.99).to_string(), "direct"),
        ("f4", &(bounds[1] * 0.99).to_string(), "direct"),
        ("f2", "1e-4", "winograd_f2"),
    ] {
        let package = package(&module, winograd, error);
        assert_eq!(algorithm(&package), expected, "{winograd} within {error}");
    }
}

#[test]
fn an_option_cannot_become_a_pipeline() {
    let mut options = CompileOptions::default();
    let values = &mut options.target.values;
    values.insert("winograd".to_string(), "off},dead-ops{rounds=1".to_string());
    let error = lepid_target_api::pipeline_text(&Cpu, &options).unwrap_err();
    assert_eq!(error[0].code, Code::ARGUMENT);
}
