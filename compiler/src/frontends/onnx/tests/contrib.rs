//! Operators that ONNX Runtime's CPU kernels lack, so that `cargo xtask check-ops` has no case, and
//! extents that stay open.

use super::*;

/// A node of `com.microsoft`.
fn microsoft(op: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
    NodeProto {
        domain: "com.microsoft".into(),
        ..node(op, inputs, outputs)
    }
}

fn with_domain(
    inputs: &[ValueInfoProto],
    weights: &[TensorProto],
    nodes: &[NodeProto],
    outputs: &[&str],
) -> ModelProto {
    let mut model = model(21, inputs, weights, nodes, outputs);
    model.opset_import.push(OperatorSetIdProto {
        domain: "com.microsoft".into(),
        version: 1,
    });
    model
}

fn wave(shape: &[usize]) -> Tensor {
    let count = shape.iter().product();
    let values: Vec<f32> = (0..count).map(|i: usize| (i as f32 * 0.7).sin()).collect();
    f32s(shape, &values)
}

fn known(shape: &[usize]) -> Vec<Extent> {
    shape.iter().map(|&n| Extent::Number(n as i64)).collect()
}

#[test]
fn a_convolution_with_channels_last_is_one_with_channels_first() {
    let weight = wave(&[4, 3, 2, 2]);
    let weights = [floats("w", &[4, 3, 2, 2], &weight.values::<f32>())];
    let nodes = [
        node("Transpose", &["x"], &["t"]).ints("perm", &[0, 2, 3, 1]),
        microsoft("NhwcConv", &["t", "w"], &["u"]).ints("strides", &[2, 1]),
        node("Transpose", &["u"], &["a"]).ints("perm", &[0, 3, 1, 2]),
        node("Conv", &["x", "w"], &["b"]).ints("strides", &[2, 1]),
    ];
    let input = value("x", F32, &known(&[1, 3, 6, 5]));
    let model = with_domain(&[input], &weights, &nodes, &["a", "b"]);
    let y = run(&model, &[wave(&[1, 3, 6, 5])]);
    assert_close(&y[0], y[1].shape(), &y[1].to_f64s());
}

#[test]
fn groups_are_normed_with_channels_last() {
    let weights = [
        floats("s", &[4], &[1.0, 2.0, 3.0, 4.0]),
        floats("b", &[4], &[0.0, 1.0, 0.0, -1.0]),
        floats("skip", &[1, 4], &[0.5, 0.0, -0.5, 1.0]),
        floats("first", &[1, 4, 1, 1], &[0.5, 0.0, -0.5, 1.0]),
    ];
    let nodes = [
        node("Transpose", &["x"], &["t"]).ints("perm", &[0, 2, 3, 1]),
        microsoft("SkipGroupNorm", &["t", "s", "b", "skip"], &["u", "sum"])
            .int("groups", 2)
            .int("activation", 1),
        node("Transpose", &["u"], &["a"]).ints("perm", &[0, 3, 1, 2]),
        node("Add", &["x", "first"], &["y"]),
        node("GroupNormalization", &["y", "s", "b"], &["n"]).int("num_groups", 2),
        node("Sigmoid", &["n"], &["gate"]),
        node("Mul", &["n", "gate"], &["b1"]),
    ];
    let input = value("x", F32, &known(&[1, 4, 3, 2]));
    let model = with_domain(&[input], &weights, &nodes, &["a", "b1"]);
    let y = run(&model, &[wave(&[1, 4, 3, 2])]);
    assert_close(&y[0], &[1, 4, 3, 2], &y[1].to_f64s());
}

