//! What a convolution reads, computed with it in strips, gives the bits of a nest by itself,
//! whatever the number of threads.

mod support;

use lepid_ir::core::{Builder, Dim, Elem, Module, Tensor, Value};
use lepid_ir::dialects::core::{Func, Return, constant};
use lepid_ir::dialects::tensor::build;
use lepid_ir::dialects::{kernel, nn, tensor};
use lepid_ir::interp;
use lepid_ir::interp::random::Random;
use lepid_target_api::Package;

/// Images with these channels side by side, scaled, shifted and cut off, before a convolution of
/// pixels to so many columns.
struct Layer {
    images: usize,
    spatial: [usize; 2],
    channels: Vec<usize>,
    columns: usize,
    groups: usize,
}

impl Layer {
    fn build(&self, random: &mut Random) -> (Module, Vec<Tensor>) {
        let [height, width] = self.spatial;
        let inputs: Vec<Tensor> = self
            .channels
            .iter()
            .map(|&n| random.tensor(Elem::F32, &[self.images, height, width, n]))
            .collect();
        let types: Vec<_> = inputs.iter().map(Tensor::ty).collect();
        let mut module = Module::new();
        let func = Func::create(&mut module, "main", &types, &[]).unwrap();
        let block = Func::block(module.view(func));
        let args = module.block_args(block).to_vec();
        let mut b = Builder::at_end(&mut module, block);
        let mut y = match args.len() {
            1 => args[0],
            _ => build::concat(&mut b, &args, 3).unwrap(),
        };
        let channels: usize = self.channels.iter().sum();
        for def in [
            &tensor::Mul as &'static dyn lepid_ir::core::OpDef,
            &tensor::Add,
        ] {
            let vector = along_channels(&mut b, random, y, channels);
            y = b.one(def, &[y, vector], &[]).unwrap();
        }
        y = b.one(&nn::Relu, &[y], &[]).unwrap();
        let weights = [self.columns, channels / self.groups, 1, 1];
        let weights = constant(&mut b, random.tensor(Elem::F32, &weights)).unwrap();
        let attrs = [
            ("stride", [1, 1].into()),
            ("dilation", [1, 1].into()),
            ("pad", [0; 4].into()),
            ("groups", (self.groups as i64).into()),
            ("layout", "nhwc".into()),
        ];
        y = b.one(&nn::Conv, &[y, weights], &attrs).unwrap();
        Return::build(&mut b, &[y], &[]).unwrap();
        (module, inputs)
    }
}

fn along_channels(b: &mut Builder<'_>, random: &mut Random, like: Value, channels: usize) -> Value {
    let vector = constant(b, random.tensor(Elem::F32, &[channels])).unwrap();
    let shape: Vec<Dim> = build::dims(b, like);
    build::broadcast_axes(b, vector, &shape, &[3]).unwrap()
}

fn layers() -> Vec<Layer> {
    let layer = |images, spatial, channels: &[usize], columns, groups| Layer {
        images,
        spatial,
        channels: channels.to_vec(),
        columns,
        groups,
    };
    vec![
        layer(1, [13, 9], &[16], 24, 1),
        layer(2, [7, 5], &[3, 1, 9], 17, 1),
        layer(3, [6, 6], &[4, 8], 8, 2),
        layer(1, [5, 1], &[1], 3, 1),
        layer(5, [1, 1], &[2, 1], 19, 1),
    ]
}

fn package(module: &Module, pass: &str) -> Package {
    let options = support::with_passes(&[
        ("fuse-prologues,", pass),
        ("eqsat{rules=$eqsat},", ""),
        ("winograd{use=$winograd,error=$winograd-error},", ""),
    ]);
    support::package(module, &options)
}

fn strips(package: &Package) -> usize {
    let module = &package.module;
    let ops = module.walk().into_iter();
    ops.filter(|&op| module.op_name(op) == kernel::Strips::INFO.name)
        .count()
}

#[test]
fn prologues_change_no_bit() {
    for (number, layer) in layers().iter().enumerate() {
        let (module, inputs) = layer.build(&mut Random::new(number as u64));
        let whole = package(&module, "");
        assert_eq!(strips(&whole), 0);
        let expected = support::run(&whole, 1, &inputs);
        let func = module.funcs().next().unwrap();
        let meant = interp::run(&module, func, &inputs).unwrap();
        for (found, meant) in expected.to_f64s().iter().zip(meant[0].to_f64s()) {
            assert!((found - meant).abs() <= 1e-4 * meant.abs().max(1.0));
        }
        for bytes in [1024, 4096, 1 << 20] {
            let pass = format!("fuse-prologues{{height=1,buffer={bytes}}},");
            let fused = package(&module, &pass);
            assert_eq!(strips(&fused), 1, "layer {number}");
            for threads in [1, 2, 3] {
                let found = support::run(&fused, threads, &inputs);
                assert!(
                    found.bytes() == expected.bytes(),
                    "layer {number} with {bytes} bytes on {threads} threads"
                );
            }
        }
    }
}
