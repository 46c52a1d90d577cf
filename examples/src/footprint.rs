// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a trace asks for, computed without a device: counts, peaks, and the region that it needs.

use crate::trace::{Operation, Trace};
use fpgamem::{Arena, ArenaUsage};
use fpgamem_shared::block_map::{Alignment, BlockMap, BlockRange, StorageSize};
use std::collections::HashMap;

/// Bytes in a huge page.
const HUGE_BYTES: usize = 2 << 20;

/// What a trace asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Allocations.
    pub nr_allocs: usize,
    /// Frees.
    pub nr_frees: usize,
    /// Ranges cleaned.
    pub nr_flushes: usize,
    /// Ranges cleaned and invalidated.
    pub nr_invalidates: usize,
    /// Most bytes asked for by the buffers that live at the same time.
    pub peak_bytes: usize,
    /// Most blocks that they take.
    pub peak_blocks: usize,
    /// Most buffers that live at the same time.
    pub peak_buffers: usize,
}

impl Footprint {
    /// Computes the footprint of a trace with blocks of `block_bytes`, which is not 0.
    #[must_use]
    pub fn of(trace: &Trace, block_bytes: usize) -> Self {
        let mut footprint = Self::default();
        let mut live = HashMap::new();
        let (mut bytes, mut blocks) = (0, 0);
        for step in &trace.steps {
            match &step.operation {
                Operation::Alloc { bytes: len } => {
                    let len = len.get();
                    live.insert(step.id, len);
                    bytes += len;
                    blocks += len.div_ceil(block_bytes);
                    footprint.nr_allocs += 1;
                    footprint.peak_bytes = footprint.peak_bytes.max(bytes);
                    footprint.peak_blocks = footprint.peak_blocks.max(blocks);
                    footprint.peak_buffers = footprint.peak_buffers.max(live.len());
                }
                Operation::Free => {
                    let len = live.remove(&step.id).unwrap_or(0);
                    bytes -= len;
                    blocks -= len.div_ceil(block_bytes);
                    footprint.nr_frees += 1;
                }
                Operation::Flush(_) => footprint.nr_flushes += 1,
                Operation::Invalidate(_) => footprint.nr_invalidates += 1,
            }
        }
        footprint
    }
}

/// What the buffers of a trace take when an arena makes them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ArenaFootprint {
    /// Most bytes that the arena holds, in whole blocks.
    pub peak_held_bytes: usize,
    /// Most mappings that hold them.
    pub peak_mappings: usize,
    /// Allocations from the device.
    pub nr_allocs: u64,
}

impl ArenaFootprint {
    /// Makes and frees the buffers of a trace, without touching them.
    ///
    /// # Errors
    ///
    /// The first refusal of an allocation.
    pub fn of(trace: &Trace, arena: &Arena) -> fpgamem::Result<Self> {
        let mut footprint = Self::default();
        let mut live = HashMap::new();
        for step in &trace.steps {
            match &step.operation {
                Operation::Alloc { bytes } => {
                    live.insert(step.id, arena.alloc(bytes.get())?);
                }
                Operation::Free => {
                    live.remove(&step.id);
                }
                Operation::Flush(_) | Operation::Invalidate(_) => {}
            }
            footprint.add(&arena.usage());
        }
        Ok(footprint)
    }

    /// Takes note of what an arena holds after another operation.
    pub fn add(&mut self, usage: &ArenaUsage) {
        self.peak_held_bytes = self.peak_held_bytes.max(usage.held_bytes);
        self.peak_mappings = self.peak_mappings.max(usage.mappings);
        self.nr_allocs = usage.allocations;
    }
}

/// The size in bytes of the smallest region in which the driver's allocator can serve a trace, with
/// nobody else in it; `None` where no region of 2^30 blocks or fewer will do.
///
/// Fragmentation makes it larger than the peak of the blocks. `block_bytes` is not 0.
#[must_use]
pub fn smallest_region(trace: &Trace, block_bytes: usize) -> Option<u64> {
    let peak = u32::try_from(Footprint::of(trace, block_bytes).peak_blocks).ok()?;
    let blocks = fewest_blocks(peak, |nr_blocks| fits(trace, block_bytes, nr_blocks))?;
    Some(u64::from(blocks) * block_bytes as u64)
}

/// The fewest blocks, at least `peak`, that fit, found by bisection; `None` where that cannot be tried.
pub(crate) fn fewest_blocks(peak: u32, fits: impl Fn(u32) -> Option<bool>) -> Option<u32> {
    let mut too_few = 0;
    let mut enough = peak;
    while !fits(enough)? {
        too_few = enough;
        enough = enough.checked_mul(2)?;
    }
    while enough - too_few > 1 {
        let middle = too_few + (enough - too_few) / 2;
        if fits(middle)? {
            enough = middle;
        } else {
            too_few = middle;
        }
    }
    Some(enough)
}

