//! Scans: loops that see one slice of each input in each turn.

use lepid_ir::core::{Dim, Elem, OpResult, Value};
use lepid_ir::dialects::tensor::{self, build};

use super::turns::{Turns, Walked, stacked, take, truth};
use super::{Row, row};
use crate::frontends::onnx::cx::{Cx, invalid, normal_axis, unsupported};
use crate::frontends::onnx::proto::GraphProto;

type Values = OpResult<Vec<Value>>;

pub(super) const ROWS: &[Row] = &[row("Scan", 8, scan)];

/// How a scan walks along its inputs and lays out what it collects.
struct Walk {
    input_axes: Vec<i64>,
    input_directions: Vec<i64>,
    output_axes: Vec<i64>,
    output_directions: Vec<i64>,
}

fn scan(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let graph = cx.graph("body")?;
    let walked = cx.required("num_scan_inputs", cx.opt_int("num_scan_inputs")?)?;
    // The first input of the first version is the length of each sample.
    let first = usize::from(cx.opset < 9);
    let inputs: OpResult<Vec<Value>> = (first..cx.inputs.len()).map(|i| cx.input(i)).collect();
    let inputs = inputs?;
    let walked = usize::try_from(walked)
        .ok()
        .filter(|n| (1..=inputs.len()).contains(n));
    let walked = walked.ok_or_else(|| invalid("attribute `num_scan_inputs` is out of range"))?;
    let (states, sources) = inputs.split_at(inputs.len() - walked);
    if first == 1 {
        return batched_scan(cx, &graph, states, sources);
    }
    let list = |name: &str| -> OpResult<Vec<i64>> { Ok(cx.ints(name)?.unwrap_or_default()) };
    let walk = Walk {
        input_axes: list("scan_input_axes")?,
        input_directions: list("scan_input_directions")?,
        output_axes: list("scan_output_axes")?,
        output_directions: list("scan_output_directions")?,
    };
    walk_along(cx, &graph, states, sources, &walk)
}

/// Before opset 9, the first axis of all inputs and outputs counts samples, each a scan of its own.
fn batched_scan(
    cx: &mut Cx<'_, '_, '_, '_>,
    graph: &GraphProto,
    states: &[Value],
    sources: &[Value],
) -> Values {
    if cx.optional(0).is_some() {
        return Err(
            unsupported("sequences of different lengths are not supported")
                .help("convert the model to opset 9 with `onnx.version_converter`"),
        );
    }
    let batch = cx.dims(sources[0])?.first().copied();
    let Some(Dim::Known(batch @ 1..=BATCH_LIMIT)) = batch else {
        return Err(unsupported("the number of samples must be known and small")
            .help("give fixed input shapes"));
    };
    let walk = Walk {
        input_axes: Vec::new(),
        input_directions: cx.ints("directions")?.unwrap_or_default(),
        output_axes: Vec::new(),
        output_directions: Vec::new(),
    };
    let mut results: Vec<Vec<Value>> = Vec::new();
    for sample in 0..batch as i64 {
        let part = |cx: &mut Cx<'_, '_, '_, '_>, values: &[Value]| -> Values {
            values
                .iter()
                .map(|&value| {
                    let row = build::slice_axis(cx.b, value, 0, sample, sample + 1)?;
                    build::squeeze(cx.b, row, &[0])
                })
                .collect()
        };
        let (states, sources) = (part(cx, states)?, part(cx, sources)?);
        results.push(walk_along(cx, graph, &states, &sources, &walk)?);
    }
    (0..results[0].len())
        .map(|output| {
            let all: Vec<Value> = results.iter().map(|values| values[output]).collect();
            stacked(cx, &all)
        })
        .collect()
}

/// More samples than these are not unrolled.
const BATCH_LIMIT: u64 = 256;

fn walk_along(
    cx: &mut Cx<'_, '_, '_, '_>,
    graph: &GraphProto,
    states: &[Value],
    inputs: &[Value],
    walk: &Walk,
) -> Values {
    let mut sources = Vec::new();
    let mut length = None;
    for (i, &value) in inputs.iter().enumerate() {
        let axis = walk.input_axes.get(i).copied().unwrap_or(0);
        let axis = normal_axis(axis, cx.rank(value)?)?;
        let extent = build::dim(cx.b, value, axis)?;
        let backwards = walk.input_directions.get(i).copied().unwrap_or(0) != 0;
        let last = match backwards {
            true => {
                let one = cx.number(Elem::I64, 1.0)?;
                Some(cx.binary(&tensor::Sub, extent, one)?)
            }
            false => None,
        };
        length.get_or_insert((extent, cx.dims(value)?[axis]));
        sources.push(Walked { value, axis, last });
    }
    let Some((limit, length)) = length else {
        return Err(invalid("a scan needs an input to walk along"));
    };
    let turns = Turns {
        graph,
        limit,
        count: length.known(),
        condition: truth(cx.b)?,
        states: states.to_vec(),
        walked: Some(sources),
    };
    let mut values = take(cx, &turns)?;
    for (i, value) in values[states.len()..].iter_mut().enumerate() {
        let mut dims = cx.dims(*value)?;
        dims[0] = length;
        *value = cx.reshape(*value, &dims)?;
        if walk.output_directions.get(i).copied().unwrap_or(0) != 0 {
            *value = cx.op(&tensor::Reverse, &[*value], &[("axes", build::ints([0]))])?;
        }
        let axis = walk.output_axes.get(i).copied().unwrap_or(0);
        let axis = normal_axis(axis, dims.len())?;
        let perm: Vec<usize> = (1..=axis).chain([0]).chain(axis + 1..dims.len()).collect();
        *value = cx.transpose(*value, &perm)?;
    }
    Ok(values)
}
