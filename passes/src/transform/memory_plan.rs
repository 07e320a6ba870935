//! Gives each value of a function a place in one arena.
//!
//! ```text
//! func @main(%0: tensor<4xf32>) -> (…)   =>   func @main(%0: tensor<4xf32>) -> (…)
//!                                               attributes {arena_bytes = 64, slots = [-1, 0, …]}
//! ```
//!
//! `slots` has one number per value of the body, in the order of [`values`]: a byte offset, or -1
//! for what does not lie in the arena (arguments, constants and what is computed from them, results
//! that go straight to an output). A reshape shares the place of its operand, and so
//! does a broadcast to unknown extents that only loops read; what a concat joins lies in the place
//! of the concat ([`joins`]), a state that changes in place in the state's own memory
//! ([`mod@states`]), and what a gate leaves of a value where the value was ([`mod@gates`]). Two values that are alive together never overlap. Offsets are given greedily, the largest values first, over the
//! interference graph.
//!
//! How much a value of unknown extents takes is known only while the program runs: it gets no
//! offset but one of a few buffers that the run time makes room in, as -2 for the first, -3 for the
//! second and so on. [`Storage`] reads the numbers.

use std::collections::BTreeMap;
use std::ops::Range;

use lepid_ir::core::{Attr, Block, Elem, Module, Op, Value};
use lepid_ir::dialects::core::Func;
use lepid_ir::dialects::kernel;
use petgraph::graphmap::UnGraphMap;

use crate::core::{Changed, PassCx, PassDef, PassResult, Values};
use crate::transform::gates;
use crate::transform::joins;
use crate::transform::lower::nn_to_kernel::is_constant_expression;
use crate::transform::states::{self, State};

pub const PASS: PassDef = PassDef {
    name: "memory-plan",
    summary: "Gives each value a place in one arena.",
    values: Values::Exact,
    options: &[],
    run,
};

/// Offsets are multiples of a cache line.
const ALIGN: u64 = 64;

fn run(module: &mut Module, _cx: &mut PassCx<'_>) -> PassResult {
    let mut changed = Changed::No;
    for func in module.funcs().collect::<Vec<Op>>() {
        let plan = plan(module, func);
        let slots: Vec<i64> = plan.slots.clone();
        let before = (
            Func::slots(module.view(func)),
            Func::arena_bytes(module.view(func)),
        );
        if before != (slots.clone(), plan.arena_bytes as i64) {
            module.set_attr(func, "slots", slots.into());
            module.set_attr(func, "arena_bytes", Attr::Int(plan.arena_bytes as i64));
            changed = Changed::Yes;
        }
    }
    Ok(changed)
}

/// Where the values of a function lie.
#[derive(Clone, Debug)]
pub struct Plan {
    pub arena_bytes: u64,
    /// One per value of [`values`].
    pub slots: Vec<i64>,
}

/// Where a number of `slots` puts a value.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Storage {
    /// In none of the memories that are planned.
    Elsewhere,
    /// At a byte offset of the arena.
    Arena(u64),
    /// In the buffer of that number, whose size is known only at run time.
    Slot(u64),
}

impl Storage {
    /// Reads a number of `slots`.
    pub fn of(number: i64) -> Storage {
        match number {
            0.. => Storage::Arena(number as u64),
            -1 => Storage::Elsewhere,
            _ => Storage::Slot((-2 - number) as u64),
        }
    }

    /// The number in `slots`.
    fn number(self) -> i64 {
        match self {
            Storage::Elsewhere => -1,
            Storage::Arena(offset) => offset as i64,
            Storage::Slot(slot) => -2 - slot as i64,
        }
    }
}

/// Whether the extents of a value are known only at run time.
pub fn is_open(module: &Module, value: Value) -> bool {
    let ty = module.value_type(value).as_tensor();
    ty.is_some_and(|ty| ty.dims.iter().any(|d| d.known().is_none()))
}

/// Whether an op gives the elements of its first operand another shape, and its result lies where
/// the operand does.
pub fn is_view(module: &Module, op: Op) -> bool {
    match module.op_name(op) {
        "tensor.dyn_reshape" | "tensor.reshape" => true,
        "tensor.dyn_broadcast" => is_stretched(module, op),
        _ => false,
    }
}

