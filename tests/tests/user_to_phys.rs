// SPDX-License-Identifier: MIT OR Apache-2.0

//! `FPGAMEM_IOC_USER_TO_PHYS`.

// Needs the device, so it exists for the guest's architecture only.
#![cfg(target_arch = "aarch64")]
#![forbid(unsafe_code)]

use fpgamem_tests::abi::{self, Alloc, UserToPhys};
use fpgamem_tests::{
    in_child, request, zdma, Balance, Child, Errno, MapFlags, Mapping, Node, ProtFlags, PAGE,
    READ_WRITE,
};

const SHARED: MapFlags = MapFlags::MAP_SHARED;

/// The error for an address that no mapping of the pool contains.
fn refusal(user_addr: u64) -> Errno {
    let _balance = Balance::new();
    let answer = Node::open().user_to_phys(user_addr);
    answer
        .map(|answer| answer.phys_addr)
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
        let answer = node.user_to_phys(mapping.addr() + offset).unwrap();
        assert_eq!(answer.phys_addr, buffer.phys_addr + offset);
        assert_eq!(answer.device_addr, buffer.device_addr + offset);
        assert_eq!(answer.contiguous_bytes, 4 * block - offset);
        assert_eq!(answer.flags, 0);
        assert_eq!(answer.reserved, 0);
    }
}

#[test]
fn a_mapping_at_offset_zero_translates() {
    let _balance = Balance::new();
    let node = Node::open();
    let info = node.info().unwrap();
    let mapping = node.map(3 * info.block_bytes).unwrap();
    let answer = node.user_to_phys(mapping.addr()).unwrap();
    assert!(answer.phys_addr >= info.phys_addr);
    assert!(answer.phys_addr + answer.contiguous_bytes <= info.phys_addr + info.region_bytes);
    assert_eq!(answer.contiguous_bytes, 3 * info.block_bytes);
}

#[test]
fn contiguous_bytes_end_where_the_mapping_ends() {
    let _balance = Balance::new();
    let node = Node::open();
    // The buffer is a whole block, the mapping one page of it.
    let mapping = node.map(1).unwrap();
    assert_eq!(
        node.user_to_phys(mapping.addr()).unwrap().contiguous_bytes,
        PAGE
    );
}

#[test]
fn contiguous_bytes_reach_across_a_split_by_mprotect() {
    let _balance = Balance::new();
    let (node, _, mapping, block) = mapped_buffer();
    mapping
        .protect(block..2 * block, ProtFlags::PROT_READ)
        .unwrap();
    let answer = node.user_to_phys(mapping.addr() + 5).unwrap();
    assert_eq!(answer.contiguous_bytes, 4 * block - 5);
}

#[test]
fn contiguous_bytes_reach_across_mappings_that_join() {
    let _balance = Balance::new();
    let (node, buffer, mut mapping, block) = mapped_buffer();
    let rest = block..4 * block;
    mapping
        .replace(rest, &node, SHARED, buffer.mmap_offset + block)
        .unwrap();
    assert_eq!(
        node.user_to_phys(mapping.addr()).unwrap().contiguous_bytes,
        4 * block
    );
}

#[test]
fn contiguous_bytes_end_where_the_order_of_the_buffer_breaks() {
    let _balance = Balance::new();
    let (node, buffer, mut mapping, block) = mapped_buffer();
    // The second block shows the buffer's first block again.
    mapping
        .replace(block..2 * block, &node, SHARED, buffer.mmap_offset)
        .unwrap();
    assert_eq!(
        node.user_to_phys(mapping.addr()).unwrap().contiguous_bytes,
        block
    );
}

