// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The scrub map by examples, and against a model that has one value for each block.

use super::block_map::BlockRange;
use super::scrub_map::{ScrubMap, StorageTooSmall};
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

fn map(nr_blocks: u32) -> ScrubMap<Vec<u64>> {
    let storage = || vec![u64::MAX; nr_blocks.div_ceil(64) as usize];
    ScrubMap::new(storage(), storage(), nr_blocks).unwrap()
}

fn range(start: u32, end: u32) -> BlockRange {
    BlockRange::new(start, end - start).unwrap()
}

/// Scrubs everything that is dirty and tells in which order.
fn scrub_all(map: &mut ScrubMap<Vec<u64>>) -> Vec<u32> {
    let mut order = Vec::new();
    while let Some(run) = map.next_dirty(u32::MAX) {
        assert_eq!(map.scrubbed(run), run.count());
        order.extend(run.start()..run.end());
    }
    order
}

#[test]
fn refuses_a_storage_that_is_too_small() {
    let made = ScrubMap::new(vec![0; 2], vec![0; 1], 65);
    assert_eq!(made.err(), Some(StorageTooSmall));
    let made = ScrubMap::new(vec![0; 1], vec![0; 2], 65);
    assert_eq!(made.err(), Some(StorageTooSmall));
}

#[test]
fn unused_blocks_do_not_wait_to_be_scrubbed_but_must_be_cleared() {
    let mut map = map(100);
    assert_eq!(map.next_dirty(u32::MAX), None);
    assert!(map.take(range(10, 90)));
    assert_eq!(map.next_unclean(range(10, 90)), Some(range(10, 90)));
    assert_eq!((map.nr_clean(), map.nr_dirty()), (0, 0));
}

#[test]
fn freed_blocks_are_scrubbed_once_from_the_lowest_on() {
    let mut map = map(200);
    map.take(range(60, 140));
    map.free(range(130, 140));
    map.free(range(60, 70));
    assert_eq!(map.nr_dirty(), 20);
    let expected: Vec<u32> = (60..70).chain(130..140).collect();
    assert_eq!(scrub_all(&mut map), expected);
    assert_eq!((map.nr_clean(), map.nr_dirty()), (20, 0));
    map.free(range(70, 71));
    assert_eq!(scrub_all(&mut map), [70]);
}

#[test]
fn clean_blocks_need_not_be_cleared_until_they_are_freed_again() {
    let mut map = map(200);
    map.take(range(0, 150));
    map.free(range(0, 150));
    scrub_all(&mut map);
    map.take(range(20, 120));
    assert_eq!(map.next_unclean(range(20, 120)), None);
    assert_eq!(map.nr_clean(), 50);
    map.free(range(20, 120));
    map.take(range(20, 120));
    assert_eq!(map.next_unclean(range(20, 120)), Some(range(20, 120)));
}

#[test]
fn a_run_to_scrub_ends_where_blocks_are_not_dirty_and_with_its_word() {
    let mut map = map(256);
    map.take(range(0, 256));
    map.free(range(60, 64));
    map.free(range(64, 80));
    map.free(range(82, 128));
    let mut runs = Vec::new();
    while let Some(run) = map.next_dirty(20) {
        map.scrubbed(run);
        runs.push((run.start(), run.end()));
    }
    let expected = [(60, 64), (64, 80), (82, 102), (102, 122), (122, 128)];
    assert_eq!(runs, expected);
}

#[test]
fn a_whole_word_of_dirty_blocks_is_one_run() {
    let mut map = map(128);
    map.take(range(0, 128));
    map.free(range(64, 128));
    assert_eq!(map.next_dirty(64), Some(range(64, 128)));
}

#[test]
fn blocks_taken_while_they_were_scrubbed_are_not_clean() {
    let mut map = map(64);
    map.take(range(0, 6));
    map.free(range(0, 6));
    let run = map.next_dirty(4).unwrap();
    map.take(range(1, 3));
    assert_eq!(map.scrubbed(run), 2);
    assert_eq!(map.next_unclean(range(0, 4)), Some(range(1, 3)));
    assert_eq!((map.nr_clean(), map.nr_dirty()), (2, 2));
}

