// SPDX-License-Identifier: MIT OR Apache-2.0

//! `FPGAMEM_IOC_PHYS_TO_USER`.

// Needs the device, so it exists for the guest's architecture only.
#![cfg(target_arch = "aarch64")]
#![forbid(unsafe_code)]

use fpgamem_tests::abi::{self, Alloc, PhysToUser};
use fpgamem_tests::{
    in_child, request, Balance, Child, Errno, MapFlags, Mapping, Node, ProtFlags, PAGE, READ_WRITE,
};

const SHARED: MapFlags = MapFlags::MAP_SHARED;

/// The error for a physical address that this process does not map.
fn refusal(phys_addr: u64) -> Errno {
    let _balance = Balance::new();
    let answer = Node::open().phys_to_user(phys_addr);
    answer
        .map(|answer| answer.user_addr)
        .expect_err("the address is foreign")
}

/// A file, a buffer of four blocks and its mapping.
fn mapped_buffer() -> (Node, Alloc, Mapping, u64) {
    let node = Node::open();
    let block = node.info().expect("INFO succeeds").block_bytes;
    let buffer = node.alloc(request(4 * block)).expect("there is room");
    let mapping = node.map_buffer(&buffer).expect("the offset is good");
    (node, buffer, mapping, block)
}

#[test]
fn every_byte_translates_to_its_own_address() {
    let _balance = Balance::new();
    let (node, buffer, mapping, block) = mapped_buffer();
    for offset in [
        0,
        1,
        4095,
        4096,
        block - 1,
        block,
        2 * block + 77,
        4 * block - 1,
    ] {
        let answer = node.phys_to_user(buffer.phys_addr + offset).unwrap();
        assert_eq!(answer.user_addr, mapping.addr() + offset);
        assert_eq!(answer.contiguous_bytes, 4 * block - offset);
        assert_eq!(answer.reserved, 0);
    }
}

#[test]
fn both_directions_agree_for_many_buffers() {
    let _balance = Balance::new();
    let node = Node::open();
    let mappings: Vec<_> = (1..=200).map(|n| node.map(n * 3000).unwrap()).collect();
    for mapping in &mappings {
        let addr = mapping.addr() + mapping.len() - 1;
        let phys_addr = node.user_to_phys(addr).unwrap().phys_addr;
        assert_eq!(node.phys_to_user(phys_addr).unwrap().user_addr, addr);
    }
}

#[test]
fn the_lowest_of_two_mappings_is_named() {
    let _balance = Balance::new();
    let (node, buffer, first, _) = mapped_buffer();
    let second = node.map_buffer(&buffer).unwrap();
    let named = || node.phys_to_user(buffer.phys_addr).unwrap().user_addr;
    assert_eq!(named(), first.addr().min(second.addr()));
    // A new mapping goes where the first one was, which was the higher one.
    drop(first);
    let third = node.map_buffer(&buffer).unwrap();
    assert_eq!(named(), second.addr().min(third.addr()));
}

#[test]
fn the_lowest_mapping_that_has_the_byte_is_named() {
    let _balance = Balance::new();
    let (node, buffer, first, block) = mapped_buffer();
    let second = node.map_buffer(&buffer).unwrap();
    let (mut low, high) = if first.addr() < second.addr() {
        (first, second)
    } else {
        (second, first)
    };
    low.unmap(2 * block..4 * block);
    let in_both = node.phys_to_user(buffer.phys_addr + block).unwrap();
    assert_eq!(in_both.user_addr, low.addr() + block);
    assert_eq!(in_both.contiguous_bytes, block);
    let in_one = node.phys_to_user(buffer.phys_addr + 3 * block).unwrap();
    assert_eq!(in_one.user_addr, high.addr() + 3 * block);
}

#[test]
fn the_other_mapping_is_named_when_the_first_is_gone() {
    let _balance = Balance::new();
    let (node, buffer, first, _) = mapped_buffer();
    let second = node.map_buffer(&buffer).unwrap();
    drop(first);
    assert_eq!(
        node.phys_to_user(buffer.phys_addr).unwrap().user_addr,
        second.addr()
    );
}

