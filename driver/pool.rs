// SPDX-License-Identifier: GPL-2.0

//! A pool: one region, the map of its blocks, and a record of each live buffer.

use crate::{
    buffer::{Buffer, Usage},
    debug::Counters,
    kapi::region::{Extent, Region},
    shared::{
        abi,
        block_map::{Alignment, BlockMap, BlockRange},
    },
};
use kernel::{
    new_mutex,
    prelude::*,
    rbtree::{RBTree, RBTreeNodeReservation},
    sync::{Arc, Mutex, UniqueArc},
};

/// Offsets for mmap are congruent to physical addresses modulo this, so that a large buffer can be
/// placed where huge pages fit.
const OFFSET_GRANULE: u64 = 2 << 20;

/// Storage of the block map.
pub(crate) struct Words(KVVec<u64>);

impl AsRef<[u64]> for Words {
    fn as_ref(&self) -> &[u64] {
        &self.0
    }
}

impl AsMut<[u64]> for Words {
    fn as_mut(&mut self) -> &mut [u64] {
        &mut self.0
    }
}

/// Where a VMA over a buffer was made: a hint, to be confirmed by a look-up.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Home {
    /// Names the address space; only compared.
    pub(crate) mm: usize,
    /// First address.
    pub(crate) user_addr: usize,
}

/// Who allocated a buffer.
#[derive(Clone, Copy)]
pub(crate) struct Owner {
    /// Number of the open file.
    pub(crate) file: u64,
    /// The handle there, 0 if the buffer was allocated by mmap.
    pub(crate) handle: u32,
    /// The process.
    pub(crate) pid: i32,
}

/// What the pool knows of a live buffer.
#[derive(Clone, Copy)]
pub(crate) struct Record {
    /// Its blocks.
    pub(crate) blocks: BlockRange,
    /// `BUFFER_*` bits.
    pub(crate) flags: u32,
    /// Who allocated it.
    pub(crate) owner: Owner,
    /// VMAs over it.
    pub(crate) vmas: u32,
    /// Where the mmap hook last mapped it.
    pub(crate) home: Option<Home>,
}

/// What is protected by the pool's lock.
pub(crate) struct State {
    map: BlockMap<Words>,
    /// By first block.
    records: RBTree<u32, Record>,
    nr_buffers: u32,
    /// The registry has let go of the pool; another one may own the region.
    retired: bool,
}

impl State {
    /// Blocks that are not allocated.
    pub(crate) fn nr_free(&self) -> u32 {
        self.map.nr_free()
    }

    /// Live buffers.
    pub(crate) fn nr_buffers(&self) -> u32 {
        self.nr_buffers
    }

    /// The live buffers, lowest address first.
    pub(crate) fn records(&self) -> impl Iterator<Item = &Record> {
        self.records.values()
    }

    /// The buffer that `block` belongs to.
    fn record_at(&mut self, block: u32) -> Option<Record> {
        // The cursor goes to the first record at or after the block; the one before may contain it.
        let found = match self.records.cursor_lower_bound(&block) {
            Some(cursor) if *cursor.current().0 == block => Some(*cursor.current().1),
            Some(cursor) => cursor.peek_prev().map(|(_, record)| *record),
            None => self.records.cursor_back().map(|cursor| *cursor.current().1),
        };
        found.filter(|record| record.blocks.start() <= block && block < record.blocks.end())
    }
}

/// What to allocate.
#[derive(Clone, Copy)]
pub(crate) struct Request {
    /// Bytes, rounded up to whole blocks.
    pub(crate) len: u64,
    /// Alignment of the physical address in bytes; 0 for the block size.
    pub(crate) align: u64,
    /// `BUFFER_*` bits.
    pub(crate) flags: u32,
    /// Who asks.
    pub(crate) owner: Owner,
}

/// One region and what is allocated in it.
#[pin_data]
pub(crate) struct Pool {
    region: Region,
    block_shift: u32,
    #[pin]
    state: Mutex<State>,
    /// What debugfs shows.
    pub(crate) counters: Counters,
}

