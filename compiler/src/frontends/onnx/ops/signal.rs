//! Windows and Fourier transforms.

use std::f64::consts::PI;

use lepid_ir::core::{Attr, Dim, Elem, OpResult, Tensor, Value};
use lepid_ir::dialects::tensor::{self, build};

use super::{Row, one, row};
use crate::frontends::onnx::cx::{Cx, invalid, normal_axis, unsupported};
use crate::frontends::onnx::weights::elem_type;

type Values = OpResult<Vec<Value>>;

pub(super) const ROWS: &[Row] = &[
    row("BlackmanWindow", 17, |cx| window(cx, [0.42, -0.5, 0.08])),
    row("DFT", 17, dft),
    row("HammingWindow", 17, |cx| {
        window(cx, [25.0 / 46.0, 25.0 / 46.0 - 1.0, 0.0])
    }),
    row("HannWindow", 17, |cx| window(cx, [0.5, -0.5, 0.0])),
    row("MelWeightMatrix", 17, mel_weights),
    row("STFT", 17, stft),
];

/// A longer window is not worth a constant.
const WINDOW_LIMIT: i64 = 1 << 20;

/// A sum of cosines of 0, 1 and 2 periods.
fn window(cx: &mut Cx<'_, '_, '_, '_>, weights: [f64; 3]) -> Values {
    let size = cx.constant_ints(0, "the size")?;
    let size = cx.required("size", size.and_then(|s| s.first().copied()))?;
    if !(0..=WINDOW_LIMIT).contains(&size) {
        return Err(unsupported(format!(
            "a window of {size} elements is not supported"
        )));
    }
    let elem = elem_type(cx.int("output_datatype", 1)? as i32)?;
    let period = match cx.int("periodic", 1)? != 0 {
        true => size as f64,
        false => size as f64 - 1.0,
    };
    let value = |i: i64| {
        let angle = 2.0 * PI * i as f64 / period;
        weights[0] + weights[1] * libm::cos(angle) + weights[2] * libm::cos(2.0 * angle)
    };
    let window = Tensor::from_f64s(elem, [size as usize], (0..size).map(value));
    one(cx.constant(window)?)
}

/// The input as one number that is known.
fn known_number(cx: &Cx<'_, '_, '_, '_>, index: usize, what: &str) -> OpResult<f64> {
    let tensor = cx.constant_input(index, what)?.filter(|t| t.len() == 1);
    let tensor = tensor.ok_or_else(|| invalid(format!("{what} must be one number")))?;
    Ok(tensor.num(0).as_f64())
}

/// Triangles over the lines of a spectrum, evenly spaced by the mel scale.
fn mel_weights(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let bins = known_number(cx, 0, "the number of bins")?;
    let length = known_number(cx, 1, "the length of the transform")?;
    let rate = known_number(cx, 2, "the sample rate")?;
    let low = known_number(cx, 3, "the lower edge")?;
    let high = known_number(cx, 4, "the upper edge")?;
    let elem = elem_type(cx.int("output_datatype", 1)? as i32)?;
    let limit = 0.0..=WINDOW_LIMIT as f64;
    if ![bins, length, bins * length]
        .iter()
        .all(|n| limit.contains(n))
    {
        return Err(unsupported("a matrix of this size is not supported"));
    }
    let lines = (length / 2.0).floor() as usize + 1;
    let bins = bins as usize;
    let mel = |hertz: f64| 2595.0 * (1.0 + hertz / 700.0).log10();
    let step = (mel(high) - mel(low)) / (bins + 2) as f64;
    let edge = |i: usize| {
        let hertz = 700.0 * (10f64.powf((i as f64 * step + mel(low)) / 2595.0) - 1.0);
        ((length + 1.0) * hertz / rate).floor()
    };
    let mut values = vec![0.0; lines * bins];
    for bin in 0..bins {
        let [from, centre, to] = [edge(bin), edge(bin + 1), edge(bin + 2)];
        for line in 0..lines {
            let at = line as f64;
            values[line * bins + bin] = match () {
                () if at == centre => 1.0,
                () if from <= at && at < centre => (at - from) / (centre - from),
                () if centre < at && at < to => (to - at) / (to - centre),
                () => 0.0,
            };
        }
    }
    let weights = Tensor::from_f64s(elem, [lines, bins], values);
    one(cx.constant(weights)?)
}

