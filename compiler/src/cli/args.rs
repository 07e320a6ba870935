//! Arguments that several commands share.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use lepid_ir::core::{
    Code, Diagnostic, Diagnostics, Dim, Loc, Module, PrintOptions, Tensor, nearest,
};
use lepid_ir::dialects::core::Func;
use lepid_target_api::{
    Batch, CompileOptions, Compiled, Executable, LoadOptions, Package, Signature, Target,
    TargetOptions, declare_states, main_function, withdraw_states,
};

use super::{Cx, eqsat};
use crate::driver::compare::{Scale, Tolerance};
use crate::driver::data::{self, ConstantPlace, Given, Place};
use crate::driver::observe::{Around, RoundTrip, Watch};
use crate::driver::trial::Trial;
use crate::driver::{
    Bindings, Constant, Extent, ModelOptions, files, parse_extent, parse_shape, side_file_name,
};

/// A function of a model.
#[derive(Args, Clone)]
pub(super) struct ModelArgs {
    #[command(flatten)]
    pub file: FileArgs,
    /// The function to work on [default: main, or the only one].
    #[arg(long, value_name = "NAME")]
    pub func: Option<String>,
}

/// A model file and what is said about it.
#[derive(Args, Clone)]
pub(super) struct FileArgs {
    /// An ONNX model, an IR text (`.lir`), or a package (`.lepid`) where it is run or inspected.
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,
    /// The shape of an input in place of the one in the model; may be repeated.
    #[arg(long, value_name = "NAME=4x3x224x224", value_parser = shape_of_input)]
    pub input_shape: Vec<(String, Vec<Dim>)>,
    /// The value of an input that decides shapes, such as axes, as numbers or from a file; may be
    /// repeated.
    #[arg(long, value_name = "NAME=[1,2] | NAME=FILE.npy", value_parser = data::parse_constant)]
    pub constant: Vec<(String, ConstantPlace)>,
    /// The value of a named extent; may be repeated. `N=?` or `N=..16` is any number of samples,
    /// of which 8 or 16 are computed at a time at most.
    #[arg(long = "dim", value_name = "N=4 | N=? | N=..16", value_parser = value_of_dim)]
    pub dims: Vec<(String, Extent)>,
    /// An input that the program keeps inside, and the output that it is in the next step: a cache
    /// that is written in place. May be repeated. Commands that compare or cut models take both as
    /// what they are in the model.
    #[arg(long = "state", value_name = "PAST=PRESENT", value_parser = past_and_present)]
    pub states: Vec<(String, String)>,
    /// The file of large constants that goes with an IR text [default: MODEL.safetensors].
    #[arg(long, value_name = "FILE")]
    pub weights: Option<PathBuf>,
}

/// The target and how to compile for it.
#[derive(Args, Clone)]
pub(super) struct TargetArgs {
    /// See `lepid list targets` [default: cpu, or reference where there is none].
    #[arg(long, value_name = "TARGET")]
    pub target: Option<String>,
    /// An option of the target; see `lepid list targets NAME`. May be repeated.
    #[arg(long = "target-option", value_name = "NAME=VALUE", value_parser = name_and_value)]
    pub options: Vec<(String, String)>,
    /// A pipeline in place of the target's own.
    #[arg(long, value_name = "PIPELINE")]
    pub pipeline: Option<String>,
    #[command(flatten)]
    pub ir: IrArgs,
}

/// What to show of a pipeline.
#[derive(Args, Clone, Default)]
pub(super) struct IrArgs {
    /// Print the IR before these passes.
    #[arg(long, value_name = "PASS", value_delimiter = ',')]
    pub print_ir_before: Vec<String>,
    /// Print the IR before every pass.
    #[arg(long)]
    pub print_ir_before_all: bool,
    /// Print the IR after these passes.
    #[arg(long, value_name = "PASS", value_delimiter = ',')]
    pub print_ir_after: Vec<String>,
    /// Print the IR after every pass.
    #[arg(long)]
    pub print_ir_after_all: bool,
    /// Print what each pass changes, as a difference of the IR.
    #[arg(long)]
    pub print_ir_diff: bool,
    /// Add the origin of each op as a comment.
    #[arg(long)]
    pub print_locations: bool,
    /// Run the verifier after each pass.
    #[arg(long)]
    pub verify_each: bool,
    /// Check at each stage that the printed IR reads back as the same module.
    #[arg(long)]
    pub verify_roundtrip: bool,
    /// Print the time of each pass.
    #[arg(long)]
    pub timing: bool,
    /// Tell which rules `eqsat` applied, the costs before and after, and why it kept what it kept.
    #[arg(long)]
    pub eqsat_report: bool,
}

