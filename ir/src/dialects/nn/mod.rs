//! The `nn` dialect: named composites of neural networks.
//!
//! Each op has a formula in its doc comment, a plain `eval`, and a `decompose` into `tensor` ops
//! that means the same; targets may match an op whole or take the expansion. As in `tensor`,
//! operands of one op have one element type, axes are non-negative, and nothing broadcasts unless
//! the op says so. Element types of 16 bits are computed in `f64` and rounded once per op.
//!
//! Each op states its result types once, as a function of operand types: `infer` calls it with
//! the types in the IR, `eval` with those of the actual operands, so that extents which the types
//! leave open are checked at run time by the same rules.

mod activation;
pub(crate) mod attention;
pub(crate) mod conv;
mod conv_eval;
mod conv_expand;
mod expand;
pub(crate) mod linear;
mod norm;
mod pool;
mod product;
mod recurrent;
mod resize;
mod rotary;
pub(crate) mod rules;
mod softmax;
mod terms;
mod window;

pub use activation::{
    Celu, Clip, Elu, Gelu, HardSigmoid, HardSwish, LeakyRelu, Mish, Prelu, Relu, Selu, Sigmoid,
    Silu, Softplus, Softsign, ThresholdedRelu,
};
pub use attention::Attention;
pub use conv::{Conv, ConvTranspose};
pub use linear::{Linear, MatMul};
pub use norm::{BatchNorm, GroupNorm, InstanceNorm, LayerNorm, LpNorm, Lrn, RmsNorm};
pub use pool::{AvgPool, MaxPool, Mean};
pub use recurrent::{Gru, Lstm};
pub use resize::Resize;
pub use rotary::Rotary;
pub use softmax::{LogSoftmax, Softmax};
pub use terms::AddTerms;
pub use window::{Layout, Window};

use crate::core::Registry;

pub fn register(ops: &mut Registry) {
    ops.add(&[
        &AddTerms,
        &Attention,
        &AvgPool,
        &BatchNorm,
        &Celu,
        &Clip,
        &Conv,
        &ConvTranspose,
        &Elu,
        &Gelu,
        &GroupNorm,
        &Gru,
        &HardSigmoid,
        &HardSwish,
        &InstanceNorm,
        &LayerNorm,
        &LeakyRelu,
        &Linear,
        &LogSoftmax,
        &LpNorm,
        &Lrn,
        &Lstm,
        &MatMul,
        &MaxPool,
        &Mean,
        &Mish,
        &Prelu,
        &Relu,
        &Resize,
        &RmsNorm,
        &Rotary,
        &Selu,
        &Sigmoid,
        &Silu,
        &Softmax,
        &Softplus,
        &Softsign,
        &ThresholdedRelu,
    ]);
}
