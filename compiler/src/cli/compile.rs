//! `lepid compile`: what a target makes of a model, as files.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use lepid_ir::core::{Diagnostics, PrintOptions, Resources, print_module};
use lepid_target_api::{Compiled, Package};
use serde_json::json;

use super::args::{ModelArgs, TargetArgs};
use super::{Cx, Outcome, link, package};
use crate::driver::{files, side_file_name};

/// Compile a model for a target.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lepid compile model.onnx -o model.lepid --dim N=1
  lepid compile decode.onnx --state past_key=present_key --state past_value=present_value
  lepid compile model.onnx --emit asm
  lepid compile model.onnx --emit static-lib -o out/libmodel.a
  lepid compile model.onnx --emit object -o model.o
  lepid compile model.onnx --emit ir -o lowered.lir --timing")]
pub(super) struct Args {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    target: TargetArgs,
    /// What to write.
    #[arg(long, value_enum, default_value_t = Emit::Package)]
    emit: Emit,
    /// The file to write [default: in the current folder, named after the model; for ir and asm
    /// standard output].
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// What the symbols of objects, headers and libraries begin with [default: from the file's name].
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

#[derive(Copy, Clone, PartialEq, Eq, clap::ValueEnum)]
enum Emit {
    /// A package that `lepid run` takes without compiling anything.
    Package,
    /// The module as the target emits code from it.
    Ir,
    /// Assembly text.
    Asm,
    /// An object file for programs in C, and how to link it.
    #[value(alias = "obj")]
    Object,
    /// The C header that goes with it.
    Header,
    /// A static library with its header and a file for pkg-config: all that a program in C needs.
    StaticLib,
    /// The same as a shared library, linked by `cc` or what the variable `CC` names.
    SharedLib,
    /// The static library that objects are linked with; the same for all models.
    RuntimeLib,
}

impl Emit {
    /// What the target is asked for.
    fn request(self) -> Option<&'static str> {
        match self {
            Emit::Package | Emit::Ir => None,
            Emit::Asm => Some("asm"),
            Emit::Object => Some("object"),
            Emit::Header => Some("header"),
            Emit::StaticLib | Emit::SharedLib => Some("static-lib"),
            Emit::RuntimeLib => Some("runtime-lib"),
        }
    }

    /// Beginning and ending of a file that nobody named; `None` for standard output.
    fn file_name(self) -> Option<(&'static str, &'static str)> {
        match self {
            Emit::Package => Some(("", "lepid")),
            Emit::Ir | Emit::Asm => None,
            Emit::Object => Some(("", "o")),
            Emit::Header => Some(("", "h")),
            Emit::StaticLib => Some(("lib", "a")),
            Emit::SharedLib => Some(("lib", std::env::consts::DLL_EXTENSION)),
            Emit::RuntimeLib => Some(("lib", "a")),
        }
    }
}

pub(super) fn run(args: &Args, cx: &mut Cx<'_>) -> Outcome {
    let output = args.output_file();
    // A package is refused anyhow, with a better reason.
    let model = &args.model.file.model;
    if let Some(path) = output.as_ref().filter(|_| !cx.driver.is_package(model)) {
        args.model.file.check_output(path, cx)?;
    }
    let compiled = args.compile(output.as_deref(), cx)?;
    let package = &compiled.package;
    cx.report("target", package.target.to_string());
    let sections = package.sections.iter();
    let sections: Vec<_> = sections
        .map(|s| json!({"name": s.name, "bytes": s.data.as_slice().len()}))
        .collect();
    cx.report("sections", sections);
    let Some(path) = output else {
        return show(args, package, cx);
    };
    cx.report("output", path.display().to_string());
    match args.emit {
        Emit::Package => package::save(package, &path)?,
        Emit::Ir => write_ir(args, package, &path)?,
        Emit::Asm => write_part(package, "asm", &path)?,
        Emit::Header => write_part(package, "header", &path)?,
        Emit::RuntimeLib => write_part(package, "runtime-lib", &path)?,
        Emit::Object => {
            write_part(package, "object", &path)?;
            let libraries = link::system_libraries(package)?;
            let object = link::quoted(&path);
            let line = format!("cc main.c {object} liblepid_runtime.a {libraries}");
            tell_link_line(&line, cx)?;
            let model = link::quoted(&args.model.file.model);
            cx.say(format_args!(
                "`lepid compile {model} --emit runtime-lib` writes liblepid_runtime.a, and \
                 `--emit header` what main.c includes"
            ));
        }
        Emit::StaticLib | Emit::SharedLib => write_library(args, package, &path, cx)?,
    }
    cx.say(format_args!("wrote {}", path.display()));
    Ok(())
}