/// Inputs of runs.
#[derive(Args, Clone)]
pub(super) struct InputArgs {
    /// An input from a file, or all inputs from an archive; may be repeated. Inputs that are not
    /// given are random: normal floats, small integers.
    #[arg(long, value_name = "NAME=FILE.npy | NAME=FILE.pb | @FILE.npz", value_parser = data::parse_place)]
    pub input: Vec<Place>,
    /// Seed of random inputs.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub seed: u64,
}

/// When outputs count as equal.
#[derive(Args, Clone)]
pub(super) struct ToleranceArgs {
    /// Largest difference as a share of the largest magnitude in the reference.
    #[arg(long, default_value_t = 1e-4, value_name = "BOUND", value_parser = bound)]
    pub rtol: f64,
    /// Difference that is always allowed.
    #[arg(long, default_value_t = 0.0, value_name = "BOUND", value_parser = bound)]
    pub atol: f64,
    /// Take --rtol of each element's own magnitude, and --atol of the largest where that is above 1.
    #[arg(long)]
    pub per_element: bool,
}

impl InputArgs {
    /// Reads the files.
    pub(super) fn read(&self) -> Result<Given, Diagnostics> {
        let names = self.input.iter().filter_map(|place| match place {
            Place::File { name, .. } => Some(name),
            Place::Archive(_) => None,
        });
        check_once("--input", names)?;
        Given::read(&self.input)
    }
}

impl ToleranceArgs {
    pub(super) fn tolerance(&self) -> Tolerance {
        Tolerance {
            relative: self.rtol,
            absolute: self.atol,
            scale: match self.per_element {
                true => Scale::Element,
                false => Scale::Largest,
            },
        }
    }
}

/// A tolerance on the command line.
fn bound(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(x) if x >= 0.0 => Ok(x),
        _ => Err("expected a number that is not negative".to_string()),
    }
}

/// Refuses what is given twice under one name: one of both would be forgotten.
fn check_once<'n>(
    option: &str,
    names: impl IntoIterator<Item = &'n String>,
) -> Result<(), Diagnostics> {
    let mut seen = BTreeSet::new();
    let names = names.into_iter();
    let twice: BTreeSet<&String> = names.filter(|&name| !seen.insert(name)).collect();
    let errors = twice.into_iter().map(|name| {
        let message = format!("`{option}` is given more than once for `{name}`");
        Diagnostic::error(Code::ARGUMENT, Loc::Unknown, message)
    });
    let errors: Diagnostics = errors.collect();
    match errors.is_empty() {
        true => Ok(()),
        false => Err(errors),
    }
}

fn shape_of_input(text: &str) -> Result<(String, Vec<Dim>), String> {
    let (name, shape) = name_and_value(text)?;
    Ok((name, parse_shape(&shape)?))
}

fn value_of_dim(text: &str) -> Result<(String, Extent), String> {
    let (name, value) = name_and_value(text)?;
    Ok((name, parse_extent(&value)?))
}

fn past_and_present(text: &str) -> Result<(String, String), String> {
    name_and_value(text).map_err(|_| "expected PAST=PRESENT".to_string())
}

fn name_and_value(text: &str) -> Result<(String, String), String> {
    match text.rsplit_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_string(), value.to_string())),
        _ => Err("expected NAME=VALUE".to_string()),
    }
}

