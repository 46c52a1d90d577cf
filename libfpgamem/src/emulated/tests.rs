// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a program sees of an emulated device.

use super::*;
use crate::{AllocOptions, Buffer, Device, DeviceBuffer, Direction};

/// Miri takes a second for what else takes a microsecond.
const BLOCK: usize = if cfg!(miri) { 4096 } else { 16384 };
const POLICIES: [Policy; 5] = [
    Policy::Never,
    Policy::Evict(1),
    Policy::Evict(2),
    Policy::Prefetch(1),
    Policy::Prefetch(2),
];

fn small() -> EmulatedOptions {
    Device::emulated()
        .region_bytes(8 * BLOCK as u64)
        .block_bytes(BLOCK as u64)
}

fn device(policy: Policy) -> Device {
    small().policy(policy).open().unwrap()
}

fn take_back(buffer: DeviceBuffer) -> Buffer {
    // SAFETY: The model runs in `copy` and never else.
    unsafe { buffer.into_cpu() }.unwrap()
}

/// Lets the FPGA copy `len` bytes.
fn copy(device: &Device, from: DeviceAddr, to: DeviceAddr, len: usize) {
    let mut model = |memory: &mut FpgaMemory<'_>| {
        let mut bytes = vec![0; len];
        memory.read(from, &mut bytes)?;
        memory.write(to, &bytes)
    };
    device.emulator().unwrap().run(&mut model).unwrap();
}

#[test]
fn a_right_program_is_right_under_every_policy() {
    for policy in POLICIES {
        for options in [
            AllocOptions::new(),
            AllocOptions::new().coherency(crate::Coherency::Coherent),
            AllocOptions::new().write_combine(true),
        ] {
            let device = device(policy);
            let mut from = device.alloc_with(1000, options).unwrap();
            let mut to = device.alloc_with(1000, options).unwrap();
            from.fill(7);
            to.fill(9);
            let from = from.into_device(Direction::ToDevice).unwrap();
            let to = to.into_device(Direction::FromDevice).unwrap();
            copy(&device, from.device_addr(), to.device_addr(), 1000);
            let (from, to) = (take_back(from), take_back(to));
            assert_eq!(from[..], to[..], "{policy:?}");
            assert_eq!(to[..], [7; 1000]);
        }
    }
}

#[test]
fn what_was_not_cleaned_the_fpga_does_not_see() {
    let device = device(Policy::Never);
    let mut from = device.alloc(100).unwrap();
    let to = device.alloc(100).unwrap();
    from.fill(7);
    let to = to.into_device(Direction::FromDevice).unwrap();
    copy(&device, from.device_addr(), to.device_addr(), 100);
    assert_eq!(take_back(to)[..], [0; 100]);
}

#[test]
fn what_was_not_invalidated_the_cpu_does_not_see() {
    let device = device(Policy::Never);
    let mut from = device.alloc(100).unwrap();
    from.fill(7);
    let from = from.into_device(Direction::ToDevice).unwrap();
    let mut to = device.alloc(100).unwrap();
    copy(&device, from.device_addr(), to.device_addr(), 100);
    assert_eq!(to[..], [0; 100]);
    to.sync_for_cpu(..50).unwrap();
    // The line of the last byte, and no more.
    assert_eq!((to[0], to[63], to[64]), (7, 7, 0));
    to.sync_for_cpu(64..65).unwrap();
    assert_eq!(to[..], [7; 100]);
    drop(take_back(from));
}

#[test]
fn a_dirty_line_is_written_over_the_result_when_it_is_cleaned_too_late() {
    let device = device(Policy::Never);
    let mut from = device.alloc(100).unwrap();
    from.fill(7);
    let from = from.into_device(Direction::ToDevice).unwrap();
    let mut to = device.alloc(100).unwrap();
    to[3] = 9;
    copy(&device, from.device_addr(), to.device_addr(), 100);
    to.sync_for_cpu(..).unwrap();
    assert_eq!((to[0], to[3], to[4], to[63], to[64]), (0, 9, 0, 0, 7));
    drop(take_back(from));
}

