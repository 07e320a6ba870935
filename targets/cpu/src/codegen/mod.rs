//! Code generation: one generated task per op, and the program that runs them in order.

pub(crate) mod args;
pub(crate) mod attention;
pub(crate) mod cells;
pub(crate) mod convert;
pub(crate) mod eight_bits;
pub(crate) mod extent;
pub(crate) mod function;
mod gates;
pub(crate) mod layers;
pub(crate) mod lowering;
pub(crate) mod nest;
pub(crate) mod open;
pub(crate) mod product;
pub(crate) mod program;
pub(crate) mod recurrence;
pub(crate) mod reduction;
pub(crate) mod routine;
pub(crate) mod rules;
pub(crate) mod scalar;
pub(crate) mod steps;
pub(crate) mod strassen;
pub(crate) mod strips;
pub(crate) mod terms;
pub(crate) mod winograd;
