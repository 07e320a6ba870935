//! The numbers of a comparison, and how they are shown.

use serde::Serialize;

use super::peers::Engine;
use crate::turns::geometric_mean;

/// All engines on one model at one thread count.
#[derive(Serialize)]
pub(super) struct Group {
    pub(super) model: &'static str,
    pub(super) threads: usize,
    pub(super) flops: f64,
    /// What the machine's multiply-add units did in the same minutes.
    pub(super) peak_gflops: f64,
    pub(super) disturbed_rounds: usize,
    pub(super) engines: Vec<Measurement>,
    pub(super) failures: Vec<Failure>,
}

/// One engine on one model at one thread count.
#[derive(Serialize)]
pub(super) struct Measurement {
    pub(super) engine: Engine,
    pub(super) median_ms: f64,
    pub(super) p10_ms: f64,
    pub(super) min_ms: f64,
    pub(super) runs: usize,
    pub(super) clean_rounds: usize,
    pub(super) load_seconds: f64,
    pub(super) peak_memory_mb: f64,
    /// Against ONNX Runtime, over the largest magnitude; NaN where shapes differ.
    pub(super) error: f64,
}

/// An engine that has no numbers, and why.
#[derive(Serialize)]
pub(super) struct Failure {
    pub(super) engine: Engine,
    pub(super) reason: String,
}

impl Group {
    pub(super) fn fail(&mut self, engine: Engine, reason: String) {
        self.failures.push(Failure { engine, reason });
    }

    pub(super) fn of(&self, engine: Engine) -> Option<&Measurement> {
        self.engines
            .iter()
            .find(|measurement| measurement.engine == engine)
    }

    /// How many times as fast lepid is as the best of the others.
    fn ratio(&self) -> Option<f64> {
        let others = self.engines.iter().filter(|m| m.engine != Engine::Lepid);
        let times = others.map(|m| m.median_ms);
        let best = times.reduce(f64::min)?;
        Some(best / self.of(Engine::Lepid)?.median_ms)
    }

    fn percent_of_peak(&self, measurement: &Measurement) -> f64 {
        let gflops = self.flops / measurement.median_ms / 1e6;
        100.0 * gflops / self.peak_gflops
    }
}

pub(super) fn print_group(group: &Group) {
    println!(
        "\n{}, threads: {}; {:.3} GFLOP; machine peak {:.0} GFLOP/s; disturbed rounds: {}",
        group.model,
        group.threads,
        group.flops / 1e9,
        group.peak_gflops,
        group.disturbed_rounds
    );
    for m in &group.engines {
        println!(
            "{:6} median {:9.3} ms  p10 {:9.3}  min {:9.3}  {:5.1} % of peak  load {:6.2} s  memory {:6.0} MB  error {:.1e}  rounds {} runs {}",
            m.engine.name(),
            m.median_ms,
            m.p10_ms,
            m.min_ms,
            group.percent_of_peak(m),
            m.load_seconds,
            m.peak_memory_mb,
            m.error,
            m.clean_rounds,
            m.runs
        );
    }
    for failure in &group.failures {
        println!("{:6} FAILED: {}", failure.engine.name(), failure.reason);
    }
}

/// One row per model and thread count: lepid in full, the medians of the others, the ratio.
pub(super) fn print_markdown(groups: &[Group]) {
    let others = [Engine::Tract, Engine::Rten, Engine::Ort, Engine::Ov];
    let others: Vec<Engine> = others
        .into_iter()
        .filter(|engine| groups.iter().any(|group| group.of(*engine).is_some()))
        .collect();
    let mut head =
        "| model | threads | lepid ms (p10, min) | % of peak | load s | MB | error |".to_owned();
    let mut rule = "|---|---|---|---|---|---|---|".to_owned();
    for engine in &others {
        head += &format!(" {} ms |", engine.name());
        rule += "---|";
    }
    let names: Vec<&str> = others.iter().map(|engine| engine.name()).collect();
    let names = names.join(", ");
    println!("\n{head} best of {names} / lepid |\n{rule}---|");
    for group in groups {
        let mut row = format!("| {} | {} |", group.model, group.threads);
        row += &match group.of(Engine::Lepid) {
            Some(m) => format!(
                " {:.2} ({:.2}, {:.2}) | {:.0} | {:.2} | {:.0} | {:.1e} |",
                m.median_ms,
                m.p10_ms,
                m.min_ms,
                group.percent_of_peak(m),
                m.load_seconds,
                m.peak_memory_mb,
                m.error
            ),
            None => " failed | | | | |".to_owned(),
        };
        for engine in &others {
            row += &match group.of(*engine) {
                Some(m) => format!(" {:.2} |", m.median_ms),
                None => " failed |".to_owned(),
            };
        }
        row += &match group.ratio() {
            Some(ratio) => format!(" {ratio:.2} |"),
            None => " |".to_owned(),
        };
        println!("{row}");
    }
    let ratios: Vec<f64> = groups.iter().filter_map(Group::ratio).collect();
    if !ratios.is_empty() {
        let slower = ratios.iter().filter(|ratio| **ratio < 1.0).count();
        println!(
            "\nGeometric mean of the last column: {:.2} over {} rows; {slower} below 1.",
            geometric_mean(&ratios),
            ratios.len()
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_is_to_the_best_of_all_others() {
        let measured = |engine, median_ms| Measurement {
            engine,
            median_ms,
            p10_ms: median_ms,
            min_ms: median_ms,
            runs: 1,
            clean_rounds: 1,
            load_seconds: 0.0,
            peak_memory_mb: 0.0,
            error: 0.0,
        };
        let group = Group {
            model: "m",
            threads: 1,
            flops: 1.0,
            peak_gflops: 1.0,
            disturbed_rounds: 0,
            engines: vec![
                measured(Engine::Lepid, 2.0),
                measured(Engine::Tract, 4.0),
                measured(Engine::Ort, 3.0),
            ],
            failures: Vec::new(),
        };
        assert_eq!(group.ratio(), Some(1.5));
    }
}
