//! Takes channel shuffles out of memory: convolutions read their channels in another order.
//!
//! ```text
//! %1 = tensor.reshape(%0) {shape = [N, H, W, 4, 34]}
//! %2 = tensor.transpose(%1) {perm = [0, 1, 2, 4, 3]}
//! %3 = tensor.reshape(%2) {shape = [N, H, W, 136]}
//! %4 = kernel.conv(%3, %w) {groups = 4}     =>   %4 = kernel.conv(%0, %w, %order) {gather = true, groups = 4}
//! ```
//!
//! A depthwise convolution computes each channel by itself: it takes the order into its weights and
//! bias, and hands the shuffle on to the convolutions behind it. One group of channels that are
//! all read has the order in its weights alone.

use lepid_ir::core::{Builder, Dim, Elem, Module, Op, OpDef, OpResult, OpView, Tensor, Value};
use lepid_ir::dialects::core::constant;
use lepid_ir::dialects::kernel;
use lepid_ir::dialects::tensor::{self, build};

use crate::core::rewrite::{create_like, defined_by};
use crate::core::{Changed, PassCx, PassDef, PassResult, Values};

pub const PASS: PassDef = PassDef {
    name: "fold-shuffles",
    summary: "Draws channel shuffles into the convolutions behind them.",
    values: Values::Exact,
    options: &[],
    run,
};

fn run(module: &mut Module, _cx: &mut PassCx<'_>) -> PassResult {
    let mut changed = Changed::No;
    for op in module.walk() {
        if module.op_name(op) != "kernel.conv" {
            continue;
        }
        let Some(shuffle) = Shuffle::of(module, module.operands(op)[0]) else {
            continue;
        };
        let fold = match Reader::of(module.view(op)) {
            Some(Reader::Depthwise) => through_depthwise,
            Some(Reader::Product) => into_product,
            None => continue,
        };
        let loc = module.loc(op).clone();
        fold(module, op, &shuffle).map_err(|error| vec![error.at(loc)])?;
        changed = Changed::Yes;
    }
    Ok(changed)
}

/// A value whose channels are those of another in a different order.
struct Shuffle {
    source: Value,
    /// The channels of the source in rows and columns; the shuffle goes column by column.
    rows: u64,
    columns: u64,
}

impl Shuffle {
    /// Matches a reshape of the last axis into two, which change places and become one again.
    fn of(module: &Module, value: Value) -> Option<Shuffle> {
        let op = |value: Value, def: &dyn OpDef| Some(module.view(defined_by(module, value, def)?));
        let joined = op(value, &tensor::Reshape)?;
        let swapped = op(joined.operand(0), &tensor::Transpose)?;
        let split = op(swapped.operand(0), &tensor::Reshape)?;
        let (whole, parts) = (split.operand_dims(0), split.result_tensor(0));
        let (_, pixels) = whole.split_last()?;
        let rank = pixels.len() as i64;
        let &[ref others @ .., Dim::Known(rows), Dim::Known(columns)] = &parts.dims[..] else {
            return None;
        };
        let swap = (0..rank).chain([rank + 1, rank]);
        let fits = others == pixels
            && joined.result_tensor(0).dims[..] == *whole
            && !pixels.contains(&Dim::Unknown)
            && tensor::Transpose::perm(swapped).into_iter().eq(swap);
        fits.then_some(Shuffle {
            source: split.operand(0),
            rows,
            columns,
        })
    }

    /// The channel of the source that each channel is.
    fn order(&self) -> Vec<i32> {
        let all = (0..self.columns).flat_map(|c| (0..self.rows).map(move |r| r * self.columns + c));
        all.map(|channel| channel as i32).collect()
    }

    /// Where each channel of the source went: the shuffle of the columns.
    fn inverse(&self) -> Vec<i32> {
        let back = Shuffle {
            source: self.source,
            rows: self.columns,
            columns: self.rows,
        };
        back.order()
    }

    /// The shuffle of another value with as many channels.
    fn again(&self, b: &mut Builder<'_>, value: Value) -> OpResult<Value> {
        let dims = build::dims(b, value);
        let last = dims.len() - 1;
        let parts = [&dims[..last], &[self.rows, self.columns].map(Dim::Known)].concat();
        let split = build::reshape(b, value, &parts)?;
        let perm: Vec<usize> = (0..last).chain([last + 1, last]).collect();
        let swapped = build::transpose(b, split, &perm)?;
        build::reshape(b, swapped, &dims)
    }
}

/// What a convolution does with the order of its channels.
enum Reader {
    Depthwise,
    Product,
}

impl Reader {
    fn of(op: OpView<'_>) -> Option<Reader> {
        let plain = !kernel::Conv::gather(op)
            && !kernel::Conv::residual(op)
            && kernel::Conv::layout(op) == "nhwc";
        if !plain {
            return None;
        }
        let channels = op.operand_dims(0).last()?.known()?;
        let groups = kernel::Conv::groups(op) as u64;
        if groups != channels || groups == 1 {
            return Some(Reader::Product);
        }
        // Handed on, a shuffle must find somebody who takes it.
        let readers = op.module.uses(op.result(0)).iter();
        let taken = readers.map(|reader| {
            let reader = (op.module.view(reader.op), reader.operand);
            reader.1 == 0
                && reader.0.name() == "kernel.conv"
                && matches!(Reader::of(reader.0), Some(Reader::Product))
        });
        let taken: Vec<bool> = taken.collect();
        (kernel::is_depthwise(op) && !taken.is_empty() && taken.into_iter().all(|t| t))
            .then_some(Reader::Depthwise)
    }
}

fn indices(b: &mut Builder<'_>, list: Vec<i32>) -> OpResult<Value> {
    constant(b, Tensor::from_vec(Elem::I32, [list.len()], list))
}

/// Replaces a convolution by one on the source of the shuffle.
fn into_product(module: &mut Module, op: Op, shuffle: &Shuffle) -> OpResult<()> {
    let view = module.view(op);
    let mut operands = view.operands().to_vec();
    let gather = kernel::Conv::groups(view) != 1;
    let mut b = Builder::before(module, op);
    operands[0] = shuffle.source;
    if gather {
        operands.push(indices(&mut b, shuffle.order())?);
    } else {
        let inverse = indices(&mut b, shuffle.inverse())?;
        operands[1] = build::gather(&mut b, operands[1], inverse, 1)?;
    }
    let conv = create_like(&mut b, op, &operands, &[("gather", gather.into())])?;
    let results = module.results(conv).to_vec();
    module.replace_op(op, &results);
    Ok(())
}

/// Replaces a depthwise convolution by one on the source, and a shuffle behind it.
fn through_depthwise(module: &mut Module, op: Op, shuffle: &Shuffle) -> OpResult<()> {
    let mut operands = module.operands(op).to_vec();
    let mut b = Builder::before(module, op);
    operands[0] = shuffle.source;
    let inverse = indices(&mut b, shuffle.inverse())?;
    for operand in &mut operands[1..] {
        *operand = build::gather(&mut b, *operand, inverse, 0)?;
    }
    let conv = create_like(&mut b, op, &operands, &[])?;
    let y = b.module.results(conv)[0];
    let y = shuffle.again(&mut b, y)?;
    module.replace_op(op, &[y]);
    Ok(())
}
