// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The block map: which blocks of a region are allocated, as a bitmap with an index of free runs.
//!
//! A pure data structure: it has no lock, no memory of its own and knows no addresses. Blocks are
//! numbered from 0. The caller supplies the memory and serializes access.
//!
//! A search takes a step for each fourfold of the number of blocks, whatever is allocated and whatever
//! the alignment. A change takes as many for each alignment that it matters to, and writes the words of
//! its blocks. The run that was freed last is set aside without a change: a request for just as many
//! blocks, which is what a process does that allocates and frees in turn, takes it without a search.
//! Nothing here panics. Sums and differences that the invariants keep in range are nevertheless
//! written saturating or wrapping, because an overflow check would be a panic.

mod bits;
mod index;
pub(super) mod steps;
mod tournament;
mod word;

use index::{Layout, MAX_BLOCKS};

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

    /// Whether a block is in both.
    const fn overlaps(self, other: Self) -> bool {
        self.start < other.end() && other.start < self.end()
    }

    /// What comes before `other`: the whole run if no block is in both.
    pub const fn up_to(self, other: Self) -> Option<Self> {
        if self.overlaps(other) {
            return Self::between(self.start, other.start);
        }
        Some(self)
    }

    /// Whether the bits of all its blocks are set in a bitmap of blocks.
    pub(super) fn is_set_in(self, words: &[u64]) -> bool {
        bits::all_set(words, [self.start, self.end()])
    }

    /// How many of its blocks have their bits set in a bitmap of blocks.
    pub(super) fn count_set_in(self, words: &[u64]) -> u32 {
        bits::count_set(words, [self.start, self.end()])
    }

    /// Sets or clears the bits of its blocks in a bitmap of blocks.
    pub(super) fn write_to(self, words: &mut [u64], value: bool) {
        bits::write(words, [self.start, self.end()], value);
    }

    /// The words of a bitmap of blocks that the run touches: index of each and the mask of its blocks.
    pub(super) fn word_masks(self) -> impl Iterator<Item = (u32, u64)> {
        bits::masks([self.start, self.end()])
    }
}

/// At which blocks a run may start: those where `block + phase` is a multiple of the alignment, with
/// the phase of the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alignment {
    /// INVARIANT: below [`NR_ALIGNMENTS`].
    shift: u32,
}

impl Alignment {
    /// Any block will do.
    pub const ONE: Self = Self { shift: 0 };

    /// Alignment to `blocks` blocks; `None` if that is not a power of two.
    pub const fn new(blocks: u32) -> Option<Self> {
        if !blocks.is_power_of_two() {
            return None;
        }
        Some(Self {
            shift: blocks.trailing_zeros(),
        })
    }
}

/// The memory that a map needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StorageSize {
    /// Words of the bitmap.
    pub words: usize,
    /// Entries of the index.
    pub nodes: usize,
}

impl StorageSize {
    /// What a map of `nr_blocks` blocks with this phase needs; `None` if it would have more than 2^30.
    pub fn of(nr_blocks: u32, phase: u64) -> Option<Self> {
        layout(nr_blocks, phase).map(Self::of_layout)
    }

    fn of_layout(layout: Layout) -> Self {
        Self {
            words: layout.bits.nr_words,
            nodes: layout.nr_nodes as usize,
        }
    }
}

/// Why [`BlockMap::new`] failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewError {
    /// A map has at most 2^30 blocks.
    TooManyBlocks,
    /// The storage is too small.
    StorageTooSmall {
        /// What the map needs.
        needed: StorageSize,
        /// What there is.
        given: StorageSize,
    },
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
/// INVARIANT: the bits of free blocks are clear, all others are set, those of blocks set aside too.
/// `nr_free` blocks are free or set aside. The nodes say what the bits say.
#[derive(Debug)]
pub struct BlockMap<W, N> {
    words: W,
    nodes: N,
    layout: Layout,
    /// A bit for each octave of lengths in which there is a free run.
    occupied: u32,
    /// The run that was freed last, if that is not in the bits yet.
    set_aside: Option<BlockRange>,
    phase: u64,
    nr_blocks: u32,
    nr_free: u32,
}

