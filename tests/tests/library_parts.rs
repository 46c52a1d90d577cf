// SPDX-License-Identifier: MIT OR Apache-2.0

//! Buffers of libfpgamem that are split.

// Needs the device, so it exists for the guest's architecture only.
#![cfg(target_arch = "aarch64")]
#![deny(unsafe_code)]

use fpgamem::{Buffer, Device, DeviceBuffer, Direction, Error};
use fpgamem_tests::quarantine::{state_of, Ward};
use fpgamem_tests::zdma::Zdma;
use fpgamem_tests::{in_child, pattern, Balance};

const BLOCK: usize = 16384;
const LINE: usize = 64;

fn device() -> Device {
    Device::open().expect("the device is there")
}

/// Takes a buffer back that no device uses any more.
#[expect(
    unsafe_code,
    reason = "the ZDMA copies while `copy` runs and never else"
)]
fn take_back(buffer: DeviceBuffer) -> Buffer {
    // SAFETY: no device uses the buffer: `Zdma::copy` returns when the channel has finished.
    unsafe { buffer.into_cpu() }.expect("it is ours")
}

#[test]
fn parts_have_the_bytes_and_addresses_of_the_whole() {
    let _balance = Balance::new();
    let mut buffer = device().alloc(BLOCK + 100).unwrap();
    pattern::fill(&mut buffer, 1, 0);
    let (bytes, phys_addr) = (buffer.to_vec(), buffer.phys_addr());
    let (low, high) = buffer.split_at(LINE).unwrap();
    assert_eq!((low.len(), low.capacity()), (LINE, LINE));
    assert_eq!(
        (high.len(), high.capacity()),
        (BLOCK + 36, 2 * BLOCK - LINE)
    );
    assert_eq!(low.phys_addr(), phys_addr);
    assert_eq!(high.phys_of(0), phys_addr.checked_add(LINE as u64));
    let there = device_says(&high);
    assert_eq!(high.device_addr().as_u64(), there);
    assert_eq!(low[..], bytes[..LINE]);
    assert_eq!(high[..], bytes[LINE..]);
    let whole = low.join(high).unwrap();
    assert_eq!((whole.len(), whole.capacity()), (BLOCK + 100, 2 * BLOCK));
    assert_eq!(whole[..], bytes[..]);
}

/// The device address as the driver has it.
fn device_says(buffer: &Buffer) -> u64 {
    let there = buffer.device().user_to_phys(&buffer[0]);
    let there = there.expect("the device is bound");
    there.expect("it is mapped").device_addr.as_u64()
}

#[test]
fn blocks_return_with_the_last_part() {
    let balance = Balance::new();
    let buffer = device().alloc(3 * BLOCK).unwrap();
    let (low, high) = buffer.split_at(BLOCK).unwrap();
    let (middle, high) = high.split_at(BLOCK).unwrap();
    for part in [high, low] {
        drop(part);
        balance.expect_held(3);
    }
    drop(middle);
    balance.expect_held(0);
}

#[test]
fn a_split_that_is_impossible_gives_the_buffer_back() {
    let _balance = Balance::new();
    let mut buffer = device().alloc(2 * LINE).unwrap();
    for at in [0, 1, LINE - 1, LINE + 1, 2 * LINE, 3 * LINE] {
        let failed = buffer.split_at(at).unwrap_err();
        assert!(matches!(
            failed.error,
            Error::InvalidSplit { mid, len: 128, line_bytes: 64 } if mid == at
        ));
        buffer = failed.buffer;
        assert_eq!(buffer.len(), 2 * LINE);
    }
}