/// Whether a broadcast need not be stored: all that read it are nests of unknown extents, which
/// can read one element over and over.
pub fn is_stretched(module: &Module, op: Op) -> bool {
    let result = module.results(op)[0];
    let mut uses = module.uses(result).iter();
    module.op_name(op) == "tensor.dyn_broadcast"
        && is_open(module, result)
        && uses.all(|u| module.op_name(u.op) == "kernel.nest")
}

/// The values of a function's body that a plan speaks of, outside of kernels, in program order:
/// each block's arguments, then each op's results followed by what its regions define.
pub fn values(module: &Module, func: Op) -> Vec<Value> {
    let mut out = Vec::new();
    collect(module, Func::block(module.view(func)), &mut out);
    out
}

fn collect(module: &Module, block: Block, out: &mut Vec<Value>) {
    out.extend_from_slice(module.block_args(block));
    for op in module.ops_in(block) {
        out.extend_from_slice(module.results(op));
        for inner in inner_blocks(module, op) {
            collect(module, inner, out);
        }
    }
}

/// The blocks of an op that hold storage: those of a kernel do not.
fn inner_blocks(module: &Module, op: Op) -> Vec<Block> {
    if kernel::has_body(module, op) {
        return Vec::new();
    }
    let regions = module.regions(op).iter();
    regions
        .flat_map(|&r| module.region_blocks(r).to_vec())
        .collect()
}

/// The value that `value` is a view of, or itself.
pub fn viewed(module: &Module, value: Value) -> Value {
    let mut at = value;
    while let Some(op) = module.defining_op(at)
        && is_view(module, op)
    {
        at = module.operands(op)[0];
    }
    at
}

/// The value in whose memory `value` lies, as a view of it or as what a gate left of it, or itself.
pub fn lodged(module: &Module, value: Value) -> Value {
    let mut at = value;
    loop {
        at = viewed(module, at);
        match gates::in_place(module, at) {
            Some(before) => at = before,
            None => return at,
        }
    }
}

/// The value whose place `value` shares: itself, unless it lies in the memory of another or is
/// computed in the place of a concat.
pub fn storage(module: &Module, value: Value) -> Value {
    let at = lodged(module, value);
    joins::joined(module, at).map_or(at, |joined| joined.into)
}

/// The results of a function that are computed where the caller wants them: result number i has
/// the storage `direct[i]`, if it has one of its own that no other result took before. The caller
/// has no place for what it does not know the extents of. The result of a state that changes in
/// place is the memory of the state.
pub fn direct_outputs(module: &Module, func: Op) -> Vec<Option<Value>> {
    let states = states::states(module, func);
    let mut taken: Vec<Value> = states.iter().filter_map(State::in_place).collect();
    let block = Func::block(module.view(func));
    let returned = Func::returned(module.view(func)).iter();
    returned
        .enumerate()
        .map(|(number, &value)| {
            if let Some(state) = states.iter().find(|s| s.output == number)
                && let Some(root) = state.in_place()
            {
                return Some(root);
            }
            let root = storage(module, value);
            let op = module.defining_op(root)?;
            let own = module.op_block(op) == Some(block)
                && !is_constant_expression(module, root)
                && !is_open(module, root)
                && !is_open(module, value)
                && (module.regions(op).is_empty() || kernel::has_body(module, op))
                && !taken.contains(&root);
            own.then(|| {
                taken.push(root);
                root
            })
        })
        .collect()
}

#[derive(Copy, Clone)]
struct Interval {
    first: usize,
    last: usize,
    /// Not known of a value of unknown extents.
    bytes: Option<u64>,
}

/// An interval of a value whose size is known.
#[derive(Copy, Clone)]
struct SizedInterval {
    first: usize,
    last: usize,
    bytes: u64,
}

impl SizedInterval {
    fn of(interval: Interval) -> Option<SizedInterval> {
        Some(SizedInterval {
            first: interval.first,
            last: interval.last,
            bytes: interval.bytes?,
        })
    }
}

/// How long a value needs its place, in ticks of the [`timeline`].
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Life {
    pub value: Value,
    pub first: usize,
    pub last: usize,
    pub bytes: u64,
}

