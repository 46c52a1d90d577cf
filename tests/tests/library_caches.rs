// SPDX-License-Identifier: MIT OR Apache-2.0

//! libfpgamem maintains exactly the lines that it must, by itself, and asks the kernel for nothing.

// Needs the device, so it exists for the guest's architecture only.
#![cfg(target_arch = "aarch64")]
#![deny(unsafe_code)]

use fpgamem::{
    AllocOptions, Buffer, Call, Coherency, Device, DeviceBuffer, Direction, Error, HandOverError,
    Result,
};
use fpgamem_tests::debugfs::lines;
use fpgamem_tests::driver::Unbound;
use fpgamem_tests::steps::{self, Step};
use fpgamem_tests::{in_child, Balance, Link, Stats};

const BLOCK: usize = 16384;
const LINE: usize = 64;
/// Buffers that have a word in the area that the library maps; the others need a call to change hands.
const SLOTS: usize = 1024;

fn device() -> Device {
    Device::open().expect("the device is there")
}

/// Takes a buffer back that no device was told of.
#[expect(unsafe_code, reason = "no device is ever told of the buffers here")]
fn take_back(buffer: DeviceBuffer) -> Result<Buffer, HandOverError<DeviceBuffer>> {
    // SAFETY: no device uses the buffer.
    unsafe { buffer.into_cpu() }
}

/// As [`take_back`] for many.
#[expect(unsafe_code, reason = "no device is ever told of the buffers here")]
fn take_back_all(
    device: &Device,
    buffers: Vec<DeviceBuffer>,
) -> Result<Vec<Buffer>, HandOverError<Vec<DeviceBuffer>>> {
    // SAFETY: no device uses the buffers.
    unsafe { device.take_back_all(buffers) }
}

/// Allocates and tells the test where the buffer is.
fn alloc(link: &mut Link, len: usize, options: AllocOptions) -> Buffer {
    let buffer = device().alloc_with(len, options).expect("there is room");
    link.send(std::ptr::from_ref(&buffer[0]) as u64);
    buffer
}

/// What `work` does with a fresh buffer of `len` bytes, and where the buffer is.
fn traced<R>(
    len: usize,
    options: AllocOptions,
    work: impl FnOnce(Buffer) -> R,
) -> (Vec<Step>, u64) {
    let (steps, mut child) = steps::of(|link| alloc(link, len, options), work, drop);
    let start = child.link.receive();
    child.succeed();
    (steps, start)
}

/// One step for each of the lines `[first, end)` of a buffer, and the barrier.
fn expected(step: fn(u64) -> Step, start: u64, lines: std::ops::Range<u64>) -> Vec<Step> {
    let lines = lines.map(|line| step(start + line * LINE as u64));
    lines.chain([Step::Barrier]).collect()
}

#[test]
fn handing_over_maintains_the_lines_that_its_direction_asks_for() {
    let _balance = Balance::new();
    let table = [
        (Direction::ToDevice, Step::Clean as fn(u64) -> Step),
        (Direction::FromDevice, Step::CleanInvalidate),
        (Direction::Bidirectional, Step::CleanInvalidate),
    ];
    for (direction, step) in table {
        // The length ends in the middle of its third line.
        let len = 2 * LINE + 1;
        let (steps, start) = traced(len, AllocOptions::new(), |buffer| {
            take_back(buffer.into_device(direction).expect("it is ours"))
        });
        let mut all = expected(step, start, 0..3);
        if direction.device_writes() {
            all.extend(expected(step, start, 0..3));
        }
        assert_eq!(steps, all, "{direction:?}");
    }
}

