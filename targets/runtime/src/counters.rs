//! What serving came to.

use std::fmt::Write;

use serde::Serialize;

/// Counts of a server, from its start on.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Counters {
    pub requests: u64,
    pub answered: u64,
    /// Answered behind their deadlines.
    pub late: u64,
    /// Answers by the exit that they left by.
    pub exits: Vec<u64>,
    /// Batches and samples by stage.
    pub batches: Vec<u64>,
    pub samples: Vec<u64>,
    /// Seconds in which something ran.
    pub busy: f64,
    /// Seconds from the first arrival to the last answer.
    pub span: f64,
    /// Seconds from arrival to answer.
    #[serde(skip)]
    pub latencies: Vec<f64>,
}

/// Latencies in seconds.
#[derive(Copy, Clone, Debug, Default, PartialEq, Serialize)]
pub struct Percentiles {
    pub mean: f64,
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub most: f64,
}

impl Counters {
    pub fn new(stages: usize) -> Counters {
        Counters {
            exits: vec![0; stages],
            batches: vec![0; stages],
            samples: vec![0; stages],
            ..Counters::default()
        }
    }

    pub fn percentiles(&self) -> Percentiles {
        let mut sorted = self.latencies.clone();
        sorted.sort_by(f64::total_cmp);
        let Some(&most) = sorted.last() else {
            return Percentiles::default();
        };
        // The least latency that so large a share does not exceed.
        let at = |share: f64| {
            let rank = (share * sorted.len() as f64).ceil() as usize;
            sorted[rank.clamp(1, sorted.len()) - 1]
        };
        Percentiles {
            mean: sorted.iter().sum::<f64>() / sorted.len() as f64,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            most,
        }
    }

    /// The share of time in which something ran.
    pub fn utilisation(&self) -> f64 {
        if self.span > 0.0 {
            self.busy / self.span
        } else {
            0.0
        }
    }

    /// The counts in Prometheus's text format, version 0.0.4.
    pub fn prometheus(&self) -> String {
        let mut out = String::new();
        let mut metric = |name: &str, help: &str, kind: &str, rows: &[(String, f64)]| {
            // Writing to a string cannot fail.
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
            for (labels, value) in rows {
                let _ = writeln!(out, "{name}{labels} {value}");
            }
        };
        let plain = |value: f64| vec![(String::new(), value)];
        let by = |label: &str, values: &[u64]| -> Vec<(String, f64)> {
            let rows = values.iter().enumerate();
            rows.map(|(i, &n)| (format!("{{{label}=\"{i}\"}}"), n as f64))
                .collect()
        };
        metric(
            "lepid_requests_total",
            "Requests that arrived.",
            "counter",
            &plain(self.requests as f64),
        );
        metric(
            "lepid_late_total",
            "Requests answered behind their deadlines.",
            "counter",
            &plain(self.late as f64),
        );
        metric(
            "lepid_exits_total",
            "Answers by the exit.",
            "counter",
            &by("exit", &self.exits),
        );
        metric(
            "lepid_batches_total",
            "Batches by the stage.",
            "counter",
            &by("stage", &self.batches),
        );
        metric(
            "lepid_samples_total",
            "Samples computed by the stage.",
            "counter",
            &by("stage", &self.samples),
        );
        metric(
            "lepid_busy_seconds_total",
            "Seconds in which something ran.",
            "counter",
            &plain(self.busy),
        );
        let p = self.percentiles();
        let quantile = |q: &str, value: f64| (format!("{{quantile=\"{q}\"}}"), value);
        let rows = [
            quantile("0.5", p.p50),
            quantile("0.9", p.p90),
            quantile("0.99", p.p99),
        ];
        metric(
            "lepid_latency_seconds",
            "Seconds from arrival to answer.",
            "summary",
            &rows,
        );
        let _ = writeln!(
            out,
            "lepid_latency_seconds_sum {}\nlepid_latency_seconds_count {}",
            self.latencies.iter().sum::<f64>(),
            self.latencies.len()
        );
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_latencies_that_occurred() {
        let counters = Counters {
            latencies: (1..=200).map(f64::from).collect(),
            ..Counters::new(1)
        };
        let p = counters.percentiles();
        assert_eq!((p.p50, p.p90, p.p99, p.most), (100.0, 180.0, 198.0, 200.0));
        assert_eq!(p.mean, 100.5);
        assert_eq!(Counters::new(1).percentiles(), Percentiles::default());
    }

    #[test]
    fn prometheus_reads_it() {
        let mut counters = Counters::new(2);
        counters.exits = vec![3, 1];
        counters.latencies = vec![0.5, 0.25];
        let text = counters.prometheus();
        assert!(text.contains("# TYPE lepid_exits_total counter\nlepid_exits_total{exit=\"0\"} 3\nlepid_exits_total{exit=\"1\"} 1\n"));
        assert!(text.contains("lepid_latency_seconds_sum 0.75\nlepid_latency_seconds_count 2\n"));
        assert!(
            text.lines()
                .all(|line| line.starts_with('#') || line.split(' ').count() == 2)
        );
    }
}
