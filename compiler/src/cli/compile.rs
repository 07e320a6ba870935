//! `lepid compile`: what a target makes of a model, as files.

use std::io::{self, Write};
use std::path::PathBuf;

use lepid_ir::core::{Code, Diagnostic, Loc, PrintOptions, Resources, print_module};
use lepid_ir::text::write_weights;
use lepid_target_api::Package;
use serde_json::json;

use super::args::{ModelArgs, TargetArgs, check_output};
use super::{Cx, Outcome};
use crate::driver::{files, side_file_name};

/// Compile a model for a target.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lepid compile model.onnx --emit asm
  lepid compile model.onnx --emit obj -o model.o --dim N=1
  lepid compile model.onnx --emit ir -o lowered.lir --timing")]
pub(super) struct Args {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    target: TargetArgs,
    /// What to write.
    #[arg(long, value_enum, default_value_t = Emit::Ir)]
    emit: Emit,
    /// The file to write [default: standard output, but for obj].
    #[arg(short, long, value_name = "FILE", required_if_eq("emit", "obj"))]
    output: Option<PathBuf>,
}

#[derive(Copy, Clone, PartialEq, Eq, clap::ValueEnum)]
enum Emit {
    /// The module as the target emits code from it.
    Ir,
    /// Assembly text.
    Asm,
    /// An object file.
    Obj,
}

pub(super) fn run(args: &Args, cx: &mut Cx<'_>) -> Outcome {
    if let Some(path) = &args.output {
        check_output(path)?;
    }
    let section = match args.emit {
        Emit::Ir => None,
        Emit::Asm => Some("asm"),
        Emit::Obj => Some("obj"),
    };
    let target = args.target.target(cx)?;
    let more: Vec<(&str, &str)> = match section {
        // Only targets that can choose are asked.
        Some(name) if target.info().options.iter().any(|o| o.name == "emit") => {
            vec![("emit", name)]
        }
        _ => Vec::new(),
    };
    let module = args.model.load(cx)?;
    let func = args.model.func.as_deref();
    let compiled = args.target.compile(module, func, &more, cx)?;
    let package = &compiled.package;
    cx.report("target", package.target.to_string());
    let sections = package.sections.iter();
    let sections: Vec<_> = sections
        .map(|s| json!({"name": s.name, "bytes": s.data.as_slice().len()}))
        .collect();
    cx.report("sections", sections);
    match section {
        None => write_ir(args, package, cx),
        Some(name) => write_section(args, package, name, cx),
    }
}

fn write_ir(args: &Args, package: &Package, cx: &mut Cx<'_>) -> Outcome {
    let mut resources = Resources::default();
    let options: PrintOptions = args.target.ir.print_options();
    let text = print_module(&package.module, &options, &mut resources);
    let Some(path) = &args.output else {
        return print(&text, "module", cx);
    };
    if !resources.is_empty() {
        let weights = side_file_name(path);
        write_weights(&weights, &resources)
            .map_err(|error| files::cannot_write(&weights, error))?;
    }
    files::write_atomic(path, |file| file.write_all(text.as_bytes()))?;
    cx.report("output", path.display().to_string());
    Ok(())
}

fn write_section(args: &Args, package: &Package, name: &str, cx: &mut Cx<'_>) -> Outcome {
    let Some(data) = package.section(name) else {
        let message = format!("target `{}` gives no `{name}`", package.target);
        let error = Diagnostic::error(Code::EMIT_FAILED, Loc::Unknown, message);
        return Err(error.with_help("`--emit ir` works for every target").into());
    };
    match &args.output {
        Some(path) => {
            files::write_atomic(path, |file| file.write_all(data.as_slice()))?;
            cx.report("output", path.display().to_string());
            Ok(())
        }
        None => print(&String::from_utf8_lossy(data.as_slice()), name, cx),
    }
}

fn print(text: &str, name: &str, cx: &mut Cx<'_>) -> Outcome {
    match cx.json {
        true => cx.report(name, text),
        false => io::stdout().write_all(text.as_bytes())?,
    }
    Ok(())
}