#[test]
fn runs_that_are_not_clean_are_found_one_after_the_other_across_words() {
    let mut map = map(256);
    map.take(range(0, 256));
    map.free(range(60, 70));
    map.free(range(127, 128));
    map.free(range(192, 193));
    scrub_all(&mut map);
    map.take(range(60, 70));
    map.take(range(127, 128));
    map.take(range(192, 193));
    let mut found = Vec::new();
    let mut from = 0;
    while from < 256 {
        let Some(run) = map.next_unclean(range(from, 256)) else {
            break;
        };
        found.push((run.start(), run.end()));
        from = run.end();
    }
    assert_eq!(found, [(0, 60), (70, 127), (128, 192), (193, 256)]);
}

/// The dirty runs in a map of `nr_blocks` blocks from `from` on.
fn dirty_runs(map: &ScrubMap<Vec<u64>>, from: u32, nr_blocks: u32) -> Vec<(u32, u32)> {
    let mut found = Vec::new();
    let mut from = from;
    while from < nr_blocks {
        let Some(run) = map.next_dirty_run(range(from, nr_blocks)) else {
            break;
        };
        found.push((run.start(), run.end()));
        from = run.end();
    }
    found
}

#[test]
fn dirty_runs_are_found_one_after_the_other_across_words() {
    let mut map = map(256);
    assert_eq!(dirty_runs(&map, 0, 256), []);
    map.take(range(0, 256));
    map.free(range(60, 70));
    map.free(range(127, 193));
    assert_eq!(dirty_runs(&map, 0, 256), [(60, 70), (127, 193)]);
    assert_eq!(dirty_runs(&map, 65, 128), [(65, 70), (127, 128)]);
    map.scrubbed(range(60, 61));
    map.scrubbed(range(130, 131));
    map.take(range(191, 192));
    let expected = [(61, 70), (127, 130), (131, 191), (192, 193)];
    assert_eq!(dirty_runs(&map, 0, 256), expected);
    scrub_all(&mut map);
    assert_eq!(dirty_runs(&map, 0, 256), []);
}

/// What the model knows of a block.
#[derive(Clone, Copy, PartialEq)]
enum Bytes {
    Unused,
    Dirty,
    Clean,
}

proptest! {
    #[test]
    fn any_sequence_agrees_with_a_value_for_each_block(
        steps in prop::collection::vec((0u32..300, 1u32..130, any::<bool>()), 1..60)
    ) {
        const NR: usize = 300;
        let mut map = map(300);
        let mut bytes = [Bytes::Unused; NR];
        let mut taken = [false; NR];
        for (start, count, scrub) in steps {
            let end = (start + count).min(300);
            let run = range(start, end);
            let blocks = start as usize..end as usize;
            if scrub {
                let dirty = |at: &u32| !taken[*at as usize] && bytes[*at as usize] == Bytes::Dirty;
                let expected = (0..300).find(dirty).map(|first| {
                    let end = (first + count).min(300).min((first / 64 + 1) * 64);
                    range(first, (first..end).find(|at| !dirty(at)).unwrap_or(end))
                });
                prop_assert_eq!(map.next_dirty(count), expected);
                if let Some(run) = expected {
                    prop_assert_eq!(map.scrubbed(run), run.count());
                    bytes[run.start() as usize..run.end() as usize].fill(Bytes::Clean);
                }
            } else if taken[blocks.clone()].iter().all(|taken| !taken) {
                let unclean = map.take(run);
                taken[blocks].fill(true);
                let clean = |at: &u32| bytes[*at as usize] == Bytes::Clean;
                let expected = (start..end).find(|at| !clean(at)).map(|first| {
                    range(first, (first..end).find(clean).unwrap_or(end))
                });
                prop_assert_eq!((unclean, map.next_unclean(run)), (expected.is_some(), expected));
            } else if taken[blocks.clone()].iter().all(|taken| *taken) {
                map.free(run);
                taken[blocks.clone()].fill(false);
                bytes[blocks].fill(Bytes::Dirty);
            }
            let count = |state| (0..NR).filter(|&at| !taken[at] && bytes[at] == state).count();
            prop_assert_eq!(map.nr_clean() as usize, count(Bytes::Clean));
            prop_assert_eq!(map.nr_dirty() as usize, count(Bytes::Dirty));
            let listed: Vec<u32> = dirty_runs(&map, 0, 300)
                .into_iter()
                .flat_map(|(start, end)| start..end)
                .collect();
            let dirty = |&at: &u32| !taken[at as usize] && bytes[at as usize] == Bytes::Dirty;
            prop_assert_eq!(listed, (0..300).filter(dirty).collect::<Vec<_>>());
        }
    }
}
