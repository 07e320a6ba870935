//! Programs for any number of samples: each sample is the interpreter's, and has the same bits
//! whatever the number of samples, their order in turns and the number of threads.

mod support;

use lepid_ir::core::{Code, Elem, Module, Op, Tensor};
use lepid_ir::dialects::core::{Func, constant};
use lepid_ir::dialects::{nn, tensor};
use lepid_ir::interp::{self, random::Random};
use lepid_target_api::{CompileOptions, Executable, LoadOptions, Package, Target};
use lepid_target_cpu::Cpu;

use support::layers::{Model, function, opened};
use support::sample;

const MOST: u64 = 5;

/// Winograd's, depthwise, grouped, strided and pixel convolutions, a pool, a concat, a residual.
fn images(n: usize) -> Module {
    function(&[&[n, 3, 20, 18]], |l, args| {
        let x = l.conv(args[0], [16, 3, 3, 3], 2, 1);
        let x = l.relu(x);
        let y = l.conv(x, [16, 16, 3, 3], 1, 1);
        let x = l.b.one(&tensor::Add, &[x, y], &[]).unwrap();
        let x = l.relu(x);
        let y = l.conv(x, [16, 1, 3, 3], 1, 16);
        let y = l.relu(y);
        let y = l.conv(y, [8, 16, 1, 1], 1, 1);
        let z = l.conv(x, [8, 4, 3, 3], 1, 4);
        let attrs = [("axis", 1.into())];
        let x = l.b.one(&tensor::Concat, &[y, z], &attrs).unwrap();
        let attrs = [
            ("kernel", [2; 2].into()),
            ("stride", [2; 2].into()),
            ("dilation", [1; 2].into()),
            ("pad", [0; 4].into()),
        ];
        let x = l.b.one(&nn::MaxPool, &[x], &attrs).unwrap();
        let x = l.reshape(x, &[n, 16 * 5 * 4]);
        let x = l.linear(x, [16 * 5 * 4, 40]);
        let x = l.relu(x);
        let x = l.linear(x, [40, 10]);
        vec![l.along(&nn::Softmax, x, 1)]
    })
}

/// Attention over heads that are transposed, layer norm and rows of all samples as one matrix.
fn tokens(n: usize) -> Module {
    let (tokens, heads, width) = (9, 2, 16);
    function(&[&[n, tokens, width]], |l, args| {
        let rows = l.reshape(args[0], &[n * tokens, width]);
        let mut qkv = Vec::new();
        for _ in 0..3 {
            let x = l.linear(rows, [width, width]);
            let x = l.reshape(x, &[n, tokens, heads, width / heads]);
            qkv.push(l.transpose(x, &[0, 2, 1, 3]));
        }
        let x = l.b.one(&nn::Attention, &qkv, &[]).unwrap();
        let x = l.transpose(x, &[0, 2, 1, 3]);
        let x = l.reshape(x, &[n, tokens, width]);
        let x = l.b.one(&tensor::Add, &[x, args[0]], &[]).unwrap();
        let (scale, shift) = (l.weights(&[width]), l.weights(&[width]));
        let attrs = [("axis", 2.into())];
        let x = l.b.one(&nn::LayerNorm, &[x, scale, shift], &attrs).unwrap();
        // A product of two values, and a result of several rows per sample.
        let y = l.transpose(x, &[0, 2, 1]);
        let scores = l.b.one(&nn::MatMul, &[x, y], &[]).unwrap();
        let attrs = [("kind", "sum".into()), ("axes", vec![1i64].into())];
        let sums = l.b.one(&tensor::Reduce, &[scores], &attrs).unwrap();
        vec![l.reshape(x, &[n * tokens, width]), sums]
    })
}

/// A second input that is the same for all samples, an iota, and a routine.
fn shared(n: usize) -> Module {
    function(&[&[n, 12], &[12]], |l, args| {
        let attrs = [
            ("shape", vec![n as i64, 12].into()),
            ("axes", vec![1i64].into()),
        ];
        let bias = l.b.one(&tensor::Broadcast, &[args[1]], &attrs).unwrap();
        let x = l.b.one(&tensor::Mul, &[args[0], bias], &[]).unwrap();
        let attrs = [
            ("shape", vec![n as i64, 12].into()),
            ("axis", 1.into()),
            ("to", lepid_ir::core::Attr::Elem(Elem::F32)),
        ];
        let at = l.b.one(&tensor::Iota, &[], &attrs).unwrap();
        let x = l.b.one(&tensor::Add, &[x, at], &[]).unwrap();
        let attrs = [("k", 3.into()), ("axis", 1.into())];
        let top = l.b.create(&tensor::TopK, &[x], &attrs).unwrap();
        let top = l.b.module.results(top).to_vec();
        vec![x, top[0], top[1]]
    })
}

