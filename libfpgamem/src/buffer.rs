// SPDX-License-Identifier: MIT OR Apache-2.0

//! Buffers in their two states.

use crate::addr::{DeviceAddr, PhysAddr};
use crate::alloc::{AllocOptions, Allocation};
use crate::device::Device;
use crate::direction::{Direction, Maintenance};
use crate::error::{Error, Result};
use crate::map::Map;
use crate::sys;
use crate::view::{check_range, View, ViewMut};
use fpgamem_shared::abi;
use std::fmt;
use std::ops::{Bound, Deref, DerefMut, Range, RangeBounds};
use std::os::fd::AsFd;

/// What both states have in common.
pub(crate) struct Inner {
    pub(crate) device: Device,
    pub(crate) map: Map,
    pub(crate) len: usize,
    phys_addr: PhysAddr,
    device_addr: DeviceAddr,
    coherent: bool,
    write_combine: bool,
    /// Its word in the device's status area.
    status_slot: u32,
    /// The device may access the memory: nobody else may get it.
    pub(crate) device_owned: bool,
}

/// A buffer that the CPU owns: a slice of bytes.
///
/// The memory is contiguous for the FPGA. It is unmapped, and its blocks return to the pool, when the
/// value is dropped.
///
/// A forked child does not inherit the mapping: there, touching the bytes ends the process, dropping
/// the value does nothing, and every method that could harm answers [`Error::Forked`].
pub struct Buffer {
    pub(crate) inner: Inner,
}

/// A buffer that the device owns: it has addresses, and no slice.
///
/// [`view`](Self::view) copies bytes while the device runs. [`into_cpu`](Self::into_cpu) takes the
/// buffer back.
///
/// There is no way to its bytes as a slice:
///
/// ```compile_fail
/// fn peek(buffer: &fpgamem::DeviceBuffer) -> u8 {
///     buffer[0]
/// }
/// ```
///
/// Dropping the value does not free the memory, because nobody has said that the device is done with
/// it: the buffer stays mapped until the process ends, and [`Device::abandoned`] counts it. When the
/// process ends, or dies, the driver keeps the memory back for
/// [`Info::quarantine_ms`](crate::Info::quarantine_ms).
pub struct DeviceBuffer {
    pub(crate) inner: Inner,
    pub(crate) direction: Direction,
}

impl Inner {
    fn new(device: &Device, len: usize, options: AllocOptions) -> Result<Self> {
        // The handle is dropped at the end of this function. From then on the mapping alone keeps
        // the buffer: its end frees it, a process that dies leaves nothing behind even if a child
        // has inherited the file, and nobody can map the memory a second time.
        let allocation = Allocation::new(device.as_fd(), len as u64, options)?;
        let answer = &allocation.answer;
        let alloc_len = usize::try_from(answer.alloc_bytes)
            .ok()
            .filter(|bytes| *bytes >= len);
        let Some(alloc_len) = alloc_len else {
            let value = answer.alloc_bytes;
            return Err(Error::UnexpectedResponse {
                field: "alloc.alloc_bytes",
                value,
            });
        };
        let map = Map::new(device.file(), answer.mmap_offset, alloc_len).map_err(|source| {
            Error::Map {
                len: alloc_len,
                source,
            }
        })?;
        Ok(Self {
            device: device.clone(),
            map,
            len,
            phys_addr: PhysAddr::new(answer.phys_addr),
            device_addr: DeviceAddr::new(answer.device_addr),
            coherent: options.is_coherent(device.is_coherent()),
            write_combine: options.is_write_combine(),
            status_slot: answer.status_slot,
            device_owned: false,
        })
    }

    pub(crate) fn check_fork(&self) -> Result<()> {
        match self.map.forked() {
            Some((owner, child)) => Err(Error::Forked { owner, child }),
            None => Ok(()),
        }
    }

