//! Composites as raw exports spell them out, found again by the rules of `eqsat`.

use lepid_ir::dialects;
use lepid_passes::core::{PassEnv, PassManager, Pipeline, Silent};

use super::*;

/// What targets run before they choose.
const PIPELINE: &str = "refine,canonicalize,fold,cse,dead-ops,eqsat,canonicalize,dead-ops";

/// The module after the rules, which must compute what the model says.
fn recognised(model: &ModelProto, args: &[Tensor]) -> Module {
    let (ops, passes) = (dialects::registry(), lepid_passes::registry());
    let pipeline = Pipeline::parse(PIPELINE, &passes, &[]).unwrap();
    let mut module = imported(model);
    let mut manager = PassManager {
        env: &PassEnv::generic(&ops),
        verify_each: true,
        observer: &mut Silent,
    };
    if let Err(found) = manager.run(&mut module, &pipeline) {
        panic!("{}", messages(&found));
    }
    let main = Func::find(&module, "main").unwrap();
    let found = match interp::run(&module, main, args) {
        Ok(results) => results,
        Err(error) => panic!("{}", error.message),
    };
    for (found, expected) in found.iter().zip(run(model, args)) {
        assert_close(found, expected.shape(), &expected.to_f64s());
    }
    module
}

fn count(module: &Module, name: &str) -> usize {
    let ops = module.walk().into_iter();
    ops.filter(|&op| module.op_name(op) == name).count()
}

fn wave(shape: &[usize]) -> Tensor {
    let count: usize = shape.iter().product();
    let values: Vec<f32> = (0..count).map(|i| (i as f32 * 0.37).sin()).collect();
    f32s(shape, &values)
}

fn known(shape: &[i64]) -> Vec<Extent> {
    shape.iter().map(|&n| Extent::Number(n)).collect()
}

/// A slice along the last of four axes.
fn slice(x: &str, from: &str, to: &str, y: &str) -> NodeProto {
    node("Slice", &[x, from, to, "last"], &[y])
}

fn numbers() -> Vec<TensorProto> {
    vec![
        longs("zero", &[0]),
        longs("one", &[1]),
        longs("two", &[2]),
        longs("four", &[4]),
        longs("end", &[i64::MAX]),
        longs("last", &[3]),
    ]
}

/// `x · cos + rotate_half(x) · sin` as transformers of Hugging Face have it.
fn rotate_half(x: &str, half: &str, y: &str) -> Vec<NodeProto> {
    let name = |part: &str| format!("{y}.{part}");
    let (low, high, negative) = (name("low"), name("high"), name("negative"));
    let (turned, a, b) = (name("turned"), name("a"), name("b"));
    vec![
        slice(x, "zero", half, &low),
        slice(x, half, "end", &high),
        node("Neg", &[&high], &[&negative]),
        node("Concat", &[&negative, &low], &[&turned]).int("axis", -1),
        node("Mul", &[x, "cos"], &[&a]),
        node("Mul", &[&turned, "sin"], &[&b]),
        node("Add", &[&a, &b], &[y]),
    ]
}

#[test]
fn a_layer_of_llama() {
    let mut weights = numbers();
    weights.extend([
        floats("rates", &[1, 4, 1], &[1.0, 0.1, 0.01, 0.001]),
        longs("heads", &[1, 6, 2, 8]),
        longs("square", &[6, 6]),
        floats("root", &[], &[2.828_427]),
        floats("least", &[], &[f32::MIN]),
    ]);
    let mut nodes = vec![
        // Angles: positions by rates, twice beside each other.
        node("Cast", &["positions"], &["p"]).int("to", i64::from(F32)),
        node("Unsqueeze", &["p", "one"], &["p1"]),
        node("MatMul", &["rates", "p1"], &["angles"]),
        node("Transpose", &["angles"], &["angles.t"]).ints("perm", &[0, 2, 1]),
        node("Concat", &["angles.t", "angles.t"], &["twice"]).int("axis", -1),
        node("Cos", &["twice"], &["cos.3"]),
        node("Sin", &["twice"], &["sin.3"]),
        node("Unsqueeze", &["cos.3", "one"], &["cos"]),
        node("Unsqueeze", &["sin.3", "one"], &["sin"]),
    ];
    for x in ["q", "k", "v"] {
        let (split, heads) = (format!("{x}.split"), format!("{x}.heads"));
        nodes.push(node("Reshape", &[x, "heads"], &[&split]));
        nodes.push(node("Transpose", &[&split], &[&heads]).ints("perm", &[0, 2, 1, 3]));
    }
    nodes.extend(rotate_half("q.heads", "four", "q.turned"));
    nodes.extend(rotate_half("k.heads", "four", "k.turned"));
    nodes.extend([
        node("ConstantOfShape", &["square"], &["zeros"]),
        node("Add", &["zeros", "least"], &["full"]),
        node("Trilu", &["full", "k.one"], &["mask"]).int("upper", 1),
        node("Transpose", &["k.turned"], &["k.t"]).ints("perm", &[0, 1, 3, 2]),
        node("MatMul", &["q.turned", "k.t"], &["scores"]),
        node("Div", &["scores", "root"], &["scaled"]),
        node("Add", &["scaled", "mask"], &["masked"]),
        node("Softmax", &["masked"], &["weights"]).int("axis", -1),
        node("MatMul", &["weights", "v.heads"], &["y"]),
    ]);
    weights.push(TensorProto {
        dims: vec![],
        ..longs("k.one", &[1])
    });
    let inputs = [
        value("q", F32, &known(&[1, 6, 16])),
        value("k", F32, &known(&[1, 6, 16])),
        value("v", F32, &known(&[1, 6, 16])),
        value("positions", I64, &known(&[1, 6])),
    ];
    let model = model(17, &inputs, &weights, &nodes, &["y"]);
    let x = wave(&[1, 6, 16]);
    let positions = i64s(&[1, 6], &[3, 4, 5, 6, 7, 8]);
    let module = recognised(&model, &[x.clone(), x.clone(), x, positions]);
    assert_eq!(count(&module, "nn.rotary"), 2);
    assert_eq!(count(&module, "tensor.concat"), 0);
    let attention: Vec<String> = module
        .walk()
        .into_iter()
        .filter(|&op| module.op_name(op) == "nn.attention")
        .map(|op| dialects::nn::Attention::causal(module.view(op)).to_string())
        .collect();
    assert_eq!(attention, ["true"]);
}

