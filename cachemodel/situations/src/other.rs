// SPDX-License-Identifier: MIT OR Apache-2.0

//! Addresses that are not mapped, and memory that is mapped in two ways.

use crate::cache::{self, LINE};
use crate::stage::Stage;
use crate::Table;
use fpgamem_tests::abi::ALLOC_WRITE_COMBINE;
use fpgamem_tests::{MapFlags, Mapping, MmapAdvise, ProtFlags, PAGE, READ_WRITE};
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;

const BYTES: u64 = 4 * PAGE;

pub(crate) const SITUATIONS: Table = &[
    (
        "maintained-after-munmap",
        "unmapped",
        maintained_after_munmap,
    ),
    (
        "maintained-past-the-end",
        "unmapped",
        maintained_past_the_end,
    ),
    (
        "maintained-without-access",
        "unmapped",
        maintained_without_access,
    ),
    (
        "read-past-the-cache",
        "mixed-attributes",
        read_past_the_cache,
    ),
    (
        "written-past-the-cache",
        "mixed-attributes",
        written_past_the_cache,
    ),
    (
        "write-combine-needs-nothing",
        "nothing",
        write_combine_needs_nothing,
    ),
];

fn maintained_after_munmap(mistake: bool) -> bool {
    let stage = Stage::new();
    let mut buffer = stage.buffer(BYTES);
    buffer.fill(0..BYTES, 1);
    let start = buffer.mapping.addr();
    if mistake {
        buffer.mapping.unmap(0..BYTES);
    }
    cache::clean(start..start + LINE);
    cache::barrier();
    true
}

fn maintained_past_the_end(mistake: bool) -> bool {
    let stage = Stage::new();
    let mut buffer = stage.buffer(BYTES);
    // What follows is known not to be mapped.
    buffer.mapping.unmap(BYTES - PAGE..BYTES);
    let start = buffer.mapping.addr();
    let len = BYTES - PAGE + if mistake { 1 } else { 0 };
    cache::clean_invalidate(start..start + len);
    cache::barrier();
    true
}

fn maintained_without_access(mistake: bool) -> bool {
    let stage = Stage::new();
    let buffer = stage.buffer(BYTES);
    buffer.fill(0..BYTES, 1);
    if mistake {
        let none = buffer.mapping.protect(0..BYTES, ProtFlags::PROT_NONE);
        none.expect("the mapping is ours");
    }
    buffer.clean(0..PAGE);
    true
}

/// The memory of a buffer a second time, past the cache.
fn uncached(phys_addr: u64, len: u64) -> Mapping {
    // O_SYNC asks for a mapping that is not cached.
    let memory = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(nix::libc::O_SYNC)
        .open("/dev/mem")
        .expect("root may open /dev/mem");
    Mapping::of(&memory, len, READ_WRITE, MapFlags::MAP_SHARED, phys_addr)
        .expect("reserved memory maps")
}

fn read_past_the_cache(mistake: bool) -> bool {
    let stage = Stage::new();
    let buffer = stage.buffer(BYTES);
    buffer.fill(0..LINE, 1);
    if mistake {
        buffer.clean(0..LINE);
    } else {
        buffer.invalidate(0..LINE);
    }
    let other = uncached(buffer.phys_addr, PAGE);
    let seen = (0..LINE / 8).map(|word| other.load(word * 8));
    let right = seen.eq((0..LINE / 8).map(|word| word_of_pattern(1, word)));
    stage.invalidate(&buffer, 0..LINE);
    right
}

fn written_past_the_cache(mistake: bool) -> bool {
    let stage = Stage::new();
    let buffer = stage.buffer(BYTES);
    buffer.fill(0..LINE, 1);
    if !mistake {
        buffer.invalidate(0..LINE);
    }
    let other = uncached(buffer.phys_addr, PAGE);
    for word in 0..LINE / 8 {
        other.store(word * 8, word_of_pattern(2, word));
    }
    stage.invalidate(&buffer, 0..LINE);
    buffer.holds(0..LINE, 2)
}

/// A word of the test pattern.
fn word_of_pattern(seed: u64, word: u64) -> u64 {
    let mut bytes = [0; 8];
    fpgamem_tests::pattern::fill(&mut bytes, seed, word * 8);
    u64::from_le_bytes(bytes)
}

/// No mistake on either side: a buffer that is not cached, written and read by both.
fn write_combine_needs_nothing(_mistake: bool) -> bool {
    let stage = Stage::new();
    let mut right = true;
    for round in 0..3 {
        let from = stage.buffer_with(BYTES, ALLOC_WRITE_COMBINE);
        let to = stage.buffer_with(BYTES, ALLOC_WRITE_COMBINE);
        from.fill(0..BYTES, round);
        cache::barrier();
        stage.copy(&from, &to, BYTES);
        right &= to.holds(0..BYTES, round);
        // The next round gets the same blocks, cached in between.
        drop((from, to));
        let cached = stage.buffer(BYTES);
        cached.fill(0..BYTES, 9);
        let _ = cached.mapping.advise(MmapAdvise::MADV_NORMAL);
    }
    right
}