#[test]
fn a_coherent_or_write_combine_buffer_needs_barriers_alone() {
    let _balance = Balance::new();
    let new = AllocOptions::new();
    for options in [new.coherency(Coherency::Coherent), new.write_combine(true)] {
        let (steps, _) = traced(BLOCK, options, |buffer| {
            let buffer = buffer.into_device(Direction::Bidirectional);
            take_back(buffer.expect("it is ours"))
        });
        assert_eq!(steps, [Step::Barrier, Step::Barrier]);
        let (steps, _) = traced(BLOCK, options, |mut buffer| {
            buffer.sync_for_device(..10).expect("it is ours");
            buffer.sync_for_cpu(..10).expect("it is ours");
            buffer
        });
        assert_eq!(steps, [Step::Barrier, Step::Barrier]);
    }
}

#[test]
fn a_range_is_maintained_without_a_change_of_owner() {
    let _balance = Balance::new();
    let (steps, start) = traced(BLOCK, AllocOptions::new(), |mut buffer| {
        buffer.sync_for_device(LINE - 1..LINE + 1).unwrap();
        buffer.sync_for_cpu(BLOCK - 1..).unwrap();
        buffer.sync_for_cpu(5..5).unwrap();
        buffer
    });
    let mut all = expected(Step::Clean, start, 0..2);
    let last = (BLOCK / LINE) as u64;
    all.extend(expected(Step::CleanInvalidate, start, last - 1..last));
    assert_eq!(steps, all);
}

#[test]
fn a_range_that_leaves_the_buffer_is_refused_even_inside_its_last_block() {
    let _balance = Balance::new();
    let (steps, _) = traced(100, AllocOptions::new(), |buffer| {
        let error = buffer.sync_for_device(96..101).unwrap_err();
        assert!(matches!(
            error,
            Error::OutOfRange {
                start: 96,
                end: 101,
                len: 100
            }
        ));
        buffer
    });
    assert_eq!(steps, []);
}

#[test]
fn many_buffers_change_hands_with_one_barrier() {
    let _balance = Balance::new();
    let (steps, mut child) = steps::of(
        |link| {
            let device = device();
            let lens = (1..=5).map(|lines| lines * LINE);
            let buffers: Vec<_> = lens.map(|len| device.alloc(len).unwrap()).collect();
            for buffer in &buffers {
                link.send(std::ptr::from_ref(&buffer[0]) as u64);
            }
            (device, buffers)
        },
        |(device, buffers)| {
            let owned = device.hand_over_all(buffers, Direction::Bidirectional);
            take_back_all(&device, owned.expect("they are ours"))
        },
        |buffers| assert_eq!(buffers.expect("they are ours").len(), 5),
    );
    let mut once = Vec::new();
    for lines in 1..=5 {
        let start = child.link.receive();
        once.extend(expected(Step::CleanInvalidate, start, 0..lines));
        once.pop();
    }
    once.push(Step::Barrier);
    child.succeed();
    assert_eq!(steps, once.repeat(2));
}

#[test]
fn many_buffers_keep_their_order_and_bytes() {
    let _balance = Balance::new();
    let device = device();
    let mut buffers: Vec<_> = (1..=5).map(|n| device.alloc(n * LINE).unwrap()).collect();
    for (seed, buffer) in (1..).zip(&mut buffers) {
        buffer.fill(seed);
    }
    let buffers = device.hand_over_all(buffers, Direction::Bidirectional);
    let buffers = take_back_all(&device, buffers.unwrap()).unwrap();
    for (seed, buffer) in (1..).zip(&buffers) {
        assert_eq!(buffer.len(), usize::from(seed) * LINE);
        assert!(buffer.iter().all(|byte| *byte == seed));
    }
}

#[test]
fn translation_is_a_look_up_without_a_system_call() {
    let _balance = Balance::new();
    let (steps, mut child) = steps::of(
        |link| {
            let device = device();
            let buffers: Vec<_> = (0..100).map(|_| device.alloc(1).unwrap()).collect();
            link.send(buffers[70].phys_addr().as_u64());
            (device, buffers)
        },
        |(device, buffers)| {
            let byte = std::ptr::from_ref(&buffers[70][0]);
            let phys_addr = device.phys_of(byte).map(|there| there.phys_addr);
            let back = phys_addr.and_then(|phys_addr| device.user_of(phys_addr));
            let same = buffers[70].phys_of(0) == phys_addr;
            (buffers, phys_addr, back.map(|b| b.user_addr), same)
        },
        |(buffers, phys_addr, user_addr, same)| {
            assert_eq!(phys_addr, Some(buffers[70].phys_addr()));
            assert_eq!(user_addr, Some(std::ptr::from_ref(&buffers[70][0]) as u64));
            assert!(same);
        },
    );
    assert_ne!(child.link.receive(), 0);
    child.succeed();
    assert_eq!(steps, []);
}

