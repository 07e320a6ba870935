//! Finding elements.

use lepid_ir::core::{Native, OpView};
use lepid_ir::with_native;

use super::{Body, Call};

/// `tensor.non_zero`: the coordinates of the elements that are not zero, one row per axis.
///
/// Where an element's column stands depends on all before it, so the first part does it all.
pub(super) struct NonZero;

impl Body for NonZero {
    const COUNTS: [usize; 3] = [0, 1, 1];

    fn describe(_: OpView<'_>) -> Vec<i64> {
        Vec::new()
    }

    fn run(call: &Call<'_>) {
        if call.part == 0 {
            with_native!(call.operands[0].elem(), T => non_zero::<T>(call));
        }
    }
}

/// Whether an element is not zero. A NaN is not.
pub(super) fn differs<T: Native>(x: T) -> bool {
    x.to_num().as_f64() != 0.0
}

fn non_zero<T: Native>(call: &Call<'_>) {
    let shape = call.operands[0].shape();
    let out = call.results[0].cells::<i64>();
    let count = call.results[0].shape()[1];
    let elements = call.operands[0].values::<T>().iter().enumerate();
    let found = elements.filter(|(_, v)| differs(**v));
    for (column, (mut place, _)) in found.enumerate() {
        for (axis, &extent) in shape.iter().enumerate().rev() {
            out[axis * count + column].set((place % extent) as i64);
            place /= extent;
        }
    }
}
