//! Strassen's product whole: chosen by options, stated in the IR, within its bound of the exact
//! values on random layers, and the same on any number of threads.

mod support;

use lepid_ir::core::{Builder, Elem, Module, OpDef, Tensor};
use lepid_ir::dialects::core::{Func, Return, constant};
use lepid_ir::dialects::{kernel, nn, tensor};
use lepid_ir::interp::random::Random;
use lepid_target_api::Package;
use lepid_ukernels::strassen;

/// A linear layer of `rows` positions in each of `sequences`, and what follows it.
struct Layer {
    sequences: usize,
    rows: usize,
    depth: usize,
    columns: usize,
    /// Weights stand as [N, K], and a transposition behind them.
    turned: bool,
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
        let shape = [self.sequences, self.rows, self.columns];
        let x = random.tensor(Elem::F32, &[self.sequences, self.rows, self.depth]);
        let weights = match self.turned {
            true => random.tensor(Elem::F32, &[self.columns, self.depth]),
            false => random.tensor(Elem::F32, &[self.depth, self.columns]),
        };
        let bias = random.tensor(Elem::F32, &[self.columns]);
        let residual = random.tensor(Elem::F32, &shape);
        let mut module = Module::new();
        let types = [x.ty(), residual.ty()];
        let func = Func::create(&mut module, "main", &types, &[]).unwrap();
        let block = Func::block(module.view(func));
        let args = module.block_args(block).to_vec();
        let mut b = Builder::at_end(&mut module, block);
        let mut weights = constant(&mut b, weights).unwrap();
        if self.turned {
            let perm = [("perm", [1, 0].into())];
            weights = b.one(&tensor::Transpose, &[weights], &perm).unwrap();
        }
        let mut operands = vec![args[0], weights];
        if self.added {
            operands.push(constant(&mut b, bias).unwrap());
        }
        let mut y = b.one(&nn::Linear, &operands, &[]).unwrap();
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
    let layer = |sequences, rows, depth, columns, act| Layer {
        sequences,
        rows,
        depth,
        columns,
        turned: rows % 4 == 0,
        added: true,
        act,
    };
    vec![
        layer(1, 8, 32, 32, Some(&nn::Relu)),
        layer(2, 13, 96, 352, Some(&nn::Gelu)),
        layer(3, 22, 64, 64, None),
        layer(1, 420, 32, 96, Some(&nn::Silu)),
        layer(1, 64, 2048, 160, Some(&tensor::Tanh)),
    ]
}

/// The package of a layer with these values of the options `strassen` and `strassen-error`.
fn package(module: &Module, strassen: &str, error: &str) -> Package {
    support::package_with(
        module,
        &[
            ("cost-model", "shipped"),
            ("strassen", strassen),
            ("strassen-error", error),
        ],
    )
}

/// The algorithm that the only linear layer of a package states.
fn algorithm(package: &Package) -> String {
    let module = &package.module;
    let mut ops = module.walk().into_iter();
    let linear = ops.find(|&op| module.op_name(op) == "kernel.linear");
    kernel::Linear::algorithm(module.view(linear.unwrap())).to_string()
}

#[test]
fn values_are_within_the_bound_on_any_number_of_threads() {
    for (number, layer) in layers().iter().enumerate() {
        let seed = number as u64;
        let (bare, inputs) = layer.bare().build(&mut Random::new(seed));
        let sums = support::interpret(&bare, &inputs);
        let square = sums.iter().map(|x| x * x).sum::<f64>() / sums.len() as f64;
        let (module, inputs) = layer.build(&mut Random::new(seed));
        let exact = support::interpret(&module, &inputs);
        let package = package(&module, "on", "1");
        assert_eq!(algorithm(&package), "strassen");
        let bound = strassen::error_bound(layer.depth) * square.sqrt();
        let what = format!("layer {number}");
        support::assert_within(&package, &inputs, (&exact, bound), &what);
    }
}

#[test]
fn options_decide_the_algorithm() {
    let layer = Layer {
        sequences: 1,
        rows: 128,
        depth: 1024,
        columns: 1024,
        turned: false,
        added: false,
        act: None,
    };
    let bound = strassen::error_bound(1024);
    let (module, _) = layer.build(&mut Random::new(1));
    for (option, error, expected) in [
        ("off", "1", "direct"),
        ("auto", "1e-4", "strassen"),
        ("auto", &(bound * 0.99).to_string(), "direct"),
        ("on", &(bound * 0.99).to_string(), "direct"),
        ("on", "1e-4", "strassen"),
    ] {
        let package = package(&module, option, error);
        assert_eq!(algorithm(&package), expected, "{option} within {error}");
    }
}

#[test]
fn layers_get_it_where_sums_are_long() {
    let chosen = |rows, depth, columns| {
        let layer = Layer {
            sequences: 1,
            rows,
            depth,
            columns,
            turned: false,
            added: false,
            act: None,
        };
        let (module, _) = layer.build(&mut Random::new(2));
        algorithm(&package(&module, "auto", "1e-4"))
    };
    assert_eq!(chosen(128, 768, 768), "strassen");
    assert_eq!(chosen(64, 32, 256), "direct");
    // An odd number of rows has no halves; few rows are bound by the weights' way from memory.
    assert_eq!(chosen(127, 768, 768), "direct");
    assert_eq!(chosen(8, 768, 768), "direct");
}
