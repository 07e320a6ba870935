//! Sample uses of the ops of the `nn` dialect. Expected values are ONNX Runtime's where it has the
//! op; rows without values compare the decomposition with `eval` at open extents and odd windows.

use lepid_ir::dialects::nn::*;

use crate::sample::{Sample, dims};
use crate::samples;

pub(crate) fn samples() -> Vec<Sample> {
    [
        activations(),
        convolutions(),
        pools(),
        norms(),
        products(),
        recurrent(),
        resizes(),
    ]
    .concat()
}

fn activations() -> Vec<Sample> {
    samples! {
        Celu ["5xf32 = -3 -0.5 0 0.25 2"] {alpha: 2.0} => "5xf32 = -1.55374 -0.442398 0 0.25 2";
        Elu ["5xf32 = -3 -0.5 0 0.25 2"] {alpha: 1.5} => "5xf32 = -1.42532 -0.590204 0 0.25 2";
        Gelu ["5xf32 = -3 -0.5 0 0.25 2"] => "5xf32 = -0.00404969 -0.154269 0 0.149677 1.9545";
        Gelu ["5xf32 = -3 -0.5 0 0.25 2"] {approximate: "tanh"} => "5xf32 = -0.00363752 -0.154286 0 0.149675 1.9546";
        HardSigmoid ["5xf32 = -3 -0.5 0 0.25 2"] {alpha: 0.3, beta: 0.4} => "5xf32 = 0 0.25 0.4 0.475 1";
        HardSwish ["5xf32 = -3 -0.5 0 0.25 2"] => "5xf32 = 0 -0.208333 0 0.135417 1.66667";
        LeakyRelu ["5xf32 = -3 -0.5 0 0.25 2"] {alpha: 0.1} => "5xf32 = -0.3 -0.05 0 0.25 2";
        Mish ["5xf32 = -3 -0.5 0 0.25 2"] => "5xf32 = -0.145647 -0.220744 0 0.169572 1.94396";
        Relu ["5xf32 = -3 -0.5 0 0.25 2"] => "5xf32 = 0 0 0 0.25 2";
        Selu ["5xf32 = -3 -0.5 0 0.25 2"] => "5xf32 = -1.67057 -0.691758 0 0.262675 2.1014";
        Sigmoid ["5xf32 = -3 -0.5 0 0.25 2"] => "5xf32 = 0.0474259 0.377541 0.5 0.562176 0.880797";
        Softplus ["5xf32 = -3 -0.5 0 0.25 2"] => "5xf32 = 0.0485874 0.474077 0.693147 0.825939 2.12693";
        Softsign ["5xf32 = -3 -0.5 0 0.25 2"] => "5xf32 = -0.75 -0.333333 0 0.2 0.666667";
        ThresholdedRelu ["5xf32 = -3 -0.5 0 0.25 2"] {alpha: 0.25} => "5xf32 = 0 0 0 0 2";
        Silu ["5xf32 = -3 -0.5 0 0.25 2"] => "5xf32 = -0.142278 -0.18877 0 0.140544 1.76159";
        Prelu ["2x2x2xf32 = 0.5 1.6 1.1 -1.1 -0.8 1.5 -2 1.3", "1x2x1xf32 = 0.5 0.25"] => "2x2x2xf32 = 0.5 1.6 1.1 -0.275 -0.4 1.5 -0.5 1.3";
        Clip ["5xf32 = -3 -0.5 NaN 0.25 2"] {min: -1.0, max: 1.0} => "5xf32 = -1 -0.5 NaN 0.25 1";
        Clip ["4xi8 = -128 -3 2 127"] {min: -2.5, max: 1e9} => "4xi8 = -2 -2 2 127";
        Clip ["2xi64 = 9007199254740993 -7"] {max: 3e18} => "2xi64 = 9007199254740993 -7";
        Clip ["3xf32 = 0 1 2"] {min: 2.0, max: 1.0} => "3xf32 = 1 1 1";
        Relu ["3xi32 = -5 0 2147483647"] => "3xi32 = 0 0 2147483647";
        Relu ["?Nx?xbf16"] => "?Nx?xbf16";
        Gelu ["2x?xf64"] => "2x?xf64";
        Elu ["2xf32 = -inf 1000"] => "2xf32 = -1 1000";
        Celu ["2xf32 = -1 1"] {alpha: -2.0} => "2xf32 = -1.297442541 1";
        Sigmoid ["2xf32 = -1000 1000"] => "2xf32 = 0 1";
        Softplus ["2xf32 = -1000 1000"] => "2xf32 = 0 1000";
        Prelu ["?Nx4x5xf32", "1x4x1xf32"] => "?Nx4x5xf32";
        Prelu ["?x4xf32", "1x4xf32"] => "?x4xf32";
    }
}

