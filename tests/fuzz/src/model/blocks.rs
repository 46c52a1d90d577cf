// SPDX-License-Identifier: MIT OR Apache-2.0

//! The blocks of the pool: which are free, and where they are.

use super::Model;

/// Bytes in a huge page.
pub(crate) const HUGE: u64 = 2 << 20;

impl Model {
    /// Free runs of blocks, lowest first: first block and the one after the last.
    fn free_runs(&self) -> Vec<(u32, u32)> {
        let mut runs = Vec::new();
        let mut from = 0;
        for (&start, buffer) in &self.buffers {
            if from < start {
                runs.push((from, start));
            }
            from = start + buffer.blocks;
        }
        if from < self.nr_blocks {
            runs.push((from, self.nr_blocks));
        }
        runs
    }

    /// Whether all of a run is free.
    pub(crate) fn is_free(&self, start: u32, blocks: u32) -> bool {
        let end = u64::from(start) + u64::from(blocks);
        let mut runs = self.free_runs().into_iter();
        runs.any(|(first, last)| first <= start && end <= u64::from(last))
    }

    /// Blocks of live buffers.
    pub(crate) fn blocks_used(&self) -> u32 {
        self.buffers.values().map(|buffer| buffer.blocks).sum()
    }

    /// The first block at or after `block` whose address is a multiple of `align` bytes.
    fn aligned(&self, block: u32, align: u64) -> u32 {
        let address = self
            .phys(block)
            .next_multiple_of(align.max(self.block_bytes));
        u32::try_from((address - self.base) / self.block_bytes).unwrap_or(u32::MAX)
    }

    /// Where `blocks` blocks go if they are not what was freed last: what is as long as a huge page is
    /// aligned to it, if there is room and three quarters of the pool stay free.
    pub(crate) fn find(&self, blocks: u32, align: u64) -> Option<u32> {
        let best = self.best_alignment(blocks, align);
        let aligned = self.find_aligned(blocks, best);
        aligned.or_else(|| self.find_aligned(blocks, align))
    }

    fn best_alignment(&self, blocks: u32, align: u64) -> u64 {
        let is_huge = u64::from(blocks) * self.block_bytes >= HUGE;
        let rest = self.nr_blocks.saturating_sub(self.blocks_used() + blocks);
        let is_plenty = u64::from(rest) * 4 >= u64::from(self.nr_blocks) * 3;
        if is_huge && is_plenty {
            align.max(HUGE)
        } else {
            align
        }
    }

    /// All places where they may go: what was freed last is taken again. That can be any of what was freed
    /// since the last allocation, for the model does not know in which order the buffers of a process go.
    pub(crate) fn places(&self, blocks: u32, align: u64) -> Vec<u32> {
        let best = self.best_alignment(blocks, align);
        let fits =
            |&&(start, count): &&(u32, u32)| count == blocks && self.aligned(start, best) == start;
        let again = self.freed.iter().filter(fits).map(|&(start, _)| start);
        self.find(blocks, align).into_iter().chain(again).collect()
    }

    /// The block with a physical address.
    pub(crate) fn block_at(&self, phys: u64) -> Option<u32> {
        u32::try_from(phys.checked_sub(self.base)? / self.block_bytes).ok()
    }

    /// Where `blocks` blocks are taken: with an alignment the lowest aligned ones, without one the first
    /// of the lowest run that is long enough in the lowest octave of lengths that has such a run.
    fn find_aligned(&self, blocks: u32, align: u64) -> Option<u32> {
        let mut runs = self.free_runs().into_iter();
        if align <= self.block_bytes {
            let enough = runs.filter(|(start, end)| end - start >= blocks);
            let tightest = enough.min_by_key(|(start, end)| (end - start).ilog2())?;
            return Some(tightest.0);
        }
        runs.find_map(|(start, end)| {
            let start = self.aligned(start, align);
            (start < end && end - start >= blocks).then_some(start)
        })
    }

    /// Blocks of the longest aligned run of free ones.
    pub(crate) fn largest(&self, align: u64) -> u32 {
        let runs = self.free_runs().into_iter();
        let tails = runs.map(|(start, end)| end.saturating_sub(self.aligned(start, align)));
        tails.max().unwrap_or(0)
    }

    /// The blocks that `len` bytes need.
    pub(crate) fn blocks_for(&self, len: u64) -> u32 {
        u32::try_from(len.div_ceil(self.block_bytes)).unwrap_or(u32::MAX)
    }

    /// First physical address of a block.
    pub(crate) fn phys(&self, block: u32) -> u64 {
        self.base + u64::from(block) * self.block_bytes
    }

    /// Bytes of a live buffer.
    pub(crate) fn bytes(&self, buffer: u32) -> u64 {
        self.buffers
            .get(&buffer)
            .map_or(0, |b| u64::from(b.blocks) * self.block_bytes)
    }

    /// The offset for mmap of a physical address.
    pub(crate) fn mmap_offset(&self, phys: u64) -> u64 {
        fpgamem_tests::abi::MMAP_OFFSET_BASE + (phys - (self.base & !((2 << 20) - 1)))
    }
}
