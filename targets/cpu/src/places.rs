//! Where each value lies when the program runs.

/// A place in one of the memories that the context points to.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    /// Bytes into the arena.
    Arena(usize),
    /// Bytes into the weights.
    Weights(usize),
    /// The input of that number.
    Input(usize),
    /// The output of that number.
    Output(usize),
}
