// SPDX-License-Identifier: MIT OR Apache-2.0

//! What came out of a program: how many bytes are right.

use std::fmt;

/// Bytes compared with what they should be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    bytes: u64,
    wrong: u64,
    /// Offset of the first wrong byte.
    first: Option<u64>,
}

impl Verdict {
    /// Whether something that can only be right or wrong is right.
    pub(crate) fn of(right: bool) -> Self {
        let mut verdict = Self::default();
        verdict.word(u64::from(right), 1);
        verdict
    }

    /// Adds the next word, the first byte lowest.
    #[inline(always)]
    pub(crate) fn word(&mut self, found: u64, expected: u64) {
        if found != expected {
            let different = found ^ expected;
            let first = self.bytes + u64::from(different.trailing_zeros() / 8);
            self.first.get_or_insert(first);
            let bytes = different.to_le_bytes();
            self.wrong += bytes.iter().filter(|byte| **byte != 0).count() as u64;
        }
        self.bytes += 8;
    }

    /// Adds what was found after these bytes.
    pub(crate) fn and(self, next: Self) -> Self {
        Self {
            bytes: self.bytes + next.bytes,
            wrong: self.wrong + next.wrong,
            first: self.first.or(next.first.map(|first| self.bytes + first)),
        }
    }

    /// Whether every byte is right.
    pub(crate) fn is_right(self) -> bool {
        self.wrong == 0
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.first {
            None => write!(f, "all {} bytes are right", self.bytes),
            Some(first) => write!(
                f,
                "{} of {} bytes are wrong, the first at offset {first}",
                self.wrong, self.bytes
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_right_is_a_wrong_word() {
        assert!(Verdict::of(true).is_right());
        let wrong = Verdict::of(true).and(Verdict::of(false));
        assert!(!wrong.is_right());
        assert_eq!(wrong.first, Some(8));
    }

    #[test]
    fn equal_words_are_right() {
        let mut verdict = Verdict::default();
        verdict.word(7, 7);
        assert!(verdict.is_right());
        assert_eq!(verdict.to_string(), "all 8 bytes are right");
    }

    #[test]
    fn wrong_bytes_are_counted_and_the_first_is_named() {
        let mut first = Verdict::default();
        first.word(7, 7);
        let mut second = Verdict::default();
        second.word(7, 7);
        second.word(0x1122_0000, 0x3344_0000);
        let both = first.and(second);
        assert!(!both.is_right());
        let text = "2 of 24 bytes are wrong, the first at offset 18";
        assert_eq!(both.to_string(), text);
    }
}
