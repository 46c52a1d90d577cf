// SPDX-License-Identifier: MIT OR Apache-2.0

//! What madvise and the other calls that manage memory do to a mapping of the driver.

// Needs the device, so it exists for the guest's architecture only.
#![cfg(target_arch = "aarch64")]
#![forbid(unsafe_code)]

use fpgamem_tests::calls::with_all_memory_locked;
use fpgamem_tests::{in_child, request, Balance, Errno, MapFlags, Node, PAGE, READ_WRITE};
use std::collections::BTreeSet;

const SHARED: MapFlags = MapFlags::MAP_SHARED;

#[test]
fn each_advice_has_its_outcome_and_no_byte_or_block_is_lost() {
    // NORMAL, RANDOM, SEQUENTIAL, WILLNEED; DONTFORK; HUGEPAGE, NOHUGEPAGE, DONTDUMP; KEEPONFORK.
    // Advice changes what the kernel may do by itself, which is nothing to pages that it does not
    // own.
    let allowed = BTreeSet::from([0, 1, 2, 3, 10, 14, 15, 16, 19]);
    // REMOVE punches a hole into the file, which a device does not have.
    let no_file = 9;
    let balance = Balance::new();
    for advice in (0..128).filter(|advice| !(100..=101).contains(advice)) {
        let mapping = Node::open().map(4 * PAGE).unwrap();
        mapping.fill(1);
        let expected = match advice {
            advice if allowed.contains(&advice) => Ok(()),
            advice if advice == no_file => Err(Errno::ENODEV),
            _ => Err(Errno::EINVAL),
        };
        assert_eq!(
            mapping.advise_by_number(advice),
            expected,
            "advice {advice}"
        );
        mapping.check(1);
        balance.expect_held(1);
    }
}

#[test]
fn a_mapping_can_be_locked() {
    let balance = Balance::new();
    let mapping = Node::open().map(4 * PAGE).unwrap();
    mapping.fill(1);
    assert_eq!(mapping.lock(), Ok(()));
    mapping.check(1);
    drop(mapping);
    balance.expect_held(0);
}

#[test]
fn a_process_whose_memory_is_locked_maps_and_unmaps() {
    let balance = Balance::new();
    in_child(|| {
        let before = Node::open().map(4 * PAGE).unwrap();
        let locked = with_all_memory_locked(|| {
            let during = Node::open().map(4 * PAGE).unwrap();
            during.fill(2);
            during.check(2);
            balance.expect_held(2);
            drop(during);
            balance.expect_held(1);
        });
        assert_eq!(locked, Ok(()));
        before.check_zero(0..4 * PAGE);
    });
}

#[test]
fn msync_has_nothing_to_wait_for() {
    let _balance = Balance::new();
    let mapping = Node::open().map(PAGE).unwrap();
    mapping.fill(1);
    assert_eq!(mapping.msync(libc::MS_ASYNC), Ok(()));
    assert_eq!(mapping.msync(libc::MS_ASYNC | libc::MS_INVALIDATE), Ok(()));
    // The node has no fsync.
    assert_eq!(mapping.msync(libc::MS_SYNC), Err(Errno::EINVAL));
    mapping.check(1);
}

#[test]
fn mincore_finds_none_of_the_pages_in_the_page_cache() {
    let _balance = Balance::new();
    let mapping = Node::open().map(1 << 20).unwrap();
    assert_eq!(mapping.residency(), Ok(vec![0; 256]));
}

#[test]
fn remap_file_pages_maps_the_buffer_of_the_offset() {
    let balance = Balance::new();
    let node = Node::open();
    let buffer = node.alloc(request(PAGE)).unwrap();
    node.map_with(PAGE, READ_WRITE, SHARED, buffer.mmap_offset)
        .unwrap()
        .fill(7);
    let mapping = node.map(PAGE).unwrap();
    balance.expect_held(2);
    let page_offset = usize::try_from(buffer.mmap_offset / PAGE).unwrap();
    assert_eq!(mapping.remap_file_pages(0..PAGE, page_offset), Ok(()));
    mapping.check(7);
    balance.expect_held(1);
}

#[test]
fn remap_file_pages_to_offset_zero_is_a_new_buffer() {
    let balance = Balance::new();
    let node = Node::open();
    let mapping = node.map(PAGE).unwrap();
    mapping.fill(7);
    drop(node);
    assert_eq!(mapping.remap_file_pages(0..PAGE, 0), Ok(()));
    mapping.check_zero(0..PAGE);
    balance.expect_held(1);
}
