//! `lepid explain`: the paragraph of a diagnostic code, or a rule of `eqsat`.

use std::io::{self, Write};

use lepid_ir::core::{CODES, Code, CodeInfo, Diagnostic, Loc};
use lepid_passes::eqsat::rules;
use serde_json::json;

use super::{Cx, Outcome, eqsat};

/// Explain a diagnostic code or a rule of `eqsat`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lepid explain E0101
  lepid explain transpose-transpose")]
pub(super) struct Args {
    /// A code such as E0101, in any case, or a rule that `lepid list rules` shows.
    #[arg(value_name = "CODE | RULE")]
    code: String,
}

pub(super) fn run(args: &Args, cx: &mut Cx<'_>) -> Outcome {
    if rules::find(&args.code).is_some() {
        let (text, row) = eqsat::one_rule(&args.code)?;
        match cx.json {
            true => cx.report("rule", row),
            false => io::stdout().write_all(text.as_bytes())?,
        }
        return Ok(());
    }
    let info = find(&args.code)?;
    match cx.json {
        true => cx.report("code", row(info)),
        false => io::stdout().write_all(text(info).as_bytes())?,
    }
    Ok(())
}

pub(super) fn find(code: &str) -> Result<&'static CodeInfo, Diagnostic> {
    Code::find(code).ok_or_else(|| {
        let message = format!("`{code}` is not a diagnostic code");
        let known = CODES.iter().map(|c| c.code.0);
        let help = match lepid_ir::core::nearest(&code.to_ascii_uppercase(), known) {
            Some(near) => format!("did you mean `{near}`? `lepid list diagnostics` shows all"),
            None => "`lepid list diagnostics` shows all".to_string(),
        };
        Diagnostic::error(Code::ARGUMENT, Loc::Unknown, message).with_help(help)
    })
}

pub(super) fn text(info: &CodeInfo) -> String {
    let lines = info.explanation.lines().map(str::trim);
    let paragraph: Vec<&str> = lines.collect();
    format!(
        "{}: {}\n\n{}\n",
        info.code,
        info.title,
        paragraph.join("\n")
    )
}

pub(super) fn row(info: &CodeInfo) -> serde_json::Value {
    let explanation: Vec<&str> = info.explanation.lines().map(str::trim).collect();
    json!({
        "code": info.code.0,
        "title": info.title,
        "explanation": explanation.join(" ").trim(),
    })
}
