// SPDX-License-Identifier: MIT OR Apache-2.0

//! What syncs take, by instructions and by system calls, and how fast memory is.

use super::column;
use crate::failure::Failure;
use fpgamem::{AllocOptions, Buffer, Coherency, Device};
use serde::Serialize;
use std::fmt::Write;
use std::time::Instant;

/// Lengths that are synchronised.
const LENGTHS: [usize; 8] = [64, 256, 1024, 4096, 16384, 65536, 262_144, 1 << 20];
/// Times that each is measured.
const TIMES: u8 = 9;
/// Bytes that are copied to find out how fast memory is.
const COPIED: usize = 1 << 20;

/// What syncs take.
#[derive(Debug, Serialize)]
pub(super) struct Syncs {
    /// Bytes of a cache line.
    line_bytes: usize,
    /// Whether the library has instructions for it, or the driver does it in each case.
    by_instructions: bool,
    lengths: Vec<Sync>,
    /// What a line more takes where the CPU has written it, in picoseconds.
    dirty_line_ps: u64,
    /// The same where it is clean.
    clean_line_ps: u64,
    /// The shortest measured length from which on the system call is the faster one.
    crossover_bytes: Option<usize>,
}

/// What one length takes.
#[derive(Debug, Serialize)]
struct Sync {
    bytes: usize,
    lines: usize,
    /// By the library, where the CPU has written all lines, and where all are clean.
    library_dirty_ns: u64,
    library_clean_ns: u64,
    /// By a call into the driver.
    driver_dirty_ns: u64,
    driver_clean_ns: u64,
}

/// How fast memory is.
#[derive(Debug, Serialize)]
pub(super) struct Speeds {
    /// MB/s of a copy out of a cached buffer, whose lines are in the cache or not.
    cached_read_mb_s: u64,
    /// Into one.
    cached_write_mb_s: u64,
    /// Out of a write-combine buffer.
    write_combine_read_mb_s: u64,
    /// Into one.
    write_combine_write_mb_s: u64,
}

/// Measures syncs.
pub(super) fn syncs(device: &Device) -> Result<Syncs, Failure> {
    let options = AllocOptions::new().coherency(Coherency::NonCoherent);
    let last = LENGTHS[LENGTHS.len() - 1];
    let mut buffer = device.alloc_with(last, options)?;
    let line_bytes = device.line_bytes();
    let mut lengths = Vec::new();
    for bytes in LENGTHS {
        let mut of = |dirty: bool, by_driver: bool| median(&mut buffer, bytes, dirty, by_driver);
        lengths.push(Sync {
            bytes,
            lines: bytes.div_ceil(line_bytes),
            library_dirty_ns: of(true, false)?,
            library_clean_ns: of(false, false)?,
            driver_dirty_ns: of(true, true)?,
            driver_clean_ns: of(false, true)?,
        });
    }
    Ok(Syncs {
        line_bytes,
        by_instructions: cfg!(target_arch = "aarch64"),
        dirty_line_ps: per_line(&lengths, |sync| sync.library_dirty_ns),
        clean_line_ps: per_line(&lengths, |sync| sync.library_clean_ns),
        crossover_bytes: crossover(&lengths),
        lengths,
    })
}

/// Nanoseconds that a sync takes.
fn median(buffer: &mut Buffer, bytes: usize, dirty: bool, by_driver: bool) -> Result<u64, Failure> {
    let mut times = Vec::new();
    for byte in 1..=TIMES {
        if dirty {
            buffer[..bytes].fill(byte);
        }
        let start = Instant::now();
        if by_driver {
            buffer.sync_for_device_by_driver(..bytes)?;
        } else {
            buffer.sync_for_device(..bytes)?;
        }
        times.push(nanoseconds(start));
    }
    Ok(middle(times))
}

/// What a line more takes, from the two longest lengths, in picoseconds.
fn per_line(lengths: &[Sync], time: fn(&Sync) -> u64) -> u64 {
    let [.., a, b] = lengths else {
        return 0;
    };
    let lines = (b.lines - a.lines) as u64;
    time(b).saturating_sub(time(a)) * 1000 / lines.max(1)
}

/// The shortest length from which on the driver is never slower.
fn crossover(lengths: &[Sync]) -> Option<usize> {
    let faster = |sync: &&Sync| sync.driver_dirty_ns <= sync.library_dirty_ns;
    let from_the_end = lengths.iter().rev().take_while(faster);
    from_the_end.last().map(|sync| sync.bytes)
}

