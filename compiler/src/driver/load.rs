//! From a file to a module: ONNX models and IR texts.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use lepid_ir::core::{Bytes, Code, Diagnostic, Diagnostics, Loc, Module, Op, Tensor};
use lepid_ir::text::{self, Weights};
use lepid_passes::core::{PassEnv, PassManager, Pipeline, Silent};
use lepid_passes::{anytime, batch, stages};
use lepid_target_api::{Batch, Package, Source, looks_like_package, main_function};
use sha2::{Digest, Sha256};

use crate::driver::{Bindings, Driver, Session, binding, files};
use crate::frontends::onnx::{self, Constant, ImportOptions};
use crate::frontends::spec::{self, Spec};

/// What is said about a model beside its file.
#[derive(Clone, Debug, Default)]
pub struct ModelOptions {
    pub bindings: Bindings,
    /// Values for inputs that never change; see [`ImportOptions::constants`].
    pub constants: BTreeMap<String, Constant>,
    /// Values of inputs in the coming run; see [`ImportOptions::arguments`].
    pub arguments: BTreeMap<String, Tensor>,
    /// The side file of an IR text; `FILE.lir.safetensors` if not given.
    pub weights: Option<PathBuf>,
    /// The function of an IR text whose extents are bound; `main`, or the only one, if not given.
    pub func: Option<String>,
}

/// The models of a spec.
struct SpecModels {
    paths: Vec<PathBuf>,
    /// Which of them each exit is an output of.
    of_exits: Vec<usize>,
}

enum Format {
    Text,
    Spec,
    Onnx,
    Package,
}

impl Driver {
    /// Reads a model, known by its ending or by its content, and binds extents.
    pub fn load(
        &self,
        path: &Path,
        options: &ModelOptions,
        session: &mut Session,
    ) -> Result<Module, Diagnostics> {
        let mut options = options.clone();
        let Some(batch) = options.bindings.batch.take() else {
            return self.load_bound(path, &options, session);
        };
        let mut for_samples = |samples: u64, session: &mut Session| -> Result<_, Diagnostics> {
            let dims = &mut options.bindings.dims;
            dims.insert(batch.name.clone(), samples);
            let module = self.load_bound(path, &options, session)?;
            let func = main_function(&module, options.func.as_deref())?;
            Ok((module, func))
        };
        let (mut module, func) = for_samples(batch.most, session)?;
        // What there is to say has been said.
        let mut silent = Session::within(session.limits);
        let (other, other_func) = for_samples(batch.most + 1, &mut silent)?;
        self.open_batch(&mut module, func, (other, other_func), &batch)?;
        Ok(module)
    }

    /// Reads a spec, and finds the files of its models.
    fn spec(&self, path: &Path, session: &mut Session) -> Result<(Spec, SpecModels), Diagnostics> {
        let text = fs::read_to_string(path).map_err(|e| vec![files::cannot_read(path, e)])?;
        let name = path.display().to_string();
        let parsed = Spec::parse(&text, &name);
        session.add_text(&name, text);
        let spec = parsed?;
        let (models, of_exits) = spec.models()?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let models = SpecModels {
            paths: models.iter().map(|model| folder.join(model)).collect(),
            of_exits,
        };
        Ok((spec, models))
    }

    /// Makes the cascade that a spec speaks of.
    fn load_spec(
        &self,
        path: &Path,
        options: &ModelOptions,
        session: &mut Session,
    ) -> Result<Module, Diagnostics> {
        let (spec, models) = self.spec(path, session)?;
        if let Some((model, plan)) = spec.anytime()? {
            let model = path.parent().unwrap_or(Path::new("")).join(model);
            let module = self.load_bound(&model, options, session)?;
            let mut module = self.simplified(module)?;
            let func = main_function(&module, options.func.as_deref())?;
            anytime::refine(&mut module, func, &plan).map_err(|error| vec![error])?;
            return Ok(module);
        }
        let mut module = self.exits(&spec, &models, options, session)?;
        let func = main_function(&module, options.func.as_deref())?;
        spec.apply(&mut module, func)?;
        Ok(module)
    }

