//! Pieces of a block: runs of pure ops that are optimised by themselves.
//!
//! Only pure ops without regions whose types follow from those of their operands enter; the rest
//! stands where it stood. A run ends before an op outside that reads from it. A long run is cut where
//! few values cross, at places that depend on the ops around alone, so that the layers of a network
//! are cut alike and each distinct piece is optimised once.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Range;

use lepid_ir::core::{Block, Module, Op, Trait, Value};

use super::hash::Fnv;

/// Ops that become new ones together.
pub(super) struct Piece {
    pub(super) ops: Vec<Op>,
    /// What is read from outside, in order of the first use.
    pub(super) inputs: Vec<Value>,
    /// What is read outside, in order of definition.
    pub(super) roots: Vec<Value>,
}

/// A piece of a longer run has at least and at most so many ops.
#[derive(Copy, Clone)]
pub(super) struct PieceSize {
    pub(super) least: usize,
    pub(super) most: usize,
}

/// The values that depend on constants alone.
pub(super) fn fixed_values(module: &Module) -> HashSet<Value> {
    let mut fixed = HashSet::new();
    for op in module.walk() {
        let operands = module.operands(op);
        if is_pure(module, op) && operands.iter().all(|v| fixed.contains(v)) {
            fixed.extend(module.results(op));
        }
    }
    fixed
}

fn is_pure(module: &Module, op: Op) -> bool {
    let info = module.def(op).info();
    info.has(Trait::Pure) && module.regions(op).is_empty() && !info.has(Trait::Terminator)
}

/// Whether an op enters an e-graph. The types of ops with dynamic shapes follow from how the shape
/// was computed, which a class does not say. Constants come in with their users.
pub(super) fn enters(module: &Module, op: Op) -> bool {
    let info = module.def(op).info();
    let open = info.name == "tensor.dim" || info.name.starts_with("tensor.dyn_");
    is_pure(module, op) && !info.has(Trait::Constant) && !open
}

/// The ops of the pieces of a block, in order.
pub(super) fn pieces(
    module: &Module,
    block: Block,
    fixed: &HashSet<Value>,
    size: PieceSize,
) -> Vec<Vec<Op>> {
    let mut all = Vec::new();
    for run in runs(module, block) {
        let ranges = cuts(module, &run, fixed, size).into_iter();
        all.extend(ranges.map(|range| run[range].to_vec()));
    }
    all
}

/// The longest runs of which nothing outside is read before they end.
fn runs(module: &Module, block: Block) -> Vec<Vec<Op>> {
    let mut runs = Vec::new();
    let mut run = Vec::new();
    let mut defined = HashSet::new();
    for op in module.ops_in(block) {
        if enters(module, op) {
            defined.extend(module.results(op).iter().copied());
            run.push(op);
            continue;
        }
        let inside = module.walk_inside(op);
        let mut readers = std::iter::once(op).chain(inside);
        if readers.any(|r| module.operands(r).iter().any(|v| defined.contains(v))) {
            runs.push(std::mem::take(&mut run));
            defined.clear();
        }
    }
    runs.push(run);
    runs.retain(|run: &Vec<Op>| !run.is_empty());
    runs
}

/// Where a run is cut: each piece ends at the best place within the sizes allowed.
fn cuts(module: &Module, run: &[Op], fixed: &HashSet<Value>, size: PieceSize) -> Vec<Range<usize>> {
    let places = places(module, run, fixed);
    let mut cuts = Vec::new();
    let mut start = 0;
    while run.len() - start > size.most {
        let window = start + size.least..=start + size.most;
        let best = window.min_by_key(|&i| places[i]).unwrap_or(run.len());
        cuts.push(start..best);
        start = best;
    }
    cuts.push(start..run.len());
    cuts
}

/// How good a place before an op is for a cut: less is better.
type Place = (usize, bool, u64);

/// For each place: how many values cross it, whether the last is read once alone (rules reach over
/// such places more often), and a hash of the ops around, which makes equal surroundings equal.
fn places(module: &Module, run: &[Op], fixed: &HashSet<Value>) -> Vec<Place> {
    let index: HashMap<Op, usize> = run.iter().enumerate().map(|(i, &op)| (op, i)).collect();
    let mut open: BTreeSet<(usize, Value)> = BTreeSet::new();
    let mut places = vec![(0, false, 0)];
    for (i, &op) in run.iter().enumerate() {
        for &result in module.results(op).iter().filter(|r| !fixed.contains(r)) {
            let uses = module.uses(result).iter();
            // What is read behind the run is open to its end.
            let last = uses.map(|u| index.get(&u.op).copied().unwrap_or(run.len()));
            if let Some(last) = last.max() {
                open.insert((last, result));
            }
        }
        while open.first().is_some_and(|(last, _)| *last <= i) {
            open.pop_first();
        }
        let once = module.results(op).iter().all(|&r| module.uses(r).len() < 2);
        places.push((open.len(), once, surroundings(module, run, i + 1)));
    }
    places
}

/// A hash of a few ops on both sides of a place.
fn surroundings(module: &Module, run: &[Op], place: usize) -> u64 {
    const REACH: usize = 4;
    let mut hash = Fnv::default();
    for &op in &run[place.saturating_sub(REACH)..run.len().min(place + REACH)] {
        hash.add(module.op_name(op));
        for &result in module.results(op) {
            hash.add(" ");
            hash.add(&module.value_type(result).to_string());
        }
        hash.add("\n");
    }
    hash.0
}

/// What ops read and give, as the module is now.
pub(super) fn piece(module: &Module, ops: &[Op]) -> Piece {
    let own: HashSet<Op> = ops.iter().copied().collect();
    let mut defined = HashSet::new();
    let mut seen = HashSet::new();
    let mut piece = Piece {
        ops: ops.to_vec(),
        inputs: Vec::new(),
        roots: Vec::new(),
    };
    for &op in ops {
        for &value in module.operands(op) {
            if !defined.contains(&value) && seen.insert(value) {
                piece.inputs.push(value);
            }
        }
        for &result in module.results(op) {
            defined.insert(result);
            if module.uses(result).iter().any(|u| !own.contains(&u.op)) {
                piece.roots.push(result);
            }
        }
    }
    piece
}
