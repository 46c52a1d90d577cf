// SPDX-License-Identifier: MIT OR Apache-2.0

//! `FPGAMEM_IOC_INFO`, and commands that no ioctl has.

// Needs the device, so it exists for the guest's architecture only.
#![cfg(target_arch = "aarch64")]
#![forbid(unsafe_code)]

use fpgamem_tests::abi::{self, Alloc};
use fpgamem_tests::{request, Balance, Errno, Mapping, Node, ProtFlags, Stats, PAGE, READ_WRITE};

/// A number as `<asm-generic/ioctl.h>` composes it; directions are 1 (write) and 2 (read).
fn command(direction: u32, kind: u32, number: u32, size: u32) -> u32 {
    direction << 30 | size << 16 | kind << 8 | number
}

/// What the driver says of a command that has a good argument.
fn outcome(command: u32) -> Result<(), Errno> {
    let memory = Mapping::anonymous(4 * PAGE, READ_WRITE);
    Node::open().command_at(command, &memory, 0)
}

#[test]
fn identifies_the_abi_and_its_features() {
    let _balance = Balance::new();
    let info = Node::open().info().unwrap();
    assert_eq!(info.abi, 1);
    let features = abi::FEATURE_WRITE_COMBINE | abi::FEATURE_COHERENCY | abi::FEATURE_SYNC_VECTOR;
    assert_eq!(info.features & features, features);
    assert_eq!(info.reserved, [0; 5]);
}

#[test]
fn describes_the_region_of_the_board() {
    let _balance = Balance::new();
    let info = Node::open().info().unwrap();
    assert_eq!(info.phys_addr, 0x4000_0000);
    assert_eq!(info.device_addr, info.phys_addr);
    assert!(info.region_bytes > 0 && info.region_bytes.is_multiple_of(info.block_bytes));
    assert!(info.block_bytes.is_power_of_two());
    assert!((PAGE..=2 << 20).contains(&info.block_bytes));
    assert_eq!(info.cache_line_bytes, 64);
}

#[test]
fn reports_a_port_that_does_not_snoop() {
    let _balance = Balance::new();
    // The node of the test board has no dma-coherent.
    assert_eq!(Node::open().info().unwrap().flags, 0);
}

#[test]
fn agrees_with_debugfs() {
    let _balance = Balance::new();
    let node = Node::open();
    let _buffer = node.alloc(request(1)).unwrap();
    let (info, stats) = (node.info().unwrap(), Stats::read());
    assert_eq!(info.block_bytes, stats.block_bytes);
    assert_eq!(info.region_bytes, stats.blocks * stats.block_bytes);
    assert_eq!(info.free_bytes, stats.blocks_free * stats.block_bytes);
    assert_eq!(u64::from(info.nr_buffers), stats.buffers);
}

#[test]
fn free_bytes_fall_by_the_rounded_size_and_come_back() {
    let _balance = Balance::new();
    let node = Node::open();
    let before = node.info().unwrap();
    let buffer = node.alloc(request(3 * before.block_bytes + 1)).unwrap();
    let during = node.info().unwrap();
    assert_eq!(
        before.free_bytes - during.free_bytes,
        4 * before.block_bytes
    );
    assert_eq!(during.nr_buffers - before.nr_buffers, 1);
    node.free(buffer.handle).unwrap();
    let after = node.info().unwrap();
    assert_eq!(after.free_bytes, before.free_bytes);
    assert_eq!(after.nr_buffers, before.nr_buffers);
}

#[test]
fn a_mapping_counts_like_a_handle() {
    let _balance = Balance::new();
    let node = Node::open();
    let before = node.info().unwrap();
    let mapping = node.map(before.block_bytes + 1).unwrap();
    let during = node.info().unwrap();
    assert_eq!(
        before.free_bytes - during.free_bytes,
        2 * before.block_bytes
    );
    assert_eq!(during.nr_buffers - before.nr_buffers, 1);
    drop(mapping);
    assert_eq!(node.info().unwrap().free_bytes, before.free_bytes);
}

#[test]
fn an_empty_pool_offers_what_lies_behind_each_aligned_address() {
    let _balance = Balance::of_an_empty_pool();
    let info = Node::open().info().unwrap();
    for (index, offered) in info.largest_free_bytes.into_iter().enumerate() {
        let align = PAGE << index;
        let skipped = info.phys_addr.next_multiple_of(align) - info.phys_addr;
        let expected = info.region_bytes.saturating_sub(skipped);
        assert_eq!(offered, expected, "for alignment {align:#x}");
    }
}

