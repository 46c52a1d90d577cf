// SPDX-License-Identifier: MIT OR Apache-2.0

//! mmap at the offset of a handle, which maps a buffer that exists.

// Needs the device, so it exists for the guest's architecture only.
#![cfg(target_arch = "aarch64")]
#![forbid(unsafe_code)]

use fpgamem_tests::abi::Alloc;
use fpgamem_tests::{
    in_child, request, Balance, Errno, MapFlags, Node, ProtFlags, PAGE, READ_WRITE,
};

const SHARED: MapFlags = MapFlags::MAP_SHARED;

/// A file and a buffer of four blocks in it.
fn buffer_of_four_blocks() -> (Node, Alloc, u64) {
    let node = Node::open();
    let block = node.info().expect("INFO succeeds").block_bytes;
    let buffer = node.alloc(request(4 * block)).expect("there is room");
    (node, buffer, block)
}

#[test]
fn two_mappings_show_the_same_bytes() {
    let balance = Balance::new();
    let (node, buffer, _) = buffer_of_four_blocks();
    let (first, second) = (
        node.map_buffer(&buffer).unwrap(),
        node.map_buffer(&buffer).unwrap(),
    );
    balance.expect_held(4);
    first.fill(1);
    second.check(1);
    second.fill(2);
    first.check(2);
}

#[test]
fn an_interior_offset_maps_the_bytes_that_lie_there() {
    let _balance = Balance::new();
    let (node, buffer, block) = buffer_of_four_blocks();
    node.map_buffer(&buffer).unwrap().fill(3);
    let start = block + PAGE;
    let mapping = node
        .map_with(PAGE, READ_WRITE, SHARED, buffer.mmap_offset + start)
        .unwrap();
    mapping.check_range(0..PAGE, 3, start);
    let answer = node.user_to_phys(mapping.addr()).unwrap();
    assert_eq!(answer.phys_addr, buffer.phys_addr + start);
}

#[test]
fn the_last_page_can_be_mapped_alone() {
    let _balance = Balance::new();
    let (node, buffer, block) = buffer_of_four_blocks();
    node.map_buffer(&buffer).unwrap().fill(4);
    let start = 4 * block - PAGE;
    let mapping = node
        .map_with(PAGE, READ_WRITE, SHARED, buffer.mmap_offset + start)
        .unwrap();
    mapping.check_range(0..PAGE, 4, start);
}

#[test]
fn the_rounded_part_of_a_buffer_can_be_mapped() {
    let _balance = Balance::new();
    let node = Node::open();
    let buffer = node.alloc(request(1)).unwrap();
    let mapping = node.map_buffer(&buffer).unwrap();
    mapping.check_zero(0..buffer.alloc_bytes);
    mapping.fill(5);
    mapping.check(5);
}

#[test]
fn a_length_beyond_the_buffer_is_invalid() {
    let _balance = Balance::new();
    let (node, buffer, block) = buffer_of_four_blocks();
    // The neighbour makes sure that the blocks behind are a buffer, too.
    node.alloc(request(4 * block)).unwrap();
    let result = node.map_with(4 * block + 1, READ_WRITE, SHARED, buffer.mmap_offset);
    assert_eq!(result.unwrap_err(), Errno::EINVAL);
}

#[test]
fn an_interior_mapping_beyond_the_buffer_is_invalid() {
    let _balance = Balance::new();
    let (node, buffer, block) = buffer_of_four_blocks();
    node.alloc(request(4 * block)).unwrap();
    let offset = buffer.mmap_offset + 3 * block;
    let result = node.map_with(block + PAGE, READ_WRITE, SHARED, offset);
    assert_eq!(result.unwrap_err(), Errno::EINVAL);
}

#[test]
fn the_offset_behind_the_last_buffer_is_invalid() {
    let _balance = Balance::of_an_empty_pool();
    let (node, buffer, block) = buffer_of_four_blocks();
    let offset = buffer.mmap_offset + 4 * block;
    let result = node.map_with(PAGE, READ_WRITE, SHARED, offset);
    assert_eq!(result.unwrap_err(), Errno::EINVAL);
}