fn convolutions() -> Vec<Sample> {
    samples! {
        Conv ["1x2x5xf32 = 1.2 -0.1 -0.8 -0.9 -1 -0.2 0 0.2 2 1.2", "1x2x3xf32 = 0.5 2 -1.1 -1.4 0.5 -1.8", "1xf32 = -1.9"] {stride: [2], dilation: [1], pad: [1, 0], groups: 1} => "1x1x2xf32 = 0.51 -6.06";
        Conv ["1x2x3x4xf32 = 0.1 -0.1 1.7 0.5 0.1 0 -1 -2 -1.2 0.8 -1.2 -0.5 -2 1.3 -1.4 -0.9 1.5 0 1.4 0.6 1 -1.6 0.2 0", "2x1x2x2xf32 = 1.5 -0.6 0.4 -1.8 -0.4 -0.7 -1.4 1.3"] {stride: [1, 2], dilation: [2, 1], pad: [1, 0, 1, 2], groups: 2} => "1x2x3x3xf32 = 0.04 3.2 0 -1.71 2.67 0 0.15 -0.3 0 -2.1 -1.18 0 -3.59 0.91 0 -0.6 -0.98 0";
        Conv ["1x2x3x3xf32 = -0.5 1.9 0.4 0.4 0.6 0.7 -1.4 -0.2 -1 -0.4 -1.6 1.9 -1.1 0.7 -0.8 1.5 0.6 -1.5", "2x2x1x1xf32 = 1.4 1.8 1.6 0.3", "2xf32 = -1.4 -1.2"] {stride: [2, 1], dilation: [1, 1], pad: [0, 0, 0, 0], groups: 1} => "1x2x2x3xf32 = -2.82 -1.62 2.58 -0.66 -0.6 -5.5 -2.12 1.36 0.00999999 -2.99 -1.34 -3.25";
        ConvTranspose ["1x2x3xf32 = 1.7 0.2 -1.3 1.5 0.6 0.3", "2x1x3xf32 = -0.5 -0.4 -1 -1.8 1.5 -0.1", "1xf32 = 0.2"] {stride: [2], dilation: [1], pad: [1, 1], output_pad: [1], groups: 1} => "1x1x6xf32 = 1.77 -2.83 1.02 0.05 1.17 1.47";
        ConvTranspose ["1x2x2x2xf32 = -0.7 1 -1.9 -0.5 -1.9 -1.5 1.9 0.6", "2x1x2x3xf32 = -0.3 0.1 1.5 -0.6 0.4 0.7 -0.6 0.1 1.1 1.6 -1.4 1.7"] {stride: [2, 1], dilation: [1, 2], pad: [0, 1, 1, 0], output_pad: [0, 0], groups: 2} => "1x2x3x5xf32 = -0.3 -0.07 0.1 -1.05 1.5 -0.6 -0.28 0.4 -0.49 0.7 0.15 -0.19 -0.05 -2.85 -0.75 0.9 -0.19 -0.15 -2.09 -1.65 -2.4 2.66 2.1 -3.23 -2.55 -0.36 0.19 0.06 2.09 0.66";
        Conv ["?Nx3x5x5xf32", "4x3x3x3xf32", "4xf32"] {stride: [1, 1], dilation: [1, 1], pad: [1, 1, 1, 1]} => "?Nx4x5x5xf32";
        Conv ["?Nx?Hx?Hx3xf32", "4x3x2x2xf32", "4xf32"] {stride: [1, 1], dilation: [1, 1], pad: [0, 0, 1, 1], layout: "nhwc"} => "?Nx?Hx?Hx4xf32";
        Conv ["2x5x4x6xf32", "3x2x2x3xf32"] {stride: [2, 1], dilation: [1, 2], pad: [1, 0, 0, 2], groups: 3, layout: "nhwc"} => "2x3x2x3xf32";
        Conv ["?Nx4x5xf32", "4x1x3xf32", "4xf32"] {stride: [2], dilation: [1], pad: [1, 1], groups: 4} => "?Nx4x3xf32";
        Conv ["?x4x6x5xf64", "6x2x2x2xf64", "6xf64"] {stride: [2, 2], dilation: [1, 1], pad: [0, 1, 0, 0], groups: 2} => "?x6x3x3xf64";
        Conv ["1x2x?x?xf32", "3x2x2x1xf32"] {stride: [2, 1], dilation: [2, 1], pad: [1, 0, 0, 1]} => "1x3x?x?xf32";
        Conv ["2x3x?x?xf32", "3x1x3x2xf32"] {stride: [1, 2], dilation: [1, 1], pad: [1, 0, 1, 0], groups: 3} => "2x3x?x?xf32";
        Conv ["1x2x3x4x3xf32", "2x2x2x2x2xf32"] {stride: [1, 2, 1], dilation: [1, 1, 2], pad: [0, 1, 0, 1, 0, 1]} => "1x2x3x2x2xf32";
        Conv ["0x2x4xf32", "3x2x2xf32"] {stride: [1], dilation: [1], pad: [0, 0]} => "0x3x3xf32";
        Conv ["1x1x3xf16 = 1 2 3", "1x1x2xf16 = 0.5 0.25"] {stride: [1], dilation: [1], pad: [0, 0]} => "1x1x2xf16 = 1 1.75";
        ConvTranspose ["?Nx3x2x4xf32", "3x2x3x2xf32", "2xf32"] {stride: [2, 3], dilation: [2, 1], pad: [1, 0, 2, 1], output_pad: [1, 0]} => "?Nx2x5x10xf32";
        ConvTranspose ["2x3x2x4xf32", "4x3x2x3xf32", "6xf32"] {stride: [1, 2], dilation: [1, 1], pad: [0, 3, 0, 1], output_pad: [0, 1], groups: 2, layout: "nhwc"} => "2x4x2x6xf32";
    }
}

