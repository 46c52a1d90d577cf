// SPDX-License-Identifier: MIT OR Apache-2.0

//! A buffer is mapped in parts, moved, mapped again, mapped by two processes, or named by its handle.

use crate::memory::Shared;
use crate::scene::{Scene, BYTES, LINE};
use crate::verdict::Verdict;
use fpgamem_tests::abi::{self, Alloc, Range};
use fpgamem_tests::{request, Child, MapFlags, ProtFlags, PAGE, READ_WRITE};

fn alloc(scene: &Scene) -> Alloc {
    scene.node.alloc(request(BYTES)).expect("the pool has room")
}

/// A mapping of all of a buffer.
fn map(scene: &Scene, buffer: &Alloc) -> Shared {
    let mapping = scene.node.map_buffer(buffer).expect("a handle maps");
    Shared::new(&scene.node, mapping)
}

/// What the device reads of a buffer.
#[inline(always)]
fn seen(scene: &Scene, buffer: &Alloc) -> Shared {
    let seen = scene.buffer(BYTES);
    scene.invalidate(&seen, 0..BYTES);
    scene.copy_addresses(buffer.device_addr, seen.device_addr, BYTES);
    scene.invalidate(&seen, 0..BYTES);
    seen
}

pub(crate) fn moved_mapping_cleaned_by_old_length(scene: &Scene, wrong: bool) -> Verdict {
    let mut input = scene.buffer(BYTES);
    input.fill_range(0..BYTES / 2, 1);
    input.mapping.relocate().expect("mappings can be moved");
    input.fill_range(BYTES / 2..BYTES, 2);
    scene.flush(&input, 0..if wrong { BYTES / 2 } else { BYTES });
    let seen = scene.seen_by_device(&input);
    let first = seen.compare_range(0..BYTES / 2, 1);
    first.and(seen.compare_range(BYTES / 2..BYTES, 2))
}

pub(crate) fn tail_unmapped_before_clean(scene: &Scene, wrong: bool) -> Verdict {
    let buffer = alloc(scene);
    let mut input = map(scene, &buffer);
    input.fill(1);
    if !wrong {
        scene.flush(&input, 0..BYTES);
    }
    // The device needs the tail, the CPU does not any more.
    input.mapping.unmap(BYTES / 2..BYTES);
    scene.flush(&input, 0..BYTES / 2);
    seen(scene, &buffer).compare(1)
}

pub(crate) fn handle_offset_counted_from_mapping(scene: &Scene, wrong: bool) -> Verdict {
    let buffer = alloc(scene);
    let (flags, offset) = (MapFlags::MAP_SHARED, buffer.mmap_offset + PAGE);
    let part = scene.node.map_with(PAGE, READ_WRITE, flags, offset);
    let part = Shared::new(&scene.node, part.expect("a part of a handle maps"));
    part.fill(1);
    // With a handle the offset is one into the buffer, whatever is mapped.
    let range = Range {
        addr: if wrong { 0 } else { PAGE },
        len: PAGE,
        handle: buffer.handle,
        ..Range::default()
    };
    scene.node.flush(range).expect("the range is good");
    seen(scene, &buffer).compare_range(PAGE..2 * PAGE, 1)
}

pub(crate) fn overlapping_ranges_leave_the_end(scene: &Scene, wrong: bool) -> Verdict {
    let input = scene.buffer(BYTES);
    input.fill(1);
    let range = |from, to| Range {
        addr: input.mapping.addr() + from,
        len: to - from,
        ..Range::default()
    };
    let end = if wrong { 3 * PAGE } else { 4 * PAGE };
    let ranges = [range(0, 2 * PAGE), range(PAGE, end), range(0, LINE)];
    let synced = scene.node.sync(abi::SYNC_FLUSH, &ranges);
    synced.expect("ranges may overlap");
    scene.seen_by_device(&input).compare(1)
}

