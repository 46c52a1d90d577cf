// SPDX-License-Identifier: MIT OR Apache-2.0

//! What fpgamem does for the driver of an accelerator, and what it refuses.

// Needs the device, so it exists for the guest's architecture only.
#![cfg(target_arch = "aarch64")]
#![forbid(unsafe_code)]

use fpgamem_tests::accelerator::{command, Bench, Probe};
use fpgamem_tests::debugfs::lines;
use fpgamem_tests::{in_child, Balance, Errno, Mapping, Node, PAGE, READ_WRITE};
use std::thread;

const EFAULT: i64 = -(Errno::EFAULT as i64);
const EINVAL: i64 = -(Errno::EINVAL as i64);

const CLEAN: u64 = 1;
const INVALIDATE: u64 = 2;

fn range(addr: u64, len: u64) -> Probe {
    Probe {
        addr,
        len,
        ..Probe::default()
    }
}

#[test]
fn translation_knows_every_address_of_a_buffer() {
    let _balance = Balance::new();
    let bench = Bench::registered();
    let mapping = bench.node.map(5 * PAGE).unwrap();
    let native = Node::open();
    for (offset, len) in [
        (0, 1),
        (0, 5 * PAGE),
        (32, 8),
        (PAGE + 4, 3),
        (5 * PAGE - 1, 1),
    ] {
        let address = mapping.addr() + offset;
        let answer = bench.call(command::TRANSLATE, range(address, len)).unwrap();
        let expected = native.user_to_phys(address).unwrap();
        assert_eq!(answer.result, 0);
        assert_eq!(answer.phys_addr, expected.phys_addr);
        assert_eq!(answer.device_addr, expected.device_addr);
        assert_eq!(answer.bytes, 5 * PAGE - offset);
        assert_eq!(answer.flags, 0);
    }
}

#[test]
fn translation_and_hold_refuse_what_is_not_wholly_in_a_buffer_of_the_caller() {
    let balance = Balance::new();
    let bench = Bench::registered();
    let mapping = bench.node.map(4 * PAGE).unwrap();
    let mut holed = bench.node.map(4 * PAGE).unwrap();
    holed.unmap(PAGE..2 * PAGE);
    let ordinary = Mapping::anonymous(PAGE, READ_WRITE);
    let start = mapping.addr();
    for (address, len, result) in [
        (start, 0, EINVAL),
        (start, 4 * PAGE + 1, EFAULT),
        (start + 4 * PAGE - 4, 8, EFAULT),
        (start, u64::MAX, EFAULT),
        (start + 64, u64::MAX - 32, EFAULT),
        (holed.addr(), PAGE + 1, EFAULT),
        (holed.addr() + PAGE, 1, EFAULT),
        (ordinary.addr(), 1, EFAULT),
        (0, 1, EFAULT),
        (u64::MAX, 1, EFAULT),
    ] {
        for command in [command::TRANSLATE, command::HOLD] {
            let answer = bench.call(command, range(address, len)).unwrap();
            assert_eq!(answer.result, result, "{command:#x} {address:#x} {len:#x}");
            assert_eq!(answer.phys_addr, 0);
        }
    }
    let answer = bench.call(command::NULL, range(start, 1)).unwrap();
    assert_eq!(answer.result, EINVAL);
    drop((mapping, holed));
    balance.expect_held(0);
}

#[test]
fn another_processs_addresses_are_none() {
    let _balance = Balance::new();
    let bench = Bench::registered();
    let mut mapping = bench.node.map(PAGE).unwrap();
    in_child(|| {
        let address = mapping.addr();
        mapping.unmap(0..PAGE);
        for command in [command::TRANSLATE, command::HOLD] {
            let answer = bench.call(command, range(address, 1)).unwrap();
            assert_eq!(answer.result, EFAULT);
        }
    });
}

#[test]
fn a_call_is_no_licence_for_the_memory_of_another_process() {
    let _balance = Balance::new();
    let bench = Bench::registered();
    let mapping = bench.node.map(PAGE).unwrap();
    let address = mapping.addr();
    thread::scope(|scope| {
        let call = scope.spawn(|| bench.call(command::WAIT, Probe::default()));
        bench.control(command::ARRIVED, Probe::default()).unwrap();
        // A thread of the same process may ask, a child that maps the same may not.
        let own = bench.call(command::AS_OTHER, range(address, 1)).unwrap();
        in_child(|| {
            let answer = bench.call(command::AS_OTHER, range(address, 1)).unwrap();
            assert_eq!((answer.result, answer.phys_addr), (EFAULT, 0));
            let answer = bench.call(command::TRANSLATE, range(address, 1)).unwrap();
            assert_eq!(answer.result, 0);
        });
        bench.control(command::GO, Probe::default()).unwrap();
        call.join().unwrap().unwrap();
        assert_eq!(own.result, 0);
    });
}

