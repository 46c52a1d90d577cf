// SPDX-License-Identifier: GPL-2.0

//! What family B asks of the native node.

use super::sync;
use crate::{
    kapi::{cache::Operation, uaccess},
    pool::Pool,
    shared::paddle_abi as abi,
    translate,
};
use core::mem::MaybeUninit;
use kernel::prelude::*;

/// Carries out a command of family B.
///
/// # Errors
///
/// - `EFAULT` if the address or the distance is in no buffer that the caller maps.
/// - `ENOTTY` if the command is none of family B.
pub(crate) fn ioctl(pool: &Pool, command: u32, arg: usize) -> Result {
    let operation = match command {
        abi::B_VM_TO_PHYS => {
            let mut room = MaybeUninit::uninit();
            let request: &mut abi::VmToPhys = uaccess::read(arg, &mut room)?;
            let address = usize::try_from(request.user_addr).map_err(|_| EFAULT)?;
            let (buffer, offset) = translate::buffer_behind(pool, address, 1)?;
            request.phys_addr = buffer.phys_addr().checked_add(offset).ok_or(EFAULT)?;
            return uaccess::write(arg, request);
        }
        abi::B_FLUSH => Operation::Clean,
        abi::B_INVALIDATE => Operation::CleanInvalidate,
        _ => return Err(ENOTTY),
    };
    let mut room = MaybeUninit::uninit();
    let range: &mut abi::CacheRange = uaccess::read(arg, &mut room)?;
    let phys_addr = range.address.checked_add(abi::B_BASE).ok_or(EFAULT)?;
    phys_addr.checked_add(range.size).ok_or(EFAULT)?;
    if range.size > pool.region().extent().bytes {
        return Err(EFAULT);
    }
    let (address, contiguous) = translate::user_range_of(pool, phys_addr)?;
    // What follows in the caller's memory need not follow in the region.
    // CAST: usize is 64 bits on arm64.
    sync::sync(pool, operation, address as u64, range.size.min(contiguous))
}
