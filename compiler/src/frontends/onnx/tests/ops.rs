//! What lowerings compute, where it depends on versions, signs or borders.

use super::*;
use crate::frontends::onnx::proto::FunctionProto;

/// Runs one node on float inputs.
fn run_node(opset: i64, node: NodeProto, inputs: &[Tensor], weights: &[TensorProto]) -> Tensor {
    let extents = |t: &Tensor| -> Vec<Extent> {
        t.shape()
            .iter()
            .map(|&n| Extent::Number(n as i64))
            .collect()
    };
    let elem = |t: &Tensor| if t.elem() == Elem::F32 { F32 } else { I64 };
    let infos: Vec<ValueInfoProto> = inputs
        .iter()
        .zip(&node.input)
        .map(|(t, name)| value(name, elem(t), &extents(t)))
        .collect();
    let output = node.output[0].clone();
    let model = model(opset, &infos, weights, &[node], &[&output]);
    run(&model, inputs).remove(0)
}

fn count(shape: &[usize]) -> Tensor {
    let values: Vec<f32> = (0..shape.iter().product())
        .map(|i: usize| i as f32)
        .collect();
    f32s(shape, &values)
}

#[test]
fn softmax_flattens_before_opset_13() {
    let x = f32s(&[1, 2, 2], &[0.0; 4]);
    let y = run_node(
        11,
        node("Softmax", &["x"], &["y"]),
        std::slice::from_ref(&x),
        &[],
    );
    assert_close(&y, &[1, 2, 2], &[0.25; 4]);
    let y = run_node(13, node("Softmax", &["x"], &["y"]), &[x], &[]);
    assert_close(&y, &[1, 2, 2], &[0.5; 4]);
}

#[test]
fn gemm_scales_and_transposes() {
    let gemm = node("Gemm", &["x", "w", "c"], &["y"])
        .int("transA", 1)
        .int("transB", 1)
        .float("alpha", 2.0)
        .float("beta", 0.5);
    let x = f32s(&[2, 1], &[1.0, 2.0]);
    let weights = [
        floats("w", &[2, 2], &[1.0, 2.0, 3.0, 4.0]),
        floats("c", &[1], &[10.0]),
    ];
    // [1 2] · [[1 3] [2 4]] = [5 11]
    assert_close(&run_node(13, gemm, &[x], &weights), &[1, 2], &[15.0, 27.0]);
}

#[test]
fn matmul_of_vectors_drops_axes() {
    let y = run_node(
        13,
        node("MatMul", &["x", "w"], &["y"]),
        &[count(&[3])],
        &[floats("w", &[3], &[1.0, 2.0, 3.0])],
    );
    assert_close(&y, &[], &[8.0]);
}

#[test]
fn slices_count_from_both_ends() {
    let slice = node("Slice", &["x", "s", "e", "a", "t"], &["y"]);
    let run_slice = |start, end, step| {
        let weights = [
            longs("s", &[start]),
            longs("e", &[end]),
            longs("a", &[-1]),
            longs("t", &[step]),
        ];
        run_node(13, slice.clone(), &[count(&[6])], &weights).to_f64s()
    };
    assert_eq!(run_slice(1, -1, 1), [1.0, 2.0, 3.0, 4.0]);
    assert_eq!(run_slice(0, i64::MAX, 4), [0.0, 4.0]);
    assert_eq!(run_slice(-1, i64::MIN, -2), [5.0, 3.0, 1.0]);
    assert_eq!(run_slice(4, 1, -1), [4.0, 3.0, 2.0]);
    assert_eq!(run_slice(3, 3, 1), [0.0; 0]);
    assert_eq!(run_slice(99, -99, -5), [5.0, 0.0]);
    let old = node("Slice", &["x"], &["y"])
        .ints("starts", &[-2])
        .ints("ends", &[9]);
    assert_eq!(run_node(9, old, &[count(&[6])], &[]).to_f64s(), [4.0, 5.0]);
}

#[test]
fn a_split_may_leave_a_smaller_rest() {
    let nodes = [node("Split", &["x"], &["a", "b"]).int("num_outputs", 2)];
    let model = model(
        18,
        &[value("x", F32, &[5.into()])],
        &[],
        &nodes,
        &["a", "b"],
    );
    let parts = run(&model, &[count(&[5])]);
    assert_eq!(parts[0].to_f64s(), [0.0, 1.0, 2.0]);
    assert_eq!(parts[1].to_f64s(), [3.0, 4.0]);
}

