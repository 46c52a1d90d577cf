// SPDX-License-Identifier: MIT OR Apache-2.0

//! The CPU writes, the device reads.

use crate::cache::LINE;
use crate::stage::{is_pattern, Stage};
use crate::Table;
use fpgamem_tests::PAGE;

const BYTES: u64 = 4 * PAGE;

pub(crate) const SITUATIONS: Table = &[
    ("not-cleaned", "missing-clean", not_cleaned),
    (
        "not-cleaned-by-driver",
        "missing-clean",
        not_cleaned_by_driver,
    ),
    (
        "cleaned-before-the-store",
        "missing-clean",
        cleaned_before_the_store,
    ),
    (
        "last-line-not-cleaned",
        "missing-clean",
        last_line_not_cleaned,
    ),
    (
        "first-line-not-cleaned",
        "missing-clean",
        first_line_not_cleaned,
    ),
    (
        "wrong-buffer-cleaned",
        "missing-clean",
        wrong_buffer_cleaned,
    ),
    (
        "header-patched-after-cleaning",
        "missing-clean",
        header_patched_after_cleaning,
    ),
    (
        "second-round-not-cleaned",
        "missing-clean",
        second_round_not_cleaned,
    ),
    (
        "range-left-out-of-the-list",
        "missing-clean",
        range_left_out_of_the_list,
    ),
    (
        "unaligned-end-not-rounded-up",
        "missing-clean",
        unaligned_end_not_rounded_up,
    ),
    (
        "zeroed-after-cleaning",
        "missing-clean",
        zeroed_after_cleaning,
    ),
    (
        "cleaned-for-instructions-only",
        "missing-clean",
        cleaned_for_instructions_only,
    ),
    (
        "no-barrier-after-cleaning",
        "missing-barrier",
        no_barrier_after_cleaning,
    ),
];

fn not_cleaned(mistake: bool) -> bool {
    let stage = Stage::new();
    let buffer = stage.buffer(BYTES);
    buffer.fill(0..BYTES, 1);
    if !mistake {
        buffer.clean(0..BYTES);
    }
    is_pattern(&stage.seen_by_device(&buffer, BYTES), 1)
}

fn not_cleaned_by_driver(mistake: bool) -> bool {
    let stage = Stage::new();
    let buffer = stage.buffer(BYTES);
    buffer.fill(0..BYTES, 1);
    if !mistake {
        stage.flush(&buffer, 0..BYTES);
    }
    is_pattern(&stage.seen_by_device(&buffer, BYTES), 1)
}

fn cleaned_before_the_store(mistake: bool) -> bool {
    let stage = Stage::new();
    let buffer = stage.buffer(BYTES);
    if mistake {
        stage.flush(&buffer, 0..BYTES);
    }
    buffer.fill(0..BYTES, 1);
    if !mistake {
        stage.flush(&buffer, 0..BYTES);
    }
    is_pattern(&stage.seen_by_device(&buffer, BYTES), 1)
}

fn last_line_not_cleaned(mistake: bool) -> bool {
    let stage = Stage::new();
    let buffer = stage.buffer(BYTES);
    buffer.fill(0..BYTES, 1);
    let end = if mistake { BYTES - LINE } else { BYTES };
    stage.flush(&buffer, 0..end);
    is_pattern(&stage.seen_by_device(&buffer, BYTES), 1)
}

fn first_line_not_cleaned(mistake: bool) -> bool {
    let stage = Stage::new();
    let buffer = stage.buffer(BYTES);
    buffer.fill(0..BYTES, 1);
    let start = if mistake { LINE } else { 0 };
    buffer.clean(start..BYTES);
    is_pattern(&stage.seen_by_device(&buffer, BYTES), 1)
}

fn wrong_buffer_cleaned(mistake: bool) -> bool {
    let stage = Stage::new();
    let (buffer, other) = (stage.buffer(BYTES), stage.buffer(BYTES));
    buffer.fill(0..BYTES, 1);
    let cleaned = if mistake { &other } else { &buffer };
    stage.flush(cleaned, 0..BYTES);
    is_pattern(&stage.seen_by_device(&buffer, BYTES), 1)
}

