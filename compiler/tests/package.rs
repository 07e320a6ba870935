//! Packages as files: the same bytes everywhere, refused if anything is wrong with them, and run
//! without the model.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use lepid::{
    CompileOptions, Elem, Model, Package, Program, Session, SessionOptions, Tensor, TensorView,
    TensorViewMut,
};
use lepid_ir::interp::random::Random;

fn digits() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/digits/model.onnx")
}

fn lepid(folder: &Path, arguments: &[&str]) -> std::process::Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lepid"));
    command
        .current_dir(folder)
        .args(arguments)
        .output()
        .unwrap()
}

fn options() -> CompileOptions {
    CompileOptions::default().dim("N", 2)
}

fn image(seed: u64) -> Tensor {
    Random::new(seed).tensor(Elem::F32, &[2, 1, 8, 8])
}

/// A package in a folder of its own, which lives as long as the first value.
fn saved() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.lepid");
    Model::load(digits())
        .unwrap()
        .compile(&options())
        .unwrap()
        .save(&file)
        .unwrap();
    (folder, file)
}

#[test]
fn the_same_model_gives_the_same_bytes_in_any_folder() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let mut files = Vec::new();
    for (folder, name) in folders.iter().zip(["model.onnx", "other name.onnx"]) {
        fs::copy(digits(), folder.path().join(name)).unwrap();
        let arguments = ["compile", name, "--dim=N=2", "-o", "out.lepid"];
        let output = lepid(folder.path(), &arguments);
        assert!(output.status.success(), "{output:?}");
        files.push(fs::read(folder.path().join("out.lepid")).unwrap());
    }
    assert!(files[0] == files[1]);
    // The library makes the same, and nothing of the machine goes in unasked.
    let library = folders[0].path().join("library.lepid");
    let package = Model::load(digits())
        .unwrap()
        .compile(&options().portable())
        .unwrap();
    package.save(&library).unwrap();
    assert!(fs::read(&library).unwrap() == files[0]);
    let source = &package.provenance().sources[0];
    assert_eq!(source.bytes, fs::metadata(digits()).unwrap().len());
}

#[test]
fn a_level_is_the_same_whoever_asks_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let compile = |file: &str, level: &str, variable: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lepid"));
        command
            .current_dir(folder.path())
            .arg("compile")
            .arg(digits());
        command
            .args(["--dim=N=2", "-o", file])
            .arg(format!("--target-option=isa={level}"));
        let output = command.env("LEPID_CPU_ISA", variable).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let package = Package::open(folder.path().join(file)).unwrap();
        let manifest = package.provenance().options["isa"].clone();
        (fs::read(folder.path().join(file)).unwrap(), manifest)
    };
    let (scalar, named) = compile("scalar.lepid", "scalar", "");
    assert_eq!(named, "scalar");
    let (again, _) = compile("again.lepid", "scalar", "scalar");
    assert!(scalar == again);
}

#[test]
fn a_package_runs_without_the_model() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model.onnx");
    fs::copy(digits(), &model).unwrap();
    let arguments = [
        "compile",
        "model.onnx",
        "--dim=N=2",
        "--target-option=isa=native",
    ];
    assert!(lepid(folder.path(), &arguments).status.success());
    let run = |file: &str, to: &str, more: &[&str]| {
        let to = format!("--output=@{to}");
        let arguments = [&["run", file, "--seed=5", &to], more].concat();
        let output = lepid(folder.path(), &arguments);
        assert!(output.status.success(), "{output:?}");
    };
    run("model.onnx", "model.npz", &["--dim=N=2"]);
    fs::remove_file(&model).unwrap();
    run("model.lepid", "package.npz", &[]);
    let read = |file: &str| fs::read(folder.path().join(file)).unwrap();
    assert!(read("model.npz") == read("package.npz"));
}

#[test]
fn damaged_packages_are_refused_wherever_the_damage_is() {
    let (folder, file) = saved();
    let whole = fs::read(&file).unwrap();
    let damaged = folder.path().join("damaged.lepid");
    let check = |bytes: &[u8], what: &str| {
        fs::write(&damaged, bytes).unwrap();
        let error = Package::open(&damaged)
            .err()
            .unwrap_or_else(|| panic!("{what} is taken"));
        let code = error.diagnostics()[0].code.0;
        assert!(
            ["E0801", "E0802", "E0803"].contains(&code),
            "{what}: {error}"
        );
    };
    for at in (0..512).chain((512..whole.len()).step_by(whole.len() / 200)) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        check(&bytes, &format!("a change at {at}"));
    }
    for len in (0..128).chain((128..whole.len()).step_by(whole.len() / 100)) {
        check(&whole[..len], &format!("a file of {len} bytes"));
    }
    check(&[&whole[..], b"more"].concat(), "a longer file");
    fs::write(&damaged, &whole).unwrap();
    assert!(Package::open(&damaged).is_ok());
}

#[test]
fn sessions_of_one_program_run_at_once() {
    let (_folder, file) = saved();
    let program = Program::open(&file).unwrap();
    let expected: Vec<Tensor> = (0..4)
        .map(|seed| {
            let mut session = Session::new(&program, &SessionOptions::default()).unwrap();
            session.run(&[image(seed)]).unwrap().remove(0)
        })
        .collect();
    thread::scope(|scope| {
        for worker in 0..4u64 {
            let (program, expected) = (&program, &expected);
            scope.spawn(move || {
                let threads = 1 + worker as usize % 2;
                let mut session = Session::new(
                    program,
                    &SessionOptions {
                        threads,
                        ..SessionOptions::default()
                    },
                )
                .unwrap();
                for round in 0..25 {
                    let which = (worker + round) % 4;
                    let found = session.run(&[image(which)]).unwrap().remove(0);
                    assert_eq!(found, expected[which as usize], "worker {worker}");
                }
            });
        }
    });
}

#[test]
fn runs_read_and_write_where_the_caller_is() {
    let program = Model::load(digits())
        .unwrap()
        .compile(&options())
        .unwrap()
        .program()
        .unwrap();
    let mut session = Session::new(&program, &SessionOptions::default()).unwrap();
    let image = image(9);
    let expected = session.run(std::slice::from_ref(&image)).unwrap().remove(0);
    let view = TensorView::from(&image);
    // At every alignment: what is not aligned is moved, not refused.
    for shift in 0..4 {
        let mut room = vec![0u8; 80 + shift];
        let mut moved = vec![0u8; image.bytes().len() + shift];
        moved[shift..].copy_from_slice(image.bytes());
        let input = TensorView::raw(Elem::F32, image.shape(), &moved[shift..]).unwrap();
        let output = TensorViewMut::raw(Elem::F32, &[2, 10], &mut room[shift..]).unwrap();
        session.run_into(&[input], &mut [output]).unwrap();
        assert_eq!(&room[shift..], expected.bytes());
    }
    assert_eq!(session.run_views(&[view]).unwrap()[0], expected);
    let mut small = vec![0f32; 10];
    let output = TensorViewMut::new(&[1, 10], &mut small).unwrap();
    let error = session.run_into(&[view], &mut [output]).unwrap_err();
    assert_eq!(error.diagnostics()[0].code.0, "E0702");
    assert!(session.run_views(&[]).is_err());
}
