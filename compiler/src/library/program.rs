//! Programs and the sessions that run them.

use std::path::Path;
use std::sync::Arc;

use lepid_ir::core::{Code, Diagnostic, Loc, Tensor, Type};
use lepid_target_api::{
    DYNAMIC_BYTES, Executable, LoadOptions, Signature, TensorView, TensorViewMut,
};

use super::{Error, Package};

/// A package that is ready to run. A clone is the same program: its code and its weights are there
/// once, for all sessions on all threads.
///
/// ```
/// # fn main() -> Result<(), lepid::Error> {
/// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/digits/model.onnx");
/// use lepid::{CompileOptions, Model, Session, SessionOptions, TensorView};
///
/// let options = CompileOptions::default().dim("N", 1);
/// let program = Model::load(path)?.compile(&options)?.program()?;
/// std::thread::scope(|scope| {
///     for _ in 0..4 {
///         scope.spawn(|| -> Result<(), lepid::Error> {
///             let mut session = Session::new(&program, &SessionOptions::default())?;
///             let image = vec![0.5f32; 64];
///             let input = TensorView::new(&[1, 1, 8, 8], &image).unwrap();
///             let scores = session.run_views(&[input])?;
///             assert_eq!(scores[0].shape(), [1, 10]);
///             Ok(())
///         });
///     }
/// });
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Program {
    inner: Arc<dyn lepid_target_api::Program>,
}

/// What a session may use.
#[derive(Copy, Clone, Debug)]
pub struct SessionOptions {
    /// Threads that one run may use, the caller's among them. Outputs do not depend on it.
    pub threads: usize,
    /// Bytes that values may take together whose extents depend on data or on the number of samples;
    /// a run that needs more is an error.
    pub dynamic_bytes: u64,
}

impl Default for SessionOptions {
    fn default() -> SessionOptions {
        SessionOptions {
            threads: 1,
            dynamic_bytes: DYNAMIC_BYTES,
        }
    }
}

impl Program {
    /// Makes a package ready to run. Weights stay where they are: in a mapped file, if it is one.
    pub fn load(package: &Package) -> Result<Program, Error> {
        let (driver, package) = package.parts();
        let Some(target) = driver.targets().get(&package.target) else {
            let message = format!("unknown target `{}`", package.target);
            let error = Diagnostic::error(Code::UNKNOWN_TARGET, Loc::Unknown, message);
            return Err(Error::from(error));
        };
        let loaded = target
            .program(package)
            .map_err(|error| error.diagnostic())?;
        Ok(Program { inner: loaded })
    }

    /// Maps a package file and makes it ready to run.
    pub fn open(path: impl AsRef<Path>) -> Result<Program, Error> {
        Package::open(path)?.program()
    }

    pub fn signature(&self) -> &Signature {
        self.inner.signature()
    }
}

/// One user of a program: its intermediate memory, its states and its threads.
///
/// A model that was compiled with [`CompileOptions::state`](super::CompileOptions::state) takes steps:
/// the state is neither passed nor returned, but stays in the session, zero at first.
///
/// ```
/// # fn main() -> Result<(), lepid::Error> {
/// # let folder = std::env::temp_dir().join(format!("lepid-doc-state-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder).unwrap();
/// # let path = folder.join("sum.lir");
/// # std::fs::write(&path, "func @main(%x: tensor<2xf32>, %sum: tensor<2xf32>) -> (tensor<2xf32>) attributes {inputs = [\"x\", \"sum\"], outputs = [\"next\"]} {
/// #   %y = tensor.add(%x, %sum) : tensor<2xf32>
/// #   return %y
/// # }").unwrap();
/// use lepid::{CompileOptions, Model, Session, SessionOptions, TensorView};
///
/// let options = CompileOptions::default().state("sum", "next");
/// let program = Model::load(&path)?.compile(&options)?.program()?;
/// let mut session = Session::new(&program, &SessionOptions::default())?;
/// for _ in 0..3 {
///     let x = TensorView::new(&[2], &[1f32, 2.0]).unwrap();
///     assert!(session.run_views(&[x])?.is_empty());
/// }
/// assert_eq!(session.state("sum")?.to_f64s(), [3.0, 6.0]);
/// session.set_state("sum", &TensorView::new(&[2], &[1f32, 1.0]).unwrap())?;
/// session.reset_states();
/// assert_eq!(session.state("next")?.to_f64s(), [0.0, 0.0]);
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # Ok(())
/// # }
/// ```
pub struct Session {
    inner: Box<dyn Executable>,
    dynamic_bytes: u64,
}

