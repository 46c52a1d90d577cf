// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The scrub map: which free blocks are full of zeroes already, and which wait for that.
//!
//! A free block is *unused* if nobody had it since the map was made, *dirty* once it was freed, and
//! *clean* after it was scrubbed. Unused blocks hold what was in memory before and are left alone until
//! somebody wants them. Like the block map a pure data structure: no lock, no memory of its own, no panic;
//! sums that the invariants keep in range are written saturating.

use super::block_map::BlockRange;

const BLOCKS_PER_WORD: u32 = u64::BITS;

/// Why [`ScrubMap::new`] failed: a storage has too few words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StorageTooSmall;

/// What is known of the bytes of each block.
///
/// INVARIANT: no block is both clean and dirty. `nr_dirty` blocks are dirty, and none of them in a word below
/// `lowest`. `nr_clean` blocks are clean and not taken.
#[derive(Debug)]
pub struct ScrubMap<S> {
    clean: S,
    dirty: S,
    nr_clean: u32,
    nr_dirty: u32,
    /// Index of a word: where to look for dirty blocks.
    lowest: u32,
}

impl<S: AsRef<[u64]> + AsMut<[u64]>> ScrubMap<S> {
    /// A map of `nr_blocks` unused blocks. What the storages hold is overwritten; each needs a bit for every
    /// block.
    ///
    /// # Errors
    ///
    /// [`StorageTooSmall`] if one of them has fewer.
    pub fn new(mut clean: S, mut dirty: S, nr_blocks: u32) -> Result<Self, StorageTooSmall> {
        let needed_words = nr_blocks.div_ceil(BLOCKS_PER_WORD) as usize;
        for storage in [clean.as_mut(), dirty.as_mut()] {
            if storage.len() < needed_words {
                return Err(StorageTooSmall);
            }
            storage.fill(0);
        }
        Ok(Self {
            clean,
            dirty,
            nr_clean: 0,
            nr_dirty: 0,
            lowest: 0,
        })
    }

    /// Number of free blocks that are full of zeroes.
    pub fn nr_clean(&self) -> u32 {
        self.nr_clean
    }

    /// Number of free blocks that wait to be scrubbed.
    pub fn nr_dirty(&self) -> u32 {
        self.nr_dirty
    }

    /// Free blocks were allocated. Says whether some of them must be cleared; which ones
    /// [`Self::next_unclean`] tells until they are freed.
    pub fn take(&mut self, blocks: BlockRange) -> bool {
        if blocks.is_set_in(self.clean.as_ref()) {
            // None of them is dirty.
            self.nr_clean = self.nr_clean.saturating_sub(blocks.count());
            return false;
        }
        let dirty = match self.nr_dirty {
            0 => 0,
            _ => blocks.count_set_in(self.dirty.as_ref()),
        };
        if dirty != 0 {
            blocks.write_to(self.dirty.as_mut(), false);
            self.nr_dirty = self.nr_dirty.saturating_sub(dirty);
        }
        if dirty != blocks.count() && self.nr_clean != 0 {
            let clean = blocks.count_set_in(self.clean.as_ref());
            self.nr_clean = self.nr_clean.saturating_sub(clean);
        }
        true
    }

    /// The first longest run of blocks in `within` that are not clean.
    pub fn next_unclean(&self, within: BlockRange) -> Option<BlockRange> {
        first_run(within, |index| !word(&self.clean, index))
    }

    /// The first longest run of blocks in `within` that are dirty.
    pub fn next_dirty_run(&self, within: BlockRange) -> Option<BlockRange> {
        if self.nr_dirty == 0 {
            return None;
        }
        first_run(within, |index| word(&self.dirty, index))
    }

    /// Allocated blocks were freed: they are dirty.
    pub fn free(&mut self, blocks: BlockRange) {
        blocks.write_to(self.clean.as_mut(), false);
        blocks.write_to(self.dirty.as_mut(), true);
        self.nr_dirty = self.nr_dirty.saturating_add(blocks.count());
        self.lowest = self.lowest.min(blocks.start() / BLOCKS_PER_WORD);
    }

    /// The lowest dirty block and those that follow it, at most `most`, in the same word: what to scrub next,
    /// because low blocks are allocated first.
    pub fn next_dirty(&mut self, most: u32) -> Option<BlockRange> {
        if self.nr_dirty == 0 {
            return None;
        }
        let words = self.dirty.as_ref().get(self.lowest as usize..)?;
        for (index, &word) in (self.lowest..).zip(words) {
            if word != 0 {
                self.lowest = index;
                let first = word.trailing_zeros();
                let count = word.wrapping_shr(first).trailing_ones().min(most);
                let base = index.saturating_mul(BLOCKS_PER_WORD);
                return BlockRange::new(base.saturating_add(first), count);
            }
        }
        None
    }

    /// Blocks were scrubbed: those are clean that are still dirty, and somebody has taken the others
    /// meanwhile. Gives how many are clean.
    pub fn scrubbed(&mut self, blocks: BlockRange) -> u32 {
        let mut count = 0u32;
        for (index, mask) in blocks.word_masks() {
            // CAST: usize is no shorter than 32 bits.
            let index = index as usize;
            let (dirty, clean) = (self.dirty.as_mut(), self.clean.as_mut());
            if let (Some(dirty), Some(clean)) = (dirty.get_mut(index), clean.get_mut(index)) {
                let scrubbed = *dirty & mask;
                *dirty &= !scrubbed;
                *clean |= scrubbed;
                count = count.saturating_add(scrubbed.count_ones());
            }
        }
        self.nr_dirty = self.nr_dirty.saturating_sub(count);
        self.nr_clean = self.nr_clean.saturating_add(count);
        count
    }
}

/// A word of a storage; 0 beyond its end.
fn word(storage: &impl AsRef<[u64]>, index: u32) -> u64 {
    storage
        .as_ref()
        .get(index as usize)
        .copied()
        .unwrap_or_default()
}

/// The first longest run of blocks in `within` whose bits are set in the words that `word_at` tells.
fn first_run(within: BlockRange, word_at: impl Fn(u32) -> u64) -> Option<BlockRange> {
    let mut start = None;
    for (index, mask) in within.word_masks() {
        let base = index.saturating_mul(BLOCKS_PER_WORD);
        let set = word_at(index);
        let mut left = mask;
        if start.is_none() {
            let wanted = set & mask;
            if wanted == 0 {
                continue;
            }
            let first = wanted.trailing_zeros();
            start = Some(base.saturating_add(first));
            left &= u64::MAX.wrapping_shl(first);
        }
        let ends = !set & left;
        if ends != 0 {
            let end = base.saturating_add(ends.trailing_zeros());
            return BlockRange::between(start?, end);
        }
    }
    BlockRange::between(start?, within.end())
}
