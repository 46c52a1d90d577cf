// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The block map: which blocks of a region are allocated, as a bitmap.
//!
//! A pure data structure: it has no lock, no memory of its own and knows no addresses. Blocks are
//! numbered from 0. The caller supplies the words of the bitmap and serializes access.
//!
//! Searches go by words, not by blocks: their cost is proportional to the number of words plus the
//! number of free runs they pass. Nothing here panics. Sums and differences that the invariants
//! keep in range are nevertheless written saturating, because an overflow check would be a panic.

use core::iter;

const BLOCKS_PER_WORD: u32 = u64::BITS;

/// Number of alignments that an [`Alignment`] can express: 1, 2, 4, … 2^31 blocks.
pub const NR_ALIGNMENTS: usize = 32;

/// A run of blocks, half-open: `[start, start + count)`.
///
/// INVARIANT: `count` is at least 1 and `start + count` fits in a `u32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockRange {
    start: u32,
    count: u32,
}

impl BlockRange {
    /// The run of `count` blocks from `start` on; `None` if it is empty or its end exceeds
    /// `u32::MAX`.
    pub const fn new(start: u32, count: u32) -> Option<Self> {
        if count == 0 || start.checked_add(count).is_none() {
            return None;
        }
        Some(Self { start, count })
    }

    /// The run `[start, end)`; `None` if it is empty.
    pub(crate) const fn between(start: u32, end: u32) -> Option<Self> {
        if start >= end {
            return None;
        }
        Some(Self {
            start,
            count: end.saturating_sub(start),
        })
    }

    /// The first block.
    pub const fn start(self) -> u32 {
        self.start
    }

    /// Number of blocks, at least 1.
    pub const fn count(self) -> u32 {
        self.count
    }

    /// The block after the last one.
    pub const fn end(self) -> u32 {
        self.start.saturating_add(self.count)
    }

    /// Whether `block` is one of the run's.
    pub const fn contains(self, block: u32) -> bool {
        self.start <= block && block < self.end()
    }

    /// The words of the bitmap that the run touches: index of each and the mask of its blocks.
    pub(super) fn word_masks(self) -> impl Iterator<Item = (u32, u64)> {
        let (start, end) = (self.start, self.end());
        (start / BLOCKS_PER_WORD..end.div_ceil(BLOCKS_PER_WORD)).map(move |index| {
            let base = index.saturating_mul(BLOCKS_PER_WORD);
            let skipped = start.saturating_sub(base);
            let covered = end.saturating_sub(base).min(BLOCKS_PER_WORD);
            let mask = u64::MAX.wrapping_shl(skipped)
                & u64::MAX.wrapping_shr(BLOCKS_PER_WORD.saturating_sub(covered));
            (index, mask)
        })
    }
}

/// At which blocks a run may start: those where `block + phase` is a multiple of the alignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alignment {
    /// INVARIANT: a power of two minus 1.
    mask: u32,
    phase: u32,
}

impl Alignment {
    /// Any block will do.
    pub const ONE: Self = Self { mask: 0, phase: 0 };

    /// Alignment to `blocks` blocks; `None` if that is not a power of two.
    ///
    /// `phase` says how far block 0 itself is past an aligned place. The base address of the region
    /// divided by the block size is the phase that aligns physical addresses.
    pub const fn new(blocks: u32, phase: u64) -> Option<Self> {
        if !blocks.is_power_of_two() {
            return None;
        }
        let mask = blocks.wrapping_sub(1);
        // The alignment divides 2^32: the upper half does not matter.
        let phase = (phase & 0xffff_ffff) as u32 & mask;
        Some(Self { mask, phase })
    }

    /// The longest part of `run` that starts aligned.
    pub(super) fn aligned_tail(self, run: BlockRange) -> Option<BlockRange> {
        // Wrapping is right: the alignment divides 2^32.
        let past = run.start.wrapping_add(self.phase) & self.mask;
        let start = run.start.checked_add(past.wrapping_neg() & self.mask)?;
        BlockRange::between(start, run.end())
    }
}

/// Why [`BlockMap::new`] failed: the storage has too few words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StorageTooSmall {
    /// Words that the map needs.
    pub needed_words: usize,
    /// Words that the storage has.
    pub words: usize,
}

/// Why [`BlockMap::alloc`] failed. The map is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllocError {
    /// A run has at least one block.
    ZeroCount,
    /// No free run is long enough at this alignment. [`BlockMap::largest_free`] tells what would
    /// have fit.
    NoRoom {
        /// Blocks asked for.
        requested: u32,
        /// Free blocks in all; more than `requested` if the map is too fragmented.
        free: u32,
    },
}

/// Why [`BlockMap::free`] failed. The map is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FreeError {
    /// The run crosses the end of the map.
    OutOfRange,
    /// A block of the run is free already.
    NotAllocated,
}

/// Which blocks are allocated.
///
/// INVARIANT: bit `b % 64` of word `b / 64` is set if and only if block `b` is allocated; the bits
/// of blocks that do not exist are clear. `nr_free` blocks are not allocated.
#[derive(Debug)]
pub struct BlockMap<S> {
    words: S,
    nr_blocks: u32,
    nr_free: u32,
}

impl<S: AsRef<[u64]> + AsMut<[u64]>> BlockMap<S> {
    /// Number of words that a map of `nr_blocks` blocks needs.
    pub const fn words_for(nr_blocks: u32) -> usize {
        nr_blocks.div_ceil(BLOCKS_PER_WORD) as usize
    }

