//! Operators of `com.microsoft`, the domain that ONNX Runtime's optimiser and the exporters of
//! transformers write. What its documentation leaves open is as its CPU kernels compute it.

pub(super) mod attention;
pub(super) mod fused;
pub(super) mod grouped;
pub(super) mod low_bits;
pub(super) mod norm;
pub(super) mod qlinear;
pub(super) mod standard;
