//! `cargo xtask new`: the skeleton of an op, a pass or a target, in exactly the places that the style guide's "Adding things" names.
//!
//! What it writes compiles and passes the tests; it does nothing yet.

mod edit;
mod names;
mod op;
mod pass;
mod plan;
mod target;

use std::process::ExitCode;

use crate::workspace::Result;

#[derive(clap::Subcommand)]
pub(crate) enum Options {
    /// An op: its block, and its line in the dialect's list.
    Op(op::Options),
    /// A pass: its file, its line in the list, and a test folder with a first input.
    Pass(pass::Options),
    /// A target: its crate, and its line in the driver.
    Target(target::Options),
}

pub(crate) fn main(options: &Options) -> Result<ExitCode> {
    let plan = match options {
        Options::Op(options) => op::plan(options)?,
        Options::Pass(options) => pass::plan(options)?,
        Options::Target(options) => target::plan(options)?,
    };
    plan.carry_out()?;
    Ok(ExitCode::SUCCESS)
}
