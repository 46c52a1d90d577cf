// SPDX-License-Identifier: MIT OR Apache-2.0

//! Buffers in their second use: another direction, another tensor, another job.

use crate::memory::{fill_slice, take_back, word};
use crate::scene::{halves, Scene, BYTES, DESCRIPTOR_STOPS, LINE};
use crate::verdict::Verdict;
use fpgamem::{Device, Direction};
use fpgamem_tests::abi;

pub(crate) fn output_edited_and_used_as_input(scene: &Scene, wrong: bool) -> Verdict {
    let (input, tensor) = (scene.input(1), scene.used_output());
    scene.copy(&input, &tensor);
    scene.invalidate(&tensor, 0..BYTES);
    // The CPU clips some values of the result, which is the next layer's input.
    for offset in (0..BYTES).step_by(512) {
        tensor.store(offset, 0);
    }
    if !wrong {
        scene.flush(&tensor, 0..BYTES);
    }
    let clipped = |index| if index % 64 == 0 { 0 } else { word(1, index) };
    scene
        .seen_by_device(&tensor)
        .compare_with(0..BYTES, clipped)
}

pub(crate) fn input_used_as_output(scene: &Scene, wrong: bool) -> Verdict {
    let (tensor, other) = (scene.input(1), scene.input(2));
    let first = scene.seen_by_device(&tensor).compare(1);
    // The CPU used it as scratch memory since.
    tensor.fill_range(BYTES / 2..BYTES, 9);
    if !wrong {
        scene.invalidate(&tensor, 0..BYTES);
    }
    scene.copy(&other, &tensor);
    scene.invalidate(&tensor, 0..BYTES);
    first.and(tensor.compare(2))
}

pub(crate) fn memcpy_overruns_into_result(scene: &Scene, wrong: bool) -> Verdict {
    // One buffer for all tensors: an input of 16 lines, then a result.
    let (source, arena) = (scene.input(1), scene.used_output());
    let (result, bytes) = (16 * LINE, 16 * LINE);
    scene.invalidate(&arena, 0..BYTES);
    arena.fill_range(0..if wrong { result + 8 } else { result }, 2);
    scene.flush(&arena, 0..result);
    let to = arena.device_addr + result;
    scene.copy_addresses(source.device_addr, to, bytes);
    scene.invalidate(&arena, result..result + bytes);
    let kept = arena.compare_range(0..result, 2);
    kept.and(arena.compare_range(result..result + bytes, 1))
}

pub(crate) fn write_combine_store_without_barrier(scene: &Scene, wrong: bool) -> Verdict {
    let output = scene.buffer(BYTES);
    let input = scene.buffer_with(BYTES, abi::ALLOC_WRITE_COMBINE);
    input.fill(1);
    scene.invalidate(&output, 0..BYTES);
    scene.program(input.device_addr, output.device_addr, BYTES);
    input.store(0, !0);
    if !wrong {
        crate::instruction::dsb();
    }
    scene.start();
    scene.wait();
    scene.invalidate(&output, 0..BYTES);
    let expected = |index| if index == 0 { !0 } else { word(1, index) };
    output.compare_with(0..BYTES, expected)
}

/// Bytes of a descriptor of the ZDMA in a list without links.
const DESCRIPTOR: u64 = 16;

