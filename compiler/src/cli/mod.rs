//! The command line: one file per command. Only this folder prints, with the renderer's drawings.

mod accuracy;
mod args;
mod bench;
mod bisect;
mod calibrate;
mod compare;
mod compile;
mod completions;
mod eqsat;
mod explain;
mod explain_spec;
mod inspect;
mod kernels;
mod link;
mod list;
mod opt;
mod output;
mod package;
mod profile;
mod reduce;
mod run;
mod serve_sim;
mod states;
mod tune;
mod worker;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use lepid_ir::core::{Code, Diagnostic, Diagnostics, Limits, Loc, Severity, parse_limit};
use serde_json::{Value, json};

use crate::driver::render::{self, Style};
use crate::driver::{Driver, Session, crash};

/// A compiler for adaptive neural networks.
#[derive(Parser)]
#[command(name = "lepid", version, max_term_width = 100, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Print one JSON object on standard output, with the diagnostics in it.
    #[arg(long, global = true)]
    json: bool,
    /// Tell more about what is done.
    #[arg(short, long, global = true)]
    verbose: bool,
    #[command(flatten)]
    limits: LimitArgs,
}

/// What a model may take of the machine; see `lepid explain E0705`.
#[derive(clap::Args)]
#[command(next_help_heading = "Limits")]
struct LimitArgs {
    #[arg(long, global = true, value_name = "BYTES", value_parser = parse_limit, help = Limits::CONSTANTS.help.trim())]
    max_constants: Option<u64>,
    #[arg(long, global = true, value_name = "N", value_parser = parse_limit, help = Limits::DEPTH.help.trim())]
    max_depth: Option<u64>,
    #[arg(long, global = true, value_name = "BYTES", value_parser = parse_limit, help = Limits::MEMORY.help.trim())]
    max_memory: Option<u64>,
    #[arg(long, global = true, value_name = "N", value_parser = parse_limit, help = Limits::NODES.help.trim())]
    max_nodes: Option<u64>,
}

impl LimitArgs {
    fn limits(&self) -> Limits {
        let defaults = Limits::default();
        Limits {
            constants: self.max_constants.unwrap_or(defaults.constants),
            depth: self.max_depth.unwrap_or(defaults.depth),
            memory: self.max_memory.unwrap_or(defaults.memory),
            nodes: self.max_nodes.unwrap_or(defaults.nodes),
        }
    }
}

const EXIT_CODES: &str = "\
Exit codes: 0 success; 1 a mistake in the input, or outputs that differ; 2 wrong usage of the \
command line; 101 a bug of lepid.";

#[derive(Subcommand)]
enum Command {
    Run(run::Args),
    Compile(compile::Args),
    Opt(opt::Args),
    Inspect(inspect::Args),
    Bench(bench::Args),
    Compare(compare::Args),
    Bisect(bisect::Args),
    Reduce(reduce::Args),
    Accuracy(accuracy::Args),
    Tune(tune::Args),
    ServeSim(serve_sim::Args),
    List(list::Args),
    Explain(explain::Args),
    ExplainSpec(explain_spec::Args),
    Completions(completions::Args),
}

/// What every command works with.
struct Cx<'d> {
    driver: &'d Driver,
    session: Session,
    json: bool,
    verbose: bool,
    /// What `--json` prints.
    result: serde_json::Map<String, Value>,
}

impl Cx<'_> {
    /// Adds a member to what `--json` prints.
    fn report(&mut self, name: &str, value: impl Into<Value>) {
        self.result.insert(name.to_string(), value.into());
    }

    /// Adds a note to the messages.
    fn note(&mut self, code: Code, message: impl Into<String>, help: impl Into<String>) {
        let note = Diagnostic {
            severity: Severity::Note,
            ..Diagnostic::error(code, Loc::Unknown, message)
        };
        self.session.diagnostics.push(note.with_help(help));
    }

    /// Tells on standard error what was done; `--json` has it as a member.
    fn say(&self, text: std::fmt::Arguments<'_>) {
        if !self.json {
            // Nothing depends on these lines.
            let _ = writeln!(io::stderr(), "{text}");
        }
    }

    /// Tells on standard error what is done, under `--verbose`.
    fn tell(&self, text: std::fmt::Arguments<'_>) {
        if self.verbose {
            // Nothing depends on these lines.
            let _ = writeln!(io::stderr(), "{text}");
        }
    }
}

