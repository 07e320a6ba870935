//! A page about one model for a browser: self-contained, with nothing from elsewhere, readable
//! without scripts.

use std::fmt::Write;

use lepid_ir::core::{Cost, Module, Op, OpView, Tensor};
use lepid_target_api::{Package, Port, Signature, main_function};

use super::escape::{escape, short};
use super::graph::{self, Graph};
use super::memory;
use super::svg::{self, Subject};
use super::units::{bytes, metric};

/// What a page is about.
pub struct Page<'a> {
    /// The name of the model.
    pub title: &'a str,
    /// As the model states it.
    pub signature: &'a Signature,
    /// The model with numbers for all extents.
    pub module: &'a Module,
    pub func: Op,
    /// What a target made of it.
    pub package: &'a Package,
}

/// Boxes that a picture holds at most: more take a browser longer than people wait.
const MOST_BOXES: usize = 2500;
/// Ops in one box of the folded graph.
const FOLDED: usize = 6;
const MOST_WEIGHTS: usize = 500;

/// The text of the page.
pub fn html(page: &Page<'_>) -> String {
    let ops = graph::ops(page.module, page.func);
    let costs: Vec<Cost> = ops.iter().map(|&op| graph::cost(page.module, op)).collect();
    let total = costs.iter().fold(Cost::default(), |a, &b| a + b);
    let shares: Vec<f64> = costs.iter().map(|c| share(c, &total)).collect();
    let subject = Subject {
        module: page.module,
        ops: &ops,
        shares: &shares,
    };
    let title = escape(page.title);
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{title}</title>\n<style>\n{}</style>\n</head>\n<body>\n<h1>{title}</h1>\n",
        include_str!("page.css")
    );
    summary(page, &total, ops.len(), &mut out);
    signature(page.signature, &mut out);
    graphs(page, &subject, &mut out);
    op_table(&subject, &costs, &mut out);
    compiled(page.package, &mut out);
    weights(page.module, page.func, &mut out);
    let _ = write!(
        out,
        "<script>\n{}</script>\n</body>\n</html>\n",
        include_str!("page.js")
    );
    out
}

/// The share of the arithmetic, or of the bytes where there is none.
fn share(cost: &Cost, total: &Cost) -> f64 {
    match total.flops > 0.0 {
        true => cost.flops / total.flops,
        false if total.bytes > 0.0 => cost.bytes / total.bytes,
        false => 0.0,
    }
}

/// Writing to a string cannot fail, here and below.
fn summary(page: &Page<'_>, total: &Cost, count: usize, out: &mut String) {
    let constants = constants(page.module, page.func);
    let weight_bytes: usize = constants.iter().map(|(_, t)| t.bytes().len()).sum();
    let mut facts = vec![
        ("ops", count.to_string()),
        ("work", format!("{}FLOP", metric(total.flops))),
        ("weights", bytes(weight_bytes as f64)),
        ("traffic", bytes(total.bytes)),
    ];
    let package = page.package;
    if let Ok(func) = main_function(&package.module, None) {
        let steps = graph::ops(&package.module, func).len();
        facts.push(("compiled for", format!("{}, {steps} ops", package.target)));
        let arena = lepid_ir::dialects::core::Func::arena_bytes(package.module.view(func));
        if arena > 0 {
            facts.push(("arena", bytes(arena as f64)));
        }
    }
    out.push_str("<dl class=\"facts\">");
    for (name, value) in facts {
        let _ = write!(out, "<div><dt>{name}</dt><dd>{}</dd></div>", escape(&value));
    }
    out.push_str("</dl>\n");
}

fn signature(signature: &Signature, out: &mut String) {
    out.push_str(
        "<section><h2>Signature</h2><table><tr><th></th><th>name</th><th>type</th></tr>\n",
    );
    let mut rows = |what: &str, ports: &[Port]| {
        for port in ports {
            let (name, ty) = (escape(&port.name), escape(&port.ty.to_string()));
            let _ = writeln!(
                out,
                "<tr><td>{what}</td><td class=\"name\">{name}</td><td class=\"code\">{ty}</td></tr>"
            );
        }
    };
    rows("input", &signature.inputs);
    rows("output", &signature.outputs);
    out.push_str("</table></section>\n");
}

fn graphs(page: &Page<'_>, subject: &Subject<'_>, out: &mut String) {
    let whole = graph::whole(page.module, page.func);
    let folded = whole.folded(FOLDED);
    out.push_str(
        "<section><h2>Graph</h2>\n<p class=\"hint\">Ops of a stronger colour do more of the work. A click on an op leads to its line in the table.</p>\n\
         <input type=\"radio\" name=\"fold\" id=\"folded\" checked><label for=\"folded\">chains folded</label>\n\
         <input type=\"radio\" name=\"fold\" id=\"whole\"><label for=\"whole\">every op</label>\n\
         <span class=\"zoom\" hidden><button data-zoom=\"0.8\">−</button><button data-zoom=\"1.25\">+</button><button data-zoom=\"1\">1:1</button><button data-zoom=\"fit\">fit</button></span>\n",
    );
    for (class, graph) in [("folded", &folded), ("whole", &whole)] {
        let _ = writeln!(out, "<div class=\"view {class}\" tabindex=\"0\">");
        out.push_str(&picture(graph, subject));
        out.push_str("</div>\n");
    }
    out.push_str("</section>\n");
}

