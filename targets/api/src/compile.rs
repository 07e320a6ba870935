//! From a module to a package: expansion, the target's pipeline, legality, emission. The same for
//! the driver and for tests of targets.

use std::collections::BTreeMap;

use lepid_ir::core::{
    Code, Diagnostic, Diagnostics, Dim, Limits, Loc, Module, Op, Registry, Symbol, nearest,
};
use lepid_ir::dialects::core::{Call, Func};
use lepid_passes::core::{
    Alias, Legality, Observer, PassDef, PassEnv, PassManager, PassRegistry, Pipeline, Report, Step,
};

use crate::memory;
use crate::package::{check_states, declare_states};
use crate::{EmitCx, Package, Provenance, Signature, Target, TargetOptions};

/// How to compile.
#[derive(Clone, Debug, Default)]
pub struct CompileOptions {
    pub target: TargetOptions,
    /// The function to compile; `main`, or the only one.
    pub func: Option<String>,
    /// In place of the target's pipeline.
    pub pipeline: Option<String>,
    /// Numbers for named extents.
    pub dims: BTreeMap<Symbol, u64>,
    /// Inputs and outputs that are states, by name: see [`declare_states`].
    pub states: Vec<(String, String)>,
    /// Whether the verifier runs after each pass.
    pub verify_each: bool,
    /// What the compiled function may take.
    pub limits: Limits,
}

/// What compiling stands on.
pub struct CompileEnv<'a> {
    pub ops: &'a Registry,
    pub passes: &'a PassRegistry,
    pub aliases: &'a [Alias],
    pub observer: &'a mut dyn Observer,
}

/// A package and how it came about.
pub struct Compiled {
    pub package: Package,
    pub report: Report,
}

/// An extent of an input that is not a number.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OpenExtent {
    pub input: String,
    pub axis: usize,
    pub dim: Dim,
}

/// Compiles a function of the module for a target.
pub fn compile(
    target: &dyn Target,
    mut module: Module,
    options: &CompileOptions,
    env: CompileEnv<'_>,
) -> Result<Compiled, Diagnostics> {
    let pipeline = pipeline(target, options, env.passes, env.aliases)?;
    let func = main_function(&module, options.func.as_deref())?;
    require_numbers(target, &module, func)?;
    declare_states(&mut module, func, &options.states)?;
    check_states(&module, func)?;
    require_states(target, &module, func)?;
    keep_called(&mut module, func);
    memory::check_values(&module, options.limits)?;
    let provenance = provenance(target, &module, func, options, &pipeline);
    let report = with_pass_env(target, options, env.ops, |pass_env| {
        let mut manager = PassManager {
            env: pass_env,
            verify_each: options.verify_each,
            observer: env.observer,
        };
        manager.run(&mut module, &pipeline)
    })??;
    let func = main_function(&module, options.func.as_deref())?;
    check_legality(target, &module)?;
    memory::check_total(&module, func, options.limits)?;
    let cx = EmitCx {
        func,
        options: &options.target,
    };
    let package = target.emit(&module, &cx)?;
    let package = Package {
        provenance: Provenance {
            generator: package.provenance.generator.clone(),
            ..provenance
        },
        ..package
    };
    Ok(Compiled { package, report })
}

/// Calls `with` with what passes may ask of a target.
pub fn with_pass_env<R>(
    target: &dyn Target,
    options: &CompileOptions,
    ops: &Registry,
    with: impl FnOnce(&PassEnv<'_>) -> R,
) -> Result<R, Diagnostics> {
    let model = target.cost_model(&options.target)?;
    Ok(with(&PassEnv {
        ops,
        legality: &|op| target.legality(op),
        seconds: &|op| model.seconds(op, 1),
        facts: target.info().capabilities,
        dims: options.dims.clone(),
    }))
}

/// What of a package's origin is known here: all but the files and the code generator.
fn provenance(
    target: &dyn Target,
    module: &Module,
    func: Op,
    options: &CompileOptions,
    pipeline: &Pipeline,
) -> Provenance {
    let info = target.info();
    let value = |name: &str| {
        options
            .target
            .get(info, name)
            .unwrap_or_default()
            .to_string()
    };
    let all = info.options.iter();
    Provenance {
        lepid: env!("CARGO_PKG_VERSION").to_string(),
        func: Func::name(module.view(func)).to_string(),
        pipeline: pipeline.to_string(),
        options: all.map(|o| (o.name.to_string(), value(o.name))).collect(),
        ..Provenance::default()
    }
}

/// The text of the given pipeline, or of the target's with its options filled in.
pub fn pipeline_text(target: &dyn Target, options: &CompileOptions) -> Result<String, Diagnostics> {
    match &options.pipeline {
        Some(text) => Ok(text.clone()),
        None => options.target.fill(target.info(), target.pipeline()),
    }
}

/// The given pipeline or the target's, in which `expand` comes first if it has no place of its
/// own there.
pub fn pipeline(
    target: &dyn Target,
    options: &CompileOptions,
    passes: &PassRegistry,
    aliases: &[Alias],
) -> Result<Pipeline, Diagnostics> {
    let text = pipeline_text(target, options)?;
    let mut pipeline = Pipeline::parse(&text, passes, aliases)?;
    let expand: &'static PassDef = match passes.get("expand") {
        Some(pass) => pass,
        None => lepid_ir::bug!("the pass `expand` is not registered"),
    };
    let has_expand = pipeline.steps.iter().any(|s| s.pass.name == expand.name);
    if options.pipeline.is_none() && !has_expand {
        let step = Step {
            pass: expand,
            options: BTreeMap::new(),
        };
        pipeline.steps.insert(0, step);
    }
    Ok(pipeline)
}

