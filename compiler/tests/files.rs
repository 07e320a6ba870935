//! The files that commands write for other tools: pages, traces, dumps, reduced models.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn example(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    root.join(name).join("model.onnx")
}

/// Runs `lepid`; gives what `--json` printed.
fn lepid(arguments: &[&str]) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lepid"));
    let done = command.args(arguments).arg("--json").output().unwrap();
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    let errors = String::from_utf8_lossy(&done.stderr);
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("{arguments:?}: {text}{errors}"))
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn items(value: &Value) -> &[Value] {
    value
        .as_array()
        .unwrap_or_else(|| panic!("no list: {value}"))
}

#[test]
fn a_trace_has_passes_runs_and_ops_with_their_nodes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.json");
    let (model, trace) = (example("digits"), path.to_str().unwrap());
    let told = lepid(&[
        "bench",
        model.to_str().unwrap(),
        "--target=cpu",
        "--iterations=2",
        "--trace",
        trace,
        "--trace-runs=2",
    ]);
    assert_eq!(told["trace"], trace);
    let trace = json(&path);
    let events = items(&trace["traceEvents"]);
    let of = |category: &str| -> Vec<&Value> {
        let found = events.iter().filter(|e| e["cat"] == category);
        found.collect()
    };
    assert!(of("pass").iter().any(|e| e["name"] == "memory-plan"));
    let runs = of("run");
    assert_eq!(runs.len(), 2);
    let convs: Vec<&Value> = events
        .iter()
        .filter(|e| e["cat"].as_str().is_some_and(|c| c.starts_with("kernel.")))
        .collect();
    assert!(!convs.is_empty());
    for event in &convs {
        assert!(!items(&event["args"]["nodes"]).is_empty(), "{event}");
        assert!(!items(&event["args"]["results"]).is_empty(), "{event}");
        // Within a run, up to the rounding of clocks.
        let (start, time) = (
            event["ts"].as_f64().unwrap(),
            event["dur"].as_f64().unwrap(),
        );
        let within = |run: &&Value| {
            let (ts, dur) = (run["ts"].as_f64().unwrap(), run["dur"].as_f64().unwrap());
            ts - 1.0 <= start && start + time <= ts + dur + 1.0
        };
        assert!(runs.iter().any(within), "{event}");
    }
}

#[test]
fn a_dump_holds_what_was_computed() {
    let folder = tempfile::tempdir().unwrap();
    let (model, values) = (example("digits"), folder.path().to_str().unwrap());
    let told = lepid(&[
        "compare",
        model.to_str().unwrap(),
        "--target=cpu",
        "--dim=N=2",
        "--dump-outputs",
        values,
    ]);
    assert_eq!(items(&told["compare"])[0]["ok"], true);
    for (side, target) in [("found", "cpu"), ("expected", "reference")] {
        let side = folder.path().join(side);
        let index = json(&side.join("index.json"));
        assert_eq!(index["target"], target);
        assert_eq!(items(&index["inputs"])[0]["name"], "image");
        let values = items(&index["values"]);
        assert!(values.len() > 5 && values.iter().any(|v| !items(&v["nodes"]).is_empty()));
        for value in values {
            let shape: Vec<usize> = serde_json::from_value(value["shape"].clone()).unwrap();
            let path = side.join(value["file"].as_str().unwrap());
            let tensor = lepid::driver::arrays::read_npy(&path).unwrap();
            assert_eq!(tensor.shape(), shape, "{value}");
        }
        let outputs: Vec<&Value> = values.iter().filter(|v| v["output"] == "logits").collect();
        assert_eq!(outputs.len(), 1);
        assert_eq!(outputs[0]["shape"], serde_json::json!([2, 10]));
    }
    // What is dumped of the last op is the output, on both sides.
    let last = |side: &str| {
        let side = folder.path().join(side);
        let index = json(&side.join("index.json"));
        let values = items(&index["values"]).to_vec();
        let output = values
            .into_iter()
            .find(|v| v["output"] == "logits")
            .unwrap();
        lepid::driver::arrays::read_npy(&side.join(output["file"].as_str().unwrap())).unwrap()
    };
    let (found, expected) = (last("found").to_f64s(), last("expected").to_f64s());
    assert!(
        found
            .iter()
            .zip(&expected)
            .all(|(a, b)| (a - b).abs() < 1e-3)
    );
}

