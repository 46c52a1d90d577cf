// SPDX-License-Identifier: GPL-2.0

//! A buffer: the blocks of one allocation, from then until nothing refers to them.
//!
//! References are handles, VMAs and syncs in progress. The last one to go, in whatever context,
//! returns the blocks, or quarantines them if the device may still write to them.

use crate::{
    kapi::{
        cache::{self, Operation},
        region::RegionSlice,
        task, trace,
        vma::{Attribute, PfnMapped, VmOperations},
    },
    pool::Pool,
    shared::{abi, block_map::BlockRange},
    status::{Area, Slot},
};
use kernel::{
    mm::virt::VmaNew,
    new_mutex,
    prelude::*,
    sync::{
        atomic::{Atomic, Relaxed},
        lock::{mutex::MutexBackend, Guard},
        Arc, Mutex,
    },
};

/// What an open file and the buffers allocated through it share, whichever lives longer.
#[pin_data]
pub(crate) struct Client {
    buffers: Atomic<i64>,
    bytes: Atomic<i64>,
    /// Made by the first call that maps it, and never replaced.
    #[pin]
    area: Mutex<Option<Arc<Area>>>,
}

impl Client {
    /// No buffers.
    pub(crate) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                buffers: Atomic::new(0),
                bytes: Atomic::new(0),
                area <- new_mutex!(None, "fpgamem::Client"),
            }),
            GFP_KERNEL_ACCOUNT,
        )
    }

    /// Maps the status area, which is made if there is none.
    ///
    /// # Errors
    ///
    /// - `EINVAL` if the VMA is longer than the area, or than an area may be.
    /// - `ENOMEM` if the kernel's memory is exhausted.
    pub(crate) fn map_area(&self, vma: &VmaNew) -> Result {
        let mut area = self.area.lock();
        if let Some(area) = &*area {
            return area.map(vma);
        }
        // CAST: usize is 64 bits on arm64.
        let new = Area::new((vma.end() - vma.start()) as u64)?;
        new.map(vma)?;
        *area = Some(new);
        Ok(())
    }

    /// A word for a new buffer; `None` without a status area, or if that is full.
    pub(crate) fn new_slot(&self) -> Option<Slot> {
        Slot::new(self.area.lock().as_ref()?)
    }

    /// Whether user space says which buffers the device may access.
    fn says_owners(&self) -> bool {
        self.area.lock().is_some()
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
#[pin_data(PinnedDrop)]
pub(crate) struct Buffer {
    pool: Arc<Pool>,
    blocks: BlockRange,
    flags: u32,
    client: Arc<Client>,
    /// The word in which user space says that the device may access the buffer.
    slot: Option<Slot>,
    /// Not 0 once a stranger has taken down a mapping, as one does who inspected a process that died.
    orphaned: Atomic<u32>,
    /// Held where pages are entered into a table.
    #[pin]
    tables: Mutex<()>,
}

impl Buffer {
    /// A buffer of `blocks`, just allocated from `pool`. `flags` are `BUFFER_*` bits.
    pub(crate) fn new(
        pool: Arc<Pool>,
        blocks: BlockRange,
        flags: u32,
        client: Arc<Client>,
        slot: Option<Slot>,
    ) -> impl PinInit<Self> {
        client.change(1, pool.bytes_of(blocks));
        pin_init!(Self {
            pool,
            blocks,
            flags,
            client,
            slot,
            orphaned: Atomic::new(0),
            tables <- new_mutex!((), "fpgamem::Buffer"),
        })
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

    /// Index of its word in the status area of the file that allocated it.
    pub(crate) fn status_slot(&self) -> u32 {
        self.slot.as_ref().map_or(abi::NO_SLOT, Slot::index)
    }

    /// Remembers whether the device may access the buffer.
    pub(crate) fn set_device_owned(&self, owned: bool) {
        self.pool.set_device_owned(self.blocks, owned);
    }

    /// Whether the device may still write to the buffer, whose last reference goes now, as far as
    /// its process has or has not said.
    fn is_suspect(&self) -> bool {
        if self.slot.as_ref().is_some_and(Slot::says_device) {
            return true;
        }
        (self.orphaned.load(Relaxed) != 0 || task::cleans_up_after_a_crash())
            && !self.client.says_owners()
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
        let start = self.phys_addr().checked_add(offset).ok_or(EFAULT)?;
        let lines = self.maintain(start, len, operation)?;
        let invalidate = operation == Operation::CleanInvalidate;
        trace::sync(start, len, lines, invalidate);
        Ok(lines)
    }

    fn maintain(&self, start: u64, len: u64, operation: Operation) -> Result<u64> {
        let slice = self.pool.region().slice(start, len)?;
        if self.flags & (abi::BUFFER_COHERENT | abi::BUFFER_WRITE_COMBINE) != 0 {
            return Ok(0);
        }
        Ok(slice.maintain(operation))
    }
}

#[pinned_drop]
impl PinnedDrop for Buffer {
    fn drop(self: Pin<&mut Self>) {
        if self.attribute() == Attribute::WriteCombine {
            // The alias may have been read ahead of time while user space wrote past the caches.
            if let Ok(slice) = self.pool.region().slice(self.phys_addr(), self.bytes()) {
                slice.maintain(Operation::CleanInvalidate);
                cache::barrier();
            }
        }
        self.client.change(-1, self.bytes());
        self.pool.release(self.blocks, self.is_suspect());
    }
}

static VM_OPERATIONS: VmOperations<Buffer> = VmOperations::new();

impl PfnMapped for Buffer {
    fn vm_operations() -> &'static VmOperations<Self> {
        &VM_OPERATIONS
    }

    fn attribute(&self) -> Attribute {
        if self.flags & abi::BUFFER_WRITE_COMBINE != 0 {
            Attribute::WriteCombine
        } else {
            Attribute::Cached
        }
    }

    fn memory(&self, offset: u64, len: u64) -> Result<RegionSlice<'_>> {
        let phys_addr = self.pool.phys_addr_at(offset)?;
        self.pool.region().slice(phys_addr, len)
    }

    fn lock_tables(&self) -> Guard<'_, (), MutexBackend> {
        self.tables.lock()
    }

    fn vma_added(&self) {
        self.pool.add_vma(self.blocks, None);
    }

    fn vma_removed(&self, by_stranger: bool) {
        if by_stranger {
            self.orphaned.store(1, Relaxed);
        }
        self.pool.remove_vma(self.blocks);
    }
}