/// Real and imaginary parts, which stand along the last axis; real numbers have one entry there.
fn parts(cx: &mut Cx<'_, '_, '_, '_>, x: Value) -> OpResult<[Value; 2]> {
    let dims = cx.dims(x)?;
    let last = dims.len().saturating_sub(1);
    let part = |cx: &mut Cx<'_, '_, '_, '_>, i: i64| -> OpResult<Value> {
        let part = build::slice_axis(cx.b, x, last, i, i + 1)?;
        build::squeeze(cx.b, part, &[last])
    };
    match dims.last() {
        Some(Dim::Known(2)) => Ok([part(cx, 0)?, part(cx, 1)?]),
        Some(Dim::Known(1)) => {
            let real = part(cx, 0)?;
            Ok([real, cx.splat(real, 0.0)?])
        }
        _ => Err(invalid("the last extent must be 1 (real) or 2 (complex)")),
    }
}

/// The transform along an axis as pairs along a new last axis; half of it if `onesided`.
fn transformed(
    cx: &mut Cx<'_, '_, '_, '_>,
    parts: [Value; 2],
    axis: usize,
    inverse: bool,
    onesided: bool,
) -> OpResult<Value> {
    let attrs = [
        ("axis", Attr::Int(axis as i64)),
        ("inverse", inverse.into()),
    ];
    let mut pair = cx.ops(&tensor::Fft, &parts, &attrs)?;
    let last = cx.rank(pair[0])?;
    for part in &mut pair {
        if onesided {
            let n = cx.dims(*part)?[axis].known();
            let n = n.ok_or_else(|| unsupported("the length of the transform is open"))?;
            *part = build::slice_axis(cx.b, *part, axis, 0, n as i64 / 2 + 1)?;
        }
        *part = build::unsqueeze(cx.b, *part, &[last])?;
    }
    build::concat(cx.b, &pair, last)
}

/// The axis is an attribute before opset 20, and an input from then on.
fn dft(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let x = cx.input(0)?;
    let rank = cx.rank(x)?;
    let axis = match cx.opset < 20 {
        true => cx.int("axis", 1)?,
        false => {
            let axis = cx.constant_ints(2, "the axis")?;
            axis.and_then(|a| a.first().copied()).unwrap_or(-2)
        }
    };
    let axis = normal_axis(axis, rank)?;
    if axis + 1 == rank {
        return Err(invalid(
            "the last axis holds the parts of a number, not a signal",
        ));
    }
    let (inverse, onesided) = (cx.flag("inverse")?, cx.flag("onesided")?);
    let mut pair = parts(cx, x)?;
    let length = cx.constant_ints(1, "the length of the transform")?;
    let length = length.and_then(|l| l.first().copied());
    if inverse && onesided {
        return one(from_half(cx, pair, axis, length)?);
    }
    if let Some(length) = length {
        for part in &mut pair {
            *part = resized(cx, *part, axis, length)?;
        }
    }
    one(transformed(cx, pair, axis, inverse, onesided)?)
}

