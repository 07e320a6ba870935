//! Models: files that were read, and how they are compiled.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lepid_ir::core::{Code, Diagnostic, Dim, Loc, Module, nearest};
use lepid_passes::core::Silent;
use lepid_target_api::{Batch, Signature, Target, TargetOptions, main_function};

use super::{Error, Package};
use crate::driver::{Bindings, Driver, ModelOptions, Session as Messages};

/// A model that was read from a file: ONNX, or IR text.
///
/// ```
/// # fn main() -> Result<(), lepid::Error> {
/// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/digits/model.onnx");
/// let model = lepid::Model::load(path)?;
/// let input = &model.signature().inputs[0];
/// assert_eq!(input.name, "image");
/// assert_eq!(input.ty.to_string(), "tensor<?Nx1x8x8xf32>");
/// # Ok(())
/// # }
/// ```
pub struct Model {
    driver: Arc<Driver>,
    path: PathBuf,
    options: ModelOptions,
    module: Module,
    signature: Signature,
}

/// How to compile a model.
#[derive(Clone, Debug, Default)]
pub struct CompileOptions {
    /// The name of the target: `cpu`, or `reference` where there is none.
    pub target: Option<String>,
    /// Options of the target, such as `isa`.
    pub target_options: BTreeMap<String, String>,
    /// Numbers for named extents.
    pub dims: BTreeMap<String, u64>,
    /// The extent that is the number of samples, if the program is to take any number.
    pub batch: Option<Batch>,
    /// Inputs that stay inside of the program, each with the output that it is in the next step.
    pub states: Vec<(String, String)>,
    /// Shapes of inputs, in place of those in the model.
    pub shapes: BTreeMap<String, Vec<Dim>>,
    /// The function; `main`, or the only one.
    pub func: Option<String>,
    /// A pipeline in place of the target's own.
    pub pipeline: Option<String>,
    /// Whether the package is to be the same whatever machine compiles it. Otherwise it may use
    /// everything that this one has.
    pub portable: bool,
}

impl CompileOptions {
    /// The same with a number for a named extent.
    pub fn dim(mut self, name: &str, extent: u64) -> CompileOptions {
        self.dims.insert(name.to_string(), extent);
        self
    }

    /// The same for any number of samples along the extent of that name, of which `most` are computed
    /// at a time at most.
    ///
    /// ```
    /// # fn main() -> Result<(), lepid::Error> {
    /// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/digits/model.onnx");
    /// use lepid::{CompileOptions, Model, Session, SessionOptions, TensorView};
    ///
    /// let options = CompileOptions::default().any("N", 8);
    /// let program = Model::load(path)?.compile(&options)?.program()?;
    /// let mut session = Session::new(&program, &SessionOptions::default())?;
    /// for n in [1, 3, 20] {
    ///     let images = vec![0.5f32; n * 64];
    ///     let shape = [n, 1, 8, 8];
    ///     let scores = session.run_views(&[TensorView::new(&shape, &images).unwrap()])?;
    ///     assert_eq!(scores[0].shape(), [n, 10]);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn any(mut self, name: &str, most: u64) -> CompileOptions {
        let name = name.to_string();
        self.batch = Some(Batch { name, most });
        self
    }

    /// The same with a state: the input that it is before a step, and the output that it is
    /// afterwards. Sessions keep it, from zeros on: see [`Session`](super::Session).
    pub fn state(mut self, past: &str, present: &str) -> CompileOptions {
        self.states.push((past.to_string(), present.to_string()));
        self
    }

    /// The same for another target.
    pub fn target(mut self, name: &str) -> CompileOptions {
        self.target = Some(name.to_string());
        self
    }

    /// The same with an option of the target.
    pub fn target_option(mut self, name: &str, value: &str) -> CompileOptions {
        let value = value.to_string();
        self.target_options.insert(name.to_string(), value);
        self
    }

    /// The same for any machine: see [`CompileOptions::portable`].
    pub fn portable(mut self) -> CompileOptions {
        self.portable = true;
        self
    }
}

impl Model {
    /// Reads a model with the targets of this build.
    pub fn load(path: impl AsRef<Path>) -> Result<Model, Error> {
        Model::load_with(&Arc::new(Driver::new()), path, &ModelOptions::default())
    }

