// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the library cannot prevent: an address that is used without a hand-over, a direction or a
//! port that is not the real one, a part that is synced by hand.

use crate::memory::{compare_slice, compare_slice_with, fill_slice, take_back, word};
use crate::scene::{Scene, BYTES, LINE};
use crate::verdict::Verdict;
use fpgamem::{AllocOptions, Buffer, Coherency, Device, DeviceBuffer, Direction};

/// [`BYTES`] as the length of a slice.
const LEN: usize = 16384;

fn open() -> Device {
    Device::open().expect("the node is there")
}

fn buffer(device: &Device) -> Buffer {
    device.alloc(LEN).expect("the pool has room")
}

/// A buffer for the port with that coherency.
fn buffer_for(device: &Device, coherency: Coherency) -> Buffer {
    let options = AllocOptions::new().coherency(coherency);
    device.alloc_with(LEN, options).expect("the pool has room")
}

fn hand_over(buffer: Buffer, direction: Direction) -> DeviceBuffer {
    let owned = buffer.into_device(direction);
    owned.expect("the driver hands it over")
}

/// The address that goes into the device's registers.
fn address(buffer: &DeviceBuffer) -> u64 {
    buffer.device_addr().as_u64()
}

/// What the device reads from an address on: a second buffer, handed over and taken back.
#[inline(always)]
fn seen_by_device(scene: &Scene, device: &Device, from: u64) -> Buffer {
    let seen = hand_over(buffer(device), Direction::FromDevice);
    scene.copy_addresses(from, address(&seen), BYTES);
    take_back(seen)
}

pub(crate) fn address_used_without_hand_over(scene: &Scene, wrong: bool) -> Verdict {
    let device = open();
    let mut input = buffer(&device);
    fill_slice(&mut input, 1);
    let from = input.device_addr().as_u64();
    if wrong {
        let seen = seen_by_device(scene, &device, from);
        drop(input);
        return compare_slice(&seen, 1);
    }
    let input = hand_over(input, Direction::ToDevice);
    let seen = seen_by_device(scene, &device, from);
    take_back(input);
    compare_slice(&seen, 1)
}

pub(crate) fn second_round_without_hand_over(scene: &Scene, wrong: bool) -> Verdict {
    let device = open();
    let mut input = buffer(&device);
    let mut verdict = Verdict::default();
    for round in 1..4 {
        fill_slice(&mut input, round);
        let from = input.device_addr().as_u64();
        if round == 1 || !wrong {
            input = take_back(hand_over(input, Direction::ToDevice));
        }
        let seen = seen_by_device(scene, &device, from);
        verdict = verdict.and(compare_slice(&seen, round));
    }
    verdict
}

pub(crate) fn output_handed_over_as_input(scene: &Scene, wrong: bool) -> Verdict {
    let (device, input) = (open(), scene.input(1));
    let mut output = buffer(&device);
    fill_slice(&mut output, 9);
    let (to_device, from_device) = (Direction::ToDevice, Direction::FromDevice);
    let output = hand_over(output, if wrong { to_device } else { from_device });
    scene.copy_addresses(input.device_addr, address(&output), BYTES);
    compare_slice(&take_back(output), 1)
}

pub(crate) fn in_place_handed_over_as_input(scene: &Scene, wrong: bool) -> Verdict {
    let (device, other, scratch) = (open(), scene.input(2), scene.buffer(BYTES));
    let mut image = buffer(&device);
    fill_slice(&mut image, 1);
    let (input, both) = (Direction::ToDevice, Direction::Bidirectional);
    let image = hand_over(image, if wrong { input } else { both });
    // The device reads the image and puts its result in the same place.
    scene.copy_addresses(address(&image), scratch.device_addr, BYTES);
    scene.copy_addresses(other.device_addr, address(&image), BYTES);
    compare_slice(&take_back(image), 2)
}

pub(crate) fn coherent_port_claimed_for_input(scene: &Scene, wrong: bool) -> Verdict {
    let device = open();
    let (snoops, real) = (Coherency::Coherent, Coherency::NonCoherent);
    let mut input = buffer_for(&device, if wrong { snoops } else { real });
    fill_slice(&mut input, 1);
    let input = hand_over(input, Direction::ToDevice);
    let seen = seen_by_device(scene, &device, address(&input));
    take_back(input);
    compare_slice(&seen, 1)
}

pub(crate) fn coherent_port_claimed_for_output(scene: &Scene, wrong: bool) -> Verdict {
    let (device, input) = (open(), scene.input(1));
    let (snoops, real) = (Coherency::Coherent, Coherency::NonCoherent);
    let output = buffer_for(&device, if wrong { snoops } else { real });
    let zeroes = compare_slice_with(&output, |_| 0);
    let output = hand_over(output, Direction::FromDevice);
    scene.copy_addresses(input.device_addr, address(&output), BYTES);
    zeroes.and(compare_slice(&take_back(output), 1))
}

pub(crate) fn view_written_without_sync(scene: &Scene, wrong: bool) -> Verdict {
    let device = open();
    let mut command = buffer(&device);
    fill_slice(&mut command, 1);
    let mut command = hand_over(command, Direction::ToDevice);
    let written = command.view_mut().write_at(0, &[0xff; 8]);
    written.expect("the word is in the buffer");
    if !wrong {
        let synced = command.sync_for_device(..8);
        synced.expect("the driver cleans it");
    }
    let seen = seen_by_device(scene, &device, address(&command));
    take_back(command);
    compare_slice_with(&seen, |index| if index == 0 { !0 } else { word(1, index) })
}

