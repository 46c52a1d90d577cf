// SPDX-License-Identifier: MIT OR Apache-2.0

//! Rings, descriptors, and transfers that follow one another.

use crate::memory::{word, Shared};
use crate::scene::{halves, Scene, BYTES, DESCRIPTOR_STOPS, LINE};
use crate::verdict::Verdict;

/// How often a program looks whether the device is done.
const LOOKS: usize = 1000;

pub(crate) fn status_polled_without_invalidate(scene: &Scene, wrong: bool) -> Verdict {
    let (record, ring) = (scene.input(1), scene.used_output());
    let done = word(1, 0);
    assert_ne!(ring.load(0), done, "the device is not done yet");
    // The device reports completion by a record in the ring's first line.
    scene.copy_addresses(record.device_addr, ring.device_addr, LINE);
    let mut status = 0;
    for _ in 0..LOOKS {
        if !wrong {
            scene.invalidate(&ring, 0..LINE);
        }
        status = ring.load(0);
        if status == done {
            break;
        }
    }
    let mut verdict = Verdict::default();
    verdict.word(status, done);
    verdict
}

pub(crate) fn payload_behind_status_not_invalidated(scene: &Scene, wrong: bool) -> Verdict {
    let (record, ring) = (scene.input(1), scene.used_output());
    scene.copy_addresses(record.device_addr, ring.device_addr, 4 * LINE);
    scene.invalidate(&ring, 0..LINE);
    assert_eq!(ring.load(0), word(1, 0), "the status has been invalidated");
    if !wrong {
        scene.invalidate(&ring, LINE..4 * LINE);
    }
    ring.compare_range(0..4 * LINE, 1)
}

pub(crate) fn ring_wraps_around(scene: &Scene, wrong: bool) -> Verdict {
    let ring = scene.input(1);
    let nr_slots = BYTES / LINE;
    // The last two slots and the first two.
    let first = nr_slots - 2;
    for number in first..first + 4 {
        let slot = number % nr_slots * LINE;
        ring.fill_range(slot..slot + LINE, number);
    }
    scene.flush(&ring, first * LINE..BYTES);
    if !wrong {
        scene.flush(&ring, 0..2 * LINE);
    }
    let seen = scene.seen_by_device(&ring);
    let mut verdict = Verdict::default();
    for number in first..first + 4 {
        let slot = number % nr_slots * LINE;
        verdict = verdict.and(seen.compare_range(slot..slot + LINE, number));
    }
    verdict
}

/// Writes a descriptor of the ZDMA that ends its list.
#[inline(always)]
fn describe(list: &Shared, offset: u64, address: u64, bytes: u64) {
    list.store(offset, address);
    let attributes = u64::from(DESCRIPTOR_STOPS) << 32;
    list.store(offset + 8, attributes | u64::from(halves(bytes)[0]));
}

pub(crate) fn descriptor_of_last_round(scene: &Scene, wrong: bool) -> Verdict {
    let (inputs, output) = ([scene.input(1), scene.input(2)], scene.buffer(BYTES));
    let lists = scene.buffer(BYTES);
    let (source, destination) = (0, 4 * LINE);
    describe(&lists, destination, output.device_addr, BYTES);
    let mut verdict = Verdict::default();
    for (round, input) in (1..).zip(&inputs) {
        describe(&lists, source, input.device_addr, BYTES);
        if round == 1 || !wrong {
            scene.flush(&lists, 0..BYTES);
        }
        scene.invalidate(&output, 0..BYTES);
        let start = lists.device_addr;
        scene.follow(start + source, start + destination);
        scene.invalidate(&output, 0..BYTES);
        verdict = verdict.and(output.compare(round));
    }
    verdict
}

pub(crate) fn chain_with_store_between(scene: &Scene, wrong: bool) -> Verdict {
    let (input, middle) = (scene.input(1), scene.buffer(BYTES));
    // What goes from the device to the device needs no sync, if the CPU keeps off.
    scene.copy(&input, &middle);
    let mut first = word(1, 0);
    if wrong {
        first = !0;
        middle.store(0, first);
    }
    let expected = |index| if index == 0 { first } else { word(1, index) };
    scene
        .seen_by_device(&middle)
        .compare_with(0..BYTES, expected)
}

pub(crate) fn chain_patched_without_invalidate(scene: &Scene, wrong: bool) -> Verdict {
    let (input, middle) = (scene.input(1), scene.used_output());
    scene.copy(&input, &middle);
    if !wrong {
        scene.invalidate(&middle, 0..8);
    }
    middle.store(0, !0);
    scene.flush(&middle, 0..8);
    let expected = |index| if index == 0 { !0 } else { word(1, index) };
    scene
        .seen_by_device(&middle)
        .compare_with(0..BYTES, expected)
}

pub(crate) fn chain_over_dirty_buffer(scene: &Scene, wrong: bool) -> Verdict {
    let (input, middle) = (scene.input(1), scene.buffer(BYTES));
    middle.fill(9);
    if !wrong {
        scene.flush(&middle, 0..BYTES);
    }
    scene.copy(&input, &middle);
    scene.seen_by_device(&middle).compare(1)
}

pub(crate) fn chain_with_late_clean(scene: &Scene, wrong: bool) -> Verdict {
    let (input, middle) = (scene.input(1), scene.buffer(BYTES));
    middle.fill(9);
    if !wrong {
        scene.flush(&middle, 0..BYTES);
    }
    scene.copy(&input, &middle);
    if wrong {
        scene.flush(&middle, 0..BYTES);
    }
    scene.seen_by_device(&middle).compare(1)
}

pub(crate) fn chain_with_load_between(scene: &Scene, wrong: bool) -> Verdict {
    let (input, middle) = (scene.input(1), scene.used_output());
    scene.copy(&input, &middle);
    let mut verdict = Verdict::default();
    if !wrong {
        scene.invalidate(&middle, 0..LINE);
    }
    // A look at what is on its way.
    verdict.word(middle.load(0), word(1, 0));
    verdict.and(scene.seen_by_device(&middle).compare(1))
}
