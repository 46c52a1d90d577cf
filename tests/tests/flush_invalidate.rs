// SPDX-License-Identifier: MIT OR Apache-2.0

//! `FPGAMEM_IOC_FLUSH` and `FPGAMEM_IOC_INVALIDATE`: which ranges they take, and how many cache
//! lines they maintain.
//!
//! QEMU has no data cache. What is proven here is which lines the driver works on; that the
//! instructions reach memory can be seen on hardware only.

// Needs the device, so it exists for the guest's architecture only.
#![cfg(target_arch = "aarch64")]
#![forbid(unsafe_code)]

use fpgamem_tests::abi::{self, Alloc, Range};
use fpgamem_tests::debugfs::lines;
use fpgamem_tests::{
    in_child, request, Balance, Child, Errno, MapFlags, Mapping, Node, ProtFlags, PAGE, READ_WRITE,
};

/// Bytes of a cache line of the test board's CPU.
const LINE: u64 = 64;
const BYTES: u64 = 64 << 10;

type Call = fn(&Node, Range) -> Result<(), Errno>;

fn by_address(addr: u64, len: u64) -> Range {
    Range {
        addr,
        len,
        ..Default::default()
    }
}

fn by_handle(handle: u32, offset: u64, len: u64) -> Range {
    Range {
        addr: offset,
        len,
        handle,
        reserved: 0,
    }
}

/// Lines that FLUSH and that INVALIDATE maintain for the range.
fn lines_of(node: &Node, range: Range) -> (u64, u64) {
    let before = lines();
    node.flush(range).expect("the range is good");
    let between = lines();
    assert_eq!(between.1, before.1, "a flush invalidates nothing");
    node.invalidate(range).expect("the range is good");
    let after = lines();
    assert_eq!(after.0, between.0, "an invalidation counts as such only");
    (between.0 - before.0, after.1 - between.1)
}

/// The error that both calls end with, which must not touch a line.
fn refusal(node: &Node, range: Range) -> Errno {
    let before = lines();
    let calls: [Call; 2] = [Node::flush, Node::invalidate];
    let [flush, invalidate] = calls.map(|call| call(node, range).expect_err("the range is bad"));
    assert_eq!(flush, invalidate, "both calls take the same ranges");
    assert_eq!(lines(), before, "a refused range touches no line");
    flush
}

/// A file, a buffer of [`BYTES`] and its mapping.
fn mapped_buffer() -> (Node, Alloc, Mapping) {
    let node = Node::open();
    let buffer = node.alloc(request(BYTES)).expect("there is room");
    let mapping = node.map_buffer(&buffer).expect("the offset is good");
    (node, buffer, mapping)
}

#[test]
fn a_whole_buffer_is_all_its_lines() {
    let _balance = Balance::new();
    let (node, _, mapping) = mapped_buffer();
    let count = BYTES / LINE;
    assert_eq!(
        lines_of(&node, by_address(mapping.addr(), BYTES)),
        (count, count)
    );
}

#[test]
fn a_buffer_from_mmap_is_all_its_lines() {
    let _balance = Balance::new();
    let node = Node::open();
    // The driver maintains at most 256 KiB before others may run.
    let bytes = 3 * (256 << 10) + BYTES;
    let mapping = node.map(bytes).unwrap();
    let count = bytes / LINE;
    assert_eq!(
        lines_of(&node, by_address(mapping.addr(), bytes)),
        (count, count)
    );
}

#[test]
fn ranges_are_rounded_outwards_to_lines() {
    let _balance = Balance::new();
    let (node, buffer, mapping) = mapped_buffer();
    let cases = [
        (0, 1, 1),
        (0, LINE, 1),
        (0, LINE + 1, 2),
        (1, LINE - 1, 1),
        (1, LINE, 2),
        (LINE - 1, 1, 1),
        (LINE - 1, 2, 2),
        (PAGE - 1, 2, 2),
        (1000, 1000, 17),
        (BYTES - 1, 1, 1),
        (BYTES - LINE - 1, LINE + 1, 2),
    ];
    for (offset, len, count) in cases {
        let range = by_address(mapping.addr() + offset, len);
        assert_eq!(
            lines_of(&node, range),
            (count, count),
            "{len} bytes at {offset}"
        );
        let range = by_handle(buffer.handle, offset, len);
        assert_eq!(
            lines_of(&node, range),
            (count, count),
            "{len} bytes at {offset} by handle"
        );
    }
}

