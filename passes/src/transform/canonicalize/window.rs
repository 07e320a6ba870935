//! What stands around a sliding window: padding that it can do itself, and windows as large as
//! what they slide over.

use lepid_ir::core::{Attr, Builder, Dim, Op, Value};
use lepid_ir::dialects::nn::{self, Layout};
use lepid_ir::dialects::tensor::{self as t, build};

use crate::core::rewrite::{Pattern, Rewrite, defined_by, fuse_locs, rebuild_with};
use crate::transform::matching::{dims, is_uniform};

pub(super) const PATTERNS: &[Pattern] = &[
    Pattern {
        name: "pad-conv",
        op: "nn.conv",
        apply: pad_conv,
    },
    Pattern {
        name: "pool-mean",
        op: "nn.avg_pool",
        apply: pool_mean,
    },
];

/// A convolution pads with zeros itself.
fn pad_conv(b: &mut Builder<'_>, op: Op) -> Rewrite {
    let Some(pad) = defined_by(b.module, b.module.operands(op)[0], &t::Pad) else {
        return Ok(None);
    };
    let (conv, pad_view) = (b.view(op), b.view(pad));
    let layout = Layout::new(nn::Conv::layout(conv), conv.operand_tensor(0).rank())?;
    let (low, high) = (t::Pad::low(pad_view), t::Pad::high(pad_view));
    let spatial = layout.first..layout.first + layout.spatial;
    let mut outside = (0..low.len()).filter(|a| !spatial.contains(a));
    if !is_uniform(b.module, pad_view.operand(1), 0.0) || outside.any(|a| low[a] + high[a] != 0) {
        return Ok(None);
    }
    let more = low[spatial.clone()].iter().chain(&high[spatial]);
    let sums: Vec<i64> = nn::Conv::pad(conv)
        .iter()
        .zip(more)
        .map(|(a, b)| a + b)
        .collect();
    let mut operands: Vec<Value> = conv.operands().to_vec();
    operands[0] = pad_view.operand(0);
    fuse_locs(b, &[pad, op]);
    Ok(Some(rebuild_with(
        b,
        op,
        &operands,
        &[("pad", sums.into())],
    )?))
}

/// A window over everything is a mean over the spatial axes.
fn pool_mean(b: &mut Builder<'_>, op: Op) -> Rewrite {
    let view = b.view(op);
    let x = view.operand(0);
    let layout = Layout::new(nn::AvgPool::layout(view), view.operand_tensor(0).rank())?;
    let kernel = nn::AvgPool::kernel(view).into_iter();
    let whole = kernel
        .map(|n| Dim::Known(n as u64))
        .eq(layout.spatial_of(dims(b.module, x)).iter().copied());
    let plain = nn::AvgPool::pad(view).iter().all(|&p| p == 0)
        && nn::AvgPool::dilation(view).iter().all(|&d| d == 1);
    if !whole || !plain {
        return Ok(None);
    }
    let axes = build::ints(layout.first..layout.first + layout.spatial);
    let attrs = [("axes", axes), ("keep", Attr::Bool(true))];
    Ok(Some(vec![b.one(&nn::Mean, &[x], &attrs)?]))
}
