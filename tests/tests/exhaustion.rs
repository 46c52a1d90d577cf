// SPDX-License-Identifier: MIT OR Apache-2.0

//! A pool with no room: all blocks in use, or no run of free ones that is long enough.

// Needs the device, so it exists for the guest's architecture only.
#![cfg(target_arch = "aarch64")]
#![forbid(unsafe_code)]

use fpgamem_tests::abi::Alloc;
use fpgamem_tests::{request, Balance, Errno, MapFlags, Node, Stats, READ_WRITE};

/// Allocates buffers of one block until the pool refuses, and checks that it does so at the last.
fn take_every_block(node: &Node) -> Vec<Alloc> {
    let mut buffers = Vec::new();
    let error = loop {
        match node.alloc(request(1)) {
            Ok(buffer) => buffers.push(buffer),
            Err(error) => break error,
        }
    };
    assert_eq!(error, Errno::ENOMEM);
    let info = node.info().expect("INFO succeeds");
    assert_eq!(buffers.len() as u64, info.region_bytes / info.block_bytes);
    assert_eq!(info.free_bytes, 0);
    assert_eq!(info.largest_free_bytes, [0; 19]);
    buffers
}

#[test]
fn a_pool_without_a_free_block_recovers_with_the_first_one() {
    let _balance = Balance::of_an_empty_pool();
    let node = Node::open();
    let buffers = take_every_block(&node);
    let released = buffers[buffers.len() / 3];
    node.free(released.handle).unwrap();
    let next = node.alloc(request(1)).unwrap();
    assert_eq!(next.phys_addr, released.phys_addr);
}

#[test]
fn a_pool_of_single_free_blocks_has_no_room_for_two_and_recovers() {
    let _balance = Balance::of_an_empty_pool();
    let node = Node::open();
    let block = node.info().unwrap().block_bytes;
    let buffers = take_every_block(&node);
    let (even, odd): (Vec<_>, Vec<_>) = buffers
        .into_iter()
        .partition(|buffer| (buffer.phys_addr / block).is_multiple_of(2));
    for buffer in &even {
        node.free(buffer.handle).unwrap();
    }

    let info = node.info().unwrap();
    assert_eq!(info.free_bytes, even.len() as u64 * block);
    assert_eq!(info.largest_free_bytes[0], block);
    assert_eq!(node.alloc(request(block + 1)).unwrap_err(), Errno::ENOMEM);
    assert_eq!(node.map(block + 1).unwrap_err(), Errno::ENOMEM);
    assert_eq!(
        Stats::read().blocks_free,
        even.len() as u64,
        "a refusal changes nothing"
    );
    let fitting = node.alloc(request(block)).unwrap();
    node.free(fitting.handle).unwrap();

    for buffer in &odd {
        node.free(buffer.handle).unwrap();
    }
    let whole = node.alloc(request(info.region_bytes)).unwrap();
    assert_eq!(whole.phys_addr, info.phys_addr);
}

#[test]
fn an_empty_pool_gives_its_whole_region_as_one_buffer() {
    let _balance = Balance::of_an_empty_pool();
    let node = Node::open();
    let info = node.info().unwrap();
    let whole = node.alloc(request(info.region_bytes)).unwrap();
    assert_eq!(
        (whole.phys_addr, whole.alloc_bytes),
        (info.phys_addr, info.region_bytes)
    );
    assert_eq!(node.alloc(request(1)).unwrap_err(), Errno::ENOMEM);
}

#[test]
fn the_whole_region_can_be_mapped_at_once() {
    let _balance = Balance::of_an_empty_pool();
    let node = Node::open();
    let info = node.info().unwrap();
    let whole = node.map(info.region_bytes).unwrap();
    let answer = node.user_to_phys(whole.addr()).unwrap();
    assert_eq!(
        (answer.phys_addr, answer.contiguous_bytes),
        (info.phys_addr, info.region_bytes)
    );
    for offset in [0, info.region_bytes / 2, info.region_bytes - 8] {
        whole.store(offset, !offset);
        assert_eq!(whole.load(offset), !offset);
    }
}

#[test]
fn a_request_for_the_whole_region_fails_while_one_block_is_used() {
    let balance = Balance::new();
    let node = Node::open();
    node.alloc(request(1)).unwrap();
    let region = node.info().unwrap().region_bytes;
    assert_eq!(node.alloc(request(region)).unwrap_err(), Errno::ENOMEM);
    balance.expect_held(1);
}

#[test]
fn mmap_without_room_fails_and_recovers() {
    let balance = Balance::of_an_empty_pool();
    let node = Node::open();
    let piece = node.info().unwrap().region_bytes / 16;
    let mut mappings: Vec<_> = (0..16).map(|_| node.map(piece).unwrap()).collect();
    let used = balance.blocks_used() + Stats::read().blocks;
    assert_eq!(node.map(1).unwrap_err(), Errno::ENOMEM);
    assert_eq!(Stats::read().blocks_used, used);
    drop(mappings.remove(5));
    node.map(piece).unwrap().store(0, 1);
}

#[test]
fn a_fixed_mapping_may_take_the_blocks_of_the_one_it_replaces() {
    let _balance = Balance::of_an_empty_pool();
    let node = Node::open();
    let region = node.info().unwrap().region_bytes;
    let mut whole = node
        .map_with(region, READ_WRITE, MapFlags::MAP_SHARED, 0)
        .unwrap();
    whole.store(0, 7);
    whole
        .replace(0..region, &node, MapFlags::MAP_SHARED, 0)
        .unwrap();
    assert_eq!(whole.load(0), 0, "the new buffer is zero-filled");
}

#[test]
fn another_process_gets_what_this_one_returns() {
    let _balance = Balance::of_an_empty_pool();
    let node = Node::open();
    let region = node.info().unwrap().region_bytes;
    let whole = node.alloc(request(region)).unwrap();
    let mut child = fpgamem_tests::Child::start(|link| {
        let node = Node::open();
        assert_eq!(node.alloc(request(1)).unwrap_err(), Errno::ENOMEM);
        link.send(0);
        link.receive();
        node.alloc(request(1)).unwrap();
    });
    child.link.receive();
    node.free(whole.handle).unwrap();
    child.link.send(0);
    child.succeed();
}
