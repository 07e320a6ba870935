//! Models that are damaged or mean harm.

use std::path::Path;

use lepid_ir::core::Limits;
use prost::Message;

use super::*;
use crate::frontends::onnx::import;
use crate::frontends::onnx::proto::{FunctionProto, StringStringEntryProto};

fn relu() -> ModelProto {
    let nodes = [node("Relu", &["x"], &["y"])];
    model(17, &[value("x", F32, &[2.into()])], &[], &nodes, &["y"])
}

/// Writes a model to a folder of its own, with other files, and imports it.
fn import_file(bytes: &[u8], others: &[(&str, &[u8])]) -> Result<Module, String> {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("inner");
    std::fs::create_dir(&inner).unwrap();
    for (name, bytes) in others {
        std::fs::write(inner.join(name), bytes).unwrap();
    }
    let path = inner.join("model.onnx");
    std::fs::write(&path, bytes).unwrap();
    let result = import(&path, &ImportOptions::default());
    result
        .map(|(module, _)| module)
        .map_err(|found| messages(&found))
}

fn external(location: &str, offset: &str, length: &str) -> ModelProto {
    let entry = |key: &str, value: &str| StringStringEntryProto {
        key: key.into(),
        value: value.into(),
    };
    let weight = TensorProto {
        name: "w".into(),
        dims: vec![2],
        data_type: F32,
        data_location: 1,
        external_data: vec![
            entry("location", location),
            entry("offset", offset),
            entry("length", length),
        ],
        ..TensorProto::default()
    };
    let nodes = [node("Add", &["x", "w"], &["y"])];
    model(
        17,
        &[value("x", F32, &[2.into()])],
        &[weight],
        &nodes,
        &["y"],
    )
}

#[test]
fn every_truncation_is_an_error() {
    let bytes = relu().encode_to_vec();
    assert!(import_file(&bytes, &[]).is_ok());
    for len in 0..bytes.len() {
        // A cut between two fields leaves a smaller message, which may still be a whole model.
        if let Err(text) = import_file(&bytes[..len], &[]) {
            assert!(text.starts_with("E06"), "{text}");
        }
    }
    assert!(import_file(&bytes[..bytes.len() / 2], &[]).is_err());
}

#[test]
fn a_file_that_is_no_model_is_an_error() {
    let text = import_file(b"GIF89a and so on", &[]).err().unwrap();
    assert!(text.starts_with("E0601"), "{text}");
    let text = import_file(b"", &[]).err().unwrap();
    assert!(text.starts_with("E0601"), "{text}");
    let missing = import(Path::new("no/such/model.onnx"), &ImportOptions::default());
    assert!(messages(&missing.err().unwrap()).starts_with("E0701"));
}

#[test]
fn nodes_in_a_circle_are_named() {
    let nodes = [
        node("Add", &["x", "b"], &["a"]),
        node("Relu", &["a"], &["b"]),
    ];
    let text = refused(&model(
        17,
        &[value("x", F32, &[2.into()])],
        &[],
        &nodes,
        &["b"],
    ));
    assert!(
        text.contains("E0605: nodes read each other in a circle: `Add:a`, `Relu:b`"),
        "{text}"
    );
}

#[test]
fn names_that_nothing_defines_are_all_reported() {
    let nodes = [node("Relu", &["u"], &["a"]), node("Relu", &["v"], &["b"])];
    let text = refused(&model(17, &[], &[], &nodes, &["a", "w"]));
    assert_eq!(
        text,
        "E0605: `u` is read, but nothing defines it\n\
         E0605: `v` is read, but nothing defines it\n\
         E0605: output `w` is computed by no node"
    );
}

#[test]
fn a_name_defined_twice_is_an_error() {
    let nodes = [node("Relu", &["x"], &["y"]), node("Abs", &["x"], &["y"])];
    let text = refused(&model(
        17,
        &[value("x", F32, &[2.into()])],
        &[],
        &nodes,
        &["y"],
    ));
    assert_eq!(text, "E0605: `y` is defined twice");
}

#[test]
fn all_unknown_operators_are_reported_once_each() {
    let mut custom = node("Swoosh", &["x"], &["b"]);
    custom.domain = "com.acme".into();
    let nodes = [
        node("Frobnicate", &["x"], &["a"]),
        node("Frobnicate", &["a"], &["c"]),
        custom,
    ];
    let text = refused(&model(
        17,
        &[value("x", F32, &[2.into()])],
        &[],
        &nodes,
        &["b", "c"],
    ));
    assert_eq!(
        text,
        "E0602: operator `Frobnicate` in opset 17 is not supported (node `Frobnicate:a`, and 1 more)\n\
         E0602: operator `Swoosh` of the domain `com.acme` in a domain that the model does not import is not supported (node `Swoosh:b`)"
    );
}