fn pools() -> Vec<Sample> {
    samples! {
        MaxPool ["1x1x5xf32 = -2 1 1.2 -1.5 -0.3"] {kernel: [3], stride: [2], dilation: [1], pad: [1, 1], ceil: false} => "1x1x3xf32 = 1 1.2 -0.3";
        MaxPool ["1x1x4x5xf32 = 1.3 -1.9 0.5 1.2 0.1 0.9 -1.1 -1.2 -0.5 -1.3 -0.6 1.8 0.3 -0.6 -0.9 1.8 -0.2 1.9 0.1 0.1"] {kernel: [2, 2], stride: [2, 2], dilation: [1, 2], pad: [0, 1, 0, 1], ceil: true} => "1x1x2x3xf32 = -1.1 1.2 1.2 1.8 1.8 0.1";
        AvgPool ["1x1x6xf32 = 1.6 1 0.3 -0.3 1.5 -0.4"] {kernel: [3], stride: [2], dilation: [1], pad: [1, 0], ceil: true, include_pad: false} => "1x1x3xf32 = 1.3 0.333333 0.266667";
        AvgPool ["1x1x6xf32 = 1.7 -1.7 -0.3 0.1 1.8 -1"] {kernel: [3], stride: [2], dilation: [1], pad: [1, 0], ceil: true, include_pad: true} => "1x1x3xf32 = 0 -0.633333 0.3";
        AvgPool ["1x1x3x4xf32 = 1.2 0.7 0.9 0.5 1.9 -0.7 -0.4 -1.2 -1.8 -1.1 1.7 1.4"] {kernel: [2, 3], stride: [1, 2], dilation: [1, 1], pad: [1, 1, 0, 1], ceil: false, include_pad: true} => "1x1x3x2xf32 = 0.316667 0.35 0.516667 -0.0333334 -0.283333 -0.05";
        AvgPool ["1x1x3x4xf32 = -1.6 0.4 -0.1 0.4 0.6 -0.8 1.8 -0.1 0.5 0.5 -1.3 -1.8"] {kernel: [2, 3], stride: [1, 2], dilation: [1, 1], pad: [1, 1, 0, 1], ceil: false, include_pad: false} => "1x1x3x2xf32 = -0.6 0.233333 -0.35 0.266667 0.2 -0.283333";
        MaxPool ["?Nx5x6x2xf32"] {kernel: [3, 2], stride: [2, 2], dilation: [1, 1], pad: [1, 0, 1, 0], layout: "nhwc"} => "?Nx3x3x2xf32";
        MaxPool ["1x2x?x?xf32"] {kernel: [2, 2], stride: [2, 2], dilation: [1, 1], pad: [0, 0, 0, 0], ceil: true} => "1x2x?x?xf32";
        MaxPool ["1x1x4xi8 = -5 -100 -128 7"] {kernel: [2], stride: [1], dilation: [1], pad: [1, 0]} => "1x1x4xi8 = -5 -5 -100 7";
        MaxPool ["1x1x2xf32 = 1 2"] {kernel: [2], stride: [1], dilation: [1], pad: [0, 3]} => "1x1x4xf32 = 2 2 -inf -inf";
        AvgPool ["1x1x2xf32 = 1 2"] {kernel: [2], stride: [1], dilation: [1], pad: [0, 3]} => "1x1x4xf32 = 1.5 2 0 0";
        AvgPool ["?Nx2x?x?xf32"] {kernel: [2, 3], stride: [2, 2], dilation: [1, 1], pad: [0, 1, 1, 1]} => "?Nx2x?x?xf32";
        AvgPool ["?Nx2x?x?xf32"] {kernel: [2, 3], stride: [2, 2], dilation: [1, 1], pad: [0, 1, 1, 1], include_pad: true} => "?Nx2x?x?xf32";
        AvgPool ["?Nx7x5x2xf32"] {kernel: [2, 3], stride: [2, 2], dilation: [2, 1], pad: [1, 1, 0, 1], ceil: true, include_pad: true, layout: "nhwc"} => "?Nx4x3x2xf32";
        AvgPool ["?Nx2x?xf32"] {kernel: [3], stride: [2], dilation: [1], pad: [1, 1], ceil: true} => "?Nx2x?xf32";
        Mean ["2x2xf32 = 1 2 3 5"] {axes: [1]} => "2xf32 = 1.5 4";
        Mean ["2x2xf32 = 1 2 3 5"] {axes: [1, 0], keep: true} => "1x1xf32 = 2.75";
        Mean ["?Nx3x?Hx4xf32"] {axes: [2, 3]} => "?Nx3xf32";
        Mean ["?x3x?xf32"] {axes: [0], keep: true} => "1x3x?xf32";
        Mean ["2xf32 = 1 2"] {axes: [0i64; 0]} => "2xf32 = 1 2";
    }
}

