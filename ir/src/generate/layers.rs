//! Recipes of the ops of `nn` that are not elementwise.

use crate::core::{Attr, Elem, OpResult, TensorType, Value};
use crate::generate::network::{Found, Maker, Recipe, Use, ints};

type Cx<'x, 'a, 'c, 'm> = &'x mut Maker<'a, 'c, 'm>;

pub(crate) const RECIPES: &[(&str, Recipe)] = &[
    ("nn.attention", attention),
    ("nn.avg_pool", avg_pool),
    ("nn.batch_norm", batch_norm),
    ("nn.conv", conv),
    ("nn.conv_transpose", conv_transpose),
    ("nn.group_norm", group_norm),
    ("nn.gru", gru),
    ("nn.instance_norm", instance_norm),
    ("nn.layer_norm", layer_norm),
    ("nn.linear", linear),
    ("nn.log_softmax", softmax),
    ("nn.lp_norm", lp_norm),
    ("nn.lrn", lrn),
    ("nn.lstm", lstm),
    ("nn.matmul", matmul),
    ("nn.max_pool", max_pool),
    ("nn.mean", mean),
    ("nn.prelu", prelu),
    ("nn.resize", resize),
    ("nn.rms_norm", rms_norm),
    ("nn.rotary", rotary),
    ("nn.softmax", softmax),
];

/// A float value of that rank at hand, or a new one.
fn floats(m: Cx<'_, '_, '_, '_>, ranks: std::ops::RangeInclusive<usize>) -> OpResult<Value> {
    let fits = |ty: &TensorType| ty.elem.is_float() && ranks.contains(&ty.rank());
    if m.random.below(3) != 2
        && let Some(value) = m.find(fits)
    {
        return Ok(value);
    }
    let elem = float(m);
    let rank = *ranks.start() + m.random.below(ranks.end() - ranks.start() + 1);
    let shape = m.extents(rank);
    m.fresh(elem, &shape)
}

fn float(m: Cx<'_, '_, '_, '_>) -> Elem {
    const FLOATS: [Elem; 6] = [
        Elem::F32,
        Elem::F32,
        Elem::F32,
        Elem::F16,
        Elem::F64,
        Elem::BF16,
    ];
    FLOATS[m.random.below(FLOATS.len())]
}

/// Batch, channels and one to three more axes.
fn image(m: Cx<'_, '_, '_, '_>) -> OpResult<Value> {
    floats(m, 3..=5)
}

fn layout(m: Cx<'_, '_, '_, '_>) -> &'static str {
    ["nchw", "nchw", "nhwc"][m.random.below(3)]
}

fn channels(shape: &[usize], layout: &str) -> usize {
    match layout {
        "nhwc" => shape[shape.len() - 1],
        _ => shape[1],
    }
}

fn list(m: Cx<'_, '_, '_, '_>, count: usize, from: usize, most: usize) -> Vec<usize> {
    (0..count).map(|_| from + m.random.below(most)).collect()
}

/// Stride, dilation and padding of windows.
fn steps(m: Cx<'_, '_, '_, '_>, axes: usize) -> Vec<(&'static str, Attr)> {
    vec![
        ("stride", ints(list(m, axes, 1, 3))),
        ("dilation", ints(list(m, axes, 1, 2))),
        ("pad", ints(list(m, 2 * axes, 0, 3))),
    ]
}

/// A divisor of the number, from 1.
fn divisor(m: Cx<'_, '_, '_, '_>, n: usize) -> usize {
    let divisors: Vec<usize> = (1..=n.max(1)).filter(|d| n.is_multiple_of(*d)).collect();
    divisors[m.random.below(divisors.len())]
}

fn conv(m: Cx<'_, '_, '_, '_>) -> Found {
    let x = image(m)?;
    let (elem, shape) = (m.ty(x).elem, m.shape(x));
    let layout = layout(m);
    let channels = channels(&shape, layout);
    let axes = shape.len() - 2;
    let groups = divisor(m, channels);
    let outputs = groups * m.small(4);
    let mut w = vec![outputs, channels / groups];
    w.extend(list(m, axes, 1, 3));
    let mut operands = vec![x, weights(m, elem, &w)?];
    if m.random.below(2) == 0 {
        operands.push(weights(m, elem, &[outputs])?);
    }
    let mut attrs = steps(m, axes);
    attrs.push(("groups", Attr::Int(groups as i64)));
    attrs.push(("layout", Attr::from(layout)));
    Use::of(operands, attrs)
}

