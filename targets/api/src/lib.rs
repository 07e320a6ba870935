//! The contract between Lepid and a target: [`Target`] and the values that cross it.
//!
//! Knows `lepid-ir` and `lepid-passes`, no target and nothing of the driver. Begin with
//! [`Target`]; `targets/reference` is the smallest example.

mod compile;
mod package;
mod target;

pub use compile::{CompileEnv, CompileOptions, Compiled, OpenExtent, compile, main_function};
pub use lepid_passes::core::Legality;
pub use package::{Package, Port, Section, Signature};
pub use target::{
    EmitCx, Executable, LoadError, LoadOptions, OpTime, Target, TargetInfo, TargetOption,
    TargetOptions, TargetRegistry,
};