fn norms() -> Vec<Sample> {
    samples! {
        BatchNorm ["1x2x2x2xf32 = -0.4 1.1 1.3 0.9 -1.5 1.7 1.2 1.5", "2xf32 = 0.1 1.7", "2xf32 = -1.8 -1.9", "2xf32 = -1.9 -1", "2xf32 = 1 1.2"] {epsilon: 1e-2} => "1x2x2x2xf32 = -1.65074 -1.50149 -1.48159 -1.52139 -2.67273 2.27273 1.5 1.96364";
        LayerNorm ["2x2x3xf32 = 0.3 -1.8 0.4 -1.3 0.7 -1.9 -0.8 1.8 0.2 1.2 0.6 0.4", "2x3xf32 = -1.2 0.3 -1.8 1.2 1.8 1.4", "2x3xf32 = -1.8 -0.6 -0.7 -1.5 0.5 1.2"] {axis: 1, epsilon: 1e-3} => "2x2x3xf32 = -2.79101 -0.930336 -2.35168 -2.27078 2.64718 -0.470029 0.218871 -0.144523 0.112472 -0.564426 0.573861 0.912762";
        InstanceNorm ["1x2x3xf32 = -0.7 1.5 1.2 -1.5 1.1 1.5", "2xf32 = -1.2 0.3", "2xf32 = 0.6 0.4"] {epsilon: 1e-3} => "1x2x3xf32 = 2.2827 -0.426038 -0.0566645 -0.020935 0.565367 0.655568";
        GroupNorm ["1x4x2xf32 = -1.6 0.6 0.5 1.3 1.2 -0.7 0.9 1.5", "4xf32 = 1.6 -1.4 -1.9 0.6", "4xf32 = -1.1 0.3 1.8 -0.5"] {groups: 2, epsilon: 1e-3} => "1x4x2xf32 = -3.75576 -0.509831 -0.0872983 -1.12009 0.738511 4.98447 -0.376503 0.0469169";
        RmsNorm ["2x3xf32 = -1 -0.2 0.6 -1.6 -0.5 -1.5", "3xf32 = 0.6 1.3 -0.5"] {axis: 1, epsilon: 1e-2} => "2x3xf32 = -0.869048 -0.376588 -0.434524 -0.737009 -0.499017 0.575788";
        Lrn ["1x5x2xf32 = -0.5 0.2 -1.1 -1 -0.7 -0.2 -1.7 1 0.3 -0.8"] {size: 4, alpha: 0.5, beta: 0.6, bias: 2.0} => "1x5x2xf32 = -0.307883 0.126879 -0.61931 -0.613105 -0.395933 -0.120242 -0.996973 0.621391 0.178648 -0.497788";
        Lrn ["1x5x2xf32 = -0.5 0.2 -1.1 -1 -0.7 -0.2 -1.7 1 0.3 -0.8"] {size: 3, alpha: 0.5, beta: 0.6, bias: 2.0} => "1x5x2xf32 = -0.307917 0.125532 -0.663039 -0.626507 -0.38026 -0.120088 -0.963042 0.609873 0.173263 -0.488756";
        LpNorm ["2x3xf32 = -1.7 1.1 -1.5 0 0 0"] {axis: 1, p: 1} => "2x3xf32 = -0.395349 0.255814 -0.348837 0 0 0";
        LpNorm ["2x3xf32 = -1.7 1.1 -1.5 0 0 0"] {axis: 1, p: 2} => "2x3xf32 = -0.674624 0.436522 -0.595257 0 0 0";
        Softmax ["2x3xf32 = 1.6 -0.9 -0.8 1.3 0.5 -1.3"] {axis: 1} => "2x3xf32 = 0.852658 0.0699904 0.0773514 0.656339 0.294912 0.0487487";
        Softmax ["2x3xf32 = 1.6 -0.9 -0.8 1.3 0.5 -1.3"] {axis: 0} => "2x3xf32 = 0.574443 0.197816 0.622459 0.425557 0.802184 0.377541";
        LogSoftmax ["2x3xf32 = 1.6 -0.9 -0.8 1.3 0.5 -1.3"] {axis: 1} => "2x3xf32 = -0.159397 -2.6594 -2.5594 -0.421078 -1.22108 -3.02108";
        BatchNorm ["?Nx?x3xf32", "3xf32", "3xf32", "3xf32", "3xf32 = 0.5 1 2"] {axis: 2} => "?Nx?x3xf32";
        LayerNorm ["?Nx?Sx4xf32", "4xf32"] {axis: 2} => "?Nx?Sx4xf32";
        LayerNorm ["2x?x3xf32", "?x3xf32", "?x3xf32"] {axis: 1} => "2x?x3xf32";
        RmsNorm ["?Nx?x4xf32", "4xf32"] {axis: 2} => "?Nx?x4xf32";
        InstanceNorm ["?Nx2x?x?xf32", "2xf32", "2xf32"] => "?Nx2x?x?xf32";
        InstanceNorm ["2x2xf32 = 1 2 3 4", "2xf32 = 1 2", "2xf32 = 5 6"] => "2x2xf32 = 5 6 5 6";
        GroupNorm ["?Nx6x4x5xf32", "6xf32", "6xf32"] {groups: 3} => "?Nx6x4x5xf32";
        GroupNorm ["?Nx6x?xf32", "6xf32", "6xf32"] {groups: 2} => "?Nx6x?xf32";
        Lrn ["?Nx4x3x5xf32"] {size: 3, layout: "nhwc"} => "?Nx4x3x5xf32";
        LpNorm ["?Nx4x?xf32"] {axis: 2} => "?Nx4x?xf32";
        Softmax ["?Nx?xf32"] {axis: 1} => "?Nx?xf32";
        Softmax ["2xf32 = 1000 -inf"] {axis: 0} => "2xf32 = 1 0";
        LogSoftmax ["2xf32 = 1000 0"] {axis: 0} => "2xf32 = 0 -1000";
        LogSoftmax ["?Nx4x?xf32"] {axis: 0} => "?Nx4x?xf32";
    }
}

