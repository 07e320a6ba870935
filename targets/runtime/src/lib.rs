//! Serving compiled cascades: who waits where, who is computed next, and what it came to.
//!
//! A cascade is served stage by stage: each stage is a program of its own for any number of samples,
//! and between two stages stands a queue. So a batch is made anew at each exit, of whoever waits
//! there, and a request is answered by the exit that it leaves by, without waiting for the others.
//! Begin with [`Stages`], which computes; then [`Scheduler`], which chooses; then [`serve()`], the loop
//! that both simulation and measurement use. It may not know of front ends, passes or single targets.

mod counters;
mod queues;
mod scheduler;
mod serve;
mod stages;
pub mod trace;

pub use counters::{Counters, Percentiles};
pub use queues::{Queues, Request};
pub use scheduler::{Choice, Refill, Scheduler, Waiting, Window};
pub use serve::{Computes, Done, serve};
pub use stages::{Answer, Sample, Stages};
