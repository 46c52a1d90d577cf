// SPDX-License-Identifier: MIT OR Apache-2.0

//! `FPGAMEM_IOC_ALLOC`.

// Needs the device, so it exists for the guest's architecture only.
#![cfg(target_arch = "aarch64")]
#![forbid(unsafe_code)]

use fpgamem_tests::abi::{self, Alloc};
use fpgamem_tests::pattern::Random;
use fpgamem_tests::{request, Balance, Errno, Mapping, Node, ProtFlags, PAGE, READ_WRITE};
use std::collections::HashSet;

/// The error that an allocation ends with, which must not cost a block.
fn refusal(argument: Alloc) -> Errno {
    let balance = Balance::new();
    let error = Node::open()
        .alloc(argument)
        .map(|buffer| buffer.phys_addr)
        .expect_err("the request is bad");
    balance.expect_held(0);
    error
}

#[test]
fn a_length_of_zero_is_invalid() {
    assert_eq!(refusal(request(0)), Errno::EINVAL);
}

#[test]
fn a_length_beyond_the_region_is_invalid() {
    let region = Node::open().info().unwrap().region_bytes;
    assert_eq!(refusal(request(region + 1)), Errno::EINVAL);
}

#[test]
fn a_length_that_overflows_when_rounded_is_invalid() {
    assert_eq!(refusal(request(u64::MAX)), Errno::EINVAL);
}

#[test]
fn an_alignment_that_is_no_power_of_two_is_invalid() {
    assert_eq!(
        refusal(Alloc {
            align: 3 * PAGE,
            ..request(PAGE)
        }),
        Errno::EINVAL
    );
}

#[test]
fn an_alignment_above_one_gib_is_invalid() {
    assert_eq!(
        refusal(Alloc {
            align: 2 << 30,
            ..request(PAGE)
        }),
        Errno::EINVAL
    );
}

#[test]
fn the_largest_power_of_two_is_an_invalid_alignment() {
    assert_eq!(
        refusal(Alloc {
            align: 1 << 63,
            ..request(PAGE)
        }),
        Errno::EINVAL
    );
}

#[test]
fn coherent_and_not_coherent_at_once_is_invalid() {
    let flags = abi::ALLOC_COHERENT | abi::ALLOC_NONCOHERENT;
    assert_eq!(
        refusal(Alloc {
            flags,
            ..request(PAGE)
        }),
        Errno::EINVAL
    );
}

#[test]
fn an_unknown_flag_is_invalid() {
    for bit in 3..32 {
        assert_eq!(
            refusal(Alloc {
                flags: 1 << bit,
                ..request(PAGE)
            }),
            Errno::EINVAL,
            "bit {bit}"
        );
    }
}

#[test]
fn a_non_zero_first_reserved_field_is_invalid() {
    assert_eq!(
        refusal(Alloc {
            reserved: [1, 0, 0],
            ..request(PAGE)
        }),
        Errno::EINVAL
    );
}

#[test]
fn a_non_zero_last_reserved_field_is_invalid() {
    assert_eq!(
        refusal(Alloc {
            reserved: [0, 0, 1 << 31],
            ..request(PAGE)
        }),
        Errno::EINVAL
    );
}

#[test]
fn a_pointer_to_nowhere_is_a_fault() {
    let _balance = Balance::new();
    let nowhere = Mapping::anonymous(PAGE, ProtFlags::PROT_NONE);
    assert_eq!(
        Node::open().command_at(abi::IOC_ALLOC, &nowhere, 0),
        Err(Errno::EFAULT)
    );
}

#[test]
fn an_argument_that_cannot_be_written_back_leaves_nothing_behind() {
    let balance = Balance::new();
    let node = Node::open();
    let argument = Mapping::anonymous(PAGE, READ_WRITE);
    argument.write(0, &PAGE.to_le_bytes());
    argument.protect(0..PAGE, ProtFlags::PROT_READ).unwrap();
    assert_eq!(
        node.command_at(abi::IOC_ALLOC, &argument, 0),
        Err(Errno::EFAULT)
    );
    balance.expect_held(0);
    assert_eq!(node.fdinfo("fpgamem-handles"), 0);
}