/// The counter says how far the loop over cache instructions came, which takes sixteen lines a turn.
#[test]
fn every_number_of_lines_is_maintained() {
    let _balance = Balance::new();
    let (node, _buffer, mapping) = mapped_buffer();
    for count in 1..=97 {
        let range = by_address(mapping.addr() + 3 * LINE, count * LINE);
        assert_eq!(lines_of(&node, range), (count, count), "{count} lines");
    }
}

#[test]
fn a_handle_needs_no_mapping() {
    let _balance = Balance::new();
    let node = Node::open();
    let buffer = node.alloc(request(BYTES)).unwrap();
    let count = BYTES / LINE;
    assert_eq!(
        lines_of(&node, by_handle(buffer.handle, 0, BYTES)),
        (count, count)
    );
}

#[test]
fn a_coherent_buffer_needs_no_line() {
    let _balance = Balance::new();
    let node = Node::open();
    let argument = Alloc {
        flags: abi::ALLOC_COHERENT,
        ..request(BYTES)
    };
    let mapping = node.map_buffer(&node.alloc(argument).unwrap()).unwrap();
    assert_eq!(lines_of(&node, by_address(mapping.addr(), BYTES)), (0, 0));
}

#[test]
fn a_write_combine_buffer_needs_no_line() {
    let _balance = Balance::new();
    let node = Node::open();
    let argument = Alloc {
        flags: abi::ALLOC_WRITE_COMBINE,
        ..request(BYTES)
    };
    let mapping = node.map_buffer(&node.alloc(argument).unwrap()).unwrap();
    assert_eq!(lines_of(&node, by_address(mapping.addr(), BYTES)), (0, 0));
}

#[test]
fn what_the_cpu_wrote_survives_both_calls() {
    // With QEMU's missing cache this shows only that the driver does not touch the bytes.
    let _balance = Balance::new();
    let (node, _, mapping) = mapped_buffer();
    mapping.fill(1);
    lines_of(&node, by_address(mapping.addr(), BYTES));
    lines_of(&node, by_address(mapping.addr() + 33, 999));
    mapping.check(1);
}

#[test]
fn a_read_only_mapping_can_be_maintained() {
    let _balance = Balance::new();
    let node = Node::open_read_only();
    let mapping = node
        .map_with(PAGE, ProtFlags::PROT_READ, MapFlags::MAP_SHARED, 0)
        .unwrap();
    assert_eq!(
        lines_of(&node, by_address(mapping.addr(), PAGE)),
        (PAGE / LINE, PAGE / LINE)
    );
}

#[test]
fn a_mapping_without_access_can_be_maintained() {
    let _balance = Balance::new();
    let node = Node::open();
    let mapping = node
        .map_with(PAGE, ProtFlags::PROT_NONE, MapFlags::MAP_SHARED, 0)
        .unwrap();
    assert_eq!(
        lines_of(&node, by_address(mapping.addr(), PAGE)),
        (PAGE / LINE, PAGE / LINE)
    );
}

#[test]
fn a_range_may_cross_a_split_by_mprotect() {
    let _balance = Balance::new();
    let (node, _, mapping) = mapped_buffer();
    mapping
        .protect(PAGE..2 * PAGE, ProtFlags::PROT_READ)
        .unwrap();
    let count = BYTES / LINE;
    assert_eq!(
        lines_of(&node, by_address(mapping.addr(), BYTES)),
        (count, count)
    );
}

#[test]
fn a_mapping_made_through_another_open_file_can_be_maintained() {
    let _balance = Balance::new();
    let (_owner, _, mapping) = mapped_buffer();
    assert_eq!(
        lines_of(&Node::open(), by_address(mapping.addr(), LINE)),
        (1, 1)
    );
}

