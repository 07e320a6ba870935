//! The `Target` trait and the values that cross it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lepid_ir::core::{
    Code, Diagnostic, Diagnostics, Loc, Module, Op, OpView, Registry, Tensor, Type,
};
use lepid_passes::core::{Legality, PassRegistry};

use crate::{
    Calibration, CostModel, Estimate, Package, Signature, TensorView, TensorViewMut, Workers,
};

/// An option of a target, as `lepid list targets` shows it.
#[derive(Copy, Clone, Debug)]
pub struct TargetOption {
    pub name: &'static str,
    pub default: &'static str,
    /// The default in what is written to be used elsewhere, where it must not depend on the machine
    /// that compiles; `None` if it is the same.
    pub portable: Option<&'static str>,
    pub help: &'static str,
}

/// Facts about a target.
#[derive(Copy, Clone, Debug)]
pub struct TargetInfo {
    pub name: &'static str,
    pub summary: &'static str,
    pub options: &'static [TargetOption],
    /// Facts that tools may ask for, by name: `("layout", "nhwc")`; `("extents", "symbolic")` if
    /// inputs may have extents that are not numbers; `("execution", "interpreted")` if ops run in
    /// the interpreter; `("states", "kept")` if executables keep states.
    pub capabilities: &'static [(&'static str, &'static str)],
}

impl TargetInfo {
    /// A fact by its name.
    pub fn capability(&self, name: &str) -> Option<&'static str> {
        let found = self.capabilities.iter().find(|(n, _)| *n == name);
        found.map(|(_, value)| *value)
    }
}

/// Values of a target's options; what is not set has its declared default.
#[derive(Clone, Debug, Default)]
pub struct TargetOptions {
    pub values: BTreeMap<String, String>,
}

impl TargetOptions {
    /// The value of a declared option.
    pub fn get<'a>(&'a self, info: &'a TargetInfo, name: &str) -> Option<&'a str> {
        let set = self.values.get(name).map(String::as_str);
        let default = info.options.iter().find(|o| o.name == name);
        set.or(default.map(|o| o.default))
    }

    /// A target's pipeline with the values of its options in place of `$name`.
    pub fn fill(&self, info: &TargetInfo, pipeline: &str) -> Result<String, Diagnostics> {
        let mut parts = pipeline.split('$');
        let mut text = parts.next().unwrap_or_default().to_string();
        for part in parts {
            let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-';
            let end = part.find(|c| !is_name(c)).unwrap_or(part.len());
            let (name, rest) = part.split_at(end);
            let Some(value) = self.get(info, name) else {
                lepid_ir::bug!("the target `{}` has no option `{name}`", info.name);
            };
            // A value is a word of the pipeline, and cannot become more of it.
            if value.contains([',', '{', '}', '=']) {
                let message = format!("option `{name}` cannot be `{value}`");
                let error = Diagnostic::error(Code::ARGUMENT, Loc::Unknown, message);
                return Err(vec![error]);
            }
            text += value;
            text += rest;
        }
        Ok(text)
    }

    /// Sets what is not set to what does not depend on this machine.
    pub fn make_portable(&mut self, info: &TargetInfo) {
        for option in info.options {
            if let Some(portable) = option.portable {
                let value = || portable.to_string();
                let entry = self.values.entry(option.name.to_string());
                entry.or_insert_with(value);
            }
        }
    }
}

/// What `emit` may use beside the module.
pub struct EmitCx<'a> {
    /// The function to compile.
    pub func: Op,
    pub options: &'a TargetOptions,
}

/// How to load a package.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// Threads that one run may use, the caller's among them.
    pub threads: usize,
    /// Threads that are shared with other programs, in place of own ones; `threads` says how many are
    /// started, if none are yet.
    pub workers: Option<Workers>,
    /// Whether `Executable::profile` will be asked.
    pub profile: bool,
    /// Bytes that values may take together whose extents depend on data. A run that needs more
    /// ends in a diagnostic.
    pub dynamic_bytes: u64,
}