    /// Tells the kernel whether the device may access the memory, should this process die. Comes
    /// after [`check_fork`](Self::check_fork).
    pub(crate) fn mark(&self, device: bool) -> Result<()> {
        if let Some(area) = self.device.status(self.status_slot) {
            area.set(self.status_slot, device);
            return Ok(());
        }
        if !self.device.quarantines() {
            return Ok(());
        }
        let addr = self.map.as_ptr() as usize as u64;
        sys::set_owner(self.device.as_fd(), addr, device)
    }

    /// The bytes as the driver's calls take them.
    pub(crate) fn abi_range(&self, range: &Range<usize>) -> abi::Range {
        let start = self.map.as_ptr() as usize + range.start;
        abi::Range {
            addr: start as u64,
            len: range.len() as u64,
            ..Default::default()
        }
    }

    /// Maintains the cache lines of a range, or waits for a coherent port: that is the driver's
    /// decision, which knows the buffer.
    pub(crate) fn maintain(&self, op: Maintenance, range: impl RangeBounds<usize>) -> Result<()> {
        self.check_fork()?;
        let range = resolve(range, self.len)?;
        if range.is_empty() {
            return Ok(());
        }
        sys::maintain(self.device.as_fd(), op, &[self.abi_range(&range)])
    }

    /// The same for all of the buffer, after [`check_fork`](Self::check_fork).
    pub(crate) fn maintain_whole(&self, op: Maintenance) -> Result<()> {
        sys::maintain(self.device.as_fd(), op, &[self.abi_range(&(0..self.len))])
    }

    fn fmt(&self, f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
        f.debug_struct(name)
            .field("len", &self.len)
            .field("phys_addr", &self.phys_addr)
            .field("device_addr", &self.device_addr)
            .finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.device_owned && self.map.forked().is_none() {
            self.device.note_abandoned(self.map.len());
            self.map.keep_forever();
        }
    }
}

/// The range as two numbers, inside `len` bytes.
fn resolve(range: impl RangeBounds<usize>, len: usize) -> Result<Range<usize>> {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(before) => before.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(last) => last.saturating_add(1),
        Bound::Excluded(end) => *end,
        Bound::Unbounded => len,
    };
    check_range(start..end, len)?;
    Ok(start..end)
}

/// What both states offer, written once.
macro_rules! common_methods {
    () => {
        /// First physical address.
        #[must_use]
        pub fn phys_addr(&self) -> PhysAddr {
            self.inner.phys_addr
        }

        /// First address as the FPGA uses it: what goes into its registers.
        #[must_use]
        pub fn device_addr(&self) -> DeviceAddr {
            self.inner.device_addr
        }

        /// Bytes that the buffer takes in the pool: its length rounded up to whole blocks.
        #[must_use]
        pub fn capacity(&self) -> usize {
            self.inner.map.len()
        }

        /// Whether the device uses a port that snoops the caches.
        #[must_use]
        pub fn is_coherent(&self) -> bool {
            self.inner.coherent
        }

        /// Whether the buffer is mapped write-combine instead of cached.
        #[must_use]
        pub fn is_write_combine(&self) -> bool {
            self.inner.write_combine
        }

        /// The device that the buffer comes from.
        #[must_use]
        pub fn device(&self) -> &Device {
            &self.inner.device
        }

        /// Makes what the CPU wrote to a range of bytes visible to the device: cleans its cache
        /// lines.
        ///
        /// Handing over and taking back do what is needed for whole buffers; this is for parts of
        /// them while the owner stays who it is. Ranges are rounded outwards to cache lines; an
        /// empty one is nothing to do.
        ///
        /// # Errors
        ///
        /// * [`Error::OutOfRange`]: the range leaves the buffer; nothing was done.
        /// * [`Error::Forked`]: the buffer belongs to the parent process.
        /// * [`Error::Unbound`]: the device has been unbound from its driver.
        pub fn sync_for_device(&self, range: impl RangeBounds<usize>) -> Result<()> {
            self.inner.maintain(Maintenance::Clean, range)
        }

        /// Makes what the device wrote to a range of bytes visible to the CPU: cleans and
        /// invalidates its cache lines, so what the CPU wrote is never discarded.
        ///
        /// Otherwise as [`sync_for_device`](Self::sync_for_device).
        ///
        /// # Errors
        ///
        /// As [`sync_for_device`](Self::sync_for_device).
        pub fn sync_for_cpu(&self, range: impl RangeBounds<usize>) -> Result<()> {
            self.inner.maintain(Maintenance::CleanInvalidate, range)
        }
    };
}

