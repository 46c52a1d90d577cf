// SPDX-License-Identifier: MIT OR Apache-2.0

//! Blocks that are allocated while they are being scrubbed.

// Needs the device, so it exists for the guest's architecture only.
#![cfg(target_arch = "aarch64")]
#![forbid(unsafe_code)]

use fpgamem_tests::abi::Alloc;
use fpgamem_tests::debugfs::Stats;
use fpgamem_tests::node::request;
use fpgamem_tests::processor::SharedProcessor;
use fpgamem_tests::{eventually, Mapping, Node};
use std::time::Duration;

/// The thread that scrubs the pool under test.
const SCRUBBER: &str = "fpgamem-scrub/0";

/// The one of the pool with long blocks.
const LONG_BLOCKS_SCRUBBER: &str = "fpgamem-scrub/1";

const SEED: u64 = 7;

/// Some 64 runs of the scrubber.
const BLOCKS: usize = 512;

/// Longer than the scrubber rests, and needs for what is left of a run.
const LONG: Duration = Duration::from_millis(100);

fn blocks_dirty() -> u64 {
    Stats::read().blocks_dirty
}

/// Frees what `used` allocates, and does `what` while some of that is scrubbed and the scrubber stands still:
/// until the caller sleeps. Five times. `dirty_blocks` reads how many wait to be scrubbed.
fn while_scrubbing(
    scrubber: &str,
    dirty_blocks: impl Fn() -> u64,
    used: impl Fn() -> Vec<Mapping>,
    what: impl Fn(),
) {
    let when_all_is_scrubbed = || eventually("nothing is dirty", || dirty_blocks() == 0);
    when_all_is_scrubbed();
    let _shared = SharedProcessor::with(scrubber);
    let mut caught = 0;
    for _ in 0..100 {
        drop(used());
        let begin = dirty_blocks();
        let mut dirty = begin;
        while dirty != 0 && dirty == begin {
            std::thread::sleep(Duration::from_micros(100));
            dirty = dirty_blocks();
        }
        what();
        if dirty != 0 {
            caught += 1;
        }
        when_all_is_scrubbed();
        if caught == 5 {
            return;
        }
    }
    panic!("{caught} times of a hundred it was scrubbing when it should be");
}

/// A buffer that is not full of zeroes.
fn used(node: &Node, len: u64) -> Mapping {
    let mapping = node.map(len).expect("there is room");
    mapping.fill(SEED);
    mapping
}

fn phys_addr(node: &Node, buffer: &Mapping) -> u64 {
    let answer = node.user_to_phys(buffer.addr());
    answer.expect("it is ours").phys_addr
}

/// Gives the scrubber time to write to buffers.
fn check_that_they_stay(buffers: &[Mapping]) {
    std::thread::sleep(LONG);
    for buffer in buffers {
        buffer.check(SEED);
    }
}

#[test]
fn what_the_new_owner_of_a_long_block_writes_is_not_scrubbed() {
    let node = Node::open_hasty();
    let block = node.info().unwrap().block_bytes;
    assert!(block >= 8 * (32 << 10), "a block is many turns long");
    let used = || vec![used(&node, 8 * block)];
    let dirty_blocks = || Stats::read_hasty().blocks_dirty;
    while_scrubbing(LONG_BLOCKS_SCRUBBER, dirty_blocks, used, || {
        check_that_they_stay(&used());
    });
}

#[test]
fn what_the_new_owners_write_behind_the_first_block_of_a_run_is_not_scrubbed() {
    let node = Node::open();
    let block = node.info().unwrap().block_bytes;
    let one = || used(&node, block);
    // A run begins behind each of these.
    let every_eighth = |buffer: &Mapping| phys_addr(&node, buffer).is_multiple_of(8 * block);
    let all: Vec<_> = std::iter::repeat_with(one).take(BLOCKS).collect();
    let (before, between): (Vec<_>, Vec<_>) = all.into_iter().partition(every_eighth);
    let count = between.len();
    drop(between);
    let ones = || std::iter::repeat_with(one).take(count).collect();
    // What is aligned is not the first of them.
    let pair = || {
        let buffer = node.alloc(Alloc {
            align: 2 * block,
            ..request(2 * block)
        });
        let buffer = buffer.expect("there is room");
        let mapping = node.map_buffer(&buffer).expect("it is a live buffer");
        node.free(buffer.handle).expect("it is this file's");
        mapping.fill(SEED);
        mapping
    };
    while_scrubbing(SCRUBBER, blocks_dirty, ones, || {
        let pairs = std::iter::repeat_with(pair).take(3 * before.len());
        check_that_they_stay(&pairs.collect::<Vec<_>>());
    });
}

#[test]
fn what_is_used_and_freed_during_a_scrub_is_scrubbed_again() {
    let node = Node::open();
    let block = node.info().unwrap().block_bytes;
    let len = 128 * block;
    let one = || vec![used(&node, len)];
    while_scrubbing(SCRUBBER, blocks_dirty, one, || {
        let again = node.map(len).expect("there is room");
        // Quickly: the longer this takes, the more of the time is the scrubber's.
        for index in 0..128 {
            again.store(index * block, SEED);
        }
        drop(again);
        eventually("nothing is dirty", || blocks_dirty() == 0);
        node.map(len).expect("there is room").check_zero(0..len);
    });
}