fn products() -> Vec<Sample> {
    samples! {
        Linear ["2x3xf32 = -0.3 1.5 -0.5 0.8 -1.6 0.9", "3x2xf32 = 1.1 1.3 0.7 -0.5 -1.7 0.1", "2xf32 = 1 -1.2"] => "2x2xf32 = 2.57 -2.39 -0.77 0.73";
        MatMul ["2x1x2x2xf32 = -0.9 0.1 1 1.6 -1.5 -1.3 1.2 0.6", "3x2x1xf32 = 0.9 2 1.8 1.4 1.1 -0.4"] => "2x3x2x1xf32 = -0.61 4.1 -1.48 4.04 -1.03 0.46 -3.95 2.28 -4.52 3 -1.13 1.08";
        AddTerms ["1x2xf32 = 1 2", "3xf32 = 1 2 3", "2x1x1x2xf32 = 9 9 2 3", "2x1x1x2xf32 = 9 9 1 -1", "2x1x1x2xi64 = 0 0 2 0", "i64 = 1"] => "1x2xf32 = 5 8";
        Rotary ["2x4xf32 = 1 2 3 4 5 6 7 8", "1x2xf32 = 0 1", "1x2xf32 = 1 0"] => "2x4xf32 = -3 2 1 4 -7 6 5 8";
        Rotary ["1x3xf32 = 1 2 3", "1x1xf32 = 0.6", "1x1xf32 = 0.8"] {interleaved: true} => "1x3xf32 = -1 2 3";
        Rotary ["2x3xf32 = 1 2 3 4 5 6", "2x1xf32 = 0 1", "1x1xf32 = 1"] => "2x3xf32 = -2 1 3 -1 9 6";
        Rotary ["?Bx2x?Sx5xf32", "1x1x?Sx2xf32", "?Bx1x?Sx2xf32"] {interleaved: true} => "?Bx2x?Sx5xf32";
        Rotary ["?Nx?Sx?Fxf64", "1x?Sx1xf64", "?Nx1x1xf64"] => "?Nx?Sx?Fxf64";
        Attention ["1x1x2x2xf32 = 0.6 -1.3 1 1", "1x1x3x2xf32 = 0.9 -0.2 -0.5 -0.3 -1.9 1.4", "1x1x3x1xf32 = 0.2 -0.4 0.2", "1x1x1x3xf32 = 0.9 -0.5 1.3"] => "1x1x2x1xf32 = 0.128568 0.170285";
        Attention ["1x1x2x2xf32 = 0.6 -1.3 1 1", "1x1x3x2xf32 = 0.9 -0.2 -0.5 -0.3 -1.9 1.4", "1x1x3x1xf32 = 0.2 -0.4 0.2"] {scale: 0.5, causal: true} => "1x1x2x1xf32 = 0.2 0.00750722";
        Attention ["1x1x2x2xf32 = 0.6 -1.3 1 1", "1x1x3x2xf32 = 0.9 -0.2 -0.5 -0.3 -1.9 1.4", "1x1x3x1xf32 = 0.2 -0.4 0.2"] {causal: true, offset: 1} => "1x1x2x1xf32 = -0.026236 0.0829174";
        Linear ["?Nx?Sx3xf32", "3x4xf32", "4xf32"] => "?Nx?Sx4xf32";
        Linear ["3xf32 = 1 2 3", "3x1xf32 = 1 0.5 2"] => "1xf32 = 8";
        MatMul ["?Nx2x3xf32", "3x4xf32"] => "?Nx2x4xf32";
        MatMul ["2x3xf32", "?Nx3x4xf32"] => "?Nx2x4xf32";
        MatMul ["?Nx1x2x3xf32", "1x4x3x2xf32"] => "?Nx4x2x2xf32";
        MatMul ["?x2x3xf32", "?x3x2xf32"] => "?x2x2xf32";
        MatMul ["?x2x3xf32", "4x1x3x2xf32"] => "4x?x2x2xf32";
        MatMul ["1x2xi32 = 65536 3", "2x1xi32 = 65536 5"] => "1x1xi32 = 15";
        MatMul ["2x0xf32", "0x2xf32"] => "2x2xf32 = 0 0 0 0";
        Attention ["?Nx2x?Sx4xf32", "?Nx2x?Tx4xf32", "?Nx2x?Tx3xf32", "?Nx1x?Sx?Txf32"] => "?Nx2x?Sx3xf32";
        Attention ["?Nx2x?x4xf32", "?Nx2x?x4xf32", "?Nx2x?x3xf32"] {causal: true} => "?Nx2x?x3xf32";
        Attention ["1x2x3x?xf32", "1x2x4x?xf32", "1x2x4x3xf32"] {causal: true, offset: 1} => "1x2x3x3xf32";
    }
}

