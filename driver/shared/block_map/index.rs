// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The index of a block map: for each alignment a tournament of the free runs.
//!
//! Blocks have places, which are aligned as their addresses are: the place of block 0 is the phase
//! modulo the smallest power of two that the map fits in. For the alignment to `1 << shift` blocks a
//! leaf stands for as many places, but a word of the bitmap at least. Of each run the blocks from its
//! first aligned one on count, in the leaf that has this one; a leaf is the greatest of such counts.
//!
//! Where a run changes, so do the leaves of as many alignments as have an aligned block in it before
//! the change: one for most runs of one block.

use core::ops::Range;

use super::{
    bits::{BitsLayout, WORD_BITS, WORD_SHIFT},
    tournament::Tournament,
    word, BlockRange,
};

/// Most blocks that a map can have.
pub(super) const MAX_BLOCKS: u32 = 1 << 30;

/// Alignments, and so tournaments, that a map can have.
const NR_SHIFTS: usize = 31;

/// Where a map keeps what it knows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// Place of block 0.
    first: u32,
    /// The place after the last block's.
    end: u32,
    pub(super) bits: BitsLayout,
    /// By binary logarithm of the alignment, up to [`Self::coarsest`].
    tournaments: [Tournament; NR_SHIFTS],
    /// Binary logarithm of the coarsest alignment at which places are aligned as addresses are. Of one
    /// that is coarser the map has one block at most.
    pub(super) coarsest: u32,
    /// Nodes of all tournaments.
    pub(super) nr_nodes: u32,
}

impl Layout {
    /// `nr_blocks` is from 1 to [`MAX_BLOCKS`].
    pub(super) fn new(nr_blocks: u32, phase: u32) -> Self {
        let room = nr_blocks.next_power_of_two();
        let first = phase & room.wrapping_sub(1);
        let end = first.saturating_add(nr_blocks);
        let mut layout = Self {
            first,
            end,
            bits: BitsLayout::new(1),
            tournaments: [Tournament::default(); NR_SHIFTS],
            coarsest: room.trailing_zeros(),
            nr_nodes: 0,
        };
        let nr_words = layout.leaf_of(end.wrapping_sub(1), 0).saturating_add(1);
        layout.bits = BitsLayout::new(nr_words.wrapping_shl(WORD_SHIFT));
        for shift in 0..=layout.coarsest {
            let nr_leaves = layout.leaf_of(end.wrapping_sub(1), shift).saturating_add(1);
            let tournament = Tournament::new(layout.nr_nodes, nr_leaves);
            layout.nr_nodes = tournament.end();
            if let Some(entry) = layout.tournaments.get_mut(shift as usize) {
                *entry = tournament;
            }
        }
        layout
    }

    /// All bits, those of blocks that do not exist included.
    pub(super) fn all_bits(&self) -> [u32; 2] {
        let nr_words = self.leaf_of(self.end.wrapping_sub(1), 0).saturating_add(1);
        [0, nr_words.wrapping_shl(WORD_SHIFT)]
    }

    fn tournament(&self, shift: u32) -> Tournament {
        let tournament = self.tournaments.get(shift as usize);
        tournament.copied().unwrap_or_default()
    }

    /// The leaf that has a place, for alignment to `1 << shift`.
    fn leaf_of(&self, place: u32, shift: u32) -> u32 {
        let size = shift.max(WORD_SHIFT);
        let before = self.first.wrapping_shr(size);
        place.wrapping_shr(size).wrapping_sub(before)
    }

    /// The first place of a leaf, which may be before the one of block 0.
    fn first_of(&self, leaf: u32, shift: u32) -> u32 {
        let size = shift.max(WORD_SHIFT);
        let before = self.first.wrapping_shr(size);
        leaf.wrapping_add(before).wrapping_shl(size)
    }

    /// The bit of a place. Words begin at aligned places.
    fn bit(&self, place: u32) -> u32 {
        place.wrapping_sub(self.first & !(WORD_BITS - 1))
    }

    /// The bits of blocks.
    pub(super) fn bits_of(&self, blocks: BlockRange) -> [u32; 2] {
        self.places_of(blocks).map(|place| self.bit(place))
    }

    fn places_of(&self, blocks: BlockRange) -> [u32; 2] {
        [blocks.start(), blocks.end()].map(|block| block.saturating_add(self.first))
    }

    /// The first allocated block at or after `block`, or the number of blocks.
    pub(super) fn next_allocated(&self, words: &[u64], block: u32) -> u32 {
        let place = self.allocated_from(words, block.saturating_add(self.first));
        place.saturating_sub(self.first)
    }

