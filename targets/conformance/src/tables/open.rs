//! Values whose extents are known only while a function runs, and what follows on them.

use lepid_ir::core::{Builder, Dim, Elem, OpDef, OpResult, Type, Value};
use lepid_ir::dialects::core::Yield;
use lepid_ir::dialects::nn::{
    AvgPool, BatchNorm, Conv, Gelu, LayerNorm, Linear, MatMul, MaxPool, Relu, RmsNorm, Softmax,
};
use lepid_ir::dialects::tensor::{
    Abs, Add, ArgReduce, Cast, Compare, DynBroadcast, DynIota, DynPad, DynReshape, DynSlice, Exp,
    Fft, GatherElements, GatherNd, If, Mul, NonZero, Pad, Reverse, Scan, ScatterElements,
    ScatterNd, Sort, Sub, TopK, While, Window, build,
};
use lepid_ir::interp;

use super::control::region;
use crate::case::{Case, Row, Scale, build as case, try_build};

const OPEN: Dim = Dim::Unknown;

/// A function of `x` and the values after it, where only a run knows how many rows `x` has.
type Body = fn(&mut Builder<'_>, &[Value]) -> OpResult<Vec<Value>>;

pub(super) fn cases() -> Vec<Case> {
    let mut out = Vec::new();
    for &(name, rows, operands, body) in ROWS {
        // Some rows, none at all, and all of them.
        for (which, mask) in [("some", "below2"), ("no", "below1"), ("all", "pos")] {
            let shape = rows.rsplit(' ').next().unwrap_or(rows);
            let count = shape.split('x').next().unwrap_or("1");
            let elem = if which == "all" { "f32" } else { "i32" };
            let mask = format!("{mask} {count}x{elem}");
            let mut all = vec![mask.as_str(), rows];
            all.extend_from_slice(operands);
            out.push(case(
                &format!("{name}, {which} rows"),
                Scale::Output,
                &all,
                |b, v| {
                    let x = chosen(b, v[0], v[1])?;
                    let rest: Vec<Value> = [x].iter().chain(&v[2..]).copied().collect();
                    body(b, &rest)
                },
            ));
        }
    }
    out.extend(extents_from_values());
    out.extend(control());
    out
}

/// The uses of other tables with an open first axis: as far as the op takes it, and gives what it
/// gives of known extents.
pub(super) fn opened(rows: Vec<Row>) -> Vec<Case> {
    rows.iter().filter_map(opened_row).collect()
}

fn opened_row(row: &Row) -> Option<Case> {
    let first = row.operands.first().filter(|x| !x.starts_with("const "))?;
    let head = first.split(" = ").next()?;
    let (extent, _) = head.rsplit(' ').next()?.split_once('x')?;
    let ones = vec!["1"; extent.parse().ok()?].join(" ");
    let mask = match ones.is_empty() {
        true => format!("{extent}xi1"),
        false => format!("{extent}xi1 = {ones}"),
    };
    let mut operands = vec![mask.as_str()];
    operands.extend(row.operands.iter().map(String::as_str));
    let name = format!("open {}", row.case().name);
    let case = try_build(&name, Scale::Output, &operands, |b, v| {
        let mut operands = v[1..].to_vec();
        operands[0] = chosen(b, v[0], v[1])?;
        let op = b.create(row.def, &operands, &row.attrs)?;
        Ok(b.module.results(op).to_vec())
    });
    case.ok().filter(|case| {
        let main = case.module.funcs().next();
        main.is_some_and(|main| interp::run(&case.module, main, &case.inputs).is_ok())
    })
}

/// The rows of `x` where `mask` is not zero.
fn chosen(b: &mut Builder<'_>, mask: Value, x: Value) -> OpResult<Value> {
    let places = b.one(&NonZero, &[mask], &[])?;
    let places = build::reshape(b, places, &[OPEN])?;
    build::gather(b, x, places, 0)
}

/// A name, the whole of `x`, the other operands, and what is done with the rows of `x`.
const ROWS: &[(&str, &str, &[&str], Body)] = &[
    ("the rows", "9x3xf32", &[], |_, v| Ok(vec![v[0]])),
    ("twice the rows", "9xf32", &[], |_, v| Ok(vec![v[0], v[0]])),
    ("a scalar of open rows", "9xf32", &[], |b, v| {
        Ok(vec![build::dim(b, v[0], 0)?])
    }),
    ("elementwise", "37x5xf32", &[], |b, v| {
        let y = build::with_scalar(b, &Mul, v[0], 2.0)?;
        let y = b.one(&Exp, &[y], &[])?;
        Ok(vec![b.one(&Add, &[y, v[0]], &[])?])
    }),
    ("many elements", "900x64xf32", &[], |b, v| {
        let y = b.one(&Relu, &[v[0]], &[])?;
        Ok(vec![b.one(&Sub, &[y, v[0]], &[])?])
    }),
    ("casts and comparisons", "40xf32", &[], |b, v| {
        let whole = build::cast(b, v[0], Elem::I64)?;
        let zero = build::splat_like(b, whole, 0.0)?;
        let low = build::compare(b, "lt", whole, zero)?;
        let y = build::select(b, low, zero, whole)?;
        let half = build::cast(b, v[0], Elem::F16)?;
        Ok(vec![y, low, half])
    }),
    ("a row for all", "9x6xf32", &["6xf32"], |b, v| {
        Ok(vec![build::binary(b, &Add, v[0], v[1])?])
    }),
    ("a column for all", "9x6xf32", &["1xf32"], |b, v| {
        Ok(vec![build::binary(b, &Mul, v[0], v[1])?])
    }),
    ("all pairs", "9xf32", &[], |b, v| {
        let column = build::unsqueeze(b, v[0], &[1])?;
        let row = build::unsqueeze(b, v[0], &[0])?;
        Ok(vec![build::binary(b, &Sub, column, row)?])
    }),
    ("sums of rows", "33x19xf32", &[], |b, v| {
        Ok(vec![build::reduce(b, v[0], "sum", &[1])?])
    }),
    ("sums of columns", "33x19xf32", &[], |b, v| {
        Ok(vec![build::reduce(b, v[0], "sum", &[0])?])
    }),
    ("sums of all", "33x19xf32", &[], |b, v| {
        let y = b.one(&Abs, &[v[0]], &[])?;
        Ok(vec![build::reduce(b, y, "sum", &[0, 1])?])
    }),
    ("greatest and least", "7x3x5xi32", &[], |b, v| {
        let most = build::reduce(b, v[0], "max", &[0, 2])?;
        Ok(vec![most, build::reduce(b, v[0], "min", &[1])?])
    }),
    ("means", "12x6xf32", &[], |b, v| {
        Ok(vec![build::mean_keep(b, v[0], &[1])?])
    }),
    ("any and all", "9xi1", &[], |b, v| {
        let any = build::reduce(b, v[0], "any", &[0])?;
        Ok(vec![any, build::reduce(b, v[0], "all", &[0])?])
    }),
    ("moved about", "8x6xf32", &[], |b, v| {
        let y = build::transpose(b, v[0], &[1, 0])?;
        let z = b.one(&Reverse, &[v[0]], &[("axes", build::ints([0]))])?;
        let w = build::slice(b, v[0], &[1, 0], &[6, 5], &[2, 3])?;
        Ok(vec![y, z, w])
    }),
    ("slices of what follows", "30x5xf32", &[], |b, v| {
        let y = build::with_scalar(b, &Add, v[0], 1.0)?;
        Ok(vec![build::slice(b, y, &[2, 1], &[i64::MAX, 4], &[1, 1])?])
    }),
    ("concat", "8x6xf32", &["4x6xf32"], |b, v| {
        let rows = build::concat(b, &[v[0], v[1], v[0]], 0)?;
        let columns = build::concat(b, &[v[0], v[0]], 1)?;
        Ok(vec![rows, columns])
    }),
    (
        "concat of what is computed",
        "8x6xf32",
        &["4x6xf32"],
        |b, v| {
            let x = b.one(&Exp, &[v[0]], &[])?;
            let rows = build::concat(b, &[x, v[1]], 0)?;
            Ok(vec![b.one(&Relu, &[rows], &[])?])
        },
    ),
    ("pad", "8x6xf32", &["f32"], |b, v| {
        let attrs = [("low", vec![1, 0].into()), ("high", vec![2, 3].into())];
        Ok(vec![b.one(&Pad, &[v[0], v[1]], &attrs)?])
    }),
    ("pad by what is computed", "8x16xf32", &["i32"], |b, v| {
        let fill = build::cast(b, v[1], Elem::F32)?;
        let attrs = [("low", vec![1, 0].into()), ("high", vec![2, 0].into())];
        let y = b.one(&Pad, &[v[0], fill], &attrs)?;
        Ok(vec![b.one(&Abs, &[y], &[])?])
    }),
    ("reshaped", "8x6xf32", &[], |b, v| {
        let y = build::reshape(b, v[0], &[OPEN, Dim::Known(2), Dim::Known(3)])?;
        let flat = build::reshape(b, v[0], &[OPEN])?;
        Ok(vec![y, flat])
    }),
    ("gathered", "8x6xf32", &["below6 2x3xi64"], |b, v| {
        Ok(vec![build::gather(b, v[0], v[1], 1)?])
    }),
    ("sorted", "20x3xf32", &[], |b, v| {
        let attrs = [("axis", 0.into()), ("descending", true.into())];
        let op = b.create(&Sort, &[v[0]], &attrs)?;
        Ok(b.module.results(op).to_vec())
    }),
    ("the best of each row", "20x9xf32", &[], |b, v| {
        let attrs = [("k", 3.into()), ("axis", 1.into())];
        let op = b.create(&TopK, &[v[0]], &attrs)?;
        Ok(b.module.results(op).to_vec())
    }),
    ("where each row is greatest", "20x9xf32", &[], |b, v| {
        let attrs = [("kind", "max".into()), ("axis", 1.into())];
        Ok(vec![b.one(&ArgReduce, &[v[0]], &attrs)?])
    }),
    ("running sums", "20x9xf32", &[], |b, v| {
        let attrs = [("kind", "sum".into()), ("axis", 0.into())];
        Ok(vec![b.one(&Scan, &[v[0]], &attrs)?])
    }),
    ("windows", "20x9xf32", &[], |b, v| {
        let list = |a: i64, b: i64| vec![a, b].into();
        let attrs = [
            ("kind", "max".into()),
            ("size", list(2, 3)),
            ("stride", list(1, 2)),
            ("dilation", list(1, 1)),
            ("low", list(1, 0)),
            ("high", list(0, 1)),
        ];
        Ok(vec![b.one(&Window, &[v[0]], &attrs)?])
    }),
    ("frequencies", "6x8xf32", &[], |b, v| {
        let zero = build::splat_like(b, v[0], 0.0)?;
        let op = b.create(&Fft, &[v[0], zero], &[("axis", 1.into())])?;
        Ok(b.module.results(op).to_vec())
    }),
    (
        "one element of each row",
        "9x5xf32",
        &["below5 9x1xi64"],
        |b, v| {
            let count = build::dim(b, v[0], 0)?;
            let indices = first_rows(b, v[1], count)?;
            let attrs = [("axis", 1.into())];
            Ok(vec![b.one(&GatherElements, &[v[0], indices], &attrs)?])
        },
    ),
    (
        "at coordinates",
        "below4 7x2xi64",
        &["4x4x3xf32"],
        |b, v| Ok(vec![b.one(&GatherNd, &[v[1], v[0]], &[])?]),
    ),
    (
        "added at coordinates",
        "below4 7x1xi64",
        &["4x3xf32", "3xf32"],
        |b, v| {
            let count = build::dim(b, v[0], 0)?;
            let count = build::reshape(b, count, &[Dim::Known(1)])?;
            let three = build::shape_vector(b, v[2])?;
            let shape = build::concat(b, &[count, three], 0)?;
            let updates = b.one(&DynBroadcast, &[v[2], shape], &[])?;
            let attrs = [("kind", "add".into())];
            Ok(vec![b.one(&ScatterNd, &[v[1], v[0], updates], &attrs)?])
        },
    ),
    ("set by element", "below9 5x4xi64", &["9x4xf32"], |b, v| {
        let updates = build::cast(b, v[0], Elem::F32)?;
        let attrs = [("axis", 0.into())];
        Ok(vec![b.one(
            &ScatterElements,
            &[v[1], v[0], updates],
            &attrs,
        )?])
    }),
    (
        "times a matrix of weights",
        "50x24xf32",
        &["const 24x33xf32"],
        |b, v| matmul(b, v[0], v[1]),
    ),
    ("times a matrix", "50x24xf32", &["24x33xf32"], |b, v| {
        matmul(b, v[0], v[1])
    }),
    ("a matrix times it", "6xf32", &["11x6xf32"], |b, v| {
        let column = build::unsqueeze(b, v[0], &[1])?;
        let row = build::transpose(b, column, &[1, 0])?;
        matmul(b, column, row)
    }),
    ("sums over the rows", "12x5xf32", &[], |b, v| {
        let turned = build::transpose(b, v[0], &[1, 0])?;
        matmul(b, turned, v[0])
    }),
    ("in batches", "5x4x6xf32", &["6x7xf32"], |b, v| {
        let turned = build::transpose(b, v[0], &[0, 2, 1])?;
        let squares = matmul(b, v[0], turned)?;
        Ok([squares, matmul(b, v[0], v[1])?].concat())
    }),
    ("integers times integers", "9x4xi8", &["4x3xi8"], |b, v| {
        let pairs = build::Pairs {
            contract: &[(1, 0)],
            to: Some(Elem::I32),
            ..build::Pairs::default()
        };
        Ok(vec![build::contract(b, v[0], v[1], pairs)?])
    }),
    (
        "a head",
        "40x16xf32",
        &["const 16x24xf32", "const 24xf32", "const 24x5xf32"],
        |b, v| {
            let h = b.one(&Linear, &[v[0], v[1], v[2]], &[])?;
            let h = b.one(&Relu, &[h], &[])?;
            let y = b.one(&Linear, &[h, v[3]], &[])?;
            Ok(vec![b.one(&Softmax, &[y], &[("axis", 1.into())])?])
        },
    ),
    (
        "linear with given weights",
        "9x16xf32",
        &["16x8xf32", "8xf32"],
        |b, v| Ok(vec![b.one(&Linear, &[v[0], v[1], v[2]], &[])?]),
    ),
    ("softmax over rows", "30x4xf32", &[], |b, v| {
        Ok(vec![b.one(&Softmax, &[v[0]], &[("axis", 0.into())])?])
    }),
    ("norms", "9x16xf32", &["16xf32", "16xf32"], |b, v| {
        let attrs = [("axis", 1.into())];
        let layer = b.one(&LayerNorm, &[v[0], v[1], v[2]], &attrs)?;
        Ok(vec![layer, b.one(&RmsNorm, &[v[0], v[1]], &attrs)?])
    }),
    ("activations", "9x16xf32", &[], |b, v| {
        let y = b.one(&Gelu, &[v[0]], &[])?;
        Ok(vec![b.one(
            &Gelu,
            &[y],
            &[("approximate", "tanh".into())],
        )?])
    }),
    (
        "batch norm",
        "5x3x4xf32",
        &["3xf32", "3xf32", "3xf32", "pos 3xf32"],
        |b, v| Ok(vec![b.one(&BatchNorm, v, &[])?]),
    ),
    (
        "a convolution",
        "4x3x6x5xf32",
        &["const 2x3x3x3xf32", "const 2xf32"],
        |b, v| {
            let two = |n: i64| vec![n, n].into();
            let attrs = [
                ("stride", two(1)),
                ("dilation", two(1)),
                ("pad", vec![1, 1, 1, 1].into()),
            ];
            Ok(vec![b.one(&Conv, &[v[0], v[1], v[2]], &attrs)?])
        },
    ),
    ("poolings", "4x3x6x5xf32", &[], |b, v| {
        let two = |n: i64| vec![n, n].into();
        let attrs = [
            ("kernel", two(2)),
            ("stride", two(2)),
            ("dilation", two(1)),
            ("pad", vec![0, 0, 1, 1].into()),
        ];
        let most = b.one(&MaxPool, &[v[0]], &attrs)?;
        Ok(vec![most, b.one(&AvgPool, &[v[0]], &attrs)?])
    }),
];

fn matmul(b: &mut Builder<'_>, x: Value, y: Value) -> OpResult<Vec<Value>> {
    Ok(vec![b.one(&MatMul, &[x, y], &[])?])
}

/// The first `count` rows of `x`.
fn first_rows(b: &mut Builder<'_>, x: Value, count: Value) -> OpResult<Value> {
    let zero = build::scalar(b, Elem::I64, 0.0)?;
    let one = build::scalar(b, Elem::I64, 1.0)?;
    let vector = |b: &mut Builder<'_>, v| build::reshape(b, v, &[Dim::Known(1)]);
    let (start, stop) = (vector(b, zero)?, vector(b, count)?);
    let step = vector(b, one)?;
    let attrs = [("axes", build::ints([0]))];
    b.one(&DynSlice, &[x, start, stop, step], &attrs)
}

/// Ops of which an operand states the extents.
fn extents_from_values() -> Vec<Case> {
    let mut out = Vec::new();
    let mut add = |name: &str, operands: &[&str], def: &'static dyn OpDef, mode: Option<&str>| {
        out.push(case(name, Scale::Element, operands, |b, v| {
            let attrs: Vec<_> = mode.iter().map(|&m| ("mode", m.into())).collect();
            let y = b.one(def, v, &attrs)?;
            Ok(vec![y, b.one(&Abs, &[y], &[])?])
        }));
    };
    for mode in ["constant", "reflect", "edge", "wrap"] {
        for pads in ["1 2 1 1", "0 0 0 0", "-1 1 2 -2", "0 9 9 0", "-3 0 0 0"] {
            let pads = format!("4xi64 = {pads}");
            let name = format!("pad by {pads}, {mode}");
            add(&name, &["3x4xf32", &pads, "f32 = 9"], &DynPad, Some(mode));
        }
        let name = format!("pad of integers, {mode}");
        add(&name, &["5xi16", "2xi64 = 3 4", "i16"], &DynPad, Some(mode));
    }
    let none = ["0xf32", "2xi64 = 2 1", "f32"];
    add("pad of nothing", &none, &DynPad, Some("constant"));
    for (shape, to) in [
        ("2x6", "3xi64 = 3 -1 2"),
        ("0x6", "2xi64 = 3 0"),
        ("1x1", "0xi64"),
    ] {
        let x = format!("{shape}xf32");
        add(
            &format!("reshape {x} by {to}"),
            &[&x, to],
            &DynReshape,
            None,
        );
    }
    for to in [
        "2xi64 = 2 5",
        "3xi64 = 4 1 5",
        "1xi64 = 1",
        "3xi64 = 0 2 5",
        "1xi64 = 5",
    ] {
        add(
            &format!("broadcast to {to}"),
            &["2x1xf32", to],
            &DynBroadcast,
            None,
        );
        add(
            &format!("broadcast 5xi64 to {to}"),
            &["5xi64", to],
            &DynBroadcast,
            None,
        );
    }
    for elem in ["f32", "f64", "f16", "i64", "i32", "u8"] {
        for (start, limit, delta) in [(0, 10, 1), (3, 20, 4), (5, 5, 1)] {
            let operands = [start, limit, delta].map(|n| format!("{elem} = {n}"));
            let operands = operands.each_ref().map(String::as_str);
            add(&format!("range {operands:?}"), &operands, &DynIota, None);
        }
    }
    add(
        "range down",
        &["i32 = 9", "i32 = -4", "i32 = -3"],
        &DynIota,
        None,
    );
    add(
        "range by halves",
        &["f32 = -1", "f32 = 2", "f32 = 0.5"],
        &DynIota,
        None,
    );
    let slices = [
        ("1 -3", "99 -1", "2 1"),
        ("-1 0", "-99 99", "-2 3"),
        ("5 1", "2 1", "1 1"),
        ("0 4", "7 -6", "1 -1"),
    ];
    for (start, stop, step) in slices {
        let [start, stop, step] = [start, stop, step].map(|list| format!("2xi64 = {list}"));
        let name = format!("slice {start}, {stop}, {step}");
        out.push(case(
            &name,
            Scale::Element,
            &["7x5xf32", &start, &stop, &step],
            |b, v| {
                let attrs = [("axes", build::ints([0, 1]))];
                let y = b.one(&DynSlice, v, &attrs)?;
                Ok(vec![y, build::reduce(b, y, "sum", &[1])?])
            },
        ));
    }
    out
}