fn recurrent() -> Vec<Sample> {
    samples! {
        Lstm ["3x1x2xf32 = 1.7 -0.5 -1.4 1 2 -1.4", "1x4x2xf32 = 0.9 1.3 1.7 -1.5 -1.6 2 -1.5 -1.3", "1x4x1xf32 = 0.3 -0.2 1 -1.2", "1x8xf32 = 1.7 -1.1 1.1 -1.7 -0.1 -1.9 -0.7 -0.8", "1x1x1xf32 = 0.9", "1x1x1xf32 = -0.2"] => "3x1x1x1xf32 = -0.455214 -0.00103876 -0.630863", "1x1x1xf32 = -0.630863", "1x1x1xf32 = -0.834036";
        Lstm ["3x2x2xf32 = -1.8 2 1.6 1.7 -1 -0.4 -1.1 -1.5 -1.9 0 -1.5 -1.3", "1x4x2xf32 = 1.4 -0.1 -1.3 0.7 -0.9 0.1 -0.9 0.1", "1x4x1xf32 = 0.5 0.1 -0.4 1.2", "1x8xf32 = 1.5 -1.3 -1.5 -1.5 1.9 1.8 -1.1 1.9", "1x2x1xf32 = -1.2 0", "1x2x1xf32 = 0 1.7", "2xi32 = 2 3"] {direction: "reverse"} => "3x1x2x1xf32 = 0.518176 -0.0777642 -0.114699 0.550914 0 0.655537", "1x2x1xf32 = 0.518176 -0.0777642", "1x2x1xf32 = 0.584222 -0.188671";
        Lstm ["3x1x2xf32 = -1.8 -0.7 0.4 -1.7 -1.1 -0.1", "2x4x2xf32 = 1.5 1 1.3 1 0.8 1.4 0.7 0.9 -0.8 -1.3 1 -1.3 1.7 0.4 -0.7 1.7", "2x4x1xf32 = -1.4 0.1 -1.6 1.9 0.3 1.2 -0.9 1.2", "2x8xf32 = 0.8 0.6 1.8 -0.3 -0.3 0.8 1.3 -0.7 0.7 -1.2 0.2 1.1 -1.7 0.9 -1.9 1.8", "2x1x1xf32 = -0.1 -0.4", "2x1x1xf32 = 0.9 0.1", "2x3xf32 = 0.9 -1.7 0.3 0.2 1.7 -1.8", "1xi32 = 2"] {direction: "bidirectional", clip: 0.8} => "3x2x1x1xf32 = 0.121779 0.0994003 0.010679 -0.265614 0 0", "2x1x1xf32 = 0.010679 0.0994003", "2x1x1xf32 = 0.0194322 0.332337";
        Lstm ["3x1x2xf32 = -0.2 0.5 0.2 -1.7 0.4 -1.1", "1x4x2xf32 = -1.2 1.5 -1.2 -0.2 1 0.8 0.2 1.2", "1x4x1xf32 = -0.1 0.5 1.3 0.7", "1x8xf32 = 0.6 -0.4 0.2 -0.4 1 -0.5 -0.1 1", "1x1x1xf32 = 0", "1x1x1xf32 = -0.6", "1x3xf32 = 1.3 -0.5 1.4"] {input_forget: true} => "3x1x1x1xf32 = 0.140909 0.00796806 -0.0500401", "1x1x1xf32 = -0.0500401", "1x1x1xf32 = -0.196638";
        Lstm ["3x1x2xf32 = 1.1 -0.2 0.9 -1.9 -0.4 1.4", "1x4x2xf32 = 0.3 0.2 0.7 0.7 0.3 -0.3 -1.3 -0.8", "1x4x1xf32 = -0.8 -0.3 2 -0.6", "1x8xf32 = -0.2 -0.5 0.3 1.8 1.6 -0.5 -0.9 1.5", "1x1x1xf32 = 0", "1x1x1xf32 = 0.7"] {activations: &["hard_sigmoid", "softsign", "relu"][..]} => "3x1x1x1xf32 = 0.375746 0.158908 0.411654", "1x1x1xf32 = 0.411654", "1x1x1xf32 = 0.9563";
        Gru ["3x2x2xf32 = -1.7 1.5 -0.7 0 -1.2 -0.3 1.3 1.3 -0.1 1.1 -0.2 -0.5", "1x3x2xf32 = 0.2 -1.2 -0.7 0.8 1.1 -1.8", "1x3x1xf32 = 0.9 1.3 -0.2", "1x6xf32 = -1.8 0.7 -1 0.6 -0.5 0.5", "1x2x1xf32 = -1 -0.1"] => "3x1x2x1xf32 = -0.999894 -0.705426 -0.855024 -0.869174 -0.982049 0.00598218", "1x2x1xf32 = -0.982049 0.00598218";
        Gru ["3x2x2xf32 = 0.1 0.5 -1.2 1.8 -0.8 -0.8 -1 -1.7 -0.3 1.1 0.8 -1.2", "1x3x2xf32 = -1.5 -0.7 1.1 0 1.7 0.6", "1x3x1xf32 = 0.5 1.1 1", "1x6xf32 = -0.6 -1 -0.2 0 -1.4 -0.2", "1x2x1xf32 = 0.6 -1.5", "2xi32 = 2 3"] {direction: "reverse", linear_before_reset: true} => "3x1x2x1xf32 = 0.283912 -0.448495 0.305063 -0.0424901 0 0.0711174", "1x2x1xf32 = 0.283912 -0.448495";
        Gru ["3x1x2xf32 = -1.4 -1.3 -0.9 1.8 -1.9 -1.3", "2x3x2xf32 = -1.3 -0.1 -1.9 -0.2 -1.3 -0.9 1.2 -1.3 0.5 -0.4 -0.3 1.3", "2x3x1xf32 = -1.4 1.7 1.6 0.7 -1.8 0.7", "2x6xf32 = 0.4 1.1 -1.1 1.8 1.5 -1.5 -0.7 -1.9 1.3 1.7 2 0.4", "2x1x1xf32 = 0.7 0.7"] {direction: "bidirectional", clip: 0.9} => "3x2x1x1xf32 = 0.704711 0.650541 0.293968 0.704729 0.416042 0.676275", "2x1x1xf32 = 0.416042 0.650541";
        Lstm ["?Tx?Nx2xf32", "2x12x2xf32", "2x12x3xf32", "2x24xf32", "2x?Nx3xf32", "2x?Nx3xf32", "?Nxi64 = 2 1 0"] {direction: "bidirectional"} => "?Tx2x?Nx3xf32", "2x?Nx3xf32", "2x?Nx3xf32";
        Lstm ["?x?x2xf32", "1x8x2xf32", "1x8x2xf32", "1x16xf32", "1x?x2xf32", "1x?x2xf32"] {direction: "reverse"} => "?x1x?x2xf32", "1x?x2xf32", "1x?x2xf32";
        Lstm ["0x2x2xf32", "1x8x2xf32", "1x8x2xf32", "1x16xf32", "1x2x2xf32 = 1 2 3 4", "1x2x2xf32 = 5 6 7 8"] => "0x1x2x2xf32", "1x2x2xf32 = 1 2 3 4", "1x2x2xf32 = 5 6 7 8";
        Lstm ["2x2x2xf32", "1x8x2xf32", "1x8x2xf32", "1x16xf32", "1x2x2xf32", "1x2x2xf32"] {activations: &["scaled_tanh", "affine", "elu"][..], alpha: &[0.5, 0.7, 1.5][..], beta: &[1.5, 0.1, 0.0][..]} => "2x1x2x2xf32", "1x2x2xf32", "1x2x2xf32";
        Lstm ["2x2x2xf32", "1x8x2xf32", "1x8x2xf32", "1x16xf32", "1x2x2xf32", "1x2x2xf32"] {activations: &["softplus", "leaky_relu", "thresholded_relu"][..]} => "2x1x2x2xf32", "1x2x2xf32", "1x2x2xf32";
        Gru ["?Tx?Nx2xf32", "2x9x2xf32", "2x9x3xf32", "2x18xf32", "2x?Nx3xf32", "?Nxi32 = 2 1 0"] {direction: "bidirectional", linear_before_reset: true} => "?Tx2x?Nx3xf32", "2x?Nx3xf32";
        Gru ["?x2x2xf32", "1x6x2xf32", "1x6x2xf32", "1x12xf32", "1x2x2xf32"] => "?x1x2x2xf32", "1x2x2xf32";
    }
}