#[test]
fn opsets_out_of_range_are_refused() {
    for opset in [0, 99, -1] {
        let nodes = [node("Relu", &["x"], &["y"])];
        let text = refused(&model(
            opset,
            &[value("x", F32, &[2.into()])],
            &[],
            &nodes,
            &["y"],
        ));
        assert!(text.starts_with("E0603"), "{text}");
    }
}

#[test]
fn tensors_whose_data_does_not_fit_are_refused() {
    let cases = [
        floats("w", &[3], &[1.0, 2.0]),
        floats("w", &[-1], &[1.0]),
        floats("w", &[i64::MAX, i64::MAX], &[]),
        floats("w", &[1 << 40, 1 << 20], &[]),
        TensorProto {
            raw_data: vec![0; 5].into(),
            ..floats("w", &[1], &[])
        },
    ];
    for weight in cases {
        let nodes = [node("Add", &["x", "w"], &["y"])];
        let text = refused(&model(
            17,
            &[value("x", F32, &[2.into()])],
            &[weight],
            &nodes,
            &["y"],
        ));
        assert!(
            text.starts_with("E0601: initializer `w`: a tensor"),
            "{text}"
        );
    }
}

#[test]
fn absurd_shapes_in_nodes_do_not_take_memory() {
    let huge = longs("s", &[1 << 40, 1 << 40]);
    let nodes = [
        node("ConstantOfShape", &["s"], &["c"]),
        node("Add", &["x", "c"], &["y"]),
    ];
    let text = refused(&model(
        17,
        &[value("x", F32, &[2.into()])],
        &[huge],
        &nodes,
        &["y"],
    ));
    assert!(text.starts_with("E0604"), "{text}");
}

#[test]
fn external_data_is_read_from_the_folder() {
    let data: Vec<u8> = [9.0f32, 1.0, 2.0]
        .iter()
        .flat_map(|x| x.to_le_bytes())
        .collect();
    let bytes = external("weights.bin", "4", "8").encode_to_vec();
    let module = import_file(&bytes, &[("weights.bin", &data)]).unwrap();
    let main = Func::find(&module, "main").unwrap();
    let y = interp::run(&module, main, &[f32s(&[2], &[1.0, 1.0])]).unwrap();
    assert_close(&y[0], &[2], &[2.0, 3.0]);
}

#[test]
fn external_data_elsewhere_is_refused() {
    for location in [
        "../secret",
        "/etc/passwd",
        "a/../../secret",
        "missing.bin",
        "",
    ] {
        let bytes = external(location, "0", "8").encode_to_vec();
        let text = import_file(&bytes, &[]).err().unwrap();
        assert!(text.starts_with("E0606"), "{text}");
    }
    for (offset, length) in [
        ("0", "16"),
        ("18446744073709551615", "8"),
        ("-1", "8"),
        ("x", "8"),
    ] {
        let bytes = external("weights.bin", offset, length).encode_to_vec();
        let text = import_file(&bytes, &[("weights.bin", &[0; 8])])
            .err()
            .unwrap();
        assert!(text.starts_with("E0606"), "{text}");
    }
}

#[test]
fn huge_extents_are_told_not_computed_with() {
    let huge = i64::MAX;
    let pool = |kernel: i64, stride: i64| {
        node("MaxPool", &["x"], &["y"])
            .ints("kernel_shape", &[kernel])
            .ints("strides", &[stride])
            .string("auto_pad", "SAME_UPPER")
    };
    let nodes = [
        pool(2, 2),
        pool(huge, 1),
        pool(i64::MIN, huge),
        node("SplitToSequence", &["x"], &["y"]).int("axis", 2),
        node("Split", &["x"], &["y"])
            .int("axis", 2)
            .int("num_outputs", huge),
    ];
    for node in nodes {
        let x = value("x", F32, &[1.into(), 1.into(), huge.into()]);
        let found = import_model(
            &model(18, &[x], &[], &[node], &["y"]),
            None,
            &ImportOptions::default(),
        );
        if let Err(found) = found {
            assert!(messages(&found).starts_with("E06"), "{}", messages(&found));
        }
    }
}

#[cfg(unix)]
#[test]
fn links_do_not_lead_out_of_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("secret"), [0; 8]).unwrap();
    let inner = folder.path().join("inner");
    std::fs::create_dir(&inner).unwrap();
    std::os::unix::fs::symlink("../secret", inner.join("weights.bin")).unwrap();
    let path = inner.join("model.onnx");
    std::fs::write(&path, external("weights.bin", "0", "8").encode_to_vec()).unwrap();
    let found = import(&path, &ImportOptions::default()).err().unwrap();
    assert!(messages(&found).contains("lies outside of the folder"));
}