/// Why a command ends early.
enum Failure {
    /// To be drawn; exit code 1.
    Reported(Diagnostics),
    /// Standard output is gone or full.
    Output(io::Error),
}

impl From<Diagnostics> for Failure {
    fn from(found: Diagnostics) -> Failure {
        Failure::Reported(found)
    }
}

impl From<Diagnostic> for Failure {
    fn from(found: Diagnostic) -> Failure {
        Failure::Reported(vec![found])
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Output(error)
    }
}

type Outcome = Result<(), Failure>;

/// Runs the command line of the process with these targets.
pub(crate) fn main(driver: &Driver) -> ExitCode {
    crash::install_hook();
    let cli = Cli::parse();
    let mut cx = Cx {
        driver,
        session: Session::within(cli.limits.limits()),
        json: cli.json,
        verbose: cli.verbose,
        result: serde_json::Map::new(),
    };
    let outcome = match cli.command {
        Command::Run(args) => run::run(&args, &mut cx),
        Command::Compile(args) => compile::run(&args, &mut cx),
        Command::Inspect(args) => inspect::run(&args, &mut cx),
        Command::Bench(args) => bench::run(&args, &mut cx),
        Command::Compare(args) => compare::run(&args, &mut cx),
        Command::Bisect(args) => bisect::run(&args, &mut cx),
        Command::Reduce(args) => reduce::run(&args, &mut cx),
        Command::Accuracy(args) => accuracy::run(&args, &mut cx),
        Command::Completions(args) => completions::run(&args),
        Command::Opt(args) => opt::run(&args, &mut cx),
        Command::List(args) => list::run(&args, &mut cx),
        Command::Explain(args) => explain::run(&args, &mut cx),
        Command::ServeSim(args) => serve_sim::run(&args, &mut cx),
        Command::Tune(args) => tune::run(&args, &mut cx),
        Command::ExplainSpec(_) => explain_spec::run(&mut cx),
    };
    finish(cx, outcome)
}

fn finish(mut cx: Cx<'_>, outcome: Outcome) -> ExitCode {
    let mut found = std::mem::take(&mut cx.session.diagnostics);
    match outcome {
        Ok(()) => {}
        Err(Failure::Reported(more)) => found.extend(more),
        // Whoever read our output has seen enough.
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            return ExitCode::SUCCESS;
        }
        Err(Failure::Output(error)) => {
            let _ = writeln!(io::stderr(), "error: standard output: {error}");
            return ExitCode::FAILURE;
        }
    }
    draw(&found, &cx.session);
    if cx.json {
        let all: Vec<Value> = found
            .iter()
            .map(|d| render::to_json(d, &cx.session))
            .collect();
        cx.result.insert("diagnostics".to_string(), json!(all));
        let text = Value::Object(cx.result);
        if let Err(error) = writeln!(io::stdout(), "{text:#}")
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            return ExitCode::FAILURE;
        }
    }
    match found.iter().any(Diagnostic::is_error) {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}

fn draw(found: &Diagnostics, session: &Session) {
    let stderr = io::stderr();
    let style = match stderr.is_terminal() && std::env::var_os("NO_COLOR").is_none() {
        true => Style::Colored,
        false => Style::Plain,
    };
    let mut text = String::new();
    for diagnostic in found {
        text += &render::render(diagnostic, session, style);
    }
    let errors = found.iter().filter(|d| d.is_error()).count();
    if errors > 1 {
        text += &format!("{errors} errors\n");
    }
    // There is no other place to say that standard error is gone.
    let _ = stderr.lock().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_declared_arguments_are_consistent() {
        Cli::command().debug_assert();
    }
}
