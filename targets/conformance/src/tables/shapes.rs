//! Movement of elements in the `tensor` dialect.

use lepid_ir::core::{Attr, Dim, Elem};
use lepid_ir::dialects::tensor::*;

use crate::case::Row;
use crate::rows;

fn dims(extents: &[u64]) -> Attr {
    Attr::dims(extents.iter().map(|&n| Dim::Known(n)))
}

pub(super) fn shape() -> Vec<Row> {
    let none: [i64; 0] = [];
    let mut out = Vec::new();
    for elem in Elem::ALL {
        let ty = |shape: &str| format!("{shape}x{elem}");
        out.extend(rows! {
            Broadcast [ty("3x1x5")] {shape: dims(&[2, 3, 4, 5]), axes: [1, 2, 3]};
            Concat [ty("2x3x4"), ty("2x1x4"), ty("2x5x4")] {axis: 1};
            Reshape [ty("6x4")] {shape: dims(&[3, 2, 4])};
            Reverse [ty("3x7")] {axes: [1]};
            Slice [ty("5x9")] {start: [1, 0], stop: [5, 9], step: [2, 3]};
            Transpose [ty("3x4x5")] {perm: [2, 0, 1]};
            Pad [ty("3x4"), elem.to_string()] {low: [1, 0], high: [0, 2]};
        });
    }
    for elem in Elem::ALL.into_iter().filter(|&e| e != Elem::Bool) {
        out.extend(rows! { Iota [] {shape: dims(&[3, 5]), axis: 1, to: elem}; });
    }
    out.extend(rows! {
        Broadcast ["f32"] {shape: dims(&[3, 7]), axes: none};
        Broadcast ["7xf32"] {shape: dims(&[33, 7]), axes: [1]};
        Broadcast ["33xf32"] {shape: dims(&[33, 7]), axes: [0]};
        Broadcast ["const 5xf32"] {shape: dims(&[2, 5, 3]), axes: [1]};
        Broadcast ["1x1xf32"] {shape: dims(&[4, 4]), axes: [0, 1]};
        Broadcast ["3xf32"] {shape: dims(&[0, 3]), axes: [1]};
        Concat ["17xf32"] {axis: 0};
        Concat ["3x0xf32", "3x2xf32"] {axis: 1};
        Concat ["1x2x3x3xf32", "1x5x3x3xf32"] {axis: 1};
        Concat ["4x3xf32", "const 2x3xf32"] {axis: 0};
        Iota [] {shape: dims(&[2, 3, 4]), axis: 0, to: Elem::I64};
        Iota [] {shape: dims(&[40]), axis: 0, to: Elem::F32};
        Pad ["2x3x4xf32", "f32 = 0"] {low: [0, 1, 2], high: [1, 0, 3]};
        Pad ["0x3xf32", "f32"] {low: [2, 0], high: [0, 0]};
        Reshape ["1x1xf32"] {shape: dims(&[])};
        Reshape ["f32"] {shape: dims(&[1, 1, 1])};
        Reshape ["0x3xf32"] {shape: dims(&[3, 0])};
        Reverse ["2x3x4xf32"] {axes: [0, 2]};
        Slice ["40xf32"] {start: [3], stop: [i64::MAX], step: [1]};
        Slice ["4x5x6xf32"] {start: [0, 2, 1], stop: [4, 4, 6], step: [3, 1, 2]};
        Slice ["4xf32"] {start: [2], stop: [2], step: [1]};
        Transpose ["33x17xf32"] {perm: [1, 0]};
        Transpose ["2x3x5x7xf32"] {perm: [0, 2, 3, 1]};
        Transpose ["2x3x5x7xf32"] {perm: [0, 3, 1, 2]};
        Transpose ["2x3x4x2xf32"] {perm: [3, 1, 2, 0]};
        Transpose ["0x3xf32"] {perm: [1, 0]};
        Transpose ["f32"] {perm: none};
    });
    out
}