#[test]
fn a_function_that_calls_itself_is_an_error() {
    let mut model = relu();
    model.functions.push(FunctionProto {
        name: "Relu".into(),
        input: vec!["x".into()],
        output: vec!["y".into()],
        node: vec![node("Relu", &["x"], &["y"])],
        opset_import: model.opset_import.clone(),
        ..FunctionProto::default()
    });
    assert!(refused(&model).contains("function `Relu` calls itself"));
}

#[test]
fn functions_that_double_do_not_explode() {
    let mut model = relu();
    let opsets = model.opset_import.clone();
    let mut functions: Vec<FunctionProto> = Vec::new();
    for level in 0..50 {
        let inner = if level == 0 {
            "Relu".to_string()
        } else {
            format!("F{}", level - 1)
        };
        let mut calls = vec![node(&inner, &["x"], &["t"]), node(&inner, &["t"], &["y"])];
        for call in &mut calls {
            call.domain = if level == 0 {
                String::new()
            } else {
                "f".into()
            };
        }
        functions.push(FunctionProto {
            name: format!("F{level}"),
            domain: "f".into(),
            input: vec!["x".into()],
            output: vec!["y".into()],
            node: calls,
            opset_import: opsets.clone(),
            ..FunctionProto::default()
        });
    }
    model.functions = functions;
    if let Some(graph) = &mut model.graph {
        graph.node[0].op_type = "F49".into();
        graph.node[0].domain = "f".into();
    }
    assert!(refused(&model).contains("expand to more than"));
}

#[test]
fn a_function_without_its_output_is_an_error() {
    let mut model = relu();
    model.functions.push(FunctionProto {
        name: "Relu".into(),
        input: vec!["x".into()],
        output: vec!["y".into()],
        opset_import: model.opset_import.clone(),
        ..FunctionProto::default()
    });
    let text = refused(&model);
    assert!(text.contains("output `y` of function `Relu`"), "{text}");
}

#[test]
fn a_cache_of_another_rank_is_an_error() {
    let names = ["q", "k", "v", "", "pk", "pv"];
    let four = |name| value(name, F32, &[1.into(), 2.into(), 3.into(), 4.into()]);
    let flat = |name| value(name, F32, &[1.into(), 2.into()]);
    let inputs = [four("q"), four("k"), four("v"), flat("pk"), flat("pv")];
    let nodes = [node("Attention", &names, &["y"])];
    let text = refused(&model(24, &inputs, &[], &nodes, &["y"]));
    assert!(text.contains("a cache needs rank 4, found 2"), "{text}");
}

#[test]
fn text_that_is_not_utf8_is_an_error() {
    let bytes = relu().encode_to_vec();
    let place = bytes.windows(4).position(|w| w == b"Relu").unwrap();
    let mut broken = bytes;
    broken[place] = 0xff;
    let text = import_file(&broken, &[]).err().unwrap();
    assert!(text.starts_with("E0601"), "{text}");
}

/// `If` nodes inside of each other, with that many levels.
fn nested(levels: usize) -> ModelProto {
    let mut inner = graph(&[], &[], &[node("Relu", &["x"], &["r"])], &["r"]);
    for level in 0..levels {
        let name = format!("r{level}");
        let branch = node("If", &["c"], &[&name])
            .graph("then_branch", inner.clone())
            .graph(
                "else_branch",
                graph(&[], &[], &[node("Abs", &["x"], &["a"])], &["a"]),
            );
        inner = graph(&[], &[], &[branch], &[&name]);
    }
    let output = inner.output[0].name.clone();
    let inputs = [value("x", F32, &[2.into()]), value("c", 9, &[])];
    model(17, &inputs, &[], &inner.node, &[&output])
}

#[test]
fn nested_graphs_are_read_as_deep_as_the_limit() {
    imported(&nested(30));
    let options = ImportOptions {
        limits: Limits {
            depth: 20,
            ..Limits::default()
        },
        ..ImportOptions::default()
    };
    assert!(import_model(&nested(20), None, &options).is_ok());
    let found = import_model(&nested(21), None, &options).err().unwrap();
    assert!(
        messages(&found).contains("E0705: `If` node")
            && messages(&found).contains("nested deeper than 20 levels"),
        "{}",
        messages(&found)
    );
    assert!(found[0].help.as_ref().unwrap().contains("--max-depth"));
}

#[test]
fn a_nesting_bomb_is_an_error() {
    // The decoder stops long before the stack does.
    let text = import_file(&nested(400).encode_to_vec(), &[]);
    let text = text.err().unwrap();
    assert!(text.starts_with("E0601"), "{text}");
}

#[test]
fn the_number_of_nodes_is_limited() {
    let options = ImportOptions {
        limits: Limits {
            nodes: 0,
            ..Limits::default()
        },
        ..ImportOptions::default()
    };
    let found = import_model(&relu(), None, &options).err().unwrap();
    assert!(messages(&found).contains("E0705"), "{}", messages(&found));
}

