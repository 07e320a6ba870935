//! Conversions between dialects: one file per pair, named `<from>_to_<to>`, and files of
//! what is large in them.

pub mod adapt_to_tensor;
mod attention;
pub mod nn_to_kernel;
pub mod recurrent;
