//! Sample uses of the ops of the `tensor` dialect.

use lepid_ir::core::Elem;
use lepid_ir::dialects::tensor::*;

use crate::sample::{Sample, dims};
use crate::samples;

pub(crate) fn samples() -> Vec<Sample> {
    [
        unary(),
        binary(),
        shape(),
        folds(),
        contractions(),
        indexing(),
        sorting(),
        dynamic(),
    ]
    .concat()
}

fn unary() -> Vec<Sample> {
    samples! {
        Abs ["3xf32 = -1.5 0 2"] => "3xf32 = 1.5 0 2";
        Abs ["2xi8 = -128 -3"] => "2xi8 = -128 3";
        Acos ["2xf64 = 1 0"] => "2xf64 = 0 1.5707963267948966";
        Acosh ["2xf32 = 1 2"] => "2xf32 = 0 1.316957896924817";
        Asin ["2xf32 = 0.5 3"] => "2xf32 = 0.5235987755982989 NaN";
        Asinh ["1xf32 = 1"] => "1xf32 = 0.881373587019543";
        Atan ["1xf32 = 1"] => "1xf32 = 0.7853981633974483";
        Atanh ["1xf32 = 0.5"] => "1xf32 = 0.5493061443340549";
        BitNot ["2xu8 = 0 5"] => "2xu8 = 255 250";
        BitNot ["2xi4 = 0 -3"] => "2xi4 = -1 2";
        Ceil ["3xf32 = -1.5 0.2 2"] => "3xf32 = -1 1 2";
        Cos ["1xf32 = 1"] => "1xf32 = 0.5403023058681398";
        Cosh ["1xf32 = 1"] => "1xf32 = 1.5430806348152437";
        Erf ["4xf64 = 0 0.5 -1 30"] => "4xf64 = 0 0.5204998778130465 -0.8427007929497149 1";
        Exp ["2xf16 = 0 1"] => "2xf16 = 1 2.719";
        Exp ["?Nx2xf32"] => "?Nx2xf32";
        Floor ["3xbf16 = -1.5 0.25 2"] => "3xbf16 = -2 0 2";
        IsInf ["3xf32 = inf -inf 1"] => "3xi1 = 1 1 0";
        IsInf ["3xf32 = inf -inf NaN"] {positive: false} => "3xi1 = 0 1 0";
        IsNan ["2xf32 = NaN inf"] => "2xi1 = 1 0";
        Log ["3xf32 = 1 0 -1"] => "3xf32 = 0 -inf NaN";
        Neg ["2xu8 = 1 0"] => "2xu8 = 255 0";
        Neg ["2xf32 = 1 -2"] => "2xf32 = -1 2";
        Not ["2xi1 = 0 1"] => "2xi1 = 1 0";
        Round ["5xf32 = 0.5 1.5 2.5 -0.5 -1.7"] => "5xf32 = 0 2 2 0 -2";
        Rsqrt ["2xf32 = 4 0"] => "2xf32 = 0.5 inf";
        Sign ["4xf32 = -3 0 5 NaN"] => "4xf32 = -1 0 1 NaN";
        Sign ["2xi32 = -3 7"] => "2xi32 = -1 1";
        Sin ["1xf32 = 1"] => "1xf32 = 0.8414709848078965";
        Sinh ["1xf32 = 1"] => "1xf32 = 1.1752011936438014";
        Sqrt ["2xf32 = 9 -1"] => "2xf32 = 3 NaN";
        Tan ["1xf32 = 1"] => "1xf32 = 1.5574077246549023";
        Tanh ["1xf32 = 1"] => "1xf32 = 0.7615941559557649";
        Cast ["5xf32 = 1.9 -1.9 300 -inf NaN"] {to: Elem::I8} => "5xi8 = 1 -1 127 -128 0";
        Cast ["3xf32 = -5 300 2.5"] {to: Elem::U8} => "3xu8 = 0 255 2";
        Cast ["3xf32 = 0 0.1 NaN"] {to: Elem::Bool} => "3xi1 = 0 1 1";
        Cast ["3xi32 = 300 -1 5"] {to: Elem::U8} => "3xu8 = 44 255 5";
        Cast ["2xi1 = 0 1"] {to: Elem::F32} => "2xf32 = 0 1";
        Cast ["3xi64 = 9 -9 7"] {to: Elem::I4} => "3xi4 = -7 7 7";
        Cast ["4xi64 = 1 2 -3 7"] {to: Elem::I2} => "4xi2 = 1 -2 1 -1";
        Cast ["4xf32 = 1.5 2 -3 nan"] {to: Elem::I2} => "4xi2 = 1 1 -2 0";
        Cast ["4xi8 = 1 2 -3 7"] {to: Elem::U2} => "4xu2 = 1 2 1 3";
        Cast ["3xu2 = 0 2 3"] {to: Elem::F32} => "3xf32 = 0 2 3";
        Bitcast ["2xf32 = 1 -0.0"] {to: Elem::I32} => "2xi32 = 1065353216 -2147483648";
        Bitcast ["2xi4 = -1 7"] {to: Elem::U4} => "2xu4 = 15 7";
        Bitcast ["2xu2 = 3 1"] {to: Elem::I2} => "2xi2 = -1 1";
    }
}

