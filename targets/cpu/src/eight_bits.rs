//! Keeps quantised weights in eight bits, where that is faster than to make floats of them.
//!
//! ```text
//! kernel.linear(%x, (cast %q) * %scale)   =>   kernel.linear(…) {quantised = 4096}
//! ```
//!
//! Few rows are bound by the weights' way from memory, and eight bits are a quarter of it. With many
//! rows the conversion of each weight in each tile of rows costs more than that. What either costs,
//! the target's cost model predicts.

use lepid_ir::core::{Module, Op, OpView, Tensor, Value};
use lepid_ir::dialects::kernel::{self, PANEL};
use lepid_ir::interp;
use lepid_passes::core::{Changed, PassCx, PassDef, PassOption, PassResult, Values};
use lepid_target_api::{TargetInfo, TargetOptions};

use crate::choice::Use;
use crate::weights::release;

pub(crate) const PASS: PassDef = PassDef {
    name: "keep-eight-bits",
    summary: "Keeps quantised weights of products in eight bits where that is faster.",
    values: Values::Within(1e-5),
    options: &[PassOption {
        name: "use",
        default: "auto",
        help: "Whether: off, on, or auto where it is faster.",
    }],
    run,
};

fn run(module: &mut Module, cx: &mut PassCx<'_>) -> PassResult {
    let wanted: Use = cx.option("use")?;
    let mut changed = Changed::No;
    for op in module.walk() {
        let view = module.view(op);
        if view.name() != "kernel.linear" || Scaled::of(view).is_none() {
            continue;
        }
        let stated = kernel::Linear::quantised(view);
        if choose(module, op, wanted, cx.env.seconds) != stated {
            changed = Changed::Yes;
        }
    }
    Ok(changed)
}

/// Sets how many rows of quantised weights share their scales, or 0 to make floats of them.
fn choose(module: &mut Module, op: Op, wanted: Use, seconds: &dyn Fn(OpView<'_>) -> f64) -> i64 {
    let view = module.view(op);
    let weight = view.operand(1);
    let depth = view.operand_dims(1)[0].known().unwrap_or(0) as i64;
    let refused = refusal(view, wanted).is_some();
    let mut set = |block: i64| {
        module.set_attr(op, "quantised", block.into());
        seconds(module.view(op))
    };
    let floats = set(0);
    let faster = !refused && set(depth) < WORTH_IT * floats;
    set(0);
    if refused || !(faster || wanted == Use::On) {
        return 0;
    }
    let block = EightBits::of(module, weight).map_or(0, |weights| weights.block as i64);
    release(module, weight);
    if block > 0 {
        module.set_attr(op, "algorithm", "direct".into());
    }
    module.set_attr(op, "quantised", block.into());
    block
}

/// A smaller gain than this is not worth to look through the weights.
pub(crate) const WORTH_IT: f64 = 0.9;

/// Why weights that are quantised may not be kept so, whatever they are.
pub(crate) fn refusal(linear: OpView<'_>, wanted: Use) -> Option<String> {
    match linear.result_tensor(0).known_dims() {
        _ if wanted == Use::Off => Some("switched off by `quantised`".into()),
        None => Some("its rows are known only at run time".into()),
        Some(_) => None,
    }
}

/// What the option `quantised` says. What does not parse has its default: the pass refuses it.
pub(crate) fn wanted(info: &TargetInfo, options: &TargetOptions) -> Use {
    let text = options.get(info, "quantised").unwrap_or_default();
    text.parse().unwrap_or(Use::Auto)
}

/// Weights that are a product of small integers and scales.
pub(crate) struct Scaled {
    integers: Value,
    scales: Value,
    /// Ops that only move the elements of the product, the last one first.
    moves: Vec<Op>,
}

impl Scaled {
    /// The weights of a `kernel.linear`, if they have that form.
    pub(crate) fn of(linear: OpView<'_>) -> Option<Scaled> {
        Scaled::from(linear.module, linear.operand(1))
    }

    fn from(module: &Module, weight: Value) -> Option<Scaled> {
        let mut moves = Vec::new();
        let mut value = weight;
        loop {
            let op = module.defining_op(value)?;
            let operands = module.operands(op);
            match module.op_name(op) {
                "tensor.transpose" | "tensor.reshape" | "tensor.slice" => {
                    moves.push(op);
                    value = operands[0];
                }
                "tensor.mul" => {
                    let sides = [(operands[0], operands[1]), (operands[1], operands[0])];
                    let mut sides = sides.into_iter();
                    let (integers, scales) = sides.find(|&(x, _)| is_of_few_bits(module, x))?;
                    return Some(Scaled {
                        integers,
                        scales,
                        moves,
                    });
                }
                _ => return None,
            }
        }
    }
}

/// Whether a value is made from numbers of at most eight bits.
fn is_of_few_bits(module: &Module, mut value: Value) -> bool {
    while let Some(op) = module.defining_op(value) {
        let Some(&first) = module.operands(op).first() else {
            return false;
        };
        let from = module.value_type(first).elem();
        match module.op_name(op) {
            "tensor.cast" if from.is_some_and(|e| e.is_int() && e.bits() <= 8) => return true,
            "tensor.cast" | "tensor.sub" | "tensor.reshape" | "tensor.transpose"
            | "tensor.slice" => value = first,
            _ => return false,
        }
    }
    false
}

/// Weights [K, N] as integers of eight bits.
pub(crate) struct EightBits {
    depth: usize,
    columns: usize,
    integers: Vec<i8>,
    /// One for each weight.
    scales: Tensor,
    /// So many rows have the same scales.
    pub(crate) block: usize,
}

impl EightBits {
    /// Evaluates weights; says why they are not what the kernel takes.
    pub(crate) fn of(module: &Module, weight: Value) -> Result<EightBits, &'static str> {
        let unknown = "its weights are not small integers times scales";
        let scaled = Scaled::from(module, weight).ok_or(unknown)?;
        let evaluated = |value: Value| -> Option<Tensor> {
            let mut tensor = interp::eval_constant(module, value)?;
            for &op in scaled.moves.iter().rev() {
                let moved = interp::eval_pure(module, op, &[tensor]).ok()?;
                tensor = moved.into_iter().next()?;
            }
            Some(tensor)
        };
        let integers = evaluated(scaled.integers).ok_or(unknown)?;
        let scales = evaluated(scaled.scales).ok_or(unknown)?;
        let &[depth, columns] = integers.shape() else {
            return Err(unknown);
        };
        let small = |&x: &f32| (x as i8 as f32 == x).then_some(x as i8);
        let integers: Option<Vec<i8>> = integers.values::<f32>().iter().map(small).collect();
        let block = block_of(&scales.values::<f32>(), depth, columns);
        match integers {
            None => Err("less their zero points, its weights exceed eight bits"),
            Some(_) if block < LEAST_BLOCK.min(depth) => {
                Err("its scales change from row to row of the weights")
            }
            Some(integers) => Ok(EightBits {
                depth,
                columns,
                integers,
                scales,
                block,
            }),
        }
    }

    /// What [`packed_bytes`] counts: scales `[panel][block][16]`, then integers `[panel][K][16]`.
    fn pack(&self, block: usize, to: &mut [u8]) {
        let blocks = self.depth.div_ceil(block);
        let (scales, integers) = to.split_at_mut(scale_bytes(self.depth, self.columns, block));
        let from = self.scales.values::<f32>();
        let rows = scales.chunks_exact_mut(4 * PANEL).enumerate();
        for (i, row) in rows {
            let (panel, row_of_block) = (i / blocks, i % blocks * block);
            let columns = (self.columns - panel * PANEL).min(PANEL);
            let from = &from[row_of_block * self.columns + panel * PANEL..][..columns];
            for (to, scale) in row.chunks_exact_mut(4).zip(from) {
                to.copy_from_slice(&scale.to_ne_bytes());
            }
        }
        for (i, row) in integers.chunks_exact_mut(PANEL).enumerate() {
            let (panel, l) = (i / self.depth, i % self.depth);
            let columns = (self.columns - panel * PANEL).min(PANEL);
            let from = &self.integers[l * self.columns + panel * PANEL..][..columns];
            for (to, &weight) in row.iter_mut().zip(from) {
                *to = weight as u8;
            }
        }
    }
}

