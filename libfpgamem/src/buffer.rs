// SPDX-License-Identifier: MIT OR Apache-2.0

//! Buffers in their two states.

use crate::addr::{DeviceAddr, PhysAddr};
use crate::alloc::AllocOptions;
use crate::device::Device;
use crate::direction::{Direction, Maintenance};
use crate::error::Result;
use crate::inner::Inner;
use crate::view::{View, ViewMut};
use std::fmt;
use std::ops::{Deref, DerefMut, RangeBounds};

/// A buffer that the CPU owns: a slice of bytes.
///
/// The memory is contiguous for the FPGA. It is unmapped, and its blocks return to the pool, when the
/// value is dropped.
///
/// A forked child does not inherit the mapping: there, touching the bytes ends the process, dropping
/// the value does nothing, and every method that could harm answers [`Error::Forked`](crate::Error::Forked).
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

/// What both states offer, written once.
macro_rules! common_methods {
    () => {
        /// First physical address.
        #[must_use]
        pub fn phys_addr(&self) -> PhysAddr {
            self.inner.phys_addr()
        }

        /// First address as the FPGA uses it: what goes into its registers.
        #[must_use]
        pub fn device_addr(&self) -> DeviceAddr {
            self.inner.device_addr()
        }

        /// Physical address of the byte at `offset`; `None` if there is no such byte.
        ///
        /// No system call: allocation has told.
        #[must_use]
        pub fn phys_of(&self, offset: usize) -> Option<PhysAddr> {
            let offset = self.inner.checked_offset(offset)?;
            self.phys_addr().checked_add(offset)
        }

        /// Address of the byte at `offset` as the FPGA uses it; `None` if there is no such byte.
        #[must_use]
        pub fn device_addr_of(&self, offset: usize) -> Option<DeviceAddr> {
            let offset = self.inner.checked_offset(offset)?;
            self.device_addr().checked_add(offset)
        }

        /// Offset of the byte with a physical address; `None` if it is not one of the buffer's.
        #[must_use]
        pub fn offset_of_phys(&self, phys_addr: PhysAddr) -> Option<usize> {
            let offset = phys_addr.checked_offset_from(self.phys_addr())?;
            let offset = usize::try_from(offset).ok()?;
            (offset < self.inner.len).then_some(offset)
        }

        /// Offset of the byte that the FPGA calls by an address; `None` if it is not one of the
        /// buffer's.
        #[must_use]
        pub fn offset_of_device(&self, device_addr: DeviceAddr) -> Option<usize> {
            let offset = device_addr.checked_offset_from(self.device_addr())?;
            let offset = usize::try_from(offset).ok()?;
            (offset < self.inner.len).then_some(offset)
        }

        /// Bytes that the buffer takes in the pool: its length rounded up to whole blocks. Those of
        /// the parts of a buffer that was [split](Buffer::split_at) add up to it.
        #[must_use]
        pub fn capacity(&self) -> usize {
            self.inner.capacity
        }

        /// Whether the device uses a port that snoops the caches.
        #[must_use]
        pub fn is_coherent(&self) -> bool {
            self.inner.memory.coherent
        }

        /// Whether the buffer is mapped write-combine instead of cached.
        #[must_use]
        pub fn is_write_combine(&self) -> bool {
            self.inner.memory.write_combine
        }

        /// The device that the buffer comes from.
        #[must_use]
        pub fn device(&self) -> &Device {
            &self.inner.memory.device
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
        /// * [`Error::OutOfRange`](crate::Error::OutOfRange): the range leaves the buffer; nothing was done.
        /// * [`Error::Forked`](crate::Error::Forked): the buffer belongs to the parent process.
        /// * [`Error::Unbound`](crate::Error::Unbound): the device has been unbound from its driver,
        ///   which is needed only where a processor other than aarch64 leaves the work to it.
        pub fn sync_for_device(&self, range: impl RangeBounds<usize>) -> Result<()> {
            self.inner.maintain(Maintenance::Clean, range)
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

    /// First byte, without making a slice: for code that keeps the pointer, such as a library for C.
    ///
    /// It is that of the memory: valid, while the CPU owns that, until the buffer is dropped.
    #[must_use]
    pub fn as_mut_ptr(&mut self) -> *mut u8 {
        self.inner.as_ptr()
    }

    /// Makes what the device wrote to a range of bytes visible to the CPU: cleans and invalidates its
    /// cache lines, so what the CPU wrote is never discarded.
    ///
    /// No slice of the buffer outlives the call, since bytes change under it. Otherwise as [`sync_for_device`](Self::sync_for_device).
    ///
    /// # Errors
    ///
    /// As [`sync_for_device`](Self::sync_for_device).
    pub fn sync_for_cpu(&mut self, range: impl RangeBounds<usize>) -> Result<()> {
        self.inner.maintain(Maintenance::CleanInvalidate, range)
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY:
        // * `len` bytes are mapped as long as `self.inner.memory` lives; a process in which they are
        //   not is the child of a fork, whose caller has promised not to use such values.
        // * They are initialised: the driver hands out zeroes.
        // * Nobody else accesses them: this is their only mapping, made from a handle that nobody
        //   else knew and that is gone, and no other part has them; no device does, by the contract
        //   of `into_cpu` or because none was ever told. Writing through this value takes
        //   `&mut self`.
        unsafe { std::slice::from_raw_parts(self.inner.as_ptr(), self.inner.len) }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: As in `deref`; and `&mut self` excludes every other slice of this value.
        unsafe { std::slice::from_raw_parts_mut(self.inner.as_ptr(), self.inner.len) }
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
        self.inner.describe(f, "Buffer")
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

    /// Makes what the device wrote to a range of bytes visible to the CPU: cleans and invalidates its
    /// cache lines, so what the CPU wrote is never discarded.
    ///
    /// Otherwise as [`sync_for_device`](Self::sync_for_device).
    ///
    /// # Errors
    ///
    /// As [`sync_for_device`](Self::sync_for_device).
    pub fn sync_for_cpu(&self, range: impl RangeBounds<usize>) -> Result<()> {
        self.inner.maintain(Maintenance::CleanInvalidate, range)
    }

    /// Reads bytes while the device may be writing.
    #[must_use]
    pub fn view(&self) -> View<'_> {
        // SAFETY: `len` bytes are mapped as long as `self` lives; threads of this process write
        // them through `view_mut` only, which takes `&mut self`.
        unsafe { View::new(&self.inner) }
    }

    /// Reads and writes bytes while the device may be reading and writing.
    #[must_use]
    pub fn view_mut(&mut self) -> ViewMut<'_> {
        // SAFETY: `len` bytes are mapped as long as `self` lives, and `&mut self` excludes every
        // other view.
        unsafe { ViewMut::new(&self.inner) }
    }
}

impl fmt::Debug for DeviceBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.describe(f, "DeviceBuffer")
    }
}
