// SPDX-License-Identifier: MIT OR Apache-2.0

//! What `fill` writes and `dump --check` expects.

use std::str::FromStr;

/// Contents that are the same whoever computes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pattern {
    /// The same byte all over.
    Byte(u8),
    /// 32-bit words, little-endian: their number from the start of the buffer.
    Counter,
    /// 64-bit words, little-endian: their physical address.
    Address,
    /// Bytes that look random, by a seed.
    Random(u32),
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| crate::units::parse_address(text).ok();
        let byte = number(text).and_then(|number| u8::try_from(number).ok());
        let seed = text.strip_prefix("random:").and_then(number);
        let seed = seed.and_then(|seed| u32::try_from(seed).ok());
        match text {
            "counter" => Ok(Self::Counter),
            "address" => Ok(Self::Address),
            _ => byte
                .map(Self::Byte)
                .or(seed.map(Self::Random))
                .ok_or_else(|| {
                    "expected a byte as 0x5a, or counter, address or random:SEED".to_owned()
                }),
        }
    }
}

impl Pattern {
    /// The pattern's byte at an offset of a buffer that begins at a physical address.
    fn byte(self, phys_addr: u64, offset: u64) -> u8 {
        let of =
            |word: u64, place: u64| word.to_le_bytes()[usize::try_from(place).unwrap_or(0) % 8];
        match self {
            Self::Byte(byte) => byte,
            Self::Counter => of((offset / 4) & 0xffff_ffff, offset % 4),
            Self::Address => of((phys_addr + offset) & !7, (phys_addr + offset) % 8),
            Self::Random(seed) => {
                let spread = ((u64::from(seed) << 32) ^ (offset / 8) ^ (1 << 63))
                    .wrapping_mul(0x9e37_79b9_7f4a_7c15);
                of(spread ^ spread >> 32, offset % 8)
            }
        }
    }

    /// The pattern from an offset on.
    pub(super) fn bytes(self, phys_addr: u64, offset: u64, len: usize) -> Vec<u8> {
        let offsets = (offset..).take(len);
        offsets.map(|offset| self.byte(phys_addr, offset)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_have_names() {
        assert_eq!("0x5a".parse(), Ok(Pattern::Byte(0x5a)));
        assert_eq!("counter".parse(), Ok(Pattern::Counter));
        assert_eq!("address".parse(), Ok(Pattern::Address));
        assert_eq!("random:7".parse(), Ok(Pattern::Random(7)));
        for text in ["", "256", "random", "random:x", "zero"] {
            assert!(
                text.parse::<Pattern>().unwrap_err().contains("random:SEED"),
                "{text}"
            );
        }
    }

    #[test]
    fn a_part_is_the_part_of_the_whole() {
        for pattern in ["0x5a", "counter", "address", "random:7"] {
            let pattern: Pattern = pattern.parse().unwrap();
            let whole = pattern.bytes(0x4000_0000, 0, 100);
            assert_eq!(pattern.bytes(0x4000_0000, 13, 40), whole[13..53]);
        }
    }

    #[test]
    fn words_are_what_they_are_called() {
        assert_eq!(Pattern::Counter.bytes(0, 4, 8), [1, 0, 0, 0, 2, 0, 0, 0]);
        assert_eq!(
            Pattern::Address.bytes(0x4000_4000, 8, 8),
            0x4000_4008_u64.to_le_bytes()
        );
    }
}