impl Args {
    fn output_file(&self) -> Option<PathBuf> {
        let named = || {
            let (start, ending) = self.emit.file_name()?;
            let stem = match self.emit {
                Emit::RuntimeLib => "lepid_runtime".into(),
                _ => self.model.file.model.file_stem()?.to_string_lossy(),
            };
            Some(PathBuf::from(format!("{start}{stem}.{ending}")))
        };
        self.output.clone().or_else(named)
    }

    /// What symbols begin with.
    fn symbol_name(&self, output: Option<&Path>) -> String {
        let from_file = || link::name_of(output.unwrap_or(&self.model.file.model));
        self.name.clone().unwrap_or_else(from_file)
    }

    /// What is written is used elsewhere, so that nothing of this machine may reach it unasked.
    fn compile(&self, output: Option<&Path>, cx: &mut Cx<'_>) -> Result<Compiled, Diagnostics> {
        let target = self.target.target(cx)?;
        let mut options = self.target.options(target)?;
        options.make_portable(target.info());
        let mut set = |name: &str, value: &str| {
            // Only targets that can choose are asked.
            if target.info().options.iter().any(|o| o.name == name) {
                options.values.insert(name.to_string(), value.to_string());
            }
        };
        if let Some(request) = self.emit.request() {
            set("emit", request);
            set("name", &self.symbol_name(output));
        }
        let mut module = self.model.load(cx)?;
        self.model.declare_states(&mut module)?;
        let func = self.model.func.as_deref();
        let mut compiled = self.target.compile_with(module, func, options, cx)?;
        if self.emit == Emit::Package {
            let file = &self.model.file;
            let sources = cx.driver.sources(&file.model, &file.options()?)?;
            compiled.package.provenance.sources = sources;
        }
        Ok(compiled)
    }
}

/// What has no file goes to standard output.
fn show(args: &Args, package: &Package, cx: &mut Cx<'_>) -> Outcome {
    if args.emit == Emit::Ir {
        let options = args.target.ir.print_options();
        let text = print_module(&package.module, &options, &mut Resources::default());
        return print(&text, "module", cx);
    }
    let name = args.emit.request().unwrap_or_default();
    print(
        &String::from_utf8_lossy(link::part(package, name)?),
        name,
        cx,
    )
}

fn write_ir(args: &Args, package: &Package, path: &Path) -> Result<(), Diagnostics> {
    let mut resources = Resources::default();
    let options: PrintOptions = args.target.ir.print_options();
    let text = print_module(&package.module, &options, &mut resources);
    if !resources.is_empty() {
        files::write_weights(&side_file_name(path), &resources).map_err(|error| vec![error])?;
    }
    link::write(path, text.as_bytes())
}

fn write_part(package: &Package, name: &str, path: &Path) -> Result<(), Diagnostics> {
    link::write(path, link::part(package, name)?)
}

/// The library, its header and its file for pkg-config.
fn write_library(args: &Args, package: &Package, path: &Path, cx: &mut Cx<'_>) -> Outcome {
    let name = args.symbol_name(Some(path));
    let shared = args.emit == Emit::SharedLib;
    match shared {
        true => link::shared(package, path, &name)?,
        false => write_part(package, "static-lib", path)?,
    }
    let companions = link::write_companions(package, path, &name, shared)?;
    let companions: Vec<String> = companions.iter().map(|p| p.display().to_string()).collect();
    cx.report("companions", companions);
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => link::quoted(folder),
        _ => ".".to_string(),
    };
    let library = link::quoted(path);
    let line = match shared {
        true => format!("cc main.c -I{folder} {library}"),
        false => {
            let libraries = link::system_libraries(package)?;
            format!("cc main.c -I{folder} {library} {libraries}")
        }
    };
    tell_link_line(&line, cx)
}

fn tell_link_line(line: &str, cx: &mut Cx<'_>) -> Outcome {
    cx.report("link", line);
    if !cx.json {
        writeln!(io::stdout(), "link with: {line}")?;
    }
    Ok(())
}

fn print(text: &str, name: &str, cx: &mut Cx<'_>) -> Outcome {
    match cx.json {
        true => cx.report(name, text),
        false => io::stdout().write_all(text.as_bytes())?,
    }
    Ok(())
}
