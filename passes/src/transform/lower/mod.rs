//! Conversions between dialects: one file per pair, named `<from>_to_<to>`.

pub mod nn_to_kernel;
pub mod recurrent;
