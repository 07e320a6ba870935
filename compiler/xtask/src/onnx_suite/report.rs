//! What a run of the suite tells: counts, the operators with tests that do not pass, a JSON file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Serialize;

use super::trial::{Test, Verdict};
use crate::workspace::{self, Result};

type Results<'a> = BTreeMap<&'a str, (&'a Test, Verdict)>;

/// How many tests ended in which way.
#[derive(Default, Serialize)]
struct Counts {
    passed: usize,
    refused: usize,
    failed: usize,
}

impl Counts {
    fn add(&mut self, verdict: &Verdict) {
        match verdict {
            Verdict::Passed => self.passed += 1,
            Verdict::Refused(_) => self.refused += 1,
            Verdict::Wrong(_) | Verdict::Crashed(_) | Verdict::TimedOut => self.failed += 1,
        }
    }
}

/// One test in the JSON file.
#[derive(Serialize)]
struct Row<'a> {
    operator: &'a str,
    /// Whether it is one of those that count.
    listed: bool,
    #[serde(flatten)]
    verdict: &'a Verdict,
}

#[derive(Serialize)]
struct Summary<'a> {
    listed: Counts,
    others: Counts,
    tests: BTreeMap<&'a str, Row<'a>>,
}

fn counts(name: &str, listed: Option<&BTreeSet<String>>) -> bool {
    listed.is_none_or(|listed| listed.contains(name))
}

fn tally(results: &Results<'_>, listed: Option<&BTreeSet<String>>) -> [Counts; 2] {
    let mut tallies = [Counts::default(), Counts::default()];
    for (name, (_, verdict)) in results {
        tallies[usize::from(!counts(name, listed))].add(verdict);
    }
    tallies
}

/// The table of operators with tests that do not pass, the failures, and the totals.
pub(super) fn print(results: &Results<'_>, listed: Option<&BTreeSet<String>>) {
    let mut operators: BTreeMap<&str, Counts> = BTreeMap::new();
    for (name, (test, verdict)) in results {
        if counts(name, listed) {
            operators.entry(&test.operator).or_default().add(verdict);
        }
    }
    println!(
        "\n{:28} {:>7} {:>7} {:>7}",
        "operator", "passed", "refused", "failed"
    );
    for (operator, c) in operators {
        if c.refused + c.failed > 0 {
            println!(
                "{operator:28} {:>7} {:>7} {:>7}",
                c.passed, c.refused, c.failed
            );
        }
    }
    println!();
    for (name, (_, verdict)) in results {
        if verdict.is_failure() {
            println!("FAILED {name}: {}", verdict.message());
        }
    }
    let [ours, others] = tally(results, listed);
    for (what, c) in [("tests that count", ours), ("other tests", others)] {
        println!(
            "{what}: {} passed, {} refused, {} failed",
            c.passed, c.refused, c.failed
        );
    }
}

pub(super) fn write(
    path: &Path,
    results: &Results<'_>,
    listed: Option<&BTreeSet<String>>,
) -> Result<()> {
    let [ours, others] = tally(results, listed);
    let mut tests = BTreeMap::new();
    for (name, (test, verdict)) in results {
        let row = Row {
            operator: &test.operator,
            listed: counts(name, listed),
            verdict,
        };
        tests.insert(*name, row);
    }
    workspace::write_json(
        path,
        &Summary {
            listed: ours,
            others,
            tests,
        },
    )
}