#[test]
fn the_driver_has_nothing_to_do() {
    let _balance = Balance::new();
    let before = Stats::read();
    let device = device();
    let buffers: Vec<_> = (0..2).map(|_| device.alloc(BLOCK).unwrap()).collect();
    let owned = device.hand_over_all(buffers, Direction::Bidirectional);
    let mut buffers = take_back_all(&device, owned.unwrap()).unwrap();
    buffers[0].sync_for_device(..).unwrap();
    buffers[1].sync_for_cpu(..).unwrap();
    let after = Stats::read();
    assert_eq!(lines(), (before.flush_lines, before.invalidate_lines));
    assert_eq!(after.flush_calls, before.flush_calls);
    assert_eq!(after.invalidate_calls, before.invalidate_calls);
}

#[test]
fn buffers_change_hands_while_the_device_is_unbound() {
    let _balance = Balance::new();
    let mut buffer = device().alloc(BLOCK).unwrap();
    buffer.fill(3);
    let unbound = Unbound::new();
    let owned = buffer.into_device(Direction::Bidirectional).unwrap();
    let buffer = take_back(owned).unwrap();
    unbound.bind();
    assert!(buffer.iter().all(|byte| *byte == 3));
}

/// So many buffers that the last one has no word in the status area.
fn one_too_many(device: &Device) -> Vec<Buffer> {
    let alloc = |_| device.alloc(1).expect("there is room");
    (0..=SLOTS).map(alloc).collect()
}

#[test]
fn a_failed_hand_over_gives_the_buffer_back() {
    let _balance = Balance::new();
    let device = device();
    let mut buffers = one_too_many(&device);
    let mut buffer = buffers.pop().unwrap();
    buffer.fill(3);
    let unbound = Unbound::new();
    let failed = buffer.into_device(Direction::ToDevice).unwrap_err();
    unbound.bind();
    let call = Call::SetOwner;
    assert!(matches!(failed.error, Error::Unbound { call: c } if c == call));
    assert!(failed.buffer.iter().all(|byte| *byte == 3));
}

#[test]
fn a_failed_taking_back_leaves_the_buffer_with_the_device() {
    let balance = Balance::new();
    in_child(|| {
        let device = device();
        let mut buffers = one_too_many(&device);
        let buffer = buffers.pop().unwrap();
        let buffer = buffer.into_device(Direction::FromDevice).unwrap();
        let unbound = Unbound::new();
        let failed = take_back(buffer).unwrap_err();
        unbound.bind();
        let call = Call::SetOwner;
        assert!(matches!(failed.error, Error::Unbound { call: c } if c == call));
        drop(failed);
        assert_eq!(device.abandoned().buffers, 1);
    });
    balance.expect_held(0);
}

#[test]
fn a_failed_hand_over_of_many_gives_all_of_them_back() {
    let _balance = Balance::new();
    let device = device();
    let quarantined = Stats::read().quarantined;
    let buffers = one_too_many(&device);
    let unbound = Unbound::new();
    let failed = device.hand_over_all(buffers, Direction::ToDevice);
    let failed = failed.unwrap_err();
    unbound.bind();
    let call = Call::SetOwner;
    assert!(matches!(failed.error, Error::Unbound { call: c } if c == call));
    assert_eq!(failed.buffer.len(), SLOTS + 1);
    // None is the device's: all of them return.
    drop(failed);
    assert_eq!(device.abandoned().buffers, 0);
    assert_eq!(Stats::read().quarantined, quarantined);
}
