// SPDX-License-Identifier: MIT OR Apache-2.0

//! Freed blocks are cleared in the background, once, and an allocation clears what is missing.

// Needs the device, so it exists for the guest's architecture only.
#![cfg(target_arch = "aarch64")]
#![forbid(unsafe_code)]

use fpgamem_tests::abi::{self, Alloc};
use fpgamem_tests::debugfs::Stats;
use fpgamem_tests::driver::Unbound;
use fpgamem_tests::pattern::Random;
use fpgamem_tests::zdma::Zdma;
use fpgamem_tests::{request, scrub_map, Balance, Node, PAGE};
use std::ops::Range;
use std::time::Duration;

/// Longer than the scrubber rests after a free.
const LONGER_THAN_A_REST: Duration = Duration::from_millis(100);

/// Waits until no free block waits to be scrubbed, and tells what is so then.
fn when_all_is_scrubbed() -> Stats {
    // The whole region takes a while on a busy machine.
    for _ in 0..6000 {
        let stats = Stats::read();
        if stats.blocks_dirty == 0 {
            return stats;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("a minute passed: {:?}", Stats::read());
}

/// Has `blocks` blocks full of ones and frees them. Tells where they were.
fn dirty(node: &Node, blocks: u64) -> u64 {
    let len = blocks * node.info().expect("INFO succeeds").block_bytes;
    let mapping = node.map(len).expect("there is room");
    mapping.set(0..len, 0xff);
    let answer = node.user_to_phys(mapping.addr());
    answer.expect("the address is ours").phys_addr
}

#[test]
fn what_is_freed_becomes_clean_and_is_not_scrubbed_again() {
    let _balance = Balance::of_an_empty_pool();
    let node = Node::open();
    let before = when_all_is_scrubbed();
    dirty(&node, 100);
    let after = when_all_is_scrubbed();
    assert_eq!(after.scrubbed_blocks - before.scrubbed_blocks, 100);
    assert!(after.blocks_clean >= 100, "{after:?}");
    std::thread::sleep(LONGER_THAN_A_REST);
    assert_eq!(Stats::read().scrubbed_blocks, after.scrubbed_blocks);
}

#[test]
fn an_allocation_of_clean_blocks_clears_none() {
    let _balance = Balance::of_an_empty_pool();
    let node = Node::open();
    let place = dirty(&node, 20);
    let before = when_all_is_scrubbed();
    let len = 20 * before.block_bytes;
    let again = node.map(len).unwrap();
    assert_eq!(node.user_to_phys(again.addr()).unwrap().phys_addr, place);
    let after = Stats::read();
    assert_eq!(after.cleared_blocks, before.cleared_blocks);
    assert_eq!(before.blocks_clean - after.blocks_clean, 20);
    again.check_zero(0..len);
}

#[test]
fn an_allocation_clears_just_the_blocks_that_are_not_clean() {
    let _balance = Balance::of_an_empty_pool();
    // Nobody has had a block since the device was bound.
    Unbound::new().bind();
    let node = Node::open();
    let place = dirty(&node, 20);
    let before = when_all_is_scrubbed();
    let len = 30 * before.block_bytes;
    let more = node.map(len).unwrap();
    assert_eq!(node.user_to_phys(more.addr()).unwrap().phys_addr, place);
    let cleared = Stats::read().cleared_blocks - before.cleared_blocks;
    assert_eq!(cleared, 10);
    more.check_zero(0..len);
}

#[test]
fn a_clean_buffer_is_zero_to_a_bus_master() {
    let _balance = Balance::of_an_empty_pool();
    let (zdma, node) = (Zdma::open(), Node::open());
    let place = dirty(&node, 2);
    let before = when_all_is_scrubbed();
    let fresh = node.alloc(request(before.block_bytes)).unwrap();
    assert_eq!(fresh.phys_addr, place);
    let copy = node.alloc(request(PAGE)).unwrap();
    assert_eq!(Stats::read().cleared_blocks, before.cleared_blocks);
    let seen = node.map_buffer(&copy).unwrap();
    seen.fill(3);
    let range = abi::Range {
        handle: copy.handle,
        len: PAGE,
        ..Default::default()
    };
    node.invalidate(range).unwrap();
    zdma.copy(
        fresh.phys_addr,
        copy.phys_addr,
        u32::try_from(PAGE).unwrap(),
    );
    node.invalidate(range).unwrap();
    seen.check_zero(0..PAGE);
}

#[test]
fn a_write_combine_buffer_of_clean_blocks_is_zero() {
    let _balance = Balance::of_an_empty_pool();
    let node = Node::open();
    let place = dirty(&node, 4);
    let before = when_all_is_scrubbed();
    let buffer = node
        .alloc(Alloc {
            flags: abi::ALLOC_WRITE_COMBINE,
            ..request(4 * before.block_bytes)
        })
        .unwrap();
    assert_eq!(buffer.phys_addr, place);
    let mapping = node.map_buffer(&buffer).unwrap();
    mapping.check_zero(0..buffer.alloc_bytes);
}

#[test]
fn owners_that_change_while_blocks_are_scrubbed_find_zeroes() {
    let _balance = Balance::of_an_empty_pool();
    let work = |seed| {
        let node = Node::open();
        let mut random = Random::new(seed);
        for _ in 0..150 {
            let len = PAGE << random.below(9);
            let mapping = node.map(len).unwrap();
            mapping.check_zero(0..len);
            mapping.set(0..len, 0xff);
            drop(mapping);
            if random.below(4) == 0 {
                std::thread::sleep(Duration::from_millis(random.below(30)));
            }
        }
    };
    let before = Stats::read();
    std::thread::scope(|scope| {
        for seed in 0..3 {
            scope.spawn(move || work(seed));
        }
    });
    let after = when_all_is_scrubbed();
    assert_ne!(after.scrubbed_blocks, before.scrubbed_blocks);
    assert_ne!(after.cleared_blocks, before.cleared_blocks);
}

#[test]
fn unbinding_ends_scrubbing_and_binding_begins_it_anew() {
    let _balance = Balance::of_an_empty_pool();
    let node = Node::open();
    let held = node.map(PAGE).unwrap();
    let region = node.info().unwrap().region_bytes;
    let len = region / 4;
    for _ in 0..3 {
        let mapping = Node::open().map(len).unwrap();
        mapping.set(0..len, 0xff);
        drop(mapping);
        Unbound::new().bind();
        let again = Node::open().map(len).unwrap();
        again.check_zero(0..len);
    }
    // The pool is that of before, because a block was held all the time.
    let after = when_all_is_scrubbed();
    assert!(after.scrubbed_blocks >= after.blocks / 4, "{after:?}");
    drop(held);
}

#[test]
fn blocks_between_clean_ones_are_cleared() {
    let _balance = Balance::of_an_empty_pool();
    let node = Node::open();
    let block = node.info().unwrap().block_bytes;
    dirty(&node, 9);
    when_all_is_scrubbed();
    let buffers: Vec<_> = (0..9).map(|_| node.map(block).unwrap()).collect();
    for (buffer, number) in buffers.iter().zip(0..) {
        buffer.set(0..block, number);
    }
    // Every other one is clean by the time that the rest is freed.
    let (mut odd, mut even) = (Vec::new(), Vec::new());
    for (number, buffer) in buffers.into_iter().enumerate() {
        if number % 2 == 0 { &mut even } else { &mut odd }.push(buffer);
    }
    drop(odd);
    let before = when_all_is_scrubbed();
    drop(even);
    let whole = node.map(9 * block).unwrap();
    // The scrubber may have been faster with some.
    let after = Stats::read();
    let cleared = after.cleared_blocks - before.cleared_blocks;
    assert_eq!(cleared + after.scrubbed_blocks - before.scrubbed_blocks, 5);
    whole.check_zero(0..9 * block);
}

/// Frees by `free` until the scrub map shows something of it before the scrubber is through, and tells that and
/// the bytes of a block.
fn while_it_is_scrubbed(mut free: impl FnMut()) -> (Vec<Range<u64>>, u64) {
    // One try is enough, unless this program gets no processor for as long as the scrubber needs.
    for _ in 0..100 {
        when_all_is_scrubbed();
        free();
        let before = Stats::read();
        let runs = scrub_map::read();
        let after = Stats::read();
        // Nothing else is freed or allocated, so that dirty blocks become fewer all the time.
        let bytes: u64 = runs.iter().map(|run| run.end - run.start).sum();
        let blocks = bytes / before.block_bytes;
        assert!(
            (after.blocks_dirty..=before.blocks_dirty).contains(&blocks),
            "{blocks} blocks: {before:?}, {after:?}"
        );
        if !runs.is_empty() {
            return (runs, before.block_bytes);
        }
    }
    panic!("a hundred times the scrubber was faster");
}

#[test]
fn the_scrub_map_shows_what_was_freed_until_it_is_scrubbed() {
    let _balance = Balance::of_an_empty_pool();
    let node = Node::open();
    let blocks = Stats::read().blocks / 4;
    let mut place = 0;
    let (runs, block) = while_it_is_scrubbed(|| place = dirty(&node, blocks));
    // From the lowest block on it is scrubbed.
    let [run] = &runs[..] else {
        panic!("one run is left of one buffer: {runs:x?}");
    };
    assert!(run.start >= place && run.end == place + blocks * block);
    when_all_is_scrubbed();
    assert_eq!(scrub_map::read(), [], "clean blocks are shown");
}

#[test]
fn the_scrub_map_shows_neither_buffers_nor_clean_blocks_between_dirty_ones() {
    let _balance = Balance::of_an_empty_pool();
    let node = Node::open();
    let len = Stats::read().blocks / 96 * node.info().unwrap().block_bytes;
    let fresh = |_| {
        let mapping = node.map(len).unwrap();
        mapping.set(0..len, 0xff);
        let start = node.user_to_phys(mapping.addr()).unwrap().phys_addr;
        (start, mapping)
    };
    let mut starts = Vec::new();
    let mut held = Vec::new();
    let (runs, _) = while_it_is_scrubbed(|| {
        held.clear();
        when_all_is_scrubbed();
        let buffers: Vec<_> = (0..60).map(fresh).collect();
        starts = buffers.iter().map(|(start, _)| *start).collect();
        // Of three each, one stays, one is clean by the time that the last is freed.
        let (mut clean, mut dirty) = (Vec::new(), Vec::new());
        for (number, (_, mapping)) in buffers.into_iter().enumerate() {
            [&mut held, &mut clean, &mut dirty][number % 3].push(mapping);
        }
        drop(clean);
        when_all_is_scrubbed();
        drop(dirty);
    });
    let dirty: Vec<_> = starts.iter().skip(2).step_by(3).collect();
    for run in &runs {
        // The scrubber may have begun with it.
        let buffer = dirty.iter().find(|start| ***start + len == run.end);
        assert!(
            buffer.is_some_and(|start| **start <= run.start),
            "{run:x?} is no rest of any of {dirty:x?}, {len:#x} bytes long"
        );
    }
    assert!(runs.windows(2).all(|pair| pair[0].end <= pair[1].start));
}
