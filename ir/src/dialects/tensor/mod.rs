//! The `tensor` dialect: primitive ops on dense tensors, into which all others decompose.
//!
//! There is no implicit broadcasting: operands of an elementwise op have one shape. Axes count
//! from 0 and are in range. Every op is total: an index is clamped, an integer division by zero is
//! zero, so that no target needs to trap. Floats are computed in `f64` and rounded once per op;
//! that is the reference, and targets agree with it up to a tolerance.
//!
//! Begin with `binary` for the shape of an op, then [`build`] for making them.

mod binary;
pub mod build;
mod contract;
pub(in crate::dialects) mod control;
mod dynamic;
pub mod extents;
mod fft;
mod fold;
mod index;
pub mod kernel;
pub(crate) mod lookup;
mod non_zero;
mod reduce;
mod shape;
pub mod shapes;
mod sort;
mod unary;

pub use binary::{
    Add, And, Atan2, BinaryKind, Bitcast, Cast, Compare, Direction, Div, Max, Min, Mul, Or, Pow,
    Rem, Select, Shl, Shr, Sub, Xor, binary_kind,
};
pub use contract::{Contract, ContractAxes};
pub use control::{If, While};
pub use dynamic::{DimOf, DynBroadcast, DynIota, DynPad, DynReshape, DynSlice, PadMode, slice_run};
pub use fft::{Fft, root_of_unity};
pub use fold::gemm;
pub use index::{Gather, GatherElements, GatherNd, ScatterElements, ScatterKind, ScatterNd};
pub use non_zero::NonZero;
pub use reduce::{ArgReduce, Reduce, ReduceKind, Scan, Window};
pub use shape::{Broadcast, Concat, END, Iota, Pad, Reshape, Reverse, Slice, Transpose};
pub use sort::{Sort, TopK};
pub use unary::{
    Abs, Acos, Acosh, Asin, Asinh, Atan, Atanh, BitNot, Ceil, Cos, Cosh, Erf, Exp, Floor, IsInf,
    IsNan, Log, Neg, Not, Round, Rsqrt, Sign, Sin, Sinh, Sqrt, Tan, Tanh, UnaryKind, unary_kind,
};

use crate::core::{OpView, Registry, Trait};

/// Whether element `i` of the result depends on elements `i` of the operands alone.
pub fn is_elementwise(op: OpView<'_>) -> bool {
    op.info().has(Trait::Elementwise)
}

pub fn register(ops: &mut Registry) {
    ops.add(binary::BINARY_OPS);
    ops.add(binary::OTHER_OPS);
    ops.add(contract::OPS);
    ops.add(control::OPS);
    ops.add(dynamic::OPS);
    ops.add(fft::OPS);
    ops.add(index::OPS);
    ops.add(non_zero::OPS);
    ops.add(reduce::OPS);
    ops.add(shape::OPS);
    ops.add(sort::OPS);
    ops.add(unary::UNARY_OPS);
    ops.add(&[&IsInf, &IsNan]);
}
