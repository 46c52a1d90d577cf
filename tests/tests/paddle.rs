// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the FPGA back ends of Paddle-Lite and paddle-mobile ask of the driver.

// Needs the device, so it exists for the guest's architecture only.
#![cfg(target_arch = "aarch64")]
#![forbid(unsafe_code)]

use fpgamem_shared::paddle_abi as paddle;
use fpgamem_tests::debugfs::lines;
use fpgamem_tests::driver::Unbound;
use fpgamem_tests::paddle::{call, NODE};
use fpgamem_tests::{in_child, Balance, Errno, MapFlags, Mapping, Node, PAGE, READ_WRITE};

const LINE: u64 = 64;

/// An open file of the node of family A.
fn open() -> Node {
    Node::open_path(NODE)
}

/// Lines cleaned, and lines cleaned and invalidated, by a command of family A.
fn lines_of(node: &Node, command: u32, address: u64, size: u64) -> (u64, u64) {
    let before = lines();
    call(node, command, address, size).expect("the range is good");
    let after = lines();
    (after.0 - before.0, after.1 - before.1)
}

#[test]
fn mapping_offset_0_allocates_and_unmapping_frees() {
    let balance = Balance::new();
    let mapping = open().map(1_605_648).unwrap();
    balance.expect_held(99);
    mapping.check_zero(0..mapping.len());
    mapping.fill(1);
    drop(mapping);
    balance.expect_held(0);
}

#[test]
fn what_exceeds_the_region_is_out_of_memory() {
    let _balance = Balance::new();
    assert_eq!(open().map(1 << 40).unwrap_err(), Errno::ENOMEM);
}

#[test]
fn a_flush_cleans_every_line_that_the_range_touches() {
    let _balance = Balance::new();
    let node = open();
    let mapping = node.map(4 * PAGE).unwrap();
    for command in [paddle::A_FLUSH, paddle::OLD_FLUSH] {
        assert_eq!(lines_of(&node, command, mapping.addr(), 272), (5, 0));
        assert_eq!(lines_of(&node, command, mapping.addr() + 60, 8), (2, 0));
    }
}

#[test]
fn an_invalidate_writes_back_first() {
    let _balance = Balance::new();
    let node = open();
    let mapping = node.map(4 * PAGE).unwrap();
    mapping.fill(7);
    for command in [paddle::A_INVALIDATE, paddle::OLD_INVALIDATE] {
        assert_eq!(lines_of(&node, command, mapping.addr(), 272), (0, 5));
        mapping.check(7);
    }
}

#[test]
fn a_tail_flush_past_the_end_stops_there() {
    let _balance = Balance::new();
    let node = open();
    let mut mapping = node.map(2 * PAGE).unwrap();
    mapping.unmap(PAGE..2 * PAGE);
    let tail = mapping.addr() + PAGE - 28;
    assert_eq!(lines_of(&node, paddle::A_FLUSH, tail, 28 + 44), (1, 0));
}

#[test]
fn a_flush_across_two_buffers_cleans_lines_of_both() {
    let _balance = Balance::new();
    let node = open();
    // Mappings are placed from the top down, so the two are neighbours, one way or the other.
    let (a, b) = (node.map(PAGE).unwrap(), node.map(PAGE).unwrap());
    let (low, high) = if a.addr() < b.addr() {
        (&a, &b)
    } else {
        (&b, &a)
    };
    assert_eq!(low.addr() + PAGE, high.addr());
    let start = high.addr() - LINE;
    assert_eq!(lines_of(&node, paddle::A_FLUSH, start, 3 * LINE), (3, 0));
}

#[test]
fn ranges_that_begin_nowhere_or_never_end_touch_nothing() {
    let _balance = Balance::new();
    let node = open();
    let mapping = node.map(PAGE).unwrap();
    let foreign = Mapping::anonymous(PAGE, READ_WRITE);
    let before = lines();
    let negative = i64::from(-64_i32) as u64;
    for command in [paddle::A_FLUSH, paddle::A_INVALIDATE] {
        for (address, size) in [
            (foreign.addr(), 64),
            (0, 64),
            (u64::MAX, 1),
            (mapping.addr(), u64::MAX),
            (mapping.addr(), negative),
            (mapping.addr(), 1 << 40),
        ] {
            let result = call(&node, command, address, size);
            assert_eq!(result, Err(Errno::EFAULT), "{address:#x} {size:#x}");
        }
    }
    assert_eq!(lines(), before);
}

#[test]
fn the_device_describes_itself() {
    let memory = Mapping::anonymous(PAGE, READ_WRITE);
    memory.set(0..64, 0xff);
    open()
        .command_at(paddle::A_DEVICE_INFO, &memory, 0)
        .unwrap();
    let words: Vec<u64> = (0..6).map(|word| memory.load(8 * word)).collect();
    assert_eq!(words[0], 1 << 32 | 2048);
    assert_eq!(words[1], 4 << 32 | 900);
    assert_eq!(words[2..5], [4096, 0, 0]);
    assert_eq!(words[5], u64::MAX, "what follows the structure stays");
}

