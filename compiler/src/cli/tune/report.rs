//! What is said of a choice: the spec, text, JSON and a page.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use lepid_ir::core::{Code, Diagnostic, Diagnostics, Loc};
use serde_json::json;

use super::tried::Tried;
use super::{Args, Loaded, Tuned, Unit};
use crate::cli::output::Table;
use crate::cli::{Cx, Outcome};
use crate::driver::files;
use crate::tune::calibration;
use crate::tune::candidates::Rule;
use crate::tune::page::{self, ChosenRow, ExitRow, Page};
use crate::tune::quality::Metric;
use crate::tune::search::Choice;
use crate::tune::write::{self, WrittenExit};

/// What there is to say of a choice.
pub(super) struct Report<'a> {
    pub(super) args: &'a Args,
    pub(super) unit: Unit,
    pub(super) rules: &'a [Rule],
    pub(super) exits: &'a [Tuned],
    pub(super) names: &'a [Vec<String>],
    pub(super) samples: usize,
    pub(super) metric: Metric,
    pub(super) choice: &'a Choice,
    /// Cost and score of the last exit alone.
    pub(super) full: [f64; 2],
}

impl Report<'_> {
    /// The text of the tuned spec.
    pub(super) fn spec(&self, loaded: &Loaded) -> Result<String, Diagnostics> {
        let (models, _) = loaded.spec.models()?;
        let [model] = &models[..] else {
            let message = "the exits are of several models, and a tuned spec is of one";
            return Err(vec![Diagnostic::error(Code::SPEC, Loc::Unknown, message)]);
        };
        let folder = |path: &Path| match path.parent() {
            Some(parent) if parent != Path::new("") => parent.to_path_buf(),
            _ => PathBuf::from("."),
        };
        let (from, to) = (folder(&self.args.file.model), folder(&self.args.output));
        let model = match files::is_same(&from, &to) {
            true => PathBuf::from(model),
            false => {
                let path = from.join(model);
                path.canonicalize().unwrap_or(path)
            }
        };
        let exits: Vec<WrittenExit<'_>> = self
            .choice
            .exits
            .iter()
            .map(|&(exit, candidate)| WrittenExit {
                outputs: &self.names[exit],
                decision: candidate.map(|c| {
                    let candidate = &self.exits[exit].candidates[c];
                    (
                        &self.rules[candidate.rule],
                        candidate,
                        self.exits[exit].temperature,
                    )
                }),
            })
            .collect();
        let comment = format!(
            "Chosen by `lepid tune` on {} samples: {} {:.2} % (the last exit alone {:.2} %),\n\
             {:.4} {} for a sample in the mean (alone {:.4}).",
            self.samples,
            self.metric.name(),
            100.0 * self.choice.score,
            100.0 * self.full[1],
            self.choice.cost,
            self.unit.name(),
            self.full[0]
        );
        let outputs = loaded.spec.output_names()?;
        Ok(write::spec(
            &model.display().to_string(),
            &exits,
            &outputs,
            &comment,
        ))
    }

    fn chosen(&self) -> Vec<ChosenRow> {
        let exits = self.choice.exits.iter().zip(&self.choice.leave);
        exits
            .map(|(&(exit, candidate), &leave)| ChosenRow {
                name: self.names[exit].join(", "),
                rule: match candidate.map(|c| &self.exits[exit].candidates[c]) {
                    None => "it comes here".to_string(),
                    Some(c) => {
                        let rule = &self.rules[c.rule];
                        let name = rule.name();
                        let sign = if rule.policy.name == "entropy" {
                            '<'
                        } else {
                            '≥'
                        };
                        format!("{name} {sign} {:.4}", c.threshold)
                    }
                },
                leave,
            })
            .collect()
    }

    pub(super) fn tell(
        &self,
        front: &[[f64; 2]],
        path: &dyn Fn(&[usize]) -> f64,
        tried: Option<&Tried>,
        cx: &mut Cx<'_>,
    ) -> Outcome {
        let chosen = self.chosen();
        let exits: Vec<ExitRow> = self
            .exits
            .iter()
            .enumerate()
            .map(|(i, exit)| ExitRow {
                name: self.names[i].join(", "),
                score: exit.score,
                cost: path(&[i]),
                temperature: exit.temperature,
                errors: exit.bins.each_ref().map(|bins| calibration::error(bins)),
                bins: exit.bins,
            })
            .collect();
        let kept: Vec<usize> = self.choice.exits.iter().map(|(exit, _)| *exit).collect();
        let mut held_out = Vec::new();
        if let Some(tried) = tried {
            let samples: usize = tried.exits.iter().sum();
            let costs = (1..=kept.len()).map(|n| path(&kept[..n]));
            let cost: f64 = costs
                .zip(&tried.exits)
                .map(|(c, &n)| c * n as f64)
                .sum::<f64>()
                / samples as f64;
            held_out.push(format!(
                "{} {:.4} (the last exit alone {:.4})",
                self.metric.name(),
                tried.score,
                tried.full_score
            ));
            held_out.push(format!(
                "{cost:.4} {} for a sample in the mean (alone {:.4}: {:.2} times), {:+.1} % from what the calibration set said",
                self.unit.name(),
                self.full[0],
                self.full[0] / cost,
                100.0 * (cost / self.choice.cost - 1.0)
            ));
            held_out.push(format!(
                "{:.4} ms for a sample in the mean (alone {:.4}: {:.2} times)",
                tried.milliseconds,
                tried.full_milliseconds,
                tried.full_milliseconds / tried.milliseconds
            ));
            let shares: Vec<String> = tried
                .exits
                .iter()
                .map(|n| format!("{:.1} %", 100.0 * *n as f64 / samples as f64))
                .collect();
            held_out.push(format!("samples leave by {}", shares.join(", ")));
            cx.report(
                "test",
                json!({
                    "score": tried.score,
                    "full_score": tried.full_score,
                    "exits": tried.exits,
                    "cost": cost,
                    "milliseconds": tried.milliseconds,
                    "full_milliseconds": tried.full_milliseconds,
                }),
            );
        }
        cx.report("unit", self.unit.name());
        cx.report("samples", self.samples);
        cx.report("metric", self.metric.name());
        cx.report("score", self.choice.score);
        cx.report("cost", self.choice.cost);
        cx.report("full", json!({"score": self.full[1], "cost": self.full[0]}));
        cx.report("proved", self.choice.proved);
        cx.report("front", json!(front));
        let rows = chosen.iter().zip(&self.choice.exits);
        let rows: Vec<_> = rows
            .map(|(row, (exit, candidate))| {
                let candidate = candidate.map(|c| &self.exits[*exit].candidates[c]);
                json!({
                    "outputs": self.names[*exit],
                    "leave": row.leave,
                    "policy": candidate.map(|c| self.rules[c.rule].policy.name),
                    "threshold": candidate.map(|c| c.threshold),
                    "temperature": self.exits[*exit].temperature,
                })
            })
            .collect();
        cx.report("chosen", rows);
        let rows = exits.iter().map(|exit| {
            json!({
                "outputs": exit.name,
                "score": exit.score,
                "cost": exit.cost,
                "temperature": exit.temperature,
                "ece": exit.errors[0],
                "ece_with_temperature": exit.errors[1],
            })
        });
        cx.report("exits", rows.collect::<Vec<_>>());
        if let Some(html) = &self.args.html {
            let title = format!("Tuning of {}", self.args.file.model.display());
            let text = page::html(&Page {
                title: &title,
                unit: self.unit.name(),
                metric: self.metric.name(),
                samples: self.samples,
                exits: &exits,
                chosen: &chosen,
                choice: [self.choice.cost, self.choice.score],
                front,
                held_out: &held_out,
            });
            files::write_atomic(html, |file| file.write_all(text.as_bytes()))?;
        }
        if cx.json {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        let mut table = Table::new(
            &[
                "exit",
                self.metric.name(),
                "cost",
                "temperature",
                "ECE",
                "tempered",
            ],
            &[1, 2, 3, 4, 5],
        );
        for exit in &exits {
            table.row(vec![
                exit.name.clone(),
                format!("{:.4}", exit.score),
                format!("{:.4}", exit.cost),
                format!("{:.3}", exit.temperature),
                format!("{:.4}", exit.errors[0]),
                format!("{:.4}", exit.errors[1]),
            ]);
        }
        writeln!(out, "{}\n", table.text().trim_end())?;
        let mut table = Table::new(&["leaves by", "if", "samples"], &[2]);
        for row in &chosen {
            table.row(vec![
                row.name.clone(),
                row.rule.clone(),
                row.leave.to_string(),
            ]);
        }
        writeln!(out, "{}\n", table.text().trim_end())?;
        writeln!(
            out,
            "{} {:.4} (the last exit alone {:.4})\n{:.4} {} for a sample in the mean (alone {:.4}: {:.2} times)",
            self.metric.name(),
            self.choice.score,
            self.full[1],
            self.choice.cost,
            self.unit.name(),
            self.full[0],
            self.full[0] / self.choice.cost
        )?;
        if !self.choice.proved {
            writeln!(out, "not proved the best: `--nodes` limits the search")?;
        }
        if !held_out.is_empty() {
            writeln!(out, "\nheld-out samples")?;
            for line in &held_out {
                writeln!(out, "  {line}")?;
            }
        }
        drop(out);
        cx.say(format_args!("wrote {}", self.args.output.display()));
        Ok(())
    }
}
