// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The index of a block map: tournaments of the free runs, for each octave of lengths and for each
//! alignment.
//!
//! Blocks have places, which are aligned as their addresses are: the place of block 0 is the phase
//! modulo the smallest power of two that the map fits in. A leaf of the tournament for the octave of
//! lengths `[1 << shift, 2 << shift)`, or for the alignment to `1 << shift`, stands for as many places,
//! but a word of the bitmap at least. A run is in the leaf with its first block, with its length; for an
//! alignment in the leaf with its first aligned block, with the blocks from that one on. A leaf is the
//! greatest of what is in it.
//!
//! Where a run changes, so do the leaves of its octave, and of as many alignments as have an aligned block
//! in it before the change: none for most runs of one block.

use core::ops::Range;

use super::{
    bits::{BitsLayout, WORD_BITS, WORD_SHIFT},
    tournament::Tournament,
    word, BlockRange,
};

/// Most blocks that a map can have.
pub(super) const MAX_BLOCKS: u32 = 1 << 30;

/// Octaves of lengths, and alignments, that a map can have.
const NR_SHIFTS: usize = 31;

/// Where a map keeps what it knows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// Place of block 0.
    first: u32,
    /// The place after the last block's.
    end: u32,
    pub(super) bits: BitsLayout,
    /// By binary logarithm of the shortest length, up to [`Self::coarsest`].
    octaves: [Tournament; NR_SHIFTS],
    /// By binary logarithm of the alignment, from 1 up to [`Self::coarsest`].
    alignments: [Tournament; NR_SHIFTS],
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
            octaves: [Tournament::default(); NR_SHIFTS],
            alignments: [Tournament::default(); NR_SHIFTS],
            coarsest: room.trailing_zeros(),
            nr_nodes: 0,
        };
        let nr_words = layout.leaf_of(end.wrapping_sub(1), 0).saturating_add(1);
        layout.bits = BitsLayout::new(nr_words.wrapping_shl(WORD_SHIFT));
        for shift in 0..=layout.coarsest {
            let nr_leaves = layout.leaf_of(end.wrapping_sub(1), shift).saturating_add(1);
            let mut next = || {
                let tournament = Tournament::new(layout.nr_nodes, nr_leaves);
                layout.nr_nodes = tournament.end();
                tournament
            };
            if let Some(octave) = layout.octaves.get_mut(shift as usize) {
                *octave = next();
            }
            if let Some(alignment) = layout.alignments.get_mut(shift as usize) {
                if shift != 0 {
                    *alignment = next();
                }
            }
        }
        layout
    }

    /// All bits, those of blocks that do not exist included.
    pub(super) fn all_bits(&self) -> [u32; 2] {
        let nr_words = self.leaf_of(self.end.wrapping_sub(1), 0).saturating_add(1);
        [0, nr_words.wrapping_shl(WORD_SHIFT)]
    }

    fn octave(&self, shift: u32) -> Tournament {
        let octave = self.octaves.get(shift as usize);
        octave.copied().unwrap_or_default()
    }

    fn alignment(&self, shift: u32) -> Tournament {
        let alignment = self.alignments.get(shift as usize);
        alignment.copied().unwrap_or_default()
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
    /// the coarsest alignment. A bit of `occupied` is set for each octave that has a run.
    pub(super) fn longest(&self, nodes: &[u32], occupied: u32, shift: u32) -> u32 {
        if shift != 0 {
            return self.alignment(shift).winner(nodes);
        }
        let longest = occupied.checked_ilog2();
        longest.map_or(0, |octave| self.octave(octave).winner(nodes))
    }

    /// The first block of the lowest run in the lowest octave that has one of `count` blocks, which is
    /// not 0. A bit of `occupied` is set for each octave that has a run.
    pub(super) fn tightest(
        &self,
        words: &[u64],
        nodes: &[u32],
        occupied: u32,
        count: u32,
    ) -> Option<u32> {
        if count > self.longest(nodes, occupied, 0) {
            return None;
        }
        let own = count.ilog2();
        let (octave, leaf) = match self.octave(own).first(nodes, count) {
            Some(leaf) => (own, leaf),
            None => {
                let longer = occupied & u32::MAX.wrapping_shl(own).wrapping_shl(1);
                let octave = longer.trailing_zeros();
                (octave, self.octave(octave).first(nodes, 1)?)
            }
        };
        let place = if octave < WORD_SHIFT {
            let (within, [over, _]) = self.runs_of_word(words, leaf, 0, &(0..0));
            let place = word::lowest_in_octave(within, count, octave);
            place.map_or(over, |place| self.first_of(leaf, 0).wrapping_add(place))
        } else {
            // It is as long as the leaf and so goes on behind it.
            self.free_up_to(words, self.first_of(leaf.wrapping_add(1), octave))
        };
        Some(place.saturating_sub(self.first))
    }

    /// The lowest block, aligned to `1 << shift`, from which on `count` are free; neither is 0, and the
    /// alignment not coarser than the coarsest.
    pub(super) fn lowest(
        &self,
        words: &[u64],
        nodes: &[u32],
        count: u32,
        shift: u32,
    ) -> Option<u32> {
        let leaf = self.alignment(shift).first(nodes, count)?;
        let mut place = self.first_of(leaf, shift);
        if shift < WORD_SHIFT {
            let (within, [over, _]) = self.runs_of_word(words, leaf, shift, &(0..0));
            place = match word::lowest(within, count, shift) {
                Some(within) => place.wrapping_add(within),
                None => align(over, shift),
            };
        }
        Some(place.saturating_sub(self.first))
    }

    /// Makes the nodes right after blocks have become free, or allocated. A bit of `occupied` is set for
    /// each octave that has a run.
    pub(super) fn refresh(
        &self,
        words: &[u64],
        nodes: &mut [u32],
        occupied: &mut u32,
        blocks: BlockRange,
        free: bool,
    ) {
        let [start, end] = self.places_of(blocks);
        // The free run that they are, or were, a part of.
        let (first, last) = (
            self.free_up_to(words, start),
            self.allocated_from(words, end),
        );
        let known = if free { first..last } else { end..last };

        let whole = [[first, last], [last, last]];
        let parts = [[first, start], [end, last]];
        let (gone, new) = if free { (parts, whole) } else { (whole, parts) };
        let leaves = |runs: [[u32; 2]; 2]| runs.map(|run| self.octave_and_leaf(run));
        let stays = leaves(new);
        let gone = leaves(gone).map(|leaf| leaf.filter(|_| !stays.contains(&leaf)));
        let lengths = new.map(|[first, last]| last.wrapping_sub(first));
        let changes = gone
            .into_iter()
            .zip([0, 0])
            .chain(stays.into_iter().zip(lengths));
        for (leaf, len) in changes {
            let Some((octave, leaf)) = leaf else {
                continue;
            };
            let value = if octave < WORD_SHIFT {
                self.longest_in_octave(words, leaf, octave, &known)
            } else {
                len
            };
            if let Some(winner) = self.octave(octave).set(nodes, leaf, value) {
                let bit = 1u32.wrapping_shl(octave);
                *occupied = if winner == 0 {
                    *occupied & !bit
                } else {
                    *occupied | bit
                };
            }
        }

        for shift in 1..=self.coarsest {
            let (lower, upper) = (align(first, shift), align(end, shift));
            if lower >= end {
                // Here and in coarser alignments only blocks behind these count, as before.
                break;
            }
            let mut set = |place: u32, len: u32| {
                let leaf = self.leaf_of(place, shift);
                let value = if shift < WORD_SHIFT {
                    self.longest_aligned(words, leaf, shift, &known)
                } else {
                    len
                };
                self.alignment(shift).set(nodes, leaf, value);
            };
            // What grows goes first: what shrinks then changes fewer nodes.
            if free {
                set(lower, last.wrapping_sub(lower));
            }
            // A word is looked at once for both.
            let apart = shift >= WORD_SHIFT || lower >> WORD_SHIFT != upper >> WORD_SHIFT;
            if upper < last && apart {
                set(upper, if free { 0 } else { last.wrapping_sub(upper) });
            }
            if !free {
                set(lower, start.saturating_sub(lower));
            }
        }
    }

    /// The octave of a run's length, and the leaf that it is in; `None` if it is empty.
    fn octave_and_leaf(&self, [first, last]: [u32; 2]) -> Option<(u32, u32)> {
        let octave = last.wrapping_sub(first).checked_ilog2()?;
        Some((octave, self.leaf_of(first, octave)))
    }

    /// What the leaf that is the `nth` word says, for an octave below that of a word.
    fn longest_in_octave(&self, words: &[u64], nth: u32, octave: u32, known: &Range<u32>) -> u32 {
        let (within, over) = self.runs_of_word(words, nth, 0, known);
        let longest = word::longest_in_octave(within, octave);
        let [first, last] = over;
        match self.octave_and_leaf(over) {
            Some((its, _)) if its == octave => longest.max(last.wrapping_sub(first)),
            _ => longest,
        }
    }

    /// What the leaf that is the `nth` word says, for alignment to `1 << shift`, less than a word.
    fn longest_aligned(&self, words: &[u64], nth: u32, shift: u32, known: &Range<u32>) -> u32 {
        let (within, [first, last]) = self.runs_of_word(words, nth, shift, known);
        let longest = word::longest(within, shift);
        let place = align(first, shift);
        if place < self.first_of(nth.wrapping_add(1), 0) {
            return longest.max(last.wrapping_sub(place));
        }
        longest
    }

    /// The free runs of the `nth` word, without one that has a block aligned to `1 << shift` in the word
    /// before, where it counts: those that end in the word, and the places of the one that does not.
    /// `known` is a run of free places with none behind it.
    fn runs_of_word(
        &self,
        words: &[u64],
        nth: u32,
        shift: u32,
        known: &Range<u32>,
    ) -> (u64, [u32; 2]) {
        let before = nth
            .checked_sub(1)
            .map_or(0, |nth| !self.bits.nth(words, nth));
        let mut runs = !self.bits.nth(words, nth);
        if before.leading_ones().wrapping_shr(shift) != 0 {
            // What the addition carries to was clear.
            runs &= runs.wrapping_add(1);
        }
        let behind = self.first_of(nth.wrapping_add(1), 0);
        let over = runs.leading_ones();
        if over == 0 {
            return (runs, [behind; 2]);
        }
        let end = if known.start < behind && behind <= known.end {
            known.end
        } else {
            self.allocated_from(words, behind)
        };
        let within = runs & !u64::MAX.wrapping_shl(WORD_BITS.wrapping_sub(over));
        (within, [behind.wrapping_sub(over), end])
    }
}

/// The first multiple of `1 << shift` at or after `place`.
fn align(place: u32, shift: u32) -> u32 {
    let mask = u32::MAX.wrapping_shl(shift);
    place.wrapping_add(!mask) & mask
}
