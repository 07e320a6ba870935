//! A graph as a picture: boxes of ops with their share of the work, and where values go.

use std::fmt::Write;

use lepid_ir::core::{Module, Op};

use super::escape::{escape, short};
use super::graph::{Graph, Kind, Node};
use super::layout::{Drawing, Size, place};

const WIDTH: f64 = 210.0;
const LINE: f64 = 16.0;
const PAD: f64 = 6.0;
/// Characters of the fixed-width font that fit in a box, and beside the share of an op.
const MOST_CHARS: usize = 31;
const MOST_NAME: usize = 23;

/// What the ops of a graph are.
pub(super) struct Subject<'a> {
    pub(super) module: &'a Module,
    pub(super) ops: &'a [Op],
    /// The share of the work of each op.
    pub(super) shares: &'a [f64],
}

/// Draws the graph; its ops link to `#opN`.
pub(super) fn draw(graph: &Graph, subject: &Subject<'_>) -> String {
    let sizes: Vec<Size> = graph.nodes.iter().map(size).collect();
    let drawing = place(&sizes, &graph.edges);
    let (width, height) = (drawing.width.ceil(), drawing.height.ceil());
    let mut out = format!(
        "<svg class=\"graph\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" role=\"img\">\n"
    );
    edges(&drawing, &mut out);
    for (node, &(x, y)) in graph.nodes.iter().zip(&drawing.boxes) {
        self::node(node, (x - WIDTH / 2.0, y), subject, &mut out);
    }
    out + "</svg>\n"
}

fn size(node: &Node) -> Size {
    let lines = match &node.kind {
        Kind::Input(_) | Kind::Output(_) => 1,
        Kind::Ops(ops) => ops.len(),
    };
    Size {
        width: WIDTH,
        height: 2.0 * PAD + LINE * (lines + 1) as f64,
    }
}

/// Writing to a string cannot fail, here and below.
fn edges(drawing: &Drawing, out: &mut String) {
    out.push_str("<g class=\"edges\">\n");
    for points in &drawing.edges {
        let [first, rest @ ..] = &points[..] else {
            continue;
        };
        let _ = write!(out, "<path d=\"M{:.1} {:.1}", first.0, first.1);
        let mut at = *first;
        for &(x, y) in rest {
            match x == at.0 {
                true => {
                    let _ = write!(out, "V{y:.1}");
                }
                // Leaves and enters straight down.
                false => {
                    let bend = (y - at.1) / 2.0;
                    let (from, to) = (at.1 + bend, y - bend);
                    let _ = write!(out, "C{:.1} {from:.1} {x:.1} {to:.1} {x:.1} {y:.1}", at.0);
                }
            }
            at = (x, y);
        }
        out.push_str("\"/>\n");
        let (x, y) = at;
        let _ = writeln!(
            out,
            "<path class=\"tip\" d=\"M{:.1} {:.1}L{x:.1} {y:.1}L{:.1} {:.1}Z\"/>",
            x - 3.5,
            y - 6.0,
            x + 3.5,
            y - 6.0
        );
    }
    out.push_str("</g>\n");
}

fn node(node: &Node, (x, y): (f64, f64), subject: &Subject<'_>, out: &mut String) {
    let height = size(node).height;
    let class = match node.kind {
        Kind::Input(_) | Kind::Output(_) => "port",
        Kind::Ops(_) => "box",
    };
    let _ = writeln!(
        out,
        "<g class=\"{class}\" transform=\"translate({x:.1} {y:.1})\"><rect width=\"{WIDTH}\" height=\"{height}\" rx=\"5\"/>"
    );
    let mut line = PAD;
    match &node.kind {
        Kind::Input(name) => port("in", name, out),
        Kind::Output(name) => port("out", name, out),
        Kind::Ops(ops) => {
            for &number in ops {
                op_line(number, line, subject, out);
                line += LINE;
            }
        }
    }
    let ty = bare(&node.ty);
    let _ = writeln!(
        out,
        "<text class=\"type\" x=\"10\" y=\"{:.1}\">{}</text></g>",
        height - PAD - 4.0,
        escape(&short(&ty, MOST_CHARS))
    );
}

fn port(what: &str, name: &str, out: &mut String) {
    let _ = writeln!(
        out,
        "<title>{what}put {0}</title><text x=\"10\" y=\"{1:.1}\">{what} <tspan class=\"name\">{2}</tspan></text>",
        escape(name),
        PAD + 12.0,
        escape(&short(name, MOST_CHARS - 4)),
    );
}

/// One op: a mark as strong as its share, its name, its share.
fn op_line(number: usize, top: f64, subject: &Subject<'_>, out: &mut String) {
    let view = subject.module.view(subject.ops[number]);
    let share = subject.shares[number];
    let names: Vec<String> = view.loc().names().map(|n| n.to_string()).collect();
    let results = view.results().iter();
    let types: Vec<String> = results
        .map(|&v| bare(&subject.module.value_type(v).to_string()))
        .collect();
    let title = format!(
        "{} → {}\n{}",
        view.name(),
        types.join(", "),
        names.join("\n")
    );
    let title: Vec<String> = title.lines().map(escape).collect();
    let percent = match share >= 0.0005 {
        true => format!("{:.1} %", 100.0 * share),
        false => String::new(),
    };
    let base = top + 12.0;
    let heat = (share.sqrt() * 1.6).min(1.0);
    let _ = writeln!(
        out,
        "<a href=\"#op{number}\"><title>{}</title><rect class=\"heat\" y=\"{top:.1}\" width=\"{WIDTH}\" height=\"{LINE}\" fill-opacity=\"{heat:.3}\"/><text x=\"10\" y=\"{base:.1}\">{}</text><text class=\"share\" x=\"{:.1}\" y=\"{base:.1}\">{percent}</text></a>",
        title.join("\n"),
        escape(&short(plain_name(view.name()), MOST_NAME)),
        WIDTH - 8.0,
    );
}

/// Ops of `nn` and `tensor` are known by their names alone.
fn plain_name(name: &str) -> &str {
    let bare = name.strip_prefix("nn.").or(name.strip_prefix("tensor."));
    bare.unwrap_or(name)
}

/// A tensor type without the word.
pub(super) fn bare(ty: &str) -> String {
    ty.replace("tensor<", "").replace('>', "")
}
