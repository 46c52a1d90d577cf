// SPDX-License-Identifier: GPL-2.0

//! A pool: one region, and who has which blocks of it.

mod scrubbing;

use crate::{
    blocks,
    buffer::{Buffer, Client},
    debug::Counters,
    kapi::{
        cache::Operation,
        dmem::Accounting,
        region::{Extent, Region, RegionSlice},
        task, trace,
    },
    limit::Charge,
    poison::Poison,
    shared::{
        abi,
        block_map::{Alignment, BlockRange},
        scrub_map::ScrubMap,
    },
    state::{Entry, Home, Owner, Record, Released, State, Taken},
    status::Slot,
};
use kernel::{
    new_condvar, new_mutex, new_spinlock,
    prelude::*,
    rbtree::RBTreeNodeReservation,
    str::CString,
    sync::{
        atomic::{Atomic, Relaxed},
        lock::{mutex::MutexBackend, Guard},
        Arc, CondVar, Mutex, SpinLock, UniqueArc,
    },
    time::{Instant, Monotonic},
};

/// Bytes in a huge page. A buffer as long as this is aligned to it, where there is room, and offsets for
/// mmap are congruent to physical addresses modulo this.
const HUGE_BYTES: u64 = 2 << 20;
/// Most milliseconds that an allocation waits for quarantined blocks.
const MAX_WAIT_MS: u32 = 2000;
/// Milliseconds after which a waiting allocation looks whether a buffer has been freed meanwhile.
const LOOK_AGAIN_MS: u32 = 50;

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
    /// The VMA that it is for, if the mmap hook asks.
    pub(crate) home: Option<Home>,
}

/// One region and what is allocated in it.
#[pin_data]
pub(crate) struct Pool {
    region: Region,
    block_shift: u32,
    /// How long blocks are quarantined; 0 for never.
    quarantine_ms: Atomic<u32>,
    /// Until the pool is retired.
    #[pin]
    accounting: Mutex<Option<Arc<Accounting>>>,
    #[pin]
    state: Mutex<State>,
    /// Memory for the record of the next buffer, if one has gone.
    #[pin]
    spare: Mutex<Option<RBTreeNodeReservation<u32, Entry>>>,
    /// Blocks were freed that nobody scrubs.
    #[pin]
    freed: CondVar,
    /// Held while a part of a run is being scrubbed: what of the run comes before the blocks that an allocation
    /// has taken since.
    #[pin]
    scrub_turn: SpinLock<Option<BlockRange>>,
    #[pin]
    poison: Poison,
    /// What debugfs shows.
    pub(crate) counters: Counters,
}

