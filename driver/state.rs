// SPDX-License-Identifier: GPL-2.0

//! What a pool's lock protects: the map of its blocks and a record of each run that is not free.
//!
//! Blocks whose buffer is gone while the device may still write to them keep their record: they are
//! quarantined. The records themselves are the queue of those, oldest first, so that letting go of
//! a buffer needs no memory. Nothing runs by itself when a quarantine ends: whoever looks at the
//! pool next ends what is over.

use crate::{
    blocks::{Map, Storage},
    limit::Charge,
    shared::{
        block_map::{Alignment, BlockRange, NR_ALIGNMENTS},
        scrub_map::ScrubMap,
    },
    status::Area,
};
use kernel::{
    prelude::*,
    rbtree::{RBTree, RBTreeNode, RBTreeNodeReservation},
    sync::Arc,
    time::{Instant, Monotonic},
};

const NANOS_PER_MS: i64 = 1_000_000;

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
    /// An ioctl said that the device may access it.
    pub(crate) device_owned: bool,
}

/// Where a run of blocks stands.
enum Stage {
    /// Its buffer lives, with this word in a status area.
    Live(Option<(Arc<Area>, u32)>),
    /// Its buffer is gone.
    Quarantined {
        since: Instant<Monotonic>,
        /// First block of the run that was quarantined next.
        next: Option<u32>,
    },
}

/// A run of blocks that is not free. What must last until it is, is owned by this value.
pub(crate) struct Entry {
    record: Record,
    stage: Stage,
    /// Goes when the blocks are free.
    _charge: Option<Charge>,
}

/// Who may access a run of blocks, as debugfs shows it.
#[derive(Clone, Copy)]
pub(crate) enum Holder {
    /// The CPU alone.
    Cpu,
    /// The device too, as the process says.
    Device,
    /// The device, perhaps; there is no buffer any more.
    Quarantine,
}

impl Entry {
    /// The run.
    pub(crate) fn record(&self) -> &Record {
        &self.record
    }

    /// Who may access it now.
    pub(crate) fn holder(&self) -> Holder {
        match &self.stage {
            Stage::Quarantined { .. } => Holder::Quarantine,
            Stage::Live(_) if self.record.device_owned => Holder::Device,
            Stage::Live(Some((area, slot))) if area.says_device(*slot) => Holder::Device,
            Stage::Live(_) => Holder::Cpu,
        }
    }

    fn is_live(&self) -> bool {
        matches!(self.stage, Stage::Live(_))
    }
}

/// How [`State::release`] went.
pub(crate) enum Released {
    /// The blocks are free.
    Free,
    /// The blocks are quarantined.
    Quarantined,
    /// The map said that they were not allocated.
    Corrupt,
}

/// What is protected by the pool's lock.
pub(crate) struct State {
    map: Map,
    /// What must be cleared, and what need not be.
    pub(crate) scrub: ScrubMap<Storage<u64>>,
    /// Whether there is a scrubber.
    pub(crate) scrubbed: bool,
    /// By first block.
    entries: RBTree<u32, Entry>,
    nr_buffers: u32,
    nr_quarantined: u32,
    /// First blocks of the runs that were quarantined first and last.
    oldest: Option<u32>,
    newest: Option<u32>,
    /// The registry has let go of the pool; another one may own the region.
    pub(crate) retired: bool,
}

impl State {
    /// All blocks are free.
    pub(crate) fn new(map: Map, scrub: ScrubMap<Storage<u64>>) -> Self {
        Self {
            map,
            scrub,
            scrubbed: false,
            entries: RBTree::new(),
            nr_buffers: 0,
            nr_quarantined: 0,
            oldest: None,
            newest: None,
            retired: false,
        }
    }

    /// The map of the blocks.
    pub(crate) fn map(&self) -> &Map {
        &self.map
    }

    /// Blocks of the longest free run at each alignment.
    pub(crate) fn largest_free(&mut self) -> [u32; NR_ALIGNMENTS] {
        self.map.largest_free_by_alignment()
    }

    /// Live buffers.
    pub(crate) fn nr_buffers(&self) -> u32 {
        self.nr_buffers
    }

    /// Blocks that are quarantined.
    pub(crate) fn nr_quarantined(&self) -> u32 {
        self.nr_quarantined
    }

    /// Blocks that belong to live buffers.
    pub(crate) fn nr_used(&self) -> u32 {
        let taken = self.map.nr_blocks().saturating_sub(self.map.nr_free());
        taken.saturating_sub(self.nr_quarantined)
    }

    /// The runs that are not free, lowest address first.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    /// Whether every block is free.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The live buffer that `block` belongs to.
    pub(crate) fn record_at(&mut self, block: u32) -> Option<Record> {
        // The cursor goes to the first record at or after the block; the one before may contain it.
        let live = |entry: &Entry| entry.is_live().then_some(entry.record);
        let found = match self.entries.cursor_lower_bound(&block) {
            Some(cursor) if *cursor.current().0 == block => live(cursor.current().1),
            Some(cursor) => cursor.peek_prev().and_then(|(_, entry)| live(entry)),
            None => self
                .entries
                .cursor_back()
                .and_then(|cursor| live(cursor.current().1)),
        };
        found.filter(|record| record.blocks.start() <= block && block < record.blocks.end())
    }

    /// The record of a live buffer by its first block.
    pub(crate) fn record_mut(&mut self, start: u32) -> Option<&mut Record> {
        let entry = self.entries.get_mut(&start)?;
        entry.is_live().then_some(&mut entry.record)
    }

