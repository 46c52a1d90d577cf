// SPDX-License-Identifier: MIT OR Apache-2.0

//! Test patterns: bytes that depend on a seed and on their position, so that a buffer of another
//! owner, or the right buffer at the wrong offset, does not pass for the right one.

/// Fills `bytes` with the pattern of `seed` from `position` on.
///
/// # Panics
///
/// Where `position` is not a multiple of 8.
pub fn fill(bytes: &mut [u8], seed: u64, position: u64) {
    assert_eq!(position % 8, 0, "patterns start at whole words");
    for (index, chunk) in (position / 8..).zip(bytes.chunks_mut(8)) {
        chunk.copy_from_slice(&word(seed, index).to_le_bytes()[..chunk.len()]);
    }
}

/// The pattern in words of eight bytes.
fn word(seed: u64, index: u64) -> u64 {
    // Odd constants, so that neighbours differ in every byte; the shift mixes high bits down.
    let mixed =
        (seed ^ index.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed ^ mixed >> 29
}

/// Numbers that look random and repeat from run to run.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// The sequence of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `limit`, which is not 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(1);
        word(0x6a09_e667_f3bc_c909, self.0) % limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_equals_the_same_piece_of_the_whole() {
        let (mut whole, mut piece) = ([0; 64], [0; 21]);
        fill(&mut whole, 7, 0);
        fill(&mut piece, 7, 16);
        assert_eq!(piece, whole[16..37]);
    }

    #[test]
    fn seeds_and_offsets_differ() {
        let (mut a, mut b, mut c) = ([0; 4096], [0; 4096], [0; 4096]);
        fill(&mut a, 1, 0);
        fill(&mut b, 2, 0);
        fill(&mut c, 1, 4096);
        assert_ne!(a, b);
        assert_ne!(a, c);
    }

    #[test]
    fn random_numbers_stay_below_the_limit() {
        let mut random = Random::new(3);
        assert!((0..1000).all(|_| random.below(10) < 10));
    }
}