/// Whether a region of `nr_blocks` blocks serves the trace; `None` where that cannot be tried.
#[must_use]
pub fn fits(trace: &Trace, block_bytes: usize, nr_blocks: u32) -> Option<bool> {
    let size = StorageSize::of(nr_blocks, 0)?;
    let (words, nodes) = (vec![0u64; size.words], vec![0u32; size.nodes]);
    let mut map = BlockMap::new(words, nodes, nr_blocks, 0).ok()?;
    // What is as long as a huge page is aligned to it, where there is plenty of room.
    let huge = u32::try_from((HUGE_BYTES / block_bytes).max(1)).ok()?;
    let huge_aligned = Alignment::new(huge)?;
    let mut live: HashMap<u32, BlockRange> = HashMap::new();
    for step in &trace.steps {
        match &step.operation {
            Operation::Alloc { bytes } => {
                let count = u32::try_from(bytes.get().div_ceil(block_bytes)).ok()?;
                let better = if count >= huge {
                    huge_aligned
                } else {
                    Alignment::ONE
                };
                let Ok(range) = map.alloc_preferring(count, [better, Alignment::ONE]) else {
                    return Some(false);
                };
                live.insert(step.id, range);
            }
            Operation::Free => {
                let range = live.remove(&step.id)?;
                map.free(range).ok()?;
            }
            Operation::Flush(_) | Operation::Invalidate(_) => {}
        }
    }
    Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    use fpgamem::Device;

    const BLOCK: usize = 16384;

    fn parse(text: &str) -> Trace {
        Trace::parse("test", text).unwrap()
    }

    fn resnet50() -> Trace {
        parse(include_str!("../data/resnet50.trace"))
    }

    fn mobilenetv1() -> Trace {
        parse(include_str!("../data/mobilenetv1.trace"))
    }

    #[test]
    fn peaks_are_of_what_lives_at_the_same_time() {
        let trace = parse("A 0 100\nA 1 20000\nF 0\nA 2 1\nF 1\nF 2");
        let footprint = Footprint::of(&trace, BLOCK);
        assert_eq!(footprint.peak_bytes, 20100);
        assert_eq!(footprint.peak_blocks, 3);
        assert_eq!(footprint.peak_buffers, 2);
        assert_eq!((footprint.nr_allocs, footprint.nr_frees), (3, 3));
    }

    #[test]
    fn the_region_is_the_peak_where_nothing_is_fragmented() {
        let trace = parse("A 0 16384\nA 1 16385\nF 1\nA 2 1\n");
        assert_eq!(smallest_region(&trace, BLOCK), Some(3 * 16384));
    }

    #[test]
    fn a_hole_that_is_too_small_makes_the_region_larger_than_the_peak() {
        // Block 0 is free when two in a row are wanted, so they come after block 1.
        let trace = parse("A 0 16384\nA 1 16384\nF 0\nA 2 32768\n");
        assert_eq!(Footprint::of(&trace, BLOCK).peak_blocks, 3);
        assert_eq!(smallest_region(&trace, BLOCK), Some(4 * 16384));
    }

    #[test]
    fn no_operation_needs_no_region() {
        assert_eq!(smallest_region(&parse(""), BLOCK), Some(0));
    }

    #[test]
    fn one_block_fewer_than_the_smallest_region_does_not_do() {
        let trace = mobilenetv1();
        let bytes = usize::try_from(smallest_region(&trace, BLOCK).unwrap()).unwrap();
        let blocks = u32::try_from(bytes / BLOCK).unwrap();
        assert_eq!(fits(&trace, BLOCK, blocks), Some(true));
        assert_eq!(fits(&trace, BLOCK, blocks - 1), Some(false));
    }

    #[test]
    fn mobilenetv1_is_as_measured() {
        let trace = mobilenetv1();
        let footprint = Footprint::of(&trace, BLOCK);
        assert_eq!((footprint.nr_allocs, footprint.nr_frees), (439, 439));
        assert_eq!((footprint.nr_flushes, footprint.nr_invalidates), (638, 74));
        assert_eq!(footprint.peak_bytes / 1024, 44_128);
        assert_eq!(footprint.peak_blocks * 16, 47_984);
    }

    #[test]
    fn resnet50_is_as_measured() {
        let trace = resnet50();
        let footprint = Footprint::of(&trace, BLOCK);
        assert_eq!((footprint.nr_allocs, footprint.nr_frees), (1206, 1206));
        assert_eq!(
            (footprint.nr_flushes, footprint.nr_invalidates),
            (1681, 126)
        );
        assert_eq!(footprint.peak_bytes / 1024, 160_976);
        assert_eq!(footprint.peak_blocks * 16, 168_976);
    }

    /// What the default arena holds at its peak in thousandths of what was asked for, and what it takes
    /// for that.
    fn arena(trace: &Trace) -> (usize, ArenaFootprint) {
        let device = Device::emulated().region_bytes(256 << 20).open().unwrap();
        let footprint = ArenaFootprint::of(trace, &Arena::new(&device)).unwrap();
        let peak_bytes = Footprint::of(trace, BLOCK).peak_bytes;
        let thousandths = (footprint.peak_held_bytes * 1000).div_ceil(peak_bytes);
        (thousandths, footprint)
    }

    #[test]
    fn an_arena_holds_little_more_than_the_networks_ask_for() {
        for trace in [mobilenetv1(), resnet50()] {
            let (thousandths, _) = arena(&trace);
            assert!(thousandths <= 1030, "{}: {thousandths} / 1000", trace.name);
        }
    }

    #[test]
    fn an_arena_asks_for_a_fraction_of_the_allocations() {
        for (trace, allocs, mappings) in [(mobilenetv1(), 82, 41), (resnet50(), 432, 132)] {
            let (_, footprint) = arena(&trace);
            let ArenaFootprint {
                nr_allocs,
                peak_mappings,
                ..
            } = footprint;
            assert_eq!((nr_allocs, peak_mappings), (allocs, mappings));
        }
    }

    #[test]
    fn the_region_for_the_networks_is_as_measured() {
        let tenths_of_mib = |bytes: u64| (bytes * 10 + (1 << 19)) >> 20;
        assert_eq!(
            tenths_of_mib(smallest_region(&mobilenetv1(), BLOCK).unwrap()),
            474
        );
        assert_eq!(
            tenths_of_mib(smallest_region(&resnet50(), BLOCK).unwrap()),
            1670
        );
    }
}
