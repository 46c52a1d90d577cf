// SPDX-License-Identifier: MIT OR Apache-2.0

//! `FPGAMEM_IOC_QUERY`.

// Needs the device, so it exists for the guest's architecture only.
#![cfg(target_arch = "aarch64")]
#![forbid(unsafe_code)]

use fpgamem_tests::abi::{self, Alloc, Buffer};
use fpgamem_tests::{in_child, request, Balance, Errno, Mapping, Node, ProtFlags, PAGE};

/// The `BUFFER_*` bits of a buffer that is allocated with `flags`.
fn buffer_flags(flags: u32) -> u32 {
    let _balance = Balance::new();
    let node = Node::open();
    let buffer = node
        .alloc(Alloc {
            flags,
            ..request(1)
        })
        .expect("there is room");
    node.query(buffer.handle).expect("the handle is good").flags
}

#[test]
fn repeats_what_the_allocation_said() {
    let _balance = Balance::new();
    let node = Node::open();
    let first = node.alloc(request(70_000)).unwrap();
    let second = node.alloc(request(3 << 20)).unwrap();
    for buffer in [first, second] {
        let answer = node.query(buffer.handle).unwrap();
        assert_eq!(answer.handle, buffer.handle);
        assert_eq!(answer.alloc_bytes, buffer.alloc_bytes);
        assert_eq!(answer.phys_addr, buffer.phys_addr);
        assert_eq!(answer.device_addr, buffer.device_addr);
        assert_eq!(answer.mmap_offset, buffer.mmap_offset);
        assert_eq!(answer.reserved, [0; 3]);
    }
}

#[test]
fn a_buffer_that_asks_for_nothing_gets_the_default_of_the_pool() {
    assert_eq!(buffer_flags(0), Node::open().info().unwrap().flags);
}

#[test]
fn a_write_combine_buffer_says_so() {
    assert_eq!(
        buffer_flags(abi::ALLOC_WRITE_COMBINE),
        abi::BUFFER_WRITE_COMBINE
    );
}

#[test]
fn a_coherent_buffer_says_so() {
    assert_eq!(buffer_flags(abi::ALLOC_COHERENT), abi::BUFFER_COHERENT);
}

#[test]
fn a_buffer_that_must_not_be_coherent_is_not() {
    assert_eq!(buffer_flags(abi::ALLOC_NONCOHERENT), 0);
}

#[test]
fn handle_zero_does_not_exist() {
    let _balance = Balance::new();
    assert_eq!(Node::open().query(0).unwrap_err(), Errno::ENOENT);
}

#[test]
fn a_handle_that_was_never_given_out_does_not_exist() {
    let _balance = Balance::new();
    let node = Node::open();
    let handle = node.alloc(request(1)).unwrap().handle;
    assert_eq!(node.query(handle + 1).unwrap_err(), Errno::ENOENT);
}

#[test]
fn a_freed_handle_does_not_exist() {
    let _balance = Balance::new();
    let node = Node::open();
    let handle = node.alloc(request(1)).unwrap().handle;
    node.free(handle).unwrap();
    assert_eq!(node.query(handle).unwrap_err(), Errno::ENOENT);
}

#[test]
fn a_handle_of_another_open_file_does_not_exist() {
    let _balance = Balance::new();
    let (owner, other) = (Node::open(), Node::open());
    let handle = owner.alloc(request(1)).unwrap().handle;
    assert_eq!(other.query(handle).unwrap_err(), Errno::ENOENT);
}

#[test]
fn a_handle_of_another_process_does_not_exist() {
    let _balance = Balance::new();
    let node = Node::open();
    let handle = node.alloc(request(1)).unwrap().handle;
    in_child(|| assert_eq!(Node::open().query(handle).unwrap_err(), Errno::ENOENT));
}

#[test]
fn a_duplicated_descriptor_knows_the_handle() {
    let _balance = Balance::new();
    let node = Node::open();
    let buffer = node.alloc(request(1)).unwrap();
    assert_eq!(
        node.duplicate().query(buffer.handle).unwrap().phys_addr,
        buffer.phys_addr
    );
}

#[test]
fn a_non_zero_first_reserved_field_is_invalid() {
    let _balance = Balance::new();
    let node = Node::open();
    let handle = node.alloc(request(1)).unwrap().handle;
    let argument = Buffer {
        handle,
        reserved: [1, 0, 0],
        ..Default::default()
    };
    assert_eq!(node.query_with(argument).unwrap_err(), Errno::EINVAL);
}

#[test]
fn a_non_zero_last_reserved_field_is_invalid() {
    let _balance = Balance::new();
    let node = Node::open();
    let handle = node.alloc(request(1)).unwrap().handle;
    let argument = Buffer {
        handle,
        reserved: [0, 0, 1],
        ..Default::default()
    };
    assert_eq!(node.query_with(argument).unwrap_err(), Errno::EINVAL);
}

#[test]
fn a_pointer_to_nowhere_is_a_fault() {
    let _balance = Balance::new();
    let nowhere = Mapping::anonymous(PAGE, ProtFlags::PROT_NONE);
    assert_eq!(
        Node::open().command_at(abi::IOC_QUERY, &nowhere, 0),
        Err(Errno::EFAULT)
    );
}
