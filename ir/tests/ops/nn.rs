//! Sample uses of the ops of the `nn` dialect.

use crate::sample::Sample;

pub(crate) fn samples() -> Vec<Sample> {
    Vec::new()
}