#[test]
fn a_page_needs_nothing_from_elsewhere_and_escapes_names() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("net.lir");
    let hostile = "</title><script>alert(1)</script>' onload=x";
    let text = format!(
        "func @main(%x: tensor<4x8xf32>) -> (tensor<4x8xf32>) attributes {{inputs = [\"{hostile}\"], outputs = [\"&amp;\"]}} {{\n  \
         %a = nn.relu(%x) : tensor<4x8xf32>\n  %b = nn.softmax(%a) {{axis = 1}} : tensor<4x8xf32>\n  %c = tensor.add(%a, %b) : tensor<4x8xf32>\n  return %c\n}}\n"
    );
    fs::write(&model, text).unwrap();
    for path in [model, example("recall"), example("waveforms")] {
        let page = folder.path().join("page.html");
        let (path, html) = (path.to_str().unwrap(), page.to_str().unwrap());
        lepid(&["inspect", path, "--target=cpu", "--html", html]);
        let text = fs::read_to_string(&page).unwrap();
        assert!(text.starts_with("<!doctype html>") && text.ends_with("</html>\n"));
        for outside in [
            "http:",
            "https:",
            "src=",
            "@import",
            "url(",
            "alert(1)</script>",
            "&amp;amp;amp;",
        ] {
            assert!(!text.contains(outside), "{path}: {outside}");
        }
        let mut links = text
            .match_indices("href=\"")
            .map(|(at, _)| &text[at + 6..at + 7]);
        assert!(links.all(|first| first == "#"));
        assert_eq!(text.matches("<svg").count(), text.matches("</svg>").count());
        assert_eq!(text.matches("<g ").count(), text.matches("</g>").count());
        assert!(text.matches("<svg").count() >= 2);
    }
}

#[test]
fn a_page_is_the_same_twice() {
    let folder = tempfile::tempdir().unwrap();
    let model = example("recall");
    let texts: Vec<String> = ["a.html", "b.html"]
        .into_iter()
        .map(|name| {
            let page = folder.path().join(name);
            lepid(&[
                "inspect",
                model.to_str().unwrap(),
                "--html",
                page.to_str().unwrap(),
            ]);
            fs::read_to_string(page).unwrap()
        })
        .collect();
    assert_eq!(texts[0], texts[1]);
}

#[test]
fn a_reduced_model_shows_the_difference_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("net.lir");
    // Sums in another order differ in their last bits, which the tolerance does not allow.
    let text = "\
func @main(%x: tensor<16x96xf32>) -> (tensor<16x96xf32>, tensor<16x96xf32>) {
  %a = nn.relu(%x) : tensor<16x96xf32>
  %b = nn.softmax(%x) {axis = 1} : tensor<16x96xf32>
  %c = tensor.add(%b, %x) : tensor<16x96xf32>
  %d = tensor.neg(%c) : tensor<16x96xf32>
  return %a, %d
}
";
    fs::write(&model, text).unwrap();
    let small = folder.path().join("small.lir");
    let (path, small) = (model.to_str().unwrap(), small.to_str().unwrap());
    let exact = ["--target=cpu", "--rtol=0"];
    let told = lepid(&["reduce", path, "--differs", "-o", small, exact[0], exact[1]]);
    assert!(
        told["ops"].as_u64().unwrap() < told["ops_before"].as_u64().unwrap(),
        "{told}"
    );
    let mut again = vec!["compare", small, exact[0], exact[1]];
    let inputs = told["inputs"]
        .as_str()
        .map(|path| format!("--input=@{path}"));
    again.extend(inputs.as_deref());
    assert_eq!(items(&lepid(&again)["compare"])[0]["ok"], false);
}

