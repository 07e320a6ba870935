//! How far rounding alone can move an output.
//!
//! A target may round otherwise than the interpreter, within the tolerance of each op. Most
//! networks forgive that; some do not: they subtract what is almost equal, or compare it. So the
//! interpreter runs again with every rounded value a little off; where that moves an output, a
//! difference of that size says nothing about the target. What is computed without rounding
//! (whole numbers, moved data, comparisons of inputs) stays as it is, and must be met exactly.

use std::collections::BTreeSet;

use lepid_ir::core::{Builder, Elem, Module, Num, Op, OpView, Tensor, Trait, Value};
use lepid_ir::dialects::core::constant;
use lepid_ir::dialects::tensor;
use lepid_ir::interp::{self, random::Random};
use lepid_target_conformance::tolerance;

/// Runs with other noise.
const RUNS: u64 = 16;

/// Above all indices, below the bits of all floats that are not next to 0.
const LARGE: f64 = 65536.0;

/// The farthest that an element of an output moves; infinite if it stops being a number.
pub(super) fn spread(
    module: &Module,
    main: Op,
    inputs: &[Tensor],
    expected: &[Tensor],
    output: usize,
    at: usize,
) -> f64 {
    let plain = expected[output].num(at).as_f64();
    let mut farthest = 0.0f64;
    for run in 0..RUNS {
        let Some(noisy) = noisy(module, &mut Random::new(run)) else {
            return 0.0;
        };
        let Ok(results) = interp::run(&noisy, main, inputs) else {
            return 0.0;
        };
        let moved = results[output].num(at).as_f64();
        if moved == plain || (moved.is_nan() && plain.is_nan()) {
            continue;
        }
        let distance = (moved - plain).abs();
        farthest = farthest.max(if distance.is_nan() {
            f64::INFINITY
        } else {
            distance
        });
    }
    // Where rounding decides on the first digits, it may as well decide on a division by 0; and
    // where it decides on an index or a truth value, on any other. Large whole numbers are the bits
    // of floats.
    let decides = !expected[output].elem().is_float() && plain.abs() < LARGE && farthest > 0.0;
    match decides || farthest > 0.1 * plain.abs().max(1.0) {
        true => f64::INFINITY,
        false => farthest,
    }
}

/// The module with factors near 1 on the operands that have been rounded. None where that cannot
/// be said, which is a mistake of ours.
fn noisy(module: &Module, random: &mut Random) -> Option<Module> {
    let mut noisy = module.clone();
    let mut rounded: BTreeSet<Value> = BTreeSet::new();
    for op in module.walk() {
        let view = module.view(op);
        for &region in view.regions() {
            for &block in module.region_blocks(region) {
                // What a loop carries may have been rounded in an earlier turn.
                if view.name() != "core.func" {
                    rounded.extend(module.block_args(block));
                }
            }
        }
        let moves = moves(view);
        for (index, &value) in view.operands().iter().enumerate() {
            // An output is read, and the bits of a float tell its last one.
            let read = ["core.return", "tensor.bitcast"].contains(&view.name());
            let is_rounded = match is_equality(view) {
                true => view.operands().iter().any(|v| rounded.contains(v)),
                false => rounded.contains(&value),
            };
            let shaken = match is_rounded {
                true => !moves || read,
                false => !moves && sums(view),
            };
            if shaken && is_float(module, value) {
                let shaken = match index {
                    1 if is_equality(view) => snap(&mut noisy, op, value, random)?,
                    _ => shake(&mut noisy, op, value, random)?,
                };
                noisy.set_operand(op, index, shaken);
            }
        }
        let inexact = !moves || view.operands().iter().any(|v| rounded.contains(v));
        if inexact || !view.regions().is_empty() {
            rounded.extend(view.results());
        }
    }
    Some(noisy)
}

