// SPDX-License-Identifier: MIT OR Apache-2.0

//! User space cannot make the driver write to the kernel log.

// Needs the device, so it exists for the guest's architecture only.
#![cfg(target_arch = "aarch64")]
#![forbid(unsafe_code)]

use fpgamem_tests::abi::{self, Range};
use fpgamem_tests::driver::Unbound;
use fpgamem_tests::kernel_log::KernelLog;
use fpgamem_tests::{request, Balance, MapFlags, Mapping, Node, ProtFlags, PAGE, READ_WRITE};

/// Calls that fail, one of each kind.
fn bad_calls(node: &Node) {
    let nowhere = Mapping::anonymous(PAGE, ProtFlags::PROT_NONE);
    let range = Range {
        addr: 0,
        len: u64::MAX,
        ..Default::default()
    };
    let results = [
        node.alloc(request(0)).map(drop),
        node.alloc(request(u64::MAX)).map(drop),
        node.alloc(abi::Alloc {
            flags: !0,
            ..request(1)
        })
        .map(drop),
        node.free(12345),
        node.query(12345).map(drop),
        node.user_to_phys(0).map(drop),
        node.phys_to_user(0).map(drop),
        node.flush(range),
        node.invalidate(range),
        node.sync(99, &[range]),
        node.command_at(abi::IOC_INFO, &nowhere, 0),
        node.command_at(abi::IOC_ALLOC, &nowhere, 0),
        node.command_at(0x1234, &nowhere, 0),
        node.map_with(PAGE, READ_WRITE, MapFlags::MAP_PRIVATE, 0)
            .map(drop),
        node.map_with(PAGE, ProtFlags::PROT_EXEC, MapFlags::MAP_SHARED, 0)
            .map(drop),
        node.map_with(PAGE, READ_WRITE, MapFlags::MAP_SHARED, PAGE)
            .map(drop),
    ];
    assert!(results.iter().all(Result::is_err), "{results:?}");
}

#[test]
fn a_thousand_bad_calls_add_no_line() {
    let _balance = Balance::new();
    let mut log = KernelLog::from_now();
    let node = Node::open();
    for _ in 0..1000 {
        bad_calls(&node);
    }
    assert_eq!(log.driver_lines(), [""; 0]);
}

#[test]
fn a_pool_without_room_adds_no_line() {
    let _balance = Balance::of_an_empty_pool();
    let mut log = KernelLog::from_now();
    let node = Node::open();
    let region = node.info().unwrap().region_bytes;
    let _whole = node.alloc(request(region)).unwrap();
    for _ in 0..1000 {
        node.alloc(request(1)).unwrap_err();
        node.map(1).unwrap_err();
    }
    assert_eq!(log.driver_lines(), [""; 0]);
}

#[test]
fn good_calls_add_no_line() {
    let _balance = Balance::new();
    let mut log = KernelLog::from_now();
    for _ in 0..100 {
        let node = Node::open();
        let mapping = node.map(PAGE).unwrap();
        let range = Range {
            addr: mapping.addr(),
            len: PAGE,
            ..Default::default()
        };
        node.flush(range).unwrap();
        node.user_to_phys(mapping.addr()).unwrap();
    }
    assert_eq!(log.driver_lines(), [""; 0]);
}

#[test]
fn binding_adds_one_line_that_names_the_node_and_the_region() {
    let _balance = Balance::new();
    let device = Unbound::new();
    let mut log = KernelLog::from_now();
    device.bind();
    let lines = log.driver_lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].contains("fpgamem0") && lines[0].contains("0x40000000"),
        "{lines:?}"
    );
}
