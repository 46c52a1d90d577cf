// SPDX-License-Identifier: MIT OR Apache-2.0

//! Somebody else accesses the buffer: a thread, a child, the kernel.

use crate::memory::Shared;
use crate::scene::{Scene, BYTES};
use crate::verdict::Verdict;
use fpgamem_tests::{in_child, request, PAGE};
use std::fs::File;
use std::ops::Range;

/// Bytes of this program, which the kernel reads and writes for it.
const PROGRAM: Range<u64> = 0..BYTES;

fn program() -> File {
    File::open("/proc/self/exe").expect("a program can read itself")
}

/// The same bytes in private memory, as words.
fn program_words() -> Vec<u64> {
    let bytes = std::fs::read("/proc/self/exe").expect("a program can read itself");
    let word = |bytes: &[u8]| u64::from_le_bytes(std::array::from_fn(|index| bytes[index]));
    bytes.chunks_exact(8).map(word).collect()
}

/// The number of a word as an index.
fn index_of(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

pub(crate) fn thread_stores_late(scene: &Scene, wrong: bool) -> Verdict {
    let input = scene.buffer(BYTES);
    input.fill_range(0..BYTES / 2, 1);
    let second_half = || input.fill_range(BYTES / 2..BYTES, 2);
    std::thread::scope(|scope| {
        if wrong {
            scene.flush(&input, 0..BYTES);
        }
        scope.spawn(second_half);
    });
    if !wrong {
        scene.flush(&input, 0..BYTES);
    }
    let seen = scene.seen_by_device(&input);
    let first = seen.compare_range(0..BYTES / 2, 1);
    first.and(seen.compare_range(BYTES / 2..BYTES, 2))
}

pub(crate) fn child_stores_without_clean(scene: &Scene, wrong: bool) -> Verdict {
    // The mapping is shared: a child's store is a store to the buffer.
    let input = scene.input(1);
    in_child(|| {
        input.fill(2);
        if !wrong {
            scene.flush(&input, 0..BYTES);
        }
    });
    scene.seen_by_device(&input).compare(2)
}

pub(crate) fn child_reads_old_lines(scene: &Scene, wrong: bool) -> Verdict {
    let (input, output) = (scene.input(1), scene.used_output());
    scene.copy(&input, &output);
    let mut child = fpgamem_tests::Child::start(|link| {
        if !wrong {
            scene.invalidate(&output, 0..BYTES);
        }
        let verdict = output.compare(1);
        println!("in the child {verdict}");
        link.send(u64::from(verdict.is_right()));
    });
    let right = child.link.receive();
    child.succeed();
    // The child has dropped the lines for all, or nobody has.
    let mut verdict = Verdict::default();
    verdict.word(right, 1);
    verdict
}

pub(crate) fn file_read_not_cleaned(scene: &Scene, wrong: bool) -> Verdict {
    let input = scene.buffer(BYTES);
    // The kernel stores through the mapping's lines, like any CPU.
    let count = input.mapping.read_from(program(), PROGRAM);
    assert_eq!(count, Ok(index_of(BYTES)));
    if !wrong {
        scene.flush(&input, 0..BYTES);
    }
    let expected = program_words();
    scene
        .seen_by_device(&input)
        .compare_with(0..BYTES, |index| expected[index_of(index)])
}

pub(crate) fn file_written_from_old_lines(scene: &Scene, wrong: bool) -> Verdict {
    let (input, output) = (scene.input(1), scene.used_output());
    scene.copy(&input, &output);
    if !wrong {
        scene.invalidate(&output, 0..BYTES);
    }
    let path = format!("/tmp/result-{}", std::process::id());
    let file = File::create(&path).expect("/tmp is writable");
    let count = output.mapping.write_to(&file, 0..BYTES);
    assert_eq!(count, Ok(index_of(BYTES)));
    let written = std::fs::read(&path).expect("the file is there");
    std::fs::remove_file(&path).expect("the file is there");
    crate::memory::compare_slice(&written, 1)
}

pub(crate) fn unmapping_is_no_clean(scene: &Scene, wrong: bool) -> Verdict {
    let buffer = scene.node.alloc(request(BYTES)).expect("the pool has room");
    let mapping = scene.node.map_buffer(&buffer).expect("a handle maps");
    let input = Shared::new(&scene.node, mapping);
    input.fill(1);
    if !wrong {
        scene.flush(&input, 0..BYTES);
    }
    // The handle keeps the buffer, which the device reads now.
    drop(input);
    let seen = scene.buffer(BYTES);
    scene.invalidate(&seen, 0..BYTES);
    scene.copy_addresses(buffer.device_addr, seen.device_addr, BYTES);
    scene.invalidate(&seen, 0..BYTES);
    seen.compare(1)
}

pub(crate) fn second_mapping_synced_at_wrong_offset(scene: &Scene, wrong: bool) -> Verdict {
    let buffer = scene.node.alloc(request(BYTES)).expect("the pool has room");
    let map = || scene.node.map_buffer(&buffer).expect("a handle maps");
    let (input, other) = (
        Shared::new(&scene.node, map()),
        Shared::new(&scene.node, map()),
    );
    input.fill(1);
    // Lines are physical: through which mapping they are named does not matter, which ones does.
    let start = if wrong { PAGE } else { 0 };
    scene.flush(&other, start..BYTES);
    scene.seen_by_device(&input).compare(1)
}