fn binary() -> Vec<Sample> {
    samples! {
        Add ["2xf32 = 1 2", "2xf32 = 3 4"] => "2xf32 = 4 6";
        Add ["2xi8 = 127 -128", "2xi8 = 1 -1"] => "2xi8 = -128 127";
        Add ["3xi2 = 1 -2 -1", "3xi2 = 1 -1 1"] => "3xi2 = -2 1 0";
        Add ["2xu2 = 3 1", "2xu2 = 1 1"] => "2xu2 = 0 2";
        Add ["?Nx3xf32", "?Nx?xf32 = 1 2 3 4 5 6 7 8 9"] => "?Nx3xf32";
        And ["4xi1 = 0 0 1 1", "4xi1 = 0 1 0 1"] => "4xi1 = 0 0 0 1";
        And ["1xi8 = -2", "1xi8 = 7"] => "1xi8 = 6";
        Atan2 ["2xf32 = 1 -1", "2xf32 = 1 -1"] => "2xf32 = 0.7853981633974483 -2.356194490192345";
        Div ["3xi32 = 7 -7 5", "3xi32 = 2 2 0"] => "3xi32 = 3 -3 0";
        Div ["2xf32 = 1 -1", "2xf32 = 0 4"] => "2xf32 = inf -0.25";
        Max ["3xf32 = 1 NaN 0", "3xf32 = 2 1 NaN"] => "3xf32 = 2 NaN NaN";
        Max ["2xu64 = 18446744073709551615 1", "2xu64 = 3 3"] => "2xu64 = 18446744073709551615 3";
        Min ["2xf32 = 1 NaN", "2xf32 = 2 1"] => "2xf32 = 1 NaN";
        Mul ["2xi64 = 9223372036854775807 3", "2xi64 = 2 -3"] => "2xi64 = -2 -9";
        Mul ["2xf32 = 0.5 3", "2xf32 = 2 -3"] => "2xf32 = 1 -9";
        Or ["2xu8 = 5 8", "2xu8 = 2 1"] => "2xu8 = 7 9";
        Pow ["3xf32 = 2 4 -8", "3xf32 = 3 0.5 2"] => "3xf32 = 8 2 64";
        Pow ["4xi32 = 2 -1 3 0", "4xi32 = 10 -3 -1 0"] => "4xi32 = 1024 -1 0 1";
        Rem ["3xi32 = 7 -7 5", "3xi32 = 3 3 0"] => "3xi32 = 1 -1 0";
        Rem ["2xf32 = 5.5 -5.5", "2xf32 = 2 2"] => "2xf32 = 1.5 -1.5";
        Shl ["4xu8 = 3 3 3 3", "4xu8 = 0 7 8 200"] => "4xu8 = 3 128 0 0";
        Shr ["4xi8 = -8 -8 64 -1", "4xi8 = 1 100 6 -1"] => "4xi8 = -4 -1 1 -1";
        Sub ["1xu8 = 3", "1xu8 = 5"] => "1xu8 = 254";
        Xor ["2xi1 = 1 1", "2xi1 = 0 1"] => "2xi1 = 1 0";
        Compare ["3xf32 = 1 NaN 2", "3xf32 = 1 NaN 3"] {direction: "eq"} => "3xi1 = 1 0 0";
        Compare ["3xf32 = 1 NaN 2", "3xf32 = 1 NaN 3"] {direction: "ne"} => "3xi1 = 0 1 1";
        Compare ["2xu8 = 200 1", "2xu8 = 100 1"] {direction: "le"} => "2xi1 = 0 1";
        Compare ["2xi1 = 0 1", "2xi1 = 1 1"] {direction: "lt"} => "2xi1 = 1 0";
        Compare ["2xf32 = 0 1", "2xf32 = 1 1"] {direction: "ge"} => "2xi1 = 0 1";
        Compare ["2xf32 = 2 1", "2xf32 = 1 1"] {direction: "gt"} => "2xi1 = 1 0";
        Select ["2xi1 = 1 0", "2xf32 = 1 2", "2xf32 = 3 4"] => "2xf32 = 1 4";
        Select ["?Nxi1", "?xi64 = 1 2 3", "?Nxi64"] => "?Nxi64";
    }
}

