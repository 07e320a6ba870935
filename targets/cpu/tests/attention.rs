//! Attention is one kernel that reads heads where they are: it gives what the interpreter gives, and
//! the same bits on any number of threads.

use lepid_ir::core::{Attr, Builder, Dim, Elem, Module, Num, Tensor, Type, Value};
use lepid_ir::dialects::core::{Func, Return};
use lepid_ir::dialects::tensor::build;
use lepid_ir::dialects::{self, kernel, nn};
use lepid_ir::interp::{self, random::Random};
use lepid_passes::core::Silent;
use lepid_target_api::{CompileEnv, CompileOptions, LoadOptions, Package, Target, compile};
use lepid_target_cpu::Cpu;

/// Where the heads of query, key and value are.
#[derive(Copy, Clone, PartialEq)]
enum From {
    /// Inputs of their own: batch, head, position, feature.
    Heads,
    /// Inputs of their own: batch, position, head times feature.
    Positions,
    /// One input of batch, position, three times head times feature.
    Joined,
}

struct Case {
    from: From,
    batch: usize,
    heads: usize,
    queries: usize,
    keys: usize,
    features: usize,
    /// The extents of a mask.
    mask: Option<[usize; 4]>,
    /// The offset of a causal one.
    causal: Option<i64>,
}

impl Case {
    /// The function, and inputs for it.
    fn build(&self, random: &mut Random) -> (Module, Vec<Tensor>) {
        let Case {
            batch,
            heads,
            queries,
            keys,
            features,
            ..
        } = *self;
        let width = heads * features;
        let shapes = match self.from {
            From::Heads => [queries, keys, keys]
                .map(|n| vec![batch, heads, n, features])
                .to_vec(),
            From::Positions => [queries, keys, keys]
                .map(|n| vec![batch, n, width])
                .to_vec(),
            From::Joined => vec![vec![batch, queries, 3 * width]],
        };
        let mut inputs: Vec<Tensor> = shapes
            .iter()
            .map(|shape| random.tensor(Elem::F32, shape))
            .collect();
        if let Some(mask) = self.mask {
            inputs.push(self.hidden(random, &mask));
        }
        let types: Vec<Type> = inputs.iter().map(Tensor::ty).collect();
        let mut module = Module::new();
        let func = Func::create(&mut module, "main", &types, &[]).unwrap();
        let block = Func::block(module.view(func));
        let args = module.block_args(block).to_vec();
        let b = &mut Builder::at_end(&mut module, block);
        let mut operands: Vec<Value> = match self.from {
            From::Heads => args[..3].to_vec(),
            From::Positions => args[..3].iter().map(|&x| self.split(b, x)).collect(),
            From::Joined => (0..3)
                .map(|i| {
                    let (start, stop) = ((i * width) as i64, ((i + 1) * width) as i64);
                    let part = build::slice_axis(b, args[0], 2, start, stop).unwrap();
                    self.split(b, part)
                })
                .collect(),
        };
        operands.extend(args.last().filter(|_| self.mask.is_some()));
        let attrs = [
            ("causal", self.causal.is_some().into()),
            ("offset", Attr::Int(self.causal.unwrap_or(0))),
        ];
        let mut y = b.one(&nn::Attention, &operands, &attrs).unwrap();
        if self.from != From::Heads {
            y = build::transpose(b, y, &[0, 2, 1, 3]).unwrap();
            y = build::reshape(b, y, &dims(&[batch, queries, width])).unwrap();
        }
        Return::build(b, &[y], &[]).unwrap();
        (module, inputs)
    }

    fn split(&self, b: &mut Builder<'_>, x: Value) -> Value {
        let positions = build::dims(b, x)[1];
        let shape = [self.batch, self.heads, self.features].map(|n| Dim::Known(n as u64));
        let split = build::reshape(b, x, &[shape[0], positions, shape[1], shape[2]]).unwrap();
        build::transpose(b, split, &[0, 2, 1, 3]).unwrap()
    }

    /// A mask that hides some keys, and all from its second row.
    fn hidden(&self, random: &mut Random, shape: &[usize]) -> Tensor {
        let mask = random.tensor(Elem::F32, shape);
        let row = shape[3];
        let values = mask.to_f64s().into_iter().enumerate().map(|(i, x)| {
            let all = shape[2] > 1 && i / row == 1;
            if all || i % 3 == 1 {
                f64::NEG_INFINITY
            } else {
                x
            }
        });
        Tensor::from_f64s(Elem::F32, shape.iter().copied(), values)
    }
}

fn dims(extents: &[usize]) -> Vec<Dim> {
    extents.iter().map(|&n| Dim::Known(n as u64)).collect()
}

