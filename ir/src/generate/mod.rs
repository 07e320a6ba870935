//! Random modules, for tests and fuzzers.
//!
//! [`Choices`] draws decisions from bytes, so that a test framework can make a failing module
//! simpler by making the bytes fewer. [`network()`] gives modules that run: every op of `tensor` and
//! `nn` has a recipe that finds operands and attributes which fit.

mod choices;
mod control;
mod layers;
mod network;
mod shapes;

pub use choices::Choices;
pub use network::network;
