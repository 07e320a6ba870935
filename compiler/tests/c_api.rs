//! Programs in C and C++ give the same bytes as `lepid run`.
//!
//! With `LEPID_VALGRIND` set, they run under valgrind and must neither err nor leak. Without a C
//! compiler there is nothing to test, which continuous integration does not accept.
#![cfg(feature = "aot")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use lepid::driver::arrays;
use lepid::{CompileOptions, Model, Tensor};
use lepid_ir::interp::random::Random;

struct Example {
    name: &'static str,
    dims: &'static [(&'static str, u64)],
}

const EXAMPLES: &[Example] = &[
    Example {
        name: "digits",
        dims: &[("N", 2)],
    },
    Example {
        name: "recall",
        dims: &[("N", 1)],
    },
    Example {
        name: "waveforms",
        dims: &[("N", 3)],
    },
];

/// Programs and `lepid run` are compared on this machine, whatever it has.
const SAME_LEVEL: &str = "--target-option=isa=native";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Whether a program can be called; says so if it is only missing.
fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok();
    let in_ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty());
    assert!(found || !in_ci, "`{program}` is missing");
    found
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{command:?}\n{out}\n{err}");
    out.into_owned()
}

fn lepid(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lepid"));
    command.current_dir(folder);
    command
}

/// Runs a program of ours, under valgrind if that is asked for.
fn program(path: &Path) -> Command {
    if std::env::var_os("LEPID_VALGRIND").is_none() {
        return Command::new(path);
    }
    let mut command = Command::new("valgrind");
    command
        .args(["--quiet", "--error-exitcode=99", "--leak-check=full"])
        .args(["--show-leak-kinds=all", "--errors-for-leak-kinds=all"])
        .arg(path);
    command
}

/// Files of a model: its inputs as arrays, its outputs as `lepid run` gives them.
struct Job {
    folder: tempfile::TempDir,
    dims: Vec<String>,
    model: PathBuf,
    inputs: Vec<PathBuf>,
    outputs: Vec<Tensor>,
}

