// SPDX-License-Identifier: MIT OR Apache-2.0

//! The life of a buffer: alone, among others, in a pool full of holes, and of the library.

use crate::drivers::{open, Driver};
use crate::pool::Stats;
use crate::raw;
use crate::sample::{at_once, keep, least, measure, Sample};
use crate::syscalls::{self, Traced};
use crate::SIZES;
use fpgamem::{Arena, ArenaOptions, Buffer};
use std::error::Error;
use std::fs::File;
use std::io;
use std::path::Path;

/// Live buffers of one block in the pool, beside the one that is measured.
const CROWDS: [usize; 4] = [0, 1000, 10_000, 60_000];
/// Lives without a pause between them.
const SUSTAINED: u64 = 8;

/// Buffers of each size, when every free block is known to be clear.
pub(crate) fn sizes(driver: &Driver, path: &Path, stats: &Stats) -> Result<(), Box<dyn Error>> {
    let ready = || match driver {
        Driver::Fpgamem(_) => stats.settle(),
        Driver::Heap(..) | Driver::UDmaBuf(_) => Ok(()),
    };
    for bytes in SIZES {
        let failed = |e| format!("{} with {bytes} bytes: {e}", driver.name());
        let cycle = least(ready, || driver.cycle(bytes)).map_err(failed)?;
        keep("cycle", driver.name(), bytes, 0, cycle);
        let total = least(ready, || Ok([measure("total", || driver.life(bytes))?.1]));
        let [mut total] = total.map_err(failed)?;
        if let Driver::Fpgamem(_) = driver {
            total.syscalls = Some(syscalls::of(Traced::Life, path, bytes)?);
        }
        keep("cycle", driver.name(), bytes, 0, [total]);
    }
    Ok(())
}

/// What the driver of this project puts off: the same with nothing put off yet done, and with all of it.
pub(crate) fn background(
    driver: &Driver,
    device: &File,
    stats: &Stats,
) -> Result<(), Box<dyn Error>> {
    for bytes in SIZES {
        let failed = |e| format!("{bytes} bytes: {e}");
        let sustained = sustained(driver, device, stats, bytes).map_err(failed)?;
        keep("cycle", driver.name(), bytes, 0, sustained);
        let all = stats
            .all_work("all-work", || driver.life(bytes))
            .map_err(failed)?;
        keep("cycle", driver.name(), bytes, 0, [all]);
    }
    Ok(())
}

/// Lives one after the other while no other block of the pool is free.
fn sustained(
    driver: &Driver,
    device: &File,
    stats: &Stats,
    bytes: usize,
) -> io::Result<[Sample; 1]> {
    stats.settle()?;
    let free_bytes = usize::try_from(raw::info(device)?.free_bytes).unwrap_or(usize::MAX);
    let rest = driver.alloc(free_bytes.saturating_sub(bytes))?;
    let samples = least(at_once, || {
        driver.life(bytes)?;
        let ((), all) = measure("sustained", || {
            (0..SUSTAINED).try_for_each(|_| driver.life(bytes))
        })?;
        Ok([all.share(SUSTAINED)])
    });
    driver.free(rest)?;
    samples
}

/// The life of a small buffer among others, and then in a pool in which every second block of those is
/// free, where a longer one must go behind them.
pub(crate) fn crowds(driver: &Driver, stats: &Stats) -> Result<(), Box<dyn Error>> {
    let block = SIZES[0];
    let mut others = Vec::new();
    let life = |bench, bytes, live| -> Result<(), Box<dyn Error>> {
        let cycle = least(|| stats.settle(), || driver.cycle(bytes))?;
        keep(bench, driver.name(), bytes, live, cycle);
        let total = least(
            || stats.settle(),
            || Ok([measure("total", || driver.life(bytes))?.1]),
        )?;
        keep(bench, driver.name(), bytes, live, total);
        Ok(())
    };
    for live in CROWDS {
        while others.len() < live {
            others.push(driver.alloc(block)?);
        }
        life("live", block, live)?;
    }
    let mut kept = Vec::new();
    for (index, buffer) in others.into_iter().enumerate() {
        if index % 2 == 0 {
            kept.push(buffer);
        } else {
            driver.free(buffer)?;
        }
    }
    for bytes in [block, 4 * block, 1 << 20] {
        life("checkerboard", bytes, kept.len())?;
    }
    for buffer in kept {
        driver.free(buffer)?;
    }
    Ok(())
}

/// The library's buffers: each an allocation, from an arena, and from one that reuses them. Nobody writes to
/// them.
pub(crate) fn library(
    device: &fpgamem::Device,
    path: &Path,
    stats: &Stats,
) -> Result<(), Box<dyn Error>> {
    let arena = Arena::new(device);
    for bytes in SIZES {
        let [mut alone] = untouched(stats, || device.alloc(bytes))?;
        alone.syscalls = Some(syscalls::of(Traced::LibraryLife, path, bytes)?);
        keep("cycle", "library", bytes, 0, [alone]);
        // Keeps the arena's chunk.
        let _first = arena.alloc(1 << 10)?;
        let [mut shared] = untouched(stats, || arena.alloc(bytes))?;
        shared.syscalls = Some(syscalls::of(Traced::ArenaLife, path, bytes)?);
        keep("cycle", "arena", bytes, 0, [shared]);
        let reusing = reusing(device, bytes)?;
        let [mut reused] = untouched(stats, || reusing.alloc(bytes))?;
        reused.syscalls = Some(syscalls::of(Traced::ReusingLife, path, bytes)?);
        keep("cycle", "reuse", bytes, 0, [reused]);
    }
    Ok(())
}

/// The life of a buffer to which nobody writes.
fn untouched(
    stats: &Stats,
    alloc: impl Fn() -> fpgamem::Result<Buffer>,
) -> io::Result<[Sample; 1]> {
    let life = || {
        drop(alloc()?);
        Ok(())
    };
    least(|| stats.settle(), || Ok([measure("untouched", life)?.1]))
}

/// An arena that keeps a buffer of `bytes`.
pub(crate) fn reusing(device: &fpgamem::Device, bytes: usize) -> fpgamem::Result<Arena> {
    let options = ArenaOptions::new().reuse_bytes(bytes);
    let arena = Arena::with_options(device, options);
    drop(arena.alloc(bytes)?);
    Ok(arena)
}

/// Lives that a plugin of QEMU looks at, which is told before what they are.
pub(crate) fn for_locks(path: &Path) -> Result<(), Box<dyn Error>> {
    const LIVES: u32 = 20;
    let driver = Driver::Fpgamem(open(path)?);
    let stats = Stats::of(path);
    let mut others = Vec::new();
    for live in [0, 10_000, 60_000] {
        while others.len() < live {
            others.push(driver.alloc(SIZES[0])?);
        }
        for bytes in SIZES {
            stats.settle()?;
            raw::tell_plugin(bytes, live);
            (0..LIVES).try_for_each(|_| driver.life(bytes))?;
            // What the driver does in the background belongs to it too.
            stats.settle()?;
            raw::tell_plugin(0, 0);
        }
    }
    for buffer in others {
        driver.free(buffer)?;
    }
    Ok(())
}