    /// Enters blocks that were freed into the index unless `count` may be the same ones, and says whether there
    /// were any. What comes then is for the next hold of the lock.
    pub(crate) fn settle_unless(&mut self, count: u32) -> bool {
        self.map.settle_unless(count)
    }

    /// Allocates `count` blocks, at the better alignment if there is plenty of room, else at the
    /// other. The record is kept in `node`, which is given back if no run of free blocks is long
    /// enough.
    pub(crate) fn alloc(
        &mut self,
        count: u32,
        alignments: [Alignment; 2],
        node: RBTreeNodeReservation<u32, Entry>,
        word: Option<(Arc<Area>, u32)>,
        charge: Option<Charge>,
        record: impl FnOnce(BlockRange) -> Record,
    ) -> Result<Taken, NoRoom> {
        let found = self.map.alloc_preferring(count, alignments);
        let Ok(blocks) = found else {
            return Err(NoRoom { node, word, charge });
        };
        let entry = Entry {
            record: record(blocks),
            stage: Stage::Live(word),
            _charge: charge,
        };
        self.entries.insert(node.into_node(blocks.start(), entry));
        self.nr_buffers = self.nr_buffers.saturating_add(1);
        Ok(Taken {
            blocks,
            unclean: self.scrub.take(blocks),
        })
    }

    /// Marks blocks that were allocated free. Tells whether they were.
    fn free(&mut self, blocks: BlockRange) -> bool {
        let was_allocated = self.map.free(blocks).is_ok();
        if was_allocated {
            self.scrub.free(blocks);
        }
        was_allocated
    }

    /// Takes back the blocks of a buffer that goes: frees them after `before_free`, or quarantines them if `suspect` or
    /// if the device owns them and `may_quarantine`. The other results are to be dropped outside the
    /// lock.
    pub(crate) fn release(
        &mut self,
        blocks: BlockRange,
        may_quarantine: bool,
        suspect: bool,
        before_free: impl FnOnce(&Record),
    ) -> (Released, impl Sized, Option<RBTreeNode<u32, Entry>>) {
        self.nr_buffers = self.nr_buffers.saturating_sub(1);
        let start = blocks.start();
        let mut node = None;
        if let Some(mut found) = self.entries.find_mut(&start) {
            let entry = found.get_mut();
            if may_quarantine && (suspect || entry.record.device_owned) {
                let stage = Stage::Quarantined {
                    since: Instant::now(),
                    next: None,
                };
                let old = core::mem::replace(&mut entry.stage, stage);
                self.nr_quarantined = self.nr_quarantined.saturating_add(blocks.count());
                self.append(start);
                return (Released::Quarantined, Some(old), None);
            }
            before_free(&entry.record);
            node = Some(found.remove_node());
        }
        let released = if self.free(blocks) {
            Released::Free
        } else {
            Released::Corrupt
        };
        (released, None, node)
    }

    /// Makes the run from `start` on the newest one in quarantine.
    fn append(&mut self, start: u32) {
        let before = self.newest.replace(start);
        match before.and_then(|before| self.entries.get_mut(&before)) {
            Some(Entry {
                stage: Stage::Quarantined { next, .. },
                ..
            }) => *next = Some(start),
            _ => self.oldest = Some(start),
        }
    }

    /// How many milliseconds, at least 1, until the oldest run is free, if one lasts `quarantine_ms`.
    pub(crate) fn next_expiry_ms(&self, quarantine_ms: u32) -> Option<u32> {
        let Stage::Quarantined { since, .. } = self.entries.get(&self.oldest?)?.stage else {
            return None;
        };
        let left = nanos(quarantine_ms).saturating_sub(since.elapsed().as_nanos());
        let left = left.saturating_add(NANOS_PER_MS - 1) / NANOS_PER_MS;
        Some(u32::try_from(left.max(1)).unwrap_or(u32::MAX))
    }

    /// Frees, each after `before_free`, the runs that were quarantined `quarantine_ms` ago or earlier,
    /// and counts them.
    pub(crate) fn end_quarantines(
        &mut self,
        quarantine_ms: u32,
        before_free: impl Fn(&Record),
    ) -> u64 {
        let mut ended = 0u64;
        while self.end_oldest(quarantine_ms, &before_free).is_some() {
            ended = ended.saturating_add(1);
        }
        ended
    }

    /// Frees the run that was quarantined first if it is time.
    fn end_oldest(&mut self, quarantine_ms: u32, before_free: impl Fn(&Record)) -> Option<()> {
        let start = self.oldest?;
        let Stage::Quarantined { since, next } = self.entries.get(&start)?.stage else {
            return None;
        };
        if since.elapsed().as_nanos() < nanos(quarantine_ms) {
            return None;
        }
        self.oldest = next;
        if next.is_none() {
            self.newest = None;
        }
        let record = self.entries.remove(&start)?.record;
        before_free(&record);
        let blocks = record.blocks;
        self.nr_quarantined = self.nr_quarantined.saturating_sub(blocks.count());
        // They were allocated: their record has just been removed.
        self.free(blocks);
        Some(())
    }
}

/// What [`State::alloc`] allocated.
pub(crate) struct Taken {
    /// The run.
    pub(crate) blocks: BlockRange,
    /// Whether some of it must be cleared.
    pub(crate) unclean: bool,
}

/// What [`State::alloc`] gives back.
pub(crate) struct NoRoom {
    /// For another try.
    pub(crate) node: RBTreeNodeReservation<u32, Entry>,
    /// As passed.
    pub(crate) word: Option<(Arc<Area>, u32)>,
    /// As passed.
    pub(crate) charge: Option<Charge>,
}

fn nanos(milliseconds: u32) -> i64 {
    i64::from(milliseconds).saturating_mul(NANOS_PER_MS)
}
