//! Uses of the `nn` dialect.

use lepid_ir::core::{Attr, Dim};
use lepid_ir::dialects::nn::*;

use crate::case::Row;
use crate::rows;

fn dims(extents: &[u64]) -> Attr {
    Attr::dims(extents.iter().map(|&n| Dim::Known(n)))
}

pub(super) fn activation() -> Vec<Row> {
    let mut out = Vec::new();
    for ty in [
        "3xf32",
        "17xf32",
        "1031xf32",
        "2x3x5xf32",
        "0x2xf32",
        "f32",
        "33xf64",
        "33xf16",
        "33xbf16",
    ] {
        out.extend(rows! {
            Celu [ty] {alpha: 2.0};
            Elu [ty] {alpha: 1.5};
            Gelu [ty];
            Gelu [ty] {approximate: "tanh"};
            HardSigmoid [ty] {alpha: 0.3, beta: 0.4};
            HardSwish [ty];
            LeakyRelu [ty] {alpha: 0.1};
            Mish [ty];
            Relu [ty];
            Selu [ty];
            Sigmoid [ty];
            Silu [ty];
            Softplus [ty];
            Softsign [ty];
            ThresholdedRelu [ty] {alpha: 0.25};
            Clip [ty] {min: -0.5, max: 0.75};
        });
    }
    out.extend(rows! {
        Clip ["40xi32"] {min: -3.0, max: 50.0};
        Clip ["40xu8"] {max: 50.0};
        Clip ["wide 40xf32"] {min: 0.0, max: 6.0};
        Elu ["wide 40xf32"];
        Gelu ["wide 40xf32"];
        Relu ["wide 40xf32"];
        Relu ["40xi8"];
        Sigmoid ["wide 40xf32"];
        Silu ["7xf32 = -100 -88 -20 0 20 88 1000"];
        Softplus ["7xf32 = -1000 -88 -20 0 20 88 1000"];
        Prelu ["2x5x3x4xf32", "1x5x1x1xf32"];
        Prelu ["2x5x3xf32", "const 1x5x1xf32"];
        Prelu ["3x7xf32", "1x7xf32"];
        Prelu ["2x3xf32", "2x3xf32"];
    });
    out
}

