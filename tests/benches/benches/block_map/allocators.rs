// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is compared: each allocates runs of blocks, numbered from 0.

use bitmap_allocator::{BitAlloc, BitAlloc16M};
use buddy_system_allocator::FrameAllocator;
use fpgamem_shared::block_map::{Alignment, BlockMap, BlockRange, StorageSize};
use offset_allocator::Allocation;
use range_alloc::RangeAllocator;
use std::ops::Range;

/// An allocator of runs of blocks.
pub(crate) trait Allocator {
    /// As it is called in the results.
    const NAME: &'static str;
    /// What is needed to free a run.
    type Run;

    /// One with a region of which nothing is allocated.
    fn new(nr_blocks: u32) -> Self;
    /// Allocates a run; `None` if there is no room.
    fn alloc(&mut self, count: u32) -> Option<Self::Run>;
    /// Frees a run.
    fn free(&mut self, run: Self::Run);
    /// First block of a run.
    fn start(run: &Self::Run) -> u32;
}

/// The driver's.
pub(crate) struct BlockMapOfDriver(BlockMap<Vec<u64>, Vec<u32>>);

impl Allocator for BlockMapOfDriver {
    const NAME: &'static str = "fpgamem";
    type Run = BlockRange;

    fn new(nr_blocks: u32) -> Self {
        let size = StorageSize::of(nr_blocks, 0).expect("no more than a map can have");
        let (words, nodes) = (vec![0; size.words], vec![0; size.nodes]);
        Self(BlockMap::new(words, nodes, nr_blocks, 0).expect("enough storage"))
    }

    fn alloc(&mut self, count: u32) -> Option<BlockRange> {
        self.0.alloc(count, Alignment::ONE).ok()
    }

    fn free(&mut self, run: BlockRange) {
        self.0.free(run).expect("it was allocated");
    }

    fn start(run: &BlockRange) -> u32 {
        run.start()
    }
}

/// A tree of bitmaps in which runs are searched from the start.
pub(crate) struct Bitmap(Box<BitAlloc16M>);

impl Allocator for Bitmap {
    const NAME: &'static str = "bitmap-allocator";
    type Run = (usize, usize);

    fn new(nr_blocks: u32) -> Self {
        let mut map = Box::new(BitAlloc16M::DEFAULT);
        map.insert(0..nr_blocks as usize);
        Self(map)
    }

    fn alloc(&mut self, count: u32) -> Option<(usize, usize)> {
        let count = count as usize;
        let start = self.0.alloc_contiguous(None, count, 0)?;
        Some((start, count))
    }

    fn free(&mut self, (start, count): (usize, usize)) {
        assert!(self.0.dealloc_contiguous(start, count), "it was allocated");
    }

    fn start(run: &(usize, usize)) -> u32 {
        block(run.0)
    }
}

/// Runs of powers of two.
pub(crate) struct Buddies(FrameAllocator);

impl Allocator for Buddies {
    const NAME: &'static str = "buddy_system_allocator";
    type Run = (usize, usize);

    fn new(nr_blocks: u32) -> Self {
        let mut frames = FrameAllocator::new();
        frames.insert(0..nr_blocks as usize);
        Self(frames)
    }

    fn alloc(&mut self, count: u32) -> Option<(usize, usize)> {
        let count = count as usize;
        Some((self.0.alloc(count)?, count))
    }

    fn free(&mut self, (start, count): (usize, usize)) {
        self.0.dealloc(start, count);
    }

    fn start(run: &(usize, usize)) -> u32 {
        block(run.0)
    }
}

/// Free runs by the octave of their lengths, with eight bins each.
pub(crate) struct Bins(offset_allocator::Allocator);

impl Allocator for Bins {
    const NAME: &'static str = "offset-allocator";
    type Run = Allocation;

    fn new(nr_blocks: u32) -> Self {
        // A node for each run and each hole, of which there can be as many as blocks, and one that it spares.
        Self(offset_allocator::Allocator::with_max_allocs(
            nr_blocks,
            nr_blocks + 2,
        ))
    }

    fn alloc(&mut self, count: u32) -> Option<Allocation> {
        self.0.allocate(count)
    }

    fn free(&mut self, run: Allocation) {
        self.0.free(run);
    }

    fn start(run: &Allocation) -> u32 {
        run.offset
    }
}

/// A sorted list of free runs.
pub(crate) struct Ranges(RangeAllocator<u32>);

impl Allocator for Ranges {
    const NAME: &'static str = "range-alloc";
    type Run = Range<u32>;

    fn new(nr_blocks: u32) -> Self {
        Self(RangeAllocator::new(0..nr_blocks))
    }

    fn alloc(&mut self, count: u32) -> Option<Range<u32>> {
        self.0.allocate_range(count).ok()
    }

    fn free(&mut self, run: Range<u32>) {
        self.0.free_range(run);
    }

    fn start(run: &Range<u32>) -> u32 {
        run.start
    }
}

fn block(number: usize) -> u32 {
    u32::try_from(number).expect("a block of the region")
}
