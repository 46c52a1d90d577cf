// SPDX-License-Identifier: MIT OR Apache-2.0

//! `FPGAMEM_IOC_SYNC`: many ranges in one call, all or none.

// Needs the device, so it exists for the guest's architecture only.
#![cfg(target_arch = "aarch64")]
#![forbid(unsafe_code)]

use fpgamem_tests::abi::{self, Alloc, Range, Sync, SYNC_FLUSH, SYNC_INVALIDATE};
use fpgamem_tests::debugfs::lines;
use fpgamem_tests::{request, Balance, Errno, Mapping, Node, ProtFlags, PAGE, READ_WRITE};

/// Bytes of a cache line of the test board's CPU.
const LINE: u64 = 64;
const BYTES: u64 = 64 << 10;

/// A file, a buffer of [`BYTES`] and its mapping.
fn mapped_buffer() -> (Node, Alloc, Mapping) {
    let node = Node::open();
    let buffer = node.alloc(request(BYTES)).expect("there is room");
    let mapping = node.map_buffer(&buffer).expect("the offset is good");
    (node, buffer, mapping)
}

/// One line of a mapping.
fn line_of(mapping: &Mapping, index: u64) -> Range {
    Range {
        addr: mapping.addr() + index * LINE,
        len: LINE,
        ..Default::default()
    }
}

/// The error that a call ends with, which must not touch a line.
fn refusal(call: impl FnOnce() -> Result<(), Errno>) -> Errno {
    let before = lines();
    let error = call().expect_err("the argument is bad");
    assert_eq!(lines(), before, "a refused call touches no line");
    error
}

/// The error for good ranges around one bad one.
fn refusal_among_good_ranges(bad: Range) -> Errno {
    let _balance = Balance::new();
    let (node, _, mapping) = mapped_buffer();
    let ranges = [line_of(&mapping, 0), bad, line_of(&mapping, 1)];
    let flush = refusal(|| node.sync(SYNC_FLUSH, &ranges));
    let invalidate = refusal(|| node.sync(SYNC_INVALIDATE, &ranges));
    assert_eq!(flush, invalidate, "both operations take the same ranges");
    flush
}

#[test]
fn a_flush_of_many_ranges_counts_the_lines_of_all() {
    let _balance = Balance::new();
    let (node, buffer, mapping) = mapped_buffer();
    let whole = Range {
        handle: buffer.handle,
        addr: 0,
        len: BYTES,
        reserved: 0,
    };
    let odd = Range {
        addr: mapping.addr() + 1,
        len: LINE,
        ..Default::default()
    };
    let before = lines();
    node.sync(SYNC_FLUSH, &[line_of(&mapping, 3), whole, odd])
        .unwrap();
    assert_eq!(lines(), (before.0 + 1 + BYTES / LINE + 2, before.1));
}

#[test]
fn an_invalidation_of_many_ranges_counts_the_lines_of_all() {
    let _balance = Balance::new();
    let (node, buffer, mapping) = mapped_buffer();
    let whole = Range {
        handle: buffer.handle,
        addr: 0,
        len: BYTES,
        reserved: 0,
    };
    let odd = Range {
        addr: mapping.addr() + 1,
        len: LINE,
        ..Default::default()
    };
    let before = lines();
    node.sync(SYNC_INVALIDATE, &[line_of(&mapping, 3), whole, odd])
        .unwrap();
    assert_eq!(lines(), (before.0, before.1 + 1 + BYTES / LINE + 2));
}

#[test]
fn ranges_may_lie_in_different_buffers() {
    let _balance = Balance::new();
    let node = Node::open();
    let mappings: Vec<_> = (0..50).map(|_| node.map(PAGE).unwrap()).collect();
    let ranges: Vec<_> = mappings.iter().map(|mapping| line_of(mapping, 0)).collect();
    let before = lines();
    node.sync(SYNC_FLUSH, &ranges).unwrap();
    assert_eq!(lines().0 - before.0, 50);
}

#[test]
fn coherent_and_other_buffers_mix() {
    let _balance = Balance::new();
    let (node, _, mapping) = mapped_buffer();
    let coherent = node
        .alloc(Alloc {
            flags: abi::ALLOC_COHERENT,
            ..request(BYTES)
        })
        .unwrap();
    let coherent = Range {
        handle: coherent.handle,
        addr: 0,
        len: BYTES,
        reserved: 0,
    };
    let before = lines();
    node.sync(SYNC_FLUSH, &[coherent, line_of(&mapping, 0)])
        .unwrap();
    assert_eq!(lines().0 - before.0, 1);
}

#[test]
fn the_largest_count_is_taken() {
    let _balance = Balance::new();
    let (node, _, mapping) = mapped_buffer();
    let ranges: Vec<_> = (0..1024).map(|index| line_of(&mapping, index)).collect();
    let before = lines();
    node.sync(SYNC_INVALIDATE, &ranges).unwrap();
    assert_eq!(lines().1 - before.1, 1024);
}

#[test]
fn one_more_than_the_largest_count_is_invalid() {
    let _balance = Balance::new();
    let (node, _, mapping) = mapped_buffer();
    let ranges = vec![line_of(&mapping, 0); 1025];
    assert_eq!(refusal(|| node.sync(SYNC_FLUSH, &ranges)), Errno::EINVAL);
}

#[test]
fn a_count_of_zero_is_invalid() {
    let _balance = Balance::new();
    let (node, _, mapping) = mapped_buffer();
    let ranges = [line_of(&mapping, 0)];
    let argument = Sync {
        ranges: ranges.as_ptr() as u64,
        op: SYNC_FLUSH,
        ..Default::default()
    };
    assert_eq!(refusal(|| node.sync_with(argument)), Errno::EINVAL);
}

