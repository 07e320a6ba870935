//! The loop of a server: requests arrive, a scheduler chooses, what it chose is computed.
//!
//! Time is that of the trace. While something is computed the clock goes on by the seconds that it
//! took, and nobody sleeps: so a trace of minutes is served in the seconds of its work.

use std::collections::VecDeque;

use crate::counters::Counters;
use crate::queues::{Queues, Request};
use crate::scheduler::{Choice, Scheduler};

/// What computes a stage for some requests.
pub trait Computes<T> {
    type Error;

    fn stages(&self) -> usize;

    /// Computes; gives for each request whether it is done or what the next stage takes, and the
    /// seconds that it took.
    fn compute(&mut self, stage: usize, values: Vec<T>)
    -> Result<(Vec<Done<T>>, f64), Self::Error>;
}

/// What became of a request.
#[derive(Clone, Debug)]
pub enum Done<T> {
    /// It left, by the exit of the stage.
    Left(T),
    GoesOn(T),
}

/// Serves all requests, which are in the order of their arrival. `answered` gets the number of each
/// request, the exit that it left by, and what it left with.
pub fn serve<T, C: Computes<T>>(
    requests: Vec<Request<T>>,
    scheduler: &mut dyn Scheduler,
    computes: &mut C,
    mut answered: impl FnMut(usize, usize, T),
) -> Result<Counters, C::Error> {
    let stages = computes.stages();
    let mut counters = Counters::new(stages);
    counters.requests = requests.len() as u64;
    let first = requests.first().map_or(0.0, |r| r.arrived);
    let mut coming: VecDeque<Request<T>> = requests.into();
    let mut queues = Queues::new(stages);
    let mut now = first;
    loop {
        while coming.front().is_some_and(|r| r.arrived <= now) {
            if let Some(request) = coming.pop_front() {
                queues.push(0, request);
            }
        }
        let next = coming.front().map(|r| r.arrived);
        if queues.is_empty() {
            match next {
                Some(arrival) => now = arrival,
                None => break,
            }
            continue;
        }
        let (stage, count) = match scheduler.choose(now, &queues, next.is_some()) {
            Choice::Run { stage, count } => (stage, count.max(1)),
            Choice::Wait { until } => {
                // To the next arrival or the end of waiting, whichever comes first.
                now = match next {
                    Some(arrival) => arrival.min(until.max(now)),
                    None => until.max(now),
                };
                continue;
            }
        };
        let batch = queues.take(stage, count);
        let (heads, values): (Vec<_>, Vec<T>) = batch
            .into_iter()
            .map(|r| ((r.number, r.arrived, r.deadline), r.values))
            .unzip();
        let count = heads.len();
        let (done, seconds) = computes.compute(stage, values)?;
        now += seconds;
        counters.busy += seconds;
        counters.batches[stage] += 1;
        counters.samples[stage] += count as u64;
        for ((number, arrived, deadline), done) in heads.into_iter().zip(done) {
            match done {
                Done::Left(values) => {
                    counters.answered += 1;
                    counters.exits[stage] += 1;
                    counters.late += u64::from(now > deadline);
                    counters.latencies.push(now - arrived);
                    answered(number, stage, values);
                }
                Done::GoesOn(values) => queues.push(
                    stage + 1,
                    Request {
                        number,
                        arrived,
                        deadline,
                        values,
                    },
                ),
            }
        }
    }
    counters.span = now - first;
    Ok(counters)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheduler::{Refill, Window};
    use crate::trace::Arrivals;

    /// Stages of known speed; a request says by which exit it leaves.
    struct Known(Vec<(f64, f64)>);

    impl Computes<usize> for Known {
        type Error = std::convert::Infallible;

        fn stages(&self) -> usize {
            self.0.len()
        }

        fn compute(
            &mut self,
            stage: usize,
            exits: Vec<usize>,
        ) -> Result<(Vec<Done<usize>>, f64), Self::Error> {
            let (start, each) = self.0[stage];
            let seconds = start + each * exits.len() as f64;
            let done = exits.into_iter().map(|exit| match exit <= stage {
                true => Done::Left(exit),
                false => Done::GoesOn(exit),
            });
            Ok((done.collect(), seconds))
        }
    }

    /// The same stages one after the other as one program.
    struct Whole(Vec<(f64, f64)>);

    impl Computes<usize> for Whole {
        type Error = std::convert::Infallible;

        fn stages(&self) -> usize {
            1
        }

        fn compute(
            &mut self,
            _: usize,
            exits: Vec<usize>,
        ) -> Result<(Vec<Done<usize>>, f64), Self::Error> {
            let mut seconds = 0.0;
            for (stage, (start, each)) in self.0.iter().enumerate() {
                let count = exits.iter().filter(|&&exit| exit >= stage).count();
                if count > 0 {
                    seconds += start + each * count as f64;
                }
            }
            Ok((exits.into_iter().map(Done::Left).collect(), seconds))
        }
    }

    fn requests(arrivals: &Arrivals, count: usize) -> Vec<Request<usize>> {
        let times = arrivals.times(count, 7);
        let exit = |i: usize| match i * 37 % 100 {
            0..70 => 0,
            70..90 => 1,
            _ => 2,
        };
        let requests = times.into_iter().enumerate();
        requests
            .map(|(number, arrived)| Request {
                number,
                arrived,
                deadline: arrived + 0.05,
                values: exit(number),
            })
            .collect()
    }

    fn run(scheduler: &mut dyn Scheduler, arrivals: &Arrivals) -> (Counters, Vec<usize>) {
        let mut stages = Known(vec![(1e-4, 1e-4), (1e-4, 3e-4), (1e-4, 1.5e-3)]);
        let mut exits = vec![usize::MAX; 3000];
        let counters = serve(
            requests(arrivals, 3000),
            scheduler,
            &mut stages,
            |number, stage, exit| {
                assert_eq!(stage, exit);
                exits[number] = exit;
            },
        );
        let Ok(counters) = counters;
        (counters, exits)
    }

    #[test]
    fn everybody_is_answered_once_by_the_right_exit() {
        for arrivals in [
            Arrivals::Poisson { rate: 800.0 },
            Arrivals::Bursts {
                rate: 5000.0,
                on: 0.05,
                off: 0.25,
            },
        ] {
            let mut window = Window {
                most: 32,
                window: 0.002,
            };
            let mut refill = Refill { most: 32 };
            for scheduler in [&mut window as &mut dyn Scheduler, &mut refill] {
                let (counters, exits) = run(scheduler, &arrivals);
                assert_eq!(counters.answered, 3000);
                assert_eq!(counters.exits, [2100, 600, 300]);
                assert_eq!(counters.samples, [3000, 900, 300]);
                assert!(exits.iter().all(|&exit| exit < 3));
                assert!(counters.busy <= counters.span + 1e-9);
            }
        }
    }

    #[test]
    fn under_bursts_refilling_is_faster_than_a_window() {
        let arrivals = Arrivals::Bursts {
            rate: 5000.0,
            on: 0.05,
            off: 0.25,
        };
        let mut window = Window {
            most: 32,
            window: 0.002,
        };
        // The window computes all stages for a batch, and answers all of it at the end.
        let mut whole = Whole(vec![(1e-4, 1e-4), (1e-4, 3e-4), (1e-4, 1.5e-3)]);
        let before = serve(
            requests(&arrivals, 3000),
            &mut window,
            &mut whole,
            |_, _, _| (),
        );
        let Ok(before) = before;
        let after = run(&mut Refill { most: 32 }, &arrivals).0;
        let (before, after) = (before.percentiles(), after.percentiles());
        assert!(after.mean < 0.9 * before.mean, "{after:?} {before:?}");
        assert!(after.p99 < before.p99, "{after:?} {before:?}");
    }
}
