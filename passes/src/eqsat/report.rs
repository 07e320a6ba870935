//! What a run did, as plain data.

use std::collections::BTreeMap;
use std::fmt;

/// What the pass did to a module.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub pieces: Vec<PieceReport>,
    /// How often each rule merged two classes.
    pub fired: BTreeMap<&'static str, usize>,
}

/// What became of a piece, and of all that are like it.
#[derive(Clone, Debug)]
pub struct PieceReport {
    /// The function of the first.
    pub func: String,
    pub ops: usize,
    /// How many pieces are alike.
    pub count: usize,
    /// The size of the e-graph in the end.
    pub classes: usize,
    pub nodes: usize,
    pub iterations: usize,
    pub stop: Stop,
    /// Costs of one of them.
    pub before: f64,
    pub after: f64,
    pub outcome: Outcome,
}

/// Why saturation ended.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Stop {
    /// No rule has anything to add.
    Saturated,
    Nodes,
    Iterations,
}

/// Why a piece is as it is.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    Replaced,
    /// Nothing that was found costs less.
    Best,
    /// The cheapest choices need each other.
    Cyclic,
    /// An op has other types than it infers.
    Refused,
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stop::Saturated => "saturated",
            Stop::Nodes => "node limit",
            Stop::Iterations => "iteration limit",
        })
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Outcome::Replaced => "replaced",
            Outcome::Best => "kept: nothing found costs less",
            Outcome::Cyclic => "kept: the cheapest choices need each other",
            Outcome::Refused => "kept: an op has other types than it infers",
        })
    }
}

impl Report {
    /// Costs of all pieces, each as often as it occurs.
    pub fn costs(&self) -> (f64, f64) {
        let pieces = self.pieces.iter();
        pieces.fold((0.0, 0.0), |(before, after), piece| {
            let count = piece.count as f64;
            (before + count * piece.before, after + count * piece.after)
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (before, after) = self.costs();
        writeln!(f, "cost {before:.3e} → {after:.3e}")?;
        for piece in &self.pieces {
            writeln!(
                f,
                "  @{} {} ops × {}: {} nodes in {} classes, {} after {} iterations; {:.3e} → {:.3e}, {}",
                piece.func,
                piece.ops,
                piece.count,
                piece.nodes,
                piece.classes,
                piece.stop,
                piece.iterations,
                piece.before,
                piece.after,
                piece.outcome
            )?;
        }
        let mut fired: Vec<_> = self.fired.iter().collect();
        fired.sort_by_key(|&(name, count)| (std::cmp::Reverse(*count), *name));
        for (name, count) in fired {
            writeln!(f, "  {count:>6} {name}")?;
        }
        Ok(())
    }
}