/// Mostly constants, which targets pack.
fn weights(m: Cx<'_, '_, '_, '_>, elem: Elem, shape: &[usize]) -> OpResult<Value> {
    if m.random.below(4) == 3 {
        return m.of(elem, shape);
    }
    let mut random = crate::interp::random::Random::new(m.random.bits());
    let tensor = random.tensor(elem, shape);
    m.constant(tensor)
}

fn conv_transpose(m: Cx<'_, '_, '_, '_>) -> Found {
    let x = image(m)?;
    let (elem, shape) = (m.ty(x).elem, m.shape(x));
    let layout = layout(m);
    let channels = channels(&shape, layout);
    let axes = shape.len() - 2;
    let groups = divisor(m, channels);
    let outputs = m.small(3);
    let mut w = vec![channels, outputs];
    w.extend(list(m, axes, 1, 3));
    let mut operands = vec![x, weights(m, elem, &w)?];
    if m.random.below(2) == 0 {
        operands.push(weights(m, elem, &[groups * outputs])?);
    }
    let mut attrs = steps(m, axes);
    attrs.push(("output_pad", ints(list(m, axes, 0, 2))));
    attrs.push(("groups", Attr::Int(groups as i64)));
    attrs.push(("layout", Attr::from(layout)));
    Use::of(operands, attrs)
}

fn pool_attrs(m: Cx<'_, '_, '_, '_>, axes: usize) -> Vec<(&'static str, Attr)> {
    let mut attrs = steps(m, axes);
    attrs.push(("kernel", ints(list(m, axes, 1, 3))));
    attrs.push(("ceil", m.flag()));
    attrs.push(("layout", Attr::from(layout(m))));
    attrs
}

fn max_pool(m: Cx<'_, '_, '_, '_>) -> Found {
    let x = image(m)?;
    let axes = m.shape(x).len() - 2;
    let attrs = pool_attrs(m, axes);
    Use::of([x], attrs)
}

fn avg_pool(m: Cx<'_, '_, '_, '_>) -> Found {
    let x = image(m)?;
    let axes = m.shape(x).len() - 2;
    let mut attrs = pool_attrs(m, axes);
    attrs.push(("include_pad", m.flag()));
    Use::of([x], attrs)
}

fn mean(m: Cx<'_, '_, '_, '_>) -> Found {
    let x = floats(m, 0..=4)?;
    let rank = m.shape(x).len();
    let axes = m.axes(rank);
    Use::of([x], [("axes", ints(axes)), ("keep", m.flag())])
}

fn batch_norm(m: Cx<'_, '_, '_, '_>) -> Found {
    let x = floats(m, 1..=4)?;
    let (elem, shape) = (m.ty(x).elem, m.shape(x));
    let axis = m.axis(shape.len());
    let mut operands = vec![x];
    for _ in 0..4 {
        operands.push(weights(m, elem, &[shape[axis]])?);
    }
    // A variance is not negative.
    let variance = operands[4];
    operands[4] = m.b.one(&crate::dialects::tensor::Abs, &[variance], &[])?;
    let attrs = [
        ("axis", Attr::Int(axis as i64)),
        ("epsilon", Attr::Float(0.125)),
    ];
    Use::of(operands, attrs)
}

fn layer_norm(m: Cx<'_, '_, '_, '_>) -> Found {
    let x = floats(m, 1..=4)?;
    let (elem, shape) = (m.ty(x).elem, m.shape(x));
    let axis = m.axis(shape.len());
    let mut operands = vec![x, weights(m, elem, &shape[axis..])?];
    if m.random.below(2) == 0 {
        operands.push(weights(m, elem, &shape[axis..])?);
    }
    let attrs = [
        ("axis", Attr::Int(axis as i64)),
        ("epsilon", Attr::Float(0.125)),
    ];
    Use::of(operands, attrs)
}

