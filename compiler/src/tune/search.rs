//! The best choice of exits and of candidates at each, exactly, by branch and bound.
//!
//! A choice is a list of exits in order, each but the last with a candidate, which says of each sample
//! whether it leaves there. What a choice costs and how good its answers are follows from sets of
//! samples; so a beginning of a choice bounds all that go on from it: they cost at least what the
//! cheapest exit behind it does for all that are left, and their answers are at most as good as if
//! each sample had the best of all exits behind it.

use super::quality::{Quality, Sums};

/// A set of samples.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Bits(Vec<u64>);

impl Bits {
    /// Those of so many samples for which `holds`.
    pub fn of(count: usize, holds: impl Fn(usize) -> bool) -> Bits {
        let mut words = vec![0u64; count.div_ceil(64)];
        for i in (0..count).filter(|&i| holds(i)) {
            words[i / 64] |= 1 << (i % 64);
        }
        Bits(words)
    }

    pub fn count(&self) -> usize {
        self.0.iter().map(|w| w.count_ones() as usize).sum()
    }

    pub fn and(&self, other: &Bits) -> Bits {
        self.with(other, |a, b| a & b)
    }

    /// Those that are not in the other set.
    pub fn without(&self, other: &Bits) -> Bits {
        self.with(other, |a, b| a & !b)
    }

    pub fn has(&self, i: usize) -> bool {
        self.0[i / 64] >> (i % 64) & 1 == 1
    }

    fn with(&self, other: &Bits, f: impl Fn(u64, u64) -> u64) -> Bits {
        Bits(
            self.0
                .iter()
                .zip(&other.0)
                .map(|(&a, &b)| f(a, b))
                .collect(),
        )
    }
}

/// An exit as the search sees it.
#[derive(Clone, Debug)]
pub struct Exit {
    /// Exits of one point are alternatives: a choice has one of them at most.
    pub point: usize,
    /// For each candidate the samples that leave, whoever comes.
    pub candidates: Vec<Bits>,
}

/// What is searched.
pub struct Problem<'a> {
    pub samples: usize,
    pub exits: &'a [Exit],
    pub quality: &'a Quality<'a>,
    /// What a sample costs that goes through these exits, and leaves by the last of them.
    pub path: &'a dyn Fn(&[usize]) -> f64,
}

/// What is wanted.
#[derive(Copy, Clone, PartialEq, Debug)]
pub enum Goal {
    /// The least mean cost at which the score is so great, and of equals the best.
    Cheapest { score: f64 },
    /// The greatest score at this mean cost, and of equals the cheapest.
    Best { cost: f64 },
}

/// A choice, and what it comes to on the samples.
#[derive(Clone, PartialEq, Debug)]
pub struct Choice {
    /// The exits in order, each but the last with the number of its candidate.
    pub exits: Vec<(usize, Option<usize>)>,
    /// How many samples leave by each.
    pub leave: Vec<usize>,
    /// The mean over samples.
    pub cost: f64,
    pub score: f64,
    /// Whether no choice is better.
    pub proved: bool,
}

/// Finds the best choice, looking at so many beginnings at most; `None` if no choice will do.
pub fn search(problem: &Problem<'_>, goal: Goal, limit: usize) -> Option<Choice> {
    let mut search = Search {
        problem,
        goal,
        left: limit,
        best: None,
    };
    let start = Beginning {
        exits: Vec::new(),
        leave: Vec::new(),
        remaining: Bits::of(problem.samples, |_| true),
        cost: 0.0,
        answers: problem.quality.none(),
    };
    search.go_on(&start);
    let proved = search.left > 0;
    search.best.map(|best| Choice { proved, ..best })
}

#[derive(Clone)]
struct Beginning {
    exits: Vec<(usize, Option<usize>)>,
    leave: Vec<usize>,
    remaining: Bits,
    /// The sum over samples that have left.
    cost: f64,
    /// Of those samples.
    answers: Sums,
}

impl Beginning {
    fn path(&self, exit: usize) -> Vec<usize> {
        let before = self.exits.iter().map(|(exit, _)| *exit);
        before.chain([exit]).collect()
    }
}

struct Search<'p, 'a> {
    problem: &'p Problem<'a>,
    goal: Goal,
    left: usize,
    best: Option<Choice>,
}

