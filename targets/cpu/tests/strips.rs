//! Convolutions in strips give the bits of the same convolutions one by one, whatever the height of
//! the strips and the number of threads.

mod support;

use std::collections::BTreeSet;

use lepid_ir::core::{Builder, Elem, Module, Tensor, Value};
use lepid_ir::dialects::core::{Func, Return, constant};
use lepid_ir::dialects::{kernel, nn, tensor};
use lepid_ir::interp::random::Random;
use lepid_target_api::Package;

/// A square window with the padding of an image: top, left, bottom, right.
struct Window {
    kernel: usize,
    stride: usize,
    dilation: usize,
    pad: [usize; 4],
}

impl Window {
    fn output(&self, input: [usize; 2]) -> [usize; 2] {
        let reach = (self.kernel - 1) * self.dilation + 1;
        let along = |axis: usize| {
            (input[axis] + self.pad[axis] + self.pad[axis + 2] - reach) / self.stride + 1
        };
        [along(0), along(1)]
    }
}

/// A convolution of any window and groups before a depthwise one, and one of pixels behind.
struct Chain {
    image: [usize; 4],
    before: Option<(Window, usize)>,
    channels: usize,
    depthwise: Window,
    behind: Option<usize>,
}

impl Chain {
    /// The function, and inputs for it.
    fn build(&self, random: &mut Random) -> (Module, Vec<Tensor>) {
        let [images, height, width, thin] = self.image;
        let middle = match &self.before {
            Some((window, _)) => window.output([height, width]),
            None => [height, width],
        };
        let [height, width] = self.depthwise.output(middle);
        let columns = self.behind.unwrap_or(self.channels);
        let x = random.tensor(Elem::F32, &self.image);
        let residual = random.tensor(Elem::F32, &[images, height, width, columns]);
        let mut module = Module::new();
        let func = Func::create(&mut module, "main", &[x.ty(), residual.ty()], &[]).unwrap();
        let block = Func::block(module.view(func));
        let args = module.block_args(block).to_vec();
        let mut b = Builder::at_end(&mut module, block);
        let mut y = args[0];
        if let Some((window, groups)) = &self.before {
            let weights = [self.channels, thin / groups];
            y = conv(&mut b, random, y, weights, window, *groups);
            y = clip(&mut b, y);
        }
        let weights = [self.channels, 1];
        y = conv(&mut b, random, y, weights, &self.depthwise, self.channels);
        if let Some(columns) = self.behind {
            y = clip(&mut b, y);
            y = conv(&mut b, random, y, [columns, self.channels], &PIXEL, 1);
        }
        y = b.one(&tensor::Add, &[y, args[1]], &[]).unwrap();
        y = b.one(&nn::Relu, &[y], &[]).unwrap();
        Return::build(&mut b, &[y], &[]).unwrap();
        (module, vec![x, residual])
    }
}

fn conv(
    b: &mut Builder<'_>,
    random: &mut Random,
    x: Value,
    [outputs, inputs]: [usize; 2],
    window: &Window,
    groups: usize,
) -> Value {
    let taps = window.kernel;
    let weights = random.tensor(Elem::F32, &[outputs, inputs, taps, taps]);
    let weights = constant(b, weights).unwrap();
    let bias = constant(b, random.tensor(Elem::F32, &[outputs])).unwrap();
    let attrs = [
        ("stride", [window.stride as i64; 2].into()),
        ("dilation", [window.dilation as i64; 2].into()),
        ("pad", window.pad.map(|n| n as i64).into()),
        ("groups", (groups as i64).into()),
        ("layout", "nhwc".into()),
    ];
    b.one(&nn::Conv, &[x, weights, bias], &attrs).unwrap()
}

fn clip(b: &mut Builder<'_>, x: Value) -> Value {
    let attrs = [("min", (-0.5).into()), ("max", 1.0.into())];
    b.one(&nn::Clip, &[x], &attrs).unwrap()
}

const PIXEL: Window = dense(1, 1, [0; 4]);

const fn dense(kernel: usize, stride: usize, pad: [usize; 4]) -> Window {
    Window {
        kernel,
        stride,
        dilation: 1,
        pad,
    }
}

