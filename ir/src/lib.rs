//! The IR of Lepid: an MLIR-like intermediate representation for adaptive neural networks.
//!
//! What it is: entities in arenas, interned types, ops declared as tables, a verifier, a printer
//! and a parser for one text form, the dialects, and the interpreter that gives every op its
//! meaning. What it may not know of: passes, targets, front ends. Arrows inside the crate:
//! [`core`] knows none of the others; [`text`], [`dialects`] and [`interp`] stand on it; [`generate`]
//! makes random modules of them for tests.
//!
//! Begin with [`core::Module`], then [`core::OpDef`] and one file of [`dialects`].

pub mod core;
pub mod dialects;
pub mod generate;
pub mod interp;
#[cfg(feature = "text")]
pub mod text;