impl FileArgs {
    pub(super) fn options(&self) -> Result<ModelOptions, Diagnostics> {
        check_once("--dim", self.dims.iter().map(|(name, _)| name))?;
        check_once(
            "--input-shape",
            self.input_shape.iter().map(|(name, _)| name),
        )?;
        check_once("--constant", self.constant.iter().map(|(name, _)| name))?;
        let constants: Result<_, Diagnostic> = self
            .constant
            .iter()
            .map(|(name, place)| Ok((name.clone(), place.read()?)))
            .collect();
        Ok(ModelOptions {
            constants: constants.map_err(|error| vec![error])?,
            bindings: Bindings {
                shapes: self.input_shape.iter().cloned().collect(),
                dims: self.numbers(),
                batch: self.batch()?,
            },
            weights: self.weights.clone(),
            ..ModelOptions::default()
        })
    }

    /// The numbers among the extents that are given.
    pub(super) fn numbers(&self) -> BTreeMap<String, u64> {
        let numbers = self.dims.iter().filter_map(|(name, extent)| match extent {
            Extent::Number(n) => Some((name.clone(), *n)),
            Extent::Open(_) => None,
        });
        numbers.collect()
    }

    /// The extent that stays open.
    pub(super) fn batch(&self) -> Result<Option<Batch>, Diagnostics> {
        let mut open = self.dims.iter().filter_map(|(name, extent)| match extent {
            Extent::Open(most) => Some(Batch {
                name: name.clone(),
                most: *most,
            }),
            Extent::Number(_) => None,
        });
        let batch = open.next();
        match (&batch, open.next()) {
            (Some(first), Some(second)) => {
                let (first, second) = (&first.name, &second.name);
                let message = format!("both `{first}` and `{second}` are to stay open");
                let error = Diagnostic::error(Code::ARGUMENT, Loc::Unknown, message);
                let help =
                    format!("only the number of samples can; `--dim {second}=4` binds the other");
                Err(vec![error.with_help(help)])
            }
            _ => Ok(batch),
        }
    }

    /// Refuses an extent that stays open, for what looks at the values inside of a model.
    pub(super) fn require_numbers(&self) -> Result<(), Diagnostics> {
        match self.batch()? {
            Some(batch) => Err(needs_a_number(&batch.name)),
            None => Ok(()),
        }
    }

    pub(super) fn load(&self, cx: &mut Cx<'_>) -> Result<Module, Diagnostics> {
        self.load_with(&self.options()?, cx)
    }

    /// Refuses to write a file that cannot be one, or that the model is read from; the same for the
    /// file beside it. Every command asks for every file that it is told to write.
    pub(super) fn check_output(&self, path: &Path, cx: &Cx<'_>) -> Result<(), Diagnostics> {
        let above = path.ancestors().skip(1);
        let above = above.map(|a| match a.as_os_str().is_empty() {
            true => Path::new("."),
            false => a,
        });
        // What is not there yet will be made.
        let folder = above.into_iter().find(|a| a.exists());
        if path.file_name().is_none() || path.is_dir() || !folder.is_some_and(Path::is_dir) {
            let error = files::cannot_write(path, "it cannot be a file");
            return Err(vec![error]);
        }
        let beside = side_file_name(path);
        let written = [path, &beside];
        let written: Vec<&Path> = written.into_iter().filter(|p| p.exists()).collect();
        if written.is_empty() {
            return Ok(());
        }
        let read = cx.driver.files(&self.model, self.weights.as_deref());
        for file in written {
            if let Some(read) = read.iter().find(|read| files::is_same(file, read)) {
                return Err(vec![files::cannot_overwrite(file, read)]);
            }
        }
        Ok(())
    }

    fn load_with(&self, options: &ModelOptions, cx: &mut Cx<'_>) -> Result<Module, Diagnostics> {
        cx.driver.load(&self.model, options, &mut cx.session)
    }
}

impl ModelArgs {
    pub(super) fn load(&self, cx: &mut Cx<'_>) -> Result<Module, Diagnostics> {
        self.load_for(&BTreeMap::new(), cx)
    }

    /// Makes the states that users name those of the function, beside its own.
    pub(super) fn declare_states(&self, module: &mut Module) -> Result<(), Diagnostics> {
        let func = main_function(module, self.func.as_deref())?;
        declare_states(module, func, &self.file.states)
    }

    fn options(&self) -> Result<ModelOptions, Diagnostics> {
        let func = self.func.clone();
        Ok(ModelOptions {
            func,
            ..self.file.options()?
        })
    }

