//! The page of a tuning: self-contained, readable without scripts.

use std::fmt::Write;

use super::calibration::{BINS, Bin};
use crate::report::escape::escape;

/// An exit of the model.
pub struct ExitRow {
    pub name: String,
    pub score: f64,
    /// Of a sample that leaves there, in a model without other exits.
    pub cost: f64,
    pub temperature: f64,
    /// Calibration error before and after.
    pub errors: [f64; 2],
    pub bins: [[Bin; BINS]; 2],
}

/// An exit of the choice.
pub struct ChosenRow {
    pub name: String,
    pub rule: String,
    pub leave: usize,
}

/// What a page shows.
pub struct Page<'a> {
    pub title: &'a str,
    pub unit: &'a str,
    /// What the answers are measured by.
    pub metric: &'a str,
    pub samples: usize,
    pub exits: &'a [ExitRow],
    pub chosen: &'a [ChosenRow],
    /// Cost and score of the choice.
    pub choice: [f64; 2],
    /// Cost and score of the best choices.
    pub front: &'a [[f64; 2]],
    /// Lines about held-out samples.
    pub held_out: &'a [String],
}

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}\
table{border-collapse:collapse;margin:1rem 0}td,th{padding:.2rem .8rem;border-bottom:1px solid #8884;text-align:right}\
td:first-child,th:first-child{text-align:left}svg{max-width:100%;height:auto;margin:.5rem}\
.axis{stroke:#888;fill:none}.line{stroke:#2a6fdb;fill:none;stroke-width:2}.dot{fill:#2a6fdb}.pick{fill:#d9480f}\
.bar{fill:#2a6fdb}.gap{stroke:#888;stroke-dasharray:4 3}text{fill:currentColor;font:12px system-ui,sans-serif}";

/// The text of the page.
pub fn html(page: &Page<'_>) -> String {
    let title = escape(page.title);
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n"
    );
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "<p>{} calibration samples. The choice costs {:.4} {} in the mean and has {} {:.2} %.</p>",
        page.samples,
        page.choice[0],
        escape(page.unit),
        escape(page.metric),
        100.0 * page.choice[1]
    );
    chosen(page, &mut out);
    front(page, &mut out);
    exits(page, &mut out);
    if !page.held_out.is_empty() {
        let _ = writeln!(out, "<h2>Held-out samples</h2>\n<ul>");
        for line in page.held_out {
            let _ = writeln!(out, "<li>{}</li>", escape(line));
        }
        let _ = writeln!(out, "</ul>");
    }
    let _ = writeln!(out, "</body>\n</html>");
    out
}

fn chosen(page: &Page<'_>, out: &mut String) {
    let _ = writeln!(
        out,
        "<h2>Where samples leave</h2>\n<table>\n<tr><th>exit</th><th>leaves if</th><th>samples</th><th>share</th><th></th></tr>"
    );
    for row in page.chosen {
        let share = row.leave as f64 / page.samples.max(1) as f64;
        let _ = writeln!(
            out,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{:.1} %</td><td><svg width=\"200\" height=\"12\" role=\"img\" \
             aria-label=\"{:.0} percent\"><rect class=\"bar\" width=\"{:.1}\" height=\"12\"/></svg></td></tr>",
            escape(&row.name),
            escape(&row.rule),
            row.leave,
            100.0 * share,
            100.0 * share,
            200.0 * share
        );
    }
    let _ = writeln!(out, "</table>");
}

/// A plot of quality over cost.
fn front(page: &Page<'_>, out: &mut String) {
    let points = || page.front.iter().chain([&page.choice]);
    let range = |axis: usize| {
        let low = points().map(|p| p[axis]).fold(f64::INFINITY, f64::min);
        let high = points().map(|p| p[axis]).fold(f64::NEG_INFINITY, f64::max);
        let room = 0.05 * (high - low).max(1e-9);
        [low - room, high + room]
    };
    let metric = escape(page.metric);
    let (xs, ys) = (range(0), range(1));
    let at = |p: &[f64; 2]| {
        let x = 60.0 + 520.0 * (p[0] - xs[0]) / (xs[1] - xs[0]);
        let y = 260.0 - 240.0 * (p[1] - ys[0]) / (ys[1] - ys[0]);
        (x, y)
    };
    let _ = writeln!(
        out,
        "<h2>{metric} and cost</h2>\n<svg viewBox=\"0 0 600 300\" width=\"600\" role=\"img\" aria-label=\"{metric} over cost\">\n\
         <path class=\"axis\" d=\"M60 20V260H580\"/>"
    );
    let path: Vec<String> = page
        .front
        .iter()
        .map(|p| format!("{:.1} {:.1}", at(p).0, at(p).1))
        .collect();
    if !path.is_empty() {
        let _ = writeln!(out, "<path class=\"line\" d=\"M{}\"/>", path.join("L"));
    }
    for point in page.front {
        let (x, y) = at(point);
        let _ = writeln!(
            out,
            "<circle class=\"dot\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"><title>{:.4} {}, {:.2} %</title></circle>",
            point[0],
            escape(page.unit),
            100.0 * point[1]
        );
    }
    let (x, y) = at(&page.choice);
    let _ = writeln!(
        out,
        "<circle class=\"pick\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"6\"><title>the choice</title></circle>\n\
         <text x=\"60\" y=\"280\">{:.3}</text><text x=\"580\" y=\"280\" text-anchor=\"end\">{:.3} {}</text>\n\
         <text x=\"55\" y=\"260\" text-anchor=\"end\">{:.1} %</text><text x=\"55\" y=\"30\" text-anchor=\"end\">{:.1} %</text>\n</svg>",
        xs[0],
        xs[1],
        escape(page.unit),
        100.0 * ys[0],
        100.0 * ys[1]
    );
}

fn exits(page: &Page<'_>, out: &mut String) {
    let _ = writeln!(
        out,
        "<h2>Exits</h2>\n<table>\n<tr><th>exit</th><th>{}</th><th>{}</th><th>temperature</th>\
         <th>calibration error</th><th>with the temperature</th></tr>",
        escape(page.metric),
        escape(page.unit)
    );
    for exit in page.exits {
        let _ = writeln!(
            out,
            "<tr><td>{}</td><td>{:.2} %</td><td>{:.4}</td><td>{:.3}</td><td>{:.4}</td><td>{:.4}</td></tr>",
            escape(&exit.name),
            100.0 * exit.score,
            exit.cost,
            exit.temperature,
            exit.errors[0],
            exit.errors[1]
        );
    }
    let _ = writeln!(
        out,
        "</table>\n<h2>Reliability</h2>\n<p>Accuracy over confidence; the line is where both are equal.</p>"
    );
    for exit in page.exits {
        for (bins, what) in exit.bins.iter().zip(["", ", with the temperature"]) {
            reliability(&format!("{}{what}", exit.name), bins, out);
        }
    }
}

fn reliability(title: &str, bins: &[Bin], out: &mut String) {
    let title = escape(title);
    let _ = writeln!(
        out,
        "<svg viewBox=\"0 0 240 240\" width=\"240\" role=\"img\" aria-label=\"{title}\">\n\
         <text x=\"20\" y=\"12\">{title}</text><path class=\"axis\" d=\"M20 20V220H220\"/><path class=\"gap\" d=\"M20 220L220 20\"/>"
    );
    for bin in bins.iter().filter(|bin| bin.count > 0) {
        let height = 200.0 * bin.accuracy;
        let width = 200.0 / BINS as f64 - 2.0;
        let x = 20.0 + 200.0 * bin.confidence - width / 2.0;
        let _ = writeln!(
            out,
            "<rect class=\"bar\" x=\"{x:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{height:.1}\">\
             <title>{} samples, {:.2} sure, {:.2} right</title></rect>",
            220.0 - height,
            bin.count,
            bin.confidence,
            bin.accuracy
        );
    }
    let _ = writeln!(out, "</svg>");
}
