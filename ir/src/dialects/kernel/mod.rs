//! The `kernel` dialect: what the CPU and the GPU targets generate code for.
//!
//! Ops keep value semantics, so that the interpreter defines them and passes may move them; where
//! a value lies in memory is stated separately by the memory plan (`core.func`). Two kinds:
//! a *nest* is one loop nest over pure index-wise ops, written as those ops in a region; the
//! others are an `nn` op with a fused epilogue `act(y + bias + residual)` or with its operands laid
//! out in another way, and *strips* are a chain of those in a region.

mod attention;
mod layers;
mod product;
mod recurrent;
mod regions;

pub use self::attention::{Attention, AttentionExtents, HEADS_FIRST, Heads, POSITIONS_FIRST};
pub use self::layers::{
    ACTIVATIONS, ALGORITHMS, Activation, Conv, Extras, LINEAR_ALGORITHMS, Linear, extras,
    is_depthwise, linear_rows, suits_winograd,
};
pub use self::product::{Matmul, PANEL, Pack};
pub use self::recurrent::{Gru, Lstm};
pub use self::regions::{Nest, Strips, has_body, is_inside_kernel, outside};

use crate::core::Registry;

pub fn register(ops: &mut Registry) {
    ops.add(&[
        &Attention, &Conv, &Gru, &Linear, &Lstm, &Matmul, &Nest, &Pack, &Strips,
    ]);
}
