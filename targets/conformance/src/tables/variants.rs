//! Uses of the `nn` dialect that few models have: other ranks, layouts, attributes and elements.

use lepid_ir::core::{Attr, Dim};
use lepid_ir::dialects::nn::*;

use crate::case::Row;
use crate::rows;

const FLOATS: [&str; 3] = ["f64", "f16", "bf16"];

fn dims(extents: &[u64]) -> Attr {
    Attr::dims(extents.iter().map(|&n| Dim::Known(n)))
}

pub(super) fn conv() -> Vec<Row> {
    let mut out = Vec::new();
    for elem in FLOATS {
        let x = format!("1x4x6x7x{elem}");
        let (w, bias) = (format!("const 6x2x3x3x{elem}"), format!("const 6x{elem}"));
        let across = format!("const 4x3x3x2x{elem}");
        out.extend(rows! {
            Conv [x, w, bias] {stride: [2, 1], dilation: [1, 1], pad: [1, 1, 1, 0], groups: 2};
            ConvTranspose [x, across] {stride: [2, 3], dilation: [1, 1], pad: [1, 0, 0, 1], output_pad: [1, 0]};
        });
    }
    out.extend(rows! {
        Conv ["2x4x15xf32", "const 6x2x3xf32"] {stride: [2], dilation: [2], pad: [3, 1], groups: 2};
        Conv ["2x15x4xf32", "const 4x1x5xf32", "const 4xf32"] {stride: [1], dilation: [1], pad: [2, 2], groups: 4, layout: "nhwc"};
        Conv ["2x4x15xf32", "const 8x1x5xf32", "const 8xf32"] {stride: [3], dilation: [1], pad: [0, 2], groups: 4};
        Conv ["1x3x9xf32", "5x3x3xf32", "5xf32"] {stride: [1], dilation: [1], pad: [1, 1]};
        Conv ["1x4x5x6x7xf32", "const 4x1x3x3x3xf32", "const 4xf32"] {stride: [1, 2, 1], dilation: [1, 1, 2], pad: [1, 1, 2, 1, 1, 2], groups: 4};
        Conv ["1x4x5x6x7xf32", "const 6x2x1x2x3xf32"] {stride: [2, 1, 1], dilation: [1, 2, 1], pad: [0, 1, 0, 0, 0, 2], groups: 2};
        Conv ["1x5x6x7x3xf32", "const 4x3x2x3x1xf32", "const 4xf32"] {stride: [1, 1, 1], dilation: [1, 1, 1], pad: [1, 0, 0, 0, 1, 0], layout: "nhwc"};
        Conv ["1x2x3x4x3x4xf32", "const 3x2x2x2x2x1xf32"] {stride: [1, 1, 1, 1], dilation: [1, 1, 1, 1], pad: [0, 0, 1, 0, 1, 0, 0, 0]};
        Conv ["2x6x6x4xf32", "6x2x3x3xf32"] {stride: [1, 1], dilation: [1, 1], pad: [1, 1, 1, 1], groups: 2, layout: "nhwc"};
        Conv ["1x1x3000xf32", "const 2x1x1200xf32"] {stride: [300], dilation: [1], pad: [0, 0]};
        Conv ["1x1x3000xf64", "const 2x1x1200xf64", "const 2xf64"] {stride: [300], dilation: [1], pad: [100, 100]};
        Conv ["1x4x40x40xf64", "const 6x2x35x34xf64"] {stride: [2, 1], dilation: [1, 1], pad: [1, 0, 0, 0], groups: 2};
        Conv ["1x40x40x3xf64", "const 3x1x35x34xf64", "const 3xf64"] {stride: [1, 3], dilation: [1, 1], pad: [0, 0, 0, 1], groups: 3, layout: "nhwc"};
        ConvTranspose ["2x4x9xf32", "const 4x3x5xf32", "const 3xf32"] {stride: [2], dilation: [1], pad: [2, 1], output_pad: [1]};
        ConvTranspose ["2x9x4xf32", "const 4x3x3xf32"] {stride: [3], dilation: [2], pad: [0, 0], output_pad: [0], groups: 2, layout: "nhwc"};
        ConvTranspose ["1x4x3x4x5xf32", "const 4x2x2x3x1xf32", "const 2xf32"] {stride: [1, 2, 3], dilation: [1, 1, 1], pad: [0, 1, 0, 1, 0, 0], output_pad: [0, 1, 2]};
        ConvTranspose ["1x4x5x6xf32", "4x3x3x3xf32", "3xf32"] {stride: [2, 2], dilation: [1, 1], pad: [1, 1, 1, 1], output_pad: [0, 0]};
        ConvTranspose ["1x2x3x3xf32", "const 2x2x2x2xf32"] {stride: [1, 1], dilation: [1, 1], pad: [2, 2, 1, 1], output_pad: [0, 0]};
        ConvTranspose ["1x2x1x2xf32", "const 2x2x1x1xf32"] {stride: [1, 1], dilation: [1, 1], pad: [1, 0, 0, 0], output_pad: [0, 0]};
        ConvTranspose ["0x2x3x3xf32", "const 2x2x2x2xf32"] {stride: [1, 1], dilation: [1, 1], pad: [0, 0, 0, 0], output_pad: [0, 0]};
    });
    out
}

