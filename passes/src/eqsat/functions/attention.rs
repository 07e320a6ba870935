//! Masks.

use super::{Function, axes, dims_attr, extents, tensor};

pub(super) const FUNCTIONS: &[Function] = &[Function {
    name: "with-units",
    summary: "The shape of a value broadcast by axes to the rank of another, before it is repeated.",
    run: |a| {
        let (from, axes, rank) = (extents(a[0])?, axes(a[1])?, tensor(a[2])?.rank());
        let mut shape = vec![1; rank];
        for (&axis, &extent) in axes.iter().zip(&from) {
            *shape.get_mut(axis)? = extent;
        }
        dims_attr(shape)
    },
}];

#[cfg(test)]
mod tests {
    use crate::eqsat::functions::tests::{attr, call, value};

    #[test]
    fn shapes_of_attention() {
        let x = value("2x3x4x5xf32");
        let mask = value("2x5xf32");
        assert_eq!(
            call("with-units", &[&mask, &attr("[0, 3]"), &x]),
            "[2, 1, 1, 5]"
        );
    }
}
