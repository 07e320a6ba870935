//! Programs for any number of samples.
//!
//! A function is compiled for a batch of so many samples, and then run for as many or for fewer. That
//! is right if a sample of the results depends on the same sample of the arguments alone. Two things
//! show it: [`open()`] compares what a model becomes for two sizes of the batch, which may differ in
//! leading extents and in nothing else, so that the size is no value that the model computes with;
//! and [`Samples`] follows the leading axes through all ops, none of which may mix samples. Behind the
//! gates of a cascade there are fewer samples, and what was computed before may not be read.

mod apart;
mod open;
mod rounds;

pub use apart::{Mixed, Samples};
pub use open::{Batch, open};

/// The remedy where a batch cannot be open.
pub fn remedy(name: &str) -> String {
    format!("`--dim {name}=4` compiles for a number of samples")
}