fn shake(module: &mut Module, op: Op, value: Value, random: &mut Random) -> Option<Value> {
    let ty = module.value_type(value).as_tensor()?;
    let shape = ty.known_dims()?;
    let step = tolerance(ty.elem) / 2.0;
    let count = shape.iter().product::<usize>();
    let nums: Vec<Num> = (0..count)
        .map(|_| {
            Num::Float(1.0 + step * (2.0 * random.unit() - 1.0).signum() * (0.5 + random.unit()))
        })
        .collect();
    let factor = Tensor::from_nums(ty.elem, shape, nums);
    let mut b = Builder::before(module, op);
    let factor = constant(&mut b, factor).ok()?;
    let scaled = b.one(&tensor::Mul, &[value, factor], &[]).ok()?;
    // Below 1 the tolerance is absolute: what is next to nothing may be 0, or have the other sign.
    let nums: Vec<Num> = (0..count)
        .map(|_| Num::Float(step * (2.0 * random.unit() - 1.0)))
        .collect();
    let rest = constant(&mut b, Tensor::from_nums(ty.elem, ty.known_dims()?, nums)).ok()?;
    b.one(&tensor::Add, &[scaled, rest], &[]).ok()
}

/// Whether an op asks if two values are equal.
fn is_equality(op: OpView<'_>) -> bool {
    op.name() == "tensor.compare" && ["eq", "ne"].contains(&tensor::Compare::direction(op))
}

/// The second operand of a comparison for equality: in every other run it is the first where both
/// are next to each other. Noise alone never makes two values equal.
fn snap(module: &mut Module, op: Op, value: Value, random: &mut Random) -> Option<Value> {
    let first = module.operands(op)[0];
    let shaken = shake(module, op, value, random)?;
    if random.below(2) == 0 {
        return Some(shaken);
    }
    let mut b = Builder::before(module, op);
    let [low, high] = [-1.0, 1.0].map(|sign| {
        let ty = b.value_type(first).as_tensor()?;
        let (elem, shape) = (ty.elem, ty.known_dims()?);
        let far = 4.0 * sign * tolerance(elem);
        let scale = constant(&mut b, Tensor::splat(elem, &shape, Num::Float(far))).ok()?;
        let size = b.one(&tensor::Abs, &[first], &[]).ok()?;
        let part = b.one(&tensor::Mul, &[size, scale], &[]).ok()?;
        let moved = b.one(&tensor::Add, &[first, part], &[]).ok()?;
        b.one(&tensor::Add, &[moved, scale], &[]).ok()
    });
    let at_least = b.one(&tensor::Max, &[shaken, low?], &[]).ok()?;
    let inside = b.one(&tensor::Min, &[at_least, high?], &[]).ok()?;
    let near = b
        .one(
            &tensor::Compare,
            &[inside, shaken],
            &[("direction", "eq".into())],
        )
        .ok()?;
    b.one(&tensor::Select, &[near, first, shaken], &[]).ok()
}

fn is_float(module: &Module, value: Value) -> bool {
    module.value_type(value).elem().is_some_and(Elem::is_float)
}

/// Whether an op gives what it takes, without rounding.
fn moves(op: OpView<'_>) -> bool {
    const MOVING: &[&str] = &[
        "nn.max_pool",
        "nn.relu",
        "tensor.abs",
        "tensor.bitcast",
        "tensor.broadcast",
        "tensor.concat",
        "tensor.dim",
        "tensor.dyn_broadcast",
        "tensor.dyn_pad",
        "tensor.dyn_reshape",
        "tensor.dyn_slice",
        "tensor.gather",
        "tensor.gather_elements",
        "tensor.gather_nd",
        "tensor.if",
        "tensor.iota",
        "tensor.max",
        "tensor.min",
        "tensor.neg",
        "tensor.pad",
        "tensor.reshape",
        "tensor.reverse",
        "tensor.select",
        "tensor.slice",
        "tensor.transpose",
        "tensor.while",
    ];
    op.name().starts_with("core.") || MOVING.contains(&op.name())
}

/// Whether an op adds up elements, so that what cancels is lost.
fn sums(op: OpView<'_>) -> bool {
    !op.info().has(Trait::Elementwise)
        && !["tensor.sort", "tensor.top_k", "tensor.arg_reduce"].contains(&op.name())
}
