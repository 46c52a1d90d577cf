// SPDX-License-Identifier: MIT OR Apache-2.0

//! mmap at offset 0, which allocates.

// Needs the device, so it exists for the guest's architecture only.
#![cfg(target_arch = "aarch64")]
#![forbid(unsafe_code)]

use fpgamem_tests::{
    abi, in_child, Balance, Errno, MapFlags, Mapping, Node, ProtFlags, PAGE, READ_WRITE,
};

const SHARED: MapFlags = MapFlags::MAP_SHARED;

/// The error that a mapping ends with, which must not cost a block.
fn refusal(len: u64, protection: ProtFlags, flags: MapFlags, offset: u64) -> Errno {
    let _balance = Balance::new();
    let result = Node::open().map_with(len, protection, flags, offset);
    result
        .map(|mapping| mapping.addr())
        .expect_err("the mapping is refused")
}

/// The file offset of the mapping at an address, as /proc shows it.
fn offset_in_proc(addr: u64) -> u64 {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("the kernel has /proc");
    let start = format!("{addr:x}-");
    let line = maps
        .lines()
        .find(|line| line.starts_with(&start))
        .expect("the address is mapped");
    let offset = line
        .split_whitespace()
        .nth(2)
        .expect("the third field is the offset");
    u64::from_str_radix(offset, 16).expect("offsets are hexadecimal")
}

#[test]
fn a_new_mapping_is_zero_filled() {
    let _balance = Balance::new();
    Node::open().map(3 << 20).unwrap().check_zero(0..3 << 20);
}

#[test]
fn memory_keeps_what_is_written() {
    let _balance = Balance::new();
    let mapping = Node::open().map(3 << 20).unwrap();
    mapping.fill(1);
    mapping.check(1);
}

#[test]
fn lengths_are_rounded_up_to_blocks() {
    let balance = Balance::new();
    let node = Node::open();
    let block = node.info().unwrap().block_bytes;
    for (len, blocks) in [
        (1, 1),
        (PAGE, 1),
        (block, 1),
        (block + 1, 2),
        (5 * block, 5),
    ] {
        let mapping = node.map(len).unwrap();
        balance.expect_held(blocks);
        drop(mapping);
        balance.expect_held(0);
    }
}

#[test]
fn a_buffer_is_aligned_to_the_block() {
    let _balance = Balance::new();
    let node = Node::open();
    let block = node.info().unwrap().block_bytes;
    let mappings: Vec<_> = (0..5).map(|_| node.map(1).unwrap()).collect();
    for mapping in &mappings {
        assert_eq!(
            node.user_to_phys(mapping.addr()).unwrap().phys_addr % block,
            0
        );
    }
}

#[test]
fn each_mapping_at_offset_zero_is_a_buffer_of_its_own() {
    let _balance = Balance::new();
    let node = Node::open();
    let (first, second) = (node.map(PAGE).unwrap(), node.map(PAGE).unwrap());
    first.fill(1);
    second.fill(2);
    first.check(1);
    second.check(2);
}

#[test]
fn a_private_mapping_is_invalid() {
    assert_eq!(
        refusal(PAGE, READ_WRITE, MapFlags::MAP_PRIVATE, 0),
        Errno::EINVAL
    );
}

#[test]
fn a_private_read_only_mapping_is_invalid() {
    assert_eq!(
        refusal(PAGE, ProtFlags::PROT_READ, MapFlags::MAP_PRIVATE, 0),
        Errno::EINVAL
    );
}

#[test]
fn an_executable_mapping_is_invalid() {
    let protection = ProtFlags::PROT_READ | ProtFlags::PROT_EXEC;
    assert_eq!(refusal(PAGE, protection, SHARED, 0), Errno::EINVAL);
}

#[test]
fn a_length_beyond_the_region_is_invalid() {
    let region = Node::open().info().unwrap().region_bytes;
    assert_eq!(refusal(region + 1, READ_WRITE, SHARED, 0), Errno::EINVAL);
}

#[test]
fn an_offset_of_one_page_is_invalid() {
    assert_eq!(refusal(PAGE, READ_WRITE, SHARED, PAGE), Errno::EINVAL);
}

#[test]
fn the_offset_of_registers_is_invalid() {
    let offset = 0x8000_0000;
    assert_eq!(refusal(PAGE, READ_WRITE, SHARED, offset), Errno::EINVAL);
}

#[test]
fn a_physical_address_as_offset_is_invalid() {
    assert_eq!(
        refusal(PAGE, READ_WRITE, SHARED, 0x4000_0000),
        Errno::EINVAL
    );
}

#[test]
fn the_last_offset_below_those_of_handles_is_invalid() {
    let offset = abi::MMAP_OFFSET_BASE - PAGE;
    assert_eq!(refusal(PAGE, READ_WRITE, SHARED, offset), Errno::EINVAL);
}