pub(super) fn index() -> Vec<Row> {
    let mut out = Vec::new();
    for elem in Elem::ALL {
        out.extend(rows! {
            Gather [format!("7x5x{elem}"), "below7 4xi64"] {axis: 0};
            Gather [format!("7x5x{elem}"), "below5 2x3xi32"] {axis: 1};
            GatherElements [format!("7x5x{elem}"), "below7 3x5xi64"] {axis: 0};
            GatherNd [format!("7x5x{elem}"), "below5 4x2xi64"];
            ScatterElements [format!("7x5x{elem}"), "below7 3x5xi64", format!("3x5x{elem}")] {axis: 0};
            ScatterNd [format!("7x5x{elem}"), "below7 3x1xi32", format!("3x5x{elem}")];
        });
    }
    out.extend(rows! {
        Gather ["9xf32", "i64 = 4"] {axis: 0};
        Gather ["3x4xf32", "5xi64 = -9 0 2 3 99"] {axis: 1};
        Gather ["const 50x16xf32", "below50 2x7xi64"] {axis: 0};
        Gather ["2x6x3xf32", "const below6 4xi32"] {axis: 1};
        Gather ["2x6xf32", "0xi64"] {axis: 1};
        GatherElements ["4x6xf32", "below6 4x3xi32"] {axis: 1};
        GatherElements ["2x3x4xf32", "below3 2x5x4xi64"] {axis: 1};
        GatherElements ["4xf32", "3xi64 = -4 9 2"] {axis: 0};
        GatherNd ["4x5xf32", "below4 6x2xi64"];
        GatherNd ["4x5x3xf32", "below4 2x3x1xi32"];
        GatherNd ["3x4x5xf32", "below4 3x2x1xi64"] {batch: 1};
        GatherNd ["3x4xf32", "2x2xi64 = 9 -9 1 1"];
        GatherNd ["3x4xf32", "2x0xi64"];
        Gather ["400x300xf32", "below400 900xi64"] {axis: 0};
        GatherElements ["3x0x4xf32", "0x0x4xi64"] {axis: 1};
        GatherElements ["300x400xf32", "below300 700x400xi64"] {axis: 0};
        ScatterElements ["5x4xf32", "below5 3x4xi64", "3x4xf32"] {axis: 0};
        ScatterElements ["5xf32", "4xi64 = 1 1 -1 9", "4xf32"] {axis: 0};
        ScatterNd ["6x3xf32", "below6 4x1xi64", "4x3xf32"];
        ScatterNd ["4x4xf32", "3x2xi64 = 0 1 9 0 0 1", "3xf32"];
    });
    for kind in ["add", "mul", "max", "min"] {
        for elem in Elem::ALL.into_iter().filter(|&e| e != Elem::Bool) {
            out.extend(rows! {
                ScatterElements [format!("7x5x{elem}"), "below3 6x5xi64", format!("6x5x{elem}")] {axis: 0, kind: kind};
                ScatterNd [format!("3x5x{elem}"), "below3 8x1xi64", format!("8x5x{elem}")] {kind: kind};
            });
        }
    }
    for kind in ["set", "add", "mul", "max", "min"] {
        out.extend(rows! {
            ScatterElements ["5x4xf32", "below4 5x6xi64", "5x6xf32"] {axis: 1, kind: kind};
            ScatterElements ["9xi32", "below9 20xi32", "20xi32"] {axis: 0, kind: kind};
            ScatterNd ["4x3xf64", "below4 7x1xi32", "7x3xf64"] {kind: kind};
            ScatterNd ["4x3xi8", "below3 9x2xi64", "9xi8"] {kind: kind};
            ScatterNd ["i32", "3x0xi64", "3xi32"] {kind: kind};
            ScatterElements ["300x300xf32", "below300 200x300xi64", "200x300xf32"] {axis: 0, kind: kind};
            ScatterElements ["300x300xf32", "below300 200x250xi64", "200x250xf32"] {axis: 1, kind: kind};
            ScatterNd ["300x300xf32", "below300 900x1xi64", "900x300xf32"] {kind: kind};
        });
    }
    out
}

