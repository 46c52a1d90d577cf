// SPDX-License-Identifier: MIT OR Apache-2.0

//! What Paddle's clients take for granted without saying so: lengths, addresses, contents, ranges
//! and errors.

// Needs the device, so it exists for the guest's architecture only.
#![cfg(target_arch = "aarch64")]
#![forbid(unsafe_code)]

use fpgamem_shared::paddle_abi as abi;
use fpgamem_tests::calls::map_nothing;
use fpgamem_tests::debugfs::lines;
use fpgamem_tests::paddle::{call, Client, Family, FAMILIES, NODE};
use fpgamem_tests::{
    in_child, Balance, Errno, MapFlags, Mapping, Node, ProtFlags, Stats, PAGE, READ_WRITE,
};
use std::mem::forget;

const BLOCK: u64 = 16_384;
const LINE: u64 = 64;

/// Lengths as the back ends ask for them: of scales, of filters, of tensors with 16 bytes more, of
/// the 1 byte that family B takes for none.
const LENGTHS: [u64; 9] = [1, 8, 272, 1_040, 4_084, 16_384, 16_385, 57_360, 1_605_648];

/// Commands that configure the accelerator, of all versions of both back ends, and what no memory
/// driver has an answer to.
#[rustfmt::skip]
const OTHERS: [u32; 57] = [
    0x4008_4701, 0x4018_470b, 0x4001_470e, 0x4002_470e, 0x4070_4715, 0x4078_4715, 0x4080_4715, 0x4090_4715,
    0x40a0_4715, 0x4058_4716, 0x4070_4716, 0x4070_4717, 0x4080_4717, 0x4088_4717, 0x4048_4718, 0x4060_4718,
    0x4050_4719, 0x4068_4719, 0x4028_471a, 0x4040_471a, 0x4038_471e, 0x4068_471f, 0x4078_471f, 0x4088_471f,
    0x4003_4728, 0x4004_4728, 0x4006_4728, 0x4007_4728, 0x4014_4728, 0x4006_4729, 0x4008_472a, 0x400c_472a,
    0x4008_472b, 0x4002_472c, 0x4010_4732, 0x4010_4733, 0x4001_4734, 0x4004_4734, 0x4050_47c9, 0x4004_476f,
    0x4004_4770, 0x4004_475a, 0x4008_4796, 0x4004_4797, 0x4010_4798, 0x4010_4799, 0x4004_479a, 0x4004_479b,
    0x505f_410b, 0x504f_4101, 0x5057_411c, 0x5057_411d, 0x4010_460b, 0x4010_460e, 0x4010_460f, 0x8010_460f,
    0xc010_4610,
];

/// Lines cleaned, and lines cleaned and invalidated, meanwhile.
fn lines_of(work: impl FnOnce() -> Result<(), Errno>) -> (u64, u64) {
    let before = lines();
    work().expect("the range is good");
    let after = lines();
    (after.0 - before.0, after.1 - before.1)
}

#[test]
fn lengths_are_taken_as_they_are() {
    let balance = Balance::new();
    let native = Node::open();
    for family in FAMILIES {
        let client = Client::open(family);
        for len in LENGTHS {
            let tensor = client.alloc(len).unwrap();
            balance.expect_held(len.div_ceil(BLOCK));
            assert_eq!(tensor.memory.addr() % PAGE, 0);
            let phys_addr = native.user_to_phys(tensor.memory.addr()).unwrap().phys_addr;
            assert_eq!(
                phys_addr % BLOCK,
                0,
                "what the accelerator takes for granted"
            );
            assert!(phys_addr + len <= 1 << 32, "its registers have 32 bits");
            if family == Family::B {
                assert_eq!(tensor.base, phys_addr - abi::B_BASE);
            }
            drop(tensor);
            balance.expect_held(0);
        }
    }
}

#[test]
fn no_length_is_refused_before_the_driver_is_asked() {
    let _balance = Balance::new();
    for family in FAMILIES {
        let failures = Stats::read().failures;
        assert_eq!(map_nothing(Client::open(family).node()), Errno::EINVAL);
        assert_eq!(Stats::read().failures, failures);
    }
}

