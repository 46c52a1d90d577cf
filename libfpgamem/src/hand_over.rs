// SPDX-License-Identifier: MIT OR Apache-2.0

//! The ways between the two states of a buffer: one at a time, and many in one call.

use crate::buffer::{Buffer, DeviceBuffer, Inner};
use crate::device::Device;
use crate::direction::{Direction, Maintenance};
use crate::error::{HandOverError, Result};
use crate::sys;
use fpgamem_shared::abi;
use std::os::fd::AsFd;

/// Marks the buffers as the device's and maintains them: from the first moment at which the device
/// may be told to start, the kernel knows. Where that fails they are the CPU's again.
fn give_to_device<'a>(
    buffers: impl Iterator<Item = &'a Inner> + Clone,
    maintain: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let all = || buffers.clone();
    all().try_for_each(Inner::check_fork)?;
    let done = all()
        .try_for_each(|buffer| buffer.mark(true))
        .and_then(|()| maintain());
    if done.is_err() {
        mark_all(all(), false);
    }
    done
}

/// Marks the buffers, which are this process's, as the CPU's. Where that fails they are all the
/// device's still.
fn take_from_device<'a>(buffers: impl Iterator<Item = &'a Inner> + Clone) -> Result<()> {
    let done = buffers.clone().try_for_each(|buffer| buffer.mark(false));
    if done.is_err() {
        mark_all(buffers, true);
    }
    done
}

/// Marks as many of the buffers as can be.
fn mark_all<'a>(buffers: impl Iterator<Item = &'a Inner>, device: bool) {
    for buffer in buffers {
        // The error that made this necessary is told.
        let _ = buffer.mark(device);
    }
}

impl Buffer {
    /// Hands the buffer over to the device, with the cache maintenance that the direction asks for.
    ///
    /// When this has returned, everything that the CPU wrote is visible to the device, and the device
    /// may be told to start. The CPU's access has ended with the call:
    ///
    /// ```compile_fail
    /// # fn hand_over(buffer: fpgamem::Buffer) -> Result<(), fpgamem::Error> {
    /// let owned_by_device = buffer.into_device(fpgamem::Direction::ToDevice)?;
    /// let byte = buffer[0];
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The buffer comes back with the error, unchanged:
    ///
    /// * [`Error::Forked`](crate::Error::Forked): the buffer belongs to the parent process.
    /// * [`Error::Unbound`](crate::Error::Unbound): the device has been unbound from its driver.
    pub fn into_device(self, direction: Direction) -> Result<DeviceBuffer, HandOverError<Self>> {
        let maintain = || self.inner.maintain_whole(direction.before_device());
        match give_to_device(std::iter::once(&self.inner), maintain) {
            Ok(()) => Ok(self.handed_over(direction)),
            Err(error) => Err(HandOverError {
                error,
                buffer: self,
            }),
        }
    }

    fn handed_over(mut self, direction: Direction) -> DeviceBuffer {
        self.inner.device_owned = true;
        DeviceBuffer {
            inner: self.inner,
            direction,
        }
    }
}

impl DeviceBuffer {
    /// Takes the buffer back from the device, with the cache maintenance that the direction of its
    /// hand-over asks for.
    ///
    /// # Safety
    ///
    /// * No device accesses the memory of the buffer any more.
    ///
    /// # Errors
    ///
    /// The buffer comes back with the error, still owned by the device:
    ///
    /// * [`Error::Forked`](crate::Error::Forked): the buffer belongs to the parent process.
    /// * [`Error::Unbound`](crate::Error::Unbound): the device has been unbound from its driver.
    pub unsafe fn into_cpu(self) -> Result<Buffer, HandOverError<Self>> {
        let done = match self.direction.after_device() {
            Some(op) => self.inner.maintain(op, ..),
            None => self.inner.check_fork(),
        };
        match done.and_then(|()| take_from_device(std::iter::once(&self.inner))) {
            Ok(()) => Ok(self.taken_back()),
            Err(error) => Err(HandOverError {
                error,
                buffer: self,
            }),
        }
    }

    fn taken_back(mut self) -> Buffer {
        self.inner.device_owned = false;
        Buffer { inner: self.inner }
    }
}

impl Device {
    /// Hands many buffers over to the device, with one call into the driver for up to 1024 of them.
    ///
    /// As [`Buffer::into_device`] for each; they come back in their order.
    ///
    /// # Errors
    ///
    /// As [`Buffer::into_device`]. All buffers come back with the error, none is handed over. A buffer
    /// of another pool makes it [`Error::Ioctl`](crate::Error::Ioctl).
    pub fn hand_over_all(
        &self,
        buffers: Vec<Buffer>,
        direction: Direction,
    ) -> Result<Vec<DeviceBuffer>, HandOverError<Vec<Buffer>>> {
        let inners = || buffers.iter().map(|buffer| &buffer.inner);
        let maintain = || self.maintain_all(direction.before_device(), inners());
        match give_to_device(inners(), maintain) {
            Ok(()) => Ok(buffers
                .into_iter()
                .map(|b| b.handed_over(direction))
                .collect()),
            Err(error) => Err(HandOverError {
                error,
                buffer: buffers,
            }),
        }
    }

    /// Takes many buffers back from the device, with one call into the driver for up to 1024 of
    /// them.
    ///
    /// As [`DeviceBuffer::into_cpu`] for each; they come back in their order.
    ///
    /// # Safety
    ///
    /// * No device accesses the memory of any of the buffers any more.
    ///
    /// # Errors
    ///
    /// As [`DeviceBuffer::into_cpu`]. All buffers come back with the error, still owned by the device.
    /// A buffer of another pool makes it [`Error::Ioctl`](crate::Error::Ioctl).
    pub unsafe fn take_back_all(
        &self,
        buffers: Vec<DeviceBuffer>,
    ) -> Result<Vec<Buffer>, HandOverError<Vec<DeviceBuffer>>> {
        let written = |op| {
            buffers
                .iter()
                .filter(move |b| b.direction.after_device() == Some(op))
        };
        let op = Maintenance::CleanInvalidate;
        let done = buffers
            .iter()
            .try_for_each(|b| b.inner.check_fork())
            .and_then(|()| self.maintain_all(op, written(op).map(|b| &b.inner)))
            .and_then(|()| take_from_device(buffers.iter().map(|b| &b.inner)));
        match done {
            Ok(()) => Ok(buffers.into_iter().map(DeviceBuffer::taken_back).collect()),
            Err(error) => Err(HandOverError {
                error,
                buffer: buffers,
            }),
        }
    }

    /// Maintains whole buffers of this process.
    fn maintain_all<'a>(
        &self,
        op: Maintenance,
        buffers: impl Iterator<Item = &'a Inner>,
    ) -> Result<()> {
        let range = |inner: &Inner| inner.abi_range(&(0..inner.len));
        let ranges = buffers.map(range).collect::<Vec<_>>();
        let at_once = usize::try_from(abi::MAX_RANGES).unwrap_or(usize::MAX);
        ranges
            .chunks(at_once)
            .try_for_each(|chunk| sys::maintain(self.as_fd(), op, chunk))
    }
}