impl Job {
    fn new(example: &Example) -> Job {
        let folder = tempfile::tempdir().unwrap();
        let model = root()
            .join("examples")
            .join(example.name)
            .join("model.onnx");
        let mut options = CompileOptions::default();
        for (name, extent) in example.dims {
            options = options.dim(name, *extent);
        }
        let package = Model::load(&model).unwrap().compile(&options).unwrap();
        let dims = example.dims.iter().map(|(n, d)| format!("--dim={n}={d}"));
        let dims: Vec<String> = dims.collect();
        let mut command = lepid(folder.path());
        command
            .arg("run")
            .arg(&model)
            .args(&dims)
            .arg("--output=@out.npz");
        command.arg(SAME_LEVEL);
        let mut inputs = Vec::new();
        let mut random = Random::new(7);
        for (i, port) in package.signature().inputs.iter().enumerate() {
            let ty = port.ty.as_tensor().unwrap();
            let tensor = random.tensor(ty.elem, &ty.known_dims().unwrap());
            let file = folder.path().join(format!("in{i}.npy"));
            arrays::write_npy(&file, &tensor).unwrap();
            command.arg(format!("--input={}={}", port.name, file.display()));
            inputs.push(file);
        }
        run(&mut command);
        let mut found = arrays::read_npz(&folder.path().join("out.npz")).unwrap();
        let outputs = package.signature().outputs.iter().map(|port| {
            let at = found
                .iter()
                .position(|(name, _)| *name == port.name)
                .unwrap();
            found.swap_remove(at).1
        });
        Job {
            outputs: outputs.collect(),
            folder,
            dims,
            model,
            inputs,
        }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    fn compile(&self, emit: &str, output: &str) -> String {
        let mut command = lepid(self.folder.path());
        command.arg("compile").arg(&self.model).args(&self.dims);
        run(command.args([SAME_LEVEL, "--emit", emit, "-o", output]))
    }

    /// Builds a program with `arguments` after its source, runs it and compares.
    fn check(&self, compiler: &str, source: &str, arguments: &[&str]) {
        let built = self.path("built");
        let mut build = Command::new(compiler);
        build
            .current_dir(self.folder.path())
            .args(["-Wall", "-Wextra", "-Werror", "-O1", "-g", "-I."])
            .args(["-DPROGRAM=net_program", "-DHEADER=\"net.h\""])
            .arg(root().join("examples/c_api").join(source))
            .args(arguments)
            .arg("-o")
            .arg(&built);
        run(&mut build);
        let raw: Vec<PathBuf> = (0..self.outputs.len())
            .map(|i| self.path(&format!("out{i}.raw")))
            .collect();
        let mut command = program(&built);
        command.args(&self.inputs).args(&raw);
        run(command.env("LD_LIBRARY_PATH", self.folder.path()));
        for (file, tensor) in raw.iter().zip(&self.outputs) {
            assert!(
                fs::read(file).unwrap() == tensor.bytes(),
                "{}",
                self.model.display()
            );
            fs::remove_file(file).unwrap();
        }
    }
}

/// The words after `link with: cc main.c`, as the line says them.
fn link_words(said: &str) -> Vec<&str> {
    let line = said
        .lines()
        .find_map(|l| l.strip_prefix("link with: cc main.c "));
    line.unwrap().split_whitespace().collect()
}

#[test]
fn static_libraries_serve_c_and_cpp() {
    if !has("cc") || !has("c++") {
        return;
    }
    for example in EXAMPLES {
        let job = Job::new(example);
        let said = job.compile("static-lib", "libnet.a");
        let words = link_words(&said);
        job.check("cc", "run.c", &words);
        job.check("c++", "run.cpp", &[&["-std=c++17"], &words[..]].concat());
        let config = fs::read_to_string(job.path("net.pc")).unwrap();
        assert!(config.contains("\nLibs: ${pcfiledir}/libnet.a -lpthread"));
    }
}

#[test]
fn objects_link_with_the_run_time_by_itself() {
    if !has("cc") {
        return;
    }
    let job = Job::new(&EXAMPLES[0]);
    let said = job.compile("object", "net.o");
    job.compile("header", "net.h");
    job.compile("runtime-lib", "liblepid_runtime.a");
    job.check("cc", "run.c", &link_words(&said));
}

#[test]
fn shared_libraries_stand_alone() {
    if !has("cc") {
        return;
    }
    let job = Job::new(&EXAMPLES[0]);
    let said = job.compile("shared-lib", "libnet.so");
    job.check("cc", "run.c", &link_words(&said));
    let left: Vec<_> = fs::read_dir(job.folder.path())
        .unwrap()
        .filter(|e| {
            e.as_ref()
                .unwrap()
                .file_name()
                .to_string_lossy()
                .ends_with(".parts")
        })
        .collect();
    assert!(left.is_empty());
}

#[test]
fn two_programs_live_in_one_process() {
    if !has("cc") {
        return;
    }
    let job = Job::new(&EXAMPLES[0]);
    let other = Job::new(&EXAMPLES[2]);
    job.compile("static-lib", "liba.a");
    let mut command = lepid(job.folder.path());
    command.arg("compile").arg(&other.model).args(&other.dims);
    let said = run(command.args([SAME_LEVEL, "--emit", "static-lib", "-o", "libb.a"]));
    let text = "#include \"a.h\"\n#include \"b.h\"\nint main(void) {\n\
        lepid_session *a, *b;\n\
        if (lepid_session_create(&a_program, 1, &a, NULL, 0)) return 1;\n\
        if (lepid_session_create(&b_program, 2, &b, NULL, 0)) return 2;\n\
        int fine = lepid_input(&a_program, 0)->rank == 4 && B_INPUT_COUNT == 1;\n\
        lepid_session_destroy(a);\n\
        lepid_session_destroy(b);\n\
        return fine ? 0 : 3;\n}\n";
    fs::write(job.path("two.c"), text).unwrap();
    let mut build = Command::new("cc");
    build
        .current_dir(job.folder.path())
        .args(["two.c", "-o", "two", "liba.a"]);
    run(build.args(link_words(&said)));
    run(&mut program(&job.path("two")));
}

/// A run that runs out of memory, between two that do not.
const LIMITED: &str = r#"
#include "net.h"

static float x[4096];

int main(void) {
    lepid_session *session;
    const void *data;
    const int64_t *dims;
    for (int i = 0; i < 4096; i++) {
        x[i] = (float)(i % 2);
    }
    if (lepid_session_create(&net_program, 1, &session, NULL, 0)) return 1;
    if (lepid_set_input(session, 0, x, sizeof x)) return 2;
    if (lepid_get_output(session, 0, &data, NULL) == LEPID_OK) return 3;
    if (lepid_run(session)) return 4;
    if (lepid_get_output_dims(session, 0, &dims) || dims[1] != 2048) return 5;
    if (lepid_set_memory_limit(session, 64)) return 6;
    x[0] = 1;
    if (lepid_set_input(session, 0, x, sizeof x)) return 7;
    if (lepid_run(session) == LEPID_OK) return 8;
    if (lepid_get_output(session, 0, &data, NULL) == LEPID_OK) return 9;
    if (lepid_set_memory_limit(session, 1 << 20)) return 10;
    if (lepid_run(session)) return 11;
    if (lepid_get_output_dims(session, 0, &dims) || dims[1] != 2049) return 12;
    lepid_session_destroy(session);
    return 0;
}
"#;

/// Compiles an IR text to a static library, links it with a program in C, and runs that.
fn serves(model: &str, options: &[&str], source: &str) {
    if !has("cc") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = |file: &str| folder.path().join(file);
    fs::write(path("net.lir"), model).unwrap();
    fs::write(path("user.c"), source).unwrap();
    let emit = ["--emit", "static-lib", "-o", "libnet.a"];
    let compile = ["compile", "net.lir"].iter().chain(options).chain(&emit);
    let said = run(lepid(folder.path()).args(compile));
    let mut build = Command::new("cc");
    build.current_dir(folder.path());
    build.args([
        "-Wall", "-Wextra", "-Werror", "user.c", "-o", "user", "libnet.a",
    ]);
    run(build.args(link_words(&said)));
    run(&mut program(&path("user")));
}

#[test]
fn a_failed_run_leaves_no_outputs() {
    let model = "func @main(%x: tensor<4096xf32>) -> (tensor<1x?xi64>) {\n  \
        %places = tensor.non_zero(%x) : tensor<1x?xi64>\n  return %places\n}\n";
    serves(model, &[], LIMITED);
}

/// Runs on other numbers of samples than a program computes at a time.
const SAMPLES: &str = r#"
#include "net.h"
#include <string.h>

int main(void) {
    lepid_session *session;
    const void *sums;
    const int64_t *dims;
    size_t bytes;
    float x[7][2], y[7];
    for (int i = 0; i < 7; i++) {
        x[i][0] = i;
        x[i][1] = 10;
    }
    if (lepid_session_create(&net_program, 2, &session, NULL, 0)) return 1;
    if (lepid_batch(session) != 3 || NET_INPUT_0_BYTES != 3 * sizeof x[0]) return 2;
    for (size_t n = 0; n <= 7; n++) {
        if (lepid_set_samples(session, n)) return 3;
        if (lepid_set_input(session, 0, x, n * sizeof x[0])) return 4;
        if (lepid_run(session)) return 5;
        if (lepid_get_output(session, 0, &sums, &bytes) || bytes != n * sizeof y[0]) return 6;
        if (lepid_get_output_dims(session, 0, &dims) || dims[0] != (int64_t)n) return 7;
        for (size_t i = 0; i < n; i++) {
            if (((const float *)sums)[i] != 10 + i) return 8;
        }
    }
    /* Samples that were set for another number, or in parts. */
    if (lepid_set_samples(session, 2) || lepid_run(session) != LEPID_ERROR_ARGUMENT) return 9;
    if (!strstr(lepid_last_error(session), "2 samples take 16")) return 10;
    if (lepid_set_input(session, 0, x, 12) != LEPID_ERROR_ARGUMENT) return 11;
    if (lepid_set_samples(session, SIZE_MAX) != LEPID_ERROR_ARGUMENT) return 12;
    y[2] = -1;
    if (lepid_bind_input(session, 0, x, 2 * sizeof x[0])) return 13;
    if (lepid_bind_output(session, 0, y, 2 * sizeof y[0]) || lepid_run(session)) return 14;
    if (y[0] != 10 || y[1] != 11 || y[2] != -1) return 15;
    lepid_session_destroy(session);
    return 0;
}
"#;

#[test]
fn programs_take_any_number_of_samples() {
    let model = "func @main(%x: tensor<?Nx2xf32>) -> (tensor<?Nxf32>) {\n  \
        %y = tensor.reduce(%x) {axes = [1], kind = \"sum\"} : tensor<?Nxf32>\n  return %y\n}\n";
    serves(model, &["--dim", "N=..3"], SAMPLES);
}

/// Rows that are written into a state, which is read, set and reset.
const STEPS: &str = r#"
#include "net.h"
#include <string.h>

static const float rows[3][2] = {{1, 2}, {3, 4}, {5, 6}};

static int holds(lepid_session *session, const float *wanted) {
    const void *data;
    size_t bytes;
    if (lepid_get_state(session, 0, &data, &bytes)) return 0;
    return bytes == NET_STATE_0_BYTES && memcmp(data, wanted, bytes) == 0;
}

int main(void) {
    lepid_session *session;
    const void *sums;
    float expected[8] = {0};
    if (lepid_input_count(&net_program) != 2 || lepid_output_count(&net_program) != 1) return 1;
    if (lepid_state_count(&net_program) != 1 || lepid_state(&net_program, 1)) return 2;
    if (strcmp(lepid_state(&net_program, 0)->name, "past")) return 3;
    if (lepid_find_state(&net_program, "past") || lepid_find_state(&net_program, "present")) return 4;
    if (lepid_find_state(&net_program, "x") != SIZE_MAX) return 5;
    if (lepid_session_create(&net_program, 2, &session, NULL, 0)) return 6;
    if (!holds(session, expected)) return 7;
    for (int64_t at = 0; at < 3; at++) {
        if (lepid_set_input(session, 0, &at, sizeof at)) return 8;
        if (lepid_set_input(session, 1, rows[at], sizeof rows[at])) return 9;
        if (lepid_run(session)) return 10;
        memcpy(expected + 2 * at, rows[at], sizeof rows[at]);
        if (!holds(session, expected)) return 11;
    }
    if (lepid_get_output(session, 0, &sums, NULL) || ((const float *)sums)[1] != 12) return 12;
    if (lepid_set_state(session, 0, rows, sizeof rows) == LEPID_OK) return 13;
    if (lepid_set_state(session, 1, expected, sizeof expected) == LEPID_OK) return 14;
    if (!holds(session, expected)) return 15;
    expected[7] = 9;
    if (lepid_set_state(session, 0, expected, sizeof expected)) return 16;
    if (lepid_run(session) || !holds(session, expected)) return 17;
    memset(expected, 0, sizeof expected);
    if (lepid_reset_states(session) || !holds(session, expected)) return 18;
    lepid_session_destroy(session);
    return 0;
}
"#;

#[test]
fn states_stay_in_sessions() {
    let model = "func @main(%at: tensor<1x1xi64>, %past: tensor<4x2xf32>, %row: tensor<1x2xf32>) -> (tensor<2xf32>, tensor<4x2xf32>) attributes {inputs = [\"at\", \"past\", \"row\"], outputs = [\"sums\", \"present\"]} {\n  \
        %y = tensor.scatter_nd(%past, %at, %row) : tensor<4x2xf32>\n  \
        %s = tensor.reduce(%y) {axes = [0], kind = \"sum\"} : tensor<2xf32>\n  return %s, %y\n}\n";
    serves(model, &["--state=past=present"], STEPS);
}

#[test]
fn a_missing_compiler_is_a_diagnostic() {
    let job = Job::new(&EXAMPLES[0]);
    let mut command = lepid(job.folder.path());
    command.arg("compile").arg(&job.model).args(&job.dims);
    command.args(["--emit", "shared-lib", "-o", "libnet.so"]);
    let output = command.env("CC", "no-such-compiler").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("error[E0806]"), "{said}");
    assert!(!job.path("libnet.so").exists());
}