#[test]
fn the_highest_count_is_invalid() {
    let _balance = Balance::new();
    let (node, _, mapping) = mapped_buffer();
    let ranges = [line_of(&mapping, 0)];
    let ranges = ranges.as_ptr() as u64;
    let argument = Sync {
        ranges,
        count: u32::MAX,
        op: SYNC_FLUSH,
        reserved: 0,
    };
    assert_eq!(refusal(|| node.sync_with(argument)), Errno::EINVAL);
}

#[test]
fn an_unknown_operation_is_invalid() {
    let _balance = Balance::new();
    let (node, _, mapping) = mapped_buffer();
    for op in [0, 3, u32::MAX] {
        let error = refusal(|| node.sync(op, &[line_of(&mapping, 0)]));
        assert_eq!(error, Errno::EINVAL, "operation {op}");
    }
}

#[test]
fn a_non_zero_reserved_field_is_invalid() {
    let _balance = Balance::new();
    let (node, _, mapping) = mapped_buffer();
    let ranges = [line_of(&mapping, 0)];
    let ranges = ranges.as_ptr() as u64;
    let argument = Sync {
        ranges,
        count: 1,
        op: SYNC_FLUSH,
        reserved: 1,
    };
    assert_eq!(refusal(|| node.sync_with(argument)), Errno::EINVAL);
}

#[test]
fn ranges_at_address_zero_are_a_fault() {
    let _balance = Balance::new();
    let node = Node::open();
    let argument = Sync {
        ranges: 0,
        count: 1,
        op: SYNC_FLUSH,
        reserved: 0,
    };
    assert_eq!(refusal(|| node.sync_with(argument)), Errno::EFAULT);
}

#[test]
fn ranges_in_the_kernel_are_a_fault() {
    let _balance = Balance::new();
    let node = Node::open();
    let ranges = 0xffff_8000_8000_0000;
    let argument = Sync {
        ranges,
        count: 1,
        op: SYNC_FLUSH,
        reserved: 0,
    };
    assert_eq!(refusal(|| node.sync_with(argument)), Errno::EFAULT);
}

#[test]
fn ranges_that_end_in_unreadable_memory_are_a_fault() {
    let _balance = Balance::new();
    let (node, _, mapping) = mapped_buffer();
    let memory = Mapping::anonymous(2 * PAGE, READ_WRITE);
    let range = line_of(&mapping, 0);
    // Two ranges, of which the first is readable and good.
    let start = PAGE - 24;
    memory.write(start, &range.addr.to_ne_bytes());
    memory.write(start + 8, &range.len.to_ne_bytes());
    memory
        .protect(PAGE..2 * PAGE, ProtFlags::PROT_NONE)
        .unwrap();
    let ranges = memory.addr() + start;
    node.sync_with(Sync {
        ranges,
        count: 1,
        op: SYNC_FLUSH,
        reserved: 0,
    })
    .unwrap();
    let argument = Sync {
        ranges,
        count: 2,
        op: SYNC_FLUSH,
        reserved: 0,
    };
    assert_eq!(refusal(|| node.sync_with(argument)), Errno::EFAULT);
}

#[test]
fn an_argument_nowhere_is_a_fault() {
    let _balance = Balance::new();
    let nowhere = Mapping::anonymous(PAGE, ProtFlags::PROT_NONE);
    let node = Node::open();
    assert_eq!(
        refusal(|| node.command_at(abi::IOC_SYNC, &nowhere, 0)),
        Errno::EFAULT
    );
}

#[test]
fn one_empty_range_refuses_all() {
    let bad = Range {
        addr: 0,
        len: 0,
        ..Default::default()
    };
    assert_eq!(refusal_among_good_ranges(bad), Errno::EINVAL);
}

#[test]
fn one_foreign_range_refuses_all() {
    let heap = [0_u8; 64];
    let bad = Range {
        addr: heap.as_ptr() as u64,
        len: 64,
        ..Default::default()
    };
    assert_eq!(refusal_among_good_ranges(bad), Errno::EFAULT);
}

#[test]
fn one_unknown_handle_refuses_all() {
    let bad = Range {
        addr: 0,
        len: 64,
        handle: u32::MAX,
        reserved: 0,
    };
    assert_eq!(refusal_among_good_ranges(bad), Errno::ENOENT);
}

#[test]
fn one_reserved_field_refuses_all() {
    let _balance = Balance::new();
    let (node, _, mapping) = mapped_buffer();
    let bad = Range {
        reserved: 1,
        ..line_of(&mapping, 2)
    };
    let ranges = [line_of(&mapping, 0), line_of(&mapping, 1), bad];
    assert_eq!(refusal(|| node.sync(SYNC_FLUSH, &ranges)), Errno::EINVAL);
}

#[test]
fn the_last_of_many_ranges_refuses_all() {
    let _balance = Balance::new();
    let (node, buffer, mapping) = mapped_buffer();
    let mut ranges: Vec<_> = (0..1023).map(|index| line_of(&mapping, index)).collect();
    ranges.push(Range {
        addr: BYTES - 1,
        len: 2,
        handle: buffer.handle,
        reserved: 0,
    });
    assert_eq!(
        refusal(|| node.sync(SYNC_INVALIDATE, &ranges)),
        Errno::EFAULT
    );
}

#[test]
fn a_refused_call_holds_no_buffer() {
    let balance = Balance::new();
    let (node, buffer, mapping) = mapped_buffer();
    let bad = Range {
        addr: 0,
        len: 64,
        ..Default::default()
    };
    let error = node
        .sync(SYNC_FLUSH, &[line_of(&mapping, 0), bad])
        .unwrap_err();
    assert_eq!(error, Errno::EFAULT);
    drop(mapping);
    node.free(buffer.handle).unwrap();
    balance.expect_held(0);
}
