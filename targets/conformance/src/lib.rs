//! What every target must compute: cases for each op, element type and odd size, and a check
//! against the interpreter.
//!
//! Knows the target API, the passes and the IR, and no target. A target's tests say
//! `lepid_target_conformance::tests!(Acme, unsupported: ["tensor.fft"]);`. Begin with [`Case`];
//! the rows are in `tables/`.

mod case;
mod check;
mod tables;

pub use case::Case;
pub use check::{Outcome, assert_family, check, tolerance};
pub use tables::{FAMILIES, cases, family};

/// Makes one test per family of cases. Ops in `unsupported` may be refused with E0401; any other
/// must work.
#[macro_export]
macro_rules! tests {
    ($target:expr, unsupported: [$($op:literal),* $(,)?]) => {
        $crate::tests! { @each $target, [$($op),*],
            unary binary logic nest shape fold contract index sort dynamic control
            activation conv pool norm product recurrent resize adapt graph open opened
        }
        #[test]
        fn every_family_is_tested() {
            let named = [
                "unary", "binary", "logic", "nest", "shape", "fold", "contract", "index", "sort",
                "dynamic", "control", "activation", "conv", "pool", "norm", "product",
                "recurrent", "resize", "adapt", "graph", "open",
                "opened",
            ];
            let all: Vec<&str> = $crate::FAMILIES.iter().map(|(name, _)| *name).collect();
            assert_eq!(all, named);
        }
    };
    (@each $target:expr, $ops:tt, $($family:ident)*) => {$(
        #[test]
        fn $family() {
            $crate::assert_family(&$target, stringify!($family), &$ops);
        }
    )*};
}