#[test]
fn a_block_at_the_start_costs_larger_alignments_more() {
    let _balance = Balance::of_an_empty_pool();
    let node = Node::open();
    let align = node.info().unwrap().region_bytes.min(abi::MAX_ALIGN);
    let first = node
        .alloc(Alloc {
            align,
            ..request(1)
        })
        .unwrap();
    let info = node.info().unwrap();
    assert_eq!(
        first.phys_addr, info.phys_addr,
        "the only address with that alignment"
    );
    for (index, offered) in info.largest_free_bytes.into_iter().enumerate() {
        let align = PAGE << index;
        let skipped = align.max(info.block_bytes);
        let expected = info.region_bytes.saturating_sub(skipped);
        assert_eq!(offered, expected, "for alignment {align:#x}");
    }
}

#[test]
fn what_is_offered_can_be_had_and_not_a_block_more() {
    let _balance = Balance::of_an_empty_pool();
    let node = Node::open();
    // Used blocks at odd places, so that the alignments differ; a large one keeps the rest, which
    // is cleared at each allocation, small.
    let info = node.info().unwrap();
    let block = info.block_bytes;
    node.alloc(request(info.region_bytes / 8 * 7 + block))
        .unwrap();
    for (align, len) in [
        (1 << 20, 3 * block),
        (info.region_bytes / 16, 5 * block),
        (2 << 20, 9 << 20),
    ] {
        node.alloc(Alloc {
            align,
            ..request(len)
        })
        .unwrap();
    }
    let info = node.info().unwrap();
    for (index, offered) in info.largest_free_bytes.into_iter().enumerate() {
        let align = PAGE << index;
        let ask = |len| {
            node.alloc(Alloc {
                align,
                ..request(len)
            })
        };
        let more = offered + block;
        assert_eq!(
            ask(more).unwrap_err(),
            Errno::ENOMEM,
            "{more} bytes at {align:#x}"
        );
        if offered > 0 {
            let buffer = ask(offered).unwrap();
            assert_eq!(buffer.alloc_bytes, offered);
            node.free(buffer.handle).unwrap();
        }
    }
}

#[test]
fn a_pointer_to_nowhere_is_a_fault() {
    let _balance = Balance::new();
    let nowhere = Mapping::anonymous(PAGE, ProtFlags::PROT_NONE);
    assert_eq!(
        Node::open().command_at(abi::IOC_INFO, &nowhere, 0),
        Err(Errno::EFAULT)
    );
}

#[test]
fn a_pointer_to_read_only_memory_is_a_fault() {
    let _balance = Balance::new();
    let read_only = Mapping::anonymous(PAGE, ProtFlags::PROT_READ);
    assert_eq!(
        Node::open().command_at(abi::IOC_INFO, &read_only, 0),
        Err(Errno::EFAULT)
    );
}

#[test]
fn a_result_that_leaves_writable_memory_is_a_fault() {
    let _balance = Balance::new();
    let memory = Mapping::anonymous(2 * PAGE, READ_WRITE);
    memory
        .protect(PAGE..2 * PAGE, ProtFlags::PROT_NONE)
        .unwrap();
    assert_eq!(
        Node::open().command_at(abi::IOC_INFO, &memory, PAGE - 8),
        Err(Errno::EFAULT)
    );
}

#[test]
fn a_command_number_after_the_last_is_unknown() {
    let _balance = Balance::new();
    assert_eq!(
        outcome(command(1, abi::IOC_TYPE, 11, 24)),
        Err(Errno::ENOTTY)
    );
}

#[test]
fn the_highest_command_number_is_unknown() {
    let _balance = Balance::new();
    assert_eq!(
        outcome(command(1, abi::IOC_TYPE, 0xff, 24)),
        Err(Errno::ENOTTY)
    );
}

#[test]
fn a_command_of_another_type_is_unknown() {
    let _balance = Balance::new();
    assert_eq!(
        outcome(command(2, abi::IOC_TYPE + 1, 0, 248)),
        Err(Errno::ENOTTY)
    );
}

#[test]
fn a_command_with_another_size_is_unknown() {
    let _balance = Balance::new();
    assert_eq!(
        outcome(command(2, abi::IOC_TYPE, 0, 240)),
        Err(Errno::ENOTTY)
    );
}

#[test]
fn a_command_with_another_direction_is_unknown() {
    let _balance = Balance::new();
    assert_eq!(
        outcome(command(1, abi::IOC_TYPE, 0, 248)),
        Err(Errno::ENOTTY)
    );
}
