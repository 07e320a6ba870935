//! Uses of the `adapt` dialect.

use lepid_ir::dialects::adapt::{Decide, Gate, Join};

use crate::case::Row;
use crate::rows;

pub(super) fn adapt() -> Vec<Row> {
    rows! {
        Decide ["5x7xf32", "f32 = 0.5"] {policy: "top1"};
        Decide ["40x3xf32", "const f32 = 0.6"] {policy: "top1"};
        Decide ["4x3xf16", "f32 = 0.6"] {policy: "top1"};
        Decide ["5x7xf32", "f32 = 0.2"] {policy: "margin"};
        Decide ["5x7xf32", "f32 = 0.4"] {policy: "top1", temperature: 1.7};
        Decide ["5x7xf32", "f32 = 0.2"] {policy: "gbvsb", first: 2, last: 5};
        Decide ["5x7xf32", "f32 = 1.5"] {policy: "entropy"};
        Decide ["2x3xf32 = 100 -100 -100 1 2 3", "f32 = 0.5"] {policy: "entropy"};
        Decide ["5x7xf32", "f32 = 1"] {policy: "patience"};
        Decide ["5x2xf32", "f32 = 1", "5xi64 = 0 1 0 1 -1", "5xi64 = 0 0 1 2 0"] {policy: "patience"};
        Decide ["5x7xf32", "f32 = 0.3"] {policy: "ensemble"};
        Decide ["5x7xf32", "f32 = 0.3", "5x7xf32"] {policy: "ensemble", weight: 0.5};
        Decide ["3x4x5x6xf32", "f32 = 0.4", "f32 = 0.5"] {policy: "pixels"};
        Decide ["5x7xf32", "f32 = 0.3", "f32 = 2"] {policy: "decaying", horizon: 8.0};
        Decide ["5x7xf32", "f32 = 1", "f32 = 2", "f32 = 2.5"] {policy: "deadline"};
        Gate ["4xi1 = 1 0 1 0", "4xi32 = -1 -1 0 0", "4x3xf32", "4x3xf32", "4x2x2xf32"] {stage: 1, emits: 1};
        Gate ["1xi1 = 1", "1xi32 = -1", "1x3xf32", "1x3xf32", "1x2x2xf32"] {stage: 0, emits: 1};
        Gate ["3xi1 = 1 0 0", "3xi32 = -2 -2 -1", "3xf32", "3xf32", "3x5xf32", "3x5xf32", "3x2xf32"]
            {stage: 1, emits: 1, fallback: "most-confident"};
        Join ["4xi32 = -1 1 0 -1", "4x3xf32", "4x3xf32"] {stage: 2, emits: 1};
        Join ["4xi32 = -1 1 -2 -3", "4xf32", "4xf32", "4x3xf32", "4x3xf32"]
            {stage: 2, emits: 1, fallback: "most-confident"};
    }
}
