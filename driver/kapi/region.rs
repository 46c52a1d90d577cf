// SPDX-License-Identifier: GPL-2.0

//! A reserved-memory region of the device tree, mapped write-back into the kernel.
//!
//! C headers: [`include/linux/of_reserved_mem.h`](srctree/include/linux/of_reserved_mem.h),
//! [`include/linux/io.h`](srctree/include/linux/io.h)
//!
//! Would be replaced by abstractions over reserved memory and `memremap()` in `rust/kernel`.

use super::{
    cache::{self, Operation},
    vma::Attribute,
};
use core::{mem::MaybeUninit, ptr::NonNull};
use kernel::{
    bindings, c_str,
    device::{property::NArgs, Bound, Device},
    error::to_result,
    ffi::{c_int, c_uint, c_void},
    prelude::*,
};

// `<linux/of_reserved_mem.h>` is not among the headers that the kernel generates bindings for.
extern "C" {
    // `np` is a `struct device_node`.
    fn of_reserved_mem_region_to_resource(
        np: *const c_void,
        idx: c_uint,
        res: *mut bindings::resource,
    ) -> c_int;
}

/// Bytes that are cleared or maintained before other tasks get a chance to run.
const BYTES_PER_TURN: usize = 256 << 10;

/// Where a region lies: what the `memory-region` property of a device names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    /// First physical address.
    pub(crate) start: u64,
    /// Length in bytes.
    pub(crate) bytes: u64,
}

impl Extent {
    /// The address after the last one.
    pub(crate) fn end(self) -> u64 {
        self.start.saturating_add(self.bytes)
    }

    /// Whether the two have an address in common.
    pub(crate) fn overlaps(self, other: Self) -> bool {
        self.start < other.end() && other.start < self.end()
    }

    /// Finds the region that `dev` refers to and checks that the kernel itself keeps off it.
    ///
    /// # Errors
    ///
    /// `EINVAL`, after one message that says what is wrong with the device tree.
    pub(crate) fn of_device(dev: &Device<Bound>) -> Result<Self> {
        let raw: *const Device<Bound> = dev;
        // CAST: `Device` is a transparent wrapper of `struct device`.
        let raw = raw.cast::<bindings::device>();
        // SAFETY: `dev` is a valid device and `of_node` does not change while it is bound.
        let node = unsafe { (*raw).of_node };

        let mut resource = MaybeUninit::<bindings::resource>::zeroed();
        // SAFETY: The function takes any node pointer, null included, and writes only `resource`.
        let found =
            unsafe { of_reserved_mem_region_to_resource(node.cast(), 0, resource.as_mut_ptr()) };
        if let Err(error) = to_result(found) {
            dev_err!(
                dev,
                "memory-region names no available child of /reserved-memory ({}: error {})\n",
                EINVAL.to_errno(),
                error.to_errno()
            );
            return Err(EINVAL);
        }
        // SAFETY: All zeroes is a valid `struct resource`, and so is what the function wrote.
        let resource = unsafe { resource.assume_init() };
        let extent = Self {
            start: resource.start,
            bytes: resource.end.wrapping_sub(resource.start).wrapping_add(1),
        };

        if !extent.is_no_map(dev)? {
            dev_err!(
                dev,
                "region [{:#x}, {:#x}) lacks the no-map property ({})\n",
                extent.start,
                extent.end(),
                EINVAL.to_errno()
            );
            return Err(EINVAL);
        }
        // SAFETY: The function only walks the resource tree, under its own lock.
        let overlap = unsafe {
            bindings::region_intersects(
                extent.start,
                usize::try_from(extent.bytes)?,
                bindings::IORESOURCE_SYSTEM_RAM as usize,
                bindings::IORES_DESC_NONE as usize,
            )
        };
        // CAST: the constants of the C enum are small.
        if overlap != bindings::REGION_DISJOINT as c_int {
            dev_err!(
                dev,
                "region [{:#x}, {:#x}) overlaps memory that the kernel uses ({})\n",
                extent.start,
                extent.end(),
                EINVAL.to_errno()
            );
            return Err(EINVAL);
        }
        Ok(extent)
    }

    /// Whether the reserved-memory node of `dev` has the `no-map` property.
    fn is_no_map(self, dev: &Device<Bound>) -> Result<bool> {
        let args = dev.fwnode().ok_or(EINVAL)?.property_get_reference_args(
            c_str!("memory-region"),
            NArgs::N(0),
            0,
        )?;
        let raw: *const _ = &args;
        // CAST: `FwNodeReferenceArgs` is a transparent wrapper of `struct fwnode_reference_args`.
        let raw = raw.cast::<bindings::fwnode_reference_args>();
        // SAFETY: `args` is initialized and outlives the read.
        let node = unsafe { (*raw).fwnode };
        // SAFETY: `args` owns a reference on the node, the name is a C string.
        Ok(unsafe { bindings::fwnode_property_present(node, c_str!("no-map").as_char_ptr()) })
    }
}

