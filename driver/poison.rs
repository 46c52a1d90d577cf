// SPDX-License-Identifier: GPL-2.0

//! Poison: what builds with debug assertions fill free blocks with, to catch who writes to them.
//!
//! No sanitizer of the kernel watches a region that the kernel does not map. So a block is filled
//! before it becomes free and looked at when it is scrubbed, and again when it is allocated: what has changed
//! meanwhile was written by a device, or by a mapping that should not exist. Other builds do nothing.

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

/// What a free block is full of, and the process that had allocated it.
#[derive(Clone, Copy)]
struct Content {
    byte: u8,
    former: i32,
}

/// Which free blocks are full of what.
#[pin_data]
pub(crate) struct Poison {
    /// By block; `None` where that is not known.
    #[pin]
    content: Mutex<KVVec<Option<Content>>>,
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
            content <- new_mutex!(KVVec::from_elem(None, count, GFP_KERNEL)?, "fpgamem::Poison"),
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
        self.set(
            blocks,
            Some(Content {
                byte: BYTE,
                former: pid,
            }),
        );
    }

    /// A block was scrubbed that `former` had allocated.
    pub(crate) fn scrubbed(&self, block: BlockRange, former: i32) {
        if ENABLED {
            self.set(block, Some(Content { byte: 0, former }));
        }
    }

    /// The process that had allocated a block, if it is known what the block is full of.
    pub(crate) fn former(&self, block: BlockRange) -> Option<i32> {
        if !ENABLED {
            return None;
        }
        Some(self.content(block.start())?.former)
    }

    fn content(&self, block: u32) -> Option<Content> {
        // CAST: usize is 64 bits on arm64.
        *self.content.lock().get(block as usize)?
    }

    /// Looks at blocks that are about to be used, the memory of each of which `slice_of` gives, and tells
    /// the first damage.
    pub(crate) fn check<'a>(
        &self,
        blocks: BlockRange,
        slice_of: impl Fn(u32) -> Result<RegionSlice<'a>>,
    ) -> Option<Damage> {
        if !ENABLED {
            return None;
        }
        let damage = (blocks.start()..blocks.end()).find_map(|block| {
            let content = self.content(block)?;
            let slice = slice_of(block).ok()?;
            // What a device wrote is not in the caches.
            slice.maintain(Operation::CleanInvalidate);
            cache::barrier();
            let (phys_addr, byte) = slice.first_other_than(content.byte)?;
            Some(Damage {
                phys_addr,
                byte,
                former: content.former,
            })
        });
        self.set(blocks, None);
        damage
    }

    fn set(&self, blocks: BlockRange, content: Option<Content>) {
        let mut contents = self.content.lock();
        // CAST: usize is 64 bits on arm64.
        let range = blocks.start() as usize..blocks.end() as usize;
        if let Some(blocks) = contents.get_mut(range) {
            blocks.fill(content);
        }
    }
}
