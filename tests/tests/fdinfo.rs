// SPDX-License-Identifier: MIT OR Apache-2.0

//! What /proc/PID/fdinfo says of an open file.

// Needs the device, so it exists for the guest's architecture only.
#![cfg(target_arch = "aarch64")]
#![forbid(unsafe_code)]

use fpgamem_tests::{in_child, request, Balance, Node};

/// Buffers, bytes and handles of an open file.
fn totals(node: &Node) -> (u64, u64, u64) {
    let [buffers, bytes, handles] =
        ["fpgamem-buffers", "fpgamem-bytes", "fpgamem-handles"].map(|key| node.fdinfo(key));
    (buffers, bytes, handles)
}

#[test]
fn a_new_file_has_nothing() {
    let _balance = Balance::new();
    assert_eq!(totals(&Node::open()), (0, 0, 0));
}

#[test]
fn handles_count_with_their_rounded_size() {
    let _balance = Balance::new();
    let node = Node::open();
    let block = node.info().unwrap().block_bytes;
    let first = node.alloc(request(1)).unwrap();
    let second = node.alloc(request(2 * block + 1)).unwrap();
    assert_eq!(totals(&node), (2, 4 * block, 2));
    node.free(first.handle).unwrap();
    assert_eq!(totals(&node), (1, 3 * block, 1));
    node.free(second.handle).unwrap();
    assert_eq!(totals(&node), (0, 0, 0));
}

#[test]
fn a_mapping_at_offset_zero_is_a_buffer_without_handle() {
    let _balance = Balance::new();
    let node = Node::open();
    let block = node.info().unwrap().block_bytes;
    let mapping = node.map(block + 1).unwrap();
    assert_eq!(totals(&node), (1, 2 * block, 0));
    drop(mapping);
    assert_eq!(totals(&node), (0, 0, 0));
}

#[test]
fn a_buffer_counts_once_however_often_it_is_mapped() {
    let _balance = Balance::new();
    let node = Node::open();
    let buffer = node.alloc(request(1)).unwrap();
    let _mappings = [
        node.map_buffer(&buffer).unwrap(),
        node.map_buffer(&buffer).unwrap(),
    ];
    assert_eq!(totals(&node), (1, buffer.alloc_bytes, 1));
}

#[test]
fn a_mapped_buffer_counts_after_its_handle_is_freed() {
    let _balance = Balance::new();
    let node = Node::open();
    let buffer = node.alloc(request(1)).unwrap();
    let _mapping = node.map_buffer(&buffer).unwrap();
    node.free(buffer.handle).unwrap();
    assert_eq!(totals(&node), (1, buffer.alloc_bytes, 0));
}

#[test]
fn files_are_counted_apart() {
    let _balance = Balance::new();
    let (first, second) = (Node::open(), Node::open());
    let buffer = first.alloc(request(1)).unwrap();
    assert_eq!(totals(&first), (1, buffer.alloc_bytes, 1));
    assert_eq!(totals(&second), (0, 0, 0));
}

#[test]
fn descriptors_of_one_open_file_show_the_same() {
    let _balance = Balance::new();
    let node = Node::open();
    node.alloc(request(1)).unwrap();
    assert_eq!(totals(&node), totals(&node.duplicate()));
}

#[test]
fn what_a_child_allocates_through_an_inherited_file_counts() {
    let _balance = Balance::new();
    let node = Node::open();
    in_child(|| {
        node.alloc(request(1)).unwrap();
    });
    assert_eq!(totals(&node).0, 1);
}
