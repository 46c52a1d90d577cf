// SPDX-License-Identifier: GPL-2.0

//! Poison: what builds with debug assertions fill free blocks with, to catch who writes to them.
//!
//! No sanitizer of the kernel watches a region that the kernel does not map. So a block is filled
//! before it becomes free and looked at when it is allocated again: what has changed meanwhile was
//! written by a device, or by a mapping that should not exist. Other builds do nothing.

use crate::{
    kapi::{
        cache::{self, Operation},
        region::RegionSlice,
    },
    shared::block_map::BlockRange,
};
use kernel::{new_mutex, prelude::*, sync::Mutex};

/// Whether free blocks are poisoned.
const ENABLED: bool = cfg!(debug_assertions);
/// The byte that free blocks are full of.
const BYTE: u8 = 0xdb;

/// Which blocks are full of poison, and who had them before.
#[pin_data]
pub(crate) struct Poison {
    /// By block: the process that had allocated it, or `None` if it was not filled since.
    #[pin]
    former: Mutex<KVVec<Option<i32>>>,
}

/// A byte of a free block that has changed.
pub(crate) struct Damage {
    /// Physical address of the first one.
    pub(crate) phys_addr: u64,
    /// What it is now.
    pub(crate) byte: u8,
    /// The process that had allocated its block last.
    pub(crate) former: i32,
}

impl Poison {
    /// No block has been filled.
    pub(crate) fn new(nr_blocks: u32) -> impl PinInit<Self, Error> {
        // CAST: usize is 64 bits on arm64.
        let count = if ENABLED { nr_blocks as usize } else { 0 };
        try_pin_init!(Self {
            former <- new_mutex!(KVVec::from_elem(None, count, GFP_KERNEL)?, "fpgamem::Poison"),
        })
    }

    /// Fills blocks that are about to become free; `slice` is their memory, `pid` the process that
    /// had allocated them.
    ///
    /// Takes long under the pool's lock, which only builds with debug assertions can afford.
    pub(crate) fn fill(&self, slice: &RegionSlice<'_>, blocks: BlockRange, pid: i32) {
        if !ENABLED {
            return;
        }
        slice.fill(BYTE);
        slice.maintain(Operation::CleanInvalidate);
        cache::barrier();
        self.set(blocks, Some(pid));
    }

    /// Looks at blocks that have just been allocated, the memory of each of which `slice_of` gives,
    /// and tells the first damage.
    pub(crate) fn check<'a>(
        &self,
        blocks: BlockRange,
        slice_of: impl Fn(u32) -> Result<RegionSlice<'a>>,
    ) -> Option<Damage> {
        if !ENABLED {
            return None;
        }
        let damage = (blocks.start()..blocks.end()).find_map(|block| {
            // CAST: usize is 64 bits on arm64.
            let former = (*self.former.lock().get(block as usize)?)?;
            let slice = slice_of(block).ok()?;
            // What a device wrote is not in the caches.
            slice.maintain(Operation::CleanInvalidate);
            cache::barrier();
            let (phys_addr, byte) = slice.first_other_than(BYTE)?;
            Some(Damage {
                phys_addr,
                byte,
                former,
            })
        });
        self.set(blocks, None);
        damage
    }

    fn set(&self, blocks: BlockRange, pid: Option<i32>) {
        let mut former = self.former.lock();
        // CAST: usize is 64 bits on arm64.
        let range = blocks.start() as usize..blocks.end() as usize;
        if let Some(blocks) = former.get_mut(range) {
            blocks.fill(pid);
        }
    }
}