fn shape() -> Vec<Sample> {
    samples! {
        Broadcast ["2xf32 = 1 2"] {shape: dims("3 2"), axes: [1]} => "3x2xf32 = 1 2 1 2 1 2";
        Broadcast ["2x1xi8 = 1 2"] {shape: dims("2 2 2"), axes: [0, 2]} => "2x2x2xi8 = 1 1 1 1 2 2 2 2";
        Broadcast ["f32 = 5"] {shape: dims("0 2"), axes: []} => "0x2xf32";
        Broadcast ["?Nx1xf32 = 1 2 3"] {shape: dims("?N 2"), axes: [0, 1]} => "?Nx2xf32 = 1 1 2 2 3 3";
        Concat ["1x2xf32 = 1 2", "2x2xf32 = 3 4 5 6"] {axis: 0} => "3x2xf32 = 1 2 3 4 5 6";
        Concat ["2x1xi16 = 1 2", "2x2xi16 = 3 4 5 6", "2x0xi16"] {axis: 1} => "2x3xi16 = 1 3 4 2 5 6";
        Concat ["?Nx2xf32", "?x1xf32 = 1 2 3"] {axis: 1} => "?Nx3xf32";
        Concat ["?Nxf32", "2xf32"] {axis: 0} => "?xf32";
        Iota [] {shape: dims("2 3"), axis: 1, to: Elem::I32} => "2x3xi32 = 0 1 2 0 1 2";
        Iota [] {shape: dims("2 3"), axis: 0, to: Elem::F32} => "2x3xf32 = 0 0 0 1 1 1";
        Pad ["2x2xf32 = 1 2 3 4", "f32 = 9"] {low: [0, 1], high: [1, 0]} => "3x3xf32 = 9 1 2 9 3 4 9 9 9";
        Pad ["?Nx1xf32", "f32"] {low: [0, 1], high: [0, 1]} => "?Nx3xf32";
        Pad ["0xf32", "f32 = 7"] {low: [1], high: [1]} => "2xf32 = 7 7";
        Reshape ["2x3xf32 = 1 2 3 4 5 6"] {shape: dims("3 2")} => "3x2xf32 = 1 2 3 4 5 6";
        Reshape ["2x6xf32"] {shape: dims("4 ?")} => "4x3xf32";
        Reshape ["?Nx6xf32"] {shape: dims("?N 2 ?")} => "?Nx2x3xf32";
        Reshape ["?Nx6xf32"] {shape: dims("? 2 3")} => "?Nx2x3xf32";
        Reshape ["?Nx4xf32"] {shape: dims("? 2")} => "?x2xf32";
        Reshape ["1x1xf32 = 3"] {shape: dims("")} => "f32 = 3";
        Reshape ["0x3xf32"] {shape: dims("3 0 5")} => "3x0x5xf32";
        Reverse ["2x2xf32 = 1 2 3 4"] {axes: [1]} => "2x2xf32 = 2 1 4 3";
        Reverse ["2x2xf32 = 1 2 3 4"] {axes: [1, 0]} => "2x2xf32 = 4 3 2 1";
        Slice ["3x4xi32 = 0 1 2 3 4 5 6 7 8 9 10 11"] {start: [1, 0], stop: [END, 4], step: [1, 2]} => "2x2xi32 = 4 6 8 10";
        Slice ["?Nx4xf32"] {start: [0, 1], stop: [END, 3], step: [1, 1]} => "?Nx2xf32";
        Slice ["?Nxf32 = 1 2 3"] {start: [1], stop: [END], step: [1]} => "?xf32";
        Slice ["4xf32"] {start: [9], stop: [END], step: [1]} => "0xf32";
        Slice ["2xf32 = 1 2"] {start: [1], stop: [2], step: [END]} => "1xf32 = 2";
        Transpose ["2x3xf32 = 1 2 3 4 5 6"] {perm: [1, 0]} => "3x2xf32 = 1 4 2 5 3 6";
        Transpose ["?Nx2x4xf16"] {perm: [2, 0, 1]} => "4x?Nx2xf16";
    }
}