pub(crate) fn read_only_mapping_not_invalidated(scene: &Scene, wrong: bool) -> Verdict {
    let buffer = alloc(scene);
    let (input, output) = (scene.input(1), map(scene, &buffer));
    output.fill(9);
    scene.invalidate(&output, 0..BYTES);
    let flags = MapFlags::MAP_SHARED;
    let reader = scene
        .node
        .map_with(BYTES, ProtFlags::PROT_READ, flags, buffer.mmap_offset);
    let reader = Shared::new(&scene.node, reader.expect("a handle maps read-only"));
    let before = reader.compare(9);
    scene.copy(&input, &output);
    if !wrong {
        // Invalidation of lines needs no right to store to them.
        scene.invalidate(&reader, 0..BYTES);
    }
    before.and(reader.compare(1))
}

pub(crate) fn other_process_reads_what_was_invalidated_before(
    scene: &Scene,
    wrong: bool,
) -> Verdict {
    let (input, output) = (scene.input(1), scene.used_output());
    let mut child = Child::start(|link| {
        let old = output.compare(99);
        link.send(u64::from(old.is_right()));
        assert_eq!(link.receive(), 1, "the device is done");
        if !wrong {
            scene.invalidate(&output, 0..BYTES);
        }
        link.send(u64::from(output.compare(1).is_right()));
    });
    let mut verdict = Verdict::of(child.link.receive() == 1);
    // The parent invalidates, the device writes, the child reads.
    scene.invalidate(&output, 0..BYTES);
    scene.copy(&input, &output);
    child.link.send(1);
    verdict = verdict.and(Verdict::of(child.link.receive() == 1));
    child.succeed();
    verdict
}

pub(crate) fn mapping_again_is_no_invalidate(scene: &Scene, wrong: bool) -> Verdict {
    let (input, buffer) = (scene.input(1), alloc(scene));
    let output = map(scene, &buffer);
    output.fill(9);
    scene.invalidate(&output, 0..BYTES);
    // A look leaves the lines in the cache, in which the next mapping finds them.
    let before = output.compare(9);
    drop(output);
    scene.copy_addresses(input.device_addr, buffer.device_addr, BYTES);
    let output = map(scene, &buffer);
    if !wrong {
        scene.invalidate(&output, 0..BYTES);
    }
    before.and(output.compare(1))
}

pub(crate) fn pipe_written_from_old_lines(scene: &Scene, wrong: bool) -> Verdict {
    let (input, output) = (scene.input(1), scene.used_output());
    scene.copy(&input, &output);
    if !wrong {
        scene.invalidate(&output, 0..PAGE);
    }
    let (mut reader, writer) = std::io::pipe().expect("there are pipes");
    let count = output.mapping.write_to(&writer, 0..PAGE);
    assert_eq!(count, Ok(4096), "a page fits into a pipe");
    let mut received = vec![0; 4096];
    std::io::Read::read_exact(&mut reader, &mut received).expect("the page is in the pipe");
    crate::memory::compare_slice(&received, 1)
}

pub(crate) fn reader_thread_does_not_wait_for_invalidate(scene: &Scene, wrong: bool) -> Verdict {
    let (input, output) = (scene.input(1), scene.used_output());
    scene.copy(&input, &output);
    let read = || {
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| output.compare(1));
            reader.join().expect("the reader does not panic")
        })
    };
    let early = wrong.then(read);
    scene.invalidate(&output, 0..BYTES);
    early.unwrap_or_else(read)
}

pub(crate) fn child_cleans_less_than_it_stored(scene: &Scene, wrong: bool) -> Verdict {
    let input = scene.input(1);
    fpgamem_tests::in_child(|| {
        input.fill_range(0..BYTES / 2, 2);
        scene.flush(&input, 0..if wrong { BYTES / 2 - LINE } else { BYTES / 2 });
    });
    scene.seen_by_device(&input).compare_range(0..BYTES / 2, 2)
}
