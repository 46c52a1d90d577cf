// SPDX-License-Identifier: GPL-2.0

//! A buffer: the blocks of one allocation, from then until nothing refers to them.
//!
//! References are handles, VMAs and syncs in progress. The last one to go, in whatever context,
//! returns the blocks.

use crate::{
    kapi::{
        cache::{self, Operation},
        vma::{Attribute, PfnMapped, VmOperations},
    },
    pool::Pool,
    shared::{abi, block_map::BlockRange},
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{Atomic, Relaxed},
        Arc,
    },
};

/// What the buffers allocated through one open file add up to.
pub(crate) struct Usage {
    buffers: Atomic<i64>,
    bytes: Atomic<i64>,
}

impl Usage {
    /// No buffers.
    pub(crate) fn new() -> Self {
        Self {
            buffers: Atomic::new(0),
            bytes: Atomic::new(0),
        }
    }

    /// Live buffers.
    pub(crate) fn buffers(&self) -> i64 {
        self.buffers.load(Relaxed)
    }

    /// Bytes in their blocks.
    pub(crate) fn bytes(&self) -> i64 {
        self.bytes.load(Relaxed)
    }

    fn change(&self, buffers: i64, bytes: u64) {
        self.buffers.add(buffers, Relaxed);
        // CAST: the bytes of a region are far below 2^63.
        self.bytes
            .add((bytes as i64).saturating_mul(buffers), Relaxed);
    }
}

/// Blocks that are allocated as long as the buffer lives.
pub(crate) struct Buffer {
    pool: Arc<Pool>,
    blocks: BlockRange,
    flags: u32,
    usage: Arc<Usage>,
}

impl Buffer {
    /// A buffer of `blocks`, just allocated from `pool`. `flags` are `BUFFER_*` bits.
    pub(crate) fn new(pool: Arc<Pool>, blocks: BlockRange, flags: u32, usage: Arc<Usage>) -> Self {
        let buffer = Self {
            pool,
            blocks,
            flags,
            usage,
        };
        buffer.usage.change(1, buffer.bytes());
        buffer
    }

    /// The pool that the blocks belong to.
    pub(crate) fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// The blocks.
    pub(crate) fn blocks(&self) -> BlockRange {
        self.blocks
    }

    /// `BUFFER_*` bits.
    pub(crate) fn flags(&self) -> u32 {
        self.flags
    }

    /// Length in bytes, whole blocks.
    pub(crate) fn bytes(&self) -> u64 {
        self.pool.bytes_of(self.blocks)
    }

    /// First physical address.
    pub(crate) fn phys_addr(&self) -> u64 {
        self.pool.phys_addr_of(self.blocks)
    }

    /// First address as the FPGA uses it. The ports of ZynqMP put physical addresses on the bus,
    /// and its SMMU is off.
    pub(crate) fn device_addr(&self) -> u64 {
        self.phys_addr()
    }

    /// Offset of the first byte for mmap.
    pub(crate) fn mmap_offset(&self) -> u64 {
        self.pool.mmap_offset_of(self.phys_addr())
    }

    /// How the CPU maps the buffer.
    pub(crate) fn attribute(&self) -> Attribute {
        if self.flags & abi::BUFFER_WRITE_COMBINE != 0 {
            Attribute::WriteCombine
        } else {
            Attribute::Cached
        }
    }

    /// Fills the buffer with zeroes, in memory too. Nothing maps it yet.
    ///
    /// Before a write-combine mapping exists, the lines of the alias must be gone from the caches.
    pub(crate) fn clear(&self) -> Result {
        let operation = match self.attribute() {
            Attribute::Cached => Operation::Clean,
            Attribute::WriteCombine => Operation::CleanInvalidate,
        };
        let slice = self.pool.region().slice(self.phys_addr(), self.bytes())?;
        slice.zero();
        slice.maintain(operation);
        cache::barrier();
        Ok(())
    }

    /// Maintains `len` bytes from `offset` on and returns the number of cache lines. The effect is
    /// complete after [`cache::barrier`].
    ///
    /// A coherent port snoops the caches, and write-combine mappings bypass them: both need the
    /// barrier alone.
    ///
    /// # Errors
    ///
    /// `EFAULT` if the range leaves the buffer.
    pub(crate) fn sync(&self, offset: u64, len: u64, operation: Operation) -> Result<u64> {
        if self.flags & (abi::BUFFER_COHERENT | abi::BUFFER_WRITE_COMBINE) != 0 {
            return Ok(0);
        }
        let start = self.phys_addr().checked_add(offset).ok_or(EFAULT)?;
        Ok(self.pool.region().slice(start, len)?.maintain(operation))
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.attribute() == Attribute::WriteCombine {
            // The alias may have been read ahead of time while user space wrote past the caches.
            if let Ok(slice) = self.pool.region().slice(self.phys_addr(), self.bytes()) {
                slice.maintain(Operation::CleanInvalidate);
                cache::barrier();
            }
        }
        self.usage.change(-1, self.bytes());
        self.pool.release(self.blocks);
    }
}

static VM_OPERATIONS: VmOperations<Buffer> = VmOperations::new();

impl PfnMapped for Buffer {
    fn vm_operations() -> &'static VmOperations<Self> {
        &VM_OPERATIONS
    }

    fn vma_added(&self) {
        self.pool.count_vma(self.blocks, true);
    }

    fn vma_removed(&self) {
        self.pool.count_vma(self.blocks, false);
    }
}
