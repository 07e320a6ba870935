//! Extents that follow from values: measured before the op itself runs, so that there is room for
//! its result.
//!
//! A measure gives the extents of the only result, and behind them what the op needs to know again
//! when it runs, such as where a slice begins.

use lepid_ir::core::{Native, Num, OpView};
use lepid_ir::dialects::tensor::{self, PadMode};
use lepid_ir::with_native;

use super::View;
use crate::abi::Ctx;
use crate::faults::Fault;

/// `measure(context, attributes, operands, figures)` writes the figures and gives 0, or gives the
/// number of a fault, whose own figures then stand in the context's report. Before the attributes
/// stand their number and that of the figures.
pub(crate) type Measure = unsafe extern "C" fn(
    ctx: *mut Ctx,
    attrs: *const i64,
    operands: *const View,
    figures: *mut i64,
) -> i64;

/// A measure and the op that it is for.
pub(crate) struct MeasureDef {
    pub(crate) op: &'static str,
    /// What the measure needs to know of an op's attributes.
    pub(crate) describe: fn(OpView<'_>) -> Vec<i64>,
    /// How many figures there are.
    pub(crate) figures: fn(OpView<'_>) -> usize,
    run: Measure,
}

/// Every measure, sorted by the name of its op.
pub(crate) const MEASURES: &[MeasureDef] = &[
    row::<DynBroadcast>("tensor.dyn_broadcast"),
    row::<DynIota>("tensor.dyn_iota"),
    row::<DynPad>("tensor.dyn_pad"),
    row::<DynReshape>("tensor.dyn_reshape"),
    row::<DynSlice>("tensor.dyn_slice"),
    row::<NonZero>("tensor.non_zero"),
];

/// The addresses of the measures, for the support table.
pub(crate) const MEASURE_ADDRESSES: [Measure; MEASURES.len()] = {
    let mut out = [MEASURES[0].run; MEASURES.len()];
    let mut i = 0;
    while i < out.len() {
        out[i] = MEASURES[i].run;
        i += 1;
    }
    out
};

/// The number of an op's measure, if its extents follow from values.
pub(crate) fn number(op: &str) -> Option<usize> {
    MEASURES.binary_search_by_key(&op, |m| m.op).ok()
}

const fn row<R: Rule>(op: &'static str) -> MeasureDef {
    MeasureDef {
        op,
        describe: R::describe,
        figures: R::figures,
        run: enter::<R>,
    }
}

/// A fault and its figures.
type Broken = (Fault, i64, i64);

/// What a measure does.
trait Rule {
    /// How many operands there are.
    const OPERANDS: usize;

    /// The attributes as integers.
    fn describe(_: OpView<'_>) -> Vec<i64> {
        Vec::new()
    }

    /// Extents first.
    fn figures(op: OpView<'_>) -> usize {
        op.result_tensor(0).rank()
    }

    fn run(attrs: &[i64], operands: &[View], figures: &mut [i64]) -> Result<(), Broken>;
}

unsafe extern "C" fn enter<R: Rule>(
    ctx: *mut Ctx,
    attrs: *const i64,
    operands: *const View,
    figures: *mut i64,
) -> i64 {
    // SAFETY: generated code passes its context, as many attributes and figures as it says before
    // the attributes, and a view of each operand.
    let outcome = unsafe {
        let [attr_count, figure_count] = *attrs.cast::<[i64; 2]>();
        R::run(
            std::slice::from_raw_parts(attrs.add(2), attr_count as usize),
            std::slice::from_raw_parts(operands, R::OPERANDS),
            std::slice::from_raw_parts_mut(figures, figure_count as usize),
        )
    };
    match outcome {
        Ok(()) => 0,
        Err((fault, a, b)) => {
            // SAFETY: as above; nothing else uses the context while the entry runs alone.
            unsafe { ((*ctx).report.a, (*ctx).report.b) = (a, b) };
            fault as i64
        }
    }
}

/// The numbers of an operand of integers.
fn integers(view: &View) -> Vec<i64> {
    view.values::<i64>().to_vec()
}

struct DynBroadcast;

impl Rule for DynBroadcast {
    const OPERANDS: usize = 2;

    fn run(_: &[i64], operands: &[View], figures: &mut [i64]) -> Result<(), Broken> {
        let (from, to) = (operands[0].shape(), integers(&operands[1]));
        let rank = figures.len();
        let at = |dims: &[i64], i: usize| match (i + dims.len()).checked_sub(rank) {
            Some(i) => dims[i],
            None => 1,
        };
        let from: Vec<i64> = from.iter().map(|&n| n as i64).collect();
        for (i, figure) in figures.iter_mut().enumerate() {
            *figure = match (at(&from, i), at(&to, i)) {
                (_, n) if n < 0 => return Err((Fault::Negative, n, 0)),
                (1, n) | (n, 1) => n,
                (n, m) if n == m => n,
                (n, m) => return Err((Fault::Broadcast, n, m)),
            };
        }
        Ok(())
    }
}

struct DynReshape;

impl Rule for DynReshape {
    const OPERANDS: usize = 2;

    fn run(_: &[i64], operands: &[View], figures: &mut [i64]) -> Result<(), Broken> {
        let (total, to) = (operands[0].len() as i64, integers(&operands[1]));
        let mut known = to.iter().filter(|&&n| n != -1);
        if let Some(&n) = to.iter().find(|&&n| n < -1) {
            return Err((Fault::Negative, n, 0));
        }
        let product = known.try_fold(1i64, |product, &n| product.checked_mul(n));
        let product = product.ok_or((Fault::TooLarge, 0, 0))?;
        let bad = Err((Fault::Reshape, total, product));
        let rest = match to.iter().filter(|&&n| n == -1).count() {
            0 if product == total => 1,
            1 if product != 0 && total % product == 0 => total / product,
            _ => return bad,
        };
        for (figure, n) in figures.iter_mut().zip(to) {
            *figure = if n == -1 { rest } else { n };
        }
        Ok(())
    }
}

/// Behind the extents stands where each axis begins, and behind those the steps.
struct DynSlice;

impl Rule for DynSlice {
    const OPERANDS: usize = 4;

    fn describe(op: OpView<'_>) -> Vec<i64> {
        tensor::DynSlice::axes(op)
    }

    fn figures(op: OpView<'_>) -> usize {
        3 * op.result_tensor(0).rank()
    }

    fn run(axes: &[i64], operands: &[View], figures: &mut [i64]) -> Result<(), Broken> {
        let from = operands[0].shape();
        let [start, stop, step] = [1, 2, 3].map(|i| integers(&operands[i]));
        let (extents, rest) = figures.split_at_mut(from.len());
        let (starts, steps) = rest.split_at_mut(from.len());
        for (axis, &n) in from.iter().enumerate() {
            (extents[axis], starts[axis], steps[axis]) = (n as i64, 0, 1);
        }
        for (i, &axis) in axes.iter().enumerate() {
            let axis = axis as usize;
            let run = tensor::slice_run(from[axis], start[i], stop[i], step[i])
                .map_err(|_| (Fault::ZeroStep, 0, 0))?;
            (extents[axis], starts[axis]) = (run.count as i64, run.start as i64);
            // A single place may have any step, which must not reach beyond any memory.
            steps[axis] = if run.count > 1 { run.step as i64 } else { 0 };
        }
        Ok(())
    }
}

struct DynPad;

impl Rule for DynPad {
    const OPERANDS: usize = 3;

    fn describe(op: OpView<'_>) -> Vec<i64> {
        let constant = tensor::DynPad::mode(op) == PadMode::Constant.name();
        vec![i64::from(constant)]
    }

    fn run(attrs: &[i64], operands: &[View], figures: &mut [i64]) -> Result<(), Broken> {
        let (from, pads) = (operands[0].shape(), integers(&operands[1]));
        let (low, high) = pads.split_at(from.len());
        for (axis, &n) in from.iter().enumerate() {
            let extent = n as i128 + i128::from(low[axis]) + i128::from(high[axis]);
            let extent = i64::try_from(extent).map_err(|_| (Fault::TooLarge, 0, 0))?;
            match extent {
                ..=-1 => return Err((Fault::Negative, extent, 0)),
                1.. if n == 0 && attrs[0] == 0 => return Err((Fault::Empty, 0, 0)),
                _ => figures[axis] = extent,
            }
        }
        Ok(())
    }
}

struct DynIota;

impl Rule for DynIota {
    const OPERANDS: usize = 3;

    fn run(_: &[i64], operands: &[View], figures: &mut [i64]) -> Result<(), Broken> {
        let [start, limit, delta] = [0, 1, 2].map(|i| scalar(&operands[i]));
        let zero = (Fault::ZeroStep, 0, 0);
        let count = match (start, limit, delta) {
            (_, _, Num::Int(0)) => return Err(zero),
            (Num::Int(start), Num::Int(limit), Num::Int(delta)) => {
                let span = (limit - start) * delta.signum();
                i64::try_from(span.max(0).unsigned_abs().div_ceil(delta.unsigned_abs()))
                    .unwrap_or(i64::MAX)
            }
            (start, limit, delta) => {
                let delta = delta.as_f64();
                let count = ((limit.as_f64() - start.as_f64()) / delta).ceil();
                match delta == 0.0 || count.is_nan() {
                    true => return Err(zero),
                    false => count.max(0.0) as i64,
                }
            }
        };
        figures[0] = count;
        Ok(())
    }
}

/// The only element of an operand.
fn scalar(view: &View) -> Num {
    with_native!(view.elem(), T => view.values::<T>()[0].to_num())
}

struct NonZero;

impl Rule for NonZero {
    const OPERANDS: usize = 1;

    fn run(_: &[i64], operands: &[View], figures: &mut [i64]) -> Result<(), Broken> {
        let x = &operands[0];
        let count = with_native!(x.elem(), T => {
            x.values::<T>().iter().filter(|v| super::non_zero::differs(**v)).count()
        });
        (figures[0], figures[1]) = (x.shape().len() as i64, count as i64);
        Ok(())
    }
}