#[test]
fn the_remainder_takes_the_sign_it_is_told() {
    let x = i64s(&[4], &[7, -7, 7, -7]);
    let y = i64s(&[4], &[3, 3, -3, -3]);
    let plain = run_node(
        13,
        node("Mod", &["x", "y"], &["z"]),
        &[x.clone(), y.clone()],
        &[],
    );
    assert_eq!(plain.to_i64s(), [1, 2, -2, -1]);
    let c_like = run_node(
        13,
        node("Mod", &["x", "y"], &["z"]).int("fmod", 1),
        &[x, y],
        &[],
    );
    assert_eq!(c_like.to_i64s(), [1, -1, 1, -1]);
}

#[test]
fn gather_counts_from_the_end() {
    let y = run_node(
        13,
        node("Gather", &["x", "i"], &["y"]),
        &[count(&[3]), i64s(&[3], &[-1, 0, -3])],
        &[],
    );
    assert_eq!(y.to_f64s(), [2.0, 0.0, 0.0]);
}

#[test]
fn scatter_adds_where_it_is_told() {
    let scatter = node("ScatterElements", &["x", "i", "u"], &["y"]).string("reduction", "add");
    let weights = [longs("i", &[1, -1]), floats("u", &[2], &[10.0, 20.0])];
    assert_eq!(
        run_node(16, scatter, &[count(&[3])], &weights).to_f64s(),
        [0.0, 11.0, 22.0]
    );
}

#[test]
fn new_rows_of_a_cache_are_scattered() {
    let scatter = |mode| node("TensorScatter", &["x", "u", "at"], &["y"]).string("mode", mode);
    let cache = || count(&[2, 3, 1]);
    let linear = [floats("u", &[2, 1, 1], &[10.0, 20.0]), longs("at", &[2, 0])];
    let y = run_node(24, scatter("linear"), &[cache()], &linear);
    assert_eq!(y.to_f64s(), [0.0, 1.0, 10.0, 20.0, 4.0, 5.0]);
    let circular = [
        floats("u", &[2, 2, 1], &[10.0, 11.0, 20.0, 21.0]),
        longs("at", &[2, 1]),
    ];
    let y = run_node(24, scatter("circular"), &[cache()], &circular);
    assert_eq!(y.to_f64s(), [11.0, 1.0, 10.0, 3.0, 20.0, 21.0]);
    // Without places all begin at the first.
    let scatter = node("TensorScatter", &["x", "u"], &["y"]);
    let y = run_node(24, scatter, &[cache()], &circular[..1]);
    assert_eq!(y.to_f64s(), [10.0, 11.0, 2.0, 20.0, 21.0, 5.0]);
}

#[test]
fn einsum_contracts_transposes_and_takes_diagonals() {
    let einsum = |inputs: &[&str], equation: &'static str| {
        node("Einsum", inputs, &["z"]).string("equation", equation)
    };
    let (x, y) = (count(&[2, 3]), count(&[3, 2]));
    let z = run_node(12, einsum(&["x", "y"], "ij,jk->ki"), &[x.clone(), y], &[]);
    assert_close(&z, &[2, 2], &[10.0, 28.0, 13.0, 40.0]);
    let z = run_node(12, einsum(&["x"], "ii"), &[count(&[3, 3])], &[]);
    assert_close(&z, &[], &[12.0]);
    let z = run_node(
        12,
        einsum(&["x"], "...j->..."),
        std::slice::from_ref(&x),
        &[],
    );
    assert_close(&z, &[2], &[3.0, 12.0]);
    let z = run_node(12, einsum(&["x", "y"], "ij,ij->j"), &[x.clone(), x], &[]);
    assert_close(&z, &[3], &[9.0, 17.0, 29.0]);
}

#[test]
fn one_hot_ignores_what_is_out_of_range() {
    let weights = [longs("d", &[3]), floats("v", &[2], &[0.0, 1.0])];
    let hot = node("OneHot", &["i", "d", "v"], &["y"]);
    let y = run_node(11, hot, &[i64s(&[3], &[1, -1, 7])], &weights);
    assert_close(&y, &[3, 3], &[0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0]);
}

#[test]
fn auto_pad_keeps_the_extent() {
    let pool = node("MaxPool", &["x"], &["y"])
        .ints("kernel_shape", &[2])
        .string("auto_pad", "SAME_UPPER");
    let y = run_node(12, pool, &[count(&[1, 1, 4])], &[]);
    assert_close(&y, &[1, 1, 4], &[1.0, 2.0, 3.0, 3.0]);
}