fn folds() -> Vec<Sample> {
    samples! {
        Reduce ["2x2xf32 = 1 2 3 4"] {kind: "sum", axes: [0]} => "2xf32 = 4 6";
        Reduce ["2x2xf32 = 1 2 3 4"] {kind: "prod", axes: [1, 0]} => "f32 = 24";
        Reduce ["2x2xi8 = 100 100 3 4"] {kind: "sum", axes: [1]} => "2xi8 = -56 7";
        Reduce ["?Nx2x3xf32"] {kind: "max", axes: [1]} => "?Nx3xf32";
        Reduce ["2xf32 = NaN 3"] {kind: "min", axes: [0]} => "f32 = NaN";
        Reduce ["0x2xf32"] {kind: "max", axes: [0]} => "2xf32 = -inf -inf";
        Reduce ["0x2xu8"] {kind: "min", axes: [0]} => "2xu8 = 255 255";
        Reduce ["0xi64"] {kind: "prod", axes: [0]} => "i64 = 1";
        Reduce ["2x2xi1 = 0 1 0 0"] {kind: "any", axes: [1]} => "2xi1 = 1 0";
        Reduce ["2x2xi1 = 1 1 0 1"] {kind: "all", axes: [1]} => "2xi1 = 1 0";
        Reduce ["0xi1"] {kind: "all", axes: [0]} => "i1 = 1";
        ArgReduce ["2x3xf32 = 1 5 5 NaN 9 NaN"] {kind: "max", axis: 1} => "2xi64 = 1 0";
        ArgReduce ["2x3xf32 = 1 5 5 NaN 9 NaN"] {kind: "max", axis: 1, last: true} => "2xi64 = 2 2";
        ArgReduce ["3x1xi32 = 4 2 2"] {kind: "min", axis: 0} => "1xi64 = 1";
        Scan ["4xf32 = 1 2 3 4"] {kind: "sum", axis: 0} => "4xf32 = 1 3 6 10";
        Scan ["4xf32 = 1 2 3 4"] {kind: "sum", axis: 0, exclusive: true} => "4xf32 = 0 1 3 6";
        Scan ["4xi32 = 1 2 3 4"] {kind: "prod", axis: 0, reverse: true} => "4xi32 = 24 24 12 4";
        Scan ["2x2xf32 = 3 1 2 5"] {kind: "max", axis: 0} => "2x2xf32 = 3 1 3 5";
        Scan ["3xf32 = 3 1 2"] {kind: "min", axis: 0, exclusive: true, reverse: true} => "3xf32 = 1 2 inf";
        Window ["1x4xf32 = 1 2 3 4"] {kind: "sum", size: [1, 2], stride: [1, 1], dilation: [1, 1], low: [0, 1], high: [0, 0]} => "1x4xf32 = 1 3 5 7";
        Window ["5xf32 = 1 5 2 4 3"] {kind: "max", size: [2], stride: [2], dilation: [2], low: [0], high: [1]} => "2xf32 = 2 3";
        Window ["2x2xi8 = 1 2 3 4"] {kind: "min", size: [2, 2], stride: [1, 1], dilation: [1, 1], low: [1, 1], high: [1, 1]} => "3x3xi8 = 1 1 2 1 1 2 3 3 4";
        Window ["?Nx3xf32"] {kind: "max", size: [1, 3], stride: [1, 1], dilation: [1, 1], low: [0, 1], high: [0, 1]} => "?Nx3xf32";
        Window ["2xf32"] {kind: "max", size: [5], stride: [1], dilation: [1], low: [0], high: [0]} => "0xf32";
    }
}