    /// The model for a run with these inputs: those that decide shapes are constants.
    pub(super) fn load_for(
        &self,
        given: &BTreeMap<String, Tensor>,
        cx: &mut Cx<'_>,
    ) -> Result<Module, Diagnostics> {
        let mut options = self.options()?;
        options.arguments = given.clone();
        self.file.load_with(&options, cx)
    }

    pub(super) fn signature(&self, module: &Module) -> Result<Signature, Diagnostics> {
        let func = main_function(module, self.func.as_deref())?;
        Ok(Signature::of(module, func))
    }

    /// The inputs of the model that are no arguments, as their values are known.
    pub(super) fn constants(&self, module: &Module) -> Result<Vec<String>, Diagnostics> {
        let func = main_function(module, self.func.as_deref())?;
        let names = Func::constants(module.view(func));
        Ok(names.into_iter().map(str::to_string).collect())
    }
}

/// A model with numbers for all extents, and a tensor for each input.
pub(super) struct Job {
    pub module: Module,
    pub signature: Signature,
    pub inputs: Vec<Tensor>,
    /// The states of the function, of which it says nothing itself: all of its inputs are there.
    pub states: Vec<(String, String)>,
    /// The names of the inputs that are not random.
    pub given: BTreeSet<String>,
}

impl Job {
    /// Loads a model and its inputs. Named extents that neither the user nor a given input binds
    /// become 1, and inputs that decide shapes become constants, both with a note.
    pub(super) fn load(
        model: &ModelArgs,
        inputs: &InputArgs,
        cx: &mut Cx<'_>,
    ) -> Result<Job, Diagnostics> {
        Job::complete(model, inputs.read()?, inputs.seed, cx)
    }

    /// The same with tensors that are at hand for some of the inputs.
    pub(super) fn with_inputs(
        model: &ModelArgs,
        given: BTreeMap<String, Tensor>,
        seed: u64,
        cx: &mut Cx<'_>,
    ) -> Result<Job, Diagnostics> {
        Job::complete(model, Given::from(given), seed, cx)
    }

    fn complete(
        model: &ModelArgs,
        given: Given,
        seed: u64,
        cx: &mut Cx<'_>,
    ) -> Result<Job, Diagnostics> {
        let mut options = model.options()?;
        options.arguments = given.all();
        let mut module = model.file.load_with(&options, cx)?;
        let mut signature = model.signature(&module)?;
        let constants = model.constants(&module)?;
        let mut given = given.inputs(|name| {
            let port = signature.inputs.iter().any(|p| p.name == name);
            port || constants.iter().any(|c| c == name)
        })?;
        fix(&constants, &mut given, &mut options, cx);
        let mut found = crate::driver::bind_to_inputs(&signature, &given)?;
        default_to_one(&signature, &mut found, cx);
        // The number of samples is the inputs' alone.
        let batch = signature.batch.clone();
        let samples = batch.and_then(|batch| found.dims.remove(&batch.name));
        if !found.is_empty() {
            options.bindings.dims.extend(found.dims);
            options.bindings.shapes.extend(found.shapes);
            // The front end makes more of numbers than a pass can afterwards; what it had to say
            // it has said.
            let said = std::mem::take(&mut cx.session.diagnostics);
            module = model.file.load_with(&options, cx)?;
            cx.session.diagnostics = said;
            signature = model.signature(&module)?;
            fix(&model.constants(&module)?, &mut given, &mut options, cx);
        }
        let signature = signature.of_samples(samples.unwrap_or(1));
        data::check_size(&signature, cx.session.limits)?;
        let given_names = given.keys().cloned().collect();
        let inputs = data::complete(&signature, given, seed)?;
        model.declare_states(&mut module)?;
        let func = main_function(&module, model.func.as_deref())?;
        let states = withdraw_states(&mut module, func);
        Ok(Job {
            module,
            signature,
            inputs,
            states,
            given: given_names,
        })
    }
}

/// The error where values inside of a model are asked for, and the number of samples is open.
pub(super) fn needs_a_number(name: &str) -> Diagnostics {
    let message =
        format!("values inside of a model are for a number of samples, `{name}` has none");
    let error = Diagnostic::error(Code::ARGUMENT, Loc::Unknown, message);
    vec![error.with_help(format!("compile with `--dim {name}=4`"))]
}

