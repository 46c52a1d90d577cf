// SPDX-License-Identifier: MIT OR Apache-2.0

//! The driver's files in debugfs.

// Needs the device, so it exists for the guest's architecture only.
#![cfg(target_arch = "aarch64")]
#![forbid(unsafe_code)]

use fpgamem_tests::abi::{Alloc, Range, ALLOC_COHERENT, ALLOC_WRITE_COMBINE, SYNC_FLUSH};
use fpgamem_tests::{
    block_map, debugfs, in_child, request, Balance, Child, Errno, Node, Stats, PAGE,
};

#[test]
fn free_and_used_blocks_add_up() {
    let _balance = Balance::new();
    let node = Node::open();
    let _mappings = [node.map(1).unwrap(), node.map(1 << 20).unwrap()];
    let stats = Stats::read();
    assert_eq!(stats.blocks_free + stats.blocks_used, stats.blocks);
}

#[test]
fn used_blocks_are_those_of_the_block_map() {
    let _balance = Balance::new();
    let node = Node::open();
    let _mappings = [node.map(1).unwrap(), node.map(1 << 20).unwrap()];
    node.alloc(request(777_777)).unwrap();
    let (stats, map) = (Stats::read(), block_map::read());
    let bytes: u64 = map.iter().map(|line| line.phys.end - line.phys.start).sum();
    assert_eq!(bytes, stats.blocks_used * stats.block_bytes);
    assert_eq!(map.len() as u64, stats.buffers);
}

#[test]
fn allocations_and_frees_are_counted() {
    let _balance = Balance::new();
    let node = Node::open();
    let before = Stats::read();
    let handle = node.alloc(request(1)).unwrap().handle;
    let mapping = node.map(1).unwrap();
    let between = Stats::read();
    assert_eq!(between.allocations - before.allocations, 2);
    assert_eq!(between.frees, before.frees);
    assert_eq!(between.buffers - before.buffers, 2);
    node.free(handle).unwrap();
    drop(mapping);
    let after = Stats::read();
    assert_eq!(after.allocations, between.allocations);
    assert_eq!(after.frees - before.frees, 2);
}

#[test]
fn a_request_without_room_counts_as_failure() {
    let _balance = Balance::new();
    let node = Node::open();
    node.alloc(request(1)).unwrap();
    let region = node.info().unwrap().region_bytes;
    let before = Stats::read();
    assert_eq!(node.alloc(request(region)).unwrap_err(), Errno::ENOMEM);
    assert_eq!(node.map(region).unwrap_err(), Errno::ENOMEM);
    let after = Stats::read();
    assert_eq!(after.failures - before.failures, 2);
    assert_eq!(after.allocations, before.allocations);
}

#[test]
fn calls_for_maintenance_are_counted() {
    let _balance = Balance::new();
    let node = Node::open();
    let mapping = node.map(PAGE).unwrap();
    let range = Range {
        addr: mapping.addr(),
        len: PAGE,
        ..Default::default()
    };
    let before = Stats::read();
    node.flush(range).unwrap();
    node.invalidate(range).unwrap();
    node.invalidate(range).unwrap();
    let after = Stats::read();
    assert_eq!(after.flush_calls - before.flush_calls, 1);
    assert_eq!(after.invalidate_calls - before.invalidate_calls, 2);
}

#[test]
fn the_driver_maintains_no_counted_line_of_its_own_accord() {
    let _balance = Balance::new();
    let node = Node::open();
    let before = debugfs::lines();
    node.map(1 << 20).unwrap();
    assert_eq!(
        debugfs::lines(),
        before,
        "clearing a new buffer is not the user's request"
    );
}

#[test]
fn a_refused_vector_is_not_counted() {
    let _balance = Balance::new();
    let node = Node::open();
    let before = Stats::read_but_scrubbing();
    let bad = Range {
        addr: 0,
        len: 1,
        ..Default::default()
    };
    assert_eq!(node.sync(SYNC_FLUSH, &[bad]), Err(Errno::EFAULT));
    assert_eq!(Stats::read_but_scrubbing(), before);
}