#[test]
fn an_inherited_mapping_can_be_maintained_in_the_child() {
    let _balance = Balance::new();
    let (node, _, mapping) = mapped_buffer();
    in_child(|| assert_eq!(lines_of(&node, by_address(mapping.addr(), LINE)), (1, 1)));
}

#[test]
fn a_length_of_zero_is_invalid() {
    let _balance = Balance::new();
    let (node, _, mapping) = mapped_buffer();
    assert_eq!(refusal(&node, by_address(mapping.addr(), 0)), Errno::EINVAL);
}

#[test]
fn a_length_of_zero_is_invalid_by_handle() {
    let _balance = Balance::new();
    let (node, buffer, _mapping) = mapped_buffer();
    assert_eq!(
        refusal(&node, by_handle(buffer.handle, 0, 0)),
        Errno::EINVAL
    );
}

#[test]
fn a_non_zero_reserved_field_is_invalid() {
    let _balance = Balance::new();
    let (node, _, mapping) = mapped_buffer();
    let range = Range {
        reserved: 1,
        ..by_address(mapping.addr(), LINE)
    };
    assert_eq!(refusal(&node, range), Errno::EINVAL);
}

#[test]
fn a_range_that_leaves_the_mapping_is_a_fault() {
    let _balance = Balance::new();
    let (node, _, mut mapping) = mapped_buffer();
    // So that the end of the mapping is not the beginning of another one.
    mapping.unmap(BYTES - PAGE..BYTES);
    let range = by_address(mapping.addr(), BYTES - PAGE + 1);
    assert_eq!(refusal(&node, range), Errno::EFAULT);
}

#[test]
fn a_range_that_starts_before_the_mapping_is_a_fault() {
    let _balance = Balance::new();
    let (node, _, mut mapping) = mapped_buffer();
    mapping.unmap(0..PAGE);
    assert_eq!(
        refusal(&node, by_address(mapping.addr() + PAGE - 1, 2)),
        Errno::EFAULT
    );
}

#[test]
fn a_range_with_a_hole_is_a_fault() {
    let _balance = Balance::new();
    let (node, _, mut mapping) = mapped_buffer();
    mapping.unmap(PAGE..2 * PAGE);
    assert_eq!(
        refusal(&node, by_address(mapping.addr(), BYTES)),
        Errno::EFAULT
    );
}

#[test]
fn a_range_over_two_buffers_side_by_side_is_a_fault() {
    let _balance = Balance::new();
    let (node, _, mut mapping) = mapped_buffer();
    let block = node.info().unwrap().block_bytes;
    mapping
        .replace(0..block, &node, MapFlags::MAP_SHARED, 0)
        .unwrap();
    assert_eq!(
        refusal(&node, by_address(mapping.addr(), BYTES)),
        Errno::EFAULT
    );
}

#[test]
fn a_range_that_wraps_around_is_a_fault() {
    let _balance = Balance::new();
    let (node, _, mapping) = mapped_buffer();
    assert_eq!(
        refusal(&node, by_address(mapping.addr(), u64::MAX)),
        Errno::EFAULT
    );
}

#[test]
fn a_range_that_wraps_around_to_its_own_start_is_a_fault() {
    let _balance = Balance::new();
    let (node, _, mapping) = mapped_buffer();
    let len = 0_u64.wrapping_sub(mapping.addr());
    assert_eq!(
        refusal(&node, by_address(mapping.addr(), len)),
        Errno::EFAULT
    );
}

#[test]
fn address_zero_is_a_fault() {
    let _balance = Balance::new();
    assert_eq!(refusal(&Node::open(), by_address(0, LINE)), Errno::EFAULT);
}

#[test]
fn an_address_on_the_heap_is_a_fault() {
    let _balance = Balance::new();
    let heap = Box::new([0_u8; 100]);
    assert_eq!(
        refusal(&Node::open(), by_address(heap.as_ptr() as u64, 100)),
        Errno::EFAULT
    );
}

