// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which code of the driver was reached, by KCOV.
//!
//! Each thread traces itself. What it reached is entered, after each request, into an area that all
//! processes share: a word for each instruction of the driver. The kernel stops tracing a process
//! before it lets go of its memory and files, so what runs only then is not seen.

use crate::sys::{self, REACHED, REACHED_BYTES};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use std::os::fd::IntoRawFd;
use std::sync::atomic::{AtomicU64, Ordering};

const KCOV: &str = "/sys/kernel/debug/kcov";
const TEXT: &str = "/sys/module/fpgamem/sections/.text";

/// `KCOV_INIT_TRACE`, `KCOV_ENABLE`, `KCOV_DISABLE` and the mode that traces instructions, of `linux/kcov.h`.
const INIT_TRACE: u64 = 0x8008_6301;
const ENABLE: u64 = 0x6364;
const DISABLE: u64 = 0x6365;
const TRACE_PC: u64 = 0;

/// Words of a thread's trace, the first of which is the number of those that follow.
const TRACE_WORDS: u64 = 1 << 17;
const TRACE_BYTES: u64 = TRACE_WORDS * 8;

/// Instructions that the shared area has a word for; the last word counts traces that were full.
const INSTRUCTIONS: u64 = REACHED_BYTES / 8 - 1;
const FULL: u64 = REACHED + INSTRUCTIONS * 8;

/// Offsets in a line.
const PER_LINE: usize = 16;

/// Where the driver's code begins; 0 unless coverage is wanted.
static TEXT_START: AtomicU64 = AtomicU64::new(0);

/// Where the module's code begins now.
fn text_start() -> Result<u64, String> {
    let text = std::fs::read_to_string(TEXT).map_err(|error| format!("{TEXT}: {error}"))?;
    let digits = text.trim().trim_start_matches("0x");
    u64::from_str_radix(digits, 16).map_err(|error| format!("{TEXT}: {error}"))
}

/// The module has been loaded again, with its code somewhere else. What was reached before must have been
/// collected.
pub(crate) fn moved() -> Result<(), String> {
    if is_wanted() {
        TEXT_START.store(text_start()?, Ordering::Relaxed);
    }
    Ok(())
}

/// Whether threads trace themselves.
fn is_wanted() -> bool {
    TEXT_START.load(Ordering::Relaxed) != 0
}

/// From now on threads trace themselves.
pub(crate) fn prepare() -> Result<(), String> {
    let start = text_start()?;
    let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
    let mapped = sys::map(REACHED, REACHED_BYTES, flags, u64::MAX);
    mapped.map_err(|errno| format!("memory for the coverage: {errno}"))?;
    TEXT_START.store(start, Ordering::Relaxed);
    Ok(())
}

/// What a thread traces.
#[derive(Debug)]
pub(crate) struct Trace {
    descriptor: u64,
    area: u64,
}

impl Trace {
    /// Traces this thread, which has no trace yet; `None` unless coverage is wanted.
    pub(crate) fn start() -> Result<Option<Self>, Errno> {
        if !is_wanted() {
            return Ok(None);
        }
        let file = nix::fcntl::open(KCOV, OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())?;
        let descriptor = u64::from(file.into_raw_fd().unsigned_abs());
        ioctl(descriptor, INIT_TRACE, TRACE_WORDS)?;
        let area = sys::map(0, TRACE_BYTES, libc::MAP_SHARED, descriptor)?;
        ioctl(descriptor, ENABLE, TRACE_PC)?;
        Ok(Some(Self { descriptor, area }))
    }

    /// Enters what has been reached since the last time.
    pub(crate) fn collect(&self) {
        let start = TEXT_START.load(Ordering::Relaxed);
        let count = sys::load(self.area).min(TRACE_WORDS - 1);
        for index in 1..=count {
            let instruction = sys::load(self.area + index * 8).wrapping_sub(start) / 4;
            if instruction < INSTRUCTIONS {
                sys::store(REACHED + instruction * 8, 1);
            }
        }
        if count == TRACE_WORDS - 1 {
            sys::store(FULL, sys::load(FULL) + 1);
        }
        sys::store(self.area, 0);
    }
}

impl Drop for Trace {
    /// Lets go of the trace, which may be that of the process of which this one is a copy.
    fn drop(&mut self) {
        // Of another process's trace nothing comes of it.
        let _ = ioctl(self.descriptor, DISABLE, 0);
        let calls = [
            (libc::SYS_munmap, [self.area, TRACE_BYTES, 0, 0, 0, 0]),
            (libc::SYS_close, [self.descriptor, 0, 0, 0, 0, 0]),
        ];
        for (number, args) in calls {
            let _ = sys::syscall(number.unsigned_abs(), args);
        }
    }
}

fn ioctl(descriptor: u64, command: u64, argument: u64) -> Result<u64, Errno> {
    let args = [descriptor, command, argument, 0, 0, 0];
    sys::syscall(libc::SYS_ioctl.unsigned_abs(), args)
}

/// Prints the offsets of all that was reached, for `cargo xtask fuzz`.
pub(crate) fn print() {
    if !is_wanted() {
        return;
    }
    let reached = (0..INSTRUCTIONS).filter(|i| sys::load(REACHED + i * 8) != 0);
    let offsets: Vec<String> = reached.map(|i| format!("{:x}", i * 4)).collect();
    for line in offsets.chunks(PER_LINE) {
        println!("reached: {}", line.join(" "));
    }
    println!("{} traces were full", sys::load(FULL));
}