impl Buffer {
    common_methods!();

    pub(crate) fn new(device: &Device, len: usize, options: AllocOptions) -> Result<Self> {
        Ok(Self {
            inner: Inner::new(device, len, options)?,
        })
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY:
        // * `len` bytes are mapped as long as `self.inner.map` lives; a process in which they are
        //   not is the child of a fork, whose caller has promised not to use such values.
        // * They are initialised: the driver hands out zeroes.
        // * Nobody else accesses them: this is their only mapping, made from a handle that nobody
        //   else knew and that is gone; no device does, by the contract of `into_cpu` or because
        //   none was ever told. Writing through this value takes `&mut self`.
        unsafe { std::slice::from_raw_parts(self.inner.map.as_ptr(), self.inner.len) }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: As in `deref`; and `&mut self` excludes every other slice of this value.
        unsafe { std::slice::from_raw_parts_mut(self.inner.map.as_ptr(), self.inner.len) }
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl AsMut<[u8]> for Buffer {
    fn as_mut(&mut self) -> &mut [u8] {
        self
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f, "Buffer")
    }
}

// A buffer is never empty: the driver refuses length 0.
#[allow(clippy::len_without_is_empty)]
impl DeviceBuffer {
    common_methods!();

    /// Length in bytes, as it was asked for.
    #[must_use]
    pub fn len(&self) -> usize {
        self.inner.len
    }

    /// Which way data flows.
    #[must_use]
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// Reads bytes while the device may be writing.
    #[must_use]
    pub fn view(&self) -> View<'_> {
        // SAFETY: `len` bytes are mapped as long as `self` lives; threads of this process write
        // them through `view_mut` only, which takes `&mut self`.
        unsafe { View::new(self.inner.map.as_ptr(), self.inner.len) }
    }

    /// Reads and writes bytes while the device may be reading and writing.
    #[must_use]
    pub fn view_mut(&mut self) -> ViewMut<'_> {
        // SAFETY: `len` bytes are mapped as long as `self` lives, and `&mut self` excludes every
        // other view.
        unsafe { ViewMut::new(self.inner.map.as_ptr(), self.inner.len) }
    }
}

impl fmt::Debug for DeviceBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f, "DeviceBuffer")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolves_ranges_of_every_form() {
        assert_eq!(resolve(.., 10).unwrap(), 0..10);
        assert_eq!(resolve(3.., 10).unwrap(), 3..10);
        assert_eq!(resolve(..4, 10).unwrap(), 0..4);
        assert_eq!(resolve(3..=4, 10).unwrap(), 3..5);
        let after_two = (Bound::Excluded(2), Bound::Unbounded);
        assert_eq!(resolve(after_two, 10).unwrap(), 3..10);
        assert_eq!(resolve(10..10, 10).unwrap(), 10..10);
    }

    #[test]
    fn refuses_ranges_outside() {
        let error = resolve(8..11, 10).unwrap_err();
        assert!(matches!(
            error,
            Error::OutOfRange {
                start: 8,
                end: 11,
                len: 10
            }
        ));
        let error = resolve(11.., 10).unwrap_err();
        assert!(matches!(
            error,
            Error::OutOfRange {
                start: 11,
                end: 10,
                len: 10
            }
        ));
        let error = resolve(..=usize::MAX, 10).unwrap_err();
        assert!(matches!(
            error,
            Error::OutOfRange {
                end: usize::MAX,
                ..
            }
        ));
    }
}