/// The default of [`LoadOptions::dynamic_bytes`].
pub const DYNAMIC_BYTES: u64 = 4 << 30;

impl Default for LoadOptions {
    fn default() -> LoadOptions {
        LoadOptions {
            threads: 1,
            workers: None,
            profile: false,
            dynamic_bytes: DYNAMIC_BYTES,
        }
    }
}

/// Why a package cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("the target `{0}` compiles only: its packages cannot be run here")]
    CompileOnly(&'static str),
    #[error("the package was made for the target `{0}`")]
    WrongTarget(String),
    #[error("the package needs {0}, which this machine does not have")]
    MissingFeature(String),
    #[error("the package was made by another version of lepid: {0}")]
    OtherVersion(String),
    #[error("the package is damaged: {0}")]
    Damaged(String),
    #[error("memory for the package cannot be had: {0}")]
    Memory(#[from] std::io::Error),
}

impl LoadError {
    /// The message for users.
    pub fn diagnostic(&self) -> Diagnostic {
        let (code, help) = match self {
            LoadError::CompileOnly(_) | LoadError::Memory(_) => (Code::CANNOT_LOAD, None),
            LoadError::WrongTarget(_) => (Code::CANNOT_LOAD, None),
            LoadError::MissingFeature(_) => (
                Code::PACKAGE_MACHINE,
                Some("compile the model again, with `--target-option isa=scalar` for any machine"),
            ),
            LoadError::OtherVersion(_) => (
                Code::PACKAGE_VERSION,
                Some("compile the model again, or use the lepid that made the package"),
            ),
            LoadError::Damaged(_) => (
                Code::DAMAGED_PACKAGE,
                Some("copy the file again, or compile the model again"),
            ),
        };
        let error = Diagnostic::error(code, Loc::Unknown, self.to_string());
        match help {
            Some(help) => error.with_help(help),
            None => error,
        }
    }
}

/// The time that one op took in the profiled runs.
#[derive(Clone, Debug)]
pub struct OpTime {
    /// The op in the package's module.
    pub op: Op,
    pub time: Duration,
    pub calls: u64,
}

/// A package that is ready to run. It never changes, so that any number of executables share its
/// code and its weights, on any threads.
pub trait Program: Send + Sync {
    fn signature(&self) -> &Signature;

    /// What one run at a time needs: its memory and its threads.
    fn session(self: Arc<Self>, options: &LoadOptions) -> Result<Box<dyn Executable>, LoadError>;
}

/// One user of a program.
pub trait Executable: Send {
    fn signature(&self) -> &Signature;

    /// Runs once. Inputs must have the signature's types; `Err` for what only a run can find. States
    /// are neither inputs nor outputs: each run goes on with what the one before made of them. What
    /// they are after an `Err` is not said.
    fn run(&mut self, inputs: &[Tensor]) -> Result<Vec<Tensor>, Diagnostic>;

    /// Runs once, from memory of the caller into memory of the caller. Both must have the types of
    /// the signature. Targets that can read and write there do so without a copy.
    fn run_into(
        &mut self,
        inputs: &[TensorView<'_>],
        outputs: &mut [TensorViewMut<'_>],
    ) -> Result<(), Diagnostic> {
        let inputs: Vec<Tensor> = inputs.iter().map(TensorView::to_tensor).collect();
        let found = self.run(&inputs)?;
        check_outputs(found.iter().map(Tensor::ty), outputs)?;
        for (room, tensor) in outputs.iter_mut().zip(&found) {
            room.bytes_mut().copy_from_slice(tensor.bytes());
        }
        Ok(())
    }

    /// Runs once on the inputs of the last `run` without giving the outputs, for timing.
    fn rerun(&mut self) -> Result<(), Diagnostic>;

    /// Gives a state a value: the number is that in the signature.
    fn set_state(&mut self, state: usize, _value: &TensorView<'_>) -> Result<(), Diagnostic> {
        Err(no_state(state))
    }

    /// What a state is now.
    fn state(&self, state: usize) -> Result<Tensor, Diagnostic> {
        Err(no_state(state))
    }

    /// Makes all states zero, as they are at first.
    fn reset_states(&mut self) {}

    /// Times per op since loading; empty unless loaded with `profile`.
    fn profile(&self) -> Vec<OpTime> {
        Vec::new()
    }
}

/// A target: what it takes, how to bring a module there, and what it makes of it.
pub trait Target: Send + Sync {
    fn info(&self) -> &TargetInfo;

    /// Whether `emit` takes this op as it is.
    fn legality(&self, op: OpView<'_>) -> Legality;

    /// The pipeline that brings an expanded module to what `emit` accepts. The value of an option of
    /// the target stands for its name after `$`: `"…,winograd{error=$winograd-error},…"`.
    fn pipeline(&self) -> &str;

    /// Compiles a function of which every op is native.
    fn emit(&self, module: &Module, cx: &EmitCx<'_>) -> Result<Package, Diagnostics>;

    /// What ops cost here, by which passes choose. The options may name a calibration.
    fn cost_model(&self, _options: &TargetOptions) -> Result<Box<dyn CostModel>, Diagnostics> {
        Ok(Box::new(Estimate))
    }

    /// How the cost model is fitted to a machine, if it can be.
    fn calibration(&self) -> Option<&dyn Calibration> {
        None
    }

    /// Adds ops and passes of the target's own.
    fn register(&self, _ops: &mut Registry, _passes: &mut PassRegistry) {}

    /// Makes a package of this target ready to run.
    fn program(&self, _package: &Package) -> Result<Arc<dyn Program>, LoadError> {
        Err(LoadError::CompileOnly(self.info().name))
    }

    /// A program of the package with one executable.
    fn load(
        &self,
        package: &Package,
        options: &LoadOptions,
    ) -> Result<Box<dyn Executable>, LoadError> {
        self.program(package)?.session(options)
    }
}

/// The error for the number of a state that is not there.
pub fn no_state(state: usize) -> Diagnostic {
    let message = format!("there is no state {state}");
    Diagnostic::error(Code::STATE, Loc::Unknown, message)
}

/// Refuses rooms for outputs that do not have these types.
pub fn check_outputs(
    types: impl ExactSizeIterator<Item = Type>,
    outputs: &[TensorViewMut<'_>],
) -> Result<(), Diagnostic> {
    let expected: Vec<Type> = types.collect();
    if expected
        .iter()
        .copied()
        .eq(outputs.iter().map(TensorViewMut::ty))
    {
        return Ok(());
    }
    let list = |types: &mut dyn Iterator<Item = Type>| {
        let all: Vec<String> = types.map(|ty| format!("`{ty}`")).collect();
        all.join(", ")
    };
    let found = list(&mut outputs.iter().map(TensorViewMut::ty));
    let expected = list(&mut expected.into_iter());
    let message = format!("the outputs are {expected}, found room for {found}");
    Err(Diagnostic::error(Code::INPUT, Loc::Unknown, message))
}

/// The targets that a driver knows, sorted by name.
#[derive(Default)]
pub struct TargetRegistry {
    targets: BTreeMap<&'static str, Box<dyn Target>>,
}

impl TargetRegistry {
    /// Adds a target. Panics on a second one of the same name.
    pub fn add(&mut self, target: Box<dyn Target>) {
        let name = target.info().name;
        if self.targets.insert(name, target).is_some() {
            lepid_ir::bug!("target `{name}` is registered twice");
        }
    }

    pub fn get(&self, name: &str) -> Option<&dyn Target> {
        self.targets.get(name).map(|t| t.as_ref())
    }

    pub fn iter(&self) -> impl Iterator<Item = &dyn Target> {
        self.targets.values().map(|t| t.as_ref())
    }
}