#[test]
fn names_that_stand_for_two_things_are_errors() {
    let x = || value("x", F32, &[2.into()]);
    let nodes = [node("Relu", &["x"], &["y"])];
    let weights = [floats("w", &[1], &[1.0]), floats("w", &[1], &[2.0])];
    let cases = [
        model(17, &[x(), x()], &[], &nodes, &["y"]),
        model(17, &[x()], &weights, &nodes, &["y"]),
        model(17, &[x()], &[], &[node("Relu", &["x"], &["x"])], &["x"]),
    ];
    for case in cases {
        let text = refused(&case);
        assert!(
            text.contains("E0605") && text.contains("defined twice"),
            "{text}"
        );
    }
}

#[test]
fn a_grid_of_many_axes_takes_no_memory() {
    let mut size = vec![1; 100_000];
    size[2] = 1 << 20;
    let nodes = [node("AffineGrid", &["t", "s"], &["y"])];
    let theta = value("t", F32, &[1.into(), 2.into(), 3.into()]);
    let text = refused(&model(20, &[theta], &[longs("s", &size)], &nodes, &["y"]));
    assert!(text.contains("the size has 100000 extents"), "{text}");
}

#[test]
fn many_large_windows_take_no_memory() {
    let nodes: Vec<NodeProto> = (0..1000)
        .map(|i| node("HannWindow", &["n"], &[&format!("y{i}")]))
        .collect();
    let size = longs("n", &[1 << 20]);
    let text = refused(&model(17, &[], &[size], &nodes, &["y0"]));
    assert!(
        text.starts_with("E0705: `HannWindow` node")
            && text.contains("constants that nodes ask for take more than"),
        "{text}"
    );
}

#[test]
fn recurrent_weights_of_another_rank_are_errors() {
    let nodes = [node("RNN", &["x", "w", "r"], &["y"]).int("hidden_size", 4)];
    let x = || value("x", F32, &[1.into(), 1.into(), 2.into()]);
    let whole = |name| value(name, F32, &[1.into(), 4.into(), 4.into()]);
    let flat = |name| value(name, F32, &[4.into()]);
    for inputs in [[x(), whole("w"), flat("r")], [x(), flat("w"), whole("r")]] {
        let text = refused(&model(17, &inputs, &[], &nodes, &["y"]));
        assert!(text.starts_with("E0604"), "{text}");
    }
}

#[test]
fn a_grid_of_another_rank_is_an_error() {
    let image = || value("x", F32, &[1.into(), 1.into(), 3.into(), 2.into()]);
    let nodes = [node("GridSample", &["x", "grid"], &["y"])];
    for dims in [vec![], vec![2.into()]] {
        let inputs = [image(), value("grid", F32, &dims)];
        let text = refused(&model(17, &inputs, &[], &nodes, &["y"]));
        assert!(text.contains("the grid must have rank 4"), "{text}");
    }
}

#[test]
fn many_opset_imports_are_not_copied_for_each_node() {
    let nodes: Vec<NodeProto> = (0..20_000)
        .map(|i| node("Relu", &["x"], &[&format!("y{i}")]))
        .collect();
    let mut model = model(17, &[value("x", F32, &[2.into()])], &[], &nodes, &["y0"]);
    model
        .opset_import
        .extend((0..20_000).map(|i| OperatorSetIdProto {
            domain: format!("d{i}"),
            version: 1,
        }));
    imported(&model);
}

#[test]
fn many_readers_of_one_value_do_not_take_long() {
    // Ops that nothing reads are erased; the list of the readers of `x` must not be searched whole
    // for each.
    let nodes: Vec<NodeProto> = (0..60_000)
        .map(|i| node("Relu", &["x"], &[&format!("y{i}")]))
        .collect();
    imported(&model(
        17,
        &[value("x", F32, &[2.into()])],
        &[],
        &nodes,
        &["y0"],
    ));
}

#[test]
fn wrong_attributes_are_told() {
    let nodes = [node("Softmax", &["x"], &["y"]).float("axis", 1.0)];
    let text = refused(&model(
        17,
        &[value("x", F32, &[2.into()])],
        &[],
        &nodes,
        &["y"],
    ));
    assert_eq!(
        text,
        "E0604: `Softmax` node `Softmax:y`: attribute `axis` is a float, expected an integer"
    );
    let nodes = [node("Softmax", &["x"], &["y"]).int("axis", 4)];
    let text = refused(&model(
        17,
        &[value("x", F32, &[2.into()])],
        &[],
        &nodes,
        &["y"],
    ));
    assert!(text.contains("axis 4 is out of range for rank 1"), "{text}");
}