/// A region with its alias: the driver's own write-back mapping of all of it.
///
/// # Invariants
///
/// `alias` is what `memremap()` returned for `extent`, and is valid until drop.
#[derive(Debug)]
pub(crate) struct Region {
    extent: Extent,
    alias: NonNull<u8>,
}

// SAFETY: The alias belongs to the kernel's address space, not to a task.
unsafe impl Send for Region {}
// SAFETY: Shared access goes through `RegionSlice`, whose users own the blocks they touch.
unsafe impl Sync for Region {}

impl Region {
    /// Maps `extent`. Neither reads nor writes a byte of it.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if there is no room in the kernel's address space.
    pub(crate) fn map(extent: Extent) -> Result<Self> {
        // SAFETY: `memremap` checks its arguments; `Extent::of_device` made sure that the range is
        // not System RAM, for which it would return the linear map.
        let alias = unsafe {
            bindings::memremap(
                extent.start,
                usize::try_from(extent.bytes)?,
                bindings::MEMREMAP_WB as usize,
            )
        };
        // INVARIANT: Just mapped.
        Ok(Self {
            extent,
            alias: NonNull::new(alias.cast()).ok_or(ENOMEM)?,
        })
    }

    /// Where the region lies.
    pub(crate) fn extent(&self) -> Extent {
        self.extent
    }

    /// The part of the alias for `bytes` bytes from physical address `start` on.
    ///
    /// # Errors
    ///
    /// `EFAULT` if that is not within the region.
    pub(crate) fn slice(&self, start: u64, bytes: u64) -> Result<RegionSlice<'_>> {
        let offset = start.checked_sub(self.extent.start).ok_or(EFAULT)?;
        if offset > self.extent.bytes || bytes > self.extent.bytes - offset {
            return Err(EFAULT);
        }
        // INVARIANT: Checked just now.
        Ok(RegionSlice {
            region: self,
            offset: usize::try_from(offset)?,
            bytes: usize::try_from(bytes)?,
        })
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: By the type invariant `memremap` returned this, and nothing borrows it any more.
        unsafe { bindings::memunmap(self.alias.as_ptr().cast()) };
    }
}

/// A checked part of a region.
///
/// # Invariants
///
/// `offset + bytes` does not exceed the length of the region.
#[derive(Debug)]
pub(crate) struct RegionSlice<'a> {
    region: &'a Region,
    offset: usize,
    bytes: usize,
}

