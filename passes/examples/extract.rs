//! Extracts from e-graphs in egraph-serialize JSON (`.json`, or `.json.gz` through `gzip`) by each
//! method, and prints what that costs and how long it took.
//!
//! ```text
//! cargo run --release -p lepid-passes --example extract -- [--steps N] FILE…
//! ```
#![allow(clippy::print_stdout, reason = "a program of its own")]

use std::error::Error;
use std::process::Command;
use std::time::Instant;
use std::{env, fs};

use lepid_passes::eqsat::extract::{ExtractGraph, GraphFile, Method, extract};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1).peekable();
    let mut steps = 10_000;
    if arguments.next_if_eq("--steps").is_some() {
        steps = arguments.next().ok_or("--steps needs a number")?.parse()?;
    }
    for path in arguments {
        let graph = read(&path)?;
        println!(
            "{path}: {} classes, {} nodes",
            graph.class_count(),
            graph.node_count()
        );
        let methods = [
            ("tree", Method::Tree),
            ("greedy", Method::Greedy),
            ("exact", Method::Exact { steps }),
        ];
        for (name, method) in methods {
            let start = Instant::now();
            let found = extract(&graph, method)?;
            println!(
                "  {name:<6} cost {:.9}, at least {:.9}{}, {} nodes, {} steps, {:.1} ms",
                found.program.cost,
                found.lower_bound,
                if found.optimal { " (optimal)" } else { "" },
                found.program.nodes.len(),
                found.steps,
                start.elapsed().as_secs_f64() * 1e3,
            );
        }
    }
    Ok(())
}

fn read(path: &str) -> Result<ExtractGraph, Box<dyn Error>> {
    let text = if path.ends_with(".gz") {
        let output = Command::new("gzip").args(["-dc", path]).output()?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into());
        }
        output.stdout
    } else {
        fs::read(path)?
    };
    Ok(serde_json::from_slice::<GraphFile>(&text)?.graph()?)
}
