// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a bus master sees and does at the addresses that the driver names.
//!
//! QEMU's ZDMA copies between physical addresses and knows no page table, so a wrong translation is
//! a wrong byte. QEMU has no data cache: a missing flush is not seen here.

// Needs the device, so it exists for the guest's architecture only.
#![cfg(target_arch = "aarch64")]
#![forbid(unsafe_code)]

use fpgamem_tests::abi::{self, Alloc, Range};
use fpgamem_tests::zdma::Zdma;
use fpgamem_tests::{request, Balance, Mapping, Node, PAGE};

const BYTES: u64 = 1 << 20;

fn whole(mapping: &Mapping) -> Range {
    Range {
        addr: mapping.addr(),
        len: mapping.len(),
        ..Default::default()
    }
}

/// Lets the ZDMA copy one mapping to another, with the maintenance that hardware needs.
fn copy(node: &Node, from: &Mapping, to: &Mapping) {
    let phys_addr = |mapping: &Mapping| {
        let answer = node
            .user_to_phys(mapping.addr())
            .expect("the mapping is ours");
        assert_eq!(answer.contiguous_bytes, mapping.len());
        answer.device_addr
    };
    node.flush(whole(from)).expect("the range is good");
    node.invalidate(whole(to)).expect("the range is good");
    let len = u32::try_from(from.len()).expect("the length fits the register");
    Zdma::open().copy(phys_addr(from), phys_addr(to), len);
    node.invalidate(whole(to)).expect("the range is good");
}

#[test]
fn the_master_reads_what_the_cpu_wrote_and_the_cpu_what_it_wrote() {
    let _balance = Balance::new();
    let node = Node::open();
    let (from, to) = (node.map(BYTES).unwrap(), node.map(BYTES).unwrap());
    from.fill(1);
    copy(&node, &from, &to);
    to.check(1);
}

#[test]
fn a_transfer_stays_inside_its_target() {
    let _balance = Balance::of_an_empty_pool();
    let node = Node::open();
    // Three buffers in a row; the transfer goes to the one in the middle.
    let mappings: Vec<_> = (0..4).map(|_| node.map(BYTES).unwrap()).collect();
    for (seed, mapping) in (0..).zip(&mappings) {
        mapping.fill(seed);
    }
    copy(&node, &mappings[3], &mappings[1]);
    mappings[0].check(0);
    mappings[1].check(3);
    mappings[2].check(2);
    mappings[3].check(3);
}

#[test]
fn a_moved_mapping_has_the_same_memory_to_the_master() {
    let _balance = Balance::new();
    let node = Node::open();
    let (mut from, to) = (node.map(BYTES).unwrap(), node.map(BYTES).unwrap());
    from.fill(4);
    from.relocate().unwrap();
    copy(&node, &from, &to);
    to.check(4);
}

#[test]
fn write_combine_buffers_reach_the_master_and_back() {
    let _balance = Balance::new();
    let node = Node::open();
    let map = || {
        let argument = Alloc {
            flags: abi::ALLOC_WRITE_COMBINE,
            ..request(BYTES)
        };
        node.map_buffer(&node.alloc(argument).unwrap()).unwrap()
    };
    let (from, to) = (map(), map());
    from.fill(5);
    copy(&node, &from, &to);
    to.check(5);
}

#[test]
fn an_interior_address_is_where_the_master_finds_the_byte() {
    let _balance = Balance::new();
    let node = Node::open();
    let (from, to) = (node.map(BYTES).unwrap(), node.map(PAGE).unwrap());
    from.fill(6);
    node.flush(whole(&from)).unwrap();
    node.invalidate(whole(&to)).unwrap();
    let offset = 5 * PAGE + 128;
    let source = node.user_to_phys(from.addr() + offset).unwrap().device_addr;
    let target = node.user_to_phys(to.addr()).unwrap().device_addr;
    Zdma::open().copy(source, target, 256);
    node.invalidate(whole(&to)).unwrap();
    to.check_range(0..256, 6, offset);
    to.check_zero(256..PAGE);
}