#[test]
fn an_address_of_the_kernel_is_a_fault() {
    let _balance = Balance::new();
    let range = by_address(0xffff_8000_8000_0000, LINE);
    assert_eq!(refusal(&Node::open(), range), Errno::EFAULT);
}

#[test]
fn memory_of_another_driver_is_a_fault() {
    let _balance = Balance::new();
    let zero = std::fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/zero")
        .unwrap();
    let memory = Mapping::of(&zero, PAGE, READ_WRITE, MapFlags::MAP_SHARED, 0).unwrap();
    assert_eq!(
        refusal(&Node::open(), by_address(memory.addr(), PAGE)),
        Errno::EFAULT
    );
}

#[test]
fn a_mapping_of_another_process_is_a_fault() {
    let _balance = Balance::new();
    let mut child = Child::start(|link| {
        let mapping = Node::open().map(PAGE).unwrap();
        link.send(mapping.addr());
        link.receive();
    });
    let range = by_address(child.link.receive(), LINE);
    assert_eq!(refusal(&Node::open(), range), Errno::EFAULT);
    child.link.send(0);
    child.succeed();
}

#[test]
fn an_unmapped_buffer_is_a_fault_though_its_handle_lives() {
    let _balance = Balance::new();
    let (node, _, mapping) = mapped_buffer();
    let range = by_address(mapping.addr(), LINE);
    drop(mapping);
    assert_eq!(refusal(&node, range), Errno::EFAULT);
}

#[test]
fn an_unknown_handle_does_not_exist() {
    let _balance = Balance::new();
    let (node, buffer, _mapping) = mapped_buffer();
    assert_eq!(
        refusal(&node, by_handle(buffer.handle + 1, 0, LINE)),
        Errno::ENOENT
    );
}

#[test]
fn a_freed_handle_does_not_exist() {
    let _balance = Balance::new();
    let (node, buffer, _mapping) = mapped_buffer();
    node.free(buffer.handle).unwrap();
    assert_eq!(
        refusal(&node, by_handle(buffer.handle, 0, LINE)),
        Errno::ENOENT
    );
}

#[test]
fn a_handle_of_another_open_file_does_not_exist() {
    let _balance = Balance::new();
    let (_owner, buffer, _mapping) = mapped_buffer();
    assert_eq!(
        refusal(&Node::open(), by_handle(buffer.handle, 0, LINE)),
        Errno::ENOENT
    );
}

#[test]
fn an_offset_behind_the_buffer_is_a_fault() {
    let _balance = Balance::new();
    let (node, buffer, _mapping) = mapped_buffer();
    assert_eq!(
        refusal(&node, by_handle(buffer.handle, BYTES, 1)),
        Errno::EFAULT
    );
}

#[test]
fn a_length_behind_the_buffer_is_a_fault() {
    let _balance = Balance::new();
    let (node, buffer, _mapping) = mapped_buffer();
    assert_eq!(
        refusal(&node, by_handle(buffer.handle, 1, BYTES)),
        Errno::EFAULT
    );
}

#[test]
fn an_offset_that_wraps_around_is_a_fault() {
    let _balance = Balance::new();
    let (node, buffer, _mapping) = mapped_buffer();
    let range = by_handle(buffer.handle, u64::MAX - LINE + 1, 2 * LINE);
    assert_eq!(refusal(&node, range), Errno::EFAULT);
}

#[test]
fn an_address_with_a_handle_is_a_fault() {
    let _balance = Balance::new();
    let (node, buffer, mapping) = mapped_buffer();
    assert_eq!(
        refusal(&node, by_handle(buffer.handle, mapping.addr(), LINE)),
        Errno::EFAULT
    );
}

#[test]
fn a_pointer_to_nowhere_is_a_fault() {
    let _balance = Balance::new();
    let nowhere = Mapping::anonymous(PAGE, ProtFlags::PROT_NONE);
    for command in [abi::IOC_FLUSH, abi::IOC_INVALIDATE] {
        assert_eq!(
            Node::open().command_at(command, &nowhere, 0),
            Err(Errno::EFAULT)
        );
    }
}
