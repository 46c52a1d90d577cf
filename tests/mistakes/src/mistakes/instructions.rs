// SPDX-License-Identifier: MIT OR Apache-2.0

//! Programs that maintain the caches themselves, by the instructions that arm64 allows at EL0.

use crate::instruction::{civac, cvac, cvau, dsb};
use crate::memory::Shared;
use crate::scene::{Scene, BYTES, LINE};
use crate::verdict::Verdict;
use std::ops::Range;

/// The addresses of the lines that a range of offsets touches.
#[inline(always)]
fn lines(buffer: &Shared, range: Range<u64>) -> impl Iterator<Item = u64> {
    let start = buffer.mapping.addr();
    let first = (start + range.start) / LINE * LINE;
    (first..start + range.end).step_by(64)
}

/// DC CVAC of lines, and DSB.
#[inline(always)]
fn clean(lines: impl Iterator<Item = u64>) {
    lines.for_each(cvac);
    dsb();
}

/// DC CIVAC of lines, and DSB.
#[inline(always)]
fn clean_and_invalidate(lines: impl Iterator<Item = u64>) {
    lines.for_each(civac);
    dsb();
}

/// A buffer that the CPU has filled and not cleaned.
#[inline(always)]
fn dirty(scene: &Scene, seed: u64) -> Shared {
    let buffer = scene.buffer(BYTES);
    buffer.fill(seed);
    buffer
}

pub(crate) fn el0_clean_without_dsb(scene: &Scene, wrong: bool) -> Verdict {
    let (input, output) = (scene.input(1), scene.buffer(BYTES));
    scene.invalidate(&output, 0..BYTES);
    scene.program(input.device_addr, output.device_addr, BYTES);
    // All is ready; the first word changes at the last moment.
    input.store(0, !0);
    cvac(input.mapping.addr());
    if !wrong {
        dsb();
    }
    scene.start();
    scene.wait();
    scene.invalidate(&output, 0..BYTES);
    output
        .compare_with(0..8, |_| !0)
        .and(input.compare_with(0..8, |_| !0))
}

pub(crate) fn el0_dsb_before_clean(scene: &Scene, wrong: bool) -> Verdict {
    let (input, output) = (scene.input(1), scene.buffer(BYTES));
    scene.invalidate(&output, 0..BYTES);
    scene.program(input.device_addr, output.device_addr, BYTES);
    input.store(0, !0);
    if wrong {
        dsb();
    }
    cvac(input.mapping.addr());
    if !wrong {
        dsb();
    }
    scene.start();
    scene.wait();
    scene.invalidate(&output, 0..BYTES);
    output.compare_with(0..8, |_| !0)
}

pub(crate) fn el0_clean_stops_early(scene: &Scene, wrong: bool) -> Verdict {
    let input = dirty(scene, 1);
    let (start, end) = (input.mapping.addr(), input.mapping.addr() + BYTES);
    let mut address = start;
    while address < end {
        if !wrong || address + LINE < end {
            cvac(address);
        }
        address += LINE;
    }
    dsb();
    scene.seen_by_device(&input).compare(1)
}

pub(crate) fn el0_clean_from_middle_of_line(scene: &Scene, wrong: bool) -> Verdict {
    let command = scene.input(9);
    // 128 bytes that touch three lines.
    let range = LINE / 2..LINE / 2 + 2 * LINE;
    command.fill_range(range.clone(), 1);
    let start = command.mapping.addr();
    let from = start + if wrong { range.start } else { 0 };
    clean((from..start + range.end).step_by(64));
    let seen = scene.seen_by_device(&command);
    seen.compare_range(range, 1)
}

pub(crate) fn el0_lines_of_128_bytes(scene: &Scene, wrong: bool) -> Verdict {
    let input = dirty(scene, 1);
    clean(lines(&input, 0..BYTES).step_by(if wrong { 2 } else { 1 }));
    scene.seen_by_device(&input).compare(1)
}

pub(crate) fn el0_clean_to_unification(scene: &Scene, wrong: bool) -> Verdict {
    let input = dirty(scene, 1);
    let each = if wrong { cvau } else { cvac };
    lines(&input, 0..BYTES).for_each(each);
    dsb();
    scene.seen_by_device(&input).compare(1)
}

pub(crate) fn el0_dirty_output(scene: &Scene, wrong: bool) -> Verdict {
    let (input, output) = (scene.input(1), dirty(scene, 9));
    if !wrong {
        clean_and_invalidate(lines(&output, 0..BYTES));
    }
    scene.copy(&input, &output);
    clean_and_invalidate(lines(&output, 0..BYTES));
    output.compare(1)
}

pub(crate) fn el0_clean_where_invalidate_is_needed(scene: &Scene, wrong: bool) -> Verdict {
    let (input, output) = (scene.input(1), scene.used_output());
    scene.copy(&input, &output);
    let each = if wrong { cvac } else { civac };
    lines(&output, 0..BYTES).for_each(each);
    dsb();
    output.compare(1)
}

pub(crate) fn el0_invalidate_without_first_line(scene: &Scene, wrong: bool) -> Verdict {
    let (input, output) = (scene.input(1), scene.used_output());
    let result = LINE / 2..LINE / 2 + 8 * LINE;
    let to = output.device_addr + result.start;
    scene.copy_addresses(input.device_addr, to, result.end - result.start);
    let touched = lines(&output, result.clone());
    clean_and_invalidate(touched.skip(usize::from(wrong)));
    output.compare_range(result, 1)
}

pub(crate) fn el0_past_end_of_mapping(scene: &Scene, wrong: bool) -> Verdict {
    let (input, mut output) = (scene.input(1), scene.used_output());
    let half = BYTES / 2;
    output.mapping.unmap(half..BYTES);
    scene.copy_addresses(input.device_addr, output.device_addr, half);
    let end = half + if wrong { LINE } else { 0 };
    clean_and_invalidate(lines(&output, 0..end));
    output.compare_range(0..half, 1)
}