#[test]
fn some_features_of_gpt_neox() {
    // Tables of all positions are constants whose halves are equal.
    let table = |f: fn(f32) -> f32| {
        let angle = |i: usize| (i / 4) as f32 * [1.0, 0.1, 1.0, 0.1][i % 4];
        (0..32).map(|i| f(angle(i))).collect::<Vec<f32>>()
    };
    let mut weights = numbers();
    weights.extend([
        floats("all.cos", &[8, 4], &table(f32::cos)),
        floats("all.sin", &[8, 4], &table(f32::sin)),
    ]);
    let mut nodes = vec![
        node("Gather", &["all.cos", "positions"], &["cos.3"]),
        node("Gather", &["all.sin", "positions"], &["sin.3"]),
        node("Unsqueeze", &["cos.3", "one"], &["cos"]),
        node("Unsqueeze", &["sin.3", "one"], &["sin"]),
        slice("q", "zero", "four", "part"),
        slice("q", "four", "end", "rest"),
    ];
    nodes.extend(rotate_half("part", "two", "turned"));
    nodes.push(node("Concat", &["turned", "rest"], &["y"]).int("axis", -1));
    let inputs = [
        value("q", F32, &known(&[1, 2, 6, 16])),
        value("positions", I64, &known(&[1, 6])),
    ];
    let model = model(17, &inputs, &weights, &nodes, &["y"]);
    let positions = i64s(&[1, 6], &[1, 2, 3, 4, 5, 6]);
    let module = recognised(&model, &[wave(&[1, 2, 6, 16]), positions]);
    assert_eq!(count(&module, "nn.rotary"), 1);
    assert_eq!(count(&module, "tensor.concat"), 0);
}

#[test]
fn neighbours_of_gpt_j() {
    let mut weights = numbers();
    weights.extend([
        longs("twice", &[1, 6, 4, 2]),
        longs("flat", &[1, 6, 1, 8]),
        longs("whole", &[1, 6, 2, 8]),
        longs("behind", &[4]),
        longs("third", &[3]),
    ]);
    let mut nodes = Vec::new();
    for (table, flat) in [("c", "cos"), ("s", "sin")] {
        let (column, twice) = (format!("{table}.1"), format!("{table}.2"));
        nodes.push(node("Unsqueeze", &[table, "third"], &[&column]));
        nodes.push(node("Expand", &[&column, "twice"], &[&twice]));
        nodes.push(node("Reshape", &[&twice, "flat"], &[flat]));
    }
    nodes.extend([
        node("Slice", &["q", "zero", "end", "last", "two"], &["even"]),
        node("Slice", &["q", "one", "end", "last", "two"], &["odd"]),
        node("Neg", &["odd"], &["negative"]),
        node("Unsqueeze", &["negative", "behind"], &["n"]),
        node("Unsqueeze", &["even", "behind"], &["e"]),
        node("Concat", &["n", "e"], &["both"]).int("axis", -1),
        node("Reshape", &["both", "whole"], &["turned"]),
        node("Mul", &["q", "cos"], &["a"]),
        node("Mul", &["turned", "sin"], &["b"]),
        node("Add", &["a", "b"], &["y"]),
    ]);
    let inputs = [
        value("q", F32, &known(&[1, 6, 2, 8])),
        value("c", F32, &known(&[1, 6, 4])),
        value("s", F32, &known(&[1, 6, 4])),
    ];
    let model = model(17, &inputs, &weights, &nodes, &["y"]);
    let (cos, sin) = (wave(&[1, 6, 4]), wave(&[1, 6, 4]));
    let module = recognised(&model, &[wave(&[1, 6, 2, 8]), cos, sin]);
    assert_eq!(count(&module, "nn.rotary"), 1);
    assert_eq!(count(&module, "tensor.concat"), 0);
}