/// The function of that name; without a name `main`, or the only one.
pub fn main_function(module: &Module, name: Option<&str>) -> Result<Op, Diagnostics> {
    let names: Vec<&str> = module.funcs().map(|f| Func::name(module.view(f))).collect();
    let wanted = match (name, &names[..]) {
        (Some(name), _) => name,
        (None, [only]) => only,
        (None, _) => "main",
    };
    Func::find(module, wanted).ok_or_else(|| {
        let message = format!("the module has no function `@{wanted}`");
        let all: Vec<String> = names.iter().map(|n| format!("`@{n}`")).collect();
        let help = match (nearest(wanted, names.iter().copied()), all.is_empty()) {
            (Some(near), _) => format!("did you mean `@{near}`?"),
            (None, true) => "the module is empty".to_string(),
            (None, false) => format!("it has {}; choose with `--func`", all.join(", ")),
        };
        vec![Diagnostic::error(Code::UNKNOWN_FUNC, Loc::Unknown, message).with_help(help)]
    })
}

/// Erases the functions that `func` does not call, not even through others.
fn keep_called(module: &mut Module, func: Op) {
    let mut kept = vec![func];
    let mut at = 0;
    while let Some(&caller) = kept.get(at) {
        at += 1;
        for op in module.walk_inside(caller) {
            let view = module.view(op);
            if view.name() == Call::INFO.name
                && let Some(callee) = Func::find(module, Call::callee(view).as_str())
                && !kept.contains(&callee)
            {
                kept.push(callee);
            }
        }
    }
    for other in module.funcs().collect::<Vec<Op>>() {
        if !kept.contains(&other) {
            module.erase(other);
        }
    }
}

impl Signature {
    /// All extents of the inputs that are not numbers, in order.
    pub fn open_extents(&self) -> Vec<OpenExtent> {
        let mut found = Vec::new();
        for port in &self.inputs {
            let dims = port.ty.as_tensor().map_or(&[][..], |ty| &ty.dims);
            for (axis, &dim) in dims.iter().enumerate() {
                if dim.known().is_none() {
                    found.push(OpenExtent {
                        input: port.name.clone(),
                        axis,
                        dim,
                    });
                }
            }
        }
        found
    }
}

/// Most targets compile for fixed extents.
fn require_numbers(target: &dyn Target, module: &Module, func: Op) -> Result<(), Diagnostics> {
    if target.info().capability("extents") == Some("symbolic") {
        return Ok(());
    }
    let name = target.info().name;
    let mut seen: Vec<Dim> = Vec::new();
    let mut errors = Vec::new();
    // The number of samples of a batch may stay open.
    let open = Signature::of(module, func).of_samples(1).open_extents();
    for open in open {
        let (input, axis) = (&open.input, open.axis);
        let (what, help) = match open.dim {
            Dim::Sym(_) if seen.contains(&open.dim) => continue,
            Dim::Sym(symbol) => (
                format!("the extent `{symbol}`"),
                format!("give it with `--dim {symbol}=4`"),
            ),
            Dim::Unknown | Dim::Known(_) => (
                format!("axis {axis} of input `{input}`"),
                format!("give the shape with `--input-shape {input}=4x…`"),
            ),
        };
        seen.push(open.dim);
        let message = format!("{what} has no value, which target `{name}` needs");
        errors.push(Diagnostic::error(Code::UNBOUND_DIM, Loc::Unknown, message).with_help(help));
    }
    match errors.is_empty() {
        true => Ok(()),
        false => Err(errors),
    }
}

/// A target says that its programs keep states.
fn require_states(target: &dyn Target, module: &Module, func: Op) -> Result<(), Diagnostics> {
    let info = target.info();
    if Func::states(module.view(func)).is_empty() || info.capability("states") == Some("kept") {
        return Ok(());
    }
    let message = format!("programs of target `{}` keep no states", info.name);
    let error = Diagnostic::error(Code::STATE, Loc::Unknown, message);
    Err(vec![error.with_help(
        "leave out `--state`: the states are then inputs and outputs",
    )])
}

/// Reports every op that `emit` would not take.
fn check_legality(target: &dyn Target, module: &Module) -> Result<(), Diagnostics> {
    let name = target.info().name;
    let mut errors = Vec::new();
    for op in module.walk() {
        let view = module.view(op);
        let reason = match target.legality(view) {
            Legality::Native => continue,
            Legality::Expand => "it cannot be expanded into simpler ops".to_string(),
            Legality::Unsupported(reason) => reason,
        };
        let message = format!("target `{name}` does not have `{}`: {reason}", view.name());
        let error = Diagnostic::error(Code::UNSUPPORTED_OP, view.loc().clone(), message);
        errors.push(error.with_help("`--target reference` runs every op"));
    }
    match errors.is_empty() {
        true => Ok(()),
        false => Err(errors),
    }
}