/// Measures memory.
pub(super) fn speeds(device: &Device) -> Result<Speeds, Failure> {
    let mut own = vec![0_u8; COPIED];
    let mut cached = device.alloc(COPIED)?;
    let options = AllocOptions::new().write_combine(true);
    let mut gathered = device.alloc_with(COPIED, options)?;
    let mut of = |buffer: &mut Buffer| {
        let mut times = [Vec::new(), Vec::new()];
        for _ in 0..TIMES {
            let start = Instant::now();
            buffer.copy_from_slice(std::hint::black_box(&own));
            times[0].push(nanoseconds(start));
            let start = Instant::now();
            own.copy_from_slice(std::hint::black_box(&buffer[..]));
            times[1].push(nanoseconds(start));
        }
        times.map(|times| COPIED as u64 * 1000 / middle(times).max(1))
    };
    let [cached_write_mb_s, cached_read_mb_s] = of(&mut cached);
    let [write_combine_write_mb_s, write_combine_read_mb_s] = of(&mut gathered);
    Ok(Speeds {
        cached_read_mb_s,
        cached_write_mb_s,
        write_combine_read_mb_s,
        write_combine_write_mb_s,
    })
}

fn nanoseconds(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

fn middle(mut times: Vec<u64>) -> u64 {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or(0)
}

impl Syncs {
    pub(super) fn text(&self) -> String {
        let mut text = format!(
            "sync for the device, lines of {} bytes; times in ns\n\
             \x20             lines  library, dirty     clean  driver, dirty     clean\n",
            self.line_bytes
        );
        for sync in &self.lengths {
            let _ = writeln!(
                text,
                "{}  {:>8}  {:>14}  {:>8}  {:>13}  {:>8}",
                column(sync.bytes),
                sync.lines,
                sync.library_dirty_ns,
                sync.library_clean_ns,
                sync.driver_dirty_ns,
                sync.driver_clean_ns
            );
        }
        let ns = |ps: u64| format!("{}.{:02}", ps / 1000, ps % 1000 / 10);
        let _ = writeln!(
            text,
            "a line more: {} ns dirty, {} ns clean",
            ns(self.dirty_line_ps),
            ns(self.clean_line_ps)
        );
        let _ = match (self.by_instructions, self.crossover_bytes) {
            (false, _) => writeln!(text, "this processor leaves syncs to the driver"),
            (true, Some(bytes)) => {
                writeln!(text, "the driver is the faster one from {bytes} bytes on")
            }
            (true, None) => writeln!(
                text,
                "the library's instructions are always the faster ones"
            ),
        };
        text
    }
}

impl Speeds {
    pub(super) fn text(&self) -> String {
        format!(
            "copies of 1 MiB: cached {} MB/s in, {} out; write-combine {} in, {} out\n",
            self.cached_write_mb_s,
            self.cached_read_mb_s,
            self.write_combine_write_mb_s,
            self.write_combine_read_mb_s
        )
    }

    /// Whether it makes no difference that a buffer is not cached, which it does on every board.
    pub(super) fn ignore_caches(&self) -> bool {
        self.write_combine_read_mb_s * 2 > self.cached_read_mb_s
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(times: &[(u64, u64)]) -> Vec<Sync> {
        let sync = |(&(library, driver), bytes): (&(u64, u64), usize)| Sync {
            bytes,
            lines: bytes / 64,
            library_dirty_ns: library,
            library_clean_ns: library,
            driver_dirty_ns: driver,
            driver_clean_ns: driver,
        };
        times.iter().zip(LENGTHS).map(sync).collect()
    }

    #[test]
    fn the_crossover_is_where_the_driver_stays_faster() {
        assert_eq!(
            crossover(&lengths(&[(1, 9), (5, 9), (20, 10), (40, 11)])),
            Some(1024)
        );
        assert_eq!(crossover(&lengths(&[(1, 9), (9, 8), (20, 30)])), None);
        assert_eq!(crossover(&lengths(&[(9, 9)])), Some(64));
    }

    #[test]
    fn a_line_more_is_the_slope() {
        // 4 and 16 lines.
        assert_eq!(
            per_line(&lengths(&[(0, 0), (100, 0), (160, 0)]), |s| s
                .library_dirty_ns),
            5000
        );
    }

    #[test]
    fn an_emulated_device_can_be_measured() {
        let device = Device::emulated().open().unwrap();
        let syncs = syncs(&device).unwrap();
        assert_eq!(syncs.lengths.len(), LENGTHS.len());
        assert_eq!(syncs.lengths[2].lines, 16);
        assert!(speeds(&device).unwrap().text().contains("MB/s"));
    }
}