/// What the CPU reads after a result was written to lines that it had made dirty through a view.
fn with_dirty_lines(policy: Policy) -> (Buffer, Counts) {
    let device = device(policy);
    let mut from = device.alloc(BLOCK).unwrap();
    from.fill(7);
    let from = from.into_device(Direction::ToDevice).unwrap();
    let to = device.alloc(BLOCK).unwrap();
    let mut to = to.into_device(Direction::ToDevice).unwrap();
    for line in 0..BLOCK / 64 {
        to.view_mut().write_at(line * 64, &[9]).unwrap();
    }
    copy(&device, from.device_addr(), to.device_addr(), BLOCK);
    let counts = device.emulator().unwrap().counts();
    // The direction was a lie: nothing is invalidated, so this shows what memory holds.
    let seen = device.alloc(BLOCK).unwrap();
    let seen = seen.into_device(Direction::FromDevice).unwrap();
    copy(&device, to.device_addr(), seen.device_addr(), BLOCK);
    drop((take_back(from), take_back(to)));
    (take_back(seen), counts)
}

#[test]
fn dirty_lines_are_evicted_by_chance_and_reproducibly() {
    let (seen, counts) = with_dirty_lines(Policy::Never);
    assert!(seen.iter().all(|byte| *byte == 7));
    assert_eq!(counts.evicted, 0);
    let (seen, counts) = with_dirty_lines(Policy::Evict(3));
    let lost = seen.iter().filter(|byte| **byte != 7).count();
    assert!(lost > 0 && counts.evicted > 0);
    let (again, counts_again) = with_dirty_lines(Policy::Evict(3));
    assert_eq!((&seen[..], counts), (&again[..], counts_again));
    let (other, _) = with_dirty_lines(Policy::Evict(4));
    assert_ne!(seen[..], other[..]);
}

#[test]
fn lines_are_fetched_by_chance_while_the_device_owns_them() {
    let fresh = |policy| {
        let device = device(policy);
        let mut from = device.alloc(BLOCK).unwrap();
        from.fill(7);
        let from = from.into_device(Direction::ToDevice).unwrap();
        let to = device.alloc(BLOCK).unwrap();
        let to = to.into_device(Direction::FromDevice).unwrap();
        copy(&device, from.device_addr(), to.device_addr(), BLOCK);
        let mut seen = vec![0; BLOCK];
        to.view().read_at(0, &mut seen).unwrap();
        drop((take_back(from), take_back(to)));
        seen.into_iter().filter(|byte| *byte == 7).count()
    };
    assert_eq!(fresh(Policy::Never), 0);
    assert_eq!(fresh(Policy::Evict(1)), 0);
    let fetched = fresh(Policy::Prefetch(1));
    assert!(fetched > 0 && fetched < BLOCK, "{fetched}");
}

#[test]
fn what_the_cpu_wrote_is_never_fetched_over() {
    let device = device(Policy::Prefetch(1));
    let mut from = device.alloc(BLOCK).unwrap();
    from.fill(7);
    let from = from.into_device(Direction::ToDevice).unwrap();
    let to = device.alloc(BLOCK).unwrap();
    let mut to = to.into_device(Direction::Bidirectional).unwrap();
    to.view_mut().write_at(0, &[9; BLOCK]).unwrap();
    copy(&device, from.device_addr(), to.device_addr(), BLOCK);
    let mut seen = vec![0; BLOCK];
    to.view().read_at(0, &mut seen).unwrap();
    assert!(seen.iter().all(|byte| *byte == 9));
    drop((take_back(from), take_back(to)));
}

