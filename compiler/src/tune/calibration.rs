//! How far a classifier's probabilities can be believed.

/// The logits of one exit on labelled samples.
#[derive(Copy, Clone)]
pub struct Logits<'a> {
    /// Sample after sample.
    pub values: &'a [f64],
    pub classes: usize,
    pub labels: &'a [usize],
}

/// A bin of a reliability diagram: samples whose confidence lies in one interval.
#[derive(Copy, Clone, PartialEq, Debug, Default)]
pub struct Bin {
    pub count: usize,
    /// Means over the samples.
    pub confidence: f64,
    pub accuracy: f64,
}

/// Bins of the expected calibration error.
pub const BINS: usize = 15;

/// The temperature whose probabilities fit the labels best: the least of the negative log-likelihood
/// of softmax(z / T), by golden section over the logarithm of T.
pub fn temperature(logits: &Logits<'_>) -> f64 {
    let golden = (5f64.sqrt() - 1.0) / 2.0;
    let (mut low, mut high) = (0.05f64.ln(), 20f64.ln());
    let loss = |t: f64| likelihood(logits, t.exp());
    let (mut a, mut b) = (high - golden * (high - low), low + golden * (high - low));
    let (mut at_a, mut at_b) = (loss(a), loss(b));
    while high - low > 1e-4 {
        if at_a < at_b {
            (high, b, at_b) = (b, a, at_a);
            a = high - golden * (high - low);
            at_a = loss(a);
        } else {
            (low, a, at_a) = (a, b, at_b);
            b = low + golden * (high - low);
            at_b = loss(b);
        }
    }
    ((low + high) / 2.0).exp()
}

/// The mean negative log-likelihood of the labels.
fn likelihood(logits: &Logits<'_>, temperature: f64) -> f64 {
    let rows = logits
        .values
        .chunks_exact(logits.classes)
        .zip(logits.labels);
    let losses = rows.map(|(z, &label)| {
        let greatest = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = z.iter().map(|z| ((z - greatest) / temperature).exp()).sum();
        sum.ln() - (z[label] - greatest) / temperature
    });
    losses.sum::<f64>() / logits.labels.len().max(1) as f64
}

/// The reliability diagram of the greatest probability under a temperature.
pub fn reliability(logits: &Logits<'_>, temperature: f64) -> [Bin; BINS] {
    let mut bins = [Bin::default(); BINS];
    for (z, &label) in logits
        .values
        .chunks_exact(logits.classes)
        .zip(logits.labels)
    {
        let (mut best, mut greatest) = (0, f64::NEG_INFINITY);
        for (k, &z) in z.iter().enumerate() {
            if z > greatest {
                (best, greatest) = (k, z);
            }
        }
        let sum: f64 = z.iter().map(|z| ((z - greatest) / temperature).exp()).sum();
        let confidence = 1.0 / sum;
        let bin = &mut bins[((confidence * BINS as f64) as usize).min(BINS - 1)];
        bin.count += 1;
        bin.confidence += confidence;
        bin.accuracy += f64::from(u8::from(best == label));
    }
    for bin in bins.iter_mut().filter(|bin| bin.count > 0) {
        bin.confidence /= bin.count as f64;
        bin.accuracy /= bin.count as f64;
    }
    bins
}

/// The expected calibration error: the mean distance of confidence and accuracy, over bins.
pub fn error(bins: &[Bin]) -> f64 {
    let total: usize = bins.iter().map(|b| b.count).sum();
    let gaps = bins
        .iter()
        .map(|b| b.count as f64 * (b.confidence - b.accuracy).abs());
    gaps.sum::<f64>() / total.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use lepid_ir::core::Elem;
    use lepid_ir::interp::random::Random;

    #[test]
    fn a_temperature_is_found_again_and_lowers_the_error() {
        // Labels drawn from softmax(z / 2.5) of random logits.
        let (samples, classes, hot) = (4000, 4, 2.5);
        let mut random = Random::new(5);
        let values = random
            .tensor(Elem::F32, &[samples, classes])
            .map(|z| 3.0 * z)
            .to_f64s();
        let luck = random.tensor(Elem::F32, &[samples]).to_f64s();
        let labels: Vec<usize> = values
            .chunks_exact(classes)
            .zip(luck)
            .map(|(z, luck)| {
                // The normal distribution function makes luck even.
                let mut u = 0.5 * (1.0 + libm::erf(luck / 2f64.sqrt()));
                let sum: f64 = z.iter().map(|z| (z / hot).exp()).sum();
                let of = |k: usize| (z[k] / hot).exp() / sum;
                (0..classes - 1)
                    .find(|&k| {
                        u -= of(k);
                        u < 0.0
                    })
                    .unwrap_or(classes - 1)
            })
            .collect();
        let logits = Logits {
            values: &values,
            classes,
            labels: &labels,
        };
        let found = temperature(&logits);
        assert!((found / hot - 1.0).abs() < 0.1, "{found}");
        let [before, after] = [1.0, found].map(|t| error(&reliability(&logits, t)));
        assert!(after < 0.03 && before > 0.1, "{before} {after}");
    }
}
