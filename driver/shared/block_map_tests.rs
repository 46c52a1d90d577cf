// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The block map by examples; `block_map_properties.rs` has the comparison with a model.

use super::block_map::{
    Alignment, AllocError, BlockRange, FreeError, NewError, StorageSize, NR_ALIGNMENTS,
};
use std::vec;
use std::vec::Vec;

type BlockMap = super::block_map::BlockMap<Vec<u64>, Vec<u32>>;

/// An empty map with its storage filled with ones, as recycled memory might be.
fn map(nr_blocks: u32) -> BlockMap {
    map_at(nr_blocks, 0)
}

fn map_at(nr_blocks: u32, phase: u64) -> BlockMap {
    let size = StorageSize::of(nr_blocks, phase).unwrap();
    let (words, nodes) = (vec![u64::MAX; size.words], vec![u32::MAX; size.nodes]);
    BlockMap::new(words, nodes, nr_blocks, phase).unwrap()
}

fn range(start: u32, end: u32) -> BlockRange {
    BlockRange::new(start, end - start).unwrap()
}

fn to(blocks: u32) -> Alignment {
    Alignment::new(blocks).unwrap()
}

/// A map in which exactly `free` runs are free.
fn map_with_free(nr_blocks: u32, free: &[BlockRange]) -> BlockMap {
    with_free(map(nr_blocks), free)
}

fn with_free(mut map: BlockMap, free: &[BlockRange]) -> BlockMap {
    map.alloc(map.nr_blocks(), Alignment::ONE).unwrap();
    for &run in free {
        map.free(run).unwrap();
    }
    // None of them is set aside.
    map.settle();
    map
}

/// The same, where `last` was freed last.
fn map_with_freed(nr_blocks: u32, free: &[BlockRange], last: BlockRange) -> BlockMap {
    let mut map = map_with_free(nr_blocks, free);
    map.free(last).unwrap();
    map
}

/// The maximal runs of free blocks, lowest first.
fn free_runs(map: &BlockMap) -> Vec<BlockRange> {
    let blocks: Vec<u32> = (0..map.nr_blocks()).collect();
    let is_used = |block: u32| map.is_allocated(block) == Some(true);
    blocks
        .chunk_by(|&a, &b| is_used(a) == is_used(b))
        .filter(|run| !is_used(run[0]))
        .map(|run| range(run[0], run[run.len() - 1] + 1))
        .collect()
}

/// Words and entries of the index.
fn size(nr_blocks: u32, phase: u64) -> (usize, usize) {
    let size = StorageSize::of(nr_blocks, phase).unwrap();
    (size.words, size.nodes)
}

#[test]
fn storage_covers_the_last_partial_word() {
    // One word of the summary more, from two words on.
    let words = [1, 64, 65, 128, 129].map(|blocks| size(blocks, 0).0);
    assert_eq!(words, [1, 1, 3, 3, 4]);
    // Block 1 lies in another run of 64 aligned places than block 0.
    assert_eq!(size(65, 63).0, 3);
    assert_eq!(size(66, 63).0, 4);
    let words = 1 << 24;
    let summaries = (1 << 18) + (1 << 12) + (1 << 6) + 1;
    assert_eq!(size(1 << 30, 0).0, words + summaries);
}

#[test]
fn storage_is_less_than_two_bytes_for_each_block() {
    for (blocks, phase) in [
        (4096, 0),
        (65536, 0),
        (1 << 21, 0),
        (1 << 21, (1 << 20) + 5),
    ] {
        let (words, nodes) = size(blocks, phase);
        let bytes = words * 8 + nodes * 4;
        // 1.4 bytes.
        assert!(
            bytes * 10 < blocks as usize * 14,
            "{blocks} blocks take {bytes} bytes"
        );
    }
}

#[test]
fn refuses_more_blocks_than_there_are_places() {
    assert_eq!(StorageSize::of((1 << 30) + 1, 0), None);
    let none: (Vec<u64>, Vec<u32>) = (vec![], vec![]);
    let error = BlockMap::new(none.0, none.1, u32::MAX, 0).unwrap_err();
    assert_eq!(error, NewError::TooManyBlocks);
}