#[test]
fn an_allocation_needs_no_mapping() {
    let balance = Balance::new();
    let node = Node::open();
    let buffer = node.alloc(request(1)).unwrap();
    balance.expect_held(1);
    node.free(buffer.handle).unwrap();
    balance.expect_held(0);
}

#[test]
fn lengths_are_rounded_up_to_blocks() {
    let _balance = Balance::new();
    let node = Node::open();
    let block = node.info().unwrap().block_bytes;
    for (len, blocks) in [
        (1, 1),
        (block - 1, 1),
        (block, 1),
        (block + 1, 2),
        (7 * block, 7),
    ] {
        assert_eq!(
            node.alloc(request(len)).unwrap().alloc_bytes,
            blocks * block,
            "of {len}"
        );
    }
}

#[test]
fn every_alignment_up_to_one_gib_is_honoured() {
    let _balance = Balance::of_an_empty_pool();
    let region = Node::open().info().unwrap().region_bytes;
    for shift in 12..=30 {
        let align: u64 = 1 << shift;
        let node = Node::open();
        // The second one shows that the first was not aligned by chance; an address with the
        // alignment of the region's size exists once.
        for _ in 0..if align < region { 2 } else { 1 } {
            let buffer = node
                .alloc(Alloc {
                    align,
                    ..request(PAGE)
                })
                .unwrap();
            assert_eq!(
                buffer.phys_addr % align,
                0,
                "{:#x} at {align:#x}",
                buffer.phys_addr
            );
        }
    }
}

#[test]
fn a_small_buffer_can_have_an_alignment_of_one_gib() {
    let _balance = Balance::of_an_empty_pool();
    let node = Node::open();
    let buffer = node
        .alloc(Alloc {
            align: abi::MAX_ALIGN,
            ..request(1)
        })
        .unwrap();
    assert_eq!(buffer.phys_addr, 0x4000_0000);
}

#[test]
fn an_alignment_that_no_free_address_has_is_out_of_memory() {
    let _balance = Balance::of_an_empty_pool();
    let node = Node::open();
    let argument = Alloc {
        align: abi::MAX_ALIGN,
        ..request(1)
    };
    node.alloc(argument).unwrap();
    assert_eq!(node.alloc(argument).unwrap_err(), Errno::ENOMEM);
}

#[test]
fn an_alignment_is_one_of_physical_addresses() {
    // No address of this pool has a larger alignment than its first one, which is not 0.
    let node = Node::open_hasty();
    let first = node.info().unwrap().phys_addr;
    let largest = 1 << first.trailing_zeros();
    assert!(largest < abi::MAX_ALIGN, "{first:#x}");
    let with = |align| {
        node.alloc(Alloc {
            align,
            ..request(PAGE)
        })
    };
    let buffer = with(largest).unwrap();
    assert_eq!(buffer.phys_addr, first);
    node.free(buffer.handle).unwrap();
    assert_eq!(with(2 * largest).map(drop), Err(Errno::ENOMEM));
}

#[test]
fn small_alignments_count_as_the_block() {
    let _balance = Balance::new();
    let node = Node::open();
    let block = node.info().unwrap().block_bytes;
    for align in [0, 1, 2, 64, 2048, PAGE] {
        for _ in 0..3 {
            let buffer = node
                .alloc(Alloc {
                    align,
                    ..request(1)
                })
                .unwrap();
            assert_eq!(buffer.phys_addr % block, 0, "for alignment {align}");
        }
    }
}

#[test]
fn handles_are_distinct_and_never_zero() {
    let _balance = Balance::new();
    let node = Node::open();
    let mut handles = HashSet::new();
    for _ in 0..200 {
        let handle = node.alloc(request(1)).unwrap().handle;
        assert_ne!(handle, 0);
        assert!(handles.insert(handle), "handle {handle} is in use twice");
    }
}

#[test]
fn mmap_offsets_lie_in_their_range_and_match_the_physical_address() {
    let _balance = Balance::new();
    let node = Node::open();
    for len in [1, 100 << 10, 1, 5 << 20, 1] {
        let buffer = node.alloc(request(len)).unwrap();
        let (offset, huge) = (buffer.mmap_offset, 2 << 20);
        assert!(offset >= abi::MMAP_OFFSET_BASE, "{offset:#x}");
        assert!(
            offset < 1 << 44,
            "32-bit user space cannot pass {offset:#x}"
        );
        assert_eq!(offset % huge, buffer.phys_addr % huge, "{offset:#x}");
    }
}

