// SPDX-License-Identifier: MIT OR Apache-2.0

//! The device writes, the CPU reads.

use crate::cache::LINE;
use crate::stage::{is_pattern, Buffer, Stage};
use crate::Table;
use fpgamem_tests::{in_child, PAGE};

const BYTES: u64 = 4 * PAGE;

pub(crate) const SITUATIONS: Table = &[
    ("not-invalidated", "missing-invalidate", not_invalidated),
    (
        "invalidated-before-only",
        "missing-invalidate",
        invalidated_before_only,
    ),
    (
        "last-line-not-invalidated",
        "missing-invalidate",
        last_line_not_invalidated,
    ),
    (
        "cleaned-not-invalidated",
        "missing-invalidate",
        cleaned_not_invalidated,
    ),
    (
        "wrong-buffer-invalidated",
        "missing-invalidate",
        wrong_buffer_invalidated,
    ),
    (
        "second-result-not-invalidated",
        "missing-invalidate",
        second_result_not_invalidated,
    ),
    (
        "child-reads-without-invalidation",
        "missing-invalidate",
        child_reads_without_invalidation,
    ),
    (
        "second-mapping-not-invalidated",
        "missing-invalidate",
        second_mapping_not_invalidated,
    ),
    (
        "written-before-and-not-cleaned",
        "lost-to-eviction",
        written_before_and_not_cleaned,
    ),
    (
        "last-line-left-dirty",
        "lost-to-eviction",
        last_line_left_dirty,
    ),
    (
        "cleared-for-the-device",
        "lost-to-eviction",
        cleared_for_the_device,
    ),
    (
        "neighbour-in-the-last-line",
        "lost-to-eviction",
        neighbour_in_the_last_line,
    ),
    (
        "stored-before-invalidation",
        "stale-write-back",
        stored_before_invalidation,
    ),
];

/// A device result of the pattern 1 is on its way into a buffer that held the pattern 2.
struct Result {
    stage: Stage,
    source: Buffer,
    buffer: Buffer,
}

impl Result {
    fn new() -> Self {
        let stage = Stage::new();
        let (source, buffer) = (stage.buffer(BYTES), stage.buffer(BYTES));
        source.fill(0..BYTES, 1);
        stage.flush(&source, 0..BYTES);
        buffer.fill(0..BYTES, 2);
        Self {
            stage,
            source,
            buffer,
        }
    }

    /// As [`Self::new`], with the buffer handed over.
    fn handed_over() -> Self {
        let result = Self::new();
        result.stage.invalidate(&result.buffer, 0..BYTES);
        result
    }

    fn run(&self) {
        self.stage.copy(&self.source, &self.buffer, BYTES);
    }

    fn arrived(&self) -> bool {
        self.buffer.holds(0..BYTES, 1)
    }
}

fn not_invalidated(mistake: bool) -> bool {
    let result = Result::new();
    // Cleaning alone keeps the lines.
    result.buffer.clean(0..BYTES);
    result.run();
    if !mistake {
        result.buffer.invalidate(0..BYTES);
    }
    result.arrived()
}

fn invalidated_before_only(mistake: bool) -> bool {
    let result = Result::handed_over();
    result.run();
    if !mistake {
        result.stage.invalidate(&result.buffer, 0..BYTES);
    }
    result.arrived()
}

fn last_line_not_invalidated(mistake: bool) -> bool {
    let result = Result::handed_over();
    result.run();
    let end = if mistake { BYTES - LINE } else { BYTES };
    result.stage.invalidate(&result.buffer, 0..end);
    result.arrived()
}

fn cleaned_not_invalidated(mistake: bool) -> bool {
    let result = Result::new();
    result.stage.flush(&result.buffer, 0..BYTES);
    result.run();
    if mistake {
        result.stage.flush(&result.buffer, 0..BYTES);
    } else {
        result.stage.invalidate(&result.buffer, 0..BYTES);
    }
    result.arrived()
}