pub(super) fn sort() -> Vec<Row> {
    let mut out = Vec::new();
    for elem in Elem::ALL {
        out.extend(rows! {
            Sort [format!("below5 3x17x{elem}")] {axis: 1};
            Sort [format!("below5 17x3x{elem}")] {axis: 0, descending: true};
            TopK [format!("below9 3x17x{elem}")] {k: 4, axis: 1};
            TopK [format!("below9 17x3x{elem}")] {k: 5, axis: 0, largest: false};
        });
    }
    for elem in [
        "f32", "f64", "f16", "bf16", "i64", "i32", "i8", "u8", "i4", "i1",
    ] {
        out.extend(rows! {
            NonZero [format!("below2 33x{elem}")];
            NonZero [format!("below2 3x1x17x{elem}")];
        });
    }
    out.extend(rows! {
        NonZero ["wide 2x40xf32"];
        NonZero ["const below2 4x5xi64"];
        NonZero ["3x4xi1 = 0 0 0 0 0 0 0 0 0 0 0 0"];
        NonZero ["3x0xf32"];
        NonZero ["f32 = 2"];
        NonZero ["i1 = 0"];
        Sort ["wide 40xf32"] {axis: 0};
        Sort ["wide 40xf32"] {axis: 0, descending: true};
        Sort ["0xf32"] {axis: 0};
        Sort ["9xi1"] {axis: 0};
        Sort ["wide 90x900xf32"] {axis: 1};
        Sort ["wide 900x90xf64"] {axis: 0, descending: true};
        TopK ["wide 90x900xf32"] {k: 3, axis: 1, largest: false};
        TopK ["wide 90x900xf64"] {k: 800, axis: 1};
        TopK ["wide 2x40xf32"] {k: 7, axis: 1};
        TopK ["5xf32"] {k: 5, axis: 0};
        TopK ["1000xf32"] {k: 1, axis: 0};
        TopK ["5xf32"] {k: 0, axis: 0};
    });
    out
}

pub(super) fn dynamic() -> Vec<Row> {
    rows! {
        DimOf ["3x4xf32"] {axis: 1};
        DynReshape ["2x6xf32", "const 2xi64 = 3 -1"];
        DynReshape ["2x6xf32", "2xi64 = 3 -1"];
        DynReshape ["2x6xf32", "3xi64 = 4 3 1"];
        DynBroadcast ["2x1xf32", "const 3xi64 = 3 1 4"];
        DynBroadcast ["2x1xf32", "3xi64 = 3 1 4"];
        DynSlice ["7x5xf32", "const 1xi64 = -1", "const 1xi64 = -99", "const 1xi64 = -2"] {axes: [0]};
        DynSlice ["7x5xf32", "2xi64 = 1 -3", "2xi64 = 99 -1", "2xi64 = 2 1"] {axes: [0, 1]};
        DynPad ["3x4xf32", "const 4xi64 = 1 0 0 2", "f32 = 9"];
        DynPad ["3x4xf32", "4xi64 = 1 0 0 2", "f32 = 9"];
        DynPad ["3x4xf32", "const 4xi64 = 1 2 1 1", "f32"] {mode: "reflect"};
        DynPad ["3x4xf32", "const 4xi64 = 1 2 1 1", "f32"] {mode: "edge"};
        DynPad ["3x4xf32", "const 4xi64 = 1 2 1 1", "f32"] {mode: "wrap"};
        DynIota ["const i64 = 1", "const i64 = 20", "const i64 = 3"];
        DynIota ["i64 = 1", "i64 = 20", "i64 = 3"];
        DynIota ["f32 = 1", "f32 = -1", "f32 = -0.25"];
    }
}
