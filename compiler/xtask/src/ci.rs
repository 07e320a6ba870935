//! `cargo xtask ci`: runs every check, tells at the end which held.

use std::process::{Command, ExitCode};
use std::time::Instant;

use crate::check_models;
use crate::check_ops;
use crate::fuzz;
use crate::models;
use crate::onnx_suite;
use crate::packages;
use crate::python;
use crate::tidy;
use crate::workspace::{self, Result};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Install the Python packages under target/ and run the checks against ONNX Runtime, too.
    #[arg(long)]
    install: bool,
    /// Leave out the documentation, the scalar run and the checks against other programs.
    #[arg(long)]
    quick: bool,
}

/// How a step ended.
enum Outcome {
    Passed,
    Failed(String),
    Skipped(String),
}

struct Step {
    name: &'static str,
    run: fn() -> Outcome,
    /// Which runs have it.
    when: When,
}

#[derive(PartialEq)]
enum When {
    Always,
    NotQuick,
    Install,
}

const STEPS: &[Step] = &[
    Step {
        name: "fmt",
        run: format,
        when: When::Always,
    },
    Step {
        name: "clippy",
        run: clippy,
        when: When::Always,
    },
    Step {
        name: "doc",
        run: doc,
        when: When::NotQuick,
    },
    Step {
        name: "test",
        run: test,
        when: When::Always,
    },
    Step {
        name: "test, scalar kernels",
        run: test_scalar,
        when: When::NotQuick,
    },
    Step {
        name: "valgrind",
        run: install_valgrind,
        when: When::Install,
    },
    Step {
        name: "C programs, valgrind",
        run: c_programs,
        when: When::NotQuick,
    },
    Step {
        name: "fuzz",
        run: fuzz,
        when: When::NotQuick,
    },
    Step {
        name: "tidy",
        run: tidy,
        when: When::Always,
    },
    Step {
        name: "python packages",
        run: python_packages,
        when: When::Install,
    },
    Step {
        name: "check-ops",
        run: check_ops,
        when: When::Install,
    },
    Step {
        name: "check-models",
        run: check_models,
        when: When::Install,
    },
    Step {
        name: "onnx-suite",
        run: onnx_suite,
        when: When::Install,
    },
];

pub(crate) fn main(options: &Options) -> Result<ExitCode> {
    let chosen = STEPS.iter().filter(|step| match step.when {
        When::Always => true,
        When::NotQuick => !options.quick,
        When::Install => options.install && !options.quick,
    });
    let mut done = Vec::new();
    for step in chosen {
        println!("\n=== {}", step.name);
        let start = Instant::now();
        let outcome = (step.run)();
        done.push((step.name, outcome, workspace::seconds_since(start)));
    }
    Ok(summarise(&done))
}

