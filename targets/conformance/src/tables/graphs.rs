//! Several ops together, as targets fuse them.

use lepid_ir::core::{Attr, Builder, Elem, OpDef, OpResult, Value};
use lepid_ir::dialects::nn::*;
use lepid_ir::dialects::tensor::{Add, Div, Erf, Exp, Max, Min, Mul, Sqrt, Sub, Tanh, build};

use crate::case::{Case, Scale, build as case};

/// Makes the graph of a case.
type Body = fn(&mut Builder<'_>, &[Value]) -> OpResult<Vec<Value>>;

pub(super) fn cases() -> Vec<Case> {
    let mut out = Vec::new();
    let mut add = |name: &str, operands: &[&str], body: Body| {
        out.push(case(name, Scale::Output, operands, body));
    };
    add(
        "conv, batch norm, relu",
        &[
            "1x3x9x10xf32",
            "const 8x3x3x3xf32",
            "const 8xf32",
            "const 8xf32",
            "const 8xf32",
            "const pos 8xf32",
        ],
        |b, v| {
            let y = conv(b, &[v[0], v[1]], 1, 1)?;
            let y = b.one(&BatchNorm, &[y, v[2], v[3], v[4], v[5]], &[])?;
            Ok(vec![b.one(&Relu, &[y], &[])?])
        },
    );
    add(
        "residual block",
        &[
            "2x8x7x9xf32",
            "const 8x8x3x3xf32",
            "const 8xf32",
            "const 8x8x3x3xf32",
            "const 8xf32",
        ],
        |b, v| {
            let y = conv(b, &v[0..3], 1, 1)?;
            let y = b.one(&Relu, &[y], &[])?;
            let y = conv(b, &[y, v[3], v[4]], 1, 1)?;
            let y = b.one(&Add, &[y, v[0]], &[])?;
            Ok(vec![b.one(&Relu, &[y], &[])?])
        },
    );
    add(
        "wide residual block",
        &[
            "3x24x13x11xf32",
            "const 24x24x3x3xf32",
            "const 24xf32",
            "const 24x24x3x3xf32",
            "const 24xf32",
        ],
        |b, v| {
            let y = conv(b, &v[0..3], 1, 1)?;
            let y = b.one(&Silu, &[y], &[])?;
            let y = conv(b, &[y, v[3], v[4]], 1, 1)?;
            let y = b.one(&Add, &[y, v[0]], &[])?;
            Ok(vec![b.one(&Relu, &[y], &[])?])
        },
    );
    add(
        "depthwise, pointwise, clip",
        &[
            "1x19x8x8xf32",
            "const 19x1x3x3xf32",
            "const 19xf32",
            "const 33x19x1x1xf32",
            "const 33xf32",
        ],
        |b, v| {
            let y = conv(b, &v[0..3], 19, 1)?;
            let y = clip6(b, y)?;
            let y = conv(b, &[y, v[3], v[4]], 1, 0)?;
            Ok(vec![clip6(b, y)?])
        },
    );
    add(
        "inception: branches and concat",
        &["1x6x7x7xf32", "const 5x6x1x1xf32", "const 7x6x3x3xf32"],
        |b, v| {
            let one = conv(b, &[v[0], v[1]], 1, 0)?;
            let three = conv(b, &[v[0], v[2]], 1, 1)?;
            let pooled = b.one(
                &MaxPool,
                &[v[0]],
                &[
                    ("kernel", [3, 3].into()),
                    ("stride", [1, 1].into()),
                    ("dilation", [1, 1].into()),
                    ("pad", [1, 1, 1, 1].into()),
                ],
            )?;
            let all = build::concat(b, &[one, three, pooled], 1)?;
            Ok(vec![b.one(&Relu, &[all], &[])?])
        },
    );
    add("channel shuffle", &["2x6x3x4xf32"], |b, v| {
        let known = |n: &[u64]| n.iter().map(|&n| n.into()).collect::<Vec<_>>();
        let y = build::reshape(b, v[0], &known(&[2, 3, 2, 3, 4]))?;
        let y = build::transpose(b, y, &[0, 2, 1, 3, 4])?;
        Ok(vec![build::reshape(b, y, &known(&[2, 6, 3, 4]))?])
    });
    add(
        "shuffle unit: groups, channel shuffle, depthwise, groups, residual",
        &[
            "2x12x5x7xf32",
            "const 12x3x1x1xf32",
            "const 12x1x3x3xf32",
            "const 12xf32",
            "const 12x3x1x1xf32",
            "const 12xf32",
        ],
        |b, v| {
            let known = |n: &[u64]| n.iter().map(|&n| n.into()).collect::<Vec<_>>();
            let y = conv(b, &[v[0], v[1]], 4, 0)?;
            let y = b.one(&Relu, &[y], &[])?;
            let y = build::reshape(b, y, &known(&[2, 4, 3, 5, 7]))?;
            let y = build::transpose(b, y, &[0, 2, 1, 3, 4])?;
            let y = build::reshape(b, y, &known(&[2, 12, 5, 7]))?;
            let y = conv(b, &[y, v[2], v[3]], 12, 1)?;
            let y = conv(b, &[y, v[4], v[5]], 4, 0)?;
            let y = b.one(&Add, &[y, v[0]], &[])?;
            Ok(vec![b.one(&Relu, &[y], &[])?])
        },
    );
    add(
        "channel shuffle before a convolution of one group",
        &["1x6x4x5xf32", "const 9x6x3x3xf32"],
        |b, v| {
            let known = |n: &[u64]| n.iter().map(|&n| n.into()).collect::<Vec<_>>();
            let y = build::reshape(b, v[0], &known(&[1, 2, 3, 4, 5]))?;
            let y = build::transpose(b, y, &[0, 2, 1, 3, 4])?;
            let y = build::reshape(b, y, &known(&[1, 6, 4, 5]))?;
            Ok(vec![conv(b, &[y, v[1]], 1, 1)?])
        },
    );
    add(
        "an image of few channels",
        &["2x3x11x13xf32", "const 17x3x5x5xf32", "const 17xf32"],
        |b, v| Ok(vec![conv(b, &v[0..3], 1, 2)?]),
    );
    add(
        "classifier head",
        &["2x19x5x5xf32", "const 19x10xf32", "const 10xf32"],
        |b, v| {
            let y = b.one(&Mean, &[v[0]], &[("axes", [2, 3].into())])?;
            let y = b.one(&Linear, &[y, v[1], v[2]], &[])?;
            Ok(vec![b.one(&Softmax, &[y], &[("axis", Attr::Int(1))])?])
        },
    );
    add(
        "linear and gelu from primitives",
        &["5x16xf32", "const 16x33xf32", "const 33xf32"],
        |b, v| {
            let x = b.one(&Linear, &[v[0], v[1], v[2]], &[])?;
            let y = build::with_scalar(b, &Div, x, std::f64::consts::SQRT_2)?;
            let y = build::unary(b, &Erf, y)?;
            let y = build::with_scalar(b, &Add, y, 1.0)?;
            let y = b.one(&Mul, &[x, y], &[])?;
            Ok(vec![build::with_scalar(b, &Mul, y, 0.5)?])
        },
    );
    add(
        "layer norm from primitives",
        &["3x5x24xf32", "const 24xf32", "const 24xf32"],
        |b, v| {
            let mean = build::mean_keep(b, v[0], &[2])?;
            let mean = build::broadcast_like(b, mean, v[0])?;
            let centred = b.one(&Sub, &[v[0], mean], &[])?;
            let square = b.one(&Mul, &[centred, centred], &[])?;
            let variance = build::mean_keep(b, square, &[2])?;
            let variance = build::with_scalar(b, &Add, variance, 1e-5)?;
            let deviation = build::unary(b, &Sqrt, variance)?;
            let deviation = build::broadcast_like(b, deviation, v[0])?;
            let y = b.one(&Div, &[centred, deviation], &[])?;
            let y = build::binary(b, &Mul, y, v[1])?;
            Ok(vec![build::binary(b, &Add, y, v[2])?])
        },
    );
    add(
        "attention from primitives",
        &["1x2x9x8xf32", "1x2x9x8xf32", "1x2x9x8xf32"],
        |b, v| {
            let keys = build::transpose(b, v[1], &[0, 1, 3, 2])?;
            let scores = b.one(&MatMul, &[v[0], keys], &[])?;
            let scores = build::with_scalar(b, &Mul, scores, 0.35)?;
            let weights = b.one(&Softmax, &[scores], &[("axis", Attr::Int(3))])?;
            Ok(vec![b.one(&MatMul, &[weights, v[2]], &[])?])
        },
    );
    add(
        "elementwise chain with broadcasts",
        &["4x9x17xf32", "17xf32", "4x1x1xf32", "const 9x1xf32"],
        |b, v| {
            let y = build::binary(b, &Mul, v[0], v[1])?;
            let y = build::binary(b, &Add, y, v[2])?;
            let y = build::binary(b, &Sub, y, v[3])?;
            let y = build::unary(b, &Tanh, y)?;
            let z = b.one(&Mul, &[y, v[0]], &[])?;
            Ok(vec![z, y])
        },
    );
    add("reduction of a chain, used again", &["6x33xf32"], |b, v| {
        let e = build::unary(b, &Exp, v[0])?;
        let sum = build::reduce_keep(b, e, "sum", &[1])?;
        let y = build::binary(b, &Div, e, sum)?;
        Ok(vec![y, sum])
    });
    add(
        "one value as two outputs, and an input as an output",
        &["5x3xf32"],
        |b, v| {
            let y = b.one(&Relu, &[v[0]], &[])?;
            Ok(vec![y, v[0], y])
        },
    );
    add(
        "a constant as an output",
        &["const 4xf32", "4xf32"],
        |b, v| {
            let y = b.one(&Add, &[v[0], v[1]], &[])?;
            Ok(vec![v[0], y])
        },
    );
    for elem in ["f32", "f64", "f16"] {
        let zeros = [
            format!("5x{elem} = -0.0 0 -0.0 0 -0.0"),
            format!("5x{elem} = 0 -0.0 -0.0 0 0"),
        ];
        // Infinities tell the sign of a zero.
        add(
            &format!("one over the extremes of two zeros, {elem}"),
            &[&zeros[0], &zeros[1]],
            |b, v| {
                let one = build::splat_like(b, v[0], 1.0)?;
                let most = b.one(&Max, v, &[])?;
                let least = b.one(&Min, v, &[])?;
                let most = b.one(&Div, &[one, most], &[])?;
                Ok(vec![most, b.one(&Div, &[one, least], &[])?])
            },
        );
    }
    add("mixed elements", &["5x7xi32", "5x7xf32"], |b, v| {
        let x = build::cast(b, v[0], Elem::F32)?;
        let y = b.one(&Mul, &[x, v[1]], &[])?;
        let z = build::cast(b, y, Elem::F64)?;
        let z = build::with_scalar(b, &Add, z, 0.25)?;
        Ok(vec![build::cast(b, z, Elem::F32)?, y])
    });
    add(
        "embedding and projection",
        &["below20 2x5xi64", "const 20x16xf32", "const 16x7xf32"],
        |b, v| {
            let x = build::gather(b, v[1], v[0], 0)?;
            Ok(vec![b.one(&MatMul, &[x, v[2]], &[])?])
        },
    );
    add(
        "stacked lstm with transposes",
        &[
            "2x6x5xf32",
            "const 1x32x5xf32",
            "const 1x32x8xf32",
            "const 1x64xf32",
            "const 1x32x8xf32",
            "const 1x32x8xf32",
            "const 1x64xf32",
            "const 1x2x8xf32",
        ],
        |b, v| {
            let x = build::transpose(b, v[0], &[1, 0, 2])?;
            let x = lstm(b, &[x, v[1], v[2], v[3], v[7], v[7]])?;
            let x = lstm(b, &[x, v[4], v[5], v[6], v[7], v[7]])?;
            Ok(vec![build::transpose(b, x, &[1, 0, 2])?])
        },
    );
    out
}

/// A convolution of stride 1 over two axes.
fn conv(b: &mut Builder<'_>, v: &[Value], groups: i64, pad: i64) -> OpResult<Value> {
    one(
        b,
        &Conv,
        v,
        &[
            ("stride", [1, 1].into()),
            ("dilation", [1, 1].into()),
            ("pad", [pad; 4].into()),
            ("groups", Attr::Int(groups)),
        ],
    )
}

fn clip6(b: &mut Builder<'_>, x: Value) -> OpResult<Value> {
    one(b, &Clip, &[x], &[("min", 0.0.into()), ("max", 6.0.into())])
}

/// All outputs of a forward LSTM, without the axis of directions.
fn lstm(b: &mut Builder<'_>, v: &[Value]) -> OpResult<Value> {
    let y = one(b, &Lstm, v, &[])?;
    build::squeeze(b, y, &[1])
}

/// The first result of an op.
fn one(
    b: &mut Builder<'_>,
    def: &'static dyn OpDef,
    v: &[Value],
    attrs: &[(&str, Attr)],
) -> OpResult<Value> {
    let op = b.create(def, v, attrs)?;
    Ok(b.module.results(op)[0])
}