#[test]
fn refuses_storage_that_is_too_small() {
    let needed = StorageSize::of(129, 0).unwrap();
    for (words, nodes) in [
        (needed.words - 1, needed.nodes),
        (needed.words, needed.nodes - 1),
    ] {
        let error = BlockMap::new(vec![0; words], vec![0; nodes], 129, 0).unwrap_err();
        let given = StorageSize { words, nodes };
        assert_eq!(error, NewError::StorageTooSmall { needed, given });
    }
}

#[test]
fn starts_free_whatever_the_storage_held() {
    let map = map(100);
    assert_eq!((map.nr_blocks(), map.nr_free()), (100, 100));
    assert_eq!(free_runs(&map), [range(0, 100)]);
}

#[test]
fn ignores_storage_beyond_the_needed_one() {
    let size = StorageSize::of(70, 0).unwrap();
    let (words, nodes) = (vec![1; size.words + 2], vec![1; size.nodes + 2]);
    let mut map = BlockMap::new(words, nodes, 70, 0).unwrap();
    assert_eq!(map.largest_free(Alignment::ONE), 70);
    assert_eq!(map.alloc(70, Alignment::ONE), Ok(range(0, 70)));
    assert_eq!(free_runs(&map), []);
}

#[test]
fn map_without_blocks_has_no_room() {
    for phase in [0, 63, 1 << 20] {
        let mut map = map_at(0, phase);
        let no_room = AllocError::NoRoom {
            requested: 1,
            free: 0,
        };
        assert_eq!(map.alloc(1, Alignment::ONE), Err(no_room));
        assert_eq!(map.largest_free_by_alignment(), [0; NR_ALIGNMENTS]);
        assert_eq!(free_runs(&map), []);
        assert_eq!(map.free(range(0, 1)), Err(FreeError::OutOfRange));
        assert_eq!(map.is_allocated(0), None);
    }
}

#[test]
fn map_of_one_block_hands_it_out_once() {
    let mut map = map(1);
    assert_eq!(map.alloc(1, Alignment::ONE), Ok(range(0, 1)));
    assert_eq!(
        map.alloc(1, Alignment::ONE),
        Err(AllocError::NoRoom {
            requested: 1,
            free: 0
        })
    );
    assert_eq!(map.free(range(0, 1)), Ok(()));
    assert_eq!(map.alloc(1, Alignment::ONE), Ok(range(0, 1)));
}

#[test]
fn refuses_zero_blocks() {
    let mut map = map(8);
    assert_eq!(map.alloc(0, Alignment::ONE), Err(AllocError::ZeroCount));
    assert_eq!(map.nr_free(), 8);
}

#[test]
fn fills_completely() {
    let mut map = map(130);
    for block in 0..130 {
        assert_eq!(map.alloc(1, Alignment::ONE), Ok(range(block, block + 1)));
    }
    assert_eq!(
        map.alloc(1, Alignment::ONE),
        Err(AllocError::NoRoom {
            requested: 1,
            free: 0
        })
    );
    assert_eq!(free_runs(&map), []);
}

#[test]
fn takes_the_whole_map_in_one_run() {
    let mut map = map(130);
    assert_eq!(map.alloc(130, Alignment::ONE), Ok(range(0, 130)));
    assert_eq!(map.nr_free(), 0);
}

#[test]
fn refuses_one_block_more_than_the_last_word_has() {
    let mut map = map_with_free(130, &[range(127, 130)]);
    assert_eq!(
        map.alloc(4, Alignment::ONE),
        Err(AllocError::NoRoom {
            requested: 4,
            free: 3
        })
    );
    assert_eq!(map.alloc(3, Alignment::ONE), Ok(range(127, 130)));
}

#[test]
fn too_fragmented_changes_nothing() {
    let free = [range(1, 3), range(63, 65), range(100, 102)];
    let mut map = map_with_free(128, &free);
    assert_eq!(
        map.alloc(3, Alignment::ONE),
        Err(AllocError::NoRoom {
            requested: 3,
            free: 6
        })
    );
    assert_eq!(free_runs(&map), free);
    assert_eq!(map.nr_free(), 6);
}

