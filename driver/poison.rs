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
    /// `None` once it is being scrubbed.
    byte: Option<u8>,
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
    /// The first block that has one.
    pub(crate) block: u32,
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
                byte: Some(BYTE),
                former: pid,
            }),
        );
    }

    /// The scrubber begins with free blocks, which have just been looked at.
    pub(crate) fn begin_to_scrub(&self, blocks: BlockRange) {
        self.set_byte(Some(blocks), None);
    }

    /// The scrubber is done with blocks that it began with: it has scrubbed some and left others as they were.
    pub(crate) fn end_scrub(&self, scrubbed: Option<BlockRange>, left: Option<BlockRange>) {
        self.set_byte(scrubbed, Some(0));
        self.set_byte(left, Some(BYTE));
    }

    /// Blocks were allocated.
    pub(crate) fn forget(&self, blocks: BlockRange) {
        if ENABLED {
            self.set(blocks, None);
        }
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
        (blocks.start()..blocks.end()).find_map(|block| {
            let content = self.content(block)?;
            let expected = content.byte?;
            let slice = slice_of(block).ok()?;
            // What a device wrote is not in the caches.
            slice.maintain(Operation::CleanInvalidate);
            cache::barrier();
            let (phys_addr, byte) = slice.first_other_than(expected)?;
            Some(Damage {
                block,
                phys_addr,
                byte,
                former: content.former,
            })
        })
    }

    fn set(&self, blocks: BlockRange, content: Option<Content>) {
        self.change(blocks, |of_block| *of_block = content);
    }

    /// Changes what blocks are full of that nobody has taken.
    fn set_byte(&self, blocks: Option<BlockRange>, byte: Option<u8>) {
        if let Some(blocks) = blocks.filter(|_| ENABLED) {
            self.change(blocks, |of_block| {
                if let Some(content) = of_block {
                    content.byte = byte;
                }
            });
        }
    }

    fn change(&self, blocks: BlockRange, change: impl FnMut(&mut Option<Content>)) {
        let mut contents = self.content.lock();
        // CAST: usize is 64 bits on arm64.
        let range = blocks.start() as usize..blocks.end() as usize;
        if let Some(blocks) = contents.get_mut(range) {
            blocks.iter_mut().for_each(change);
        }
    }
}
