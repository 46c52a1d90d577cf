// SPDX-License-Identifier: GPL-2.0 OR MIT

//! That the time of the block map grows with neither blocks nor load, in steps: words of the bitmap and
//! nodes of the index that are looked at or changed.

use super::block_map::{steps, Alignment, BlockRange, StorageSize};
use std::vec;
use std::vec::Vec;

type BlockMap = super::block_map::BlockMap<Vec<u64>, Vec<u32>>;

/// 32 GiB of 16 KiB.
const NR_BLOCKS: u32 = 1 << 21;
/// At the end of a fragmented map: where there is room for everything here.
const ROOM: u32 = 1 << 12;
/// Lengths that are allocated, and alignments in blocks: up to 32 MiB.
const REQUESTS: [(u32, u32); 10] = [
    (1, 1),
    (2, 1),
    (64, 1),
    (65, 1),
    (128, 1),
    (1000, 1),
    (1, 4),
    (64, 32),
    (128, 128),
    (1000, 2048),
];

fn empty() -> BlockMap {
    let size = StorageSize::of(NR_BLOCKS, 0).unwrap();
    let (words, nodes) = (vec![0; size.words], vec![0; size.nodes]);
    BlockMap::new(words, nodes, NR_BLOCKS, 0).unwrap()
}

/// A map in which the run that is free at the end is behind runs of `free` blocks, lowest first, with
/// `used` blocks before each.
fn fragmented(runs: impl Iterator<Item = (u32, u32)>) -> BlockMap {
    let mut map = empty();
    map.alloc(NR_BLOCKS, Alignment::ONE).unwrap();
    let mut start = 0;
    for (used, free) in runs {
        start += used;
        if start + free + ROOM >= NR_BLOCKS {
            break;
        }
        map.free(BlockRange::new(start, free).unwrap()).unwrap();
        start += free;
    }
    map.free(BlockRange::new(NR_BLOCKS - ROOM, ROOM).unwrap())
        .unwrap();
    map
}

/// Fragmented maps by name.
fn hard_cases() -> Vec<(&'static str, BlockMap)> {
    let mut random = 0x4f6c_dd1du32;
    let random = std::iter::repeat_with(move || {
        random ^= random << 13;
        random ^= random >> 17;
        random ^= random << 5;
        (1 + random % 97, 1 + random / 97 % 300)
    });
    let every = |used, free| std::iter::repeat((used, free));
    // One block too short for each of the requests in turn.
    let sawtooth = REQUESTS.iter().map(|&(count, _)| (1, count.max(2) - 1));
    vec![
        ("full", fragmented(std::iter::empty())),
        ("checkerboard of 1", fragmented(every(1, 1))),
        ("checkerboard of 64", fragmented(every(64, 64))),
        ("64 out of step", fragmented(every(3, 64))),
        ("one too short for 2 MiB", fragmented(every(1, 127))),
        (
            "never aligned to 2 MiB",
            fragmented(std::iter::once((1, 254)).chain(every(2, 254))),
        ),
        ("sawtooth", fragmented(sawtooth.cycle())),
        ("random", fragmented(random)),
    ]
}

/// Where a request is allocated that no run was set aside for, and the steps of that and of freeing it.
fn measure(map: &mut BlockMap, (count, align): (u32, u32)) -> (u32, [u32; 2]) {
    let alignment = Alignment::new(align).unwrap();
    map.settle();
    steps::take();
    let range = map.alloc(count, alignment).unwrap();
    let alloc = steps::take();
    map.free(range).unwrap();
    map.settle();
    (range.start(), [alloc, steps::take()])
}

#[test]
fn what_was_freed_last_is_allocated_without_a_search() {
    for (name, mut map) in hard_cases() {
        for (count, align) in REQUESTS {
            let alignment = Alignment::new(align).unwrap();
            let range = map.alloc(count, alignment).unwrap();
            map.free(range).unwrap();
            steps::take();
            assert_eq!(map.alloc(count, alignment), Ok(range));
            assert_eq!(steps::take(), 0, "{name}, {count} blocks");
            map.free(range).unwrap();
            // Whether its blocks are allocated is seen in their words.
            let words = count.div_ceil(64) + 1;
            assert!(steps::take() <= words, "{name}, {count} blocks");
        }
    }
}

#[test]
fn fragmentation_makes_nothing_slower_than_twice_an_empty_map() {
    let mut empty = empty();
    let limits = REQUESTS.map(|request| measure(&mut empty, request).1);
    for (name, mut map) in hard_cases() {
        for (request, limit) in REQUESTS.into_iter().zip(limits) {
            let (_, steps) = measure(&mut map, request);
            for (steps, limit) in steps.into_iter().zip(limit) {
                assert!(
                    steps <= 2 * limit,
                    "{name} {request:?}: {steps}, empty {limit}"
                );
            }
        }
    }
}

#[test]
fn a_search_of_the_bitmap_would_take_50_times_as_long() {
    let mut searches = 0;
    for (name, mut map) in hard_cases() {
        for request in REQUESTS {
            let (start, [steps, _]) = measure(&mut map, request);
            // Others have a fit that is low.
            if start >= NR_BLOCKS - ROOM {
                let words = start / 64;
                assert!(words >= 50 * steps, "{name} {request:?}: {steps} steps");
                searches += 1;
            }
        }
    }
    assert!(searches >= 20, "{searches} searches go to the end");
}

#[test]
fn a_refusal_takes_no_longer_than_an_allocation() {
    for (name, mut map) in hard_cases() {
        map.settle();
        for (_, align) in REQUESTS {
            steps::take();
            let alignment = Alignment::new(align).unwrap();
            assert!(map.alloc(ROOM + 1, alignment).is_err());
            let steps = steps::take();
            assert!(steps <= 20, "{name}, alignment {align}: {steps} steps");
        }
    }
}

/// Whatever the alignment, a run is found in one step for each fourfold of the blocks, and one for
/// each word that its ends are in.
#[test]
fn searches_are_as_short_at_every_alignment() {
    for (name, mut map) in hard_cases() {
        map.settle();
        for shift in 0..32 {
            let alignment = Alignment::new(1 << shift).unwrap();
            steps::take();
            map.largest_free(alignment);
            let steps = steps::take();
            assert!(
                steps <= 8,
                "{name}, alignment to {}: {steps} steps",
                1u32 << shift
            );
        }
    }
}

#[test]
fn steps_grow_by_less_than_the_logarithm_of_the_blocks() {
    let steps = |nr_blocks: u32| {
        let size = StorageSize::of(nr_blocks, 0).unwrap();
        let (words, nodes) = (vec![0; size.words], vec![0; size.nodes]);
        let mut map = BlockMap::new(words, nodes, nr_blocks, 0).unwrap();
        // Not at a place that is aligned to everything.
        map.alloc(1001, Alignment::ONE).unwrap();
        measure(&mut map, (1, 1)).1
    };
    let [small, large] = [steps(1 << 12), steps(1 << 22)];
    for (small, large) in small.into_iter().zip(large) {
        assert!(
            large <= small + 20,
            "{small} steps in 2^12 blocks, {large} in 2^22"
        );
    }
}