fn chains() -> Vec<Chain> {
    let expansion = Some((PIXEL, 1));
    let chain = |image, before, channels, depthwise, behind| Chain {
        image,
        before,
        channels,
        depthwise,
        behind,
    };
    let dilated = Window {
        dilation: 2,
        ..dense(3, 1, [2; 4])
    };
    vec![
        chain(
            [1, 21, 19, 3],
            Some((dense(3, 2, [1; 4]), 1)),
            16,
            dense(3, 1, [1; 4]),
            Some(7),
        ),
        chain([2, 15, 13, 5], expansion, 24, dense(3, 2, [1; 4]), Some(16)),
        chain(
            [1, 14, 11, 8],
            Some((PIXEL, 1)),
            19,
            dense(5, 1, [2; 4]),
            Some(8),
        ),
        chain([2, 16, 9, 16], None, 16, dense(5, 2, [2; 4]), Some(20)),
        chain(
            [3, 9, 10, 8],
            Some((dense(3, 1, [1; 4]), 2)),
            32,
            dense(3, 1, [1; 4]),
            None,
        ),
        // Windows that hang over on some sides only, lie in the padding, skip rows, or have gaps.
        chain(
            [1, 12, 7, 4],
            Some((PIXEL, 1)),
            8,
            dense(3, 1, [2, 0, 1, 2]),
            Some(5),
        ),
        chain(
            [1, 6, 7, 4],
            Some((PIXEL, 1)),
            8,
            dense(3, 1, [4; 4]),
            Some(5),
        ),
        chain(
            [2, 17, 16, 4],
            Some((PIXEL, 1)),
            8,
            dense(2, 3, [0; 4]),
            Some(5),
        ),
        chain([1, 13, 12, 4], Some((PIXEL, 1)), 8, dilated, Some(5)),
    ]
}

/// The package with this in place of `fuse-strips` in the pipeline.
fn package(module: &Module, pass: &str) -> Package {
    let options = support::with_passes(&[
        ("fuse-strips,", pass),
        ("eqsat{rules=$eqsat},", ""),
        ("winograd{use=$winograd,error=$winograd-error},", ""),
    ]);
    support::package(module, &options)
}

fn run(package: &Package, threads: usize, inputs: &[Tensor]) -> Vec<u8> {
    support::run(package, threads, inputs).bytes().to_vec()
}

/// The height of the strips of a package, if it has any.
fn height(package: &Package) -> Option<i64> {
    let module = &package.module;
    let mut ops = module.walk().into_iter();
    let strips = ops.find(|&op| module.op_name(op) == "kernel.strips")?;
    Some(kernel::Strips::rows(module.view(strips)))
}

#[test]
fn strips_change_no_bit() {
    for (number, chain) in chains().iter().enumerate() {
        let (module, inputs) = chain.build(&mut Random::new(number as u64));
        let whole = package(&module, "");
        assert_eq!(height(&whole), None);
        let expected = run(&whole, 1, &inputs);
        let mut heights = BTreeSet::new();
        for shift in 8..20 {
            let bytes = 1 << shift;
            let pass = format!("fuse-strips{{image=1,buffers={bytes}}},");
            let package = package(&module, &pass);
            let Some(height) = height(&package).filter(|&height| heights.insert(height)) else {
                continue;
            };
            for threads in [1, 2, 3] {
                let found = run(&package, threads, &inputs);
                assert!(
                    found == expected,
                    "chain {number} in strips of {height} rows on {threads} threads"
                );
            }
        }
        assert!(
            heights.len() > 2,
            "chain {number} has strips of {heights:?} rows"
        );
    }
}

#[test]
fn few_pixels_stay_with_the_kernel_for_vectors() {
    let chain = Chain {
        image: [1, 6, 2, 8],
        before: Some((PIXEL, 1)),
        channels: 40,
        depthwise: dense(3, 2, [0, 1, 1, 0]),
        behind: Some(50),
    };
    let (module, _) = chain.build(&mut Random::new(1));
    assert_eq!(height(&package(&module, "fuse-strips{image=1},")), None);
}