fn contractions() -> Vec<Sample> {
    samples! {
        Contract ["2x2xf32 = 1 2 3 4", "2x2xf32 = 5 6 7 8"] {batch_x: [], batch_y: [], contract_x: [1], contract_y: [0]} => "2x2xf32 = 19 22 43 50";
        Contract ["2x2xf32 = 1 2 3 4", "2x2xf32 = 5 6 7 8"] {batch_x: [], batch_y: [], contract_x: [1], contract_y: [1]} => "2x2xf32 = 17 23 39 53";
        Contract ["2x2xf32 = 1 2 3 4", "2x2xf32 = 5 6 7 8"] {batch_x: [0], batch_y: [0], contract_x: [1], contract_y: [1]} => "2xf32 = 17 53";
        Contract ["2x3xi8", "3x2xi8"] {batch_x: [], batch_y: [], contract_x: [0, 1], contract_y: [1, 0]} => "i8";
        Contract ["1x2xi8 = 100 100", "2x1xu8 = 200 200"] {batch_x: [], batch_y: [], contract_x: [1], contract_y: [0], to: Elem::I32} => "1x1xi32 = 40000";
        Contract ["?Nx4x5xf32", "?Nx5x2xf32"] {batch_x: [0], batch_y: [0], contract_x: [2], contract_y: [1]} => "?Nx4x2xf32";
        Contract ["2xf32 = 1 2", "2xf32 = 3 4"] {batch_x: [], batch_y: [], contract_x: [], contract_y: []} => "2x2xf32 = 3 4 6 8";
        Contract ["2x0xf32", "0x2xf32"] {batch_x: [], batch_y: [], contract_x: [1], contract_y: [0]} => "2x2xf32 = 0 0 0 0";
        Fft ["4xf64 = 1 2 3 4", "4xf64 = 0 0 0 0"] {axis: 0} => "4xf64 = 10 -2 -2 -2", "4xf64 = 0 2 0 -2";
        Fft ["3xf64 = 6 -1.5 -1.5", "3xf64 = 0 0.8660254037844386 -0.8660254037844386"] {axis: 0, inverse: true} => "3xf64 = 1 2 3", "3xf64 = 0 0 0";
        Fft ["?Nx6xf32", "?Nx6xf32"] {axis: 1} => "?Nx6xf32", "?Nx6xf32";
        Fft ["2x1xf32 = 1 3", "2x1xf32 = 1 0"] {axis: 0} => "2x1xf32 = 4 -2", "2x1xf32 = 1 1";
    }
}