#[test]
fn a_moved_mapping_is_named_at_its_new_place() {
    let _balance = Balance::new();
    let (node, buffer, mut mapping, _) = mapped_buffer();
    mapping.relocate().unwrap();
    let answer = node.phys_to_user(buffer.phys_addr + 9).unwrap();
    assert_eq!(answer.user_addr, mapping.addr() + 9);
}

#[test]
fn a_mapping_moved_below_another_becomes_the_lowest() {
    let _balance = Balance::new();
    let (node, buffer, mut first, _) = mapped_buffer();
    let mut second = node.map_buffer(&buffer).unwrap();
    for _ in 0..4 {
        first.relocate().unwrap();
        let lowest = first.addr().min(second.addr());
        assert_eq!(
            node.phys_to_user(buffer.phys_addr).unwrap().user_addr,
            lowest
        );
        std::mem::swap(&mut first, &mut second);
    }
}

#[test]
fn contiguous_bytes_reach_across_a_split_by_mprotect() {
    let _balance = Balance::new();
    let (node, buffer, mapping, block) = mapped_buffer();
    mapping
        .protect(block..2 * block, ProtFlags::PROT_READ)
        .unwrap();
    let answer = node.phys_to_user(buffer.phys_addr + 5).unwrap();
    assert_eq!(
        (answer.user_addr, answer.contiguous_bytes),
        (mapping.addr() + 5, 4 * block - 5)
    );
}

#[test]
fn contiguous_bytes_end_at_a_hole() {
    let _balance = Balance::new();
    let (node, buffer, mut mapping, block) = mapped_buffer();
    mapping.unmap(2 * block..3 * block);
    assert_eq!(
        node.phys_to_user(buffer.phys_addr)
            .unwrap()
            .contiguous_bytes,
        2 * block
    );
    let behind = node.phys_to_user(buffer.phys_addr + 3 * block).unwrap();
    assert_eq!(
        (behind.user_addr, behind.contiguous_bytes),
        (mapping.addr() + 3 * block, block)
    );
}

#[test]
fn an_unmapped_part_of_a_buffer_is_a_fault() {
    let _balance = Balance::new();
    let (node, buffer, mut mapping, block) = mapped_buffer();
    mapping.unmap(block..2 * block);
    let error = node.phys_to_user(buffer.phys_addr + block).unwrap_err();
    assert_eq!(error, Errno::EFAULT);
}

#[test]
fn the_rounded_part_that_is_not_mapped_is_a_fault() {
    let _balance = Balance::new();
    let node = Node::open();
    let mapping = node.map(1).unwrap();
    let phys_addr = node.user_to_phys(mapping.addr()).unwrap().phys_addr;
    assert_eq!(
        node.phys_to_user(phys_addr + PAGE).unwrap_err(),
        Errno::EFAULT
    );
}

#[test]
fn a_mapping_of_the_second_half_is_found() {
    let _balance = Balance::new();
    let (node, buffer, mapping, block) = mapped_buffer();
    drop(mapping);
    let offset = buffer.mmap_offset + 2 * block;
    let half = node
        .map_with(2 * block, READ_WRITE, SHARED, offset)
        .unwrap();
    let answer = node.phys_to_user(buffer.phys_addr + 3 * block).unwrap();
    assert_eq!(answer.user_addr, half.addr() + block);
    assert_eq!(
        node.phys_to_user(buffer.phys_addr).unwrap_err(),
        Errno::EFAULT
    );
}

#[test]
fn a_buffer_with_a_handle_and_no_mapping_is_a_fault() {
    let _balance = Balance::new();
    let node = Node::open();
    let buffer = node.alloc(request(1)).unwrap();
    assert_eq!(
        node.phys_to_user(buffer.phys_addr).unwrap_err(),
        Errno::EFAULT
    );
}

#[test]
fn a_free_block_is_a_fault() {
    let _balance = Balance::new();
    let (node, buffer, mapping, _) = mapped_buffer();
    drop(mapping);
    node.free(buffer.handle).unwrap();
    assert_eq!(
        node.phys_to_user(buffer.phys_addr).unwrap_err(),
        Errno::EFAULT
    );
}

#[test]
fn the_byte_below_the_region_is_a_fault() {
    assert_eq!(refusal(0x4000_0000 - 1), Errno::EFAULT);
}

