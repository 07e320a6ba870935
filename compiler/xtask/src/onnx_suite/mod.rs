//! `cargo xtask onnx-suite`: the node tests that the onnx package ships, each through the real `lepid` binary.
//!
//! A test passes if every output has the expected shape, element type and values; it is refused if `lepid` ends with exit code 1 and a diagnostic. Anything else is a failure: a wrong value, a crash, too much time. The tests that count are named in a list beside the checkout; the others must not fail either. A file in the tree names the tests that pass on the CPU target: none of them may stop passing.

mod ratchet;
mod report;
mod trial;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::num::NonZeroUsize;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;

use crate::models;
use crate::python;
use crate::workspace::{self, Result};

use trial::{Test, Trial, Verdict};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The target to run on.
    #[arg(long, default_value = "cpu", value_name = "TARGET")]
    target: String,
    /// Only tests with this in their names.
    #[arg(long, value_name = "SUBSTRING")]
    only: Option<String>,
    /// Tests at a time [default: all cores].
    #[arg(long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
    /// Seconds that one run may take.
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    seconds: u64,
    /// Try this program; `lepid` is built if absent.
    #[arg(long, value_name = "FILE")]
    lepid: Option<PathBuf>,
    /// The names of the tests that count, one a line [default: data/onnx-node-tests.txt in the shared folder].
    #[arg(long, value_name = "FILE")]
    list: Option<PathBuf>,
    /// The shared folder [env: LEPID_SHARED; default: ../shared]
    #[arg(long, value_name = "FOLDER")]
    shared: Option<PathBuf>,
    /// Write the result of each test to a JSON file, too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the tests that pass to the file that later runs are held to.
    #[arg(long, conflicts_with = "only")]
    update: bool,
}

impl Options {
    /// What a plain `cargo xtask onnx-suite` runs.
    pub(crate) fn everything() -> Options {
        use clap::{Args, FromArgMatches};
        let matches = Options::augment_args(clap::Command::new("onnx-suite"))
            .get_matches_from(["onnx-suite"]);
        Options::from_arg_matches(&matches).expect("every option has a default")
    }
}

/// What the Python script tells of the installed package.
#[derive(Deserialize)]
struct Suite {
    version: String,
    tests: Vec<Test>,
}

pub(crate) fn main(options: &Options) -> Result<ExitCode> {
    let lepid = workspace::lepid(options.lepid.as_deref())?;
    let suite = installed()?;
    let listed = listed(options, &suite)?;
    let wanted = |test: &Test| {
        let only = options.only.as_deref();
        only.is_none_or(|part| test.name.contains(part))
    };
    let tests: Vec<Test> = suite.tests.into_iter().filter(wanted).collect();
    println!(
        "onnx {}: {} tests on the target `{}`",
        suite.version,
        tests.len(),
        options.target
    );
    let trial = Trial {
        lepid,
        target: options.target.clone(),
        limit: Duration::from_secs(options.seconds),
    };
    let verdicts = run_all(&trial, &tests, options.jobs);
    let results: BTreeMap<&str, (&Test, Verdict)> = tests
        .iter()
        .zip(verdicts)
        .map(|(test, verdict)| (test.name.as_str(), (test, verdict)))
        .collect();
    report::print(&results, listed.as_ref());
    if let Some(path) = &options.json {
        report::write(path, &results, listed.as_ref())?;
    }
    let failed = results.values().any(|(_, v)| v.is_failure());
    if options.target != ratchet::TARGET {
        return Ok(code(failed));
    }
    if options.update {
        ratchet::update(&results)?;
        return Ok(code(failed));
    }
    let lost = ratchet::lost(&results)?;
    for name in &lost {
        println!("no longer passes: {name}");
    }
    Ok(code(failed || !lost.is_empty()))
}

fn code(failed: bool) -> ExitCode {
    match failed {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}

fn installed() -> Result<Suite> {
    let python = python::packages(python::REQUIREMENTS)?;
    let script = python::scripts().join("onnx_suite.py");
    let text = workspace::capture(Command::new(python).arg(script))?;
    serde_json::from_str(&text).map_err(|error| format!("cannot read the list of tests: {error}"))
}

/// The names of the tests that count; none if nothing lists them.
fn listed(options: &Options, suite: &Suite) -> Result<Option<BTreeSet<String>>> {
    let shared = models::shared_folder(options.shared.as_deref());
    let path = match &options.list {
        Some(path) => path.clone(),
        None => shared.join("data").join("onnx-node-tests.txt"),
    };
    if options.list.is_none() && !path.exists() {
        println!(
            "the list of tests that count is not there: {}; all tests count\nhelp: name it with --list, or its folder with --shared or LEPID_SHARED",
            path.display()
        );
        return Ok(None);
    }
    let text = fs::read_to_string(&path)
        .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let names: BTreeSet<String> = text.split_whitespace().map(str::to_owned).collect();
    let known: BTreeSet<&str> = suite.tests.iter().map(|t| t.name.as_str()).collect();
    match names.iter().find(|name| !known.contains(name.as_str())) {
        Some(name) => Err(format!(
            "{} lists `{name}`, which onnx {} does not have",
            path.display(),
            suite.version
        )),
        None => Ok(Some(names)),
    }
}

/// The verdicts in the order of the tests.
fn run_all(trial: &Trial, tests: &[Test], jobs: Option<NonZeroUsize>) -> Vec<Verdict> {
    let cores = || thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let jobs = jobs.unwrap_or_else(cores).get().min(tests.len().max(1));
    let bar = progress(tests.len());
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(test) = tests.get(index) else {
                return done;
            };
            done.push((index, trial.run(test)));
            bar.inc(1);
        }
    };
    let mut done: Vec<(usize, Verdict)> = thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(worker)).collect();
        let joined = workers.into_iter().map(|w| w.join());
        joined
            .flat_map(|done| done.unwrap_or_else(|panic| resume_unwind(panic)))
            .collect()
    });
    bar.finish_and_clear();
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, verdict)| verdict).collect()
}

fn progress(tests: usize) -> ProgressBar {
    let bar = ProgressBar::new(tests as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} {eta}") {
        bar.set_style(style);
    }
    bar
}