pub(super) fn pool() -> Vec<Row> {
    let mut out = Vec::new();
    for ceil in [false, true] {
        for layout in ["nchw", "nhwc"] {
            let line = if layout == "nchw" {
                "2x3x18xf32"
            } else {
                "2x18x3xf32"
            };
            let volume = if layout == "nchw" {
                "1x2x5x6x7xf32"
            } else {
                "1x5x6x7x2xf32"
            };
            out.extend(rows! {
                MaxPool [line] {kernel: [4], stride: [3], dilation: [2], pad: [1, 2], ceil: ceil, layout: layout};
                AvgPool [line] {kernel: [3], stride: [2], dilation: [1], pad: [0, 1], ceil: ceil, layout: layout};
                AvgPool [line] {kernel: [3], stride: [2], dilation: [2], pad: [1, 1], ceil: ceil, include_pad: true, layout: layout};
                MaxPool [volume] {kernel: [2, 3, 2], stride: [2, 2, 3], dilation: [1, 1, 2], pad: [0, 1, 0, 1, 1, 0], ceil: ceil, layout: layout};
                AvgPool [volume] {kernel: [2, 3, 2], stride: [2, 2, 3], dilation: [1, 1, 1], pad: [0, 1, 0, 1, 1, 0], ceil: ceil, layout: layout};
                AvgPool [volume] {kernel: [3, 2, 2], stride: [1, 2, 2], dilation: [2, 1, 1], pad: [1, 1, 1, 1, 0, 0], ceil: ceil, include_pad: true, layout: layout};
            });
        }
    }
    for elem in [
        "f64", "f16", "bf16", "i32", "i16", "i8", "i4", "u32", "u16", "u8", "u4",
    ] {
        out.extend(rows! {
            MaxPool [format!("1x2x7x6x{elem}")] {kernel: [3, 2], stride: [2, 2], dilation: [1, 1], pad: [1, 0, 1, 1]};
            MaxPool [format!("1x7x6x3x{elem}")] {kernel: [2, 2], stride: [1, 2], dilation: [1, 1], pad: [0, 0, 0, 0], layout: "nhwc"};
        });
    }
    for elem in FLOATS {
        out.extend(rows! {
            AvgPool [format!("1x2x7x6x{elem}")] {kernel: [3, 2], stride: [2, 2], dilation: [1, 1], pad: [1, 0, 1, 1], ceil: true};
            Mean [format!("2x3x4x5x{elem}")] {axes: [1, 3], keep: true};
        });
    }
    out.extend(rows! {
        MaxPool ["wide 1x1x6x7xf32"] {kernel: [2, 2], stride: [1, 1], dilation: [1, 1], pad: [1, 1, 0, 0]};
        MaxPool ["1x1x3x3xf32"] {kernel: [2, 2], stride: [2, 2], dilation: [1, 1], pad: [3, 3, 3, 3]};
        AvgPool ["1x1x3x3xf32"] {kernel: [2, 2], stride: [2, 2], dilation: [1, 1], pad: [3, 3, 3, 3]};
        MaxPool ["0x2x5x5xf32"] {kernel: [2, 2], stride: [1, 1], dilation: [1, 1], pad: [0, 0, 0, 0]};
        AvgPool ["2x0x5x5xf32"] {kernel: [2, 2], stride: [1, 1], dilation: [1, 1], pad: [0, 0, 0, 0]};
        Mean ["2x3x4xf32"] {axes: [0, 1, 2]};
        Mean ["2x1x4xf32"] {axes: [1], keep: true};
    });
    out
}

