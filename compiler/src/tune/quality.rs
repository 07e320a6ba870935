//! How good the answers of exits are: a few whole numbers for each sample, whose sums over samples
//! give a score.

use smallvec::{SmallVec, smallvec};

use super::search::Bits;

/// Sums over samples: of right answers, or for each class of places that are rightly and wrongly
/// taken for it.
pub type Sums = SmallVec<[i64; 8]>;

/// What a score is of.
#[derive(Copy, Clone, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Metric {
    /// The share of labels that the greatest output is.
    Accuracy,
    /// For each class that labels have, the places that are and are taken for it, as a share of those
    /// that are or are taken for it; the mean over classes.
    MeanIou,
}

impl Metric {
    /// As reports name it.
    pub fn name(self) -> &'static str {
        match self {
            Metric::Accuracy => "accuracy",
            Metric::MeanIou => "mean IoU",
        }
    }
}

/// Labels, and how often each class is among them.
#[derive(Clone, Debug)]
pub struct Truth<'a> {
    metric: Metric,
    /// Sample after sample, as many for each.
    labels: &'a [usize],
    /// Labels of a sample.
    places: usize,
    of_class: Vec<i64>,
}

impl<'a> Truth<'a> {
    pub fn new(metric: Metric, labels: &'a [usize], samples: usize) -> Truth<'a> {
        let mut of_class = vec![0; labels.iter().max().map_or(0, |most| most + 1)];
        for &label in labels {
            of_class[label] += 1;
        }
        Truth {
            metric,
            labels,
            places: labels.len() / samples.max(1),
            of_class,
        }
    }

    /// The sums over no samples.
    pub fn none(&self) -> Sums {
        match self.metric {
            Metric::Accuracy => smallvec![0],
            Metric::MeanIou => smallvec![0; 2 * self.of_class.len()],
        }
    }

    /// What one sample's answers add.
    pub fn sums(&self, sample: usize, answers: &[usize]) -> Sums {
        let labels = &self.labels[sample * self.places..][..self.places];
        let mut sums = self.none();
        for (&label, &answer) in labels.iter().zip(answers) {
            match self.metric {
                Metric::Accuracy => sums[0] += i64::from(label == answer),
                // A class that no label has takes from those that the labels have.
                Metric::MeanIou => {
                    let wrong = usize::from(label != answer);
                    if let Some(sum) = sums.get_mut(2 * answer + wrong) {
                        *sum += 1;
                    }
                }
            }
        }
        sums
    }

    /// Adds one sample's answers to sums.
    pub fn add(&self, sums: &mut Sums, sample: usize, answers: &[usize]) {
        add_to(sums, &self.sums(sample, answers));
    }

    /// The score of sums over all samples.
    pub fn score(&self, sums: &[i64]) -> f64 {
        match self.metric {
            Metric::Accuracy => sums[0] as f64 / self.labels.len().max(1) as f64,
            Metric::MeanIou => {
                let classes = self.of_class.iter().zip(sums.chunks_exact(2));
                let classes = classes.filter(|(all, _)| **all > 0);
                let (mut total, mut count) = (0.0, 0.0);
                for (&all, taken) in classes {
                    total += taken[0] as f64 / (all + taken[1]) as f64;
                    count += 1.0;
                }
                total / f64::max(count, 1.0)
            }
        }
    }
}

/// What all exits answer.
#[derive(Clone, Debug)]
pub struct Quality<'a> {
    pub truth: Truth<'a>,
    /// For each exit and sample.
    exits: Vec<Vec<Sums>>,
    /// For each exit and sample: no answers from this exit on can have a better score.
    best: Vec<Vec<Sums>>,
    /// The same as sets, if a sample is right or not and nothing else: that is counted faster.
    sets: Option<[Vec<Bits>; 2]>,
}

impl<'a> Quality<'a> {
    /// `exits` has for each exit what each sample adds.
    pub fn new(truth: Truth<'a>, exits: Vec<Vec<Sums>>) -> Quality<'a> {
        let samples = exits.first().map_or(0, Vec::len);
        let mut best = exits.clone();
        for i in (1..best.len()).rev() {
            let (before, behind) = best.split_at_mut(i);
            for (mine, others) in before[i - 1].iter_mut().zip(&behind[0]) {
                for (number, (mine, &other)) in mine.iter_mut().zip(others).enumerate() {
                    // Places that are rightly taken for a class count for it, others against it.
                    *mine = match number % 2 {
                        0 => (*mine).max(other),
                        _ => (*mine).min(other),
                    };
                }
            }
        }
        let set = |all: &[Vec<Sums>]| {
            let exits = all.iter();
            exits
                .map(|sums| Bits::of(samples, |i| sums[i][0] == 1))
                .collect()
        };
        let single = truth.metric == Metric::Accuracy && truth.places == 1;
        Quality {
            sets: single.then(|| [set(&exits), set(&best)]),
            truth,
            exits,
            best,
        }
    }

    pub fn none(&self) -> Sums {
        self.truth.none()
    }

    /// Adds what an exit answers to samples.
    pub fn add(&self, sums: &mut Sums, exit: usize, samples: &Bits) {
        match &self.sets {
            Some([right, _]) => sums[0] += samples.and(&right[exit]).count() as i64,
            None => add_all(sums, &self.exits[exit], samples),
        }
    }

    /// Adds what is no worse than the answers of any exits from this one on.
    pub fn add_best(&self, sums: &mut Sums, first: usize, samples: &Bits) {
        match &self.sets {
            Some([_, best]) => sums[0] += samples.and(&best[first]).count() as i64,
            None => add_all(sums, &self.best[first], samples),
        }
    }

    /// The score of an exit that answers all.
    pub fn alone(&self, exit: usize) -> f64 {
        let all = Bits::of(self.exits[exit].len(), |_| true);
        let mut sums = self.none();
        self.add(&mut sums, exit, &all);
        self.truth.score(&sums)
    }
}

fn add_all(sums: &mut Sums, of_samples: &[Sums], samples: &Bits) {
    for (i, more) in of_samples.iter().enumerate() {
        if samples.has(i) {
            add_to(sums, more);
        }
    }
}

fn add_to(sums: &mut Sums, more: &Sums) {
    for (sum, more) in sums.iter_mut().zip(more) {
        *sum += more;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_over_classes_counts_what_is_wrongly_taken() {
        let labels = [0, 0, 1, 1, 2, 2];
        let truth = Truth::new(Metric::MeanIou, &labels, 1);
        // Class 0: 1 of 2 found and one other taken for it; class 1: all; class 2: 1 of 2. A class that
        // no label has is no class of the mean.
        let sums = truth.sums(0, &[0, 3, 1, 1, 2, 0]);
        let wanted = (1.0 / 3.0 + 1.0 + 0.5) / 3.0;
        assert!((truth.score(&sums) - wanted).abs() < 1e-12);
    }

    #[test]
    fn sums_of_samples_are_those_of_all() {
        let labels = [0, 1, 1, 0, 2, 1];
        for metric in [Metric::Accuracy, Metric::MeanIou] {
            let truth = Truth::new(metric, &labels, 3);
            let answers = [[0, 1], [1, 1], [2, 0]];
            let of_samples: Vec<Sums> = (0..3).map(|i| truth.sums(i, &answers[i])).collect();
            let whole = Truth::new(metric, &labels, 1);
            let quality = Quality::new(truth, vec![of_samples]);
            let all = whole.sums(0, &answers.concat());
            assert_eq!(quality.alone(0), whole.score(&all));
        }
    }
}
