//! Concats whose operands are computed in their place.
//!
//! ```text
//! %1 = kernel.conv(%0, %v) : tensor<1x8x8x16xf32>
//! %2 = kernel.conv(%0, %w) : tensor<1x8x8x32xf32>
//! %3 = kernel.nest(%1, %2) : tensor<1x8x8x48xf32> { concat of both along the last axis }
//! ```
//!
//! Kernels that compute rows can leave gaps between them. So if nothing else reads what a concat
//! along the last axis joins, its operands lie in its own place, a part of each row each, and there
//! is nothing left to do for the concat itself. The program says what it said before: this is the
//! plan's affair (`memory_plan`), and that of a target which asks for [`joined`].

use lepid_ir::core::{Module, Op, Value};
use lepid_ir::dialects::kernel::{self, Nest};
use lepid_ir::dialects::tensor::Concat;

use crate::transform::memory_plan::{is_open, is_view};

/// Kernels that can write rows with gaps between them.
const WRITERS: &[&str] = &["kernel.conv", "kernel.nest", "nn.avg_pool", "nn.max_pool"];

/// Where a value lies that is computed in the place of a concat.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Joined {
    /// The concat.
    pub into: Value,
    /// The first element of its rows that is the value's.
    pub first: u64,
    /// Elements from one row to the next.
    pub pitch: u64,
}

/// Whether a value is computed in the place of a concat, and where there.
pub fn joined(module: &Module, value: Value) -> Option<Joined> {
    let writer = module.defining_op(value)?;
    let &[reader] = module.uses(value) else {
        return None;
    };
    let fits = WRITERS.contains(&module.op_name(writer))
        && module.results(writer).len() == 1
        && module.op_block(writer) == module.op_block(reader.op)
        && concat_of(module, writer).is_none()
        && !(module.op_name(writer) == "kernel.conv"
            && kernel::extras(module.view(writer)).residual.is_some());
    let concat = concat_of(module, reader.op).filter(|_| fits)?;
    let arg = module.block_args(Nest::block(module.view(reader.op)))[reader.operand];
    let &[part] = module.uses(arg) else {
        return None;
    };
    let extent = |value: Value| {
        let ty = module.value_type(value).as_tensor()?;
        ty.dims.last()?.known()
    };
    let before = module.operands(concat).get(..part.operand)?;
    let into = module.results(reader.op)[0];
    (part.op == concat).then_some(Joined {
        into,
        first: before.iter().map(|&v| extent(v)).sum::<Option<u64>>()?,
        pitch: extent(into)?,
    })
}

/// The concat along the last axis that a nest ends in, if the place of its result can be that of
/// the inputs.
fn concat_of(module: &Module, nest: Op) -> Option<Op> {
    if module.op_name(nest) != Nest::INFO.name {
        return None;
    }
    let view = module.view(nest);
    let (&[root], &[result]) = (Nest::yielded(view), view.results()) else {
        return None;
    };
    let concat = module.defining_op(root)?;
    let is_concat = module.op_name(concat) == Concat::INFO.name
        && Concat::axis(module.view(concat)) + 1 == view.result_tensor(0).rank() as i64;
    // What is read as something else, or given away, has a place that others decide.
    let stays = |op: Op| {
        let ends = module
            .op_block(op)
            .and_then(|block| module.terminator(block))
            == Some(op);
        !ends && !is_view(module, op)
    };
    let fits = is_concat && !is_open(module, result);
    (fits && module.uses(result).iter().all(|u| stays(u.op))).then_some(concat)
}

/// Whether all that a nest would do is done where its operands are computed.
pub fn is_done_before(module: &Module, nest: Op) -> bool {
    let Some(concat) = concat_of(module, nest) else {
        return false;
    };
    let parts = module.operands(concat).iter();
    let mut inputs = parts.map(|&part| kernel::outside(module, part));
    inputs.all(|value| joined(module, value).is_some_and(|j| j.into == module.results(nest)[0]))
}