fn rms_norm(m: Cx<'_, '_, '_, '_>) -> Found {
    let x = floats(m, 1..=4)?;
    let (elem, shape) = (m.ty(x).elem, m.shape(x));
    let axis = m.axis(shape.len());
    let scale = weights(m, elem, &shape[axis..])?;
    let attrs = [
        ("axis", Attr::Int(axis as i64)),
        ("epsilon", Attr::Float(0.125)),
    ];
    Use::of([x, scale], attrs)
}

fn instance_norm(m: Cx<'_, '_, '_, '_>) -> Found {
    let x = floats(m, 2..=4)?;
    let (elem, shape) = (m.ty(x).elem, m.shape(x));
    let operands = [
        x,
        weights(m, elem, &[shape[1]])?,
        weights(m, elem, &[shape[1]])?,
    ];
    Use::of(operands, [("epsilon", Attr::Float(0.125))])
}

fn group_norm(m: Cx<'_, '_, '_, '_>) -> Found {
    let x = floats(m, 2..=4)?;
    let (elem, shape) = (m.ty(x).elem, m.shape(x));
    let operands = [
        x,
        weights(m, elem, &[shape[1]])?,
        weights(m, elem, &[shape[1]])?,
    ];
    let groups = Attr::Int(divisor(m, shape[1]) as i64);
    Use::of(
        operands,
        [("groups", groups), ("epsilon", Attr::Float(0.125))],
    )
}

fn lrn(m: Cx<'_, '_, '_, '_>) -> Found {
    let x = image(m)?;
    let attrs = [
        ("size", Attr::Int(m.small(5) as i64)),
        ("alpha", Attr::Float(0.5)),
        ("layout", Attr::from(layout(m))),
    ];
    Use::of([x], attrs)
}

fn lp_norm(m: Cx<'_, '_, '_, '_>) -> Found {
    let x = floats(m, 1..=4)?;
    let rank = m.shape(x).len();
    let attrs = [
        ("axis", Attr::Int(m.axis(rank) as i64)),
        ("p", Attr::Int(m.small(2) as i64)),
    ];
    Use::of([x], attrs)
}

fn softmax(m: Cx<'_, '_, '_, '_>) -> Found {
    let x = floats(m, 1..=4)?;
    let rank = m.shape(x).len();
    let axis = match m.random.below(2) {
        0 => rank - 1,
        _ => m.axis(rank),
    };
    Use::of([x], [("axis", Attr::Int(axis as i64))])
}

fn prelu(m: Cx<'_, '_, '_, '_>) -> Found {
    let x = floats(m, 0..=4)?;
    let elem = m.ty(x).elem;
    let mut slope = m.shape(x);
    for extent in &mut slope {
        if m.random.below(2) == 0 {
            *extent = 1;
        }
    }
    let slope = weights(m, elem, &slope)?;
    Use::of([x, slope], [])
}

fn linear(m: Cx<'_, '_, '_, '_>) -> Found {
    let x = floats(m, 1..=4)?;
    let (elem, shape) = (m.ty(x).elem, m.shape(x));
    let columns = m.extent();
    let w = [shape[shape.len() - 1], columns];
    let mut operands = vec![x, weights(m, elem, &w)?];
    if m.random.below(2) == 0 {
        operands.push(weights(m, elem, &[columns])?);
    }
    Use::of(operands, [])
}

fn matmul(m: Cx<'_, '_, '_, '_>) -> Found {
    let x = match m.random.below(4) {
        0 => m.value(|ty| ty.rank() > 1 && ty.elem != Elem::Bool)?,
        _ => floats(m, 2..=4)?,
    };
    let (elem, shape) = (m.ty(x).elem, m.shape(x));
    let (batch, last) = shape.split_at(shape.len() - 2);
    let skipped = m.random.below(batch.len() + 1);
    let mut other = batch[skipped..].to_vec();
    for extent in &mut other {
        if m.random.below(3) == 0 {
            *extent = 1;
        }
    }
    other.extend([last[1], m.extent()]);
    let y = weights(m, elem, &other)?;
    Use::of([x, y], [])
}

