//! Loops.

use super::*;

const BOOL: i32 = 9;

/// A loop whose body appends its state to `list` and adds 1 to it.
fn counting(body: Vec<NodeProto>, body_outputs: &[&str]) -> ModelProto {
    let body = graph(
        &[
            value("i", I64, &[]),
            value("go", BOOL, &[]),
            value("s", F32, &[1.into()]),
        ],
        &[floats("one", &[1], &[1.0])],
        &body,
        body_outputs,
    );
    let inputs = [
        value("n", I64, &[]),
        value("c", BOOL, &[]),
        value("x", F32, &[1.into()]),
    ];
    let looped = node("Loop", &["n", "c", "x"], &["last", "list"]).graph("body", body);
    model(17, &inputs, &[], &[looped], &["last", "list"])
}

fn truth(holds: bool) -> Tensor {
    Tensor::from_nums(Elem::Bool, [], [Num::Int(holds.into())])
}

fn given(turns: i64, go: bool) -> ImportOptions {
    ImportOptions {
        arguments: [
            ("n".to_string(), i64s(&[], &[turns])),
            ("c".to_string(), truth(go)),
        ]
        .into(),
        ..ImportOptions::default()
    }
}

fn run_given(model: &ModelProto, turns: i64, go: bool, x: f32) -> (Module, Vec<Tensor>) {
    let imported = import_model(model, None, &given(turns, go));
    let (module, _) = imported.map_err(|found| messages(&found)).unwrap();
    assert_eq!(verify(&module), vec![]);
    let main = Func::find(&module, "main").unwrap();
    let results = interp::run(&module, main, &[f32s(&[1], &[x])]);
    let results = results.map_err(|e| e.message).unwrap();
    (module, results)
}

#[test]
fn a_known_number_of_turns_is_an_extent() {
    let body = vec![
        node("Identity", &["go"], &["on"]),
        node("Add", &["s", "one"], &["next"]),
        node("Identity", &["next"], &["seen"]),
    ];
    let model = counting(body, &["on", "next", "seen"]);
    let (module, results) = run_given(&model, 3, true, 0.0);
    assert_eq!(output_dims(&module, 1), [3, 1].map(Dim::Known));
    assert_close(&results[0], &[1], &[3.0]);
    assert_close(&results[1], &[3, 1], &[1.0, 2.0, 3.0]);
    let (_, results) = run_given(&model, 3, false, 7.0);
    assert_close(&results[0], &[1], &[7.0]);
    assert_eq!(results[1].shape(), [0, 1]);
}

#[test]
fn a_body_may_end_its_loop() {
    let body = vec![
        node("Add", &["s", "one"], &["next"]),
        node("ReduceSum", &["next"], &["sum"]).int("keepdims", 0),
        node("Less", &["sum", "limit"], &["on"]),
        node("Identity", &["next"], &["seen"]),
    ];
    let mut model = counting(body, &["on", "next", "seen"]);
    let mut limit = floats("limit", &[], &[2.5]);
    limit.dims.clear();
    model.graph.as_mut().unwrap().initializer.push(limit);
    let (_, results) = run_given(&model, 9, true, 0.0);
    assert_close(&results[1], &[3, 1], &[1.0, 2.0, 3.0]);
}

#[test]
fn short_loops_may_change_shapes() {
    let body = vec![
        node("Identity", &["go"], &["on"]),
        node("Concat", &["s", "one"], &["next"]).int("axis", 0),
        node("ReduceSum", &["next"], &["seen"]),
    ];
    let (module, results) = run_given(&counting(body, &["on", "next", "seen"]), 3, true, 5.0);
    assert_eq!(output_dims(&module, 0), [Dim::Known(4)]);
    assert_close(&results[0], &[4], &[5.0, 1.0, 1.0, 1.0]);
    assert_close(&results[1], &[3, 1], &[6.0, 7.0, 8.0]);
}

#[test]
fn the_first_scans_have_a_batch_of_samples() {
    let body = graph(
        &[
            value("s", F32, &[2.into()]),
            value("next", F32, &[2.into()]),
        ],
        &[],
        &[
            node("Add", &["s", "next"], &["sum"]),
            node("Identity", &["sum"], &["seen"]),
        ],
        &["sum", "seen"],
    );
    let inputs = [
        value("init", F32, &[2.into(), 2.into()]),
        value("x", F32, &[2.into(), 3.into(), 2.into()]),
    ];
    let scan = node("Scan", &["", "init", "x"], &["last", "list"])
        .int("num_scan_inputs", 1)
        .graph("body", body);
    let model = model(8, &inputs, &[], &[scan], &["last", "list"]);
    let x: Vec<f32> = (0..12).map(|i| i as f32).collect();
    let results = run(&model, &[f32s(&[2, 2], &[0.0; 4]), f32s(&[2, 3, 2], &x)]);
    assert_close(&results[0], &[2, 2], &[6.0, 9.0, 24.0, 27.0]);
    assert_eq!(results[1].shape(), [2, 3, 2]);
}
