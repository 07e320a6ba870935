//! What an exit says to samples.

use super::calibration::Logits;

/// The outputs of one exit, [classes, places] for each sample, not softmaxed.
#[derive(Clone, Default, Debug)]
pub struct Outputs {
    pub values: Vec<f32>,
    pub classes: usize,
    /// 1 for an exit that says one thing of a sample.
    pub places: usize,
}

/// Rows that calibration looks at, at most: places of one image say nearly the same.
const MOST_ROWS: usize = 40_000;

impl Outputs {
    pub fn samples(&self) -> usize {
        self.values.len() / (self.classes * self.places).max(1)
    }

    pub fn sample(&self, sample: usize) -> &[f32] {
        let size = self.classes * self.places;
        &self.values[sample * size..][..size]
    }

    /// The class of the greatest output at each place of a sample, the first of equal ones.
    pub fn answers(&self, sample: usize) -> Vec<usize> {
        answers(self.sample(sample), self.places)
    }

    /// Rows of classes at places that are spread evenly, with their labels.
    pub fn rows(&self, labels: &[usize]) -> (Vec<f64>, Vec<usize>) {
        let step = labels.len().div_ceil(MOST_ROWS).max(1);
        // No divisor of the places of an image, lest all rows be of the same few.
        let step = (step..).find(|step| step % 2 == 1).unwrap_or(step);
        let (mut values, mut kept) = (Vec::new(), Vec::new());
        for row in (0..labels.len()).step_by(step) {
            let (sample, place) = (row / self.places, row % self.places);
            let sample = self.sample(sample);
            let of_class = (0..self.classes).map(|k| f64::from(sample[k * self.places + place]));
            values.extend(of_class);
            kept.push(labels[row]);
        }
        (values, kept)
    }
}

/// The class of the greatest of `values` [classes, places] at each place, the first of equal ones.
pub fn answers<T: PartialOrd>(values: &[T], places: usize) -> Vec<usize> {
    let classes = values.len() / places.max(1);
    let best = |place: usize| {
        (1..classes).fold(0, |best, k| {
            match values[k * places + place] > values[best * places + place] {
                true => k,
                false => best,
            }
        })
    };
    (0..places).map(best).collect()
}

/// Rows as [`Outputs::rows`] gives them, for calibration.
pub fn logits<'a>((values, labels): &'a (Vec<f64>, Vec<usize>), classes: usize) -> Logits<'a> {
    Logits {
        values,
        classes,
        labels,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_stand_before_places() {
        let outputs = Outputs {
            values: vec![0.0, 3.0, 1.0, 2.0, 5.0, 5.0, 6.0, 5.0],
            classes: 2,
            places: 2,
        };
        assert_eq!(outputs.samples(), 2);
        assert_eq!(outputs.answers(0), [1, 0]);
        assert_eq!(outputs.answers(1), [1, 0]);
        let (values, labels) = outputs.rows(&[0, 1, 1, 0]);
        assert_eq!(values, [0.0, 1.0, 3.0, 2.0, 5.0, 6.0, 5.0, 5.0]);
        assert_eq!(labels, [0, 1, 1, 0]);
    }
}
