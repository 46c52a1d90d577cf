// SPDX-License-Identifier: GPL-2.0

//! Cache maintenance of ranges that user space names.
//!
//! All ranges are resolved to buffers first, which takes a reference on each, and the lines are
//! maintained after the mmap lock is dropped: on the alias, whose lines are the same as those of
//! the caller's mapping, and which no munmap takes away. One short range is maintained under the lock instead,
//! which takes no longer than a page fault does and saves the reference.

use crate::{
    buffer::Buffer,
    file::OpenFile,
    kapi::cache::{self, Operation},
    pool::Pool,
    shared::abi,
    translate,
};
use kernel::{prelude::*, sync::Arc};

/// Most bytes that are maintained under the mmap lock.
const SHORT_BYTES: u64 = 16 << 10;

/// A range of a buffer that is held.
struct Target {
    buffer: Arc<Buffer>,
    offset: u64,
    len: u64,
}

/// Maintains every line of a range.
///
/// # Errors
///
/// - `EINVAL` if the length is 0 or a reserved field is not.
/// - `ENOENT` if the file has no such handle.
/// - `EFAULT` if the range is not wholly in one buffer of the caller.
pub(crate) fn one(
    file: &OpenFile,
    pool: &Pool,
    operation: Operation,
    range: &abi::Range,
) -> Result {
    check(range)?;
    if range.handle != 0 || range.len > SHORT_BYTES {
        return maintain(pool, operation, &[resolve(file, pool, range)?]);
    }
    let lines = translate::look_behind(pool, address(range)?, range.len, |buffer, offset| {
        buffer.sync(offset, range.len, operation)
    })?;
    cache::barrier();
    pool.count_sync(operation, 1, lines);
    Ok(())
}

/// Checks what does not depend on any buffer.
fn check(range: &abi::Range) -> Result {
    if range.len == 0 || range.reserved != 0 {
        return Err(EINVAL);
    }
    Ok(())
}

fn address(range: &abi::Range) -> Result<usize> {
    usize::try_from(range.addr).map_err(|_| EFAULT)
}

/// Maintains every line of `ranges`, or none.
///
/// # Errors
///
/// Those of [`one`], and `ENOMEM` if there is no memory for the list of buffers.
pub(crate) fn many(
    file: &OpenFile,
    pool: &Pool,
    operation: Operation,
    ranges: &[abi::Range],
) -> Result {
    let mut targets = KVVec::with_capacity(ranges.len(), GFP_KERNEL_ACCOUNT)?;
    for range in ranges {
        check(range)?;
        targets.push(resolve(file, pool, range)?, GFP_KERNEL_ACCOUNT)?;
    }
    maintain(pool, operation, &targets)
}

fn maintain(pool: &Pool, operation: Operation, targets: &[Target]) -> Result {
    let mut lines = 0u64;
    for (nth, target) in targets.iter().enumerate() {
        if nth != 0 {
            cache::resched();
        }
        let done = target.buffer.sync(target.offset, target.len, operation)?;
        lines = lines.saturating_add(done);
    }
    cache::barrier();

    // CAST: the number of ranges is at most `MAX_RANGES`.
    pool.count_sync(operation, targets.len() as u64, lines);
    Ok(())
}

/// Finds the buffer that a range lies in, and checks that it does so wholly.
fn resolve(file: &OpenFile, pool: &Pool, range: &abi::Range) -> Result<Target> {
    if range.handle == 0 {
        let (buffer, offset) = translate::buffer_behind(pool, address(range)?, range.len)?;
        return Ok(Target {
            buffer,
            offset,
            len: range.len,
        });
    }
    let buffer = file.buffer(range.handle)?;
    if range.addr > buffer.bytes() || range.len > buffer.bytes() - range.addr {
        return Err(EFAULT);
    }
    Ok(Target {
        buffer,
        offset: range.addr,
        len: range.len,
    })
}