#[test]
fn tensors_are_ordinary_memory_for_the_processor() {
    let _balance = Balance::new();
    for family in FAMILIES {
        let client = Client::open(family);
        let tensor = client.alloc(57_360).unwrap();
        // New clients clear all of it, which takes an instruction that only ordinary memory allows.
        tensor.memory.set(0..57_360, 0xff);
        tensor.memory.set(0..57_360, 0);
        client.flush(tensor.base, 57_360).unwrap();
        // They convert numbers of two bytes wherever these lie.
        for offset in [1, 2, 61, 4_090, 57_351] {
            tensor.memory.store(offset, 0x0123_4567_89ab_cdef);
            assert_eq!(tensor.memory.load(offset), 0x0123_4567_89ab_cdef);
        }
    }
}

#[test]
fn clients_that_clear_nothing_find_zeroes() {
    let _balance = Balance::of_an_empty_pool();
    for family in FAMILIES {
        in_child(|| {
            let client = Client::open(family);
            for len in LENGTHS {
                let tensor = client.alloc(len).unwrap();
                tensor.memory.set(0..len, 0xaa);
                forget(tensor);
            }
        });
        let client = Client::open(family);
        let tensors = LENGTHS.map(|len| client.alloc(len).unwrap());
        for tensor in &tensors {
            tensor.memory.check_zero(0..tensor.memory.len());
        }
    }
}

#[test]
fn threads_share_a_file() {
    let balance = Balance::new();
    for family in FAMILIES {
        let client = Client::open(family);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let client = &client;
                scope.spawn(move || {
                    for round in 0..50 {
                        let tensor = client.alloc(100 + 997 * round).unwrap();
                        let (base, len) = tensor.range();
                        tensor.memory.check_zero(0..len);
                        tensor.memory.fill(64 * thread + round);
                        client.flush(base, len).unwrap();
                        client.invalidate(base, len).unwrap();
                        tensor.memory.check(64 * thread + round);
                    }
                });
            }
        });
        balance.expect_held(0);
    }
}

#[test]
fn the_tail_of_a_tensor_begins_and_ends_anywhere() {
    let _balance = Balance::new();
    let client = Client::open(Family::A);
    for cell in [2, 4] {
        // With 1017 numbers of 4 bytes the tail ends 8 bytes behind the mapping.
        for count in [1, 3, 15, 17, 33, 1_001, 1_017, 1_021, 2_039, 2_041] {
            let mut tensor = client.alloc(count * cell + 16 + PAGE).unwrap();
            let end = (count * cell + 16).next_multiple_of(PAGE);
            tensor.memory.unmap(end..tensor.memory.len());
            let (start, len) = (count * cell, count % 16 * cell);
            let last = (start + len).min(end) - 1;
            let expected = last / LINE - start / LINE + 1;
            let address = tensor.base + start;
            let flushed = lines_of(|| client.flush(address, len));
            assert_eq!(flushed, (expected, 0), "{count} of {cell} bytes");
            let invalidated = lines_of(|| client.invalidate(address, len));
            assert_eq!(invalidated, (0, expected), "{count} of {cell} bytes");
        }
    }
}

#[test]
fn what_lies_between_two_buffers_is_passed_over() {
    let _balance = Balance::new();
    let client = Client::open(Family::A);
    let mut tensor = client.alloc(3 * PAGE).unwrap();
    tensor.memory.unmap(PAGE..2 * PAGE);
    let (start, len) = (tensor.base + PAGE - LINE, PAGE + 3 * LINE);
    assert_eq!(lines_of(|| client.flush(start, len)), (3, 0));
    assert_eq!(lines_of(|| client.invalidate(start, len)), (0, 3));
    let result = client.flush(tensor.base + PAGE, 2 * PAGE);
    assert_eq!(result, Err(Errno::EFAULT), "it begins in no buffer");
}

#[test]
fn family_b_passes_over_what_lies_behind_its_buffer_in_the_region() {
    let _balance = Balance::of_an_empty_pool();
    let client = Client::open(Family::B);
    let tensors = [0; 3].map(|_| client.alloc(BLOCK).unwrap());
    for tensor in &tensors {
        let tail = tensor.base + BLOCK - 28;
        assert_eq!(lines_of(|| client.flush(tail, 28 + 44)), (1, 0));
        assert_eq!(lines_of(|| client.invalidate(tail, 28 + 44)), (0, 1));
    }
    let base = tensors[0].base;
    let before = lines();
    for (distance, size) in [
        (base, u64::MAX),
        (base, 1 << 40),
        (u64::MAX, 1),
        (base - (1 << 29), 64),
    ] {
        for result in [
            client.flush(distance, size),
            client.invalidate(distance, size),
        ] {
            assert_eq!(result, Err(Errno::EFAULT), "{distance:#x} {size:#x}");
        }
    }
    assert_eq!(lines(), before);
}

