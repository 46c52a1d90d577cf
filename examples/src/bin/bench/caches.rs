// SPDX-License-Identifier: MIT OR Apache-2.0

//! Cache maintenance and translation of addresses, by the driver and by the library.

use crate::pool::Stats;
use crate::raw::{self, Mapping};
use crate::sample::{at_once, keep, least, measure, Sample};
use crate::syscalls::{self, Traced};
use crate::SIZES;
use std::cell::RefCell;
use std::error::Error;
use std::fs::File;
use std::hint::black_box;
use std::io;
use std::path::Path;

/// Mappings of the process, beside the one that is translated.
const MAPPINGS: [usize; 2] = [0, 2000];

/// Bytes of a cache line of the board.
const LINE_BYTES: usize = 64;

/// Bytes of the buffer in which addresses are translated.
const TRANSLATED: usize = 1 << 20;

/// Cache maintenance by the driver, which counts the lines.
pub(crate) fn sync(device: &File, path: &Path, stats: &Stats) -> Result<(), Box<dyn Error>> {
    let lines = |name| stats.count(name).unwrap_or(0);
    for bytes in SIZES {
        let syscalls = syscalls::of(Traced::Flush, path, bytes)?;
        let mapping = Mapping::new(device, bytes, 0)?;
        mapping.touch();
        let [mut flush, mut invalidate] = least(at_once, || {
            Ok([
                measure("flush", || raw::flush(device, &mapping))?.1,
                measure("invalidate", || raw::invalidate(device, &mapping))?.1,
            ])
        })?;
        let before = (lines("flush_lines"), lines("invalidate_lines"));
        raw::flush(device, &mapping)?;
        raw::invalidate(device, &mapping)?;
        flush.lines = Some(lines("flush_lines") - before.0);
        invalidate.lines = Some(lines("invalidate_lines") - before.1);
        (flush.syscalls, invalidate.syscalls) = (Some(syscalls), Some(syscalls));
        keep("sync", "fpgamem", bytes, 0, [flush, invalidate]);
    }
    Ok(())
}

/// Translation by the driver of the address of the byte in the middle.
pub(crate) fn translate(device: &File, path: &Path) -> Result<(), Box<dyn Error>> {
    let syscalls = syscalls::of(Traced::ToPhys, path, TRANSLATED)?;
    let mut others = Vec::new();
    for live in MAPPINGS {
        while others.len() < live {
            others.push(Mapping::new(device, SIZES[0], 0)?);
        }
        let mapping = Mapping::new(device, TRANSLATED, 0)?;
        let address = mapping.middle();
        let phys_addr = raw::user_to_phys(device, address)?;
        let mut samples = least(at_once, || {
            Ok([
                measure("to-phys", || raw::user_to_phys(device, address))?.1,
                measure("to-user", || raw::phys_to_user(device, phys_addr))?.1,
            ])
        })?;
        set_syscalls(&mut samples, syscalls);
        keep("translate", "fpgamem", TRANSLATED, live, samples);
    }
    Ok(())
}

/// Cache maintenance in user space; that of one line shows what it costs beyond the lines.
pub(crate) fn library_sync(device: &fpgamem::Device, path: &Path) -> Result<(), Box<dyn Error>> {
    for bytes in [LINE_BYTES].into_iter().chain(SIZES) {
        let syscalls = syscalls::of(Traced::LibraryFlush, path, bytes)?;
        let buffer = RefCell::new(device.alloc(bytes)?);
        let mut samples = least(at_once, || {
            let buffer = &mut *buffer.borrow_mut();
            Ok([
                measure("flush", || Ok(buffer.sync_for_device(..)?))?.1,
                measure("invalidate", || Ok(buffer.sync_for_cpu(..)?))?.1,
            ])
        })?;
        set_syscalls(&mut samples, syscalls);
        keep("sync", "library", bytes, 0, samples);
    }
    Ok(())
}

/// Translation without the driver: by a buffer, and by its device for a mere address.
pub(crate) fn library_translate(
    device: &fpgamem::Device,
    path: &Path,
) -> Result<(), Box<dyn Error>> {
    let syscalls = syscalls::of(Traced::LibraryToPhys, path, TRANSLATED)?;
    let mut others = Vec::new();
    for live in MAPPINGS {
        while others.len() < live {
            others.push(device.alloc(SIZES[0])?);
        }
        let mut samples = library_translations(device)?;
        set_syscalls(&mut samples, syscalls);
        keep("translate", "library", TRANSLATED, live, samples);
    }
    Ok(())
}

fn library_translations(device: &fpgamem::Device) -> io::Result<[Sample; 3]> {
    let buffer = device.alloc(TRANSLATED)?;
    let middle = buffer.len() / 2;
    let address: *const u8 = &buffer[middle];
    least(at_once, || {
        Ok([
            measure("to-phys", || {
                Ok(black_box(buffer.phys_of(black_box(middle))))
            })?
            .1,
            measure("any-to-phys", || {
                Ok(black_box(device.phys_of(black_box(address))))
            })?
            .1,
            measure("to-offset", || {
                let phys_addr = black_box(buffer.phys_addr());
                Ok(black_box(buffer.offset_of_phys(phys_addr)))
            })?
            .1,
        ])
    })
}

fn set_syscalls(samples: &mut [Sample], syscalls: u64) {
    for sample in samples {
        sample.syscalls = Some(syscalls);
    }
}
