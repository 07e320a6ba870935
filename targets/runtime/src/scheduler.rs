//! Who is computed next.

use crate::queues::Queues;

/// What a scheduler chooses.
#[derive(Copy, Clone, PartialEq, Debug)]
pub enum Choice {
    /// So many of those that wait before a stage.
    Run { stage: usize, count: usize },
    /// Nobody before this time, unless another request arrives.
    Wait { until: f64 },
}

/// Chooses who is computed next. A scheduler sees how many wait where and since when, and afterwards
/// how long it took and who left; it never sees a clock of its own, so that it does the same in a
/// simulation.
pub trait Scheduler {
    fn name(&self) -> &'static str;

    /// Chooses, at a time at which nothing runs and somebody waits. `more` says whether requests may
    /// still arrive.
    fn choose(&mut self, now: f64, queues: &dyn Waiting, more: bool) -> Choice;

    /// What became of a choice: seconds, and how many of the samples left.
    fn learn(&mut self, _stage: usize, _count: usize, _left: usize, _seconds: f64) {}
}

/// What a scheduler sees of the queues.
pub trait Waiting {
    fn stages(&self) -> usize;
    fn count(&self, stage: usize) -> usize;
    /// When the first one before a stage arrived at the server.
    fn since(&self, stage: usize) -> Option<f64>;
}

impl<T> Waiting for Queues<T> {
    fn stages(&self) -> usize {
        Queues::stages(self)
    }
    fn count(&self, stage: usize) -> usize {
        self.waiting(stage)
    }
    fn since(&self, stage: usize) -> Option<f64> {
        self.first(stage).map(|request| request.arrived)
    }
}

/// Batches of a window: the first request waits until the batch is full, or so long. What has begun
/// is finished before another batch begins, if there are stages: none is filled again.
#[derive(Copy, Clone, Debug)]
pub struct Window {
    pub most: usize,
    /// Seconds.
    pub window: f64,
}

impl Scheduler for Window {
    fn name(&self) -> &'static str {
        "window"
    }

    fn choose(&mut self, now: f64, queues: &dyn Waiting, more: bool) -> Choice {
        let begun = (1..queues.stages())
            .rev()
            .find(|&stage| queues.count(stage) > 0);
        if let Some(stage) = begun {
            return Choice::Run {
                stage,
                count: queues.count(stage),
            };
        }
        let count = queues.count(0);
        let until = queues.since(0).map_or(now, |since| since + self.window);
        match count >= self.most || now >= until || !more {
            true => Choice::Run {
                stage: 0,
                count: count.min(self.most),
            },
            false => Choice::Wait { until },
        }
    }
}

/// Batches that are filled again at each exit. Of the stages before which somebody waits, that one
/// goes first which answers the most requests in a second, by what has been seen so far: of all ways
/// to go on from there, up to any exit, the best counts. A stage runs for few samples only if nothing
/// fuller is to be had, and who has waited too long goes first.
#[derive(Clone, Debug)]
pub struct Refill {
    pub most: usize,
    /// How long the first request before the first stage may wait for others, in seconds.
    pub window: f64,
    /// Who has waited so long, in seconds since arrival, goes first.
    pub patience: f64,
    seen: Vec<Seen>,
}

/// What was seen of a stage.
#[derive(Clone, Debug, Default)]
struct Seen {
    samples: f64,
    left: f64,
    /// Seconds for a batch as a line over its samples: sums for a least-squares fit.
    runs: f64,
    count: f64,
    squares: f64,
    seconds: f64,
    product: f64,
}

impl Seen {
    /// The share of samples that leave.
    fn leave(&self) -> f64 {
        (self.left + 1.0) / (self.samples + 2.0)
    }

    /// The seconds that a batch of so many takes.
    fn seconds(&self, count: f64) -> f64 {
        if self.runs == 0.0 {
            return 0.0;
        }
        let spread = self.squares - self.count * self.count / self.runs;
        let slope = match spread > 1e-9 * self.squares {
            true => (self.product - self.count * self.seconds / self.runs) / spread,
            false => self.seconds / self.count,
        };
        let mean = self.count / self.runs;
        let line = self.seconds / self.runs + slope * (count - mean);
        // A batch of one takes something, too.
        line.max(0.2 * self.seconds / self.count)
    }
}

impl Refill {
    pub fn new(most: usize, window: f64, patience: f64) -> Refill {
        Refill {
            most,
            window,
            patience,
            seen: Vec::new(),
        }
    }