pub(super) fn conv() -> Vec<Row> {
    let mut out = Vec::new();
    // Weights are constants as in a model, and once an input.
    for (batch, channels, outputs) in [(1, 1, 1), (1, 3, 17), (2, 8, 16), (1, 5, 6), (1, 33, 40)] {
        for layout in ["nchw", "nhwc"] {
            let image = |h: usize, w: usize| match layout {
                "nchw" => format!("{batch}x{channels}x{h}x{w}xf32"),
                _ => format!("{batch}x{h}x{w}x{channels}xf32"),
            };
            let weight = |h: usize, w: usize| format!("const {outputs}x{channels}x{h}x{w}xf32");
            let bias = format!("const {outputs}xf32");
            out.extend(rows! {
                Conv [image(5, 7), weight(1, 1)] {stride: [1, 1], dilation: [1, 1], pad: [0, 0, 0, 0], layout: layout};
                Conv [image(6, 7), weight(1, 1), bias] {stride: [2, 2], dilation: [1, 1], pad: [0, 0, 0, 0], layout: layout};
                Conv [image(7, 9), weight(3, 3), bias] {stride: [1, 1], dilation: [1, 1], pad: [1, 1, 1, 1], layout: layout};
                Conv [image(8, 8), weight(3, 3), bias] {stride: [2, 2], dilation: [1, 1], pad: [0, 0, 1, 1], layout: layout};
                Conv [image(9, 9), weight(2, 3)] {stride: [1, 2], dilation: [2, 1], pad: [1, 0, 2, 1], layout: layout};
                Conv [image(9, 10), weight(5, 1), bias] {stride: [1, 1], dilation: [1, 1], pad: [2, 0, 2, 0], layout: layout};
            });
        }
    }
    for layout in ["nchw", "nhwc"] {
        let image = |c: usize, h: usize, w: usize| match layout {
            "nchw" => format!("2x{c}x{h}x{w}xf32"),
            _ => format!("2x{h}x{w}x{c}xf32"),
        };
        for c in [1, 4, 19, 32] {
            out.extend(rows! {
                Conv [image(c, 7, 9), format!("const {c}x1x3x3xf32"), format!("const {c}xf32")] {stride: [1, 1], dilation: [1, 1], pad: [1, 1, 1, 1], groups: c as i64, layout: layout};
                Conv [image(c, 8, 7), format!("const {c}x1x3x3xf32")] {stride: [2, 2], dilation: [1, 1], pad: [1, 0, 1, 1], groups: c as i64, layout: layout};
                Conv [image(c, 9, 9), format!("const {c}x1x5x5xf32")] {stride: [1, 1], dilation: [1, 1], pad: [2, 2, 2, 2], groups: c as i64, layout: layout};
            });
        }
        out.extend(rows! {
            Conv [image(6, 5, 5), "const 12x1x3x3xf32"] {stride: [1, 1], dilation: [1, 1], pad: [1, 1, 1, 1], groups: 6, layout: layout};
            Conv [image(6, 5, 5), "const 9x2x3x3xf32", "const 9xf32"] {stride: [1, 1], dilation: [1, 1], pad: [1, 1, 1, 1], groups: 3, layout: layout};
            Conv [image(12, 4, 4), "const 8x3x1x1xf32"] {stride: [1, 1], dilation: [1, 1], pad: [0, 0, 0, 0], groups: 4, layout: layout};
            Conv [image(3, 6, 6), "4x3x3x3xf32", "4xf32"] {stride: [1, 1], dilation: [1, 1], pad: [1, 1, 1, 1], layout: layout};
            ConvTranspose [image(4, 5, 6), "const 4x3x3x3xf32", "const 3xf32"] {stride: [2, 2], dilation: [1, 1], pad: [1, 1, 1, 1], output_pad: [1, 1], layout: layout};
            ConvTranspose [image(4, 5, 6), "const 4x2x2x3xf32"] {stride: [1, 2], dilation: [2, 1], pad: [0, 1, 1, 0], output_pad: [0, 1], groups: 2, layout: layout};
        });
    }
    // Windows of 3 x 3 at stride 1, which targets have special algorithms for: tiles hang over the edges of odd images.
    for (image, weight, pad) in [
        ("1x12x16x24", "32x24", [1, 1, 1, 1]),
        ("2x13x11x17", "35x17", [1, 1, 1, 1]),
        ("3x7x7x40", "24x40", [1, 1, 1, 1]),
        ("1x1x37x8", "48x8", [1, 1, 1, 1]),
        ("1x29x2x9", "16x9", [1, 0, 1, 1]),
        ("2x10x9x3", "20x3", [0, 0, 0, 0]),
        ("1x14x15x31", "65x31", [2, 0, 1, 2]),
        ("1x33x35x4", "3x4", [1, 2, 2, 1]),
    ] {
        let weight = format!("const {weight}x3x3xf32");
        let bias = format!(
            "const {}xf32",
            weight[6..].split('x').next().unwrap_or_default()
        );
        out.extend(rows! {
            Conv [format!("{image}xf32"), weight, bias] {stride: [1, 1], dilation: [1, 1], pad: pad, layout: "nhwc"};
        });
    }
    out.extend(rows! {
        Conv ["2x4x15xf32", "const 6x4x3xf32", "const 6xf32"] {stride: [2], dilation: [1], pad: [1, 1]};
        Conv ["1x15x4xf32", "const 6x4x3xf32"] {stride: [1], dilation: [2], pad: [2, 2], layout: "nhwc"};
        Conv ["1x2x4x5x6xf32", "const 3x2x2x3x3xf32", "const 3xf32"] {stride: [1, 1, 2], dilation: [1, 1, 1], pad: [0, 1, 1, 1, 1, 1]};
        Conv ["1x3x6x6xf64", "const 4x3x3x3xf64", "const 4xf64"] {stride: [1, 1], dilation: [1, 1], pad: [1, 1, 1, 1]};
        Conv ["1x3x6x6xf16", "const 4x3x3x3xf16"] {stride: [1, 1], dilation: [1, 1], pad: [1, 1, 1, 1]};
        Conv ["0x3x6x6xf32", "const 4x3x3x3xf32"] {stride: [1, 1], dilation: [1, 1], pad: [0, 0, 0, 0]};
        ConvTranspose ["1x3x7xf32", "const 3x2x4xf32"] {stride: [3], dilation: [1], pad: [1, 2], output_pad: [0]};
    });
    out
}

