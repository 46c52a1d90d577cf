// SPDX-License-Identifier: MIT OR Apache-2.0

//! Cache maintenance of ranges of buffers, by what each of them needs.

use crate::backend::Backend;
use crate::cache;
use crate::direction::Maintenance;
use crate::driver::{Driver, Method};
use crate::error::Result;
use crate::inner::Inner;
use std::ops::Range;

/// Maintains every cache line that the ranges touch, and waits once for all of them. The ranges are
/// inside their buffers, which are this process's.
///
/// Where the driver does the work there is one call for all ranges of one device in a row, up to the
/// 1024 that a call takes.
pub(crate) fn maintain<'a>(
    op: Maintenance,
    parts: impl Iterator<Item = (&'a Inner, Range<usize>)>,
) -> Result<()> {
    let mut waits = false;
    let mut calls: Calls<'_> = None;
    for (inner, range) in parts.filter(|(_, range)| !range.is_empty()) {
        let (memory, range) = (&*inner.memory, inner.in_memory(range));
        let backend = memory.device.backend();
        let method = match backend {
            Backend::Driver(driver) => driver.method(memory.is_cached()),
            Backend::UDmaBuf(node) => node.method(memory.is_cached()),
            Backend::Emulated(_) => Method::Call,
        };
        match (method, backend) {
            (Method::Lines(line_bytes), _) => {
                cache::maintain(op, &memory.map, range, line_bytes);
                waits = true;
            }
            (Method::Barrier, _) => waits = true,
            (Method::Call, Backend::Emulated(emulator)) => emulator.maintain(op, memory, range),
            (Method::Call, Backend::UDmaBuf(node)) => node.maintain(op, memory, range)?,
            (Method::Call, Backend::Driver(driver)) => {
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
    if waits {
        cache::barrier();
    }
    call(op, calls)
}

/// Ranges for one call.
type Calls<'a> = Option<(&'a Driver, Vec<fpgamem_shared::abi::Range>)>;

fn call(op: Maintenance, calls: Calls<'_>) -> Result<()> {
    calls.map_or(Ok(()), |(driver, ranges)| driver.maintain(op, &ranges))
}