    /// The stages of a cascade, each as a module of its own for any number of samples of `batch`.
    pub fn load_stages(
        &self,
        path: &Path,
        options: &ModelOptions,
        batch: &Batch,
        session: &mut Session,
    ) -> Result<Vec<Module>, Diagnostics> {
        let of_samples = |samples: u64, session: &mut Session| {
            let mut options = options.clone();
            options.bindings.dims.insert(batch.name.clone(), samples);
            let module = self.load_bound(path, &options, session)?;
            let func = main_function(&module, options.func.as_deref())?;
            stages::split(&module, func).map_err(|error| vec![error])
        };
        let stages = of_samples(batch.most, session)?;
        let mut silent = Session::within(session.limits);
        let others = of_samples(batch.most + 1, &mut silent)?;
        let mut opened = Vec::new();
        for (mut stage, other) in stages.into_iter().zip(others) {
            let (func, other_func) = (main_function(&stage, None)?, main_function(&other, None)?);
            self.open_batch(&mut stage, func, (other, other_func), batch)?;
            opened.push(stage);
        }
        Ok(opened)
    }

    /// Reads a spec, and the function that gives the outputs of all its exits, one exit after the
    /// other.
    pub fn load_exits(
        &self,
        path: &Path,
        options: &ModelOptions,
        session: &mut Session,
    ) -> Result<(Spec, Module), Diagnostics> {
        let (spec, models) = self.spec(path, session)?;
        let module = self.exits(&spec, &models, options, session)?;
        Ok((spec, module))
    }

    /// The function that gives the outputs of all exits of a spec, one exit after the other.
    fn exits(
        &self,
        spec: &Spec,
        models: &SpecModels,
        options: &ModelOptions,
        session: &mut Session,
    ) -> Result<Module, Diagnostics> {
        let mut loaded = Vec::new();
        for model in &models.paths {
            if let Format::Spec = format(model).map_err(|error| vec![error])? {
                let message = format!("`{}` is a spec itself, and no model", model.display());
                return Err(vec![Diagnostic::error(Code::SPEC, Loc::Unknown, message)]);
            }
            let module = self.load_bound(model, options, session)?;
            let func = main_function(&module, options.func.as_deref())?;
            loaded.push((module, func));
        }
        let (module, _) = spec::merge(spec, loaded, &models.of_exits)?;
        self.simplified(module)
    }

    /// As simple as folding makes it.
    fn simplified(&self, mut module: Module) -> Result<Module, Diagnostics> {
        let simplify = "inline{drop=true},refine,canonicalize,fold,cse,dead-ops";
        let simplify = Pipeline::parse(simplify, self.passes(), self.aliases())?;
        let env = PassEnv::generic(self.ops());
        let mut manager = PassManager {
            env: &env,
            verify_each: false,
            observer: &mut Silent,
        };
        manager.run(&mut module, &simplify)?;
        Ok(module)
    }

    /// States in a function that it computes any number of samples, if that can be.
    fn open_batch(
        &self,
        module: &mut Module,
        func: Op,
        other: (Module, Op),
        batch: &Batch,
    ) -> Result<(), Diagnostics> {
        let mut first = self.simplified(module.clone())?;
        let other = (self.simplified(other.0)?, other.1);
        batch::open(&mut first, func, (&other.0, other.1), batch).map_err(|error| vec![error])?;
        for name in ["batch", "batch_name", "batch_inputs", "batch_outputs"] {
            let value = first.view(func).attr(name).clone();
            module.set_attr(func, name, value);
        }
        Ok(())
    }

