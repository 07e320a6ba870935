//! `lepid explain-spec`: what can stand in an adaptation spec.

use std::io::{self, Write};

use serde_json::json;

use super::{Cx, Outcome};
use crate::frontends::spec::schema::{EXAMPLE, SECTIONS};

/// Explain the specs that make a cascade of a model with several exits, or of several models.
#[derive(clap::Args)]
#[command(after_help = "\
A spec is a TOML file. It stands in the place of a model in every command:
  lepid run cascade.toml --input x=image.npy
  lepid compile cascade.toml --dim N=..32 -o cascade.lepid")]
pub(super) struct Args {}

pub(super) fn run(cx: &mut Cx<'_>) -> Outcome {
    if cx.json {
        let sections = SECTIONS.iter().map(|section| {
            let keys = section.keys.iter();
            let keys =
                keys.map(|k| json!({"name": k.name, "value": k.value, "meaning": k.meaning}));
            json!({
                "heading": section.heading,
                "meaning": section.meaning,
                "keys": keys.collect::<Vec<_>>(),
            })
        });
        cx.report("sections", sections.collect::<Vec<_>>());
        cx.report("example", EXAMPLE);
        return Ok(());
    }
    let mut out = io::stdout().lock();
    for section in SECTIONS {
        writeln!(out, "{}", section.heading)?;
        if !section.meaning.is_empty() {
            writeln!(out, "  {}", section.meaning)?;
        }
        for key in section.keys {
            writeln!(out, "\n  {} = {}", key.name, key.value)?;
            writeln!(out, "      {}", key.meaning)?;
        }
        writeln!(out)?;
    }
    writeln!(out, "an example")?;
    for line in EXAMPLE.lines() {
        writeln!(out, "  {line}")?;
    }
    Ok(())
}