    /// A map of `nr_blocks` free blocks. What `words` holds is overwritten; words beyond
    /// [`Self::words_for`] are not used.
    ///
    /// # Errors
    ///
    /// [`StorageTooSmall`] if `words` has fewer than [`Self::words_for`] words.
    pub fn new(mut words: S, nr_blocks: u32) -> Result<Self, StorageTooSmall> {
        let needed_words = Self::words_for(nr_blocks);
        let storage = words.as_mut();
        if storage.len() < needed_words {
            return Err(StorageTooSmall {
                needed_words,
                words: storage.len(),
            });
        }
        storage.fill(0);
        Ok(Self {
            words,
            nr_blocks,
            nr_free: nr_blocks,
        })
    }

    /// Number of blocks.
    pub fn nr_blocks(&self) -> u32 {
        self.nr_blocks
    }

    /// Number of free blocks.
    pub fn nr_free(&self) -> u32 {
        self.nr_free
    }

    /// Whether `block` is allocated; `None` if there is no such block.
    pub fn is_allocated(&self, block: u32) -> Option<bool> {
        (block < self.nr_blocks).then(|| self.next_allocated(block) == block)
    }

    /// Allocates the lowest run of `count` blocks that starts aligned.
    ///
    /// # Errors
    ///
    /// - [`AllocError::ZeroCount`] if `count` is 0.
    /// - [`AllocError::NoRoom`] if no free run is long enough.
    pub fn alloc(&mut self, count: u32, alignment: Alignment) -> Result<BlockRange, AllocError> {
        if count == 0 {
            return Err(AllocError::ZeroCount);
        }
        let no_room = AllocError::NoRoom {
            requested: count,
            free: self.nr_free,
        };
        if count > self.nr_free {
            return Err(no_room);
        }
        let start = self
            .free_runs()
            .filter_map(|run| alignment.aligned_tail(run))
            .find(|tail| tail.count >= count)
            .ok_or(no_room)?
            .start;
        let range = BlockRange { start, count };
        self.set(range);
        Ok(range)
    }

    /// Frees a run. It need not be what one call of [`Self::alloc`] returned: a part of that, or
    /// several adjacent ones, can be freed at once.
    ///
    /// # Errors
    ///
    /// - [`FreeError::OutOfRange`] if `range` ends beyond the last block.
    /// - [`FreeError::NotAllocated`] if any block of `range` is free.
    pub fn free(&mut self, range: BlockRange) -> Result<(), FreeError> {
        if range.end() > self.nr_blocks {
            return Err(FreeError::OutOfRange);
        }
        if self.next_free(range.start) < range.end() {
            return Err(FreeError::NotAllocated);
        }
        self.clear(range);
        Ok(())
    }

    /// The maximal runs of free blocks, lowest first.
    pub fn free_runs(&self) -> impl Iterator<Item = BlockRange> + '_ {
        let mut from = 0;
        iter::from_fn(move || {
            let start = self.next_free(from);
            from = self.next_allocated(start);
            BlockRange::between(start, from)
        })
    }

    /// Number of blocks of the longest run that [`Self::alloc`] would find now at this alignment.
    pub fn largest_free(&self, alignment: Alignment) -> u32 {
        self.free_runs()
            .filter_map(|run| alignment.aligned_tail(run))
            .map(BlockRange::count)
            .max()
            .unwrap_or(0)
    }

    /// [`Self::largest_free`] for every alignment in one pass: entry `i` is about alignment to
    /// `1 << i` blocks with the given phase.
    pub fn largest_free_by_alignment(&self, phase: u64) -> [u32; NR_ALIGNMENTS] {
        let mut largest = [0; NR_ALIGNMENTS];
        for run in self.free_runs() {
            for (shift, longest) in (0..u32::BITS).zip(largest.iter_mut()) {
                let tail = Alignment::new(1u32.wrapping_shl(shift), phase)
                    .and_then(|alignment| alignment.aligned_tail(run));
                // What holds no aligned block holds none of a coarser alignment.
                let Some(tail) = tail else { break };
                *longest = tail.count.max(*longest);
            }
        }
        largest
    }

    /// The first free block at or after `from`; `nr_blocks` if there is none. `from` is at most
    /// `nr_blocks`.
    fn next_free(&self, from: u32) -> u32 {
        self.next_set(from, |word| !word)
    }

    /// The first allocated block at or after `from`; `nr_blocks` if there is none.
    fn next_allocated(&self, from: u32) -> u32 {
        self.next_set(from, |word| word)
    }

    /// The first block at or after `from` whose bit is set in `view` of its word; `nr_blocks` if
    /// there is none.
    fn next_set(&self, from: u32, view: impl Fn(u64) -> u64) -> u32 {
        let index = from / BLOCKS_PER_WORD;
        let words = self.words.as_ref();
        let words = words.get(index as usize..).unwrap_or_default();
        let mut base = index.saturating_mul(BLOCKS_PER_WORD);
        let mut mask = u64::MAX.wrapping_shl(from % BLOCKS_PER_WORD);
        for &word in words {
            let found = view(word) & mask;
            if found != 0 {
                return base.saturating_add(found.trailing_zeros());
            }
            base = base.saturating_add(BLOCKS_PER_WORD);
            mask = u64::MAX;
        }
        self.nr_blocks
    }

    /// Marks a free run that is in the map allocated.
    fn set(&mut self, range: BlockRange) {
        for (index, mask) in range.word_masks() {
            if let Some(word) = self.words.as_mut().get_mut(index as usize) {
                *word |= mask;
            }
        }
        self.nr_free = self.nr_free.saturating_sub(range.count);
    }

    /// Marks an allocated run that is in the map free.
    fn clear(&mut self, range: BlockRange) {
        for (index, mask) in range.word_masks() {
            if let Some(word) = self.words.as_mut().get_mut(index as usize) {
                *word &= !mask;
            }
        }
        self.nr_free = self.nr_free.saturating_add(range.count);
    }
}
