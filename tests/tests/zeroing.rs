// SPDX-License-Identifier: MIT OR Apache-2.0

//! No process, and no bus master, finds another owner's bytes in a new buffer.

// Needs the device, so it exists for the guest's architecture only.
#![cfg(target_arch = "aarch64")]
#![forbid(unsafe_code)]

use fpgamem_tests::abi::{self, Alloc};
use fpgamem_tests::pattern::Random;
use fpgamem_tests::zdma::Zdma;
use fpgamem_tests::{in_child, request, Balance, Child, Node, PAGE};

/// Marks every block of the region and returns them all.
fn dirty_the_region() {
    let node = Node::open();
    let region = node.info().expect("INFO succeeds").region_bytes;
    let whole = node.map(region).expect("the pool is empty");
    whole.set(0..region, 0xa5);
    let range = abi::Range {
        addr: whole.addr(),
        len: region,
        ..Default::default()
    };
    node.flush(range).expect("the range is good");
}

#[test]
fn the_region_is_zero_to_the_next_owner() {
    let _balance = Balance::of_an_empty_pool();
    dirty_the_region();
    let node = Node::open();
    let region = node.info().unwrap().region_bytes;
    node.map(region).unwrap().check_zero(0..region);
}

#[test]
fn the_region_is_zero_to_a_bus_master_before_it_is_mapped() {
    let _balance = Balance::of_an_empty_pool();
    dirty_the_region();
    let (zdma, node) = (Zdma::open(), Node::open());
    let info = node.info().unwrap();
    let copy_len = 64 << 10;
    let copy = node.alloc(request(copy_len)).unwrap();
    let fresh = node.alloc(request(info.region_bytes / 2)).unwrap();
    let seen = node.map_buffer(&copy).unwrap();
    let range = abi::Range {
        handle: copy.handle,
        len: copy_len,
        ..Default::default()
    };
    let mut random = Random::new(17);
    for _ in 0..64 {
        let offset = random.below(fresh.alloc_bytes / copy_len) * copy_len;
        seen.fill(offset);
        node.invalidate(range).unwrap();
        zdma.copy(
            fresh.phys_addr + offset,
            copy.phys_addr,
            u32::try_from(copy_len).unwrap(),
        );
        node.invalidate(range).unwrap();
        seen.check_zero(0..copy_len);
    }
}

#[test]
fn a_reused_block_is_zero_whatever_its_attribute_was() {
    let _balance = Balance::of_an_empty_pool();
    let node = Node::open();
    let attributes = [0, abi::ALLOC_WRITE_COMBINE, abi::ALLOC_COHERENT];
    for before in attributes {
        for after in attributes {
            // There is one address with this alignment only.
            let ask = |flags| {
                node.alloc(Alloc {
                    flags,
                    align: abi::MAX_ALIGN,
                    ..request(10 * PAGE)
                })
                .unwrap()
            };
            let old = ask(before);
            node.map_buffer(&old).unwrap().fill(1);
            node.free(old.handle).unwrap();
            let new = ask(after);
            assert_eq!(new.phys_addr, old.phys_addr);
            node.map_buffer(&new)
                .unwrap()
                .check_zero(0..new.alloc_bytes);
            node.free(new.handle).unwrap();
        }
    }
}

#[test]
fn the_unmapped_rest_of_a_reused_block_is_zero() {
    let _balance = Balance::of_an_empty_pool();
    let node = Node::open();
    let ask = |len| {
        node.alloc(Alloc {
            align: abi::MAX_ALIGN,
            ..request(len)
        })
        .unwrap()
    };
    let block = node.info().unwrap().block_bytes;
    let old = ask(block);
    node.map_buffer(&old).unwrap().fill(1);
    node.free(old.handle).unwrap();
    let new = ask(1);
    assert_eq!(new.phys_addr, old.phys_addr);
    node.map_buffer(&new).unwrap().check_zero(0..block);
}

#[test]
fn what_a_killed_process_wrote_is_gone() {
    let _balance = Balance::of_an_empty_pool();
    let len = Node::open().info().unwrap().region_bytes / 8;
    let mut child = Child::start(|link| {
        let mapping = Node::open().map(len).unwrap();
        mapping.set(0..len, 0x5a);
        link.send(0);
        link.receive();
    });
    child.link.receive();
    child.kill();
    in_child(|| {
        // The whole region, so it does not matter where the blocks were.
        let node = Node::open();
        let mappings: Vec<_> = (0..8).map(|_| node.map(len).unwrap()).collect();
        for mapping in &mappings {
            mapping.check_zero(0..len);
        }
    });
}