pub(super) fn norm() -> Vec<Row> {
    let mut out = Vec::new();
    for elem in FLOATS {
        let ty = |text: &str| format!("{text}x{elem}");
        out.extend(rows! {
            BatchNorm [ty("2x3x4"), ty("const 3"), ty("const 3"), ty("const 3"), ty("const pos 3")];
            GroupNorm [ty("2x6x4"), ty("6"), ty("6")] {groups: 2};
            InstanceNorm [ty("2x3x9"), ty("3"), ty("3")];
            LayerNorm [ty("2x3x4"), ty("3x4")] {axis: 1};
            LpNorm [ty("2x9")] {axis: 0, p: 1};
            Lrn [ty("2x5x3x2")] {size: 3, alpha: 0.3};
            Softmax [ty("2x9x3")] {axis: 1};
            LogSoftmax [ty("2x9x3")] {axis: 0};
        });
    }
    out.extend(rows! {
        BatchNorm ["3x4xf32", "3xf32", "3xf32", "3xf32", "pos 3xf32"] {axis: 0};
        BatchNorm ["2x3x4x5x2xf32", "const 3xf32", "const 3xf32", "const 3xf32", "const pos 3xf32"];
        BatchNorm ["5xf32", "5xf32", "5xf32", "5xf32", "pos 5xf32"] {axis: 0};
        GroupNorm ["3x6xf32", "6xf32", "6xf32"] {groups: 3};
        GroupNorm ["1x4x3x2x5xf32", "const 4xf32", "const 4xf32"] {groups: 4};
        GroupNorm ["2x4x0xf32", "4xf32", "4xf32"] {groups: 2};
        InstanceNorm ["2x3x4x2x5xf32", "3xf32", "3xf32"];
        InstanceNorm ["2x3xf32", "3xf32", "3xf32"];
        LayerNorm ["3x4xf32", "3x4xf32", "3x4xf32"] {axis: 0};
        LayerNorm ["0x4xf32", "4xf32", "4xf32"] {axis: 1};
        RmsNorm ["7xf32", "7xf32"] {axis: 0, epsilon: 1e-2};
        LpNorm ["7xf32"] {axis: 0};
        Lrn ["2x5xf32"] {size: 3};
        Lrn ["2x5x7xf32"] {size: 2, beta: 0.5};
        Lrn ["2x3x2x2x5xf32"] {size: 9, layout: "nhwc"};
        Softmax ["0x3xf32"] {axis: 1};
        Softmax ["7x1xf32"] {axis: 1};
        LogSoftmax ["5x7x3xf32"] {axis: 0};
    });
    out
}

