// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Searches within one word of the bitmap, by a number of steps that does not depend on its bits.
//!
//! A word is seen as its free blocks: bit `i` is set if block `i` is free.

use super::bits::{WORD_BITS, WORD_SHIFT};

/// The places of a word that are aligned to `1 << shift` blocks, for `shift` up to that of the word.
fn aligned(shift: u32) -> u64 {
    const PLACES: [u64; WORD_SHIFT as usize + 1] = [
        u64::MAX,
        0x5555_5555_5555_5555,
        0x1111_1111_1111_1111,
        0x0101_0101_0101_0101,
        0x0001_0001_0001_0001,
        0x0000_0001_0000_0001,
        1,
    ];
    PLACES.get(shift as usize).copied().unwrap_or(0)
}

/// Entry `i` has a bit for each place from which on `1 << i` blocks are free.
struct Powers([u64; 6]);

impl Powers {
    fn of(free: u64) -> Self {
        let mut powers = [free; 6];
        let mut runs = free;
        for (shift, entry) in (0..).zip(powers.iter_mut()) {
            *entry = runs;
            runs &= runs.wrapping_shr(1u32.wrapping_shl(shift));
        }
        Self(powers)
    }

    /// Most blocks, below 64, that are free from one of `places` on.
    fn longest(&self, mut places: u64) -> u32 {
        let mut len = 0u32;
        for (shift, power) in (0..6u32).zip(self.0).rev() {
            // From the place on `len` blocks are free, and behind them `1 << shift` more.
            let longer = places & power.wrapping_shr(len);
            if longer != 0 {
                places = longer;
                len = len.wrapping_add(1u32.wrapping_shl(shift));
            }
        }
        len
    }
}

/// Most blocks of one of `runs`, none of which is the whole word, from a place on that is aligned to
/// `1 << shift` blocks.
pub(super) fn longest(runs: u64, shift: u32) -> u32 {
    if runs == 0 {
        return 0;
    }
    let start = runs.trailing_zeros();
    let behind = runs.wrapping_shr(start);
    if behind & behind.wrapping_add(1) == 0 {
        // There is one run.
        let skipped = start.wrapping_neg() & !u32::MAX.wrapping_shl(shift);
        return behind.trailing_ones().saturating_sub(skipped);
    }
    Powers::of(runs).longest(aligned(shift))
}

/// The lowest place, aligned to `1 << shift` blocks, from which on `count` blocks of the word are free.
pub(super) fn lowest(free: u64, count: u32, shift: u32) -> Option<u32> {
    if count > WORD_BITS {
        return None;
    }
    let mut places = free;
    let mut len = 1u32;
    while len < count {
        let more = len.min(count.wrapping_sub(len));
        places &= places.wrapping_shr(more);
        len = len.wrapping_add(more);
    }
    places &= aligned(shift);
    (places != 0).then(|| places.trailing_zeros())
}