pub(crate) fn list_cleaned_by_its_first_line(scene: &Scene, wrong: bool) -> Verdict {
    let (lists, output) = (scene.buffer(BYTES), scene.buffer(BYTES));
    let inputs = [1, 2, 3, 4, 5].map(|seed| scene.input(seed));
    let (sources, destination) = (0, BYTES / 2);
    let describe = |at: u64, address: u64, bytes: u64, attributes: u32| {
        lists.store(at, address);
        let attributes = u64::from(attributes) << 32;
        lists.store(at + 8, attributes | u64::from(halves(bytes)[0]));
    };
    // Lists of the last job: each ends at once.
    for at in (sources..sources + 2 * LINE).step_by(16) {
        describe(at, inputs[0].device_addr, LINE, DESCRIPTOR_STOPS);
    }
    let bytes = 5 * LINE;
    describe(destination, output.device_addr, bytes, DESCRIPTOR_STOPS);
    scene.flush(&lists, 0..BYTES);
    // Five descriptors are more than a line holds.
    for (index, input) in (0..).zip(&inputs) {
        let attributes = if index == 4 { DESCRIPTOR_STOPS } else { 0 };
        let at = sources + index * DESCRIPTOR;
        describe(at, input.device_addr, LINE, attributes);
    }
    let list = 5 * DESCRIPTOR;
    scene.flush(&lists, sources..sources + if wrong { LINE } else { list });
    scene.invalidate(&output, 0..BYTES);
    scene.follow(lists.device_addr + sources, lists.device_addr + destination);
    scene.invalidate(&output, 0..BYTES);
    let parts = (0..).zip(&inputs).map(|(index, _)| {
        let at = index * LINE;
        output.compare_range(at..at + LINE, index + 1)
    });
    parts.fold(Verdict::default(), Verdict::and)
}

pub(crate) fn device_owned_words_in_shared_structure(scene: &Scene, wrong: bool) -> Verdict {
    // A queue: the CPU's index and the device's, each with an array behind it. Only where the two
    // are apart by a line can each side maintain its own.
    let (record, queue) = (scene.input(1), scene.used_output());
    let (ours, theirs) = (0, if wrong { 32 } else { LINE });
    let mut verdict = Verdict::default();
    for round in 1..4 {
        scene.invalidate(&queue, theirs..theirs + 16);
        queue.store(ours, round);
        scene.copy_addresses(record.device_addr, queue.device_addr + theirs, 16);
        scene.flush(&queue, ours..ours + 8);
        scene.invalidate(&queue, theirs..theirs + 16);
        verdict = verdict.and(queue.compare_range(theirs..theirs + 16, 1));
    }
    verdict
}

pub(crate) fn address_kept_after_take_back(scene: &Scene, wrong: bool) -> Verdict {
    let (first, second) = (scene.input(1), scene.input(2));
    let device = Device::open().expect("the node is there");
    let mut output = device.alloc(16384).expect("the pool has room");
    fill_slice(&mut output, 9);
    let hand_over = |buffer: fpgamem::Buffer| {
        let owned = buffer.into_device(Direction::FromDevice);
        owned.expect("the driver hands it over")
    };
    let owned = hand_over(output);
    let to = owned.device_addr().as_u64();
    scene.copy_addresses(first.device_addr, to, BYTES);
    let output = take_back(owned);
    let verdict = crate::memory::compare_slice(&output, 1);
    // The device writes a second time.
    let output = if wrong {
        scene.copy_addresses(second.device_addr, to, BYTES);
        output
    } else {
        let owned = hand_over(output);
        scene.copy_addresses(second.device_addr, to, BYTES);
        take_back(owned)
    };
    verdict.and(crate::memory::compare_slice(&output, 2))
}

pub(crate) fn sync_for_device_without_offset(scene: &Scene, wrong: bool) -> Verdict {
    let device = Device::open().expect("the node is there");
    let frames = device.alloc(16384).expect("the pool has room");
    let frames = frames.into_device(Direction::ToDevice);
    let mut frames = frames.expect("the driver hands it over");
    let mut frame = vec![0; 4096];
    fill_slice(&mut frame, 1);
    let start = 8192;
    let written = frames.view_mut().write_at(start, &frame);
    written.expect("the frame is in the buffer");
    let synced = if wrong {
        frames.sync_for_device(..frame.len())
    } else {
        frames.sync_for_device(start..start + frame.len())
    };
    synced.expect("the driver cleans it");
    let seen = scene.buffer(BYTES);
    scene.invalidate(&seen, 0..BYTES);
    let from = frames.device_addr().as_u64() + 8192;
    scene.copy_addresses(from, seen.device_addr, 4096);
    scene.invalidate(&seen, 0..BYTES);
    take_back(frames);
    seen.compare_range(0..4096, 1)
}
