// SPDX-License-Identifier: MIT OR Apache-2.0

//! Two things in one cache line, and one thing in two.

use crate::memory::word;
use crate::scene::{Scene, BYTES, LINE};
use crate::verdict::Verdict;

pub(crate) fn status_shares_line(scene: &Scene, wrong: bool) -> Verdict {
    let (record, shared) = (scene.input(1), scene.used_output());
    // The device reports in the first 16 bytes; the CPU counts beside them.
    let counter = if wrong { 16 } else { LINE };
    scene.invalidate(&shared, 0..LINE);
    shared.store(counter, 1);
    scene.copy_addresses(record.device_addr, shared.device_addr, 16);
    scene.invalidate(&shared, 0..LINE);
    shared.compare_range(0..16, 1)
}

pub(crate) fn tensors_share_line(scene: &Scene, wrong: bool) -> Verdict {
    // A pool of small tensors in one buffer: an output, and after it the next input.
    let (source, arena) = (scene.input(1), scene.used_output());
    let bytes = 272;
    let next = if wrong { bytes } else { 320 };
    scene.invalidate(&arena, 0..bytes);
    arena.fill_range(next..next + bytes, 2);
    scene.copy_addresses(source.device_addr, arena.device_addr, bytes);
    scene.invalidate(&arena, 0..bytes);
    arena.compare_range(0..bytes, 1)
}

pub(crate) fn store_straddles_lines(scene: &Scene, wrong: bool) -> Verdict {
    let command = scene.input(1);
    // A packed structure: the word begins in one line and ends in the next.
    let place = LINE - 4;
    command.store_unaligned(place, !0);
    scene.flush(&command, if wrong { place..LINE } else { place..place + 8 });
    let expected = |index| match index {
        7 => word(1, 7) | !0 << 32,
        8 => word(1, 8) | !0 >> 32,
        _ => word(1, index),
    };
    scene
        .seen_by_device(&command)
        .compare_with(0..BYTES, expected)
}

pub(crate) fn atomic_counter_not_cleaned(scene: &Scene, wrong: bool) -> Verdict {
    let queue = scene.input(1);
    queue.add(0, 1);
    if !wrong {
        scene.flush(&queue, 0..8);
    }
    let expected = |index| word(1, index) + u64::from(index == 0);
    scene
        .seen_by_device(&queue)
        .compare_with(0..BYTES, expected)
}

pub(crate) fn cleared_lines_not_cleaned(scene: &Scene, wrong: bool) -> Verdict {
    let accumulators = scene.input(1);
    for offset in (0..BYTES).step_by(64) {
        accumulators.clear_line(offset);
    }
    if !wrong {
        scene.flush(&accumulators, 0..BYTES);
    }
    scene
        .seen_by_device(&accumulators)
        .compare_with(0..BYTES, |_| 0)
}
