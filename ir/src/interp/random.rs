//! Seeded random tensors: the inputs of tests and of runs for which the user gives none.

use crate::core::{Elem, Num, Tensor};

/// A stream of numbers that depends on the seed alone (SplitMix64).
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

impl Random {
    pub fn new(seed: u64) -> Random {
        Random { state: seed }
    }

    pub fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in `0..limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(limit)) >> 64) as u64
    }

    /// Uniform in [0, 1).
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Of mean 0 and deviation 1.
    pub fn normal(&mut self) -> f64 {
        // 1 - u is never 0.
        let radius = (-2.0 * libm::log(1.0 - self.unit())).sqrt();
        radius * libm::cos(std::f64::consts::TAU * self.unit())
    }

    /// Normal floats, integers from 0 to 3 (valid for most indices), fair truth values.
    pub fn tensor(&mut self, elem: Elem, shape: &[usize]) -> Tensor {
        let count = shape.iter().product();
        let nums = (0..count).map(|_| match elem {
            _ if elem.is_float() => Num::Float(self.normal()),
            Elem::Bool => Num::Int(i128::from(self.below(2))),
            _ => Num::Int(i128::from(self.below(4))),
        });
        Tensor::from_nums(elem, shape.iter().copied(), nums)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_numbers_have_mean_0_and_deviation_1() {
        let mut random = Random::new(7);
        let x: Vec<f64> = (0..20000).map(|_| random.normal()).collect();
        let mean = x.iter().sum::<f64>() / x.len() as f64;
        let square = x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
        assert!(
            mean.abs() < 0.03 && (square - 1.0).abs() < 0.05,
            "{mean} {square}"
        );
    }

    #[test]
    fn equal_seeds_give_equal_tensors() {
        let tensor = |seed| Random::new(seed).tensor(Elem::F32, &[3, 5]);
        assert_eq!(tensor(1), tensor(1));
        assert_ne!(tensor(1), tensor(2));
    }
}