fn attention(m: Cx<'_, '_, '_, '_>) -> Found {
    let elem = float(m);
    let [batch, heads] = [m.small(2), m.small(3)];
    let [rows, columns, depth, width] = [m.small(6), m.small(6), m.small(8), m.small(8)];
    let mut operands = vec![
        m.of(elem, &[batch, heads, rows, depth])?,
        m.of(elem, &[batch, heads, columns, depth])?,
        m.of(elem, &[batch, heads, columns, width])?,
    ];
    if m.random.below(2) == 0 {
        let mut one_or = |n: usize| if m.random.below(2) == 0 { 1 } else { n };
        let mask = [one_or(batch), one_or(heads), rows, columns];
        operands.push(m.of(elem, &mask)?);
    }
    let attrs = [
        ("causal", m.flag()),
        ("offset", Attr::Int(m.random.below(3) as i64)),
    ];
    Use::of(operands, attrs)
}

fn rotary(m: Cx<'_, '_, '_, '_>) -> Found {
    let x = floats(m, 1..=4)?;
    let (elem, mut table) = (m.ty(x).elem, m.shape(x));
    if let Some((features, rows)) = table.split_last_mut() {
        for extent in rows {
            if m.random.below(2) == 0 {
                *extent = 1;
            }
        }
        *features = m.random.below(*features / 2 + 1);
    }
    let operands = [x, weights(m, elem, &table)?, weights(m, elem, &table)?];
    Use::of(operands, [("interleaved", m.flag())])
}

/// Input, weights, bias and the first state of a recurrent layer with that many gates; with the
/// shape of a state.
fn recurrent(m: Cx<'_, '_, '_, '_>, gates: usize) -> OpResult<(Vec<Value>, Attr, [usize; 3])> {
    let elem = float(m);
    let [time, batch, inputs, hidden] = [m.small(4), m.small(3), m.small(5), m.small(9)];
    let direction = m.choice(&["forward", "forward", "reverse", "bidirectional"]);
    let directions = match direction.as_str() {
        Some("bidirectional") => 2,
        _ => 1,
    };
    let state = [directions, batch, hidden];
    let operands = vec![
        m.of(elem, &[time, batch, inputs])?,
        weights(m, elem, &[directions, gates * hidden, inputs])?,
        weights(m, elem, &[directions, gates * hidden, hidden])?,
        weights(m, elem, &[directions, 2 * gates * hidden])?,
        m.of(elem, &state)?,
    ];
    Ok((operands, direction, state))
}

fn lengths(m: Cx<'_, '_, '_, '_>, batch: usize) -> OpResult<Value> {
    m.indices(4, &[batch])
}

fn lstm(m: Cx<'_, '_, '_, '_>) -> Found {
    let (mut operands, direction, state) = recurrent(m, 4)?;
    let elem = m.ty(operands[0]).elem;
    operands.push(m.of(elem, &state)?);
    if m.random.below(4) == 0 {
        operands.push(weights(m, elem, &[state[0], 3 * state[2]])?);
    }
    if m.random.below(4) == 0 {
        operands.push(lengths(m, state[1])?);
    }
    let mut attrs = vec![("direction", direction)];
    if m.random.below(4) == 0 {
        attrs.push(("clip", Attr::Float(0.75)));
        attrs.push(("input_forget", m.flag()));
    }
    Use::of(operands, attrs)
}

fn gru(m: Cx<'_, '_, '_, '_>) -> Found {
    let (mut operands, direction, state) = recurrent(m, 3)?;
    if m.random.below(4) == 0 {
        operands.push(lengths(m, state[1])?);
    }
    let attrs = [("direction", direction), ("linear_before_reset", m.flag())];
    Use::of(operands, attrs)
}

fn resize(m: Cx<'_, '_, '_, '_>) -> Found {
    let x = image(m)?;
    let shape = m.shape(x);
    let mut sizes = shape[..2].to_vec();
    sizes.extend(shape[2..].iter().map(|_| m.small(7)));
    let coordinates = m.choice(&[
        "half_pixel",
        "half_pixel_symmetric",
        "pytorch_half_pixel",
        "align_corners",
        "asymmetric",
    ]);
    let nearest = m.choice(&["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]);
    let attrs = [
        ("sizes", ints(sizes)),
        ("mode", m.choice(&["nearest", "linear", "cubic"])),
        ("coordinates", coordinates),
        ("nearest", nearest),
        ("exclude_outside", m.flag()),
    ];
    Use::of([x], attrs)
}
