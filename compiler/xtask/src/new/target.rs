//! A new target in the tree: its crate, its line in the driver.

use super::edit;
use super::names;
use super::plan::Plan;
use crate::workspace::{self, Result};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The name on the command line and of the folder: `npu`.
    name: String,
}

const MANIFEST: &str = r#"[package]
name = "lepid-target-NAME"
description = "The target NAME"
version.workspace = true
edition.workspace = true
rust-version.workspace = true
license.workspace = true
publish.workspace = true

[dependencies]
lepid-target-api.workspace = true
lepid-ir.workspace = true

[dev-dependencies]
lepid-target-conformance.workspace = true

[lints]
workspace = true
"#;

const SOURCE: &str = r#"//! The target `NAME`. What machine it is for stands in this sentence.
//!
//! Knows the target contract and the IR, no other target. Until `emit` makes code for the machine, a package is the module and the interpreter runs it.

use std::sync::Arc;

use lepid_ir::core::{Code, Diagnostic, Diagnostics, Loc, Module, Op, OpView, Tensor};
use lepid_ir::interp;
use lepid_target_api::{
    EmitCx, Executable, Legality, LoadError, LoadOptions, Package, Program, Signature, Target,
    TargetInfo, in_turns,
};

/// The target `NAME`.
pub struct TYPE;

static INFO: TargetInfo = TargetInfo {
    name: "NAME",
    summary: "Runs the IR in the interpreter.",
    options: &[],
    capabilities: &[],
};

impl Target for TYPE {
    fn info(&self) -> &TargetInfo {
        &INFO
    }

    fn legality(&self, _op: OpView<'_>) -> Legality {
        Legality::Native
    }

    fn pipeline(&self) -> &str {
        ""
    }

    fn emit(&self, module: &Module, cx: &EmitCx<'_>) -> Result<Package, Diagnostics> {
        Ok(Package::new(INFO.name, module, cx.func))
    }

    fn program(&self, package: &Package) -> Result<Arc<dyn Program>, LoadError> {
        let mut funcs = package.module.funcs();
        let main = funcs.find(|&func| Signature::of(&package.module, func) == package.signature);
        match main {
            Some(func) => Ok(Arc::new(Loaded {
                package: package.clone(),
                func,
            })),
            None => Err(LoadError::Damaged("no function fits the signature".into())),
        }
    }
}

/// What all users of a package share.
struct Loaded {
    package: Package,
    func: Op,
}

impl Program for Loaded {
    fn signature(&self) -> &Signature {
        &self.package.signature
    }

    fn session(self: Arc<Self>, _options: &LoadOptions) -> Result<Box<dyn Executable>, LoadError> {
        Ok(Box::new(Session {
            program: self,
            inputs: Vec::new(),
        }))
    }
}

/// One user of a package.
struct Session {
    program: Arc<Loaded>,
    inputs: Vec<Tensor>,
}

impl Executable for Session {
    fn signature(&self) -> &Signature {
        self.program.signature()
    }

    fn run(&mut self, inputs: &[Tensor]) -> Result<Vec<Tensor>, Diagnostic> {
        self.inputs = inputs.to_vec();
        let (package, func) = (&self.program.package, self.program.func);
        in_turns(&package.signature, inputs, |inputs| {
            interp::run(&package.module, func, inputs)
        })
    }

    fn rerun(&mut self) -> Result<(), Diagnostic> {
        if self.inputs.len() != self.signature().inputs.len() {
            let message = "nothing was run before";
            return Err(Diagnostic::error(Code::RUN_FAILED, Loc::Unknown, message));
        }
        let inputs = std::mem::take(&mut self.inputs);
        self.run(&inputs).map(drop)
    }
}
"#;

/// Where the driver adds the targets of the tree.
const DRIVER: &str = "compiler/src/driver/mod.rs";
const FIRST_TARGET: &str = ".with_target(Reference)";

pub(super) fn plan(options: &Options) -> Result<Plan> {
    let name = &options.name;
    names::check(name)?;
    let root = workspace::root();
    let folder = root.join("targets").join(name);
    if folder.exists() {
        return Err(format!("there is a folder targets/{name} already"));
    }
    let ty = names::camel_case(name);
    let krate = format!("lepid-target-{name}");
    let fill = |template: &str| template.replace("NAME", name).replace("TYPE", &ty);
    let mut plan = Plan::default();
    plan.write(folder.join("Cargo.toml"), fill(MANIFEST));
    plan.write(folder.join("src/lib.rs"), fill(SOURCE));

    let workspace = root.join("Cargo.toml");
    let text = plan.read(&workspace)?;
    let text = edit::add_to_list(&text, "members = [", &format!("\"targets/{name}\""))?;
    let line = format!("{krate} = {{ path = \"targets/{name}\" }}");
    plan.write(workspace, edit::add_line(&text, "lepid-target-", &line)?);

    let manifest = root.join("compiler/Cargo.toml");
    let text = plan.read(&manifest)?;
    let (dependencies, rest) = split_before(&text, "\n[build-dependencies]")?;
    let line = format!("{krate}.workspace = true");
    let dependencies = edit::add_line(dependencies, "lepid-target-", &line)?;
    plan.write(manifest, dependencies + rest);

    let driver = root.join(DRIVER);
    let text = plan.read(&driver)?;
    if !text.contains(FIRST_TARGET) {
        return Err(format!("{DRIVER} has no `{FIRST_TARGET}`"));
    }
    let line = format!(
        "{FIRST_TARGET}\n.with_target({}::{ty})",
        krate.replace('-', "_")
    );
    plan.write(driver, text.replacen(FIRST_TARGET, &line, 1));
    Ok(plan)
}

fn split_before<'a>(text: &'a str, mark: &str) -> Result<(&'a str, &'a str)> {
    let place = text
        .find(mark)
        .ok_or(format!("there is no `{}`", mark.trim()))?;
    Ok(text.split_at(place))
}