#[test]
fn a_sync_maintains_the_lines_of_its_range() {
    let _balance = Balance::new();
    let bench = Bench::registered();
    let mapping = bench.node.map(4 * PAGE).unwrap();
    let sync = |addr, len, operation| {
        let before = lines();
        let probe = Probe {
            operation,
            ..range(addr, len)
        };
        let answer = bench.call(command::SYNC, probe).unwrap();
        let after = lines();
        (answer.result, after.0 - before.0, after.1 - before.1)
    };
    let start = mapping.addr();
    assert_eq!(sync(start, 272, CLEAN), (0, 5, 0));
    assert_eq!(sync(start + 60, 8, INVALIDATE), (0, 0, 2));
    assert_eq!(sync(start + PAGE, PAGE, CLEAN | INVALIDATE), (0, 0, 64));
    for operation in [0, 4, CLEAN | 4, 1 << 31] {
        assert_eq!(sync(start, 64, operation), (EINVAL, 0, 0));
    }
    assert_eq!(sync(start, 0, CLEAN), (EINVAL, 0, 0));
    assert_eq!(sync(start, 4 * PAGE + 1, CLEAN), (EFAULT, 0, 0));
    assert_eq!(sync(0, 64, CLEAN), (EFAULT, 0, 0));
}

#[test]
fn what_is_held_can_be_synced_by_offset() {
    let balance = Balance::new();
    let bench = Bench::registered();
    let mapping = bench.node.map(2 * PAGE).unwrap();
    bench.hold(mapping.addr() + 128, PAGE, 0).unwrap();
    let sync = |addr, len, operation| {
        let before = lines();
        let probe = Probe {
            operation,
            ..range(addr, len)
        };
        let result = bench.control(command::HOLD_SYNC, probe).map(|_| ());
        let after = lines();
        (result, after.0 - before.0, after.1 - before.1)
    };
    assert_eq!(sync(0, PAGE, CLEAN), (Ok(()), 64, 0));
    assert_eq!(sync(PAGE - 1, 1, INVALIDATE), (Ok(()), 0, 1));
    let (beyond, bad) = (Err(Errno::EFAULT), Err(Errno::EINVAL));
    assert_eq!(sync(1, PAGE, CLEAN), (beyond, 0, 0));
    assert_eq!(sync(PAGE, 1, CLEAN), (beyond, 0, 0));
    assert_eq!(sync(u64::MAX, 1, CLEAN), (beyond, 0, 0));
    assert_eq!(sync(1, u64::MAX, CLEAN), (beyond, 0, 0));
    assert_eq!(sync(0, 0, CLEAN), (bad, 0, 0));
    assert_eq!(sync(0, 1, 0), (bad, 0, 0));
    bench.release(0);
    assert_eq!(sync(0, 1, CLEAN), (bad, 0, 0));
    drop(mapping);
    balance.expect_held(0);
}

#[test]
fn results_reach_the_client_but_for_those_that_mislead_it() {
    let bench = Bench::registered();
    let result = |number: i64| {
        let probe = range(number.cast_unsigned(), 0);
        bench.call(command::RETURN, probe).map(|_| ())
    };
    assert_eq!(result(0), Ok(()));
    for errno in [
        Errno::EFAULT,
        Errno::EBUSY,
        Errno::ETIMEDOUT,
        Errno::EOPNOTSUPP,
    ] {
        assert_eq!(result(-(errno as i64)), Err(errno));
    }
    let misleading = [-(Errno::EINVAL as i64), -(Errno::ENOMEM as i64)];
    for number in misleading
        .into_iter()
        .chain([1, 4096, -4096, i64::from(i32::MIN)])
    {
        assert_eq!(result(number), Err(Errno::EIO), "{number}");
    }
}

#[test]
fn only_commands_of_an_accelerator_reach_it() {
    let bench = Bench::registered();
    let zero = Probe::default();
    // Both types of family A.
    bench.call(command::RETURN, zero).unwrap();
    bench.call(command::OLD, zero).unwrap();
    for kind in [0, b'F', b'P', b'T', 0xff] {
        let result = bench.call(Probe::request(kind, 0xf4), zero);
        assert_eq!(result, Err(Errno::ENOTTY), "{kind:#x}");
    }
    // The other nodes of the pool, and of a pool that has none.
    for node in [Node::open(), Node::open_hasty()] {
        assert_eq!(zero.ask(&node, command::RETURN), Err(Errno::ENOTTY));
    }
    // What concerns memory stays with the memory driver, which fills the answer.
    let memory = Mapping::anonymous(PAGE, READ_WRITE);
    bench.node.command_at(0x4028_4764, &memory, 0).unwrap();
    assert_ne!(memory.load(0), 0);
}