#[test]
fn the_lowest_run_of_the_lowest_octave_is_taken() {
    let free = [range(3, 5), range(60, 76), range(100, 107), range(200, 205)];
    let mut map = map_with_free(256, &free);
    // 5 and 7 blocks are in one octave, 16 in the next but one.
    assert_eq!(map.alloc(5, Alignment::ONE), Ok(range(100, 105)));
    assert_eq!(map.alloc(6, Alignment::ONE), Ok(range(60, 66)));
    assert_eq!(map.alloc(1, Alignment::ONE), Ok(range(3, 4)));
    assert_eq!(map.alloc(1, Alignment::ONE), Ok(range(4, 5)));
    assert_eq!(map.alloc(1, Alignment::ONE), Ok(range(105, 106)));
}

#[test]
fn an_alignment_takes_the_lowest_place() {
    let free = [range(3, 100), range(128, 133)];
    let mut map = map_with_free(256, &free);
    assert_eq!(map.alloc(5, to(4)), Ok(range(4, 9)));
    assert_eq!(map.alloc(5, Alignment::ONE), Ok(range(128, 133)));
}

#[test]
fn a_better_alignment_is_taken_if_three_quarters_stay_free() {
    let better = [to(128), Alignment::ONE];
    let mut map = map(1024);
    assert_eq!(map.alloc_preferring(1, better), Ok(range(0, 1)));
    assert_eq!(map.alloc_preferring(254, better), Ok(range(128, 382)));
    // 768 blocks would be free, but for the one that is asked for.
    assert_eq!(map.alloc_preferring(2, better), Ok(range(1, 3)));
    assert_eq!(map.free(range(128, 382)), Ok(()));
    assert_eq!(map.alloc_preferring(253, better), Ok(range(128, 381)));
    let none = map.alloc_preferring(1000, better);
    assert_eq!(none, map.alloc(1000, Alignment::ONE));
}

#[test]
fn run_spans_whole_words() {
    let mut map = map_with_free(256, &[range(63, 193)]);
    assert_eq!(map.alloc(130, Alignment::ONE), Ok(range(63, 193)));
    assert_eq!(map.nr_free(), 0);
}

#[test]
fn run_ends_at_a_word_boundary() {
    let mut map = map(256);
    assert_eq!(map.alloc(64, Alignment::ONE), Ok(range(0, 64)));
    assert_eq!(map.is_allocated(63), Some(true));
    assert_eq!(map.is_allocated(64), Some(false));
    assert_eq!(map.alloc(64, Alignment::ONE), Ok(range(64, 128)));
}

#[test]
fn aligned_run_honours_phase() {
    let mut map = map_at(64, 3);
    // Block 0 is 3 past an aligned place, so 5, 13, 21, … are aligned.
    assert_eq!(map.alloc(2, to(8)), Ok(range(5, 7)));
    assert_eq!(map.alloc(2, to(8)), Ok(range(13, 15)));
    assert_eq!(map.alloc(1, Alignment::ONE), Ok(range(0, 1)));
}

#[test]
fn refuses_alignment_that_is_no_power_of_two() {
    assert_eq!([0, 3, 12, u32::MAX].map(Alignment::new), [None; 4]);
    assert_eq!(to(1), Alignment::ONE);
}

#[test]
fn alignment_without_room_is_refused_though_enough_is_free() {
    let mut map = map_at(7, 7);
    // Block 1 is the first aligned one, and 6 blocks are left from there.
    assert_eq!(
        map.alloc(7, to(8)),
        Err(AllocError::NoRoom {
            requested: 7,
            free: 7
        })
    );
    assert_eq!(map.alloc(6, to(8)), Ok(range(1, 7)));
}

#[test]
fn largest_alignment_is_only_met_at_its_multiples() {
    assert_eq!(
        map_at(100, 1).alloc(1, to(1 << 31)),
        Err(AllocError::NoRoom {
            requested: 1,
            free: 100
        })
    );
    for above in [0, 1 << 31, 1 << 40] {
        let mut map = map_at(100, above + (1 << 31) - 99);
        assert_eq!(map.largest_free(to(1 << 31)), 1);
        assert_eq!(map.alloc(1, to(1 << 31)), Ok(range(99, 100)));
        assert_eq!(map.largest_free(to(1 << 31)), 0);
    }
}

