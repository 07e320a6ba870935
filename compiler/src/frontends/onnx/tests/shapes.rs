//! Shapes: overrides, names, and vectors that are computed from shapes.

use super::*;
use crate::frontends::onnx::Constant;
use lepid_ir::core::Symbol;

fn sym(name: &str) -> Dim {
    Dim::Sym(Symbol::new(name))
}

/// `Reshape(x, Concat(Shape(x)[0], [-1, 4]))`, as exporters write it.
fn reshaped_by_its_own_shape() -> ModelProto {
    let nodes = [
        node("Shape", &["x"], &["shape"]),
        node("Gather", &["shape", "zero"], &["n"]),
        node("Unsqueeze", &["n", "front"], &["n1"]),
        node("Concat", &["n1", "rest"], &["to"]).int("axis", 0),
        node("Reshape", &["x", "to"], &["y"]),
    ];
    let mut zero = longs("zero", &[0]);
    zero.dims.clear();
    let initializers = [zero, longs("front", &[0]), longs("rest", &[-1, 4])];
    let x = value("x", F32, &["N".into(), 6.into(), 2.into()]);
    model(17, &[x], &initializers, &nodes, &["y"])
}

#[test]
fn a_named_batch_survives_shape_arithmetic() {
    let model = reshaped_by_its_own_shape();
    let module = imported(&model);
    assert_eq!(
        output_dims(&module, 0),
        vec![sym("N"), Dim::Known(3), Dim::Known(4)]
    );
    let y = run(&model, &[Tensor::zeros(Elem::F32, &[5, 6, 2])]);
    assert_eq!(y[0].shape(), [5, 3, 4]);
}

#[test]
fn dimensions_are_bound_and_shapes_replaced() {
    let model = reshaped_by_its_own_shape();
    let with = |options: &ImportOptions| {
        let (module, _) = import_model(&model, None, options).unwrap();
        output_dims(&module, 0)
    };
    let bound = ImportOptions {
        dims: [("N".to_string(), 7)].into(),
        ..ImportOptions::default()
    };
    assert_eq!(with(&bound)[0], Dim::Known(7));
    let replaced = ImportOptions {
        shapes: [(
            "x".to_string(),
            vec![Dim::Known(2), Dim::Known(2), Dim::Known(2)],
        )]
        .into(),
        ..ImportOptions::default()
    };
    assert_eq!(with(&replaced), [2, 1, 4].map(Dim::Known));
}

#[test]
fn options_that_name_nothing_are_refused() {
    let options = ImportOptions {
        shapes: [("z".to_string(), vec![])].into(),
        dims: [("M".to_string(), 7)].into(),
        constants: [("k".to_string(), Constant::Tensor(i64s(&[1], &[0])))].into(),
        ..ImportOptions::default()
    };
    let found = import_model(&reshaped_by_its_own_shape(), None, &options)
        .err()
        .unwrap();
    assert_eq!(
        messages(&found),
        "E0702: the model has no input `z`\nE0702: the model has no input `k`\nE0702: the model has no dimension `M`"
    );
}

#[test]
fn extents_without_a_name_get_one() {
    let x = value("x", F32, &["".into(), (-1).into(), "x_0".into()]);
    let nodes = [node("Relu", &["x"], &["y"])];
    let module = imported(&model(17, &[x], &[], &nodes, &["y"]));
    assert_eq!(
        output_dims(&module, 0),
        vec![sym("x_0_"), sym("x_1"), sym("x_0")]
    );
}

#[test]
fn initializers_that_are_inputs_are_constants() {
    let inputs = [value("x", F32, &[2.into()]), value("w", F32, &[2.into()])];
    let nodes = [node("Add", &["x", "w"], &["y"])];
    let model = model(
        17,
        &inputs,
        &[floats("w", &[2], &[1.0, 2.0])],
        &nodes,
        &["y"],
    );
    assert_close(
        &run(&model, &[f32s(&[2], &[1.0, 1.0])])[0],
        &[2],
        &[2.0, 3.0],
    );
}

#[test]
fn nodes_may_stand_in_any_order() {
    let nodes = [node("Abs", &["a"], &["y"]), node("Neg", &["x"], &["a"])];
    let model = model(17, &[value("x", F32, &[2.into()])], &[], &nodes, &["y"]);
    assert_close(
        &run(&model, &[f32s(&[2], &[1.0, -2.0])])[0],
        &[2],
        &[1.0, 2.0],
    );
}

#[test]
fn expand_to_a_computed_shape_keeps_the_name() {
    let nodes = [
        node("Shape", &["x"], &["shape"]),
        node("ConstantOfShape", &["shape"], &["zeros"]),
        node("Expand", &["row", "shape"], &["wide"]),
        node("Add", &["zeros", "wide"], &["y"]),
    ];
    let x = value("x", F32, &["N".into(), 2.into()]);
    let model = model(
        17,
        &[x],
        &[floats("row", &[2], &[1.0, 2.0])],
        &nodes,
        &["y"],
    );
    assert_eq!(
        output_dims(&imported(&model), 0),
        vec![sym("N"), Dim::Known(2)]
    );
    let y = run(&model, &[Tensor::zeros(Elem::F32, &[2, 2])]);
    assert_close(&y[0], &[2, 2], &[1.0, 2.0, 1.0, 2.0]);
}