#[test]
fn contiguous_bytes_end_at_the_neighbour_of_another_buffer() {
    let _balance = Balance::of_an_empty_pool();
    let (node, first, mut mapping, block) = mapped_buffer();
    let second = node.alloc(request(block)).unwrap();
    assert_eq!(
        second.phys_addr,
        first.phys_addr + 4 * block,
        "the lowest free block goes first"
    );
    // Mapped side by side: contiguous in both address spaces, but not one buffer.
    mapping
        .replace(0..3 * block, &node, SHARED, first.mmap_offset + block)
        .unwrap();
    mapping
        .replace(3 * block..4 * block, &node, SHARED, second.mmap_offset)
        .unwrap();
    assert_eq!(
        node.user_to_phys(mapping.addr()).unwrap().contiguous_bytes,
        3 * block
    );
}

#[test]
fn contiguous_bytes_end_at_a_hole() {
    let _balance = Balance::new();
    let (node, _, mut mapping, block) = mapped_buffer();
    mapping.unmap(2 * block..3 * block);
    assert_eq!(
        node.user_to_phys(mapping.addr()).unwrap().contiguous_bytes,
        2 * block
    );
    let behind = node.user_to_phys(mapping.addr() + 3 * block).unwrap();
    assert_eq!(behind.contiguous_bytes, block);
}

#[test]
fn a_hole_is_a_fault() {
    let _balance = Balance::new();
    let (node, _, mut mapping, block) = mapped_buffer();
    mapping.unmap(block..2 * block);
    for offset in [block, 2 * block - 1] {
        let error = node.user_to_phys(mapping.addr() + offset).unwrap_err();
        assert_eq!(error, Errno::EFAULT);
    }
}

#[test]
fn an_unmapped_buffer_is_a_fault_though_its_handle_lives() {
    let _balance = Balance::new();
    let (node, _, mapping, _) = mapped_buffer();
    let addr = mapping.addr();
    drop(mapping);
    assert_eq!(node.user_to_phys(addr).unwrap_err(), Errno::EFAULT);
}

#[test]
fn the_byte_behind_a_mapping_is_a_fault() {
    let _balance = Balance::new();
    let (node, _, mut mapping, block) = mapped_buffer();
    // So that nothing else can be there.
    mapping.unmap(3 * block..4 * block);
    assert_eq!(
        node.user_to_phys(mapping.addr() + 3 * block).unwrap_err(),
        Errno::EFAULT
    );
}

#[test]
fn an_address_on_the_heap_is_a_fault() {
    let heap = Box::new([0_u8; 100]);
    assert_eq!(refusal(heap.as_ptr() as u64), Errno::EFAULT);
}

#[test]
fn an_address_on_the_stack_is_a_fault() {
    let local = 0_u8;
    assert_eq!(refusal(&raw const local as u64), Errno::EFAULT);
}

#[test]
fn an_address_in_the_program_is_a_fault() {
    assert_eq!(
        refusal(refusal as fn(u64) -> Errno as usize as u64),
        Errno::EFAULT
    );
}

#[test]
fn anonymous_memory_is_a_fault() {
    let memory = Mapping::anonymous(PAGE, READ_WRITE);
    memory.store(0, 1);
    assert_eq!(refusal(memory.addr()), Errno::EFAULT);
}

#[test]
fn shared_memory_of_another_driver_is_a_fault() {
    let zero = std::fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/zero")
        .unwrap();
    let memory = Mapping::of(&zero, PAGE, READ_WRITE, SHARED, 0).unwrap();
    memory.store(0, 1);
    assert_eq!(refusal(memory.addr()), Errno::EFAULT);
}

#[test]
fn a_pfn_mapping_of_another_driver_is_a_fault() {
    let uio = std::fs::File::options()
        .read(true)
        .write(true)
        .open(zdma::uio_node())
        .unwrap();
    let registers = Mapping::of(&uio, PAGE, READ_WRITE, SHARED, 0).unwrap();
    assert_eq!(refusal(registers.addr()), Errno::EFAULT);
}

