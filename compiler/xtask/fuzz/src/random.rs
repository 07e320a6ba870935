//! A small generator of random numbers whose sequence never changes.

/// SplitMix64: each run has a sequence of its own, so that one run can be made again alone.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64, run: usize) -> Random {
        let mut random = Random(seed);
        let start = random.next() ^ (run as u64).wrapping_mul(0xd134_2543_de82_ef95);
        Random(start)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }

    /// One of some things.
    pub(crate) fn pick<'a, T>(&mut self, things: &'a [T]) -> &'a T {
        &things[self.below(things.len())]
    }

    /// A length from 1: mostly short, seldom up to `most`.
    pub(crate) fn length(&mut self, most: usize) -> usize {
        let bound = match self.below(8) {
            0..5 => 4,
            5..7 => 16,
            _ => most,
        };
        1 + self.below(bound.min(most).max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_repeatable_and_differ() {
        let numbers = |run| {
            let mut random = Random::new(7, run);
            [random.below(1000), random.below(1000), random.below(1000)]
        };
        assert_eq!(numbers(3), numbers(3));
        assert_ne!(numbers(3), numbers(4));
    }

    #[test]
    fn numbers_stay_below_their_bound() {
        let mut random = Random::new(1, 1);
        assert!((0..1000).all(|_| random.below(3) < 3));
        assert!((0..1000).all(|_| (1..=40).contains(&random.length(40))));
    }
}
