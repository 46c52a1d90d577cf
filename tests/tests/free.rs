// SPDX-License-Identifier: MIT OR Apache-2.0

//! `FPGAMEM_IOC_FREE`.

// Needs the device, so it exists for the guest's architecture only.
#![cfg(target_arch = "aarch64")]
#![forbid(unsafe_code)]

use fpgamem_tests::abi::{self, Free};
use fpgamem_tests::{in_child, request, Balance, Errno, Mapping, Node, ProtFlags, PAGE};

#[test]
fn blocks_return_at_once() {
    let balance = Balance::new();
    let node = Node::open();
    let block = node.info().unwrap().block_bytes;
    let buffer = node.alloc(request(9 * block)).unwrap();
    balance.expect_held(9);
    node.free(buffer.handle).unwrap();
    balance.expect_held(0);
}

#[test]
fn handle_zero_does_not_exist() {
    let _balance = Balance::new();
    assert_eq!(Node::open().free(0), Err(Errno::ENOENT));
}

#[test]
fn a_handle_that_was_never_given_out_does_not_exist() {
    let balance = Balance::new();
    let node = Node::open();
    let buffer = node.alloc(request(1)).unwrap();
    assert_eq!(node.free(buffer.handle + 1), Err(Errno::ENOENT));
    assert_eq!(node.free(u32::MAX), Err(Errno::ENOENT));
    balance.expect_held(1);
}

#[test]
fn a_handle_can_be_freed_once_only() {
    let _balance = Balance::new();
    let node = Node::open();
    let buffer = node.alloc(request(1)).unwrap();
    node.free(buffer.handle).unwrap();
    assert_eq!(node.free(buffer.handle), Err(Errno::ENOENT));
}

#[test]
fn a_handle_of_another_open_file_does_not_exist() {
    let balance = Balance::new();
    let (owner, other) = (Node::open(), Node::open());
    let buffer = owner.alloc(request(1)).unwrap();
    assert_eq!(other.free(buffer.handle), Err(Errno::ENOENT));
    balance.expect_held(1);
    owner.free(buffer.handle).unwrap();
}

#[test]
fn a_non_zero_reserved_field_is_invalid_and_frees_nothing() {
    let balance = Balance::new();
    let node = Node::open();
    let handle = node.alloc(request(1)).unwrap().handle;
    assert_eq!(
        node.free_with(Free {
            handle,
            reserved: 1
        }),
        Err(Errno::EINVAL)
    );
    balance.expect_held(1);
    node.free(handle).unwrap();
}

#[test]
fn a_pointer_to_nowhere_is_a_fault() {
    let _balance = Balance::new();
    let nowhere = Mapping::anonymous(PAGE, ProtFlags::PROT_NONE);
    assert_eq!(
        Node::open().command_at(abi::IOC_FREE, &nowhere, 0),
        Err(Errno::EFAULT)
    );
}

#[test]
fn a_duplicated_descriptor_shares_the_handles() {
    let balance = Balance::new();
    let node = Node::open();
    let duplicate = node.duplicate();
    let handle = node.alloc(request(1)).unwrap().handle;
    drop(node);
    balance.expect_held(1);
    duplicate.free(handle).unwrap();
    balance.expect_held(0);
}

#[test]
fn a_forked_child_shares_the_handles() {
    let balance = Balance::new();
    let node = Node::open();
    let handle = node.alloc(request(1)).unwrap().handle;
    in_child(|| node.free(handle).unwrap());
    balance.expect_held(0);
    assert_eq!(node.free(handle), Err(Errno::ENOENT));
}

#[test]
fn a_mapped_buffer_keeps_blocks_and_content() {
    let balance = Balance::new();
    let node = Node::open();
    let buffer = node.alloc(request(1 << 20)).unwrap();
    let mapping = node.map_buffer(&buffer).unwrap();
    let blocks = buffer.alloc_bytes / node.info().unwrap().block_bytes;
    mapping.fill(11);
    node.free(buffer.handle).unwrap();
    balance.expect_held(blocks);
    // A new buffer must not get the blocks, which its zeroes would show.
    let other = node.alloc(request(1 << 20)).unwrap();
    assert!(other.phys_addr.abs_diff(buffer.phys_addr) >= buffer.alloc_bytes);
    mapping.check(11);
    drop(mapping);
    balance.expect_held(blocks);
    node.free(other.handle).unwrap();
    balance.expect_held(0);
}

#[test]
fn a_freed_handle_cannot_be_mapped() {
    let _balance = Balance::new();
    let node = Node::open();
    let buffer = node.alloc(request(1)).unwrap();
    node.free(buffer.handle).unwrap();
    assert_eq!(node.map_buffer(&buffer).unwrap_err(), Errno::EINVAL);
}