/// Runs `lepid` in a folder; gives the exit code and what it said.
fn said(folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lepid"));
    let done = command
        .current_dir(folder)
        .args(arguments)
        .output()
        .unwrap();
    let text = [done.stdout, done.stderr].concat();
    (
        done.status.code(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

#[test]
fn no_command_writes_over_its_model() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::copy(example("digits"), at("m.onnx")).unwrap();
    let (code, text) = said(folder.path(), &["opt", "m.onnx", "-o", "m.lir"]);
    assert_eq!(code, Some(0), "{text}");
    fs::hard_link(at("m.onnx"), at("link.onnx")).unwrap();
    fs::create_dir(at("sub")).unwrap();
    let before: Vec<Vec<u8>> = ["m.onnx", "m.lir", "m.lir.safetensors"]
        .iter()
        .map(|name| fs::read(at(name)).unwrap())
        .collect();
    let refused: &[&[&str]] = &[
        &["compile", "m.onnx", "-o", "m.onnx"],
        &["compile", "m.onnx", "-o", "./sub/../m.onnx"],
        &["compile", "m.onnx", "-o", "link.onnx"],
        &["compile", "m.lir", "--emit=ir", "-o", "m.lir"],
        &["opt", "m.onnx", "-o", "m.onnx"],
        &["opt", "m.lir", "-o", "m.lir"],
        &[
            "opt",
            "m.lir",
            "-o",
            "n.lir",
            "--output-weights",
            "m.lir.safetensors",
        ],
        &["opt", "m.lir", "--dump-egraph", "m.lir.safetensors"],
        &["reduce", "m.onnx", "--fails", "-o", "m.onnx"],
        &["inspect", "m.onnx", "--html", "m.onnx"],
        &["bench", "m.onnx", "--trace", "m.onnx"],
        &["run", "m.onnx", "--output", "@m.onnx"],
    ];
    for arguments in refused {
        let (code, text) = said(folder.path(), arguments);
        assert_eq!(code, Some(1), "{arguments:?}: {text}");
        assert!(text.contains("cannot be written: it is read as"), "{text}");
    }
    for (name, before) in ["m.onnx", "m.lir", "m.lir.safetensors"].iter().zip(&before) {
        assert!(fs::read(at(name)).unwrap() == *before, "{name}");
    }
}

#[test]
fn folders_of_outputs_are_made() {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(example("digits"), folder.path().join("m.onnx")).unwrap();
    let written: &[(&[&str], &str)] = &[
        (
            &["compile", "m.onnx", "--dim=N=1", "-o", "a/b/m.lepid"],
            "a/b/m.lepid",
        ),
        (&["opt", "m.onnx", "-o", "c/m.lir"], "c/m.lir.safetensors"),
        (&["inspect", "m.onnx", "--html", "d/m.html"], "d/m.html"),
        (&["run", "m.onnx", "--output", "@e/y.npz"], "e/y.npz"),
    ];
    for (arguments, file) in written {
        let (code, text) = said(folder.path(), arguments);
        assert_eq!(code, Some(0), "{arguments:?}: {text}");
        assert!(folder.path().join(file).exists(), "{text}");
    }
    let (code, text) = said(folder.path(), &["opt", "m.onnx", "-o", "m.onnx/m.lir"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("it cannot be a file"), "{text}");
}

#[test]
fn compile_says_what_it_wrote_and_how_to_use_it() {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(example("digits"), folder.path().join("my net.onnx")).unwrap();
    let arguments = [
        "compile",
        "my net.onnx",
        "--dim=N=1",
        "--emit=object",
        "-o",
        "my net.o",
    ];
    let (code, text) = said(folder.path(), &arguments);
    assert_eq!(code, Some(0), "{text}");
    for part in [
        "link with: cc main.c 'my net.o' liblepid_runtime.a",
        "`lepid compile 'my net.onnx' --emit runtime-lib` writes liblepid_runtime.a",
        "wrote my net.o",
    ] {
        assert!(text.contains(part), "{text}");
    }
}
