//! Arithmetic of the `tensor` dialect.

use lepid_ir::core::{Elem, OpDef};
use lepid_ir::dialects::tensor::*;

use crate::case::Row;
use crate::rows;

/// Less than a vector, a vector and a tail, many vectors, several axes, nothing, a scalar.
const SHAPES: &[&str] = &["3x", "17x", "1031x", "3x5x7x", "0x4x", ""];
const FLOATS: &[&str] = &["f32", "f64", "f16", "bf16"];
const INTS: &[&str] = &[
    "i64", "i32", "i16", "i8", "i4", "i2", "u64", "u32", "u16", "u8", "u4", "u2",
];

/// An op on operands of one kind in every shape, and of every other element in one shape.
fn sweep(def: &'static dyn OpDef, kinds: &[&str], elems: &[&str], out: &mut Vec<Row>) {
    let mut row = |shape: &str, elem: &str| {
        out.push(Row {
            def,
            operands: kinds.iter().map(|k| format!("{k}{shape}{elem}")).collect(),
            attrs: Vec::new(),
        });
    };
    for shape in SHAPES {
        row(shape, elems[0]);
    }
    for elem in &elems[1..] {
        row("5x7x", elem);
    }
}

pub(super) fn unary() -> Vec<Row> {
    let mut out = Vec::new();
    let wide: &[&'static dyn OpDef] = &[
        &Abs, &Ceil, &Exp, &Floor, &Neg, &Round, &Sign, &Sqrt, &Tanh, &Erf,
    ];
    for &def in wide {
        sweep(def, &["wide "], FLOATS, &mut out);
    }
    let plain: &[&'static dyn OpDef] = &[&Asinh, &Atan, &Cos, &Cosh, &Sin, &Sinh, &Tan];
    for &def in plain {
        sweep(def, &[""], FLOATS, &mut out);
    }
    let unit: &[&'static dyn OpDef] = &[&Acos, &Asin, &Atanh];
    for &def in unit {
        sweep(def, &["unit "], FLOATS, &mut out);
    }
    let positive: &[&'static dyn OpDef] = &[&Log, &Rsqrt, &Sqrt];
    for &def in positive {
        sweep(def, &["pos "], FLOATS, &mut out);
    }
    sweep(&Log, &["wide "], &["f32"], &mut out);
    let ints: &[&'static dyn OpDef] = &[&Abs, &Neg, &Sign];
    for &def in ints {
        sweep(def, &[""], INTS, &mut out);
    }
    sweep(&BitNot, &[""], INTS, &mut out);
    sweep(&Not, &[""], &["i1"], &mut out);
    sweep(&IsNan, &["wide "], FLOATS, &mut out);
    sweep(&IsInf, &["wide "], FLOATS, &mut out);
    out.extend(rows! {
        Acosh ["9xf32 = 1 1.5 2 3 10 100 1000 1.01 1e6"];
        Acosh ["3xf64 = 1 1.5 20"];
        IsInf ["wide 40xf32"] {negative: false};
        IsInf ["wide 40xf32"] {positive: false};
        Exp ["9xf32 = -inf -104 -88 -87.3 0 1e-9 88.7 89 inf"];
        Tanh ["9xf32 = -inf -20 -9 -1e-6 0 0.3 8.9 100 NaN"];
        Round ["9xf32 = -2.5 -1.5 -0.5 0.5 1.5 2.5 8388609 -0.4 3.7"];
    });
    for from in Elem::ALL {
        for to in Elem::ALL {
            out.extend(rows! { Cast [format!("33x{from}")] {to: to}; });
            if from.bits() == to.bits() {
                out.extend(rows! { Bitcast [format!("17x{from}")] {to: to}; });
            }
        }
    }
    out.extend(rows! {
        Cast ["11xf32 = -1e30 -300 -129 -1.9 -0.5 0 0.5 127.9 300 1e30 NaN"] {to: Elem::I8};
        Cast ["9xf32 = -1e30 -3 0 255.5 4e9 5e9 1e20 1e30 NaN"] {to: Elem::U32};
        Cast ["7xf64 = -1e30 -9.3e18 9.3e18 1e30 NaN 0.7 -0.7"] {to: Elem::I64};
    });
    out
}

pub(super) fn binary() -> Vec<Row> {
    let mut out = Vec::new();
    let arithmetic: &[&'static dyn OpDef] = &[&Add, &Sub, &Mul, &Max, &Min];
    for &def in arithmetic {
        sweep(def, &["wide ", ""], FLOATS, &mut out);
        sweep(def, &["", ""], INTS, &mut out);
    }
    sweep(&Div, &["", "pos "], FLOATS, &mut out);
    sweep(&Div, &["", ""], INTS, &mut out);
    sweep(&Rem, &["", "pos "], FLOATS, &mut out);
    sweep(&Rem, &["", "below5 "], INTS, &mut out);
    sweep(&Pow, &["pos ", ""], FLOATS, &mut out);
    sweep(&Pow, &["below5 ", "below4 "], INTS, &mut out);
    sweep(&Atan2, &["", ""], FLOATS, &mut out);
    out.extend(rows! {
        Div ["5xi32 = 7 -7 7 0 -2147483648", "5xi32 = 2 2 0 0 -1"];
        Div ["3xi64 = -9223372036854775808 5 9", "3xi64 = -1 0 -2"];
        Div ["5xf32 = 1 -1 0 inf 5", "5xf32 = 0 0 0 inf -inf"];
        Rem ["5xi32 = 7 -7 7 -7 5", "5xi32 = 3 3 -3 -3 0"];
        Rem ["5xf32 = 7.5 -7.5 7.5 1 inf", "5xf32 = 2 2 -2 0 2"];
        Pow ["4xu64 = 3 2 1 7", "4xu64 = 18446744073709551615 9223372036854775808 18446744073709551615 5"];
        Pow ["5xi64 = -1 2 -1 1 0", "5xi64 = -3 -1 -2 -9 -1"];
        Pow ["7xf32 = -2 -2 0 0 2 -1 4", "7xf32 = 3 0.5 0 -1 -3 inf 0.5"];
        Max ["4xf32 = NaN 1 -0.0 inf", "4xf32 = 1 NaN 0 1"];
        Min ["4xf32 = NaN 1 -0.0 inf", "4xf32 = 1 NaN 0 1"];
        Add ["4xi8 = 127 -128 100 1", "4xi8 = 1 -1 100 1"];
        Mul ["3xu8 = 200 16 3", "3xu8 = 2 16 5"];
        Atan2 ["6xf32 = 0 0 1 -1 inf -0.0", "6xf32 = -1 1 0 0 inf -1"];
        Add ["15xf32", "const 15xf32"];
        Mul ["const 4x9xf32", "4x9xf32"];
    });
    out
}

pub(super) fn logic() -> Vec<Row> {
    let mut out = Vec::new();
    let bits: &[&'static dyn OpDef] = &[&And, &Or, &Xor];
    for &def in bits {
        sweep(def, &["", ""], &["i1"], &mut out);
        sweep(def, &["", ""], INTS, &mut out);
    }
    for def in [&Shl as &'static dyn OpDef, &Shr] {
        sweep(def, &["", "below9 "], INTS, &mut out);
    }
    out.extend(rows! {
        Shl ["4xi8 = 1 1 -1 3", "4xi8 = 7 8 100 -1"];
        Shl ["5xu64 = 1 1 1 3 9", "5xu64 = 63 64 18446744073709551615 62 0"];
        Shl ["6xi4 = 1 -1 -8 7 3 5", "6xi4 = 3 1 1 -1 4 0"];
        Shr ["4xi32 = -8 8 -1 5", "4xi32 = 1 31 32 -1"];
        Shr ["6xi4 = -8 7 -1 -8 3 5", "6xi4 = 3 2 7 -1 4 0"];
        Shr ["4xu4 = 15 15 15 8", "4xu4 = 3 4 15 0"];
    });
    for direction in ["eq", "ne", "lt", "le", "gt", "ge"] {
        for elem in FLOATS.iter().chain(INTS).chain(&["i1"]) {
            let (x, y) = (format!("below3 4x9x{elem}"), format!("below3 4x9x{elem}"));
            out.extend(rows! { Compare [x, y] {direction: direction}; });
        }
        out.extend(rows! {
            Compare ["wide 40xf32", "40xf32"] {direction: direction};
            Compare ["f32", "f32"] {direction: direction};
        });
    }
    for elem in Elem::ALL {
        let (x, y) = (format!("5x7x{elem}"), format!("5x7x{elem}"));
        out.extend(rows! { Select ["5x7xi1", x, y]; });
    }
    out.extend(rows! {
        Select ["1031xi1", "wide 1031xf32", "1031xf32"];
        Select ["i1", "f32", "f32"];
    });
    out
}

pub(super) fn fold() -> Vec<Row> {
    let mut out = Vec::new();
    let axes: [(&str, Vec<i64>); 8] = [
        ("17x", vec![0]),
        ("5x33x", vec![1]),
        ("33x5x", vec![0]),
        ("3x4x5x", vec![1]),
        ("3x4x5x", vec![0, 2]),
        ("2x3x4x5x", vec![2, 3]),
        ("3x1x70x", vec![0, 1, 2]),
        ("4x7x", vec![]),
    ];
    for kind in ["sum", "prod", "max", "min"] {
        for (shape, axes) in &axes {
            out.extend(rows! {
                Reduce [format!("{shape}f32")] {kind: kind, axes: axes.clone()};
            });
        }
        for elem in FLOATS.iter().chain(INTS) {
            out.extend(rows! {
                Reduce [format!("4x9x{elem}")] {kind: kind, axes: vec![1]};
                Scan [format!("3x9x{elem}")] {kind: kind, axis: 1};
                Scan [format!("3x9x{elem}")] {kind: kind, axis: 0, exclusive: true};
            });
        }
        out.extend(rows! {
            Reduce ["0x3xf32"] {kind: kind, axes: vec![0]};
            Reduce ["0x3xi32"] {kind: kind, axes: vec![0]};
            Reduce ["1500xf32"] {kind: kind, axes: vec![0]};
            Scan ["19xf32"] {kind: kind, axis: 0};
            Scan ["3x8x5xf32"] {kind: kind, axis: 1, exclusive: true};
            Scan ["7x6xi32"] {kind: kind, axis: 0, reverse: true};
            Scan ["2x9xf64"] {kind: kind, axis: 1, exclusive: true, reverse: true};
        });
    }
    for kind in ["max", "min"] {
        out.extend(rows! {
            Reduce ["5xf32 = 1 NaN 3 -inf inf"] {kind: kind, axes: vec![0]};
            ArgReduce ["4x17xf32"] {kind: kind, axis: 1};
            ArgReduce ["4x17xf32"] {kind: kind, axis: 0, last: true};
            ArgReduce ["below3 2x9x3xi32"] {kind: kind, axis: 1};
            ArgReduce ["below3 2x9x3xu8"] {kind: kind, axis: 1, last: true};
            ArgReduce ["6xf64 = 1 NaN 5 NaN 5 2"] {kind: kind, axis: 0};
            ArgReduce ["6xf32 = 1 NaN 5 NaN 5 2"] {kind: kind, axis: 0, last: true};
            ArgReduce ["6xf32 = -0.0 0 -0.0 0 -inf inf"] {kind: kind, axis: 0};
            ArgReduce ["wide 200x200xf32"] {kind: kind, axis: 0};
            ArgReduce ["wide 200x400xf32"] {kind: kind, axis: 1};
        });
    }
    for elem in FLOATS.iter().chain(INTS) {
        out.extend(rows! {
            ArgReduce [format!("below4 3x9x{elem}")] {kind: "max", axis: 1, last: true};
            ArgReduce [format!("3x9x{elem}")] {kind: "min", axis: 0};
        });
    }
    for kind in ["any", "all"] {
        out.extend(rows! {
            Reduce ["5x9xi1"] {kind: kind, axes: vec![1]};
            Reduce ["3x2x2xi1"] {kind: kind, axes: vec![0, 2]};
            Reduce ["0x2xi1"] {kind: kind, axes: vec![0]};
        });
    }
    for kind in ["sum", "max", "min"] {
        out.extend(rows! {
            Window ["29xf32"] {kind: kind, size: [3], stride: [2], dilation: [1], low: [1], high: [1]};
            Window ["2x7x9xf32"] {kind: kind, size: [1, 3, 2], stride: [1, 2, 1], dilation: [1, 1, 2], low: [0, 1, 0], high: [0, 0, 2]};
            Window ["3x8xi32"] {kind: kind, size: [2, 3], stride: [1, 3], dilation: [1, 2], low: [0, 2], high: [1, 0]};
            Window ["2x1x2x6xf32"] {kind: kind, size: [3, 3, 1, 1], stride: [2, 1, 2, 2], dilation: [2, 1, 1, 1], low: [0, 1, 1, 0], high: [0, 1, 1, 0]};
            Window ["5xf32"] {kind: kind, size: [7], stride: [1], dilation: [1], low: [0], high: [0]};
        });
        for elem in FLOATS.iter().chain(INTS) {
            out.extend(rows! {
                Window [format!("3x8x{elem}")] {kind: kind, size: [1, 3], stride: [1, 2], dilation: [1, 1], low: [0, 1], high: [0, 1]};
            });
        }
    }
    out
}

pub(super) fn contract() -> Vec<Row> {
    let none: [i64; 0] = [];
    let mut out = Vec::new();
    for (m, n, k) in [
        (1, 1, 1),
        (1, 17, 5),
        (7, 33, 19),
        (6, 16, 8),
        (13, 1, 9),
        (2, 40, 300),
        (65, 50, 64),
    ] {
        let (x, y) = (format!("{m}x{k}xf32"), format!("{k}x{n}xf32"));
        out.extend(rows! {
            Contract [x, y] {batch_x: none, batch_y: none, contract_x: [1], contract_y: [0]};
            Contract [x, format!("const {y}")] {batch_x: none, batch_y: none, contract_x: [1], contract_y: [0]};
            Contract [format!("{k}x{m}xf32"), format!("{n}x{k}xf32")] {batch_x: none, batch_y: none, contract_x: [0], contract_y: [1]};
            Contract [format!("3x{m}x{k}xf32"), format!("3x{k}x{n}xf32")] {batch_x: [0], batch_y: [0], contract_x: [2], contract_y: [1]};
        });
    }
    for elem in FLOATS[1..].iter().chain(INTS) {
        let (x, y) = (format!("5x9x{elem}"), format!("9x7x{elem}"));
        out.extend(rows! {
            Contract [x, y] {batch_x: none, batch_y: none, contract_x: [1], contract_y: [0]};
        });
    }
    out.extend(rows! {
        Contract ["5x9xi8", "9x7xi8"] {batch_x: none, batch_y: none, contract_x: [1], contract_y: [0], to: Elem::I32};
        Contract ["5x9xu8", "9x7xi8"] {batch_x: none, batch_y: none, contract_x: [1], contract_y: [0], to: Elem::I32};
        Contract ["4x3x5xf32", "5x6x3xf32"] {batch_x: none, batch_y: none, contract_x: [1, 2], contract_y: [2, 0]};
        Contract ["2x3x4x5xf32", "3x2x5x6xf32"] {batch_x: [0, 1], batch_y: [1, 0], contract_x: [3], contract_y: [2]};
        Contract ["5xf32", "7xf32"] {batch_x: none, batch_y: none, contract_x: none, contract_y: none};
        Contract ["3x0xf32", "0x4xf32"] {batch_x: none, batch_y: none, contract_x: [1], contract_y: [0]};
        Fft ["16xf32", "16xf32"] {axis: 0};
        Fft ["3x15xf32", "3x15xf32"] {axis: 1, inverse: true};
        Fft ["12x2xf64", "12x2xf64"] {axis: 0};
        Fft ["3x37xf64", "3x37xf64"] {axis: 1};
        Fft ["2x331x2xf64", "2x331x2xf64"] {axis: 1, inverse: true};
        Fft ["40x1000xf32", "40x1000xf32"] {axis: 1};
        Fft ["7x1xf32", "7x1xf32"] {axis: 1};
        Fft ["3x0xf32", "3x0xf32"] {axis: 1};
        Fft ["3x14xf16", "3x14xf16"] {axis: 1};
        Fft ["3x14xbf16", "3x14xbf16"] {axis: 0, inverse: true};
    });
    out
}