#[test]
fn the_block_that_is_aligned_to_more_than_the_map_has_may_begin_a_long_run() {
    // Block 70 is at a multiple of 2^20.
    let mut map = map_at(3000, (1 << 20) - 70);
    assert_eq!(map.largest_free(to(1 << 20)), 2930);
    assert!(map.alloc(2931, to(1 << 20)).is_err());
    assert_eq!(map.alloc(2930, to(1 << 20)), Ok(range(70, 3000)));
    assert_eq!(map.free(range(70, 500)), Ok(()));
    assert_eq!(map.largest_free(to(1 << 20)), 430);
}

#[test]
fn free_makes_the_lowest_blocks_available_again() {
    let mut map = map(128);
    let first = map.alloc(10, Alignment::ONE).unwrap();
    map.alloc(10, Alignment::ONE).unwrap();
    assert_eq!(map.free(first), Ok(()));
    assert_eq!(free_runs(&map), [range(0, 10), range(20, 128)]);
    assert_eq!(map.alloc(4, Alignment::ONE), Ok(range(0, 4)));
}

#[test]
fn as_many_blocks_as_were_freed_last_are_those() {
    let mut map = map_with_freed(100, &[range(10, 15), range(50, 53)], range(20, 25));
    assert_eq!(map.alloc(5, Alignment::ONE), Ok(range(20, 25)));
    assert_eq!(map.alloc(5, Alignment::ONE), Ok(range(10, 15)));
    assert_eq!((free_runs(&map), map.nr_free()), (vec![range(50, 53)], 3));
}

#[test]
fn what_was_freed_last_joins_its_neighbours_for_another_request() {
    for (count, alignment) in [(4, 1), (6, 1), (9, 1), (5, 2)] {
        let mut map = map_with_freed(100, &[range(11, 13), range(18, 20)], range(13, 18));
        let got = map.alloc(count, to(alignment)).unwrap().start();
        let expected = if alignment == 2 { 12 } else { 11 };
        assert_eq!(got, expected, "{count} blocks at a multiple of {alignment}");
    }
}

#[test]
fn what_was_freed_last_is_entered_before_another_request_and_not_before_the_same() {
    let mut map = map_with_freed(100, &[range(10, 15)], range(30, 35));
    assert!(!map.settle_unless(5));
    assert_eq!(map.alloc(5, Alignment::ONE), Ok(range(30, 35)));
    map.free(range(30, 35)).unwrap();
    assert!(map.settle_unless(4));
    assert!(!map.settle_unless(4));
    assert_eq!(map.alloc(5, Alignment::ONE), Ok(range(10, 15)));
}

#[test]
fn looking_does_not_change_what_is_allocated_next() {
    let mut map = map_with_freed(100, &[range(10, 15)], range(30, 35));
    assert_eq!(map.largest_free(Alignment::ONE), 5);
    assert_eq!(map.largest_free_by_alignment()[1], 5);
    assert_eq!(map.is_allocated(30), Some(false));
    assert_eq!(map.alloc(5, Alignment::ONE), Ok(range(30, 35)));
}

#[test]
fn blocks_that_were_freed_last_are_not_freed_twice() {
    let mut map = map_with_freed(100, &[], range(30, 35));
    for twice in [range(30, 35), range(34, 40), range(0, 31), range(32, 33)] {
        assert_eq!(map.free(twice), Err(FreeError::NotAllocated));
    }
    assert_eq!(map.nr_free(), 5);
    assert_eq!(map.free(range(35, 40)), Ok(()));
    assert_eq!(map.largest_free(Alignment::ONE), 10);
}

#[test]
fn frees_a_part_of_an_allocation() {
    let mut map = map_with_free(200, &[]);
    assert_eq!(map.free(range(62, 130)), Ok(()));
    assert_eq!(free_runs(&map), [range(62, 130)]);
    assert_eq!(map.nr_free(), 68);
}

#[test]
fn free_is_all_or_nothing() {
    let free = [range(100, 101)];
    let mut map = map_with_free(128, &free);
    assert_eq!(map.free(range(60, 101)), Err(FreeError::NotAllocated));
    assert_eq!(map.free(range(100, 110)), Err(FreeError::NotAllocated));
    assert_eq!(map.free(range(90, 110)), Err(FreeError::NotAllocated));
    assert_eq!(free_runs(&map), free);
    assert_eq!(map.nr_free(), 1);
}

#[test]
fn refuses_freeing_twice() {
    let mut map = map(64);
    let run = map.alloc(5, Alignment::ONE).unwrap();
    assert_eq!(map.free(run), Ok(()));
    assert_eq!(map.free(run), Err(FreeError::NotAllocated));
    assert_eq!(map.nr_free(), 64);
}

