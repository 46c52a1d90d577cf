// SPDX-License-Identifier: MIT OR Apache-2.0

//! Filling mappings with patterns, and checking what they hold.

use crate::mapping::{host_len, Mapping};
use crate::pattern;
use std::ops::Range;

/// Bytes that move at a time between a mapping and private memory.
const CHUNK: usize = 64 * 1024;

impl Mapping {
    /// Fills everything with the pattern of `seed`.
    pub fn fill(&self, seed: u64) {
        let mut chunk = vec![0; CHUNK];
        for range in chunks(0..self.len()) {
            let bytes = &mut chunk[..host_len(range.end - range.start)];
            pattern::fill(bytes, seed, range.start);
            self.write(range.start, bytes);
        }
    }

    /// Panics unless everything holds the pattern of `seed`.
    pub fn check(&self, seed: u64) {
        self.check_range(0..self.len(), seed, 0);
    }

    /// Panics unless `range` holds the pattern of `seed` from `position` of the pattern on.
    pub fn check_range(&self, range: Range<u64>, seed: u64, position: u64) {
        let start = range.start;
        self.compare(range, |offset, expected| {
            pattern::fill(expected, seed, position + (offset - start));
        });
    }

    /// Panics unless every byte of `range` is zero.
    pub fn check_zero(&self, range: Range<u64>) {
        self.compare(range, |_, _| {});
    }

    /// Panics unless `range` holds what `expect` writes, given each chunk's offset, over zeroes.
    fn compare(&self, range: Range<u64>, mut expect: impl FnMut(u64, &mut [u8])) {
        let (mut found, mut expected) = (vec![0; CHUNK], vec![0; CHUNK]);
        for range in chunks(range) {
            let len = host_len(range.end - range.start);
            let (found, expected) = (&mut found[..len], &mut expected[..len]);
            self.read(range.start, found);
            expect(range.start, expected);
            let pairs = || found.iter().zip(expected.iter());
            // Without a branch per byte, because whole regions are compared in an emulator.
            if pairs().fold(0, |difference, (a, b)| difference | (a ^ b)) == 0 {
                continue;
            }
            let differs = pairs()
                .position(|(a, b)| a != b)
                .expect("one of them differs");
            panic!(
                "offset {} holds {:#04x} instead of {:#04x}",
                range.start + differs as u64,
                found[differs],
                expected[differs]
            );
        }
    }
}

/// Cuts `range` into chunks of [`CHUNK`] bytes, the last one shorter.
fn chunks(range: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let end = range.end;
    range
        .step_by(CHUNK)
        .map(move |start| start..end.min(start + CHUNK as u64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::READ_WRITE;

    #[test]
    #[should_panic(expected = "offset 4104 holds 0x01 instead of 0x00")]
    fn a_single_wrong_byte_is_found() {
        let mapping = Mapping::anonymous(0x4000, READ_WRITE);
        mapping.write(4104, &[1]);
        mapping.check_zero(0..0x4000);
    }
}