#[test]
fn a_shape_that_is_data_is_read_at_run_time() {
    let inputs = [value("x", F32, &[6.into()]), value("s", I64, &[2.into()])];
    let nodes = [node("Reshape", &["x", "s"], &["y"])];
    let model = model(17, &inputs, &[], &nodes, &["y"]);
    let x = f32s(&[6], &[0.0; 6]);
    assert_eq!(
        run(&model, &[x.clone(), i64s(&[2], &[2, 3])])[0].shape(),
        [2, 3]
    );
    assert_eq!(
        run(&model, &[x.clone(), i64s(&[2], &[-1, 2])])[0].shape(),
        [3, 2]
    );
    assert_eq!(run(&model, &[x, i64s(&[2], &[0, 1])])[0].shape(), [6, 1]);
}

#[test]
fn a_rank_that_is_data_is_refused() {
    let inputs = [value("x", F32, &[6.into()]), value("s", I64, &["L".into()])];
    let nodes = [node("Reshape", &["x", "s"], &["y"])];
    let text = refused(&model(17, &inputs, &[], &nodes, &["y"]));
    assert!(
        text.contains("the rank of the result is not known"),
        "{text}"
    );
}

#[test]
fn inputs_may_be_given_as_constants() {
    let inputs = [
        value("x", F32, &[2.into(), 3.into()]),
        value("axes", I64, &[1.into()]),
    ];
    let nodes = [node("ReduceSum", &["x", "axes"], &["y"])];
    let model = model(13, &inputs, &[], &nodes, &["y"]);
    assert!(refused(&model).contains("the axes must be constant"));
    let with = |axes| ImportOptions {
        constants: [("axes".to_string(), Constant::Tensor(axes))].into(),
        ..ImportOptions::default()
    };
    let (module, _) = import_model(&model, None, &with(i64s(&[1], &[1]))).unwrap();
    assert_eq!(output_dims(&module, 0), [2, 1].map(Dim::Known));
    let found = import_model(&model, None, &with(i64s(&[2], &[0, 1])))
        .err()
        .unwrap();
    assert_eq!(
        messages(&found),
        "E0702: input `axes` is `tensor<1xi64>`, but `tensor<2xi64>` is given"
    );
}

/// `s` gives `Reshape` its shape through a cast; `x` and `k` are data.
fn reshaped_by_an_input() -> ModelProto {
    const I32: i32 = 6;
    let inputs = [
        value("x", F32, &[6.into()]),
        value("s", I32, &["L".into()]),
        value("k", F32, &[]),
    ];
    let nodes = [
        node("Cast", &["s"], &["wide"]).int("to", i64::from(I64)),
        node("Reshape", &["x", "wide"], &["r"]),
        node("Mul", &["r", "k"], &["y"]),
    ];
    model(17, &inputs, &[], &nodes, &["y"])
}

#[test]
fn arguments_that_decide_shapes_become_constants() {
    let shape = Tensor::from_nums(Elem::I32, [2], [2, 3].map(Num::Int));
    let options = ImportOptions {
        arguments: [
            ("s".to_string(), shape),
            ("x".to_string(), f32s(&[6], &[0.0; 6])),
            ("k".to_string(), f32s(&[], &[2.0])),
        ]
        .into(),
        ..ImportOptions::default()
    };
    let (module, _) = import_model(&reshaped_by_an_input(), None, &options).unwrap();
    assert_eq!(output_dims(&module, 0), [2, 3].map(Dim::Known));
    let main = module.view(Func::find(&module, "main").unwrap());
    assert_eq!(Func::input_names(main), ["x", "k"]);
    assert_eq!(Func::constants(main), ["s"]);
}

#[test]
fn typed_numbers_take_the_element_type_of_the_input() {
    let options = ImportOptions {
        constants: [("s".to_string(), Constant::Numbers(i64s(&[2], &[3, 2])))].into(),
        ..ImportOptions::default()
    };
    let (module, _) = import_model(&reshaped_by_an_input(), None, &options).unwrap();
    assert_eq!(output_dims(&module, 0), [3, 2].map(Dim::Known));
}

#[test]
fn a_missing_constant_is_named() {
    let found = import_model(&reshaped_by_an_input(), None, &ImportOptions::default());
    let help = found.err().unwrap()[0].help.clone().unwrap();
    assert!(help.contains("`--constant s="), "{help}");
}

#[test]
fn arguments_replace_default_values() {
    let mut model = model(
        17,
        &[value("x", F32, &[2.into()]), value("w", F32, &[2.into()])],
        &[floats("w", &[2], &[1.0, 1.0])],
        &[node("Add", &["x", "w"], &["y"])],
        &["y"],
    );
    let options = ImportOptions {
        arguments: [("w".to_string(), f32s(&[2], &[5.0, 6.0]))].into(),
        ..ImportOptions::default()
    };
    let (module, _) = import_model(&model, None, &options).unwrap();
    let main = Func::find(&module, "main").unwrap();
    let found = interp::run(&module, main, &[f32s(&[2], &[0.0, 0.0])])
        .ok()
        .unwrap();
    assert_close(&found[0], &[2], &[5.0, 6.0]);
    model.graph.as_mut().unwrap().initializer.clear();
    assert_eq!(Func::args(imported(&model).view(main)).len(), 2);
}
