//! What an exit says to samples.

use lepid_ir::core::Tensor;

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
        // Without a common divisor with the places of an image, lest all rows be of the same few.
        let step = (step..)
            .find(|&step| gcd(step, self.places) == 1)
            .unwrap_or(step);
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

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// What samples are to give, as whole numbers from 0 on.
#[derive(Clone, Debug)]
pub struct Labels {
    /// Sample after sample.
    pub values: Vec<usize>,
    pub samples: usize,
    /// The extents of a sample's labels: none, if it has one.
    pub places: Vec<usize>,
}

impl Labels {
    /// Labels with samples along the first axis; says what is wrong with them.
    pub fn of(tensor: &Tensor) -> Result<Labels, String> {
        let Some((&samples, places)) = tensor.shape().split_first() else {
            return Err("the labels have no axis of samples".to_string());
        };
        let of_sample: usize = places.iter().product();
        if samples * of_sample == 0 {
            return Err("there are no labels".to_string());
        }
        let numbers = tensor.to_i64s();
        let values = numbers.iter().enumerate().map(|(at, &label)| {
            let sample = at / of_sample;
            usize::try_from(label)
                .map_err(|_| format!("label {label} of sample {sample} is no class"))
        });
        Ok(Labels {
            values: values.collect::<Result<_, String>>()?,
            samples,
            places: places.to_vec(),
        })
    }

    /// Where the classes of an output [N, …] are that gives one for each label. Says why it does not.
    pub fn classes(&self, shape: &[usize]) -> Result<Classes, String> {
        let rest = shape.get(1..).unwrap_or_default();
        let (first, last) = (rest.split_first(), rest.split_last());
        let found = match (first, last) {
            (_, Some((&count, places))) if places == self.places => Classes {
                count,
                before: false,
            },
            (Some((&count, places)), _) if places == self.places => Classes {
                count,
                before: true,
            },
            _ => {
                return Err(format!(
                    "an output of extents {shape:?} gives no classes for {} samples of labels {:?}",
                    self.samples, self.places
                ));
            }
        };
        let most = self.values.iter().max().copied().unwrap_or(0);
        match most < found.count {
            true => Ok(found),
            false => Err(format!(
                "label {most} is no class of an output that has {}",
                found.count
            )),
        }
    }
}

/// The classes of an output.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Classes {
    pub count: usize,
    /// Whether they stand before the places, and not behind.
    pub before: bool,
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
    fn labels_say_where_classes_are() {
        use lepid_ir::core::Elem;
        let labels = |shape: &[usize], values: Vec<f64>| {
            Labels::of(&Tensor::from_f64s(Elem::I64, shape.iter().copied(), values))
        };
        let found = |count, before| Ok(Classes { count, before });
        let one = labels(&[2], vec![0.0, 4.0]).unwrap();
        assert_eq!(one.classes(&[2, 5]), found(5, false));
        assert!(one.classes(&[2, 4]).unwrap_err().contains("label 4"));
        assert!(one.classes(&[2, 5, 3, 3]).is_err());
        let places = labels(&[1, 3], vec![0.0, 1.0, 1.0]).unwrap();
        assert_eq!(places.classes(&[1, 3, 2]), found(2, false));
        assert_eq!(places.classes(&[1, 2, 3]), found(2, true));
        assert!(places.classes(&[1, 3]).is_err());
        assert!(
            labels(&[1, 2], vec![0.0, -1.0])
                .unwrap_err()
                .contains("label -1")
        );
        assert!(labels(&[0], Vec::new()).is_err());
        assert!(labels(&[3, 0], Vec::new()).is_err());
    }

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