    /// Requests answered in a second, if those that wait before `stage` go on from there.
    fn rate(&self, stage: usize, count: usize, last: usize) -> f64 {
        let (mut best, mut seconds, mut answered, mut left) = (0.0f64, 0.0, 0.0, count as f64);
        for (number, seen) in self.seen.iter().enumerate().take(last + 1).skip(stage) {
            seconds += seen.seconds(left);
            let leaves = if number == last { 1.0 } else { seen.leave() };
            answered += left * leaves;
            left *= 1.0 - leaves;
            best = best.max(answered / seconds.max(1e-9));
        }
        best
    }
}

impl Scheduler for Refill {
    fn name(&self) -> &'static str {
        "refill"
    }

    fn choose(&mut self, now: f64, queues: &dyn Waiting, more: bool) -> Choice {
        let stages = queues.stages();
        self.seen.resize(stages, Seen::default());
        let run = |stage: usize| Choice::Run {
            stage,
            count: queues.count(stage).min(self.most),
        };
        let some = (0..stages).filter(|&stage| queues.count(stage) > 0);
        let some: Vec<usize> = some.collect();
        // Who has waited too long.
        let oldest = some.iter().copied().min_by(|&a, &b| {
            let since = |stage| queues.since(stage).unwrap_or(now);
            since(a).total_cmp(&since(b))
        });
        let late =
            oldest.filter(|&stage| queues.since(stage).is_some_and(|s| now - s > self.patience));
        if let Some(stage) = late {
            return run(stage);
        }
        let best = some.iter().copied().max_by(|&a, &b| {
            let rate =
                |stage: usize| self.rate(stage, queues.count(stage).min(self.most), stages - 1);
            rate(a).total_cmp(&rate(b))
        });
        let Some(stage) = best else {
            return Choice::Wait { until: now };
        };
        // The first stage waits for company if there is nothing else to do.
        let until = queues.since(0).map_or(now, |since| since + self.window);
        let alone = some == [0] && queues.count(0) < self.most && more;
        match alone && now < until {
            true => Choice::Wait { until },
            false => run(stage),
        }
    }

    fn learn(&mut self, stage: usize, count: usize, left: usize, seconds: f64) {
        if let Some(seen) = self.seen.get_mut(stage) {
            let count = count as f64;
            seen.samples += count;
            seen.left += left as f64;
            seen.runs += 1.0;
            seen.count += count;
            seen.squares += count * count;
            seen.seconds += seconds;
            seen.product += count * seconds;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queues::Request;

    fn queues(waiting: &[&[f64]]) -> Queues<()> {
        let mut queues = Queues::new(waiting.len());
        for (stage, arrivals) in waiting.iter().enumerate() {
            for (number, &arrived) in arrivals.iter().enumerate() {
                let request = Request {
                    number,
                    arrived,
                    deadline: f64::INFINITY,
                    values: (),
                };
                queues.push(stage, request);
            }
        }
        queues
    }

    #[test]
    fn a_window_waits_for_company() {
        let mut window = Window {
            most: 2,
            window: 1.0,
        };
        let one = queues(&[&[0.0]]);
        assert_eq!(window.choose(0.5, &one, true), Choice::Wait { until: 1.0 });
        let run = Choice::Run { stage: 0, count: 1 };
        assert_eq!(window.choose(1.0, &one, true), run);
        assert_eq!(window.choose(0.5, &one, false), run);
        let many = queues(&[&[0.0, 0.1, 0.2]]);
        assert_eq!(
            window.choose(0.2, &many, true),
            Choice::Run { stage: 0, count: 2 }
        );
        // What has begun is finished first.
        let begun = queues(&[&[0.0, 0.1], &[0.0]]);
        assert_eq!(
            window.choose(0.2, &begun, true),
            Choice::Run { stage: 1, count: 1 }
        );
    }

    #[test]
    fn the_stage_that_answers_most_goes_first() {
        let mut refill = Refill::new(8, 0.0, 10.0);
        let waiting = queues(&[&[0.0; 8], &[0.0; 8]]);
        refill.choose(0.0, &waiting, true);
        for count in [1, 4, 8] {
            // The first stage is cheap and lets most go, the second is dear.
            refill.learn(0, count, count * 3 / 4, 0.001 * count as f64);
            refill.learn(1, count, count, 0.02 * count as f64);
        }
        assert_eq!(
            refill.choose(0.0, &waiting, true),
            Choice::Run { stage: 0, count: 8 }
        );
        // Who has waited for long goes first nevertheless.
        let late = queues(&[&[11.0; 8], &[0.0; 3]]);
        assert_eq!(
            refill.choose(11.5, &late, true),
            Choice::Run { stage: 1, count: 3 }
        );
    }
}
