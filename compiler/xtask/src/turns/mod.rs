//! Times several programs beside each other: each is a process of its own, all are live at once, and they are timed in turns.
//!
//! What else happens on the machine thus meets all of them alike. A turn in which other processes took too much of the machine is repeated. Ratios from one contest can be compared; times from different ones cannot.

mod foreign_load;
pub(crate) mod worker;

use std::process::Command;
use std::thread;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::workspace::Result;

use foreign_load::Watch;
use worker::Worker;

/// How programs take turns.
#[derive(clap::Args)]
pub(crate) struct Turns {
    /// Thread counts.
    #[arg(long, value_delimiter = ',', default_value = "1", value_name = "N")]
    pub(crate) threads: Vec<usize>,
    /// Undisturbed rounds of each.
    #[arg(long, default_value_t = 5, value_name = "N")]
    rounds: usize,
    /// Seconds that each runs in each round.
    #[arg(long, default_value_t = 0.4, value_name = "SECONDS")]
    secs: f64,
}

/// More cores than this in other hands make a round worthless.
const MOST_FOREIGN_CORES: f64 = 0.25;

/// The most inferences of one program in one round.
const MOST_RUNS: usize = 400;

/// A program with a loaded model, and its times so far, in milliseconds by round.
pub(crate) struct Contestant<K> {
    pub(crate) key: K,
    pub(crate) worker: Worker,
    name: String,
    clean: Vec<Vec<f64>>,
    disturbed: Vec<Vec<f64>>,
}

/// What a contestant took, in milliseconds.
pub(crate) struct Times {
    pub(crate) median: f64,
    pub(crate) p10: f64,
    pub(crate) min: f64,
    pub(crate) runs: usize,
    pub(crate) clean_rounds: usize,
}

/// What became of a contest beside the times.
pub(crate) struct Outcome<K> {
    pub(crate) disturbed_rounds: usize,
    /// Who left, and why.
    pub(crate) failures: Vec<(K, String)>,
}

impl Turns {
    /// Lets all run in turns; those that fail leave. `before` is called ahead of each turn, and
    /// fails it by failing.
    pub(crate) fn play<K: Copy>(
        &self,
        (title, threads): (&str, usize),
        contestants: &mut Vec<Contestant<K>>,
        before: &mut dyn FnMut() -> Result<()>,
    ) -> Outcome<K> {
        let mut outcome = Outcome {
            disturbed_rounds: 0,
            failures: Vec::new(),
        };
        let bar = progress(title, threads, self.rounds);
        // Disturbed rounds are repeated, but not for ever.
        for _ in 0..2 * self.rounds {
            if contestants.iter().all(|c| c.clean.len() >= self.rounds) {
                break;
            }
            contestants.retain_mut(|contestant| {
                if contestant.clean.len() >= self.rounds {
                    return true;
                }
                bar.set_message(contestant.name.clone());
                rest(threads);
                match before().and_then(|()| contestant.turn(self.secs)) {
                    Ok(calm) => {
                        outcome.disturbed_rounds += usize::from(!calm);
                        true
                    }
                    Err(error) => {
                        outcome.failures.push((contestant.key, error));
                        false
                    }
                }
            });
            bar.inc(1);
        }
        bar.finish_and_clear();
        outcome
    }
}

/// Lets the threads of the program before go to sleep; some spin for a while.
fn rest(threads: usize) {
    let milliseconds = if threads == 1 { 30 } else { 300 };
    thread::sleep(Duration::from_millis(milliseconds));
}

fn progress(title: &str, threads: usize, rounds: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix} {bar:30} {pos}/{len} {msg}");
    let bar = ProgressBar::new(rounds as u64);
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar.set_prefix(format!("{title}, threads: {threads}"));
    bar
}

impl<K> Contestant<K> {
    /// Starts a worker, waits until its model is loaded, and runs it for a while.
    pub(crate) fn start(key: K, name: &str, command: &mut Command) -> Result<Contestant<K>> {
        let mut worker = Worker::start(name, command)?;
        worker.ask("run 0.2 3", "T")?;
        Ok(Contestant {
            key,
            worker,
            name: name.to_owned(),
            clean: Vec::new(),
            disturbed: Vec::new(),
        })
    }

    /// Runs one round; says whether the machine was calm.
    fn turn(&mut self, secs: f64) -> Result<bool> {
        let watch = Watch::start(self.worker.id());
        let times = self.worker.ask(&format!("run {secs} {MOST_RUNS}"), "T")?;
        if times.is_empty() {
            return Err("a round without a run".to_owned());
        }
        let calm = watch.foreign_cores() < MOST_FOREIGN_CORES;
        let rounds = if calm {
            &mut self.clean
        } else {
            &mut self.disturbed
        };
        rounds.push(times);
        Ok(calm)
    }

    pub(crate) fn times(&self) -> Times {
        // On a machine that was never calm, disturbed times are better than none.
        let rounds = if self.clean.is_empty() {
            &self.disturbed
        } else {
            &self.clean
        };
        let mut times: Vec<f64> = rounds.iter().flatten().copied().collect();
        times.sort_by(f64::total_cmp);
        let fastest = self.clean.iter().chain(&self.disturbed).flatten();
        Times {
            median: median(&times),
            p10: times.get(times.len() / 10).copied().unwrap_or(f64::NAN),
            min: fastest.copied().fold(f64::INFINITY, f64::min),
            runs: times.len(),
            clean_rounds: self.clean.len(),
        }
    }
}

/// The middle of some numbers; NaN if there are none.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

pub(crate) fn geometric_mean(values: &[f64]) -> f64 {
    let sum: f64 = values.iter().map(|value| value.ln()).sum();
    (sum / values.len() as f64).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_means() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
        assert!((geometric_mean(&[1.0, 4.0]) - 2.0).abs() < 1e-12);
    }
}