impl Pool {
    /// Maps the region and makes all of it free. Writes no byte of it.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if the kernel's memory or address space is exhausted.
    pub(crate) fn new(extent: Extent, block_shift: u32) -> Result<Arc<Self>> {
        let nr_blocks = u32::try_from(extent.bytes >> block_shift).map_err(|_| EINVAL)?;
        let words = KVVec::from_elem(0, BlockMap::<Words>::words_for(nr_blocks), GFP_KERNEL)?;
        let map = BlockMap::new(Words(words), nr_blocks).map_err(|_| EINVAL)?;
        let region = Region::map(extent)?;
        let state = State {
            map,
            records: RBTree::new(),
            nr_buffers: 0,
            retired: false,
        };
        Arc::pin_init(
            pin_init!(Self {
                region,
                block_shift,
                state <- new_mutex!(state, "fpgamem::Pool"),
                counters: Counters::default(),
            }),
            GFP_KERNEL,
        )
    }

    /// The region.
    pub(crate) fn region(&self) -> &Region {
        &self.region
    }

    /// Bytes in a block.
    pub(crate) fn block_bytes(&self) -> u64 {
        1 << self.block_shift
    }

    /// Blocks in the region.
    pub(crate) fn nr_blocks(&self) -> u32 {
        // CAST: `new` checked that it fits.
        (self.region.extent().bytes >> self.block_shift) as u32
    }

    /// Ends the pool if no block is allocated; from then on none can be. Tells whether it did.
    pub(crate) fn retire(&self) -> bool {
        let mut state = self.state.lock();
        state.retired |= state.nr_buffers == 0;
        state.retired
    }

    /// Bytes in `blocks`.
    pub(crate) fn bytes_of(&self, blocks: BlockRange) -> u64 {
        u64::from(blocks.count()) << self.block_shift
    }

    /// First physical address of `blocks`.
    pub(crate) fn phys_addr_of(&self, blocks: BlockRange) -> u64 {
        // In range: the blocks are within the region.
        self.region
            .extent()
            .start
            .saturating_add(u64::from(blocks.start()) << self.block_shift)
    }

    /// The offset for mmap that stands for a physical address of the region.
    pub(crate) fn mmap_offset_of(&self, phys_addr: u64) -> u64 {
        let base = self.region.extent().start & !(OFFSET_GRANULE - 1);
        // In range: addresses of the region are not below the rounded base.
        abi::MMAP_OFFSET_BASE.saturating_add(phys_addr.saturating_sub(base))
    }

    /// The physical address that an offset for mmap stands for.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the offset stands for none of the region.
    pub(crate) fn phys_addr_at(&self, mmap_offset: u64) -> Result<u64> {
        let extent = self.region.extent();
        mmap_offset
            .checked_sub(abi::MMAP_OFFSET_BASE)
            .and_then(|past| (extent.start & !(OFFSET_GRANULE - 1)).checked_add(past))
            .filter(|phys_addr| *phys_addr >= extent.start && *phys_addr < extent.end())
            .ok_or(EINVAL)
    }

    /// The live buffer that a physical address lies in.
    pub(crate) fn record_at(&self, phys_addr: u64) -> Option<Record> {
        let past = phys_addr.checked_sub(self.region.extent().start)?;
        let block = u32::try_from(past >> self.block_shift).ok()?;
        self.state.lock().record_at(block)
    }

