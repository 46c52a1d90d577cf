// SPDX-License-Identifier: MIT OR Apache-2.0

//! How long a buffer lives when its mappings are cut, moved and unmapped.

// Needs the device, so it exists for the guest's architecture only.
#![cfg(target_arch = "aarch64")]
#![forbid(unsafe_code)]

use fpgamem_tests::{Balance, Errno, Mapping, MmapAdvise, Node, ProtFlags, PAGE, READ_WRITE};

/// A file, and a mapping of four blocks of it that is filled with pattern 1.
fn filled_mapping() -> (Node, Mapping, u64) {
    let node = Node::open();
    let block = node.info().expect("INFO succeeds").block_bytes;
    let mapping = node.map(4 * block).expect("there is room");
    mapping.fill(1);
    (node, mapping, block)
}

#[test]
fn munmap_returns_the_blocks() {
    let balance = Balance::new();
    let (_node, mapping, _) = filled_mapping();
    balance.expect_held(4);
    drop(mapping);
    balance.expect_held(0);
}

#[test]
fn a_mapping_survives_the_descriptor() {
    let balance = Balance::new();
    let (node, mapping, _) = filled_mapping();
    drop(node);
    balance.expect_held(4);
    mapping.check(1);
    mapping.fill(2);
    mapping.check(2);
    drop(mapping);
    balance.expect_held(0);
}

#[test]
fn without_its_head_a_buffer_keeps_all_blocks() {
    let balance = Balance::new();
    let (_node, mut mapping, block) = filled_mapping();
    mapping.unmap(0..block);
    balance.expect_held(4);
    mapping.check_range(block..4 * block, 1, block);
    mapping.unmap(block..4 * block);
    balance.expect_held(0);
}

#[test]
fn without_its_middle_a_buffer_keeps_all_blocks() {
    let balance = Balance::new();
    let (_node, mut mapping, block) = filled_mapping();
    mapping.unmap(block..3 * block);
    balance.expect_held(4);
    mapping.check_range(0..block, 1, 0);
    mapping.check_range(3 * block..4 * block, 1, 3 * block);
    mapping.unmap(0..block);
    balance.expect_held(4);
    mapping.unmap(3 * block..4 * block);
    balance.expect_held(0);
}

#[test]
fn without_its_tail_a_buffer_keeps_all_blocks() {
    let balance = Balance::new();
    let (_node, mut mapping, block) = filled_mapping();
    mapping.unmap(PAGE..4 * block);
    balance.expect_held(4);
    mapping.check_range(0..PAGE, 1, 0);
    mapping.unmap(0..PAGE);
    balance.expect_held(0);
}

#[test]
fn a_mapping_that_goes_page_by_page_lives_until_the_last() {
    let balance = Balance::new();
    let (_node, mut mapping, block) = filled_mapping();
    let pages = 4 * block / PAGE;
    // Every second page first, so that single pages are left.
    for page in (0..pages).step_by(2).chain((1..pages).step_by(2)) {
        balance.expect_held(4);
        mapping.unmap(page * PAGE..(page + 1) * PAGE);
    }
    balance.expect_held(0);
}

#[test]
fn a_split_by_mprotect_does_not_change_who_holds_the_buffer() {
    let balance = Balance::new();
    let (_node, mut mapping, block) = filled_mapping();
    mapping
        .protect(block..2 * block, ProtFlags::PROT_READ)
        .unwrap();
    balance.expect_held(4);
    mapping.check(1);
    mapping.protect(block..2 * block, READ_WRITE).unwrap();
    balance.expect_held(4);
    mapping.unmap(0..block);
    mapping.unmap(2 * block..4 * block);
    balance.expect_held(4);
    mapping.check_range(block..2 * block, 1, block);
    mapping.unmap(block..2 * block);
    balance.expect_held(0);
}

#[test]
fn a_moved_mapping_keeps_content_and_blocks() {
    let balance = Balance::new();
    let (node, mut mapping, _) = filled_mapping();
    let phys_addr = node.user_to_phys(mapping.addr()).unwrap().phys_addr;
    let before = mapping.addr();
    mapping.relocate().unwrap();
    assert_ne!(mapping.addr(), before);
    balance.expect_held(4);
    mapping.check(1);
    assert_eq!(
        node.user_to_phys(mapping.addr()).unwrap().phys_addr,
        phys_addr
    );
    drop(mapping);
    balance.expect_held(0);
}

#[test]
fn a_mapping_cannot_grow() {
    let balance = Balance::new();
    let (_node, mut mapping, block) = filled_mapping();
    assert_eq!(mapping.resize(5 * block), Err(Errno::EFAULT));
    balance.expect_held(4);
    mapping.check(1);
}

#[test]
fn a_mapping_cannot_grow_into_the_rest_of_its_last_block() {
    let balance = Balance::new();
    let mut mapping = Node::open().map(1).unwrap();
    assert_eq!(mapping.resize(2 * PAGE), Err(Errno::EFAULT));
    balance.expect_held(1);
}

#[test]
fn a_mapping_that_shrinks_keeps_all_blocks() {
    let balance = Balance::new();
    let (_node, mut mapping, block) = filled_mapping();
    mapping.resize(block).unwrap();
    balance.expect_held(4);
    mapping.check(1);
    drop(mapping);
    balance.expect_held(0);
}

#[test]
fn mremap_cannot_make_a_second_mapping() {
    let balance = Balance::new();
    let (_node, mapping, _) = filled_mapping();
    assert_eq!(mapping.mremap_again().map(drop), Err(Errno::EFAULT));
    balance.expect_held(4);
}

#[test]
fn fork_cannot_be_forced_on_a_mapping_by_madvise() {
    let _balance = Balance::new();
    let (_node, mapping, _) = filled_mapping();
    mapping.advise(MmapAdvise::MADV_DONTFORK).unwrap();
    // Memory of a driver stays out of children once it is out: madvise(2), EINVAL.
    assert_eq!(mapping.advise(MmapAdvise::MADV_DOFORK), Err(Errno::EINVAL));
}