/// The lives of all values of a function that have a place of their own in the arena, in the order
/// of their ids.
pub fn lives(module: &Module, func: Op) -> Vec<Life> {
    let lives = intervals(module, func).into_iter();
    lives
        .filter_map(|(value, i)| {
            Some(Life {
                value,
                first: i.first,
                last: i.last,
                bytes: i.bytes?,
            })
        })
        .collect()
}

/// What happens at each tick: an op, or the end of a block.
pub fn timeline(module: &Module, func: Op) -> Vec<Option<Op>> {
    let mut ticks = vec![None];
    tell_time(module, Func::block(module.view(func)), &mut ticks);
    ticks
}

/// Ticks as [`walk`] counts them.
fn tell_time(module: &Module, block: Block, ticks: &mut Vec<Option<Op>>) {
    for op in module.ops_in(block) {
        ticks.push(Some(op));
        for inner in inner_blocks(module, op) {
            tell_time(module, inner, ticks);
        }
    }
    ticks.push(None);
}

fn intervals(module: &Module, func: Op) -> BTreeMap<Value, Interval> {
    let mut intervals: BTreeMap<Value, Interval> = BTreeMap::new();
    let block = Func::block(module.view(func));
    walk(module, block, &mut 0, &mut intervals, true);
    let outputs = direct_outputs(module, func);
    intervals.retain(|value, _| !outputs.contains(&Some(*value)));
    for state in states::states(module, func) {
        intervals.retain(|value, _| !state.changed().contains(value));
    }
    intervals
}

/// Plans one function.
pub fn plan(module: &Module, func: Op) -> Plan {
    let intervals = intervals(module, func);
    let offsets = place(&intervals);
    let buffers = place_open(&intervals);
    let ends = offsets.iter().map(|(value, offset)| {
        let bytes = intervals[value].bytes.unwrap_or(0);
        offset.saturating_add(bytes)
    });
    let arena_bytes = ends.max().unwrap_or(0);
    let slots = values(module, func)
        .into_iter()
        .map(|value| {
            let root = storage(module, value);
            let storage = match (offsets.get(&root), buffers.get(&root)) {
                (Some(&offset), _) => Storage::Arena(offset + bytes_into(module, value)),
                (None, Some(&buffer)) => Storage::Slot(buffer),
                (None, None) => Storage::Elsewhere,
            };
            storage.number()
        })
        .collect();
    Plan {
        arena_bytes: aligned(arena_bytes),
        slots,
    }
}

/// Where a value begins in the place that it shares.
fn bytes_into(module: &Module, value: Value) -> u64 {
    let joined = joins::joined(module, lodged(module, value));
    let bytes = module.value_type(value).elem().map_or(0, Elem::bytes);
    joined.map_or(0, |joined| joined.first * bytes as u64)
}

/// Gives each stored value its time of life, in ticks of one op each.
fn walk(
    module: &Module,
    block: Block,
    clock: &mut usize,
    intervals: &mut BTreeMap<Value, Interval>,
    outermost: bool,
) {
    // The arguments of a function lie where the caller put them; those of other blocks are ours.
    if !outermost {
        for &arg in module.block_args(block) {
            start(module, arg, *clock, intervals);
        }
    }
    for op in module.ops_in(block) {
        *clock += 1;
        for &operand in module.operands(op) {
            extend(module, operand, *clock, intervals);
        }
        // Results of an op with regions are written at the end of them; their place must be free
        // while the regions run, in which another path may write it.
        if !is_stored_elsewhere(module, op) {
            for &result in module.results(op) {
                start(module, result, *clock, intervals);
            }
        }
        let inner = inner_blocks(module, op);
        let entered = *clock;
        for &block in &inner {
            walk(module, block, clock, intervals, false);
        }
        keep_while_run(module, &inner, entered..*clock, intervals);
        for &result in module.results(op) {
            extend(module, result, *clock, intervals);
        }
    }
    *clock += 1;
}

/// An op may run its blocks again and again, the condition of a loop after the body, too: what
/// they read from outside, and their own arguments, live until all of them have ended.
fn keep_while_run(
    module: &Module,
    blocks: &[Block],
    run: Range<usize>,
    intervals: &mut BTreeMap<Value, Interval>,
) {
    if blocks.is_empty() {
        return;
    }
    for interval in intervals.values_mut() {
        if interval.first <= run.start && interval.last > run.start {
            interval.last = interval.last.max(run.end);
        }
    }
    for &arg in blocks.iter().flat_map(|&block| module.block_args(block)) {
        extend(module, arg, run.end, intervals);
    }
}

