// SPDX-License-Identifier: MIT OR Apache-2.0

//! The device writes, the CPU reads: each of these lets the CPU read old bytes, or old bytes get over
//! the device's.

use crate::memory::{word, Shared};
use crate::scene::{Scene, BYTES, LINE};
use crate::verdict::Verdict;
use fpgamem_tests::abi;
use std::ops::Range;

/// The device writes an output, of which the CPU then invalidates `range`.
#[inline(always)]
fn invalidate_only(scene: &Scene, range: Range<u64>) -> Verdict {
    let (input, output) = (scene.input(1), scene.used_output());
    scene.copy(&input, &output);
    scene.invalidate(&output, range);
    output.compare(1)
}

pub(crate) fn dirty_output(scene: &Scene, wrong: bool) -> Verdict {
    let (input, output) = (scene.input(1), scene.buffer(BYTES));
    // So that one sees where nothing arrives.
    output.fill(9);
    if !wrong {
        scene.invalidate(&output, 0..BYTES);
    }
    scene.copy(&input, &output);
    scene.invalidate(&output, 0..BYTES);
    output.compare(1)
}

pub(crate) fn dirty_last_line_of_output(scene: &Scene, wrong: bool) -> Verdict {
    let (input, output) = (scene.input(1), scene.buffer(BYTES));
    output.fill(9);
    scene.invalidate(&output, 0..if wrong { BYTES - LINE } else { BYTES });
    scene.copy(&input, &output);
    scene.invalidate(&output, 0..BYTES);
    output.compare(1)
}

pub(crate) fn store_to_output_after_invalidate(scene: &Scene, wrong: bool) -> Verdict {
    let (input, output) = (scene.input(1), scene.buffer(BYTES));
    if wrong {
        scene.invalidate(&output, 0..BYTES);
    }
    output.fill(9);
    if !wrong {
        scene.invalidate(&output, 0..BYTES);
    }
    scene.copy(&input, &output);
    scene.invalidate(&output, 0..BYTES);
    output.compare(1)
}

pub(crate) fn no_invalidate_of_fresh_output(scene: &Scene, wrong: bool) -> Verdict {
    let (input, output) = (scene.input(1), scene.buffer(BYTES));
    scene.invalidate(&output, 0..BYTES);
    scene.copy(&input, &output);
    if !wrong {
        scene.invalidate(&output, 0..BYTES);
    }
    output.compare(1)
}

pub(crate) fn no_invalidate_of_used_output(scene: &Scene, wrong: bool) -> Verdict {
    let (input, output) = (scene.input(1), scene.used_output());
    scene.copy(&input, &output);
    if !wrong {
        scene.invalidate(&output, 0..BYTES);
    }
    output.compare(1)
}

pub(crate) fn flush_where_invalidate_is_needed(scene: &Scene, wrong: bool) -> Verdict {
    let (input, output) = (scene.input(1), scene.used_output());
    scene.copy(&input, &output);
    if wrong {
        scene.flush(&output, 0..BYTES);
    } else {
        scene.invalidate(&output, 0..BYTES);
    }
    output.compare(1)
}

pub(crate) fn invalidate_before_start(scene: &Scene, wrong: bool) -> Verdict {
    let (input, output) = (scene.input(1), scene.used_output());
    if wrong {
        scene.invalidate(&output, 0..BYTES);
    }
    scene.copy(&input, &output);
    if !wrong {
        scene.invalidate(&output, 0..BYTES);
    }
    output.compare(1)
}

pub(crate) fn invalidate_before_device_is_done(scene: &Scene, wrong: bool) -> Verdict {
    let (input, output) = (scene.input(1), scene.used_output());
    let half = BYTES / 2;
    let (from, to) = (input.device_addr, output.device_addr);
    scene.copy_addresses(from, to, half);
    if wrong {
        scene.invalidate(&output, 0..BYTES);
    }
    // The device is at work as long as a transfer is to come.
    scene.copy_addresses(from + half, to + half, half);
    if !wrong {
        scene.invalidate(&output, 0..BYTES);
    }
    output.compare(1)
}

pub(crate) fn invalidate_wrong_buffer(scene: &Scene, wrong: bool) -> Verdict {
    let (input, output) = (scene.input(1), scene.used_output());
    scene.copy(&input, &output);
    scene.invalidate(if wrong { &input } else { &output }, 0..BYTES);
    output.compare(1)
}

pub(crate) fn invalidate_short_at_end(scene: &Scene, wrong: bool) -> Verdict {
    invalidate_only(scene, 0..if wrong { BYTES - LINE } else { BYTES })
}

pub(crate) fn invalidate_short_at_start(scene: &Scene, wrong: bool) -> Verdict {
    invalidate_only(scene, if wrong { LINE } else { 0 }..BYTES)
}

pub(crate) fn invalidate_rounds_start_up(scene: &Scene, wrong: bool) -> Verdict {
    let (input, output) = (scene.input(1), scene.used_output());
    // The result starts in the middle of a line.
    let result = LINE / 2..LINE / 2 + 8 * LINE;
    let bytes = result.end - result.start;
    let to = output.device_addr + result.start;
    scene.copy_addresses(input.device_addr, to, bytes);
    let from_line = result.start.next_multiple_of(LINE);
    scene.invalidate(
        &output,
        if wrong { from_line } else { result.start }..result.end,
    );
    output.compare_range(result, 1)
}

pub(crate) fn store_before_invalidate(scene: &Scene, wrong: bool) -> Verdict {
    let (input, output) = (scene.input(1), scene.used_output());
    scene.copy(&input, &output);
    if !wrong {
        scene.invalidate(&output, 0..BYTES);
    }
    // A mark in each line of the result.
    for offset in (0..BYTES).step_by(64) {
        output.store(offset, !0);
    }
    if wrong {
        scene.invalidate(&output, 0..BYTES);
    }
    output.compare_with(
        0..BYTES,
        |index| if index % 8 == 0 { !0 } else { word(1, index) },
    )
}

pub(crate) fn result_overwritten_in_part(scene: &Scene, wrong: bool) -> Verdict {
    // Whole lines may be overwritten as they are; of others the rest must be the device's.
    let (input, output, bytes) = (scene.input(1), scene.used_output(), BYTES - LINE);
    scene.copy(&input, &output);
    let end = if wrong { bytes - 8 } else { bytes };
    output.fill_range(0..end, 2);
    scene.flush(&output, 0..bytes);
    let seen = scene.seen_by_device(&output);
    seen.compare_with(0..bytes, |index| {
        word(if index * 8 < end { 2 } else { 1 }, index)
    })
}

pub(crate) fn in_place_result_not_invalidated(scene: &Scene, wrong: bool) -> Verdict {
    let (image, scratch, other) = (scene.input(1), scene.buffer(BYTES), scene.input(2));
    // The device reads the image and puts its result in the same place.
    scene.copy(&image, &scratch);
    scene.copy(&other, &image);
    if !wrong {
        scene.invalidate(&image, 0..BYTES);
    }
    image.compare(2)
}

pub(crate) fn vector_with_wrong_operation(scene: &Scene, wrong: bool) -> Verdict {
    let (first, second) = (scene.input(1), scene.input(2));
    let outputs: [Shared; 2] = std::array::from_fn(|_| scene.used_output());
    scene.copy(&first, &outputs[0]);
    scene.copy(&second, &outputs[1]);
    let (clean, invalidate) = (abi::SYNC_FLUSH, abi::SYNC_INVALIDATE);
    scene.sync_all(if wrong { clean } else { invalidate }, &outputs);
    outputs[0].compare(1).and(outputs[1].compare(2))
}