/// Layers that a fixed number of rows would get another algorithm for.
fn wide(n: usize) -> Module {
    let (tokens, width) = (24, 512);
    function(&[&[n, tokens, width]], |l, args| {
        let rows = l.reshape(args[0], &[n * tokens, width]);
        let x = l.linear(rows, [width, width]);
        let x = l.relu(x);
        vec![l.linear(x, [width, 64])]
    })
}

fn main_of(module: &Module) -> Op {
    Func::find(module, "main").unwrap()
}

fn inputs(module: &Module, seed: u64) -> Vec<Tensor> {
    let mut random = Random::new(seed);
    let args = Func::args(module.view(main_of(module))).iter();
    args.map(|&arg| {
        let dims = module.value_type(arg).as_tensor().unwrap().known_dims();
        random.tensor(Elem::F32, &dims.unwrap())
    })
    .collect()
}

fn session(package: &Package, threads: usize) -> Box<dyn Executable> {
    let options = LoadOptions {
        threads,
        ..LoadOptions::default()
    };
    Cpu.load(package, &options).unwrap()
}

/// Relative to the value, to the root mean square of all, or to 1.
fn largest_error(found: &Tensor, wanted: &Tensor) -> f64 {
    assert_eq!(found.shape(), wanted.shape());
    let (found, wanted) = (found.to_f64s(), wanted.to_f64s());
    let squares: f64 = wanted.iter().map(|b| b * b).sum();
    let scale = (squares / wanted.len().max(1) as f64).sqrt().max(1.0);
    let pairs = found.into_iter().zip(wanted);
    pairs
        .map(|(a, b)| (a - b).abs() / b.abs().max(scale))
        .fold(0.0, f64::max)
}

#[test]
fn samples_are_the_interpreters_and_keep_their_bits() {
    for (seed, model) in [images as Model, tokens, shared, wide]
        .into_iter()
        .enumerate()
    {
        let package = support::package(&opened(model, MOST).unwrap(), &CompileOptions::default());
        let rows = package.signature.batch.clone().unwrap();
        let mut sessions = [session(&package, 1), session(&package, 3)];
        for n in [5, 1, 2, 3, 4, 13] {
            let plain = model(n);
            let given = inputs(&plain, 100 * n as u64 + seed as u64);
            let wanted = interp::run(&plain, main_of(&plain), &given).unwrap();
            let found = sessions[0].run(&given).unwrap();
            assert_eq!(found.len(), wanted.len());
            for (found, wanted) in found.iter().zip(&wanted) {
                let error = largest_error(found, wanted);
                assert!(error < 1e-4, "model {seed}, {n} samples: {error}");
            }
            assert!(
                sessions[1].run(&given).unwrap() == found,
                "model {seed}, {n} samples"
            );
            for i in 0..n {
                let alone = sessions[1]
                    .run(&sample(&given, i, n, &rows.inputs))
                    .unwrap();
                assert!(
                    alone == sample(&found, i, n, &rows.outputs),
                    "sample {i} of {n}"
                );
            }
        }
    }
}

#[test]
fn nothing_is_read_or_written_beyond_the_samples() {
    for model in [images as Model, tokens, shared, wide] {
        let package = support::package(&opened(model, MOST).unwrap(), &CompileOptions::default());
        let mut session = session(&package, 2);
        // Samples before leave values behind that must not be seen.
        let full = model(MOST as usize);
        session.run(&inputs(&full, 1)).unwrap();
        let one = inputs(&model(1), 2);
        let first = session.run(&one).unwrap();
        let nan = |t: &Tensor| {
            let numbers = vec![f64::NAN; t.len()];
            Tensor::from_f64s(t.elem(), t.shape().iter().copied(), numbers)
        };
        let spoilt: Vec<Tensor> = inputs(&full, 3).iter().map(nan).collect();
        session.run(&spoilt).unwrap();
        assert!(session.run(&one).unwrap() == first);
    }
}

#[test]
fn no_sample_gives_none() {
    let package = support::package(&opened(images, MOST).unwrap(), &CompileOptions::default());
    let none = Tensor::zeros(Elem::F32, &[0, 3, 20, 18]);
    let found = session(&package, 1).run(&[none]).unwrap();
    assert_eq!(found[0].shape(), [0, 10]);
}