fn indexing() -> Vec<Sample> {
    samples! {
        Gather ["3x2xf32 = 1 2 3 4 5 6", "2xi64 = 2 0"] {axis: 0} => "2x2xf32 = 5 6 1 2";
        Gather ["2x3xi8 = 1 2 3 4 5 6", "i32 = 1"] {axis: 1} => "2xi8 = 2 5";
        Gather ["3xf32 = 1 2 3", "2x2xi64 = -5 0 2 99"] {axis: 0} => "2x2xf32 = 1 1 3 3";
        Gather ["?Nx2xf32", "?xi64 = 0 1 0"] {axis: 1} => "?Nx?xf32";
        GatherElements ["2x2xf32 = 1 2 3 4", "2x2xi64 = 0 0 1 0"] {axis: 1} => "2x2xf32 = 1 1 4 3";
        GatherElements ["3x3xf32 = 1 2 3 4 5 6 7 8 9", "2x3xi32 = 1 2 0 2 0 9"] {axis: 0} => "2x3xf32 = 4 8 3 7 2 9";
        GatherNd ["2x2xf32 = 1 2 3 4", "2x2xi64 = 0 0 1 1"] => "2xf32 = 1 4";
        GatherNd ["2x2xf32 = 1 2 3 4", "2x1xi64 = 1 0"] => "2x2xf32 = 3 4 1 2";
        GatherNd ["2x2x2xf32 = 0 1 2 3 4 5 6 7", "2x1xi64 = 1 0"] {batch: 1} => "2x2xf32 = 2 3 4 5";
        ScatterElements ["3xf32 = 1 2 3", "2xi64 = 2 0", "2xf32 = 9 8"] {axis: 0} => "3xf32 = 8 2 9";
        ScatterElements ["3xi8 = 100 2 3", "3xi64 = 0 0 7", "3xi8 = 20 20 5"] {axis: 0, kind: "add"} => "3xi8 = -116 2 3";
        ScatterElements ["2x2xf32 = 1 2 3 4", "1x2xi32 = 1 0", "1x2xf32 = 9 9"] {axis: 0, kind: "max"} => "2x2xf32 = 1 9 9 4";
        ScatterNd ["4xf32 = 1 2 3 4", "2x1xi64 = 1 3", "2xf32 = 10 20"] => "4xf32 = 1 10 3 20";
        ScatterNd ["2x2xf32 = 1 2 3 4", "2x1xi64 = 1 1", "2x2xf32 = 1 2 3 4"] {kind: "mul"} => "2x2xf32 = 1 2 9 32";
        ScatterNd ["2xi32 = 5 6", "2x1xi64 = -1 1", "2xi32 = 1 1"] {kind: "min"} => "2xi32 = 5 1";
    }
}

fn sorting() -> Vec<Sample> {
    samples! {
        NonZero ["2x3xf32 = 0 NaN -0.0 1 0 2"] => "2x?xi64 = 0 1 1 1 0 2";
        NonZero ["3xi1 = 1 0 1"] => "1x?xi64 = 0 2";
        NonZero ["2x0xi64"] => "2x?xi64 = ";
        NonZero ["u8 = 200"] => "0x?xi64 = ";
        NonZero ["?Nx2xi4 = 0 0 -8 0 0 7"] => "2x?xi64 = 1 2 0 1";
        Sort ["4xf32 = 3 NaN 1 3"] {axis: 0} => "4xf32 = 1 3 3 NaN", "4xi64 = 2 0 3 1";
        Sort ["4xf32 = 3 NaN 1 3"] {axis: 0, descending: true} => "4xf32 = NaN 3 3 1", "4xi64 = 1 0 3 2";
        Sort ["2x2xi32 = 2 1 1 2"] {axis: 0} => "2x2xi32 = 1 1 2 2", "2x2xi64 = 1 0 0 1";
        TopK ["2x3xf32 = 1 3 2 3 1 3"] {k: 2, axis: 1} => "2x2xf32 = 3 2 3 3", "2x2xi64 = 1 2 0 2";
        TopK ["3xu8 = 7 200 3"] {k: 1, axis: 0, largest: false} => "1xu8 = 3", "1xi64 = 2";
        TopK ["?Nx4xf32"] {k: 3, axis: 1} => "?Nx3xf32", "?Nx3xi64";
    }
}

