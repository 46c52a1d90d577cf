// SPDX-License-Identifier: MIT OR Apache-2.0

//! Blocks that are allocated while they are being scrubbed, in the pool whose blocks take many turns.

// Needs the device, so it exists for the guest's architecture only.
#![cfg(target_arch = "aarch64")]
#![forbid(unsafe_code)]

use fpgamem_tests::debugfs::Stats;
use fpgamem_tests::processor::SharedProcessor;
use fpgamem_tests::{eventually, Mapping, Node};
use std::time::Duration;

/// The thread that scrubs the pool.
const SCRUBBER: &str = "fpgamem-scrub/1";

const SEED: u64 = 7;

/// Longer than the scrubber rests, and needs for what is left of a block.
const LONG: Duration = Duration::from_millis(100);

fn when_all_is_scrubbed() {
    eventually("nothing is dirty", || Stats::read_hasty().blocks_dirty == 0);
}

/// Waits until some of so many dirty blocks are scrubbed, and tells how many are left.
fn when_some_is_scrubbed(blocks: u64) -> u64 {
    loop {
        let dirty = Stats::read_hasty().blocks_dirty;
        if dirty < blocks {
            return dirty;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A buffer without zeroes.
fn used(node: &Node, len: u64) -> Mapping {
    let mapping = node.map(len).expect("there is room");
    mapping.fill(SEED);
    mapping
}

#[test]
fn what_the_new_owner_writes_is_not_scrubbed() {
    let node = Node::open_hasty();
    let block = node.info().unwrap().block_bytes;
    assert!(block >= 16 * (16 << 10), "a block is many turns long");
    let (blocks, len) = (8, 8 * block);
    when_all_is_scrubbed();
    let _shared = SharedProcessor::with(SCRUBBER);
    let mut caught = 0;
    for _ in 0..100 {
        drop(used(&node, len));
        let dirty = when_some_is_scrubbed(blocks);
        // The scrubber waits for this thread now, with one of the blocks half done.
        let again = used(&node, len);
        std::thread::sleep(LONG);
        again.check(SEED);
        if dirty != 0 {
            caught += 1;
        }
        drop(again);
        when_all_is_scrubbed();
        if caught == 3 {
            return;
        }
    }
    panic!("{caught} times of a hundred it was scrubbing when its blocks were taken");
}
