//! The unit tests of the harness itself. `main.rs` brings its own test runner, so that `#[test]` needs a target of its own.
#![allow(
    dead_code,
    reason = "what only `main.rs` calls is unused in this target"
)]

mod errors;
mod filecheck;
mod script;