fn dynamic() -> Vec<Sample> {
    samples! {
        DimOf ["?Nx4xf32"] {axis: 0} => "i64 = 3";
        DynReshape ["2x3xf32 = 1 2 3 4 5 6", "2xi64 = 3 -1"] => "?x?xf32";
        DynReshape ["2x3xf32 = 1 2 3 4 5 6", "const 2xi64 = 3 -1"] => "3x2xf32 = 1 2 3 4 5 6";
        DynReshape ["?Nx4xf32", "const 3xi64 = -1 2 2"] => "?Nx2x2xf32";
        DynReshape ["2x2xf32 = 1 2 3 4", "1xi64 = 4"] => "4xf32 = 1 2 3 4";
        DynBroadcast ["2x1xf32 = 1 2", "2xi64 = 1 2"] => "2x?xf32 = 1 1 2 2";
        DynBroadcast ["2xf32 = 1 2", "2xi64 = 2 2"] => "?x2xf32 = 1 2 1 2";
        DynBroadcast ["?Nx1xf32 = 1 2 3", "const 3xi64 = 2 1 2"] => "2x?Nx2xf32 = 1 1 2 2 3 3 1 1 2 2 3 3";
        DynSlice ["4xf32 = 1 2 3 4", "1xi64 = -1", "1xi64 = -99", "1xi64 = -2"] {axes: [0]} => "?xf32 = 4 2";
        DynSlice ["4xf32 = 1 2 3 4", "const 1xi64 = -2", "const 1xi64 = 99", "const 1xi64 = 1"] {axes: [0]} => "2xf32 = 3 4";
        DynSlice ["2x?Nxf32 = 1 2 3 4 5 6", "2xi64 = 1 0", "2xi64 = 3 2", "2xi64 = 1 1"] {axes: [1, 0]} => "?x?xf32 = 2 3 5 6";
        DynSlice ["?Nx2xf32 = 1 2 3 4 5 6", "const 1xi64 = 1", "const 1xi64 = 2", "const 1xi64 = 1"] {axes: [1]} => "?Nx1xf32 = 2 4 6";
        DynPad ["3xf32 = 1 2 3", "2xi64 = 2 -1", "f32 = 0"] => "?xf32 = 0 0 1 2";
        DynPad ["3xf32 = 1 2 3", "const 2xi64 = 4 1", "f32 = 0"] {mode: "reflect"} => "8xf32 = 1 2 3 2 1 2 3 2";
        DynPad ["3xf32 = 1 2 3", "const 2xi64 = 1 4", "f32 = 0"] {mode: "wrap"} => "8xf32 = 3 1 2 3 1 2 3 1";
        DynPad ["?Nx1xf32 = 1 2 3", "const 4xi64 = 0 1 0 1", "f32 = 0"] {mode: "edge"} => "?Nx3xf32 = 1 1 1 2 2 2 3 3 3";
        DynIota ["i64 = 1", "i64 = 10", "i64 = 4"] => "?xi64 = 1 5 9";
        DynIota ["const f32 = 1", "const f32 = 0", "const f32 = -0.5"] => "2xf32 = 1 0.5";
        DynIota ["const i32 = 0", "const i32 = 3", "const i32 = 1"] => "3xi32 = 0 1 2";
    }
}
