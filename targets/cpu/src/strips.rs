//! Fuses convolutions around a depthwise one whose images do not fit the second-level cache.
//!
//! ```text
//! %1 = kernel.conv(%0, %v)                   %3 = kernel.strips(%0, %v, %w, %u) {rows = 2} {
//! %2 = kernel.conv(%1, %w) {groups = 96}  =>   ^(%4, %5, %6, %7):
//! %3 = kernel.conv(%2, %u)                     %8 = kernel.conv(%4, %5)
//!                                              %9 = kernel.conv(%8, %6) {groups = 96}
//!                                              %10 = kernel.conv(%9, %7)
//!                                              core.yield(%10)
//!                                            }
//! ```
//!
//! A depthwise convolution does little work for each element, so it waits for memory if its image
//! comes from there. In strips, what is between the convolutions stays in the cache. The one before
//! may have any window; the one behind reads pixels alone, and asks for no row twice.

use std::collections::HashMap;

use lepid_ir::core::{Builder, Module, Op, OpResult, OpView, TensorType, Value};
use lepid_ir::dialects::core::Yield;
use lepid_ir::dialects::kernel::{self, Conv, Strips};
use lepid_passes::core::rewrite::copy_whole;
use lepid_passes::core::{Changed, PassCx, PassDef, PassOption, PassResult, Values};

use crate::codegen::product::GEMV_ROWS;

pub(crate) const PASS: PassDef = PassDef {
    name: "fuse-strips",
    summary: "Fuses convolutions around a depthwise one whose images do not fit the cache.",
    values: Values::Exact,
    options: &[
        PassOption {
            name: "image",
            // Of smaller ones enough is still in the second-level cache when they are read: below,
            // strips were measured to gain nothing.
            default: "1048576",
            help: "Bytes of an image between two convolutions that must not be stored.",
        },
        PassOption {
            name: "buffers",
            // A part of the second-level cache: inputs, weights and results go through it, too.
            default: "327680",
            help: "Bytes that the strips of a chain may take in place of its images.",
        },
    ],
    run,
};

fn run(module: &mut Module, cx: &mut PassCx<'_>) -> PassResult {
    let limits = Limits {
        image: cx.option("image")?,
        buffers: cx.option("buffers")?,
    };
    let mut changed = Changed::No;
    for op in module.walk() {
        if module.op_block(op).is_none() || kernel::is_inside_kernel(module, op) {
            continue;
        }
        if let Some((chain, rows)) = chain(module, op, &limits) {
            let loc = module.loc(op).clone();
            fuse(module, &chain, rows).map_err(|error| vec![error.at(loc)])?;
            changed = Changed::Yes;
        }
    }
    Ok(changed)
}

/// What the options say, in bytes.
struct Limits {
    image: usize,
    buffers: usize,
}

/// The chain around a depthwise convolution and the rows of its strips, if it is worth fusing.
fn chain(module: &Module, op: Op, limits: &Limits) -> Option<(Vec<Op>, usize)> {
    if !is_direct(module.view(op)) || !kernel::is_depthwise(module.view(op)) {
        return None;
    }
    let before = module.defining_op(module.operands(op)[0]);
    let before = before.filter(|&before| feeds(module, before, op));
    let behind = module.uses(module.results(op)[0]).first().map(|u| u.op);
    let behind =
        behind.filter(|&behind| feeds(module, op, behind) && is_pointwise(module.view(behind)));
    let chain: Vec<Op> = before.into_iter().chain([op]).chain(behind).collect();
    let views: Vec<OpView<'_>> = chain.iter().map(|&op| module.view(op)).collect();
    let (last, between) = views.split_last()?;
    let small = between.iter().all(|&conv| image_bytes(conv) < limits.image);
    // Whole, such a product has a kernel of its own, which rounds in another way.
    let few_pixels = |&conv: &OpView<'_>| {
        let pixels = extents(conv, conv.result(0))[..3].iter().product::<usize>();
        pixels <= GEMV_ROWS
    };
    if small || views.iter().any(few_pixels) {
        return None;
    }
    let fits = |&rows: &usize| buffers(&views[1..], rows).iter().sum::<usize>() <= limits.buffers;
    let rows = (1..=extents(*last, last.result(0))[1]).rev().find(fits)?;
    Some((chain, rows))
}