/// Prints the table and the line that ends the output.
fn summarise(done: &[(&str, Outcome, f64)]) -> ExitCode {
    println!("\n{:24} {:>8}  result", "step", "seconds");
    let (mut passed, mut failed) = (0, 0);
    for (name, outcome, seconds) in done {
        let result = match outcome {
            Outcome::Passed => {
                passed += 1;
                "passed".to_owned()
            }
            Outcome::Failed(reason) => {
                failed += 1;
                format!("FAILED: {reason}")
            }
            Outcome::Skipped(reason) => format!("skipped: {reason}"),
        };
        println!("{name:24} {seconds:8.1}  {result}");
    }
    println!("\n{passed} passed, {failed} failed");
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn format() -> Outcome {
    with_tool("cargo fmt", &["fmt", "--version"], || {
        cargo(&["fmt", "--all", "--check"])
    })
}

fn clippy() -> Outcome {
    with_tool("cargo clippy", &["clippy", "--version"], || {
        cargo(&[
            "clippy",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ])
    })
}

fn doc() -> Outcome {
    let mut command = workspace::cargo();
    command
        .args([
            "doc",
            "--workspace",
            "--no-deps",
            "--document-private-items",
        ])
        .env(
            "RUSTDOCFLAGS",
            "-D warnings -A rustdoc::private_intra_doc_links",
        );
    outcome(&mut command)
}

fn test() -> Outcome {
    let mut command = workspace::cargo();
    command
        .args(["test", "--release", "--workspace", "--no-fail-fast"])
        .env("INSTA_UPDATE", "no");
    outcome(&mut command)
}

/// The kernels for machines without AVX2 are the ones that no developer's machine runs by itself.
fn test_scalar() -> Outcome {
    let mut command = workspace::cargo();
    command
        .args(["test", "--release", "--no-fail-fast", "--tests"])
        .args(["--package", "lepid-target-cpu", "--package", "lepid"])
        .env("LEPID_CPU_ISA", "scalar")
        .env("INSTA_UPDATE", "no");
    outcome(&mut command)
}

fn has_valgrind() -> bool {
    workspace::has_program(Command::new("valgrind").arg("--version"))
}

fn install_valgrind() -> Outcome {
    if has_valgrind() {
        return Outcome::Passed;
    }
    match packages::install("valgrind") {
        Ok(true) => Outcome::Passed,
        Ok(false) => missing("valgrind"),
        Err(error) => Outcome::Failed(error),
    }
}

/// Programs linked with what lepid compiled neither err nor leak.
fn c_programs() -> Outcome {
    if !has_valgrind() {
        return missing("valgrind");
    }
    let mut command = workspace::cargo();
    command
        .args(["test", "--release", "--package", "lepid", "--test", "c_api"])
        .env("LEPID_VALGRIND", "1");
    outcome(&mut command)
}

fn fuzz() -> Outcome {
    match fuzz::replay() {
        Ok(()) => Outcome::Passed,
        Err(error) => Outcome::Failed(error),
    }
}

fn tidy() -> Outcome {
    match tidy::run() {
        Ok(0) => Outcome::Passed,
        Ok(count) => Outcome::Failed(format!("{count} findings")),
        Err(error) => Outcome::Failed(error),
    }
}

fn python_packages() -> Outcome {
    if !python::exists() {
        return missing("python3");
    }
    match python::packages(python::REQUIREMENTS) {
        Ok(_) => Outcome::Passed,
        Err(error) => Outcome::Failed(error),
    }
}

fn check_ops() -> Outcome {
    if !python::exists() {
        return missing("python3");
    }
    match check_ops::main(&check_ops::Options::everything()) {
        Ok(ExitCode::SUCCESS) => Outcome::Passed,
        Ok(_) => Outcome::Failed("see the table of check-ops".to_owned()),
        Err(error) => Outcome::Failed(error),
    }
}

/// The script that makes the models is not part of the tree, so that its absence is no failure.
fn check_models() -> Outcome {
    if !models::can_generate() {
        return Outcome::Skipped("the shared folder with bench/make_models.py is not there".into());
    }
    if !python::exists() {
        return missing("python3");
    }
    match check_models::main(&check_models::Options::everything()) {
        Ok(ExitCode::SUCCESS) => Outcome::Passed,
        Ok(_) => Outcome::Failed("see the table of check-models".to_owned()),
        Err(error) => Outcome::Failed(error),
    }
}

fn onnx_suite() -> Outcome {
    if !python::exists() {
        return missing("python3");
    }
    match onnx_suite::main(&onnx_suite::Options::everything()) {
        Ok(ExitCode::SUCCESS) => Outcome::Passed,
        Ok(_) => Outcome::Failed("see the tests that onnx-suite names".to_owned()),
        Err(error) => Outcome::Failed(error),
    }
}

fn cargo(arguments: &[&str]) -> Outcome {
    outcome(workspace::cargo().args(arguments))
}

fn outcome(command: &mut Command) -> Outcome {
    match workspace::run(command) {
        Ok(()) => Outcome::Passed,
        Err(error) => Outcome::Failed(error),
    }
}

fn with_tool(name: &str, version: &[&str], step: impl FnOnce() -> Outcome) -> Outcome {
    if workspace::has_program(workspace::cargo().args(version)) {
        return step();
    }
    missing(name)
}

fn missing(tool: &str) -> Outcome {
    let reason = format!("`{tool}` is not installed");
    if workspace::in_ci() {
        Outcome::Failed(reason)
    } else {
        Outcome::Skipped(reason)
    }
}