fn picture(graph: &Graph, subject: &Subject<'_>) -> String {
    match graph.nodes.len() {
        n if n > MOST_BOXES => {
            format!("<p class=\"hint\">{n} boxes are too many for a picture.</p>\n")
        }
        _ => svg::draw(graph, subject),
    }
}

fn op_table(subject: &Subject<'_>, costs: &[Cost], out: &mut String) {
    out.push_str(
        "<section><h2>Ops</h2>\n<p><input type=\"search\" id=\"filter\" placeholder=\"filter\" hidden></p>\n\
         <table id=\"ops\"><thead><tr><th>#</th><th>op</th><th>result</th><th class=\"r\">FLOP</th><th>share</th><th class=\"r\">bytes</th><th>nodes of the model</th></tr></thead><tbody>\n",
    );
    for (number, &op) in subject.ops.iter().enumerate() {
        let view = subject.module.view(op);
        let (cost, share) = (costs[number], 100.0 * subject.shares[number]);
        let _ = writeln!(
            out,
            "<tr id=\"op{number}\"><td class=\"r\">{number}</td><td class=\"code\">{}</td><td class=\"code\">{}</td><td class=\"r\">{}</td>\
             <td><span class=\"bar\"><i style=\"width:{share:.2}%\"></i></span>{share:.1} %</td><td class=\"r\">{}</td><td class=\"name\">{}</td></tr>",
            escape(view.name()),
            escape(&types(view)),
            metric(cost.flops),
            bytes(cost.bytes),
            nodes(view),
        );
    }
    out.push_str("</tbody></table></section>\n");
}

fn types(view: OpView<'_>) -> String {
    let types = view.results().iter();
    let types: Vec<String> = types
        .map(|&v| svg::bare(&view.module.value_type(v).to_string()))
        .collect();
    types.join(", ")
}

/// Names shown in one cell.
const MOST_NAMES: usize = 12;

fn nodes(view: OpView<'_>) -> String {
    let names: Vec<String> = view.loc().names().map(|n| n.to_string()).collect();
    let shown = names.iter().take(MOST_NAMES);
    let mut shown: Vec<String> = shown.map(|n| escape(&short(n, 200))).collect();
    if names.len() > MOST_NAMES {
        shown.push(format!("and {} more", names.len() - MOST_NAMES));
    }
    shown.join(", ")
}

/// What the target made of it: the memory plan as a picture, the ops as a table.
fn compiled(package: &Package, out: &mut String) {
    let module = &package.module;
    let Ok(func) = main_function(module, None) else {
        return;
    };
    if let Some(plan) = memory::draw(module, func) {
        let _ = write!(
            out,
            "<section><h2>Memory over time on {}</h2>\n<p class=\"hint\">Each block is a value: upwards its place in the arena, to the right the ops while it lives.</p>\n<div class=\"wide\">{plan}</div></section>\n",
            escape(&package.target)
        );
    }
    let ops = graph::ops(module, func);
    let _ = writeln!(
        out,
        "<section><details><summary>{} ops compiled for {}</summary><table><tr><th>#</th><th>op</th><th>result</th><th class=\"r\">FLOP</th><th>nodes of the model</th></tr>",
        ops.len(),
        escape(&package.target)
    );
    for (number, &op) in ops.iter().enumerate() {
        let view = module.view(op);
        let _ = writeln!(
            out,
            "<tr><td class=\"r\">{number}</td><td class=\"code\">{}</td><td class=\"code\">{}</td><td class=\"r\">{}</td><td class=\"name\">{}</td></tr>",
            escape(view.name()),
            escape(&types(view)),
            metric(graph::cost(module, op).flops),
            nodes(view),
        );
    }
    out.push_str("</table></details></section>\n");
}

/// The constants of a function, each once.
fn constants(module: &Module, func: Op) -> Vec<(Op, &Tensor)> {
    let inside = module.walk_inside(func).into_iter();
    inside
        .filter_map(|op| {
            let result = *module.results(op).first()?;
            Some((op, module.constant_value(result)?))
        })
        .collect()
}

fn weights(module: &Module, func: Op, out: &mut String) {
    let mut all = constants(module, func);
    all.sort_by_key(|(_, tensor)| std::cmp::Reverse(tensor.bytes().len()));
    let _ = writeln!(
        out,
        "<section><details><summary>{} constants</summary><table><tr><th>type</th><th class=\"r\">bytes</th><th>read by</th></tr>",
        all.len()
    );
    for (op, tensor) in all.iter().take(MOST_WEIGHTS) {
        let mut readers: Vec<String> = Vec::new();
        for place in module.uses(module.results(*op)[0]) {
            let view = module.view(place.op);
            let names: Vec<&str> = view.loc().names().map(|n| n.as_str()).collect();
            let reader = format!("{} {}", view.name(), names.join(" "));
            readers.push(escape(&short(reader.trim(), 200)));
        }
        readers.sort();
        readers.dedup();
        readers.truncate(MOST_NAMES);
        let _ = writeln!(
            out,
            "<tr><td class=\"code\">{}</td><td class=\"r\">{}</td><td class=\"name\">{}</td></tr>",
            escape(&svg::bare(&tensor.ty().to_string())),
            bytes(tensor.bytes().len() as f64),
            readers.join("<br>"),
        );
    }
    out.push_str("</table>");
    if all.len() > MOST_WEIGHTS {
        let _ = write!(
            out,
            "<p class=\"hint\">and {} smaller ones</p>",
            all.len() - MOST_WEIGHTS
        );
    }
    out.push_str("</details></section>\n");
}
