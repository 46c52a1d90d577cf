// SPDX-License-Identifier: MIT OR Apache-2.0

//! Reproducible chance.

/// A sequence of pseudo-random numbers (SplitMix64), the same for the same seed.
#[derive(Clone, Debug)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// True every other time, on the average.
    pub(super) fn even(&mut self) -> bool {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) & 1 == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(seed: u64) -> Vec<bool> {
        let mut chance = Chance::new(seed);
        (0..1000).map(|_| chance.even()).collect()
    }

    #[test]
    fn a_seed_gives_the_same_and_another_seed_something_else() {
        assert_eq!(first(7), first(7));
        assert_ne!(first(7), first(8));
    }

    #[test]
    fn both_outcomes_are_as_likely() {
        let trues = first(1).into_iter().filter(|even| *even).count();
        assert!((400..600).contains(&trues), "{trues}");
    }
}