#[test]
fn clip_takes_attributes_or_inputs() {
    let old = node("Clip", &["x"], &["y"]).float("min", 1.0);
    assert_eq!(
        run_node(6 + 1, old, &[count(&[3])], &[]).to_f64s(),
        [1.0, 1.0, 2.0]
    );
    let mut bound = floats("b", &[1], &[1.0]);
    bound.dims.clear();
    let new = node("Clip", &["x", "", "b"], &["y"]);
    assert_eq!(
        run_node(13, new, &[count(&[3])], &[bound]).to_f64s(),
        [0.0, 1.0, 1.0]
    );
}

/// `if c { x + x } else { -x }` with `x` from outside.
fn branching(condition: &[TensorProto], inputs: &[ValueInfoProto]) -> ModelProto {
    let then = graph(&[], &[], &[node("Add", &["x", "x"], &["t"])], &["t"]);
    let otherwise = graph(&[], &[], &[node("Neg", &["x"], &["e"])], &["e"]);
    let nodes = [
        node("Cast", &["c"], &["c1"]).int("to", 9),
        node("If", &["c1"], &["y"])
            .graph("then_branch", then)
            .graph("else_branch", otherwise),
    ];
    model(17, inputs, condition, &nodes, &["y"])
}

#[test]
fn a_branch_is_taken_at_run_time_or_before() {
    let x = value("x", F32, &[2.into()]);
    let model = branching(&[], &[x.clone(), value("c", F32, &[])]);
    for (c, expected) in [(1.0, [0.0, 2.0]), (0.0, [0.0, -1.0])] {
        let y = run(&model, &[count(&[2]), f32s(&[], &[c])]);
        assert_close(&y[0], &[2], &expected);
    }
    let mut known = floats("c", &[], &[0.0]);
    known.dims.clear();
    let module = imported(&branching(&[known], &[x]));
    assert!(
        module
            .walk()
            .iter()
            .all(|&op| module.op_name(op) != "tensor.if")
    );
}

#[test]
fn a_loop_carries_and_collects() {
    let body = graph(
        &[
            value("i", I64, &[]),
            value("go", 9, &[]),
            value("s", F32, &[1.into()]),
        ],
        &[],
        &[
            node("Identity", &["go"], &["go1"]),
            node("Add", &["s", "x"], &["s1"]),
            node("Mul", &["s1", "s1"], &["square"]),
        ],
        &["go1", "s1", "square"],
    );
    let nodes = [node("Loop", &["n", "", "zero"], &["sum", "squares"]).graph("body", body)];
    let inputs = [value("x", F32, &[1.into()]), value("n", I64, &[1.into()])];
    let model = model(
        17,
        &inputs,
        &[floats("zero", &[1], &[0.0])],
        &nodes,
        &["sum", "squares"],
    );
    let y = run(&model, &[f32s(&[1], &[2.0]), i64s(&[1], &[3])]);
    assert_close(&y[0], &[1], &[6.0]);
    assert_close(&y[1], &[3, 1], &[4.0, 16.0, 36.0]);
}

#[test]
fn functions_take_attributes_and_leave_inputs_out() {
    let leaky = node("LeakyRelu", &["a"], &["b"]).with("alpha", 0, |a| {
        a.ref_attr_name = "slope".into();
    });
    let mut call = node("Bent", &["x"], &["y"]).float("slope", 0.5);
    call.domain = "mine".into();
    let mut model = model(17, &[value("x", F32, &[2.into()])], &[], &[call], &["y"]);
    model.functions.push(FunctionProto {
        name: "Bent".into(),
        domain: "mine".into(),
        input: vec!["a".into(), "low".into()],
        output: vec!["c".into()],
        attribute: vec!["slope".into()],
        node: vec![leaky, node("Clip", &["b", "low"], &["c"])],
        opset_import: model.opset_import.clone(),
        ..FunctionProto::default()
    });
    let y = run(&model, &[f32s(&[2], &[-2.0, 2.0])]);
    assert_close(&y[0], &[2], &[-1.0, 2.0]);
}

