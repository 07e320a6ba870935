//! `lepid completions`: scripts for shells.

use std::io::{self, Write};

use clap::CommandFactory;
use clap_complete::{Shell, generate};

use super::{Cli, Outcome};

/// Print the completion script of a shell.
#[derive(clap::Args)]
#[command(
    after_help = "Example: lepid completions bash > ~/.local/share/bash-completion/completions/lepid"
)]
pub(super) struct Args {
    shell: Shell,
}

pub(super) fn run(args: &Args) -> Outcome {
    // The generator panics on a closed pipe, so it writes to memory.
    let mut script = Vec::new();
    generate(args.shell, &mut Cli::command(), "lepid", &mut script);
    io::stdout().write_all(&script)?;
    Ok(())
}