#[test]
fn other_commands_are_none_of_the_node() {
    let node = open();
    for command in [
        0x40a0_4715,
        0x4060_4718,
        0x4018_470b,
        0x4002_470e,
        0x4010_4732,
    ] {
        let result = node.command_at(command, &Mapping::anonymous(PAGE, READ_WRITE), 0);
        assert_eq!(result, Err(Errno::ENOTTY), "{command:#x}");
    }
}

#[test]
fn a_forked_child_shares_buffers_and_takes_none_along() {
    let balance = Balance::new();
    let node = open();
    let mapping = node.map(PAGE).unwrap();
    mapping.fill(1);
    in_child(|| {
        mapping.check(1);
        mapping.fill(2);
        call(&node, paddle::A_FLUSH, mapping.addr(), PAGE).unwrap();
        std::mem::forget(node.map(PAGE).unwrap());
    });
    balance.expect_held(1);
    mapping.check(2);
}

#[test]
fn unbinding_leaves_mappings_and_ends_new_work() {
    let node = open();
    let mapping = node.map(PAGE).unwrap();
    mapping.fill(1);
    let unbound = Unbound::new();
    assert!(!std::path::Path::new(NODE).exists());
    assert_eq!(node.map(PAGE).unwrap_err(), Errno::ENODEV);
    let result = call(&node, paddle::A_FLUSH, mapping.addr(), 64);
    assert_eq!(result, Err(Errno::ENODEV));
    mapping.check(1);
    unbound.bind();
    assert!(std::path::Path::new(NODE).exists());
}

#[test]
fn family_b_allocates_translates_and_syncs_by_distance() {
    let balance = Balance::new();
    let node = Node::open();
    let map = || node.map_with(PAGE, READ_WRITE, MapFlags::MAP_SHARED, paddle::B_BASE);
    let mapping = map().unwrap();
    balance.expect_held(1);
    let inside = mapping.addr() + 96;
    let (_, phys_addr) = call(&node, paddle::B_VM_TO_PHYS, inside, 0).unwrap();
    assert_eq!(phys_addr, node.user_to_phys(inside).unwrap().phys_addr);
    let distance = phys_addr - paddle::B_BASE;
    assert_eq!(lines_of(&node, paddle::B_FLUSH, distance, 64), (2, 0));
    assert_eq!(lines_of(&node, paddle::B_INVALIDATE, distance, 64), (0, 2));
    // A buffer of another process, and the distance that a failed look-up of the client gives.
    in_child(|| {
        drop(mapping);
        let result = call(&node, paddle::B_FLUSH, distance, 64);
        assert_eq!(result, Err(Errno::EFAULT));
        let nowhere = 0u64.wrapping_sub(paddle::B_BASE);
        let result = call(&node, paddle::B_FLUSH, nowhere, 64);
        assert_eq!(result, Err(Errno::EFAULT));
        let result = call(&node, paddle::B_VM_TO_PHYS, inside, 0);
        assert_eq!(result, Err(Errno::EFAULT));
    });
}

#[test]
fn a_pool_without_the_property_serves_none_of_it() {
    let node = Node::open_hasty();
    assert!(!std::path::Path::new("/dev/fpgadrv1").exists());
    let result = node.map_with(PAGE, READ_WRITE, MapFlags::MAP_SHARED, paddle::B_BASE);
    assert_eq!(result.unwrap_err(), Errno::EINVAL);
    assert_eq!(call(&node, paddle::B_FLUSH, 0, 64), Err(Errno::ENOTTY));
}

#[test]
fn a_pool_without_the_property_knows_none_of_the_commands() {
    let node = Node::open_hasty();
    let memory = Mapping::anonymous(PAGE, READ_WRITE);
    for kind in [u32::from(b'F'), u32::from(b'G')] {
        for number in 0..64 {
            let command = 3 << 30 | 16 << 16 | kind << 8 | number;
            let result = node.command_at(command, &memory, 0);
            assert_eq!(result, Err(Errno::ENOTTY), "{command:#x}");
        }
    }
}

#[test]
fn the_native_node_knows_the_three_commands_of_family_b_alone() {
    let node = Node::open();
    let memory = Mapping::anonymous(PAGE, READ_WRITE);
    let known = [paddle::B_FLUSH, paddle::B_INVALIDATE, paddle::B_VM_TO_PHYS];
    for direction in [1, 2, 3] {
        for kind in [u32::from(b'F'), u32::from(b'G')] {
            for number in 0..64 {
                let command = direction << 30 | 16 << 16 | kind << 8 | number;
                let errno = if known.contains(&command) {
                    Errno::EFAULT
                } else {
                    Errno::ENOTTY
                };
                let result = node.command_at(command, &memory, 0);
                assert_eq!(result, Err(errno), "{command:#x}");
            }
        }
    }
}
