//! `lepid explain`: the paragraph of a diagnostic code.

use std::io::{self, Write};

use lepid_ir::core::{CODES, Code, CodeInfo, Diagnostic, Loc};
use serde_json::json;

use super::{Cx, Outcome};

/// Explain a diagnostic code.
#[derive(clap::Args)]
#[command(after_help = "Example: lepid explain E0101")]
pub(super) struct Args {
    /// Such as E0101, in any case.
    code: String,
}

pub(super) fn run(args: &Args, cx: &mut Cx<'_>) -> Outcome {
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
