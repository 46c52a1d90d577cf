// SPDX-License-Identifier: MIT OR Apache-2.0

//! Arrays and strings that C passes as a pointer.

use crate::error::Failure;
use std::ffi::{c_char, CStr, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// `count` values from `first` on, which may be null where there are none.
///
/// # Safety
///
/// `first` is null, or the values can be read during `'a`, and nobody writes them.
pub(crate) unsafe fn array<'a, T>(first: *const T, count: usize) -> Result<&'a [T], Failure> {
    if count == 0 {
        return Ok(&[]);
    }
    check(first, count)?;
    // SAFETY: By the contract of this function; the pointer is neither null nor odd, and the array is
    // not longer than an address space.
    Ok(unsafe { std::slice::from_raw_parts(first, count) })
}

/// The same, to be written.
///
/// # Safety
///
/// `first` is null, or the values can be read and written during `'a`, and nobody else accesses them.
pub(crate) unsafe fn array_mut<'a, T>(first: *mut T, count: usize) -> Result<&'a mut [T], Failure> {
    if count == 0 {
        return Ok(&mut []);
    }
    check(first, count)?;
    // SAFETY: As in `array`, and nobody else accesses the values.
    Ok(unsafe { std::slice::from_raw_parts_mut(first, count) })
}

fn check<T>(first: *const T, count: usize) -> Result<(), Failure> {
    let bytes = std::mem::size_of::<T>().checked_mul(count);
    let bytes = bytes.filter(|bytes| isize::try_from(*bytes).is_ok());
    if first.is_null() || first as usize % std::mem::align_of::<T>() != 0 || bytes.is_none() {
        let text = format!("no array of {count} can be at {first:p}");
        return Err(Failure::argument(text));
    }
    Ok(())
}

/// What a handle leads to.
///
/// # Safety
///
/// `handle` is null, or leads to a value that lives during `'a`.
pub(crate) unsafe fn reference<'a, T>(handle: *const T) -> Result<&'a T, Failure> {
    // SAFETY: By the contract of this function.
    let value = unsafe { handle.as_ref() };
    value.ok_or_else(|| Failure::argument("a handle is a null pointer".to_owned()))
}

/// What `count` handles from `first` on lead to.
///
/// # Safety
///
/// As of `array` and, for each of them, `reference`.
pub(crate) unsafe fn references<'a, T>(
    first: *const *mut T,
    count: usize,
) -> Result<Vec<&'a T>, Failure> {
    // SAFETY: By the contract of this function.
    let handles = unsafe { array(first, count) }?;
    let values = handles.iter().map(|handle| {
        // SAFETY: By the contract of this function.
        unsafe { reference(handle.cast_const()) }
    });
    values.collect()
}

/// Copies bytes.
///
/// # Safety
///
/// `bytes` can be read at `from` and written at `to`, which do not overlap, and nobody writes the former
/// or accesses the latter meanwhile.
pub(crate) unsafe fn copy(from: *const u8, to: *mut u8, bytes: usize) {
    // SAFETY: By the contract of this function.
    unsafe { std::ptr::copy_nonoverlapping(from, to, bytes) };
}

/// A path.
///
/// # Safety
///
/// `path` is null, or a string that ends with a zero and that nobody writes during `'a`.
pub(crate) unsafe fn path<'a>(path: *const c_char) -> Result<&'a Path, Failure> {
    // SAFETY: By the contract of this function.
    let path = unsafe { bytes(path, "the path") }?;
    Ok(Path::new(OsStr::from_bytes(path)))
}

/// A name.
///
/// # Safety
///
/// As of `path`.
pub(crate) unsafe fn text<'a>(text: *const c_char) -> Result<&'a str, Failure> {
    // SAFETY: By the contract of this function.
    let text = unsafe { bytes(text, "the name") }?;
    let text = std::str::from_utf8(text);
    text.map_err(|_| Failure::argument("the name is not UTF-8".to_owned()))
}

/// A string without the zero at its end.
///
/// # Safety
///
/// `text` is null, or a string that ends with a zero and that nobody writes during `'a`.
unsafe fn bytes<'a>(text: *const c_char, what: &str) -> Result<&'a [u8], Failure> {
    if text.is_null() {
        return Err(Failure::argument(format!("{what} is a null pointer")));
    }
    // SAFETY: By the contract of this function, and not null.
    Ok(unsafe { CStr::from_ptr(text) }.to_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_of_none_may_be_anywhere() {
        // SAFETY: There are no values.
        assert!(unsafe { array::<u64>(std::ptr::null(), 0) }.is_ok());
    }

    #[test]
    fn impossible_arrays_are_refused() {
        // SAFETY: Null.
        assert!(unsafe { array::<u64>(std::ptr::null(), 1) }.is_err());
        let word = 0_u64;
        let odd = std::ptr::from_ref(&word).cast::<u8>().wrapping_add(1);
        // SAFETY: Refused before it is read.
        assert!(unsafe { array(odd.cast::<u32>(), 1) }.is_err());
        // SAFETY: Refused before it is read.
        assert!(unsafe { array(&word, usize::MAX / 8) }.is_err());
    }
}