    /// The first free block at or after `block`, or the number of blocks.
    pub(super) fn next_free(&self, words: &[u64], block: u32) -> u32 {
        let base = self.first & !(WORD_BITS - 1);
        let bit = self.bit(block.saturating_add(self.first));
        let bit = self.bits.next_clear(words, bit, self.bit(self.end));
        let place = bit.map_or(self.end, |bit| bit.saturating_add(base));
        place.saturating_sub(self.first)
    }

    /// The first place at or after `place` that is none of a free block.
    fn allocated_from(&self, words: &[u64], place: u32) -> u32 {
        let base = self.first & !(WORD_BITS - 1);
        let bit = self.bits.next(words, self.bit(place));
        bit.map_or(self.end, |bit| bit.saturating_add(base).min(self.end))
    }

    /// The first place of the free run that ends before `place`, or `place`.
    fn free_up_to(&self, words: &[u64], place: u32) -> u32 {
        let base = self.first & !(WORD_BITS - 1);
        let bit = self.bits.previous(words, self.bit(place));
        bit.map_or(self.first, |bit| bit.saturating_add(base).saturating_add(1))
    }

    /// Most blocks that are free from one on that is aligned to `1 << shift`, which is not coarser than
    /// the coarsest alignment.
    pub(super) fn longest(&self, nodes: &[u32], shift: u32) -> u32 {
        self.tournament(shift).winner(nodes)
    }

    /// The lowest block, aligned to `1 << shift`, from which on `count` are free; `count` is not 0, and
    /// the alignment not coarser than the coarsest.
    pub(super) fn lowest(
        &self,
        words: &[u64],
        nodes: &[u32],
        count: u32,
        shift: u32,
    ) -> Option<u32> {
        let leaf = self.tournament(shift).first(nodes, count)?;
        let mut place = self.first_of(leaf, shift);
        if shift < WORD_SHIFT {
            let free = !self.bits.nth(words, leaf);
            let within = word::lowest(free, count, shift).unwrap_or_else(|| {
                // Then it is the run that goes on in the next word.
                align(WORD_BITS.wrapping_sub(free.leading_ones()), shift)
            });
            place = place.wrapping_add(within);
        }
        Some(place.saturating_sub(self.first))
    }

    /// Makes the nodes right after blocks have become free, or allocated.
    pub(super) fn refresh(&self, words: &[u64], nodes: &mut [u32], blocks: BlockRange, free: bool) {
        let [start, end] = self.places_of(blocks);
        // The free run that they are, or were, a part of.
        let (first, last) = (
            self.free_up_to(words, start),
            self.allocated_from(words, end),
        );
        let now = if free { first..last } else { end..last };
        for shift in 0..=self.coarsest {
            let (lower, upper) = (align(first, shift), align(end, shift));
            if lower >= end {
                // Here and in coarser alignments only blocks behind these count, as before.
                break;
            }
            let mut set = |place: u32, len: u32| {
                let leaf = self.leaf_of(place, shift);
                let value = if shift < WORD_SHIFT {
                    self.longest_of_word(words, leaf, shift, &now)
                } else {
                    len
                };
                self.tournament(shift).set(nodes, leaf, value);
            };
            // What grows goes first: what shrinks then changes fewer nodes.
            if free {
                set(lower, last.wrapping_sub(lower));
            }
            if upper < last {
                set(upper, if free { 0 } else { last.wrapping_sub(upper) });
            }
            if !free {
                set(lower, start.saturating_sub(lower));
            }
        }
    }

    /// What the leaf that is the `nth` word says, for alignment to `1 << shift`, less than a word. `known`
    /// is a run of free places with none behind it.
    fn longest_of_word(&self, words: &[u64], nth: u32, shift: u32, known: &Range<u32>) -> u32 {
        let free = !self.bits.nth(words, nth);
        let mut runs = free;
        let before = nth
            .checked_sub(1)
            .map_or(0, |nth| !self.bits.nth(words, nth));
        if before.leading_ones().wrapping_shr(shift) != 0 {
            // A run with an aligned block in the word before counts there.
            runs &= runs.wrapping_add(1);
        }
        let over = runs.leading_ones();
        if over == 0 {
            return word::longest(runs, shift);
        }
        let mut longest = 0;
        let place = align(WORD_BITS.wrapping_sub(over), shift);
        if place < WORD_BITS {
            let first = self.first_of(nth, shift);
            let behind = first.wrapping_add(WORD_BITS);
            let end = if known.start < behind && behind <= known.end {
                known.end
            } else {
                self.allocated_from(words, behind)
            };
            longest = end.wrapping_sub(first.wrapping_add(place));
        }
        let within = runs & !u64::MAX.wrapping_shl(WORD_BITS.wrapping_sub(over));
        longest.max(word::longest(within, shift))
    }
}

/// The first multiple of `1 << shift` at or after `place`.
fn align(place: u32, shift: u32) -> u32 {
    let mask = u32::MAX.wrapping_shl(shift);
    place.wrapping_add(!mask) & mask
}
