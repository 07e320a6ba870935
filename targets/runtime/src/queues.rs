//! Who waits.

use std::collections::VecDeque;

/// A request on its way; times are in seconds.
#[derive(Clone, Debug)]
pub struct Request<T> {
    pub number: usize,
    pub arrived: f64,
    /// When it is late.
    pub deadline: f64,
    /// What the stage that it waits for takes.
    pub values: T,
}

/// A queue before each stage, in the order of arrival there.
#[derive(Clone, Debug)]
pub struct Queues<T>(Vec<VecDeque<Request<T>>>);

impl<T> Queues<T> {
    pub fn new(stages: usize) -> Queues<T> {
        Queues((0..stages).map(|_| VecDeque::new()).collect())
    }

    pub fn stages(&self) -> usize {
        self.0.len()
    }

    pub fn waiting(&self, stage: usize) -> usize {
        self.0[stage].len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.iter().all(VecDeque::is_empty)
    }

    /// The one that has waited longest before a stage.
    pub fn first(&self, stage: usize) -> Option<&Request<T>> {
        self.0[stage].front()
    }

    pub fn push(&mut self, stage: usize, request: Request<T>) {
        self.0[stage].push_back(request);
    }

    /// Takes the first ones before a stage.
    pub fn take(&mut self, stage: usize, count: usize) -> Vec<Request<T>> {
        let count = count.min(self.0[stage].len());
        self.0[stage].drain(..count).collect()
    }
}
