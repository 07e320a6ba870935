//! The stages of a cascade as programs.

use std::time::Instant;

use lepid_ir::core::{Bytes, Diagnostic, Num, Tensor};
use lepid_target_api::Executable;

use crate::serve::{Computes, Done};

/// Programs of all stages. Each takes what is handed on to it, sample after sample, and the shared
/// inputs of the cascade behind that; all but the last give who leaves, what is emitted, and what is
/// handed on; the last gives what is emitted.
pub struct Stages {
    programs: Vec<Box<dyn Executable>>,
    /// How many values an exit emits.
    emits: usize,
    /// Inputs that are the same for all samples: thresholds.
    shared: Vec<Tensor>,
}

/// What a request leaves with.
pub type Answer = Vec<Tensor>;

impl Stages {
    pub fn new(programs: Vec<Box<dyn Executable>>, emits: usize, shared: Vec<Tensor>) -> Stages {
        Stages {
            programs,
            emits,
            shared,
        }
    }
}

impl Computes<Vec<Tensor>> for Stages {
    type Error = Diagnostic;

    fn stages(&self) -> usize {
        self.programs.len()
    }

    fn compute(
        &mut self,
        stage: usize,
        values: Vec<Vec<Tensor>>,
    ) -> Result<(Vec<Done<Vec<Tensor>>>, f64), Diagnostic> {
        let start = Instant::now();
        let count = values.len();
        let width = values.first().map_or(0, Vec::len);
        let mut inputs: Vec<Tensor> = (0..width)
            .map(|i| together(values.iter().map(|one| &one[i])))
            .collect();
        inputs.extend(self.shared.iter().cloned());
        let last = stage + 1 == self.programs.len();
        let mut outputs = self.programs[stage].run(&inputs)?;
        let leaves = match last {
            true => vec![true; count],
            false => {
                let leaves = outputs.remove(0);
                leaves.nums().iter().map(|n| *n != Num::Int(0)).collect()
            }
        };
        let handed_on = outputs.split_off(self.emits.min(outputs.len()));
        let done = leaves.iter().enumerate().map(|(i, &leaves)| {
            let of = |all: &[Tensor]| all.iter().map(|t| row(t, i, count)).collect();
            match leaves {
                true => Done::Left(of(&outputs)),
                false => Done::GoesOn(of(&handed_on)),
            }
        });
        let done = done.collect();
        Ok((done, start.elapsed().as_secs_f64()))
    }
}

/// Values of one sample each, one after the other.
fn together<'a>(values: impl Iterator<Item = &'a Tensor> + Clone) -> Tensor {
    let mut bytes = Vec::new();
    let mut count = 0;
    for value in values.clone() {
        bytes.extend_from_slice(value.bytes());
        count += value.shape().first().copied().unwrap_or(0);
    }
    match values.into_iter().next() {
        Some(first) => {
            let shape = std::iter::once(count).chain(first.shape()[1..].iter().copied());
            Tensor::new(first.elem(), shape, Bytes::from_vec(bytes))
        }
        None => lepid_ir::bug!("a batch of nobody"),
    }
}

/// Sample `i` of `count`.
fn row(value: &Tensor, i: usize, count: usize) -> Tensor {
    let size = value.bytes().len() / count;
    let bytes = value.bytes()[i * size..(i + 1) * size].to_vec();
    let rows = value.shape()[0] / count;
    let shape = std::iter::once(rows).chain(value.shape()[1..].iter().copied());
    Tensor::new(value.elem(), shape, Bytes::from_vec(bytes))
}