impl Search<'_, '_> {
    fn go_on(&mut self, from: &Beginning) {
        if self.left == 0 {
            return;
        }
        self.left -= 1;
        let exits = &self.problem.exits;
        let point = from.exits.last().map(|&(exit, _)| exits[exit].point);
        let first = from.exits.last().map_or(0, |(exit, _)| exit + 1);
        let all = (first..exits.len()).filter(|&exit| Some(exits[exit].point) != point);
        let all: Vec<usize> = all.collect();
        // The last exit of the choice: the cheap ones first, so that bounds come early.
        let mut cheapest = f64::INFINITY;
        for &exit in &all {
            let cost = (self.problem.path)(&from.path(exit));
            cheapest = cheapest.min(cost);
            self.end(from, exit, cost);
        }
        let remaining = from.remaining.count();
        let least = (from.cost + remaining as f64 * cheapest) / self.problem.samples as f64;
        let Some(&next) = all.first().filter(|_| remaining > 0) else {
            return;
        };
        let mut most = from.answers.clone();
        let quality = self.problem.quality;
        quality.add_best(&mut most, next, &from.remaining);
        if !self.may_be_better(least, quality.truth.score(&most)) {
            return;
        }
        for exit in all {
            // Behind the last exit there is none.
            if exit + 1 == self.problem.exits.len() {
                continue;
            }
            let cost = (self.problem.path)(&from.path(exit));
            let problem = self.problem;
            for (candidate, leaves) in problem.exits[exit].candidates.iter().enumerate() {
                let leaving = from.remaining.and(leaves);
                let count = leaving.count();
                // Then the exit is not worth being computed, or it is the last one.
                if count == 0 || count == remaining {
                    continue;
                }
                let mut next = from.clone();
                next.exits.push((exit, Some(candidate)));
                next.leave.push(count);
                next.cost += count as f64 * cost;
                quality.add(&mut next.answers, exit, &leaving);
                next.remaining = from.remaining.without(&leaving);
                self.go_on(&next);
            }
        }
    }

    /// A choice in which all that remain leave by `exit`.
    fn end(&mut self, from: &Beginning, exit: usize, path: f64) {
        let remaining = from.remaining.count();
        let cost = (from.cost + remaining as f64 * path) / self.problem.samples as f64;
        let quality = self.problem.quality;
        let mut answers = from.answers.clone();
        quality.add(&mut answers, exit, &from.remaining);
        let score = quality.truth.score(&answers);
        let will_do = match self.goal {
            Goal::Cheapest { score: wanted } => score >= wanted,
            Goal::Best { cost: most } => cost <= most,
        };
        if will_do && self.may_be_better(cost, score) {
            let mut exits = from.exits.clone();
            exits.push((exit, None));
            let mut leave = from.leave.clone();
            leave.push(remaining);
            self.best = Some(Choice {
                exits,
                leave,
                cost,
                score,
                proved: false,
            });
        }
    }

    /// Whether something of at least this cost and at most this score can beat the best so far.
    fn may_be_better(&self, cost: f64, score: f64) -> bool {
        let enough = match self.goal {
            Goal::Cheapest { score: wanted } => score >= wanted,
            Goal::Best { cost: most } => cost <= most,
        };
        let Some(best) = self.best.as_ref().filter(|_| enough) else {
            return enough;
        };
        match self.goal {
            Goal::Cheapest { .. } => cost < best.cost || (cost == best.cost && score > best.score),
            Goal::Best { .. } => score > best.score || (score == best.score && cost < best.cost),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tune::quality::{Metric, Truth};
    use lepid_ir::interp::random::Random;

    /// All choices, one after the other.
    fn brute(problem: &Problem<'_>, goal: Goal) -> Option<(f64, f64)> {
        fn walk(
            p: &Problem<'_>,
            exits: &[usize],
            left: &Bits,
            (cost, answers): (f64, &Sums),
            out: &mut Vec<(f64, f64)>,
        ) {
            let first = exits.last().map_or(0, |e| e + 1);
            for exit in first..p.exits.len() {
                if exits
                    .last()
                    .is_some_and(|&e| p.exits[e].point == p.exits[exit].point)
                {
                    continue;
                }
                let path: Vec<usize> = exits.iter().copied().chain([exit]).collect();
                let each = (p.path)(&path);
                let total = cost + left.count() as f64 * each;
                let mut all = answers.clone();
                p.quality.add(&mut all, exit, left);
                out.push((total / p.samples as f64, p.quality.truth.score(&all)));
                for leaves in &p.exits[exit].candidates {
                    let leaving = left.and(leaves);
                    let cost = cost + leaving.count() as f64 * each;
                    let mut some = answers.clone();
                    p.quality.add(&mut some, exit, &leaving);
                    walk(p, &path, &left.without(&leaving), (cost, &some), out);
                }
            }
        }
        let mut all = Vec::new();
        let everybody = Bits::of(problem.samples, |_| true);
        let none = problem.quality.none();
        walk(problem, &[], &everybody, (0.0, &none), &mut all);
        match goal {
            Goal::Cheapest { score } => all
                .into_iter()
                .filter(|c| c.1 >= score)
                .min_by(|a, b| a.0.total_cmp(&b.0).then(b.1.total_cmp(&a.1))),
            Goal::Best { cost } => all
                .into_iter()
                .filter(|c| c.0 <= cost)
                .max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.total_cmp(&a.0))),
        }
    }