impl Pool {
    /// Maps the region and makes all of it free. Writes no byte of it.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if the kernel's memory or address space is exhausted.
    pub(crate) fn new(extent: Extent, block_shift: u32, quarantine_ms: u32) -> Result<Arc<Self>> {
        let nr_blocks = u32::try_from(extent.bytes >> block_shift).map_err(|_| EINVAL)?;
        let map = blocks::free_map(nr_blocks, extent.start >> block_shift)?;
        let words = || blocks::zeroes(nr_blocks.div_ceil(u64::BITS) as usize);
        let scrub = ScrubMap::new(words()?, words()?, nr_blocks).map_err(|_| EINVAL)?;
        let region = Region::map(extent)?;
        let name = CString::try_from_fmt(fmt!("fpgamem/{:x}", extent.start))?;
        let accounting = Accounting::register(&name, extent.bytes)?;
        Arc::pin_init(
            try_pin_init!(Self {
                region,
                block_shift,
                quarantine_ms: Atomic::new(quarantine_ms),
                accounting <- new_mutex!(Some(accounting), "fpgamem::Pool::accounting"),
                state <- new_mutex!(State::new(map, scrub), "fpgamem::Pool"),
                spare <- new_mutex!(None, "fpgamem::Pool::spare"),
                freed <- new_condvar!("fpgamem::Pool::freed"),
                scrub_turn <- new_spinlock!(None, "fpgamem::Pool::scrub_turn"),
                poison <- Poison::new(nr_blocks),
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

    /// Milliseconds that blocks are quarantined; 0 for never.
    pub(crate) fn quarantine_ms(&self) -> u32 {
        self.quarantine_ms.load(Relaxed)
    }

    /// Changes how long blocks are quarantined, those that are so already included.
    pub(crate) fn set_quarantine_ms(&self, milliseconds: u32) {
        self.quarantine_ms.store(milliseconds, Relaxed);
    }

    /// Locks the state, in which no quarantine is over that has not ended.
    fn lock(&self) -> Guard<'_, State, MutexBackend> {
        let mut state = self.state.lock();
        let ended = state.end_quarantines(self.quarantine_ms(), |record| self.poison(record));
        if ended != 0 {
            self.counters.quarantine_expired.add(ended);
            self.counters.frees.add(ended);
            self.freed.notify_one();
        }
        state
    }

    /// The device is quiet: ends every quarantine.
    pub(crate) fn quiet(&self) {
        let mut state = self.lock();
        let ended = state.end_quarantines(0, |record| self.poison(record));
        drop(state);
        self.counters.quarantine_quieted.add(ended);
        self.counters.frees.add(ended);
        self.freed.notify_one();
    }

    /// Ends the pool if every block is free; from then on none can be allocated. Tells whether it
    /// did.
    pub(crate) fn retire(&self) -> bool {
        let mut state = self.lock();
        state.retired |= state.is_empty();
        let retired = state.retired;
        drop(state);
        if retired {
            // Another pool may account for the region from now on.
            let accounting = self.accounting.lock().take();
            drop(accounting);
        }
        retired
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
        let base = self.region.extent().start & !(HUGE_BYTES - 1);
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
            .and_then(|past| (extent.start & !(HUGE_BYTES - 1)).checked_add(past))
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
    /// Waits if only quarantined blocks are in the way.
    ///
    /// # Errors
    ///
    /// - `EINVAL` if the length is 0 or exceeds the region, or the alignment is no power of two or
    ///   exceeds 1 GiB.
    /// - `ENOMEM` if no run of free blocks is long enough, or the kernel's memory is exhausted.
    /// - `EINTR` if a fatal signal ends the wait.
    pub(crate) fn alloc(
        self: &Arc<Self>,
        request: Request,
        client: Arc<Client>,
    ) -> Result<Arc<Buffer>> {
        if request.len == 0 || request.len > self.region.extent().bytes {
            return Err(EINVAL);
        }
        let count = u32::try_from(request.len.div_ceil(self.block_bytes())).map_err(|_| EINVAL)?;
        let alignment = self.alignment(request.align)?;
        let bytes = u64::from(count) << self.block_shift;
        let huge = if bytes >= HUGE_BYTES && request.align < HUGE_BYTES {
            self.alignment(HUGE_BYTES).ok()
        } else {
            None
        };

        // All memory is at hand before the lock is taken.
        let place = UniqueArc::<Buffer>::new_uninit(GFP_KERNEL_ACCOUNT)?;
        let slot = client.new_slot();
        let taken = self.alloc_blocks(
            count,
            [huge.unwrap_or(alignment), alignment],
            request,
            slot.as_ref(),
        )?;

        let blocks = taken.blocks;
        self.counters.allocations.add(1);
        if taken.unclean {
            self.keep_scrubber_off(blocks);
        }
        self.look_for_damage(blocks, |block| self.state.lock().record_at(block));
        self.poison.forget(blocks);
        let flags = request.flags;
        let buffer = Buffer::new(self.clone(), blocks, flags, client, slot);
        let buffer = match place.pin_init_with(buffer) {
            Ok(buffer) => buffer,
            Err(never) => match never {},
        };
        self.clear(&taken, flags)?;
        trace::alloc(buffer.phys_addr(), buffer.bytes(), flags);
        Ok(buffer.into())
    }

    /// Marks a run of blocks allocated, and waits for quarantined ones if it must. The first alignment
    /// is the better one.
    fn alloc_blocks(
        &self,
        count: u32,
        alignments: [Alignment; 2],
        request: Request,
        slot: Option<&Slot>,
    ) -> Result<Taken> {
        let record = |blocks| Record {
            blocks,
            flags: request.flags,
            owner: request.owner,
            vmas: request.home.is_some().into(),
            home: request.home,
            device_owned: false,
        };
        let mut begin = None;
        let limit = i64::from(self.quarantine_ms().min(MAX_WAIT_MS));
        let mut word = slot.map(|slot| (slot.area().clone(), slot.index()));
        let spare = self.spare.lock().take();
        let mut node = match spare {
            Some(node) => node,
            None => RBTreeNodeReservation::new(GFP_KERNEL_ACCOUNT)?,
        };
        let bytes = u64::from(count) << self.block_shift;
        let mut charge = None;
        loop {
            let over_limit = match self.charge(bytes, &mut charge) {
                Err(error) if error == EAGAIN => {
                    // What is in quarantine is charged too, until somebody looks.
                    drop(self.lock());
                    match self.charge(bytes, &mut charge) {
                        Err(error) if error == EAGAIN => true,
                        result => result.map(|()| false)?,
                    }
                }
                result => result.map(|()| false)?,
            };
            let mut state = self.lock();
            if state.retired {
                return Err(ENODEV);
            }
            if !over_limit {
                // A change of the index is the longest hold there is: others come in between two of them.
                if state.settle_unless(count) {
                    continue;
                }
                match state.alloc(count, alignments, node, word, charge, record) {
                    Ok(taken) => return Ok(taken),
                    Err(back) => (node, word, charge) = (back.node, back.word, back.charge),
                }
            }
            let could_fit = state.map().nr_free().saturating_add(state.nr_quarantined()) >= count;
            let expiry = state
                .next_expiry_ms(self.quarantine_ms())
                .filter(|_| could_fit);
            drop(state);

            let begin: &Instant<Monotonic> = begin.get_or_insert_with(Instant::now);
            let left = limit.saturating_sub(begin.elapsed().as_nanos() / 1_000_000);
            let Some(expiry) = expiry.filter(|_| left > 0) else {
                self.counters.failures.add(1);
                return Err(ENOMEM);
            };
            let left = u32::try_from(left)?;
            task::sleep_killable(expiry.min(left).min(LOOK_AGAIN_MS))?;
        }
    }

    /// The memory of `blocks`.
    fn memory_of(&self, blocks: BlockRange) -> Result<RegionSlice<'_>> {
        self.region
            .slice(self.phys_addr_of(blocks), self.bytes_of(blocks))
    }

    /// Charges the caller's cgroup and the caller, unless that is done already.
    ///
    /// # Errors
    ///
    /// - `EAGAIN` if that exceeds a limit.
    /// - `ENODEV` if the pool is retired.
    /// - `ENOMEM` if the kernel's memory is exhausted.
    fn charge(&self, bytes: u64, charge: &mut Option<Charge>) -> Result {
        if charge.is_none() {
            let accounting = self.accounting.lock().clone().ok_or(ENODEV)?;
            *charge = Some(Charge::new(accounting, bytes)?);
        }
        Ok(())
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
        Alignment::new(blocks).ok_or(EINVAL)
    }

    /// Takes blocks back; their buffer is being dropped. `suspect` if the device may still write to
    /// them for another reason than that an ioctl said so.
    pub(crate) fn release(&self, blocks: BlockRange, suspect: bool) {
        let may_quarantine = self.quarantine_ms() != 0;
        let mut state = self.state.lock();
        let (released, stage, node) =
            state.release(blocks, may_quarantine, suspect, |r| self.poison(r));
        drop(state);
        self.freed.notify_one();
        drop(stage);
        if let Some(node) = node {
            let spare = node.into_reservation();
            let surplus = self.spare.lock().replace(spare);
            drop(surplus);
        }
        match released {
            Released::Free => {
                self.counters.frees.add(1);
                trace::free(self.phys_addr_of(blocks), self.bytes_of(blocks));
            }
            Released::Quarantined => {
                self.counters.quarantined.add(1);
                trace::quarantine(self.phys_addr_of(blocks), self.bytes_of(blocks));
            }
            Released::Corrupt => pr_err!(
                "blocks [{}, {}) were not allocated when their buffer went\n",
                blocks.start(),
                blocks.end()
            ),
        }
    }

    /// Comes before the blocks of `record` become free.
    fn poison(&self, record: &Record) {
        let blocks = record.blocks;
        if let Ok(memory) = self.memory_of(blocks) {
            self.poison.fill(&memory, blocks, record.owner.pid);
        }
    }

    /// Says in the log if free blocks that are about to be used were written to.
    fn look_for_damage(&self, blocks: BlockRange, record_at: impl FnOnce(u32) -> Option<Record>) {
        let memory_of = |block| self.memory_of(BlockRange::new(block, 1).ok_or(EINVAL)?);
        let Some(damage) = self.poison.check(blocks, memory_of) else {
            return;
        };
        pr_err!(
            "BUG: free memory at {:#x} was written, first byte {:#04x}; process {} had it last\n",
            damage.phys_addr,
            damage.byte,
            damage.former
        );
        let before = damage.block.checked_sub(1);
        let before = before.filter(|block| !blocks.contains(*block));
        if let Some(before) = before.and_then(record_at) {
            pr_err!(
                "the buffer before it, [{:#x}, {:#x}), belongs to process {}\n",
                self.phys_addr_of(before.blocks),
                self.phys_addr_of(blocks),
                before.owner.pid
            );
        }
    }

    /// Changes the record of a live buffer.
    fn update(&self, blocks: BlockRange, change: impl FnOnce(&mut Record)) {
        if let Some(record) = self.state.lock().record_mut(blocks.start()) {
            change(record);
        }
    }

    /// Counts a VMA over a buffer that came, and remembers where it is if that is told.
    pub(crate) fn add_vma(&self, blocks: BlockRange, home: Option<Home>) {
        self.update(blocks, |record| {
            record.vmas = record.vmas.saturating_add(1);
            record.home = home.or(record.home);
        });
    }

    /// Counts a VMA over a buffer that went.
    pub(crate) fn remove_vma(&self, blocks: BlockRange) {
        self.update(blocks, |record| {
            record.vmas = record.vmas.saturating_sub(1);
        });
    }

    /// Remembers whether the device may access a buffer.
    pub(crate) fn set_device_owned(&self, blocks: BlockRange, owned: bool) {
        self.update(blocks, |record| record.device_owned = owned);
    }

    /// Counts ranges that user space had maintained, and the lines in them.
    pub(crate) fn count_sync(&self, operation: Operation, calls: u64, lines: u64) {
        let counters = &self.counters;
        match operation {
            Operation::Clean => {
                counters.flush_calls.add(calls);
                counters.flush_lines.add(lines);
            }
            Operation::CleanInvalidate => {
                counters.invalidate_calls.add(calls);
                counters.invalidate_lines.add(lines);
            }
        }
    }

    /// Runs `look` with what the lock protects. `look` must not drop buffers.
    pub(crate) fn with_state<R>(&self, look: impl FnOnce(&State) -> R) -> R {
        look(&self.lock())
    }

    /// Fills in what the INFO ioctl says of the pool.
    pub(crate) fn describe(&self, info: &mut abi::Info) {
        let mut state = self.lock();
        let largest = state.largest_free();
        info.free_bytes = u64::from(state.map().nr_free()) << self.block_shift;
        info.quarantined_bytes = u64::from(state.nr_quarantined()) << self.block_shift;
        info.nr_buffers = state.nr_buffers();
        drop(state);
        info.quarantine_ms = self.quarantine_ms();

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