#[test]
fn nothing_happens_unasked_to_what_the_cpu_owns() {
    for policy in [Policy::Evict(1), Policy::Prefetch(1)] {
        let device = device(policy);
        let mut from = device.alloc(BLOCK).unwrap();
        from.fill(7);
        from.sync_for_device(..).unwrap();
        let mut to = device.alloc(BLOCK).unwrap();
        for line in (0..BLOCK).step_by(128) {
            to[line] = 9;
        }
        copy(&device, from.device_addr(), to.device_addr(), BLOCK);
        let counts = device.emulator().unwrap().counts();
        assert_eq!((counts.evicted, counts.fetched), (0, 0));
        assert_eq!((to[0], to[64]), (9, 0));
    }
}

#[test]
fn a_view_of_a_coherent_buffer_is_always_fresh() {
    let device = small().coherent(true).open().unwrap();
    let mut from = device.alloc(100).unwrap();
    assert!(from.is_coherent());
    from.fill(7);
    let mut from = from.into_device(Direction::Bidirectional).unwrap();
    let to = device.alloc(100).unwrap();
    let to = to.into_device(Direction::Bidirectional).unwrap();
    from.view_mut().write_at(1, &[8]).unwrap();
    copy(&device, from.device_addr(), to.device_addr(), 100);
    let mut seen = [0; 3];
    to.view().read_at(0, &mut seen).unwrap();
    assert_eq!(seen, [7, 8, 7]);
    drop((take_back(from), take_back(to)));
}

#[test]
fn lines_are_counted_as_on_a_board() {
    let device = device(Policy::Never);
    let counts = || {
        let counts = device.emulator().unwrap().counts();
        (counts.cleaned, counts.invalidated)
    };
    let buffer = device.alloc(2 * 64 + 1).unwrap();
    let buffer = buffer.into_device(Direction::ToDevice).unwrap();
    assert_eq!(counts(), (3, 0));
    let buffer = take_back(buffer);
    assert_eq!(counts(), (3, 0));
    let buffer = buffer.into_device(Direction::FromDevice).unwrap();
    let mut buffer = take_back(buffer);
    assert_eq!(counts(), (3, 6));
    buffer.sync_for_device(63..65).unwrap();
    buffer.sync_for_cpu(5..5).unwrap();
    assert_eq!(counts(), (5, 6));
    let coherent = AllocOptions::new().coherency(crate::Coherency::Coherent);
    let coherent = device.alloc_with(1000, coherent).unwrap();
    drop(take_back(
        coherent.into_device(Direction::Bidirectional).unwrap(),
    ));
    assert_eq!(counts(), (5, 6));
}

#[test]
fn blocks_come_back_as_zeroes_in_both_copies() {
    let device = device(Policy::Never);
    let mut first = device.alloc(BLOCK).unwrap();
    first.fill(7);
    first.sync_for_device(..).unwrap();
    let place = first.phys_addr();
    drop(first);
    let again = device.alloc(BLOCK).unwrap();
    assert_eq!(again.phys_addr(), place);
    assert!(again.iter().all(|byte| *byte == 0));
    let to = device.alloc(BLOCK).unwrap();
    let to = to.into_device(Direction::FromDevice).unwrap();
    copy(&device, again.device_addr(), to.device_addr(), BLOCK);
    assert!(take_back(to).iter().all(|byte| *byte == 0));
}

#[test]
fn an_abandoned_buffer_is_never_given_away() {
    let device = device(Policy::Never);
    let buffer = device.alloc(BLOCK).unwrap();
    let (low, high) = buffer.split_at(64).unwrap();
    let place = low.phys_addr();
    drop(high.into_device(Direction::FromDevice).unwrap());
    drop(low);
    let abandoned = device.abandoned();
    assert_eq!((abandoned.buffers, abandoned.bytes), (1, BLOCK as u64 - 64));
    let rest: Vec<_> = std::iter::from_fn(|| device.alloc(BLOCK).ok()).collect();
    assert_eq!(rest.len(), 7);
    assert!(rest.iter().all(|buffer| buffer.phys_addr() != place));
    // The device may still write to it.
    let mut model =
        |memory: &mut FpgaMemory<'_>| memory.write(DeviceAddr::new(place.as_u64() + 64), &[1]);
    device.emulator().unwrap().run(&mut model).unwrap();
}

