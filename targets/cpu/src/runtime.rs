//! The run time of compiled programs by itself: what a program is linked with that was compiled
//! ahead of time. The root of the crate `lepid-cpu-runtime`, which shares its files with the target:
//! nothing is written twice, and neither Cranelift nor a pass is in it.
//!
//! Begin with `capi.rs`, the C interface; then `engine.rs`, which runs programs.
#![allow(
    unsafe_code,
    reason = "calls generated code, and hands raw places to microkernels and to C"
)]
#![allow(
    dead_code,
    reason = "what describes ops to the code generator is not used here"
)]

mod abi;
mod capi;
mod engine;
mod faults;
mod gates;
mod interface;
mod linked;
mod machine;
mod routines;
mod slots;
mod states;
mod support;
