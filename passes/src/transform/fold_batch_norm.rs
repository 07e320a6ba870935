//! Moves batch norms with constant statistics into the layer before them.
//!
//! ```text
//! %1 = nn.conv(%0, %w)                               %1 = tensor.mul(%w, %scale)
//! %2 = nn.batch_norm(%1, %g, %b, %mean, %var)   →    %2 = nn.conv(%0, %1, %bias)
//! ```
//!
//! A batch norm that no layer can take over becomes a product and a sum with constants per
//! channel, which fuse with what stands around them. The scaled weight stays a constant expression.

use lepid_ir::core::{Builder, Module, Op};
use lepid_ir::dialects::nn;
use lepid_ir::dialects::tensor::{self as t, build};

use crate::core::rewrite::{Pattern, Rewrite, apply_patterns};
use crate::core::{PassCx, PassDef, PassResult, Values};
use crate::transform::canonicalize::affine;
use crate::transform::matching::{dims, is_constant};

pub const PASS: PassDef = PassDef {
    name: "fold-batch-norm",
    summary: "Moves batch norms into the weights of the layer before them.",
    values: Values::Within(1e-4),
    options: &[],
    run,
};

const PATTERNS: &[Pattern] = &[Pattern {
    name: "batch-norm-affine",
    op: "nn.batch_norm",
    apply: batch_norm_affine,
}];

fn run(module: &mut Module, _: &mut PassCx<'_>) -> PassResult {
    apply_patterns(module, &[PATTERNS, affine::PATTERNS])
}

/// `x · s + t` with `s = scale / sqrt(variance + ε)` and `t = bias - mean · s`.
fn batch_norm_affine(b: &mut Builder<'_>, op: Op) -> Rewrite {
    let view = b.view(op);
    let &[x, scale, bias, mean, variance] = view.operands() else {
        return Ok(None);
    };
    let (axis, epsilon) = (
        nn::BatchNorm::axis(view) as usize,
        nn::BatchNorm::epsilon(view),
    );
    let shape = dims(b.module, view.result(0)).to_vec();
    let mut parameters = [scale, bias, mean, variance].into_iter();
    let same = dims(b.module, x) == shape;
    let open = shape.contains(&lepid_ir::core::Dim::Unknown);
    if open || !same || !parameters.all(|v| is_constant(b.module, v)) {
        return Ok(None);
    }
    let spread = build::with_scalar(b, &t::Add, variance, epsilon)?;
    let spread = build::unary(b, &t::Sqrt, spread)?;
    let factor = b.one(&t::Div, &[scale, spread], &[])?;
    let shift = b.one(&t::Mul, &[mean, factor], &[])?;
    let shift = b.one(&t::Sub, &[bias, shift], &[])?;
    let factor = build::broadcast_axes(b, factor, &shape, &[axis])?;
    let shift = build::broadcast_axes(b, shift, &shape, &[axis])?;
    let y = b.one(&t::Mul, &[x, factor], &[])?;
    Ok(Some(vec![b.one(&t::Add, &[y, shift], &[])?]))
}
