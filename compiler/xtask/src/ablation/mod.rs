//! `cargo xtask ablation`: what each family of rules of `eqsat` is worth on whole networks.
//!
//! Each model is compiled with all rules, without any, and without each family. What the cost model predicts for the programs stands beside what they take, timed in turns (`turns`). A program that is equal to that with all rules is not timed again.

mod program;
mod report;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use serde::Deserialize;

use crate::models::Selection;
use crate::python;
use crate::reference::{Reference, relative_error};
use crate::turns::{Contestant, Turns};
use crate::workspace::{self, Result};

use program::Program;
use report::{Group, Measurement, Row};

#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    turns: Turns,
    /// Time this program; `lepid` is built if absent.
    #[arg(long, value_name = "FILE")]
    lepid: Option<PathBuf>,
    /// Write every number to a JSON file, too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the table to a Markdown file, too.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
}

/// A choice of rules.
struct Variant {
    /// What the table calls it.
    name: String,
    /// The value of the target's option `eqsat`.
    rules: String,
}

pub(crate) fn main(options: &Options) -> Result<ExitCode> {
    let names = options.selection.names()?;
    let python = python::packages(python::REQUIREMENTS)?;
    let lepid = workspace::lepid(options.lepid.as_deref())?;
    let folder = options.selection.generate(&python)?;
    let variants = variants(&lepid)?;
    let mut groups = Vec::new();
    for name in names {
        let reference = Reference::make(&python, &folder, name, 1)?;
        let bench = Bench {
            lepid: &lepid,
            reference: &reference,
        };
        let same = same_as_first(&bench, &variants)?;
        for &threads in &options.turns.threads {
            let group = measure(options, &bench, (name, threads), (&variants, &same));
            report::print_group(&group);
            groups.push(group);
            if let Some(path) = &options.json {
                workspace::write_json(path, &groups)?;
            }
        }
    }
    let table = report::markdown(&groups);
    println!("\n{table}");
    if let Some(path) = &options.markdown {
        let failed = |error| format!("cannot write {}: {error}", path.display());
        std::fs::write(path, table).map_err(failed)?;
    }
    let failed = groups.iter().any(Group::has_failures);
    Ok(if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// All rules first, then none, then all but each family.
fn variants(lepid: &Path) -> Result<Vec<Variant>> {
    let variant = |name: &str, rules: String| Variant {
        name: name.to_owned(),
        rules,
    };
    let mut variants = vec![
        variant("all on", "all".to_owned()),
        variant("off", "none".to_owned()),
    ];
    for family in families(lepid)? {
        variants.push(variant(
            &format!("without {family}"),
            format!("all -{family}"),
        ));
    }
    Ok(variants)
}

/// What `lepid list rules --json` prints.
#[derive(Deserialize)]
struct Listing {
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
struct Rule {
    family: String,
}

/// The families of rules, in the order in which they are listed.
fn families(lepid: &Path) -> Result<Vec<String>> {
    let printed = workspace::capture(Command::new(lepid).args(["list", "rules", "--json"]))?;
    let listing: Listing = serde_json::from_str(&printed)
        .map_err(|error| format!("cannot read what `lepid list rules --json` printed: {error}"))?;
    let mut families: Vec<String> = listing.rules.into_iter().map(|rule| rule.family).collect();
    families.dedup();
    Ok(families)
}

/// For each variant whether its program is that of the first; or why there is none.
fn same_as_first(bench: &Bench<'_>, variants: &[Variant]) -> Result<Vec<Result<bool>>> {
    let folder = workspace::target_dir().join("ablation");
    let first = Program::compile(bench, &variants[0], &folder.join("first"))?;
    let mut same = vec![Ok(true)];
    for variant in &variants[1..] {
        let program = Program::compile(bench, variant, &folder.join("other"));
        same.push(program.and_then(|program| program.is(&first)));
    }
    Ok(same)
}

/// Measures all variants of one model at one thread count.
fn measure(
    options: &Options,
    bench: &Bench<'_>,
    (model, threads): (&'static str, usize),
    (variants, same): (&[Variant], &[Result<bool>]),
) -> Group {
    let mut rows: Vec<Row> = variants.iter().map(Row::new).collect();
    let mut contestants = Vec::new();
    for (at, (variant, same)) in variants.iter().zip(same).enumerate() {
        let started = match same {
            Ok(true) if at > 0 => {
                rows[at].same_program = true;
                continue;
            }
            Ok(_) => bench.predict(variant, threads),
            Err(error) => Err(error.clone()),
        };
        let started = started.and_then(|predicted| {
            rows[at].predicted_ms = Some(predicted);
            let mut command = bench.command(variant, threads);
            Contestant::start(at, &variant.name, command.arg("--worker"))
        });
        match started {
            Ok(contestant) => contestants.push(contestant),
            Err(error) => rows[at].failure = Some(error),
        }
    }
    let turns = &options.turns;
    let outcome = turns.play((model, threads), &mut contestants, &mut || Ok(()));
    for (at, error) in outcome.failures {
        rows[at].failure = Some(error);
    }
    for contestant in contestants {
        let at = contestant.key;
        match finish(contestant, bench.reference) {
            Ok(measurement) => rows[at].measured = Some(measurement),
            Err(error) => rows[at].failure = Some(error),
        }
    }
    Group {
        model,
        threads,
        disturbed_rounds: outcome.disturbed_rounds,
        variants: rows,
    }
}

fn finish(mut contestant: Contestant<usize>, reference: &Reference) -> Result<Measurement> {
    let output = contestant.worker.ask("out", "O")?;
    let times = contestant.times();
    Ok(Measurement {
        median_ms: times.median,
        p10_ms: times.p10,
        min_ms: times.min,
        runs: times.runs,
        clean_rounds: times.clean_rounds,
        error: relative_error(&output, &reference.first_output),
    })
}

/// A model and what compiles it.
struct Bench<'a> {
    lepid: &'a Path,
    reference: &'a Reference,
}

/// What `lepid bench --kernels --json` prints.
#[derive(Deserialize)]
struct Prediction {
    predicted_ms: f64,
}

impl Bench<'_> {
    /// `lepid bench` for a variant.
    fn command(&self, variant: &Variant, threads: usize) -> Command {
        let mut command = Command::new(self.lepid);
        command.arg("bench").arg(&self.reference.model);
        command.args(["--threads", &threads.to_string()]);
        command.args(["--target-option", &variant.option()]);
        self.reference.add_inputs(&mut command);
        command
    }

    /// Milliseconds that the cost model predicts for all kernels.
    fn predict(&self, variant: &Variant, threads: usize) -> Result<f64> {
        let mut command = self.command(variant, threads);
        command.args(["--kernels", "--json", "--warmup", "0", "--iterations", "1"]);
        let printed = workspace::capture(&mut command)?;
        let prediction: Prediction = serde_json::from_str(&printed)
            .map_err(|error| format!("cannot read what `lepid bench --json` printed: {error}"))?;
        Ok(prediction.predicted_ms)
    }
}

impl Variant {
    fn option(&self) -> String {
        format!("eqsat={}", self.rules)
    }
}
