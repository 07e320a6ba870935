//! The contract between Lepid and a target: [`Target`] and the values that cross it.
//!
//! Knows `lepid-ir` and `lepid-passes`, no target and nothing of the driver. Begin with
//! [`Target`]; `targets/reference` is the smallest example.

mod compile;
mod cost_model;
mod memory;
mod package;
mod target;
mod turns;
mod view;
mod workers;

pub use compile::{
    CompileEnv, CompileOptions, Compiled, OpenExtent, compile, main_function, pipeline,
    pipeline_text, with_pass_env,
};
pub use cost_model::{
    Calibration, Choice, CostModel, Estimate, Fitted, FittedKernel, Probe, Sample,
    calibration_folder,
};
pub use lepid_passes::batch::Batch;
pub use lepid_passes::core::Legality;
pub use memory::check_values;
pub use package::{
    Constants, FORMAT_VERSION, Package, PackageError, Port, Provenance, SampleRows, Section,
    Signature, Source, StatePort, declare_states, looks_like_package, withdraw_states,
};
pub use target::{
    DYNAMIC_BYTES, EmitCx, Executable, LoadError, LoadOptions, OpTime, Program, Target, TargetInfo,
    TargetOption, TargetOptions, TargetRegistry, check_outputs, no_state,
};
pub use turns::in_turns;
pub use view::{Scalar, TensorView, TensorViewMut};
pub use workers::Workers;
