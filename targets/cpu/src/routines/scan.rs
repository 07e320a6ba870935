//! The running fold along an axis.

use std::ops::Range;

use lepid_ir::core::OpView;
use lepid_ir::dialects::tensor::{self, ReduceKind};
use lepid_ir::with_native;

use super::arithmetic::Number;
use super::{Body, Call, Lanes};

/// `tensor.scan`.
pub(super) struct Scan;

impl Body for Scan {
    const COUNTS: [usize; 3] = [4, 1, 1];

    fn describe(op: OpView<'_>) -> Vec<i64> {
        let name = tensor::Scan::kind(op);
        let Some(kind) = ReduceKind::ALL.iter().position(|k| k.name() == name) else {
            lepid_ir::bug!("a scan of the kind `{name}` passed the verifier");
        };
        vec![
            kind as i64,
            tensor::Scan::axis(op),
            i64::from(tensor::Scan::exclusive(op)),
            i64::from(tensor::Scan::reverse(op)),
        ]
    }

    fn run(call: &Call<'_>) {
        with_native!(call.results[0].elem(), T => match ReduceKind::ALL[call.size(0)] {
            ReduceKind::Sum => scan::<T>(call, T::add),
            ReduceKind::Prod => scan::<T>(call, T::mul),
            ReduceKind::Max | ReduceKind::Any => scan::<T>(call, T::greater),
            ReduceKind::Min | ReduceKind::All => scan::<T>(call, T::lesser),
        })
    }
}

fn scan<T: Number>(call: &Call<'_>, fold: impl Fn(T::Wide, T::Wide) -> T::Wide) {
    let (axis, exclusive, reverse) = (call.size(1), call.flag(2), call.flag(3));
    let elem = call.results[0].elem();
    let neutral = T::wide(ReduceKind::ALL[call.size(0)].neutral(elem));
    let lanes = Lanes::new(&call.results[0].shape(), axis);
    let x = call.operands[0].values::<T>();
    let out = call.results[0].cells::<T>();
    let mut sums: Vec<T::Wide> = Vec::new();
    // Neighbouring lanes go together, so that memory is read and written in order.
    for run in lanes.runs(call.share(lanes.len())) {
        sums.clear();
        sums.resize(run.len(), neutral);
        for i in 0..lanes.count {
            let i = if reverse { lanes.count - 1 - i } else { i };
            let row: Range<usize> = lanes.row(&run, i);
            let pairs = x[row.clone()].iter().zip(&out[row]);
            for ((&x, out), sum) in pairs.zip(&mut sums) {
                let next = fold(*sum, x.widen());
                out.set(T::narrow(if exclusive { *sum } else { next }, elem));
                *sum = next;
            }
        }
    }
}