#[test]
fn refuses_range_crossing_end() {
    let mut map = map_with_free(100, &[]);
    assert_eq!(map.free(range(99, 101)), Err(FreeError::OutOfRange));
    assert_eq!(map.free(range(100, 101)), Err(FreeError::OutOfRange));
    assert_eq!(map.free(range(0, u32::MAX)), Err(FreeError::OutOfRange));
    assert_eq!(map.nr_free(), 0);
}

#[test]
fn is_allocated_knows_the_end() {
    let map = map_with_free(66, &[range(64, 65)]);
    assert_eq!(
        [63, 64, 65].map(|b| map.is_allocated(b)),
        [Some(true), Some(false), Some(true)]
    );
    assert_eq!(
        [66, 127, 128, u32::MAX].map(|b| map.is_allocated(b)),
        [None; 4]
    );
}

#[test]
fn free_runs_meet_neither_at_word_boundaries_nor_at_the_end() {
    let free = [range(0, 1), range(63, 64), range(65, 128), range(129, 140)];
    assert_eq!(free_runs(&map_with_free(140, &free)), free);
}

#[test]
fn free_runs_join_across_word_boundaries() {
    let map = map_with_free(192, &[range(10, 64), range(64, 128), range(128, 150)]);
    assert_eq!(free_runs(&map), [range(10, 150)]);
}

#[test]
fn largest_free_counts_from_the_first_aligned_block() {
    let free = [range(1, 20), range(128, 144)];
    let mut map = map_with_free(256, &free);
    assert_eq!(map.largest_free(Alignment::ONE), 19);
    assert_eq!(map.largest_free(to(16)), 16);
    assert_eq!(map.largest_free(to(256)), 0);
    let mut map = with_free(map_at(256, 15), &free);
    assert_eq!(map.largest_free(to(16)), 19);
}

#[test]
fn largest_free_by_alignment_agrees_with_a_gigabyte_at_one_gigabyte() {
    // 65536 blocks of 16 KiB at physical 0x4000_0000.
    let mut map = map_at(65536, 0x4000_0000 / 0x4000);
    let mut expected = [0; NR_ALIGNMENTS];
    expected[..17].fill(65536);
    assert_eq!(map.largest_free_by_alignment(), expected);

    map.alloc(1, Alignment::ONE).unwrap();
    for (shift, longest) in expected.iter_mut().enumerate() {
        *longest = 65536u32.saturating_sub(1 << shift);
    }
    assert_eq!(map.largest_free_by_alignment(), expected);
}

#[test]
fn range_ends_within_u32() {
    assert_eq!(BlockRange::new(u32::MAX, 1), None);
    assert_eq!(BlockRange::new(u32::MAX - 1, 2), None);
    assert_eq!(BlockRange::new(1, u32::MAX), None);
    assert_eq!(BlockRange::new(7, 0), None);
    assert_eq!(
        BlockRange::new(u32::MAX - 1, 1).map(BlockRange::end),
        Some(u32::MAX)
    );
    assert_eq!(
        BlockRange::new(0, u32::MAX).map(BlockRange::end),
        Some(u32::MAX)
    );
}

#[test]
fn a_run_up_to_another_ends_where_the_first_common_block_is() {
    let run = range(10, 20);
    assert_eq!(run.up_to(range(0, 10)), Some(run));
    assert_eq!(run.up_to(range(20, 30)), Some(run));
    assert_eq!(run.up_to(range(0, 11)), None);
    assert_eq!(run.up_to(range(10, 11)), None);
    assert_eq!(run.up_to(range(0, 30)), None);
    assert_eq!(run.up_to(range(11, 12)), Some(range(10, 11)));
    assert_eq!(run.up_to(range(19, 30)), Some(range(10, 19)));
}

#[test]
fn counts_up_to_u32_max_are_refused_without_overflow() {
    let mut map = map_with_free(128, &[range(100, 128)]);
    let requested = u32::MAX;
    let no_room = Err(AllocError::NoRoom {
        requested,
        free: 28,
    });
    assert_eq!(map.alloc(requested, Alignment::ONE), no_room);
    assert_eq!(map.alloc(requested, to(1 << 31)), no_room);
}