#[test]
fn buffers_lie_in_the_region_and_apart() {
    let _balance = Balance::new();
    let node = Node::open();
    let info = node.info().unwrap();
    let mut random = Random::new(1);
    let mut ranges = Vec::new();
    for _ in 0..200 {
        let buffer = node.alloc(request(1 + random.below(2 << 20))).unwrap();
        ranges.push(buffer.phys_addr..buffer.phys_addr + buffer.alloc_bytes);
    }
    ranges.sort_by_key(|range| range.start);
    assert!(ranges[0].start >= info.phys_addr);
    assert!(ranges[199].end <= info.phys_addr + info.region_bytes);
    for pair in ranges.windows(2) {
        assert!(pair[0].end <= pair[1].start, "{:x?} overlap", pair);
    }
}

#[test]
fn what_was_freed_last_is_allocated_again() {
    let _balance = Balance::of_an_empty_pool();
    let node = Node::open();
    let buffers = [(); 5].map(|()| node.alloc(request(1)).unwrap());
    for freed in [0, 3] {
        node.free(buffers[freed].handle).unwrap();
    }
    let again = node.alloc(request(1)).unwrap();
    assert_eq!(again.phys_addr, buffers[3].phys_addr);
}

#[test]
fn what_was_freed_last_is_not_taken_at_another_alignment() {
    let _balance = Balance::of_an_empty_pool();
    let node = Node::open();
    let block = node.info().unwrap().block_bytes;
    let buffers = [(); 4].map(|()| node.alloc(request(1)).unwrap());
    let odd = buffers
        .map(|b| b.phys_addr)
        .map(|phys| phys / block % 2 == 1);
    let odd = odd.iter().position(|&odd| odd).unwrap();
    node.free(buffers[odd].handle).unwrap();
    let argument = Alloc {
        align: 2 * block,
        ..request(1)
    };
    assert_eq!(node.alloc(argument).unwrap().phys_addr % (2 * block), 0);
}

#[test]
fn two_requests_do_not_both_get_what_was_freed_last() {
    let _balance = Balance::of_an_empty_pool();
    let node = Node::open();
    let first = node.alloc(request(1)).unwrap();
    node.free(first.handle).unwrap();
    let next = [(); 2].map(|()| node.alloc(request(1)).unwrap().phys_addr);
    assert_eq!(next[0], first.phys_addr);
    assert_ne!(next[1], first.phys_addr);
}

#[test]
fn the_device_uses_physical_addresses_on_this_board() {
    let _balance = Balance::new();
    let buffer = Node::open().alloc(request(1)).unwrap();
    assert_eq!(buffer.device_addr, buffer.phys_addr);
}

#[test]
fn inputs_come_back_unchanged() {
    let _balance = Balance::new();
    let flags = abi::ALLOC_WRITE_COMBINE | abi::ALLOC_COHERENT;
    let buffer = Node::open()
        .alloc(Alloc {
            align: 1 << 20,
            flags,
            ..request(12345)
        })
        .unwrap();
    assert_eq!(
        (buffer.len, buffer.align, buffer.flags),
        (12345, 1 << 20, flags)
    );
    assert_eq!(buffer.reserved, [0; 3]);
}

#[test]
fn a_buffer_is_zero_filled() {
    let _balance = Balance::new();
    let node = Node::open();
    let buffer = node.alloc(request(300 << 10)).unwrap();
    node.map_buffer(&buffer)
        .unwrap()
        .check_zero(0..buffer.alloc_bytes);
}

#[test]
fn closing_the_file_drops_its_handles() {
    let balance = Balance::new();
    let node = Node::open();
    for _ in 0..10 {
        node.alloc(request(1)).unwrap();
    }
    balance.expect_held(10);
    drop(node);
    balance.expect_held(0);
}

#[test]
fn files_do_not_share_their_allocations() {
    let balance = Balance::new();
    let (first, second) = (Node::open(), Node::open());
    first.alloc(request(1)).unwrap();
    second.alloc(request(1)).unwrap();
    drop(first);
    balance.expect_held(1);
}
