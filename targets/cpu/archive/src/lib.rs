//! The static library that programs compiled ahead of time are linked with.
//!
//! It is built by `build.rs` from the sources beside this crate and carried in the binary, so that
//! `lepid` alone makes libraries, wherever it is copied to.

/// The archive: `lepid-cpu-runtime` with the kernels and the part of Rust's library that it uses.
pub const RUNTIME: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/liblepid_runtime.a"));