pub(super) fn pool() -> Vec<Row> {
    let mut out = Vec::new();
    for (layout, image) in [
        ("nchw", "2x5x9x10xf32"),
        ("nhwc", "2x9x10x5xf32"),
        ("nhwc", "1x9x10x19xf32"),
    ] {
        for ceil in [false, true] {
            out.extend(rows! {
                MaxPool [image] {kernel: [2, 2], stride: [2, 2], dilation: [1, 1], pad: [0, 0, 0, 0], ceil: ceil, layout: layout};
                MaxPool [image] {kernel: [3, 3], stride: [2, 2], dilation: [1, 1], pad: [1, 1, 1, 1], ceil: ceil, layout: layout};
                MaxPool [image] {kernel: [3, 2], stride: [1, 3], dilation: [2, 1], pad: [0, 1, 1, 0], ceil: ceil, layout: layout};
                AvgPool [image] {kernel: [3, 3], stride: [2, 2], dilation: [1, 1], pad: [1, 1, 1, 1], ceil: ceil, layout: layout};
                AvgPool [image] {kernel: [3, 3], stride: [1, 1], dilation: [1, 1], pad: [1, 1, 1, 1], ceil: ceil, include_pad: true, layout: layout};
                AvgPool [image] {kernel: [2, 3], stride: [2, 1], dilation: [1, 2], pad: [0, 0, 0, 1], ceil: ceil, layout: layout};
            });
        }
    }
    out.extend(rows! {
        MaxPool ["2x3x17xf32"] {kernel: [3], stride: [2], dilation: [1], pad: [1, 1]};
        MaxPool ["1x2x4x5x6xf32"] {kernel: [2, 2, 3], stride: [1, 2, 1], dilation: [1, 1, 1], pad: [0, 0, 1, 0, 1, 1]};
        MaxPool ["1x2x8x8xi8"] {kernel: [2, 2], stride: [2, 2], dilation: [1, 1], pad: [0, 0, 0, 0]};
        MaxPool ["1x2x8x8xf64"] {kernel: [3, 3], stride: [2, 2], dilation: [1, 1], pad: [1, 1, 1, 1]};
        MaxPool ["1x4x7x7xf16"] {kernel: [7, 7], stride: [1, 1], dilation: [1, 1], pad: [0, 0, 0, 0]};
        AvgPool ["1x4x7x7xf32"] {kernel: [7, 7], stride: [1, 1], dilation: [1, 1], pad: [0, 0, 0, 0]};
        AvgPool ["2x3x17xf64"] {kernel: [4], stride: [3], dilation: [1], pad: [2, 1]};
        Mean ["2x5x7x7xf32"] {axes: [2, 3]};
        Mean ["2x5x7x7xf32"] {axes: [2, 3], keep: true};
        Mean ["2x7x7x19xf32"] {axes: [1, 2]};
        Mean ["33xf32"] {axes: [0]};
        Mean ["3x4x5xf64"] {axes: [1]};
        Mean ["4x9xf16"] {axes: [1]};
        Mean ["2x3xf32"] {axes: [0i64; 0]};
    });
    out
}

pub(super) fn norm() -> Vec<Row> {
    let mut out = Vec::new();
    for (rows, width) in [(1, 1), (3, 17), (5, 64), (2, 1000)] {
        let x = format!("{rows}x{width}xf32");
        let w = format!("const {width}xf32");
        out.extend(rows! {
            Softmax [x] {axis: 1};
            Softmax [x] {axis: 0};
            LogSoftmax [x] {axis: 1};
            LayerNorm [x, w] {axis: 1};
            LayerNorm [x, w, w] {axis: 1, epsilon: 1e-3};
            RmsNorm [x, w] {axis: 1};
            LpNorm [x] {axis: 1};
            LpNorm [x] {axis: 1, p: 1};
        });
    }
    for elem in ["f64", "f16", "bf16"] {
        let x = format!("3x18x{elem}");
        let w = format!("18x{elem}");
        out.extend(rows! {
            Softmax [x] {axis: 1};
            LogSoftmax [x] {axis: 1};
            LayerNorm [x, w, w] {axis: 1};
            RmsNorm [x, w] {axis: 1};
        });
    }
    out.extend(rows! {
        BatchNorm ["2x5x4x3xf32", "const 5xf32", "const 5xf32", "const 5xf32", "const pos 5xf32"];
        BatchNorm ["2x5xf32", "const 5xf32", "const 5xf32", "const 5xf32", "const pos 5xf32"] {epsilon: 1e-2};
        BatchNorm ["2x4x5xf32", "5xf32", "5xf32", "5xf32", "pos 5xf32"] {axis: 2};
        BatchNorm ["2x5x4xf64", "5xf64", "5xf64", "5xf64", "pos 5xf64"];
        GroupNorm ["2x6x4x5xf32", "6xf32", "6xf32"] {groups: 3};
        GroupNorm ["2x8x9xf32", "const 8xf32", "const 8xf32"] {groups: 1, epsilon: 1e-3};
        InstanceNorm ["2x5x4x3xf32", "5xf32", "5xf32"];
        InstanceNorm ["1x3x40xf32", "const 3xf32", "const 3xf32"] {epsilon: 1e-2};
        LayerNorm ["2x3x4x5xf32", "4x5xf32", "4x5xf32"] {axis: 2};
        LpNorm ["3x4x5xf32"] {axis: 1};
        LpNorm ["2x3xf32 = 0 0 0 1 2 3"] {axis: 1};
        Lrn ["2x7x3x4xf32"] {size: 3, alpha: 0.5, beta: 0.6, bias: 2.0};
        Lrn ["2x7x3x4xf32"] {size: 4, alpha: 0.1};
        Lrn ["2x3x4x19xf32"] {size: 5, layout: "nhwc"};
        RmsNorm ["2x3x4xf32", "3x4xf32"] {axis: 1};
        Softmax ["2x3x4x5xf32"] {axis: 2};
        Softmax ["3x0xf32"] {axis: 1};
        Softmax ["6xf32 = 1000 -inf 999 -1000 0 1000"] {axis: 0};
        LogSoftmax ["4xf32 = 1000 0 -1000 999"] {axis: 0};
        LogSoftmax ["2x3x4xf32"] {axis: 1};
    });
    out
}