#[test]
fn packed_heads_are_heads_apart() {
    let inputs = [value("packed", F32, &known(&[1, 4, 2, 3, 5]))];
    let apart = |i: i64, to: &'static str| {
        let slice = node("Gather", &["packed", &format!("i{i}")], &[&format!("g{i}")]);
        [
            slice.int("axis", 3),
            node("Reshape", &[&format!("g{i}"), "flat"], &[to]),
        ]
    };
    let mut nodes: Vec<NodeProto> = [apart(0, "q"), apart(1, "k"), apart(2, "v")].concat();
    let bias = wave(&[30]);
    nodes.push(
        microsoft("MultiHeadAttention", &["q", "k", "v", "bias"], &["a"]).int("num_heads", 2),
    );
    nodes.push(
        microsoft("MultiHeadAttention", &["packed", "", "", "bias"], &["b"]).int("num_heads", 2),
    );
    let mut indices: Vec<TensorProto> = (0..3).map(|i| longs(&format!("i{i}"), &[i])).collect();
    for index in &mut indices {
        index.dims.clear();
    }
    indices.push(longs("flat", &[1, 4, 10]));
    indices.push(floats("bias", &[30], &bias.values::<f32>()));
    let model = with_domain(&inputs, &indices, &nodes, &["a", "b"]);
    let y = run(&model, &[wave(&[1, 4, 2, 3, 5])]);
    assert_close(&y[1], &[1, 4, 10], &y[0].to_f64s());
}

#[test]
fn half_a_spectrum_turns_back_into_its_signal() {
    let nodes = [
        microsoft("Rfft", &["x"], &["s"]),
        microsoft("Irfft", &["s"], &["y"]).int("signal_ndim", 1),
    ];
    let input = value("x", F32, &known(&[2, 6]));
    let model = with_domain(&[input], &[], &nodes, &["s", "y"]);
    let x = wave(&[2, 6]);
    let y = run(&model, std::slice::from_ref(&x));
    assert_eq!(y[0].shape(), [2, 4, 2]);
    let sums: Vec<f64> = x.to_f64s().chunks(6).map(|row| row.iter().sum()).collect();
    let spectrum = y[0].to_f64s();
    assert!((spectrum[0] - sums[0]).abs() < 1e-5 && (spectrum[8] - sums[1]).abs() < 1e-5);
    assert_close(&y[1], &[2, 6], &x.to_f64s());
}

#[test]
fn a_bias_comes_before_softmax_and_before_gelu() {
    let nodes = [
        microsoft("BiasSoftmax", &["x", "m"], &["a"])
            .int("axis", 1)
            .int("is_inner_broadcast", 1),
        microsoft("BiasSplitGelu", &["x", "b"], &["c"]),
        microsoft("BiasAdd", &["x", "b", "x"], &["d"]),
    ];
    let inputs = [value("x", F32, &known(&[1, 2, 2]))];
    let never = f32::NEG_INFINITY;
    let weights = [
        floats("m", &[1, 1, 2], &[0.0, never]),
        floats("b", &[2], &[0.0, 1.0]),
    ];
    let model = with_domain(&inputs, &weights, &nodes, &["a", "c", "d"]);
    let y = run(&model, &[f32s(&[1, 2, 2], &[1.0, 9.0, 1.0, -1.0])]);
    assert_close(&y[0], &[1, 2, 2], &[0.5, 0.0, 0.5, 0.0]);
    assert_close(&y[1], &[1, 2, 1], &[10.0, 0.0]);
    assert_close(&y[2], &[1, 2, 2], &[2.0, 19.0, 2.0, -1.0]);
}

#[test]
fn found_places_have_an_open_extent_beside_known_ones() {
    let nodes = [
        node("NonZero", &["x"], &["places"]),
        node("Unique", &["x"], &["", "", "inverse"]).int("axis", 0),
        node(
            "NonMaxSuppression",
            &["boxes", "scores", "most"],
            &["chosen"],
        ),
    ];
    let inputs = [
        value("x", F32, &["N".into(), 2.into()]),
        value("boxes", F32, &["B".into(), "M".into(), 4.into()]),
        value("scores", F32, &["B".into(), 3.into(), "K".into()]),
    ];
    let outputs = ["places", "inverse", "chosen"];
    let model = model(21, &inputs, &[longs("most", &[2])], &nodes, &outputs);
    let module = imported(&model);
    assert_eq!(output_dims(&module, 0), [Dim::Known(2), Dim::Unknown]);
    assert_eq!(output_dims(&module, 1), [Dim::Sym("N".into())]);
    assert_eq!(output_dims(&module, 2), [Dim::Unknown, Dim::Known(3)]);
    let y = run(
        &model,
        &[
            f32s(&[3, 2], &[0.0, 1.0, 2.0, 0.0, 0.0, 1.0]),
            f32s(&[1, 2, 4], &[0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 0.9]),
            f32s(&[1, 3, 2], &[0.1, 0.2, 0.4, 0.3, 0.0, 0.0]),
        ],
    );
    assert_eq!(y[0].to_i64s(), [0, 1, 2, 1, 0, 1]);
    assert_eq!(y[1].to_i64s(), [0, 1, 0]);
    assert_eq!(y[2].to_i64s(), [0, 0, 1, 0, 1, 0, 0, 2, 0]);
}