/// Binds named extents that nothing else binds to 1, with a note for each.
pub(super) fn default_to_one(signature: &Signature, found: &mut Bindings, cx: &mut Cx<'_>) {
    for name in data::open_names(signature) {
        found.dims.entry(name.clone()).or_insert_with(|| {
            let message = format!("`{name}` is 1, as nothing says otherwise");
            let help = format!("`--dim {name}=4` or an input changes that");
            cx.note(Code::UNBOUND_DIM, message, help);
            1
        });
    }
}

/// Moves the inputs that have become constants to the options, with a note for each.
fn fix(
    constants: &[String],
    given: &mut BTreeMap<String, Tensor>,
    options: &mut ModelOptions,
    cx: &mut Cx<'_>,
) {
    for name in constants {
        let Some(value) = given.remove(name) else {
            continue;
        };
        let message = format!("the code is for this value of `{name}`, as shapes depend on it");
        let help = format!("`--constant {name}=VALUE` gives it to commands that take no inputs");
        cx.note(Code::UNBOUND_DIM, message, help);
        options.arguments.remove(name);
        let value = Constant::Tensor(value);
        options.constants.entry(name.clone()).or_insert(value);
    }
}

impl IrArgs {
    /// The observer that prints to standard error, and checks what is asked for.
    pub(super) fn watch<'d>(&self, cx: &Cx<'d>) -> RoundTrip<'d, Watch<io::Stderr>> {
        let mut watch = Watch::new(io::stderr());
        watch.before = around(self.print_ir_before_all, &self.print_ir_before);
        watch.after = around(self.print_ir_after_all, &self.print_ir_after);
        watch.diff = around(self.print_ir_diff, &[]);
        watch.print = self.print_options();
        RoundTrip {
            ops: self.verify_roundtrip.then(|| cx.driver.ops()),
            inner: watch,
            begun: false,
        }
    }

    pub(super) fn print_options(&self) -> PrintOptions {
        PrintOptions {
            locations: self.print_locations,
            ..PrintOptions::default()
        }
    }

    /// Refuses names that no pass has.
    pub(super) fn check(&self, cx: &Cx<'_>) -> Result<(), Diagnostics> {
        let named = self.print_ir_before.iter().chain(&self.print_ir_after);
        let unknown: Diagnostics = named
            .filter(|name| cx.driver.passes().get(name).is_none())
            .map(|name| {
                let message = format!("unknown pass `{name}`");
                let error = Diagnostic::error(Code::UNKNOWN_PASS, Loc::Unknown, message);
                match cx.driver.passes().suggest(name) {
                    Some(near) => error.with_help(format!("did you mean `{near}`?")),
                    None => error.with_help("`lepid list passes` shows all"),
                }
            })
            .collect();
        match unknown.is_empty() {
            true => Ok(()),
            false => Err(unknown),
        }
    }
}

fn around(all: bool, names: &[String]) -> Around {
    match (all, names) {
        (true, _) => Around::All,
        (false, []) => Around::None,
        (false, names) => Around::These(names.to_vec()),
    }
}