#[test]
fn inputs_must_agree() {
    let package = support::package(&opened(shared, MOST).unwrap(), &CompileOptions::default());
    let tensor = |shape: &[usize]| Tensor::zeros(Elem::F32, shape);
    let mut session = session(&package, 1);
    assert!(session.run(&[tensor(&[2, 12]), tensor(&[12])]).is_ok());
    for wrong in [&[2, 11][..], &[12], &[2, 12, 1]] {
        let error = session.run(&[tensor(wrong), tensor(&[12])]).unwrap_err();
        assert_eq!(error.code, Code::INPUT);
    }
}

#[test]
fn outputs_are_bounded() {
    // Inputs that take nothing say how many samples there are.
    let model: Model = |n| {
        function(&[&[n, 0]], |l, args| {
            let attrs = [("kind", "sum".into()), ("axes", vec![1i64].into())];
            vec![l.b.one(&tensor::Reduce, &[args[0]], &attrs).unwrap()]
        })
    };
    let package = support::package(&opened(model, MOST).unwrap(), &CompileOptions::default());
    let mut session = session(&package, 1);
    let many = |n: usize| [Tensor::zeros(Elem::F32, &[n, 0])];
    assert_eq!(session.run(&many(7)).unwrap()[0].to_f64s(), [0.0; 7]);
    for n in [1 << 40, 1 << 62] {
        assert_eq!(session.run(&many(n)).unwrap_err().code, Code::LIMIT);
    }
}

/// Models whose samples cannot be told apart, with a word of what is said.
const MIXED: &[(&str, Model)] = &[
    ("other ops", |n| {
        function(&[&[n, 4]], |l, args| {
            let x = l.relu(args[0]);
            vec![if n > MOST as usize { l.relu(x) } else { x }]
        })
    }),
    ("computes with", |n| {
        function(&[&[n, 4]], |l, args| {
            let count = Tensor::from_f64s(Elem::F32, [], vec![n as f64]);
            let count = constant(&mut l.b, count).unwrap();
            let attrs = [
                ("shape", vec![n as i64, 4].into()),
                ("axes", Vec::<i64>::new().into()),
            ];
            let count = l.b.one(&tensor::Broadcast, &[count], &attrs).unwrap();
            vec![l.b.one(&tensor::Mul, &[args[0], count], &[]).unwrap()]
        })
    }),
    ("leading axis", |n| {
        function(&[&[4, n]], |l, args| vec![l.relu(args[0])])
    }),
    ("leading axis", |n| {
        function(&[&[n, 4]], |l, args| vec![l.transpose(args[0], &[1, 0])])
    }),
    ("no input", |_| {
        function(&[&[3, 4]], |l, args| vec![l.relu(args[0])])
    }),
];

#[test]
fn what_differs_by_more_than_the_leading_extent_is_refused() {
    for (word, model) in MIXED {
        let error = opened(*model, MOST).err().unwrap();
        assert_eq!(error.code, Code::BATCH);
        assert!(error.message.contains(word), "{}", error.message);
        assert!(error.help.is_some());
    }
}

#[test]
fn ops_that_mix_samples_are_refused() {
    let models: &[Model] = &[
        |n| {
            function(&[&[n, 4]], |l, args| {
                let attrs = [("kind", "sum".into()), ("axes", vec![0i64].into())];
                let sum = l.b.one(&tensor::Reduce, &[args[0]], &attrs).unwrap();
                let attrs = [
                    ("shape", vec![n as i64, 4].into()),
                    ("axes", vec![1i64].into()),
                ];
                let sum = l.b.one(&tensor::Broadcast, &[sum], &attrs).unwrap();
                vec![l.b.one(&tensor::Sub, &[args[0], sum], &[]).unwrap()]
            })
        },
        |n| {
            function(&[&[n, 4]], |l, args| {
                vec![l.along(&nn::Softmax, args[0], 0)]
            })
        },
        |n| {
            function(&[&[n, 4]], |l, args| {
                let attrs = [("axes", vec![0i64].into())];
                vec![l.b.one(&tensor::Reverse, &[args[0]], &attrs).unwrap()]
            })
        },
        |n| {
            function(&[&[n, 4]], |l, args| {
                let attrs = [("kind", "sum".into()), ("axis", 0.into())];
                vec![l.b.one(&tensor::Scan, &[args[0]], &attrs).unwrap()]
            })
        },
    ];
    for (i, model) in models.iter().enumerate() {
        let module = opened(*model, MOST).unwrap();
        let error = support::try_package(&module, &CompileOptions::default());
        let error = error
            .err()
            .unwrap_or_else(|| panic!("model {i} is compiled"));
        assert_eq!(error[0].code, Code::BATCH, "model {i}");
    }
}