fn header_patched_after_cleaning(mistake: bool) -> bool {
    let stage = Stage::new();
    let buffer = stage.buffer(BYTES);
    buffer.fill(0..BYTES, 1);
    let header = buffer.bytes(0..8);
    buffer.mapping.write(0, &[0; 8]);
    buffer.clean(0..BYTES);
    buffer.mapping.write(0, &header);
    if !mistake {
        buffer.clean(0..8);
    }
    is_pattern(&stage.seen_by_device(&buffer, BYTES), 1)
}

fn second_round_not_cleaned(mistake: bool) -> bool {
    let stage = Stage::new();
    let buffer = stage.buffer(BYTES);
    let mut right = true;
    for round in 0..3 {
        buffer.fill(0..BYTES, round);
        if round == 0 || !mistake {
            stage.flush(&buffer, 0..BYTES);
        }
        right &= is_pattern(&stage.seen_by_device(&buffer, BYTES), round);
    }
    right
}

fn range_left_out_of_the_list(mistake: bool) -> bool {
    let stage = Stage::new();
    let buffers: Vec<_> = (0..4).map(|_| stage.buffer(BYTES)).collect();
    for (seed, buffer) in (0..).zip(&buffers) {
        buffer.fill(0..BYTES, seed);
    }
    let count = if mistake { 3 } else { 4 };
    let ranges = buffers.iter().map(|buffer| buffer.abi_range(0..BYTES));
    stage.flush_all(&ranges.take(count).collect::<Vec<_>>());
    (0..)
        .zip(&buffers)
        .all(|(seed, buffer)| is_pattern(&stage.seen_by_device(buffer, BYTES), seed))
}

fn unaligned_end_not_rounded_up(mistake: bool) -> bool {
    let stage = Stage::new();
    let buffer = stage.buffer(BYTES);
    // From the end of a line to the first bytes of the sixth.
    let (start, len) = (48, 280);
    buffer.fill(start..start + len, 1);
    // A loop that begins in the middle of a line and counts whole lines misses the last one.
    let end = if mistake {
        start + len / LINE * LINE
    } else {
        start + len
    };
    buffer.clean(start..end);
    let result = stage.buffer(len);
    stage.copy_at(buffer.phys_addr + start, result.phys_addr, len);
    result.invalidate(0..len);
    result.holds(0..len, 1)
}

fn zeroed_after_cleaning(mistake: bool) -> bool {
    let stage = Stage::new();
    let buffer = stage.buffer(BYTES);
    buffer.fill(0..BYTES, 1);
    buffer.clean(0..BYTES);
    // A memset to zero uses DC ZVA.
    buffer.mapping.set(0..BYTES, 0);
    if !mistake {
        buffer.clean(0..BYTES);
    }
    let seen = stage.seen_by_device(&buffer, BYTES);
    seen.iter().all(|byte| *byte == 0)
}

fn cleaned_for_instructions_only(mistake: bool) -> bool {
    let stage = Stage::new();
    let buffer = stage.buffer(BYTES);
    buffer.fill(0..BYTES, 1);
    if mistake {
        buffer.clean_to_unification(0..BYTES);
    } else {
        buffer.clean(0..BYTES);
    }
    is_pattern(&stage.seen_by_device(&buffer, BYTES), 1)
}

fn no_barrier_after_cleaning(mistake: bool) -> bool {
    let stage = Stage::new();
    let (buffer, result) = (stage.buffer(LINE), stage.buffer(LINE));
    // The first store to the device's registers takes a fault, and the kernel executes barriers.
    stage.copy(&buffer, &result, LINE);
    buffer.fill(0..LINE, 1);
    buffer.clean_without_barrier(0..LINE);
    if !mistake {
        crate::cache::barrier();
    }
    stage.copy(&buffer, &result, LINE);
    result.invalidate(0..LINE);
    // The model does not delay what was cleaned, so this comes out right.
    result.holds(0..LINE, 1)
}