#[test]
fn all_forms_of_tensor_data_are_read() {
    let packed = TensorProto {
        name: "w".into(),
        dims: vec![3],
        data_type: 22,
        raw_data: vec![0x2f, 0x08].into(),
        ..TensorProto::default()
    };
    // Four elements a byte, the low bits first; of the last byte only one counts.
    let pairs = TensorProto {
        dims: vec![5],
        data_type: 26,
        raw_data: vec![0b10_11_01_00, 0b11_11_11_01].into(),
        ..packed.clone()
    };
    let unsigned_pairs = TensorProto {
        data_type: 25,
        int32_data: vec![0b10_11_01_00, 0b01],
        raw_data: Default::default(),
        ..pairs.clone()
    };
    let half = TensorProto {
        data_type: 10,
        int32_data: vec![0x3c00, 0xc000],
        dims: vec![2],
        ..packed.clone()
    };
    let half = TensorProto {
        raw_data: Default::default(),
        ..half
    };
    let truth = TensorProto {
        data_type: 9,
        dims: vec![2],
        raw_data: vec![0, 255].into(),
        ..packed.clone()
    };
    let cases = [
        (packed, vec![-1.0, 2.0, -8.0]),
        (pairs, vec![0.0, 1.0, -1.0, -2.0, 1.0]),
        (unsigned_pairs, vec![0.0, 1.0, 3.0, 2.0, 1.0]),
        (half, vec![1.0, -2.0]),
        (truth, vec![0.0, 1.0]),
    ];
    for (weight, expected) in cases {
        let nodes = [node("Cast", &["w"], &["y"]).int("to", i64::from(F32))];
        let y = run(&model(21, &[], &[weight], &nodes, &["y"]), &[]);
        assert_eq!(y[0].to_f64s(), expected);
    }
}

#[test]
fn pads_may_cut_and_fold_back_more_than_once() {
    let padded = |mode: &'static str, pads: &[i64]| {
        let nodes = [node("Pad", &["x", "pads"], &["y"]).string("mode", mode)];
        let model = model(
            18,
            &[value("x", F32, &[3.into()])],
            &[longs("pads", pads)],
            &nodes,
            &["y"],
        );
        let module = imported(&model);
        assert!(output_dims(&module, 0)[0].known().is_some());
        run(&model, &[f32s(&[3], &[1.0, 2.0, 3.0])])[0].to_f64s()
    };
    assert_eq!(padded("constant", &[-1, 2]), [2.0, 3.0, 0.0, 0.0]);
    assert_eq!(padded("edge", &[2, -1]), [1.0, 1.0, 1.0, 2.0]);
    assert_eq!(
        padded("reflect", &[5, 0]),
        [2.0, 1.0, 2.0, 3.0, 2.0, 1.0, 2.0, 3.0]
    );
    assert_eq!(padded("wrap", &[0, 4]), [1.0, 2.0, 3.0, 1.0, 2.0, 3.0, 1.0]);
}

#[test]
fn the_places_of_maxima_count_through_the_input() {
    let nodes = [node("MaxPool", &["x"], &["y", "at"])
        .ints("kernel_shape", &[2, 2])
        .ints("strides", &[2, 1])
        .ints("pads", &[0, 1, 0, 0])];
    let x = [
        1.0, 9.0, 3.0, 4.0, 5.0, 6.0, 0.0, -1.0, -2.0, -3.0, -4.0, -5.0,
    ];
    let inputs = [value("x", F32, &[1.into(), 2.into(), 2.into(), 3.into()])];
    let model = model(12, &inputs, &[], &nodes, &["y", "at"]);
    let results = run(&model, &[f32s(&[1, 2, 2, 3], &x)]);
    assert_eq!(results[1].elem(), Elem::I64);
    assert_close(&results[0], &[1, 2, 1, 3], &[4.0, 9.0, 9.0, 0.0, 0.0, -1.0]);
    assert_close(&results[1], &[1, 2, 1, 3], &[3.0, 1.0, 1.0, 6.0, 6.0, 7.0]);
}

#[test]
fn half_a_spectrum_is_a_real_signal() {
    let nodes = [
        node("DFT", &["x", "", "axis"], &["half"]).int("onesided", 1),
        node("DFT", &["half", "length", "axis"], &["y"])
            .int("onesided", 1)
            .int("inverse", 1),
    ];
    for n in [4usize, 5] {
        let mut axis = longs("axis", &[1]);
        axis.dims.clear();
        let mut length = longs("length", &[n as i64]);
        length.dims.clear();
        let shape = [1, n, 1];
        let extents = shape.map(|n| Extent::Number(n as i64));
        let inputs = [value("x", F32, &extents)];
        let model = model(20, &inputs, &[axis, length], &nodes, &["y"]);
        let x: Vec<f32> = (0..n).map(|i| (i * i) as f32).collect();
        let expected: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
        let results = run(&model, &[f32s(&shape, &x)]);
        assert_close(&results[0], &shape, &expected);
    }
}
