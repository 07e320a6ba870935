//! Lepid: a compiler for adaptive neural networks.
//!
//! What it is: the front ends, the driver that takes a model through passes to a target, and the
//! command line over it. It may know of every other crate; no other crate knows of it. A target
//! outside of the tree is a `main` that says `Driver::new().with_target(Acme::new()).main()`.
//!
//! Programs in Rust use [`Model`], [`Package`], [`Program`] and [`Session`]:
//!
//! ```
//! # fn main() -> Result<(), lepid::Error> {
//! # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/digits/model.onnx");
//! use lepid::{CompileOptions, Elem, Model, Session, SessionOptions, Tensor};
//!
//! let model = Model::load(path)?;
//! let package = model.compile(&CompileOptions::default().dim("N", 1))?;
//! let mut session = Session::new(&package.program()?, &SessionOptions { threads: 2, ..SessionOptions::default() })?;
//! let image = Tensor::zeros(Elem::F32, &[1, 1, 8, 8]);
//! let outputs = session.run(&[image])?;
//! assert_eq!(outputs[0].shape(), [1, 10]);
//! # Ok(())
//! # }
//! ```
//!
//! To work on Lepid, begin with [`driver::Driver`]; each command of `lepid` is one file of `cli`.

mod cli;
pub mod driver;
pub mod frontends;
mod library;
pub mod reduce;
pub mod report;
pub mod tune;

pub use lepid_ir::core::{Diagnostic, Elem, Tensor};
pub use lepid_target_api::{Port, Provenance, Signature, Source, TensorView, TensorViewMut};
pub use library::{CompileOptions, Error, Model, Package, Program, Session, SessionOptions};