impl TargetArgs {
    pub(super) fn target<'d>(&self, cx: &Cx<'d>) -> Result<&'d dyn Target, Diagnostics> {
        let targets = cx.driver.targets();
        let name = match &self.target {
            Some(name) => name,
            None if targets.get("cpu").is_some() => "cpu",
            None => "reference",
        };
        find_target(cx, name)
    }

    /// The declared options that are set.
    pub(super) fn options(&self, target: &dyn Target) -> Result<TargetOptions, Diagnostics> {
        let declared = || target.info().options.iter().map(|o| o.name);
        let mut values = BTreeMap::new();
        let mut errors = Vec::new();
        for (name, value) in &self.options {
            if declared().any(|d| d == name) {
                values.insert(name.clone(), value.clone());
                continue;
            }
            let message = format!("target `{}` has no option `{name}`", target.info().name);
            let error = Diagnostic::error(Code::ARGUMENT, Loc::Unknown, message);
            errors.push(match nearest(name, declared()) {
                Some(near) => error.with_help(format!("did you mean `{near}`?")),
                None => error,
            });
        }
        match errors.is_empty() {
            true => Ok(TargetOptions { values }),
            false => Err(errors),
        }
    }

    fn compile_options(&self, target: TargetOptions, func: Option<&str>) -> CompileOptions {
        CompileOptions {
            target,
            func: func.map(str::to_string),
            pipeline: self.pipeline.clone(),
            verify_each: self.ir.verify_each,
            ..CompileOptions::default()
        }
    }

    /// For compiling and running modules without a word about each.
    pub(super) fn trial<'d>(
        &self,
        func: Option<&str>,
        load: LoadOptions,
        cx: &Cx<'d>,
    ) -> Result<Trial<'d>, Diagnostics> {
        let target = self.target(cx)?;
        self.ir.check(cx)?;
        Ok(Trial {
            driver: cx.driver,
            target,
            options: self.compile_options(self.options(target)?, func),
            load,
            limits: cx.session.limits,
        })
    }

    /// Compiles a module; `more` are options of the target that the command itself sets.
    pub(super) fn compile(
        &self,
        module: Module,
        func: Option<&str>,
        more: &[(&str, &str)],
        cx: &mut Cx<'_>,
    ) -> Result<Compiled, Diagnostics> {
        let target = self.target(cx)?;
        let mut target_options = self.options(target)?;
        for (name, value) in more {
            let value = value.to_string();
            target_options.values.insert(name.to_string(), value);
        }
        self.compile_with(module, func, target_options, cx)
    }

    /// Compiles a module with these options of the target.
    pub(super) fn compile_with(
        &self,
        module: Module,
        func: Option<&str>,
        target_options: TargetOptions,
        cx: &mut Cx<'_>,
    ) -> Result<Compiled, Diagnostics> {
        let target = self.target(cx)?;
        self.ir.check(cx)?;
        let options = self.compile_options(target_options, func);
        let mut watch = self.ir.watch(cx);
        let compiled = cx
            .driver
            .compile(target, module, &options, &mut watch, &mut cx.session)?;
        if self.ir.timing {
            super::opt::print_timing(&compiled.report);
        }
        if self.ir.eqsat_report {
            eqsat::print_report(&compiled.report, cx);
        }
        Ok(compiled)
    }
}

pub(super) fn find_target<'d>(cx: &Cx<'d>, name: &str) -> Result<&'d dyn Target, Diagnostics> {
    let targets = cx.driver.targets();
    targets.get(name).ok_or_else(|| {
        let message = format!("unknown target `{name}`");
        let error = Diagnostic::error(Code::UNKNOWN_TARGET, Loc::Unknown, message);
        let names = || targets.iter().map(|t| t.info().name);
        vec![match nearest(name, names()) {
            Some(near) => error.with_help(format!("did you mean `{near}`?")),
            None => {
                let all: Vec<&str> = names().collect();
                error.with_help(format!("the targets are {}", all.join(", ")))
            }
        }]
    })
}

/// Makes a package ready to run.
pub(super) fn load_package(
    target: &dyn Target,
    package: &Package,
    options: &LoadOptions,
) -> Result<Box<dyn Executable>, Diagnostics> {
    target
        .load(package, options)
        .map_err(|error| vec![error.diagnostic()])
}

/// What was asked for, or one thread for each core.
pub(super) fn threads(asked: Option<usize>) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    asked.unwrap_or_else(cores).max(1)
}

/// A number of threads on the command line.
pub(super) fn thread_count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n) if (1..=MOST_THREADS).contains(&n) => Ok(n),
        _ => Err(format!("expected a number from 1 to {MOST_THREADS}")),
    }
}

/// More than any machine has cores that this runs on.
const MOST_THREADS: usize = 1024;

/// How to load a package for runs that are looked at, not timed.
pub(super) fn plain_load(threads: Option<usize>, cx: &Cx<'_>) -> LoadOptions {
    LoadOptions {
        threads: self::threads(threads),
        dynamic_bytes: cx.session.limits.memory,
        ..LoadOptions::default()
    }
}
