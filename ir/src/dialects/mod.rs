//! The dialects: one file (or folder of op families) each, ending in `register`.

pub mod adapt;
pub mod core;
pub mod kernel;
pub mod nn;
pub mod tensor;

use crate::core::Registry;

/// A registry of all dialects in the crate.
pub fn registry() -> Registry {
    let mut ops = Registry::default();
    adapt::register(&mut ops);
    core::register(&mut ops);
    kernel::register(&mut ops);
    nn::register(&mut ops);
    tensor::register(&mut ops);
    ops
}
