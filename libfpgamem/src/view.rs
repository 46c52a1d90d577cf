// SPDX-License-Identifier: MIT OR Apache-2.0

//! Copies into and out of memory that the device may access at the same time.
//!
//! There is no slice of such memory: a slice promises that nobody else writes. Bytes are copied by
//! volatile accesses, each as wide as its alignment and the rest of the range allow, up to 8 bytes. A
//! naturally aligned range of 1, 2, 4 or 8 bytes is therefore one access and never torn; of longer
//! ranges the device may see, or have written, a part.

use crate::backend::Backend;
use crate::error::{Error, Result};
use crate::inner::Inner;
use std::marker::PhantomData;
use std::ops::Range;

/// Reads from a device-owned buffer; made by [`DeviceBuffer::view`](crate::DeviceBuffer::view).
///
/// A view reads what the CPU's caches hold. For a cached buffer behind a port that does not snoop,
/// [`DeviceBuffer::sync_for_cpu`](crate::DeviceBuffer::sync_for_cpu) comes first.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// Valid for reads of `len` bytes during `'a`.
    start: *const u8,
    len: usize,
    buffer: Option<&'a Inner>,
}

impl<'a> View<'a> {
    /// A view of a buffer.
    ///
    /// # Safety
    ///
    /// During `'a` the bytes of the buffer
    /// * are mapped and readable,
    /// * are written by no other thread of this process.
    pub(crate) unsafe fn new(buffer: &'a Inner) -> Self {
        Self {
            start: buffer.as_ptr(),
            len: buffer.len,
            buffer: Some(buffer),
        }
    }

    /// Copies the bytes from `offset` on to `to`, all of it.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] where the range leaves the buffer; nothing has been copied.
    pub fn read_at(&self, offset: usize, to: &mut [u8]) -> Result<()> {
        check(offset, to.len(), self.len)?;
        let range = offset..offset + to.len();
        access(self.buffer, range, || self.copy(offset, to));
        Ok(())
    }

    /// Copies from a range that is inside the buffer.
    fn copy(&self, offset: usize, to: &mut [u8]) {
        let mut done = 0;
        while let Some(rest) = to.get_mut(done..).filter(|rest| !rest.is_empty()) {
            // In bounds: `offset + to.len() <= len` was checked and `done < to.len()`.
            let from = self.start.wrapping_add(offset + done);
            let width = access_width(from as usize, rest.len());
            // SAFETY: `width` bytes at `from` are inside the buffer, so readable and not written
            // by another thread, and `from` is aligned to `width`.
            let bytes = unsafe { load(from, width) };
            for (to, byte) in rest.iter_mut().zip(bytes).take(width) {
                *to = byte;
            }
            done += width;
        }
    }
}

/// Reads from and writes to a device-owned buffer; made by
/// [`DeviceBuffer::view_mut`](crate::DeviceBuffer::view_mut).
///
/// A view writes into the CPU's caches. For a cached buffer behind a port that does not snoop,
/// [`DeviceBuffer::sync_for_device`](crate::DeviceBuffer::sync_for_device) comes afterwards, and the
/// device must not write into the same cache line of
/// [`Info::cache_line_bytes`](crate::Info::cache_line_bytes).
#[derive(Debug)]
pub struct ViewMut<'a> {
    /// Valid for reads and writes of `len` bytes during `'a`.
    start: *mut u8,
    len: usize,
    buffer: Option<&'a Inner>,
    _exclusive: PhantomData<&'a mut ()>,
}

impl<'a> ViewMut<'a> {
    /// A view of a buffer.
    ///
    /// # Safety
    ///
    /// During `'a` the bytes of the buffer
    /// * are mapped, readable and writable,
    /// * are accessed by no other thread of this process.
    pub(crate) unsafe fn new(buffer: &'a Inner) -> Self {
        Self {
            start: buffer.as_ptr(),
            len: buffer.len,
            buffer: Some(buffer),
            _exclusive: PhantomData,
        }
    }

    /// Copies the bytes from `offset` on to `to`, all of it.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] where the range leaves the buffer; nothing has been copied.
    pub fn read_at(&self, offset: usize, to: &mut [u8]) -> Result<()> {
        // Nobody else of this process accesses the bytes while `self` is borrowed.
        let view = View {
            start: self.start,
            len: self.len,
            buffer: self.buffer,
        };
        view.read_at(offset, to)
    }

    /// Copies all of `from` to the bytes from `offset` on.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] where the range leaves the buffer; nothing has been copied.
    pub fn write_at(&mut self, offset: usize, from: &[u8]) -> Result<()> {
        check(offset, from.len(), self.len)?;
        let range = offset..offset + from.len();
        access(self.buffer, range, || self.copy(offset, from));
        Ok(())
    }