/// Scales of fewer rows cost as much as the weights.
const LEAST_BLOCK: usize = 16;

/// The most rows such that all blocks of so many have the same scales.
fn block_of(scales: &[f32], depth: usize, columns: usize) -> usize {
    let mut block = 0;
    for l in 1..depth {
        let (before, row) = scales[(l - 1) * columns..][..2 * columns].split_at(columns);
        if before != row {
            block = common_divisor(block, l);
        }
    }
    match block {
        0 => depth,
        block => block,
    }
}

fn common_divisor(a: usize, b: usize) -> usize {
    match a {
        0 => b,
        _ => common_divisor(b % a, a),
    }
}

/// Bytes of packed scales: a multiple of a cache line, so that the integers begin on one.
pub(crate) fn scale_bytes(depth: usize, columns: usize, block: usize) -> usize {
    4 * columns.next_multiple_of(PANEL) * depth.div_ceil(block)
}

/// Bytes of packed weights with their scales.
pub(crate) fn packed_bytes(depth: usize, columns: usize, block: usize) -> usize {
    scale_bytes(depth, columns, block) + columns.next_multiple_of(PANEL) * depth
}

/// Packs the weights of a product whose scales are those of blocks of so many rows.
pub(crate) fn fill(
    module: &Module,
    weight: Value,
    block: usize,
    to: &mut [u8],
) -> Result<(), String> {
    let weights = EightBits::of(module, weight)?;
    let fits = weights.block.is_multiple_of(block) || weights.block == weights.depth;
    if !fits {
        let message = format!("the scales of the weights are not those of blocks of {block} rows");
        return Err(message);
    }
    weights.pack(block, to);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_where_scales_change() {
        let of = |rows: &[f32]| block_of(rows, rows.len(), 1);
        assert_eq!(of(&[2.0; 6]), 6);
        assert_eq!(of(&[1.0, 1.0, 2.0, 2.0, 3.0]), 2);
        assert_eq!(of(&[1.0, 1.0, 1.0, 1.0, 3.0, 3.0]), 4);
        assert_eq!(of(&[1.0, 1.0, 2.0, 3.0]), 1);
        assert_eq!(block_of(&[1.0, 2.0, 1.0, 2.0], 2, 2), 2);
    }
}
