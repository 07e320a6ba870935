//! Attention whose scores and weights are changed by graphs of the node.

use lepid_ir::core::{Attr, Elem, OpResult, Value};
use lepid_ir::dialects::{nn, tensor};

use super::attention::repeat_heads;
use super::{Row, one, row};
use crate::frontends::onnx::cx::{Cx, invalid, unsupported};
use crate::frontends::onnx::weights::elem_type;

type Values = OpResult<Vec<Value>>;

pub(super) const ROWS: &[Row] = &[row("ai.onnx.preview::FlexAttention", 1, flex_attention)];

/// `prob_mod(softmax(score_mod(scale · q · kᵀ))) · v`, from the scores on in at least 32 bits.
fn flex_attention(cx: &mut Cx<'_, '_, '_, '_>) -> Values {
    let [q, k, v] = [cx.input(0)?, cx.input(1)?, cx.input(2)?];
    for value in [q, k, v] {
        match cx.rank(value)? {
            4 => {}
            n => return Err(invalid(format!("rank 4 is needed, found {n}"))),
        }
    }
    let (dims, elem) = (cx.dims(q)?, cx.elem(q)?);
    let k = repeat_heads(cx, k, dims[1])?;
    let v = repeat_heads(cx, v, dims[1])?;
    let scale = match (cx.opt_float("scale")?, dims[3].known()) {
        (Some(scale), _) => scale,
        (None, Some(depth)) => 1.0 / (depth as f64).sqrt(),
        (None, None) => return Err(unsupported("the number of features is open")),
    };
    let work = match (cx.opt_int("softmax_precision")?, elem) {
        (Some(precision), _) => elem_type(precision as i32)?,
        (None, Elem::F64) => Elem::F64,
        (None, _) => Elem::F32,
    };
    // Both factors get the root, so that products of 16 bits stay in range.
    let root = cx.number(elem, scale.sqrt())?;
    let q = cx.binary(&tensor::Mul, q, root)?;
    let k = cx.binary(&tensor::Mul, k, root)?;
    let k = cx.transpose(k, &[0, 1, 3, 2])?;
    let scores = cx.op(&nn::MatMul, &[q, k], &[])?;
    let scores = cx.cast(scores, work)?;
    let scores = changed(cx, "score_mod", scores)?;
    let axis = [("axis", Attr::Int(3))];
    let weights = cx.op(&nn::Softmax, &[scores], &axis)?;
    let weights = changed(cx, "prob_mod", weights)?;
    let to = cx.elem(v)?;
    let v = cx.cast(v, work)?;
    let y = cx.op(&nn::MatMul, &[weights, v], &[])?;
    one(cx.cast(y, to)?)
}

/// What a graph attribute makes of a value; the value itself if there is none.
fn changed(cx: &mut Cx<'_, '_, '_, '_>, attribute: &str, x: Value) -> OpResult<Value> {
    if !cx.node.attribute.iter().any(|a| a.name == attribute) {
        return Ok(x);
    }
    let graph = cx.graph(attribute)?;
    if graph.input.len() != 1 || graph.output.len() != 1 {
        return Err(invalid(format!(
            "attribute `{attribute}` must be a graph of one input and one output"
        )));
    }
    let elem = cx.elem(x)?;
    let values = cx.importer.subgraph(cx.b, &graph, &[x], cx.scope)?;
    cx.importer.only_tensors(&values)?;
    cx.cast(values[0], elem)
}