impl<W, N> BlockMap<W, N>
where
    W: AsRef<[u64]> + AsMut<[u64]>,
    N: AsRef<[u32]> + AsMut<[u32]>,
{
    /// A map of `nr_blocks` free blocks. What the storage holds is overwritten; what is beyond
    /// [`StorageSize::of`] is not used.
    ///
    /// `phase` says how far block 0 itself is past an aligned place. The base address of the region
    /// divided by the block size is the phase that aligns physical addresses.
    ///
    /// # Errors
    ///
    /// - [`NewError::TooManyBlocks`] if there are more than 2^30.
    /// - [`NewError::StorageTooSmall`] if the storage has less than [`StorageSize::of`].
    pub fn new(mut words: W, mut nodes: N, nr_blocks: u32, phase: u64) -> Result<Self, NewError> {
        let layout = layout(nr_blocks, phase).ok_or(NewError::TooManyBlocks)?;
        let needed = StorageSize::of_layout(layout);
        let given = StorageSize {
            words: words.as_ref().len(),
            nodes: nodes.as_ref().len(),
        };
        if given.words < needed.words || given.nodes < needed.nodes {
            return Err(NewError::StorageTooSmall { needed, given });
        }
        words.as_mut().fill(0);
        nodes.as_mut().fill(0);
        layout.bits.write(words.as_mut(), layout.all_bits(), true);
        let mut map = Self {
            words,
            nodes,
            layout,
            occupied: 0,
            set_aside: BlockRange::new(0, nr_blocks),
            phase,
            nr_blocks,
            nr_free: nr_blocks,
        };
        map.settle();
        Ok(map)
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
        let is_set_aside = self.set_aside.is_some_and(|run| run.contains(block));
        (block < self.nr_blocks).then(|| self.next_allocated(block) == block && !is_set_aside)
    }

    /// Allocates `count` blocks: those that were freed last if they are as many and aligned. Otherwise with
    /// an alignment the lowest aligned ones, without one the first ones of a free run that is hardly longer,
    /// so that long runs stay whole.
    ///
    /// That is the lowest run that is long enough in the lowest octave of lengths, from a power of two to
    /// the next one, that has such a run.
    ///
    /// # Errors
    ///
    /// - [`AllocError::ZeroCount`] if `count` is 0.
    /// - [`AllocError::NoRoom`] if no free run is long enough.
    pub fn alloc(&mut self, count: u32, alignment: Alignment) -> Result<BlockRange, AllocError> {
        if count == 0 {
            return Err(AllocError::ZeroCount);
        }
        if let Some(range) = self.take_set_aside(count, alignment) {
            return Ok(range);
        }
        self.settle();
        let start = self.find(count, alignment).ok_or(AllocError::NoRoom {
            requested: count,
            free: self.nr_free,
        })?;
        let range = BlockRange { start, count };
        self.change(range, false);
        self.nr_free = self.nr_free.saturating_sub(count);
        Ok(range)
    }

    /// The run that was freed last, if it is what is asked for.
    fn take_set_aside(&mut self, count: u32, alignment: Alignment) -> Option<BlockRange> {
        let run = self.set_aside.filter(|run| run.count == count)?;
        let mask = 1u64.wrapping_shl(alignment.shift).wrapping_sub(1);
        let place = self.phase.wrapping_add(u64::from(run.start));
        if place & mask != 0 {
            return None;
        }
        self.set_aside = None;
        self.nr_free = self.nr_free.saturating_sub(count);
        Some(run)
    }

    /// Enters the run that was freed last into bits and nodes unless it has as many blocks as are wanted. Says
    /// whether there was anything to enter: that takes as long as an allocation.
    pub fn settle_unless(&mut self, wanted: u32) -> bool {
        let enters = self.set_aside.is_some_and(|run| run.count != wanted);
        if enters {
            self.settle();
        }
        enters
    }

    /// Enters the run that was freed last into bits and nodes.
    pub(super) fn settle(&mut self) {
        if let Some(run) = self.set_aside.take() {
            self.change(run, true);
        }
    }

    /// What `look` sees where no run is set aside. A run that is stays so: looking changes no placement.
    fn settled<R>(&mut self, look: impl FnOnce(&Self) -> R) -> R {
        let set_aside = self.set_aside;
        self.settle();
        let seen = look(self);
        if let Some(run) = set_aside {
            self.change(run, false);
        }
        self.set_aside = set_aside;
        seen
    }

    /// From which block on `count` are allocated.
    fn find(&self, count: u32, alignment: Alignment) -> Option<u32> {
        if alignment.shift > self.layout.coarsest {
            let start = self.only_aligned(alignment)?;
            return (self.free_from(start) >= count).then_some(start);
        }
        let (words, nodes) = (self.words.as_ref(), self.nodes.as_ref());
        if alignment == Alignment::ONE {
            return self.layout.tightest(words, nodes, self.occupied, count);
        }
        self.layout.lowest(words, nodes, count, alignment.shift)
    }

    /// Allocates as [`Self::alloc`] does, at the first alignment if that has room and leaves three quarters
    /// of the map free, else at the second. Only then are there blocks to skip for a better alignment; in
    /// a fuller map the gaps would be missed.
    ///
    /// # Errors
    ///
    /// Those of [`Self::alloc`] at the second alignment.
    pub fn alloc_preferring(
        &mut self,
        count: u32,
        [better, alignment]: [Alignment; 2],
    ) -> Result<BlockRange, AllocError> {
        let rest = u64::from(self.nr_free.saturating_sub(count));
        let is_plenty = rest.saturating_mul(4) >= u64::from(self.nr_blocks).saturating_mul(3);
        if better != alignment && is_plenty {
            if let Ok(range) = self.alloc(count, better) {
                return Ok(range);
            }
        }
        self.alloc(count, alignment)
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
        let bits = self.layout.bits_of(range);
        let is_free = self.set_aside.is_some_and(|run| run.overlaps(range));
        if is_free || !self.layout.bits.all_set(self.words.as_ref(), bits) {
            return Err(FreeError::NotAllocated);
        }
        self.settle();
        self.set_aside = Some(range);
        self.nr_free = self.nr_free.saturating_add(range.count);
        Ok(())
    }

    /// Number of blocks of the longest run that [`Self::alloc`] would find now at this alignment.
    pub fn largest_free(&mut self, alignment: Alignment) -> u32 {
        self.settled(|map| map.longest(alignment))
    }

    fn longest(&self, alignment: Alignment) -> u32 {
        if alignment.shift <= self.layout.coarsest {
            return self
                .layout
                .longest(self.nodes.as_ref(), self.occupied, alignment.shift);
        }
        self.only_aligned(alignment)
            .map_or(0, |start| self.free_from(start))
    }

    /// [`Self::largest_free`] for every alignment: entry `i` is about alignment to `1 << i` blocks.
    pub fn largest_free_by_alignment(&mut self) -> [u32; NR_ALIGNMENTS] {
        self.settled(|map| {
            let mut largest = [0; NR_ALIGNMENTS];
            for (shift, longest) in (0..).zip(largest.iter_mut()) {
                *longest = map.longest(Alignment { shift });
            }
            largest
        })
    }

    /// The block that is aligned, to more blocks than the map has.
    fn only_aligned(&self, alignment: Alignment) -> Option<u32> {
        let mask = 1u64.wrapping_shl(alignment.shift).wrapping_sub(1);
        let block = u32::try_from(self.phase.wrapping_neg() & mask).ok()?;
        (block < self.nr_blocks).then_some(block)
    }

    /// How many blocks are free from `block` on.
    fn free_from(&self, block: u32) -> u32 {
        self.next_allocated(block).saturating_sub(block)
    }

    /// The first allocated block at or after `from`, or the number of blocks.
    fn next_allocated(&self, from: u32) -> u32 {
        self.layout.next_allocated(self.words.as_ref(), from)
    }

    /// Makes bits and nodes say that a run is free, or that it is not.
    fn change(&mut self, range: BlockRange, free: bool) {
        let words = self.words.as_mut();
        let bits = self.layout.bits_of(range);
        self.layout.bits.write(words, bits, !free);
        self.layout
            .refresh(words, self.nodes.as_mut(), &mut self.occupied, range, free);
    }
}

/// The layout of a map; one without blocks has that of one with a block that is never free.
fn layout(nr_blocks: u32, phase: u64) -> Option<Layout> {
    // The block that is aligned to more than the map has is found without the layout.
    let phase = (phase & 0xffff_ffff) as u32;
    (nr_blocks <= MAX_BLOCKS).then(|| Layout::new(nr_blocks.max(1), phase))
}
