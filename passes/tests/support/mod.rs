//! Reading test inputs, running pipelines on them, and comparing what functions compute.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use lepid_ir::core::{Elem, Module, Num, OpView, Registry, Symbol, Tensor, Type};
use lepid_ir::dialects::core::Func;
use lepid_ir::{dialects, interp, text};
use lepid_passes::core::{Legality, PassEnv, PassManager, Pipeline, Silent};

pub(crate) struct Input {
    /// The folder: the pass under test.
    pub(crate) pass: String,
    /// The file without its ending.
    pub(crate) name: String,
    pub(crate) module: Module,
    dims: BTreeMap<Symbol, u64>,
    expand: Vec<String>,
    range: (f64, f64),
}

/// All test inputs, sorted.
pub(crate) fn all_inputs() -> Vec<Input> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let ops = dialects::registry();
    let mut inputs = Vec::new();
    for folder in sorted(&root) {
        for file in sorted(&folder) {
            if file.extension().is_some_and(|e| e == "lir") {
                inputs.push(read(&folder, &file, &ops));
            }
        }
    }
    assert!(!inputs.is_empty(), "no inputs found");
    inputs
}

fn sorted(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|e| e.unwrap().path()).collect();
    paths.sort();
    paths
}

fn read(folder: &Path, file: &Path, ops: &Registry) -> Input {
    let stem = |p: &Path| p.file_stem().unwrap().to_string_lossy().into_owned();
    let source = fs::read_to_string(file).unwrap();
    let (module, found) = text::parse(&source, &file.to_string_lossy(), ops, None);
    let found: Vec<String> = found
        .iter()
        .map(|d| {
            let at = d.primary.span().map_or(0, |s| s.start as usize);
            let line = source[..at].lines().count();
            format!("{}:{line}: {} ({:?})", file.display(), d.message, d.help)
        })
        .collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
    let setting = |name: &str| {
        let start = format!("// {name}: ");
        let line = source.lines().find_map(|l| l.strip_prefix(&start));
        line.unwrap_or_default().split_whitespace()
    };
    let dims = setting("dims").map(|binding| {
        let (name, extent) = binding.split_once('=').unwrap();
        (Symbol::new(name), extent.parse().unwrap())
    });
    let range: Vec<f64> = setting("range").map(|n| n.parse().unwrap()).collect();
    Input {
        pass: stem(folder),
        name: stem(file),
        dims: dims.collect(),
        expand: setting("expand").map(str::to_string).collect(),
        range: range
            .first()
            .zip(range.get(1))
            .map_or((-2.0, 2.0), |(&a, &b)| (a, b)),
        module,
    }
}

impl Input {
    /// The module after a pipeline, verified after each pass.
    pub(crate) fn run(&self, pipeline: &str) -> Module {
        let (ops, passes) = (dialects::registry(), lepid_passes::registry());
        let pipeline = Pipeline::parse(pipeline, &passes, &[]).unwrap();
        let legality = |op: OpView<'_>| match self.expand.iter().any(|name| name == op.name()) {
            true => Legality::Expand,
            false => Legality::Native,
        };
        let env = PassEnv {
            legality: &legality,
            dims: self.dims.clone(),
            ..PassEnv::generic(&ops)
        };
        let mut module = self.module.clone();
        let mut manager = PassManager {
            env: &env,
            verify_each: true,
            observer: &mut Silent,
        };
        if let Err(found) = manager.run(&mut module, &pipeline) {
            let found: Vec<String> = found.into_iter().map(|d| d.message).collect();
            panic!(
                "{}/{}: `{pipeline}`: {}",
                self.pass,
                self.name,
                found.join("; ")
            );
        }
        module
    }
}

/// The results of all functions on random arguments. The same seed gives the same arguments.
pub(crate) fn outputs(module: &Module, input: &Input, seed: u64) -> Vec<Tensor> {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut all = Vec::new();
    for func in module.funcs() {
        // Types of the module as it was: a pass may have refined them.
        let original = input
            .module
            .funcs()
            .find(|&f| Func::name(input.module.view(f)) == Func::name(module.view(func)));
        let original = input.module.view(original.unwrap());
        let args = Func::args(original).iter();
        let args: Vec<Tensor> = args
            .map(|&v| random.tensor(input, input.module.value_type(v)))
            .collect();
        match interp::run(module, func, &args) {
            Ok(results) => all.extend(results),
            Err(error) => panic!("{}/{}: {}", input.pass, input.name, error.message),
        }
    }
    all
}

/// The greatest difference as a share of the greatest magnitude in its tensor.
pub(crate) fn worst_difference(expected: &[Tensor], found: &[Tensor]) -> f64 {
    assert_eq!(expected.len(), found.len());
    let mut worst: f64 = 0.0;
    for (e, f) in expected.iter().zip(found) {
        assert_eq!((e.elem(), e.shape()), (f.elem(), f.shape()));
        if e == f {
            continue;
        }
        let (e, f) = (e.to_f64s(), f.to_f64s());
        let scale = e
            .iter()
            .filter(|x| x.is_finite())
            .fold(0.0, |m: f64, x| m.max(x.abs()));
        for (x, y) in e.iter().zip(&f) {
            let same = x.to_bits() == y.to_bits() || (x.is_nan() && y.is_nan());
            let distance = if same {
                0.0
            } else {
                (x - y).abs() / scale.max(f64::MIN_POSITIVE)
            };
            // A sign of zero, or a difference of infinities.
            worst = worst.max(if distance.is_nan() {
                f64::INFINITY
            } else {
                distance
            });
            if !same && distance == 0.0 {
                worst = worst.max(f64::MIN_POSITIVE);
            }
        }
    }
    worst
}

/// xorshift: reproducible everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    fn tensor(&mut self, input: &Input, ty: Type) -> Tensor {
        let ty = ty.as_tensor().unwrap();
        let extent = |d: &lepid_ir::core::Dim| match d {
            lepid_ir::core::Dim::Known(n) => *n as usize,
            lepid_ir::core::Dim::Sym(name) => input.dims.get(name).copied().unwrap_or(2) as usize,
            lepid_ir::core::Dim::Unknown => 2,
        };
        let shape: Vec<usize> = ty.dims.iter().map(extent).collect();
        let (low, high) = input.range;
        let count: usize = shape.iter().product();
        let nums: Vec<Num> = (0..count)
            .map(|_| match ty.elem {
                Elem::Bool => Num::Int(i128::from(self.next() < 0.5)),
                elem if elem.is_float() => Num::Float(low + (high - low) * self.next()),
                _ => Num::Int((self.next() * 4.0) as i128),
            })
            .collect();
        Tensor::from_nums(ty.elem, shape, nums)
    }
}
