// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which blocks of a region are allocated, by the driver's own block map, where no driver keeps it.

use crate::error::{Error, Result};
use fpgamem_shared::abi;
use fpgamem_shared::block_map::{Alignment, BlockMap, BlockRange, StorageSize};
use std::ops::Range;

type Map = BlockMap<Vec<u64>, Vec<u32>>;

/// The pool. Ranges are of bytes, from the start of the region.
#[derive(Debug)]
pub(crate) struct Pool {
    map: Map,
    block_bytes: u64,
    nr_allocations: u32,
}

impl Pool {
    /// A pool of free blocks; `None` where there is no such pool.
    pub(crate) fn new(region_bytes: u64, block_bytes: u64, phys_addr: u64) -> Option<Self> {
        let possible = block_bytes.is_power_of_two() && (4 << 10..=2 << 20).contains(&block_bytes);
        if !possible || region_bytes == 0 || region_bytes % block_bytes != 0 {
            return None;
        }
        let nr_blocks = u32::try_from(region_bytes / block_bytes).ok()?;
        let phase = phys_addr / block_bytes;
        let size = StorageSize::of(nr_blocks, phase)?;
        let (words, nodes) = (vec![0; size.words], vec![0; size.nodes]);
        Some(Self {
            map: BlockMap::new(words, nodes, nr_blocks, phase).ok()?,
            block_bytes,
            nr_allocations: 0,
        })
    }

    fn region_bytes(&self) -> u64 {
        u64::from(self.map.nr_blocks()) * self.block_bytes
    }

    pub(crate) fn free_bytes(&self) -> u64 {
        u64::from(self.map.nr_free()) * self.block_bytes
    }

    pub(crate) fn nr_allocations(&self) -> u32 {
        self.nr_allocations
    }

    fn alignment(&self, bytes: u64) -> Option<Alignment> {
        let blocks = u32::try_from((bytes / self.block_bytes).max(1)).ok()?;
        Alignment::new(blocks)
    }

    /// The longest allocations, by alignment, as the driver tells them.
    pub(crate) fn largest_free_bytes(&mut self) -> [u64; abi::NR_ALIGNMENTS] {
        let mut largest = [0; abi::NR_ALIGNMENTS];
        for (bytes, shift) in largest.iter_mut().zip(abi::MIN_ALIGN_SHIFT..) {
            let alignment = self.alignment(1 << shift);
            let blocks = alignment.map_or(0, |alignment| self.map.largest_free(alignment));
            *bytes = u64::from(blocks) * self.block_bytes;
        }
        largest
    }

    /// Allocates whole blocks for `len` bytes; errors as the driver's.
    pub(crate) fn alloc(&mut self, len: u64, align: u64) -> Result<Range<usize>> {
        let region_bytes = self.region_bytes();
        if len == 0 || len > region_bytes {
            return Err(Error::InvalidLength {
                requested: len,
                region_bytes,
            });
        }
        // 0 is the block size.
        let possible = align == 0 || align.is_power_of_two() && align <= abi::MAX_ALIGN;
        let requested = align;
        let align = align.max(self.block_bytes);
        let alignment = self.alignment(align).filter(|_| possible);
        let Some(alignment) = alignment else {
            let max = abi::MAX_ALIGN;
            return Err(Error::InvalidAlignment { requested, max });
        };
        let no_room = |map: &mut Map| Error::OutOfMemory {
            requested: len,
            align,
            free: u64::from(map.nr_free()) * self.block_bytes,
            largest_free: u64::from(map.largest_free(alignment)) * self.block_bytes,
            quarantined: 0,
        };
        // No more than the region has.
        let count = u32::try_from(len.div_ceil(self.block_bytes)).unwrap_or(u32::MAX);
        match self.map.alloc(count, alignment) {
            Ok(blocks) => {
                self.nr_allocations += 1;
                Ok(self.byte(blocks.start())..self.byte(blocks.end()))
            }
            Err(_) => Err(no_room(&mut self.map)),
        }
    }

    fn byte(&self, block: u32) -> usize {
        // The size of the region is a usize.
        usize::try_from(u64::from(block) * self.block_bytes).unwrap_or(usize::MAX)
    }

    /// Frees what [`alloc`](Self::alloc) gave.
    pub(crate) fn free(&mut self, range: Range<usize>) {
        let block = |byte: usize| u32::try_from(byte as u64 / self.block_bytes).ok();
        let ends = block(range.start).zip(block(range.end));
        let blocks = ends.and_then(|(start, end)| BlockRange::new(start, end.checked_sub(start)?));
        let freed = blocks.map(|blocks| self.map.free(blocks));
        debug_assert_eq!(freed, Some(Ok(())), "only what is allocated is freed");
        self.nr_allocations -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: u64 = 16384;

    fn pool() -> Pool {
        Pool::new(4 * BLOCK, BLOCK, 0x4000_0000).unwrap()
    }

    #[test]
    fn only_sizes_that_the_driver_takes_make_a_pool() {
        for (region, block) in [
            (0, BLOCK),
            (BLOCK + 1, BLOCK),
            (8192, 2048),
            (4 << 20, 4 << 20),
            (36864, 12288),
        ] {
            assert!(Pool::new(region, block, 0).is_none(), "{region} {block}");
        }
    }

    #[test]
    fn exhaustion_has_the_driver_s_numbers_and_changes_nothing() {
        let mut pool = pool();
        let first = pool.alloc(1, 0).unwrap();
        let _second = pool.alloc(BLOCK + 1, 0).unwrap();
        pool.free(first);
        for _ in 0..2 {
            let error = pool.alloc(BLOCK + 1, 0).unwrap_err();
            assert!(matches!(
                error,
                Error::OutOfMemory {
                    requested: 16385,
                    align: 16384,
                    free: 32768,
                    largest_free: 16384,
                    quarantined: 0
                }
            ));
        }
        assert_eq!(pool.alloc(1, 0).unwrap(), 0..16384);
    }

    #[test]
    fn impossible_requests_are_refused_as_by_the_driver() {
        for len in [0, 4 * BLOCK + 1] {
            let error = pool().alloc(len, 0).unwrap_err();
            assert!(matches!(error, Error::InvalidLength { requested, .. } if requested == len));
        }
        for align in [3, 3 * BLOCK, abi::MAX_ALIGN * 2] {
            let error = pool().alloc(1, align).unwrap_err();
            assert!(
                matches!(error, Error::InvalidAlignment { requested, .. } if requested == align)
            );
        }
    }

    #[test]
    fn physical_addresses_are_aligned_and_not_places_in_the_region() {
        let mut pool = Pool::new(4 * BLOCK, BLOCK, 0x4000_0000 + BLOCK).unwrap();
        assert_eq!(pool.alloc(1, 2 * BLOCK).unwrap().start, 16384);
        assert_eq!(pool.largest_free_bytes()[0], 2 * BLOCK);
        assert_eq!(pool.largest_free_bytes()[3], BLOCK);
    }
}
