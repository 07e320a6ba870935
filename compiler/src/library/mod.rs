//! The library: models, packages, programs and sessions, for programs in Rust.
//!
//! | type | what it is |
//! |---|---|
//! | [`Model`] | a model file that was read |
//! | [`Package`] | what a model was compiled to: machine code, packed weights, signature; a `*.lepid` as a file |
//! | [`Program`] | a package that is ready to run, shared by any number of sessions |
//! | [`Session`] | one user of a program, with memory and threads of its own |
//!
//! The command line does the same through the same: a model is read by [`Driver::load`], compiled by
//! [`Driver::compile`], and run by what its target makes of the package.
//!
//! [`Driver::load`]: crate::driver::Driver::load
//! [`Driver::compile`]: crate::driver::Driver::compile

mod error;
mod model;
mod package;
mod program;

pub use error::Error;
pub use model::{CompileOptions, Model};
pub use package::Package;
pub use program::{Program, Session, SessionOptions};
