//! Chores of the project: `cargo xtask --help` lists them.
//!
//! It may know of every crate of the workspace, and no crate knows of it. Begin with `ci.rs`, which says what has to hold, or `workspace.rs`, which every chore stands on.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool prints"
)]

mod ablation;
mod bench_peers;
mod check_models;
mod check_ops;
mod ci;
mod fuzz;
mod models;
mod new;
mod onnx_suite;
mod packages;
mod python;
mod reference;
mod tidy;
mod turns;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Chores of the Lepid project.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Check the layout, the arrows between crates, file lengths, comments and codes.
    Tidy,
    /// Run everything that has to be green: formatting, lints, docs, tests, tidy.
    Ci(ci::Options),
    /// Compare whole networks with ONNX Runtime, at several batch sizes and thread counts.
    CheckModels(check_models::Options),
    /// Compare single operators with ONNX Runtime, on several targets.
    CheckOps(check_ops::Options),
    /// Time lepid beside other engines, in turns, and print the table.
    BenchPeers(bench_peers::Options),
    /// Time whole networks without each family of rules of `eqsat`, in turns, and print the table.
    Ablation(ablation::Options),
    /// Run the node tests that the onnx package ships, each through the `lepid` binary.
    OnnxSuite(onnx_suite::Options),
    /// Try mutated inputs.
    #[command(subcommand)]
    Fuzz(fuzz::Subject),
    /// Write the skeleton of an op, a pass or a target.
    #[command(subcommand)]
    New(new::Options),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().chore {
        Chore::Tidy => tidy::main(),
        Chore::Ci(options) => ci::main(&options),
        Chore::CheckModels(options) => check_models::main(&options),
        Chore::CheckOps(options) => check_ops::main(&options),
        Chore::BenchPeers(options) => bench_peers::main(&options),
        Chore::Ablation(options) => ablation::main(&options),
        Chore::OnnxSuite(options) => onnx_suite::main(&options),
        Chore::Fuzz(subject) => fuzz::main(&subject),
        Chore::New(options) => new::main(&options),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}
