// SPDX-License-Identifier: MIT OR Apache-2.0

//! What buffers are in both of their states: a part of an allocation.

use crate::addr::{DeviceAddr, PhysAddr};
use crate::alloc::AllocOptions;
use crate::arena::Lease;
use crate::device::Device;
use crate::direction::Maintenance;
use crate::error::Result;
use crate::memory::Memory;
use crate::sync;
use crate::view::check_range;
use std::fmt;
use std::ops::{Bound, Deref, Range, RangeBounds};
use std::sync::Arc;

/// A part of an allocation, or all of it.
///
/// INVARIANT: No two values have a byte of the same allocation in common; `start` and `capacity` are
/// multiples of the device's granule, or the part is all of the allocation.
pub(crate) struct Inner {
    pub(crate) memory: Held,
    /// First byte, counted from that of the allocation.
    pub(crate) start: usize,
    pub(crate) len: usize,
    /// Bytes up to the next part or the end of the allocation; those from `len` on are nobody's.
    pub(crate) capacity: usize,
    /// The device may access the part: nobody else may get it.
    pub(crate) device_owned: bool,
}

/// What keeps an allocation while a part of it is in use.
#[derive(Clone)]
pub(crate) enum Held {
    /// A reference of the part's own.
    Own(Arc<Memory>),
    /// What an arena lent. It has the reference, so that a buffer which is used again takes none.
    Lent(Lease),
}

impl Deref for Held {
    type Target = Memory;

    #[inline]
    fn deref(&self) -> &Memory {
        match self.get() {
            Some(memory) => memory,
            None => unreachable!("a part has its memory up to its end"),
        }
    }
}

impl Held {
    /// The allocation; `None` in a part that ends.
    #[inline]
    pub(crate) fn get(&self) -> Option<&Memory> {
        match self {
            Self::Own(memory) => Some(memory),
            Self::Lent(lease) => lease.memory(),
        }
    }

    /// Whether both keep the same for the same buffer.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Own(a), Self::Own(b)) => Arc::ptr_eq(a, b),
            (Self::Lent(a), Self::Lent(b)) => a.is_of_same_loan(b),
            _ => false,
        }
    }
}

impl Inner {
    pub(crate) fn new(device: &Device, len: usize, options: AllocOptions) -> Result<Self> {
        let memory = Memory::new(device, len, options)?;
        let all = 0..memory.map.len();
        Ok(Self::of(Held::Own(Arc::new(memory)), all, len))
    }

    /// The CPU's part of an allocation, of which `len` bytes are somebody's. Nobody else has any of the
    /// range, which keeps the invariant.
    pub(crate) fn of(memory: Held, range: Range<usize>, len: usize) -> Self {
        Self {
            memory,
            start: range.start,
            len,
            capacity: range.len(),
            device_owned: false,
        }
    }

    /// Another part of the same allocation, and of the same buffer of an arena, in place of this one.
    pub(crate) fn part(&self, range: Range<usize>, len: usize) -> Self {
        Self::of(self.memory.clone(), range, len)
    }

    /// First byte; valid for `len` bytes while the value lives, in the process that allocated.
    pub(crate) fn as_ptr(&self) -> *mut u8 {
        // Inside the mapping, since the part is.
        self.memory.map.as_ptr().wrapping_add(self.start)
    }

    /// A range of the part as one of the whole allocation.
    pub(crate) fn in_memory(&self, range: Range<usize>) -> Range<usize> {
        self.start + range.start..self.start + range.end
    }

    pub(crate) fn phys_addr(&self) -> PhysAddr {
        PhysAddr::new(
            self.memory
                .phys_addr
                .as_u64()
                .wrapping_add(self.start as u64),
        )
    }

    pub(crate) fn device_addr(&self) -> DeviceAddr {
        DeviceAddr::new(
            self.memory
                .device_addr
                .as_u64()
                .wrapping_add(self.start as u64),
        )
    }

    /// The offset as one of addresses, if there is such a byte.
    pub(crate) fn checked_offset(&self, offset: usize) -> Option<u64> {
        (offset < self.len).then_some(offset as u64)
    }

    pub(crate) fn check_fork(&self) -> Result<()> {
        self.memory.check_fork()
    }

    /// Says who owns the part. Comes after [`check_fork`](Self::check_fork).
    pub(crate) fn mark(&self, device: bool) -> Result<()> {
        let part = self.start..self.start + self.capacity;
        self.memory.mark(part, device)
    }

    /// Maintains the cache lines of a range, or waits where that is enough.
    pub(crate) fn maintain(&self, op: Maintenance, range: impl RangeBounds<usize>) -> Result<()> {
        sync::maintain_one(op, self, bounds(range, self.len))
    }

    /// The same for all of the part, after [`check_fork`](Self::check_fork).
    pub(crate) fn maintain_whole(&self, op: Maintenance) -> Result<()> {
        sync::maintain(op, std::iter::once((self, 0..self.len)))
    }

    pub(crate) fn describe(&self, f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
        f.debug_struct(name)
            .field("len", &self.len)
            .field("phys_addr", &self.phys_addr())
            .field("device_addr", &self.device_addr())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.describe(f, "Inner")
    }
}

impl Inner {
    /// The device keeps the part.
    #[cold]
    fn abandon(&mut self) {
        if !self.memory.map.is_forked() {
            self.memory.abandon(self.capacity);
            if let Held::Lent(lease) = &mut self.memory {
                lease.never_end();
            }
        }
    }
}

impl Drop for Inner {
    #[inline]
    fn drop(&mut self) {
        if self.device_owned {
            self.abandon();
        }
    }
}

/// The range as two numbers, inside `len` bytes.
pub(crate) fn resolve(range: impl RangeBounds<usize>, len: usize) -> Result<Range<usize>> {
    let range = bounds(range, len);
    check_range(range.clone(), len)?;
    Ok(range)
}

/// The range as two numbers, which may lie outside of `len` bytes.
fn bounds(range: impl RangeBounds<usize>, len: usize) -> Range<usize> {
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
    start..end
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

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
