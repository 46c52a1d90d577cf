// SPDX-License-Identifier: MIT OR Apache-2.0

//! The ways between the two states of a buffer: one at a time, and many in one call.

use crate::buffer::{Buffer, DeviceBuffer};
use crate::device::Device;
use crate::direction::{Direction, Maintenance};
use crate::error::{HandOverError, Result};
use crate::inner::Inner;
use crate::sync;

/// Marks the buffers as the device's and maintains them: from the first moment at which the device
/// may be told to start, the kernel knows. Where that fails they are the CPU's again.
fn give_to_device<'a>(
    buffers: impl Iterator<Item = &'a Inner> + Clone,
    maintain: impl FnOnce() -> Result<()>,
) -> Result<()> {
    buffers.clone().try_for_each(Inner::check_fork)?;
    mark_all(buffers.clone(), true)?;
    let done = maintain();
    if done.is_err() {
        // The error that made this necessary is told.
        let _ = mark_all(buffers, false);
    }
    done
}

/// Marks the buffers, which are this process's, as the device's or as the CPU's. Where that fails they
/// are all still whose they were.
fn mark_all<'a>(buffers: impl Iterator<Item = &'a Inner> + Clone, device: bool) -> Result<()> {
    let mut marked = 0;
    let done = buffers.clone().try_for_each(|buffer| {
        buffer.mark(device)?;
        marked += 1;
        Ok(())
    });
    if done.is_err() {
        for buffer in buffers.take(marked) {
            // As far as it can be done.
            let _ = buffer.mark(!device);
        }
    }
    done
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
    /// * [`Error::Unbound`](crate::Error::Unbound): the device has been unbound from its driver, which
    ///   is needed where the buffer has no word in the status area (of the buffers of an open file,
    ///   the first 1024 that live at the same time have one), and on processors other than aarch64.
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
    /// * [`Error::Unbound`](crate::Error::Unbound): the device has been unbound from its driver, which
    ///   is needed where the buffer has no word in the status area (of the buffers of an open file,
    ///   the first 1024 that live at the same time have one), and on processors other than aarch64.
    pub unsafe fn into_cpu(self) -> Result<Buffer, HandOverError<Self>> {
        let done = match self.direction.after_device() {
            Some(op) => self.inner.maintain(op, ..),
            None => self.inner.check_fork(),
        };
        match done.and_then(|()| mark_all(std::iter::once(&self.inner), false)) {
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
    /// Hands many buffers over to the device, waiting once for the caches of all of them.
    ///
    /// As [`Buffer::into_device`] for each; they come back in their order. On other processors than
    /// aarch64 it is one call into the driver for up to 1024 of them.
    ///
    /// # Errors
    ///
    /// As [`Buffer::into_device`]. All buffers come back with the error, none is handed over.
    pub fn hand_over_all(
        &self,
        buffers: Vec<Buffer>,
        direction: Direction,
    ) -> Result<Vec<DeviceBuffer>, HandOverError<Vec<Buffer>>> {
        let inners = || buffers.iter().map(|buffer| &buffer.inner);
        let maintain = || maintain_all(direction.before_device(), inners());
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

    /// Takes many buffers back from the device, waiting once for the caches of all of them.
    ///
    /// As [`DeviceBuffer::into_cpu`] for each; they come back in their order. On other processors than
    /// aarch64 it is one call into the driver for up to 1024 of them.
    ///
    /// # Safety
    ///
    /// * No device accesses the memory of any of the buffers any more.
    ///
    /// # Errors
    ///
    /// As [`DeviceBuffer::into_cpu`]. All buffers come back with the error, still owned by the device.
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
            .and_then(|()| maintain_all(op, written(op).map(|b| &b.inner)))
            .and_then(|()| mark_all(buffers.iter().map(|b| &b.inner), false));
        match done {
            Ok(()) => Ok(buffers.into_iter().map(DeviceBuffer::taken_back).collect()),
            Err(error) => Err(HandOverError {
                error,
                buffer: buffers,
            }),
        }
    }
}

/// Maintains whole buffers of this process.
fn maintain_all<'a>(
    op: Maintenance,
    buffers: impl Iterator<Item = &'a Inner> + Clone,
) -> Result<()> {
    sync::maintain(op, buffers.map(|buffer| (buffer, 0..buffer.len)))
}
