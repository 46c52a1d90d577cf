// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A bitmap with summaries, in which the next set bit in either direction is found in one step a level.
//!
//! Level 0 has a bit for each place, set if its block is allocated or there is none. Each level above
//! has a bit for each word of the one below, set if that is not 0. The topmost level is one word.

use core::ops::Range;

use super::steps::step;

/// Bits in a word.
pub(super) const WORD_BITS: u32 = u64::BITS;

/// Binary logarithm of that.
pub(super) const WORD_SHIFT: u32 = WORD_BITS.trailing_zeros();

/// Levels that a bitmap of 2^31 bits has.
const NR_LEVELS: usize = 6;

/// Where the words of the levels lie.
#[derive(Clone, Copy, Debug)]
pub(super) struct BitsLayout {
    /// By level, the first word.
    starts: [usize; NR_LEVELS],
    /// Number of levels.
    nr_levels: u32,
    /// Words of all levels.
    pub(super) nr_words: usize,
}

impl BitsLayout {
    /// For `nr_bits` bits, from 1 to 2^31.
    pub(super) fn new(nr_bits: u32) -> Self {
        let mut layout = Self {
            starts: [0; NR_LEVELS],
            nr_levels: 0,
            nr_words: 0,
        };
        let mut nr_bits = nr_bits;
        for start in &mut layout.starts {
            let nr_words = nr_bits.div_ceil(WORD_BITS);
            *start = layout.nr_words;
            layout.nr_words = layout.nr_words.saturating_add(nr_words as usize);
            layout.nr_levels = layout.nr_levels.wrapping_add(1);
            if nr_words <= 1 {
                break;
            }
            nr_bits = nr_words;
        }
        layout
    }

    /// Where the word with a bit is.
    fn at(&self, level: u32, bit: u32) -> usize {
        let start = self.starts.get(level as usize).copied().unwrap_or(0);
        start.wrapping_add((bit >> WORD_SHIFT) as usize)
    }

    /// The word with a bit.
    fn word(&self, words: &[u64], level: u32, bit: u32) -> u64 {
        step();
        words.get(self.at(level, bit)).copied().unwrap_or(0)
    }

    /// The `nth` word of the bits.
    pub(super) fn nth(&self, words: &[u64], nth: u32) -> u64 {
        step();
        words.get(nth as usize).copied().unwrap_or(0)
    }

    /// The first set bit at or after `from`.
    pub(super) fn next(&self, words: &[u64], from: u32) -> Option<u32> {
        let mut from = from;
        for level in 0..self.nr_levels {
            let mask = u64::MAX.wrapping_shl(from % WORD_BITS);
            let found = self.word(words, level, from) & mask;
            if found != 0 {
                let bit = (from & !(WORD_BITS - 1)).wrapping_add(found.trailing_zeros());
                return Some(self.descend(words, level, bit, u64::trailing_zeros));
            }
            // Only words after this one are left.
            from = (from >> WORD_SHIFT).wrapping_add(1);
        }
        None
    }

    /// The last set bit before `end`.
    pub(super) fn previous(&self, words: &[u64], end: u32) -> Option<u32> {
        let mut end = end;
        for level in 0..self.nr_levels {
            let last = end.checked_sub(1)?;
            let mask = u64::MAX.wrapping_shr((WORD_BITS - 1).wrapping_sub(last % WORD_BITS));
            let found = self.word(words, level, last) & mask;
            if found != 0 {
                let bit = (last & !(WORD_BITS - 1)).wrapping_add(highest(found));
                return Some(self.descend(words, level, bit, highest));
            }
            // Only words before this one are left.
            end = last >> WORD_SHIFT;
        }
        None
    }

    /// From a set bit down to one of level 0 below it, choosing one of each word.
    fn descend(&self, words: &[u64], level: u32, bit: u32, choose: impl Fn(u64) -> u32) -> u32 {
        let mut bit = bit;
        for level in (0..level).rev() {
            bit = bit.wrapping_shl(WORD_SHIFT);
            bit = bit.wrapping_add(choose(self.word(words, level, bit)));
        }
        bit
    }

    /// Whether all bits in `[first, end)` are set.
    pub(super) fn all_set(&self, words: &[u64], range: [u32; 2]) -> bool {
        all_set(words, range)
    }

