//! What a convolution or a linear layer can take over from the ops after it, and products with a
//! constant matrix.
//!
//! A new weight is a constant *expression*, `tensor.mul` of the old one and a scale: it is
//! evaluated by who packs the weights, one layer at a time.

use lepid_ir::core::{Builder, Dim, Module, Op, OpDef, OpResult, Value};
use lepid_ir::dialects::nn;
use lepid_ir::dialects::tensor::{self as t, build};

use crate::core::rewrite::{Pattern, Rewrite, fuse_locs, has_one_use, rebuild};
use crate::transform::matching::{AlongAxis, along_axis, build_vector, dims, is_constant};

pub(crate) const PATTERNS: &[Pattern] = &[
    Pattern {
        name: "matmul-linear",
        op: "nn.matmul",
        apply: matmul_linear,
    },
    Pattern {
        name: "add-bias",
        op: "tensor.add",
        apply: |b, op| bias(b, op, &t::Add),
    },
    Pattern {
        name: "sub-bias",
        op: "tensor.sub",
        apply: |b, op| bias(b, op, &t::Sub),
    },
    Pattern {
        name: "mul-scale",
        op: "tensor.mul",
        apply: |b, op| scale(b, op, &t::Mul),
    },
    Pattern {
        name: "div-scale",
        op: "tensor.div",
        apply: |b, op| scale(b, op, &t::Div),
    },
];

/// `x · w` with a constant matrix.
fn matmul_linear(b: &mut Builder<'_>, op: Op) -> Rewrite {
    let (x, w) = (b.module.operands(op)[0], b.module.operands(op)[1]);
    let float = b.value_type(x).elem().is_some_and(|e| e.is_float());
    if !float || dims(b.module, w).len() != 2 || !is_constant(b.module, w) {
        return Ok(None);
    }
    Ok(Some(vec![b.one(&nn::Linear, &[x, w], &[])?]))
}

/// An op whose result is linear in a weight, with a bias.
struct Layer {
    op: Op,
    /// The axis of the result along which the bias lies.
    channel: usize,
    /// The same axis of the weight.
    weight: usize,
    channels: Dim,
}

/// The layer that gives `value`, if nothing else uses it.
fn layer(module: &Module, value: Value) -> Option<Layer> {
    let op = module.defining_op(value)?;
    if !has_one_use(module, value) {
        return None;
    }
    let view = module.view(op);
    let rank = view.result_tensor(0).rank();
    let channel_axis = |layout: &str| if layout == "nhwc" { rank - 1 } else { 1 };
    let (channel, weight) = match view.name() {
        "nn.linear" => (rank - 1, 1),
        "nn.conv" => (channel_axis(nn::Conv::layout(view)), 0),
        "nn.conv_transpose" if nn::ConvTranspose::groups(view) == 1 => {
            (channel_axis(nn::ConvTranspose::layout(view)), 1)
        }
        _ => return None,
    };
    let channels = view.operand_dims(1)[weight];
    let known = view.operand_dims(1).iter().all(|d| d.known().is_some());
    (known && view.result_tensor(0).dims[channel] == channels).then_some(Layer {
        op,
        channel,
        weight,
        channels,
    })
}

/// A binary op on a layer and a constant per channel.
fn layer_and_constant(module: &Module, op: Op) -> Option<(Layer, AlongAxis, Value)> {
    let &[x, y] = module.operands(op) else {
        return None;
    };
    let layer = layer(module, x)?;
    let along = along_axis(module, y, layer.channel)?;
    Some((layer, along, y))
}

fn bias(b: &mut Builder<'_>, op: Op, def: &'static dyn OpDef) -> Rewrite {
    let Some((layer, along, constant)) = layer_and_constant(b.module, op) else {
        return Ok(None);
    };
    let operands = b.module.operands(layer.op).to_vec();
    if operands
        .get(2)
        .is_some_and(|&old| !is_constant(b.module, old))
    {
        return Ok(None);
    }
    fuse_locs(b, &[layer.op, op]);
    let vector = build_vector(b, &along, constant, layer.channels)?;
    let bias = match (operands.get(2), def.info().name) {
        (Some(&old), _) => b.one(def, &[old, vector], &[])?,
        (None, "tensor.sub") => b.one(&t::Neg, &[vector], &[])?,
        (None, _) => vector,
    };
    Ok(Some(rebuild(
        b,
        layer.op,
        &[operands[0], operands[1], bias],
    )?))
}

fn scale(b: &mut Builder<'_>, op: Op, def: &'static dyn OpDef) -> Rewrite {
    let Some((layer, along, constant)) = layer_and_constant(b.module, op) else {
        return Ok(None);
    };
    let operands = b.module.operands(layer.op).to_vec();
    if !operands[1..].iter().all(|&v| is_constant(b.module, v)) {
        return Ok(None);
    }
    fuse_locs(b, &[layer.op, op]);
    let vector = build_vector(b, &along, constant, layer.channels)?;
    let mut new = vec![
        operands[0],
        scaled(b, def, operands[1], vector, layer.weight)?,
    ];
    if let Some(&old) = operands.get(2) {
        new.push(b.one(def, &[old, vector], &[])?);
    }
    Ok(Some(rebuild(b, layer.op, &new)?))
}

/// `weight ∘ vector` with the vector along an axis.
fn scaled(
    b: &mut Builder<'_>,
    def: &'static dyn OpDef,
    weight: Value,
    vector: Value,
    axis: usize,
) -> OpResult<Value> {
    let shape = dims(b.module, weight).to_vec();
    let vector = build::broadcast_axes(b, vector, &shape, &[axis])?;
    b.one(def, &[weight, vector], &[])
}
