// SPDX-License-Identifier: MIT OR Apache-2.0

//! Contents that tell which buffer and which offset they belong to.

/// Where a buffer does not hold its pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("byte {offset} is {found:#04x}, not {expected:#04x}")]
pub struct Mismatch {
    /// Offset of the first wrong byte.
    pub offset: usize,
    /// What belongs there.
    pub expected: u8,
    /// What is there.
    pub found: u8,
}

/// The bytes `[8 * index, 8 * index + 8)` of the pattern of a buffer.
fn word(id: u32, index: usize) -> [u8; 8] {
    // The golden ratio spreads the number; the shift brings the upper half, which depends on all of
    // it, to every byte.
    let spread = (u64::from(id) << 32 ^ index as u64 ^ 1 << 63).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (spread ^ spread >> 32).to_le_bytes()
}

/// Fills a buffer with the pattern of `id`, every byte.
pub fn fill(id: u32, bytes: &mut [u8]) {
    let mut words = bytes.chunks_exact_mut(8);
    let mut index = 0;
    for chunk in words.by_ref() {
        chunk.copy_from_slice(&word(id, index));
        index += 1;
    }
    for (byte, expected) in words.into_remainder().iter_mut().zip(word(id, index)) {
        *byte = expected;
    }
}

/// Checks that a buffer holds the pattern of `id`, every byte.
///
/// # Errors
///
/// The first byte that differs.
pub fn check(id: u32, bytes: &[u8]) -> Result<(), Mismatch> {
    let words = bytes.chunks_exact(8);
    let remainder = words.remainder();
    let mut index = 0;
    for chunk in words {
        let expected = word(id, index);
        if chunk != expected {
            return compare(index, expected, chunk);
        }
        index += 1;
    }
    compare(index, word(id, index), remainder)
}

/// Compares a word or the first bytes of it, byte by byte.
fn compare(index: usize, expected: [u8; 8], found: &[u8]) -> Result<(), Mismatch> {
    let mut bytes = expected.into_iter().zip(found.iter().copied()).enumerate();
    match bytes.find(|(_, (expected, found))| expected != found) {
        Some((byte, (expected, found))) => Err(Mismatch {
            offset: 8 * index + byte,
            expected,
            found,
        }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(id: u32, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        fill(id, &mut bytes);
        bytes
    }

    #[test]
    fn what_was_filled_checks_at_every_length() {
        for len in 0..70 {
            assert_eq!(check(7, &filled(7, len)), Ok(()));
        }
    }

    #[test]
    fn a_single_flipped_bit_is_found_wherever_it_is() {
        for offset in 0..67 {
            for bit in 0..8 {
                let mut bytes = filled(7, 67);
                let expected = bytes[offset];
                bytes[offset] ^= 1 << bit;
                let found = bytes[offset];
                assert_eq!(
                    check(7, &bytes),
                    Err(Mismatch {
                        offset,
                        expected,
                        found
                    })
                );
            }
        }
    }

    #[test]
    fn the_first_of_many_differences_is_reported() {
        let mut bytes = filled(7, 40);
        for byte in &mut bytes[10..30] {
            *byte ^= 0xff;
        }
        let Mismatch { offset, .. } = check(7, &bytes).unwrap_err();
        assert_eq!(offset, 10);
    }

    #[test]
    fn patterns_of_different_buffers_differ_in_every_word() {
        let ids = [0, 1, 2, 255, 256, 1 << 16, u32::MAX];
        for a in ids {
            for b in ids.into_iter().filter(|b| *b != a) {
                let (a, b) = (filled(a, 4096), filled(b, 4096));
                assert!(a.chunks(8).zip(b.chunks(8)).all(|(a, b)| a != b));
            }
        }
    }

    #[test]
    fn no_word_appears_twice_in_a_buffer() {
        let bytes = filled(3, 1 << 20);
        let words: std::collections::HashSet<_> = bytes.chunks(8).collect();
        assert_eq!(words.len(), bytes.len() / 8);
    }

    #[test]
    fn zeroes_are_no_pattern() {
        assert!(check(0, &[0; 16]).is_err());
    }
}