    fn load_bound(
        &self,
        path: &Path,
        options: &ModelOptions,
        session: &mut Session,
    ) -> Result<Module, Diagnostics> {
        match format(path).map_err(|error| vec![error])? {
            Format::Text => self.load_text(path, options, session),
            Format::Onnx => load_onnx(path, options, session),
            Format::Spec => self.load_spec(path, options, session),
            Format::Package => {
                let name = path.display();
                let message = format!("`{name}` is a package, which is compiled already");
                let error = Diagnostic::error(Code::FIXED_PACKAGE, Loc::Unknown, message);
                Err(vec![
                    error.with_help("give the model that it was made from"),
                ])
            }
        }
    }

    /// Whether a file is a package, or is meant to be one.
    pub fn is_package(&self, path: &Path) -> bool {
        matches!(format(path), Ok(Format::Package))
    }

    /// Maps a package.
    pub fn open_package(&self, path: &Path) -> Result<Package, Diagnostics> {
        let opened = Package::open(path, self.ops());
        opened.map_err(|error| vec![error.diagnostic(&path.display().to_string())])
    }

    /// The files that a model is read from, as far as they can be told.
    pub fn files(&self, path: &Path, weights: Option<&Path>) -> Vec<PathBuf> {
        let mut all = vec![path.to_path_buf()];
        match format(path) {
            Ok(Format::Text) => {
                let beside = side_file_name(path);
                all.push(weights.map_or(beside, Path::to_path_buf));
            }
            Ok(Format::Onnx) => {
                let folder = path.parent().unwrap_or(Path::new(""));
                let external = onnx::external_files(path).into_iter();
                all.extend(external.map(|(name, _)| folder.join(name)));
            }
            Ok(Format::Spec) => {
                let spec = self.spec(path, &mut Session::default());
                let models = spec.map_or(Vec::new(), |(_, models)| models.paths);
                all.extend(models.iter().flat_map(|model| self.files(model, None)));
            }
            Ok(Format::Package) | Err(_) => {}
        }
        all
    }

    /// The digests of all files that a model consists of.
    pub fn sources(&self, path: &Path, options: &ModelOptions) -> Result<Vec<Source>, Diagnostics> {
        let read =
            |path: &Path| Bytes::map_file(path).map_err(|e| vec![files::cannot_read(path, e)]);
        let mut sources = vec![source("model", &read(path)?)];
        match format(path).map_err(|error| vec![error])? {
            Format::Text => {
                if let Some(weights) = side_file_path(path, options) {
                    sources.push(source("weights", &read(&weights)?));
                }
            }
            Format::Onnx => {
                let external = onnx::external_files(path).into_iter();
                sources.extend(external.map(|(name, bytes)| source(&name, &bytes)));
            }
            Format::Spec => {
                let (_, models) = self.spec(path, &mut Session::default())?;
                for model in models.paths {
                    sources.push(source(&model.display().to_string(), &read(&model)?));
                }
            }
            Format::Package => {}
        }
        Ok(sources)
    }

    fn load_text(
        &self,
        path: &Path,
        options: &ModelOptions,
        session: &mut Session,
    ) -> Result<Module, Diagnostics> {
        if let Some(name) = options.constants.keys().next() {
            let message = format!("input `{name}` of an IR text cannot be given as a constant");
            let error = Diagnostic::error(Code::ARGUMENT, Loc::Unknown, message);
            return Err(vec![error.with_help("write it as a `core.constant`")]);
        }
        let bytes = fs::read(path).map_err(|e| vec![files::cannot_read(path, e)])?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let reason = format!("no text: {error}");
            vec![files::cannot_read(path, reason)]
        })?;
        let name = path.display().to_string();
        let weights = side_file(path, options)?;
        let (mut module, diagnostics) =
            text::parse_within(&text, &name, self.ops(), weights.as_ref(), session.limits);
        session.add_text(&name, text);
        split_errors(diagnostics, session)?;
        self.bind(&mut module, options, session)?;
        Ok(module)
    }

    /// States shapes and numbers for extents in the function that is asked for.
    fn bind(
        &self,
        module: &mut Module,
        options: &ModelOptions,
        session: &mut Session,
    ) -> Result<(), Diagnostics> {
        let mut bindings = options.bindings.clone();
        if bindings.is_empty() {
            return Ok(());
        }
        let func = main_function(module, options.func.as_deref())?;
        binding::state_shapes(module, func, &mut bindings)?;
        let env = PassEnv {
            dims: bindings.symbols(),
            ..PassEnv::generic(self.ops())
        };
        let mut manager = PassManager {
            env: &env,
            verify_each: false,
            observer: &mut Silent,
        };
        let refine = Pipeline::parse("refine", self.passes(), self.aliases())?;
        let report = manager.run(module, &refine)?;
        session.diagnostics.extend(report.diagnostics);
        Ok(())
    }
}

