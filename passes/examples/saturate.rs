//! How long a transformer takes to saturate, as raw exports spell it: `cargo run --release
//! -p lepid-passes --example saturate -- 24 768`.

use std::time::Instant;

use lepid_ir::core::{Builder, Dim, Elem, Module, OpResult, Tensor, Type, Value, verify};
use lepid_ir::dialects;
use lepid_ir::dialects::core::{Func, Return, constant};
use lepid_ir::dialects::nn;
use lepid_ir::dialects::tensor::{self as t, build};
use lepid_passes::core::PassEnv;
use lepid_passes::eqsat::{Options, optimize};

const TOKENS: usize = 128;
const HEAD: usize = 64;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let layers: usize = args.next().map_or(Ok(24), |n| n.parse())?;
    let features: usize = args.next().map_or(Ok(768), |n| n.parse())?;
    let mut module = transformer(layers, features)?;
    let ops = dialects::registry();
    let before = module.walk().len();
    let start = Instant::now();
    let report = optimize(&mut module, &PassEnv::generic(&ops), &Options::default())
        .map_err(|found| found[0].message.clone())?;
    let time = start.elapsed();
    let problems = verify(&module);
    assert!(problems.is_empty(), "{}", problems[0].message);
    let mut out = String::new();
    out += &format!(
        "{layers} layers of {features} features: {:.3} s\n",
        time.as_secs_f64()
    );
    out += &format!("{before} ops before, {} after\n", module.walk().len());
    out += &report.to_string();
    std::io::Write::write_all(&mut std::io::stdout(), out.as_bytes())?;
    Ok(())
}

/// Layers of attention and GELU after layer norms, all in primitive ops.
fn transformer(layers: usize, features: usize) -> OpResult<Module> {
    let mut module = Module::new();
    let x = Type::known_tensor(Elem::F32, &[1, TOKENS, features]);
    let mask = Type::known_tensor(Elem::F32, &[1, 1, 1, TOKENS]);
    let func = Func::create(&mut module, "transformer", &[x, mask], &[])?;
    let block = Func::block(module.view(func));
    let (x, mask) = match *module.block_args(block) {
        [x, mask] => (x, mask),
        _ => lepid_ir::bug!("the function takes other arguments"),
    };
    let mut b = Builder::at_end(&mut module, block);
    let mut weights = Weights::new(features * features * 4);
    let mut y = x;
    for _ in 0..layers {
        let n = layer_norm(&mut b, &mut weights, y)?;
        let a = attention(&mut b, &mut weights, n, mask)?;
        y = b.one(&t::Add, &[y, a], &[])?;
        let n = layer_norm(&mut b, &mut weights, y)?;
        let h = linear(&mut b, &mut weights, n, 4 * features)?;
        let h = gelu(&mut b, h)?;
        let h = linear(&mut b, &mut weights, h, features)?;
        y = b.one(&t::Add, &[y, h], &[])?;
    }
    Return::build(&mut b, &[y], &[])?;
    Ok(module)
}

/// Weights that share their numbers, so that the model takes little memory.
struct Weights {
    all: Tensor,
}

impl Weights {
    fn new(count: usize) -> Weights {
        let numbers = (0..count).map(|i| (i % 251) as f32 / 251.0 - 0.5);
        Weights {
            all: Tensor::from_vec(Elem::F32, [count], numbers.collect()),
        }
    }

    fn get(&mut self, b: &mut Builder<'_>, shape: &[usize]) -> OpResult<Value> {
        let bytes = 4 * shape.iter().product::<usize>();
        let data = self.all.data().slice(0..bytes);
        constant(b, Tensor::new(Elem::F32, shape.iter().copied(), data))
    }
}

fn last(b: &Builder<'_>, x: Value) -> usize {
    match build::dims(b, x).last() {
        Some(Dim::Known(n)) => *n as usize,
        _ => 1,
    }
}

fn mean(b: &mut Builder<'_>, x: Value) -> OpResult<Value> {
    let axes = build::ints([2]);
    let mean = b.one(&nn::Mean, &[x], &[("axes", axes), ("keep", true.into())])?;
    Ok(mean)
}

fn layer_norm(b: &mut Builder<'_>, weights: &mut Weights, x: Value) -> OpResult<Value> {
    let m = mean(b, x)?;
    let d = build::binary(b, &t::Sub, x, m)?;
    let two = build::scalar(b, Elem::F32, 2.0)?;
    let q = build::binary(b, &t::Pow, d, two)?;
    let v = mean(b, q)?;
    let epsilon = build::scalar(b, Elem::F32, 1e-5)?;
    let v = build::binary(b, &t::Add, v, epsilon)?;
    let s = build::unary(b, &t::Sqrt, v)?;
    let n = build::binary(b, &t::Div, d, s)?;
    let shape = [last(b, x)];
    let scale = weights.get(b, &shape)?;
    let bias = weights.get(b, &shape)?;
    let n = build::binary(b, &t::Mul, n, scale)?;
    build::binary(b, &t::Add, n, bias)
}

fn linear(b: &mut Builder<'_>, weights: &mut Weights, x: Value, to: usize) -> OpResult<Value> {
    let shape = [last(b, x), to];
    let w = weights.get(b, &shape)?;
    let bias = weights.get(b, &shape[1..])?;
    let y = b.one(&nn::MatMul, &[x, w], &[])?;
    build::binary(b, &t::Add, bias, y)
}

fn heads(b: &mut Builder<'_>, x: Value, perm: [usize; 4]) -> OpResult<Value> {
    let heads = last(b, x) / HEAD;
    let shape = [1, TOKENS, heads, HEAD].map(|n| Dim::Known(n as u64));
    let x = build::reshape(b, x, &shape)?;
    b.one(&t::Transpose, &[x], &[("perm", build::ints(perm))])
}

fn attention(b: &mut Builder<'_>, weights: &mut Weights, x: Value, mask: Value) -> OpResult<Value> {
    let features = last(b, x);
    let q = linear(b, weights, x, features)?;
    let k = linear(b, weights, x, features)?;
    let v = linear(b, weights, x, features)?;
    let q = heads(b, q, [0, 2, 1, 3])?;
    let k = heads(b, k, [0, 2, 3, 1])?;
    let v = heads(b, v, [0, 2, 1, 3])?;
    let scores = b.one(&nn::MatMul, &[q, k], &[])?;
    let root = build::scalar(b, Elem::F32, (HEAD as f64).sqrt())?;
    let scores = build::binary(b, &t::Div, scores, root)?;
    let scores = build::binary(b, &t::Add, scores, mask)?;
    let p = b.one(&nn::Softmax, &[scores], &[("axis", 3.into())])?;
    let y = b.one(&nn::MatMul, &[p, v], &[])?;
    let y = b.one(&t::Transpose, &[y], &[("perm", build::ints([0, 2, 1, 3]))])?;
    let shape = [1, TOKENS, features].map(|n| Dim::Known(n as u64));
    let y = build::reshape(b, y, &shape)?;
    linear(b, weights, y, features)
}

fn gelu(b: &mut Builder<'_>, x: Value) -> OpResult<Value> {
    let root = build::scalar(b, Elem::F32, std::f64::consts::SQRT_2)?;
    let y = build::binary(b, &t::Div, x, root)?;
    let y = build::unary(b, &t::Erf, y)?;
    let one = build::scalar(b, Elem::F32, 1.0)?;
    let y = build::binary(b, &t::Add, y, one)?;
    let y = build::binary(b, &t::Mul, x, y)?;
    let half = build::scalar(b, Elem::F32, 0.5)?;
    build::binary(b, &t::Mul, y, half)
}
