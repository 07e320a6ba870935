//! How much of the machine other processes take while an engine is timed.

use std::fs;
use std::time::Instant;

/// Clock ticks per second in the kernel's accounts, the same on every Linux.
const TICKS: f64 = 100.0;

/// The accounts at one moment.
pub(super) struct Watch {
    process: u32,
    start: Instant,
    all: f64,
    own: f64,
}

impl Watch {
    pub(super) fn start(process: u32) -> Watch {
        Watch {
            process,
            start: Instant::now(),
            all: all_seconds(),
            own: own_seconds(process),
        }
    }

    /// The cores that others took since the start, on average; 0 where the system does not tell.
    pub(super) fn foreign_cores(&self) -> f64 {
        let all = all_seconds() - self.all;
        let own = own_seconds(self.process) - self.own;
        (all - own) / self.start.elapsed().as_secs_f64()
    }
}

/// Busy seconds of all cores.
fn all_seconds() -> f64 {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    busy_ticks(&text) / TICKS
}

/// Busy seconds of one process.
fn own_seconds(process: u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    process_ticks(&text) / TICKS
}

/// From the line `cpu user nice system idle iowait irq softirq steal …`.
fn busy_ticks(text: &str) -> f64 {
    let line = text.lines().next().unwrap_or_default();
    let ticks: Vec<f64> = numbers(line).take(8).collect();
    let waiting: f64 = ticks.iter().skip(3).take(2).sum();
    ticks.iter().sum::<f64>() - waiting
}

/// From `id (name) state …`: the eleventh and twelfth field after the state.
fn process_ticks(text: &str) -> f64 {
    let after_name = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    numbers(after_name).skip(10).take(2).sum()
}

fn numbers(line: &str) -> impl Iterator<Item = f64> {
    line.split_whitespace()
        .skip(1)
        .filter_map(|word| word.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_accounts_of_the_kernel() {
        assert_eq!(busy_ticks("cpu  10 1 5 1000 50 2 3 4 0 0\ncpu0 …"), 25.0);
        let stat = "17 (a b) c) S 1 2 3 4 5 6 7 8 9 10 40 2 0 0";
        assert_eq!(process_ticks(stat), 42.0);
    }
}