pub(super) fn product() -> Vec<Row> {
    let mut out = Vec::new();
    for elem in ["i16", "i4", "u64", "u32", "u16", "u4"] {
        out.extend(rows! {
            MatMul [format!("2x3x4x{elem}"), format!("4x5x{elem}")];
        });
    }
    for elem in FLOATS {
        let ty = |text: &str| format!("{text}x{elem}");
        out.extend(rows! {
            Attention [ty("1x2x3x4"), ty("1x2x5x4"), ty("1x2x5x3"), ty("1x1x3x5")] {scale: 0.5};
            Attention [ty("1x2x4x4"), ty("1x2x4x4"), ty("1x2x4x4")] {causal: true};
            Linear [ty("2x3x4"), ty("const 4x5"), ty("const 5")];
            Rotary [ty("2x3x4x6"), ty("2x1x4x2"), ty("1x3x1x2")] {interleaved: true};
        });
    }
    out.extend(rows! {
        Attention ["2x3x4x5xf32", "2x3x6x5xf32", "2x3x6x2xf32", "2x1x1x6xf32"];
        Attention ["2x3x4x5xf32", "2x3x6x5xf32", "2x3x6x2xf32", "1x3x4x6xf32"] {causal: true, offset: 2};
        Attention ["0x3x4x5xf32", "0x3x6x5xf32", "0x3x6x2xf32"];
        Linear ["2x0xf32", "const 0x5xf32", "const 5xf32"];
        Rotary ["2x3x7xf32", "2x1x3xf32", "1x3x3xf32"];
        Rotary ["3x4xf32", "1x0xf32", "3x0xf32"];
        Rotary ["0x3x4xf32", "1x3x2xf32", "0x1x2xf32"];
        MatMul ["1x3x4xf32", "5x4x6xf32"];
        MatMul ["2x1x3x4xf32", "1x5x4x6xf32"];
        MatMul ["0x3x4xf32", "4x6xf32"];
        MatMul ["3x4xf32", "2x4x6xf32"];
    });
    out
}