#[test]
fn addresses_are_found_without_asking_anybody() {
    let device = device(Policy::Never);
    let buffers: Vec<_> = (0..3).map(|_| device.alloc(BLOCK).unwrap()).collect();
    let there = device.phys_of(&buffers[1][100]).unwrap();
    assert_eq!(Some(there.phys_addr), buffers[1].phys_of(100));
    assert_eq!(there.contiguous_bytes, BLOCK as u64 - 100);
    let back = device.user_of(there.phys_addr).unwrap();
    assert_eq!(back.user_addr, std::ptr::from_ref(&buffers[1][100]) as u64);
    assert_eq!(device.user_to_phys(&buffers[1][100]).unwrap(), Some(there));
    assert_eq!(device.phys_to_user(there.phys_addr).unwrap(), Some(back));
    assert_eq!(device.phys_of(&there), None);
    assert_eq!(buffers[1].phys_of(BLOCK), None);
    assert_eq!(buffers[1].device_addr_of(BLOCK), None);
    assert_eq!(buffers[1].offset_of_phys(there.phys_addr), Some(100));
    assert_eq!(buffers[0].offset_of_phys(there.phys_addr), None);
    assert_eq!(buffers[2].offset_of_device(there.device_addr), None);
    let byte = std::ptr::from_ref(&buffers[1][100]);
    drop(buffers);
    assert_eq!(device.phys_of(byte), None);
    assert_eq!(device.user_of(there.phys_addr), None);
}

#[test]
fn an_access_outside_of_buffers_is_an_error_with_its_address() {
    let device = device(Policy::Never);
    let buffer = device.alloc(1).unwrap();
    let end = buffer.device_addr().checked_add(BLOCK as u64).unwrap();
    for (addr, len) in [
        (end.as_u64() - 1, 2),
        (end.as_u64(), 1),
        (0, 1),
        (u64::MAX, 1),
        (end.as_u64() - BLOCK as u64, BLOCK + 1),
    ] {
        let mut model = |memory: &mut FpgaMemory<'_>| {
            let addr = DeviceAddr::new(addr);
            assert!(memory.read(addr, &mut vec![0; len]).is_err());
            memory.write(addr, &vec![0; len])
        };
        let error = device.emulator().unwrap().run(&mut model).unwrap_err();
        assert!(matches!(error, Error::Bus { addr: a, len: l } if (a, l) == (addr, len)));
    }
}

#[test]
fn a_model_that_panics_is_an_error_with_its_message() {
    let device = device(Policy::Never);
    let mut model = |_: &mut FpgaMemory<'_>| -> Result<(), BusError> { panic!("no layer 7") };
    let error = device.emulator().unwrap().run(&mut model).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the accelerator's model panicked: no layer 7"
    );
    // The device goes on.
    let mut model = |_: &mut FpgaMemory<'_>| Ok(());
    assert!(device.emulator().unwrap().run(&mut model).is_ok());
}

#[test]
fn the_pool_is_described_as_that_of_a_board() {
    let device = device(Policy::Never);
    let _buffer = device.alloc(BLOCK + 1).unwrap();
    let info = device.info().unwrap();
    assert_eq!(info.region_bytes, 8 * BLOCK as u64);
    assert_eq!(info.free_bytes, 6 * BLOCK as u64);
    assert_eq!(info.nr_buffers, 1);
    assert_eq!(info.cache_line_bytes, Some(64));
    assert_eq!(info.largest_free(BLOCK as u64), Some(6 * BLOCK as u64));
    assert_eq!(device.path(), std::path::Path::new("emulated"));
    let error = small().block_bytes(12345).open().unwrap_err();
    assert!(matches!(
        error,
        Error::InvalidRegion {
            block_bytes: 12345,
            ..
        }
    ));
}
