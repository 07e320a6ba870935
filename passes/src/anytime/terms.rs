//! Matrices as sums of pruned outer products, the greatest first.
//!
//! ```text
//! W ≈ Σₙ σₙ uₙ (mₙ ⊙ vₙ)ᵀ,   mₙ keeps the K greatest of |vₙ|
//! ```
//!
//! Each term looks for the greatest singular triple of what the terms before have left, and of its
//! right vector keeps the entries that count most: so every row of a term reads the same few inputs,
//! and a product with a vector takes K + rows multiply-adds a term (Rizakis, Venieris, Kouris and
//! Bouganis, *Approximate FPGA-based LSTMs under Computation Time Constraints*, ARC 2018). The left
//! vector is then made anew, `W (m ⊙ v) / |m ⊙ v|²`, the best for what was kept: with all columns it
//! is `σ u`, with few it is better. What is left shrinks with every term by `|left|² |right|²`.

/// One term.
#[derive(Clone, PartialEq, Debug)]
pub struct Term {
    /// One for each row.
    pub left: Vec<f32>,
    /// The columns that are kept, in order, and the entries of `v` there.
    pub columns: Vec<usize>,
    pub right: Vec<f32>,
}

/// A matrix [rows, columns], row by row.
#[derive(Clone, Debug)]
pub struct Rest {
    columns: usize,
    values: Vec<f64>,
}

impl Rest {
    pub fn new(values: Vec<f64>, columns: usize) -> Rest {
        Rest { columns, values }
    }

    /// The sum of squares.
    pub fn energy(&self) -> f64 {
        self.values.iter().map(|x| x * x).sum()
    }

    /// Takes a term away that keeps so many columns.
    pub fn take(&mut self, keep: usize) -> Term {
        let right = self.greatest();
        let mut order: Vec<usize> = (0..self.columns).collect();
        order.sort_by(|&a, &b| right[b].abs().total_cmp(&right[a].abs()).then(a.cmp(&b)));
        order.truncate(keep);
        order.sort_unstable();
        let kept: Vec<f32> = order.iter().map(|&j| right[j] as f32).collect();
        let square: f64 = kept.iter().map(|&y| f64::from(y).powi(2)).sum();
        let left = self.values.chunks_exact(self.columns).map(|row| {
            let pairs = order.iter().zip(&kept);
            let sum: f64 = pairs.map(|(&j, &y)| row[j] * f64::from(y)).sum();
            (sum / square.max(f64::MIN_POSITIVE)) as f32
        });
        let term = Term {
            left: left.collect(),
            right: kept,
            columns: order,
        };
        // What was rounded is what is taken away, so that later terms make up for it.
        for (row, &x) in self.values.chunks_exact_mut(self.columns).zip(&term.left) {
            for (&j, &y) in term.columns.iter().zip(&term.right) {
                row[j] -= f64::from(x) * f64::from(y);
            }
        }
        term
    }

    /// `v` of the greatest singular value, by power iteration from the longest row.
    fn greatest(&self) -> Vec<f64> {
        let rows = || self.values.chunks_exact(self.columns);
        let square = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>();
        let longest = rows().max_by(|a, b| square(a).total_cmp(&square(b)));
        let mut right = longest.map_or(Vec::new(), <[f64]>::to_vec);
        let mut before = 0.0;
        for _ in 0..MOST_ROUNDS {
            normalise(&mut right);
            let left: Vec<f64> = rows().map(|row| dot(row, &right)).collect();
            let energy = square(&left);
            right.fill(0.0);
            for (row, &x) in rows().zip(&left) {
                for (sum, y) in right.iter_mut().zip(row) {
                    *sum += x * y;
                }
            }
            if energy - before <= TOLERANCE * energy {
                break;
            }
            before = energy;
        }
        normalise(&mut right);
        right
    }
}

/// Rounds of a power iteration at most.
const MOST_ROUNDS: usize = 100;

/// Its energy grows by less than this share in the last round.
const TOLERANCE: f64 = 1e-7;

fn dot(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| x * y).sum()
}

fn normalise(x: &mut [f64]) {
    let length = dot(x, x).sqrt();
    if length > 0.0 {
        x.iter_mut().for_each(|x| *x /= length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lepid_ir::core::Elem;
    use lepid_ir::interp::random::Random;

    fn matrix(rows: usize, columns: usize, seed: u64) -> Rest {
        let values = Random::new(seed).tensor(Elem::F32, &[rows, columns]);
        Rest::new(values.to_f64s(), columns)
    }

    #[test]
    fn each_term_takes_away_its_energy() {
        for (seed, keep) in [(1, 40), (2, 12), (3, 1)] {
            let mut rest = matrix(24, 40, seed);
            for _ in 0..30 {
                let before = rest.energy();
                let term = rest.take(keep);
                let square = |x: &[f32]| x.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>();
                let taken = square(&term.left) * square(&term.right);
                assert_eq!(term.columns.len(), keep);
                assert!(term.columns.is_sorted());
                let gap = (before - taken - rest.energy()).abs();
                assert!(gap <= 1e-6 * before, "{gap} of {before}");
                assert!(rest.energy() < before);
            }
        }
    }

    #[test]
    fn whole_terms_are_singular_values() {
        // Of rank 3: three whole terms leave nothing.
        let (a, b) = (matrix(16, 3, 4), matrix(3, 20, 5));
        let mut values = vec![0.0; 16 * 20];
        for i in 0..16 {
            for j in 0..20 {
                let terms = (0..3).map(|k| a.values[i * 3 + k] * b.values[k * 20 + j]);
                values[i * 20 + j] = terms.sum();
            }
        }
        let mut rest = Rest::new(values, 20);
        let whole = rest.energy();
        let mut scales = Vec::new();
        for _ in 0..3 {
            let left = rest.take(20).left;
            scales.push(left.iter().map(|&x| x * x).sum::<f32>());
        }
        assert!(rest.energy() < 1e-9 * whole);
        assert!(scales.is_sorted_by(|a, b| a >= b));
    }
}
