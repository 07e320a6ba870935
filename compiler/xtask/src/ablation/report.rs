//! The numbers of an ablation, and how they are shown.

use serde::Serialize;

use super::Variant;
use crate::reference::first_lines;
use crate::turns::geometric_mean;

/// All variants of one model at one thread count, the one with all rules first.
#[derive(Serialize)]
pub(super) struct Group {
    pub(super) model: &'static str,
    pub(super) threads: usize,
    pub(super) disturbed_rounds: usize,
    pub(super) variants: Vec<Row>,
}

/// A choice of rules.
#[derive(Serialize)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) rules: String,
    /// Whether the program is that with all rules, whose numbers then hold for it.
    pub(super) same_program: bool,
    /// By the cost model, of all kernels.
    pub(super) predicted_ms: Option<f64>,
    pub(super) measured: Option<Measurement>,
    pub(super) failure: Option<String>,
}

#[derive(Serialize)]
pub(super) struct Measurement {
    pub(super) median_ms: f64,
    pub(super) p10_ms: f64,
    pub(super) min_ms: f64,
    pub(super) runs: usize,
    pub(super) clean_rounds: usize,
    /// Against ONNX Runtime, over the largest magnitude; NaN where shapes differ.
    pub(super) error: f64,
}

impl Row {
    pub(super) fn new(variant: &Variant) -> Row {
        Row {
            name: variant.name.clone(),
            rules: variant.rules.clone(),
            same_program: false,
            predicted_ms: None,
            measured: None,
            failure: None,
        }
    }

    fn median(&self) -> Option<f64> {
        Some(self.measured.as_ref()?.median_ms)
    }
}

impl Group {
    pub(super) fn has_failures(&self) -> bool {
        self.variants.iter().any(|row| row.failure.is_some())
    }

    /// What a number of a variant is, as a multiple of the one with all rules.
    fn ratio(&self, at: usize, number: fn(&Row) -> Option<f64>) -> Option<f64> {
        let row = &self.variants[at];
        if row.same_program {
            return Some(1.0);
        }
        Some(number(row)? / number(&self.variants[0])?)
    }

    fn cell(&self, at: usize) -> String {
        let row = &self.variants[at];
        match (row.predicted_ms, row.median()) {
            _ if row.same_program => "same program".to_owned(),
            (Some(predicted), Some(measured)) => format!("{predicted:.2} / {measured:.2}"),
            _ => "failed".to_owned(),
        }
    }
}

pub(super) fn print_group(group: &Group) {
    println!(
        "\n{}, threads: {}; disturbed rounds: {}",
        group.model, group.threads, group.disturbed_rounds
    );
    for (at, row) in group.variants.iter().enumerate() {
        let name = &row.name;
        match (&row.measured, &row.failure) {
            _ if row.same_program => println!("{name:20} same program as with all rules"),
            (Some(m), _) => println!(
                "{name:20} predicted {:9.3} ms ({:5.3})  median {:9.3} ms ({:5.3})  p10 {:9.3}  min {:9.3}  error {:.1e}  rounds {} runs {}",
                row.predicted_ms.unwrap_or(f64::NAN),
                group.ratio(at, |r| r.predicted_ms).unwrap_or(f64::NAN),
                m.median_ms,
                group.ratio(at, Row::median).unwrap_or(f64::NAN),
                m.p10_ms,
                m.min_ms,
                m.error,
                m.clean_rounds,
                m.runs
            ),
            (None, reason) => println!(
                "{name:20} FAILED: {}",
                reason.as_deref().map_or(String::new(), first_lines)
            ),
        }
    }
}

/// One row per model and thread count, one column per variant; then the means of their ratios.
pub(super) fn markdown(groups: &[Group]) -> String {
    let Some(first) = groups.first() else {
        return String::new();
    };
    let mut text = "Milliseconds, predicted / measured.\n\n| model | threads |".to_owned();
    let mut rule = "|---|---|".to_owned();
    for row in &first.variants {
        text += &format!(" {} |", row.name);
        rule += "---|";
    }
    text += &format!("\n{rule}\n");
    for group in groups {
        text += &format!("| {} | {} |", group.model, group.threads);
        for at in 0..group.variants.len() {
            text += &format!(" {} |", group.cell(at));
        }
        text.push('\n');
    }
    text += "| of all on, geometric mean | |";
    for at in 0..first.variants.len() {
        let mean = |number: fn(&Row) -> Option<f64>| {
            let ratios: Vec<f64> = groups.iter().filter_map(|g| g.ratio(at, number)).collect();
            match ratios.is_empty() {
                true => "—".to_owned(),
                false => format!("{:.3}", geometric_mean(&ratios)),
            }
        };
        text += &format!(" {} / {} |", mean(|r| r.predicted_ms), mean(Row::median));
    }
    text + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, numbers: Option<(f64, f64)>) -> Row {
        Row {
            name: name.to_owned(),
            rules: String::new(),
            same_program: false,
            predicted_ms: numbers.map(|(predicted, _)| predicted),
            measured: numbers.map(|(_, median_ms)| Measurement {
                median_ms,
                p10_ms: median_ms,
                min_ms: median_ms,
                runs: 1,
                clean_rounds: 1,
                error: 0.0,
            }),
            failure: None,
        }
    }

    #[test]
    fn the_table_compares_with_all_rules() {
        let same = Row {
            same_program: true,
            ..row("without fold", None)
        };
        let group = Group {
            model: "net",
            threads: 1,
            disturbed_rounds: 0,
            variants: vec![
                row("all on", Some((1.0, 2.0))),
                row("off", Some((3.0, 3.0))),
                same,
                row("without quant", None),
            ],
        };
        let expected = "\
Milliseconds, predicted / measured.

| model | threads | all on | off | without fold | without quant |
|---|---|---|---|---|---|
| net | 1 | 1.00 / 2.00 | 3.00 / 3.00 | same program | failed |
| of all on, geometric mean | | 1.000 / 1.000 | 3.000 / 1.500 | 1.000 / 1.000 | — / — |
";
        assert_eq!(markdown(&[group]), expected);
    }
}