#[test]
fn a_translation_ignores_what_it_is_to_replace() {
    let _balance = Balance::new();
    let client = Client::open(Family::B);
    let tensor = client.alloc(3 * BLOCK).unwrap();
    for preset in [0, 0xdead, u64::MAX] {
        for offset in [0, 32, 2 * BLOCK + 8] {
            let address = tensor.memory.addr() + offset;
            let answer = call(client.node(), abi::B_VM_TO_PHYS, address, preset);
            assert_eq!(answer, Ok((address, abi::B_BASE + tensor.base + offset)));
        }
    }
}

#[test]
fn memory_that_is_used_up_is_enomem_and_nothing_else() {
    let _balance = Balance::of_an_empty_pool();
    let Stats {
        blocks,
        block_bytes,
        ..
    } = Stats::read();
    let clients = FAMILIES.map(Client::open);
    let all = clients[0].alloc(blocks * block_bytes).unwrap();
    for client in &clients {
        for len in [1, 272, 1 << 20, blocks * block_bytes] {
            assert_eq!(client.alloc(len).unwrap_err(), Errno::ENOMEM, "{len}");
        }
    }
    clients[0].flush(all.base, 272).unwrap();
    drop(all);
    clients[1].alloc(272).unwrap();
}

#[test]
fn an_application_maps_four_frames_of_a_camera() {
    let balance = Balance::new();
    let client = Client::open(Family::A);
    let len = 1_920 * 1_080 * 3;
    let frames = [0; 4].map(|_| client.alloc(len).unwrap());
    balance.expect_held(4 * 380);
    for frame in &frames {
        let invalidated = lines_of(|| client.invalidate(frame.base, len));
        assert_eq!(invalidated, (0, len.div_ceil(LINE)));
    }
}

#[test]
fn commands_of_all_versions_that_are_none_of_memory_are_unknown() {
    let memory = Mapping::anonymous(2 * PAGE, READ_WRITE);
    for node in [Node::open_path(NODE), Node::open()] {
        for command in OTHERS {
            let result = node.command_at(command, &memory, 0);
            assert_eq!(result, Err(Errno::ENOTTY), "{command:#x}");
        }
    }
}

/// Some clients look at what an earlier command has left in `errno` when they allocate.
#[test]
fn no_command_fails_as_an_allocation_does() {
    let _balance = Balance::new();
    let node = Node::open_path(NODE);
    let zeroes = Mapping::anonymous(2 * PAGE, READ_WRITE);
    let nothing = Mapping::anonymous(2 * PAGE, ProtFlags::PROT_NONE);
    let known = [abi::A_DEVICE_INFO, abi::A_VERSION];
    for kind in [0x41, 0x46, 0x47] {
        for number in 0..=255 {
            for size in [0, 4, 8, 16, 40, 64, 96, 160, 0x57] {
                let command = 1 << 30 | size << 16 | kind << 8 | number;
                let result = node.command_at(command, &zeroes, 0);
                assert_eq!(result.is_ok(), known.contains(&command), "{command:#x}");
                let unreadable = node.command_at(command, &nothing, 0);
                for error in [result.err(), unreadable.err()].into_iter().flatten() {
                    let fatal = [Errno::EINVAL, Errno::ENOMEM].contains(&error);
                    assert!(!fatal, "{command:#x}: {error}");
                }
                assert!(unreadable.is_err(), "{command:#x}");
            }
        }
    }
}

#[test]
fn offsets_that_mean_nothing_are_refused() {
    let _balance = Balance::new();
    let shared = MapFlags::MAP_SHARED;
    for offset in [PAGE, BLOCK, abi::B_BASE, abi::B_BASE + PAGE] {
        let result = Node::open_path(NODE).map_with(PAGE, READ_WRITE, shared, offset);
        assert_eq!(result.unwrap_err(), Errno::ENXIO, "{offset:#x}");
    }
    for offset in [
        PAGE,
        abi::B_BASE - PAGE,
        abi::B_BASE + PAGE,
        2 * abi::B_BASE,
    ] {
        let result = Node::open().map_with(PAGE, READ_WRITE, shared, offset);
        assert_eq!(result.unwrap_err(), Errno::EINVAL, "{offset:#x}");
    }
}