pub(super) fn recurrent() -> Vec<Row> {
    let mut out = Vec::new();
    let lstm = |elem: &str, directions: usize| -> Vec<String> {
        let d = directions;
        ["5x3x2", "W8x2", "W8x2", "B16", "S3x2", "S3x2"]
            .iter()
            .map(|text| match text.split_at(1) {
                ("W" | "B", rest) => format!("const {d}x{rest}x{elem}"),
                ("S", rest) => format!("{d}x{rest}x{elem}"),
                _ => format!("{text}x{elem}"),
            })
            .collect()
    };
    let gru = |elem: &str, directions: usize| -> Vec<String> {
        let d = directions;
        let mut list = vec![format!("5x3x2x{elem}")];
        list.extend(["6x2", "6x2", "12"].map(|t| format!("const {d}x{t}x{elem}")));
        list.push(format!("{d}x3x2x{elem}"));
        list
    };
    let with = |mut list: Vec<String>, more: &[&str]| -> Vec<String> {
        list.extend(more.iter().map(|t| t.to_string()));
        list
    };
    let mut add = |def: &'static dyn lepid_ir::core::OpDef,
                   operands: Vec<String>,
                   attrs: &[(&'static str, Attr)]| {
        out.push(Row {
            def,
            operands,
            attrs: attrs.to_vec(),
        });
    };
    let lengths = "3xi32 = 5 1 3";
    for (direction, d) in [("forward", 1), ("reverse", 1), ("bidirectional", 2)] {
        let attr = ("direction", Attr::from(direction));
        let peephole = format!("const {d}x6xf32");
        for elem in FLOATS {
            add(&Lstm, lstm(elem, d), std::slice::from_ref(&attr));
            add(&Gru, gru(elem, d), std::slice::from_ref(&attr));
        }
        let optional = with(lstm("f32", d), &[&peephole, lengths]);
        add(&Lstm, optional, &[attr.clone(), ("clip", 0.6.into())]);
        let optional = with(lstm("f32", d), &[&peephole]);
        add(
            &Lstm,
            optional,
            &[attr.clone(), ("input_forget", true.into())],
        );
        add(
            &Lstm,
            with(lstm("f32", d), &[lengths]),
            std::slice::from_ref(&attr),
        );
        let reset = ("linear_before_reset", Attr::from(true));
        add(
            &Gru,
            with(gru("f32", d), &[lengths]),
            &[attr.clone(), reset],
        );
        add(&Gru, gru("f32", d), &[attr.clone(), ("clip", 0.4.into())]);
    }
    for name in [
        "affine",
        "elu",
        "hard_sigmoid",
        "leaky_relu",
        "relu",
        "scaled_tanh",
        "sigmoid",
        "softplus",
        "softsign",
        "tanh",
        "thresholded_relu",
    ] {
        let (three, two) = ([name; 3], [name; 2]);
        let alpha = |n: usize| ("alpha", Attr::from(&vec![0.3; n][..]));
        let beta = |n: usize| ("beta", Attr::from(&vec![0.2; n][..]));
        // What is not bounded would grow from step to step.
        let clip = ("clip", Attr::from(0.9));
        let names = ("activations", Attr::from(&three[..]));
        add(
            &Lstm,
            lstm("f32", 1),
            &[names, alpha(3), beta(3), clip.clone()],
        );
        let names = ("activations", Attr::from(&two[..]));
        add(&Gru, gru("f32", 1), &[names, alpha(2), beta(2), clip]);
    }
    let unknown: Vec<String> = gru("f32", 1)
        .iter()
        .map(|t| t.replace("const ", ""))
        .collect();
    add(&Gru, unknown, &[]);
    let unknown: Vec<String> = lstm("f32", 2)
        .iter()
        .map(|t| t.replace("const ", ""))
        .collect();
    add(&Lstm, unknown, &[("direction", "bidirectional".into())]);
    out
}

pub(super) fn resize() -> Vec<Row> {
    let mut out = Vec::new();
    for mode in ["nearest", "linear", "cubic"] {
        out.extend(rows! {
            Resize ["1x2x7xf32"] {sizes: dims(&[1, 2, 11]), mode: mode};
            Resize ["1x2x7xf32"] {sizes: dims(&[1, 2, 3]), mode: mode, coordinates: "align_corners"};
            Resize ["1x1x3x4x5xf32"] {sizes: dims(&[1, 1, 5, 2, 7]), mode: mode};
            Resize ["2x3xf32"] {sizes: dims(&[5, 4]), mode: mode, coordinates: "asymmetric"};
            Resize ["1x1x4x5xf32"] {sizes: dims(&[1, 1, 7, 9]), scales: &[1.0, 1.0, 1.8, 1.9][..], mode: mode, coordinates: "half_pixel_symmetric"};
            Resize ["1x1x4x5xf32"] {sizes: dims(&[1, 1, 2, 1]), mode: mode, coordinates: "pytorch_half_pixel"};
            Resize ["1x1x4x5xf32"] {sizes: dims(&[1, 1, 3, 6]), mode: mode, coordinates: "tf_crop_and_resize", roi: &[0.0, 0.0, 0.2, -0.5, 1.0, 1.0, 0.9, 1.3][..], extrapolation: 7.0};
            Resize ["1x1x4x5xf32"] {sizes: dims(&[1, 1, 9, 2]), mode: mode, exclude_outside: true};
            Resize ["1x4x5x3xf32"] {sizes: dims(&[1, 8, 10, 3]), mode: mode};
            Resize ["1x0x4xf32"] {sizes: dims(&[1, 0, 8]), mode: mode};
            Resize ["1x1x1x1xf32"] {sizes: dims(&[1, 1, 3, 2]), mode: mode};
        });
        for elem in FLOATS {
            out.extend(rows! {
                Resize [format!("1x1x4x5x{elem}")] {sizes: dims(&[1, 1, 7, 3]), mode: mode};
            });
        }
    }
    for elem in [
        "i64", "i32", "i16", "i8", "i4", "u64", "u32", "u16", "u8", "u4",
    ] {
        out.extend(rows! {
            Resize [format!("1x1x4x5x{elem}")] {sizes: dims(&[1, 1, 7, 3])};
            Resize [format!("1x1x4x5x{elem}")] {sizes: dims(&[1, 1, 3, 6]), coordinates: "tf_crop_and_resize", roi: &[0.0, 0.0, 0.2, -0.5, 1.0, 1.0, 0.9, 1.3][..], extrapolation: 3.0};
        });
    }
    out
}