    /// Reads a model with other targets, or with more said about it.
    pub fn load_with(
        driver: &Arc<Driver>,
        path: impl AsRef<Path>,
        options: &ModelOptions,
    ) -> Result<Model, Error> {
        let path = path.as_ref().to_path_buf();
        let mut messages = Messages::default();
        let module = match driver.load(&path, options, &mut messages) {
            Ok(module) => module,
            Err(found) => return Err(Error::new(found, messages)),
        };
        let signature = match main_function(&module, None) {
            Ok(func) => Signature::of(&module, func),
            // Which of several functions is meant, compiling may say.
            Err(_) => Signature::default(),
        };
        Ok(Model {
            driver: driver.clone(),
            path,
            options: options.clone(),
            module,
            signature,
        })
    }

    /// What goes in and what comes out of the function `main`.
    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    /// The model as IR.
    pub fn module(&self) -> &Module {
        &self.module
    }

    /// Compiles the model.
    ///
    /// ```
    /// # fn main() -> Result<(), lepid::Error> {
    /// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/digits/model.onnx");
    /// let model = lepid::Model::load(path)?;
    /// let options = lepid::CompileOptions::default().dim("N", 4);
    /// let package = model.compile(&options)?;
    /// assert_eq!(package.signature().inputs[0].ty.to_string(), "tensor<4x1x8x8xf32>");
    /// // An extent that has no number is an error that says so.
    /// assert!(model.compile(&lepid::CompileOptions::default()).is_err());
    /// # Ok(())
    /// # }
    /// ```
    pub fn compile(&self, options: &CompileOptions) -> Result<Package, Error> {
        let mut messages = Messages::default();
        self.compile_into(options, &mut messages)
            .map_err(|error| Error::new(error.diagnostics().to_vec(), messages))
    }

    fn compile_into(
        &self,
        options: &CompileOptions,
        messages: &mut Messages,
    ) -> Result<Package, Error> {
        let target = self.target(options)?;
        let module = self.bound(options, messages)?;
        let mut values = TargetOptions {
            values: options.target_options.clone(),
        };
        check_options(target, &values)?;
        if options.portable {
            values.make_portable(target.info());
        }
        let how = lepid_target_api::CompileOptions {
            target: values,
            func: options.func.clone(),
            pipeline: options.pipeline.clone(),
            states: options.states.clone(),
            ..lepid_target_api::CompileOptions::default()
        };
        let compiled = self
            .driver
            .compile(target, module, &how, &mut Silent, messages)?;
        let mut package = compiled.package;
        package.provenance.sources = self.driver.sources(&self.path, &self.options)?;
        Ok(Package::new(self.driver.clone(), package))
    }

    fn target(&self, options: &CompileOptions) -> Result<&dyn Target, Error> {
        let targets = self.driver.targets();
        let name = match &options.target {
            Some(name) => name,
            None if targets.get("cpu").is_some() => "cpu",
            None => "reference",
        };
        targets.get(name).ok_or_else(|| {
            let message = format!("unknown target `{name}`");
            Error::from(Diagnostic::error(
                Code::UNKNOWN_TARGET,
                Loc::Unknown,
                message,
            ))
        })
    }

    /// The module with numbers for extents. The front ends make more of them than a pass can
    /// afterwards, so that the file is read anew.
    fn bound(&self, options: &CompileOptions, messages: &mut Messages) -> Result<Module, Error> {
        let numbers = options.dims.is_empty() && options.shapes.is_empty();
        if numbers && options.batch.is_none() {
            return Ok(self.module.clone());
        }
        let mut all = self.options.clone();
        let Bindings {
            shapes,
            dims,
            batch,
        } = &mut all.bindings;
        shapes.extend(options.shapes.clone());
        dims.extend(options.dims.clone());
        if options.batch.is_some() {
            batch.clone_from(&options.batch);
        }
        Ok(self.driver.load(&self.path, &all, messages)?)
    }
}

fn check_options(target: &dyn Target, options: &TargetOptions) -> Result<(), Error> {
    let info = target.info();
    let declared = || info.options.iter().map(|o| o.name);
    for name in options.values.keys() {
        if declared().any(|d| d == name) {
            continue;
        }
        let message = format!("target `{}` has no option `{name}`", info.name);
        let error = Diagnostic::error(Code::ARGUMENT, Loc::Unknown, message);
        return Err(Error::from(match nearest(name, declared()) {
            Some(near) => error.with_help(format!("did you mean `{near}`?")),
            None => error,
        }));
    }
    Ok(())
}