pub(super) fn product() -> Vec<Row> {
    let mut out = Vec::new();
    for (m, n, k) in [
        (1, 1, 1),
        (1, 100, 40),
        (2, 16, 7),
        (5, 33, 17),
        (6, 16, 64),
        (13, 50, 65),
        (70, 9, 130),
    ] {
        let (x, w) = (format!("{m}x{k}xf32"), format!("{k}x{n}xf32"));
        let bias = format!("const {n}xf32");
        out.extend(rows! {
            Linear [x, format!("const {w}"), bias];
            Linear [x, format!("const {w}")];
            Linear [format!("2x{x}"), format!("const {w}"), bias];
            Linear [x, w, format!("{n}xf32")];
            MatMul [x, w];
            MatMul [x, format!("const {w}")];
            MatMul [format!("const {x}"), w];
            MatMul [format!("3x{x}"), format!("3x{w}")];
            MatMul [format!("2x1x{x}"), format!("3x{w}")];
        });
    }
    for elem in ["f64", "f16", "bf16", "i32", "i64", "i8", "u8"] {
        let (x, y) = (format!("5x9x{elem}"), format!("9x7x{elem}"));
        out.extend(rows! { MatMul [x, y]; });
    }
    out.extend(rows! {
        Linear ["7xf32", "const 7x5xf32", "const 5xf32"];
        Linear ["3x9xf64", "const 9x4xf64", "const 4xf64"];
        Linear ["0x9xf32", "const 9x4xf32"];
        MatMul ["3x0xf32", "0x4xf32"];
        MatMul ["2x3x4x5xf32", "5x6xf32"];
        Attention ["2x3x5x8xf32", "2x3x5x8xf32", "2x3x5x8xf32"];
        Attention ["1x2x5x8xf32", "1x2x9x8xf32", "1x2x9x7xf32", "1x1x5x9xf32"];
        Attention ["1x2x1x16xf32", "1x2x33x16xf32", "1x2x33x16xf32"] {scale: 0.3};
        Attention ["1x2x7x8xf32", "1x2x7x8xf32", "1x2x7x8xf32"] {causal: true};
        Attention ["1x2x3x8xf32", "1x2x7x8xf32", "1x2x7x8xf32"] {causal: true, offset: 4};
        Attention ["1x1x4x3xf64", "1x1x4x3xf64", "1x1x4x3xf64"];
        AddTerms ["4x13xf32", "9xf32", "3x2x4x13xf32", "3x2x4x5xf32", "const below9 3x2x4x5xi64", "i64 = 2"];
        AddTerms ["1x8xf32", "2xf32", "1x3x1x8xf32", "1x3x1x1xf32", "const below2 1x3x1x1xi64", "i64 = 7"];
        Rotary ["2x3x5x16xf32", "1x1x5x8xf32", "1x1x5x8xf32"];
        Rotary ["2x3x5x16xf32", "2x1x5x8xf32", "2x1x5x8xf32"] {interleaved: true};
        Rotary ["1x4x7x13xf32", "1x1x7x3xf32", "1x1x7x3xf32"];
        Rotary ["1x4x7x13xf32", "1x1x7x3xf32", "1x1x7x3xf32"] {interleaved: true};
        Rotary ["1x1x64xf32", "1x1x32xf32", "1x1x32xf32"];
    });
    out
}