fn resizes() -> Vec<Sample> {
    samples! {
        Resize ["1x1x2x3xf32 = 0.3 1.8 0.4 -0.7 0.1 -1.9"] {sizes: dims("1 1 4 6"), scales: &[1.0, 1.0, 2.0, 2.0][..]} => "1x1x4x6xf32 = 0.3 0.3 1.8 1.8 0.4 0.4 0.3 0.3 1.8 1.8 0.4 0.4 -0.7 -0.7 0.1 0.1 -1.9 -1.9 -0.7 -0.7 0.1 0.1 -1.9 -1.9";
        Resize ["1x1x2x3xf32 = 0.3 1.8 0.4 -0.7 0.1 -1.9"] {sizes: dims("1 1 3 7"), coordinates: "asymmetric", nearest: "ceil"} => "1x1x3x7xf32 = 0.3 1.8 1.8 0.4 0.4 0.4 0.4 -0.7 0.1 0.1 -1.9 -1.9 -1.9 -1.9 -0.7 0.1 0.1 -1.9 -1.9 -1.9 -1.9";
        Resize ["1x1x2x3xf32 = 0.3 1.8 0.4 -0.7 0.1 -1.9"] {sizes: dims("1 1 3 2"), coordinates: "align_corners", nearest: "floor"} => "1x1x3x2xf32 = 0.3 0.4 0.3 0.4 -0.7 -1.9";
        Resize ["1x1x2x3xf32 = 0.3 1.8 0.4 -0.7 0.1 -1.9"] {sizes: dims("1 1 1 5"), coordinates: "pytorch_half_pixel", nearest: "round_prefer_ceil"} => "1x1x1x5xf32 = 0.3 0.3 1.8 0.4 0.4";
        Resize ["1x1x2x3xf32 = 0.3 1.8 0.4 -0.7 0.1 -1.9"] {sizes: dims("1 1 4 5"), mode: "linear"} => "1x1x4x5xf32 = 0.3 0.9 1.8 0.96 0.4 0.05 0.58 1.375 0.445 -0.175 -0.45 -0.06 0.525 -0.585 -1.325 -0.7 -0.38 0.1 -1.1 -1.9";
        Resize ["1x1x2x3xf32 = 0.3 1.8 0.4 -0.7 0.1 -1.9"] {sizes: dims("1 1 3 2"), mode: "linear", coordinates: "align_corners"} => "1x1x3x2xf32 = 0.3 0.4 -0.2 -0.75 -0.7 -1.9";
        Resize ["1x1x2x3xf32 = 0.3 1.8 0.4 -0.7 0.1 -1.9"] {sizes: dims("1 1 3 1"), scales: &[1.0, 1.0, 1.6, 0.6][..], mode: "linear", coordinates: "asymmetric"} => "1x1x3x1xf32 = 0.3 -0.325 -0.7";
        Resize ["1x1x2x3xf32 = 0.3 1.8 0.4 -0.7 0.1 -1.9"] {sizes: dims("1 1 3 2"), scales: &[1.0, 1.0, 1.6, 0.7][..], mode: "linear", coordinates: "half_pixel_symmetric"} => "1x1x3x2xf32 = 0.728571 0.8 0.128571 -0.264286 -0.471429 -1.32857";
        Resize ["1x1x3x4xf32 = 0.9 0.8 -0.3 1.4 1 -0.7 -1.7 -1.5 -1.3 -0.8 -0.2 1.7"] {sizes: dims("1 1 6 3"), scales: &[1.0, 1.0, 2.0, 0.8][..], mode: "cubic"} => "1x1x6x3xf32 = 0.908024 0.44308 0.963048 0.95873 -0.0898485 0.0871468 1.06813 -0.975135 -1.38893 0.352695 -1.28547 -1.27604 -0.783576 -0.845615 0.362061 -1.47397 -0.590166 1.3389";
        Resize ["1x1x3x4xf32 = 0.9 0.8 -0.3 1.4 1 -0.7 -1.7 -1.5 -1.3 -0.8 -0.2 1.7"] {sizes: dims("1 1 6 3"), scales: &[1.0, 1.0, 2.0, 0.8][..], mode: "cubic", exclude_outside: true, cubic: -0.5} => "1x1x6x3xf32 = 0.90171 0.471522 1.02026 0.940411 0.0380396 0.289962 1.02328 -0.880315 -1.25798 0.395849 -1.16376 -1.16945 -0.859459 -0.775062 0.543913 -1.45214 -0.591846 1.35237";
        Resize ["1x1x3x4xf32 = 0.9 0.8 -0.3 1.4 1 -0.7 -1.7 -1.5 -1.3 -0.8 -0.2 1.7"] {sizes: dims("1 1 3 3"), mode: "linear", coordinates: "tf_crop_and_resize", roi: &[0.0, 0.0, 0.4, 0.6, 1.0, 1.0, 1.2, 0.9][..], extrapolation: 9.0} => "1x1x3x3xf32 = -1.216 -1.295 -1.07 -0.792 -0.495 0.0540002 9 9 9";
        Resize ["?Nx2x3x4xf32"] {sizes: dims("?N 2 5 6"), mode: "linear"} => "?Nx2x5x6xf32";
        Resize ["?x2x3xf32"] {sizes: dims("? 2 5"), scales: &[1.0, 1.0, 2.0][..], mode: "cubic"} => "?x2x5xf32";
        Resize ["1x1x2xu8 = 3 200"] {sizes: dims("1 1 4")} => "1x1x4xu8 = 3 3 200 200";
        Resize ["2xf32 = inf 1"] {sizes: dims("3"), mode: "linear", coordinates: "align_corners"} => "3xf32 = inf inf 1";
    }
}
