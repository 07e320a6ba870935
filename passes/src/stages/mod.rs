//! Functions with several exits as cascades, and cascades as stages.
//!
//! [`cut()`] makes a cascade of a function that gives the outputs of all exits; [`split()`] makes a
//! function of each stage of a cascade.

mod cut;
mod split;

pub use cut::{Decision, Exit, Number, Plan, cut};
pub use split::split;
