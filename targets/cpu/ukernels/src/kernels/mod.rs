//! The kernels, written over [`crate::vector::Vector`].
//!
//! Everything here is inlined into the entry points of `isa/`, which is how it gets its target features. So hot loops
//! call nothing but methods of `Vector` and functions marked `inline(always)`; closures and iterator chains stay out.
#![allow(
    clippy::needless_range_loop,
    reason = "an index that runs over rows, taps or vectors at once says so best"
)]

pub(crate) mod attention;
pub(crate) mod dwconv;
pub(crate) mod eight_bits;
pub(crate) mod epilogue;
pub(crate) mod gemv;
pub(crate) mod igemm;
pub(crate) mod norms;
pub(crate) mod pack;
pub(crate) mod pointers;
pub(crate) mod pool;
pub(crate) mod recurrent;
pub(crate) mod reduce;
pub(crate) mod strassen;
pub(crate) mod streams;
pub(crate) mod terms;
pub(crate) mod transpose;
pub(crate) mod winograd;

pub use pack::{packed_len, recurrent_packed_len};
pub use pointers::row_tiles;

/// Columns of a panel of packed weights.
pub(crate) const PANEL: usize = 16;