#[test]
fn the_byte_above_the_region_is_a_fault() {
    let info = Node::open().info().unwrap();
    assert_eq!(refusal(info.phys_addr + info.region_bytes), Errno::EFAULT);
}

#[test]
fn address_zero_is_a_fault() {
    assert_eq!(refusal(0), Errno::EFAULT);
}

#[test]
fn the_highest_address_is_a_fault() {
    assert_eq!(refusal(u64::MAX), Errno::EFAULT);
}

#[test]
fn the_address_of_a_device_is_a_fault() {
    assert_eq!(refusal(0xff00_0000), Errno::EFAULT);
}

#[test]
fn a_buffer_of_another_process_is_a_fault() {
    let _balance = Balance::new();
    let mut child = Child::start(|link| {
        let node = Node::open();
        let mapping = node.map(PAGE).unwrap();
        link.send(node.user_to_phys(mapping.addr()).unwrap().phys_addr);
        link.receive();
    });
    let phys_addr = child.link.receive();
    assert_eq!(
        Node::open().phys_to_user(phys_addr).unwrap_err(),
        Errno::EFAULT
    );
    child.link.send(0);
    child.succeed();
}

#[test]
fn a_buffer_that_only_the_parent_still_maps_is_a_fault() {
    let _balance = Balance::new();
    let (node, buffer, mut mapping, block) = mapped_buffer();
    in_child(|| {
        mapping.unmap(0..4 * block);
        assert_eq!(
            node.phys_to_user(buffer.phys_addr).unwrap_err(),
            Errno::EFAULT
        );
    });
    assert_eq!(
        node.phys_to_user(buffer.phys_addr).unwrap().user_addr,
        mapping.addr()
    );
}

#[test]
fn a_buffer_that_only_the_child_still_maps_is_a_fault_to_the_parent() {
    let _balance = Balance::new();
    let (node, buffer, mapping, _) = mapped_buffer();
    let addr = mapping.addr();
    let mut child = Child::start(|link| {
        link.receive();
        assert_eq!(node.phys_to_user(buffer.phys_addr).unwrap().user_addr, addr);
    });
    drop(mapping);
    assert_eq!(
        node.phys_to_user(buffer.phys_addr).unwrap_err(),
        Errno::EFAULT
    );
    child.link.send(0);
    child.succeed();
}

#[test]
fn an_inherited_mapping_is_named_in_the_child() {
    let _balance = Balance::new();
    let (node, buffer, mapping, _) = mapped_buffer();
    in_child(|| {
        let answer = node.phys_to_user(buffer.phys_addr).unwrap();
        assert_eq!(answer.user_addr, mapping.addr());
    });
}

#[test]
fn a_mapping_made_through_another_open_file_is_named() {
    let _balance = Balance::new();
    let (_owner, buffer, mapping, _) = mapped_buffer();
    let answer = Node::open().phys_to_user(buffer.phys_addr).unwrap();
    assert_eq!(answer.user_addr, mapping.addr());
}

#[test]
fn the_same_physical_memory_under_another_driver_is_a_fault() {
    let _balance = Balance::new();
    let node = Node::open();
    let buffer = node.alloc(request(1)).unwrap();
    let mem = std::fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/mem")
        .unwrap();
    let _memory = Mapping::of(&mem, PAGE, READ_WRITE, SHARED, buffer.phys_addr).unwrap();
    assert_eq!(
        node.phys_to_user(buffer.phys_addr).unwrap_err(),
        Errno::EFAULT
    );
}

#[test]
fn a_non_zero_reserved_field_is_invalid() {
    let _balance = Balance::new();
    let (node, buffer, _mapping, _) = mapped_buffer();
    let argument = PhysToUser {
        phys_addr: buffer.phys_addr,
        reserved: 1,
        ..Default::default()
    };
    assert_eq!(node.phys_to_user_with(argument).unwrap_err(), Errno::EINVAL);
}

#[test]
fn a_pointer_to_nowhere_is_a_fault() {
    let _balance = Balance::new();
    let nowhere = Mapping::anonymous(PAGE, ProtFlags::PROT_NONE);
    let result = Node::open().command_at(abi::IOC_PHYS_TO_USER, &nowhere, 0);
    assert_eq!(result, Err(Errno::EFAULT));
}