#[test]
fn what_is_found_in_a_constant_is_a_constant() {
    let nodes = [node("NonZero", &["c"], &["y"])];
    let module = imported(&model(
        21,
        &[],
        &[floats("c", &[3], &[0.0, 2.0, 3.0])],
        &nodes,
        &["y"],
    ));
    assert_eq!(output_dims(&module, 0), [Dim::Known(1), Dim::Known(2)]);
}

#[test]
fn queries_and_keys_are_normed_before_they_meet() {
    let grouped = |inputs: &[&str], to: &str| {
        microsoft("GroupQueryAttention", inputs, &[to])
            .int("num_heads", 1)
            .int("kv_num_heads", 1)
    };
    let norm = |x: &str, scale: &str, to: &str| {
        node("SimplifiedLayerNormalization", &[x, scale], &[to]).float("epsilon", 1e-6)
    };
    let mut inputs = vec!["x", "x", "x", "", "", "l", "t"];
    inputs.extend([""; 7]);
    inputs.extend(["s", "r"]);
    let nodes = [
        grouped(&inputs, "a"),
        norm("x", "s", "q"),
        norm("x", "r", "k"),
        grouped(&["q", "k", "x", "", "", "l", "t"], "b"),
    ];
    let mut total = longs("t", &[3]);
    total.dims.clear();
    let weights = [
        longs("l", &[2]),
        total,
        floats("s", &[4], &[1.0, 2.0, -1.0, 0.5]),
        floats("r", &[4], &[2.0, 1.0, 1.0, -1.0]),
    ];
    let input = value("x", F32, &known(&[1, 3, 4]));
    let model = with_domain(&[input], &weights, &nodes, &["a", "b"]);
    let y = run(&model, &[wave(&[1, 3, 4])]);
    assert_close(&y[0], &[1, 3, 4], &y[1].to_f64s());
}

#[test]
fn what_is_not_read_is_refused() {
    let x = value("x", F32, &known(&[1, 2, 8]));
    let quantised = microsoft(
        "GroupQueryAttention",
        &["x", "x", "x", "", "", "l", "t"],
        &["y"],
    )
    .int("num_heads", 1)
    .int("kv_num_heads", 1)
    .string("k_quant_type", "PER_TENSOR");
    let grouped = microsoft("MatMulNBits", &["x", "w", "s", "", "g"], &["y"])
        .int("K", 8)
        .int("N", 1)
        .int("block_size", 16);
    let rotary = microsoft("Attention", &["x", "s"], &["y"])
        .int("num_heads", 1)
        .int("do_rotary", 1);
    let weights = [
        longs("l", &[1]),
        longs("t", &[2]),
        longs("w", &[1]),
        longs("g", &[1]),
        floats("s", &[8, 24], &[0.5; 192]),
    ];
    for (node, what) in [
        (quantised, "a quantised cache is not supported"),
        (grouped, "an order of groups is not supported"),
        (
            rotary,
            "rotary positions and shared buffers are not supported here",
        ),
    ] {
        let found = refused(&with_domain(
            std::slice::from_ref(&x),
            &weights,
            &[node],
            &["y"],
        ));
        assert!(found.contains(what), "{found}");
    }
}
