// SPDX-License-Identifier: MIT OR Apache-2.0

//! The same through the library, where a wrong direction is what remains to be got wrong.

use crate::stage::{is_pattern, Stage};
use crate::Table;
use fpgamem::{Buffer, Device, DeviceBuffer, Direction};
use fpgamem_tests::PAGE;

const BYTES: usize = 16384;

pub(crate) const SITUATIONS: Table = &[
    (
        "result-handed-over-as-input",
        "missing-invalidate",
        result_handed_over_as_input,
    ),
    (
        "result-viewed-without-sync",
        "missing-invalidate",
        result_viewed_without_sync,
    ),
    (
        "view-written-without-sync",
        "missing-clean",
        view_written_without_sync,
    ),
    (
        "part-of-a-view-synced",
        "missing-clean",
        part_of_a_view_synced,
    ),
];

fn filled(device: &Device, seed: u64) -> Buffer {
    let mut buffer = device.alloc(BYTES).expect("the pool has room");
    fpgamem_tests::pattern::fill(&mut buffer, seed, 0);
    buffer
}

/// Lets the device copy one buffer to another.
fn copy(stage: &Stage, from: &DeviceBuffer, to: &DeviceBuffer) {
    let addresses = [from, to].map(|buffer| buffer.device_addr().as_u64());
    stage.copy_at(addresses[0], addresses[1], BYTES as u64);
}

/// The buffer's bytes in the eyes of the device.
fn seen(stage: &Stage, buffer: &DeviceBuffer) -> Vec<u8> {
    let result = stage.buffer(BYTES as u64);
    stage.copy_at(
        buffer.device_addr().as_u64(),
        result.phys_addr,
        BYTES as u64,
    );
    result.invalidate(0..BYTES as u64);
    result.bytes(0..BYTES as u64)
}

fn result_handed_over_as_input(mistake: bool) -> bool {
    let (stage, device) = (Stage::new(), Device::open().expect("the driver is loaded"));
    let source = filled(&device, 1)
        .into_device(Direction::ToDevice)
        .expect("ours");
    let direction = if mistake {
        Direction::ToDevice
    } else {
        Direction::FromDevice
    };
    let result = filled(&device, 2).into_device(direction).expect("ours");
    copy(&stage, &source, &result);
    let result = taken_back(result);
    is_pattern(&result, 1)
}

#[expect(unsafe_code, reason = "says that the device is done")]
fn taken_back(buffer: DeviceBuffer) -> Buffer {
    // SAFETY: transfers are over when `copy_at` returns.
    unsafe { buffer.into_cpu() }.expect("ours")
}

fn result_viewed_without_sync(mistake: bool) -> bool {
    let (stage, device) = (Stage::new(), Device::open().expect("the driver is loaded"));
    let source = filled(&device, 1)
        .into_device(Direction::ToDevice)
        .expect("ours");
    let result = filled(&device, 2)
        .into_device(Direction::FromDevice)
        .expect("ours");
    copy(&stage, &source, &result);
    if !mistake {
        result.sync_for_cpu(..).expect("ours");
    }
    let mut bytes = vec![0; BYTES];
    result.view().read_at(0, &mut bytes).expect("in range");
    is_pattern(&bytes, 1)
}

fn view_written_without_sync(mistake: bool) -> bool {
    let (stage, device) = (Stage::new(), Device::open().expect("the driver is loaded"));
    let mut buffer = filled(&device, 2)
        .into_device(Direction::ToDevice)
        .expect("ours");
    let mut bytes = vec![0; BYTES];
    fpgamem_tests::pattern::fill(&mut bytes, 1, 0);
    buffer.view_mut().write_at(0, &bytes).expect("in range");
    if !mistake {
        buffer.sync_for_device(..).expect("ours");
    }
    is_pattern(&seen(&stage, &buffer), 1)
}

fn part_of_a_view_synced(mistake: bool) -> bool {
    let (stage, device) = (Stage::new(), Device::open().expect("the driver is loaded"));
    let mut buffer = filled(&device, 2)
        .into_device(Direction::ToDevice)
        .expect("ours");
    let mut bytes = vec![0; BYTES];
    fpgamem_tests::pattern::fill(&mut bytes, 1, 0);
    buffer.view_mut().write_at(0, &bytes).expect("in range");
    let page = usize::try_from(PAGE).expect("a page fits");
    let end = if mistake { page } else { BYTES };
    buffer.sync_for_device(..end).expect("ours");
    is_pattern(&seen(&stage, &buffer), 1)
}
