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

/// Length of the longest of `runs` in the octave `[1 << octave, 2 << octave)` of lengths, below that of a
/// word; 0 if there is none.
pub(super) fn longest_in_octave(runs: u64, octave: u32) -> u32 {
    let mut places = starts_in_octave(runs, 1, octave);
    if places == 0 {
        return 0;
    }
    let Powers(powers) = Powers::of(runs);
    let mut len = 1u32.wrapping_shl(octave);
    for (shift, power) in (0..octave).zip(powers).rev() {
        let longer = places & power.wrapping_shr(len);
        if longer != 0 {
            places = longer;
            len = len.wrapping_add(1u32.wrapping_shl(shift));
        }
    }
    len
}

/// First place of the lowest of `runs` in an octave that has `count` blocks.
pub(super) fn lowest_in_octave(runs: u64, count: u32, octave: u32) -> Option<u32> {
    let starts = starts_in_octave(runs, count, octave);
    (starts != 0).then(|| starts.trailing_zeros())
}

/// First places of those of `runs` in an octave that have `count` blocks.
fn starts_in_octave(runs: u64, count: u32, octave: u32) -> u64 {
    let least = 1u32.wrapping_shl(octave);
    let starts = runs & !runs.wrapping_shl(1);
    let too_long = enough(runs, least.wrapping_mul(2));
    starts & enough(runs, count.max(least)) & !too_long
}

/// The lowest place, aligned to `1 << shift` blocks, from which on `count` of `runs` are free.
pub(super) fn lowest(runs: u64, count: u32, shift: u32) -> Option<u32> {
    let places = enough(runs, count) & aligned(shift);
    (places != 0).then(|| places.trailing_zeros())
}

/// The places from which on `count` blocks of `runs` are free.
fn enough(runs: u64, count: u32) -> u64 {
    if count > WORD_BITS {
        return 0;
    }
    let mut places = runs;
    let mut len = 1u32;
    while len < count {
        let more = len.min(count.wrapping_sub(len));
        places &= places.wrapping_shr(more);
        len = len.wrapping_add(more);
    }
    places
}