impl RegionSlice<'_> {
    fn as_ptr(&self) -> *mut u8 {
        // SAFETY: By the type invariant the offset is within the mapping.
        unsafe { self.region.alias.as_ptr().add(self.offset) }
    }

    /// The physical address of the first byte.
    pub(crate) fn phys_addr(&self) -> u64 {
        // CAST: usize is 64 bits on arm64. In range: the slice is within the region.
        self.region.extent.start.saturating_add(self.offset as u64)
    }

    /// How many bytes there are.
    pub(crate) fn bytes(&self) -> u64 {
        // CAST: usize is 64 bits on arm64.
        self.bytes as u64
    }

    /// The parts between multiples of `bytes`, a power of two, in order.
    pub(crate) fn turns(&self, bytes: usize) -> impl Iterator<Item = Self> + '_ {
        let end = self.offset.saturating_add(self.bytes);
        let mut offset = self.offset;
        core::iter::from_fn(move || {
            let left = end.checked_sub(offset).filter(|left| *left != 0)?;
            let room = bytes.saturating_sub(offset & bytes.saturating_sub(1));
            // INVARIANT: A part of this slice.
            let turn = Self {
                region: self.region,
                offset,
                bytes: room.min(left),
            };
            offset = offset.saturating_add(turn.bytes);
            Some(turn)
        })
    }

    /// Fills the bytes with zeroes and maintains their lines: the zeroes are in memory after
    /// [`cache::barrier`].
    ///
    /// The caller owns the blocks: nobody else reads or writes them.
    pub(crate) fn zero(&self, operation: Operation) {
        for turn in self.turns(BYTES_PER_TURN) {
            turn.zero_at_once(operation);
            cache::resched();
        }
    }

    /// As [`Self::zero`], without letting other tasks run.
    pub(crate) fn zero_at_once(&self, operation: Operation) {
        // SAFETY: By the type invariants the range is within the write-back mapping, and the caller owns
        // it.
        let done = unsafe { cache::zero(operation, self.as_ptr() as usize, self.bytes) };
        if !done {
            self.fill_at_once(0);
            self.maintain_at_once(operation);
        }
    }

    /// Fills every byte with `byte` through the cache.
    ///
    /// The caller owns the blocks: nobody else reads or writes them.
    pub(crate) fn fill(&self, byte: u8) {
        for turn in self.turns(BYTES_PER_TURN) {
            turn.fill_at_once(byte);
            cache::resched();
        }
    }

    fn fill_at_once(&self, byte: u8) {
        // SAFETY: By the type invariants the range is within the mapping, and the caller owns it.
        unsafe { self.as_ptr().write_bytes(byte, self.bytes) };
    }

    /// Physical address and value of the first byte that is not `byte`.
    pub(crate) fn first_other_than(&self, byte: u8) -> Option<(u64, u8)> {
        // SAFETY: By the type invariant these bytes are within the alias.
        let found =
            unsafe { bindings::memchr_inv(self.as_ptr().cast(), c_int::from(byte), self.bytes) };
        let found = NonNull::new(found.cast::<u8>())?;
        // SAFETY: `memchr_inv` found it within the alias. A device may write to it at any time.
        let value = unsafe { found.read_volatile() };
        let past = (found.as_ptr() as usize).saturating_sub(self.region.alias.as_ptr() as usize);
        // CAST: usize is 64 bits on arm64.
        Some((self.region.extent.start.saturating_add(past as u64), value))
    }

    /// Copies the bytes to `buffer` or, to `write`, from it, in the way in which user space maps them.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if there is no room in the kernel's address space.
    ///
    /// # Safety
    ///
    /// `buffer` is valid for reads and writes of as many bytes.
    pub(super) unsafe fn copy(&self, buffer: *mut u8, write: bool, attribute: Attribute) -> Result {
        match attribute {
            Attribute::Cached => {
                // SAFETY: The caller vouches for `buffer`, and by the type invariants these bytes
                // are within the alias.
                unsafe { copy(self.as_ptr(), buffer, self.bytes, write) };
                Ok(())
            }
            Attribute::WriteCombine => {
                // The alias must stay off these lines.
                let window = Window::map(self)?;
                // SAFETY: As above, within the window.
                unsafe { copy(window.start.as_ptr(), buffer, self.bytes, write) };
                Ok(())
            }
        }
    }

    /// Maintains every cache line that the bytes touch and returns how many. The effect is complete
    /// after [`cache::barrier`].
    pub(crate) fn maintain(&self, operation: Operation) -> u64 {
        if self.bytes <= BYTES_PER_TURN {
            return self.maintain_at_once(operation);
        }
        self.maintain_in_turns(operation)
    }

    // Not inlined: what it keeps in registers would be felt in a short sync.
    #[inline(never)]
    fn maintain_in_turns(&self, operation: Operation) -> u64 {
        let mut lines = 0u64;
        for turn in self.turns(BYTES_PER_TURN) {
            if lines != 0 {
                cache::resched();
            }
            lines = lines.saturating_add(turn.maintain_at_once(operation));
        }
        lines
    }

    /// As [`Self::maintain`], without letting other tasks run.
    fn maintain_at_once(&self, operation: Operation) -> u64 {
        // SAFETY: By the type invariants the range is within the write-back mapping, and so are the
        // whole lines, because regions begin and end at page boundaries.
        unsafe { cache::maintain(operation, self.as_ptr() as usize, self.bytes) }
    }
}

/// Copies `bytes` bytes from `memory` to `buffer` or, to `write`, the other way.
///
/// # Safety
///
/// Both are valid for reads and writes of as many bytes, and do not overlap.
unsafe fn copy(memory: *mut u8, buffer: *mut u8, bytes: usize, write: bool) {
    let (from, to) = if write {
        (buffer, memory)
    } else {
        (memory, buffer)
    };
    // SAFETY: By the contract of this function.
    unsafe { from.copy_to_nonoverlapping(to, bytes) };
}

/// A write-combine mapping of part of a region, for a moment.
///
/// # Invariants
///
/// `start` lies in the first page of what `memremap()` returned, which is valid until drop.
struct Window {
    start: NonNull<u8>,
}

impl Window {
    fn map(slice: &RegionSlice<'_>) -> Result<Self> {
        // SAFETY: `memremap` checks its arguments and takes any address, not only of pages.
        let start = unsafe {
            bindings::memremap(
                slice.phys_addr(),
                slice.bytes,
                bindings::MEMREMAP_WC as usize,
            )
        };
        // INVARIANT: Just mapped.
        Ok(Self {
            start: NonNull::new(start.cast()).ok_or(ENOMEM)?,
        })
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        // SAFETY: By the type invariant `memremap` returned this, and nothing borrows it any more.
        unsafe { bindings::memunmap(self.start.as_ptr().cast()) };
    }
}