/// A direct convolution of known extents.
pub(crate) fn is_direct(op: OpView<'_>) -> bool {
    op.name() == Conv::INFO.name
        && Conv::algorithm(op) == "direct"
        && Conv::layout(op) == "nhwc"
        && [0, 1]
            .iter()
            .all(|&i| extents(op, op.operand(i)).len() == 4)
}

pub(crate) fn is_pointwise(op: OpView<'_>) -> bool {
    extents(op, op.operand(1))[2..] == [1, 1]
        && Conv::stride(op) == [1, 1]
        && Conv::pad(op) == [0; 4]
}

/// The extents of a value, or none if not all of them are known.
pub(crate) fn extents(op: OpView<'_>, value: Value) -> Vec<usize> {
    let ty = op.module.value_type(value).as_tensor();
    ty.and_then(TensorType::known_dims).unwrap_or_default()
}

/// Bytes of one image of a result.
fn image_bytes(op: OpView<'_>) -> usize {
    4 * extents(op, op.result(0))[1..].iter().product::<usize>()
}

/// Whether `reader` alone reads the result of `op`, as its image.
fn feeds(module: &Module, op: Op, reader: Op) -> bool {
    is_direct(module.view(op))
        && is_direct(module.view(reader))
        && module.op_block(op) == module.op_block(reader)
        && matches!(module.uses(module.results(op)[0]), &[u] if u.op == reader && u.operand == 0)
}

/// Puts a chain of ops in strips, of which each reads the result of the one before.
pub(crate) fn fuse(module: &mut Module, chain: &[Op], rows: usize) -> OpResult<()> {
    let between: Vec<Value> = chain.iter().map(|&op| module.results(op)[0]).collect();
    let mut inputs: Vec<Value> = Vec::new();
    for value in chain.iter().flat_map(|&op| module.operands(op)) {
        if !between.contains(value) && !inputs.contains(value) {
            inputs.push(*value);
        }
    }
    let Some((&last, others)) = chain.split_last() else {
        return Ok(());
    };
    let types: Vec<_> = inputs.iter().map(|&v| module.value_type(v)).collect();
    let loc = others.iter().fold(module.loc(last).clone(), |loc, &op| {
        loc.join(module.loc(op))
    });
    let mut b = Builder::before(module, last);
    b.at(loc);
    let region = b.region(&types, |b, args| {
        let pairs = inputs.iter().copied().zip(args.iter().copied());
        let mut map: HashMap<Value, Value> = pairs.collect();
        for &op in chain {
            copy_whole(b, op, &mut map)?;
        }
        let result = map[&b.module.results(last)[0]];
        b.create(&Yield, &[result], &[])?;
        Ok(())
    })?;
    let strips = b.create_with_regions(
        &Strips,
        &inputs,
        &[("rows", (rows as i64).into())],
        &[region],
    )?;
    let results = module.results(strips).to_vec();
    module.replace_op(last, &results);
    for &op in others.iter().rev() {
        module.erase(op);
    }
    Ok(())
}

/// Bytes of the buffer before each of these convolutions, of which each reads the one before, if
/// the last computes as many rows at a time.
pub(crate) fn buffers(readers: &[OpView<'_>], rows: usize) -> Vec<usize> {
    let mut rows = rows;
    let readers = readers.iter().rev().map(|&reader| {
        let x = extents(reader, reader.operand(0));
        let taps = extents(reader, reader.operand(1))[2];
        let [dilation, stride] =
            [Conv::dilation(reader), Conv::stride(reader)].map(|list| list[0] as usize);
        rows = ((rows - 1) * stride + (taps - 1) * dilation + 1).min(x[1]);
        4 * rows * x[2] * x[3]
    });
    let mut bytes: Vec<usize> = readers.collect();
    bytes.reverse();
    bytes
}
