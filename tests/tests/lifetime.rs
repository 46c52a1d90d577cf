// SPDX-License-Identifier: MIT OR Apache-2.0

//! How long a buffer lives when its mappings are cut, moved and unmapped.

// Needs the device, so it exists for the guest's architecture only.
#![cfg(target_arch = "aarch64")]
#![forbid(unsafe_code)]

use fpgamem_tests::{
    block_map, in_child, request, Balance, Child, Errno, Exit, MapFlags, Mapping, MmapAdvise, Node,
    ProtFlags, PAGE, READ_WRITE,
};
use nix::sys::resource::{setrlimit, Resource};
use nix::sys::signal::Signal;
use std::collections::HashSet;

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

#[test]
fn mremap_cannot_leave_the_old_range_mapped() {
    let balance = Balance::new();
    let (_node, mapping, _) = filled_mapping();
    assert_eq!(mapping.mremap_dontunmap(), Err(Errno::EINVAL));
    mapping.check(1);
    balance.expect_held(4);
}

#[test]
fn a_split_that_finds_no_room_for_a_mapping_changes_nothing() {
    const LIMIT: &str = "/proc/sys/vm/max_map_count";
    let balance = Balance::new();
    let before = std::fs::read_to_string(LIMIT).unwrap();
    in_child(|| {
        let (node, mapping, block) = filled_mapping();
        let phys_addr = node.user_to_phys(mapping.addr()).unwrap().phys_addr;
        std::fs::write(LIMIT, "1").unwrap();
        let error = mapping.unmap_refused(block..2 * block);
        std::fs::write(LIMIT, &before).unwrap();
        assert_eq!(error, Errno::ENOMEM);
        balance.expect_held(4);
        mapping.check(1);
        assert_eq!(block_map::line_of(phys_addr).unwrap().mappings, 1);
        drop(mapping);
        balance.expect_held(0);
    });
}

#[test]
fn a_fixed_mapping_of_the_same_file_over_its_own_whole_is_a_new_buffer() {
    let balance = Balance::new();
    let (node, mut mapping, block) = filled_mapping();
    let range = 0..4 * block;
    mapping
        .replace(range.clone(), &node, MapFlags::MAP_SHARED, 0)
        .unwrap();
    balance.expect_held(4);
    mapping.check_zero(range);
}

#[test]
fn a_handle_can_be_mapped_again_after_its_mapping_is_gone() {
    let balance = Balance::new();
    let node = Node::open();
    let buffer = node.alloc(request(PAGE)).unwrap();
    node.map_buffer(&buffer).unwrap().fill(3);
    balance.expect_held(1);
    node.map_buffer(&buffer).unwrap().check(3);
    node.free(buffer.handle).unwrap();
    balance.expect_held(0);
}

#[test]
fn a_core_dump_has_no_byte_of_a_buffer() {
    const PATTERN: &str = "/proc/sys/kernel/core_pattern";
    const CORE: &str = "/tmp/core-of-a-test";
    // What is looked for must not stand in the program or on its stack, where it would be found.
    let needle = |at: u64| at.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5bd1_e995_0000_0000;
    let balance = Balance::new();
    let before = std::fs::read_to_string(PATTERN).unwrap();
    std::fs::write(PATTERN, CORE).unwrap();
    let mut child = Child::start(|link| {
        setrlimit(Resource::RLIMIT_CORE, 1 << 30, 1 << 30).unwrap();
        let (buffer, control) = (
            Node::open().map(64 * PAGE).unwrap(),
            Mapping::anonymous(PAGE, READ_WRITE),
        );
        for at in 0..64 * PAGE / 8 {
            buffer.store(8 * at, needle(at));
        }
        // Ordinary memory is in the core, so the search can find what is there.
        for at in 0..PAGE / 8 {
            control.store(8 * at, needle((1 << 40) + at));
        }
        link.send(0);
        link.receive();
        std::process::abort();
    });
    child.link.receive();
    balance.expect_held(16);
    child.link.send(0);
    let exit = child.wait();
    std::fs::write(PATTERN, before).unwrap();
    assert_eq!(exit, Exit::Signal(Signal::SIGABRT));
    balance.expect_held(0);
    let core = std::fs::read(CORE).unwrap();
    std::fs::remove_file(CORE).unwrap();
    let words: HashSet<_> = core
        .chunks_exact(8)
        .map(|word| u64::from_le_bytes(word.try_into().unwrap()))
        .collect();
    let found = |from: u64, count| (from..from + count).filter(|at| words.contains(&needle(*at)));
    assert_eq!(found(1 << 40, PAGE / 8).count() as u64, PAGE / 8);
    // Not the first few, which the stack may have.
    assert_eq!(found(8, 64 * PAGE / 8 - 16).count(), 0);
}