fn wrong_buffer_invalidated(mistake: bool) -> bool {
    let result = Result::handed_over();
    result.run();
    let Result { source, buffer, .. } = &result;
    let invalidated = if mistake { source } else { buffer };
    invalidated.invalidate(0..BYTES);
    result.arrived()
}

fn second_result_not_invalidated(mistake: bool) -> bool {
    let result = Result::handed_over();
    let mut right = true;
    for round in 1..4 {
        result.source.fill(0..BYTES, round);
        result.source.clean(0..BYTES);
        result.run();
        if round == 1 || !mistake {
            result.buffer.invalidate(0..BYTES);
        }
        right &= result.buffer.holds(0..BYTES, round);
    }
    right
}

fn child_reads_without_invalidation(mistake: bool) -> bool {
    let result = Result::handed_over();
    let answer = result.stage.buffer(PAGE);
    result.run();
    if !mistake {
        result.buffer.invalidate(0..BYTES);
    }
    in_child(|| answer.mapping.store(0, u64::from(result.arrived())));
    answer.mapping.load(0) == 1
}

fn second_mapping_not_invalidated(mistake: bool) -> bool {
    let stage = Stage::new();
    let source = stage.buffer(BYTES);
    source.fill(0..BYTES, 1);
    source.clean(0..BYTES);
    let request = fpgamem_tests::request(BYTES);
    let alloc = stage.node.alloc(request).expect("the pool has room");
    let buffers = [0, 1].map(|_| Buffer {
        mapping: stage.node.map_buffer(&alloc).expect("the buffer maps"),
        phys_addr: alloc.phys_addr,
    });
    buffers[0].fill(0..BYTES, 2);
    buffers[0].invalidate(0..BYTES);
    stage.copy(&source, &buffers[1], BYTES);
    // Lines are physical: either mapping will do, but only as much of it as the other reads.
    let end = if mistake { PAGE } else { BYTES };
    buffers[0].invalidate(0..end);
    buffers[1].holds(0..BYTES, 1)
}

fn written_before_and_not_cleaned(mistake: bool) -> bool {
    let result = Result::new();
    if !mistake {
        result.buffer.invalidate(0..BYTES);
    }
    result.run();
    result.buffer.invalidate(0..BYTES);
    result.arrived()
}

fn last_line_left_dirty(mistake: bool) -> bool {
    let result = Result::new();
    let end = if mistake { BYTES - LINE } else { BYTES };
    result.stage.invalidate(&result.buffer, 0..end);
    result.run();
    result.stage.invalidate(&result.buffer, 0..BYTES);
    result.arrived()
}

fn cleared_for_the_device(mistake: bool) -> bool {
    let result = Result::handed_over();
    result.buffer.mapping.set(0..BYTES, 0);
    if !mistake {
        result.buffer.invalidate(0..BYTES);
    }
    result.run();
    result.buffer.invalidate(0..BYTES);
    result.arrived()
}

fn neighbour_in_the_last_line(mistake: bool) -> bool {
    let result = Result::handed_over();
    // The result ends 16 bytes into a line, of which the CPU uses the rest.
    let len = 4 * LINE + 16;
    let neighbour = if mistake {
        len..len + 48
    } else {
        len + 48..len + 96
    };
    result.buffer.fill(neighbour.clone(), 3);
    result.stage.copy(&result.source, &result.buffer, len);
    result.buffer.invalidate(0..len);
    let seen = result.buffer.bytes(0..len);
    is_pattern(&seen, 1) && result.buffer.holds(neighbour, 3)
}

fn stored_before_invalidation(mistake: bool) -> bool {
    let result = Result::new();
    result.buffer.clean(0..BYTES);
    result.run();
    if !mistake {
        result.buffer.invalidate(0..BYTES);
    }
    result.buffer.mapping.store(0, 7);
    result.buffer.invalidate(0..BYTES);
    let seen = result.stage.seen_by_device(&result.buffer, BYTES);
    let source = result.source.bytes(0..BYTES);
    seen[8..] == source[8..]
}
