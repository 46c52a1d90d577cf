// SPDX-License-Identifier: MIT OR Apache-2.0

//! Memory that is accessed through the cache and past it.

use crate::memory::Shared;
use crate::scene::{Scene, Snoops, BYTES};
use crate::verdict::Verdict;
use fpgamem_tests::{abi, MapFlags, Mapping, READ_WRITE};
use std::fs::OpenOptions;

/// The same memory past the cache, as /dev/mem maps it.
fn uncached(buffer: &Shared) -> Shared {
    let file = OpenOptions::new().read(true).write(true).open("/dev/mem");
    let file = file.expect("the kernel has /dev/mem");
    let place = buffer.device_addr;
    let mapping = Mapping::of(&file, buffer.len(), READ_WRITE, MapFlags::MAP_SHARED, place);
    Shared {
        mapping: mapping.expect("/dev/mem maps"),
        device_addr: place,
    }
}

pub(crate) fn dev_mem_read_behind_cache(scene: &Scene, wrong: bool) -> Verdict {
    let buffer = scene.buffer(BYTES);
    buffer.fill(1);
    if !wrong {
        scene.invalidate(&buffer, 0..BYTES);
    }
    let verdict = uncached(&buffer).compare(1);
    scene.invalidate(&buffer, 0..BYTES);
    verdict
}

pub(crate) fn dev_mem_written_behind_cache(scene: &Scene, wrong: bool) -> Verdict {
    let buffer = scene.buffer(BYTES);
    buffer.fill(9);
    if !wrong {
        scene.invalidate(&buffer, 0..BYTES);
    }
    uncached(&buffer).fill(1);
    scene.invalidate(&buffer, 0..BYTES);
    buffer.compare(1)
}

/// An input with those ALLOC flags, as a program makes it that knows how the driver syncs it.
#[inline(always)]
fn input_with(scene: &Scene, flags: u32) -> Verdict {
    let input = scene.buffer_with(BYTES, flags);
    input.fill(1);
    scene.flush(&input, 0..BYTES);
    scene.seen_by_device(&input).compare(1)
}

pub(crate) fn coherent_flag_for_other_port(scene: &Scene, wrong: bool) -> Verdict {
    let (snoops, real) = (abi::ALLOC_COHERENT, abi::ALLOC_NONCOHERENT);
    input_with(scene, if wrong { snoops } else { real })
}

pub(crate) fn write_combine_expected(scene: &Scene, wrong: bool) -> Verdict {
    // No clean, because write-combine memory needs none; the barrier stands for that.
    let flags = if wrong { 0 } else { abi::ALLOC_WRITE_COMBINE };
    let input = scene.buffer_with(BYTES, flags);
    input.fill(1);
    crate::instruction::dsb();
    scene.seen_by_device(&input).compare(1)
}

pub(crate) fn coherent_transfer_not_asked_for(scene: &Scene, wrong: bool) -> Verdict {
    // Through a port that snoops there is nothing to clean, if the transfer says that it is to.
    let [input, seen] = [(); 2].map(|()| scene.buffer_with(BYTES, abi::ALLOC_COHERENT));
    input.fill(1);
    scene.flush(&input, 0..BYTES);
    let snoops = Snoops {
        source: !wrong,
        destination: true,
    };
    scene.program(input.device_addr, seen.device_addr, BYTES);
    scene.choose_port(snoops);
    scene.start();
    scene.wait();
    scene.invalidate(&seen, 0..BYTES);
    seen.compare(1)
}
