// SPDX-License-Identifier: MIT OR Apache-2.0

//! Cache maintenance of ranges of buffers, by what each of them needs.

use crate::backend::Backend;
use crate::cache;
use crate::direction::Maintenance;
use crate::driver::{Driver, Method};
use crate::error::Result;
use crate::inner::{resolve, Inner};
use crate::view::{check_range, fits};
use crate::Buffer;
use std::ops::{Range, RangeBounds};

/// Maintains every cache line that a range touches, and waits for them; checks the range, and that the buffer
/// is this process's.
pub(crate) fn maintain_one(op: Maintenance, inner: &Inner, range: Range<usize>) -> Result<()> {
    // No call is in here, so that registers need not be saved: for a short range that is what it costs.
    if let Some(memory) = inner.memory.get() {
        if let Method::Lines(line_bytes) = memory.method {
            if fits(&range, inner.len) && memory.map.is_surely_here() {
                if cache::maintain(op, &memory.map, inner.in_memory(range), line_bytes) {
                    cache::barrier();
                }
                return Ok(());
            }
        }
    }
    maintain_one_else(op, inner, range)
}

/// The same where something is wrong, or instructions will not do.
#[cold]
fn maintain_one_else(op: Maintenance, inner: &Inner, range: Range<usize>) -> Result<()> {
    inner.check_fork()?;
    check_range(range.clone(), inner.len)?;
    maintain(op, std::iter::once((inner, range)))
}

/// Maintains every cache line that the ranges touch, and waits once for all of them. The ranges are
/// inside their buffers, which are this process's.
pub(crate) fn maintain<'a>(
    op: Maintenance,
    parts: impl Iterator<Item = (&'a Inner, Range<usize>)> + Clone,
) -> Result<()> {
    let (mut waits, mut calls) = (false, false);
    for (inner, range) in parts.clone().filter(|(_, range)| !range.is_empty()) {
        let memory = &*inner.memory;
        match memory.method {
            Method::Lines(line_bytes) => {
                waits |= cache::maintain(op, &memory.map, inner.in_memory(range), line_bytes);
            }
            Method::Barrier => waits = true,
            Method::Call => calls = true,
        }
    }
    if waits {
        cache::barrier();
    }
    if calls {
        maintain_by_calls(op, parts)
    } else {
        Ok(())
    }
}

/// Of the ranges those that are not maintained by instructions. Where the driver does the work there is
/// one call for all ranges of one device in a row, up to the 1024 that a call takes.
#[cold]
fn maintain_by_calls<'a>(
    op: Maintenance,
    parts: impl Iterator<Item = (&'a Inner, Range<usize>)>,
) -> Result<()> {
    let mut calls: Calls<'_> = None;
    let parts = parts
        .filter(|(inner, range)| matches!(inner.memory.method, Method::Call) && !range.is_empty());
    for (inner, range) in parts {
        let (memory, range) = (&*inner.memory, inner.in_memory(range));
        match memory.device.backend() {
            Backend::Emulated(emulator) => emulator.maintain(op, memory, range),
            Backend::UDmaBuf(node) => node.maintain(op, memory, range)?,
            Backend::Driver(driver) => {
                if calls
                    .as_ref()
                    .is_some_and(|(of, _)| !std::ptr::eq(*of, driver))
                {
                    call(op, calls.take())?;
                }
                let (_, ranges) = calls.get_or_insert((driver, Vec::new()));
                ranges.push(memory.abi_range(&range));
            }
        }
    }
    call(op, calls)
}

/// Ranges for one call.
type Calls<'a> = Option<(&'a Driver, Vec<fpgamem_shared::abi::Range>)>;

/// Maintains a range by the driver, even where instructions would do; what has no driver does as ever.
fn by_driver(op: Maintenance, inner: &Inner, range: impl RangeBounds<usize>) -> Result<()> {
    inner.check_fork()?;
    let range = resolve(range, inner.len)?;
    match inner.memory.device.backend() {
        Backend::Driver(driver) if !range.is_empty() => {
            let range = inner.memory.abi_range(&inner.in_memory(range));
            driver.maintain(op, &[range])
        }
        _ => maintain(op, std::iter::once((inner, range))),
    }
}

impl Buffer {
    /// As [`sync_for_device`](Self::sync_for_device), by a system call even where instructions would do.
    ///
    /// To measure which of the two is faster on a processor, for which length.
    ///
    /// # Errors
    ///
    /// As [`sync_for_device`](Self::sync_for_device).
    pub fn sync_for_device_by_driver(&self, range: impl RangeBounds<usize>) -> Result<()> {
        by_driver(Maintenance::Clean, &self.inner, range)
    }

    /// As [`sync_for_cpu`](Self::sync_for_cpu), by a system call even where instructions would do.
    ///
    /// # Errors
    ///
    /// As [`sync_for_cpu`](Self::sync_for_cpu).
    pub fn sync_for_cpu_by_driver(&mut self, range: impl RangeBounds<usize>) -> Result<()> {
        by_driver(Maintenance::CleanInvalidate, &self.inner, range)
    }
}

fn call(op: Maintenance, calls: Calls<'_>) -> Result<()> {
    calls.map_or(Ok(()), |(driver, ranges)| driver.maintain(op, &ranges))
}