pub(super) fn recurrent() -> Vec<Row> {
    let mut out = Vec::new();
    for (steps, batch, input, hidden) in [(1, 1, 1, 1), (5, 2, 3, 4), (4, 3, 17, 33), (7, 1, 8, 16)]
    {
        for (direction, d) in [("forward", 1), ("reverse", 1), ("bidirectional", 2)] {
            let x = format!("{steps}x{batch}x{input}xf32");
            let state = format!("{d}x{batch}x{hidden}xf32");
            let weights = |gates: usize| {
                [
                    format!("const {d}x{}x{input}xf32", gates * hidden),
                    format!("const {d}x{}x{hidden}xf32", gates * hidden),
                    format!("const {d}x{}xf32", 2 * gates * hidden),
                ]
            };
            let [w, r, b] = weights(4);
            out.extend(rows! { Lstm [x, w, r, b, state, state] {direction: direction}; });
            let [w, r, b] = weights(3);
            out.extend(rows! {
                Gru [x, w, r, b, state] {direction: direction};
                Gru [x, w, r, b, state] {direction: direction, linear_before_reset: true};
            });
        }
    }
    out.extend(rows! {
        Lstm ["5x3x2xf32", "const 1x8x2xf32", "const 1x8x2xf32", "const 1x16xf32", "1x3x2xf32", "1x3x2xf32", "3xi32 = 5 2 3"];
        Lstm ["5x3x2xf32", "const 2x8x2xf32", "const 2x8x2xf32", "const 2x16xf32", "2x3x2xf32", "2x3x2xf32", "const 2x6xf32", "3xi32 = 5 2 3"] {direction: "bidirectional", clip: 0.8};
        Lstm ["3x2x2xf32", "const 1x8x2xf32", "const 1x8x2xf32", "const 1x16xf32", "1x2x2xf32", "1x2x2xf32"] {input_forget: true};
        Lstm ["3x2x2xf32", "const 1x8x2xf32", "const 1x8x2xf32", "const 1x16xf32", "1x2x2xf32", "1x2x2xf32"] {activations: &["hard_sigmoid", "softsign", "relu"][..]};
        Lstm ["3x2x2xf32", "1x8x2xf32", "1x8x2xf32", "1x16xf32", "1x2x2xf32", "1x2x2xf32"];
        Lstm ["3x2x2xf64", "const 1x8x2xf64", "const 1x8x2xf64", "const 1x16xf64", "1x2x2xf64", "1x2x2xf64"];
        Gru ["5x3x2xf32", "const 1x6x2xf32", "const 1x6x2xf32", "const 1x12xf32", "1x3x2xf32", "3xi32 = 5 2 3"] {direction: "reverse"};
        Gru ["3x2x2xf32", "const 1x6x2xf32", "const 1x6x2xf32", "const 1x12xf32", "1x2x2xf32"] {clip: 0.5};
    });
    out
}

pub(super) fn resize() -> Vec<Row> {
    let mut out = Vec::new();
    for coordinates in [
        "half_pixel",
        "asymmetric",
        "align_corners",
        "pytorch_half_pixel",
    ] {
        for mode in ["nearest", "linear", "cubic"] {
            out.extend(rows! {
                Resize ["1x2x4x5xf32"] {sizes: dims(&[1, 2, 8, 10]), mode: mode, coordinates: coordinates};
                Resize ["2x1x6x7xf32"] {sizes: dims(&[2, 1, 3, 11]), mode: mode, coordinates: coordinates};
            });
        }
    }
    for nearest in ["floor", "ceil", "round_prefer_floor", "round_prefer_ceil"] {
        out.extend(rows! {
            Resize ["1x1x4x5xf32"] {sizes: dims(&[1, 1, 7, 3]), nearest: nearest};
        });
    }
    out.extend(rows! {
        Resize ["1x1x4x5xu8"] {sizes: dims(&[1, 1, 8, 10])};
        Resize ["1x2x4xf64"] {sizes: dims(&[1, 2, 9]), mode: "linear"};
        Resize ["1x2x2x2xf32"] {sizes: dims(&[1, 2, 4, 4]), scales: &[1.0, 1.0, 2.0, 2.0][..], mode: "linear", coordinates: "asymmetric"};
        Resize ["1x1x3x4xf32"] {sizes: dims(&[1, 1, 6, 3]), mode: "cubic", exclude_outside: true, cubic: -0.5};
    });
    out
}
