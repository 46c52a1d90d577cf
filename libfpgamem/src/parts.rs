// SPDX-License-Identifier: MIT OR Apache-2.0

//! Parts of one buffer, each with an owner of its own.

use crate::buffer::Buffer;
use crate::error::{Error, HandOverError, Result};

impl Buffer {
    /// Splits the buffer in two at `mid`: `[0, mid)` and `[mid, len)`, which go their own ways.
    ///
    /// Both are parts of one mapping and of one allocation, whose blocks return to the pool when the
    /// last part is gone. Each can be handed over while the CPU has the other, so `mid` is a multiple of
    /// [`Device::line_bytes`](crate::Device::line_bytes): no cache line has bytes of both. A part that is
    /// dropped while the device owns it keeps all of the allocation from everybody, as
    /// [`DeviceBuffer`](crate::DeviceBuffer) says; [`Device::abandoned`](crate::Device::abandoned) counts
    /// the part.
    ///
    /// ```no_run
    /// # use fpgamem::{Device, Direction};
    /// # fn main() -> Result<(), fpgamem::Error> {
    /// # let device = Device::open()?;
    /// let (ring, results) = device.alloc(1 << 20)?.split_at(4096)?;
    /// let results = results.into_device(Direction::FromDevice)?;   // `ring` is still a slice
    /// # drop((ring, results));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The buffer comes back with the error, unchanged:
    ///
    /// * [`Error::InvalidSplit`]: `mid` is 0, not below the length, or not a multiple of the cache line.
    pub fn split_at(self, mid: usize) -> Result<(Self, Self), HandOverError<Self>> {
        let line_bytes = self.device().line_bytes();
        if mid == 0 || mid >= self.inner.len || mid % line_bytes != 0 {
            let len = self.inner.len;
            return Err(HandOverError {
                error: Error::InvalidSplit {
                    mid,
                    len,
                    line_bytes,
                },
                buffer: self,
            });
        }
        let (start, len, capacity) = (self.inner.start, self.inner.len, self.inner.capacity);
        let part = |range, len| Self {
            inner: self.inner.part(range, len),
        };
        let low = part(start..start + mid, mid);
        let high = part(start + mid..start + capacity, len - mid);
        // The whole ends here, and its bytes are those of the parts.
        drop(self);
        Ok((low, high))
    }

    /// Joins the buffer with the part that follows it: the reverse of [`split_at`](Self::split_at).
    ///
    /// # Errors
    ///
    /// Both buffers come back with the error, unchanged, in their order:
    ///
    /// * [`Error::NotAdjacent`]: `next` does not begin, in the same allocation, where this one ends.
    pub fn join(self, next: Self) -> Result<Self, HandOverError<Box<(Self, Self)>>> {
        let end = self.inner.start + self.inner.capacity;
        let adjacent = self.inner.memory.is_same(&next.inner.memory)
            && end == next.inner.start
            && self.inner.len == self.inner.capacity;
        if !adjacent {
            return Err(HandOverError {
                error: Error::NotAdjacent {
                    end: self
                        .phys_addr()
                        .as_u64()
                        .saturating_add(self.inner.len as u64),
                    next: next.phys_addr().as_u64(),
                },
                buffer: Box::new((self, next)),
            });
        }
        let range = self.inner.start..end + next.inner.capacity;
        let inner = self.inner.part(range, self.inner.len + next.inner.len);
        // The parts end here, and their bytes are those of the whole.
        drop((self, next));
        Ok(Self { inner })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Device;

    fn buffer() -> Buffer {
        let options = Device::emulated().region_bytes(1 << 20);
        options.open().unwrap().alloc(1000).unwrap()
    }

    #[test]
    fn a_buffer_is_split_between_lines_alone() {
        let mut buffer = buffer();
        for at in [0, 1, 63, 65, 1000, 1024, usize::MAX] {
            let failed = buffer.split_at(at).unwrap_err();
            assert!(matches!(
                failed.error,
                Error::InvalidSplit { mid, len: 1000, line_bytes: 64 } if mid == at
            ));
            buffer = failed.buffer;
        }
        let (low, high) = buffer.split_at(960).unwrap();
        assert_eq!((low.len(), low.capacity()), (960, 960));
        assert_eq!((high.len(), high.capacity()), (40, 16384 - 960));
    }

    #[test]
    fn parts_are_joined_in_their_order_alone() {
        let mut buffer = buffer();
        buffer[64] = 7;
        let (a, b) = buffer.split_at(64).unwrap();
        let (b, c) = b.split_at(64).unwrap();
        let failed = a.join(c).unwrap_err();
        assert!(matches!(failed.error, Error::NotAdjacent { .. }));
        let (a, c) = *failed.buffer;
        let (c, b) = *c.join(b).unwrap_err().buffer;
        let whole = a.join(b).unwrap().join(c).unwrap();
        assert_eq!((whole.len(), whole.capacity(), whole[64]), (1000, 16384, 7));
    }

    #[test]
    fn parts_of_two_allocations_are_not_joined() {
        let device = Device::emulated().region_bytes(1 << 20).open().unwrap();
        let (first, second) = (device.alloc(16384).unwrap(), device.alloc(1).unwrap());
        let failed = first.join(second).unwrap_err();
        let Error::NotAdjacent { end, next } = failed.error else {
            panic!("{}", failed.error);
        };
        // They are neighbours all the same.
        assert_eq!(end, next);
    }
}
