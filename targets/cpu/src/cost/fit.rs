//! Fits the table to timed ops: least squares of relative errors, no coefficient below zero.

use std::collections::BTreeMap;

use lepid_target_api::{Fitted, FittedKernel, Sample};

use super::table::{Table, Threading, machine};
use super::work::{Amounts, TERMS, Work};

/// How much the shipped coefficients weigh beside one sample: they decide what samples leave open.
const PRIOR: f64 = 0.02;

/// Sweeps over the coefficients. Each lowers the error; six unknowns settle long before.
const SWEEPS: usize = 20_000;

pub(super) fn fit(samples: &[Sample<'_>]) -> Fitted {
    let mut table = Table::shipped();
    table.machine = machine();
    let timed = |threads: fn(usize) -> bool| -> BTreeMap<&'static str, Vec<(Work, f64)>> {
        let mut by_kernel: BTreeMap<_, Vec<(Work, f64)>> = BTreeMap::new();
        for sample in samples.iter().filter(|s| threads(s.threads)) {
            if let Some(work) = Work::of(sample.op).filter(|work| work.kernel != "none") {
                let ns = sample.seconds * 1e9;
                by_kernel.entry(work.kernel).or_default().push((work, ns));
            }
        }
        by_kernel
    };
    let serial = timed(|threads| threads == 1);
    for (kernel, samples) in &serial {
        if let Some(unit) = table.kernels.get_mut(*kernel) {
            *unit = unit_costs(samples, *unit);
        }
    }
    if let Some(most) = samples.iter().map(|s| s.threads).max().filter(|&n| n > 1) {
        let shared: Vec<_> = timed(|threads| threads > 1)
            .into_values()
            .flatten()
            .collect();
        table.threading = threading(&table, &shared, most);
    }
    let kernels = serial.iter().map(|(kernel, samples)| FittedKernel {
        kernel: (*kernel).to_string(),
        samples: samples.len(),
        median_error: median_error(&table, samples),
    });
    let kernels = kernels.collect();
    let text = serde_json::to_string_pretty(&table);
    Fitted {
        text: text.unwrap_or_else(|error| lepid_ir::bug!("{error}")),
        kernels,
    }
}

fn median_error(table: &Table, samples: &[(Work, f64)]) -> f64 {
    let errors = samples.iter();
    let errors = errors.map(|(work, ns)| (table.seconds(work, 1) * 1e9 / ns - 1.0).abs());
    median(errors.collect())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// Minimises `Σ (Σ unit·amount / measured - 1)² + PRIOR·Σ (unit / prior - 1)²` by coordinates.
fn unit_costs(samples: &[(Work, f64)], prior: Amounts) -> Amounts {
    let prior = prior.to_array();
    let rows: Vec<[f64; TERMS]> = samples
        .iter()
        .map(|(work, ns)| work.amounts.to_array().map(|a| a / ns))
        .collect();
    let mut square = [[0.0; TERMS]; TERMS];
    let mut right = [0.0; TERMS];
    for row in &rows {
        for i in 0..TERMS {
            right[i] += row[i];
            for j in 0..TERMS {
                square[i][j] += row[i] * row[j];
            }
        }
    }
    for i in 0..TERMS {
        if prior[i] > 0.0 {
            square[i][i] += PRIOR / (prior[i] * prior[i]);
            right[i] += PRIOR / prior[i];
        }
    }
    let mut unit = prior;
    for _ in 0..SWEEPS {
        for i in 0..TERMS {
            // A term that the shipped table does without stays out.
            if prior[i] > 0.0 {
                let others: f64 = (0..TERMS)
                    .filter(|&j| j != i)
                    .map(|j| square[i][j] * unit[j])
                    .sum();
                unit[i] = ((right[i] - others) / square[i][i]).max(0.0);
            }
        }
    }
    Amounts::from_array(unit)
}

/// The gain and the waking time under which the median error is least, from a grid.
fn threading(table: &Table, samples: &[(Work, f64)], threads: usize) -> Threading {
    let mut best = (f64::INFINITY, table.threading);
    for gain in 0..=20 {
        for wake in 0..=20 {
            let threading = Threading {
                wake: f64::from(wake) * 500.0,
                gain: f64::from(gain) / 20.0,
            };
            let table = Table {
                threading,
                ..table.clone()
            };
            let errors = samples.iter();
            let errors = errors.map(|(w, ns)| (table.seconds(w, threads) * 1e9 / ns - 1.0).abs());
            let error = median(errors.collect());
            if error < best.0 {
                best = (error, threading);
            }
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_computed_from_coefficients_gives_them_back() {
        let truth = Amounts {
            start: 900.0,
            multiply_add: 0.03,
            sum: 0.2,
            element: 0.0,
            weight_byte: 0.06,
            byte: 0.02,
        };
        let mut samples = Vec::new();
        for i in 1..30u32 {
            let x = f64::from(i);
            let amounts = Amounts {
                start: 1.0,
                multiply_add: 1e5 * x * (1.0 + x % 7.0),
                sum: 1e3 * x * (1.0 + x % 3.0),
                element: 0.0,
                weight_byte: 4e3 * (1.0 + x % 5.0) * x,
                byte: 1e4 * x * (1.0 + x % 2.0),
            };
            let pairs = amounts.to_array().into_iter().zip(truth.to_array());
            let ns: f64 = pairs.map(|(a, b)| a * b).sum();
            let work = Work {
                kernel: "conv.window",
                amounts,
            };
            samples.push((work, ns));
        }
        let prior = Amounts::from_array(truth.to_array().map(|c| c * 1.5));
        let found = unit_costs(&samples, prior);
        for (work, ns) in &samples {
            let pairs = work.amounts.to_array().into_iter().zip(found.to_array());
            let predicted: f64 = pairs.map(|(a, b)| a * b).sum();
            // The prior, half as high again, pulls a little.
            assert!((predicted / ns - 1.0).abs() < 0.05, "{predicted} {ns}");
        }
    }
}