#[test]
fn only_neighbours_in_their_order_can_be_joined() {
    let _balance = Balance::new();
    let device = device();
    let (a, b) = device.alloc(BLOCK).unwrap().split_at(LINE).unwrap();
    let (b, c) = b.split_at(LINE).unwrap();
    let not_adjacent = |first: Buffer, second: Buffer| {
        let failed = first.join(second).unwrap_err();
        assert!(matches!(failed.error, Error::NotAdjacent { .. }));
        *failed.buffer
    };
    let (b, a) = not_adjacent(b, a);
    let (a, c) = not_adjacent(a, c);
    // The next allocation may well follow in memory, and is another one all the same.
    let other = device.alloc(BLOCK).unwrap();
    let (c, other) = not_adjacent(c, other);
    assert_eq!(a.join(b.join(c).unwrap()).unwrap().len(), BLOCK);
    drop(other);
}

#[test]
fn a_master_uses_one_part_while_the_cpu_has_the_other() {
    let _balance = Balance::new();
    let device = device();
    let mut from = device.alloc(2 * BLOCK).unwrap();
    pattern::fill(&mut from, 1, 0);
    let from = from.into_device(Direction::ToDevice).unwrap();
    let (mut mine, its) = device.alloc(2 * BLOCK).unwrap().split_at(BLOCK).unwrap();
    mine.fill(7);
    let its = its.into_device(Direction::FromDevice).unwrap();
    mine[BLOCK - 1] = 8;
    Zdma::open().copy(
        from.device_addr().as_u64(),
        its.device_addr().as_u64(),
        16384,
    );
    mine[0] = 9;
    let (its, from) = (take_back(its), take_back(from));
    assert_eq!(its[..], from[..BLOCK]);
    assert_eq!((mine[0], mine[1], mine[BLOCK - 1]), (9, 7, 8));
    assert_eq!(mine.join(its).unwrap().len(), 2 * BLOCK);
}

#[test]
fn the_allocation_is_the_devices_while_a_part_is() {
    let ward = Ward::new();
    let buffer = device().alloc(BLOCK).unwrap();
    let phys_addr = buffer.phys_addr().as_u64();
    let (low, high) = buffer.split_at(LINE).unwrap();
    let low = low.into_device(Direction::ToDevice).unwrap();
    let high = high.into_device(Direction::ToDevice).unwrap();
    assert_eq!(state_of(phys_addr), "device");
    let low = take_back(low);
    assert_eq!(state_of(phys_addr), "device");
    let high = take_back(high);
    assert_eq!(state_of(phys_addr), "cpu");
    drop(low.join(high).unwrap());
    assert_eq!(ward.quarantined(), 0);
}

#[test]
fn a_part_that_the_device_keeps_keeps_the_allocation() {
    let balance = Balance::new();
    in_child(|| {
        let device = device();
        let buffer = device.alloc(2 * BLOCK).unwrap();
        let phys_addr = buffer.phys_addr();
        let (low, high) = buffer.split_at(BLOCK + LINE).unwrap();
        drop(high.into_device(Direction::FromDevice).unwrap());
        drop(low);
        let abandoned = device.abandoned();
        assert_eq!(
            (abandoned.buffers, abandoned.bytes),
            (1, (BLOCK - LINE) as u64)
        );
        assert!(device.phys_to_user(phys_addr).unwrap().is_some());
        assert_eq!(state_of(phys_addr.as_u64()), "device");
        balance.expect_held(2);
    });
    balance.expect_held(0);
}

#[test]
fn a_forked_child_can_do_nothing_with_parts() {
    let balance = Balance::new();
    let (low, high) = device().alloc(BLOCK).unwrap().split_at(LINE).unwrap();
    let high = high.into_device(Direction::ToDevice).unwrap();
    let mut parts = Some((low, high));
    in_child(|| {
        let (low, high) = parts.take().unwrap();
        let failed = low.into_device(Direction::ToDevice).unwrap_err();
        assert!(matches!(failed.error, Error::Forked { .. }));
        assert!(matches!(high.sync_for_cpu(..), Err(Error::Forked { .. })));
        drop((failed, high));
    });
    balance.expect_held(1);
    let (low, high) = parts.unwrap();
    assert_eq!(low.join(take_back(high)).unwrap().len(), BLOCK);
}