#[test]
fn a_mapping_of_the_region_through_dev_mem_is_a_fault() {
    let mem = std::fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/mem")
        .unwrap();
    let memory = Mapping::of(&mem, PAGE, READ_WRITE, SHARED, 0x4000_0000).unwrap();
    assert_eq!(refusal(memory.addr()), Errno::EFAULT);
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
fn an_address_of_the_kernel_is_a_fault() {
    for addr in [0xffff_0000_4000_0000, 0xffff_8000_8000_0000] {
        assert_eq!(refusal(addr), Errno::EFAULT, "{addr:#x}");
    }
}

#[test]
fn a_physical_address_is_a_fault() {
    assert_eq!(refusal(0x4000_0000), Errno::EFAULT);
}

#[test]
fn a_mapping_of_another_process_is_a_fault() {
    let _balance = Balance::new();
    let mut child = Child::start(|link| {
        let mapping = Node::open().map(PAGE).unwrap();
        link.send(mapping.addr());
        link.receive();
    });
    let addr = child.link.receive();
    // The same number may be an address of this process, but not of the pool: it maps nothing.
    assert_eq!(Node::open().user_to_phys(addr).unwrap_err(), Errno::EFAULT);
    child.link.send(0);
    child.succeed();
}

#[test]
fn a_mapping_that_only_the_parent_still_has_is_a_fault() {
    let _balance = Balance::new();
    let (node, _, mut mapping, block) = mapped_buffer();
    in_child(|| {
        let addr = mapping.addr();
        mapping.unmap(0..4 * block);
        assert_eq!(node.user_to_phys(addr).unwrap_err(), Errno::EFAULT);
    });
    node.user_to_phys(mapping.addr()).unwrap();
}

#[test]
fn an_inherited_mapping_translates_in_the_child() {
    let _balance = Balance::new();
    let (node, buffer, mapping, _) = mapped_buffer();
    in_child(|| {
        let answer = node.user_to_phys(mapping.addr()).unwrap();
        assert_eq!(answer.phys_addr, buffer.phys_addr);
    });
}

#[test]
fn a_mapping_made_through_another_open_file_translates() {
    let _balance = Balance::new();
    let (_owner, buffer, mapping, _) = mapped_buffer();
    let answer = Node::open().user_to_phys(mapping.addr()).unwrap();
    assert_eq!(answer.phys_addr, buffer.phys_addr);
}

#[test]
fn a_moved_mapping_translates_at_its_new_place_only() {
    let _balance = Balance::new();
    let (node, buffer, mut mapping, block) = mapped_buffer();
    let before = mapping.addr();
    mapping.relocate().unwrap();
    let answer = node.user_to_phys(mapping.addr() + block).unwrap();
    assert_eq!(answer.phys_addr, buffer.phys_addr + block);
    assert_eq!(answer.contiguous_bytes, 3 * block);
    assert_eq!(node.user_to_phys(before).unwrap_err(), Errno::EFAULT);
}

#[test]
fn flags_tell_how_the_buffer_is_mapped() {
    let _balance = Balance::new();
    let node = Node::open();
    let flags = abi::ALLOC_WRITE_COMBINE | abi::ALLOC_COHERENT;
    let mapping = node
        .map_buffer(
            &node
                .alloc(Alloc {
                    flags,
                    ..request(1)
                })
                .unwrap(),
        )
        .unwrap();
    let expected = abi::BUFFER_WRITE_COMBINE | abi::BUFFER_COHERENT;
    assert_eq!(node.user_to_phys(mapping.addr()).unwrap().flags, expected);
}

#[test]
fn a_non_zero_reserved_field_is_invalid() {
    let _balance = Balance::new();
    let (node, _, mapping, _) = mapped_buffer();
    let argument = UserToPhys {
        user_addr: mapping.addr(),
        reserved: 1,
        ..Default::default()
    };
    assert_eq!(node.user_to_phys_with(argument).unwrap_err(), Errno::EINVAL);
}

#[test]
fn a_pointer_to_nowhere_is_a_fault() {
    let _balance = Balance::new();
    let nowhere = Mapping::anonymous(PAGE, ProtFlags::PROT_NONE);
    let result = Node::open().command_at(abi::IOC_USER_TO_PHYS, &nowhere, 0);
    assert_eq!(result, Err(Errno::EFAULT));
}