    /// Copies to a range that is inside the buffer.
    fn copy(&self, offset: usize, from: &[u8]) {
        let mut done = 0;
        while let Some(rest) = from.get(done..).filter(|rest| !rest.is_empty()) {
            // In bounds: `offset + from.len() <= len` was checked and `done < from.len()`.
            let to = self.start.wrapping_add(offset + done);
            let width = access_width(to as usize, rest.len());
            let mut bytes = [0; 8];
            for (byte, from) in bytes.iter_mut().zip(rest).take(width) {
                *byte = *from;
            }
            // SAFETY: `width` bytes at `to` are inside the buffer, so writable and not accessed
            // by another thread, and `to` is aligned to `width`.
            unsafe { store(to, bytes, width) };
            done += width;
        }
    }
}

/// Accesses a range of a buffer by `copy`; an emulated device wants to know.
fn access(buffer: Option<&Inner>, range: Range<usize>, copy: impl FnOnce()) {
    let Some(inner) = buffer else { return copy() };
    match inner.memory.device.backend() {
        Backend::Driver(_) | Backend::UDmaBuf(_) => copy(),
        Backend::Emulated(emulator) => {
            emulator.view(&inner.memory, inner.in_memory(range), copy);
        }
    }
}

/// Checks that `count` bytes from `offset` on are inside `len` bytes.
fn check(offset: usize, count: usize, len: usize) -> Result<()> {
    check_range(offset..offset.saturating_add(count), len)
}

/// Whether a range lies within `len` bytes.
pub(crate) fn fits(range: &Range<usize>, len: usize) -> bool {
    range.start <= range.end && range.end <= len
}

/// Checks that a range is inside `len` bytes.
pub(crate) fn check_range(range: Range<usize>, len: usize) -> Result<()> {
    if !fits(&range, len) {
        return Err(Error::OutOfRange {
            start: range.start,
            end: range.end,
            len,
        });
    }
    Ok(())
}

/// The widest access at `addr`, in bytes, that is aligned and not longer than `rest`, which is not
/// 0.
fn access_width(addr: usize, rest: usize) -> usize {
    [8, 4, 2]
        .into_iter()
        .find(|width| addr % width == 0 && rest >= *width)
        .unwrap_or(1)
}

/// Loads `width` bytes, 1, 2, 4 or 8, in one access; they come first in the result.
///
/// # Safety
///
/// `width` bytes at `from` are readable, no other thread writes them now, and `from` is aligned to
/// `width`.
unsafe fn load(from: *const u8, width: usize) -> [u8; 8] {
    let mut bytes = [0; 8];
    match width {
        8 => {
            // SAFETY: By the contract of this function.
            bytes = unsafe { from.cast::<u64>().read_volatile() }.to_ne_bytes();
        }
        4 => {
            // SAFETY: By the contract of this function.
            let word = unsafe { from.cast::<u32>().read_volatile() };
            bytes[..4].copy_from_slice(&word.to_ne_bytes());
        }
        2 => {
            // SAFETY: By the contract of this function.
            let word = unsafe { from.cast::<u16>().read_volatile() };
            bytes[..2].copy_from_slice(&word.to_ne_bytes());
        }
        _ => {
            // SAFETY: By the contract of this function.
            bytes[0] = unsafe { from.read_volatile() };
        }
    }
    bytes
}

/// Stores the first `width` bytes, 1, 2, 4 or 8, in one access.
///
/// # Safety
///
/// `width` bytes at `to` are writable, no other thread accesses them now, and `to` is aligned to
/// `width`.
unsafe fn store(to: *mut u8, bytes: [u8; 8], width: usize) {
    let [a, b, c, d, ..] = bytes;
    match width {
        8 => {
            // SAFETY: By the contract of this function.
            unsafe { to.cast::<u64>().write_volatile(u64::from_ne_bytes(bytes)) };
        }
        4 => {
            let word = u32::from_ne_bytes([a, b, c, d]);
            // SAFETY: By the contract of this function.
            unsafe { to.cast::<u32>().write_volatile(word) };
        }
        2 => {
            let word = u16::from_ne_bytes([a, b]);
            // SAFETY: By the contract of this function.
            unsafe { to.cast::<u16>().write_volatile(word) };
        }
        _ => {
            // SAFETY: By the contract of this function.
            unsafe { to.write_volatile(a) };
        }
    }
}

#[cfg(test)]
mod tests;