impl Session {
    /// A session of a program.
    pub fn new(program: &Program, options: &SessionOptions) -> Result<Session, Error> {
        let options = LoadOptions {
            threads: options.threads,
            dynamic_bytes: options.dynamic_bytes,
            ..LoadOptions::default()
        };
        let inner = program.inner.clone().session(&options);
        Ok(Session {
            inner: inner.map_err(|error| error.diagnostic())?,
            dynamic_bytes: options.dynamic_bytes,
        })
    }

    pub fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    /// Gives a state a value, by the name of its input or of its output.
    pub fn set_state(&mut self, name: &str, value: &TensorView<'_>) -> Result<(), Error> {
        let state = self.signature().state(name)?;
        Ok(self.inner.set_state(state, value)?)
    }

    /// What a state is now: a copy.
    pub fn state(&self, name: &str) -> Result<Tensor, Error> {
        Ok(self.inner.state(self.signature().state(name)?)?)
    }

    /// Makes all states zero, as they are at first.
    pub fn reset_states(&mut self) {
        self.inner.reset_states();
    }

    /// Runs once. Inputs are shared, not copied.
    pub fn run(&mut self, inputs: &[Tensor]) -> Result<Vec<Tensor>, Error> {
        Ok(self.inner.run(inputs)?)
    }

    /// Runs once on inputs in memory of the caller, where they are read. The outputs are fresh.
    pub fn run_views(&mut self, inputs: &[TensorView<'_>]) -> Result<Vec<Tensor>, Error> {
        let mut outputs = Vec::new();
        let types: Vec<Type> = inputs.iter().map(TensorView::ty).collect();
        let signature = self.inner.signature();
        let signature = match signature.batch {
            Some(_) => signature.for_inputs(&types, self.dynamic_bytes)?.0,
            None => signature.clone(),
        };
        for port in &signature.outputs {
            let known = port
                .ty
                .as_tensor()
                .and_then(|t| Some((t.elem, t.known_dims()?)));
            let Some((elem, shape)) = known else {
                // Its extents are known after the run only, which then makes the room.
                let owned: Vec<Tensor> = inputs.iter().map(TensorView::to_tensor).collect();
                return self.run(&owned);
            };
            let bytes = shape.iter().product::<usize>() * elem.bytes();
            outputs.push((elem, shape, vec![0u64; bytes.div_ceil(8)], bytes));
        }
        let mut rooms = Vec::new();
        for (elem, shape, words, bytes) in &mut outputs {
            let room: &mut [u8] = bytemuck::cast_slice_mut(words);
            match TensorViewMut::raw(*elem, shape, &mut room[..*bytes]) {
                Some(room) => rooms.push(room),
                None => lepid_ir::bug!("room for an output does not fit it"),
            }
        }
        self.run_into(inputs, &mut rooms)?;
        drop(rooms);
        let tensors = outputs.into_iter().map(|(elem, shape, words, bytes)| {
            let data = lepid_ir::core::Bytes::from_vec(words).slice(0..bytes);
            Tensor::new(elem, shape, data)
        });
        Ok(tensors.collect())
    }

    /// Runs once without a copy: inputs are read and outputs written where the caller holds them, if
    /// they are aligned for their elements.
    ///
    /// ```
    /// # fn main() -> Result<(), lepid::Error> {
    /// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/digits/model.onnx");
    /// # use lepid::{CompileOptions, Model, Session, SessionOptions, TensorView, TensorViewMut};
    /// let options = CompileOptions::default().dim("N", 2);
    /// let program = Model::load(path)?.compile(&options)?.program()?;
    /// let mut session = Session::new(&program, &SessionOptions { threads: 2, ..SessionOptions::default() })?;
    /// let images = vec![0.25f32; 2 * 64];
    /// let mut scores = vec![0f32; 2 * 10];
    /// let input = TensorView::new(&[2, 1, 8, 8], &images).unwrap();
    /// let output = TensorViewMut::new(&[2, 10], &mut scores).unwrap();
    /// session.run_into(&[input], &mut [output])?;
    /// assert!(scores.iter().any(|&s| s != 0.0));
    /// # Ok(())
    /// # }
    /// ```
    pub fn run_into(
        &mut self,
        inputs: &[TensorView<'_>],
        outputs: &mut [TensorViewMut<'_>],
    ) -> Result<(), Error> {
        Ok(self.inner.run_into(inputs, outputs)?)
    }
}
