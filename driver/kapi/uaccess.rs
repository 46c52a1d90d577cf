// SPDX-License-Identifier: GPL-2.0

//! Copying ioctl arguments from and to user space.
//!
//! C header: [`include/linux/uaccess.h`](srctree/include/linux/uaccess.h)

use crate::shared::{abi, paddle_abi};
use core::mem::{size_of, MaybeUninit};
use kernel::{
    bindings,
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

/// Reads the structure at user address `address`, once, into `room`. One that is returned would be copied again.
///
/// # Errors
///
/// `EFAULT` if it is not readable.
pub(crate) fn read<T: FromBytes>(address: usize, room: &mut MaybeUninit<T>) -> Result<&mut T> {
    let from = UserPtr::from_addr(address).as_const_ptr();
    // The size is constant, so nothing is left for `copy_from_user` to check.
    // SAFETY: `room` is valid for writes of its size.
    let left = unsafe { bindings::_copy_from_user(room.as_mut_ptr().cast(), from, size_of::<T>()) };
    if left != 0 {
        return Err(EFAULT);
    }
    // SAFETY: All of it was copied, and any bytes are valid.
    Ok(unsafe { room.assume_init_mut() })
}

/// Writes the structure to user address `address`.
///
/// # Errors
///
/// `EFAULT` if it is not writable.
pub(crate) fn write<T: AsBytes>(address: usize, value: &T) -> Result {
    UserSlice::new(UserPtr::from_addr(address), size_of::<T>())
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
    let bytes = size_of::<T>().checked_mul(count).ok_or(EINVAL)?;
    let mut reader = UserSlice::new(UserPtr::from_addr(address), bytes).reader();
    let mut array = KVVec::with_capacity(count, GFP_KERNEL_ACCOUNT)?;
    for _ in 0..count {
        array.push(reader.read()?, GFP_KERNEL_ACCOUNT)?;
    }
    Ok(array)
}
