//! Choosing exits, policies and thresholds for a model with several exits.
//!
//! The model runs once over a calibration set with all its exits ([`measure`]). From then on nothing
//! is computed any more: temperatures are fitted to the outputs ([`calibration`]), each exit gets
//! candidates of a policy and a threshold with the set of samples that they let go ([`candidates`]),
//! and [`search`] finds the best choice by branch and bound, exactly if its limit allows. [`page`]
//! shows all of it. Nothing here prints.

pub mod calibration;
pub mod candidates;
pub mod measure;
pub mod outputs;
pub mod page;
pub mod quality;
pub mod search;
pub mod write;