/// Branches and loops that change extents.
fn control() -> Vec<Case> {
    let mut out = Vec::new();
    for taken in [0, 1] {
        out.push(case(
            &format!("if with two lengths, condition {taken}"),
            Scale::Element,
            &[&format!("i1 = {taken}"), "3xf32", "5xf32"],
            |b, v| {
                let then = region(b, |b| Ok(vec![b.one(&Exp, &[v[1]], &[])?]))?;
                let otherwise = region(b, |_| Ok(vec![v[2]]))?;
                let op = b.create_with_regions(&If, &[v[0]], &[], &[then, otherwise])?;
                let y = b.module.results(op)[0];
                let sum = build::reduce(b, y, "sum", &[0])?;
                Ok(vec![y, build::with_scalar(b, &Add, y, 1.0)?, sum])
            },
        ));
    }
    for count in [0, 1, 6] {
        out.push(case(
            &format!("while that doubles, {count} rounds"),
            Scale::Element,
            &[&format!("i64 = {count}"), "3xf32"],
            |b, v| {
                open_loop(b, v[0], v[1], |b, x, _| {
                    let y = build::with_scalar(b, &Mul, x, 0.5)?;
                    build::concat(b, &[x, y], 0)
                })
            },
        ));
        out.push(case(
            &format!("while that appends, {count} rounds"),
            Scale::Element,
            &[&format!("i64 = {count}"), "0xf32"],
            |b, v| {
                open_loop(b, v[0], v[1], |b, x, i| {
                    let i = build::cast(b, i, Elem::F32)?;
                    let i = build::reshape(b, i, &[Dim::Known(1)])?;
                    build::concat(b, &[x, i], 0)
                })
            },
        ));
        out.push(case(
            &format!("while that drops the first, {count} rounds"),
            Scale::Element,
            &[&format!("i64 = {count}"), "4xf32"],
            |b, v| {
                open_loop(b, v[0], v[1], |b, x, _| {
                    build::slice_axis(b, x, 0, 1, i64::MAX)
                })
            },
        ));
    }
    out.push(case(
        "places of the greater half, twice",
        Scale::Element,
        &["40xf32"],
        |b, v| {
            let mut x = v[0];
            for _ in 0..2 {
                let mean = build::mean_keep(b, x, &[0])?;
                let above = build::binary(b, &Sub, x, mean)?;
                let zero = build::splat_like(b, above, 0.0)?;
                let mask = b.one(&Compare, &[above, zero], &[("direction", "gt".into())])?;
                x = chosen(b, mask, x)?;
            }
            let whole = b.one(&Cast, &[x], &[("to", Elem::I32.into())])?;
            Ok(vec![x, whole])
        },
    ));
    out
}

/// Applies `step` to `x`, whose only extent may change, and the number of the round.
fn open_loop(
    b: &mut Builder<'_>,
    rounds: Value,
    x: Value,
    step: impl FnOnce(&mut Builder<'_>, Value, Value) -> OpResult<Value>,
) -> OpResult<Vec<Value>> {
    let types = [
        Type::scalar(Elem::I64),
        Type::tensor(build::elem(b, x), [OPEN]),
    ];
    let condition = b.region(&types, |b, args| {
        let more = build::compare(b, "lt", args[0], rounds)?;
        Yield::build(b, &[more], &[]).map(drop)
    })?;
    let body = b.region(&types, |b, args| {
        let next = step(b, args[1], args[0])?;
        let count = build::with_scalar(b, &Add, args[0], 1.0)?;
        Yield::build(b, &[count, next], &[]).map(drop)
    })?;
    let zero = build::scalar(b, Elem::I64, 0.0)?;
    let op = b.create_with_regions(&While, &[zero, x], &[], &[condition, body])?;
    Ok(b.module.results(op).to_vec())
}