/// Whether the results of an op need no place of their own.
fn is_stored_elsewhere(module: &Module, op: Op) -> bool {
    let results = module.results(op);
    is_view(module, op) || results.iter().all(|&r| is_constant_expression(module, r))
}

fn start(module: &Module, value: Value, at: usize, intervals: &mut BTreeMap<Value, Interval>) {
    let value = storage(module, value);
    let Some(ty) = module.value_type(value).as_tensor() else {
        return;
    };
    let bytes = match is_open(module, value) {
        true => Some(None),
        false => ty
            .element_count()
            .map(|n| Some(n.saturating_mul(ty.elem.bytes() as u64).max(1))),
    };
    if let Some(bytes) = bytes {
        let interval = Interval {
            first: at,
            last: at,
            bytes,
        };
        // What a concat joins begins its life.
        intervals.entry(value).or_insert(interval);
    }
}

fn extend(module: &Module, value: Value, at: usize, intervals: &mut BTreeMap<Value, Interval>) {
    if let Some(interval) = intervals.get_mut(&storage(module, value)) {
        interval.last = interval.last.max(at);
    }
}

/// A buffer for each value of unknown extents, so that no two that are alive together share one.
fn place_open(intervals: &BTreeMap<Value, Interval>) -> BTreeMap<Value, u64> {
    let mut by_start: Vec<(Value, Interval)> = intervals
        .iter()
        .filter(|(_, i)| i.bytes.is_none())
        .map(|(&v, &i)| (v, i))
        .collect();
    by_start.sort_by_key(|(value, i)| (i.first, *value));
    // When the last value of each buffer ends.
    let mut ends: Vec<usize> = Vec::new();
    let mut buffers = BTreeMap::new();
    for (value, interval) in by_start {
        let free = ends.iter().position(|&end| end < interval.first);
        let buffer = free.unwrap_or_else(|| {
            ends.push(0);
            ends.len() - 1
        });
        ends[buffer] = interval.last;
        buffers.insert(value, buffer as u64);
    }
    buffers
}

/// The next multiple of the alignment; what no memory holds stays what it is.
fn aligned(bytes: u64) -> u64 {
    bytes.checked_next_multiple_of(ALIGN).unwrap_or(bytes)
}

/// Offsets without overlap of what is alive together.
fn place(intervals: &BTreeMap<Value, Interval>) -> BTreeMap<Value, u64> {
    let mut graph: UnGraphMap<Value, ()> = UnGraphMap::new();
    let known = intervals.iter();
    let mut by_start: Vec<(Value, SizedInterval)> = known
        .filter_map(|(&v, &i)| Some((v, SizedInterval::of(i)?)))
        .collect();
    by_start.sort_by_key(|(value, i)| (i.first, *value));
    let bytes: BTreeMap<Value, u64> = by_start.iter().map(|(v, i)| (*v, i.bytes)).collect();
    let mut alive: Vec<(Value, SizedInterval)> = Vec::new();
    for &(value, interval) in &by_start {
        graph.add_node(value);
        alive.retain(|(_, other)| other.last >= interval.first);
        for &(other, _) in &alive {
            graph.add_edge(value, other, ());
        }
        alive.push((value, interval));
    }
    let mut by_size = by_start;
    by_size.sort_by_key(|(value, i)| (std::cmp::Reverse(i.bytes), i.first, *value));
    let mut offsets: BTreeMap<Value, u64> = BTreeMap::new();
    for (value, interval) in by_size {
        let mut taken: Vec<(u64, u64)> = graph
            .neighbors(value)
            .filter_map(|other| {
                let at = *offsets.get(&other)?;
                Some((at, at.saturating_add(bytes[&other])))
            })
            .collect();
        taken.sort_unstable();
        let mut at = 0u64;
        for (first, end) in taken {
            if at.saturating_add(interval.bytes) <= first {
                break;
            }
            at = at.max(aligned(end));
        }
        offsets.insert(value, at);
    }
    offsets
}