#[test]
fn an_offset_of_another_open_file_is_invalid() {
    let _balance = Balance::new();
    let (_owner, buffer, _) = buffer_of_four_blocks();
    assert_eq!(Node::open().map_buffer(&buffer).unwrap_err(), Errno::EINVAL);
}

#[test]
fn an_offset_of_another_open_file_with_the_same_handle_is_invalid() {
    let _balance = Balance::new();
    let (_owner, buffer, _) = buffer_of_four_blocks();
    let (other, same_handle, _) = buffer_of_four_blocks();
    assert_eq!(same_handle.handle, buffer.handle);
    assert_eq!(other.map_buffer(&buffer).unwrap_err(), Errno::EINVAL);
}

#[test]
fn the_offset_behind_the_region_is_invalid() {
    let _balance = Balance::new();
    let (node, buffer, _) = buffer_of_four_blocks();
    let info = node.info().unwrap();
    let past = info.phys_addr + info.region_bytes - buffer.phys_addr;
    let result = node.map_with(PAGE, READ_WRITE, SHARED, buffer.mmap_offset + past);
    assert_eq!(result.unwrap_err(), Errno::EINVAL);
}

#[test]
fn an_offset_of_another_process_is_invalid() {
    let _balance = Balance::new();
    let (_owner, buffer, _) = buffer_of_four_blocks();
    in_child(|| assert_eq!(Node::open().map_buffer(&buffer).unwrap_err(), Errno::EINVAL));
}

#[test]
fn a_duplicated_descriptor_may_map_the_buffer() {
    let _balance = Balance::new();
    let (node, buffer, _) = buffer_of_four_blocks();
    node.map_buffer(&buffer).unwrap().fill(6);
    node.duplicate().map_buffer(&buffer).unwrap().check(6);
}

#[test]
fn a_forked_child_may_map_the_buffer() {
    let _balance = Balance::new();
    let (node, buffer, _) = buffer_of_four_blocks();
    in_child(|| node.map_buffer(&buffer).unwrap().fill(7));
    node.map_buffer(&buffer).unwrap().check(7);
}

#[test]
fn a_private_mapping_is_invalid() {
    let _balance = Balance::new();
    let (node, buffer, _) = buffer_of_four_blocks();
    let result = node.map_with(PAGE, READ_WRITE, MapFlags::MAP_PRIVATE, buffer.mmap_offset);
    assert_eq!(result.unwrap_err(), Errno::EINVAL);
}

#[test]
fn an_executable_mapping_is_invalid() {
    let _balance = Balance::new();
    let (node, buffer, _) = buffer_of_four_blocks();
    let protection = ProtFlags::PROT_READ | ProtFlags::PROT_EXEC;
    let result = node.map_with(PAGE, protection, SHARED, buffer.mmap_offset);
    assert_eq!(result.unwrap_err(), Errno::EINVAL);
}

#[test]
fn unmapping_keeps_a_buffer_whose_handle_lives() {
    let balance = Balance::new();
    let (node, buffer, _) = buffer_of_four_blocks();
    node.map_buffer(&buffer).unwrap().fill(8);
    balance.expect_held(4);
    node.map_buffer(&buffer).unwrap().check(8);
}

#[test]
fn closing_the_file_keeps_a_buffer_that_is_mapped() {
    let balance = Balance::new();
    let (node, buffer, _) = buffer_of_four_blocks();
    let mapping = node.map_buffer(&buffer).unwrap();
    mapping.fill(9);
    drop(node);
    // A mapping holds the file, and thereby its handles, whatever the descriptors do.
    balance.expect_held(4);
    mapping.check(9);
    drop(mapping);
    balance.expect_held(0);
}

#[test]
fn a_buffer_lives_until_its_last_mapping_goes() {
    let balance = Balance::new();
    let (node, buffer, _) = buffer_of_four_blocks();
    let (first, second) = (
        node.map_buffer(&buffer).unwrap(),
        node.map_buffer(&buffer).unwrap(),
    );
    node.free(buffer.handle).unwrap();
    first.fill(10);
    drop(first);
    balance.expect_held(4);
    second.check(10);
    drop(second);
    balance.expect_held(0);
}
