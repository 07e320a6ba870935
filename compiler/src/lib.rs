//! Lepid: a compiler for adaptive neural networks.
//!
//! What it is: the front ends and the driver around the IR, the passes and the targets. Nothing
//! below this crate knows of it. Begin with [`frontends::onnx::import`].

pub mod frontends;
