//! The hidden side of `lepid bench --worker`: a harness that times several engines in turn starts
//! one process of each, and tells it by lines when to run.
//!
//! | line | answer |
//! |---|---|
//! | (start) | `READY LOAD_SECONDS RESIDENT_KB PEAK_KB FIRST_RUN_SECONDS` |
//! | `run SECONDS MOST` | `T` and the milliseconds of each run |
//! | `out` | `O` and up to 4096 values of the first output |
//! | `mem` | `M RESIDENT_KB PEAK_KB` |
//! | `quit`, or the end | none |

use std::io::{self, BufRead, Write};
use std::time::Instant;

use super::bench::Ready;
use super::{Failure, Outcome};

const OUTPUT_VALUES: usize = 4096;

pub(super) fn serve(ready: &mut Ready<'_>) -> Outcome {
    let load = ready.load.as_secs_f64();
    let (resident, peak) = memory();
    let start = Instant::now();
    let outputs = ready.executable.run(&ready.inputs)?;
    let first = start.elapsed().as_secs_f64();
    let mut out = io::stdout().lock();
    writeln!(out, "READY {load} {resident} {peak} {first}")?;
    out.flush()?;
    for line in io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["run", seconds, most] => {
                let (Ok(seconds), Ok(most)) = (seconds.parse(), most.parse()) else {
                    return Err(bad_line(&line));
                };
                let times = time(ready, seconds, most)?;
                writeln!(out, "T {}", words_of(&times))?;
            }
            ["out"] => {
                let values = outputs.first().map(|t| t.to_f64s()).unwrap_or_default();
                let shown = &values[..values.len().min(OUTPUT_VALUES)];
                let words: Vec<String> = shown.iter().map(|x| format!("{x:e}")).collect();
                writeln!(out, "O {}", words.join(" "))?;
            }
            ["mem"] => {
                let (resident, peak) = memory();
                writeln!(out, "M {resident} {peak}")?;
            }
            ["quit"] => break,
            _ => return Err(bad_line(&line)),
        }
        out.flush()?;
    }
    Ok(())
}

fn bad_line(line: &str) -> Failure {
    use lepid_ir::core::{Code, Diagnostic, Loc};
    let message = format!("`{line}` is not a line for a worker");
    Diagnostic::error(Code::ARGUMENT, Loc::Unknown, message).into()
}

fn words_of(times: &[f64]) -> String {
    let words: Vec<String> = times.iter().map(|t| format!("{t:.6}")).collect();
    words.join(" ")
}

/// Milliseconds of runs, at least one.
fn time(ready: &mut Ready<'_>, seconds: f64, most: usize) -> Result<Vec<f64>, Failure> {
    let mut times = Vec::new();
    let begin = Instant::now();
    loop {
        let start = Instant::now();
        ready.executable.rerun()?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
        if times.len() >= most || begin.elapsed().as_secs_f64() >= seconds {
            return Ok(times);
        }
    }
}

/// Resident memory now and at most, in kB; zeros where the system does not tell.
fn memory() -> (u64, u64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find(|l| l.starts_with(name));
        let number = line.and_then(|l| l.split_whitespace().nth(1));
        number.and_then(|n| n.parse().ok()).unwrap_or(0)
    };
    (field("VmRSS:"), field("VmHWM:"))
}
