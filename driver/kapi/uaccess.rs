// SPDX-License-Identifier: GPL-2.0

//! Copying ioctl arguments from and to user space.
//!
//! C header: [`include/linux/uaccess.h`](srctree/include/linux/uaccess.h)

use crate::shared::{abi, paddle_abi};
use kernel::{
    prelude::*,
    transmute::{AsBytes, FromBytes},
    uaccess::{UserPtr, UserSlice},
};

/// Declares structures of the ABI to be plain bytes.
macro_rules! plain_bytes {
    ($module:ident: $($name:ident),*) => { $(
        // SAFETY: The structure consists of integers; any bytes are valid.
        unsafe impl FromBytes for $module::$name {}
        // SAFETY: The structure consists of integers and has no padding, as the
        // assertions on its layout show.
        unsafe impl AsBytes for $module::$name {}
    )* };
}

plain_bytes!(abi: Info, Alloc, Free, Buffer, UserToPhys, PhysToUser, Range, Sync, SetOwner);
plain_bytes!(paddle_abi: CacheRange, DeviceInfo, Version, VmToPhys);

/// Reads the structure at user address `address`, once.
///
/// # Errors
///
/// `EFAULT` if it is not readable.
pub(crate) fn read<T: FromBytes>(address: usize) -> Result<T> {
    UserSlice::new(UserPtr::from_addr(address), core::mem::size_of::<T>())
        .reader()
        .read()
}

/// Writes the structure to user address `address`.
///
/// # Errors
///
/// `EFAULT` if it is not writable.
pub(crate) fn write<T: AsBytes>(address: usize, value: &T) -> Result {
    UserSlice::new(UserPtr::from_addr(address), core::mem::size_of::<T>())
        .writer()
        .write(value)
}

/// Writes `bytes` to user address `address` on.
///
/// # Errors
///
/// `EFAULT` if one is not writable.
pub(crate) fn write_bytes(address: usize, bytes: &[u8]) -> Result {
    UserSlice::new(UserPtr::from_addr(address), bytes.len())
        .writer()
        .write_slice(bytes)
}

/// Reads `count` structures from user address `address` on, each once.
///
/// # Errors
///
/// - `EFAULT` if one is not readable.
/// - `ENOMEM` if there is no memory for them.
pub(crate) fn read_array<T: FromBytes>(address: usize, count: usize) -> Result<KVVec<T>> {
    let bytes = core::mem::size_of::<T>().checked_mul(count).ok_or(EINVAL)?;
    let mut reader = UserSlice::new(UserPtr::from_addr(address), bytes).reader();
    let mut array = KVVec::with_capacity(count, GFP_KERNEL_ACCOUNT)?;
    for _ in 0..count {
        array.push(reader.read()?, GFP_KERNEL_ACCOUNT)?;
    }
    Ok(array)
}
