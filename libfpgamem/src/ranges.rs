// SPDX-License-Identifier: MIT OR Apache-2.0

//! Parts of many buffers, maintained in one go.

use crate::buffer::{Buffer, DeviceBuffer};
use crate::direction::Maintenance;
use crate::error::Result;
use crate::inner::{resolve, Inner};
use crate::sync;
use std::ops::{Range, RangeBounds};

/// Ranges of buffers whose caches are maintained together, waiting once for all of them.
///
/// As [`Buffer::sync_for_device`] and [`Buffer::sync_for_cpu`] for each; the buffers may be of several
/// devices. On other processors than aarch64 it is one call into the driver for up to 1024 ranges.
///
/// ```
/// use fpgamem::{Device, Direction, Ranges};
///
/// # fn main() -> Result<(), fpgamem::Error> {
/// let device = Device::emulated().open()?;
/// let commands = device.alloc(4096)?.into_device(Direction::ToDevice)?;
/// let status = device.alloc(4096)?.into_device(Direction::FromDevice)?;
///
/// let mut ranges = Ranges::new();
/// ranges.add_device_owned(&commands, 0..128)?;
/// ranges.add_device_owned(&status, ..64)?;
/// ranges.sync_for_device()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Default)]
pub struct Ranges<'a> {
    parts: Vec<(&'a Inner, Range<usize>)>,
}

impl<'a> Ranges<'a> {
    /// No range yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds ranges of bytes of a buffer that the CPU owns. No slice of it outlives that, since bytes may
    /// change under it.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`](crate::Error::OutOfRange): one of the ranges leaves the buffer; none was
    /// added.
    pub fn add<R: RangeBounds<usize>>(
        &mut self,
        buffer: &'a mut Buffer,
        ranges: impl IntoIterator<Item = R>,
    ) -> Result<()> {
        let inner = &buffer.inner;
        let resolved = ranges.into_iter().map(|range| resolve(range, inner.len));
        let resolved: Vec<_> = resolved.collect::<Result<_>>()?;
        self.parts
            .extend(resolved.into_iter().map(|range| (inner, range)));
        Ok(())
    }

    /// Adds a range of bytes of a buffer that the device owns.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`](crate::Error::OutOfRange): the range leaves the buffer.
    pub fn add_device_owned(
        &mut self,
        buffer: &'a DeviceBuffer,
        range: impl RangeBounds<usize>,
    ) -> Result<()> {
        let range = resolve(range, buffer.inner.len)?;
        self.parts.push((&buffer.inner, range));
        Ok(())
    }

    /// Makes what the CPU wrote to the ranges visible to the device: cleans their cache lines.
    ///
    /// # Errors
    ///
    /// As [`Buffer::sync_for_device`].
    pub fn sync_for_device(&self) -> Result<()> {
        self.maintain(Maintenance::Clean)
    }

    /// Makes what the device wrote to the ranges visible to the CPU: cleans and invalidates their cache
    /// lines.
    ///
    /// # Errors
    ///
    /// As [`Buffer::sync_for_device`].
    pub fn sync_for_cpu(&self) -> Result<()> {
        self.maintain(Maintenance::CleanInvalidate)
    }

    fn maintain(&self, op: Maintenance) -> Result<()> {
        self.parts
            .iter()
            .try_for_each(|(inner, _)| inner.check_fork())?;
        sync::maintain(op, self.parts.iter().cloned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Device, Direction, Error, FpgaMemory};

    #[test]
    fn exactly_the_lines_of_all_ranges_are_maintained() {
        let device = Device::emulated().region_bytes(1 << 20).open().unwrap();
        let mut own = device.alloc(1000).unwrap();
        let theirs = device.alloc(1000).unwrap();
        let theirs = theirs.into_device(Direction::FromDevice).unwrap();
        let emulator = device.emulator().unwrap();
        let before = emulator.counts();
        let mut ranges = Ranges::new();
        ranges.add(&mut own, [0..1, 128..192]).unwrap();
        ranges.add_device_owned(&theirs, 63..65).unwrap();
        ranges.add_device_owned(&theirs, 7..7).unwrap();
        ranges.sync_for_device().unwrap();
        assert_eq!(emulator.counts().cleaned, before.cleaned + 4);
        ranges.sync_for_cpu().unwrap();
        assert_eq!(emulator.counts().invalidated, before.invalidated + 4);
    }

    #[test]
    fn the_device_sees_the_ranges_and_the_cpu_its_answer() {
        let device = Device::emulated().region_bytes(1 << 20).open().unwrap();
        let mut buffer = device.alloc(256).unwrap();
        buffer.fill(1);
        let addr = buffer.device_addr();
        let mut ranges = Ranges::new();
        ranges.add(&mut buffer, std::iter::once(64..128)).unwrap();
        ranges.sync_for_device().unwrap();
        let mut seen = [9; 256];
        let mut look = |memory: &mut FpgaMemory<'_>| {
            memory.read(addr, &mut seen)?;
            memory.write(addr, &[5; 256])
        };
        device.emulator().unwrap().run(&mut look).unwrap();
        ranges.sync_for_cpu().unwrap();
        assert_eq!((seen[63], seen[64], seen[127], seen[128]), (0, 1, 1, 0));
        assert_eq!((buffer[63], buffer[64], buffer[128]), (1, 5, 1));
    }

    #[test]
    fn a_range_outside_is_refused_with_its_numbers() {
        let device = Device::emulated().region_bytes(1 << 20).open().unwrap();
        let mut buffer = device.alloc(100).unwrap();
        let mut ranges = Ranges::new();
        let error = ranges.add(&mut buffer, [0..1, 90..101]).unwrap_err();
        assert!(matches!(
            error,
            Error::OutOfRange {
                start: 90,
                end: 101,
                len: 100
            }
        ));
        assert!(ranges.parts.is_empty());
    }
}