#[test]
fn the_highest_offset_is_invalid() {
    let offset = (1 << 63) - PAGE;
    assert_eq!(refusal(PAGE, READ_WRITE, SHARED, offset), Errno::EINVAL);
}

#[test]
fn proc_shows_an_offset_of_the_range_of_handles() {
    let _balance = Balance::new();
    let mapping = Node::open().map(PAGE).unwrap();
    assert!(offset_in_proc(mapping.addr()) >= abi::MMAP_OFFSET_BASE);
}

#[test]
fn the_offset_in_proc_cannot_be_mapped_without_a_handle() {
    let _balance = Balance::new();
    let node = Node::open();
    let mapping = node.map(PAGE).unwrap();
    let offset = offset_in_proc(mapping.addr());
    assert_eq!(
        node.map_with(PAGE, READ_WRITE, SHARED, offset).unwrap_err(),
        Errno::EINVAL
    );
}

#[test]
fn a_fixed_mapping_of_something_else_frees_the_buffer() {
    let balance = Balance::new();
    let node = Node::open();
    let mut mapping = node.map(PAGE).unwrap();
    balance.expect_held(1);
    let zero = std::fs::File::open("/dev/zero").unwrap();
    mapping
        .replace(0..PAGE, &zero, MapFlags::MAP_PRIVATE, 0)
        .unwrap();
    balance.expect_held(0);
    assert_eq!(
        node.user_to_phys(mapping.addr()).unwrap_err(),
        Errno::EFAULT
    );
}

#[test]
fn a_fixed_mapping_over_the_middle_keeps_the_rest() {
    let balance = Balance::new();
    let node = Node::open();
    let block = node.info().unwrap().block_bytes;
    let mut mapping = node.map(3 * block).unwrap();
    mapping.fill(9);
    mapping.replace(block..2 * block, &node, SHARED, 0).unwrap();
    balance.expect_held(4);
    mapping.check_range(0..block, 9, 0);
    mapping.check_zero(block..2 * block);
    mapping.check_range(2 * block..3 * block, 9, 2 * block);
}

#[test]
fn a_refused_fixed_mapping_leaves_no_block_behind() {
    let balance = Balance::new();
    let node = Node::open();
    let mut mapping = node.map(PAGE).unwrap();
    let result = mapping.replace(0..PAGE, &node, MapFlags::MAP_PRIVATE, 0);
    assert_eq!(result, Err(Errno::EINVAL));
    balance.expect_held(0);
}

#[test]
fn populating_a_mapping_is_harmless() {
    let _balance = Balance::new();
    let flags = SHARED | MapFlags::MAP_POPULATE;
    let mapping = Node::open()
        .map_with(1 << 20, READ_WRITE, flags, 0)
        .unwrap();
    mapping.check_zero(0..1 << 20);
}

#[test]
fn a_process_that_may_have_no_more_mappings_loses_no_block() {
    const LIMIT: &str = "/proc/sys/vm/max_map_count";
    let balance = Balance::new();
    let before = std::fs::read_to_string(LIMIT).unwrap();
    in_child(|| {
        let node = Node::open();
        let block = node.info().unwrap().block_bytes;
        std::fs::write(LIMIT, "100").unwrap();
        let mut mappings = Vec::with_capacity(200);
        let error = loop {
            match node.map(2 * block) {
                Ok(mapping) => mappings.push(mapping),
                Err(error) => break error,
            }
        };
        // mprotect of a part needs one more mapping, too.
        let part = mappings[0].protect(0..block, ProtFlags::PROT_READ);
        std::fs::write(LIMIT, &before).unwrap();
        assert_eq!((error, part), (Errno::ENOMEM, Err(Errno::ENOMEM)));
        balance.expect_held(2 * mappings.len() as u64);
        mappings[0].check_zero(0..2 * block);
    });
}

#[test]
fn a_forked_child_may_map_through_the_inherited_file() {
    let balance = Balance::new();
    let node = Node::open();
    in_child(|| {
        let mapping = node.map(PAGE).unwrap();
        mapping.fill(3);
        mapping.check(3);
        balance.expect_held(1);
    });
}

#[test]
fn a_thousand_mappings_live_side_by_side() {
    let balance = Balance::new();
    let node = Node::open();
    let mappings: Vec<Mapping> = (0..1000).map(|_| node.map(PAGE).unwrap()).collect();
    balance.expect_held(1000);
    for (number, mapping) in (0..).zip(&mappings) {
        mapping.store(8 * (number % 500), number);
    }
    for (number, mapping) in (0..).zip(&mappings) {
        assert_eq!(mapping.load(8 * (number % 500)), number);
    }
}