#[test]
fn the_block_map_shows_a_buffer_where_it_is() {
    let _balance = Balance::new();
    let node = Node::open();
    let buffer = node.alloc(request(100_000)).unwrap();
    let line = block_map::line_of(buffer.phys_addr).unwrap();
    assert_eq!(
        line.phys,
        buffer.phys_addr..buffer.phys_addr + buffer.alloc_bytes
    );
    assert_eq!(line.bytes, buffer.alloc_bytes);
    assert_eq!(line.mappings, 0);
    assert_eq!(line.pid, u64::from(std::process::id()));
    node.free(buffer.handle).unwrap();
    assert_eq!(block_map::line_of(buffer.phys_addr), None);
}

#[test]
fn the_block_map_counts_mappings_and_their_pieces() {
    let _balance = Balance::new();
    let node = Node::open();
    let buffer = node.alloc(request(4 * PAGE)).unwrap();
    let mappings = || block_map::line_of(buffer.phys_addr).unwrap().mappings;
    let first = node.map_buffer(&buffer).unwrap();
    assert_eq!(mappings(), 1);
    let mut second = node.map_buffer(&buffer).unwrap();
    assert_eq!(mappings(), 2);
    in_child(|| assert_eq!(mappings(), 4));
    assert_eq!(mappings(), 2);
    second.unmap(PAGE..2 * PAGE);
    assert_eq!(mappings(), 3);
    drop((first, second));
    assert_eq!(mappings(), 0);
}

#[test]
fn the_block_map_counts_the_mapping_that_a_buffer_was_allocated_by() {
    let _balance = Balance::new();
    let node = Node::open();
    let mapping = node.map(1).unwrap();
    let phys = node.user_to_phys(mapping.addr()).unwrap().phys_addr;
    assert_eq!(block_map::line_of(phys).unwrap().mappings, 1);
}

#[test]
fn the_block_map_tells_attributes_apart() {
    let _balance = Balance::new();
    let node = Node::open();
    let flags_of = |flags| {
        let buffer = node
            .alloc(Alloc {
                flags,
                ..request(1)
            })
            .unwrap();
        block_map::line_of(buffer.phys_addr).unwrap().flags
    };
    let plain = flags_of(0);
    let write_combine = flags_of(ALLOC_WRITE_COMBINE);
    let coherent = flags_of(ALLOC_COHERENT);
    assert!(plain != write_combine && plain != coherent && write_combine != coherent);
}

#[test]
fn the_block_map_names_the_process_that_allocated() {
    let _balance = Balance::new();
    let mut child = Child::start(|link| {
        let node = Node::open();
        link.send(node.alloc(request(1)).unwrap().phys_addr);
        link.receive();
    });
    let line = block_map::line_of(child.link.receive()).unwrap();
    assert_eq!(line.pid, child.pid());
    child.link.send(0);
    child.succeed();
}

#[test]
fn the_block_map_is_sorted_and_free_of_overlap() {
    let _balance = Balance::new();
    let node = Node::open();
    let mut buffers: Vec<_> = (1..100)
        .map(|n| node.alloc(request(n * 3000)).unwrap())
        .collect();
    for buffer in buffers.iter().step_by(3) {
        node.free(buffer.handle).unwrap();
    }
    buffers.clear();
    node.alloc(request(200_000)).unwrap();
    let map = block_map::read();
    assert!(
        map.windows(2)
            .all(|pair| pair[0].phys.end <= pair[1].phys.start),
        "{map:#x?}"
    );
}

#[test]
fn a_map_with_ten_thousand_buffers_is_complete() {
    let _balance = Balance::of_an_empty_pool();
    let node = Node::open();
    for _ in 0..10_000 {
        node.alloc(request(1)).unwrap();
    }
    assert_eq!(block_map::read().len(), 10_000);
}

#[test]
fn the_files_are_for_root_alone() {
    use std::os::unix::fs::PermissionsExt;
    let _balance = Balance::new();
    for file in ["stats", "block_map", "scrub_map"] {
        let mode = std::fs::metadata(debugfs::directory().join(file))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o222, 0, "{file} cannot be written");
    }
    let mode = std::fs::metadata("/sys/kernel/debug")
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o077, 0, "others cannot enter debugfs");
}