/// The real signal of that length whose spectrum begins with these entries: the others are their
/// conjugates, in the opposite order.
fn from_half(
    cx: &mut Cx<'_, '_, '_, '_>,
    pair: [Value; 2],
    axis: usize,
    length: Option<i64>,
) -> OpResult<Value> {
    let n = cx.dims(pair[0])?[axis].known();
    let n = n.ok_or_else(|| unsupported("the length of the transform is open"))? as i64;
    let length = length.unwrap_or(2 * (n - 1));
    if !(1..=WINDOW_LIMIT).contains(&length) {
        return Err(invalid(format!("the length of the transform is {length}")));
    }
    let half = length / 2 + 1;
    let places = (0..length).map(|k| if k < half { k } else { length - k });
    let places = cx.constant(Tensor::from_i64s(places))?;
    let elem = cx.elem(pair[1])?;
    // The ends of the half are real.
    let sign = |k: i64| match k {
        0 => 0.0,
        k if 2 * k == length => 0.0,
        k if k < half => 1.0,
        _ => -1.0,
    };
    let signs = Tensor::from_f64s(elem, [length as usize], (0..length).map(sign));
    let signs = cx.constant(signs)?;
    let rank = cx.rank(pair[0])?;
    let others: Vec<usize> = (1..rank - axis).collect();
    let signs = build::unsqueeze(cx.b, signs, &others)?;
    let mut whole = Vec::new();
    for part in pair {
        let part = resized(cx, part, axis, half)?;
        whole.push(build::gather(cx.b, part, places, axis)?);
    }
    let imaginary = cx.binary(&tensor::Mul, whole[1], signs)?;
    let attrs = [("axis", Attr::Int(axis as i64)), ("inverse", true.into())];
    let signal = cx.ops(&tensor::Fft, &[whole[0], imaginary], &attrs)?;
    build::unsqueeze(cx.b, signal[0], &[rank])
}

/// An axis cut or filled with zeros to a length.
fn resized(cx: &mut Cx<'_, '_, '_, '_>, x: Value, axis: usize, length: i64) -> OpResult<Value> {
    let dims = cx.dims(x)?;
    let n = dims[axis]
        .known()
        .ok_or_else(|| unsupported("the length of the signal is open"))?;
    let missing = length.saturating_sub(n as i64);
    if length < 1 {
        return Err(invalid(format!("the length of the transform is {length}")));
    }
    if missing <= 0 {
        return build::slice_axis(cx.b, x, axis, 0, length);
    }
    let low = vec![0; dims.len()];
    let mut high = low.clone();
    high[axis] = missing;
    build::pad(cx.b, x, 0.0, &low, &high)
}

/// Overlapping frames of a signal, each transformed.
fn stft(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let x = cx.input(0)?;
    let number = |list: Option<Vec<i64>>| list.and_then(|l| l.first().copied());
    let step = number(cx.constant_ints(1, "the step between frames")?);
    let step = cx.required("frame_step", step)?;
    let window = cx.optional(2);
    let length = match number(cx.constant_ints(3, "the length of a frame")?) {
        Some(length) => Some(length),
        None => match window {
            Some(window) => cx
                .dims(window)?
                .first()
                .and_then(|d| d.known())
                .map(|n| n as i64),
            None => None,
        },
    };
    let length = cx.required("frame_length", length)?;
    let signal = cx.dims(x)?.get(1).and_then(|d| d.known());
    let signal = signal.ok_or_else(|| unsupported("the length of the signal is open"))? as i64;
    if step < 1 || !(1..=signal).contains(&length) {
        return Err(invalid("the frames do not fit the signal"));
    }
    let frames = (signal - length) / step + 1;
    if frames.saturating_mul(length) > WINDOW_LIMIT * 16 {
        return Err(unsupported("there are too many frames"));
    }
    let places = (0..frames).flat_map(|f| (0..length).map(move |i| f * step + i));
    let places = Tensor::from_i64s(places).reshaped([frames as usize, length as usize]);
    let places = cx.constant(places)?;
    // Batch, frame, place in the frame.
    let mut pair = parts(cx, x)?;
    let elem: Elem = cx.elem(x)?;
    for part in &mut pair {
        *part = build::gather(cx.b, *part, places, 1)?;
        if let Some(window) = window {
            let window = cx.cast(window, elem)?;
            *part = cx.binary(&tensor::Mul, *part, window)?;
        }
    }
    let onesided = cx.int("onesided", 1)? != 0;
    one(transformed(cx, pair, 2, false, onesided)?)
}
