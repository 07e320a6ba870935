//! CPU microkernels: the arithmetic that generated code calls, and the thread pool that drives it.
//!
//! The crate knows no other Lepid crate: it sees pointers, sizes and strides, never tensors or IR.
//! Begin with [`args`] (what each kernel computes) and [`Table`] (one function pointer per kernel and instruction set).
//!
//! Each kernel is written once, over `vector::Vector`; `isa/` instantiates all of them for one instruction set
//! with the right target features. So every instruction set has every kernel, and sums in the same order.
//!
//! Two promises hold for all kernels:
//! * A result never depends on the number of threads or on how the caller cuts rows, columns or hidden units into calls,
//!   save where an argument says so (`GemvArgs::rows`, `LstmCellArgs::rows`).
//! * Pointers and extents must describe memory that is there; nothing is checked at run time, as the compiler planned it.
#![allow(
    unsafe_code,
    reason = "kernels work on raw memory described by generated code, and use vector intrinsics"
)]

pub mod args;
pub mod attention;
mod isa;
mod kernels;
mod math;
pub mod measure;
pub mod memory;
pub mod pool;
pub mod strassen;
mod table;
mod vector;
pub mod winograd;

pub use args::{Activation, Unary};
pub use kernels::{packed_len, recurrent_packed_len, row_tiles};
pub use memory::AlignedBuf;
pub use pool::Pool;
pub use table::{F32x4, Isa, Table, lepid_ukernels_table, table};