    /// Five exits at three points, whose answers get better.
    fn agrees_with_trying_all(metric: Metric, classes: usize, places: usize, goals: &[Goal]) {
        for seed in 0..40 {
            let mut random = Random::new(seed);
            let samples = 70;
            let mut numbers = |count: usize| {
                let tensor = random.tensor(lepid_ir::core::Elem::F32, &[count]);
                tensor.to_f64s()
            };
            let pick = |x: f64| ((x.abs() * 7.0) as usize) % classes;
            let labels: Vec<usize> = numbers(samples * places).into_iter().map(pick).collect();
            let truth = Truth::new(metric, &labels, samples);
            let (mut exits, mut answers) = (Vec::new(), Vec::new());
            for (e, point) in [0, 0, 1, 1, 2].into_iter().enumerate() {
                let (score, luck) = (numbers(samples), numbers(samples * places));
                let candidates =
                    [-1.0, -0.2, 0.3, 1.0].map(|t| Bits::of(samples, |i| score[i] > t));
                exits.push(Exit {
                    point,
                    candidates: candidates.to_vec(),
                });
                let of_sample = |i: usize| {
                    let found = (0..places).map(|k| {
                        let at = i * places + k;
                        let right = luck[at] + 0.5 * score[i] > 0.4 - 0.3 * e as f64;
                        match right {
                            true => labels[at],
                            false => pick(luck[at]),
                        }
                    });
                    truth.sums(i, &found.collect::<Vec<_>>())
                };
                answers.push((0..samples).map(of_sample).collect());
            }
            let path = |exits: &[usize]| {
                let heads = exits.len() as f64;
                heads + 3.0 * (exits[exits.len() - 1] + 1) as f64
            };
            let quality = Quality::new(truth, answers);
            let problem = Problem {
                samples,
                exits: &exits,
                quality: &quality,
                path: &path,
            };
            for &goal in goals {
                let found = search(&problem, goal, usize::MAX);
                let found = found.map(|c| {
                    assert!(c.proved);
                    assert_eq!(c.leave.iter().sum::<usize>(), samples);
                    (c.cost, c.score)
                });
                let wanted = brute(&problem, goal);
                match (found, wanted) {
                    (Some(a), Some(b)) => {
                        assert!(
                            (a.0 - b.0).abs() < 1e-9 && (a.1 - b.1).abs() < 1e-12,
                            "{seed} {goal:?}: {a:?} {b:?}"
                        );
                    }
                    (a, b) => assert_eq!(a, b),
                }
            }
        }
    }

    #[test]
    fn the_search_finds_what_trying_all_does() {
        let goals = [
            Goal::Cheapest { score: 0.6 },
            Goal::Cheapest { score: 0.8 },
            Goal::Cheapest { score: 1.1 },
            Goal::Best { cost: 5.0 },
            Goal::Best { cost: 8.0 },
            Goal::Best { cost: 1.0 },
        ];
        agrees_with_trying_all(Metric::Accuracy, 4, 1, &goals);
    }

    #[test]
    fn it_does_for_places_whose_score_is_no_sum() {
        let goals = [
            Goal::Cheapest { score: 0.5 },
            Goal::Cheapest { score: 0.7 },
            Goal::Best { cost: 6.0 },
            Goal::Best { cost: 9.0 },
        ];
        agrees_with_trying_all(Metric::MeanIou, 3, 6, &goals);
    }
}