fn load_onnx(
    path: &Path,
    options: &ModelOptions,
    session: &mut Session,
) -> Result<Module, Diagnostics> {
    session.add_model(&path.display().to_string());
    let bindings = options.bindings.clone();
    let options = ImportOptions {
        shapes: bindings.shapes,
        dims: bindings.dims,
        constants: options.constants.clone(),
        arguments: options.arguments.clone(),
        limits: session.limits,
    };
    let (module, warnings) = onnx::import(path, &options)?;
    session.diagnostics.extend(warnings);
    Ok(module)
}

fn side_file(path: &Path, options: &ModelOptions) -> Result<Option<Weights>, Diagnostics> {
    let Some(path) = side_file_path(path, options) else {
        return Ok(None);
    };
    let opened = Weights::open(&path).map(Some);
    opened.map_err(|error| vec![files::cannot_read(&path, error)])
}

/// The side file of an IR text: the one that is given, or the one that is beside it.
fn side_file_path(path: &Path, options: &ModelOptions) -> Option<PathBuf> {
    let beside = || Some(side_file_name(path)).filter(|beside| beside.exists());
    options.weights.clone().or_else(beside)
}

fn source(role: &str, file: &Bytes) -> Source {
    let bytes = file.as_slice();
    let digest = Sha256::digest(bytes);
    Source {
        role: role.to_string(),
        bytes: bytes.len() as u64,
        sha256: digest.iter().map(|b| format!("{b:02x}")).collect(),
    }
}

/// Where the large constants of an IR text are by default.
pub fn side_file_name(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".safetensors");
    PathBuf::from(name)
}

/// Keeps warnings in the session; gives all as errors if one of them is.
fn split_errors(found: Diagnostics, session: &mut Session) -> Result<(), Diagnostics> {
    if found.iter().any(Diagnostic::is_error) {
        return Err(found);
    }
    session.diagnostics.extend(found);
    Ok(())
}

fn format(path: &Path) -> Result<Format, Diagnostic> {
    let ending = path.extension().and_then(|e| e.to_str());
    match ending.map(str::to_ascii_lowercase).as_deref() {
        Some("lir") => return Ok(Format::Text),
        Some("toml") => return Ok(Format::Spec),
        Some("onnx") => return Ok(Format::Onnx),
        Some("lepid") => return Ok(Format::Package),
        _ => {}
    }
    let mut start = Vec::new();
    let read = fs::File::open(path).and_then(|f| f.take(256).read_to_end(&mut start));
    read.map_err(|error| files::cannot_read(path, error))?;
    Ok(match looks_like_text(&start) {
        true => Format::Text,
        false if looks_like_package(&start) => Format::Package,
        false => Format::Onnx,
    })
}

/// Whether a file may be IR text, by its first bytes. A protocol buffer begins with a field
/// number, which is a control character for each of the first fields.
fn looks_like_text(start: &[u8]) -> bool {
    !start.is_empty()
        && start
            .iter()
            .all(|&b| b >= 0x20 || matches!(b, b'\n' | b'\r' | b'\t'))
}