fn cases() -> Vec<Case> {
    let case = |from, [batch, heads, queries, keys, features], mask, causal| Case {
        from,
        batch,
        heads,
        queries,
        keys,
        features,
        mask,
        causal,
    };
    vec![
        case(From::Heads, [2, 3, 17, 5, 24], None, None),
        case(From::Positions, [2, 3, 17, 5, 24], None, None),
        case(From::Joined, [2, 3, 61, 61, 24], None, None),
        case(From::Joined, [1, 2, 50, 50, 16], None, Some(0)),
        case(From::Positions, [1, 2, 9, 40, 32], None, Some(31)),
        case(
            From::Positions,
            [2, 2, 19, 21, 8],
            Some([2, 1, 1, 21]),
            None,
        ),
        case(From::Heads, [2, 2, 19, 21, 8], Some([1, 2, 19, 21]), None),
        case(
            From::Joined,
            [2, 2, 13, 13, 8],
            Some([1, 1, 13, 1]),
            Some(2),
        ),
        // More keys than a tile has.
        case(From::Positions, [1, 1, 55, 700, 8], None, None),
        case(From::Joined, [1, 1, 520, 520, 4], None, Some(3)),
        // Few queries.
        case(From::Heads, [1, 3, 1, 129, 64], None, None),
        case(From::Joined, [2, 3, 1, 1, 8], None, None),
        case(
            From::Positions,
            [2, 3, 2, 33, 20],
            Some([2, 1, 2, 33]),
            Some(31),
        ),
    ]
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

fn agree(found: f64, expected: f64) -> bool {
    (found - expected).abs() <= 1e-5 * (1.0 + expected.abs()) || found.is_nan() && expected.is_nan()
}

#[test]
fn attention_is_what_the_interpreter_computes() {
    for (number, case) in cases().iter().enumerate() {
        let (module, inputs) = case.build(&mut Random::new(number as u64));
        let func = module.funcs().next().unwrap();
        let expected = interp::run(&module, func, &inputs).unwrap().remove(0);
        let package = package(&module);
        let mut bits = Vec::new();
        for threads in [1, 2, 3] {
            let options = LoadOptions {
                threads,
                ..LoadOptions::default()
            };
            let program = Cpu.load(&package, &options).unwrap();
            let found = program.run(&inputs).unwrap().remove(0);
            let pairs = found.to_f64s().into_iter().zip(expected.to_f64s());
            for (i, (found, expected)) in pairs.enumerate() {
                assert!(
                    agree(found, expected),
                    "case {number} at {i}: {found} instead of {expected}"
                );
            }
            bits.push(found.bytes().to_vec());
        }
        assert!(
            bits.iter().all(|b| *b == bits[0]),
            "case {number} depends on the number of threads"
        );
    }
}

#[test]
fn heads_are_read_and_written_where_they_are() {
    for (number, case) in cases().iter().enumerate() {
        let (module, _) = case.build(&mut Random::new(0));
        let package = package(&module);
        let module = &package.module;
        let names: Vec<&str> = module.walk().iter().map(|&op| module.op_name(op)).collect();
        let attention = "kernel.attention";
        assert!(names.contains(&attention), "case {number}: {names:?}");
        let moves = names.iter().any(|name| {
            name.starts_with("tensor.") && *name != "tensor.reshape" || *name == "kernel.nest"
        });
        assert!(!moves, "case {number}: {names:?}");
    }
}

#[test]
fn the_kernel_is_defined_by_the_interpreter() {
    let mut random = Random::new(7);
    let x = random.tensor(Elem::F32, &[1, 6, 9, 4]);
    let mut module = Module::new();
    let func = Func::create(&mut module, "main", &[x.ty()], &[]).unwrap();
    let block = Func::block(module.view(func));
    let arg = module.block_args(block)[0];
    let b = &mut Builder::at_end(&mut module, block);
    let layouts: &[&str] = &["bshd", "bshd", "bshd", "bhsd"];
    let attrs = [
        ("heads", 3.into()),
        ("scale", 0.5.into()),
        ("first", [0, 3, 6].into()),
        ("layouts", layouts.into()),
    ];
    let whole = b.one(&kernel::Attention, &[arg; 3], &attrs).unwrap();
    let swapped = build::transpose(b, arg, &[0, 2, 1, 3]).unwrap();
    let parts: Vec<Value> = (0..3)
        .map(|i| build::slice_axis(b, swapped, 1, 3 * i, 3 * i + 3).unwrap())
        .collect();
    let scale = [("scale", Attr::Float(0.5))];
    let plain = b.one(&nn::Attention, &parts, &scale).unwrap();
    Return::build(b, &[whole, plain], &[]).unwrap();
    let results = interp::run(&module, func, &[x]).unwrap();
    assert_eq!(results[0].shape(), [1, 3, 6, 4]);
    assert_eq!(results[0].bytes(), results[1].bytes());
    let zero = Tensor::splat(Elem::F32, &[1, 3, 6, 4], Num::Float(0.0));
    assert_ne!(results[0].bytes(), zero.bytes());
}

#[test]
fn there_are_no_heads_beyond_the_last() {
    let mut module = Module::new();
    let ty = Type::known_tensor(Elem::F32, &[1, 6, 9, 4]);
    let func = Func::create(&mut module, "main", &[ty], &[]).unwrap();
    let block = Func::block(module.view(func));
    let arg = module.block_args(block)[0];
    let b = &mut Builder::at_end(&mut module, block);
    let attrs = [
        ("heads", 3.into()),
        ("scale", 0.5.into()),
        ("first", [0, 4, 0].into()),
    ];
    let error = b.one(&kernel::Attention, &[arg; 3], &attrs).unwrap_err();
    assert!(error.message.contains("no 3 heads from head 4 on"));
}
