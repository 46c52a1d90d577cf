// SPDX-License-Identifier: MIT OR Apache-2.0

//! The CPU writes, the device reads: each of these leaves stores in the cache.

use crate::memory::{word, Shared};
use crate::scene::{Scene, BYTES, LINE};
use crate::verdict::Verdict;
use fpgamem_tests::abi;
use std::ops::Range;

/// The input is filled, and cleaned where `range` says.
#[inline(always)]
fn clean_only(scene: &Scene, range: Range<u64>) -> Verdict {
    let input = scene.buffer(BYTES);
    input.fill(1);
    scene.flush(&input, range);
    scene.seen_by_device(&input).compare(1)
}

pub(crate) fn missing_clean(scene: &Scene, wrong: bool) -> Verdict {
    let input = scene.buffer(BYTES);
    input.fill(1);
    if !wrong {
        scene.flush(&input, 0..BYTES);
    }
    scene.seen_by_device(&input).compare(1)
}

pub(crate) fn clean_before_store(scene: &Scene, wrong: bool) -> Verdict {
    let input = scene.buffer(BYTES);
    if wrong {
        scene.flush(&input, 0..BYTES);
    }
    input.fill(1);
    if !wrong {
        scene.flush(&input, 0..BYTES);
    }
    scene.seen_by_device(&input).compare(1)
}

pub(crate) fn clean_after_start(scene: &Scene, wrong: bool) -> Verdict {
    let input = scene.buffer(BYTES);
    input.fill(1);
    if !wrong {
        scene.flush(&input, 0..BYTES);
    }
    let seen = scene.seen_by_device(&input);
    if wrong {
        scene.flush(&input, 0..BYTES);
    }
    seen.compare(1)
}

pub(crate) fn clean_wrong_buffer(scene: &Scene, wrong: bool) -> Verdict {
    let (input, weights) = (scene.buffer(BYTES), scene.input(2));
    input.fill(1);
    scene.flush(if wrong { &weights } else { &input }, 0..BYTES);
    scene.seen_by_device(&input).compare(1)
}

pub(crate) fn clean_without_offset(scene: &Scene, wrong: bool) -> Verdict {
    let frames = scene.buffer(4 * BYTES);
    let frame = 2 * BYTES..3 * BYTES;
    frames.fill_range(frame.clone(), 1);
    scene.flush(&frames, if wrong { 0..BYTES } else { frame.clone() });
    let seen = scene.buffer(BYTES);
    scene.invalidate(&seen, 0..BYTES);
    scene.copy_addresses(frames.device_addr + frame.start, seen.device_addr, BYTES);
    scene.invalidate(&seen, 0..BYTES);
    seen.compare(1)
}

pub(crate) fn clean_counts_elements(scene: &Scene, wrong: bool) -> Verdict {
    let nr_floats = BYTES / 4;
    clean_only(scene, 0..if wrong { nr_floats } else { BYTES })
}

pub(crate) fn clean_short_at_end(scene: &Scene, wrong: bool) -> Verdict {
    clean_only(scene, 0..if wrong { BYTES - LINE } else { BYTES })
}

pub(crate) fn clean_short_at_start(scene: &Scene, wrong: bool) -> Verdict {
    clean_only(scene, if wrong { LINE } else { 0 }..BYTES)
}

pub(crate) fn clean_rounds_down(scene: &Scene, wrong: bool) -> Verdict {
    // 272 bytes, as many tensors have, are four lines and a quarter.
    let (tensor, bytes) = (scene.buffer(BYTES), 272);
    tensor.fill_range(0..bytes, 1);
    let whole_lines = bytes / LINE * LINE;
    scene.flush(&tensor, 0..if wrong { whole_lines } else { bytes });
    scene.seen_by_device(&tensor).compare_range(0..bytes, 1)
}

pub(crate) fn clean_only_at_setup(scene: &Scene, wrong: bool) -> Verdict {
    let input = scene.input(1);
    let mut verdict = scene.seen_by_device(&input).compare(1);
    for frame in 2..5 {
        input.fill(frame);
        if !wrong {
            scene.flush(&input, 0..BYTES);
        }
        verdict = verdict.and(scene.seen_by_device(&input).compare(frame));
    }
    verdict
}

pub(crate) fn clean_other_half_of_double_buffer(scene: &Scene, wrong: bool) -> Verdict {
    let halves = [scene.input(8), scene.input(9)];
    let mut verdict = Verdict::default();
    for frame in 0..4_u64 {
        let (now, next) = if frame % 2 == 0 { (0, 1) } else { (1, 0) };
        halves[now].fill(frame);
        scene.flush(&halves[if wrong { next } else { now }], 0..BYTES);
        verdict = verdict.and(scene.seen_by_device(&halves[now]).compare(frame));
    }
    verdict
}

pub(crate) fn flag_after_clean(scene: &Scene, wrong: bool) -> Verdict {
    let command = scene.buffer(BYTES);
    command.fill(1);
    if wrong {
        scene.flush(&command, 0..BYTES);
    }
    // The word that says that the rest is valid comes last.
    command.store(0, !0);
    if !wrong {
        scene.flush(&command, 0..BYTES);
    }
    let expected = |index| if index == 0 { !0 } else { word(1, index) };
    scene
        .seen_by_device(&command)
        .compare_with(0..BYTES, expected)
}

pub(crate) fn input_synced_as_output(scene: &Scene, wrong: bool) -> Verdict {
    let input = scene.buffer(BYTES);
    input.fill(1);
    if !wrong {
        scene.flush(&input, 0..BYTES);
    }
    let seen = scene.seen_by_device(&input);
    if wrong {
        scene.invalidate(&input, 0..BYTES);
    }
    seen.compare(1)
}

/// Four tensors are filled, and those that `cleaned` picks are cleaned in one call.
#[inline(always)]
fn vector(scene: &Scene, cleaned: [usize; 4], count: usize) -> Verdict {
    let tensors: [Shared; 4] = std::array::from_fn(|_| scene.buffer(BYTES));
    for (seed, tensor) in (1..).zip(&tensors) {
        tensor.fill(seed);
    }
    let ranges = cleaned.iter().take(count).map(|number| &tensors[*number]);
    scene.sync_all(abi::SYNC_FLUSH, ranges);
    let mut verdict = Verdict::default();
    for (seed, tensor) in (1..).zip(&tensors) {
        verdict = verdict.and(scene.seen_by_device(tensor).compare(seed));
    }
    verdict
}

pub(crate) fn vector_lacks_range(scene: &Scene, wrong: bool) -> Verdict {
    vector(scene, [0, 1, 2, 3], if wrong { 3 } else { 4 })
}

pub(crate) fn vector_repeats_range(scene: &Scene, wrong: bool) -> Verdict {
    vector(scene, [0, 1, if wrong { 1 } else { 2 }, 3], 4)
}
