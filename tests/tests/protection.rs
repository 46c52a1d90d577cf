// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the mode of the file and the protection of a mapping allow.

// Needs the device, so it exists for the guest's architecture only.
#![cfg(target_arch = "aarch64")]
#![forbid(unsafe_code)]

use fpgamem_tests::{
    request, Balance, Child, Errno, Exit, MapFlags, Node, ProtFlags, PAGE, READ_WRITE,
};
use nix::sys::signal::Signal;

const SHARED: MapFlags = MapFlags::MAP_SHARED;
const READ: ProtFlags = ProtFlags::PROT_READ;

#[test]
fn a_read_only_file_allocates_a_readable_mapping() {
    let balance = Balance::new();
    let mapping = Node::open_read_only()
        .map_with(PAGE, READ, SHARED, 0)
        .unwrap();
    balance.expect_held(1);
    mapping.check_zero(0..PAGE);
}

#[test]
fn a_read_only_file_refuses_a_writable_mapping() {
    let _balance = Balance::new();
    let result = Node::open_read_only().map_with(PAGE, READ_WRITE, SHARED, 0);
    assert_eq!(result.unwrap_err(), Errno::EACCES);
}

#[test]
fn a_mapping_of_a_read_only_file_cannot_become_writable() {
    let _balance = Balance::new();
    let mapping = Node::open_read_only()
        .map_with(PAGE, READ, SHARED, 0)
        .unwrap();
    assert_eq!(mapping.protect(0..PAGE, READ_WRITE), Err(Errno::EACCES));
}

#[test]
fn a_read_only_file_refuses_a_private_mapping() {
    let _balance = Balance::new();
    let result = Node::open_read_only().map_with(PAGE, READ, MapFlags::MAP_PRIVATE, 0);
    assert_eq!(result.unwrap_err(), Errno::EINVAL);
}

#[test]
fn a_write_through_a_read_only_mapping_is_a_segmentation_fault() {
    let _balance = Balance::new();
    let child = Child::start(|_| {
        let mapping = Node::open().map_with(PAGE, READ, SHARED, 0).unwrap();
        mapping.check_zero(0..PAGE);
        mapping.store(0, 1);
    });
    assert_eq!(child.wait(), Exit::Signal(Signal::SIGSEGV));
}

#[test]
fn a_write_through_a_mapping_of_a_read_only_file_is_a_segmentation_fault() {
    let _balance = Balance::new();
    let child = Child::start(|_| {
        let mapping = Node::open_read_only()
            .map_with(PAGE, READ, SHARED, 0)
            .unwrap();
        mapping.store(0, 1);
    });
    assert_eq!(child.wait(), Exit::Signal(Signal::SIGSEGV));
}

#[test]
fn a_read_only_mapping_becomes_writable_and_back() {
    let _balance = Balance::new();
    let mapping = Node::open().map_with(4 * PAGE, READ, SHARED, 0).unwrap();
    mapping.protect(0..4 * PAGE, READ_WRITE).unwrap();
    mapping.fill(1);
    mapping.protect(0..4 * PAGE, READ).unwrap();
    mapping.check(1);
    let child = Child::start(|_| mapping.store(0, 1));
    assert_eq!(child.wait(), Exit::Signal(Signal::SIGSEGV));
}

#[test]
fn execution_cannot_be_added() {
    let _balance = Balance::new();
    let mapping = Node::open().map(PAGE).unwrap();
    let protection = READ | ProtFlags::PROT_EXEC;
    assert_eq!(mapping.protect(0..PAGE, protection), Err(Errno::EACCES));
}

#[test]
fn execution_cannot_be_added_to_the_mapping_of_a_handle() {
    let _balance = Balance::new();
    let node = Node::open();
    let mapping = node.map_buffer(&node.alloc(request(1)).unwrap()).unwrap();
    let protection = READ | ProtFlags::PROT_EXEC;
    assert_eq!(mapping.protect(0..PAGE, protection), Err(Errno::EACCES));
}

#[test]
fn a_mapping_without_access_becomes_usable() {
    let balance = Balance::new();
    let node = Node::open();
    let mapping = node
        .map_with(4 * PAGE, ProtFlags::PROT_NONE, SHARED, 0)
        .unwrap();
    balance.expect_held(1);
    let phys_addr = node.user_to_phys(mapping.addr()).unwrap().phys_addr;
    mapping.protect(0..4 * PAGE, READ_WRITE).unwrap();
    mapping.check_zero(0..4 * PAGE);
    mapping.fill(2);
    mapping.check(2);
    assert_eq!(
        node.user_to_phys(mapping.addr()).unwrap().phys_addr,
        phys_addr
    );
}

#[test]
fn a_read_of_a_mapping_without_access_is_a_segmentation_fault() {
    let _balance = Balance::new();
    let child = Child::start(|_| {
        let node = Node::open();
        let mapping = node
            .map_with(PAGE, ProtFlags::PROT_NONE, SHARED, 0)
            .unwrap();
        mapping.load(0);
    });
    assert_eq!(child.wait(), Exit::Signal(Signal::SIGSEGV));
}