    /// Allocates a buffer. It is zero-filled before anybody else can refer to it.
    ///
    /// # Errors
    ///
    /// - `EINVAL` if the length is 0 or exceeds the region, or the alignment is no power of two or
    ///   exceeds 1 GiB.
    /// - `ENOMEM` if no run of free blocks is long enough, or the kernel's memory is exhausted.
    pub(crate) fn alloc(
        self: &Arc<Self>,
        request: Request,
        usage: Arc<Usage>,
    ) -> Result<Arc<Buffer>> {
        if request.len == 0 || request.len > self.region.extent().bytes {
            return Err(EINVAL);
        }
        let count = u32::try_from(request.len.div_ceil(self.block_bytes())).map_err(|_| EINVAL)?;
        let alignment = self.alignment(request.align)?;

        // All memory is at hand before the lock is taken.
        let place = UniqueArc::<Buffer>::new_uninit(GFP_KERNEL_ACCOUNT)?;
        let node = RBTreeNodeReservation::new(GFP_KERNEL_ACCOUNT)?;

        let mut state = self.state.lock();
        if state.retired {
            return Err(ENODEV);
        }
        let Ok(blocks) = state.map.alloc(count, alignment) else {
            drop(state);
            self.counters.failures.add(1);
            return Err(ENOMEM);
        };
        let record = Record {
            blocks,
            flags: request.flags,
            owner: request.owner,
            vmas: 0,
            home: None,
        };
        state.records.insert(node.into_node(blocks.start(), record));
        state.nr_buffers = state.nr_buffers.saturating_add(1);
        drop(state);

        self.counters.allocations.add(1);
        let buffer = place.write(Buffer::new(self.clone(), blocks, request.flags, usage));
        buffer.clear()?;
        Ok(buffer.into())
    }

    /// The alignment in blocks for one in bytes.
    fn alignment(&self, align: u64) -> Result<Alignment> {
        if align == 0 {
            return Ok(Alignment::ONE);
        }
        if !align.is_power_of_two() || align > abi::MAX_ALIGN {
            return Err(EINVAL);
        }
        let blocks = u32::try_from((align >> self.block_shift).max(1)).map_err(|_| EINVAL)?;
        Alignment::new(blocks, self.phase()).ok_or(EINVAL)
    }

    /// The number of blocks from physical address 0 to the region.
    fn phase(&self) -> u64 {
        self.region.extent().start >> self.block_shift
    }

    /// Takes blocks back; their buffer is being dropped.
    pub(crate) fn release(&self, blocks: BlockRange) {
        let mut state = self.state.lock();
        let node = state.records.remove_node(&blocks.start());
        state.nr_buffers = state.nr_buffers.saturating_sub(1);
        let freed = state.map.free(blocks);
        drop(state);
        drop(node);
        self.counters.frees.add(1);
        if freed.is_err() {
            pr_err!(
                "blocks [{}, {}) were not allocated when their buffer went\n",
                blocks.start(),
                blocks.end()
            );
        }
    }

    /// Counts a VMA over a buffer that came or went.
    pub(crate) fn count_vma(&self, blocks: BlockRange, added: bool) {
        if let Some(record) = self.state.lock().records.get_mut(&blocks.start()) {
            record.vmas = if added {
                record.vmas.saturating_add(1)
            } else {
                record.vmas.saturating_sub(1)
            };
        }
    }

    /// Remembers where a buffer was mapped.
    pub(crate) fn set_home(&self, blocks: BlockRange, home: Home) {
        if let Some(record) = self.state.lock().records.get_mut(&blocks.start()) {
            record.home = Some(home);
        }
    }

    /// Runs `look` with what the lock protects. `look` must not drop buffers.
    pub(crate) fn with_state<R>(&self, look: impl FnOnce(&State) -> R) -> R {
        look(&self.state.lock())
    }

    /// Fills in what the INFO ioctl says of the pool.
    pub(crate) fn describe(&self, info: &mut abi::Info) {
        let state = self.state.lock();
        let largest = state.map.largest_free_by_alignment(self.phase());
        info.free_bytes = u64::from(state.map.nr_free()) << self.block_shift;
        info.nr_buffers = state.nr_buffers;
        drop(state);

        let extent = self.region.extent();
        info.phys_addr = extent.start;
        info.device_addr = extent.start;
        info.region_bytes = extent.bytes;
        info.block_bytes = self.block_bytes();
        for (shift, bytes) in (abi::MIN_ALIGN_SHIFT..).zip(info.largest_free_bytes.iter_mut()) {
            // Alignments below the block size count as the block.
            let index = usize::try_from(shift.saturating_sub(self.block_shift)).unwrap_or(0);
            let blocks = largest.get(index).copied().unwrap_or(0);
            *bytes = u64::from(blocks) << self.block_shift;
        }
    }
}
