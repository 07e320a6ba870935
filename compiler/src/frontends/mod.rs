//! Front ends: each reads one kind of model file and gives a module.

pub mod onnx;
pub mod spec;