pub(crate) fn view_read_without_sync(scene: &Scene, wrong: bool) -> Verdict {
    let (device, record) = (open(), scene.input(1));
    let status = hand_over(buffer(&device), Direction::FromDevice);
    let load = || {
        let mut word = [0; 8];
        let read = status.view().read_at(0, &mut word);
        read.expect("the word is in the buffer");
        u64::from_le_bytes(word)
    };
    let mut verdict = Verdict::default();
    verdict.word(load(), 0);
    scene.copy_addresses(record.device_addr, address(&status), LINE);
    if !wrong {
        let synced = status.sync_for_cpu(..8);
        synced.expect("the driver invalidates it");
    }
    verdict.word(load(), word(1, 0));
    take_back(status);
    verdict
}

pub(crate) fn sync_for_device_where_cpu_reads(scene: &Scene, wrong: bool) -> Verdict {
    let (device, record) = (open(), scene.input(1));
    let mut status = buffer(&device);
    fill_slice(&mut status, 9);
    let synced = status.sync_for_device(..);
    synced.expect("the driver cleans it");
    let to = status.device_addr().as_u64();
    scene.copy_addresses(record.device_addr, to, BYTES);
    let synced = if wrong {
        status.sync_for_device(..)
    } else {
        status.sync_for_cpu(..)
    };
    synced.expect("the driver maintains it");
    compare_slice(&status, 1)
}

pub(crate) fn sync_for_cpu_counts_elements(scene: &Scene, wrong: bool) -> Verdict {
    let (device, input) = (open(), scene.input(1));
    let mut output = buffer(&device);
    fill_slice(&mut output, 9);
    let synced = output.sync_for_device(..);
    synced.expect("the driver cleans it");
    let to = output.device_addr().as_u64();
    scene.copy_addresses(input.device_addr, to, BYTES);
    let nr_floats = LEN / 4;
    let synced = output.sync_for_cpu(..if wrong { nr_floats } else { LEN });
    synced.expect("the driver invalidates it");
    compare_slice(&output, 1)
}

pub(crate) fn sync_for_device_one_line_short(scene: &Scene, wrong: bool) -> Verdict {
    let device = open();
    let mut input = buffer(&device);
    fill_slice(&mut input, 1);
    let synced = input.sync_for_device(..if wrong { LEN - 64 } else { LEN });
    synced.expect("the driver cleans it");
    let from = input.device_addr().as_u64();
    compare_slice(&seen_by_device(scene, &device, from), 1)
}

pub(crate) fn hand_over_all_lacks_one(scene: &Scene, wrong: bool) -> Verdict {
    let device = open();
    let mut tensors: Vec<Buffer> = (0..4).map(|_| buffer(&device)).collect();
    for (seed, tensor) in (1..).zip(&mut tensors) {
        fill_slice(tensor, seed);
    }
    let addresses: Vec<u64> = tensors.iter().map(|b| b.device_addr().as_u64()).collect();
    let kept = wrong.then(|| tensors.remove(2));
    let owned = device.hand_over_all(tensors, Direction::ToDevice);
    let owned = owned.expect("the driver hands them over");
    let mut verdict = Verdict::default();
    for (seed, from) in (1..).zip(addresses) {
        let seen = seen_by_device(scene, &device, from);
        verdict = verdict.and(compare_slice(&seen, seed));
    }
    owned.into_iter().map(take_back).for_each(drop);
    drop(kept);
    verdict
}

pub(crate) fn taken_back_before_device_is_done(scene: &Scene, wrong: bool) -> Verdict {
    let (device, input) = (open(), scene.input(1));
    let output = hand_over(buffer(&device), Direction::FromDevice);
    let (from, to, half) = (input.device_addr, address(&output), BYTES / 2);
    scene.copy_addresses(from, to, half);
    let second_half = || scene.copy_addresses(from + half, to + half, half);
    let output = if wrong {
        let output = take_back(output);
        second_half();
        output
    } else {
        second_half();
        take_back(output)
    };
    compare_slice(&output, 1)
}

pub(crate) fn input_copied_by_memcpy(scene: &Scene, wrong: bool) -> Verdict {
    let device = open();
    let mut image = vec![0; LEN];
    fill_slice(&mut image, 1);
    let mut input = buffer(&device);
    input.copy_from_slice(&image);
    let from = input.device_addr().as_u64();
    if !wrong {
        let synced = input.sync_for_device(..);
        synced.expect("the driver cleans it");
    }
    compare_slice(&seen_by_device(scene, &device, from), 1)
}

pub(crate) fn output_compared_by_memcmp(scene: &Scene, wrong: bool) -> Verdict {
    let (device, input) = (open(), scene.input(1));
    let mut expected = vec![0; LEN];
    fill_slice(&mut expected, 1);
    let mut output = buffer(&device);
    output.fill(9);
    let synced = output.sync_for_device(..);
    synced.expect("the driver cleans it");
    let to = output.device_addr().as_u64();
    scene.copy_addresses(input.device_addr, to, BYTES);
    if !wrong {
        let synced = output.sync_for_cpu(..);
        synced.expect("the driver invalidates it");
    }
    let mut verdict = Verdict::default();
    verdict.word(u64::from(output[..] == expected[..]), 1);
    verdict
}
