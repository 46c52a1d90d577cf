// SPDX-License-Identifier: GPL-2.0

//! Cache maintenance as Paddle's clients ask for it: ranges may run past the end of a buffer, and
//! into the next one.

use crate::{
    kapi::cache::{self, Operation},
    pool::Pool,
    translate,
};
use kernel::prelude::*;

/// Maintains every line of the caller's buffers in `size` bytes from user address `address` on.
/// Bytes that belong to no buffer of this pool are passed over.
///
/// # Errors
///
/// `EFAULT`, with no line maintained, if the first byte is in no buffer of the caller, or the range
/// wraps around or is longer than the region.
pub(crate) fn sync(pool: &Pool, operation: Operation, address: u64, size: u64) -> Result {
    let end = address.checked_add(size).ok_or(EFAULT)?;
    if size > pool.region().extent().bytes {
        return Err(EFAULT);
    }
    let end = usize::try_from(end).map_err(|_| EFAULT)?;
    let mut next = usize::try_from(address).map_err(|_| EFAULT)?;
    let mut lines = 0u64;
    // Fails unless the first byte is in a buffer, so that nothing is half done.
    translate::buffer_behind(pool, next, 1)?;
    // One buffer at a time: its lines are maintained without the mmap lock.
    while let Some(piece) = translate::next_piece(pool, next, end) {
        let done = piece.buffer.sync(piece.offset, piece.len, operation)?;
        lines = lines.saturating_add(done);
        next = piece.end;
        cache::resched();
    }
    cache::barrier();
    pool.count_sync(operation, 1, lines);
    Ok(())
}
