//! Sorting, and the greatest or smallest element. Elements are compared by their keys, and of
//! equals the lower index comes first, so that every order is strict.

use lepid_ir::core::OpView;
use lepid_ir::dialects::tensor::{self, ReduceKind};
use lepid_ir::with_native;

use super::arithmetic::Number;
use super::{Body, Call, Lanes};

/// `tensor.sort`.
pub(super) struct Sort;

impl Body for Sort {
    const COUNTS: [usize; 3] = [2, 1, 2];

    fn describe(op: OpView<'_>) -> Vec<i64> {
        let descending = tensor::Sort::descending(op);
        vec![tensor::Sort::axis(op), i64::from(descending)]
    }

    fn run(call: &Call<'_>) {
        with_native!(call.operands[0].elem(), T => sort::<T>(call))
    }
}

/// `tensor.top_k`.
pub(super) struct TopK;

impl Body for TopK {
    const COUNTS: [usize; 3] = [2, 1, 2];

    fn describe(op: OpView<'_>) -> Vec<i64> {
        let descending = tensor::TopK::largest(op);
        vec![tensor::TopK::axis(op), i64::from(descending)]
    }

    fn run(call: &Call<'_>) {
        with_native!(call.operands[0].elem(), T => sort::<T>(call))
    }
}

/// As many elements along an axis as the result has, in order.
fn sort<T: Number>(call: &Call<'_>) {
    let (axis, descending) = (call.size(0), call.flag(1));
    let from = Lanes::new(&call.operands[0].shape(), axis);
    let to = Lanes::new(&call.results[0].shape(), axis);
    let x = call.operands[0].values::<T>();
    let (sorted, indices) = (call.results[0].cells::<T>(), call.results[1].cells::<i64>());
    let lanes = call.share(from.len());
    let flip = if descending { u64::MAX } else { 0 };
    // A key of 32 bits and an index make one word.
    let narrow = size_of::<T>() <= 4 && from.count <= u32::MAX as usize;
    let (mut words, mut pairs) = (Vec::<u64>::new(), Vec::<u128>::new());
    for lane in lanes {
        let (start, end) = (from.start(lane), to.start(lane));
        let key = |i: usize| x[start + i * from.stride].key() ^ flip;
        let write = |k: usize, i: usize| {
            sorted[end + k * to.stride].set(x[start + i * from.stride]);
            indices[end + k * to.stride].set(i as i64);
        };
        if narrow {
            words.clear();
            words.extend((0..from.count).map(|i| key(i) << 32 | i as u64));
            let first = first_sorted(&mut words, to.count);
            (0..)
                .zip(first)
                .for_each(|(k, &w)| write(k, w as u32 as usize));
        } else {
            pairs.clear();
            pairs.extend((0..from.count).map(|i| u128::from(key(i)) << 64 | i as u128));
            let first = first_sorted(&mut pairs, to.count);
            (0..)
                .zip(first)
                .for_each(|(k, &p)| write(k, p as u64 as usize));
        }
    }
}

/// The `count` smallest, in order. No two are equal.
fn first_sorted<K: Ord>(list: &mut [K], count: usize) -> &[K] {
    // Picking them first pays where few are wanted of many.
    let few = match count > 0 && count <= list.len() / 4 {
        true => list.select_nth_unstable(count - 1).0.len() + 1,
        false => list.len(),
    };
    list[..few].sort_unstable();
    &list[..count]
}

/// `tensor.arg_reduce`.
pub(super) struct ArgReduce;

impl Body for ArgReduce {
    const COUNTS: [usize; 3] = [3, 1, 1];

    fn describe(op: OpView<'_>) -> Vec<i64> {
        let smallest = tensor::ArgReduce::kind(op) == ReduceKind::Min.name();
        let last = tensor::ArgReduce::last(op);
        vec![
            tensor::ArgReduce::axis(op),
            i64::from(smallest),
            i64::from(last),
        ]
    }

    fn run(call: &Call<'_>) {
        with_native!(call.operands[0].elem(), T => arg_reduce::<T>(call))
    }
}

fn arg_reduce<T: Number>(call: &Call<'_>) {
    let (axis, smallest, last) = (call.size(0), call.flag(1), call.flag(2));
    let lanes = Lanes::new(&call.operands[0].shape(), axis);
    let x = call.operands[0].values::<T>();
    let out = call.results[0].cells::<i64>();
    // NaN wins whether the greatest or the smallest is sought.
    let key = |x: T| match () {
        () if x.is_nan() => u64::MAX,
        () if smallest => !x.key(),
        () => x.key(),
    };
    let displaces = |key: u64, best: u64| key > best || (last && key == best);
    let mut best: Vec<u64> = Vec::new();
    // Neighbouring lanes go together, so that memory is read in order.
    for run in lanes.runs(call.share(lanes.len())) {
        let out = &out[run.clone()];
        out.iter().for_each(|out| out.set(0));
        best.clear();
        best.resize(run.len(), 0);
        for i in 0..lanes.count {
            let row = x[lanes.row(&run, i)].iter();
            for ((&x, best), out) in row.zip(&mut best).zip(out) {
                let key = key(x);
                if i == 0 || displaces(key, *best) {
                    *best = key;
                    out.set(i as i64);
                }
            }
        }
    }
}