    /// Sets or clears the bits in `[first, end)`.
    pub(super) fn write(&self, words: &mut [u64], range: [u32; 2], value: bool) {
        let [mut first, mut end] = range;
        for &start in self.starts.iter().take(self.nr_levels as usize) {
            let at = indices([first, end]);
            let at = start.wrapping_add(at.start)..start.wrapping_add(at.end);
            let Some(touched) = words.get_mut(at).filter(|touched| !touched.is_empty()) else {
                break;
            };
            let were_zero = are_zero(touched);
            write_touched(touched, [first, end], value);
            // On the level above are the bits of these words. That of a whole word changes, and that of the
            // first and the last one if it is 0 now and was not, or the other way round.
            let ([first_was, last_was], [first_is, last_is]) = (were_zero, are_zero(touched));
            first = (first >> WORD_SHIFT).wrapping_add((first_was == first_is).into());
            end = (end.wrapping_sub(1) >> WORD_SHIFT).wrapping_add((last_was != last_is).into());
            if first >= end {
                break;
            }
        }
    }
}

/// Whether the first and the last one are 0.
fn are_zero(words: &[u64]) -> [bool; 2] {
    [words.first(), words.last()].map(|word| word.map_or(true, |word| *word == 0))
}

/// Number of the highest set bit; there is one.
fn highest(word: u64) -> u32 {
    (WORD_BITS - 1).wrapping_sub(word.leading_zeros())
}

/// Whether all bits in `[first, end)` are set, which are words of `words`.
pub(super) fn all_set(words: &[u64], range: [u32; 2]) -> bool {
    let [head, tail] = edges(range);
    let has = |word: u64, mask: u64| {
        step();
        word & mask == mask
    };
    match words.get(indices(range)).unwrap_or_default() {
        [] => true,
        [only] => has(*only, head & tail),
        [first, between @ .., last] => {
            has(*first, head) && between.iter().all(|&word| has(word, u64::MAX)) && has(*last, tail)
        }
    }
}

/// How many bits in `[first, end)` are set, which are words of `words`.
pub(super) fn count_set(words: &[u64], range: [u32; 2]) -> u32 {
    let [head, tail] = edges(range);
    let count = |word: u64| {
        step();
        // Most words are one of these, and counting takes the processor a dozen instructions.
        match word {
            0 => 0,
            u64::MAX => WORD_BITS,
            mixed => mixed.count_ones(),
        }
    };
    match words.get(indices(range)).unwrap_or_default() {
        [] => 0,
        [only] => count(only & head & tail),
        [first, between @ .., last] => {
            let edges = count(first & head).saturating_add(count(last & tail));
            between
                .iter()
                .fold(edges, |sum, &word| sum.saturating_add(count(word)))
        }
    }
}

/// Sets or clears the bits in `[first, end)`, if they are words of `words`.
pub(super) fn write(words: &mut [u64], range: [u32; 2], value: bool) {
    if let Some(touched) = words.get_mut(indices(range)) {
        write_touched(touched, range, value);
    }
}

/// [`write`] to the words that the bits are in.
fn write_touched(touched: &mut [u64], range: [u32; 2], value: bool) {
    let [head, tail] = edges(range);
    let put = |word: &mut u64, mask: u64| {
        step();
        *word = if value { *word | mask } else { *word & !mask };
    };
    match touched {
        [] => {}
        [only] => put(only, head & tail),
        [first, between @ .., last] => {
            put(first, head);
            for word in between {
                step();
                *word = if value { u64::MAX } else { 0 };
            }
            put(last, tail);
        }
    }
}

/// The mask of the bits of `[first, end)` in the first word that has one, and in the last; where those are
/// the same word it has the bits that are in both.
fn edges([first, end]: [u32; 2]) -> [u64; 2] {
    let head = u64::MAX.wrapping_shl(first % WORD_BITS);
    let tail = u64::MAX.wrapping_shr(end.wrapping_neg() % WORD_BITS);
    [head, tail]
}

/// Where the words with a bit of `[first, end)` are.
pub(super) fn indices([first, end]: [u32; 2]) -> Range<usize> {
    (first >> WORD_SHIFT) as usize..end.div_ceil(WORD_BITS) as usize
}

/// The words with a bit of `[first, end)`, and the mask of those.
pub(super) fn masks([first, end]: [u32; 2]) -> impl Iterator<Item = (u32, u64)> {
    let nth_first = first >> WORD_SHIFT;
    let nth_last = end.wrapping_sub(1) >> WORD_SHIFT;
    let [from_first, up_to_last] = edges([first, end]);
    (nth_first..end.div_ceil(WORD_BITS)).map(move |nth| {
        let mut mask = u64::MAX;
        if nth == nth_first {
            mask = from_first;
        }
        if nth == nth_last {
            mask &= up_to_last;
        }
        (nth, mask)
    })
}
